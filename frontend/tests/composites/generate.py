"""Writes cases.txt: what PyTorch computes for each composite operator, and the gradients.

Run with a Python that has torch: `python generate.py > cases.txt`. The file is checked in, so that the
test needs no torch. Each case is run on the same inputs by the test in main.rs, under the same name.
"""

import math
import sys

import torch
import torch.nn.functional as F

torch.manual_seed(0)
generator = torch.Generator().manual_seed(1234)
NAMES = {
    torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.uint8: "u8", torch.int8: "i8", torch.bool: "bool",
}


def r(*dims, low=-2.0, high=2.0, dtype=torch.float32):
    x = torch.rand(*dims, generator=generator, dtype=torch.float64) * (high - low) + low
    return x.to(torch.float32).to(dtype)


def v(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)


def i(*values):
    return torch.tensor(values, dtype=torch.int64)


def b(*values):
    return torch.tensor(values, dtype=torch.bool)


# Cases at kinks, where a second derivative is a matter of taste, and those in which PyTorch's in f32 is
# wrong from the fourth digit on (its own f64 agrees with ours).
FIRST_ONLY = {"kinks elu", "kinks mish", "norm at zero", "sinc", "log_ndtr"}
INF, NAN = math.inf, math.nan
EDGES = v(-INF, -100.0, -20.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0, 100.0, INF, NAN)
SMOOTH = r(4, 5)
CASES = {}


def case(name, function, *inputs, grad=True, wrt=9):
    """`wrt`: how many of the first inputs to differentiate by, those of floats."""
    assert name not in CASES, name
    CASES[name] = (function, inputs, wrt if grad else 0)


def elementwise(name, function, low=-2.0, high=2.0, edges=None, grad=True):
    """A function at random points with gradients, and at special points without."""
    case(name, function, r(3, 4, low=low, high=high), grad=grad)
    if edges is not None:
        case(name + " edges", function, edges, grad=False)


# Activations.
elementwise("relu", F.relu, edges=EDGES)
elementwise("relu6", F.relu6, low=-3, high=9, edges=EDGES)
elementwise("hardtanh", lambda x: F.hardtanh(x, -0.5, 1.5), edges=EDGES)
elementwise("leaky_relu", lambda x: F.leaky_relu(x, 0.1), edges=EDGES)
elementwise("elu", lambda x: F.elu(x, 1.5), edges=EDGES)
elementwise("selu", F.selu, edges=EDGES)
elementwise("celu", lambda x: F.celu(x, 1.5), edges=EDGES)
elementwise("gelu", F.gelu, edges=EDGES[1:-2])
elementwise("gelu tanh", lambda x: F.gelu(x, approximate="tanh"), edges=v(-5, -1, 0, 1, 5, NAN))
elementwise("sigmoid", torch.sigmoid, edges=EDGES)
elementwise("logsigmoid", F.logsigmoid, edges=EDGES)
elementwise("silu", F.silu, edges=v(-100, -20, 0, 20, 100, INF, NAN))
elementwise("mish", F.mish, edges=v(-100, -20, 0, 20, 100, INF, NAN))
elementwise("softplus", lambda x: F.softplus(x, 2.0, 3.0), edges=EDGES)
elementwise("hardsigmoid", F.hardsigmoid, low=-5, high=5, edges=EDGES)
elementwise("hardswish", F.hardswish, low=-5, high=5, edges=v(-100, -3, 0, 3, 100, NAN))
elementwise("softshrink", lambda x: F.softshrink(x, 0.5), edges=v(-3, -0.5, 0, 0.5, 3))
elementwise("hardshrink", lambda x: F.hardshrink(x, 0.5), edges=EDGES)
elementwise("tanhshrink", F.tanhshrink, edges=v(-20, 0, 20))
elementwise("softsign", F.softsign, edges=v(-100, -0.0, 0, 100))
elementwise("threshold", lambda x: F.threshold(x, 0.5, -7.0), edges=EDGES)
case("prelu", F.prelu, r(2, 3, 2), r(3))
case("prelu one", F.prelu, r(2, 3), r(1))
case("glu", lambda x: F.glu(x, 1), r(2, 6, 2))
case("sigmoid bf16", torch.sigmoid, r(3, 4, dtype=torch.bfloat16), grad=False)
case("gelu bf16", F.gelu, r(3, 4, dtype=torch.bfloat16), grad=False)
case("kinks relu6", F.relu6, v(0.0, 6.0))
case("kinks relu", F.relu, v(0.0, -0.0))
case("kinks hardtanh", lambda x: F.hardtanh(x, -0.5, 1.5), v(-0.5, 1.5))
case("kinks elu", lambda x: F.elu(x, 1.5), v(0.0, 200.0, -200.0))
case("kinks sigmoid", torch.sigmoid, v(0.0, 200.0, -200.0, 60.0, -60.0))
case("kinks logsigmoid", F.logsigmoid, v(0.0, 200.0, -200.0))
case("kinks softplus", F.softplus, v(0.0, 200.0, -200.0, 20.0))
case("kinks mish", F.mish, v(0.0, 200.0, -200.0))
case("kinks silu", F.silu, v(0.0, 200.0, -200.0))

# Softmax.
case("softmax", lambda x: F.softmax(x, 1), r(3, 4, 2))
case("softmax large", lambda x: F.softmax(x, 1), v([1000.0, 1000.0, -INF], [0.0, -1000.0, 3.0]))
case("softmax scalar", lambda x: F.softmax(x, 0), torch.tensor(3.0))
case("log_softmax", lambda x: F.log_softmax(x, 1), r(3, 4, 2))
case("softmin", lambda x: F.softmin(x, 1), r(3, 4, 2))
case("logsumexp", lambda x: torch.logsumexp(x, (0, 2), True), r(3, 4, 2))
case("logsumexp inf", lambda x: torch.logsumexp(x, (1,), True), v([-INF, -INF], [INF, 1.0]), grad=False)

