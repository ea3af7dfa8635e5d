"""What happens to an investigation when somebody tags in a grid: exactly what was meant, once, undoable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import streamlit as st

from core.activations.directions import Direction, parse_direction
from core.activations.store import Analysis
from core.concepts.concept import Concept, change_concept, create_concept, delete_concept
from core.concepts.tags import PRESENT, UNTAGGED, tag, tag_states, undo
from core.database import TagAction
from core.workspace import Workspace
from pages.parts import gallery, inspector, notices, who
from pages.parts.gallery import Place, Shown
from pages.parts.image_grid import GridEvent

BAND = np.arange(100, 180)


@pytest.fixture
def water(workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Concept:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    st.session_state.pop(notices.KEPT, None)
    st.session_state.pop(who.BROWSER, None)
    who._browsers.clear()
    return create_concept(workspace, planted.dataset_id, "water")


def shown(**rest: Any) -> Shown:
    return Shown(Place("logit:waterbird", -1.0, 1.0), everything=lambda: BAND, **rest)


def whole_band(concept: Concept, present: bool | None = True, **rest: Any) -> GridEvent:
    return GridEvent("tag", concept=concept.id, present=present, everything=True, total=len(BAND), **rest)


def test_a_whole_band_is_tagged_but_for_what_is_left_out(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    out = tuple(int(i) for i in planted.ids[[100, 179]])
    gallery._on_event(planted, shown(), whole_band(water, left_out=out))
    tagged = np.flatnonzero(tag_states(workspace, planted, water) == PRESENT)
    assert tagged.tolist() == BAND[1:-1].tolist()


def test_tagging_a_whole_band_is_one_step_to_undo(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    gallery._on_event(planted, shown(), whole_band(water))
    taken = undo(workspace, planted.dataset_id)
    assert taken is not None
    assert taken.images == len(BAND)
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()


@pytest.mark.parametrize("late", [Shown(Place()), Shown(Place(), everything=lambda: BAND[:-1])])
def test_a_band_with_other_members_than_were_meant_is_not_tagged(
    workspace: Workspace, planted: Analysis, water: Concept, late: Shown
) -> None:
    gallery._on_event(planted, late, whole_band(water))
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()
    assert "nothing was tagged" in st.session_state[notices.KEPT][0][0]


def test_a_late_tag_is_told(planted: Analysis, water: Concept) -> None:
    gallery._on_event(planted, shown(), GridEvent("late", concept=water.id, present=True))
    assert "nothing was tagged" in st.session_state[notices.KEPT][0][0]


def test_named_images_are_tagged_and_no_others(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    ids = tuple(int(i) for i in planted.ids[[5, 9]])
    gallery._on_event(planted, shown(), GridEvent("tag", ids, water.id, True))
    assert np.flatnonzero(tag_states(workspace, planted, water) == PRESENT).tolist() == [5, 9]


def test_a_concept_that_is_gone_changes_nothing_and_that_is_told(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    reeds = create_concept(workspace, planted.dataset_id, "*reeds*")
    delete_concept(workspace, reeds)
    for concept in (water.id + 99, reeds.id):
        gallery._on_event(planted, shown(), GridEvent("tag", (int(planted.ids[0]),), concept, True))
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()
    assert (tag_states(workspace, planted, reeds) == UNTAGGED).all()
    first, second = (text for text, _ in st.session_state[notices.KEPT])
    assert first.startswith("That concept is not there, so nothing was tagged.")
    assert second.startswith("**\\*reeds\\*** was deleted by local (just now), so nothing was tagged.")


def test_a_closer_look_at_a_guess_judges_the_guess(
    planted: Analysis, water: Concept, drawn: dict[str, Any], looked: list[Any]
) -> None:
    st.session_state[gallery.OPENED] = ("grid", int(planted.ids[1]))
    gallery.show(planted, np.arange(3), key="grid", source="review")
    assert looked[0][-1] == "review"


def test_long_names_are_cut_short_in_what_is_told(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    long = create_concept(workspace, planted.dataset_id, "x" * 200, author=who.author())
    tag(workspace, planted, long, [1], True, author=who.author())
    gallery._on_event(planted, shown(), GridEvent("undo"))
    assert st.session_state[notices.KEPT][0][0] == f"Took back: tagged 1 image with “{'x' * 39}…”."


def test_pages_are_asked_of_the_page_that_shows_them(planted: Analysis, water: Concept) -> None:
    asked: list[int] = []
    gallery._on_event(planted, shown(on_page=asked.append), GridEvent("page", page=4))
    gallery._on_event(planted, shown(), GridEvent("page", page=5))
    assert asked == [4]


def test_a_hover_says_split_attributes_probability_and_margin(planted: Analysis, water: Concept) -> None:
    [image] = gallery.grid_images(planted, np.array([3]))
    logits = planted.logits[3].astype(float)
    sure = 1 / np.exp(logits - logits.max()).sum()
    assert image.details == (
        f"probability {sure:.0%}, margin over the runner-up {abs(logits[0] - logits[1]):.2f}",
        f"place: {planted.attributes[0].values[planted.attributes[0].codes[3]]}",
        "split test",
    )
    repaired = gallery.grid_images(planted, np.array([3]), predicted=planted.predicted[[3]])
    assert len(repaired[0].details) == 2, "the probability is of another model than the prediction shown"


def test_no_image_needs_no_logit(planted: Analysis, water: Concept) -> None:
    assert gallery.grid_images(planted, np.array([], dtype=np.int64)) == []


def test_the_direction_looked_along_is_found_again(planted: Analysis, water: Concept) -> None:
    found = gallery._direction(planted, Place("logit:waterbird"))
    assert found is not None
    assert found.spec == "logit:waterbird"
    assert gallery._direction(planted, Place("logit:penguin")) is None
    assert gallery._direction(planted, Place()) is None


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """What `gallery.show` asks of each grid, by its key."""
    asked: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(gallery, "image_grid", lambda key, images, concepts, **rest: asked.update({key: rest}))
    return asked


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every closer look that was asked for: analysis, image, spec of the direction, ids around it."""
    asked: list[tuple[Any, ...]] = []

    def look(analysis: Analysis, image: int, *, direction: Direction | None, ids: tuple[int, ...], source: str) -> None:
        asked.append((analysis, image, direction and direction.spec, ids, source))

    monkeypatch.setattr(inspector, "open_dialog", look)
    st.session_state.pop(gallery.OPENED, None)
    return asked


