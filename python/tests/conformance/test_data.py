"""Batches, orders and random numbers of loaders."""
import random
import warnings

import numpy as np
import pytest
import tiny_torch
import tiny_torch.utils.data
import torch
import torch.utils.data


def dataset(package, stream):
    data = package.utils.data
    if stream:

        class Stream(data.IterableDataset):
            def __iter__(self):
                info = data.get_worker_info()
                first, step = (0, 1) if info is None else (info.id * 3, info.num_workers)
                return iter(range(first, 11, step))

        return Stream()

    class Samples(data.Dataset):
        def __len__(self):
            return 23

        def __getitem__(self, i):
            return {
                "x": package.rand(2) + i,
                "i": i,
                "f": 0.5 * i,
                "n": np.random.rand(2).astype("f"),
                "s": str(i),
                "p": (i, [i, 2 * i]),
                "r": random.random(),
            }

    return Samples()


def plain(value):
    if hasattr(value, "tolist"):
        return str(value.dtype), value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    return value


SAMPLERS = {
    "replacement": lambda data, source: data.RandomSampler(source, replacement=True, num_samples=45),
    "longer": lambda data, source: data.RandomSampler(source, num_samples=30),
    "weighted": lambda data, source: data.WeightedRandomSampler([0.1, 0.5, 0.2, 3], 9),
    "weighted once": lambda data, source: data.WeightedRandomSampler([0.1, 0.5, 0.2, 3], 3, replacement=False),
    "subset": lambda data, source: data.SubsetRandomSampler([3, 4, 9, 1]),
    "distributed": lambda data, source: data.DistributedSampler(source, 3, 1, seed=5),
}

LOADERS = [
    {},
    {"batch_size": 4},
    {"batch_size": 4, "shuffle": True},
    {"batch_size": 4, "shuffle": True, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 5, "shuffle": True, "num_workers": 2},
    {"batch_size": 5, "shuffle": True, "num_workers": 3, "persistent_workers": True},
    {"batch_size": 5, "num_workers": 2, "prefetch_factor": 4},
    {"stream": True, "batch_size": 3},
    {"stream": True, "batch_size": 2, "num_workers": 2},
    {"stream": True, "batch_size": 2, "num_workers": 3, "persistent_workers": True},
    {"stream": True, "batch_size": None, "num_workers": 2},
    {"stream": True, "batch_size": 4, "drop_last": True, "num_workers": 2},
    *({"batch_size": 4, "sampler": name} for name in SAMPLERS),
]


@pytest.mark.parametrize("options", LOADERS, ids=str)
def test_loaders(options):
    results = []
    for package in (torch, tiny_torch):
        kwargs = dict(options)
        package.manual_seed(3)
        np.random.seed(0)
        random.seed(0)
        source = dataset(package, kwargs.pop("stream", False))
        if "sampler" in kwargs:
            kwargs["sampler"] = SAMPLERS[kwargs["sampler"]](package.utils.data, source)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loader = package.utils.data.DataLoader(source, **kwargs)
            epochs = [[plain(batch) for batch in loader] for _ in range(2)]
        results.append((epochs, package.rand(3).tolist()))
    assert results[0] == results[1]


@pytest.mark.parametrize("lengths", [[3, 20], [0.5, 0.5], [0.1, 0.2, 0.7]])
def test_random_split(lengths):
    results = []
    for package in (torch, tiny_torch):
        package.manual_seed(1)
        results.append([part.indices for part in package.utils.data.random_split(range(23), lengths)])
    assert results[0] == results[1]
