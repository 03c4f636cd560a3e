"""Layers through cuBLASLt and cuDNN, or the printed kernels where they are missing, against the processor."""

import pytest
import tiny_torch as torch
from tiny_torch import nn


def both(make, *shapes, dtype=torch.float32):
    """Outputs and gradients of a module and its inputs, there and here."""
    torch.manual_seed(0)
    here = make().to(dtype)
    there = make().to(dtype).cuda()
    there.load_state_dict(here.state_dict())
    inputs = [torch.randn(*s, dtype=dtype) for s in shapes]
    results = []
    for module, place in ((here, "cpu"), (there, "cuda")):
        xs = [x.to(place).detach().requires_grad_() for x in inputs]
        out = module(*xs)
        out.float().square().mean().backward()
        results.append([out, *(x.grad for x in xs), *(p.grad for p in module.parameters())])
    return [(a.detach().float(), b.detach().cpu().float()) for a, b in zip(*results)]


@pytest.mark.parametrize("dtype,near", [(torch.float32, 1e-5), (torch.float64, 1e-10), (torch.bfloat16, 5e-2), (torch.float16, 5e-3)])
@pytest.mark.parametrize(
    "make,shape",
    [
        (lambda: nn.Linear(24, 16), (10, 24)),
        (lambda: nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 5)), (10, 24)),
        (lambda: nn.Sequential(nn.Linear(24, 16), nn.GELU(approximate="tanh"), nn.Linear(16, 5)), (2, 5, 24)),
        (lambda: nn.Sequential(nn.Linear(24, 16, bias=False), nn.ReLU()), (10, 24)),
        (lambda: nn.Sequential(nn.Linear(24, 16, bias=False), nn.GELU(approximate="tanh")), (2, 5, 24)),
        (lambda: nn.Conv2d(3, 8, 3, padding=1), (2, 3, 9, 8)),
        (lambda: nn.Conv2d(6, 6, 3, groups=6), (2, 6, 7, 7)),
        (lambda: nn.Conv2d(3, 8, 3, stride=2), (2, 3, 9, 8)),
        (lambda: nn.Conv1d(4, 6, 3, dilation=2), (2, 4, 15)),
        (lambda: nn.Conv2d(4, 8, 3, groups=2), (2, 4, 7, 7)),
        (lambda: nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1), (2, 4, 5, 6)),
    ],
)
def test_layers_agree(make, shape, dtype, near):
    for here, there in both(make, shape, dtype=dtype):
        torch.testing.assert_close(there, here, rtol=near, atol=near)


def test_tf32_is_off_until_it_is_asked_for():
    matmul = torch.backends.cuda.matmul
    assert matmul.allow_tf32 is False and torch.get_float32_matmul_precision() == "highest"
    x, w = torch.randn(32, 160), torch.randn(160, 24)
    exact = (x.double() @ w.double()).float()

    def error():
        return ((x.cuda() @ w.cuda()).cpu() - exact).abs().max().item()

    try:
        assert error() < 1e-4
        matmul.allow_tf32 = True
        assert torch.get_float32_matmul_precision() == "high"
        assert 1e-4 < error() < 0.2
        torch.set_float32_matmul_precision("highest")
        assert matmul.allow_tf32 is False and error() < 1e-4
    finally:
        torch.set_float32_matmul_precision("highest")
