"""What a retraining will learn from, image by image, before it does.

`choose` does what takes time, once for the tags as they are; `look_through` adds what a person changed, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.proposals import bottom_range, top_range
from core.concepts.majority import own_logits
from core.concepts.probes import cell_weights
from core.concepts.tags import UNTAGGED
from core.errors import MidbandError
from core.retraining.curated import grouped
from core.retraining.curation import CuratedGroup, Curation, curate
from core.retraining.edits import CurationEdits, edit_curation
from core.retraining.feasibility import Feasibility, feasibility_of
from core.retraining.groups import Grouping, by_concepts
from core.retraining.material import check_needs, chosen_concepts, gather
from core.retraining.methods import Material
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# fewer images than this leave a group's mean known to worse than a third of its spread (one over the root of ten), and
# what is learnt of it depends on which images they happen to be
FEW = 10
# and fewer than this to worse than half of it
VERY_FEW = 4
# each image of a group counting as this many average ones carries the fit: a wrong one among them is learnt as much
HEAVY = 20
# groups named one by one in warnings of a kind
NAMED = 3

# why an image is used, or not, as `PreviewImages.reasons` has it
TAGGED, ASSUMED, PROBE, KNOWN, PUT_IN = "tagged", "assumed", "probe", "known", "put in"
LEFT_OUT, UNCLEAR, DOUBTFUL, UNKNOWN = "left out", "unclear", "doubtful", "unknown"
USED = (TAGGED, ASSUMED, PROBE, KNOWN, PUT_IN)
TOP, MIDDLE, BOTTOM = "top", "middle", "bottom"


@dataclass(frozen=True)
class PreviewGroup:
    """code: of the grouping. title: as a person says it. found: held-out images known or guessed to be of the group.
    chosen: those used; tagged: of them, those that a person said it of; middle: those below the top band of their
    class. share: of all images used. weight: of the group in the fit; both 0..1. times: how much one image of it counts
    where 1 is the mean."""

    code: int
    class_name: str
    concept: str | None
    title: str
    found: int
    chosen: int
    tagged: int
    middle: int
    share: float
    weight: float
    times: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "concept": self.concept,
            "found": self.found,
            "chosen": self.chosen,
            "tagged": self.tagged,
            "middle": self.middle,
            "share": self.share,
            "weight": self.weight,
            "times": self.times,
        }


@dataclass(frozen=True, eq=False)
class PreviewImages:
    """All m held-out images a head may be fitted on. rows: (m,) int64. groups: (m,) int64 codes, known or guessed, -1
    for neither. reasons, unedited: (m,) of the reasons above, with and without what a person changed. confidence: (m,)
    float64, how likely the group is right, 1 where it was said, NaN where nothing is known. weights: (m,) float64
    summing to 1, 0 where not used. bands: (m,) of "top", "middle" and "bottom" along the image's own class."""

    rows: np.ndarray
    groups: np.ndarray
    reasons: np.ndarray
    unedited: np.ndarray
    confidence: np.ndarray
    weights: np.ndarray
    bands: np.ndarray

    @property
    def used(self) -> np.ndarray:
        return self.weights > 0


@dataclass(frozen=True, eq=False)
class Choice:
    """What the recipe chooses before anybody changes it. source: "tags" or "attributes". grouping: over the pool's
    images, each in the group it is known or guessed to be of. confidence: (p,) float64, of the pool's images."""

    material: Material
    names: tuple[str, ...]
    source: str
    curation: Curation
    grouping: Grouping
    confidence: np.ndarray
    bands: np.ndarray
    notes: tuple[str, ...]
    split: str


@dataclass(frozen=True, eq=False)
class Preview:
    """curation: with what a person changed; where that cannot be fitted, as it was chosen, and `problem` says why.
    edits: those that still apply; past: how many do not, since their image is gone or may not be learnt from."""

    choice: Choice
    curation: Curation
    edits: CurationEdits
    past: int
    problem: MidbandError | None
    groups: tuple[PreviewGroup, ...]
    images: PreviewImages
    warnings: tuple[str, ...]

    def title(self, code: int) -> str:
        """The group as a person says it, "" for none."""
        return "" if code < 0 else group_title(self.choice.grouping, code)

    def to_dict(self) -> dict[str, Any]:
        return {
            "images": len(self.curation.positions),
            "left_out": self.curation.left_out,
            "groups": [group.to_dict() for group in self.groups],
            "edits": self.edits.to_dict(),
            "warnings": list(self.warnings),
        }


