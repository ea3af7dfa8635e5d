"""From a few dozen tags to a balanced training set for the last layer.

The recipe, on held-out images:
1. The top half of each class by its own logit is assumed to show the class's usual value (majority.py).
2. A probe learns the concept from the tags and the assumed images (probes.py), and guesses every image. Tags that
   contradict the others beyond doubt are left out: one answer in ten may be a slip.
3. Kept are the tagged images and those the probe is sure about, each with one value: what a person said, else the
   guess. (Weighing images by their probability instead was always worse.)
4. Every class x pattern group weighs the same in the fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.classifiers.softmax import softmax, softmax_regression, standardise
from core.concepts.majority import top_half, usual_values
from core.concepts.probes import (
    L2,
    Probe,
    balanced_accuracy,
    cell_weights,
    confidence,
    doubtful_tags,
    fit_probe,
    held_out_probabilities,
)
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED
from core.errors import NotEnoughTags
from core.retraining.groups import Grouping, by_concepts
from core.retraining.pool import ConceptTags, Pool

# the probe's guess counts when it is at least this sure
CONFIDENCE = 0.8
# tags without which a probe would rest on almost nothing
FEWEST_TAGS = 8
# of these, at least this many of each value
FEWEST_PER_VALUE = 2
# held-out accuracy of the probe below which it does not see the concept (0.5 is guessing)
PROBE_WARNING = 0.65
# a group as small as this, with no tag among it, is more likely the probe's error than a group
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
    "assumed" (top half of its class, the probe agrees) and "probe" (the probe is sure). sizes: one entry per group
    that occurs. left_out: pool images not used. probes: per concept, in the order of the concepts. usual: per concept,
    class name -> "present", "absent" or None. probe_accuracy: per concept, on tags held out, None when not measured.
    doubtful: (t,) int64 analysis rows whose tag contradicts the others (`doubtful_tags`): left out, worth a second
    look.
    """

    positions: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    weights: np.ndarray
    reasons: np.ndarray
    sizes: tuple[CuratedGroup, ...]
    left_out: int
    warnings: tuple[str, ...]
    probes: tuple[Probe, ...] = ()
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


