"""Functions of `torch` that PyTorch, too, writes in Python: most take tensors one by one or as a sequence."""
from . import _C
from ._tensor import Tensor

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "cdist",
    "chain_matmul",
    "einsum",
    "histogramdd",
    "lu",
    "meshgrid",
    "norm",
    "pca_lowrank",
    "split",
    "svd_lowrank",
    "tensordot",
    "unravel_index",
]


def __getattr__(name):
    native = getattr(_C, name, None)
    if native is None:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return native


def _several(tensors):
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors


def broadcast_shapes(*shapes):
    """The shape that tensors of the given shapes broadcast to."""
    shapes = [(shape,) if isinstance(shape, int) else tuple(shape) for shape in shapes]
    result = [1] * max((len(shape) for shape in shapes), default=0)
    for shape in shapes:
        for axis in range(-1, -len(shape) - 1, -1):
            if shape[axis] < 0:
                raise RuntimeError(
                    f"Trying to create tensor with negative dimension ({shape[axis]}): ({shape[axis]})"
                )
            if shape[axis] not in (1, result[axis]):
                if result[axis] != 1:
                    raise RuntimeError(
                        "Shape mismatch: objects cannot be broadcast to a single shape"
                    )
                result[axis] = shape[axis]
    return _C.Size(result)


def broadcast_tensors(*tensors):
    """The tensors expanded to their common shape."""
    return _C.broadcast_tensors(_several(tensors))


def split(tensor, split_size_or_sections, dim=0):
    """Views of consecutive parts of one size, or of the listed sizes."""
    return tensor.split(split_size_or_sections, dim)


def meshgrid(*tensors, indexing=None):
    """Grids of coordinates: the k-th result holds the k-th tensor's values along its own axis."""
    tensors = _several(tensors)
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for tensor in tensors:
        if tensor.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {tensor}")
    return _C.meshgrid(tensors, indexing=indexing)


def cartesian_prod(*tensors):
    """All tuples of one element of each 1-D tensor, as rows."""
    return _C.cartesian_prod(_several(tensors))


def block_diag(*tensors):
    """The tensors, as matrices, along the diagonal of a matrix of zeros."""
    for place, tensor in enumerate(tensors):
        if tensor.dim() > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {place} has {tensor.dim()} dimensions"
            )
    return _C.block_diag(tensors)


def atleast_1d(*tensors):
    """0-d tensors made 1-d."""
    if len(tensors) == 1:
        return _C.atleast_1d(tensors[0])
    return _C.atleast_1d(tensors)


def atleast_2d(*tensors):
    """Tensors with leading dimensions added until there are two."""
    if len(tensors) == 1:
        return _C.atleast_2d(tensors[0])
    return _C.atleast_2d(tensors)


def atleast_3d(*tensors):
    """Tensors with dimensions added until there are three; the last of them is new."""
    if len(tensors) == 1:
        return _C.atleast_3d(tensors[0])
    return _C.atleast_3d(tensors)


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The vector norm of order `p` over `dim`, or of all elements; "nuc" is the sum of singular values."""
    result = _C.norm(input, p, dim, keepdim, dtype=dtype)
    return result if out is None else out.copy_(result)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distance of each row of `x1` (..., P, M) to each row of `x2` (..., R, M)."""
    return _C.cdist(x1, x2, p, compute_mode)


def chain_matmul(*matrices, out=None):
    """The product of matrices."""
    result = _C.chain_matmul(_several(matrices))
    return result if out is None else out.copy_(result)


def tensordot(a, b, dims=2, out=None):
    """Sums products over the last `dims` axes of `a` and the first of `b`, or over the listed pairs of axes."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, (tuple, list)) and len(dims) == 1 and isinstance(dims[0], int):
        dims = dims[0]
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}, ndim_a={a.dim()}, ndim_b={b.dim()}"
            )
        first, second = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        first, second = ([axes] if isinstance(axes, int) else list(axes) for axes in dims)
    product = _C.tensordot(a, b, first, second)
    return product if out is None else out.copy_(product)


def unravel_index(indices, shape):
    """The coordinates of flat indices in an array of the given shape."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    coordinates = []
    for size in reversed(shape):
        coordinates.append(indices % size)
        indices = _C.div(indices, size, rounding_mode="floor")
    return tuple(reversed(coordinates))


