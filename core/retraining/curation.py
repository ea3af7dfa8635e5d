"""From a few dozen tags to a balanced training set for the last layer.

The recipe, on held-out images:
1. The top half of each class by its own logit is assumed to show the class's usual value (majority.py).
2. A probe learns the concepts from the tags and the assumed images, knowing the class of each (discriminant.py), and
   guesses every image. Tags that contradict the others beyond doubt are left out: one answer in ten may be a slip.
3. Kept are the tagged images and those the probe is sure about, each with one value: what a person said, else the
   guess. (Weighing images by their probability instead was always worse.)
4. Every class x pattern group weighs the same in the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from core.classifiers.softmax import Scaling, softmax, softmax_regression, standardise
from core.concepts.discriminant import Discriminant, Outside, PatternProbe
from core.concepts.majority import above, top_half, usual_values
from core.concepts.probes import FOLDS, L2, PROBE_WARNING, balanced_accuracy, cell_weights, doubtful_tags
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED
from core.errors import EmptyGroup, NotEnoughTags
from core.retraining.groups import Grouping, by_concepts
from core.retraining.pool import ConceptTags, Pool
from core.retraining.threads import pinned_threads

# the probe's guess counts when it is at least this sure
CONFIDENCE = 0.9
# a tag is doubtful when the other tags give it less than this chance; the discriminant is surer than other probes
DOUBT = 0.001
# of each class, the share with the lowest own logits: there most exceptions are, so that the spread among images of the
# same value is measured on the others. A tenth does as well
LOW = 0.2
# tags without which a probe would rest on almost nothing
FEWEST_TAGS = 8
# of these, at least this many of each value
FEWEST_PER_VALUE = 2
# a group smaller than this, without a tag among it, is more likely the probe's error than a group, where nobody has
# seen its pattern
SMALLEST_UNTAGGED_GROUP = 4


@dataclass(frozen=True)
class CuratedGroup:
    class_name: str
    concept: str | None
    count: int
    tagged: int

    def to_dict(self) -> dict[str, Any]:
        return {"class": self.class_name, "concept": self.concept, "count": self.count, "tagged": self.tagged}


@dataclass(frozen=True, eq=False)
class Curation:
    """The images a new head is fitted on, and why each is among them.

    positions: (c,) int64, in the pool. rows: (c,) int64, in the analysis. labels: (c,) int64. groups: (c,) int64
    codes. weights: (c,) float64, summing to 1, every group the same. reasons: (c,) of "tagged" (a person said so),
    "assumed" (top half of its class, the probe agrees) and "probe" (the probe is sure). confidence: (c,) float64, how
    likely the group is the right one: 1 where a person said so, else the probe's chance, or without a probe how often
    the answers agree with what is assumed. sizes: one entry per group that occurs. left_out: pool images not used.
    probe: of all concepts, in their order. usual: per concept, class name -> "present", "absent" or None.
    probe_accuracy: per concept, on tags held out, None when not measured.
    doubtful: (t,) int64 analysis rows whose tag contradicts the others (`doubtful_tags`): left out, worth a second
    look.
    """

    positions: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    reasons: np.ndarray
    confidence: np.ndarray
    sizes: tuple[CuratedGroup, ...]
    left_out: int
    warnings: tuple[str, ...]
    probe: PatternProbe | None = None
    usual: tuple[dict[str, str | None], ...] = ()
    probe_accuracy: tuple[float | None, ...] = ()
    doubtful: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def to_dict(self) -> dict[str, Any]:
        return {
            "images": len(self.positions),
            "left_out": self.left_out,
            "counts": {reason: int((self.reasons == reason).sum()) for reason in ("tagged", "assumed", "probe")},
            "groups": [size.to_dict() for size in self.sizes],
            "usual": list(self.usual),
            "probe_accuracy": list(self.probe_accuracy),
            "doubtful": self.doubtful.tolist(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, eq=False)
class _Seen:
    """One concept over the pool. values: (m,) int8, a person's word or the guess. sure, assumed, doubtful: (m,) bool.
    usual: (k,) int8. confidence: (m,) float64, of the value; the probe's is of all concepts at once. accuracy: None
    where no probe was asked for."""

    values: np.ndarray
    sure: np.ndarray
    assumed: np.ndarray
    doubtful: np.ndarray
    usual: np.ndarray
    confidence: np.ndarray
    warnings: tuple[str, ...]
    accuracy: float | None = None


def space_of(
    pool: Pool, settled: float = 0.0, scaling: Scaling | None = None, outside: Outside | None = None
) -> Discriminant:
    """What of a curation depends on the images alone: most of the work, and it serves however many tags follow.

    settled, scaling, outside: see `Discriminant`; without a scaling it is that of the pool.
    """
    calm = pool.eligible & above(LOW, pool.logits, pool.labels, pool.eligible)
    return Discriminant(
        pool.features, pool.labels, pool.k, pool.eligible, calm, settled, scaling or pool.scaling, outside
    )


def curate(
    pool: Pool,
    concepts: Sequence[ConceptTags],
    *,
    rng: np.random.Generator,
    use_probe: bool = True,
    space: Discriminant | None = None,
) -> Curation:
    """Choose and group the images to fit a new head on.

    use_probe False leaves steps 2 and 3 out: the tagged and the assumed images only (method `mid-tags`). rng: for the
    folds of the probe's check. space: `space_of` the pool, None to make it. Raises `NotEnoughTags` when no honest set
    can be made, saying what to tag. What a person changes of the result: edits.py.
    """
    top = top_half(pool.logits, pool.labels, pool.eligible)
    seen, probe = [], None
    for concept in concepts:
        check_tags(pool, concept, top)
        seen.append(_assume(pool, concept, top))
    if use_probe:
        space = space or space_of(pool)
        # rounds are many small products, on which several threads of a library wait for one another
        with pinned_threads(1):
            seen, probe = _guess(pool, concepts, seen, top, rng, space)
    values, sure, assumed, doubtful = (
        np.stack([getattr(one, name) for one in seen], axis=1) for name in ("values", "sure", "assumed", "doubtful")
    )
    # values that are assumed one by one are right together as often as each of them is
    confidence = np.prod([one.confidence for one in seen], axis=0) if probe is None else seen[0].confidence
    tagged = np.stack([concept.states != UNTAGGED for concept in concepts], axis=1)
    grouping = by_concepts(pool.labels, pool.classes, [c.name for c in concepts], values, estimated=use_probe)
    kept = _without_phantoms(pool.eligible & sure.all(axis=1), grouping, tagged, assumed)
    positions = np.flatnonzero(kept)
    groups = grouping.codes[positions]
    check_groups(pool, positions, groups)
    reasons = np.where(tagged.all(axis=1), "tagged", np.where((assumed | tagged).all(axis=1), "assumed", "probe"))
    words = {PRESENT: "present", ABSENT: "absent", UNTAGGED: None}
    return Curation(
        positions=positions,
        rows=pool.rows[positions],
        labels=pool.labels[positions],
        groups=groups,
        weights=cell_weights(groups),
        reasons=reasons[positions],
        confidence=np.where(tagged.all(axis=1), 1.0, confidence)[positions],
        sizes=tuple(
            CuratedGroup(
                *grouping.name(int(group)),
                count=int((groups == group).sum()),
                tagged=int(tagged[positions[groups == group]].any(axis=1).sum()),
            )
            for group in np.unique(groups)
        ),
        left_out=int(pool.eligible.sum()) - len(positions),
        warnings=(
            *(warning for one in seen for warning in one.warnings),
            *_doubts(int(doubtful.any(axis=1).sum())),
            *_missing_groups(pool, grouping, groups),
        ),
        probe=probe,
        usual=tuple(
            {name: words[int(value)] for name, value in zip(pool.classes, one.usual, strict=True)} for one in seen
        ),
        probe_accuracy=tuple(one.accuracy for one in seen) if use_probe else (),
        doubtful=pool.rows[doubtful.any(axis=1)],
    )


def _assume(pool: Pool, concept: ConceptTags, top: np.ndarray) -> _Seen:
    """Step 1: what is known of a concept from its tags and the assumed majority alone."""
    usual = usual_values(concept.states, pool.labels, top, pool.classes, concept.name)
    expected = usual.values[pool.labels]
    tagged = concept.states != UNTAGGED
    assumed = top & pool.eligible & ~tagged & (expected != UNTAGGED)
    values = np.where(tagged, concept.states, np.where(assumed, expected, UNTAGGED)).astype(np.int8)
    agreeing, answered = np.maximum(usual.present, usual.absent), usual.present + usual.absent
    confidence = np.where(tagged, 1.0, ((agreeing + 1) / (answered + 2))[pool.labels])
    return _Seen(
        values, values != UNTAGGED, assumed, np.zeros(len(pool), dtype=bool), usual.values, confidence, usual.warnings
    )


def _guess(
    pool: Pool,
    concepts: Sequence[ConceptTags],
    known: Sequence[_Seen],
    top: np.ndarray,
    rng: np.random.Generator,
    space: Discriminant,
) -> tuple[list[_Seen], PatternProbe | None]:
    """Steps 2 and 3: doubtful tags left out, the probe's guess for every image, and where it is sure."""
    states = np.stack([concept.states for concept in concepts], axis=1)
    tagged = states != UNTAGGED
    values, sure = (np.stack([getattr(one, name) for one in known], axis=1) for name in ("values", "sure"))
    # the probe of all tags along with those of the folds: it stands unless a tag turns out doubtful
    guesses, probe = _held_out(pool, concepts, tagged, top, space, rng, (values, sure, tagged))
    checked = [
        _checked(pool, concept, one, guesses[concept.states != UNTAGGED, j], top)
        for j, (concept, one) in enumerate(zip(concepts, known, strict=True))
    ]
    certain = tagged & ~np.stack([one.doubtful for one in checked], axis=1)
    if not np.array_equal(certain, tagged):
        probe = space.fit(values, sure & (certain | ~tagged), certain)
    if probe is None:
        # every class always or never: nothing can be guessed beyond what is assumed, and `check_groups` says so
        return checked, None
    guessed, confidence = probe.guess(pool.features, pool.labels, np.where(certain, states, UNTAGGED))
    values = np.where(tagged, states, guessed).astype(np.int8)
    kept = tagged.all(axis=1) | (confidence > CONFIDENCE)
    return [
        replace(
            one,
            values=values[:, j],
            confidence=confidence,
            sure=kept & ~one.doubtful,
            # an assumption that the probe shares is what it says it is; one it contradicts was the probe's choice
            assumed=one.assumed & (values[:, j] == one.values),
        )
        for j, one in enumerate(checked)
    ], probe


