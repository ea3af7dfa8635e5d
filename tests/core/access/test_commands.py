"""`users` and `audit`, and which role may give which command."""

from __future__ import annotations

import argparse
import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.__main__ import main
from core.access import passwords
from core.access.person import ROLES, Person, acting_as
from core.access.policy import Permission, allowed
from core.access.signing_in import sign_in
from core.commands.parser import make_parser, parse
from core.commands.verbs import NEEDS, run_verb
from core.errors import NotAllowed
from core.workspace import Workspace

ROOT = Path(__file__).parents[3]
GOOD = "correct horse battery"
# written down by hand: a new command has to be given its place here, too
LEAST = {
    "viewer": "bands sample closer directions curve story suggest concepts explain compare runs methods jobs",
    "labeller": "tag note",
    "owner": "demo look check analyse train retrain bake-off replay reproduce contact-sheet tags export users audit "
    "doctor verify backup restore repair",
}


def verbs() -> list[str]:
    parser = make_parser()
    return list(next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction)).choices)


def needed(verb: str) -> Permission:
    return next(permission for permission, names in NEEDS.items() if verb in names)


def test_every_command_has_its_least_role() -> None:
    listed = {verb: role for role, names in LEAST.items() for verb in names.split()}
    assert set(listed) == set(verbs())
    for verb, least in listed.items():
        may = [role for role in ROLES if allowed(role, needed(verb))]
        assert may == list(ROLES[ROLES.index(least) :]), verb


@pytest.mark.parametrize("role", ["viewer", "labeller"])
@pytest.mark.parametrize("verb", verbs())
def test_a_command_is_refused_before_it_does_anything(workspace: Workspace, verb: str, role: str) -> None:
    # nothing but the verb: whatever comes after the question of the role would stumble over it
    options = argparse.Namespace(verb=verb)
    with acting_as(Person("Somebody", role)):
        if allowed(role, needed(verb)):
            with suppress(AttributeError):
                run_verb(options, None)  # type: ignore[arg-type]
        else:
            with pytest.raises(NotAllowed, match=f"As a {role}"):
                run_verb(options, None)  # type: ignore[arg-type]


@pytest.fixture
def give(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """give("--add", "Ann", typed="...") gives `users` this on the command line; returns code and object."""
    monkeypatch.setattr(passwords, "_COST", 2**5)

    def users(*arguments: str, typed: str = "", verb: str = "users") -> tuple[int, dict[str, Any]]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main([verb, "--workspace", str(workspace.root), "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return users


def test_accounts_are_made_and_changed(workspace: Workspace, give: Any) -> None:
    assert give("--add", "Ann", "--role", "owner", typed=f"{GOOD}\n")[0] == 0
    assert give("--add", "lea@example.org", "--no-password")[1]["role"] == "labeller"
    assert give("--change", "lea@example.org", "--role", "viewer")[1]["role"] == "viewer"
    assert give("--password", "Ann", typed="another good password\n")[0] == 0
    assert sign_in(workspace, "Ann", "another good password", "")
    code, listed = give()
    assert code == 0
    assert [(one["name"], one["role"], one["password"]) for one in listed["accounts"]] == [
        ("Ann", "owner", True),
        ("lea@example.org", "viewer", False),
    ]
    assert give("--remove", "lea@example.org")[0] == 0
    code, written = give("--action", "account added,account removed,password changed", verb="audit")
    assert [entry["action"] for entry in written["entries"]] == [
        "account removed",
        "password changed",
        "account added",
        "account added",
    ]
    assert GOOD not in json.dumps(give(verb="audit")[1])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--add", "Ann", "--role", "owner"),
        ("--password", "Nobody"),
        ("--remove", "Nobody"),
        ("--change", "Nobody"),
        ("--role", "owner"),
        ("--add", "Ann", "--role", "king"),
    ],
)
def test_what_cannot_be_done_is_said(workspace: Workspace, give: Any, arguments: tuple[str, ...]) -> None:
    code, told = give(*arguments, typed="short\n")
    assert code == 2
    assert told["next_step"]


def test_no_option_takes_a_password(workspace: Workspace) -> None:
    parser = make_parser()
    choices = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction)).choices
    option = next(each for each in choices["users"]._actions if "--password" in each.option_strings)
    assert option.metavar == "NAME"


def test_the_guide_for_teams_gives_commands_that_there_are() -> None:
    guide = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
    given = [line.split()[3:] for line in guide.splitlines() if line.startswith("python -m core")]
    assert {words[0] for words in given} == {"users", "audit"}
    for words in given:
        parse(words)


def test_a_workspace_that_is_not_there_is_not_made_by_looking(tmp_path: Path, give: Any) -> None:
    assert main(["users", "--workspace", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()
