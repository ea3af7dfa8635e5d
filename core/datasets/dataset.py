"""What Midband knows about a set of images before it has opened one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.choices import AUTOMATIC, Choices
from core.errors import BadRequest
from core.files import digest
from core.locks import Share

if TYPE_CHECKING:
    from core.datasets.pictures import Pictures

SPLITS = ("train", "val", "test")
"""Names of the splits; `Dataset.splits` holds positions in this tuple."""

UNLABELLED = "no label"
"""What stands in the place of the class where images have none."""

MAX_PROBLEMS = 10_000
"""Problems listed one by one. A folder with a million stray files needs one sentence, not a million."""

MANY = 4
"""Problems of one folder and one reason that people read as one line."""


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
    """An image, file or row that was left out, and why. count: how many images or rows it stands for."""

    image: str
    reason: str
    count: int = 1

    def to_dict(self) -> dict[str, Any]:
        return {"image": self.image, "reason": self.reason, **({"count": self.count} if self.count > 1 else {})}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """n images in the order of their names, with one label and one split each.

    id: digest of the resolved root, so it stays when images come and go. root: the folder or file that was opened.
    source: name of the `Format`. images: (n,) StringDType, increasing: names that `pictures` can read; for formats
    whose images are files, posix paths relative to `image_folder`. labels: (n,) int64, 0..k-1; all 0 where `classes` is
    empty, because nobody has said what the images show. splits: (n,) int8, positions in `SPLITS`. attributes: the first
    one is what evaluation groups by. problems: what was left out. notes: sentences for a person about choices made
    while reading. fingerprint: of names, sizes and modification times, see `fingerprint`. choices: as they came out:
    opening `root` with them gives the same dataset. marks: (n,) int64, see `marks_of`; None where nobody knows. kept:
    of what was unpacked for it, which stays as long as this dataset or a part of it is in use.
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
    choices: Choices = AUTOMATIC
    marks: np.ndarray | None = None
    kept: Share | None = None

    def __repr__(self) -> str:
        # the generated one would print every name
        return f"Dataset({str(self.root)!r}, {len(self)} images, classes={self.classes})"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> bool:
        return bool(self.classes)

    def need_labels(self) -> None:
        """Raise `BadRequest` where the images have no labels: for whatever takes `labels` for the truth."""
        if not self.labelled:
            raise no_labels(self.name)

    def pictures(self) -> Pictures:
        """Opens images by name; threads may share it."""
        return self._pictures

    @cached_property
    def _pictures(self) -> Pictures:
        from core.datasets.pictures import open_pictures

        return open_pictures(self.root, self.source, self.choices)

    def counts(self) -> dict[str, dict[str, int]]:
        """Images per split and class; every split and class is there, with 0 where there are none. Without labels all
        of them are `UNLABELLED`."""
        classes = self.classes or (UNLABELLED,)
        k = len(classes)
        table = np.bincount(self.splits.astype(np.int64) * k + self.labels, minlength=len(SPLITS) * k)
        return {
            split: dict(zip(classes, row.tolist(), strict=True))
            for split, row in zip(SPLITS, table.reshape(len(SPLITS), k), strict=True)
        }

    def sample(self, count: int, seed: int = 0) -> Dataset:
        """`count` of the images, each split and class with its share and at least one image where they are enough; all
        of them where there are no more. Same `id` and `choices`, own `fingerprint`; a note says so.

        Images are ranked by a keyed hash of their names, so a larger sample holds the smaller one, and images that
        are added later hardly change it.
        """
        if count >= len(self):
            return self
        strata = self.splits.astype(np.int64) * max(len(self.classes), 1) + self.labels
        rows = np.sort(_spread_out(strata, name_ranks(self.images.tolist(), seed))[:count])
        names = self.images[rows]
        marks = None if self.marks is None else self.marks[rows]
        return replace(
            self,
            images=names,
            labels=self.labels[rows],
            splits=self.splits[rows],
            attributes=tuple(replace(one, codes=one.codes[rows]) for one in self.attributes),
            notes=(*self.notes, f"A sample of {len(rows):,} of the {len(self):,} images (seed {seed})."),
            fingerprint=digest(
                self.fingerprint if marks is None else marks.astype("<i8").tobytes(),
                "\0".join(names.tolist()),
                "sample",
                length=24,
            ),
            marks=marks,
        )


def no_labels(name: str) -> BadRequest:
    """What everything says that needs labels, of a dataset of this name that has none."""
    return BadRequest(
        f"The images of {name} have no labels, so nothing can be called right or wrong.",
        next_step="Bands and concepts work all the same; for the rest give the images a folder per class or a column "
        "of labels and analyse them again: what the network computed is kept.",
        title="These images have no labels",
    )


def dataset_id(root: Path) -> str:
    return digest(str(root.resolve()))


def fingerprint(names: list[str], sizes: np.ndarray, modified: np.ndarray) -> str:
    """Changes when an image is added, removed, renamed or rewritten; not when labels, splits or attributes change.

    names: in order. sizes: bytes. modified: nanoseconds. The content is not read: a million images would take minutes,
    and a rewritten file has another modification time.
    """
    return digest("\0".join(names), sizes.astype("<i8").tobytes(), modified.astype("<i8").tobytes(), length=24)


def marks_of(sizes: np.ndarray, modified: np.ndarray) -> np.ndarray:
    """(n,) int64 that changes when a file is rewritten: a hash of its size and modification time, each (n,) int64."""
    with np.errstate(over="ignore"):
        # splitmix64's finaliser (Steele et al. 2014), so that a second more and a byte less do not cancel out
        mixed = modified.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + sizes.astype(np.uint64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).view(np.int64)


def name_ranks(names: list[str], seed: int) -> np.ndarray:
    """(n,) uint64, a keyed hash of each name: an order that is random but the same whatever other names there are."""
    key = seed.to_bytes(8, "little", signed=True)
    hashes = (blake2b(name.encode(), digest_size=8, key=key).digest() for name in names)
    return np.frombuffer(b"".join(hashes), dtype="<u8")


def _spread_out(strata: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """An order (n,) int64 whose every beginning holds about the same share of each stratum, and one image of each
    before the second of any. strata: (n,) int64 >= 0. ranks: (n,) uint64, decide within a stratum."""
    order = np.lexsort((ranks, strata))
    sizes = np.bincount(strata)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(strata), dtype=np.float64)
    place[order] = np.arange(len(strata)) - starts[strata[order]]
    return np.lexsort((ranks, place / sizes[strata]))


def gathered(problems: Sequence[Problem]) -> list[Problem]:
    """For people: those of one folder that have one reason are one, from `MANY` on, named by the first of them. In the
    order of the first ones."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.image.rpartition("/")[0], problem.reason), []).append(problem)
    told = []
    for (folder, reason), group in groups.items():
        if len(group) < MANY:
            told += group
        else:
            there = f" in {folder}" if folder else ""
            told.append(
                Problem(f"{group[0].image} and {len(group) - 1:,} more{there}", reason, sum(one.count for one in group))
            )
    return told


def limited(problems: list[Problem], total: int | None = None) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
    """The first `MAX_PROBLEMS`, and a note about the others when there are more. total: how many there are, where the
    list was cut before."""
    total = len(problems) if total is None else total
    if total <= MAX_PROBLEMS:
        return tuple(problems), ()
    more = total - MAX_PROBLEMS
    note = f"{total:,} files or rows were left out; the first {MAX_PROBLEMS:,} are listed, {more:,} are not."
    return tuple(problems[:MAX_PROBLEMS]), (note,)
