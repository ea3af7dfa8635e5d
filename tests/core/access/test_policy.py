"""Who may do what, asked wherever something changes or is given away."""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.access.accounts import accounts
from core.access.audit import entries
from core.access.person import LOCAL, Person, acting, acting_as, find_with, forget_finder
from core.access.policy import Permission, allowed, require
from core.concepts.concept import change_concept, create_concept, delete_concept
from core.concepts.exchange import dump_tags, export_tags
from core.concepts.history import history
from core.concepts.labels import judge
from core.concepts.merging import merge_concepts
from core.concepts.tags import redo, suggest_members, tag, undo
from core.errors import NotAllowed
from core.workspace import Workspace
from tests.core.conftest import AnalysisMaker

ROOT = Path(__file__).parents[3]
# which role may do what, written down once more by hand
MATRIX = {
    Permission.LOOK: {"viewer", "labeller", "owner"},
    Permission.TAG: {"labeller", "owner"},
    Permission.NOTE: {"labeller", "owner"},
    Permission.LOAD: {"owner"},
    Permission.TRAIN: {"owner"},
    Permission.EXPORT: {"owner"},
    Permission.DELETE: {"owner"},
    Permission.MANAGE: {"owner"},
}
# functions that write and ask nobody, and why
ASKED_ELSEWHERE = {
    "core/jobs/worker.py": "does what `submit` was asked for",
    "core/jobs/launcher.py:start": "starts what `submit` put into the queue",
    "core/jobs/queue.py:_requeued": "notes what became of a process",
    "core/jobs/queue.py:_stood_down": "notes what became of a process",
    "core/jobs/queue.py:_finish": "notes what became of a process",
    "core/jobs/control.py:wake_next": "the next in the queue",
    "core/activations/store/writing.py:_record": "`analyse` asks",
    "core/activations/store/opening.py:touch": "what was looked at last",
    "core/demo/reset.py:_move_files": "`reset_demo` and `undo_reset` ask",
    "core/demo/making.py:_remember": "`make_demo` asks",
    "core/retraining/run_store.py:record_run": "`retrain` asks",
    "core/access/audit.py:record": "writes down what others asked for",
    "core/access/signing_in.py": "nobody is signed in yet",
}
ASKS = {"require", "begin", "record_action", "take_back", "concept_in"}


@pytest.fixture
def nobody() -> Iterator[None]:
    def finder() -> Person:
        raise NotAllowed("Nobody is here.", next_step="Sign in.")

    find_with(finder)
    yield
    forget_finder()


def test_the_matrix_of_roles() -> None:
    assert set(MATRIX) == set(Permission)
    for permission, roles in MATRIX.items():
        assert {role for role in ("viewer", "labeller", "owner") if allowed(role, permission)} == roles


def test_the_command_line_acts_as_an_owner() -> None:
    assert acting() == LOCAL
    assert require(Permission.MANAGE) == LOCAL


def test_a_server_that_knows_nobody_lets_nobody_do_anything(nobody: None) -> None:
    with pytest.raises(NotAllowed, match="Nobody is here"):
        require(Permission.LOOK)
    with acting_as(Person("Ann", "viewer")):
        assert require(Permission.LOOK).name == "Ann"


def test_a_thread_of_a_server_is_nobody(nobody: None) -> None:
    found: list[str] = []

    def work() -> None:
        try:
            require(Permission.LOOK)
        except NotAllowed as error:
            found.append(error.title)

    with acting_as(Person("Ann", "owner")):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [NotAllowed.title]


def test_every_function_that_writes_asks_somebody() -> None:
    """A new one has to ask, or to stand in the list above with its reason."""
    silent = []
    for file in sorted((ROOT / "core").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef):
                continue
            called = {
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for node in ast.walk(function)
                if isinstance(node, ast.Call)
            }
            place = str(file.relative_to(ROOT))
            if "writing" in called and not called & ASKS and place not in ASKED_ELSEWHERE:
                silent.append(f"{place}:{function.name}")
    assert sorted(silent) == sorted(name for name in ASKED_ELSEWHERE if ":" in name)


@pytest.fixture
def steps(
    workspace: Workspace, make_analysis: AnalysisMaker, tmp_path: Path
) -> dict[str, tuple[str, Callable[[], Any]]]:
    """Everything that may be said and taken away by hand: the least role, and a way to try."""
    analysis = make_analysis(np.eye(6, dtype=np.float32), np.array([0, 1, 0, 1, 0, 1]))
    dataset = analysis.dataset_id
    water, sky = create_concept(workspace, dataset, "water"), create_concept(workspace, dataset, "sky")
    tag(workspace, analysis, water, [0], True)
    return {
        "tag": ("labeller", lambda: tag(workspace, analysis, water, [1], True)),
        "undo": ("labeller", lambda: undo(workspace, dataset)),
        "redo": ("labeller", lambda: redo(workspace, dataset)),
        "create": ("labeller", lambda: create_concept(workspace, dataset, "ice")),
        "change": ("labeller", lambda: change_concept(workspace, water, note="wet")),
        "suggest": ("labeller", lambda: suggest_members(workspace, analysis, water, [2], "cluster")),
        "judge": ("labeller", lambda: judge(workspace, analysis, [0], "wrong")),
        "merge": ("labeller", lambda: merge_concepts(workspace, water, sky)),
        "delete": ("labeller", lambda: delete_concept(workspace, water)),
        "dump": ("owner", lambda: dump_tags(workspace, analysis, "csv")),
        "export": ("owner", lambda: export_tags(workspace, analysis, tmp_path / "tags.csv")),
    }


def test_what_is_said_and_given_away_follows_the_role(
    workspace: Workspace, steps: dict[str, tuple[str, Callable[[], Any]]]
) -> None:
    before = len(entries(workspace, limit=1000))
    with acting_as(Person("Vic", "viewer")):
        for _, step in steps.values():
            with pytest.raises(NotAllowed):
                step()
        with pytest.raises(NotAllowed):
            entries(workspace)
        with pytest.raises(NotAllowed):
            accounts(workspace)
    assert len(entries(workspace, limit=1000)) == before
    with acting_as(Person("Lea", "labeller")):
        for least, step in steps.values():
            if least == "labeller":
                step()
            else:
                with pytest.raises(NotAllowed, match="As a labeller you may not export"):
                    step()
    with acting_as(Person("Ann", "owner")):
        for name in ("dump", "export"):
            steps[name][1]()


def test_who_signed_in_says_it_under_their_own_name(workspace: Workspace, make_analysis: AnalysisMaker) -> None:
    analysis = make_analysis(np.eye(2, dtype=np.float32), np.array([0, 1]))
    water = create_concept(workspace, analysis.dataset_id, "water")
    with acting_as(Person("Lea", "labeller", "10.0.0.7", signed_in=True)):
        tag(workspace, analysis, water, [0], True, author="Ann")
    newest = history(workspace, analysis.dataset_id)[0]
    assert newest.author == "Lea"
    written = entries(workspace)[0]
    assert (written.actor, written.action, written.where) == ("Lea", "tagged", "10.0.0.7")
    assert "water" in written.subject
