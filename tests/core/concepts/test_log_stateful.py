"""Two people do whatever comes to mind, take it back and do it again: what holds is what a plain model says.

The model keeps a list of statements and replays those that stand; it knows nothing of tables or of undo by author
beyond two stacks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import func, select, text

from core.concepts.concept import Concept, change_concept, create_concept, delete_concept, list_concepts
from core.concepts.labels import judge, verdict_list
from core.concepts.merging import merge_concepts
from core.concepts.names import concept_key
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

    def need_labels(self) -> None:
        """They have some."""

    def image_names(self, rows: Any) -> list[str]:
        return [f"{row}.png" for row in np.asarray(rows).tolist()]

    def rows_named(self, names: list[str]) -> np.ndarray:
        return np.array([int(name.removesuffix(".png")) for name in names], dtype=np.int64)


@dataclass
class Replayed:
    """tags, names, keys and existence by concept, verdicts by row; names and keys with the action that claims them.
    made: the action that made a concept or brought it back."""

    tags: dict[int, dict[int, int]] = field(default_factory=dict)
    exists: dict[int, bool] = field(default_factory=dict)
    made: dict[int, int] = field(default_factory=dict)
    names: dict[int, tuple[int, str]] = field(default_factory=dict)
    shortcuts: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    verdicts: dict[int, str] = field(default_factory=dict)


def lowest_key(taken: Iterable[int | None]) -> int | None:
    return min({*range(1, 10)} - set(taken), default=None)


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

    def replay(self) -> Replayed:
        found = Replayed()
        first: dict[str, dict[int, tuple[int, Any]]] = {"name": {}, "shortcut": {}}
        spoken: set[int] = set()
        for number in sorted(self.said):
            for kind, what, value in self.said[number]:
                if kind in first:
                    first[kind].setdefault(what, (number, value))
                if number not in self.standing:
                    continue
                if kind == "name":
                    found.names[what] = number, value
                    spoken.add(what)
                elif kind == "shortcut":
                    found.shortcuts[what] = number, value
                    spoken.add(what)
                elif kind == "exists":
                    found.exists[what], found.made[what] = value, number if value else 0
                elif kind == "tag":
                    found.tags.setdefault(what[0], {})[what[1]] = value
                elif kind == "label":
                    found.verdicts[what] = value
        for concept in first["name"]:
            used = concept in spoken or any(code != UNTAGGED for code in found.tags.get(concept, {}).values())
            found.exists.setdefault(concept, used)
        found.names = {**first["name"], **found.names}
        found.shortcuts = {**first["shortcut"], **found.shortcuts}
        return found

    def shown(self) -> dict[int, tuple[str, int | None]]:
        """Name and key of each living concept: who claimed it last has it, the others what is nearest."""
        found = self.replay()
        living = [concept for concept in sorted(found.exists) if found.exists[concept]]
        names: dict[int, str] = {}
        since = {one: max(found.names[one][0], found.made.get(one, 0)) for one in living}
        for one in living:
            name = found.names[one][1]
            rivals = [other for other in living if concept_key(found.names[other][1]) == concept_key(name)]
            if one == max(rivals, key=since.__getitem__):
                names[one] = name
        for one in living:
            number = 2
            while one not in names:
                name = f"{found.names[one][1]} ({number})"
                number += 1
                if concept_key(name) not in map(concept_key, names.values()):
                    names[one] = name
        keys: dict[int, int | None] = {}
        for one in living:
            since_then, key = found.shortcuts[one]
            if key is None or since_then == max(
                found.shortcuts[other][0] for other in living if found.shortcuts[other][1] == key
            ):
                keys[one] = key
        for one in living:
            if one not in keys:
                keys[one] = lowest_key(keys.values())
        return {one: (names[one], keys[one]) for one in living}

    @rule(author=PEOPLE, name=NAMES)
    def create(self, author: str, name: str) -> None:
        before, known = self.newest(), self.replay()
        taken = {key for _, key in self.shown().values()}
        concept = create_concept(self.workspace, "d", name, author=author)
        assert concept_key(concept.name) == concept_key(name)
        wanted = known.shortcuts[concept.id][1] if concept.id in known.names else None
        key = lowest_key(taken) if wanted is None or wanted in taken else wanted
        facts: list[tuple[Any, ...]] = [("exists", concept.id, True), ("shortcut", concept.id, key)]
        if concept.id not in known.names:
            facts.append(("name", concept.id, name))
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
    @rule(author=PEOPLE, pick=st.integers(0, 9), key=st.integers(0, 4))
    def give_key(self, author: str, pick: int, key: int) -> None:
        concept, before = self.living()[pick % len(self.living())], self.newest()
        facts = [("shortcut", concept.id, key or None)]
        facts += [("shortcut", one, concept.shortcut) for one, (_, had) in self.shown().items() if had == key]
        change_concept(self.workspace, concept, shortcut=key, author=author)
        self.did(author, before, facts)

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
        tags, before = self.replay().tags, self.newest()
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
        found = self.replay()
        living = {concept.id: concept for concept in self.living()}
        assert {number: (concept.name, concept.shortcut) for number, concept in living.items()} == self.shown()
        for number, concept in living.items():
            expected = [found.tags.get(number, {}).get(row, UNTAGGED) for row in range(N)]
            assert answers(self.workspace, self.images, concept).tolist() == expected
        assert len({concept_key(concept.name) for concept in living.values()}) == len(living)
        keys = [concept.shortcut for concept in living.values() if concept.shortcut is not None]
        assert len(set(keys)) == len(keys)
        judged = {int(one.image.removesuffix(".png")): one.verdict for one in verdict_list(self.workspace, self.images)}
        assert judged == {row: verdict for row, verdict in found.verdicts.items() if verdict is not None}

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
