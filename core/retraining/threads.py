"""How many threads sums are computed with: parted another way they differ in the last digit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pinned_threads(count: int | None = None, *, with_torch: bool = False) -> Iterator[int]:
    """Let every numerical library use `count` threads within the block; yields how many these are.

    None: as many as they would use anyway (the cores, or what OMP_NUM_THREADS and its like say), but the same number in
    all of them. with_torch: torch will be used, and is loaded now if it is not yet. Holds for the whole process.
    """
    # what is loaded later would not be limited
    import scipy.linalg  # noqa: F401

    if with_torch:
        import torch  # noqa: F401
    from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

    count = count or max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)
    # sums of torch are parted by a pool of its own
    loaded = sys.modules.get("torch")
    before = None if loaded is None else loaded.get_num_threads()
    with threadpool_limits(limits=count):
        if loaded is not None:
            loaded.set_num_threads(count)
        try:
            yield count
        finally:
            if loaded is not None:
                loaded.set_num_threads(before)
