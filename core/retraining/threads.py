"""How many threads sums are computed with: parted another way they differ in the last digit."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# features up to which one thread does: matrices so small are done before a second one has begun, and where other work
# takes the cores, a factor of 128 x 128 takes a hundred times as long with two threads waiting for each other
FEW_FEATURES = 512

_lock = threading.Lock()
# who has pinned them, the latest last: threads of one process come and go in any order
_pinned: list[_Pinned] = []


class _Pinned:
    """count: how many somebody asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._limits: Any = None
        self._torch: int | None = None

    def do(self) -> None:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        # sums of torch are parted by a pool of its own, whose size follows that of others
        torch = sys.modules.get("torch")
        self._torch = None if torch is None else torch.get_num_threads()
        self._limits = threadpool_limits(limits=self.count)
        if torch is not None:
            torch.set_num_threads(self.count)

    def undo(self) -> None:
        self._limits.restore_original_limits()
        if self._torch is not None:
            sys.modules["torch"].set_num_threads(self._torch)


def threads_worth(d: int) -> int | None:
    """How many threads fits on d features are worth: 1, or None for as many as there are."""
    return 1 if d <= FEW_FEATURES else None


@contextmanager
def pinned_threads(count: int | None = None, *, with_torch: bool = False) -> Iterator[int]:
    """Let every numerical library use `count` threads within the block; yields how many these are.

    None: as many as they would use anyway (the cores, or what OMP_NUM_THREADS and its like say), but the same number in
    all of them. with_torch: torch will be used, and is loaded now if it is not yet. Holds for the whole process: where
    several threads pin at once, what the latest asked for holds, and in the end everything is as it was.
    """
    # what is loaded later would not be limited
    import scipy.linalg  # noqa: F401

    if with_torch:
        import torch  # noqa: F401
    from threadpoolctl import threadpool_info

    with _lock:
        mine = _Pinned(count or max((int(pool["num_threads"]) for pool in threadpool_info()), default=1))
        mine.do()
        _pinned.append(mine)
    try:
        yield mine.count
    finally:
        with _lock:
            # those that came later are undone first, and done again without this one
            later = _pinned[_pinned.index(mine) + 1 :]
            for one in (*reversed(later), mine):
                one.undo()
            _pinned.remove(mine)
            for one in later:
                one.do()