def test_of_two_grids_the_one_that_was_used_opens_its_image(
    planted: Analysis, water: Concept, drawn: dict[str, Any], looked: list[Any]
) -> None:
    other = replace(planted)

    def page() -> None:
        gallery.show(planted, np.arange(3), key="left", place=Place("logit:landbird"))
        gallery.show(other, np.arange(5), key="right", place=Place("logit:waterbird"))

    page()
    image = int(planted.ids[1])  # both grids show it
    drawn["right"]["on_event"](GridEvent("open", (image,)))
    page()
    [(analysis, opened, spec, ids, source)] = looked
    assert analysis is other
    assert (opened, spec, source) == (image, "logit:waterbird", "person")
    assert ids == tuple(planted.ids[:5].tolist())
    page()
    assert len(looked) == 1, "once is enough"
    drawn["left"]["on_event"](GridEvent("open", (image,)))
    page()
    assert looked[-1][0] is planted
    assert looked[-1][2] == "logit:landbird"


def test_a_direction_at_hand_is_not_made_again(
    planted: Analysis, water: Concept, drawn: dict[str, Any], looked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "parse_direction", lambda *given, **rest: pytest.fail("made again"))
    known = parse_direction("neuron:2", planted)
    st.session_state[gallery.OPENED] = ("grid", 0)
    gallery.show(planted, np.arange(3), key="grid", place=Place("concept:water"), direction=known)
    assert looked[0][2] == "neuron:2"


def actions(workspace: Workspace) -> list[TagAction]:
    with workspace.reading() as session:
        return list(session.query(TagAction).where(TagAction.kind == "tag").order_by(TagAction.id))


