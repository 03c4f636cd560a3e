"""Automatic casts on a GPU: which operators lower their precision, which compute in float32, and what gradients have."""

import tiny_torch as torch
from tiny_torch import nn

F = nn.functional


def test_operators_compute_as_the_lists_say():
    a, b = torch.randn(4, 8, device="cuda"), torch.randn(8, 4, device="cuda")
    with torch.autocast("cuda"):
        assert (a @ b).dtype == F.linear(a, b.t()).dtype == torch.float16
        assert torch.mv(a, b[:, 0]).dtype == torch.float16
        half = a @ b
        assert half.relu().dtype == torch.float16
        assert half.exp().dtype == half.softmax(1).dtype == half.sum().dtype == torch.float32
        assert F.layer_norm(half, (4,)).dtype == F.mse_loss(half, half).dtype == torch.float32
        # The processor's autocast is another one.
        assert (a.cpu() @ b.cpu()).dtype == torch.float32
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert (a @ b).dtype == torch.bfloat16
    with torch.autocast("cpu"):
        assert (a @ b).dtype == torch.float32


def test_a_training_step_agrees_with_float32():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.LayerNorm(32), nn.Linear(32, 4)).to("cuda")
    x, y = torch.randn(8, 16, device="cuda"), torch.randint(0, 4, (8,), device="cuda")
    wanted = F.cross_entropy(model(x), y)
    wanted.backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with torch.autocast("cuda"):
        loss = F.cross_entropy(model(x), y)
    loss.backward()
    assert loss.dtype == torch.float32 and abs(loss.item() - wanted.item()) < 1e-2
    for p, g in zip(model.parameters(), gradients):
        assert p.grad.dtype == torch.float32
        assert (p.grad - g).abs().max().item() < 1e-2