# Normalisations.
case("layer_norm", lambda x, w, c: F.layer_norm(x, (4, 2), w, c, 1e-5), r(3, 4, 2), r(4, 2), r(4, 2))
case("layer_norm plain", lambda x: F.layer_norm(x, (4,)), r(3, 4))
case("rms_norm", lambda x, w: F.rms_norm(x, (4,), w, 1e-6), r(3, 4), r(4))
case("group_norm", lambda x, w, c: F.group_norm(x, 2, w, c), r(2, 4, 3), r(4), r(4))


def batch_norm_train(x, w, c, mean, var):
    y = F.batch_norm(x, mean, var, w, c, True, 0.3, 1e-5)
    return y, mean, var


case("batch_norm train", batch_norm_train, r(4, 3, 2), r(3), r(3), r(3), r(3, low=0.5, high=2), wrt=3)
case("batch_norm eval", lambda x, w, c, m, s: F.batch_norm(x, m, s, w, c, False, 0.3, 1e-5),
     r(4, 3, 2), r(3), r(3), r(3), r(3, low=0.5, high=2), wrt=3)


def instance_norm(x, w, c, mean, var):
    y = F.instance_norm(x, mean, var, w, c, True, 0.3, 1e-5)
    return y, mean, var


case("instance_norm", instance_norm, r(4, 3, 5), r(3), r(3), r(3), r(3, low=0.5, high=2), wrt=3)
case("normalize", lambda x: F.normalize(x, 2.0, 1), r(3, 4))
case("normalize zero", lambda x: F.normalize(x, 3.0, 1), v([0.0, 0.0], [3.0, 4.0]))
case("local_response_norm", lambda x: F.local_response_norm(x, 3, 0.1, 0.75, 2.0), r(2, 5, 3))

# Losses.
for how in ("none", "mean", "sum"):
    case(f"mse_loss {how}", lambda x, t, how=how: F.mse_loss(x, t, reduction=how), r(3, 4), r(3, 4))
    case(f"nll_loss {how}", lambda x, w, t, how=how: F.nll_loss(x, t, w, ignore_index=2, reduction=how),
         r(3, 4, 2), r(4, low=0.1), i([0, 1], [2, 3], [1, 1]), wrt=1)
    case(f"cross_entropy {how}",
         lambda x, w, t, how=how: F.cross_entropy(x, t, w, ignore_index=2, reduction=how, label_smoothing=0.2),
         r(3, 4, 2), r(4, low=0.1, high=1), i([0, 1], [2, 3], [1, 1]), wrt=1)
    case(f"cross_entropy probabilities {how}",
         lambda x, t, w, how=how: F.cross_entropy(x, t, w, reduction=how, label_smoothing=0.1),
         r(3, 4), F.softmax(r(3, 4), 1), r(4, low=0.1, high=1), wrt=2)
case("cross_entropy plain", F.cross_entropy, r(3, 4), i(0, 3, 1))
case("cross_entropy vector", F.cross_entropy, r(4), torch.tensor(2))
case("l1_loss", F.l1_loss, r(3, 4), r(3, 4))
case("smooth_l1_loss", lambda x, t: F.smooth_l1_loss(x, t, beta=0.7), r(3, 4), r(3, 4))
case("huber_loss", lambda x, t: F.huber_loss(x, t, delta=0.7), r(3, 4), r(3, 4))
case("binary_cross_entropy", F.binary_cross_entropy, r(3, 4, low=0.01, high=0.99), r(3, 4, low=0, high=1))
case("binary_cross_entropy ends", F.binary_cross_entropy, v(0.0, 1.0, 0.0, 1.0), v(0.0, 1.0, 1.0, 0.0), grad=False)
case("bce_with_logits", lambda x, t, w, p: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p),
     r(3, 4), r(3, 4, low=0, high=1), r(3, 4, low=0, high=1), r(4, low=0.5, high=2), wrt=2)
case("bce_with_logits large", F.binary_cross_entropy_with_logits, v(-200.0, 200.0, 0.0), v(0.0, 0.3, 1.0))
case("kl_div", lambda x, t: F.kl_div(x, t, reduction="sum"), F.log_softmax(r(3, 4), 1), F.softmax(r(3, 4), 1))
case("kl_div log", lambda x, t: F.kl_div(x, t, reduction="mean", log_target=True),
     F.log_softmax(r(3, 4), 1), F.log_softmax(r(3, 4), 1))
case("poisson_nll_loss", lambda x, t: F.poisson_nll_loss(x, t, full=True), r(3, 4), v([0.0, 1, 2, 5], [3, 4, 0, 1], [7, 8, 9, 1]), wrt=1)
case("gaussian_nll_loss", lambda x, t, s: F.gaussian_nll_loss(x, t, s, full=True, eps=0.1),
     r(3, 4), r(3, 4), r(3, 4, low=0.01, high=2))
