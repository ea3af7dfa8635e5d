"""From the workspace to plain arrays: which images, tags and groups a retraining may use, and which it may not.

Curation uses val, evaluation test, and the two never meet: tags on test images are left out. Tags on train images
teach the probe but no head is fitted on them, since the network has learnt those images by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.concepts.concept import Concept, get_concept, list_concepts
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_states, tagging_split
from core.errors import BadRequest, EmptyGroup, NotEnoughTags
from core.files import digest
from core.retraining.curation import FEWEST_PER_VALUE, FEWEST_TAGS
from core.retraining.groups import Grouping, by_attribute
from core.retraining.methods import Material
from core.retraining.pool import ConceptTags, Pool
from core.retraining.statements import Statements, read_statements
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# concepts in one retraining: their joint patterns part every class into two to the power of this
MOST_CONCEPTS = 6


@dataclass(frozen=True, eq=False)
class Gathered:
    """material: what methods get. names: of the concepts. states: (n, m) int8, what is said of them on every image.
    groups: of every image, by the dataset's first attribute; None where it has none. notes: sentences about what was
    left out. tags: hash of all tags and verdicts on labels used. statements: what was said, of all images."""

    material: Material
    names: tuple[str, ...]
    states: np.ndarray
    groups: Grouping | None
    notes: tuple[str, ...]
    tags: str
    statements: Statements


def chosen_concepts(workspace: Workspace, analysis: Analysis, names: Sequence[str]) -> tuple[Concept, ...]:
    """The concepts of these names; without names, the confounders with enough tags to retrain on, or those with any.

    Raises `NotFound`.
    """
    if names:
        chosen = (get_concept(workspace, analysis.dataset_id, name) for name in names)
        return tuple({concept.id: concept for concept in chosen}.values())
    begun, enough = [], []
    for concept in list_concepts(workspace, analysis.dataset_id):
        if concept.role == "confounder":
            states = tag_states(workspace, analysis, concept)
            begun += [concept] if (states != UNTAGGED).any() else []
            enough += [concept] if counted(analysis, states).enough else []
    # one that was only begun must not stop the repair of another
    return tuple(enough or begun)


class Counted(NamedTuple):
    """Answers about one concept that a retraining can use."""

    present: int
    absent: int

    @property
    def enough(self) -> bool:
        """Whether a retraining may begin."""
        return sum(self) >= FEWEST_TAGS and min(self) >= FEWEST_PER_VALUE


def counted(analysis: Analysis, states: np.ndarray) -> Counted:
    """states: (n,) int8 of one concept, as `tag_states` and `answers` give them."""
    usable = states[_usable(analysis)]
    return Counted(int((usable == PRESENT).sum()), int((usable == ABSENT).sum()))


def _usable(analysis: Analysis) -> np.ndarray:
    """Rows whose answers a retraining can use."""
    return np.union1d(analysis.split_rows(tagging_split(analysis)), analysis.split_rows("train"))


def gather(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> Gathered:
    """Read what a retraining needs. Raises `EmptyGroup` when a class has no image to fit on."""
    return assemble(analysis, read_statements(workspace, analysis, concepts))


def assemble(analysis: Analysis, statements: Statements) -> Gathered:
    """What a retraining gets where this was said. Raises `EmptyGroup` when a class has no image to fit on, `BadRequest`
    for too many concepts."""
    check_count(statements.names)
    split = tagging_split(analysis)
    notes = []
    if split == "train":
        notes.append(
            "There is no val split, so training images were used, which the network has learnt by heart: expect less "
            "of the repair than with images set aside."
        )
    held_out = analysis.split_rows(split)
    wrong, labels, states = statements.wrong, statements.labels, statements.states
    relabelled = labels != analysis.labels
    left_out, renamed = int(wrong[held_out].sum()), int(relabelled[held_out].sum())
    if left_out:
        notes.append(f"{_images(left_out)} tagged as wrongly labelled {_were(left_out)} left out.")
    if renamed:
        notes.append(f"{_images(renamed)} {_were(renamed)} used with the label that a person gave.")
    doubted = int((wrong | relabelled)[analysis.split_rows("test")].sum())
    if doubted:
        notes.append(
            f"{_images(doubted)} of test {_were(doubted)} judged wrongly labelled. Test is measured on the labels as "
            "the dataset gives them, so that figures stay comparable."
        )
    on_test = int(statements.said[analysis.split_rows("test")].sum())
    if on_test:
        notes.append(f"{on_test} tagged test images were not used for training: test is for measuring only.")
    is_held_out = np.zeros(analysis.n, dtype=bool)
    is_held_out[held_out] = True
    is_train = np.zeros(analysis.n, dtype=bool)
    is_train[analysis.split_rows("train")] = True
    rows = np.flatnonzero((is_held_out | (is_train & statements.said)) & ~wrong)
    pool = Pool(
        rows=rows,
        features=np.asarray(analysis.features[rows], dtype=np.float32),
        logits=np.asarray(analysis.logits[rows], dtype=np.float32),
        labels=labels[rows],
        classes=analysis.classes,
        head=analysis.head,
        split=split,
        eligible=is_held_out[rows],
    )
    _check_classes(pool)
    groups = known_groups(analysis)
    known = None
    if groups is not None:
        corrected = _by_first_attribute(analysis, labels)
        known = Grouping(corrected.codes[rows], corrected.classes, corrected.patterns, corrected.source)
    tags = tuple(ConceptTags(name, states[rows, i]) for i, name in enumerate(statements.names))
    used = tags_digest(analysis, statements)
    return Gathered(Material(pool, tags, known), statements.names, states, groups, tuple(notes), used, statements)


def tags_digest(analysis: Analysis, statements: Statements) -> str:
    """Of all tags, and of the verdicts on labels of images that a retraining may use: as long as it is the same, a
    retraining learns from the same answers."""
    wrong, labels = statements.wrong, statements.labels
    used = []
    for i, concept in enumerate(statements.names):
        states = statements.states[:, i]
        known = np.flatnonzero(states != UNTAGGED)
        images = analysis.image_names(known)
        used += [f"{concept}\0{image}\0{states[row]}" for row, image in zip(known, images, strict=True)]
    usable = _usable(analysis)
    for row in usable[(wrong | (labels != analysis.labels))[usable]].tolist():
        label = "" if wrong[row] else analysis.classes[labels[row]]
        used.append(f"label\0{analysis.image_names([row])[0]}\0{label}")
    return digest(*used)


def known_groups(analysis: Analysis) -> Grouping | None:
    """Class x first attribute for every image; None where the dataset has no attribute."""
    if not analysis.attributes:
        return None
    return _by_first_attribute(analysis, analysis.labels)


def _by_first_attribute(analysis: Analysis, labels: np.ndarray) -> Grouping:
    attribute = analysis.attributes[0]
    return by_attribute(labels, analysis.classes, attribute.name, attribute.values, attribute.codes)


def check_needs(needs: str, analysis: Analysis, concepts: Sequence[Concept]) -> None:
    """Raise what can be told before anything is read. needs: see `Method`."""
    analysis.need_labels()
    if needs == "attributes" and not analysis.attributes:
        raise BadRequest(
            "This method needs the group of every held-out image, and the dataset has no known attribute.",
            next_step="Use the method mid, which asks for a few dozen tags instead, or add an attribute column to "
            "metadata.csv.",
        )
    if needs == "tags":
        check_count(concepts)
    if needs == "tags" and not concepts:
        raise NotEnoughTags(
            "This method repairs what tagged concepts point at, and no image is tagged with a confounder yet.",
            next_step="Create a concept and tag the images that “tag next” proposes: 20 make a start, 60 a good "
            "repair.",
        )


def check_count(concepts: Sequence[object]) -> None:
    """Raise `BadRequest` for more concepts than groups can be made of."""
    if len(concepts) > MOST_CONCEPTS:
        raise BadRequest(
            f"{len(concepts)} concepts make too many groups of every class; {MOST_CONCEPTS} are the most.",
            next_step="Choose the concepts that matter most (`--concepts a,b`).",
        )


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _check_classes(pool: Pool) -> None:
    absent = [name for c, name in enumerate(pool.classes) if not (pool.labels[pool.eligible] == c).any()]
    if absent:
        raise EmptyGroup(
            f"The {pool.split} split has no usable image of {', '.join(absent)}, so a new last layer would forget "
            f"{'it' if len(absent) == 1 else 'them'}.",
            next_step=f"Put images of every class into {pool.split}.",
        )
