"""Where one image stands along each direction: its value, its rank among all images and among its own class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import bounds
from core.activations.directions import COMPONENTS, Direction, parse_direction
from core.activations.facets import Facet
from core.activations.index import BandIndex, axis_edges, counts_between, facet_index, histogram, open_index

if TYPE_CHECKING:
    from core.activations.store import Analysis

# bins of a strip plot at most: as many as can be told apart in the width of a card
BINS = 48
# classes whose logits are all looked at; of more, the strongest few
FEW_CLASSES = 6
STRONGEST = 4
COMPONENTS_SHOWN = 3
# Multiplications that principal components may cost an image that is merely looked at (they are kept once they are
# there): about a second on one core.
REACH = 3e10


@dataclass(frozen=True)
class Standing:
    """One image along one direction.

    value: its activation, None where that is not a number. percentile: share (0..1) of the images with a finite
    activation that lie below it, its equals counting half (itself among them); None where its own is not finite.
    own_percentile: the same among the images of its label. edges: (b+1,) increasing, as bins hold them. counts:
    images per bin, own_counts: those of its label.
    """

    spec: str
    title: str
    value: float | None
    percentile: float | None
    own_percentile: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    own_counts: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.spec,
            "title": self.title,
            "value": self.value,
            "percentile": self.percentile,
            "own_percentile": self.own_percentile,
            "low": self.edges[0],
            "high": self.edges[-1],
        }


@dataclass(frozen=True)
class Company:
    """What some images are next to one of them: how many, how many share its label, on how many the model is right."""

    images: int
    same: int
    right: int


def company(analysis: Analysis, row: int, others: np.ndarray) -> Company:
    """others: (m,) int rows, such as the nearest images of `row`; m may be 0."""
    labels = analysis.labels[others]
    return Company(
        images=len(labels),
        same=int(np.count_nonzero(labels == analysis.labels[row])),
        right=int(np.count_nonzero(labels == analysis.predicted[others])),
    )


def standing(analysis: Analysis, direction: Direction, row: int) -> Standing:
    """Where the image of a row stands. Sorts the direction's activations on first use, as looking at its bands does."""
    return place(open_index(analysis, direction), direction, row, analysis.labels)


def place(index: BandIndex, direction: Direction, row: int, labels: np.ndarray) -> Standing:
    """`standing` from an index of all images. labels: (n,) int."""
    own = Facet("own", "of its class", ("other", "own"), (labels == labels[row]).astype(np.int8))
    facets = facet_index(index, own)
    edges = axis_edges(index, BINS, scale="value")
    counts = histogram(index, edges, facets).counts
    # read from the index: computed once more, the activation may differ in its last digit
    value = float(index.values[int(np.flatnonzero(index.order == row)[0])])
    percentile = own_percentile = None
    if np.isfinite(value):
        first, last = index.finite
        start, stop = bounds(index.values, value, value, closed=True)
        below, level = counts_between(facets, first, start), counts_between(facets, start, stop)
        every = counts_between(facets, first, last)
        percentile = float((below + level / 2).sum() / every.sum())
        own_percentile = float((below[1] + level[1] / 2) / every[1])
    return Standing(
        spec=direction.spec,
        title=direction.title,
        value=None if np.isnan(value) else value,
        percentile=percentile,
        own_percentile=own_percentile,
        edges=tuple(edges.tolist()),
        counts=tuple(counts.sum(axis=0).tolist()),
        own_counts=tuple(counts[1].tolist()),
    )


def telling_directions(
    analysis: Analysis, row: int, *, current: Direction | None = None, concepts: Iterable[Direction] = ()
) -> tuple[Direction, ...]:
    """The directions worth looking at for an image, each once.

    The current one; every class's logit, or with many classes those of its strongest ones and its label; the concepts'
    directions as given; the first principal components, unless they would have to be computed from very many features.
    """
    found = [] if current is None else [current]
    found += [parse_direction(f"logit:{analysis.classes[index]}", analysis) for index in telling_classes(analysis, row)]
    found += concepts
    known = (analysis.folder / "sorted" / "principal-components.npy").is_file()
    if known or (analysis.n + COMPONENTS) * analysis.d**2 <= REACH:
        count = min(COMPONENTS_SHOWN, analysis.d)
        found += [parse_direction(f"pc:{index}", analysis) for index in range(count)]
    once: dict[str, Direction] = {}
    for direction in found:
        once.setdefault(direction.spec, direction)
    return tuple(once.values())


def telling_classes(analysis: Analysis, row: int, *, few: int = FEW_CLASSES, strongest: int = STRONGEST) -> list[int]:
    """All classes where there are at most `few`, in their order; else the image's strongest ones, then its label."""
    if analysis.k <= few:
        return list(range(analysis.k))
    order = strongest_first(analysis.logits[row])[:strongest].tolist()
    label = int(analysis.labels[row])
    return order if label in order else [*order, label]


def strongest_first(logits: np.ndarray) -> np.ndarray:
    """Classes (k,) int64 by falling logit; what is not a number comes last, ties in the order of the classes."""
    # NaN is sorted last
    return np.argsort(-np.asarray(logits, dtype=np.float64), kind="stable")


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Softmax of one image's logits: (k,) float64, NaN where a logit is not a number or several are infinite."""
    values = np.asarray(logits, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        exponentials = np.exp(values - values.max())
        return np.asarray(exponentials / exponentials.sum())


def standings(analysis: Analysis, directions: Sequence[Direction], row: int) -> tuple[Standing, ...]:
    """`standing` in each direction, in order."""
    return tuple(standing(analysis, direction, row) for direction in directions)
