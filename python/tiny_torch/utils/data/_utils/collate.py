"""Turning a list of samples into a batch."""
import copy
import re
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence

from .... import _C
from ...._tensor import Tensor

np_str_obj_array_pattern = re.compile(r"[SaUO]")

default_collate_err_msg_format = (
    "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {}"
)


def _rebuild_mapping(mapping, values):
    """A mapping of the same type with other values; a plain dictionary where the type does not allow it."""
    try:
        if isinstance(mapping, MutableMapping):
            # A copy keeps what the type may carry besides its items.
            clone = copy.copy(mapping)
            clone.update(values)
            return clone
        return type(mapping)(values)
    except TypeError:
        return dict(values)


def _rebuild_sequence(sequence, values):
    """A sequence of the same type with other items; a list where the type does not allow it."""
    try:
        if isinstance(sequence, MutableSequence):
            clone = copy.copy(sequence)
            for i, value in enumerate(values):
                clone[i] = value
            return clone
        return type(sequence)(values)
    except TypeError:
        return list(values)


def map_structure(data, function):
    """`data` with `function` applied to the leaves of its mappings and sequences. Tuples become lists."""
    if isinstance(data, Mapping):
        return _rebuild_mapping(data, {key: function(data[key]) for key in data})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(function, data))
    if isinstance(data, tuple):
        return list(map(function, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return _rebuild_sequence(data, list(map(function, data)))
    return data


def default_convert(data):
    """NumPy arrays in `data`, at any depth, made tensors; what is used when there are no batches."""
    kind = type(data)
    if isinstance(data, Tensor):
        return data
    if kind.__module__ == "numpy" and kind.__name__ not in ("str_", "bytes_", "string_"):
        if kind.__name__ == "ndarray" and np_str_obj_array_pattern.search(data.dtype.str) is not None:
            return data
        return _C.as_tensor(data)
    return map_structure(data, default_convert)


def collate(batch, *, collate_fn_map=None):
    """Puts samples together by the type of the first: `collate_fn_map` gives the function for each type of leaf."""
    elem = batch[0]
    elem_type = type(elem)
    if collate_fn_map is not None:
        if elem_type in collate_fn_map:
            return collate_fn_map[elem_type](batch, collate_fn_map=collate_fn_map)
        for kind, function in collate_fn_map.items():
            if isinstance(elem, kind):
                return function(batch, collate_fn_map=collate_fn_map)
    if elem_type.__module__ == "numpy" and collate_fn_map is default_collate_fn_map:
        return _collate_numpy(batch, elem)
    if isinstance(elem, Mapping):
        return _rebuild_mapping(
            elem, {key: collate([sample[key] for sample in batch], collate_fn_map=collate_fn_map) for key in elem}
        )
    if isinstance(elem, tuple) and hasattr(elem, "_fields"):
        return elem_type(*(collate(samples, collate_fn_map=collate_fn_map) for samples in zip(*batch)))
    if isinstance(elem, Sequence):
        if any(len(sample) != len(elem) for sample in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [collate(samples, collate_fn_map=collate_fn_map) for samples in zip(*batch)]
        return columns if isinstance(elem, tuple) else _rebuild_sequence(elem, columns)
    raise TypeError(default_collate_err_msg_format.format(elem_type))


def _collate_numpy(batch, elem):
    """Arrays and scalars of NumPy, which is not imported for the sake of a key in the map."""
    import numpy

    if isinstance(elem, numpy.ndarray):
        return collate_numpy_array_fn(batch)
    if isinstance(elem, (numpy.bool_, numpy.number, numpy.object_)):
        return collate_numpy_scalar_fn(batch)
    raise TypeError(default_collate_err_msg_format.format(type(elem)))


def collate_tensor_fn(batch, *, collate_fn_map=None):
    shape, dtype = batch[0].shape, batch[0].dtype
    if any(t.requires_grad or t.dtype != dtype or t.shape != shape or t.device.type != "cpu" for t in batch):
        return _C.stack(list(batch), 0)
    # By copying: which samples make a batch changes from batch to batch, and is not worth compiling for.
    data = b"".join([_C._to_bytes(t) for t in batch])
    return _C._from_bytes(data, dtype, (len(batch), *shape))


def collate_numpy_array_fn(batch, *, collate_fn_map=None):
    elem = batch[0]
    if np_str_obj_array_pattern.search(elem.dtype.str) is not None:
        raise TypeError(default_collate_err_msg_format.format(elem.dtype))
    return collate_tensor_fn([_C.as_tensor(array) for array in batch])


def collate_numpy_scalar_fn(batch, *, collate_fn_map=None):
    return _C.as_tensor(batch)


def collate_float_fn(batch, *, collate_fn_map=None):
    return _C.tensor(batch, dtype=_C.float64)


def collate_int_fn(batch, *, collate_fn_map=None):
    return _C.tensor(batch)


def collate_str_fn(batch, *, collate_fn_map=None):
    return batch


default_collate_fn_map = {
    Tensor: collate_tensor_fn,
    float: collate_float_fn,
    int: collate_int_fn,
    str: collate_str_fn,
    bytes: collate_str_fn,
}


def default_collate(batch):
    """Samples to a batch: tensors, arrays and numbers gain a first dimension; containers keep their shape."""
    return collate(batch, collate_fn_map=default_collate_fn_map)
