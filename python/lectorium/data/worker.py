"""Threads that load batches ahead of the loop that uses them."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# How long leaving a loop waits for a thread that is in the middle of a sample. It ends by itself after it.
_PATIENCE = 5.0


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this thread is; ``seed`` differs from worker to worker.

    Example:
        >>> class Range(lt.data.IterableDataset):
        ...     def __iter__(self):
        ...         info = lt.data.get_worker_info()
        ...         yield from range(info.id, 4, info.num_workers)
        >>> loader = lt.data.DataLoader(Range(), batch_size=2, num_workers=2)
        >>> [batch.tolist() for batch in loader]
        [[0, 1], [2, 3]]
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_here = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a thread of a ``DataLoader``: which one it is. None anywhere else.

    Example:
        >>> lt.utils.data.get_worker_info() is None
        True
    """
    return getattr(_here, "info", None)


class EndOfData(Exception):
    """A job found that there is no more data."""


class _Channel:
    """What the loop and its threads share. The threads know nothing else, so that the loop can be dropped."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.jobs: deque[tuple[int, Any]] = deque()
        # Job number -> (whether it went well, result or exception).
        self.results: dict[int, tuple[bool, Any]] = {}
        self.broken: BaseException | None = None
        self.closed = False


def _run(
    channel: _Channel, work: Callable[[Any], Any], info: WorkerInfo, begin: Callable[[int], Any] | None
) -> None:
    _here.info = info
    try:
        if begin is not None:
            begin(info.id)
    except BaseException as error:
        error.add_note(f"DataLoader: in worker_init_fn of worker {info.id}")
        with channel.changed:
            channel.broken = error
            channel.changed.notify_all()
        return
    while True:
        with channel.changed:
            while not channel.jobs and not channel.closed:
                channel.changed.wait()
            if channel.closed:
                return
            number, job = channel.jobs.popleft()
        try:
            result = (True, work(job))
        except BaseException as error:
            result = (False, error)
        with channel.changed:
            channel.results[number] = result
            channel.changed.notify_all()
        # No reference to a batch or an exception while waiting for the next job.
        del result, job


class Prefetcher:
    """Iterates over ``work(job)`` for the ``jobs`` in order, with threads that are ``ahead`` jobs ahead.

    ``jobs`` is advanced by the calling thread alone. An exception of a job is raised in its turn, after which
    the iteration may go on. The threads end with the iteration, with ``close()`` and with this object.
    """

    def __init__(
        self,
        jobs: Iterator[Any],
        work: Callable[[Any], Any],
        infos: list[WorkerInfo],
        ahead: int,
        timeout: float,
        begin: Callable[[int], Any] | None,
    ) -> None:
        self._jobs: Iterator[Any] | None = jobs
        self._ahead = max(1, ahead)
        self._timeout = timeout
        self._asked = self._given = 0
        self._channel = _Channel()
        self._make = (work, infos, begin)
        self._threads: list[threading.Thread] = []
        self._start()

    def _start(self) -> None:
        work, infos, begin = self._make
        self._channel.closed = False
        for info in infos:
            args, name = (self._channel, work, info, begin), f"DataLoader worker {info.id}"
            self._threads.append(threading.Thread(target=_run, args=args, name=name, daemon=True))
            self._threads[-1].start()

    def __iter__(self) -> Prefetcher:
        return self

    def __next__(self) -> Any:
        try:
            self._ask()
            if self._given == self._asked:
                self.close()
                raise StopIteration
            if not self._threads:
                self._start()
            fine, value = self._wait(self._given)
        except (KeyboardInterrupt, SystemExit):
            self.close()
            raise
        self._given += 1
        if fine:
            return value
        if isinstance(value, EndOfData):
            self.close()
            raise StopIteration
        # The traceback keeps this object alive, maybe for long. The threads start again if it is used again.
        self._stop()
        raise value

    def _ask(self) -> None:
        """Hands out jobs until enough are under way."""
        while self._jobs is not None and self._asked - self._given < self._ahead:
            try:
                job = next(self._jobs)
            except StopIteration:
                self._jobs = None
                return
            with self._channel.changed:
                self._channel.jobs.append((self._asked, job))
                self._channel.changed.notify()
            self._asked += 1

    def _wait(self, number: int) -> tuple[bool, Any]:
        channel = self._channel
        deadline = time.monotonic() + self._timeout if self._timeout else None
        with channel.changed:
            while number not in channel.results:
                if channel.broken is not None:
                    self._jobs, self._asked = None, self._given + 1
                    return False, channel.broken
                if not any(thread.is_alive() for thread in self._threads):
                    raise RuntimeError(
                        "DataLoader: the threads of this iterator are gone: it was begun before a fork"
                    )
                if deadline is not None and time.monotonic() >= deadline:
                    raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
                # In slices: a wait without a limit cannot be interrupted on every platform.
                channel.changed.wait(0.1)
            return channel.results.pop(number)

    def close(self) -> None:
        """Ends the threads; what they have loaded is dropped."""
        self._jobs, self._asked = None, self._given
        self._stop()
        self._channel.jobs.clear()
        self._channel.results.clear()

    def _stop(self) -> None:
        """Ends the threads; what they have loaded stays."""
        threads, self._threads = self._threads, []
        with self._channel.changed:
            self._channel.closed = True
            self._channel.changed.notify_all()
        until = time.monotonic() + _PATIENCE
        for thread in threads:
            if thread is not threading.current_thread() and not sys.is_finalizing():
                thread.join(max(0.0, until - time.monotonic()))

    def __del__(self) -> None:
        if hasattr(self, "_threads"):
            self.close()


__all__ = ["WorkerInfo", "get_worker_info"]
