"""What the inspector tells of an image, and what it does with what a person asks for."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.activations.directions import parse_direction
from core.activations.store import Analysis
from core.concepts.concept import create_concept, delete_concept
from core.concepts.history import history
from core.concepts.tags import tag, tags_of
from core.errors import BadCheckpoint
from core.settings import Settings
from core.workspace import Workspace
from pages.parts import inspector, notices, who
from pages.parts.inbox import MOST_INTERRUPTIONS, Inbox
from pages.parts.inspector import DIFFERENCE, LABEL, PREDICTED, RUNNER_UP, Looking, Taste

from .conftest import plant

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def at_home(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))


def facts(analysis: Analysis, row: int, ids: tuple[int, ...] = (), **taste: Any) -> dict[str, Any]:
    image = int(analysis.ids[row])
    return inspector.facts(analysis, row, Looking(image, image), Taste(**taste), ids or (image,))


def test_facts_are_those_of_the_image(planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    create_concept(workspace, planted.dataset_id, "reeds")
    tag(workspace, planted, concept, [30], False)
    told = facts(planted, 30, tuple(planted.ids[28:36].tolist()))
    assert told["name"] == str(planted.images[30])
    assert told["label"] == planted.classes[planted.labels[30]]
    assert told["predicted"] == planted.classes[planted.predicted[30]]
    assert told["correct"] == bool(planted.labels[30] == planted.predicted[30])
    place = planted.attributes[0]
    assert told["attributes"] == [["place", place.values[place.codes[30]]]]
    assert [(one["name"], one["present"]) for one in told["concepts"]] == [("water", False), ("reeds", None)]
    assert told["ids"][told["ids"].index(told["image"]) + 1] == int(planted.ids[31])
    assert (told["before"], told["total"]) == (0, 8)
    json.dumps(told, allow_nan=False)


def test_of_a_thousand_classes_the_best_ten_and_the_label_are_listed_until_all_are_asked_for(
    workspace: Workspace,
) -> None:
    analysis = plant(workspace, classes=tuple(f"class {i}" for i in range(1000)))
    row = 5
    told = facts(analysis, row)
    order = np.argsort(-analysis.logits[row], kind="stable")
    best = [analysis.classes[c] for c in order[:10]]
    label = analysis.classes[analysis.labels[row]]
    names = [one["name"] for one in told["classes"]]
    assert names[:10] == best
    assert set(names[10:]) == {label} - set(best)
    ranks = {one["name"]: one["rank"] for one in told["classes"]}
    assert ranks[label] == 1 + order.tolist().index(int(analysis.labels[row]))
    every = facts(analysis, row, every_class=True)["classes"]
    assert len(every) == 1000
    assert sum(one["probability"] for one in every) == pytest.approx(1)
    assert every[0]["predicted"]
    assert told["limits"][0] <= 0 <= told["limits"][1]


def test_logits_that_are_not_finite_are_told_without_breaking_the_page(planted: Analysis) -> None:
    logits = np.array(planted.logits)
    logits[3] = (np.nan, np.inf)
    told = facts(replace(planted, logits=logits), 3)
    assert {one["told"] for one in told["classes"]} == {"–"}
    json.dumps(told, allow_nan=False)


def test_a_browser_holds_the_ids_around_the_image_only(planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "AROUND", 5)
    ids = tuple(planted.ids.tolist())
    told = facts(planted, 100, ids)
    assert told["ids"] == list(ids[95:106])
    assert (told["before"], told["total"]) == (95, 600)
    assert facts(planted, 2, ids)["ids"] == list(ids[0:8])


def test_a_picture_is_sent_as_it_is_and_large_ones_smaller(planted: Analysis) -> None:
    row = next(row for row in range(planted.n) if planted.image_path(row).is_file())
    told = inspector.picture(planted, row)
    assert told["url"].startswith("data:image/png;base64,")
    assert (told["width"], told["height"], told["note"]) == (48, 32, "")
    Image.new("RGB", (3000, 1500), (10, 200, 30)).save(planted.image_path(row))
    told = inspector.picture(planted, row)
    assert told["url"].startswith("data:image/jpeg;base64,")
    assert (told["width"], told["height"]) == (3000, 1500)
    assert len(told["url"]) < 400_000


def test_files_that_cannot_be_used_give_the_thumbnail_and_a_sentence(
    planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(row for row in range(planted.n) if planted.image_path(row).is_file())
    absent = next(row for row in range(planted.n) if not planted.image_path(row).is_file())
    assert "is not there any more" in inspector.picture(planted, absent)["note"]
    planted.image_path(row).write_bytes(b"nothing")
    assert "not an image" in inspector.picture(planted, row)["note"]
    monkeypatch.setattr(inspector, "DEFAULTS", Settings(max_image_pixels=1000))
    Image.new("RGB", (400, 300)).save(planted.image_path(row))
    told = inspector.picture(planted, row)
    assert "too large: 400 x 300" in told["note"]
    assert told["url"].startswith("data:image/webp;base64,")
    assert (told["width"], told["height"]) == (24, 24)


def test_neighbours_are_counted_by_class_and_by_verdict(planted: Analysis) -> None:
    told = inspector.around(planted, 40, "cosine", lambda: None)
    assert len(told["items"]) == 12
    same = sum(item["same"] for item in told["items"])
    right = sum(item["correct"] for item in told["items"])
    label = planted.classes[planted.labels[40]]
    assert told["sentence"] == f"{same} of 12 are labelled {label}; the model is right on {right}."
    assert [item["name"] for item in told["items"]] == [str(planted.images[item["id"]]) for item in told["items"]]


def test_an_image_without_finite_features_has_no_neighbours_and_stands_nowhere(planted: Analysis) -> None:
    features, logits = np.array(planted.features), np.array(planted.logits)
    features[9], logits[9] = np.nan, np.nan
    blind = replace(planted, features=features, logits=logits)
    assert inspector.around(blind, 9, "cosine", lambda: None)["items"] == []
    told = inspector.places(blind, 9, None)
    assert {item["words"] for item in told["items"]} == {"Not a finite number here."}
    assert {item["at"] for item in told["items"]} == {None}
    json.dumps(told, allow_nan=False)


def test_places_say_how_much_lies_below(planted: Analysis) -> None:
    direction = parse_direction("logit:waterbird", planted)
    top = int(np.argmax(planted.logits[:, 1]))
    first = inspector.places(planted, top, direction)["items"][0]
    assert first["current"]
    assert first["at"] == 1
    assert first["words"] == f"above 99.9% of all images, 99.8% of {planted.classes[planted.labels[top]]}"
    assert sum(first["counts"]) == planted.n


def test_a_heat_map_is_offered_for_what_matters_about_the_image(planted: Analysis) -> None:
    wrong = int(np.flatnonzero(planted.predicted != planted.labels)[0])
    right = int(np.flatnonzero(planted.predicted == planted.labels)[0])
    assert [code for code, _ in inspector.heat_choices(planted, wrong)] == [PREDICTED, LABEL, DIFFERENCE]
    assert [code for code, _ in inspector.heat_choices(planted, right)] == [PREDICTED, RUNNER_UP, DIFFERENCE]
    label, predicted = int(planted.labels[wrong]), int(planted.predicted[wrong])
    for choice, expected in (
        (PREDICTED, (predicted, None)),
        (LABEL, (label, None)),
        (RUNNER_UP, (label, None)),
        (DIFFERENCE, (predicted, label)),
    ):
        assert inspector._chosen(planted, wrong, choice) == expected
    named = int(planted.predicted[right])
    assert inspector._chosen(planted, right, LABEL) == (named, None)
    assert inspector._chosen(planted, right, DIFFERENCE) == (named, 1 - named)


def test_a_model_that_is_gone_or_an_image_that_is_gives_a_sentence(planted: Analysis) -> None:
    row = next(row for row in range(planted.n) if planted.image_path(row).is_file())
    absent = next(row for row in range(planted.n) if not planted.image_path(row).is_file())
    assert "is not there any more" in inspector.heat_message(planted, row, PREDICTED)["problem"]
    told = inspector.heat_message(planted, absent, PREDICTED)
    assert "Without the image there is no heat map" in told["problem"]
    assert told["image"] == int(planted.ids[absent])


def test_a_model_that_changed_gives_a_sentence(planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    from core.activations import reloading

    def changed(analysis: Analysis) -> Any:
        raise BadCheckpoint("It changed since it was analysed.", next_step="Put it back.")

    row = next(row for row in range(planted.n) if planted.image_path(row).is_file())
    planted.model_file.write_bytes(b"other")
    monkeypatch.setattr(reloading, "analysed_classifier", changed)
    told = inspector.heat_message(planted, row, PREDICTED)
    assert told["problem"] == "It changed since it was analysed. Put it back."


# --- events ----------------------------------------------------------------------------------------------------------


def message(*events: dict[str, Any], client: str = "tab") -> dict[str, Any]:
    return {"client": client, "events": [{"seq": i + 1, **event} for i, event in enumerate(events)]}


def test_every_event_is_delivered_once_and_in_order() -> None:
    def fresh(message: object) -> list[dict[str, Any]]:
        heard: list[dict[str, Any]] = []
        inbox.deliver(message, heard.append)
        return heard

    inbox = Inbox()
    first, second = {"kind": "go", "value": 1}, {"kind": "go", "value": 2}
    assert [e["value"] for e in fresh(message(first))] == [1]
    assert fresh(message(first)) == []
    assert [e["value"] for e in fresh(message(first, second))] == [2]
    assert [e["value"] for e in fresh(message(first, client="another tab"))] == [1]
    backwards = message(first, second, client="third")
    backwards["events"].reverse()
    assert [e["value"] for e in fresh(backwards)] == [1, 2]


@pytest.mark.parametrize("nonsense", [None, 3, {}, {"client": 3}, {"client": "x", "events": [1, {"seq": "a"}]}])
def test_messages_that_make_no_sense_deliver_nothing(nonsense: object) -> None:
    Inbox().deliver(nonsense, lambda event: pytest.fail(str(event)))


class Interruption(BaseException):
    """Stands for what Streamlit raises in a callback when another run is asked for: no Exception either."""


@pytest.mark.parametrize("fault", [ValueError, Interruption])
@pytest.mark.parametrize("kind", ["tag", "undo"])
def test_an_event_that_fails_takes_no_other_with_it(fault: type[BaseException], kind: str) -> None:
    inbox, heard = Inbox(), []

    def act(event: dict[str, Any]) -> None:
        heard.append(event["seq"])
        if event["seq"] == 2 and heard.count(2) == 1:
            raise fault

    told = message({"kind": "tag"}, {"kind": kind}, {"kind": "tag"})
    with pytest.raises(fault):
        inbox.deliver(told, act)
    # the browser sends again what was not acknowledged
    inbox.deliver(told, act)
    inbox.deliver(told, act)
    again = fault is Interruption and kind == "tag"
    assert heard == ([1, 2, 2, 3] if again else [1, 2, 3])
    assert inbox.done == {"tab": 3}


def test_a_handler_that_always_interrupts_is_given_up() -> None:
    inbox, heard = Inbox(), []

    def act(event: dict[str, Any]) -> None:
        heard.append(event["seq"])
        raise Interruption

    for _ in range(MOST_INTERRUPTIONS + 1):
        with contextlib.suppress(Interruption):
            inbox.deliver(message({"kind": "tag"}), act)
    assert heard == [1] * MOST_INTERRUPTIONS


@pytest.fixture
def act(planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Any:
    """act(event) -> (looking, taste) after it."""
    session: dict[str, Any] = {inspector.LOOKING: Looking(5, 5)}
    monkeypatch.setattr(st, "session_state", session)

    def once(**event: Any) -> tuple[Looking, Taste]:
        inspector._act(planted, (4, 5, 6), "person", event)
        return session[inspector.LOOKING], session[inspector.TASTE]

    return once


def test_going_elsewhere_keeps_the_way_back(act: Any) -> None:
    assert act(kind="go", value=6)[0] == Looking(6, 6)
    assert act(kind="go", value=300)[0] == Looking(300, 6)
    assert act(kind="go", value=4)[0] == Looking(4, 4)


def test_tags_are_saved_and_taken_back(act: Any, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    for present in (True, False):
        act(kind="tag", concept=concept.id, ids=[5], present=present)
        assert tags_of(workspace, planted, [5]) == {5: [("water", present)]}
    act(kind="undo")
    assert tags_of(workspace, planted, [5]) == {5: [("water", True)]}
    act(kind="tag", concept=concept.id, ids=[5], present=None)
    assert tags_of(workspace, planted, [5]) == {}


def test_tastes_are_kept(act: Any) -> None:
    act(kind="heat", value=True)
    act(kind="choice", value=DIFFERENCE)
    act(kind="every", value=True)
    assert act(kind="metric", value="standardised")[1] == Taste(True, DIFFERENCE, "standardised", True)


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "go", "value": "5"},
        {"kind": "heat", "value": 1},
        {"kind": "choice", "value": "everything"},
        {"kind": "metric", "value": "manhattan"},
        {"kind": "tag", "concept": 99, "ids": [5], "present": True},
        {"kind": "tag", "concept": 1, "ids": ["5"], "present": True},
        {"kind": "remove"},
        {},
    ],
)
def test_events_that_make_no_sense_change_nothing(
    act: Any, planted: Analysis, workspace: Workspace, event: dict[str, Any]
) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    assert act(**event) == (Looking(5, 5), Taste())
    assert tags_of(workspace, planted, [5]) == {}


# --- the dialog ------------------------------------------------------------------------------------------------------


def page() -> None:
    import streamlit as st

    from pages.parts import inspector, state

    analysis = state.analysis()
    assert analysis is not None
    if st.button("Open"):
        inspector.open_dialog(analysis, 7, ids=(3, 7, 9))


def test_the_dialog_tells_the_facts_first_and_needs_no_torch(planted: Analysis, workspace: Workspace) -> None:
    app = AppTest.from_function(page, default_timeout=30).run()
    app.button[0].click().run()
    assert not app.exception
    told = [json.loads(mount.proto.json) for mount in app.get("bidi_component")]
    assert [one["role"] for one in told] == ["facts", "picture", "neighbours", "standing"]
    assert {one["image"] for one in told} == {7}
    assert told[0]["ids"] == [3, 7, 9]


def test_the_heat_map_comes_last(planted: Analysis, workspace: Workspace) -> None:
    app = AppTest.from_function(page, default_timeout=60)
    app.session_state[inspector.TASTE] = Taste(heat=True)
    app.run()
    app.button[0].click().run()
    told = [json.loads(mount.proto.json) for mount in app.get("bidi_component")]
    assert [one["role"] for one in told] == ["facts", "picture", "neighbours", "standing", "heat"]
    assert "there is no heat map" in told[-1]["problem"] or "not there any more" in told[-1]["problem"]


def test_opening_the_inspector_imports_no_torch() -> None:
    script = "import sys, pages.parts.inspector; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_cannot_be_told_is_kept_with_its_author_and_shown(planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    event = {"concept": concept.id, "ids": [int(planted.ids[30])], "present": "unsure"}
    inspector._tag(planted, event, "review")
    inspector._tag(planted, event | {"present": "Unsure"}, "person")
    [shown] = facts(planted, 30)["concepts"]
    assert (shown["present"], shown["key"]) == ("unsure", 1)
    newest = history(workspace, planted.dataset_id)[0]
    assert (newest.author, newest.how, newest.source) == (who.author(), "inspector", "review")


def test_a_tag_for_a_concept_that_is_gone_is_told(planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    delete_concept(workspace, concept)
    st.session_state.pop(notices.KEPT, None)
    inspector._tag(planted, {"concept": concept.id, "ids": [int(planted.ids[30])], "present": True}, "person")
    assert "**water** was deleted by local (just now), so nothing was tagged" in st.session_state[notices.KEPT][0][0]
