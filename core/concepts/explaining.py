"""Which concept or attribute best explains the model's errors.

Within each class, the images that show something are compared with those that do not: how often is the model wrong? A
class is its own control, so that a class that is hard anyway explains nothing. Compared are the images outside train
(the model has seen train, where it is rarely wrong) of which the answer is known.

difference   error rate with minus error rate without; 95% interval: Newcombe 1998, hybrid score (his method 10).
odds ratio   of being wrong, each count plus one half (Haldane 1940, Anscombe 1956). Unlike rates it stays true where
             people tagged images because the model was wrong on them, or nearly so.
p            Fisher's exact test, two-sided.
adjusted     p after Benjamini & Yekutieli 2001, over all comparisons made: where nothing explains anything, the chance
             of raising even one is at most `LEVEL`, however the concepts depend on each other.

Raised is what has an adjusted p of at most `LEVEL` and an interval that begins beyond `LEAST_DIFFERENCE`. Ranked first
is what was raised, then by the difference that is certain: the end of the interval that is nearer to none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.curves import percent, wilson
from core.concepts.associations import Z, attribute_states, told_apart
from core.concepts.concept import list_concepts
from core.concepts.tags import ABSENT, PRESENT, tag_states
from core.datasets.dataset import SPLITS
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEVEL = 0.01
# fractions of the images: what is smaller is not worth a person's time
LEAST_DIFFERENCE = 0.02
# images with and images without that a comparison needs
LEAST_IMAGES = 5


@dataclass(frozen=True, eq=False)
class Trait:
    """Something an image shows or does not. states: (n,) int8, PRESENT, ABSENT, else unknown.

    spec: "concept:NAME" or "attribute:NAME=VALUE". name: of the concept or attribute. value: of the attribute, None for
    a concept. other: the value of an attribute of two that is not this one. tagged: known only where people said so.
    """

    spec: str
    name: str
    value: str | None
    states: np.ndarray
    other: str | None = None
    tagged: bool = False


@dataclass(frozen=True)
class Explanation:
    """A trait among the images of one class. difference, low, high: error rate with minus without.

    excess: errors that would not be there if the worse side were as good as the better one; share: of all errors of
    the images compared in this class.
    """

    spec: str
    name: str
    value: str | None
    class_name: str
    errors_with: int
    count_with: int
    errors_without: int
    count_without: int
    difference: float
    low: float
    high: float
    odds_ratio: float
    odds_low: float
    odds_high: float
    excess: float
    share: float
    p: float
    adjusted: float
    raised: bool
    tagged: bool
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "spec": self.spec,
            "name": self.name,
            "value": self.value,
            "class": self.class_name,
            "errors_with": self.errors_with,
            "count_with": self.count_with,
            "errors_without": self.errors_without,
            "count_without": self.count_without,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "odds_ratio": self.odds_ratio,
            "odds_low": self.odds_low,
            "odds_high": self.odds_high,
            "excess": self.excess,
            "share": self.share,
            "p": self.p,
            "adjusted": self.adjusted,
            "raised": self.raised,
            "tagged": self.tagged,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class ErrorReport:
    """splits: whose images were compared. images, errors: of these splits. compared: how many comparisons were made.

    sentence: the answer in one. notes: sentences a person needs to read the figures. unjudged: tagged concepts that
    could be compared in no class, each with the reason.
    """

    splits: tuple[str, ...]
    images: int
    errors: int
    compared: int
    explanations: tuple[Explanation, ...]
    sentence: str
    notes: tuple[str, ...]
    unjudged: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "splits": list(self.splits),
            "images": self.images,
            "errors": self.errors,
            "compared": self.compared,
            "explanations": [one.to_dict() for one in self.explanations],
            "sentence": self.sentence,
            "notes": list(self.notes),
            "unjudged": [{"name": name, "reason": reason} for name, reason in self.unjudged],
        }


def known_traits(workspace: Workspace, analysis: Analysis) -> tuple[Trait, ...]:
    """Every concept, then every value of every attribute (of two the second) that no concept follows."""
    found, followed = [], set()
    for concept in list_concepts(workspace, analysis.dataset_id):
        states = tag_states(workspace, analysis, concept)
        found.append(Trait(f"concept:{concept.name}", concept.name, None, states, None, concept.attribute is None))
        if concept.attribute is not None:
            followed.add(concept.attribute)
    for attribute in analysis.attributes:
        pair = len(attribute.values) == 2
        for value in told_apart(attribute):
            # of two values, either one says it all
            same = {(attribute.name, one) for one in (attribute.values if pair else (value,))}
            if not followed & same:
                spec = f"attribute:{attribute.name}={value}"
                other = attribute.values[0] if pair else None
                found.append(Trait(spec, attribute.name, value, attribute_states(attribute, value), other))
    return tuple(found)


def explain(workspace: Workspace, analysis: Analysis) -> ErrorReport:
    """What explains the errors outside train; in train where there is nothing else, which `notes` says.

    Raises `BadRequest` where there are no labels.
    """
    analysis.need_labels()
    outside = np.flatnonzero(np.asarray(analysis.splits) != SPLITS.index("train"))
    rows = outside if len(outside) else np.arange(analysis.n)
    traits = known_traits(workspace, analysis)
    explanations = explain_errors(analysis, traits, rows=rows)
    errors = int((np.asarray(analysis.predicted)[rows] != np.asarray(analysis.labels)[rows]).sum())
    splits = tuple(SPLITS[code] for code in np.unique(np.asarray(analysis.splits)[rows]))
    notes = []
    if not len(outside):
        notes.append(
            "All images are in train, which the model has seen: it is rarely wrong there, so little can be explained."
        )
    if any(one.tagged for one in explanations):
        notes.append(
            "Where people tagged, rates are of the tagged images, which are no random sample; the odds ratio does not "
            "suffer from choosing images by how wrong the model is."
        )
    judged = {one.spec for one in explanations}
    unjudged = tuple(
        (trait.name, _unjudged(analysis, trait, rows)) for trait in traits if trait.tagged and trait.spec not in judged
    )
    return ErrorReport(
        splits,
        len(rows),
        errors,
        len(explanations),
        explanations,
        _summary(explanations, errors),
        tuple(notes),
        unjudged,
    )


def explain_errors(
    analysis: Analysis, traits: Sequence[Trait], *, rows: np.ndarray | None = None
) -> tuple[Explanation, ...]:
    """Every comparison of a trait within a class that can be made, the best explanation first. rows: (m,), all when
    None.

    A class without errors, or without a right answer, has nothing to explain.
    """
    chosen = np.arange(analysis.n) if rows is None else np.asarray(rows, dtype=np.int64)
    labels = np.asarray(analysis.labels)[chosen].astype(np.int64)
    wrong = (np.asarray(analysis.predicted)[chosen] != labels).astype(np.int64)
    compared = [found for trait in traits for found in _counts(trait, trait.states[chosen], labels, wrong, analysis.k)]
    if not compared:
        return ()
    tables = np.array([counts for _, _, counts in compared], dtype=np.int64)
    p = fisher(tables)
    lows, highs = newcombe(tables)
    made = (
        _explanation(trait, analysis.classes[label], counts, low, high, chance, adjusted)
        for (trait, label, counts), low, high, chance, adjusted in zip(
            compared, lows.tolist(), highs.tolist(), p.tolist(), benjamini_yekutieli(p).tolist(), strict=True
        )
    )
    return tuple(sorted(made, key=_rank))


def newcombe(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the 95% interval of the first share minus the second: each (m,).

    tables: (m, 4), (events, trials, events, trials), at least one trial each. Newcombe 1998, method 10: Wilson's
    intervals of both shares put together.
    """
    first, of_first, second, of_second = np.asarray(tables, dtype=np.float64).T
    share, other = first / of_first, second / of_second
    low, high = wilson(first, of_first)
    other_low, other_high = wilson(second, of_second)
    difference = share - other
    return (
        difference - np.hypot(share - low, other_high - other),
        difference + np.hypot(high - share, other - other_low),
    )


