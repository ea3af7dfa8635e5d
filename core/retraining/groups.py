"""Groups: class x concept pattern, or class x known attribute. Worst-group accuracy is the minimum over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grouping:
    """codes: (n,) int64, the group of each image, class * len(patterns) + pattern; -1 where it is not known.

    classes: names. patterns: what parts a class into groups ("water", "no water"); one empty pattern means by class
    alone. source: "attribute place", "concept water, estimated by a probe" or "classes". estimated: whether a probe
    guessed the patterns.
    """

    codes: np.ndarray
    classes: tuple[str, ...]
    patterns: tuple[str | None, ...]
    source: str
    estimated: bool = False

    @property
    def count(self) -> int:
        return len(self.classes) * len(self.patterns)

    def name(self, group: int) -> tuple[str, str | None]:
        """Class and pattern of a group."""
        c, pattern = divmod(group, len(self.patterns))
        return self.classes[c], self.patterns[pattern]


def by_class(labels: np.ndarray, classes: Sequence[str]) -> Grouping:
    """The classes themselves, where nothing else is known. labels: (n,)."""
    return Grouping(labels.astype(np.int64), tuple(classes), (None,), "classes")


def by_attribute(
    labels: np.ndarray, classes: Sequence[str], name: str, values: Sequence[str], codes: np.ndarray
) -> Grouping:
    """Class x attribute. codes: (n,) int, -1 unknown."""
    groups = labels.astype(np.int64) * len(values) + codes
    return Grouping(np.where(codes >= 0, groups, -1), tuple(classes), tuple(values), f"attribute {name}")


def by_concepts(
    labels: np.ndarray, classes: Sequence[str], names: Sequence[str], values: np.ndarray, *, estimated: bool
) -> Grouping:
    """Class x joint pattern of concepts.

    values: (n, m) of PRESENT, ABSENT, UNTAGGED for m concepts; an image with an untagged concept has no group. There
    are 2^m patterns, whether they occur or not.
    """
    m = len(names)
    known = (values >= 0).all(axis=1)
    pattern = (np.maximum(values, 0).astype(np.int64) << np.arange(m)).sum(axis=1)
    patterns = tuple(
        ", ".join(name if code >> i & 1 else f"no {name}" for i, name in enumerate(names)) for code in range(2**m)
    )
    noun = "concept" if m == 1 else "concepts"
    source = f"{noun} {', '.join(names)}" + (", estimated by a probe" if estimated else "")
    codes = np.where(known, labels.astype(np.int64) * len(patterns) + pattern, -1)
    return Grouping(codes, tuple(classes), patterns, source, estimated)
