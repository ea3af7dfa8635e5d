"""Results of threads in the order of the work, a bounded number ahead of whoever takes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int = 128,
    threads: int | None = None,
    begin: Callable[[], None] | None = None,
    name: str = "decode",
) -> Generator[Result]:
    """Yield work(item) for each item, in order. At most `ahead` results exist before they are taken.

    begin: called first in each thread. name: of the threads.

    `Executor.map` would start all of it at once and hold every result: memory would grow with the number of images.
    Closing the iterator (a failure or a cancellation in the loop around it does) drops what has not begun and waits
    for what has.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(threads or cores(), thread_name_prefix=name, initializer=begin)
    try:
        waiting: deque[Future[Result]] = deque(pool.submit(work, item) for item in islice(source, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
