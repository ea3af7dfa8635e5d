"""What a probe learns from: the tagged images and the assumed majority, and their features, ready to fit on.

What does not depend on tags is worked out once per analysis and kept (`Ground`): the scaling, the top halves and their
standardised features. A tag more then costs one row of features, whatever the number of images.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.softmax import Scaling, scaling_of
from core.concepts.concept import Concept
from core.concepts.labels import label_verdicts
from core.concepts.majority import Usual, top_half, usual_values
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, tagging_split
from core.errors import NotEnoughTags
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# Assumed images that are used, and tagged ones: of more, small cells give all and large ones a number each. Cells
# weigh the same anyway, so what is lost is precision where there is plenty (figures: benchmarks/bench_probe.py).
MOST = 10_000
# images the scaling is taken from: the mean of as many is within a hundredth of a standard deviation
_SCALED = 20_000
# entries of features that are gathered at once
_BLOCK = 262_144
# entries from which a second thread is worth waking
_ALONE = 2_000_000
# analyses whose ground is kept: at most 80 MB each for 2,048 features
_GROUNDS = 2


@dataclass(frozen=True, eq=False)
class Ground:
    """What all probes of an analysis stand on, as if images with broken features (NaN or infinite) were not there.

    pool: (m,) int64 rows that may be tagged for curation. whole: (n,) bool, features not known to be broken: logits
    tell it of most, and `looked` (n,) bool says whose features were looked at. scaling: over the pool. top: (n,) bool,
    the top half of each class by its own logit. rows: (r,) int64, first the `assumable` ones, which are the pool's top
    halves, at most `MOST`; then the rest of the pool where all of it is that small. features: (r, d) float32,
    standardised. place: (n,) int32, where each row is among `rows`, -1 where it is not.
    """

    pool: np.ndarray
    whole: np.ndarray
    looked: np.ndarray
    scaling: Scaling
    top: np.ndarray
    rows: np.ndarray
    assumable: int
    features: np.ndarray
    place: np.ndarray
    # what it was made of: arrays are compared by identity, and must not be freed while they are
    made_of: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """rows: (t,) int64, increasing. values: (t,) of 0 and 1. labels: (t,), corrected where a person did. tagged: (t,)
    bool, False for the assumed majority. top: (t,) bool, the top half of the class by its own logit. usual: what the
    tags there say, see `usual_values`. open: (o,) int64 rows that would be assumed, had their class a usual value."""

    rows: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    tagged: np.ndarray
    top: np.ndarray
    usual: Usual
    open: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Class x value of each image: (t,) int64."""
        return self.labels * 2 + self.values

    def says_the_same(self, other: Evidence) -> bool:
        """Whether probes learn the same from the other, those fitted on parts of it too."""
        mine, theirs = (
            (one.rows, one.values, one.labels, one.tagged, one.top, one.open, one.usual.present, one.usual.absent)
            for one in (self, other)
        )
        return all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))

    def count(self, value: int) -> int:
        """Tags of one value."""
        return int((self.tagged & (self.values == value)).sum())


@dataclass(eq=False)
class _Place:
    """Where a ground is kept, or is being made. made_of: as of `Ground`, from the start."""

    made_of: tuple[np.ndarray, ...]
    lock: Lock = field(default_factory=Lock)
    ground: Ground | None = None


_grounds: OrderedDict[Hashable, _Place] = OrderedDict()
_lock = Lock()


def ground(analysis: Analysis) -> Ground:
    """The ground of an analysis, made when first asked for. Two threads that ask at once wait for one, and for no
    other analysis."""
    made_of = (analysis.features, analysis.logits, analysis.labels, analysis.splits)
    key = tuple(map(id, made_of))
    with _lock:
        place = _grounds.setdefault(key, _Place(made_of))
        _grounds.move_to_end(key)
        while len(_grounds) > _GROUNDS:
            _grounds.popitem(last=False)
    with place.lock:
        if place.ground is None:
            place.ground = _ground(analysis, made_of)
        return place.ground


def _ground(analysis: Analysis, made_of: tuple[np.ndarray, ...]) -> Ground:
    logits, labels = np.asarray(analysis.logits), np.asarray(analysis.labels)
    whole = np.isfinite(logits).all(axis=1)
    while True:
        pool = analysis.split_rows(tagging_split(analysis))
        pool = pool[whole[pool]]
        held_out = np.zeros(analysis.n, dtype=bool)
        held_out[pool] = True
        top = top_half(logits, labels, held_out) & whole
        candidates = np.flatnonzero(top & held_out)
        rows = candidates[spread_evenly(labels[candidates], MOST)]
        assumable = len(rows)
        if len(pool) <= MOST:
            rows = np.concatenate([rows, np.flatnonzero(held_out & ~top)])
        features, sums = _gathered(analysis.features, rows)
        broken = rows[~np.isfinite(sums)]
        if not len(broken):
            break
        whole[broken] = False
    scaling = _standardise(features) if len(rows) == len(pool) else _scaling(analysis.features, pool)
    _in_place(features, scaling)
    place = np.full(analysis.n, -1, dtype=np.int32)
    place[rows] = np.arange(len(rows))
    return Ground(pool, whole, place >= 0, scaling, top, rows, assumable, features, place, made_of)


