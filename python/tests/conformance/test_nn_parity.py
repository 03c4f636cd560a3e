"""Modules against PyTorch's: descriptions, state dictionaries, seeded initial values, names."""

import inspect

import numpy as np
import pytest
import torch

import tiny_torch

# (class, arguments, keyword arguments)
MODULES = [
    ("Linear", (5, 3), {}),
    ("Linear", (5, 3), {"bias": False}),
    ("Bilinear", (3, 4, 2), {}),
    ("Conv1d", (4, 6, 3), {"padding": 1, "groups": 2}),
    ("Conv2d", (3, 8, 3), {}),
    ("Conv2d", (3, 8, (3, 5)), {"stride": (2, 1), "padding": "valid", "dilation": 2, "bias": False}),
    ("Conv2d", (4, 8, 3), {"padding": "same", "padding_mode": "circular"}),
    ("Conv3d", (2, 4, 3), {"padding": (1, 2, 3)}),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}),
    ("ConvTranspose2d", (4, 6, 3), {"groups": 2}),
    ("ConvTranspose3d", (2, 2, 2), {}),
    ("BatchNorm1d", (7,), {}),
    ("BatchNorm2d", (7,), {"affine": False, "momentum": None}),
    ("BatchNorm2d", (7,), {"bias": False}),
    ("BatchNorm3d", (7,), {"track_running_stats": False}),
    ("SyncBatchNorm", (7,), {}),
    ("InstanceNorm1d", (3,), {}),
    ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}),
    ("LayerNorm", (7,), {}),
    ("LayerNorm", ((3, 4),), {"elementwise_affine": False}),
    ("LayerNorm", (5,), {"bias": False}),
    ("GroupNorm", (2, 4), {}),
    ("GroupNorm", (2, 4), {"affine": False}),
    ("RMSNorm", (4,), {"eps": 1e-6}),
    ("LocalResponseNorm", (2,), {}),
    ("CrossMapLRN2d", (2,), {}),
    ("Embedding", (10, 4), {}),
    ("Embedding", (10, 4), {"padding_idx": -1, "max_norm": 2.0}),
    ("EmbeddingBag", (10, 4), {"mode": "sum", "padding_idx": 2}),
    ("Dropout", (0.3,), {"inplace": True}),
    ("Dropout2d", (), {}),
    ("AlphaDropout", (), {}),
    ("MultiheadAttention", (8, 2), {}),
    ("MultiheadAttention", (8, 2), {"kdim": 4, "vdim": 6, "add_bias_kv": True, "bias": False}),
    ("RNN", (3, 4), {"num_layers": 2, "nonlinearity": "relu"}),
    ("LSTM", (3, 4), {"num_layers": 2, "bidirectional": True, "proj_size": 2}),
    ("LSTM", (3, 4), {"bias": False, "batch_first": True}),
    ("GRU", (3, 4, 2), {"dropout": 0.5}),
    ("RNNCell", (3, 4), {"nonlinearity": "relu"}),
    ("LSTMCell", (3, 4), {"bias": False}),
    ("GRUCell", (3, 4), {}),
    ("TransformerEncoderLayer", (8, 2, 16), {"norm_first": True}),
    ("TransformerDecoderLayer", (8, 2, 16), {"bias": False}),
    ("Transformer", (8, 2, 2, 1, 16), {}),
    ("AdaptiveLogSoftmaxWithLoss", (8, 20, [5, 10]), {}),
    ("PReLU", (3,), {"init": 0.1}),
    ("Threshold", (0.1, 2.0), {"inplace": True}),
    ("Hardtanh", (-2, 2), {}),
    ("ReLU6", (), {"inplace": True}),
    ("RReLU", (), {}),
    ("Softmax", (1,), {}),
    ("GLU", (), {}),
    ("GELU", ("tanh",), {}),
    ("Softplus", (2.0,), {}),
    ("MaxPool2d", (2,), {"stride": 1, "ceil_mode": True}),
    ("AvgPool2d", ((2, 3),), {}),
    ("AvgPool1d", (2,), {}),
    ("AdaptiveAvgPool2d", ((None, 3),), {}),
    ("MaxUnpool2d", (2,), {}),
    ("LPPool2d", (2, 3), {}),
    ("FractionalMaxPool2d", (2,), {"output_ratio": 0.5}),
    ("Flatten", (), {}),
    ("Unflatten", (1, (2, 2)), {}),
    ("Fold", ((4, 5), 2), {}),
    ("Unfold", (2,), {"padding": 1}),
    ("PixelShuffle", (2,), {}),
    ("ChannelShuffle", (2,), {}),
    ("Upsample", (), {"scale_factor": (2, 3)}),
    ("UpsamplingBilinear2d", (), {"size": 4}),
    ("ReflectionPad2d", (1,), {}),
    ("ZeroPad1d", ((1, 2),), {}),
    ("ConstantPad3d", (1, 3.5), {}),
    ("CircularPad2d", ((1, 2, 3, 4),), {}),
    ("CosineSimilarity", (), {}),
    ("PairwiseDistance", (), {}),
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}),
    ("TripletMarginLoss", (), {}),
    ("CTCLoss", (), {}),
]