def fisher(tables: np.ndarray) -> np.ndarray:
    """Two-sided p (m,) of Fisher's exact test: the chance of a table as unlikely, were both shares the same.

    tables: (m, 4), (events, trials, events, trials).
    """
    tables = np.asarray(tables, dtype=np.int64)
    most = int((tables[:, 1] + tables[:, 3]).max(initial=0))
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, most + 1)))))
    found = np.empty(len(tables))
    for i, (events, trials, other_events, other_trials) in enumerate(tables.tolist()):
        every = events + other_events
        possible = np.arange(max(0, every - other_trials), min(every, trials) + 1)
        # of the hypergeometric distribution; what is the same for all of them cancels
        log_chance = -(
            log_factorial[possible]
            + log_factorial[trials - possible]
            + log_factorial[every - possible]
            + log_factorial[other_trials - every + possible]
        )
        chance = np.exp(log_chance - log_chance.max())
        # as unlikely but for rounding
        at_most = chance[events - possible[0]] * (1 + 1e-7)
        found[i] = chance[chance <= at_most].sum() / chance.sum()
    return np.minimum(found, 1.0)


def benjamini_yekutieli(p: np.ndarray) -> np.ndarray:
    """p (m,) adjusted so that raising what is at most q keeps the false discovery rate at q, however dependent."""
    count = len(p)
    if not count:
        return np.empty(0)
    ranks = np.arange(1, count + 1)
    order = np.argsort(p)
    scaled = p[order] * count * (1 / ranks).sum() / ranks
    adjusted = np.empty(count)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return np.minimum(adjusted, 1.0)