def evidence(workspace: Workspace, analysis: Analysis, concept: Concept) -> Evidence:
    """The tags of a concept outside test, and the assumed majority of the pool.

    Images whose label was judged wrong are left out, or count in the class a person gave them; neither they nor images
    somebody was unsure about are assumed to show what is usual.
    """
    base = ground(analysis)
    states = answers(workspace, analysis, concept)
    verdicts = label_verdicts(workspace, analysis)
    states[analysis.split_rows("test")] = UNTAGGED
    usable = ~verdicts.excluded & base.whole
    tagged = (states >= 0) & usable
    top = _tops(analysis, base, verdicts.labels)
    usual = usual_values(
        np.where(tagged, states, UNTAGGED).astype(np.int8), verdicts.labels, top, analysis.classes, concept.name
    )
    candidates = base.rows[: base.assumable]
    candidates = candidates[
        usable[candidates]
        & (states[candidates] == UNTAGGED)
        & (verdicts.labels[candidates] == analysis.labels[candidates])
    ]
    clear = usual.values[verdicts.labels[candidates]] != UNTAGGED
    said = np.flatnonzero(tagged)
    if len(said) > MOST:
        said = said[spread_evenly(verdicts.labels[said] * 2 + states[said], MOST)]
    new = said[~base.looked[said]]
    broken = new[~_whole(analysis.features, new)]
    base.whole[broken] = False
    base.looked[new] = True
    if len(broken):
        return evidence(workspace, analysis, concept)
    rows = np.union1d(said, candidates[clear])
    labels = verdicts.labels[rows]
    values = np.where(tagged[rows], states[rows], usual.values[labels]).astype(np.int64)
    return Evidence(rows, values, labels, tagged[rows], top[rows], usual, candidates[~clear])


def _tops(analysis: Analysis, base: Ground, labels: np.ndarray) -> np.ndarray:
    """`Ground.top` where people corrected labels: (n,) bool. What an image was given to first says nothing of where it
    stands in its new class."""
    given = np.asarray(analysis.labels)
    moved = np.flatnonzero(labels != given)
    if not len(moved):
        return base.top
    top = base.top.copy()
    for c in np.unique(labels[moved]).tolist():
        members, own = base.pool[given[base.pool] == c], moved[labels[moved] == c]
        top[own] = analysis.logits[own, c] > np.median(analysis.logits[members, c]) if len(members) else False
    return top


