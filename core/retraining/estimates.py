"""Groups that nobody wrote down: from a probe's guesses and a few tags to group accuracies with honest intervals.

Where no attribute says what test images show, a probe guesses it, and its errors are not luck: an image that looks like
the usual ones of its class is guessed usual and predicted right. Taking guesses for truth makes a group worse, or
better, than it is, with an interval that knows nothing of it. Nor can the guesses be corrected by how often the probe
is wrong on the tags that taught it: those are of the oddest images, on which it is hardly ever wrong. (On planted data
with a faint confounder it missed 8 of 54 such exceptions, and 6 in 10 of those in test.) So:

1. Chances, not guesses. How common each pattern is in a class of test is estimated from test itself, for exceptions
   are rarer where the probe learnt them (Saerens et al. 2002, "Adjusting the outputs of a classifier to new a priori
   probabilities").
2. Doubt. The probe's accuracy on tags that it had not seen says how often its word is worth nothing: with an accuracy
   of 1 - e/2 on two equally common values, as often as e. Then any pattern is as likely as another.
3. Tags on test decide. Images of one class, with one guess, that the head gets right (or wrong) make a cell; within a
   cell what the tagged ones show says what the others do, and the chances of 1 and 2 count as much as `WEIGHT` tags.
   Whether the head is right parts the cells since that is what the errors go with. Without tags on test the intervals
   are as wide as the doubt; a few dozen, of images drawn at random, make a measurement of them.

The intervals come from draws of the posterior: cells' sizes and what they hold, Dirichlet each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.concepts.discriminant import PatternProbe
from core.concepts.tags import UNTAGGED
from core.errors import EmptyGroup
from core.retraining.curation import SMALLEST_UNTAGGED_GROUP
from core.retraining.evaluation import (
    Comparison,
    Evaluation,
    GroupAccuracy,
    comparison_of,
    evaluation_of,
    group_position,
    group_shares,
    unmeasured,
)
from core.retraining.groups import Grouping, by_concepts
from core.retraining.intervals import SIGNIFICANCE, percentile_interval, shared_level

# how many tags the probe's word counts as in a cell. More holds the truth too seldom where the probe sees little, less
# leaves nothing of its word (benchmarks/bench_evaluation.py)
WEIGHT = 2.0
# the least doubt about a concept's probe: right on all tags that it had not seen, it may still be wrong on every tenth
# image of test, for tags are not a random choice. With 0.02 the intervals held the truth of planted birds in 6 of 10
# cases without tags on test; with this in 10 of 10 (digits and shapes likewise, with 0, 40 and 120 tags)
LEAST_DOUBT = 0.1
# draws that intervals are made of
DRAWS = 2000
# tags on test, drawn at random, that make a measurement
ENOUGH = 40
# groups whose draws are sorted at once
_BLOCK = 256
# rounds of estimating how common patterns are
_ROUNDS = 500


@dataclass(frozen=True, eq=False)
class GuessedGroups:
    """Groups of n images as a probe and a few tags have them, for `estimated_evaluation`.

    grouping: the likeliest group of each image, a person's word where there is one. chances: (n, p) float64, how likely
    each pattern of `grouping.patterns` is, rows summing to 1. guessed: (n,) int64, the pattern that the probe alone
    finds likeliest, or from p on a number that keeps images apart: their tags then say nothing of others; told: (n,)
    int64, the one that a person told, -1 for none. doubt: how often the probe's word is
    worth nothing, 0..1.
    """

    grouping: Grouping
    chances: np.ndarray
    guessed: np.ndarray
    told: np.ndarray
    doubt: float

    @property
    def expected(self) -> np.ndarray:
        """How many of these images each group is expected to have: (g,) float64. For the weights of train."""
        p = len(self.grouping.patterns)
        chances = np.where(self.told[:, None] >= 0, np.arange(p) == self.told[:, None], self.chances)
        found = np.zeros((len(self.grouping.classes), p))
        np.add.at(found, self.grouping.codes // p, chances)
        return found.ravel()

    @property
    def note(self) -> str:
        """A sentence on where the groups are from and what would make them better."""
        tags = int((self.told >= 0).sum())
        first = (
            "The groups are estimated: a probe guesses them, and how often it errs on tags it had not seen is part of "
            "the intervals"
        )
        if not tags:
            return f"{first}. Tag about {ENOUGH} test images drawn at random to measure them: test tags train nothing."
        images = "1 tagged test image" if tags == 1 else f"{tags} tagged test images"
        more = "" if tags >= ENOUGH else f" About {ENOUGH}, drawn at random, make a measurement."
        return f"{first}; {images} correct{'s' if tags == 1 else ''} it.{more}"


def guessed_groups(
    probe: PatternProbe,
    features: np.ndarray,
    labels: np.ndarray,
    states: np.ndarray,
    classes: Sequence[str],
    names: Sequence[str],
    *,
    reference_features: np.ndarray,
    reference_labels: np.ndarray,
    held_out: Sequence[float | None],
) -> GuessedGroups:
    """What a probe and tags say of images' groups.

    features: (n, d), labels: (n,), states: (n, m) of PRESENT, ABSENT, UNTAGGED for the m concepts called `names`; of
    the images to be measured. reference_features, reference_labels: the held-out images that the probe was fitted for.
    held_out: per concept the probe's balanced accuracy on tags that it had not seen (`Curation.probe_accuracy`); None
    where it was not measured, which makes its word worth nothing.
    """
    m = len(names)
    said = np.asarray(states).reshape(len(labels), m)
    codes = (probe.patterns.astype(np.int64) << np.arange(m)).sum(axis=1)
    usual = pattern_shares(probe.chances(reference_features, reference_labels), reference_labels, len(classes))
    chances = np.zeros((len(labels), 2**m))
    # without the tags: what they say of the probe's errors is lost where its guess is replaced by them
    chances[:, codes] = adjusted(probe.chances(features, labels), labels, usual)
    guessed = chances.argmax(axis=1)
    told = np.where(
        (said != UNTAGGED).all(axis=1), (np.maximum(said, 0).astype(np.int64) << np.arange(m)).sum(axis=1), -1
    )
    values = np.where(said != UNTAGGED, said, guessed[:, None] >> np.arange(m) & 1).astype(np.int8)
    trusted = 1.0
    for accuracy in held_out:
        trusted *= 1 - float(np.clip(2 * (1 - (0.5 if accuracy is None else accuracy)), LEAST_DOUBT, 1))
    grouping = by_concepts(labels, classes, names, values, estimated=True)
    return GuessedGroups(grouping, chances, guessed, told, 1 - trusted)


def pattern_shares(chances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How common each pattern is in each class: (n, p), (n,) -> (k, p) float64, rows summing to 1."""
    shares = np.full((classes, chances.shape[1]), 1 / chances.shape[1])
    for c in np.unique(labels).tolist():
        shares[c] = chances[labels == c].mean(axis=0)
    return shares