def test_a_tag_remembers_the_band_that_was_looked_at(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    one = (int(planted.ids[3]),)
    gallery._on_event(planted, Shown(Place("neuron:4", -0.25, 1.5)), GridEvent("tag", one, water.id, True))
    gallery._on_event(planted, shown(), whole_band(water, False))
    gallery._on_event(planted, Shown(Place()), GridEvent("tag", one, water.id, None))
    assert [(action.direction, action.low, action.high) for action in actions(workspace)] == [
        ("neuron:4", -0.25, 1.5),
        ("logit:waterbird", -1.0, 1.0),
        (None, None, None),
    ]


def test_a_whole_band_of_several_pages_is_tagged_through_the_grid_and_nothing_outside(
    workspace: Workspace, planted: Analysis, water: Concept, drawn: dict[str, Any]
) -> None:
    gallery.show(planted, BAND[:10], key="grid", total=len(BAND), pages=8, scope="mid", everything=lambda: BAND)
    assert drawn["grid"]["everything"]
    drawn["grid"]["on_event"](whole_band(water))
    assert np.flatnonzero(tag_states(workspace, planted, water) != UNTAGGED).tolist() == BAND.tolist()


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_images_are_not_tagged_at_once(
    workspace: Workspace,
    planted: Analysis,
    water: Concept,
    drawn: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    more: int,
) -> None:
    monkeypatch.setattr(gallery, "MOST_AT_ONCE", len(BAND) - more)
    gallery.show(planted, BAND[:10], key="grid", total=len(BAND), pages=8, scope="mid", everything=lambda: BAND)
    assert drawn["grid"]["everything"] is not bool(more)
    assert drawn["grid"]["reason"] == (gallery.TOO_MANY if more else "")
    # a browser may ask all the same
    drawn["grid"]["on_event"](whole_band(water))
    tagged = int((tag_states(workspace, planted, water) == PRESENT).sum())
    assert tagged == (0 if more else len(BAND))
    assert (st.session_state[notices.KEPT][0][0] == gallery.TOO_MANY) is bool(more)


@pytest.mark.parametrize("event", ["undo", "redo"])
def test_what_is_taken_back_is_told(planted: Analysis, water: Concept, event: Any) -> None:
    gallery._on_event(planted, shown(), whole_band(water))
    st.session_state.pop(notices.KEPT)
    gallery._on_event(planted, shown(), GridEvent("undo"))
    if event == "redo":
        gallery._on_event(planted, shown(), GridEvent("redo"))
    said = [told[0] for told in st.session_state[notices.KEPT]]
    assert said[-1] == f"{'Took back' if event == 'undo' else 'Brought back'}: tagged 80 images with “water”."


def test_a_tag_is_signed_with_the_name_of_the_session_and_the_place_on_screen(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    who.rename("Ada")
    gallery._on_event(planted, shown(how="map"), whole_band(water, "unsure"))
    [action] = actions(workspace)
    assert (action.author, action.how, action.state) == ("Ada", "map", "unsure")


def test_undo_takes_back_what_is_ones_own_and_nothing_of_others(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    who.rename("Ada")
    gallery._on_event(planted, shown(), GridEvent("tag", (int(planted.ids[3]),), water.id, True))
    tag(workspace, planted, water, [7], True, author="Bo")
    for _ in range(2):
        gallery._on_event(planted, shown(), GridEvent("undo"))
    assert np.flatnonzero(tag_states(workspace, planted, water) == PRESENT).tolist() == [7]
    assert st.session_state[notices.KEPT][-1][0] == "Nothing of yours to undo, though others did something."


def test_what_was_tagged_under_the_name_before_is_still_ones_own(
    workspace: Workspace, planted: Analysis, water: Concept
) -> None:
    gallery._on_event(planted, shown(), GridEvent("tag", (int(planted.ids[3]),), water.id, True))
    who.rename("Ada")
    gallery._on_event(planted, shown(), GridEvent("undo"))
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()


def test_number_keys_are_those_of_the_concepts(
    workspace: Workspace, planted: Analysis, water: Concept, drawn: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_concept(workspace, water, shortcut=7, note="more than half of it")
    given: list[Any] = []
    monkeypatch.setattr(gallery, "image_grid", lambda key, images, concepts, **rest: given.extend(concepts))
    gallery.show(planted, np.arange(3), key="grid")
    assert [(each.shortcut, each.about) for each in given] == [(7, "Confounder. more than half of it")]