def design(analysis: Analysis, known: Evidence, weights: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Evidence as `logistic_regression` takes it: features, values (r,), weights (r,) or (r, K).

    The ground's features are used where they lie; those of images that are no evidence weigh nothing. weights: (t,) or
    (t, K).
    """
    base = ground(analysis)
    place = base.place[known.rows]
    later = place >= base.assumable
    # where most of the pool is tagged it is used as it lies, too; a few images are copied behind the others
    end = len(base.rows) if 2 * later.sum() > len(base.rows) - base.assumable else base.assumable
    there = (place >= 0) & (place < end)
    values = np.zeros(end, dtype=np.int64)
    shares = np.zeros((end, *weights.shape[1:]))
    values[place[there]], shares[place[there]] = known.values[there], weights[there]
    return (
        [base.features[:end], scaled(analysis.features, known.rows[~there], base.scaling)],
        np.concatenate([values, known.values[~there]]),
        np.concatenate([shares, weights[~there]]),
    )


def check_both_values(found: Evidence, concept: Concept) -> None:
    """Raise `NotEnoughTags` unless images are tagged present and others absent."""
    for value, word in ((PRESENT, "present"), (ABSENT, "absent")):
        if not found.count(value):
            raise NotEnoughTags(
                f"No image outside test is tagged {word} for {concept.name}, so nothing can be told apart.",
                next_step=f"Tag a few images as {word}; “tag next” proposes some.",
            )


def spread_evenly(cells: np.ndarray, most: int) -> np.ndarray:
    """At most about `most` positions (p,) int64, increasing: small cells whole, large ones in equal numbers, taken
    evenly from their first to their last; of no cell none. cells: (m,) int."""
    _, position, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    if len(cells) <= most:
        return np.arange(len(cells))
    share, left, open_cells = 0, most, len(sizes)
    for size in np.sort(sizes):
        share = left // open_cells
        if size > share:
            break
        left, open_cells = left - int(size), open_cells - 1
    chosen = []
    for cell, size in enumerate(sizes):
        members = np.flatnonzero(position == cell)
        kept = min(int(size), max(share, 1))
        chosen.append(members[((np.arange(kept) + 0.5) * size / kept).astype(np.int64)])
    return np.sort(np.concatenate(chosen))


def scaled(features: np.ndarray, rows: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Standardised features of some rows, (r, d) float32, read a block at a time."""
    result, _ = _gathered(features, rows)
    _in_place(result, scaling)
    return result


def _gathered(features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of some rows, (r, d) float32, and the sum of each, (r,), which is not finite where they are not."""
    result = np.empty((len(rows), features.shape[1]), dtype=np.float32)
    sums = np.empty(len(rows), dtype=np.float32)

    def copy(part: slice) -> None:
        chosen = rows[part]
        if features.dtype == np.float32:
            np.take(features, chosen, axis=0, out=result[part], mode="clip")
        else:
            result[part] = features[chosen]
        with np.errstate(invalid="ignore", over="ignore"):
            np.einsum("ij->i", result[part], out=sums[part])

    _by_two(copy, len(rows), features.shape[1])
    return result, sums


def _standardise(features: np.ndarray) -> Scaling:
    """`standardise` of features at hand, (r, d) float32."""
    near = _near(features[:64])
    size = _size(features.shape[1])
    # added up in one order, whichever thread is first
    sums = np.zeros((2, -(-len(features) // size), features.shape[1]))

    def add(part: slice) -> None:
        sums[:, part.start // size] = _sums(features[part], near)

    _by_two(add, *features.shape)
    total, squares = sums.sum(axis=1)
    return _scaling_of(total, squares, near, len(features))


def _in_place(features: np.ndarray, scaling: Scaling) -> None:
    mean, inverse = scaling.mean.astype(np.float32), (1 / scaling.scale).astype(np.float32)

    def standardise(part: slice) -> None:
        features[part] -= mean
        features[part] *= inverse

    _by_two(standardise, *features.shape)


def _by_two(work: Callable[[slice], None], n: int, d: int) -> None:
    """Work on all of n rows, a block at a time; a second thread takes every other one where it is worth it."""
    size = _size(d)
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    if n * d < _ALONE:
        for part in parts:
            work(part)
        return

    def those(parts: list[slice]) -> None:
        for part in parts:
            work(part)

    with ThreadPoolExecutor(max_workers=1) as other:
        rest = other.submit(those, parts[1::2])
        those(parts[::2])
        rest.result()


def log_odds(features: np.ndarray, rows: np.ndarray, weight: np.ndarray, bias: np.ndarray | float) -> np.ndarray:
    """features @ weight + bias of some rows, read a block at a time: (r,) float64, or (r, K) for weight (d, K)."""
    single = weight.astype(np.float32)
    result = np.empty((len(rows), *weight.shape[1:]))
    for part, block in _blocks(features, rows):
        result[part] = block @ single + np.asarray(bias, dtype=np.float32)
    return result


def _scaling(features: np.ndarray, rows: np.ndarray) -> Scaling:
    """`standardise` of some rows, of `_SCALED` evenly spaced ones where there are more. Broken ones are left out."""
    if len(rows) > _SCALED:
        rows = rows[np.linspace(0, len(rows) - 1, _SCALED).astype(np.int64)]
    rows = rows[_whole(features, rows)]
    near = _near(np.asarray(features[rows[:64]], dtype=np.float32))
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for _, block in _blocks(features, rows):
        once, twice = _sums(block, near)
        total += once
        squares += twice
    return _scaling_of(total, squares, near, len(rows))


def _whole(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Whether the features of some rows are finite: (r,) bool."""
    result = np.empty(len(rows), dtype=bool)
    for part, block in _blocks(features, rows):
        result[part] = np.isfinite(block).all(axis=1)
    return result


def _near(features: np.ndarray) -> np.ndarray:
    """A value (d,) near the features: sums are taken around it, or they would swallow the deviation of a feature far
    from 0."""
    return features.mean(axis=0) if len(features) else np.zeros(features.shape[1], dtype=np.float32)


def _sums(block: np.ndarray, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the distances to a value near, and of their squares: (d,) each."""
    away = np.subtract(block, near, dtype=np.float32)
    once = np.ones(len(away), dtype=np.float32) @ away
    return once, np.einsum("ij,ij->j", away, away)


def _scaling_of(total: np.ndarray, squares: np.ndarray, near: np.ndarray, count: int) -> Scaling:
    mean = total / max(count, 1)
    variance = np.maximum(squares / max(count, 1) - mean**2, 0)
    return scaling_of(mean + near, np.sqrt(variance))


def _size(d: int) -> int:
    return max(16, _BLOCK // d)


def _blocks(features: np.ndarray, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    size = _size(features.shape[1])
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        first, last = int(chosen[0]), int(chosen[-1])
        # neighbours are read where they lie
        together = last - first == len(chosen) - 1 and bool((np.diff(chosen) == 1).all())
        yield slice(start, start + len(chosen)), features[first : last + 1] if together else features[chosen]