def einsum(*args):
    """Einstein summation: `(equation, *operands)`, or operands and lists of axis numbers in turn."""
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, "
            "or at least one operand and its subscripts list"
        )
    if not isinstance(args[0], Tensor):
        return _C.einsum(args[0], list(_several(args[1:])))

    def letters(axes):
        names = []
        for axis in axes:
            if axis is Ellipsis:
                names.append("...")
            elif 0 <= axis < 52:
                names.append(chr(axis + 65) if axis < 26 else chr(axis - 26 + 97))
            else:
                raise ValueError(f"einsum(): subscript {axis} is not within the valid range [0, 52]")
        return "".join(names)

    equation = ",".join(letters(axes) for axes in args[1::2])
    if len(args) % 2:
        equation = ",".join(letters(axes) for axes in args[1:-1:2]) + "->" + letters(args[-1])
    return _C.einsum(equation, list(args[: len(args) // 2 * 2 : 2]))


def lu(A, pivot=True, get_infos=False, out=None):
    """The factors of `A` in one matrix and the row exchanges (`torch.linalg.lu_factor`)."""
    found = _C._linalg.lu_factor_ex(A, pivot=pivot)
    results = tuple(found) if get_infos else tuple(found)[:2]
    if out is not None:
        for target, result in zip(out, results):
            target.copy_(result)
    return results


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """How many rows of `input` (..., N) fall into boxes, and the edges along each of the N dimensions."""
    from ._return_types import make

    rows = input.detach().reshape(-1, input.shape[-1])
    count = rows.shape[1]
    bins = [bins] * count if isinstance(bins, int) else list(bins)
    if len(bins) != count:
        raise RuntimeError(
            "torch.histogramdd: The size of bins must be equal to the innermost dimension of the input."
        )
    edges = []
    for place, wanted in enumerate(bins):
        if isinstance(wanted, Tensor):
            edges.append(wanted)
            continue
        limits = None if range is None else list(range[2 * place : 2 * place + 2])
        edges.append(_C.histogram(rows[:, place], wanted, range=limits).bin_edges)
    hist = _C._histogramdd_from_bin_tensors(rows, edges, weight, density)
    return make("histogramdd", ["hist", "bin_edges"])(hist, tuple(edges))


def _basis(A, q, niter, M):
    """`q` orthonormal columns whose span comes near that of `A - M` (Halko et al., 2009, algorithms 4.3, 4.4)."""

    def times(X, transposed=False):
        product = (A.mT if transposed else A) @ X
        return product if M is None else product - (M.mT if transposed else M) @ X

    Q = _C._linalg.qr(times(_C.randn((A.shape[-1], q), dtype=A.dtype))).Q
    for _ in range(niter):
        Q = _C._linalg.qr(times(Q, True)).Q
        Q = _C._linalg.qr(times(Q)).Q
    return Q


def svd_lowrank(A, q=6, niter=2, M=None):
    """`U, S, V` of about the `q` largest singular values of `A - M`, by random projection."""
    q = 6 if q is None else q
    M = None if M is None else M.broadcast_to(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    if wide:
        A, M = A.mT, None if M is None else M.mT
    Q = _basis(A, q, 2 if niter is None else niter, M)
    B = Q.mT @ A if M is None else Q.mT @ A - Q.mT @ M
    U, S, Vh = _C._linalg.svd(B, full_matrices=False)
    U, V = Q @ U, Vh.mT
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q=None, center=True, niter=2):
    """`svd_lowrank` of the rows of `A`, their mean taken off."""
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(
            f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}"
        )
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    return svd_lowrank(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter)