def _checked(pool: Pool, concept: ConceptTags, known: _Seen, guesses: np.ndarray, top: np.ndarray) -> _Seen:
    """How well probes guess a concept's tags that they have not seen, and which tags are doubtful.

    guesses: (t,) float64 of `_held_out`, for the images tagged with it.
    """
    tagged = concept.states != UNTAGGED
    accuracy = balanced_accuracy(guesses, known.values[tagged])
    if accuracy is not None and accuracy < PROBE_WARNING:
        warning = (
            f"The features hardly show {concept.name}: a probe tells present from absent on {accuracy:.0%} of the "
            f"tags it had not seen (50% is guessing). Check the tags, or expect little from this repair."
        )
        return replace(known, warnings=(*known.warnings, warning), accuracy=accuracy)
    if accuracy is None:
        return known
    # only a probe that sees the concept has a right to contradict a person
    expected = known.usual[pool.labels]
    unusual_on_top = top & (expected != UNTAGGED) & (known.values != expected)
    cells = pool.labels * 2 + known.values
    doubtful = np.zeros(len(pool), dtype=bool)
    doubtful[tagged] = doubtful_tags(guesses, known.values[tagged], cells[tagged], unusual_on_top[tagged], DOUBT)
    return replace(known, doubtful=doubtful, sure=known.sure & ~doubtful, accuracy=accuracy)


