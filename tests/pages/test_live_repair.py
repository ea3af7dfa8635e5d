"""The strip of the live preview: where it is, what the browser is told, and that it costs nothing when it is off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import create_concept, get_concept
from core.concepts.tags import tag
from core.retraining import live as background
from core.retraining.evaluation import GroupAccuracy
from core.workspace import Workspace
from pages.parts import live, live_repair, live_route, who

from .conftest import Visit, tag_by_truth


@pytest.fixture(autouse=True)
def at_home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(background, "_open", {})
    monkeypatch.setattr(background, "REST", 0.0)
    who._browsers.clear()
    live._sessions.clear()
    live_repair._off.clear()
    yield
    for one in background._open.values():
        one.close()


def begin(analysis: Analysis) -> str:
    """A page that somebody opens; its token."""
    for kept in (who.BROWSER, live.TOKEN):
        st.session_state.pop(kept, None)
    live.drawn(analysis)
    return st.session_state[live.TOKEN]


def told(token: str, ids: str = "") -> dict[str, Any]:
    """What the browser is told once the newest tags are computed."""
    for _ in range(600):
        answer = live_repair.ask(token, ids)
        assert answer is not None
        if not answer["working"]:
            return answer
        time.sleep(0.05)
    raise AssertionError("never computed")


def strips(app: AppTest) -> list[dict[str, Any]]:
    sent = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return [data for data in sent if isinstance(data, dict) and str(data.get("url", "")).endswith("/repair")]


def test_the_browser_is_told_figures_and_what_would_change_on_screen(workspace: Workspace, planted: Analysis) -> None:
    tag_by_truth(workspace, planted, 60)
    token = begin(planted)
    first = live_repair.ask(token, "")
    assert first is not None
    assert first["working"]
    assert first["after"] is None
    everyone = ",".join(map(str, planted.ids.tolist()))
    answer = told(token, everyone)
    assert answer["problem"] == ""
    assert answer["concepts"] == ["water"]
    assert answer["tags"] == 60
    assert 0 <= answer["low"] <= answer["after"] <= answer["high"] <= 1
    assert [moment["tags"] for moment in answer["way"]] == [60]
    assert "test is not looked at" in answer["sentence"]
    assert ("More tags narrow it" in answer["range"]) == (answer["high"] - answer["low"] > live_repair.WIDE)
    assert answer["changes"]
    for image, name in answer["changes"].items():
        row = int(planted.rows_of([int(image)])[0])
        assert name in planted.classes
        assert name != planted.classes[int(planted.logits[row].argmax())]
    # no more than was asked about
    some = next(iter(answer["changes"]))
    assert told(token, some)["changes"] == {some: answer["changes"][some]}
    json.dumps(answer)


def test_before_there_are_enough_tags_it_says_what_is_missing(workspace: Workspace, planted: Analysis) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    answer = told(begin(planted))
    assert answer["after"] is None
    # a concept that was just made is not asked for again
    assert answer["problem"] == live_repair.NOTHING_TAGGED
    assert answer["changes"] == {}
    concept = get_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, [0, 1], True)
    assert "tag" in told(begin(planted))["problem"].casefold()
    assert told(begin(planted))["problem"] != live_repair.NOTHING_TAGGED


def test_no_more_images_are_asked_about_than_a_screen_can_show(
    workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_by_truth(workspace, planted, 60)
    token = begin(planted)
    first, second = list(told(token, ",".join(map(str, planted.ids.tolist())))["changes"])[:2]
    monkeypatch.setattr(live_repair, "MOST_IDS", 1)
    assert set(told(token, f"{first},{second}")["changes"]) == {first}


def test_a_wide_interval_is_explained_by_what_would_narrow_it() -> None:
    worst = GroupAccuracy("waterbird", "no water", 72, 60, 0.83, 0.5, 0.97, 0.05)

    def told_of(tags: int, high: float) -> str:
        after: Any = SimpleNamespace(worst=worst, worst_interval=(0.5, high), count=1500)
        return live_repair._range(tags, after)

    assert told_of(60, 0.6) == ""
    assert "(waterbird · no water), about 72 of them" in told_of(60, 0.95)
    assert "More tags narrow it" in told_of(60, 0.95)
    # where every image is tagged, more tags would not
    assert "no more than 72 held-out images" in told_of(1500, 0.95)
    assert "narrow" not in told_of(1500, 0.95)


def test_it_says_so_while_others_are_followed(workspace: Workspace, planted: Analysis) -> None:
    for name in ("a", "b"):
        assert background.live_repair(workspace, SimpleNamespace(id=name)) is not None  # type: ignore[arg-type]
    answer = live_repair.ask(begin(planted), "")
    assert answer is not None
    assert answer["problem"] == live_repair.BUSY
    assert not answer["working"]


@pytest.mark.parametrize("ids", ["-1", "999999999", "1;drop", "1e9", "9" * 30, ",,,", "١", "0," * 3000])
def test_ids_that_are_none_are_borne(workspace: Workspace, planted: Analysis, ids: str) -> None:
    tag_by_truth(workspace, planted, 60)
    token = begin(planted)
    told(token)
    answer = live_repair.ask(token, ids)
    assert answer is not None
    assert set(answer["changes"]) <= {str(int(i)) for i in planted.ids}


def test_the_address_answers_those_it_knows(workspace: Workspace, planted: Analysis) -> None:
    tag_by_truth(workspace, planted, 20)
    token = begin(planted)
    client = TestClient(Starlette(routes=live_route.routes()))
    assert client.get(live_route.repair_path(token)).status_code == 200
    assert client.get(live_route.repair_path("nobody")).json() == {"unknown": True}
    assert client.get(live_route.repair_path("nobody")).status_code == 404
    assert client.post(live_route.repair_path(token)).status_code == 405


def test_the_strip_stands_where_images_are_tagged(visit: Visit, workspace: Workspace, planted: Analysis) -> None:
    # without a concept there is nothing to repair
    assert not strips(visit("bands"))
    create_concept(workspace, planted.dataset_id, "water")
    for room, query in (("bands", {}), ("tag_next", {"mode": "grid"}), ("tag_next", {"mode": "cards"})):
        app = visit(room, **query)
        assert not app.exception
        assert len(strips(app)) == 1
        assert "Live preview" in [toggle.label for toggle in app.toggle]
    for look in ("review", "wrong"):
        assert not strips(visit("tag_next", look=look))


def test_switched_off_there_is_no_strip_on_any_page_and_nothing_is_computed(
    visit: Visit, workspace: Workspace, planted: Analysis, cookies: dict[str, str]
) -> None:
    tag_by_truth(workspace, planted, 20)
    app = visit("bands")
    assert strips(app)
    next(toggle for toggle in app.toggle if toggle.label == "Live preview").set_value(False).run()
    assert not strips(app)
    app = visit("tag_next", app)
    assert not strips(app)
    # a reload, or another tab of the same browser; somebody else's is left alone
    cookies[who.COOKIE] = who.cookie(next(iter(who._browsers().values())))
    for room in ("bands", "tag_next"):
        again = visit(room)
        assert not strips(again)
        assert not next(toggle for toggle in again.toggle if toggle.label == "Live preview").value
    cookies.clear()
    assert strips(visit("bands"))
    # drawing pages asks nobody: that is the browser's part
    assert not background._open
    next(toggle for toggle in app.toggle if toggle.label == "Live preview").set_value(True).run()
    assert strips(app)
    assert strips(again.run())