def choose(
    workspace: Workspace,
    analysis: Analysis,
    *,
    method: str = "mid",
    concepts: Sequence[str] = (),
    seed: int = 0,
    source: str = "tags",
) -> Choice:
    """What `retrain` of a method would fit on. source: where its groups are from, "tags" or "attributes".

    Raises as `retrain`: `NotFound`, `BadRequest`, `NotEnoughTags`, `EmptyGroup`.
    """
    chosen = chosen_concepts(workspace, analysis, concepts) if source == "tags" else ()
    check_needs(source, analysis, chosen)
    gathered = gather(workspace, analysis, chosen)
    material, pool = gathered.material, gathered.material.pool
    rng = np.random.default_rng(seed)
    if source == "attributes":
        known = grouped(material, "attribute", rng, method=method)
        assert material.known is not None
        curation = _known(material, material.known, known.positions, known.groups)
        grouping, confidence = material.known, np.where(material.known.codes >= 0, 1.0, np.nan)
    else:
        curation = curate(pool, material.concepts, rng=rng, use_probe=method != "mid-tags")
        grouping, confidence = _guessed(material, gathered.names, curation)
    return Choice(
        material=material,
        names=gathered.names,
        source=source,
        curation=curation,
        grouping=grouping,
        confidence=confidence,
        bands=_bands(material),
        notes=gathered.notes,
        split=pool.split,
    )


def look_through(choice: Choice, analysis: Analysis, edits: CurationEdits | None = None) -> Preview:
    """The choice with what a person changed of it, counted and explained."""
    usable = _applying(choice, analysis, edits or CurationEdits())
    past = _count(edits or CurationEdits()) - _count(usable)
    curation, problem = choice.curation, None
    try:
        curation = edit_curation(choice.curation, usable, choice.material, analysis)
    except MidbandError as error:
        problem = error
    images = _images(choice, curation, analysis, usable)
    groups = _groups(choice, curation, images)
    warnings = (*_past(past), *_warnings(choice, curation, groups), *curation.warnings, *choice.notes)
    return Preview(choice, curation, usable, past, problem, groups, images, warnings)


def promised(preview: Preview, *, seed: int = 0) -> Feasibility:
    """Whether the features hold what a repair needs (feasibility.py), asked of the images as they are chosen now."""
    material = preview.choice.material
    return feasibility_of(material.pool, preview.curation, material.concepts, seed=seed)


def group_title(grouping: Grouping, code: int) -> str:
    """A group as a person says it: "waterbird without water, with reeds"; "waterbird (place: land)"; "waterbird"."""
    class_name, pattern = grouping.name(code)
    if pattern is None:
        return class_name
    kind, _, name = grouping.source.partition(" ")
    if kind == "attribute":
        return f"{class_name} ({name}: {pattern})"
    parts = (f"without {part[3:]}" if part.startswith("no ") else f"with {part}" for part in pattern.split(", "))
    return f"{class_name} {', '.join(parts)}"


def pattern_of(choice: Choice, code: int) -> dict[str, bool]:
    """What images of a group show, concept -> present: what `CurationEdits.kept` says of one that is put there."""
    pattern = code % len(choice.grouping.patterns)
    return {name: bool(pattern >> place & 1) for place, name in enumerate(choice.names)}


def _known(material: Material, known: Grouping, positions: np.ndarray, groups: np.ndarray) -> Curation:
    """All images whose attribute is known, as `dfr` balances them."""
    pool = material.pool
    return Curation(
        positions=positions,
        rows=pool.rows[positions],
        labels=pool.labels[positions],
        groups=groups,
        weights=cell_weights(groups),
        reasons=np.full(len(positions), KNOWN),
        confidence=np.ones(len(positions)),
        sizes=tuple(CuratedGroup(*known.name(int(g)), int((groups == g).sum()), 0) for g in np.unique(groups)),
        left_out=int(pool.eligible.sum()) - len(positions),
        warnings=(),
    )


def _guessed(material: Material, names: Sequence[str], curation: Curation) -> tuple[Grouping, np.ndarray]:
    """Each image of the pool in the group it is used in, else in the one its tags and the probe make likeliest."""
    pool = material.pool
    states = np.stack([concept.states for concept in material.concepts], axis=1)
    if curation.probe is None:
        values, confidence = states, np.full(len(pool), np.nan)
    else:
        certain = np.where(np.isin(pool.rows, curation.doubtful)[:, None], UNTAGGED, states)
        values, confidence = curation.probe.guess(pool.features, pool.labels, certain)
        values = np.where(states != UNTAGGED, states, values).astype(np.int8)
    grouping = by_concepts(pool.labels, pool.classes, list(names), values, estimated=True)
    grouping.codes[curation.positions] = curation.groups
    confidence = np.where((states != UNTAGGED).all(axis=1), 1.0, confidence)
    confidence[curation.positions] = curation.confidence
    return grouping, np.where(grouping.codes >= 0, confidence, np.nan)


def _bands(material: Material) -> np.ndarray:
    """Where each image of the pool lies along the logit of its own class, among the held-out images."""
    pool = material.pool
    found = np.full(len(pool), MIDDLE, dtype="<U6")
    own = own_logits(pool.logits, pool.labels)
    for c, name in enumerate(pool.classes):
        scores = pool.logits[pool.eligible, c].astype(np.float64)
        mine = pool.labels[pool.eligible] == c
        of_class = pool.labels == c
        found[of_class & (own < bottom_range(scores, mine, name).high)] = BOTTOM
        found[of_class & (own >= top_range(scores, mine, name).low)] = TOP
    return found


