"""What happens to an investigation when somebody tags in a grid: exactly what was meant, once, undoable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import streamlit as st

from core.activations.store import Analysis
from core.concepts.concept import Concept, create_concept
from core.concepts.tags import PRESENT, UNTAGGED, tag_states, undo
from core.workspace import Workspace
from pages.parts import gallery, notices
from pages.parts.gallery import Place, Shown
from pages.parts.image_grid import GridEvent

BAND = np.arange(100, 180)


@pytest.fixture
def water(workspace: Workspace, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> Concept:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    st.session_state.pop(notices.KEPT, None)
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


def test_a_concept_that_is_gone_changes_nothing(workspace: Workspace, planted: Analysis, water: Concept) -> None:
    gallery._on_event(planted, shown(), GridEvent("tag", (int(planted.ids[0]),), water.id + 1, True))
    assert (tag_states(workspace, planted, water) == UNTAGGED).all()


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
