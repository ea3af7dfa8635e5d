"""How far people agree who tagged the same images."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import select

from core.activations.curves import wilson
from core.concepts.concept import Concept, list_concepts
from core.concepts.log import author_names, clean_author
from core.concepts.tags import rows_of_images
from core.database import StatementOrigin, TagAction, TagRecord
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Difference:
    """An image of which one said that it shows a concept, and the other that it does not. states: of the first and
    of the second, True for present."""

    concept: str
    image: str
    row: int
    states: tuple[bool, bool]

    def to_dict(self) -> dict[str, Any]:
        return {"concept": self.concept, "image": self.image, "states": list(self.states)}


@dataclass(frozen=True)
class Agreement:
    """Two people. both: questions (image x concept) that both answered with present or absent. same: those with the
    same answer. share: same / both, None without any, with Wilson's 95% interval low to high. kappa: Cohen's (1960),
    agreement beyond chance: 1 is all of it, 0 no more than two people would have who answer at random as often present
    as these two do; None where chance alone would have made them agree on everything. Chance is counted within each
    concept."""

    first: str
    second: str
    both: int
    same: int
    share: float | None
    low: float | None
    high: float | None
    kappa: float | None
    differing: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "both": self.both,
            "same": self.same,
            "share": self.share,
            "low": self.low,
            "high": self.high,
            "kappa": self.kappa,
            "differing": [difference.to_dict() for difference in self.differing],
        }


def agreements(workspace: Workspace, analysis: Analysis, concept: Concept | None = None) -> tuple[Agreement, ...]:
    """Every pair of people that answered a question both, the pair with most of them first.

    concept: None takes all. What counts is the newest of each one's own statements that stand, whoever's holds. An
    "unsure" is no answer, nor is what came with a merge or from a column of the dataset. What was imported counts as
    said by whom its file names, if anybody, where they said nothing here; never as said by who imported it.
    """
    concepts = list_concepts(workspace, analysis.dataset_id) if concept is None else (concept,)
    said = _own_statements(workspace, analysis, concepts)
    names = {one.id: one.name for one in concepts}
    order = {one.id: place for place, one in enumerate(concepts)}
    found = []
    for first, second in itertools.combinations(sorted(said), 2):
        mine, theirs = said[first], said[second]
        questions = sorted(mine.keys() & theirs.keys(), key=lambda question: (order[question[0]], question[1]))
        if questions:
            found.append(_agreement(first, second, questions, mine, theirs, analysis, names))
    return tuple(sorted(found, key=lambda agreement: -agreement.both))


Statements = dict[tuple[int, int], bool]


def _own_statements(workspace: Workspace, analysis: Analysis, concepts: tuple[Concept, ...]) -> dict[str, Statements]:
    """author -> (concept id, row) -> present."""
    # by image, those of which more than one spoke
    shared: list[tuple[int, str, dict[str, str]]] = []
    with workspace.reading() as session:
        # beside the session: its bookkeeping would take longer than the query
        read = session.connection().execute
        imports = TagAction.source == "import", TagAction.dataset_id == analysis.dataset_id, TagAction.undone.is_(None)
        imported = read(select(TagAction.id).where(*imports).limit(1)).first() is not None
        if len(author_names(session, analysis.dataset_id)) < 2 and not imported:
            return {}
        # by statement; of those that came with an import and say who said them
        origins = (
            select(StatementOrigin.statement_id, StatementOrigin.author)
            .join(TagRecord, TagRecord.id == StatementOrigin.statement_id)
            .join(TagAction, TagAction.id == TagRecord.action_id)
            .where(StatementOrigin.kind == "tag", StatementOrigin.author.is_not(None), *imports)
        )
        named = {tag: clean_author(author or "") for tag, author in read(origins)} if imported else {}
        stands = select(TagAction.id, TagAction.author).where(
            TagAction.dataset_id == analysis.dataset_id,
            TagAction.undone.is_(None),
            TagAction.kind == "tag",
            TagAction.source.not_in(["metadata", "import"]),
        )
        authors = {found.id: found.author for found in read(stands)}
        for concept in concepts:
            # in the order of the index: nothing has to be sorted
            statements = (
                select(TagRecord.id, TagRecord.action_id, TagRecord.image, TagRecord.state)
                .where(TagRecord.concept_id == concept.id)
                .order_by(TagRecord.image, TagRecord.id)
            )
            for image, group in itertools.groupby(read(statements), key=lambda statement: statement[2]):
                made = list(group)
                newest = {named[tag]: state for tag, _, _, state in made if tag in named} if named else {}
                newest |= {authors[action]: state for _, action, _, state in made if action in authors}
                if len(newest) > 1:
                    shared.append((concept.id, image, newest))
    rows = rows_of_images(analysis, [image for _, image, _ in shared]).tolist()
    said: dict[str, Statements] = defaultdict(dict)
    for row, (concept_id, _, newest) in zip(rows, shared, strict=True):
        for author, state in newest.items():
            if row >= 0 and state in ("present", "absent"):
                said[author][concept_id, row] = state == "present"
    return said


def _agreement(
    first: str,
    second: str,
    questions: list[tuple[int, int]],
    mine: Statements,
    theirs: Statements,
    analysis: Analysis,
    names: dict[int, str],
) -> Agreement:
    answers = np.array([(mine[question], theirs[question]) for question in questions])
    agreed = answers[:, 0] == answers[:, 1]
    both, same = len(questions), int(agreed.sum())
    low, high = wilson(np.array([same]), np.array([both]))
    concepts = np.array([concept for concept, _ in questions])
    chance = 0.0
    for concept in np.unique(concepts):
        p, q = answers[concepts == concept].mean(axis=0)
        chance += float((concepts == concept).mean() * (p * q + (1 - p) * (1 - q)))
    apart = [question for question, equal in zip(questions, agreed, strict=True) if not equal]
    images = analysis.image_names([row for _, row in apart])
    differing = tuple(
        Difference(names[concept], image, row, (mine[concept, row], theirs[concept, row]))
        for (concept, row), image in zip(apart, images, strict=True)
    )
    kappa = None if chance >= 1 - 1e-12 else (same / both - chance) / (1 - chance)
    return Agreement(first, second, both, same, same / both, float(low[0]), float(high[0]), kappa, differing)
