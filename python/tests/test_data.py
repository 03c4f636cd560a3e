"""Datasets, samplers, collation and the loader. Orders are those that PyTorch 2.15 gives for the same seed."""
import collections
import os
import signal
import time

import numpy as np
import pytest
import tiny_torch as torch
from tiny_torch.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
    get_worker_info,
    random_split,
)


class Numbers(Dataset):
    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if not 0 <= index < self.count:
            raise IndexError(index)
        return index


class Stream(IterableDataset):
    def __init__(self, count):
        self.count = count

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, self.count, step))


def batches(loader):
    return [batch.tolist() for batch in loader]


def test_orders_are_pytorchs():
    # torch.manual_seed(0); [b.tolist() for b in DataLoader(range(10), 4, shuffle=True)], twice
    torch.manual_seed(0)
    loader = DataLoader(Numbers(10), 4, shuffle=True)
    assert batches(loader) == ORDERS["shuffle"][0]
    assert batches(loader) == ORDERS["shuffle"][1]
    torch.manual_seed(0)
    assert list(RandomSampler(Numbers(5), replacement=True, num_samples=9)) == ORDERS["replacement"]
    torch.manual_seed(0)
    assert list(SubsetRandomSampler([7, 8, 9, 3])) == ORDERS["subset"]
    torch.manual_seed(0)
    assert [part.indices for part in random_split(Numbers(7), [3, 4])] == ORDERS["split"]
    assert list(DistributedSampler(Numbers(7), 2, 1, seed=3)) == ORDERS["distributed"]


def test_generator_of_its_own():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(5)
    before = torch.get_rng_state().tolist()
    first = batches(DataLoader(Numbers(10), 5, shuffle=True, generator=generator))
    assert torch.get_rng_state().tolist() == before
    generator.manual_seed(0)
    assert batches(DataLoader(Numbers(10), 5, shuffle=True, generator=generator)) == first


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_workers_give_the_same_batches(workers):
    torch.manual_seed(1)
    loader = DataLoader(Numbers(11), 3, shuffle=True, num_workers=workers)
    torch.manual_seed(2)
    first, second = batches(loader), batches(loader)
    torch.manual_seed(2)
    alone = DataLoader(Numbers(11), 3, shuffle=True)
    assert (first, second) == (batches(alone), batches(alone))


def test_worker_seeds():
    class Draws(Numbers):
        def __getitem__(self, index):
            import random

            return torch.rand(1), random.random(), np.random.rand()

    torch.manual_seed(4)
    again = []
    for _ in range(2):
        torch.manual_seed(4)
        again.append([[x.tolist() for x in batch] for batch in DataLoader(Draws(4), 2, num_workers=2)])
    assert again[0] == again[1]
    assert again[0][0] != again[0][1]


def test_worker_information():
    class Info(Numbers):
        def __getitem__(self, index):
            info = get_worker_info()
            return info.id, info.num_workers, info.dataset is self, self.touched

    def touch(worker_id):
        get_worker_info().dataset.touched = worker_id * 10

    loader = DataLoader(Info(4), 2, num_workers=2, worker_init_fn=touch)
    assert [[x.tolist() for x in b] for b in loader] == [
        [[0, 0], [2, 2], [True, True], [0, 0]],
        [[1, 1], [2, 2], [True, True], [10, 10]],
    ]
    assert get_worker_info() is None


def test_persistent_workers_stay():
    class Pid(Numbers):
        def __getitem__(self, index):
            return os.getpid()

    loader = DataLoader(Pid(4), 2, num_workers=2, persistent_workers=True)
    assert sorted(set(sum(batches(loader), []))) == sorted(set(sum(batches(loader), [])))


@pytest.mark.parametrize("workers", [0, 1, 2, 3])
def test_streams(workers):
    found = sorted(sum(batches(DataLoader(Stream(10), 3, num_workers=workers)), []))
    assert found == list(range(10))
    assert len(batches(DataLoader(Stream(10), 4, num_workers=workers, drop_last=True))) == (1 if workers == 3 else 2)
    assert [x if isinstance(x, int) else x.item() for x in DataLoader(Stream(4), None)] == [0, 1, 2, 3]


