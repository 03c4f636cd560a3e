"""`DataLoader`: batches of a dataset, in this process or from worker processes."""
import itertools
import time

from ._utils import fetch
from ._utils.collate import default_collate, default_convert
from ._utils.pin_memory import pin_memory
from ._utils.worker import RESUME, IterableDatasetStopIteration, get_worker_info, worker_loop
from .dataset import IterableDataset, _Subscriptable
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, _draw_seed

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]


class _DatasetKind:
    Map = 0
    Iterable = 1

    @staticmethod
    def create_fetcher(loader):
        kind = fetch._MapDatasetFetcher if loader._dataset_kind == _DatasetKind.Map else fetch._IterableDatasetFetcher
        return kind(loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last)


class _InfiniteConstantSampler(Sampler):
    """None for ever: a stream needs no indices."""

    def __iter__(self):
        return itertools.repeat(None)


class DataLoader(_Subscriptable):
    """An iterable of the batches of a dataset. Each `iter()` is one epoch.

    dataset: has `__getitem__` and `__len__`, or is an `IterableDataset`.
    batch_size: samples a batch (1); None gives single samples.
    shuffle: a new random order each epoch.
    sampler, batch_sampler: other orders of indices, or of lists of indices.
    num_workers: processes that prepare batches ahead (0: none).
    collate_fn: makes a batch of a list of samples.
    pin_memory: pins the batches' memory, where there is an accelerator.
    drop_last: leaves an incomplete last batch out.
    timeout: seconds to wait for a worker's batch (0: no limit).
    worker_init_fn: called with the worker's number in each worker, after seeding.
    multiprocessing_context: how workers are started; "fork" where the system has it.
    generator: random generator of the order and of the workers' seeds.
    prefetch_factor: batches each worker prepares ahead (2).
    persistent_workers: keeps workers for the next epoch.
    in_order: hands batches out in the sampler's order.
    """

    __initialized = False

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=None,
        sampler=None,
        batch_sampler=None,
        num_workers=0,
        collate_fn=None,
        pin_memory=False,
        drop_last=False,
        timeout=0,
        worker_init_fn=None,
        multiprocessing_context=None,
        generator=None,
        *,
        prefetch_factor=None,
        persistent_workers=False,
        pin_memory_device="",
        in_order=True,
    ):
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing."
                "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
            )
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.in_order = in_order
        self.generator = generator
        self.persistent_workers = persistent_workers

        if isinstance(dataset, IterableDataset):
            self._dataset_kind = _DatasetKind.Iterable
            for name, value, unset in (
                ("shuffle", shuffle, (False, None)),
                ("sampler", sampler, (None,)),
                ("batch_sampler", batch_sampler, (None,)),
            ):
                if not any(value is u for u in unset):
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}"
                    )
        else:
            self._dataset_kind = _DatasetKind.Map
            shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None:
            if self._dataset_kind == _DatasetKind.Iterable:
                sampler = _InfiniteConstantSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self._IterableDataset_len_called = None
        self._iterator = None
        self.__initialized = True
        self.check_worker_number_rationality()

    @property
    def multiprocessing_context(self):
        return self.__multiprocessing_context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        if context is not None:
            import multiprocessing

            if self.num_workers <= 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                valid = multiprocessing.get_all_start_methods()
                if context not in valid:
                    raise ValueError(
                        "multiprocessing_context option should specify a valid start method in "
                        f"{valid!r}, but got multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the "
                    f"start method, but got multiprocessing_context={context}"
                )
        self.__multiprocessing_context = context

    def __setattr__(self, attr, val):
        if self.__initialized and attr in (
            "batch_size",
            "batch_sampler",
            "sampler",
            "drop_last",
            "dataset",
            "persistent_workers",
        ):
            raise ValueError(f"{attr} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(attr, val)

    def __getstate__(self):
        # For workers that are not forked: an iterator and a context stay in the process that made them.
        return {**self.__dict__, "_iterator": None, "_DataLoader__multiprocessing_context": None}

    def __iter__(self):
        if not (self.persistent_workers and self.num_workers > 0):
            return self._get_iterator()
        if self._iterator is None:
            self._iterator = self._get_iterator()
        else:
            self._iterator._reset(self)
        return self._iterator

    def _get_iterator(self):
        return _SingleProcessDataLoaderIter(self) if self.num_workers == 0 else _MultiProcessingDataLoaderIter(self)

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self):
        if self._dataset_kind == _DatasetKind.Map:
            return len(self._index_sampler)
        # What the stream says of its own length, in batches; more than that is warned about.
        length = self._IterableDataset_len_called = len(self.dataset)
        if self.batch_size is None:
            return length
        whole, rest = divmod(length, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def check_worker_number_rationality(self):
        """Warns of more workers than processors."""
        if not self.num_workers:
            return
        from ..._utils import cpu_count

        available = cpu_count()
        if available is None or self.num_workers > available:
            import warnings

            suggestion = (
                "DataLoader is not able to compute a suggested max number of worker in current system."
                if available is None
                else f"Our suggested max number of worker in current system is {available}, which is smaller "
                "than what this DataLoader is going to create."
            )
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. {suggestion} "
                "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
                "lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


class _BaseDataLoaderIter:
    """One pass over a loader."""

    def __init__(self, loader):
        self._loader = loader
        self._pin_memory = loader.pin_memory and _has_accelerator()
        if loader.pin_memory and not self._pin_memory:
            import warnings

            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
                stacklevel=4,
            )
        self._start(loader)
        self._base_seed = _draw_seed(loader.generator)

    def _start(self, loader):
        self._sampler_iter = iter(loader._index_sampler)
        self._num_yielded = 0
        self._reported_length = loader._IterableDataset_len_called

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._loader._index_sampler)

    def __next__(self):
        data = self._next_data()
        self._num_yielded += 1
        if self._reported_length is not None and self._num_yielded > self._reported_length:
            self._warn_of_length()
        return pin_memory(data) if self._pin_memory else data

    def _warn_of_length(self):
        import warnings

        message = (
            f"Length of IterableDataset {self._loader.dataset} was reported to be {self._reported_length}"
            f"(when accessing len(dataloader)), but {self._num_yielded} samples have been fetched. "
        )
        if self._loader.num_workers > 0:
            message += (
                "For multiprocessing data-loading, this could be caused by not properly configuring the "
                "IterableDataset replica at each worker. Please see "
                "https://pytorch.org/docs/stable/data.html#torch.utils.data.IterableDataset for examples."
            )
        warnings.warn(message, stacklevel=3)

    def __getstate__(self):
        raise NotImplementedError(f"{type(self).__name__} cannot be pickled")