def adjusted(chances: np.ndarray, labels: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Chances where the patterns may be more or less common than where the probe learnt them (Saerens et al. 2002).

    chances: (n, p). labels: (n,). usual: (k, p), how common they were there. How common they are here is what makes
    these images likeliest (expectation-maximisation, from all equally common).
    """
    found = chances.copy()
    for c in np.unique(labels).tolist():
        own = labels == c
        likely = chances[own] / np.maximum(usual[c], 1e-12)
        shares = np.full(chances.shape[1], 1 / chances.shape[1])
        for _ in range(_ROUNDS):
            now = likely * shares
            now /= np.maximum(now.sum(axis=1, keepdims=True), 1e-300)
            moved = np.abs(now.mean(axis=0) - shares).max()
            shares = now.mean(axis=0)
            if moved < 1e-6:
                break
        found[own] = now
    return found


def estimated_evaluation(
    predicted: np.ndarray,
    labels: np.ndarray,
    groups: GuessedGroups,
    train: np.ndarray,
    split: str,
    *,
    probabilities: np.ndarray | None = None,
    seed: int = 0,
) -> Evaluation:
    """`evaluate` for groups that are guesses: the same figures, corrected for what the guesses get wrong.

    predicted, labels: (n,) int. groups: of these n images. train: (g,) images of each group in train, `expected` of its
    `GuessedGroups`. probabilities: (n, k), for `calibration`. seed: of the draws that intervals are made of; the same
    gives the same. A group is there when the probe guesses four images to be of it, or a person told one. Tagged images
    are taken for a random part of their cell (see above): tags that were chosen by how images look bias it. Counts of
    groups are estimates, rounded. Raises `EmptyGroup` when nothing can be measured.
    """
    if not len(labels):
        raise EmptyGroup(
            f"The {split} split holds no image, so nothing can be measured.",
            next_step=f"Give the dataset a {split} split with images that could be read.",
        )
    right = (predicted == labels).astype(np.int64)
    there, images, (draws,) = _posterior(right, ((1,),), labels, groups, np.random.default_rng(seed))
    lows, highs = _quantiles(draws, [SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2])
    counts = _by_group(groups.grouping.count, there, images.sum(axis=1))
    shares = group_shares(counts, train)
    # fewer guesses than that are the probe's errors sooner than a group, as in the images measured
    lacking = unmeasured(groups.grouping, counts, train, split, least=SMALLEST_UNTAGGED_GROUP)
    found = []
    for i, group in enumerate(there.tolist()):
        count = float(images[i].sum())
        accuracy = float(images[i, 1]) / count
        found.append(
            GroupAccuracy(
                *groups.grouping.name(group),
                max(1, round(count)),
                min(max(1, round(count)), round(float(images[i, 1]))),
                accuracy,
                # accuracies of so many images come in steps of one; all right is one of them
                max(0.0, min(float(lows[i]), accuracy) - 0.5 / count),
                min(1.0, max(float(highs[i]), accuracy) + 0.5 / count),
                float(shares[group]),
            )
        )
    worst = min(one.accuracy for one in found)
    low, high = _minimum_interval(draws)
    return evaluation_of(
        predicted,
        labels,
        groups.grouping,
        found,
        (min(low, *(one.low for one in found)), max(high, worst)),
        split,
        probabilities=probabilities,
        estimated=True,
        note=f"{groups.note} {lacking}".strip(),
    )


def estimated_comparison(
    before: np.ndarray,
    after: np.ndarray,
    labels: np.ndarray,
    groups: GuessedGroups,
    was: Evaluation,
    now: Evaluation,
    *,
    seed: int = 0,
) -> Comparison:
    """`compare` for groups that are guesses. before, after, labels: (n,) int. was, now: of `estimated_evaluation`.

    The same logic as `intervals.minimum_change`, with draws in the place of exact tests: cells are parted by whether
    each of the two heads is right, so that the draws are paired.
    """
    right_before, right_after = before == labels, after == labels
    outcome = right_before.astype(np.int64) + 2 * right_after
    there, _, (first, second) = _posterior(outcome, ((1, 3), (2, 3)), labels, groups, np.random.default_rng(seed))
    p_minimum = min(1.0, 2 * min(_rise(first, second), _rise(second, first)))
    low, high = _change_bound(first, second), -_change_bound(second, first)
    if p_minimum >= SIGNIFICANCE:
        low, high = min(low, 0.0), max(high, 0.0)
    worst = int(np.flatnonzero(there == group_position(groups.grouping, was.worst))[0])
    change = second[:, worst] - first[:, worst]
    change_of_worst = min(_no_more(change), _no_more(-change))
    return comparison_of(
        right_before,
        right_after,
        was,
        now,
        p_worst=min(1.0, 2 * change_of_worst),
        p_minimum=p_minimum,
        worst_change_interval=(low, high),
    )


def _posterior(
    outcome: np.ndarray,
    good: Sequence[Sequence[int]],
    labels: np.ndarray,
    groups: GuessedGroups,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What there is to know of each group and outcome of these images.

    outcome: (n,) int, 0..2**heads-1, of the head or heads. good: of each head, the outcomes in which it is right.
    Returns the groups that are there (g,), the expected number of images per outcome (g, outcomes), and draws of each
    head's accuracy in each group (heads, DRAWS, g): of a thousand groups 16 MB a head. Draws of single outcomes are
    kept of one class at a time.
    """
    p, outcomes = len(groups.grouping.patterns), 2 ** len(good)
    guess = groups.guessed
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for c in np.unique(labels).tolist():
        own = labels == c
        guessed = np.bincount(guess[own], minlength=p)[:p]
        told = np.bincount(groups.told[own & (groups.told >= 0)], minlength=p)
        patterns = np.flatnonzero((told > 0) | (guessed >= SMALLEST_UNTAGGED_GROUP))
        if not len(patterns):
            patterns = np.array([int(guessed.argmax())])
        found.append((np.flatnonzero(own), c * p + patterns))
    there = np.concatenate([codes for _, codes in found])
    images, draws = np.empty((len(there), outcomes)), np.empty((len(good), DRAWS, len(there)))
    start = 0
    for own, codes in found:
        block = slice(start, start + len(codes))
        cells = guess[own] * outcomes + outcome[own]
        images[block], drawn = _class_posterior(
            cells, outcomes, groups.chances[own], groups.told[own], codes % p, groups.doubt, rng
        )
        for head, those in enumerate(good):
            draws[head, :, block] = drawn[:, :, list(those)].sum(axis=2)
        start += len(codes)
    return there, images, draws


def _class_posterior(
    cells: np.ndarray,
    outcomes: int,
    chances: np.ndarray,
    told: np.ndarray,
    patterns: np.ndarray,
    doubt: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """One class of `_posterior`. cells: (n,) int, guess * outcomes + outcome. patterns: (q,) that may occur."""
    q = len(patterns)
    believed = chances[:, patterns]
    total = believed.sum(axis=1, keepdims=True)
    believed = np.where(total > 0, believed / np.where(total > 0, total, 1), 1 / q)
    images, drawn = np.zeros((q, outcomes)), np.zeros((DRAWS, q, outcomes))
    guesses = np.unique(cells // outcomes)
    for cell in (guesses[:, None] * outcomes + np.arange(outcomes)).ravel().tolist():
        members = cells == cell
        count, result = int(members.sum()), cell % outcomes
        tags = (told[members][:, None] == patterns).sum(axis=0)
        # what the images beside the tagged ones look like; of an empty cell, those of the same guess
        like = members & (told < 0)
        if not like.any():
            like = members if count else cells // outcomes == cell // outcomes
        expected = (1 - doubt) * believed[like].mean(axis=0) + doubt / q
        weights = tags + WEIGHT * expected
        images[:, result] += tags + (count - tags.sum()) * weights / weights.sum()
        # of an outcome that did not occur there may still be some: half an image, over all guesses
        size = rng.gamma(count + 0.5 / len(guesses), size=DRAWS)
        shares = rng.gamma(weights, size=(DRAWS, q)) + 1e-300
        drawn[:, :, result] += size[:, None] * shares / shares.sum(axis=1, keepdims=True)
    return images, drawn / np.maximum(drawn.sum(axis=2, keepdims=True), 1e-300)


def _by_group(count: int, there: np.ndarray, values: np.ndarray) -> np.ndarray:
    everywhere = np.zeros(count)
    everywhere[there] = values
    return everywhere


def _maybe_smallest(draws: np.ndarray) -> np.ndarray:
    """Which groups may be the worst, (g,) bool, from draws (b, g) of their accuracies; see intervals.py."""
    low, high = _quantiles(draws, [0.001, 0.999])
    may: np.ndarray = low <= high.min()
    return may


def _quantiles(draws: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Of each group: (b, g) -> (levels, g). In blocks, for each copies what it sorts."""
    blocks = range(0, draws.shape[1], _BLOCK)
    return np.concatenate([np.quantile(draws[:, at : at + _BLOCK], levels, axis=0) for at in blocks], axis=1)


def _minimum_interval(draws: np.ndarray) -> tuple[float, float]:
    level = shared_level(int(_maybe_smallest(draws).sum()))
    return (
        min(percentile_interval(group)[0] for group in draws.T),
        float(_quantiles(draws, [level]).min()),
    )


def _rise(before: np.ndarray, after: np.ndarray) -> float:
    """One-sided p of a rise of the minimum, from draws (b, g) of the accuracies before and after."""
    chosen = np.flatnonzero(_maybe_smallest(before))
    # the groups that come out low decide, so that most pairs need no look
    lowest = np.argsort(after.mean(axis=0), kind="stable").tolist()
    smallest = 1.0
    for g in chosen.tolist():
        largest = 0.0
        for h in lowest:
            largest = max(largest, _no_more(after[:, h] - before[:, g]))
            if largest >= smallest:
                break
        smallest = min(smallest, largest)
    return min(1.0, len(chosen) * smallest)


def _no_more(change: np.ndarray) -> float:
    """How seldom draws of a change are above 0; never quite never."""
    return (1 + int((change <= 0).sum())) / (1 + len(change))


def _change_bound(before: np.ndarray, after: np.ndarray) -> float:
    """Lower bound of the minimum's change, at one side of 95%; see intervals.py."""
    chosen = np.flatnonzero(_maybe_smallest(before))
    level = 1 - shared_level(len(chosen))
    lowest = np.argsort(after.mean(axis=0), kind="stable").tolist()
    best = -1.0
    for g in chosen.tolist():
        smallest = 1.0
        for h in lowest:
            smallest = min(smallest, float(np.quantile(after[:, h] - before[:, g], level)))
            if smallest <= best:
                break
        best = max(best, smallest)
    return best