class Broken(Numbers):
    def __getitem__(self, index):
        if index == 2:
            raise KeyError("not there")
        return index


@pytest.mark.parametrize("workers", [0, 2])
def test_errors_reach_the_caller(workers):
    loader = iter(DataLoader(Broken(6), 2, num_workers=workers))
    assert next(loader).tolist() == [0, 1]
    with pytest.raises(KeyError, match="not there") as error:
        next(loader)
    if workers:
        assert "Caught KeyError in DataLoader worker process 1" in str(error.value)
        assert "__getitem__" in str(error.value)
        assert next(loader).tolist() == [4, 5]


def test_a_worker_that_is_killed():
    class Killed(Numbers):
        def __getitem__(self, index):
            if index == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return index

    with pytest.raises(RuntimeError, match="DataLoader worker .* is killed by signal: Killed"):
        list(DataLoader(Killed(8), 2, num_workers=2))


def test_a_worker_that_leaves():
    class Leaves(Numbers):
        def __getitem__(self, index):
            os._exit(3)

    with pytest.raises(RuntimeError, match="DataLoader worker .* exited unexpectedly"):
        list(DataLoader(Leaves(8), 2, num_workers=2))


def test_failing_init_and_what_cannot_be_sent():
    def fails(worker_id):
        raise ValueError("no init")

    with pytest.raises(ValueError, match="no init"):
        list(DataLoader(Numbers(4), num_workers=1, worker_init_fn=fails))
    with pytest.raises(Exception, match="(?i)pickle|local"):
        list(DataLoader(Numbers(4), num_workers=1, collate_fn=lambda batch: lambda: batch))


def test_timeout():
    class Slow(Numbers):
        def __getitem__(self, index):
            time.sleep(30)

    with pytest.raises(RuntimeError, match="timed out after 0.2 seconds"):
        list(DataLoader(Slow(4), num_workers=1, timeout=0.2))


def test_an_abandoned_iterator_ends_its_workers():
    loader = iter(DataLoader(Numbers(1000), 2, num_workers=2))
    next(loader)
    processes = [worker.process for worker in loader._workers]
    del loader
    assert not any(process.is_alive() for process in processes)


def test_collation():
    Point = collections.namedtuple("Point", "x y")
    batch = default_collate(
        [
            {"i": 1, "f": 0.5, "s": "a", "t": torch.ones(2), "n": np.zeros(2), "p": Point(1, 2), "l": [1, 2.0], "b": True, "g": np.float32(3)},
            {"i": 2, "f": 1.5, "s": "b", "t": torch.zeros(2), "n": np.ones(2), "p": Point(3, 4), "l": [3, 4.0], "b": False, "g": np.float32(4)},
        ]
    )
    assert batch["i"].tolist() == [1, 2] and batch["i"].dtype == torch.int64
    assert batch["f"].dtype == torch.float64 and batch["s"] == ["a", "b"]
    assert batch["t"].tolist() == [[1, 1], [0, 0]] and batch["n"].dtype == torch.float64
    assert isinstance(batch["p"], Point) and batch["p"].y.tolist() == [2, 4]
    assert [v.tolist() for v in batch["l"]] == [[1, 3], [2, 4]]
    assert batch["b"].dtype == torch.bool and batch["g"].tolist() == [3, 4]
    with pytest.raises(TypeError, match="batch must contain tensors"):
        default_collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    converted = default_convert({"a": np.ones(2), "b": (np.zeros(1), "x")})
    assert torch.is_tensor(converted["a"]) and torch.is_tensor(converted["b"][0]) and converted["b"][1] == "x"


