"""The one place where the studio computes: one thread draws for all tabs, and fitting a photo gives way to it."""

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from gaze_core.errors import GazeworksError

T = TypeVar("T")


class Ended(GazeworksError):
    """The studio ends, or the tab that wanted something has gone."""


class Turns:
    """A lock that long work holds step by step: whoever draws gets it at the next step.

    The rasteriser's threads and torch's may not be used by two threads at once, and two cores are no more than one
    drawing needs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._counter = threading.Lock()

    def __enter__(self) -> None:
        with self._counter:
            self._waiting += 1
        self._lock.acquire()
        with self._counter:
            self._waiting -= 1

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def long_work(self, work: Callable[[], T]) -> T:
        """Runs work that calls `give_way` between its steps."""
        self._lock.acquire()
        try:
            return work()
        finally:
            self._lock.release()

    def give_way(self) -> None:
        """Lets everybody draw who waits. Only within `long_work`."""
        if not self._waiting:
            return
        self._lock.release()
        try:
            while self._waiting:
                time.sleep(0.001)
        finally:
            self._lock.acquire()


class Machine:
    """Runs jobs one after the other in the order in which they come, on a thread of its own."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.is_ending = threading.Event()
        self._drawer = ThreadPoolExecutor(1, "studio-draw", _leave_a_core)
        self._fitter = ThreadPoolExecutor(1, "studio-fit", _leave_a_core)

    def draw(self, work: Callable[[], T]) -> Future[T]:
        """A short job: a drawing, a reading, a loading."""

        def in_turn() -> T:
            with self.turns:
                return work()

        return self._drawer.submit(in_turn)

    def fit(self, work: Callable[[Callable[[], None]], T]) -> Future[T]:
        """A long job, which calls its argument between its steps; that raises `Ended` when the studio ends."""

        def between_steps() -> None:
            if self.is_ending.is_set():
                raise Ended("the studio ends")
            self.turns.give_way()

        def whole() -> T:
            between_steps()
            return self.turns.long_work(lambda: work(between_steps))

        return self._fitter.submit(whole)

    def close(self) -> None:
        """Ends a fit at its next step and waits for what runs."""
        self.is_ending.set()
        self._drawer.shutdown(wait=True, cancel_futures=True)
        self._fitter.shutdown(wait=True, cancel_futures=True)


def _leave_a_core() -> None:
    """Torch and the rasteriser leave one core to the browser; on two cores, two threads draw slower than one."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
