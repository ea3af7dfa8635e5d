"""The image grid's Python side: what the browser says is checked, and every event is delivered once and in order."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from pages.parts.image_grid import (
    GridConcept,
    GridEvent,
    GridImage,
    GridInbox,
    GridState,
    Paging,
    Selection,
    format_activation,
    grid_data,
    grid_state,
    paging_data,
    thumbnail_data,
)
from pages.parts.inbox import MOST_INTERRUPTIONS

IMAGES = [GridImage(id=i, thumbnail=b"webp", title=f"{i}.jpg") for i in (4, 7, 9)]
CONCEPTS = [GridConcept(1, "water", "#00f"), GridConcept(2, "<script>", "#0f0")]


class Interruption(BaseException):
    """Stands for what Streamlit raises in a callback when another rerun is asked for: no Exception either."""


@pytest.fixture
def inbox() -> GridInbox:
    fresh = GridInbox()
    fresh.remember(IMAGES, CONCEPTS)
    return fresh


def tag(seq: int, ids: Any = (4,), concept: Any = 1, present: Any = True) -> dict[str, Any]:
    return {"seq": seq, "kind": "tag", "ids": list(ids), "concept": concept, "present": present}


def message(*events: Any, client: str = "tab") -> dict[str, Any]:
    return {"client": client, "events": list(events), "attempt": 1}


def delivered(inbox: GridInbox, *messages: object) -> list[GridEvent]:
    heard: list[GridEvent] = []
    for each in messages:
        inbox.deliver(each, heard.append, read=inbox.read)
    return heard


def test_repeated_messages_deliver_each_event_once_and_in_order(inbox: GridInbox) -> None:
    heard = delivered(
        inbox,
        message(tag(1), tag(2, [7])),
        message(tag(1), tag(2, [7])),
        message(tag(3, [9]), tag(2, [7])),
    )
    assert [event.ids for event in heard] == [(4,), (7,), (9,)]
    assert inbox.done == {"tab": 3}


@given(cuts=some.lists(some.integers(0, 20), max_size=8))
def test_however_messages_are_cut_and_repeated_nothing_is_lost_or_doubled(cuts: list[int]) -> None:
    inbox = GridInbox()
    inbox.remember(IMAGES, CONCEPTS)
    events = [tag(seq, [(4, 7, 9)[seq % 3]]) for seq in range(1, 21)]
    # what the outbox may send: everything from some number not yet acknowledged up to some later one
    messages = [message(*events[min(cut, inbox.done.get("tab", 0)) : max(cut, 1)]) for cut in cuts]
    heard = delivered(inbox, *messages, message(*events))
    assert [event.ids[0] for event in heard] == [(4, 7, 9)[seq % 3] for seq in range(1, 21)]


def test_a_new_page_load_starts_its_own_numbers(inbox: GridInbox) -> None:
    assert len(delivered(inbox, message(tag(1), tag(2)), message(tag(1), client="another tab"))) == 3


def test_what_was_never_shown_is_dropped_and_acknowledged(inbox: GridInbox) -> None:
    bad = [
        tag(1, [5]),
        tag(2, ["4"]),
        tag(3, [True]),
        tag(4, concept=3),
        tag(5, concept=None),
        tag(6, present="yes"),
        {"seq": 7, "kind": "delete", "ids": [4]},
        {"seq": 8, "kind": "open", "ids": []},
        {"seq": 9, "kind": "tag"},
    ]
    assert delivered(inbox, message(*bad)) == []
    assert inbox.done == {"tab": 9}


def test_ids_are_cut_down_to_those_shown_and_named_once(inbox: GridInbox) -> None:
    [event] = delivered(inbox, message(tag(1, [9, 5, 4, 9, -1])))
    assert event == GridEvent("tag", (9, 4), 1, True)


def test_what_cannot_be_told_is_an_answer_of_its_own(inbox: GridInbox) -> None:
    [event] = delivered(inbox, message(tag(1, present="unsure"), tag(2, present="Unsure"), tag(3, present=["unsure"])))
    assert event == GridEvent("tag", (4,), 1, "unsure")


def test_a_concept_says_its_key_and_what_it_is() -> None:
    [sent] = grid_data([], [GridConcept(1, "water", "#00f", 7, "Confounder.")])["concepts"]
    assert (sent["key"], sent["about"]) == (7, "Confounder.")
    assert grid_data([], CONCEPTS)["concepts"][0]["key"] is None


def test_an_event_may_still_name_the_images_shown_before(inbox: GridInbox) -> None:
    inbox.remember([GridImage(id=100, thumbnail=b"", title="")], [])
    assert delivered(inbox, message(tag(1)))[0].ids == (4,)


@pytest.mark.parametrize(
    "nonsense",
    [None, 3, "tag", [], {}, {"client": "tab"}, {"client": 3, "events": [tag(1)]}, {"client": "tab", "events": "x"}]
    + [message(entry) for entry in (None, 1, {"seq": "1"}, {"seq": True}, {"seq": -1}, {"seq": 0.5})],
)
def test_malformed_messages_do_nothing(inbox: GridInbox, nonsense: object) -> None:
    assert delivered(inbox, nonsense) == []
    assert inbox.done == {}


def test_all_kinds_arrive_as_meant(inbox: GridInbox) -> None:
    heard = delivered(
        inbox,
        message(
            tag(1, [4, 7], 2, False),
            tag(2, [4], 1, None),
            {"seq": 3, "kind": "open", "ids": [9, 4]},
            {"seq": 4, "kind": "undo"},
            {"seq": 5, "kind": "redo", "ids": [4]},
        ),
    )
    assert heard == [
        GridEvent("tag", (4, 7), 2, False),
        GridEvent("tag", (4,), 1, None),
        GridEvent("open", (9,)),
        GridEvent("undo"),
        GridEvent("redo"),
    ]


def interrupting(heard: list[GridEvent], times: int) -> Callable[[GridEvent], None]:
    left = iter(range(times))

    def on_event(event: GridEvent) -> None:
        heard.append(event)
        if next(left, None) is not None:
            raise Interruption

    return on_event


def test_an_interrupted_tag_is_delivered_again_with_what_follows(inbox: GridInbox) -> None:
    heard: list[GridEvent] = []
    on_event = interrupting(heard, times=1)
    with pytest.raises(Interruption):
        inbox.deliver(message(tag(1), tag(2, [7])), on_event, read=inbox.read)
    assert inbox.done == {}
    inbox.deliver(message(tag(1), tag(2, [7])), on_event, read=inbox.read)
    assert [event.ids for event in heard] == [(4,), (4,), (7,)]


def test_a_tag_that_is_interrupted_several_times_is_not_taken_for_delivered(inbox: GridInbox) -> None:
    heard: list[GridEvent] = []
    on_event = interrupting(heard, times=3)
    for _ in range(3):
        with pytest.raises(Interruption):
            inbox.deliver(message(tag(1)), on_event, read=inbox.read)
        assert inbox.done == {}
    inbox.deliver(message(tag(1)), on_event, read=inbox.read)
    assert (len(heard), inbox.done) == (4, {"tab": 1})


def test_a_handler_that_always_interrupts_is_given_up(inbox: GridInbox) -> None:
    heard: list[GridEvent] = []
    on_event = interrupting(heard, times=99)
    for _ in range(MOST_INTERRUPTIONS):
        with pytest.raises(Interruption):
            inbox.deliver(message(tag(1)), on_event, read=inbox.read)
    inbox.deliver(message(tag(1)), on_event, read=inbox.read)
    assert len(heard) == MOST_INTERRUPTIONS


def test_an_interrupted_undo_is_never_repeated(inbox: GridInbox) -> None:
    heard: list[GridEvent] = []
    on_event = interrupting(heard, times=1)
    with pytest.raises(Interruption):
        inbox.deliver(message({"seq": 1, "kind": "undo"}), on_event, read=inbox.read)
    inbox.deliver(message({"seq": 1, "kind": "undo"}), on_event, read=inbox.read)
    assert len(heard) == 1


def test_a_failing_handler_is_told_once_and_the_next_event_still_comes(inbox: GridInbox) -> None:
    def fail(event: GridEvent) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        inbox.deliver(message(tag(1), tag(2, [7])), fail, read=inbox.read)
    assert [event.ids for event in delivered(inbox, message(tag(1), tag(2, [7])))] == [(7,)]


MID = Paging("mid", total=40, page=0, pages=14)


@pytest.fixture
def paged() -> GridInbox:
    """An inbox of somebody who looks at the first three of 40 images."""
    fresh = GridInbox()
    fresh.remember(IMAGES, CONCEPTS, MID)
    return fresh


def everything(seq: int = 1, scope: Any = "mid", total: Any = 40, ids: Any = (), **rest: Any) -> dict[str, Any]:
    return tag(seq) | {"ids": list(ids), "everything": True, "scope": scope, "total": total} | rest


def test_a_tag_of_everything_names_only_what_it_leaves_out(paged: GridInbox) -> None:
    [event] = delivered(paged, message(everything(ids=[7])))
    assert event == GridEvent("tag", (), 1, True, everything=True, left_out=(7,), total=40)


@pytest.mark.parametrize(
    "changed",
    [{"scope": "top"}, {"scope": None}, {"total": 41}, {"total": "40"}, {"total": None}, {"scope": ["mid"]}],
)
def test_a_tag_of_everything_that_meant_something_else_is_only_told(paged: GridInbox, changed: dict[str, Any]) -> None:
    assert delivered(paged, message(everything() | changed)) == [GridEvent("late", concept=1, present=True)]


def test_everything_of_a_page_without_scope_is_never_tagged(inbox: GridInbox) -> None:
    assert delivered(inbox, message(everything(scope=None, total=0)))[0].kind == "late"


@pytest.mark.parametrize("ids", [[7, 999], ["7"], [True], "7", None, [7, 7]])
def test_who_leaves_out_what_was_never_shown_tags_nothing(paged: GridInbox, ids: object) -> None:
    assert delivered(paged, message(everything() | {"ids": ids})) == []


@pytest.mark.parametrize("truthy", [1, "true", {}, [1]])
def test_only_a_plain_true_means_everything(paged: GridInbox, truthy: object) -> None:
    [event] = delivered(paged, message(everything(ids=[4]) | {"everything": truthy}))
    assert event == GridEvent("tag", (4,), 1, True)


def test_ids_of_all_pages_of_a_scope_may_be_tagged_together(paged: GridInbox) -> None:
    for first in range(100, 300, 10):  # more pages than sets that are remembered
        paged.remember([GridImage(id=first, thumbnail=b"", title="")], CONCEPTS, MID)
    assert delivered(paged, message(tag(1, [4, 100, 290, 999])))[0].ids == (4, 100, 290)


def test_pages_are_turned_within_their_bounds_and_their_scope(paged: GridInbox) -> None:
    asked = [
        {"seq": seq, "kind": "page", "page": page, "scope": scope}
        for seq, (page, scope) in enumerate(
            [(3, "mid"), (14, "mid"), (-1, "mid"), (True, "mid"), ("2", "mid"), (2.0, "mid"), (2, "top"), (13, "mid")],
            1,
        )
    ]
    assert delivered(paged, message(*asked)) == [GridEvent("page", page=3), GridEvent("page", page=13)]


def test_a_page_says_where_it_stands() -> None:
    told = [
        paging_data(Paging("mid", 130, page, 3), shown, "in this band") for page, shown in ((0, 60), (1, 60), (2, 10))
    ]
    assert [data["first"] for data in told] == [0, 60, 120]
    assert paging_data(Paging("mid", 0, 0, 1), 0, "")["first"] == 0


def test_a_selected_band_is_told_as_such() -> None:
    said = {"selected": [7, 800], "everything": True, "concept": 1}
    assert grid_state(said, IMAGES, CONCEPTS) == GridState((4, 9), 1, everything=True)


def test_state_holds_only_what_is_shown_in_the_order_shown() -> None:
    said = {"selected": [9, 5, 4, "7", True], "concept": 2}
    assert grid_state(said, IMAGES, CONCEPTS) == GridState((4, 9), 2, elsewhere=1)
    assert grid_state({"selected": None, "concept": 3}, IMAGES, CONCEPTS) == GridState()
    assert grid_state(None, IMAGES, CONCEPTS) == GridState()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.345, "2.35"),
        (-0.5, "−0.50"),
        (12.34, "12.3"),
        (456.7, "457"),
        (123456.0, "1.2e+05"),
        (1e-5, "1.0e−05"),
        (0.0, "0.00"),
        (np.float32(1.5), "1.50"),
        (None, ""),
        (float("nan"), ""),
        (float("-inf"), ""),
    ],
)
def test_activations_are_written_with_three_figures(value: float | None, text: str) -> None:
    assert format_activation(value) == text


def test_the_message_with_pictures_does_not_change_when_a_tag_does() -> None:
    tagged = [GridImage(id=4, thumbnail=b"webp", title="4.jpg", chips=(("water", True),)), *IMAGES[1:]]
    assert thumbnail_data("k", tagged) == thumbnail_data("k", IMAGES)
    assert grid_data(tagged, CONCEPTS) != grid_data(IMAGES, CONCEPTS)
    address = thumbnail_data("k", IMAGES)["thumbnails"]["4"]
    assert base64.b64decode(address.partition(",")[2]) == b"webp"
    assert "webp" not in json.dumps(grid_data(IMAGES, CONCEPTS))


def app() -> None:
    import streamlit as st

    from pages.parts.image_grid import GridConcept, GridImage, image_grid

    images = [GridImage(id=i, thumbnail=b"x", title=f"{i}.jpg", activation=float("nan")) for i in (4, 7)]
    state = image_grid("grid", images, [GridConcept(1, "water", "#00f")], on_event=lambda event: None)
    st.text(f"selected {state.selected} concept {state.concept}")


def test_a_page_with_a_grid_runs_without_a_browser() -> None:
    page = AppTest.from_function(app, default_timeout=30).run()
    assert not page.exception
    assert page.text[0].value == "selected () concept None"
    roles = [json.loads(mounted.proto.json)["role"] for mounted in page.get("bidi_component")]
    assert roles == ["thumbnails", "grid"]


def test_a_page_reads_the_selection_a_browser_left() -> None:
    page = AppTest.from_function(app, default_timeout=30)
    page.session_state["grid"] = {"up": {"client": "tab", "selected": [7, 99], "concept": 1}}
    assert page.run().text[0].value == "selected (7,) concept 1"


def test_two_images_of_one_id_are_refused() -> None:
    def twins() -> None:
        import streamlit as st

        from pages.parts.image_grid import GridImage, image_grid

        try:
            image_grid("grid", [GridImage(1, b"", ""), GridImage(1, b"", "")], [], on_event=lambda event: None)
        except ValueError as problem:
            st.text(str(problem))

    assert AppTest.from_function(twins).run().text[0].value == "two images of the grid share an id"


def test_the_selection_now_spans_the_pages_of_a_scope_and_ends_with_it() -> None:
    inbox = GridInbox()
    inbox.remember(IMAGES, CONCEPTS, Paging("mid", total=6, pages=2))
    inbox.remember([GridImage(id=11, thumbnail=b"", title="11.jpg")], CONCEPTS, Paging("mid", total=6, page=1, pages=2))
    said = {"client": "tab", "events": [], "selected": [11, 4, 4, 99, "7", True], "everything": False, "scope": "mid"}
    assert inbox.selection(said) == Selection((11, 4))
    assert inbox.selection(said | {"everything": True}) == Selection((11, 4), everything=True)
    assert inbox.selection(said | {"scope": "top"}) == Selection()
    inbox.remember(IMAGES, CONCEPTS, Paging("top", total=3))
    assert inbox.selection(said) == inbox.selection(None) == GridInbox().selection(said) == Selection()


def test_without_a_scope_everything_cannot_be_selected() -> None:
    inbox = GridInbox()
    inbox.remember(IMAGES, CONCEPTS)
    assert inbox.selection({"selected": [4], "everything": True, "scope": None}) == Selection((4,))