def test_tensor_dataset():
    xs, ys = torch.arange(20.0).reshape(10, 2), torch.arange(10)
    dataset = TensorDataset(xs, ys)
    assert len(dataset) == 10 and dataset[3][0].tolist() == [6, 7] and dataset[-1][1].item() == 9
    torch.manual_seed(0)
    seen = []
    for x, y in DataLoader(dataset, 4, shuffle=True):
        assert x.tolist() == [[2.0 * i, 2.0 * i + 1] for i in y.tolist()] and y.dtype == torch.int64
        seen += y.tolist()
    assert sorted(seen) == list(range(10))
    part = Subset(dataset, [4, 2, 9])
    (x, y), = DataLoader(part, 3)
    assert y.tolist() == [4, 2, 9]
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(xs, ys[:3])
    with pytest.raises(IndexError):
        list(DataLoader(Subset(dataset, [99])))


def test_combinations_of_datasets():
    joined = Numbers(3) + Numbers(2)
    assert isinstance(joined, ConcatDataset) and [joined[i] for i in range(5)] == [0, 1, 2, 0, 1] and joined[-1] == 1
    chain = Stream(2) + Stream(3)
    assert isinstance(chain, ChainDataset) and list(chain) == [0, 1, 0, 1, 2]
    assert StackDataset(Numbers(2), Numbers(2))[1] == (1, 1)
    assert StackDataset(a=Numbers(2)).__getitems__([0, 1]) == [{"a": 0}, {"a": 1}]
    halves = random_split(Numbers(5), [0.5, 0.5])
    assert [len(h) for h in halves] == [3, 2]
    with pytest.raises(ValueError, match="does not equal"):
        random_split(Numbers(5), [1, 2])


def test_samplers():
    assert list(BatchSampler(SequentialSampler(range(5)), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert len(DataLoader(Numbers(10), 3)) == 4 and len(DataLoader(Numbers(10), 3, drop_last=True)) == 3
    drawn = list(WeightedRandomSampler([0.0, 1.0, 0.0], 5))
    assert drawn == [1] * 5
    shares = [list(DistributedSampler(Numbers(7), 3, rank, shuffle=False)) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4, 0], [2, 5, 1]]
    assert batches(DataLoader(Numbers(4), batch_sampler=[[0, 3], [1]])) == [[0, 3], [1]]
    assert batches(DataLoader(Numbers(4), sampler=[2, 0], batch_size=2)) == [[2, 0]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_workers": -1}, "non-negative"),
        ({"timeout": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "multiprocessing"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive"),
        ({"batch_size": 0}, "positive integer"),
        ({"num_workers": 1, "multiprocessing_context": "nonsense"}, "valid start method"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        DataLoader(Numbers(4), **options)


def test_a_loader_is_fixed_once_made():
    loader = DataLoader(Numbers(4))
    with pytest.raises(ValueError, match="should not be set"):
        loader.batch_size = 3


ORDERS = {
    "shuffle": [[[6, 7, 1, 4], [2, 0, 9, 8], [3, 5]], [[2, 4, 7, 0], [8, 9, 5, 3], [6, 1]]],
    "replacement": [1, 0, 4, 3, 4, 0, 2, 3, 4],
    "subset": [7, 8, 3, 9],
    "split": [[4, 0, 5], [3, 2, 6, 1]],
    "distributed": [3, 6, 2, 5],
}


def test_a_sampler_of_any_length_makes_no_list_of_it():
    import itertools
    import tracemalloc

    tracemalloc.start()
    sampler = RandomSampler(range(10), replacement=True, num_samples=10**10)
    drawn = list(itertools.islice(sampler, 100))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(drawn) <= set(range(10)) and peak < 10**6


def test_children_seed_themselves_differently():
    torch.Generator().seed()
    seeds = set()
    for _ in range(3):
        receiving, sending = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(sending, str(torch.seed()).encode())
            os._exit(0)
        os.close(sending)
        with os.fdopen(receiving) as file:
            seeds.add(file.read())
        os.waitpid(child, 0)
    assert len(seeds) == 3 and "" not in seeds
