"""Which directions have a suspicious middle: a score of each, one sentence of why, and the band to open.

A direction is judged by the images of one class: its own class, or the one it leans towards. The *middle* is the weak
end of that class (its lowest tenth, at least 30 images): between the class and the others, where an image lies that has
the class but lacks what usually comes along. The *top* is the upper half of the class. Four figures are taken, each in
0..1, with 0 for nothing beyond sampling noise:

    skew    How differently is a known attribute or tagged concept distributed? The gain of a value's share from top to
            middle, of which the lower confidence bound counts (Newcombe 1998, method 10; 97.5% one-sided, divided by
            the number of values): 12 images do not win against 1,200. Times the share of middle and top of which it is
            known (their geometric mean): people tag what is proposed to them, so tags are no random sample, and what
            is known of every image is believed before what a few tags say.
    harm    How much more often are images of the class with that value taken for another class than those without? The
            same bound on the two error rates.
    clump   Do the images of the middle have something in common that sets them apart from their class? The shift of
            their mean in feature space, after removing the direction itself and the axes that lead to other classes,
            less the same for the top, less what chance gives plus two standard errors. In standard deviations of the
            class (a Mahalanobis distance d), told as 2 Phi(d/2) - 1: the share by which two normal distributions at
            that distance differ, hence in the same unit as the skew.
    error   How much more often are images of the middle taken for another class than those of the top? The same bound.

The direction is removed by a line: how features go with the activation among the rest of the class says where the
middle is to be expected, and only the distance from there counts. A class that merely thins out towards its weak end
lies on that line; a group that lacks one thing lies beside it. Blurred or mislabelled images lie on the way to another
class: those axes are removed too. (Wrong labels where there is a confounder bring the other class's confounder along,
and count: nothing but a look at the band can tell them apart.)

    score = 1 - (1 - sqrt(skew * harm)) * (1 - w * sqrt(clump * error))

w is 0.5, for a clump says that something is shared and not what, and 0.9 where no attribute and no concept is known
(of some of the images: in between). A
pattern that does no harm is no shortcut, and an error without a pattern is none either (the middle of whatever tells
classes apart holds more errors), hence the products. From `SUSPICIOUS` on a score is worth a look: classifiers with a
planted shortcut reach it, clean ones stay well below (tests/core/activations/test_scoreboard.py,
benchmarks/bench_scoreboard.py); below some 300 images nothing is certain enough. The demo comes to 0.5, the
same network trained where the background says nothing about the class to 0.29 (it still takes 8% of the waterbirds on
land for landbirds, of those on water hardly any).

The rule, its weights and its threshold are ours; no published score was copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.activations.bands import Range, cuts
from core.activations.catalogue import catalogue as catalogue
from core.activations.curves import percent
from core.activations.directions import OF_LOGITS, Direction, leaning_class, of_block, parse_direction
from core.activations.scores import SUSPICIOUS as SUSPICIOUS
from core.activations.scores import Suspicion as Suspicion
from core.activations.scores import keep, key, restored
from core.activations.skew import COMPARED, Known, Shift, known_of, skew_of
from core.activations.suspicion import (
    CONFIDENCE,
    ClassSpace,
    class_space,
    clumping,
    combined,
    reduced,
    share_gain,
)
from core.errors import MidbandError, NotEnoughTags, NotFound
from core.files import release
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.activations.facets import Facet
    from core.activations.store import Analysis

# images looked at, at least this many per class where there are many classes, but never more than MOST
SAMPLE, PER_CLASS, MOST = 8192, 100, 16_384
# images a class needs to be judged
LEAST = 40
# share of a class that makes its middle and the fewest images it takes, as `proposals.own_low_range`; of a small class
# never more than a quarter
MIDDLE, FEWEST, MOST_OF_CLASS = 0.1, 30, 4
# directions judged at once: 256 columns of 8,192 float64 are 16 MiB
BLOCK = 256
# bytes of logits read at once
READ = 16_000_000
BINS = 24
# a skew from here on, among the images of which it is known, is what the sentence is about
NAMED = 0.05
FIGURES = ("skew", "harm", "clump", "error")
SIZES = ("mid_images", "top_images", "mid_error", "top_error")

ConceptDirection = Callable[[str], tuple[np.ndarray, float]]


@dataclass(frozen=True, eq=False)
class _Sample:
    """Images looked at, grouped by class.

    rows: (m,) ascending within a class. labels: (m,) int64. starts: (k+1,) where each class begins. features: (m, d)
    float32. wrong: (m,) bool. axes: (m, p) float32, standardised features reduced to what varies most within the
    classes. known: the attributes and concepts, codes of these rows.
    """

    rows: np.ndarray
    labels: np.ndarray
    starts: np.ndarray
    features: np.ndarray
    wrong: np.ndarray
    axes: np.ndarray
    known: tuple[Known, ...]


def scoreboard(
    analysis: Analysis,
    specs: Sequence[str],
    *,
    rows: np.ndarray | None = None,
    facets: Sequence[Facet] = (),
    concept: ConceptDirection | None = None,
    strict: bool = False,
    progress: Progress = silent,
) -> tuple[Suspicion, ...]:
    """Directions by how suspicious their middle looks, the worst first; ties keep the order of `specs`.

    rows: (n,) bool or (m,) int, which images count; val when left out, all where there is no val. facets: attributes
    and tagged concepts are used, the others passed over; images not tagged count as unknown. At most 16,384 images are
    looked at, evenly over the classes and the same ones each time. Results are kept in the analysis's folder.
    Directions that are no longer there (a vector removed since the list was made, a concept that lost its tags) are
    left out; `NotFound` or `NotEnoughTags` is raised where that leaves none, and for each of them when strict.
    """
    sampled = _sampled(analysis, rows)
    usable = (facet for facet in facets if facet.spec.startswith(("attribute:", "concept:")) and len(facet.values) > 1)
    known = tuple(known_of(facet, sampled) for facet in usable)
    gone: list[MidbandError] = []

    def found(spec: str) -> Direction | None:
        try:
            return parse_direction(spec, analysis, concept=concept)
        except (NotFound, NotEnoughTags) as error:
            if strict:
                raise
            gone.append(error)
            return None

    # the weights of these change under the same name: read once, for the key and for the comparison
    changing = {spec: found(spec) for spec in specs if spec.partition(":")[0] in ("concept", "vector")}
    specs = [spec for spec in specs if changing.get(spec, True)]
    if gone and not specs:
        raise gone[0]
    file = analysis.folder / "scoreboard" / f"{key(analysis, specs, sampled, known, changing, strict)}.json"
    kept = restored(file)
    if kept is not None:
        return kept
    progress(0, len(specs), "Reading features")
    sample = _read(analysis, sampled, known)
    spaces: dict[int, ClassSpace | None] = {}
    judged: list[Suspicion] = []
    for start in range(0, len(specs), BLOCK):
        progress(start, len(specs), "Comparing middle and top")
        parsed = [changing.get(spec) or found(spec) for spec in specs[start : start + BLOCK]]
        judged += _judge(analysis, sample, [direction for direction in parsed if direction], spaces)
    progress(len(specs), len(specs), "Comparing middle and top")
    if gone and not judged:
        raise gone[0]
    judged.sort(key=lambda one: -one.score)
    keep(file, judged)
    return tuple(judged)


def _sampled(analysis: Analysis, rows: np.ndarray | None) -> np.ndarray:
    """Rows looked at: (m,) int64, sorted by class, then by row."""
    if rows is None:
        candidates = analysis.split_rows("val")
        candidates = candidates if len(candidates) else np.arange(analysis.n)
    else:
        chosen = np.asarray(rows)
        candidates = np.flatnonzero(chosen) if chosen.dtype == bool else np.unique(chosen)
    labels = np.asarray(analysis.labels[candidates])
    order = np.argsort(labels, kind="stable")
    candidates, labels = candidates[order], labels[order]
    room = min(max(SAMPLE, PER_CLASS * analysis.k), MOST)
    if len(candidates) <= room:
        return candidates.astype(np.int64)
    sizes = np.bincount(labels, minlength=analysis.k)
    allowed = _even_share(sizes, room)
    rng = np.random.default_rng(0)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    kept = [
        start + np.sort(rng.choice(size, allow, replace=False))
        for start, size, allow in zip(ends[:-1], sizes, allowed, strict=True)
    ]
    return candidates[np.concatenate(kept)].astype(np.int64)


def _even_share(sizes: np.ndarray, room: int) -> np.ndarray:
    """How many of each class: all of the small ones, the rest shared evenly. (k,) int64, at most `room` in all."""
    allowed = np.zeros(len(sizes), dtype=np.int64)
    left = room
    for place, index in enumerate(np.argsort(sizes, kind="stable")):
        allowed[index] = min(sizes[index], left // (len(sizes) - place))
        left -= allowed[index]
    return allowed


def _read(analysis: Analysis, rows: np.ndarray, known: tuple[Known, ...]) -> _Sample:
    labels = np.asarray(analysis.labels[rows])
    ascending = np.argsort(rows, kind="stable")
    features = np.empty((len(rows), analysis.d), dtype=np.float32)
    # in the order of the file, which a disk reads several times faster
    features[ascending] = analysis.features[rows[ascending]]
    starts = np.searchsorted(labels, np.arange(analysis.k + 1))
    return _Sample(
        rows=rows,
        labels=labels,
        starts=starts,
        features=features,
        wrong=np.asarray(analysis.predicted[rows]) != labels,
        axes=reduced(features, starts),
        known=known,
    )


def _judge(
    analysis: Analysis, sample: _Sample, block: Sequence[Direction], spaces: dict[int, ClassSpace | None]
) -> list[Suspicion]:
    if not block:
        return []
    values = _activations(analysis, sample, block)
    finite = np.isfinite(values)
    leaning = np.array(
        [
            leaning_class(column, sample.labels, analysis.k) if direction.own_class is None else direction.own_class
            for direction, column in zip(block, np.ascontiguousarray(values.T), strict=True)
        ]
    )
    found: list[Suspicion | None] = [None] * len(block)
    # each direction's images in order, not a number last
    ordered = np.sort(np.where(finite, values, np.float32(np.nan)).T, axis=1)
    for c in np.unique(leaning):
        columns = np.flatnonzero(leaning == c)
        own = slice(int(sample.starts[c]), int(sample.starts[c + 1]))
        if c not in spaces:
            spaces[c] = class_space(sample.axes, sample.starts, int(c))
        name = analysis.classes[c]
        verdicts = _compare(values[own][:, columns], finite[own][:, columns], sample, own, spaces[c], name)
        for column, verdict in zip(columns.tolist(), verdicts, strict=True):
            found[column] = _suspicion(block[column], ordered[column, : int(finite[:, column].sum())], name, verdict)
    return [one for one in found if one is not None]


def _activations(analysis: Analysis, sample: _Sample, block: Sequence[Direction]) -> np.ndarray:
    """(m, directions) float32."""
    values = np.empty((len(sample.rows), len(block)), dtype=np.float32)
    neurons = [column for column, direction in enumerate(block) if direction.kind == "neuron"]
    of_logits = [column for column, direction in enumerate(block) if direction.kind in OF_LOGITS]
    others = sorted({*range(len(block))} - {*neurons, *of_logits})
    values[:, neurons] = sample.features[:, [int(block[column].spec.partition(":")[2]) for column in neurons]]
    if others:
        values[:, others] = of_block(sample.features, [block[column] for column in others])
    if of_logits:
        # some rows at a time, in the order of the file: with many classes all logits would not fit into memory
        ascending = np.argsort(sample.rows, kind="stable")
        step = max(1, READ // (analysis.k * analysis.logits.itemsize))
        for start in range(0, len(ascending), step):
            places = ascending[start : start + step]
            logits = np.asarray(analysis.logits[sample.rows[places]])
            values[places[:, None], of_logits] = of_block(logits, [block[column] for column in of_logits])
        release(analysis.logits)
    return values


@dataclass(frozen=True)
class _Verdict:
    """low, middle: the middle is low <= activation <= middle. upper: where the top begins. Not finite where the class
    has no finite activation."""

    low: float
    middle: float
    upper: float
    evidence: dict[str, float]
    tells: str
    why: str
    score: float


def _compare(
    values: np.ndarray, finite: np.ndarray, sample: _Sample, own: slice, space: ClassSpace | None, name: str
) -> list[_Verdict]:
    """values: (n, directions) of one class's images."""
    count = finite.sum(axis=0)
    total = values.shape[1]
    ordered = np.sort(np.where(finite, values, np.nan), axis=0)
    places = np.arange(total)
    size = np.maximum(np.round(MIDDLE * count), np.minimum(FEWEST, count // MOST_OF_CLASS)).astype(int)
    if len(ordered):
        last = np.clip(size - 1, 0, np.maximum(count - 1, 0))
        low, middle, median = ordered[0], ordered[last, places], ordered[count // 2, places]
    else:
        low = middle = median = np.full(total, np.nan, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        in_middle = finite & (values <= middle)
        above = np.where(finite & (values > middle), values, np.inf).min(axis=0, initial=np.inf)
        # where many images are equal the median may lie in the middle: the top begins above it
        upper = np.where(median > middle, median, above)
        in_top = finite & (values >= upper)
    usable = (count >= LEAST) & np.isfinite(upper) & (in_top.sum(axis=0) >= COMPARED)
    m, t = in_middle.astype(np.float32), in_top.astype(np.float32)
    sizes = np.stack([in_middle.sum(axis=0), in_top.sum(axis=0)]).astype(np.float64)
    wrong = sample.wrong[own].astype(np.float32)
    errors = np.stack([wrong @ m, wrong @ t]).astype(np.float64)
    error = share_gain(errors[0], sizes[0], errors[1], sizes[1], CONFIDENCE)
    skews = [skew_of(known, own, m, t, sample.wrong[own]) for known in sample.known]
    clump = clumping(values, finite, m, t, space) if space is not None else np.zeros(total)
    verdicts = []
    for j in range(total):
        ends = float(low[j]), float(middle[j]), float(upper[j])
        if not usable[j]:
            why = (
                f"Only {count[j]:,} images of {name}: too few to compare its middle with its top."
                if count[j] < LEAST
                else f"Most images of {name} have the same activation: there is no middle to compare with a top."
            )
            evidence = {**dict.fromkeys((*FIGURES, *SIZES), 0.0), "images": float(count[j])}
            verdicts.append(_Verdict(*ends, evidence, "few" if count[j] < LEAST else "the same", why, 0.0))
            continue
        shift = max((one.at(j) for one in skews), key=lambda one: one.rank, default=None)
        figures = (shift.skew, shift.harm) if shift and shift.skew else (0.0, 0.0)
        evidence = {
            **dict(zip(FIGURES, (*figures, float(clump[j]), float(error[j])), strict=True)),
            "images": float(count[j]),
            "mid_images": float(sizes[0, j]),
            "top_images": float(sizes[1, j]),
            "mid_error": float(errors[0, j] / sizes[0, j]),
            "top_error": float(errors[1, j] / sizes[1, j]),
        }
        if shift and shift.skew:
            evidence |= shift.evidence
        score = combined(
            skew=figures[0],
            harm=figures[1],
            clump=evidence["clump"],
            error=evidence["error"],
            known=max((float(one.coverage[j]) for one in skews if one.compared[j]), default=0.0),
        )
        verdicts.append(_Verdict(*ends, evidence, *_told(name, evidence, shift), score))
    return verdicts


def _told(name: str, evidence: dict[str, float], shift: Shift | None) -> tuple[str, str]:
    """What is found, without its figures and with them."""
    errors = (
        f"{percent(evidence['mid_error'])} are taken for another class; at the top {percent(evidence['top_error'])}."
    )
    # what can be named says more than that there is something
    if shift is not None and shift.gain >= NAMED:
        tells = f"{shift.known.spec}={shift.value}"
        kind, _, title = shift.known.spec.partition(":")
        if kind == "attribute":
            mid, top = map(percent, shift.shares)
            shown = f"of the {name} images in the middle have {shift.known.title} “{shift.value}”"
            return tells, f"{mid} {shown}; at the top {top}."
        verb = "show" if shift.value == "present" else "do not show"
        (mid_shown, top_shown), (mid_known, top_known) = shift.shown, shift.of
        return tells, (
            f"{mid_shown:,} of the {mid_known:,} tagged {name} images in the middle {verb} “{title}”; "
            f"at the top {top_shown:,} of {top_known:,}. Tags are no random sample."
        )
    if evidence["clump"] > 0:
        apart = f"The {name} images in the middle share something that sets them apart from their class"
        if evidence["error"] > 0:
            return "apart and wrong", f"{apart}, and {errors}"
        return "apart", f"{apart}."
    if evidence["error"] > 0:
        return "wrong", f"Of the {name} images in the middle, {errors} Nothing else sets them apart."
    return "nothing", f"The {name} images in the middle look like those at the top."


def _suspicion(direction: Direction, values: np.ndarray, name: str, verdict: _Verdict) -> Suspicion:
    """values: the finite activations of all images looked at, ascending."""
    lowest, highest = (float(values[0]), float(values[-1])) if len(values) else (0.0, 0.0)
    if highest > lowest:
        edges = np.linspace(lowest, highest, BINS + 1)
        counts = np.diff(cuts(values, edges)).tolist()
    else:
        # a single value: everything stands in the middle of the picture
        counts = [0] * BINS
        counts[BINS // 2] = len(values)
    ends = [end if math.isfinite(end) else 0.0 for end in (verdict.low, verdict.middle, verdict.upper)]
    mid = Range(ends[0], ends[1], f"The weakest images of {name}.")
    top = Range(ends[2], max(highest, ends[2]), f"The upper half of the images of {name}.")
    return Suspicion(
        spec=direction.spec,
        title=direction.title,
        kind=direction.kind,
        score=verdict.score,
        class_name=name,
        mid=mid,
        top=top,
        tells=verdict.tells,
        why=verdict.why,
        evidence=verdict.evidence,
        counts=tuple(counts),
        limits=(lowest, highest),
    )
