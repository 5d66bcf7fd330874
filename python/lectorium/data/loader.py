"""Batches from a data set: in order or shuffled, loaded on the spot or ahead on threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..random import Generator, default_generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, load_sampler_state, sampler_state
from .worker import EndOfData, Prefetcher, WorkerInfo


class DataLoader:
    """Iterates over batches of a data set.

    ``dataset``: anything with ``__getitem__`` and ``__len__``, or an ``IterableDataset``. ``batch_size`` None
    gives single samples. ``shuffle`` draws a new order each epoch from ``generator``, or from the default one
    (``lectorium.manual_seed``); it is the same for any ``num_workers``. ``sampler`` gives indices,
    ``batch_sampler`` lists of them. ``collate_fn`` makes a batch of a list of samples (``default_collate``).

    ``num_workers`` threads load batches ahead, ``prefetch_factor`` each (2); the order of batches stays, and
    an exception in a thread is raised in the loop. The threads end with the iteration, also when it is left
    half-way. An ``IterableDataset`` is gone through by one thread. ``pin_memory``, ``persistent_workers``,
    ``multiprocessing_context`` and ``in_order`` are accepted for PyTorch's sake.

    A ``TensorDataset`` and the image sets of ``lectorium.datasets`` are gathered a batch at a time.

    To go on in the middle of an epoch after a restart, save ``loader.state_dict()`` (and
    ``lectorium.get_rng_state()`` for all else that is random) and load both: the next iteration goes through
    the rest of the epoch in the order it had, without loading the batches that were already used.

    Example:
        >>> data = lt.utils.data.TensorDataset(lt.arange(5), lt.arange(5) ** 2)
        >>> for x, y in lt.utils.data.DataLoader(data, batch_size=2):
        ...     print(x.tolist(), y.tolist())
        [0, 1] [0, 1]
        [2, 3] [4, 9]
        [4] [16]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Sequence[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 0:
            raise ValueError(
                f"DataLoader: num_workers option should be non-negative, got {num_workers}; "
                "0 loads without threads"
            )
        if timeout < 0:
            raise ValueError(f"DataLoader: timeout option should be non-negative, got {timeout}")
        if prefetch_factor is not None and num_workers == 0:
            raise ValueError("DataLoader: prefetch_factor needs num_workers > 0")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError(f"DataLoader: prefetch_factor must be at least 1, got {prefetch_factor}")
        if persistent_workers and num_workers == 0:
            raise ValueError("DataLoader: persistent_workers option needs num_workers > 0")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            given = [("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)]
            for what, value in given:
                if value is not None:
                    raise ValueError(
                        f"DataLoader with IterableDataset: expected unspecified {what} option, got {value}"
                    )
        elif not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: dataset needs __getitem__ and __len__, or must be an IterableDataset; got "
                f"{type(dataset).__name__}"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "DataLoader: batch_sampler option is mutually exclusive with batch_size, shuffle, "
                    "sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None gives single samples, which drop_last cannot drop")
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            # Checks batch_size and drop_last for iterable data sets too.
            made = BatchSampler(sampler if sampler is not None else (), batch_size, drop_last)
            batch_sampler = None if self._iterable else made
        batched = batch_size is not None or batch_sampler is not None
        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (default_collate if batched else default_convert)
        self.pin_memory = pin_memory
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = prefetch_factor if prefetch_factor or not num_workers else 2
        self.persistent_workers = persistent_workers
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self._batched = batched
        self._progress = _Progress(0)
        self._skip = 0

    def __iter__(self) -> Iterator[Any]:
        skip, self._skip = self._skip, 0
        # Of a run begun before, the iterator keeps its own count.
        self._progress = _Progress(skip)
        if self._iterable:
            walk = _Walk(self.dataset, self.collate_fn, self.batch_size, self.drop_last)
            walk.skip(skip)
            jobs: Iterator[Any] = itertools.repeat(None)
            work: Callable[[Any], Any] = walk.batch
        else:
            # Only now: samplers draw their seeds when they are iterated.
            jobs = iter(self.batch_sampler if self.batch_sampler is not None else self.sampler or ())
            jobs = itertools.islice(jobs, skip, None)
            work = _Fetch(self.dataset, self.collate_fn, self._batched)
        source = self._threaded(jobs, work) if self.num_workers else _Plain(jobs, work)
        return _Epoch(source, self._progress)

    def _threaded(self, jobs: Iterator[Any], work: Callable[[Any], Any]) -> Prefetcher:
        # One thread alone can go through an iterable data set.
        workers = 1 if self._iterable else self.num_workers
        seed = (self.generator or default_generator).initial_seed()
        infos = [WorkerInfo(i, workers, seed + i, self.dataset) for i in range(workers)]
        ahead = (self.prefetch_factor or 2) * self.num_workers
        return Prefetcher(jobs, work, infos, ahead, self.timeout, self.worker_init_fn)

    def __len__(self) -> int:
        if self.batch_sampler is not None:
            return len(self.batch_sampler)  # pyright: ignore[reportArgumentType]
        if not self._iterable:
            return len(self.sampler)  # pyright: ignore[reportArgumentType]
        n = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Where the epoch begun last stands: batches given out, the sampler's seed, the generator's state.

        After an epoch gone through to its end, it says that the next one begins. A sampler of one's own is
        asked for ``state_dict()`` if it has one; without, its order must not change from epoch to epoch.

        Example:
            >>> data = lt.utils.data.TensorDataset(lt.arange(6))
            >>> loader = lt.utils.data.DataLoader(data, batch_size=2, shuffle=True)
            >>> batches = iter(loader)
            >>> first, saved = next(batches), loader.state_dict()
            >>> rest = [x.tolist() for (x,) in batches]
            >>> loader.load_state_dict(saved)
            >>> [x.tolist() for (x,) in loader] == rest
            True
        """
        running = not self._progress.done and (self._progress.count > 0 or self._progress.begun)
        chosen = self.batch_sampler if self.batch_sampler is not None else self.sampler
        state: dict[str, Any] = {
            "batches": self._progress.count if running else 0,
            "sampler": sampler_state(chosen) if running else {},
        }
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The next iteration goes on where ``state_dict`` was taken.

        Errors: ValueError for what is no such state, or that of a loader with another ``generator=``.

        Example:
            >>> loader = lt.data.DataLoader(range(6), batch_size=2)
            >>> first = next(iter(loader))
            >>> state = loader.state_dict()
            >>> again = lt.data.DataLoader(range(6), batch_size=2)
            >>> again.load_state_dict(state)
            >>> [batch.tolist() for batch in again]
            [[2, 3], [4, 5]]
        """
        if not isinstance(state_dict, dict) or not {"batches", "sampler"} <= set(state_dict):
            raise ValueError("DataLoader.load_state_dict: this is not the state_dict of a DataLoader")
        if ("generator" in state_dict) != (self.generator is not None):
            has = "has one" if self.generator is not None else "has none"
            raise ValueError(
                f"DataLoader.load_state_dict: the state and the loader differ in generator= (it {has})"
            )
        self._skip = state_dict["batches"]
        load_sampler_state(
            self.batch_sampler if self.batch_sampler is not None else self.sampler, state_dict["sampler"]
        )
        if self.generator is not None:
            self.generator.set_state(state_dict["generator"])
        self._progress = _Progress(self._skip)
        self._progress.begun = bool(state_dict["sampler"])


class _Progress:
    """How far an epoch has gone; the loader and the iterator of the epoch share it."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.begun = self.done = False


class _Epoch:
    """The iterator of one epoch: counts what it gives out."""

    def __init__(self, source: Iterator[Any], progress: _Progress) -> None:
        self._source = source
        self._progress = progress
        progress.begun = True

    def __iter__(self) -> _Epoch:
        return self

    def __next__(self) -> Any:
        try:
            batch = next(self._source)
        except StopIteration:
            self._progress.done = True
            raise
        self._progress.count += 1
        return batch


class _Plain:
    """Loads on the spot."""

    def __init__(self, jobs: Iterator[Any], work: Callable[[Any], Any]) -> None:
        self._jobs = jobs
        self._work = work

    def __iter__(self) -> _Plain:
        return self

    def __next__(self) -> Any:
        job = next(self._jobs)
        try:
            return self._work(job)
        except EndOfData:
            self._jobs = iter(())
            raise StopIteration from None


class _Fetch:
    """Loads a batch of a data set with a length."""

    def __init__(self, dataset: Any, collate: Callable[[Any], Any], batched: bool) -> None:
        self._dataset = dataset
        self._collate = collate
        self._batched = batched
        self._whole = getattr(dataset, "_fetch_batch", None) if collate is default_collate else None
        many = getattr(dataset, "__getitems__", None)
        self._many: Any = many if callable(many) else None

    def __call__(self, job: Any) -> Any:
        if not self._batched:
            return self._collate(self._one(job))
        try:
            if self._whole is not None:
                batch: Any = self._whole(job)
                if batch is not NotImplemented:
                    return batch
            if self._many is None:
                return self._collate([self._one(i) for i in job])
            samples: Any = self._many(job)
            if len(samples) != len(job):
                raise RuntimeError(
                    f"DataLoader: {type(self._dataset).__name__}.__getitems__ returned {len(samples)} "
                    f"samples for {len(job)} indices"
                )
            return self._collate(samples)
        except Exception as error:
            shown = ", ".join(str(i) for i in itertools.islice(job, 8)) + (", …" if len(job) > 8 else "")
            error.add_note(f"DataLoader: while loading the batch of samples {shown}")
            raise

    def _one(self, index: Any) -> Any:
        try:
            return self._dataset[index]
        except StopIteration as error:
            # It would pass for the end of the epoch.
            raise RuntimeError(f"DataLoader: the data set raised StopIteration for sample {index}") from error
        except Exception as error:
            error.add_note(f"DataLoader: while loading sample {index} of {type(self._dataset).__name__}")
            raise


class _Walk:
    """Loads the next batch of an iterable data set."""

    def __init__(
        self, dataset: Any, collate: Callable[[Any], Any], size: int | None, drop_last: bool
    ) -> None:
        self._items: Iterator[Any] = iter(dataset)
        self._collate = collate
        self._size = size
        self._drop_last = drop_last

    def skip(self, batches: int) -> None:
        """Leaves out the items of so many batches."""
        for _ in itertools.islice(self._items, batches * (self._size or 1)):
            pass

    def batch(self, job: None) -> Any:
        samples: list[Any] = list(itertools.islice(self._items, self._size or 1))
        if not samples or (self._drop_last and self._size is not None and len(samples) < self._size):
            raise EndOfData
        return self._collate(samples if self._size is not None else samples[0])


__all__ = ["DataLoader"]
