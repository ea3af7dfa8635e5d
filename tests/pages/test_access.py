"""Every page for every role: what it shows, what stays away, and that nobody gets it without a sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest

from core.access import modes, passwords
from core.access.accounts import add_account, set_role
from core.access.person import LOCAL, ROLES, acting_as, forget_finder
from core.access.policy import Permission, allowed
from core.access.signing_in import person_of, sign_in, sign_out
from core.activations.store import Analysis
from core.concepts.concept import create_concept, list_concepts
from core.concepts.history import history
from core.concepts.tags import tag
from core.workspace import Workspace
from pages.parts import gate
from pages.parts.rooms import ROOMS
from tests.pages.conftest import Visit

GOOD = "correct horse battery"
# what a page is for beyond looking, and whether it stays away from who may not do that: to be said of every new page
FOR = {
    "home": (Permission.LOAD, "part"),
    "load": (Permission.LOAD, "whole"),
    "bands": (Permission.TAG, "told"),
    "map": (Permission.TAG, "told"),
    "tag_next": (Permission.TAG, "whole"),
    "concepts": (Permission.TAG, "told"),
    "retrain": (Permission.TRAIN, "part"),
    "results": (Permission.LOOK, ""),
    "runs": (Permission.LOOK, ""),
    "jobs": (Permission.LOOK, ""),
    "present": (Permission.LOOK, ""),
    "glossary": (Permission.LOOK, ""),
}
# buttons by the beginning of their names, and what they need
BUTTONS = {
    "Try the demo": Permission.LOAD,
    "Second demo": Permission.LOAD,
    "Retrain": Permission.TRAIN,
    "Export": Permission.EXPORT,
    "Run again": Permission.TRAIN,
    "Delete": Permission.DELETE,
    "Cancel": Permission.TRAIN,
    "Pause": Permission.TRAIN,
    "Make the UMAP": Permission.TRAIN,
}


@pytest.fixture
def team(workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A server at which people sign in, over an investigation with one concept."""
    monkeypatch.setattr(passwords, "_COST", 2**5)
    monkeypatch.setattr(gate, "KEPT", 0.0)
    create_concept(workspace, planted.dataset_id, "water")
    add_account(workspace, "owner", "owner", GOOD)
    for role in ("viewer", "labeller"):
        add_account(workspace, role, role, GOOD)
    monkeypatch.setenv(modes.VARIABLE, modes.PASSWORD)
    gate.install()
    yield workspace
    forget_finder()
    gate._known.clear()


def written(app: AppTest) -> str:
    return "\n".join(
        str(each.value) for kind in ("markdown", "caption", "info", "error", "title") for each in app.get(kind)
    )


def test_every_page_has_its_place_in_the_matrix() -> None:
    assert set(FOR) == set(ROOMS)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("room", ROOMS)
def test_each_role_sees_its_part_of_a_page(
    team: Workspace, visit: Visit, cookies: dict[str, str], room: str, role: str
) -> None:
    cookies[gate.COOKIE] = sign_in(team, role, GOOD, "192.0.2.1")
    app = visit(room)
    assert not app.exception
    permission, how = FOR[room]
    refused = f"As a{'n' if role == 'owner' else ''} {role} you may not {permission.value}"
    if allowed(role, permission):
        assert refused not in written(app)
    elif how in ("whole", "told"):
        assert refused in written(app)
    if how == "whole" and not allowed(role, permission):
        # nothing to press but the way out
        assert [button.key for button in app.main.button] == []
        assert not app.text_input
    for button in app.button:
        for name, needed in BUTTONS.items():
            if button.label.startswith(name) and not allowed(role, needed):
                assert button.disabled, button.label


@pytest.mark.parametrize("room", ROOMS)
def test_no_page_is_drawn_without_a_sign_in(
    team: Workspace, visit: Visit, cookies: dict[str, str], room: str, planted: Analysis
) -> None:
    for cookie in ({}, {gate.COOKIE: "guessed"}):
        cookies.clear()
        cookies.update(cookie)
        app = visit(room, analysis=planted.id)
        assert not app.exception
        assert [error.value.startswith("**Signed out.**") for error in app.error] == [True]
        assert not app.button
        assert not app.selectbox
        assert "birds" not in written(app)


def test_a_page_that_is_open_closes_when_the_sign_in_ends(
    team: Workspace, visit: Visit, cookies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # however long a sign-in is taken as it was within a run
    monkeypatch.setattr(gate, "KEPT", 3600.0)
    token = cookies[gate.COOKIE] = sign_in(team, "owner", GOOD, "192.0.2.1")
    app = visit("concepts")
    assert not app.error
    app.session_state["kept"] = "something of before"
    sign_out(team, token)
    app.run()
    assert app.error[0].value.startswith("**Signed out.**")
    assert "kept" not in app.session_state


def test_another_person_in_the_same_tab_finds_nothing_of_the_one_before(
    team: Workspace, visit: Visit, cookies: dict[str, str]
) -> None:
    cookies[gate.COOKIE] = sign_in(team, "owner", GOOD, "192.0.2.1")
    app = visit("home")
    app.session_state["kept"] = "something of before"
    cookies[gate.COOKIE] = sign_in(team, "viewer", GOOD, "192.0.2.1")
    app.run()
    assert not app.error
    assert "kept" not in app.session_state


def test_a_role_that_was_changed_holds_from_the_next_press_on(
    team: Workspace, visit: Visit, cookies: dict[str, str]
) -> None:
    cookies[gate.COOKIE] = sign_in(team, "labeller", GOOD, "192.0.2.1")
    app = visit("tag_next")
    assert "you may not" not in written(app)
    with acting_as(LOCAL):
        set_role(team, "labeller", "viewer")
    app.run()
    assert "As a viewer you may not tag" in written(app)


def test_tags_carry_the_name_of_the_account(
    team: Workspace, visit: Visit, cookies: dict[str, str], planted: Analysis
) -> None:
    token = sign_in(team, "labeller", GOOD, "192.0.2.1")
    person = person_of(team, token)
    assert person is not None
    with acting_as(person):
        tag(team, planted, list_concepts(team, planted.dataset_id)[0], [0], True, author="Person 1")
    assert history(team, planted.dataset_id)[0].author == "labeller"
