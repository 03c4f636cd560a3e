"""Getting the samples of one batch from a dataset."""
from .collate import default_collate


class _MapDatasetFetcher:
    """Looks samples up by index."""

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self._gathers = auto_collation and collate_fn is default_collate and _gathers(dataset)

    def fetch(self, index):
        dataset = self.dataset
        if not self.auto_collation:
            return self.collate_fn(dataset[index])
        if self._gathers:
            return _gather(dataset, index)
        if getattr(dataset, "__getitems__", None):
            return self.collate_fn(dataset.__getitems__(index))
        return self.collate_fn([dataset[i] for i in index])


def _gathers(dataset):
    """Whether a batch of this dataset is its tensors indexed by a list: one gather, not one slice a sample."""
    from ..dataset import Subset, TensorDataset

    while type(dataset) is Subset:
        dataset = dataset.dataset
    return type(dataset) is TensorDataset


def _gather(dataset, index):
    from .... import _C
    from ..dataset import Subset

    while type(dataset) is Subset:
        index = [dataset.indices[i] for i in index]
        dataset = dataset.dataset
    size = len(dataset)
    for i in index:
        if not -size <= i < size:
            raise IndexError(f"index {i} is out of bounds for dimension 0 with size {size}")
    rows = _C.tensor([i % size for i in index], dtype=_C.int64)
    return [tensor.index_select(0, rows) for tensor in dataset.tensors]


class _IterableDatasetFetcher:
    """Takes samples from a stream until it ends."""

    def __init__(self, dataset, auto_collation, collate_fn, drop_last):
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.dataset_iter = iter(dataset)
        self.ended = False

    def fetch(self, index):
        if self.ended:
            raise StopIteration
        if not self.auto_collation:
            return self.collate_fn(next(self.dataset_iter))
        samples = []
        for _ in index:
            try:
                samples.append(next(self.dataset_iter))
            except StopIteration:
                self.ended = True
                break
        if not samples or (self.drop_last and len(samples) < len(index)):
            raise StopIteration
        return self.collate_fn(samples)