def _counts(
    trait: Trait, states: np.ndarray, labels: np.ndarray, wrong: np.ndarray, classes: int
) -> list[tuple[Trait, int, tuple[int, int, int, int]]]:
    """(trait, class, (errors with, images with, errors without, images without)) of each class that can be compared."""
    sides = []
    for state in (PRESENT, ABSENT):
        inside = states == state
        sides.append(np.bincount(labels[inside], weights=wrong[inside], minlength=classes).astype(np.int64))
        sides.append(np.bincount(labels[inside], minlength=classes))
    errors, images = sides[0] + sides[2], sides[1] + sides[3]
    enough = (sides[1] >= LEAST_IMAGES) & (sides[3] >= LEAST_IMAGES) & (errors > 0) & (errors < images)
    return [
        (trait, label, (int(sides[0][label]), int(sides[1][label]), int(sides[2][label]), int(sides[3][label])))
        for label in np.flatnonzero(enough).tolist()
    ]


def _unjudged(analysis: Analysis, trait: Trait, rows: np.ndarray) -> str:
    """Why a concept could be compared in no class: a part of a sentence. rows: (m,) those that count."""
    states, everywhere = trait.states[rows], int((trait.states >= 0).sum())
    present, absent = int((states == PRESENT).sum()), int((states == ABSENT).sum())
    if not everywhere:
        return "nothing was said of it yet"
    if not present + absent:
        every = "the one answer is" if everywhere == 1 else f"all {everywhere:,} answers are"
        return f"{every} on train, which does not count"
    labels = np.asarray(analysis.labels)[rows]
    sides = [np.bincount(labels[states == state], minlength=analysis.k) for state in (PRESENT, ABSENT)]
    if not (np.minimum(*sides) >= LEAST_IMAGES).any():
        left = everywhere - present - absent
        apart = f", {left:,} on train {'does' if left == 1 else 'do'} not" if left else ""
        return (
            f"no class has {LEAST_IMAGES} images with and {LEAST_IMAGES} without it; "
            f"{present:,} present and {absent:,} absent count{apart}"
        )
    return "where it could be compared, the model is never wrong or never right"


def _explanation(
    trait: Trait, class_name: str, counts: tuple[int, int, int, int], low: float, high: float, p: float, adjusted: float
) -> Explanation:
    errors, count, other_errors, other_count = counts
    rate, other_rate = errors / count, other_errors / other_count
    cells = [errors + 0.5, count - errors + 0.5, other_errors + 0.5, other_count - other_errors + 0.5]
    odds_ratio = cells[0] * cells[3] / (cells[1] * cells[2])
    error = Z * math.sqrt(sum(1 / cell for cell in cells))
    worse, better = (count, other_rate) if rate > other_rate else (other_count, rate)
    excess = worse * max(rate, other_rate) - worse * better
    return Explanation(
        spec=trait.spec,
        name=trait.name,
        value=trait.value,
        class_name=class_name,
        errors_with=errors,
        count_with=count,
        errors_without=other_errors,
        count_without=other_count,
        difference=rate - other_rate,
        low=low,
        high=high,
        odds_ratio=odds_ratio,
        odds_low=odds_ratio * math.exp(-error),
        odds_high=odds_ratio * math.exp(error),
        excess=excess,
        share=excess / (errors + other_errors),
        p=p,
        adjusted=adjusted,
        raised=adjusted <= LEVEL and _certain(low, high) >= LEAST_DIFFERENCE,
        tagged=trait.tagged,
        sentence=_sentence(trait, class_name, counts),
    )


def _sentence(trait: Trait, class_name: str, counts: tuple[int, int, int, int]) -> str:
    """The worse side first: "waterbird without water: 48% wrong (64 of 133), with water 7% (4 of 57)"."""
    errors, count, other_errors, other_count = counts
    if trait.value is None:
        having, lacking = f"with {trait.name}", f"without {trait.name}"
    else:
        having = f"with {trait.name} {trait.value}"
        lacking = f"without {trait.value}" if trait.other is None else f"with {trait.name} {trait.other}"
    sides = [(errors / count, having, errors, count), (other_errors / other_count, lacking, other_errors, other_count)]
    (rate, side, wrong, of), (other_rate, other_side, other_wrong, other_of) = sorted(sides, key=lambda one: -one[0])
    return (
        f"{class_name} {side}: {percent(rate)} wrong ({wrong:,} of {of:,}), "
        f"{other_side} {percent(other_rate)} ({other_wrong:,} of {other_of:,})"
    )


def _certain(low: float, high: float) -> float:
    """How large the difference is at least, whatever its sign; 0 where there may be none."""
    return max(low, -high, 0.0)


def _rank(one: Explanation) -> tuple[bool, float, float, str, str]:
    return not one.raised, -_certain(one.low, one.high), one.p, one.spec, one.class_name


def _summary(explanations: Sequence[Explanation], errors: int) -> str:
    raised = [one for one in explanations if one.raised]
    if raised:
        return f"{raised[0].sentence}."
    if not errors:
        return "The model is right on all these images: there is nothing to explain."
    if not explanations:
        return (
            f"Nothing can be compared yet: it takes at least {LEAST_IMAGES} images of one class with and as many "
            "without something, some of them wrong."
        )
    comparisons = "the one comparison" if len(explanations) == 1 else f"{len(explanations):,} comparisons"
    return f"Nothing that is known explains the errors: in {comparisons} no difference stands out from chance."