def _applying(choice: Choice, analysis: Analysis, edits: CurationEdits) -> CurationEdits:
    """The edits of images that are there and may be learnt from; others would stop the repair for nothing."""
    if not edits:
        return edits
    pool = choice.material.pool
    usable = pool.rows[pool.eligible]

    def those(images: Sequence[str]) -> list[str]:
        rows = analysis.rows_named(list(images))
        return [image for image, fits in zip(images, np.isin(rows, usable).tolist(), strict=True) if fits]

    whole = {image: pattern for image, pattern in edits.kept.items() if set(pattern) == set(choice.names)}
    return CurationEdits(
        tuple(those(edits.left_out)) if edits.left_out else (),
        {image: whole[image] for image in those(list(whole))} if whole else {},
    )


def _count(edits: CurationEdits) -> int:
    return len(edits.left_out) + len(edits.kept)


def _images(choice: Choice, curation: Curation, analysis: Analysis, edits: CurationEdits) -> PreviewImages:
    pool, chosen = choice.material.pool, choice.curation
    unedited = np.full(len(pool), UNCLEAR, dtype="<U8")
    if choice.source == "attributes":
        unedited[:] = UNKNOWN
    unedited[np.isin(pool.rows, chosen.doubtful)] = DOUBTFUL
    unedited[chosen.positions] = chosen.reasons
    reasons, groups, confidence = unedited.copy(), choice.grouping.codes.copy(), choice.confidence.copy()
    weights = np.zeros(len(pool))
    weights[curation.positions] = curation.weights
    groups[curation.positions] = curation.groups
    confidence[curation.positions] = curation.confidence
    if edits.left_out:
        reasons[np.isin(pool.rows, analysis.rows_named(list(edits.left_out)))] = LEFT_OUT
    if edits.kept:
        reasons[np.isin(pool.rows, analysis.rows_named(list(edits.kept)))] = PUT_IN
    which = pool.eligible
    return PreviewImages(
        rows=pool.rows[which],
        groups=groups[which],
        reasons=reasons[which],
        unedited=unedited[which],
        confidence=confidence[which],
        weights=weights[which],
        bands=choice.bands[which],
    )


def _groups(choice: Choice, curation: Curation, images: PreviewImages) -> tuple[PreviewGroup, ...]:
    """Every group that an image is known or guessed to be of, by class."""
    total = len(curation.positions)
    used = images.used
    said = used & np.isin(images.reasons, (TAGGED, PUT_IN))
    found = []
    for code in np.unique(images.groups[images.groups >= 0]).tolist():
        members = images.groups == code
        chosen, weight = int((members & used).sum()), float(images.weights[members].sum())
        found.append(
            PreviewGroup(
                code,
                *choice.grouping.name(code),
                title=group_title(choice.grouping, code),
                found=int(members.sum()),
                chosen=chosen,
                tagged=int((members & said).sum()),
                middle=int((members & used & (images.bands != TOP)).sum()),
                share=chosen / total,
                weight=weight,
                times=weight / (chosen / total) if chosen else 0.0,
            )
        )
    return tuple(found)


def _past(count: int) -> list[str]:
    if not count:
        return []
    subject, verb = ("1 edit", "does") if count == 1 else (f"{count} edits", "do")
    image = "its image is" if count == 1 else "their images are"
    return [f"{subject} {verb} not apply any more: {image} gone, or may not be learnt from."]


def _warnings(choice: Choice, curation: Curation, groups: Sequence[PreviewGroup]) -> list[str]:
    """What makes the gain uncertain, in plain sentences."""
    chosen = [group for group in groups if group.chosen]
    few = sorted((group for group in chosen if group.chosen < FEW), key=lambda group: group.chosen)
    said = [_few(group) for group in few[:NAMED]]
    if len(few) > NAMED:
        said.append(f"{len(few) - NAMED} more groups have fewer than {FEW} images: the same holds for them.")
    said += [
        f"Each of the {group.chosen} images of {group.title} counts as {group.times:.0f} average ones: a wrong "
        "one among them weighs as much. More tags of such images help most."
        for group in [group for group in chosen if group.chosen >= FEW and group.times >= HEAVY][:NAMED]
    ]
    if choice.source == "tags":
        unseen = [group for group in chosen if not group.tagged and group.chosen >= FEW]
        said += [
            f"Nobody has looked at an image of {group.title}: all {group.chosen} are guessed. Look through some."
            for group in unseen[:NAMED]
        ]
        if len(unseen) > NAMED:
            said.append(f"{len(unseen) - NAMED} more groups are guessed from end to end.")
    before = {int(code) for code in np.unique(choice.curation.groups)}
    gone = [group_title(choice.grouping, code) for code in sorted(before - set(np.unique(curation.groups).tolist()))]
    if gone:
        said.append(f"You left out every image of {gone[0]}: the new head learns nothing about such images.")
    return said


def _few(group: PreviewGroup) -> str:
    images = "1 image" if group.chosen == 1 else f"{group.chosen} images"
    if group.chosen < VERY_FEW:
        rests = "a single image" if group.chosen == 1 else "so few"
        return f"Only {images} of {group.title}: what is learnt of it rests on {rests}, and a gain would be luck."
    return f"Only {images} of {group.title}: the gain will be uncertain. More tags of such images help most."