case("soft_margin_loss", F.soft_margin_loss, r(3, 4), v([1.0, -1, 1, -1]).expand(3, 4).contiguous(), wrt=1)
case("multilabel_soft_margin_loss", F.multilabel_soft_margin_loss, r(3, 4), v([1.0, 0, 1, 0]).expand(3, 4).contiguous())
case("hinge_embedding_loss kink", F.hinge_embedding_loss, v(1.0, 2.0), v(-1.0, -1.0))
case("hinge_embedding_loss", F.hinge_embedding_loss, r(4), v(1.0, -1.0, -1.0, 1.0))
case("margin_ranking_loss", lambda x, y, t: F.margin_ranking_loss(x, y, t, margin=0.3), r(4), r(4), v(1.0, -1.0, -1.0, 1.0))
case("cosine_embedding_loss", lambda x, y, t: F.cosine_embedding_loss(x, y, t, margin=0.1), r(4, 3), r(4, 3), v(1.0, -1.0, -1.0, 1.0))
case("triplet_margin_loss", lambda a, p, n: F.triplet_margin_loss(a, p, n, swap=True), r(4, 3), r(4, 3), r(4, 3))
case("multi_margin_loss", lambda x, w, t: F.multi_margin_loss(x, t, p=2, margin=0.8, weight=w), r(3, 4), r(4, low=0.1), i(0, 3, 1), wrt=1)
case("multilabel_margin_loss", F.multilabel_margin_loss, r(2, 4), i([3, 0, -1, 1], [2, -1, 0, 1]))

# Products.
SHAPES = {
    "vv": ((3,), (3,)), "mv": ((2, 3), (3,)), "vm": ((3,), (3, 4)), "mm": ((2, 3), (3, 4)),
    "bm": ((5, 2, 3), (3, 4)), "bv": ((5, 2, 3), (3,)), "mb": ((2, 3), (5, 3, 4)), "vb": ((3,), (5, 3, 4)),
    "bb": ((5, 2, 3), (5, 3, 4)), "broadcast": ((2, 1, 2, 3), (5, 3, 4)),
}
for name, (a, c) in SHAPES.items():
    case(f"matmul {name}", torch.matmul, r(*a), r(*c))
case("matmul int", torch.matmul, i([1, 2], [3, 4]), i([5, 6], [7, 8]), grad=False)
case("linear", F.linear, r(5, 2, 3), r(4, 3), r(4))
case("bilinear", F.bilinear, r(5, 2), r(5, 3), r(4, 2, 3), r(4))
case("outer", torch.outer, r(3), r(4))
case("addmm", lambda x, a, c: torch.addmm(x, a, c, beta=0.5, alpha=2.0), r(4), r(2, 3), r(3, 4))
case("addbmm", lambda x, a, c: torch.addbmm(x, a, c, beta=0.5, alpha=2.0), r(2, 4), r(5, 2, 3), r(5, 3, 4))
case("addr", lambda x, a, c: torch.addr(x, a, c, beta=0.5, alpha=2.0), r(2, 4), r(2), r(4))
case("kron", torch.kron, r(2, 3), r(2, 1, 2))
case("cross", lambda x, y: torch.cross(x, y, 1), r(2, 3), r(2, 3))
case("matrix_power", lambda x: torch.matrix_power(x, 5), r(2, 3, 3, low=-1, high=1))
for k, (equation, *shapes) in enumerate([
    ("ij,jk->ik", (2, 3), (3, 4)), ("bij,bjk->bik", (2, 2, 3), (2, 3, 4)), ("ij,jk", (2, 3), (3, 4)),
    ("ij->ji", (2, 3)), ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->", (2, 3)), ("i,j->ij", (2,), (3,)),
    ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("bij,b->ij", (3, 2, 2), (3,)), ("ba,cb,b->ac", (3, 2), (4, 3), (3,)),
    ("iij,jk->ki", (2, 2, 3), (3, 4)), ("ij,ij->ij", (2, 3), (1, 3)), ("...->...", (2, 3)), ("a...b->b...a", (2, 3, 4)),
]):
    case(f"einsum {equation}", lambda *x, equation=equation: torch.einsum(equation, *x), *[r(*s) for s in shapes])

# Convolutions.
case("conv2d", lambda x, w, c: F.conv2d(x, w, c, stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
     r(2, 3, 6, 7), r(4, 3, 3, 2), r(4))
case("conv2d groups", lambda x, w, c: F.conv2d(x, w, c, padding=1, groups=2), r(2, 4, 4, 4), r(6, 2, 3, 3), r(6))
case("conv2d depthwise", lambda x, w: F.conv2d(x, w, groups=4), r(1, 4, 4, 4), r(4, 1, 2, 2))
case("conv1d same", lambda x, w: F.conv1d(x, w, padding="same", dilation=2), r(2, 3, 7), r(4, 3, 4))
case("conv3d", lambda x, w: F.conv3d(x, w, padding=1, stride=2), r(1, 2, 4, 3, 3), r(2, 2, 2, 2, 2))
case("conv_transpose2d", lambda x, w, c: F.conv_transpose2d(x, w, c, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), dilation=(1, 2)),
     r(2, 3, 3, 4), r(3, 4, 3, 2), r(4))
case("conv_transpose2d groups", lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=2, groups=2), r(2, 4, 3, 3), r(4, 3, 2, 2))

# Pooling.
for ceil in (False, True):
    case(f"max_pool2d ceil {ceil}",
         lambda x, ceil=ceil: F.max_pool2d(x, (3, 2), (2, 2), (1, 0), ceil_mode=ceil, return_indices=True), r(2, 2, 6, 7))
    for count in (False, True):
        case(f"avg_pool2d ceil {ceil} count {count}",
             lambda x, ceil=ceil, count=count: F.avg_pool2d(x, (3, 2), (2, 2), (1, 0), ceil_mode=ceil, count_include_pad=count), r(2, 2, 6, 7))
