"""Functions of `torch` that PyTorch, too, writes in Python. A native operator of the same name comes first."""
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
    "meshgrid",
    "norm",
    "split",
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
    tensors = _several(tensors)
    shape = broadcast_shapes(*(tensor.shape for tensor in tensors))
    return tuple(tensor.expand(shape) for tensor in tensors)


def split(tensor, split_size_or_sections, dim=0):
    """Views of consecutive parts of one size, or of the listed sizes."""
    return tensor.split(split_size_or_sections, dim)


def meshgrid(*tensors, indexing=None):
    """Grids of coordinates: the k-th result holds the k-th tensor's values along its own axis."""
    tensors = _several(tensors)
    if indexing is None:
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for tensor in tensors:
        if tensor.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {tensor}")
    swap = indexing == "xy" and len(tensors) > 1
    order = [tensors[1], tensors[0], *tensors[2:]] if swap else list(tensors)
    shape = [tensor.numel() for tensor in order]
    grids = [
        tensor.reshape([-1 if k == axis else 1 for k in range(len(order))]).expand(shape)
        for axis, tensor in enumerate(order)
    ]
    if swap:
        grids = [grid.transpose(0, 1) for grid in grids]
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors):
    """All tuples of one element of each 1-D tensor, as rows."""
    if len(tensors) == 1:
        return tensors[0]
    return _C.stack([grid.reshape(-1) for grid in meshgrid(*tensors, indexing="ij")], 1)


def block_diag(*tensors):
    """The tensors, as matrices, along the diagonal of a matrix of zeros."""
    blocks = [tensor.reshape(1, -1) if tensor.dim() < 2 else tensor for tensor in tensors]
    width = sum(block.shape[1] for block in blocks)
    rows, before = [], 0
    for block in blocks:
        height, own = block.shape
        left = block.new_zeros(height, before)
        right = block.new_zeros(height, width - before - own)
        rows.append(_C.cat((left, block, right), 1))
        before += own
    return _C.cat(rows, 0)


def _at_least(tensors, function):
    tensors = _several(tensors)
    results = tuple(function(tensor) for tensor in tensors)
    return results


def atleast_1d(*tensors):
    """0-d tensors made 1-d."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        return tensors[0].reshape(1) if tensors[0].dim() == 0 else tensors[0]
    return _at_least(tensors, atleast_1d)


def atleast_2d(*tensors):
    """Tensors with leading dimensions added until there are two."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        tensor = atleast_1d(tensors[0])
        return tensor.unsqueeze(0) if tensor.dim() == 1 else tensor
    return _at_least(tensors, atleast_2d)


def atleast_3d(*tensors):
    """Tensors with dimensions added until there are three; the last of them is new."""
    if len(tensors) == 1 and isinstance(tensors[0], Tensor):
        tensor = atleast_2d(tensors[0])
        return tensor.unsqueeze(-1) if tensor.dim() == 2 else tensor
    return _at_least(tensors, atleast_3d)


def norm(input, p="fro", dim=None, keepdim=False, out=None, dtype=None):
    """The vector norm of order `p` over `dim`, or of all elements. "fro" is the 2-norm."""
    if dtype is not None:
        input = input.to(dtype)
    if p == "fro" or p is None:
        p = 2.0
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    magnitude = input.abs()
    if p == float("inf"):
        result = magnitude.amax(dims, keepdim)
    elif p == float("-inf"):
        result = magnitude.amin(dims, keepdim)
    elif p == 0:
        result = (input != 0).to(input.dtype).sum(dims, keepdim)
    elif p == 1:
        result = magnitude.sum(dims, keepdim)
    elif p == 2:
        result = (input * input).sum(dims, keepdim).sqrt()
    else:
        result = magnitude.pow(p).sum(dims, keepdim).pow(1.0 / p)
    return result if out is None else out.copy_(result)


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distance of each row of `x1` (..., P, M) to each row of `x2` (..., R, M)."""
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, dim=-1)


def chain_matmul(*matrices, out=None):
    """The product of matrices, from the left."""
    result = matrices[0]
    for matrix in matrices[1:]:
        result = result @ matrix
    return result if out is None else out.copy_(result)


def tensordot(a, b, dims=2, out=None):
    """Sums products over the last `dims` axes of `a` and the first of `b`, or over the listed pairs of axes."""
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        first, second = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        first, second = ([axes] if isinstance(axes, int) else list(axes) for axes in dims)
    first = [axis % a.dim() for axis in first]
    second = [axis % b.dim() for axis in second]
    if [a.shape[i] for i in first] != [b.shape[i] for i in second]:
        raise RuntimeError(
            f"contracted dimensions need to match, but first has size {[a.shape[i] for i in first]} "
            f"and second has size {[b.shape[i] for i in second]}"
        )
    left = [axis for axis in range(a.dim()) if axis not in first]
    right = [axis for axis in range(b.dim()) if axis not in second]
    rows, columns = [a.shape[i] for i in left], [b.shape[i] for i in right]
    depth = 1
    for axis in first:
        depth *= a.shape[axis]
    product = a.permute(left + first).reshape(-1, depth) @ b.permute(second + right).reshape(depth, -1)
    product = product.reshape(rows + columns)
    return product if out is None else out.copy_(product)


def unravel_index(indices, shape):
    """The coordinates of flat indices in an array of the given shape."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    coordinates = []
    for size in reversed(shape):
        coordinates.append(indices % size)
        indices = _C.div(indices, size, rounding_mode="floor")
    return tuple(reversed(coordinates))


def einsum(equation, *operands):
    """Einstein summation. Operands are contracted two at a time, from the left."""
    from ._einsum import einsum

    return einsum(equation, _several(operands))