def check_same_state(ours, theirs):
    mine, ref = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(ref)
    for key, value in ref.items():
        assert tuple(mine[key].shape) == tuple(value.shape), key
        np.testing.assert_allclose(mine[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
    assert {k: dict(v) for k, v in mine._metadata.items()} == {k: dict(v) for k, v in ref._metadata.items()}


@pytest.mark.parametrize("name,args,kwargs", MODULES, ids=lambda v: v if isinstance(v, str) else None)
def test_same_description_and_seeded_state(name, args, kwargs):
    torch.manual_seed(3)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    tiny_torch.manual_seed(3)
    ours = getattr(tiny_torch.nn, name)(*args, **kwargs)
    assert repr(ours) == repr(theirs)
    check_same_state(ours, theirs)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert [n for n, _ in ours.named_buffers()] == [n for n, _ in theirs.named_buffers()]


def build(pkg):
    nn = pkg.nn
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 4))
    net = nn.ModuleDict(
        {
            "stem": nn.Conv2d(1, 2, 3),
            "blocks": nn.ModuleList([block, block, nn.Identity(), nn.Linear(4, 4), nn.Linear(4, 4)]),
            "scales": nn.ParameterList([pkg.ones(2), pkg.zeros(3, 2), "text"]),
            "table": nn.ParameterDict({"b": pkg.ones(1), "a": pkg.zeros(2, 2)}),
        }
    )
    return net


def test_same_tree():
    torch.manual_seed(0)
    theirs = build(torch)
    tiny_torch.manual_seed(0)
    ours = build(tiny_torch)
    assert repr(ours) == repr(theirs)
    check_same_state(ours, theirs)
    for walk in ("named_parameters", "named_modules", "named_children", "named_buffers"):
        assert [n for n, _ in getattr(ours, walk)()] == [n for n, _ in getattr(theirs, walk)()]
    flat = [n for n, _ in theirs.named_parameters(prefix="p", remove_duplicate=False)]
    assert [n for n, _ in ours.named_parameters(prefix="p", remove_duplicate=False)] == flat


INITS = [
    ("uniform_", (-1.0, 2.0), {}),
    ("normal_", (1.0, 2.0), {}),
    ("trunc_normal_", (0.1, 0.5), {"a": -0.4, "b": 0.6}),
    ("constant_", (3.0,), {}),
    ("ones_", (), {}),
    ("zeros_", (), {}),
    ("xavier_uniform_", (), {"gain": 2.0}),
    ("xavier_normal_", (), {}),
    ("kaiming_uniform_", (), {"a": 0.5, "mode": "fan_out"}),
    ("kaiming_normal_", (), {"nonlinearity": "relu"}),
    ("orthogonal_", (), {"gain": 1.5}),
    ("sparse_", (0.4,), {}),
    ("eye_", (), {}),
]


@pytest.mark.parametrize("shape", [(6, 9), (20, 4)])
@pytest.mark.parametrize("name,args,kwargs", INITS, ids=[i[0] for i in INITS])
def test_same_initial_values(name, args, kwargs, shape):
    theirs, ours = torch.empty(shape), tiny_torch.empty(shape)
    torch.manual_seed(11)
    getattr(torch.nn.init, name)(theirs, *args, **kwargs)
    tiny_torch.manual_seed(11)
    assert getattr(tiny_torch.nn.init, name)(ours, *args, **kwargs) is ours
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("shape,groups", [((4, 2, 3), 2), ((4, 4, 3, 5), 1), ((2, 2, 3, 3, 3), 1)])
def test_same_dirac(shape, groups):
    theirs = torch.nn.init.dirac_(torch.empty(shape), groups)
    ours = tiny_torch.nn.init.dirac_(tiny_torch.empty(shape), groups)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_every_module_is_there():
    # Quantised modules and those of sparse tensors are not.
    missing = {name for name in torch.nn.modules.__all__ if not hasattr(tiny_torch.nn, name)}
    assert missing == set()


