"""Random numbers of a GPU: PyTorch's. The oracle is Philox written anew in NumPy, and numbers that PyTorch printed."""

import copy
import math
import pickle

import numpy as np
import pytest
import tiny_torch as torch


def philox(seed, low, high):
    """The four words of Philox4x32-10 for counters of two 64-bit halves: uint64 `[n, 4]` below 2^32."""
    mask = np.uint64(0xFFFFFFFF)
    low, high = np.broadcast_arrays(np.asarray(low, np.uint64), np.asarray(high, np.uint64))
    c = [low & mask, low >> np.uint64(32), high & mask, high >> np.uint64(32)]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(q >> np.uint64(32)) ^ c[1] ^ np.uint64(k[0]), q & mask, (p >> np.uint64(32)) ^ c[3] ^ np.uint64(k[1]), p & mask]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(c, -1)


def threads(n):
    p = torch.cuda.get_device_properties()
    most = p.multi_processor_count * (p.max_threads_per_multi_processor // 256)
    return 256 * min(most, -(-n // 256))


def blocks(n, seed, offset, each):
    """For each of `n` elements, `each` of them a thread and round, its thread's words and which of the elements it is."""
    t, i = threads(n), np.arange(n, dtype=np.uint64)
    rounds, which = i // np.uint64(t * each), i // np.uint64(t) % np.uint64(each)
    return philox(seed, np.uint64(offset // 4) + rounds, i % np.uint64(t)), which.astype(np.int64)


def words(n, seed, offset):
    block, which = blocks(n, seed, offset, 4)
    return block[np.arange(n), which]


def unit(w):
    """cuRAND's numbers in (0, 1]."""
    return w.astype(np.float32) * np.float32(2**-32) + np.float32(2**-33)


def uniform(n, seed, offset):
    u = unit(words(n, seed, offset))
    return np.where(u == 1, np.float32(0), u)


def normal(n, seed, offset):
    block, which = blocks(n, seed, offset, 4)
    first = which & 2
    x, y = block[np.arange(n), first], block[np.arange(n), first + 1]
    radius = np.sqrt(-2 * np.log(unit(x).astype(np.float64)))
    angle = (y.astype(np.float64) + 0.5) * (2 * math.pi * 2**-32)
    return radius * np.where(which % 2, np.cos(angle), np.sin(angle))


def pairs(n, seed, offset):
    block, which = blocks(n, seed, offset, 2)
    return block[np.arange(n), 2 * which], block[np.arange(n), 2 * which + 1]


def moved(n, each=4):
    """By how much a draw moves the generator on."""
    return 4 * -(-n // (threads(n) * each))


#: More than the threads that run at once take in one round of single elements, and in one of four.
SIZES = [1, 3, 255, 256, 1000, 300_001]


def test_numbers_that_pytorch_printed():
    torch.manual_seed(0)
    assert torch.rand(3, device="cuda").tolist() == pytest.approx([0.3990, 0.5167, 0.0249], abs=5e-5)
    torch.manual_seed(0)
    assert torch.randn(3, device="cuda").tolist() == pytest.approx([-0.9247, -0.4253, -2.6438], abs=5e-5)


@pytest.mark.parametrize("n", SIZES)
def test_uniform_numbers(n):
    torch.cuda.manual_seed(7)
    first, second = torch.rand(n, device="cuda"), torch.empty(n, device="cuda").uniform_(-2, 3)
    assert np.array_equal(first.cpu().numpy(), uniform(n, 7, 0))
    u = unit(words(n, 7, moved(n)))
    want = (u.astype(np.float64) * 5 - 2).astype(np.float32)
    assert np.array_equal(second.cpu().numpy(), np.where(want == 3, np.float32(-2), want))
    assert torch.cuda.get_rng_state().numpy().view(np.uint64).tolist() == [7, 2 * moved(n)]


def test_uniform_numbers_of_other_types():
    n, seed = 5000, 2**40 + 3
    torch.cuda.manual_seed(seed)
    halves, doubles = torch.rand(n, dtype=torch.float16, device="cuda"), torch.rand(n, dtype=torch.float64, device="cuda")
    want = unit(words(n, seed, 0)).astype(np.float16)
    assert np.array_equal(halves.cpu().numpy(), np.where(want == 1, np.float16(0), want))
    x, y = pairs(n, seed, moved(n))
    want = (x ^ (y << np.uint64(21))).astype(np.float64) * 2.0**-53 + 2.0**-54
    assert np.array_equal(doubles.cpu().numpy(), want)
    assert torch.rand(0, device="cuda").tolist() == []
    assert torch.cuda.default_generators[0].get_offset() == moved(n) + moved(n, 2)


@pytest.mark.parametrize("n", SIZES)
def test_normal_numbers(n):
    torch.cuda.manual_seed(11)
    x, y = torch.randn(n, device="cuda"), torch.empty(n, device="cuda").normal_(3, 0.5)
    np.testing.assert_allclose(x.cpu().numpy(), normal(n, 11, 0), rtol=2e-5, atol=4e-6)
    np.testing.assert_allclose(y.cpu().numpy(), 3 + 0.5 * normal(n, 11, moved(n)), rtol=2e-5, atol=4e-6)


@pytest.mark.parametrize("low, high", [(0, 10), (-5, 1000), (0, 2**28 - 1), (0, 2**28), (-(2**62), 2**62)])
def test_integers(low, high):
    n = 1500
    torch.cuda.manual_seed(3)
    got = torch.randint(low, high, (n,), device="cuda").cpu().numpy()
    if high - low < 2**28:
        want = words(n, 3, 0) % np.uint64(high - low)
    else:
        x, y = pairs(n, 3, 0)
        want = (x << np.uint64(32) | y) % np.uint64(high - low)
    assert np.array_equal(got, want.astype(np.int64) + low)


@pytest.mark.parametrize(
    "dtype, range",
    [
        (torch.uint8, 2**8), (torch.int8, 2**7), (torch.int16, 2**15), (torch.int32, 2**31), (torch.bool, 2),
        (torch.float16, 2**11 + 1), (torch.bfloat16, 2**8 + 1), (torch.float32, 2**24 + 1),
    ],
)  # fmt: skip
def test_integers_without_bounds(dtype, range):
    torch.cuda.manual_seed(6)
    got = torch.empty(700, dtype=dtype, device="cuda").random_()
    assert got.cpu().double().tolist() == (words(700, 6, 0) % np.uint64(range)).astype(np.float64).tolist()


@pytest.mark.parametrize("dtype, range", [(torch.int64, 2**63), (torch.float64, 2**53 + 1)])
def test_long_integers_without_bounds(dtype, range):
    torch.cuda.manual_seed(6)
    x, y = pairs(700, 6, 0)
    want = (x << np.uint64(32) | y) % np.uint64(range)
    assert torch.empty(700, dtype=dtype, device="cuda").random_().cpu().numpy().astype(np.uint64).tolist() == want.tolist()


def test_bernoulli():
    n = 2000
    torch.cuda.manual_seed(5)
    p = torch.linspace(0, 1, n)
    one, each = torch.empty(n, device="cuda").bernoulli_(0.3), torch.bernoulli(p.cuda())
    assert np.array_equal(one.cpu().numpy(), unit(words(n, 5, 0)) < np.float32(0.3))
    i = np.arange(n)
    block = philox(5, np.uint64(moved(n) // 4), (i // 4).astype(np.uint64))
    assert np.array_equal(each.cpu().numpy(), unit(block[i, i % 4]) <= p.numpy())
    assert torch.cuda.default_generators[0].get_offset() == moved(n) + 12


@pytest.mark.parametrize("n", [4000, 4002, 4001, 1_200_000, 600_002])
def test_dropout(n):
    torch.cuda.manual_seed(9)
    got = torch.nn.functional.dropout(torch.ones(n, device="cuda"), 0.25).cpu().numpy()
    t, i = np.uint64(threads(n)), np.arange(n, dtype=np.uint64)
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    if n % 4 == 0:
        thread, rounds, which = i // four % t, i // four // t, i % four
    elif n % 2 == 0:
        turn = i // two // t
        thread, rounds, which = i // two % t, turn // two, turn % two * two + i % two
    else:
        thread, rounds, which = i % t, i // t // four, i // t % four
    u = unit(philox(9, rounds, thread)[np.arange(n), which.astype(np.int64)])
    assert np.array_equal(got, np.where(u < np.float32(0.75), np.float32(1) / np.float32(0.75), np.float32(0)))
    assert torch.cuda.default_generators[0].get_offset() == moved(n)


def test_the_derivative_of_dropout_has_its_mask():
    torch.cuda.manual_seed(9)
    x = torch.ones(64, device="cuda", requires_grad=True)
    y = torch.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_other_devices_draw_from_generators_of_their_own():
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    torch.manual_seed(21)
    first, second = torch.rand(5, device="cuda:0"), torch.rand(5, device="cuda:1")
    assert first.tolist() == second.tolist()
    torch.cuda.manual_seed_all(22)
    states = torch.cuda.get_rng_state_all()
    assert [s.numpy().view(np.uint64).tolist() for s in states] == [[22, 0]] * torch.cuda.device_count()
    torch.rand(5, device="cuda:1")
    assert torch.cuda.get_rng_state("cuda:1").numpy().view(np.uint64).tolist() == [22, 4]
    torch.cuda.set_rng_state_all(states)
    assert torch.rand(5, device="cuda:1").tolist() == torch.rand(5, device="cuda:0").tolist()


def test_states_go_back():
    torch.cuda.manual_seed(33)
    torch.rand(10, device="cuda")
    state = torch.cuda.get_rng_state()
    assert state.dtype == torch.uint8 and state.tolist() == [33, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]
    first = torch.randn(10, device="cuda").tolist()
    torch.cuda.set_rng_state(state)
    assert torch.randn(10, device="cuda").tolist() == first
    torch.cuda.set_rng_state(state)
    with torch.random.fork_rng(devices=[0]):
        torch.rand(100, device="cuda")
    assert torch.randn(10, device="cuda").tolist() == first
    assert torch.cuda.initial_seed() == 33
    torch.cuda.seed()
    assert torch.cuda.default_generators[0].get_offset() == 0
    for wrong, error in [(torch.zeros(5, dtype=torch.uint8), RuntimeError), (torch.zeros(16), TypeError), (3, TypeError)]:
        with pytest.raises(error):
            torch.cuda.set_rng_state(wrong)


def test_generators():
    g = torch.Generator(device="cuda")
    assert g.device == torch.device("cuda", 0) and g.initial_seed() == torch.Generator().initial_seed()
    torch.cuda.manual_seed(40)
    g.manual_seed(40)
    default = torch.rand(8, device="cuda").tolist()
    assert torch.rand(8, device="cuda", generator=g).tolist() == default
    assert g.get_offset() == 4 and torch.cuda.default_generators[0].get_offset() == 4
    twin = g.clone_state()
    assert pickle.loads(pickle.dumps(g)).get_state().tolist() == twin.get_state().tolist() == g.get_state().tolist()
    g.set_offset(0)
    assert torch.rand(8, device="cuda", generator=g).tolist() == default
    with pytest.raises(RuntimeError, match="multiple of 4"):
        g.set_offset(3)
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'cuda'"):
        torch.rand(3, generator=g)
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.rand(3, device="cuda", generator=torch.Generator())
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found 'cpu'"):
        torch.empty(3, device="cuda").normal_(generator=torch.Generator())
    assert copy.deepcopy(torch.get_rng_state()).shape == (5056,)


def test_exponential_and_geometric_numbers():
    n = 3000
    torch.cuda.manual_seed(13)
    exponential = torch.empty(n, device="cuda").exponential_(2.0)
    doubles = torch.empty(n, dtype=torch.float64, device="cuda").exponential_()
    geometric = torch.empty(n, device="cuda").geometric_(0.25)
    u = unit(words(n, 13, 0)).astype(np.float64)
    np.testing.assert_allclose(exponential.cpu().numpy(), -np.log(u) / 2, rtol=1e-5, atol=1e-7)
    x, y = pairs(n, 13, moved(n))
    u = (x ^ (y << np.uint64(21))).astype(np.float64) * 2.0**-53 + 2.0**-54
    np.testing.assert_allclose(doubles.cpu().numpy(), -np.log(u), rtol=1e-12)
    trials = np.log(unit(words(n, 13, moved(n) + moved(n, 2))).astype(np.float64)) / math.log(0.75)
    # A quotient that is a whole number but for rounding may go either way.
    assert np.all(np.abs(geometric.cpu().numpy() - np.ceil(trials))[np.abs(trials - np.rint(trials)) > 1e-4] == 0)


def test_one_sample_of_each_row():
    torch.cuda.manual_seed(17)
    p = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25], [1.0, 2.0, 3.0]])
    got = torch.multinomial(p.cuda(), 1).cpu().numpy()
    q = -np.log(unit(words(9, 17, 0)).astype(np.float64)).reshape(3, 3)
    assert got.tolist() == (p.numpy() / q).argmax(1)[:, None].tolist()


def test_the_other_distributions_have_their_means():
    torch.cuda.manual_seed(1)
    n = 20_000
    empty = torch.empty(n, device="cuda")
    draws = {
        "exponential": (empty.clone().exponential_(2.0), 0.5),
        "geometric": (empty.clone().geometric_(0.25), 4.0),
        "log_normal": (empty.clone().log_normal_(0.0, 0.5), math.exp(0.125)),
        "multinomial": (torch.multinomial(torch.tensor([1.0, 3.0], device="cuda"), n, True).float(), 0.75),
        "doubles": (torch.randn(n, dtype=torch.float64, device="cuda") + 1, 1.0),
    }
    for name, (x, mean) in draws.items():
        assert x.double().mean().item() == pytest.approx(mean, rel=0.05), name
    assert sorted(torch.randperm(100, device="cuda").tolist()) == list(range(100))
