"""Images that nobody has labelled: every page opens, says what it cannot tell, and calls nothing right or wrong."""

from __future__ import annotations

import numpy as np
import pytest

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.workspace import Workspace
from pages.parts import band_state, gallery
from tests.pages.conftest import Visit, texts


@pytest.mark.parametrize("room", ["home", "bands", "map", "concepts", "tag_next", "runs", "results"])
def test_every_room_opens(unlabelled: Analysis, visit: Visit, room: str) -> None:
    app = visit(room)
    assert not app.exception
    assert not app.error
    assert "nan" not in texts(app).lower().split()


def test_what_explains_errors_is_left_out_and_the_rest_stays(
    unlabelled: Analysis, workspace: Workspace, visit: Visit
) -> None:
    concept = create_concept(workspace, unlabelled.dataset_id, "grass")
    tag(workspace, unlabelled, concept, np.arange(0, 40), True)
    app = visit("concepts", look="associations")
    assert not app.error
    assert "The images of holiday have no labels" in texts(app)
    assert "What explains the errors" not in texts(app)
    assert "grass" in str(app)


def test_the_empty_palette_speaks_of_no_classes(unlabelled: Analysis, visit: Visit) -> None:
    app = visit("concepts")
    assert "Concepts need no labels" in texts(app)
    assert "belong to the class" not in texts(app)


def test_retraining_says_why_not(unlabelled: Analysis, visit: Visit) -> None:
    app = visit("retrain")
    assert not app.error
    assert not app.exception
    assert "these images have none" in app.info[0].value
    # no choice of what to do leads past it
    assert not app.segmented_control


@pytest.mark.parametrize(("room", "query"), [("runs", {}), ("results", {}), ("tag_next", {"look": "wrong"})])
def test_nobody_is_sent_where_labels_are_needed(
    unlabelled: Analysis, visit: Visit, room: str, query: dict[str, str]
) -> None:
    app = visit(room, **query)
    assert not app.exception
    assert "these images have none" in app.info[0].value
    assert "Retrain" not in [link.label for link in app.get("page_link")]


def test_everything_is_shown_and_the_class_predicted_most_first(unlabelled: Analysis, visit: Visit) -> None:
    visit("home")
    view = band_state.start(unlabelled)
    assert view.split == "all"
    usual = unlabelled.classes[int(np.bincount(unlabelled.predicted).argmax())]
    assert view.direction == f"logit:{usual}"


def test_tiles_tell_the_prediction_and_no_verdict(unlabelled: Analysis, visit: Visit) -> None:
    visit("home")
    images = gallery.grid_images(unlabelled, np.arange(3))
    assert {(image.label, image.correct) for image in images} == {("", None)}
    assert all(image.note == image.predicted for image in images)