def test_every_function_is_there():
    lacking = {"grouped_mm", "scaled_mm", "scaled_grouped_mm", "scaled_addmm", "scaled_addmm_", "conv_tbc",
               "native_channel_shuffle", "adaptive_max_pool1d_with_indices", "hardtanh_"}  # fmt: skip
    functions = {
        name
        for name, value in vars(torch.nn.functional).items()
        if not name.startswith("_") and callable(value) and not inspect.isclass(value) and name.islower()
        and getattr(value, "__module__", "") in ("torch.nn.functional", "torch", "torch._C._nn", None)
    }  # fmt: skip
    helpers = {"assert_int_or_pair", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
               "has_torch_function_variadic", "boolean_dispatch"}  # fmt: skip
    missing = {name for name in functions - helpers if not hasattr(tiny_torch.nn.functional, name)}
    assert missing <= lacking


@pytest.mark.parametrize(
    "make",
    [
        lambda p: p.nn.Linear(2, 3)(p.ones(4, 5)),
        lambda p: p.nn.Conv2d(3, 4, 3, groups=2),
        lambda p: p.nn.Conv2d(2, 4, 3, padding="full"),
        lambda p: p.nn.Conv2d(2, 4, 3, padding="same", stride=2),
        lambda p: p.nn.BatchNorm2d(2)(p.ones(2, 2)),
        lambda p: p.nn.BatchNorm1d(2)(p.ones(1, 2)),
        lambda p: p.nn.GroupNorm(2, 3),
        lambda p: p.nn.Embedding(3, 4, padding_idx=3),
        lambda p: p.nn.Dropout(1.5),
        lambda p: p.nn.MultiheadAttention(5, 2),
        lambda p: p.nn.LSTM(2, 3)(p.ones(2, 2, 5)),
        lambda p: p.nn.LSTM(2, 3)(p.ones(2, 2, 2), (p.ones(1, 1, 3), p.ones(1, 2, 3))),
        lambda p: p.nn.GRU(2, 3)(p.ones(4)),
        lambda p: p.nn.Module()(1),
        lambda p: p.nn.Module().register_parameter("a.b", None),
        lambda p: p.nn.Module().register_buffer("training", None),
        lambda p: p.nn.Module().missing,
        lambda p: p.nn.Module(3),
        lambda p: p.nn.Module(a=3),
        lambda p: p.nn.Linear(2, 2).register_parameter("weight", 3),
        lambda p: setattr(p.nn.Linear(2, 2), "weight", 3),
        lambda p: p.nn.Sequential(p.nn.ReLU())[1],
        lambda p: p.nn.Sequential(3),
        lambda p: p.nn.ModuleList([p.nn.ReLU()])[3],
        lambda p: p.nn.ModuleList(3),
        lambda p: p.nn.ModuleDict({"a": 3}),
        lambda p: p.nn.Linear(2, 2).get_submodule("a.b"),
        lambda p: p.nn.Linear(2, 2).get_parameter("nothing"),
        lambda p: p.nn.Linear(2, 2).load_state_dict({}),
        lambda p: p.nn.Linear(2, 2).load_state_dict({"weight": p.ones(3, 2), "bias": p.ones(2), "more": p.ones(1)}),
        lambda p: p.nn.Linear(2, 2).load_state_dict({"weight": 3, "bias": p.ones(2)}),
        lambda p: p.nn.Linear(2, 2).load_state_dict(3),
        lambda p: p.nn.Linear(2, 2).to(p.int32),
        lambda p: p.nn.Linear(2, 2).train(3),
        lambda p: p.nn.Upsample(size=3, scale_factor=2.0)(p.ones(1, 1, 2)),
        lambda p: p.nn.Hardtanh(2, 1),
        lambda p: p.nn.MultiMarginLoss(p=3),
        lambda p: p.nn.init.xavier_uniform_(p.ones(3)),
        lambda p: p.nn.init.calculate_gain("what"),
        lambda p: p.nn.init.kaiming_normal_(p.ones(3, 3), mode="fan"),
        lambda p: p.nn.init.eye_(p.ones(3)),
        lambda p: p.nn.functional.dropout(p.ones(2), p=2),
        lambda p: p.nn.functional.interpolate(p.ones(1, 1, 2), size=(2, 3)),
        lambda p: p.nn.functional.interpolate(p.ones(1, 1, 2), scale_factor=2, mode="nearest", align_corners=True),
        lambda p: p.nn.functional.mse_loss(p.ones(2), p.ones(2), reduction="what"),
        lambda p: p.nn.utils.vector_to_parameters(3, []),
        lambda p: p.nn.utils.rnn.pack_padded_sequence(p.ones(3, 2, 1), [1, 3]),
    ],
)
def test_same_error(make):
    with pytest.raises(Exception) as theirs:
        make(torch)
    with pytest.raises(Exception) as ours:
        make(tiny_torch)
    assert ours.type is theirs.type
    assert str(ours.value).replace("tiny_torch", "torch") == str(theirs.value)
