"""What Python adds to the native tensor class."""
import copy
import pickle

import numpy as np
import pytest
import tiny_torch as torch


def test_legacy_constructors():
    assert torch.Tensor().shape == (0,)
    assert torch.Tensor(2, 3).shape == (2, 3)
    assert torch.Tensor([1, 2]).dtype == torch.float32
    assert torch.Tensor(torch.Size([4])).shape == (4,)
    assert torch.LongTensor([1, 2]).dtype == torch.int64
    assert torch.FloatTensor(3).shape == (3,)
    assert torch.ByteTensor([1]).dtype == torch.uint8
    assert isinstance(torch.ones(2), torch.FloatTensor)
    assert not isinstance(torch.ones(2), torch.LongTensor)
    with pytest.raises(TypeError):
        torch.Tensor(1.5)


def test_iteration_and_containment():
    rows = list(torch.arange(6).reshape(3, 2))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    assert 3 in torch.arange(4) and 9 not in torch.arange(4)
    with pytest.raises(TypeError, match="iteration over a 0-d tensor"):
        iter(torch.tensor(1.0))
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        "a" in torch.arange(4)
    a, b = torch.tensor([1, 2])
    assert (int(a), int(b)) == (1, 2)


def test_hash_is_identity():
    a, b = torch.ones(2), torch.ones(2)
    assert len({a, b, a}) == 2


def test_attributes_and_subclasses():
    class Mine(torch.Tensor):
        def twice(self):
            return self + self

    value = torch.arange(3.0).as_subclass(Mine)
    value.note = "kept"
    assert value.twice().tolist() == [0, 2, 4] and value.note == "kept"
    assert isinstance(value, torch.Tensor) and torch.is_tensor(value)


def test_numpy_protocols():
    value = torch.arange(3.0)
    assert np.asarray(value).tolist() == [0, 1, 2]
    assert np.asarray(value, dtype=np.int64).dtype == np.int64
    assert np.sum(np.array([value.numpy(), value.numpy()])) == 6
    array = np.ones(3, np.float32)
    shared = torch.from_numpy(array)
    shared[0] = 5
    assert array[0] == 5
    array[1] = 7
    assert shared[1] == 7


def test_deepcopy_keeps_sharing_and_attributes():
    base = torch.arange(6.0)
    pair = [base, base[2:4]]
    twin = copy.deepcopy(pair)
    twin[0][2] = 100
    assert twin[1][0] == 100 and base[2] == 2
    leaf = torch.ones(2, requires_grad=True)
    leaf.tag = ["x"]
    (leaf * 3).sum().backward()
    twin = copy.deepcopy(leaf)
    assert twin.requires_grad and twin.grad.tolist() == [3, 3] and twin.tag == ["x"] and twin.tag is not leaf.tag
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(leaf * 2)


def test_copy_shares_memory():
    value = torch.zeros(2)
    copy.copy(value)[0] = 1
    assert value.tolist() == [1, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_pickle(dtype):
    value = torch.arange(6).reshape(2, 3).to(getattr(torch, dtype))
    again = pickle.loads(pickle.dumps(value))
    assert again.dtype == value.dtype and again.tolist() == value.tolist()
    assert pickle.loads(pickle.dumps(value.dtype)) == value.dtype
    assert pickle.loads(pickle.dumps(value.shape)) == value.shape


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        torch.ones(1).nonsense
    assert not hasattr(torch.ones(1), "nonsense")


def test_type_names():
    assert torch.ones(1).type() == "torch.FloatTensor"
    assert torch.typename(torch.ones(1, dtype=torch.int64)) == "torch.LongTensor"
    assert torch.typename({}) == "dict"


def test_elements_as_another_type():
    x = torch.ones(2, 4)
    assert x.view(torch.int32).tolist() == [[1065353216] * 4] * 2
    assert x.view(torch.int64).tolist() == [[4575657222473777152] * 2] * 2
    assert x.view(torch.int16).tolist() == [[0, 16256] * 4] * 2
    assert x.t()[:2].t().contiguous().view(torch.float64).shape == (2, 1)
    assert torch.ones(2).bool().view(torch.uint8).tolist() == [1, 1]


def test_numbers_at_the_ends_of_a_type():
    assert torch.full((1,), -255, dtype=torch.uint8).item() == 1
    assert torch.full((1,), 255.5, dtype=torch.uint8).item() == 255
    assert torch.full((1,), 127.9, dtype=torch.int8).item() == 127
    assert torch.full((1,), 65519.0, dtype=torch.float16).item() == 65504
    assert torch.full((1,), float("inf"), dtype=torch.float16).item() == float("inf")
    assert torch.full((1,), (1 << 63) - 1).item() == (1 << 63) - 1
    assert torch.full((1,), 5, dtype=torch.bool).item() is True


def test_the_median_of_nothing():
    assert torch.ones(0).median().isnan().item() and torch.ones(0).nanmedian().isnan().item()
    assert torch.ones(0, dtype=torch.int64).median().item() == -(1 << 63)


def test_copies_of_a_number():
    x = torch.ones(2, 2)
    assert x.copy_(3).tolist() == [[3, 3]] * 2 and x[0].copy_(True).tolist() == [1, 1] and x.tolist() == [[1, 1], [3, 3]]
    assert torch.zeros(2, dtype=torch.int64).copy_(2.7).tolist() == [2, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.int32])
