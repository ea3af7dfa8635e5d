"""One image after the other: every answer is saved once as what it was, and undo leads back to its card."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.adoption import adopt
from core.concepts.concept import Concept, create_concept, delete_concept
from core.concepts.enough import Readiness
from core.concepts.merging import merge_concepts
from core.concepts.suggestions import Suggestion
from core.concepts.tags import ABSENT, PRESENT, UNSURE, UNTAGGED, answers, tag, undo
from core.database import TagAction
from core.workspace import Workspace
from pages.parts import notices, tag_card, tag_ring, who
from pages.parts.inbox import MOST_INTERRUPTIONS, Inbox
from pages.parts.tag_card import CardEvent, read_event
from pages.parts.tag_deck import AHEAD, IN_HAND, LOW, ROUND, Deck, Step

from .conftest import Visit, tag_by_truth, texts


def answered(image: int, present: Any = True, **rest: Any) -> Step:
    return Step("tag", image, 7, None, present, True, **rest)


# --- the deck ---------------------------------------------------------------------------------------------------------


def test_an_answer_takes_the_image_off_and_later_puts_it_at_the_end() -> None:
    deck = Deck([1, 2, 3, 4])
    deck.note(answered(1, "unsure"))
    deck.note(Step("skip", 2))
    assert deck.images == [3, 4, 2]
    assert deck.later == {2}
    deck.note(Step("tag", 3, 9, None, True))
    assert deck.images == [3, 4, 2]


def test_going_back_brings_each_image_to_the_front() -> None:
    deck = Deck([1, 2, 3])
    deck.note(answered(1))
    deck.note(Step("skip", 2))
    assert deck.images == [3, 2]
    deck.took_back()
    assert deck.images == [2, 3]
    deck.took_back()
    assert deck.images == [1, 2, 3]
    assert deck.trail == []


def test_the_next_images_are_asked_for_in_time_and_none_twice() -> None:
    deck = Deck()
    asked: list[int] = []

    def propose(count: int) -> list[tuple[int, Suggestion]]:
        asked.append(count)
        return [(i, Suggestion(i, "own-low")) for i in range(100)][: count + 3]

    deck.fill(propose)
    assert deck.images == list(range(ROUND))
    for image in range(ROUND - LOW):
        deck.note(answered(image))
        deck.fill(propose)
    assert asked == [ROUND]
    deck.note(answered(deck.images[0]))
    deck.fill(propose)
    assert asked == [ROUND, ROUND + LOW - 1]
    assert len(set(deck.images)) == len(deck.images)


def test_images_put_off_wait_behind_fresh_ones_until_none_is_left() -> None:
    deck, supply = Deck(), 30

    def propose(count: int) -> list[tuple[int, Suggestion]]:
        return [(i, Suggestion(i, "own-low")) for i in range(supply)][:count]

    deck.fill(propose)
    seen = []
    for _ in range(supply):
        seen.append(deck.images[0])
        deck.note(Step("skip", deck.images[0]))
        deck.fill(propose)
    assert seen == list(range(supply))
    assert sorted(deck.images) == list(range(supply))
    assert len(deck.later) == supply
    # none is fresh any more: those put off come round again
    assert deck.images[0] == 0
    supply = 40
    front = deck.images[:IN_HAND]
    deck.fill(propose)
    assert deck.images[:IN_HAND] == front
    assert deck.images[IN_HAND : IN_HAND + 10] == list(range(30, 40))


def test_what_others_answered_drops_out_behind_the_images_in_hand() -> None:
    deck = Deck([1, 2, 3, 4, 5])
    deck.drop([1, 4], keep=2)
    assert deck.images == [1, 2, 3, 5]
    deck.drop([1])
    assert deck.images == [2, 3, 5]


def test_a_picture_keeps_its_slot_while_its_image_is_near() -> None:
    deck = Deck(list(range(20)))
    assert deck.assign() == list(range(1 + AHEAD))
    before = list(deck.slots)
    deck.pictures = {image: {"image": image} for image in range(6)}
    deck.note(answered(0))
    order = deck.assign()
    assert [place for place in range(6) if deck.slots[place] != before[place]] == [0]
    assert [deck.slots[slot] for slot in order] == [1, 2, 3, 4, 5, 6]
    assert set(deck.pictures) == {1, 2, 3, 4, 5}
    deck.took_back()
    first = deck.assign()[0]
    assert deck.slots[first] == 0


def test_a_short_deck_leaves_slots_empty() -> None:
    deck = Deck([4, 9])
    assert deck.assign() == list(range(1 + AHEAD))
    assert deck.slots == [4, 9, None, None, None, None]


# --- events -----------------------------------------------------------------------------------------------------------


def message(*events: dict[str, Any], client: str = "tab") -> dict[str, Any]:
    return {"client": client, "events": [{"seq": i, **event} for i, event in enumerate(events, start=1)]}


def tags_of_card(image: int, concept: int, present: Any) -> dict[str, Any]:
    return {"kind": "tag", "id": image, "concept": concept, "present": present, "next": True}


def test_every_event_is_delivered_once_in_order_however_often_it_is_sent() -> None:
    inbox, got = Inbox(), []
    told = message(tags_of_card(3, 1, True), {"kind": "skip", "id": 4}, {"kind": "undo"})
    inbox.deliver(told, got.append, read=read_event)
    inbox.deliver(told, got.append, read=read_event)
    assert got == [CardEvent("tag", 3, 1, True, True), CardEvent("skip", 4), CardEvent("undo")]
    inbox.deliver(message({"kind": "redo"}, client="another tab"), got.append, read=read_event)
    assert got[3:] == [CardEvent("redo")]


def test_an_interrupted_tag_is_delivered_again_and_an_interrupted_undo_is_not() -> None:
    class Interruption(BaseException):
        pass

    inbox, got = Inbox(), []

    def interrupted(event: CardEvent) -> None:
        got.append(event.kind)
        raise Interruption

    for event in (tags_of_card(3, 1, True), {"kind": "undo"}):
        inbox, got = Inbox(), []
        for _ in range(MOST_INTERRUPTIONS + 1):
            with pytest.raises(Interruption) if not inbox.done else nullcontext():
                inbox.deliver(message(event), interrupted, read=read_event)
        assert got == (["tag"] * MOST_INTERRUPTIONS if event["kind"] == "tag" else ["undo"])


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        {},
        {"client": 3, "events": []},
        {"client": "tab", "events": "tag"},
        message({"kind": "tag", "id": "3", "concept": 1, "present": True}),
        message({"kind": "tag", "id": 3, "concept": 1, "present": "maybe"}),
        message({"kind": "tag", "id": 3, "concept": True, "present": True}),
        message({"kind": "delete", "id": 3}),
        {"client": "tab", "events": [{"seq": "1", "kind": "undo"}]},
    ],
)
def test_messages_that_make_no_sense_do_nothing(nonsense: object) -> None:
    Inbox().deliver(nonsense, lambda event: pytest.fail(str(event)), read=read_event)


# --- what an answer does ----------------------------------------------------------------------------------------------

Act = Callable[..., None]


@pytest.fixture
def water(workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Concept:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(st, "session_state", {})
    who._browsers.clear()
    return create_concept(workspace, planted.dataset_id, "water")


@pytest.fixture
def act(planted: Analysis, water: Concept) -> Act:
    def do(kind: str, place: int | None = None, present: Any = None, concept: Concept = water, **rest: Any) -> None:
        image = None if place is None else int(planted.ids[place])
        tag_card._act(planted, water, CardEvent(kind, image, concept.id, present, **rest))

    return do


def said(workspace: Workspace, analysis: Analysis, concept: Concept) -> dict[int, int]:
    states = answers(workspace, analysis, concept)
    return {int(row): int(states[row]) for row in np.flatnonzero(states != UNTAGGED)}


def test_each_answer_is_saved_with_who_and_how(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    for row, present in ((5, True), (6, False), (7, "unsure")):
        act("tag", row, present, next=True)
    assert said(workspace, planted, water) == {5: PRESENT, 6: ABSENT, 7: UNSURE}
    with workspace.reading() as session:
        actions = session.query(TagAction).all()
        assert {(one.author, one.source, one.how) for one in actions if one.how} == {(who.author(), "person", "card")}


def test_undo_goes_back_to_the_card_and_takes_back_the_answer(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    deck = tag_card.deck_of(planted, water)
    deck.images = planted.ids[[5, 6, 7]].tolist()
    act("tag", 5, True, next=True)
    act("skip", 6)
    assert deck.images == planted.ids[[7, 6]].tolist()
    act("undo")
    assert said(workspace, planted, water) == {5: PRESENT}
    act("undo")
    assert said(workspace, planted, water) == {}
    assert deck.images == planted.ids[[5, 6, 7]].tolist()
    act("redo")
    assert said(workspace, planted, water) == {5: PRESENT}
    assert deck.images == planted.ids[[6, 7]].tolist()
    assert notices.KEPT not in st.session_state


def test_another_concept_tags_the_same_card(workspace: Workspace, planted: Analysis, water: Concept, act: Act) -> None:
    tree = create_concept(workspace, planted.dataset_id, "<b>tree</b>")
    deck = tag_card.deck_of(planted, water)
    deck.images = planted.ids[[5, 6]].tolist()
    act("tag", 5, True, tree)
    assert said(workspace, planted, tree) == {5: PRESENT}
    assert deck.images == planted.ids[[5, 6]].tolist()
    act("undo")
    assert said(workspace, planted, tree) == {}
    assert deck.images == planted.ids[[5, 6]].tolist()


def test_an_answer_on_its_way_counts_for_the_concept_it_was_about(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    tree = create_concept(workspace, planted.dataset_id, "tree")
    for concept in (water, tree):
        tag_card.deck_of(planted, concept).images = planted.ids[[5, 6]].tolist()
    act("tag", 5, False, tree, next=True)  # the person has gone on to “water” since
    assert said(workspace, planted, tree) == {5: ABSENT}
    assert tag_card.deck_of(planted, tree).images == planted.ids[[6]].tolist()
    assert tag_card.deck_of(planted, water).images == planted.ids[[5, 6]].tolist()


def test_an_undo_of_what_was_done_elsewhere_says_so_and_asks_about_it_again(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    deck = tag_card.deck_of(planted, water)
    deck.images = planted.ids[[5, 6]].tolist()
    act("tag", 5, True, next=True)
    tag(workspace, planted, water, [30, 31], False, author=who.author(), how="band")
    act("undo")
    assert said(workspace, planted, water) == {5: PRESENT}
    assert deck.images == planted.ids[[30, 31, 6]].tolist()
    assert "agged 2 images" in st.session_state[notices.KEPT][0][0]
    act("undo")
    assert said(workspace, planted, water) == {}
    assert deck.images[0] == planted.ids[5]


def test_others_tags_are_not_mine_to_undo(workspace: Workspace, planted: Analysis, water: Concept, act: Act) -> None:
    tag(workspace, planted, water, [30], True, author="somebody else")
    act("undo")
    assert said(workspace, planted, water) == {30: PRESENT}
    assert "Nothing of yours" in st.session_state[notices.KEPT][0][0]


def test_a_concept_that_is_gone_is_not_tagged(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    act("tag", 5, True, Concept(999, "gone", "#000000", "other", ""), next=True)
    assert said(workspace, planted, water) == {}


def test_answers_sent_once_more_after_a_restart_are_kept_once(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    for row, present in ((5, True), (6, False), (7, "unsure")):
        act("tag", row, present, next=True)
    # the server was started anew; the browser is known by its cookie, and sends what was not acknowledged
    me = st.session_state[who.BROWSER]
    st.session_state.clear()
    st.session_state[who.BROWSER] = me
    deck = tag_card.deck_of(planted, water)
    deck.images = planted.ids[[5, 6, 7, 8]].tolist()
    for row, present in ((5, True), (6, False), (7, "unsure")):
        act("tag", row, present, next=True)
    assert tags_made(workspace) == 3
    assert deck.images == planted.ids[[8]].tolist()
    act("tag", 7, "unsure", next=True)
    assert len(deck.trail) == 3
    for row in (7, 6, 5):
        act("undo")
        assert deck.images[0] == planted.ids[row]
    assert said(workspace, planted, water) == {}


def test_the_same_answer_of_somebody_else_is_still_an_answer(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    tag(workspace, planted, water, [5], True, author="somebody else")
    act("tag", 5, True, next=True)
    act("tag", 5, False, next=True)
    assert tags_made(workspace) == 3
    assert said(workspace, planted, water) == {5: ABSENT}


def tags_made(workspace: Workspace) -> int:
    with workspace.reading() as session:
        return session.query(TagAction).filter(TagAction.kind == "tag").count()


def test_what_was_done_under_a_former_name_is_still_mine_to_undo(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act
) -> None:
    deck = tag_card.deck_of(planted, water)
    deck.images = planted.ids[[5, 6]].tolist()
    act("tag", 5, True, next=True)
    who.rename("Ann")
    act("undo")
    assert said(workspace, planted, water) == {}
    assert deck.images == planted.ids[[5, 6]].tolist()


def test_answers_to_another_concept_that_was_deleted_are_told(
    workspace: Workspace, planted: Analysis, water: Concept, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = create_concept(workspace, planted.dataset_id, "<b>tree</b>")
    delete_concept(workspace, tree, author="Bob")
    events = [tags_of_card(int(planted.ids[row]), tree.id, True) for row in (5, 6)]
    st.session_state[tag_card._key(planted)] = {"up": message(*events)}
    tag_card._deliver(planted, water)
    [(text, _)] = st.session_state[notices.KEPT]
    assert "was deleted by Bob (just now), so 2 answers were not saved" in text
    assert "<b>" not in text
    assert said(workspace, planted, water) == {}


def test_only_the_deck_on_screen_keeps_its_pictures(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    tree = create_concept(workspace, planted.dataset_id, "tree")
    for concept in (water, tree):
        deck = tag_card.prepare(planted, concept)
        for slot in deck.assign():
            tag_card.picture("key", planted, deck, slot)
        assert len(deck.pictures) == 1 + AHEAD
    assert not tag_card.deck_of(planted, water).pictures


def test_while_cards_are_shown_the_images_in_hand_stay(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    first = list(tag_card.prepare(planted, water).images)
    tag(workspace, planted, water, planted.rows_of(first[:6]), True, author="somebody else")
    st.session_state[tag_card._key(planted)] = {}
    assert tag_card.prepare(planted, water).images[: IN_HAND + 1] == [*first[:IN_HAND], first[6]]
    del st.session_state[tag_card._key(planted)]
    assert tag_card.prepare(planted, water).images[0] == first[6]


# --- on the page ------------------------------------------------------------------------------------------------------


def sent(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]


def cards(app: AppTest) -> dict[str, Any]:
    return next(data for data in sent(app) if isinstance(data, dict) and data.get("role") == "cards")


def test_cards_come_first_from_val_with_their_pictures(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "<b>water</b> ∆ مرحبا")
    app = visit("tag_next")
    assert not app.exception
    data = cards(app)
    assert data["concept"]["name"] == "<b>water</b> ∆ مرحبا"
    assert len(data["deck"]) == ROUND
    assert set(planted.splits[planted.rows_of(data["deck"])]) == {1}
    pictures = [one for one in sent(app) if one.get("role") == "picture"]
    assert [one["image"] for one in pictures] == data["deck"][: 1 + AHEAD]
    assert all(one["url"].startswith("data:image/") for one in pictures)
    first = data["cards"][str(data["deck"][0])]
    assert "Asked" in first["why"]
    assert "Label" not in first["why"]
    assert "predicted" in first["opinion"]


def test_what_is_said_of_a_card_is_on_it(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    tree = create_concept(workspace, planted.dataset_id, "tree")
    app = visit("tag_next", concept="water")
    first = cards(app)["deck"][0]
    tag(workspace, planted, tree, planted.rows_of([first]), "unsure")
    app.run()
    assert cards(app)["cards"][str(first)]["said"] == {str(tree.id): "unsure"}


def test_cards_give_no_answer_away(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    column = adopt(workspace, planted, "place", "water")
    pond = create_concept(workspace, planted.dataset_id, "pond")
    app = visit("tag_next", concept=str(pond.id))
    first = cards(app)["deck"][0]
    assert not any(card["said"] for card in cards(app)["cards"].values())
    tag(workspace, planted, column, planted.rows_of([first]), True)
    app.run()
    assert cards(app)["cards"][str(first)]["said"] == {str(column.id): True}


def test_what_was_answered_on_another_page_is_not_asked(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next")
    asked = cards(app)["deck"]
    visit("bands", app)
    tag(workspace, planted, water, planted.rows_of(asked[:4]), True)
    visit("tag_next", app)
    assert not set(cards(app)["deck"]) & set(asked[:4])
    assert cards(app)["deck"][0] == asked[4]


def test_the_ring_counts_and_says_when_retraining_is_worth_it(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 12)
    app = visit("tag_next")
    ring = next(one for one in sent(app) if one.get("role") == "count")
    assert (ring["tags"], ring["budget"], ring["state"]) == (12, 60, "Collecting answers")
    told = next(one for one in sent(app) if one.get("role") == "verdict")
    assert ring["said"] == "12 of about 60 tags"
    assert told["tags"] == 12
    assert told["rest"] == "" or told["rest"].startswith("; ")
    button = next(button for button in app.button if button.label == "Retrain")
    assert button.disabled
    assert "8 more images" in button.help


def test_the_ring_says_one_thing_at_a_time() -> None:
    def told(share: float | None, helps: bool = True) -> Readiness:
        return Readiness(70, 60, share, 0.0, 1.0, 0.1, 0.1, helps, "", "")

    state = tag_ring.state_of
    assert state(12, None) == tag_ring.COLLECTING
    assert state(30, told(0.9)) == tag_ring.TRY
    assert state(70, told(0.9)) == tag_ring.GOOD
    # "only 4 say absent: look for more" must not stand below "enough for a good repair"
    assert state(70, told(0.9), fewest=4) == tag_ring.ONE_SIDED
    assert state(70, told(0.6)) == tag_ring.WEAK
    assert state(70, told(0.9, helps=False), fewest=4) == tag_ring.DONE
    assert state(70, told(0.6, helps=False)) == tag_ring.STUCK


def test_tags_that_do_not_count_are_told(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, water, planted.split_rows("val")[:3], True)
    app = visit("tag_next")
    assert next(one for one in sent(app) if one.get("role") == "count")["note"] == ""
    tag(workspace, planted, water, planted.split_rows("train")[:2], True)
    ring = next(one for one in sent(visit("tag_next")) if one.get("role") == "count")
    assert (ring["tags"], ring["note"]) == (3, "3 of 5 tags count: the others are on train or test images.")


def test_a_link_opens_the_concept_and_the_mode(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    create_concept(workspace, planted.dataset_id, "tree")
    app = visit("tag_next", concept=str(water.id), mode="cards", look="queue")
    assert cards(app)["concept"]["id"] == water.id
    other = visit("tag_next", concept="TREE", mode="grid")
    assert not any(one.get("role") == "cards" for one in sent(other))
    assert "tree" in texts(other)


def test_undoing_the_concept_itself_does_not_stop_the_page(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next")
    undo(workspace, planted.dataset_id)
    app.run()
    assert not app.exception
    assert "First name what you suspect" in texts(app)


def test_a_concept_deleted_elsewhere_leaves_nothing_asked_until_one_is_picked(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    create_concept(workspace, planted.dataset_id, "tree")
    water = create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next")
    assert cards(app)["concept"]["id"] == water.id
    image = cards(app)["deck"][0]
    delete_concept(workspace, water, author="Bob")
    # an answer that was on its way
    app.session_state[tag_card.concept_tools.LOST] = {water.id: 1}
    app.run()
    assert not app.exception
    [warning] = app.warning
    assert "**water** was deleted by Bob (just now), so 1 answer was not saved" in warning.value
    assert not any(one.get("role") == "cards" for one in sent(app))
    app.run()
    assert not any(one.get("role") == "cards" for one in sent(app))
    next(button for button in app.button if button.label == "Bring it back").click().run()
    assert cards(app)["concept"]["id"] == water.id
    assert image in cards(app)["deck"]
    assert not app.warning


@pytest.mark.parametrize("look", ["queue", "review"])
def test_after_a_merge_another_one_is_picked_by_hand(
    visit: Visit, planted: Analysis, workspace: Workspace, look: str
) -> None:
    tree, water = (create_concept(workspace, planted.dataset_id, name) for name in ("tree", "water"))
    app = visit("tag_next", look=look, concept=str(water.id))
    merge_concepts(workspace, tree, water, author="Bob")
    app.run()
    assert "was merged into **tree** by Bob" in app.warning[0].value
    app.segmented_control(key="concept_pick_anew").set_value(tree.id).run()
    assert not app.warning
    assert app.segmented_control(key="concept_pick").value == tree.id
    app.run()
    assert not app.exception


def test_another_persons_new_concept_does_not_take_the_place_of_the_one_asked_about(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next")
    create_concept(workspace, planted.dataset_id, "tree", author="Bob")
    app.run()
    assert cards(app)["concept"]["id"] == water.id


def test_a_link_to_a_deleted_concept_says_what_became_of_it(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    create_concept(workspace, planted.dataset_id, "tree")
    water = create_concept(workspace, planted.dataset_id, "water")
    delete_concept(workspace, water, author="Bob")
    app = visit("tag_next", concept=str(water.id))
    assert "was deleted by Bob" in app.warning[0].value
