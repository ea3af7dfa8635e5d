"""What Midband knows about a set of images before it has opened one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.files import digest

SPLITS = ("train", "val", "test")
"""Names of the splits; `Dataset.splits` holds positions in this tuple."""

MAX_PROBLEMS = 10_000
"""Problems listed one by one. A folder with a million stray files needs one sentence, not a million."""


@dataclass(frozen=True)
class Attribute:
    """Something known of the images besides their class (for Waterbirds: the place).

    values: what it can be. codes: (n,) int16, positions in `values`, -1 where it is not known.
    """

    name: str
    values: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True)
class Problem:
    """An image, file or row that was left out, and why."""

    image: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"image": self.image, "reason": self.reason}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """n images in the order of their names, with one label and one split each.

    id: digest of the resolved root, so it stays when images come and go. source: "class-folders" or "metadata-csv".
    images: (n,) StringDType, posix paths relative to `root`, increasing. labels: (n,) int64, 0..k-1.
    splits: (n,) int8, positions in `SPLITS`. attributes: the first one is what evaluation groups by.
    problems: what was left out. notes: sentences for a person about choices made while reading.
    fingerprint: of names, sizes and modification times, see `fingerprint`.
    """

    id: str
    name: str
    root: Path
    source: str
    images: np.ndarray
    labels: np.ndarray
    splits: np.ndarray
    classes: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    fingerprint: str

    def __repr__(self) -> str:
        # the generated one would print every name
        return f"Dataset({str(self.root)!r}, {len(self)} images, classes={self.classes})"

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class; every split and class is there, with 0 where there are none."""
        k = len(self.classes)
        table = np.bincount(self.splits.astype(np.int64) * k + self.labels, minlength=len(SPLITS) * k)
        return {
            split: dict(zip(self.classes, row.tolist(), strict=True))
            for split, row in zip(SPLITS, table.reshape(len(SPLITS), k), strict=True)
        }


def dataset_id(root: Path) -> str:
    return digest(str(root.resolve()))


def fingerprint(names: list[str], sizes: np.ndarray, modified: np.ndarray) -> str:
    """Changes when an image is added, removed, renamed or rewritten; not when labels, splits or attributes change.

    names: in order. sizes: bytes. modified: nanoseconds. The content is not read: a million images would take minutes,
    and a rewritten file has another modification time.
    """
    return digest("\0".join(names), sizes.astype("<i8").tobytes(), modified.astype("<i8").tobytes(), length=24)


def limited(problems: list[Problem]) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """The first `MAX_PROBLEMS`, and a note about the others when there are more."""
    if len(problems) <= MAX_PROBLEMS:
        return tuple(problems), ()
    more = len(problems) - MAX_PROBLEMS
    note = f"{len(problems):,} files or rows were left out; the first {MAX_PROBLEMS:,} are listed, {more:,} are not."
    return tuple(problems[:MAX_PROBLEMS]), (note,)
