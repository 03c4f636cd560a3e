"""Long loops whose derivative comes at the end: many values are joined, and random numbers of long ago are drawn again."""
import numpy as np
import pytest
import tiny_torch as torch

F = torch.nn.functional


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("n", [64, 65, 150, 1100])
def test_many_values_are_joined(n, axis):
    rng = np.random.default_rng(n)
    sizes = [(1 + i % 3, 2) if axis == 0 else (2, i % 3) for i in range(n)]
    arrays = [rng.standard_normal(size).astype(np.float32) for size in sizes]
    scale = torch.tensor(3.0, requires_grad=True)
    # Computed here, so that nothing is joined before it is compiled.
    joined = torch.cat([torch.tensor(a) * scale for a in arrays], axis)
    wanted = np.concatenate(arrays, axis)
    weights = rng.standard_normal(wanted.shape).astype(np.float32)
    np.testing.assert_allclose(joined.detach().numpy(), 3 * wanted, rtol=1e-6)
    (joined * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(scale.grad.item(), (wanted.astype(float) * weights).sum(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("n", [20, 40, 64, 70])
@pytest.mark.parametrize("length", [600, None])
def test_long_values_are_joined(n, length):
    # As many as are cut into blocks for several threads, of one length or of several.
    rng = np.random.default_rng(n)
    arrays = [rng.standard_normal(length or 500 + 7 * (i % 5)).astype(np.float32) for i in range(n)]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    joined = torch.cat([-t for t in tensors])
    np.testing.assert_array_equal(joined.detach().numpy(), -np.concatenate(arrays))
    (joined * joined).sum().backward()
    np.testing.assert_allclose(tensors[-1].grad.numpy(), 2 * arrays[-1], rtol=1e-6)


def test_masks_of_long_ago_are_drawn_again():
    torch.manual_seed(3)
    w = torch.ones(96, requires_grad=True)
    kept = np.zeros(96)
    for episode in range(3):
        outputs = []
        for _ in range(120):
            dropped = F.dropout(w, 0.5)
            outputs.append(dropped.sum())
            kept += dropped.detach().numpy()
            outputs[-1].item()
        torch.stack(outputs).sum().backward()
        # The derivative of what is kept is its factor, which is what it gave.
        np.testing.assert_array_equal(w.grad.numpy(), kept)