@pytest.mark.parametrize("m, k, n", [(3, 4, 5), (1, 1, 1), (2, 0, 3), (0, 2, 3)])
def test_products_of_two_matrices_are_what_numpy_has(dtype, m, k, n):
    x, y = (torch.arange(a * b).reshape(a, b).to(dtype) for a, b in ((m, k), (k, n)))
    product = x @ y
    assert product.dtype == dtype
    want = np.arange(m * k).reshape(m, k) @ np.arange(k * n).reshape(k, n)
    assert np.array_equal(product.double().numpy(), want.astype(np.float64))


def test_products_by_operator_fail_as_those_by_name():
    matrix = torch.ones(2, 3)
    for other in (torch.ones(2, 3), torch.ones(3, 2).long(), torch.tensor(1.0)):
        with pytest.raises(RuntimeError) as by_operator:
            matrix @ other
        with pytest.raises(RuntimeError) as by_name:
            torch.matmul(matrix, other)
        assert str(by_operator.value) == str(by_name.value)
    with pytest.raises(RuntimeError, match="Bool"):
        torch.ones(2, 2).bool() @ torch.ones(2, 2).bool()


def test_products_by_operator_save_their_operands():
    x, y = torch.ones(2, 2, requires_grad=True), torch.ones(2, 2)
    product = x @ y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_products_by_operator_follow_autocast():
    x = torch.ones(2, 2, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        product = x @ torch.ones(2, 2)
    assert product.dtype == torch.bfloat16
    product.sum().backward()
    assert x.grad.dtype == torch.float32 and x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_frombuffer_shares_memory_where_it_can():
    memory = bytearray(range(16))
    bytes_ = torch.frombuffer(memory, dtype=torch.uint8)
    bytes_[0] = 99
    memory[1] = 77
    assert (memory[0], bytes_[1].item()) == (99, 77)
    for dtype in (torch.int16, torch.float32, torch.int64):
        for offset in (0, 1, 8):
            count = (16 - offset) // dtype.itemsize
            found = torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
            wanted = np.frombuffer(memory, str(dtype).rpartition(".")[2], count, offset)
            np.testing.assert_array_equal(found.numpy(), wanted)
    assert torch.frombuffer(bytes(memory), dtype=torch.int32, count=2).shape == (2,)
    halves = torch.frombuffer(memory, dtype=torch.bfloat16)
    halves[3] = 1.0
    assert bytes(memory[6:8]) == b"\x80\x3f"
    memory[8:10] = b"\x00\x40"
    assert halves[4].item() == 2.0
    assert torch.frombuffer(np.ones((2, 3)), dtype=torch.float64, requires_grad=True).is_leaf


@pytest.mark.parametrize(
    ("buffer", "options", "message"),
    [
        (bytearray(16), {"offset": 3}, r"buffer length \(13 bytes\) after offset \(3 bytes\) must be a multiple of element size \(4\)"),
        (bytearray(16), {"offset": 16}, r"offset \(16 bytes\) must be non-negative and no greater than buffer length \(16 bytes\) minus 1"),
        (bytearray(16), {"offset": -1}, r"offset \(-1 bytes\) must be non-negative"),
        (bytearray(16), {"count": 5}, r"requested buffer length \(5 \* 4 bytes\) after offset \(0 bytes\) must not be greater than"),
        (bytearray(16), {"count": 0}, r"both buffer length \(16\) and count \(0\) must not be 0"),
        (bytearray(), {}, r"both buffer length \(0\) and count \(-1\) must not be 0"),
        (7, {}, "object does not implement Python buffer protocol."),
    ],
)
def test_frombuffer_of_too_little(buffer, options, message):
    with pytest.raises(ValueError, match=message):
        torch.frombuffer(buffer, dtype=torch.int32, **options)


@pytest.mark.parametrize("options", [{"dtype": "int32"}, {"dtype": torch.int32, "offset": 1.0}, {"dtype": torch.int32, "count": True}])
def test_frombuffer_of_other_types(options):
    with pytest.raises(TypeError, match=r"frombuffer\(\): argument '\w+' must be"):
        torch.frombuffer(bytearray(16), **options)


def test_operators_are_pickled_by_name():
    functional = torch.nn.functional
    for function in (functional.relu, functional.gelu, torch.relu, torch.add, torch.linalg.det, torch.special.erfc):
        assert pickle.loads(pickle.dumps(function)) is function and copy.deepcopy(function) is function
        assert function.__module__.startswith("tiny_torch")
    # What else is built in goes its own way.
    for function in (len, [1, 2].index):
        assert pickle.loads(pickle.dumps(function)).__name__ == function.__name__
