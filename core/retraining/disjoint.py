"""Fitting, tuning and reporting use different images, enforced: a result measured on what was fitted is no result."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.dataset import SPLITS
from core.datasets.images import UnreadableImage
from core.errors import LeakedImages
from core.files import file_digest

if TYPE_CHECKING:
    from core.activations.store import Analysis

_NONE = np.empty(0, dtype=np.int64)
# images named in a message
_SHOWN = 3
# logits as close as this, relative to their size, may be of the same image: an image's place in its batch changes the
# last bits
_CLOSE = 1e-4
# images whose features are compared with those of one: where a network says the same of more, it says nothing
_MOST_NEAR = 200
# files that are read to tell whether images are the same byte for byte
_MOST_FILES = 1_000


@dataclass(frozen=True, eq=False)
class Roles:
    """Which images of an analysis do what. curation: rows that a head is fitted on; tuning: rows that its settings are
    chosen on without being fitted on; reporting: rows that it is measured on. (n,) int64 each, made unique and sorted.

    Cannot be made with an image in two of them: raises `LeakedImages`.
    """

    curation: np.ndarray
    reporting: np.ndarray
    tuning: np.ndarray = field(default_factory=lambda: _NONE)

    def __post_init__(self) -> None:
        words = {"curation": "fitted on", "tuning": "tuned on", "reporting": "reported on"}
        for role in words:
            object.__setattr__(self, role, np.unique(np.asarray(getattr(self, role), dtype=np.int64)))
        for first, second in combinations(words, 2):
            shared = np.intersect1d(getattr(self, first), getattr(self, second), assume_unique=True)
            if len(shared):
                shown = ", ".join(str(row) for row in shared[:_SHOWN].tolist())
                more = f" and {len(shared) - _SHOWN} more" if len(shared) > _SHOWN else ""
                raise LeakedImages(
                    f"{_images(len(shared))} would be both {words[first]} and {words[second]} (row {shown}{more}), so "
                    "the accuracy would be flattered.",
                    next_step="Give every image one split: fit and tune on val, report on test.",
                )

    def to_dict(self) -> dict[str, int]:
        return {name: len(getattr(self, name)) for name in ("curation", "tuning", "reporting")}


@dataclass(frozen=True, eq=False)
class Duplicates:
    """pairs: (m, 2) int64 rows of the same picture, the first of test and the second of another split, one pair per
    test image. identical: how many of them were compared by their files and are the same byte for byte. sentence: what
    to think of it, "" without pairs."""

    pairs: np.ndarray
    identical: int
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {"pairs": self.pairs.tolist(), "identical": self.identical, "sentence": self.sentence}


def duplicates(analysis: Analysis, reporting: np.ndarray | None = None) -> Duplicates:
    """Test images that are also in another split: what a head gets right there it may have learnt by heart.

    reporting: rows (m,) int64, test unless told otherwise. Found by their features, which the network makes alike of
    the same picture, then compared file by file where the files are still there; a picture saved twice in different
    ways counts as the same when the network sees no difference.
    """
    reported = analysis.split_rows("test") if reporting is None else np.asarray(reporting, dtype=np.int64)
    others = np.setdiff1d(np.arange(analysis.n), reported)
    pairs = _alike(analysis, reported, others) if len(reported) and len(others) else np.empty((0, 2), dtype=np.int64)
    same = [_same_picture(analysis, *pair) for pair in pairs[:_MOST_FILES].tolist()]
    identical = sum(one is True for one in same)
    return Duplicates(pairs, identical, _sentence(analysis, pairs, identical))


def _alike(analysis: Analysis, reported: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Pairs with the same features, by the logits first: those are few numbers, and lie beside the features."""
    logits = np.asarray(analysis.logits, dtype=np.float64)
    size = float(np.abs(logits[np.isfinite(logits)]).max(initial=0.0)) or 1.0
    first = logits[:, 0]
    is_reported = np.zeros(analysis.n, dtype=bool)
    is_reported[reported] = True
    ordered = others[np.argsort(first[others], kind="stable")]
    values = first[ordered]
    starts = np.searchsorted(values, first[reported] - _CLOSE * size, side="left")
    stops = np.searchsorted(values, first[reported] + _CLOSE * size, side="right")
    found = []
    for row, start, stop in zip(reported.tolist(), starts.tolist(), stops.tolist(), strict=True):
        near = ordered[start:stop]
        near = near[(np.abs(logits[near] - logits[row]) <= _CLOSE * size).all(axis=1)]
        if not 0 < len(near) <= _MOST_NEAR:
            continue
        own = np.asarray(analysis.features[row])
        features = np.asarray(analysis.features[np.sort(near)])
        reach = _CLOSE * float(np.abs(own).max(initial=0.0))
        alike = (np.abs(features - own) <= reach).all(axis=1)
        # a network that says the same of everything says nothing about who is whose double
        if alike.any() and reach > 0:
            found.append((row, int(np.sort(near)[alike][0])))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _same_picture(analysis: Analysis, *rows: int) -> bool | None:
    """Whether the pictures of two rows are stored in the same bytes; None where one of them cannot be read."""
    try:
        first, second = (analysis.picture(row) for row in rows)
        if isinstance(first, Path) and isinstance(second, Path):
            if first.stat().st_size != second.stat().st_size:
                return False
            return file_digest(first) == file_digest(second)
    except (OSError, UnreadableImage):
        return None
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return bool(np.array_equal(first, second))
    return isinstance(first, bytes) and first == second


def _sentence(analysis: Analysis, pairs: np.ndarray, identical: int) -> str:
    if not len(pairs):
        return ""
    splits = ", ".join(SPLITS[code] for code in np.unique(analysis.splits[pairs[:, 1]]).tolist())
    names = ", ".join(analysis.image_names(pairs[:_SHOWN, 0]))
    more = f" and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    kind = "byte for byte" if identical == len(pairs) else "as the network sees them"
    are = "is" if len(pairs) == 1 else "are"
    return (
        f"{_images(len(pairs))} of test {are} also in {splits}, {kind} ({names}{more}): what a head gets right "
        "there it may know by heart. Remove them from one of the splits."
    )


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"
