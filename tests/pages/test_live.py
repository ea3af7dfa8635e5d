"""Several people at once: what others did is news, what one did oneself is not, and asking is cheap."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.activations.store import Analysis
from core.concepts import log
from core.concepts.concept import Concept, change_concept, create_concept, delete_concept
from core.concepts.tags import redo, tag, undo
from core.workspace import Workspace
from pages.parts import live, live_route, who
from tests.core.statements import asked

from .conftest import Visit


@pytest.fixture(autouse=True)
def at_home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    who._browsers.clear()
    live._sessions.clear()


@pytest.fixture
def water(workspace: Workspace, planted: Analysis) -> Concept:
    return create_concept(workspace, planted.dataset_id, "water", author="Ada")


def begin(analysis: Analysis, name: str) -> str:
    """A page that this person opens; its token."""
    for kept in (who.BROWSER, live.TOKEN):
        st.session_state.pop(kept, None)
    who.rename(name)
    live.drawn(analysis)
    return st.session_state[live.TOKEN]


def news(token: str) -> bool:
    told = live.ask(token)
    assert told is not None
    return told["news"]


def test_what_another_tags_undoes_or_changes_is_news_until_the_page_is_drawn(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    token = begin(planted, "Bo")
    assert not news(token)
    deeds: list[Any] = [
        lambda: tag(workspace, planted, water, [3], True, author="Ada"),
        lambda: undo(workspace, planted.dataset_id, "Ada"),
        lambda: redo(workspace, planted.dataset_id, "Ada"),
        lambda: change_concept(workspace, water, note="mostly", author="Ada"),
        lambda: create_concept(workspace, planted.dataset_id, "reeds", author="Cleo"),
        lambda: delete_concept(workspace, water, author="local"),
    ]
    for deed in deeds:
        deed()
        assert news(token)
        assert news(token), "not shown yet"
        live.drawn(planted)
        assert not news(token)


def test_what_one_does_oneself_is_no_news_but_what_came_before_it_is(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    token = begin(planted, "Bo")
    tag(workspace, planted, water, [3], True, author="Bo")
    assert not news(token)
    tag(workspace, planted, water, [4], True, author="Ada")
    tag(workspace, planted, water, [5], True, author="Bo")
    assert news(token)


def test_tags_made_before_a_name_was_changed_are_ones_own(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    token = begin(planted, "Bo")
    tag(workspace, planted, water, [2], True, author="Bo")
    who.rename("Bobby")
    live.drawn(planted)
    tag(workspace, planted, water, [3], True, author="Bo")
    assert not news(token)


def test_another_page_of_the_same_name_sees_what_the_first_did(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    first, second = begin(planted, "Bo"), begin(planted, "Bo")
    tag(workspace, planted, water, [3], True, author="Bo")
    assert news(first)
    assert news(second)


def test_of_two_pages_of_a_name_only_the_other_hears_of_what_one_did(
    workspace: Workspace, planted: Analysis, water: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = begin(planted, "Bo"), begin(planted, "Bo")
    monkeypatch.setattr(live, "_token", lambda: first)
    deeds: list[Any] = [
        lambda: tag(workspace, planted, water, [3], True, author="Bo"),
        lambda: undo(workspace, planted.dataset_id, "Bo"),
        lambda: redo(workspace, planted.dataset_id, "Bo"),
        lambda: change_concept(workspace, water, note="mostly", author="Bo"),
    ]
    for deed in deeds:
        deed()
        assert not news(first)
        assert not news(first), "nor when it asks again"
        assert news(second)
        live.drawn(planted)
    # two steps between two questions, and one of the other page among them
    tag(workspace, planted, water, [4], True, author="Bo")
    tag(workspace, planted, water, [5], True, author="Bo")
    assert not news(first)
    tag(workspace, planted, water, [6], True, author="Bo")
    monkeypatch.setattr(live, "_token", lambda: second)
    tag(workspace, planted, water, [7], True, author="Bo")
    assert news(first)


def test_what_was_rolled_back_was_not_done(
    workspace: Workspace, planted: Analysis, water: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = begin(planted, "Bo")
    monkeypatch.setattr(live, "_token", lambda: token)
    with pytest.raises(ZeroDivisionError), workspace.writing() as session:
        log.begin(session, planted.dataset_id, kind="tag", author="Bo")
        raise ZeroDivisionError
    assert not live._sessions[token].did


def test_what_was_no_news_does_not_become_it_when_a_page_of_the_same_name_opens(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    first = begin(planted, "Bo")
    tag(workspace, planted, water, [3], True, author="Bo")
    assert not news(first)
    begin(planted, "Bo")
    assert not news(first)


def test_others_did_something_only_while_it_stands(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    begin(planted, "Bo")
    assert live.has_others(planted)
    undo(workspace, planted.dataset_id, "Ada")
    assert not live.has_others(planted)
    tag(workspace, planted, create_concept(workspace, planted.dataset_id, "b", author="Bo"), [1], True, author="Bo")
    assert not live.has_others(planted)


def test_who_is_here_and_how_far_one_agrees_is_said(
    workspace: Workspace, planted: Analysis, water: Concept, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bo = begin(planted, "Ada"), begin(planted, "Bo")
    assert live.ask(bo)["note"] == "Ada is here too."  # type: ignore[index]
    tag(workspace, planted, water, range(12), True, author="Ada")
    assert live.ask(bo)["note"] == "Ada is here, tagged 12 images."  # type: ignore[index]
    tag(workspace, planted, water, range(9), True, author="Bo")
    tag(workspace, planted, water, [9], False, author="Bo")
    assert live.ask(bo)["note"] == "Ada is here, tagged 12 images; you agree on 9 of 10."  # type: ignore[index]
    assert live.ask(ada)["note"] == "Bo is here, tagged 10 images; you agree on 9 of 10."  # type: ignore[index]
    monkeypatch.setattr(live, "GONE", -1.0)
    assert live.ask(bo)["note"] == ""  # type: ignore[index]


def test_people_of_another_dataset_are_not_here(workspace: Workspace, planted: Analysis) -> None:
    begin(planted, "Ada")
    assert live.people(planted.dataset_id, ("Bo",)) == ("Ada",)
    assert live.people("another", ("Bo",)) == ()
    assert live.people(planted.dataset_id, ("Ada",)) == ()


def test_sessions_that_ended_are_forgotten(planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = begin(planted, "Ada")
    monkeypatch.setattr(live, "FORGOTTEN", -1.0)
    begin(planted, "Bo")
    assert live.ask(gone) is None


def test_the_address_answers_those_who_know_it_and_tells_others_nothing(planted: Analysis) -> None:
    token = begin(planted, "Ada")
    assert len(token) >= 20
    browser = TestClient(Starlette(routes=live_route.routes()))
    told = browser.get(live_route.path(token))
    assert (told.status_code, told.json()) == (200, {"news": False, "note": ""})
    unknown = browser.get(live_route.path("guessed"))
    assert (unknown.status_code, unknown.json()) == (404, {"unknown": True})
    assert browser.post(live_route.path(token)).status_code == 405
    assert "access-control-allow-origin" not in told.headers


def test_the_address_lies_under_the_servers_base_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_route.st, "get_option", lambda name: "/tools/midband/")
    assert live_route.path("x") == "/tools/midband/live/x"


def test_asking_is_cheap(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    for row in range(300):
        tag(workspace, planted, water, [row], True, author="Ada")
    token = begin(planted, "Bo")
    live.ask(token)
    # once a second: one question to the database, however many tags there are
    with asked(workspace) as statements:
        live.ask(token)
    assert [statement.split()[0] for statement, _ in statements] == ["BEGIN", "SELECT"]


def test_every_page_is_watched(visit: Visit, planted: Analysis) -> None:
    for room in ("home", "bands", "tag_next", "concepts"):
        app = visit(room)
        assert not app.exception
        [session] = live._sessions.values()
        assert session.analysis.id == planted.id
        live._sessions.clear()


def test_an_empty_workspace_is_not_watched(visit: Visit) -> None:
    app = visit("concepts")
    assert not app.exception
    assert not live._sessions