def _held_out(
    pool: Pool,
    concepts: Sequence[ConceptTags],
    tagged: np.ndarray,
    top: np.ndarray,
    space: Discriminant,
    rng: np.random.Generator,
    whole: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> tuple[np.ndarray, PatternProbe | None]:
    """What probes say of tagged images they have not seen: (m, concepts) float64, NaN for unknown; and the probe of
    `whole`, what is known from all tags, which is fitted along.

    tagged: (m, concepts). The tagged images are parted into folds, each pattern of tags in as many as it reaches; each
    fold is guessed from the others, and from what they alone allow to be assumed.
    """
    states = np.stack([concept.states for concept in concepts], axis=1)
    rows = np.flatnonzero(tagged.any(axis=1))
    _, pattern = np.unique(states[rows], axis=0, return_inverse=True)
    mixed = rng.permutation(len(rows))
    fold = np.empty(len(rows), dtype=np.int64)
    fold[mixed[np.argsort(pattern.ravel()[mixed], kind="stable")]] = np.arange(len(rows)) % FOLDS
    parts = [held for held in (rows[fold == i] for i in range(FOLDS)) if len(held)]
    fits = []
    for held in parts:
        others = states.copy()
        others[held] = UNTAGGED
        known = [_assume(pool, replace(concept, states=others[:, j]), top).values for j, concept in enumerate(concepts)]
        values = np.stack(known, axis=1)
        # their own top halves would take them for images that nobody was asked about
        values[held] = UNTAGGED
        fits.append((values, values != UNTAGGED, others != UNTAGGED))
    *probes, last = space.fit_all([*fits, whole])
    guesses = np.full(states.shape, np.nan)
    for held, probe in zip(parts, probes, strict=True):
        if probe is not None:
            guesses[held] = probe.probability(pool.features[held], pool.labels[held])
    return guesses, last


def _without_phantoms(kept: np.ndarray, grouping: Grouping, tagged: np.ndarray, assumed: np.ndarray) -> np.ndarray:
    """`kept` (m,) bool without groups that only exist because probes err. tagged, assumed: (m, concepts) bool.

    A pattern that somebody has seen makes a group in every class, of however few images: one image that the probe is
    sure of is nearly always what it is taken for, while a group left out, with the other classes' images of the pattern
    weighted up, teaches the head that no such image is of this class.
    """
    groups, patterns = grouping.codes, grouping.codes % len(grouping.patterns)
    whole = tagged.all(axis=1)
    if whole.any():
        # forest and desert at once: a pattern that no person has seen is two probes disagreeing, not a group
        return kept & np.isin(patterns, patterns[whole | assumed.all(axis=1)])
    # nobody looked at one image for all concepts, so there is only the number of images to go by
    for group in np.unique(groups[kept]):
        members = kept & (groups == group)
        if members.sum() < SMALLEST_UNTAGGED_GROUP and not tagged[members].any():
            kept = kept & (groups != group)
    return kept


def curate_without_tags(pool: Pool) -> Curation:
    """The recipe with nobody answering: each class's top half is assumed to show a value of its own.

    A probe with one value per class learns the top halves, guesses every image, and the class x guess groups are
    balanced as ever. Where it guesses another class's value, the image looks like that class's usual ones: a minority,
    if the confounder is what they share. This is the baseline that tags have to beat. Raises `EmptyGroup` when no guess
    is sure.
    """
    pool = pool.only_eligible()
    top = top_half(pool.logits, pool.labels)
    scaling = standardise(pool.features)
    scaled = scaling.apply(pool.features)
    probe = softmax_regression(scaled[top], pool.labels[top], cell_weights(pool.labels[top]), classes=pool.k, l2=L2)
    chance = softmax(probe.logits(scaled))
    guess = chance.argmax(axis=1)
    groups = pool.labels * pool.k + guess
    kept = chance.max(axis=1) > CONFIDENCE
    # a class the probe is never sure about keeps its top half, or the new head would forget it
    kept |= top & ~np.isin(pool.labels, pool.labels[kept])
    for group in np.unique(groups[kept]):
        if (kept & (groups == group)).sum() < SMALLEST_UNTAGGED_GROUP:
            kept &= groups != group
    positions = np.flatnonzero(kept)
    if not len(positions):
        raise EmptyGroup(
            "No image stands out by the logit of its class, so nothing can be assumed.",
            next_step="Check the classifier: its logits hardly depend on the image.",
        )
    assumed = top & (guess == pool.labels)
    sizes = []
    for group in np.unique(groups[positions]):
        c, value = divmod(int(group), pool.k)
        count = int((groups[positions] == group).sum())
        sizes.append(CuratedGroup(pool.classes[c], f"like the usual {pool.classes[value]}", count, 0))
    return Curation(
        positions=positions,
        rows=pool.rows[positions],
        labels=pool.labels[positions],
        groups=groups[positions],
        weights=cell_weights(groups[positions]),
        reasons=np.where(assumed, "assumed", "probe")[positions],
        confidence=chance[positions, guess[positions]],
        sizes=tuple(sizes),
        left_out=len(pool) - len(positions),
        warnings=(),
    )


def check_tags(pool: Pool, concept: ConceptTags, top: np.ndarray) -> None:
    """Raise `NotEnoughTags`, with what to tag, when a concept's tags cannot carry a retraining."""
    present, absent = (int((concept.states == value).sum()) for value in (PRESENT, ABSENT))
    total, name, split = present + absent, concept.name, pool.split
    if total < FEWEST_TAGS:
        raise NotEnoughTags(
            f"{name} has {total} tagged {split} image{'' if total == 1 else 's'}; {FEWEST_TAGS} are the least, "
            f"60 make a good repair.",
            next_step=f"Tag at least {FEWEST_TAGS - total} more of the images that “tag next” proposes.",
        )
    if min(present, absent) < FEWEST_PER_VALUE:
        common, rare = ("present", "absent") if present > absent else ("absent", "present")
        raise NotEnoughTags(
            f"Of the {total} tagged {split} images, {max(present, absent)} are tagged {common} for {name} and only "
            f"{min(present, absent)} {rare}: there is nothing to tell apart.",
            next_step=f"Tag at least {FEWEST_PER_VALUE} images as {rare}: look at the lowest logits of a class whose "
            f"top images are {common}.",
        )
    if not (top & (concept.states != UNTAGGED)).any():
        raise NotEnoughTags(
            f"No image in the top band of {' or '.join(pool.classes[:4])} is tagged for {name}, so what these classes "
            f"usually show is unknown.",
            next_step="Tag about five images in the top band of each class; “tag next” proposes them.",
        )


def _doubts(count: int) -> list[str]:
    if not count:
        return []
    subject = "1 tag contradicts" if count == 1 else f"{count} tags contradict"
    left_out = "was" if count == 1 else "were"
    return [f"{subject} what the other tags say and {left_out} left out: have a second look."]


def _missing_groups(pool: Pool, grouping: Grouping, groups: np.ndarray) -> list[str]:
    """One sentence naming class x pattern groups that no image was found of, though other classes have the pattern."""
    found = set(np.unique(groups).tolist())
    patterns = sorted({group % len(grouping.patterns) for group in found})
    missing = [
        "{} · {}".format(*grouping.name(c * len(grouping.patterns) + pattern))
        for c in range(pool.k)
        for pattern in patterns
        if c * len(grouping.patterns) + pattern not in found
    ]
    if not missing:
        return []
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return [
        f"No image was found of: {shown}. The new head learns nothing about such images; tag some if there are any."
    ]


def check_groups(pool: Pool, positions: np.ndarray, groups: np.ndarray) -> None:
    """Raise `NotEnoughTags` when the groups of the chosen images cannot teach a head anything."""
    absent = [name for c, name in enumerate(pool.classes) if not (pool.labels[positions] == c).any()]
    if absent:
        raise NotEnoughTags(
            f"No image of {', '.join(absent)} could be grouped, so a new head would forget the class.",
            next_step=f"Tag some images of {absent[0]}, from its top band and from its lowest logits.",
        )
    if len(np.unique(groups)) == pool.k:
        raise NotEnoughTags(
            "Every class shows the concept always or never among the images that could be grouped, so a head cannot "
            "be taught to ignore it.",
            next_step="Tag images that break the rule: the lowest logits of each class hold most of them.",
        )