def curate(
    pool: Pool, concepts: Sequence[ConceptTags], *, rng: np.random.Generator, use_probe: bool = True
) -> Curation:
    """Choose and group the images to fit a new head on.

    use_probe False leaves steps 2 and 3 out: the tagged and the assumed images only (method `mid-tags`). rng: for the
    folds of the probe's check. Raises `NotEnoughTags` when no honest set can be made, saying what to tag.
    """
    top = top_half(pool.logits, pool.labels, pool.eligible)
    scaling = standardise(pool.features[pool.eligible])
    said = np.stack([concept.states for concept in concepts], axis=1)
    values = np.full(said.shape, UNTAGGED, dtype=np.int8)
    sure = np.zeros(said.shape, dtype=bool)
    assumed = np.zeros(said.shape, dtype=bool)
    doubtful = np.zeros(said.shape, dtype=bool)
    warnings: list[str] = []
    probes: list[Probe] = []
    usual_by_class: list[dict[str, str | None]] = []
    accuracies: list[float | None] = []
    words = {PRESENT: "present", ABSENT: "absent", UNTAGGED: None}
    for i, concept in enumerate(concepts):
        check_tags(pool, concept, top)
        usual = usual_values(concept.states, pool.labels, top, pool.classes, concept.name)
        warnings.extend(usual.warnings)
        usual_by_class.append({name: words[int(usual.values[c])] for c, name in enumerate(pool.classes)})
        tagged = concept.states != UNTAGGED
        assumed[:, i] = top & pool.eligible & ~tagged & (usual.values[pool.labels] != UNTAGGED)
        known = np.where(tagged, concept.states, np.where(assumed[:, i], usual.values[pool.labels], UNTAGGED))
        if not use_probe:
            values[:, i], sure[:, i] = known, known != UNTAGGED
            continue
        training = known != UNTAGGED
        guesses = held_out_probabilities(
            pool.features[training], pool.labels[training], known[training], tagged[training], rng=rng
        )
        accuracy = balanced_accuracy(guesses, known[tagged])
        accuracies.append(accuracy)
        if accuracy is not None and accuracy >= PROBE_WARNING:
            # a probe that sees nothing has no right to contradict a person
            expected = usual.values[pool.labels]
            unusual_on_top = top & (expected != UNTAGGED) & (known != expected)
            cells = pool.labels * 2 + known
            slips = doubtful_tags(guesses, known[tagged], cells[tagged], unusual_on_top[tagged])
            doubtful[np.flatnonzero(tagged)[slips], i] = True
            training &= ~doubtful[:, i]
        probe = fit_probe(pool.features[training], pool.labels[training], known[training], scaling=scaling)
        probes.append(probe)
        if accuracy is not None and accuracy < PROBE_WARNING:
            warnings.append(
                f"The features hardly show {concept.name}: a probe tells present from absent on {accuracy:.0%} of the "
                f"tags it had not seen (50% is guessing). Check the tags, or expect little from this repair."
            )
        chance = probe.probability(pool.features)
        values[:, i] = np.where(tagged, concept.states, chance > 0.5)
        sure[:, i] = tagged | (confidence(chance) > CONFIDENCE)
        sure[doubtful[:, i], i] = False
        # an assumption that the probe shares is what it says it is; one it contradicts was the probe's choice
        assumed[:, i] &= values[:, i] == known
    grouping = by_concepts(pool.labels, pool.classes, [c.name for c in concepts], values, estimated=use_probe)
    groups = grouping.codes
    kept = pool.eligible & sure.all(axis=1)
    tagged_any, all_tagged = (said != UNTAGGED).any(axis=1), (said != UNTAGGED).all(axis=1)
    patterns = groups % 2 ** len(concepts)
    if all_tagged.any():
        # forest and desert at once: a pattern that no person has seen is two probes disagreeing, not a group
        kept &= np.isin(patterns, patterns[all_tagged | assumed.all(axis=1)])
    for group in np.unique(groups[kept]):
        members = kept & (groups == group)
        if members.sum() < SMALLEST_UNTAGGED_GROUP and not (members & tagged_any).any():
            kept &= groups != group
    positions = np.flatnonzero(kept)
    check_groups(pool, positions, groups[positions])
    if doubtful.any():
        count = int(doubtful.any(axis=1).sum())
        warnings.append(
            f"{count} tag{' contradicts' if count == 1 else 's contradict'} what the other tags say and "
            f"{'was' if count == 1 else 'were'} left out: have a second look."
        )
    warnings.extend(_missing_groups(pool, grouping, groups[positions]))
    reasons = np.where(all_tagged, "tagged", np.where((assumed | (said != UNTAGGED)).all(axis=1), "assumed", "probe"))
    sizes = []
    for group in np.unique(groups[positions]):
        members = positions[groups[positions] == group]
        name, pattern = grouping.name(int(group))
        sizes.append(CuratedGroup(name, pattern, len(members), int(tagged_any[members].sum())))
    return Curation(
        positions=positions,
        rows=pool.rows[positions],
        labels=pool.labels[positions],
        groups=groups[positions],
        weights=cell_weights(groups[positions]),
        reasons=reasons[positions],
        sizes=tuple(sizes),
        left_out=int(pool.eligible.sum()) - len(positions),
        warnings=tuple(warnings),
        probes=tuple(probes),
        usual=tuple(usual_by_class),
        probe_accuracy=tuple(accuracies),
        doubtful=pool.rows[doubtful.any(axis=1)],
    )


def curate_without_tags(pool: Pool) -> Curation:
    """The recipe with nobody answering: each class's top half is assumed to show a value of its own.

    A probe with one value per class learns the top halves, guesses every image, and the class x guess groups are
    balanced as ever. Where it guesses another class's value, the image looks like that class's usual ones: a minority,
    if the confounder is what they share. This is the baseline that tags have to beat.
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
    for group in np.unique(groups[kept]):
        if (kept & (groups == group)).sum() < SMALLEST_UNTAGGED_GROUP:
            kept &= groups != group
    positions = np.flatnonzero(kept)
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


def _missing_groups(pool: Pool, grouping: Grouping, groups: np.ndarray) -> list[str]:
    """One sentence naming class x pattern groups that no image was found of, though other classes have the pattern."""
    found = set(np.unique(groups).tolist())
    patterns = sorted({group % len(grouping.patterns) for group in found})
    missing = [
        "{} with {}".format(*grouping.name(c * len(grouping.patterns) + pattern))
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
