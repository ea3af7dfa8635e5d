from __future__ import annotations

import threading
import time

import pytest

from core.classifiers.lookahead import in_threads


def test_results_come_in_the_order_of_the_work() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 5 == 0 else 0)
        return item * item

    assert list(in_threads(slow_first, range(50), threads=4)) == [item * item for item in range(50)]
    assert list(in_threads(slow_first, [], threads=2)) == []


def test_never_more_than_the_lookahead_is_waiting() -> None:
    begun = 0
    lock = threading.Lock()

    def work(item: int) -> int:
        nonlocal begun
        with lock:
            begun += 1
        return item

    for taken, _ in enumerate(in_threads(work, range(200), ahead=8, threads=4), start=1):
        with lock:
            assert begun <= taken + 8


def test_failure_in_a_thread_reaches_the_loop_and_ends_the_threads() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise KeyError("three")
        return item

    seen = []
    with pytest.raises(KeyError, match="three"):
        for value in in_threads(fail_at_three, range(100), ahead=4, threads=2):
            seen.append(value)  # noqa: PERF402  # the loop must fail half-way
    assert seen == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_closing_early_ends_the_threads() -> None:
    results = in_threads(lambda item: item, range(1000), ahead=4, threads=2)
    assert next(results) == 0
    results.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