def _has_accelerator():
    from ... import accelerator

    return accelerator.is_available()


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    """Makes each batch when it is asked for."""

    def __init__(self, loader):
        super().__init__(loader)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        self._fetcher = _DatasetKind.create_fetcher(loader)

    def _next_data(self):
        return self._fetcher.fetch(next(self._sampler_iter))


class _Worker:
    """The main process's side of one worker."""

    def __init__(self, process, requests, answers):
        self.process = process
        self.requests = requests
        self.answers = answers
        self.active = True
        self.tasks = 0


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    """Keeps `prefetch_factor` batches a worker under way.

    Requests go to the workers in turn. Each worker has a pipe for its requests and one for its answers, and
    writes to nothing that it shares, so a worker that dies takes no lock with it.
    """

    def __init__(self, loader):
        super().__init__(loader)
        self._workers = []
        self._shut_down = False
        context = loader.multiprocessing_context or _default_context()
        try:
            for worker_id in range(loader.num_workers):
                self._workers.append(self._launch(context, worker_id))
        except BaseException:
            self._shutdown_workers()
            raise
        self._start_tasks()

    def _launch(self, context, worker_id):
        theirs_in, ours_out = context.Pipe(duplex=False)
        ours_in, theirs_out = context.Pipe(duplex=False)
        forked = context.get_start_method() == "fork"
        inherited = [c for w in self._workers for c in (w.requests, w.answers)] + [ours_in, ours_out] if forked else []
        process = context.Process(
            target=worker_loop,
            args=(self._loader, theirs_in, theirs_out, inherited, self._base_seed, worker_id, self._loader.num_workers),
            daemon=True,
        )
        process.start()
        theirs_in.close()
        theirs_out.close()
        return _Worker(process, ours_out, ours_in)

    def _start_tasks(self):
        self._turns = itertools.cycle(range(len(self._workers)))
        self._sent = 0  # number of the next request
        self._wanted = 0  # number of the next batch to hand out
        self._under_way = {}  # request number -> worker number
        self._arrived = {}  # request number -> data that came before its turn
        for worker in self._workers:
            worker.active, worker.tasks = True, 0
        for _ in range(self._loader.prefetch_factor * len(self._workers)):
            self._request_next()

    def _reset(self, loader):
        """Another epoch with the same workers: what is still under way is thrown away."""
        self._start(loader)
        for worker in self._workers:
            self._send(worker, RESUME)
        waiting = set(range(len(self._workers)))
        while waiting:
            who, (number, _) = self._receive(waiting)
            if number == RESUME:
                waiting.discard(who)
        self._start_tasks()

    def _request_next(self):
        try:
            index = next(self._sampler_iter)
        except StopIteration:
            return
        limit = self._loader.prefetch_factor * len(self._workers)
        active = sum(worker.active for worker in self._workers)
        for _ in range(len(self._workers)):
            who = next(self._turns)
            worker = self._workers[who]
            if worker.active and (self._loader.in_order or worker.tasks < max(1, limit // active)):
                break
        else:
            return
        self._send(worker, (self._sent, index))
        worker.tasks += 1
        self._under_way[self._sent] = who
        self._sent += 1

    def _send(self, worker, request):
        try:
            worker.requests.send(request)
        except (BrokenPipeError, OSError):
            self._fail_for_dead()
            raise

    def _receive(self, wanted):
        """The next answer of one of the wanted workers: its number, and the answer."""
        from multiprocessing.connection import wait
        import pickle

        timeout = self._loader.timeout
        end = time.monotonic() + timeout if timeout > 0 else None
        pipes = {self._workers[who].answers: who for who in wanted}
        sentinels = [self._workers[who].process.sentinel for who in wanted]
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = wait([*pipes, *sentinels], left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            for connection in ready:
                if connection in pipes:
                    try:
                        payload = connection.recv_bytes()
                    except (EOFError, OSError):
                        self._fail_for_dead()
                        raise
                    return pipes[connection], pickle.loads(payload)
            self._fail_for_dead()

    def _fail_for_dead(self):
        """Raises for workers that ended without being told to."""
        dead = []
        for worker in self._workers:
            worker.process.join(timeout=0.5 if not dead else 0)
            if not worker.process.is_alive():
                dead.append(worker.process)
        if not dead:
            return
        self._shutdown_workers()
        first = dead[0]
        if first.exitcode is not None and first.exitcode < 0:
            import signal

            try:
                name = signal.strsignal(-first.exitcode)
            except ValueError:
                name = str(-first.exitcode)
            raise RuntimeError(f"DataLoader worker (pid {first.pid}) is killed by signal: {name}. ")
        pids = ", ".join(str(process.pid) for process in dead)
        raise RuntimeError(f"DataLoader worker (pid(s) {pids}) exited unexpectedly")

    def _next_data(self):
        while True:
            # A stream that has ended leaves requests that nobody will answer.
            while self._wanted < self._sent and self._wanted not in self._arrived:
                who = self._under_way.get(self._wanted)
                if who is not None and self._workers[who].active:
                    break
                self._under_way.pop(self._wanted, None)
                self._wanted += 1
            if self._wanted in self._arrived:
                who, data = self._arrived.pop(self._wanted)
                self._wanted += 1
                return self._hand_out(who, data)
            if self._wanted >= self._sent:
                if not self._loader.persistent_workers:
                    self._shutdown_workers()
                raise StopIteration
            in_order = self._loader.in_order
            who = self._under_way[self._wanted]
            sources = {who} if in_order else {w for w in self._under_way.values() if self._workers[w].active}
            who, (number, data) = self._receive(sources)
            self._under_way.pop(number, None)
            if isinstance(data, IterableDatasetStopIteration):
                self._workers[who].active = False
                if not self._loader.persistent_workers:
                    self._send(self._workers[who], None)
                self._request_next()
                continue
            if number != self._wanted and in_order:
                self._arrived[number] = (who, data)
                continue
            if number == self._wanted:
                self._wanted += 1
            return self._hand_out(who, data)

    def _hand_out(self, who, data):
        self._workers[who].tasks -= 1
        self._request_next()
        from ..._utils import ExceptionWrapper

        if isinstance(data, ExceptionWrapper):
            data.reraise()
        return data

    def _shutdown_workers(self):
        if self._shut_down:
            return
        self._shut_down = True
        for worker in self._workers:
            try:
                worker.requests.send(None)
            except (OSError, ValueError):
                pass
            worker.requests.close()
        # Reading what is still coming lets a worker finish that waits to write it.
        deadline = time.monotonic() + 5.0
        for worker in self._workers:
            while worker.process.is_alive() and time.monotonic() < deadline:
                try:
                    if worker.answers.poll(0.05):
                        worker.answers.recv_bytes()
                except (EOFError, OSError):
                    worker.process.join(max(0.0, deadline - time.monotonic()))
                    break
            if worker.process.is_alive():
                worker.process.terminate()
            worker.process.join(1.0)
            worker.answers.close()

    def __del__(self):
        try:
            self._shutdown_workers()
        except Exception:
            # At the interpreter's end what this needs may be gone; the workers are daemons and end with it.
            return


def _default_context():
    """Fork, where the system has it: datasets need no pickling, and workers start in milliseconds."""
    import multiprocessing

    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("fork" if "fork" in methods and _forks_safely() else None)


def _forks_safely():
    import sys

    return sys.platform not in ("darwin", "win32")
