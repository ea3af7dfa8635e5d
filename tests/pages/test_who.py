"""Who is tagging: a name per browser that survives a reload, told apart from others', whatever people type."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.errors import BadRequest
from core.workspace import Workspace
from pages.parts import who

from .conftest import Visit

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "**Ada** :smile:",
    "עדה לאבלייס",
    "👩🏽\u200d🔬",
    "\u202eevil",
    "a.b=c; path=/",
    "Ada, Bo",
]


@pytest.fixture(autouse=True)
def at_home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    who._browsers.clear()


@pytest.fixture
def arrive(monkeypatch: pytest.MonkeyPatch) -> Any:
    """arrive(cookie) begins a session of a browser that has this cookie."""

    def come(cookie: str = "") -> who.Browser:
        st.session_state.pop(who.BROWSER, None)
        context = type("Context", (), {"cookies": {who.COOKIE: cookie} if cookie else {}})
        monkeypatch.setattr(who.st, "context", context)
        return who.browser()

    return come


def test_each_new_browser_gets_the_next_free_name(arrive: Any, workspace: Workspace, planted: Analysis) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, [1], True, author="Person 2")
    assert [arrive().name for _ in range(3)] == ["Person 1", "Person 3", "Person 4"]


def test_a_session_keeps_its_name(arrive: Any) -> None:
    assert arrive().name == who.author() == who.author()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_reload_brings_any_name_back(arrive: Any, name: str) -> None:
    me = arrive()
    assert who.rename(name) == name
    kept = who.cookie(me)
    assert not set(kept) & set(' ;,"\\'), "a cookie may not hold these"
    assert kept.isascii()
    # another session of the same browser, then the server starts anew
    assert arrive(kept).name == name
    who._browsers.clear()
    assert (arrive(kept).name, who.names()) == (name, (name,))


@pytest.mark.parametrize(
    "cookie",
    [
        "nonsense",
        "0123456789abcdef",
        "0123456789abcdeg.Ada",
        "0123456789abcdef.",
        "0123456789abcdef.%FF",
        "0123456789abcdef." + "x" * 61,
        "0123456789abcdef.local",
        "0123456789abcdef.a.b.c.d.e",
    ],
)
def test_a_cookie_that_makes_no_sense_is_nobody(arrive: Any, cookie: str) -> None:
    assert arrive(cookie).name == "Person 1"


def test_tabs_of_one_browser_share_a_name_that_changes(arrive: Any) -> None:
    first = arrive()
    arrive(who.cookie(first))
    who.rename("Ada")
    assert first.name == "Ada"


def test_names_one_tagged_under_are_kept_through_renames_and_reloads(
    arrive: Any, workspace: Workspace, planted: Analysis
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    me = arrive()
    for name in ("Person 1", "b.c", "d"):
        who.rename(name)
        tag(workspace, planted, concept, [1], True, author=name)
    who.rename("e")
    who.rename("f")
    assert who.names() == ("f", "d", "b.c", "Person 1"), "nothing was tagged as e"
    kept = who.cookie(me)
    who._browsers.clear()
    arrive(kept)
    assert who.names() == ("f", "d", "b.c", "Person 1")


def test_a_given_name_that_nobody_used_is_given_again_and_nobody_shares_it(
    arrive: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = arrive()
    kept = who.cookie(gone)
    monkeypatch.setattr(who, "UNUSED", -1.0)
    assert arrive().name == "Person 1"
    monkeypatch.setattr(who, "UNUSED", 60.0)
    assert arrive(kept).name == "Person 2"
    # also after a restart, where the first to come keeps it
    who._browsers.clear()
    assert arrive("00000000000000aa.Person%201").name == "Person 1"
    assert arrive("00000000000000bb.Person%201").name == "Person 2"


def test_a_name_that_was_somebody_elses_is_left_to_them(arrive: Any, workspace: Workspace, planted: Analysis) -> None:
    first = arrive()
    who.rename("Ada")
    second = arrive()
    who.rename("ada")
    assert (second.name, second.borrowed, first.borrowed) == ("Ada", True, False)
    # also after the server was started anew
    kept = who.cookie(second)
    who._browsers.clear()
    assert arrive(kept).borrowed
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, [1], True, author="Ada")
    who.rename("Cleo")
    assert who.names() == ("Cleo",), "what Ada tagged is not Cleo's to undo"
    tag(workspace, planted, concept, [2], True, author="Cleo")
    who.rename("Dan")
    who.rename("Cleo")
    assert not who.browser().borrowed, "one's own name is not borrowed"


def test_names_are_cleaned_and_equal_but_for_case_is_the_same_person(
    arrive: Any, workspace: Workspace, planted: Analysis
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, [1], True, author="Ada")
    arrive()
    assert who.rename("  ADA \n") == "Ada"
    assert who.rename("Grace\tHopper\x00") == "Grace Hopper"
    assert who.names() == ("Grace Hopper",), "Ada is somebody else"


@pytest.mark.parametrize("name", ["", "  ", "\x00", "x" * 61, "local", "Local"])
def test_what_is_no_name_is_refused(arrive: Any, name: str) -> None:
    arrive()
    with pytest.raises(BadRequest):
        who.rename(name)
    assert who.author() == "Person 1"


def test_a_name_from_right_to_left_does_not_turn_the_words_around_it() -> None:
    assert who.isolated("עדה") == "\u2068עדה\u2069"
    assert who.isolated("\u202eevil") == "\u2068\u202eevil\u2069"
    assert who.isolated("Ada") == "Ada"
    assert who.shown("*Ada*") == r"\*Ada\*"


def test_the_sidebar_says_the_name_and_changes_it(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    assert any(popover.proto.popover.label == "Tagging as Person 1" for popover in app.get("popover"))
    box = next(each for each in app.text_input if each.label == "Your name")
    box.set_value("**Ada**")
    next(each for each in app.button if each.label == "Save").click().run()
    assert not app.exception
    assert who._browsers()[app.session_state[who.BROWSER]].name == "**Ada**"
    assert r"You tag as \*\*Ada\*\* now" in app.toast[0].value
    next(each for each in app.text_input if each.label == "Your name").set_value("local")
    next(each for each in app.button if each.label == "Save").click().run()
    assert "command line" in app.error[0].value


def test_former_names_lead_to_the_one_of_now_unless_somebody_goes_by_them(arrive: Any) -> None:
    who._browsers()["a"] = who.Browser("a", "Zoë", ["Person 3", "Bo"])
    who._browsers()["b"] = who.Browser("b", "Bo")
    # a name that was somebody else's says nothing of who it is
    who._browsers()["c"] = who.Browser("c", "Ada", ["Cleo"], borrowed=True)
    assert who.known_as() == {"Person 3": "Zoë"}


def test_a_server_forgets_the_oldest_browsers(arrive: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(who, "MOST", 2)
    came = [arrive().id for _ in range(4)]
    assert list(who._browsers()) == came[2:]