case("max_pool2d dilated", lambda x: F.max_pool2d(x, 2, 1, 0, 2, return_indices=True), r(1, 2, 5, 5))
case("max_pool2d ties", lambda x: F.max_pool2d(x, 2, return_indices=True), torch.zeros(1, 1, 4, 4))
case("max_pool1d", lambda x: F.max_pool1d(x, 3, 2, 1), r(2, 3, 8))
case("avg_pool2d divisor", lambda x: F.avg_pool2d(x, 2, divisor_override=3), r(1, 2, 4, 4))
case("avg_pool1d", lambda x: F.avg_pool1d(x, 3, 2, 1), r(2, 3, 8))
case("adaptive_avg_pool2d even", lambda x: F.adaptive_avg_pool2d(x, (2, 3)), r(2, 2, 4, 6))
case("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, 5)), r(2, 2, 7, 6))
case("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, (3, 5), return_indices=True), r(2, 2, 7, 6))
case("lp_pool2d", lambda x: F.lp_pool2d(x, 3.0, 2, 2), r(1, 2, 4, 4, low=0.1))
case("max_unpool2d", lambda x, at: F.max_unpool2d(x, at, 2), r(1, 1, 2, 2), i([[[0, 3], [9, 15]]]))

# Attention.
ATTENTION = F.scaled_dot_product_attention
case("attention", ATTENTION, r(2, 2, 3, 4), r(2, 2, 5, 4), r(2, 2, 5, 6))
case("attention causal", lambda q, k, w: ATTENTION(q, k, w, is_causal=True), r(2, 3, 4), r(2, 3, 4), r(2, 3, 4))
case("attention bool mask", lambda q, k, w, m: ATTENTION(q, k, w, m), r(2, 3, 4), r(2, 3, 4), r(2, 3, 4),
     b([True, False, True], [False, True, True], [True, True, False]))
case("attention mask", lambda q, k, w, m: ATTENTION(q, k, w, m, scale=0.3), r(2, 3, 4), r(2, 3, 4), r(2, 3, 4), r(3, 3))
case("attention gqa", lambda q, k, w: ATTENTION(q, k, w, enable_gqa=True), r(1, 4, 3, 4), r(1, 2, 3, 4), r(1, 2, 3, 4))

# Interpolation.
for mode, dims in (("nearest", 1), ("nearest-exact", 1), ("linear", 1), ("nearest", 2), ("nearest-exact", 2),
                   ("bilinear", 2), ("bicubic", 2), ("trilinear", 3), ("area", 2)):
    x = r(1, 2, *(5, 4, 3)[:dims])
    for size in ((8, 7, 6), (3, 3, 2), (10, 8, 6)):
        for corners in ((None, True) if "linear" in mode or "cubic" in mode else (None,)):
            case(f"interpolate {mode} {dims} {'x'.join(map(str, size[:dims]))} {'corners' if corners else 'edges'}",
                 lambda x, size=size, dims=dims, mode=mode, corners=corners:
                 F.interpolate(x, size=size[:dims], mode=mode, align_corners=corners), x)
case("interpolate factor", lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear"), r(1, 1, 5, 4))

# Padding and patches.
for mode in ("reflect", "replicate", "circular"):
    case(f"pad {mode}", lambda x, mode=mode: F.pad(x, (1, 2, 2, 1), mode=mode), r(2, 2, 4, 3))
case("pad constant", lambda x: F.pad(x, (1, -1, -1, 2), value=1.5), r(2, 4, 3))
case("unfold", lambda x: F.unfold(x, (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)), r(2, 3, 5, 7))
case("fold", lambda x: F.fold(x, (5, 7), (2, 3), dilation=(2, 1), padding=(1, 0), stride=(1, 2)), r(2, 18, 15))
case("tensor unfold", lambda x: x.unfold(1, 3, 2), r(2, 7, 2))
case("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), r(2, 8, 2, 3))
case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), r(2, 2, 4, 6))
case("channel_shuffle", lambda x: F.channel_shuffle(x, 2), r(2, 6, 2))

# Tables.
case("embedding", lambda w, n: F.embedding(n, w, padding_idx=1), r(5, 3), i([0, 1], [4, 4]))
case("one_hot", lambda n: F.one_hot(n, 4), i([0, 3], [1, 2]))
for mode in ("sum", "mean", "max"):
    case(f"embedding_bag {mode}", lambda w, n, mode=mode: F.embedding_bag(n, w, mode=mode), r(5, 3), i([0, 1], [4, 4]))

# Distances.
case("pairwise_distance", F.pairwise_distance, r(4, 3), r(4, 3))
case("cosine_similarity", lambda x, y: F.cosine_similarity(x, y, 1), r(4, 3), r(4, 3))
for p in (1.0, 2.0, 3.0, INF):
    case(f"cdist {p}", lambda x, y, p=p: torch.cdist(x, y, p), r(2, 3, 4), r(2, 5, 4))
case("pdist", F.pdist, r(4, 3))

# Reductions.
case("var", lambda x: torch.var(x, (0, 2), correction=1, keepdim=True), r(3, 4, 2))
case("std", lambda x: torch.std(x, (1,), correction=0, keepdim=True), r(3, 4))
case("std zero", lambda x: torch.std(x, (1,), correction=0, keepdim=True), v([1.0, 1.0], [1.0, 2.0]))
for p in (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, INF, -INF):
    case(f"norm {p}", lambda x, p=p: torch.linalg.vector_norm(x, p, (1,), True), r(3, 4))
case("norm at zero", lambda x: torch.linalg.vector_norm(x, 2, (1,), True), v([0.0, 0.0], [3.0, 4.0]))
case("prod", lambda x: torch.prod(x, 1, True), v([1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [0.0, 0.0, 3.0]))
case("nansum", lambda x: torch.nansum(x, (1,), True), v([1.0, NAN, 2.0], [NAN, NAN, NAN]))
case("nanmean", lambda x: torch.nanmean(x, (1,), True), v([1.0, NAN, 2.0], [1.0, 2.0, 3.0]))
case("any", lambda x: torch.any(x, 1, True), v([0.0, NAN], [0.0, 0.0]))
case("all", lambda x: torch.all(x, 1, True), v([0.0, NAN], [1.0, 2.0]))
case("count_nonzero", lambda x: torch.count_nonzero(x, 1).unsqueeze(1), v([0.0, NAN, 1.0], [0.0, 0.0, 0.0]))
TIES = v([1.0, 3.0, 3.0, 2.0], [NAN, 1.0, NAN, 0.0], [2.0, 1.0, 1.0, 2.0])
case("argmax", lambda x: torch.argmax(x, 1, True), TIES)
case("argmin", lambda x: torch.argmin(x, 1, True), TIES)
case("max along", lambda x: torch.max(x, 1, True), v([1.0, 3.0, 3.0], [2.0, 1.0, 2.0]))
case("min along", lambda x: torch.min(x, 1, True), v([1.0, 3.0, 3.0], [2.0, 1.0, 1.0]))

# Order.
case("sort", lambda x: torch.sort(x, dim=1, stable=True), TIES, grad=False)
case("sort descending", lambda x: torch.sort(x, dim=1, descending=True, stable=True), TIES, grad=False)
case("sort smooth", lambda x: torch.sort(x, 0), r(4, 3))
case("topk", lambda x: torch.topk(x, 2, 1), r(3, 5))
case("kthvalue", lambda x: torch.kthvalue(x, 2, 1, True), r(3, 5))
case("median", lambda x: torch.median(x, 1, True), r(3, 4))
case("median nan", lambda x: torch.median(x, 1, True)[0], v([1.0, NAN, 2.0], [3.0, 1.0, 2.0]), grad=False)
case("nanmedian", lambda x: torch.nanmedian(x, 1, True)[0], v([1.0, NAN, 2.0], [3.0, 1.0, 2.0]))
case("mode", lambda x: torch.mode(x, 1, True)[0], v([1.0, 2.0, 2.0, 1.0], [3.0, 3.0, 1.0, 2.0]))
for how in ("linear", "lower", "higher", "midpoint", "nearest"):
    case(f"quantile {how}", lambda x, q, how=how: torch.quantile(x, q, 1, interpolation=how), r(3, 6), v(0.0, 0.3, 0.55, 1.0), grad=False)
case("quantile grad", lambda x: torch.quantile(x, v(0.3, 0.6), 1), r(3, 6))
case("nanquantile", lambda x, q: torch.nanquantile(x, q, 1), v([1.0, NAN, 2.0], [3.0, 1.0, 2.0]), v(0.3, 0.6), grad=False)
case("searchsorted", torch.searchsorted, v(1.0, 3.0, 3.0, 5.0), v([0.0, 3.0], [5.0, 6.0]), grad=False)
case("searchsorted right", lambda e, x: torch.searchsorted(e, x, right=True), v(1.0, 3.0, 3.0, 5.0), v([0.0, 3.0], [5.0, 6.0]), grad=False)

# Scans.
case("cumsum", lambda x: torch.cumsum(x, 1), r(3, 4))
case("cumprod", lambda x: torch.cumprod(x, 1), v([1.0, 2.0, 3.0], [2.0, 0.0, 3.0], [0.0, 0.0, 3.0]))
case("cummax", lambda x: torch.cummax(x, 1), v([1.0, 3.0, 3.0, 2.0], [2.0, 1.0, 2.0, 4.0]))
case("cummin", lambda x: torch.cummin(x, 1), v([1.0, 3.0, 1.0, 2.0], [2.0, 1.0, 2.0, 1.0]))
case("logcumsumexp", lambda x: torch.logcumsumexp(x, 1), v([1.0, 3.0, 30.0, 2.0], [-50.0, 1.0, 2.0, 1.0]))
case("trapezoid", lambda y, x: torch.trapezoid(y, x, dim=1), r(3, 4), v(0.0, 1.0, 3.0, 4.5))

# Special functions.
elementwise("asin", torch.asin, low=-0.9, high=0.9, edges=v(-1, 0, 1, 2))
elementwise("acos", torch.acos, low=-0.9, high=0.9, edges=v(-1, 0, 1, 2))
elementwise("atan", torch.atan, edges=EDGES)
elementwise("tan", torch.tan, low=-1.4, high=1.4)
elementwise("sinh", torch.sinh, edges=v(-100, -1e-8, 0, 1e-8, 100, INF, NAN))
elementwise("cosh", torch.cosh, edges=EDGES)
elementwise("asinh", torch.asinh, edges=v(-INF, -1e30, -100, -1e-8, 0, 1e-8, 100, 1e30, INF, NAN))
elementwise("acosh", torch.acosh, low=1.1, high=9, edges=v(0.5, 1, 1.0001, 100, 1e30, INF, NAN))
elementwise("atanh", torch.atanh, low=-0.9, high=0.9, edges=v(-1, -1e-8, 0, 1, 2))
elementwise("exp2", torch.exp2, edges=v(-200, -1, 0, 3, 200))
elementwise("log2", torch.log2, low=0.1, edges=v(0, 1, 8, 1024, INF, -1))
elementwise("log10", torch.log10, low=0.1, edges=v(0, 1, 10, 1000, INF, -1))
elementwise("rsqrt", torch.rsqrt, low=0.1, edges=v(0, 1, INF, -1))
elementwise("sinc", torch.sinc, edges=v(-1, 0, 1, 0.5))
elementwise("logit", torch.logit, low=0.1, high=0.9, edges=v(0, 1, 2))
elementwise("erfc", torch.erfc, low=-4, high=4, edges=v(-INF, -8, -2, 0, 0.5, 2, 5, 9, INF, NAN))
elementwise("erfinv", torch.erfinv, low=-0.99, high=0.99, edges=v(-1, -0.9999999, 0, 1e-6, 0.9999, 1, 2, NAN))
elementwise("erfcx", torch.special.erfcx, low=-2, high=9, edges=v(0, 20, INF))
elementwise("ndtr", torch.special.ndtr, edges=v(-INF, -10, 0, 10, INF))
elementwise("log_ndtr", torch.special.log_ndtr, low=-9, high=4, edges=v(-30, 0, 10))
elementwise("ndtri", torch.special.ndtri, low=0.01, high=0.99, edges=v(0, 0.5, 1))
elementwise("entr", torch.special.entr, low=0.1, edges=v(-1, 0, 1, INF, NAN))
elementwise("lgamma", torch.lgamma, low=-4.9, high=9, edges=v(0, 1, 2, 0.5, 1e-6, 100, 1e10, -1, INF))
elementwise("digamma", torch.digamma, low=0.1, high=9, edges=v(0, -0.0, 1, -0.5, -1, -1.5, 100))
elementwise("polygamma 1", lambda x: torch.polygamma(1, x), low=0.1, high=9, edges=v(-0.5, 100))
elementwise("polygamma 2", lambda x: torch.polygamma(2, x), low=0.1, high=9)
elementwise("zeta", lambda x: torch.special.zeta(torch.tensor(2.5), x), low=0.3, high=9, grad=False)
elementwise("mvlgamma", lambda x: torch.mvlgamma(x, 3), low=1.5, high=9)
case("xlogy", torch.xlogy, v(0.0, 0.0, 0.0, 1.0, 2.0), v(0.0, -1.0, INF, 3.0, 2.0), grad=False)
case("xlogy smooth", torch.xlogy, v(0.0, 1.0, 2.0), v(2.0, 3.0, 0.5))
case("xlog1py", torch.special.xlog1py, v(0.0, 1.0, 2.0), v(2.0, 3.0, 0.5))
PAIR = (v(0.0, 1.0, -INF, INF, 50.0, -3.0, -INF), v(0.0, 2.0, 1.0, INF, -50.0, -3.0, -INF))
case("logaddexp", torch.logaddexp, r(3, 4), r(3, 4))
case("logaddexp edges", torch.logaddexp, *PAIR, grad=False)
case("logaddexp tie", torch.logaddexp, v(1.0), v(1.0))
case("logaddexp2", torch.logaddexp2, r(3, 4), r(3, 4))
case("hypot", torch.hypot, v(3.0, 1e30, INF, 0.0), v(4.0, 1e30, NAN, 0.0), grad=False)
case("hypot smooth", torch.hypot, r(4), r(4))

# Arithmetic.
A, D = v(7.5, -7.5, 7.5, -7.5, 0.0, 1.0, -1.0, 6.0, 0.3), v(2.0, 2.0, -2.0, -2.0, 3.0, 0.0, 0.0, 0.1, 0.1)
N, M = i(7, -7, 7, -7, 0, 6), i(2, 2, -2, -2, 3, 3)
case("floor_divide", torch.floor_divide, A, D, grad=False)
case("floor_divide int", torch.floor_divide, N, M)
case("remainder", torch.remainder, A, D, grad=False)
case("remainder int", torch.remainder, N, M)
case("remainder grad", torch.remainder, v(7.5, -7.5, 7.3), v(2.0, 2.0, -2.0))
case("div trunc", lambda x, y: torch.div(x, y, rounding_mode="trunc"), A, D, grad=False)
case("div trunc int", lambda x, y: torch.div(x, y, rounding_mode="trunc"), N, M)
elementwise("trunc", torch.trunc, edges=EDGES)
elementwise("frac", torch.frac, edges=v(-2.5, 2.5))
elementwise("ceil", torch.ceil, edges=EDGES)
elementwise("round 2", lambda x: torch.round(x, decimals=2), edges=v(2.345, -1.005))
elementwise("round -1", lambda x: torch.round(x, decimals=-1), low=-200, high=200)
elementwise("sign", torch.sign, edges=EDGES)
elementwise("signbit", torch.signbit, edges=EDGES, grad=False)
elementwise("isfinite", torch.isfinite, edges=EDGES, grad=False)
elementwise("isinf", torch.isinf, edges=EDGES, grad=False)
elementwise("nan_to_num", lambda x: torch.nan_to_num(x, 1.0, 2.0, 3.0), edges=EDGES)
elementwise("clamp", lambda x: torch.clamp(x, -0.5, 1.0), edges=EDGES)
case("clamp ends", lambda x: torch.clamp(x, -0.5, 1.0), v(-0.5, 1.0))
case("clamp to ends", torch.clamp, v(-1.0, 1.0), v(-1.0, 0.0), v(2.0, 1.0))
case("clamp to", torch.clamp, r(4), v(-1.0, 0.0, 1.0, -1.0), v(1.0, 1.0, 0.0, 0.5))
case("copysign", torch.copysign, v(1.0, -2.0, 3.0), v(-1.0, 0.0, -0.0), grad=False)
case("copysign grad", torch.copysign, v(1.0, -2.0, 3.0), v(-1.0, 2.0, -3.0))
case("lerp", torch.lerp, r(4), r(4), v(0.1, 0.5, 0.9, 1.5))
case("lerp by", lambda x, y: torch.lerp(x, y, 0.7), r(4), r(4))
case("addcmul", lambda x, y, z: torch.addcmul(x, y, z, value=0.5), r(4), r(4), r(4))
case("addcdiv", lambda x, y, z: torch.addcdiv(x, y, z, value=0.5), r(4), r(4), r(4, low=1))
case("heaviside", torch.heaviside, v(-1.0, 0.0, 1.0, NAN), v(0.5), grad=False)
case("isclose", lambda x, y: torch.isclose(x, y, 0.1, 0.01, True), v(1.0, 1.0, NAN, INF), v(1.05, 2.0, NAN, INF), grad=False)
case("ldexp", torch.ldexp, r(3), i(1, -2, 3))
case("fmax", torch.fmax, v(1.0, NAN, 3.0, NAN), v(NAN, 2.0, 1.0, NAN), grad=False)
case("fmin", torch.fmin, v(1.0, NAN, 3.0, NAN), v(NAN, 2.0, 1.0, NAN), grad=False)

# Bits, Bessel functions, statistics.
case("frexp", torch.frexp, v(0.0, 1.0, -3.5, 0.1, 1e-42, 1e30, INF, NAN), grad=False)
case("frexp grad", lambda x: torch.frexp(x)[0], v(1.5, -3.5, 0.1))
case("nextafter", torch.nextafter, v(0.0, 1.0, -1.0, 1.0, 2.0, NAN, 0.0), v(1.0, 2.0, 0.0, 0.0, 2.0, 1.0, -1.0), grad=False)
elementwise("i0", torch.i0, low=-12, high=12, edges=v(0, 8, 30))
elementwise("i0e", torch.special.i0e, low=-12, high=12, edges=v(0, 8, 100))
elementwise("i1", torch.special.i1, low=-12, high=12, edges=v(0, 8, 30))
elementwise("i1e", torch.special.i1e, low=-12, high=12, edges=v(0, 8, 100))
case("cov", torch.cov, r(3, 5))
case("cov one", torch.cov, r(5))
case("cov weights", lambda x, a, f: torch.cov(x, correction=1, fweights=f, aweights=a), r(3, 5), r(5, low=0.1), i(1, 2, 0, 1, 3), wrt=1)
case("corrcoef", torch.corrcoef, r(3, 5))
case("histc", lambda x: torch.histc(x, 4, -1.0, 1.0), r(20), grad=False)
case("bincount", lambda x, w: torch.bincount(x, w, 5), i(0, 3, 3, 1), r(4), grad=False)
case("isin", torch.isin, i([1, 2], [3, 4]), i(4, 1, 9))
for p in (1.0, 2.0, INF):
    case(f"dist {p}", lambda x, y, p=p: torch.dist(x, y, p), r(2, 3), r(3))
case("renorm", lambda x: torch.renorm(x, 2, 0, 1.5), r(4, 3))
case("cumulative_trapezoid", lambda y: torch.cumulative_trapezoid(y, dx=0.5, dim=1), r(3, 4))
case("cumulative_trapezoid at", lambda y, x: torch.cumulative_trapezoid(y, x, dim=1), r(3, 4), v(0.0, 1.0, 3.0, 4.5))
for k in (1, 2):
    case(f"gradient {k}", lambda x, at, k=k: torch.gradient(x, spacing=(at,), dim=1, edge_order=k), r(3, 5), v(0.0, 1.0, 3.0, 4.5, 5.0), wrt=1)

# Sampling and sequences.
for mode in ("bilinear", "nearest", "bicubic"):
    for outside in ("zeros", "border", "reflection"):
        for corners in (False, True):
            case(f"grid_sample {mode} {outside} {corners}",
                 lambda x, g, mode=mode, outside=outside, corners=corners: F.grid_sample(x, g, mode, outside, corners),
                 r(2, 2, 4, 5), r(2, 3, 3, 2, low=-1.6, high=1.6), wrt=9)
case("grid_sample volume", lambda x, g: F.grid_sample(x, g, "bilinear", "zeros", False), r(1, 2, 3, 4, 5), r(1, 2, 3, 2, 3, low=-1.2, high=1.2))
for corners in (False, True):
    case(f"affine_grid {corners}", lambda t, corners=corners: F.affine_grid(t, (2, 1, 3, 4), corners), r(2, 2, 3))
case("affine_grid volume", lambda t: F.affine_grid(t, (1, 1, 2, 3, 4), False), r(1, 3, 4))
for how in ("none", "mean", "sum"):
    case(f"ctc_loss {how}",
         lambda x, t, n, m, how=how: F.ctc_loss(F.log_softmax(x, 2), t, n, m, reduction=how, zero_infinity=True),
         r(7, 3, 5), i([1, 2, 2], [3, 4, 0], [1, 1, 1]), i(7, 5, 3), i(3, 2, 3))
for mode in ("bilinear", "bicubic"):
    for size in ((3, 2), (8, 7), (5, 2)):
        case(f"interpolate_antialias {mode} {size[0]}x{size[1]}",
             lambda x, mode=mode, size=size: F.interpolate(x, size, mode=mode, antialias=True), r(1, 2, 5, 6))

# Layout.
for k in (-1, 0, 2):
    case(f"tril {k}", lambda x, k=k: torch.tril(x, k), r(2, 3, 4))
    case(f"triu {k}", lambda x, k=k: torch.triu(x, k), r(2, 3, 4))
    case(f"diagonal {k}", lambda x, k=k: torch.diagonal(x, k, 0, 2), r(3, 2, 4))
    case(f"diag_embed {k}", lambda x, k=k: torch.diag_embed(x, k, 0, 2), r(2, 3))
case("trace", torch.trace, r(3, 4))
case("roll", lambda x: torch.roll(x, (1, -2), (0, 1)), r(3, 4))
case("roll flat", lambda x: torch.roll(x, 5), r(3, 4))
for k in range(4):
    case(f"rot90 {k}", lambda x, k=k: torch.rot90(x, k, (0, 1)), r(2, 3))
case("repeat", lambda x: x.repeat(2, 1, 3), r(2, 3))
case("repeat_interleave", lambda x: torch.repeat_interleave(x, 3, 0), r(2, 3))
case("meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij"), r(2), r(3))
case("cartesian_prod", torch.cartesian_prod, r(2), r(3))
case("block_diag", torch.block_diag, r(2, 3), r(2), r(1, 1))
case("vander", lambda x: torch.vander(x, 4), r(3), grad=False)
case("select_scatter", lambda x, y: torch.select_scatter(x, y, 1, 2), r(2, 4), r(2))
case("slice_scatter", lambda x, y: torch.slice_scatter(x, y, 1, 1, 4, 2), r(2, 5), r(2, 2))

# Indexing.
case("index_select", lambda x, n: torch.index_select(x, 1, n), r(2, 4, 2), i(3, 0, 0))
case("gather", lambda x, n: torch.gather(x, 1, n), r(3, 4), i([3, 0, 1], [1, 1, 2]))
case("scatter", lambda x, u, n: torch.scatter(x, 1, n, u), r(3, 4), r(2, 2), i([3, 0], [1, 2]))
case("scatter longer", lambda x, u, n: torch.scatter(x, 1, n, u), r(3, 4), r(3, 3), i([3, 0], [1, 2]), grad=False)
case("scatter_add", lambda x, u, n: torch.scatter_add(x, 1, n, u), r(3, 4), r(2, 2), i([3, 3], [1, 2]))
for how in ("prod", "amax", "amin", "mean"):
    case(f"scatter_reduce {how}", lambda x, u, n, how=how: torch.scatter_reduce(x, 1, n, u, how), r(3, 4), r(3, 2), i([3, 3], [1, 2], [0, 0]))
    case(f"scatter_reduce {how} without", lambda x, u, n, how=how: torch.scatter_reduce(x, 1, n, u, how, include_self=False),
         r(3, 4), r(3, 3), i([3, 3], [1, 2], [0, 0]), grad=False)
for how in ("prod", "amax", "amin", "mean"):
    for own in (True, False):
        case(f"index_reduce {how} {own}", lambda x, u, n, how=how, own=own: torch.index_reduce(x, 1, n, u, how, include_self=own),
             r(2, 4), r(2, 3), i(1, 1, 3), grad=own)
case("take_along_dim", lambda x, n: torch.take_along_dim(x, n, 1), r(3, 4), i([3, 0, -1]))
case("take", lambda x, n: torch.take(x, n), r(3, 4), i([3, -1], [0, 11]))
case("put", lambda x, u, n: torch.Tensor.put(x, n, u, True), r(3, 4), r(2, 2), i([3, -1], [0, 3]))
case("index_add", lambda x, u, n: torch.index_add(x, 1, n, u, alpha=0.5), r(2, 4), r(2, 3), i(1, 1, 3))
case("index_copy", lambda x, u, n: torch.index_copy(x, 1, n, u), r(2, 4), r(2, 3), i(0, 1, 3))
case("index_fill", lambda x, w, n: torch.index_fill(x, 1, n, w), r(2, 4), torch.tensor(3.0), i(0, 3))
case("masked_scatter", lambda x, u, m: torch.masked_scatter(x, m, u), r(2, 3), r(5), b([True, False, True], [False, True, True]))
case("index one", lambda x, n: x[:, n], r(2, 4, 3), i([3, -1], [0, 0]))
case("index adjacent", lambda x, n, m: x[:, n, m], r(2, 4, 3, 2), i([3, -1], [0, 0]), i(2, 0))
case("index apart", lambda x, n, m: x[n, :, m], r(2, 4, 3, 2), i(1, -1, 0), i(2, 0, 2))


def index_put(x, u, n, m):
    return x.index_put((n, m), u, accumulate=True)


def index_put_apart(x, u, n, m):
    y = x.clone()
    y[n, :, m] = u
    return y


case("index_put", index_put, r(4, 3, 2), r(2, 2, 2), i([3, -1], [0, 0]), i(2, 0))
case("index_put apart", index_put_apart, r(2, 4, 3, 2), r(3, 1, 2), i(1, -2, 0), i(2, 0, 1))


def line(kind, x):
    flat = x.detach().reshape(-1)
    if x.dtype.is_floating_point:
        values = " ".join(str(e) for e in (flat if x.dtype == torch.float64 else flat.float()).numpy(force=True))
    else:
        values = " ".join(str(e) for e in flat.long().tolist())
    return f"{kind} {NAMES[x.dtype]} [{','.join(map(str, x.shape))}] {values}".rstrip()


def weight(n):
    """The cotangent of an output of `n` elements; main.rs has the same."""
    return (torch.arange(n, dtype=torch.float64) * 37 % 11 - 5) / 8


for name, (function, inputs, wrt) in CASES.items():
    inputs = [x.detach().clone() for x in inputs]
    print(f"case {name}")
    for x in inputs:
        print(line("in", x))
    wrt = [x.requires_grad_() for x in inputs[:wrt] if x.dtype.is_floating_point]
    try:
        out = function(*inputs)
        out = [out] if isinstance(out, torch.Tensor) else list(out)
        total = sum((y * weight(y.numel()).to(y.dtype).reshape(y.shape)).sum() for y in out if y.requires_grad)
        gradients = [None] * len(wrt)
        if isinstance(total, torch.Tensor):
            gradients = torch.autograd.grad(total, wrt, allow_unused=True, create_graph=True)
    except (RuntimeError, TypeError, IndexError) as e:
        sys.exit(f"case {name}: {e}")
    for y in out:
        print(line("out", y.detach()))
    for x, g in zip(wrt, gradients):
        print(line("grad", torch.zeros_like(x) if g is None else g.detach()))
    again = [(g * weight(g.numel()).to(g.dtype).reshape(g.shape)).sum() for g in gradients if g is not None and g.requires_grad]
    if again and name not in FIRST_ONLY:
        try:
            seconds = torch.autograd.grad(sum(again), wrt, allow_unused=True)
        except RuntimeError as e:
            print(f"case {name}, second derivative: {e}", file=sys.stderr)
            continue
        for x, g in zip(wrt, seconds):
            print(line("second", torch.zeros_like(x) if g is None else g))
print(f"{len(CASES)} cases", file=sys.stderr)
