"""Images that make the point about a class: what a classifier is surest of, and what lies in between.

Both are bands of the class's logit, as `proposals` finds them; here is which of their images to show to people who see
ten of them and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.directions import parse_direction
from core.activations.index import BandIndex, members, open_index
from core.activations.proposals import MID, TOP, propose
from core.concepts.exams import share_wrong
from core.datasets import SPLITS

if TYPE_CHECKING:
    from core.activations.bands import Range
    from core.activations.store import Analysis

# images from which a share says something
FEW = 5


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One class of one classifier. index: the class's logit over the images that are looked at. high, between: the
    bands "clearly this class" and "in between"."""

    analysis: Analysis
    class_index: int
    index: BandIndex
    high: Range
    between: Range

    @cached_property
    def top(self) -> np.ndarray:
        """Rows (m,) int64 of what it is surest of, weakest first."""
        return members(self.index, self.high.low, self.high.high, closed=True)

    @cached_property
    def middle(self) -> np.ndarray:
        """Rows (m,) int64 of what lies in between, weakest first."""
        return members(self.index, self.between.low, self.between.high, closed=True)

    @cached_property
    def every(self) -> np.ndarray:
        """All rows with a finite logit, weakest first."""
        return members(self.index, self.index.low, self.index.high, closed=True)

    def own(self, rows: np.ndarray) -> np.ndarray:
        """Those of these rows that are of the class; all of them where nobody knows."""
        return rows[self.analysis.labels[rows] == self.class_index] if self.analysis.labelled else rows

    @property
    def right(self) -> float | None:
        """Which share of what it is surest of is of the class, 0..1; None without labels or images."""
        return len(self.own(self.top)) / len(self.top) if self.analysis.labelled and len(self.top) else None


@dataclass(frozen=True)
class Errors:
    """Where a classifier errs more. own: whether only images of the class itself are counted. between, surest: shares
    0..1 that are named wrongly; surest is None where there are too few. count: of images in between."""

    own: bool
    count: int
    between: float
    surest: float | None

    def to_dict(self) -> dict[str, Any]:
        return {"own": self.own, "images": self.count, "between": self.between, "surest": self.surest}


@lru_cache(maxsize=32)
def exhibit(analysis: Analysis, class_index: int) -> Exhibit:
    """The class's images of val, else of the first split there is; of all where nobody knows what they show."""
    direction = parse_direction(f"logit:{analysis.classes[class_index]}", analysis)
    rows = _looked_at(analysis)
    high, between = (propose(analysis, direction, which, rows) for which in (TOP, MID))
    return Exhibit(analysis, class_index, open_index(analysis, direction, rows), high, between)


def surest(found: Exhibit, count: int) -> np.ndarray:
    """Rows of the highest logits, highest first."""
    return found.top[::-1][:count].copy()


def mixed(found: Exhibit, count: int) -> np.ndarray:
    """Rows from the middle, drawn at random, always the same: half of them of the class, half of others, as far as
    there are any. In each half mistakes come first, as many as fill half of it: an even draw of ten may lack them.
    Where next to nothing lies in the middle, what lies nearest to it."""
    if len(found.middle) < FEW:
        return nearest(found, count)
    analysis, middle = found.analysis, np.random.default_rng(0).permutation(found.middle)
    if not analysis.labelled:
        return middle[:count]
    own = analysis.labels[middle] == found.class_index
    ours, others = middle[own], middle[~own]
    some = min(len(ours), max(count // 2, count - len(others)))
    return np.concatenate([_mistakes_first(analysis, ours, some), _mistakes_first(analysis, others, count - some)])


def nearest(found: Exhibit, count: int) -> np.ndarray:
    """Rows whose logits lie nearest to the centre of the middle, nearest first."""
    start, stop = found.index.finite
    away = np.abs(found.index.values[start:stop] - np.float32((found.between.low + found.between.high) / 2))
    return found.every[np.argsort(away, kind="stable")[:count]]


def compared(found: Exhibit, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of what it is surest of and of what lies in between, of the class itself where there are labels, so that
    what differs is what else is to be seen. In between the lowest come first, for there the usual look is missing."""
    top, middle, every = (found.own(rows) for rows in (found.top, found.middle, found.every))
    top = top if len(top) else found.top
    # a class that is hardly ever in between has its weakest end
    middle = middle if len(middle) >= count or not len(every) else every
    return top[::-1][:count].copy(), middle[:count].copy()


def errors(found: Exhibit) -> Errors | None:
    """How often it errs in between, and on what it is surest of: on images of the class where there are enough. None
    where too few lie in between, or nobody knows what they show."""
    analysis = found.analysis
    if not analysis.labelled or len(found.middle) < FEW:
        return None
    middle, top = found.own(found.middle), found.own(found.top)
    if len(middle) >= FEW and len(top) >= FEW:
        return Errors(True, len(middle), share_wrong(analysis, middle), share_wrong(analysis, top))
    return Errors(False, len(found.middle), share_wrong(analysis, found.middle), None)


def _looked_at(analysis: Analysis) -> np.ndarray | None:
    """(n,) bool, None for all."""
    there = [name for name in ("val", "train", "test") if len(analysis.split_rows(name))]
    if len(there) < 2 or not analysis.labelled:
        return None
    return np.asarray(analysis.splits == SPLITS.index(there[0]))


def _mistakes_first(analysis: Analysis, rows: np.ndarray, some: int) -> np.ndarray:
    wrong = analysis.predicted[rows] != analysis.labels[rows]
    mistakes = rows[wrong][: (some + 1) // 2]
    return np.concatenate([mistakes, rows[~np.isin(rows, mistakes)]])[:some]
