"""What operators compute in under `autocast` on the processor, and their values, as in PyTorch."""

import numpy as np
import pytest
import tiny_torch
import torch

# A name, where it stands, and the shapes of its operands; then arguments that are no tensors.
CALLS = [
    ("matmul", "", [(4, 8), (8, 5)]),
    ("mm", "", [(4, 8), (8, 5)]),
    ("mv", "", [(4, 8), (8,)]),
    ("dot", "", [(8,), (8,)]),
    ("bmm", "", [(2, 4, 8), (2, 8, 5)]),
    ("addmm", "", [(4, 5), (4, 8), (8, 5)]),
    ("addmv", "", [(4,), (4, 8), (8,)]),
    ("baddbmm", "", [(2, 4, 5), (2, 4, 8), (2, 8, 5)]),
    ("addbmm", "", [(4, 5), (2, 4, 8), (2, 8, 5)]),
    ("vecdot", "linalg", [(4, 8), (4, 8)]),
    ("linear", "nn.functional", [(4, 8), (5, 8), (5,)]),
    ("conv1d", "nn.functional", [(2, 3, 9), (4, 3, 3)]),
    ("conv2d", "nn.functional", [(2, 3, 9, 9), (4, 3, 3, 3), (4,)]),
    ("conv3d", "nn.functional", [(1, 2, 5, 5, 5), (3, 2, 2, 2, 2)]),
    ("conv_transpose2d", "nn.functional", [(2, 3, 5, 5), (3, 4, 3, 3)]),
    ("prelu", "nn.functional", [(4, 8), (1,)]),
    ("scaled_dot_product_attention", "nn.functional", [(1, 2, 6, 8)] * 3),
    ("relu", "", [(4, 8)]),
    ("gelu", "nn.functional", [(4, 8)]),
    ("softmax", "", [(4, 8)], 1),
    ("log_softmax", "", [(4, 8)], 1),
    ("layer_norm", "nn.functional", [(4, 8)], (8,)),
    ("group_norm", "nn.functional", [(2, 8, 5)], 4),
    ("add", "", [(4, 8), (4, 8)]),
    ("exp", "", [(4, 8)]),
    ("sum", "", [(4, 8)]),
    ("prod", "", [(4, 8)]),
    ("trace", "", [(4, 4)]),
    ("cdist", "", [(4, 8), (5, 8)]),
    ("avg_pool3d", "nn.functional", [(1, 2, 4, 4, 4)], 2),
    ("avg_pool2d", "nn.functional", [(1, 2, 4, 4)], 2),
    ("max_pool2d", "nn.functional", [(1, 2, 4, 4)], 2),
    ("mse_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("l1_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("smooth_l1_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("huber_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("kl_div", "nn.functional", [(4, 8), (4, 8)], "batchmean"),
    ("soft_margin_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("poisson_nll_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("margin_ranking_loss", "nn.functional", [(8,), (8,), (8,)]),
    ("hinge_embedding_loss", "nn.functional", [(4, 8), (4, 8)]),
    ("cosine_embedding_loss", "nn.functional", [(4, 8), (4, 8), (4,)]),
    ("triplet_margin_loss", "nn.functional", [(4, 8)] * 3),
    ("binary_cross_entropy_with_logits", "nn.functional", [(4, 8), (4, 8)]),
    ("cross_entropy", "nn.functional", [(4, 8), (4, 8)]),
    ("cosine_similarity", "nn.functional", [(4, 8), (4, 8)]),
    ("normalize", "nn.functional", [(4, 8)]),
]


def find(package, space, name):
    for part in [*filter(None, space.split(".")), name]:
        package = getattr(package, part)
    return package


def run(package, call, kinds, backward=False):
    name, space, shapes, *rest = call
    rng = np.random.default_rng(0)
    tensors = []
    for shape, kind in zip(shapes, kinds):
        t = package.tensor(rng.standard_normal(shape).astype(np.float32).tolist())
        tensors.append(t.to(getattr(package, kind)).requires_grad_(backward))
    if name == "kl_div":
        rest = []
    with package.autocast("cpu", dtype=package.bfloat16):
        result = find(package, space, name)(*tensors, *rest)
    if backward:
        result.float().sum().backward()
        gradients = [t.grad for t in tensors if t.grad is not None]
        return [(str(g.dtype).split(".")[-1], np.array(g.float().tolist())) for g in gradients]
    return str(result.dtype).split(".")[-1], np.array(result.detach().float().tolist())


@pytest.mark.parametrize("kinds", [("float32",) * 3, ("bfloat16",) * 3, ("float64",) * 3, ("bfloat16", "float32", "float32")])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_types_and_values(call, kinds):
    try:
        dtype, wanted = run(torch, call, kinds)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            run(tiny_torch, call, kinds)
        return
    own, found = run(tiny_torch, call, kinds)
    assert own == dtype
    assert np.allclose(found, wanted, rtol=3e-2, atol=3e-2, equal_nan=True)


@pytest.mark.parametrize("call", [c for c in CALLS if c[0] in ("linear", "matmul", "conv2d", "mse_loss")], ids=lambda c: c[0])
def test_gradients_have_the_types_of_the_operands(call):
    for (dtype, wanted), (own, found) in zip(
        run(torch, call, ("float32",) * 3, True), run(tiny_torch, call, ("float32",) * 3, True), strict=True
    ):
        assert own == dtype == "float32"
        assert np.allclose(found, wanted, rtol=5e-2, atol=5e-2)


def test_only_calls_that_give_new_tensors_are_cast():
    for package in (torch, tiny_torch):
        a, b = package.ones(2, 3), package.ones(3, 2)
        with package.autocast("cpu", dtype=package.bfloat16):
            out = package.empty(2, 2)
            package.mm(a, b, out=out)
            assert out.dtype == package.float32
            assert (a @ b).dtype == package.bfloat16
            with package.autocast("cpu", enabled=False):
                assert (a @ b).dtype == package.float32
            assert package.nn.Linear(3, 2)(a).dtype == package.bfloat16
        assert (a @ b).dtype == package.float32
