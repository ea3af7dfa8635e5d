"""Two people do whatever comes to mind, take it back and do it again: what holds is what a plain model says.

The model keeps a list of statements and replays those that stand; it knows nothing of tables or of undo by author
beyond two stacks.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select, text

from core.concepts.concept import (
    Concept,
    change_concept,
    concept_key,
    create_concept,
    delete_concept,
    list_concepts,
    merge_concepts,
)
from core.concepts.labels import judge, verdict_list
from core.concepts.tags import ABSENT, PRESENT, UNSURE, UNTAGGED, answers, redo, tag, tag_version, undo
from core.database import DatasetRecord, StandingTag, TagAction, TagRecord
from core.errors import BadRequest
from core.workspace import open_workspace

N = 4
CODES = {True: PRESENT, False: ABSENT, "unsure": UNSURE, None: UNTAGGED}
PEOPLE = st.sampled_from(["Ann", "Bob"])
NAMES = st.sampled_from(["water", "WATER", "snow", "sand"])
ROWS = st.lists(st.integers(0, N - 1), min_size=1, max_size=N, unique=True)


class Images:
    """As much of an analysis as the log needs."""

    dataset_id = "d"
    n = N
    attributes: ClassVar[tuple[Any, ...]] = ()
    classes = ("a", "b")
    labels = np.zeros(N, dtype=np.int64)

    def image_names(self, rows: Any) -> list[str]:
        return [f"{row}.png" for row in np.asarray(rows).tolist()]

    def rows_named(self, names: list[str]) -> np.ndarray:
        return np.array([int(name.removesuffix(".png")) for name in names], dtype=np.int64)


class Log(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = open_workspace(Path(self.folder.name))
        with self.workspace.writing() as session:
            session.add(DatasetRecord(id="d", name="d", root="/", source="x", fingerprint="f"))
        self.images: Any = Images()
        # action id -> its statements, in the order made
        self.said: dict[int, list[tuple[Any, ...]]] = {}
        self.author: dict[int, str] = {}
        self.standing: set[int] = set()
        self.undone: dict[str, list[int]] = {"Ann": [], "Bob": []}
        self.undone_by_time: list[int] = []
        self.rows = 0
        self.versions: dict[frozenset[int], int] = {}

    def teardown(self) -> None:
        self.folder.cleanup()

    def newest(self) -> int:
        with self.workspace.reading() as session:
            return session.scalar(select(func.max(TagAction.id))) or 0

    def did(self, author: str, before: int, statements: list[tuple[Any, ...]]) -> None:
        number = self.newest()
        if number == before:
            return
        assert number == before + 1, "one step is one action"
        self.said[number], self.author[number] = statements, author
        self.standing.add(number)
        self.undone[author] = []

    def living(self) -> list[Concept]:
        return list(list_concepts(self.workspace, "d"))

    def replay(self) -> tuple[dict[int, dict[int, int]], dict[int, bool], dict[int, str], dict[int, str]]:
        """tags, existence and wanted name by concept, verdicts by row."""
        tags: dict[int, dict[int, int]] = {}
        exists: dict[int, bool] = {}
        names: dict[int, str] = {}
        first: dict[int, str] = {}
        verdicts: dict[int, str] = {}
        spoken: set[int] = set()
        for number in sorted(self.said):
            for kind, what, value in self.said[number]:
                if kind == "name":
                    first.setdefault(what, value)
                if number not in self.standing:
                    continue
                if kind == "name":
                    names[what] = value
                    spoken.add(what)
                elif kind == "exists":
                    exists[what] = value
                elif kind == "tag":
                    tags.setdefault(what[0], {})[what[1]] = value
                elif kind == "label":
                    verdicts[what] = value
        for concept in first:
            used = concept in spoken or any(code != UNTAGGED for code in tags.get(concept, {}).values())
            exists.setdefault(concept, used)
        return tags, exists, {**first, **names}, verdicts

    @rule(author=PEOPLE, name=NAMES)
    def create(self, author: str, name: str) -> None:
        before, known = self.newest(), set(self.replay()[2])
        concept = create_concept(self.workspace, "d", name, author=author)
        facts: list[tuple[Any, ...]] = [("exists", concept.id, True)]
        if concept.id not in known:
            facts.append(("name", concept.id, name))
        else:
            assert concept_key(concept.name).startswith(concept_key(name))
        self.did(author, before, facts)

    @precondition(lambda self: self.living())
    @rule(author=PEOPLE, pick=st.integers(0, 9), rows=ROWS, said=st.sampled_from([True, False, "unsure", None]))
    def tag(self, author: str, pick: int, rows: list[int], said: Any) -> None:
        concept, before = self.living()[pick % len(self.living())], self.newest()
        tag(self.workspace, self.images, concept, rows, said, author=author)
        self.rows += len(rows)
        self.did(author, before, [("tag", (concept.id, row), CODES[said]) for row in rows])

    @precondition(lambda self: self.living())
    @rule(author=PEOPLE, pick=st.integers(0, 9), name=NAMES)
    def rename(self, author: str, pick: int, name: str) -> None:
        concept, before = self.living()[pick % len(self.living())], self.newest()
        try:
            change_concept(self.workspace, concept, name=name, author=author)
        except BadRequest:
            others = {concept_key(other.name) for other in self.living() if other.id != concept.id}
            assert concept_key(name) in others
        self.did(author, before, [("name", concept.id, name)])

    @precondition(lambda self: self.living())
    @rule(author=PEOPLE, pick=st.integers(0, 9))
    def delete(self, author: str, pick: int) -> None:
        concept, before = self.living()[pick % len(self.living())], self.newest()
        delete_concept(self.workspace, concept, author=author)
        self.did(author, before, [("exists", concept.id, False)])

    @precondition(lambda self: len(self.living()) > 1)
    @rule(author=PEOPLE, pick=st.integers(0, 9))
    def merge(self, author: str, pick: int) -> None:
        kept, gone = self.living()[pick % len(self.living())], self.living()[(pick + 1) % len(self.living())]
        tags, before = self.replay()[0], self.newest()
        merge_concepts(self.workspace, kept, gone, author=author)
        own = tags.get(kept.id, {})
        copied: list[tuple[Any, ...]] = [
            ("tag", (kept.id, row), code)
            for row, code in tags.get(gone.id, {}).items()
            if code != UNTAGGED and own.get(row, UNTAGGED) == UNTAGGED
        ]
        self.rows += len(copied)
        self.did(author, before, [*copied, ("exists", gone.id, False)])

    @rule(author=PEOPLE, rows=ROWS, verdict=st.sampled_from(["wrong", "right", None]))
    def judge(self, author: str, rows: list[int], verdict: Any) -> None:
        before = self.newest()
        judge(self.workspace, self.images, rows, verdict, author=author)
        self.did(author, before, [("label", row, verdict) for row in rows])

    @rule(author=st.sampled_from(["Ann", "Bob", None]))
    def undo(self, author: str | None) -> None:
        own = [number for number in self.standing if author in (None, self.author[number])]
        taken = undo(self.workspace, "d", author)
        assert (taken.id if taken else 0) == max(own, default=0)
        if taken:
            self.standing.remove(taken.id)
            self.undone[self.author[taken.id]].append(taken.id)
            self.undone_by_time = [*(number for number in self.undone_by_time if number != taken.id), taken.id]

    @rule(author=st.sampled_from(["Ann", "Bob", None]))
    def redo(self, author: str | None) -> None:
        open_ones = [number for name, stack in self.undone.items() if author in (None, name) for number in stack[-1:]]
        brought = redo(self.workspace, "d", author)
        expected = max(open_ones, key=self.undone_by_time.index, default=0)
        assert (brought.id if brought else 0) == expected
        if brought:
            self.standing.add(brought.id)
            self.undone[self.author[brought.id]].pop()

    @invariant()
    def what_holds_is_what_the_model_says(self) -> None:
        tags, exists, names, verdicts = self.replay()
        living = {concept.id: concept for concept in self.living()}
        assert set(living) == {concept for concept, there in exists.items() if there}
        for number, concept in living.items():
            expected = [tags.get(number, {}).get(row, UNTAGGED) for row in range(N)]
            assert answers(self.workspace, self.images, concept).tolist() == expected
            # another concept may have the name by now: then this one is numbered
            assert concept_key(concept.name).startswith(concept_key(names[number]))
        assert len({concept_key(concept.name) for concept in living.values()}) == len(living)
        keys = [concept.shortcut for concept in living.values()]
        assert None not in keys
        assert len(set(keys)) == len(keys)
        judged = {int(one.image.removesuffix(".png")): one.verdict for one in verdict_list(self.workspace, self.images)}
        assert judged == {row: verdict for row, verdict in verdicts.items() if verdict is not None}

    @invariant()
    def nothing_is_lost_and_nothing_derived_is_stale(self) -> None:
        newest = text(
            "SELECT concept_id, image, max(tags.id), tags.state FROM tags "
            "JOIN tag_actions ON tag_actions.id = action_id WHERE undone IS NULL "
            "GROUP BY concept_id, image ORDER BY concept_id, image"
        )
        kept = select(StandingTag.concept_id, StandingTag.image, StandingTag.tag_id, StandingTag.state)
        with self.workspace.reading() as session:
            assert session.scalar(select(func.count(TagRecord.id))) == self.rows
            assert session.scalar(select(func.count(TagAction.id))) == len(self.said)
            held = session.execute(kept.order_by(StandingTag.concept_id, StandingTag.image)).all()
            assert [tuple(row) for row in held] == [tuple(row) for row in session.execute(newest)]
        version = tag_version(self.workspace, "d")
        assert self.versions.setdefault(frozenset(self.standing), version) == version
        assert len(set(self.versions.values())) == len(self.versions)


TestLog = Log.TestCase
TestLog.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
