"""Processes that work for this one, and end with it."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread


@contextmanager
def worker_pool(num_workers: int, prepare: Callable[[], None] | None = None) -> Iterator[ProcessPoolExecutor]:
    """At least one worker; `prepare` runs once in each.

    Workers are spawned, since the threads of mitsuba, torch and OpenCV do not survive a fork. A worker whose parent was
    killed would wait for work for ever, so each one ends when its parent does.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max(1, num_workers), context, _begin, (prepare,)) as pool:
        yield pool


def _begin(prepare: Callable[[], None] | None) -> None:
    Thread(target=_end_with_parent, daemon=True).start()
    if prepare:
        prepare()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)  # whatever the main thread does
