"""Products against NumPy in float64, convolutions and their gradients against PyTorch, of all kinds of sizes and layouts."""
import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

import tiny_torch

# Rounding, relative to the largest number of a result.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def assert_close(got, wanted, dtype):
    for a, b in zip(got, wanted, strict=True):
        largest = max(np.abs(b).max(), 1e-30)
        assert np.abs(a - b).max() / largest <= TOLERANCE[dtype]


def convolutions(count):
    """Channels below, at and past the width of a panel; few and many places; every kind of step."""
    draw = random.Random(2)
    while count:
        c, o = draw.choice([1, 3, 8, 16, 24, 40, 64, 96, 130]), draw.choice([1, 5, 16, 17, 24, 40, 64, 72, 130])
        groups = draw.choice([1, 1, 2]) if c % 2 == 0 and o % 2 == 0 else 1
        image = draw.choice([7, 9, 14, 15, 20]), draw.choice([7, 8, 13, 16])
        k = draw.choice([1, 2, 3, 3, 5])
        how = {"stride": draw.choice([1, 1, 2]), "padding": draw.choice([0, 1, 2]), "dilation": draw.choice([1, 1, 2])}
        if min(image) + 2 * how["padding"] <= how["dilation"] * (k - 1):
            continue
        count -= 1
        yield draw.choice([1, 1, 2, 5]), c, o, k, image, {**how, "groups": groups}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("n, c, o, k, image, how", list(convolutions(40)))
def test_convolutions(n, c, o, k, image, how, dtype):
    rng = np.random.default_rng(n * c * o * k)
    arrays = rng.standard_normal((n, c, *image)), rng.standard_normal((o, c // how["groups"], k, k))

    def run(lib, dtype):
        x, w = (lib.tensor(a.astype(dtype), requires_grad=True) for a in arrays)
        y = lib.nn.functional.conv2d(x, w, **how)
        # In float32 a rounding may make another element the largest, and the gradients others.
        if dtype == "float64" and min(y.shape[2:]) > 1:
            y = lib.nn.functional.max_pool2d(lib.nn.functional.relu(y), 2)
        (y * y).sum().backward()
        return [t.detach().numpy().astype("float64") for t in (y, x.grad, w.grad)]

    assert_close(run(tiny_torch, dtype), run(torch, dtype), dtype)


WINOGRAD = [(2, 64, 64, (30, 30)), (3, 48, 136, (15, 20)), (16, 256, 256, (6, 6)), (1, 384, 64, (28, 28))]


def convolved(lib, dtype, n, c, o, image):
    """A convolution of images with channels last, as they lie within a network, and both gradients; in float64 for comparisons."""
    rng = np.random.default_rng(0)
    shapes = (n, *image, c), (o, c, 3, 3), (n, image[0] - 2, image[1] - 2, o)
    x, w, g = (lib.tensor(rng.standard_normal(s).astype(dtype), requires_grad=i < 2) for i, s in enumerate(shapes))
    y = lib.nn.functional.conv2d(x.permute(0, 3, 1, 2), w).permute(0, 2, 3, 1)
    (y * g).sum().backward()
    return [t.detach().numpy().astype("float64") for t in (y, x.grad, w.grad)]


def write_convolved(path):
    np.savez(path, *(t for case in WINOGRAD for t in convolved(torch, "float32", *case)))


@pytest.fixture(scope="module")
def by_pytorch(tmp_path_factory):
    """PyTorch's float32 results by its kernels for AVX2, in a process of their own. With AVX-512 it cuts the sums of filters'
    gradients into more parts, so what its errors are depends on the machine; ours do not."""
    path = tmp_path_factory.mktemp("convolved") / "results.npz"
    code = "import sys, test_products; test_products.write_convolved(sys.argv[1])"
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    subprocess.run([sys.executable, "-c", code, path], cwd=here, env=environment, check=True)
    results = list(np.load(path).values())
    return {case: results[3 * i : 3 * i + 3] for i, case in enumerate(WINOGRAD)}


@pytest.mark.parametrize("case", WINOGRAD, ids=str)
def test_errors_of_winograds_transformation(case, by_pytorch):
    """They are at most four times those of PyTorch's sums."""
    exact, ours = convolved(torch, "float64", *case), convolved(tiny_torch, "float32", *case)
    for a, b, e in zip(ours, by_pytorch[case], exact, strict=True):
        error, usual = (np.sqrt(np.mean((r - e) ** 2)) for r in (a, b))
        assert error <= 4 * usual


def matrices(count):
    draw = random.Random(1)
    sizes = [1, 2, 3, 5, 8, 13, 17, 31, 48, 63, 65, 100, 127, 130, 150, 257, 390, 500, 777]
    for _ in range(count):
        yield [draw.choice(sizes) for _ in range(3)], draw.choice("NTS") + draw.choice("NTS")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sizes, layouts", list(matrices(80)))
def test_matrices(sizes, layouts, dtype):
    """N: rows; T: columns; S: every second row of every third column."""
    m, n, k = sizes
    rng = np.random.default_rng(m * n * k)

    def operand(rows, columns, layout):
        if layout == "N":
            whole = rng.standard_normal((rows, columns)).astype(dtype)
            return whole, tiny_torch.tensor(whole)
        if layout == "T":
            whole = rng.standard_normal((columns, rows)).astype(dtype)
            return whole.T, tiny_torch.tensor(whole).t()
        whole = rng.standard_normal((2 * rows, 3 * columns)).astype(dtype)
        return whole[::2, ::3], tiny_torch.tensor(whole)[::2, ::3]

    (a, x), (b, y) = operand(m, k, layouts[0]), operand(k, n, layouts[1])
    wanted = a.astype("float64") @ b.astype("float64")
    assert_close([(x @ y).numpy()], [wanted], dtype)
