"""What a worker process does: seeds itself, then answers requests for batches until told to stop."""
import collections
import os
import pickle
import sys
import threading

_worker_info = None

# Requests (main to worker) are (number, index), RESUME, or None for the end. Answers are (number, data).
RESUME = "resume"


class WorkerInfo:
    """`id`, `num_workers`, `seed` and `dataset` of the worker process that one is in."""

    __slots__ = ("id", "num_workers", "seed", "dataset", "rng", "worker_method")

    def __init__(self, id, num_workers, seed, dataset):
        for name, value in (("id", id), ("num_workers", num_workers), ("seed", seed), ("dataset", dataset)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "rng", None)
        object.__setattr__(self, "worker_method", "multiprocessing")

    def __setattr__(self, name, value):
        raise RuntimeError(f"Cannot assign attributes to {type(self).__name__} objects")

    def __repr__(self):
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in ("id", "num_workers", "seed", "dataset"))
        return f"{type(self).__name__}({shown})"


def get_worker_info():
    """The `WorkerInfo` of this process, or None in the main process."""
    return _worker_info


class IterableDatasetStopIteration:
    """The answer of a worker whose stream has ended."""

    def __init__(self, worker_id):
        self.worker_id = worker_id


def _numpy_seed(base_seed, worker_id):
    """Four 32-bit words: NumPy's `SeedSequence([worker_id, low half of base_seed, high half, 0])` on a pool of four.

    M. E. O'Neill, "Developing a seed_seq Alternative" (2015), describes the hash.
    """
    mask = 0xFFFFFFFF

    def hasher(constant, multiplier):
        def digest(value):
            nonlocal constant
            value ^= constant
            constant = constant * multiplier & mask
            value = value * constant & mask
            return value ^ value >> 16

        return digest

    into = hasher(0x43B0D7E5, 0x931E8875)
    pool = [into(word) for word in (worker_id, base_seed & mask, base_seed >> 32, 0)]
    for source in range(4):
        for target in range(4):
            if source != target:
                mixed = (0xCA01F9DD * pool[target] - 0x4973F715 * into(pool[source])) & mask
                pool[target] = mixed ^ mixed >> 16
    out_of = hasher(0x8B51F9DD, 0x58F38DED)
    return [out_of(word) for word in pool]


class _Sender:
    """Writes answers to a pipe from a thread of its own, so that the worker goes on while a pipe is full."""

    def __init__(self, connection):
        self._connection = connection
        self._waiting = collections.deque()
        self._ready = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, answer):
        payload = pickle.dumps(answer, protocol=5)
        with self._ready:
            self._waiting.append(payload)
            self._ready.notify()

    def _run(self):
        while True:
            with self._ready:
                while not self._waiting:
                    if self._closed:
                        return
                    self._ready.wait()
                payload = self._waiting.popleft()
            try:
                self._connection.send_bytes(payload)
            except (BrokenPipeError, OSError):
                return  # nobody listens any more

    def drain(self):
        """Waits until everything is written."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        self._thread.join()


def _seed_everything(base_seed, worker_id):
    import random

    from .... import _C
    from ....random import manual_seed

    _C.set_num_threads(1)
    seed = base_seed + worker_id
    random.seed(seed)
    manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(_numpy_seed(base_seed, worker_id))
    return seed


def worker_loop(loader, requests, answers, others, base_seed, worker_id, num_workers):
    """Runs in the worker. `others` are the connections of this process's siblings, inherited and of no use."""
    global _worker_info
    from ...._utils import ExceptionWrapper
    from ..dataloader import _DatasetKind

    for connection in others:
        connection.close()
    parent = os.getppid()
    where = f"in DataLoader worker process {worker_id}"
    sender = _Sender(answers)
    try:
        seed = _seed_everything(base_seed, worker_id)
        _worker_info = WorkerInfo(worker_id, num_workers, seed, loader.dataset)
        fetcher = failure = None
        try:
            if loader.worker_init_fn is not None:
                loader.worker_init_fn(worker_id)
            fetcher = _DatasetKind.create_fetcher(loader)
        except Exception:
            failure = ExceptionWrapper(where=where)
        ended = False
        while True:
            # A parent that was killed closes nothing that a sibling might not hold open.
            if not requests.poll(5.0):
                if os.getppid() != parent:
                    break
                continue
            try:
                request = requests.recv()
            except EOFError:
                break
            if request is None:
                break
            if request == RESUME:
                ended = False
                sender.put((RESUME, None))
                try:
                    fetcher = _DatasetKind.create_fetcher(loader)
                except Exception:
                    failure = ExceptionWrapper(where=where)
                continue
            if ended:
                continue
            number, index = request
            if failure is not None:
                data, failure = failure, None
            else:
                try:
                    data = fetcher.fetch(index)
                except Exception as error:
                    if isinstance(error, StopIteration) and loader._dataset_kind == _DatasetKind.Iterable:
                        data = IterableDatasetStopIteration(worker_id)
                        ended = True
                    else:
                        data = ExceptionWrapper(where=where)
            try:
                sender.put((number, data))
            except Exception:
                # What cannot be pickled is an error of this batch, not the end of the worker.
                sender.put((number, ExceptionWrapper(where=where)))
            del data
    except KeyboardInterrupt:
        pass  # the main process is interrupted too, and says so
    finally:
        sender.drain()
