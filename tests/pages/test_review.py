"""Review: guesses are shown as guesses, become tags only when accepted, and never move under the hand."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import Concept, create_concept, delete_concept, get_concept
from core.concepts.spread import Candidate, spread
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, suggest_members, tag, tag_states, undo
from core.database import TagAction
from core.errors import NotFound
from core.workspace import Workspace
from pages.parts import notices, review, who
from pages.parts.review import ABSENT_SIDE, BOTH, Choice, accept, note

from .conftest import Visit, tag_by_truth, texts


def grid(app: AppTest) -> dict[str, Any]:
    sent = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return next(data for data in sent if isinstance(data, dict) and data.get("role") == "grid")


def shown_rows(app: AppTest, analysis: Analysis) -> np.ndarray:
    return analysis.rows_of([image["id"] for image in grid(app)["images"]])


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label.startswith(label)).click().run()


def test_without_tags_the_page_says_what_is_missing(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, water, [205, 206], True)
    app = visit("tag_next", look="review")
    assert not app.exception
    assert "2 images tagged as present, 0 as absent" in texts(app)
    assert "one more as **absent**" in texts(app)
    assert "Go to the queue" in [link.proto.label for link in app.get("page_link")]


def test_guesses_are_no_tags(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    water = get_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", look="review")
    images = grid(app)["images"]
    assert len(images) == review.BATCH
    assert all(image["note"].startswith("guess ") and not image["chips"] for image in images)
    assert (answers(workspace, planted, water)[shown_rows(app, planted)] == UNTAGGED).all()
    assert "agree with held-out tags" in texts(app)
    assert "no tags yet" in texts(app)


def test_the_prediction_told_of_a_guess_is_the_true_one(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    rows = np.flatnonzero(planted.predicted != planted.labels)[:3]
    suggest_members(workspace, planted, create_concept(workspace, planted.dataset_id, "water"), rows, "cluster")
    images = grid(visit("tag_next", look="review"))["images"]
    assert planted.rows_of([image["id"] for image in images]).tolist() == rows.tolist()
    for row, image in zip(rows, images, strict=True):
        assert (image["label"], image["predicted"], image["correct"]) == (
            planted.classes[planted.labels[row]],
            "",
            None,
        )
        assert image["details"][0] == f"predicted {planted.classes[planted.predicted[row]]}"


def test_the_most_doubtful_guess_of_a_side_comes_first(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    told = spread(workspace, planted, get_concept(workspace, planted.dataset_id, "water"))
    chance = dict(zip(told.rows.tolist(), told.probability, strict=True))
    first = [chance[row] for row in shown_rows(visit("tag_next", look="review"), planted).tolist()]
    assert first == sorted(first)
    assert min(first) > 0.5


def test_all_shown_are_accepted_as_reviewed_guesses_and_the_next_come(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    water = get_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", look="review")
    rows = shown_rows(app, planted)
    tag(workspace, planted, water, rows[:2], False)
    app.run()
    assert shown_rows(app, planted).tolist() == rows.tolist()
    press(app, "Accept all 22 shown as present")
    states = tag_states(workspace, planted, water)[rows]
    assert states.tolist() == [ABSENT] * 2 + [PRESENT] * 22
    with workspace.reading() as session:
        action = session.query(TagAction).order_by(TagAction.id.desc()).first()
        assert action is not None
        assert (action.source, action.how) == ("review", "review")
    assert not set(shown_rows(app, planted)) & set(rows)
    assert any("22 guesses accepted" in toast.value for toast in app.toast)
    undo(workspace, planted.dataset_id)
    assert (tag_states(workspace, planted, water)[rows[2:]] == UNTAGGED).all()


def test_what_is_put_off_is_not_proposed_again(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("tag_next", look="review")
    before = set(shown_rows(app, planted))
    press(app, "Show others")
    assert not set(shown_rows(app, planted)) & before


def test_suggested_members_need_no_probe(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    suggest_members(workspace, planted, water, [201, 207, 203], "cluster")
    app = visit("tag_next", look="review")
    assert shown_rows(app, planted).tolist() == [201, 207, 203]
    assert {image["note"] for image in grid(app)["images"]} == {"from a cluster"}
    press(app, "Accept all 3 shown as present")
    assert (tag_states(workspace, planted, water)[[201, 207, 203]] == PRESENT).all()


def test_suggested_members_count_and_are_ordered_by_their_guess(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    # of train, which no probe guesses by itself
    rows = planted.split_rows("train")[:40]
    suggest_members(workspace, planted, water, rows[:12], "cluster")
    app = visit("tag_next", look="review")
    assert "**12 suggested by a cluster**, none guessed" in texts(app)
    assert not any(control.key == "review_side" for control in app.segmented_control)
    tag_by_truth(workspace, planted, 40)
    app = visit("tag_next", look="review")
    told = spread(workspace, planted, water, split="all")
    of = [float(told.probability[row]) for row in rows[:12]]
    for side in ("present", "absent"):
        app.session_state["review_choice"] = Choice(side)
        app.session_state["review_batches"] = {}
        app.run()
        guessed = [float(told.probability[row]) for row in shown_rows(app, planted)]
        assert np.abs(np.array(guessed) - 0.5).tolist() == sorted(np.abs(np.array(guessed) - 0.5))
        assert all((chance > 0.5) == (side == "present") for chance in guessed)
    waiting = spread(workspace, planted, water)
    shown = int((waiting.probability[answers(workspace, planted, water)[waiting.rows] == UNTAGGED] > 0.5).sum())
    options = next(control for control in app.segmented_control if control.key == "review_side").options
    assert options[0] == f"Probably present ({shown + sum(chance > 0.5 for chance in of)})"


def test_answers_that_contradict_the_others_can_be_looked_at_again(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 60)
    water = get_concept(workspace, planted.dataset_id, "water")
    usual = planted.attributes[0].codes == planted.labels
    rows = planted.split_rows("val")
    # slips in the top half, where the class shows its usual value
    typical = rows[usual[rows] & (tag_states(workspace, planted, water)[rows] != UNTAGGED)]
    own = planted.logits[typical, planted.labels[typical]]
    slips = typical[np.argsort(-own)[:2]]
    for row in slips:
        tag(workspace, planted, water, [row], not planted.attributes[0].codes[row])
    doubtful = spread(workspace, planted, water).doubtful
    assert set(slips) <= set(doubtful.tolist())
    app = visit("tag_next", look="review")
    app.session_state["review_choice"] = Choice("again")
    app.run()
    assert not app.exception
    assert set(slips) <= set(shown_rows(app, planted).tolist())
    assert "contradict all the others" in texts(app)


def test_an_unknown_look_is_the_queue(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", look="nonsense", concept="999", mode="piles")
    assert not app.exception
    assert [toast.value for toast in app.toast] == ["The concept of that link is not there (any more)."]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (Candidate(1, "probe", 0.834), "guess 83%"),
        (Candidate(1, "cluster", math.nan), "from a cluster"),
        (Candidate(1, "text", 0.5), "guess 50%, fits the text"),
        (Candidate(1, "somewhere", math.nan), "suggested"),
    ],
)
def test_the_note_says_where_a_guess_is_from(item: Candidate, words: str) -> None:
    assert note(item) == words


@pytest.fixture
def water(workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Concept:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(st, "session_state", {})
    who._browsers.clear()
    return create_concept(workspace, planted.dataset_id, "water")


def test_each_is_accepted_as_what_it_was_guessed(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    items = (Candidate(3, "probe", 0.9), Candidate(4, "probe", 0.2), Candidate(5, "cluster", math.nan))
    accept(planted, water, items, Choice(BOTH))
    assert tag_states(workspace, planted, water)[[3, 4, 5]].tolist() == [PRESENT, ABSENT, PRESENT]
    accept(planted, water, (Candidate(6, "probe", 0.2),), Choice(ABSENT_SIDE))
    assert tag_states(workspace, planted, water)[6] == ABSENT
    accept(planted, water, (), Choice())


def last_action(workspace: Workspace) -> TagAction:
    with workspace.reading() as session:
        action = session.query(TagAction).order_by(TagAction.id.desc()).first()
        assert action is not None
        return action


@pytest.mark.parametrize("person", ["", "somebody else"])
@pytest.mark.parametrize("answer", [True, False, "unsure"])
def test_answers_given_since_the_page_was_drawn_are_kept(
    workspace: Workspace, planted: Analysis, water: Concept, person: str, answer: Any
) -> None:
    """The button holds the batch as it was drawn; a key pressed in the grid right before may not have been seen yet."""
    items = tuple(Candidate(row, "probe", 0.9) for row in (3, 4, 5))
    tag(workspace, planted, water, [4], answer, author=person or who.author())
    before = int(answers(workspace, planted, water)[4])
    accept(planted, water, items, Choice())
    assert answers(workspace, planted, water)[[3, 4, 5]].tolist() == [PRESENT, before, PRESENT]
    action = last_action(workspace)
    assert (action.images, action.author, action.source, action.how) == (2, who.author(), "review", "review")
    assert "2 guesses accepted" in st.session_state[notices.KEPT][0][0]
    assert "1 image answered meanwhile stayed" in st.session_state[notices.KEPT][0][0]
    accept(planted, water, items, Choice())
    assert last_action(workspace).id == action.id
    assert "Nothing was left" in st.session_state[notices.KEPT][1][0]


def test_both_values_are_accepted_in_one_step(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    accept(planted, water, (Candidate(3, "probe", 0.9), Candidate(4, "probe", 0.2)), Choice(BOTH))
    assert tag_states(workspace, planted, water)[[3, 4]].tolist() == [PRESENT, ABSENT]
    undone = undo(workspace, planted.dataset_id, who.author())
    assert undone is not None
    assert undone.images == 2
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()


def test_nothing_is_accepted_for_a_concept_that_is_gone(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    delete_concept(workspace, water, author="somebody else")
    with pytest.raises(NotFound, match="nothing was accepted"):
        accept(planted, water, (Candidate(3, "probe", 0.9),), Choice())


def test_undo_shows_the_batch_again_that_was_taken_back(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("tag_next", look="review")
    batches = []
    for _ in range(2):
        batches.append(shown_rows(app, planted).tolist())
        press(app, "Accept all 24 shown as present")
    third = shown_rows(app, planted).tolist()
    for batch in reversed(batches):
        undo(workspace, planted.dataset_id)
        app.run()
        assert shown_rows(app, planted).tolist() == batch
    press(app, "Accept all 24 shown as present")
    assert not set(shown_rows(app, planted).tolist()) & set(batches[0])
    assert third
