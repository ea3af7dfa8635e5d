"""Tag next in batches: the usual look first, a batch stays until it is answered, and the next one follows."""

from __future__ import annotations

import json

import numpy as np
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block

from core.activations.store import Analysis
from core.concepts.adoption import adopt
from core.concepts.concept import create_concept, get_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.workspace import Workspace

from .conftest import Visit, tag_by_truth, texts


def _grid(app: AppTest) -> dict:
    """What the grid was given: its ids, notes and settings."""
    sent = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return next(data for data in sent if isinstance(data, dict) and data.get("role") == "grid")


def _way_to_the_form(block: Block) -> list[int]:
    """The places from the page down to the name of a new concept; empty where it is not."""
    for place, child in block.children.items():
        if getattr(child, "label", "") == "What do you see?":
            return [place]
        if isinstance(child, Block) and (way := _way_to_the_form(child)):
            return [place, *way]
    return []


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("tag_next"))


def test_without_a_concept_one_can_be_made(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = visit("tag_next")
    assert "make a concept" in texts(app)
    assert "Look at the bands" in [link.proto.label for link in app.get("page_link")]
    name = next(box for box in app.text_input if box.label == "What do you see?")
    name.set_value("water background")
    next(button for button in app.button if button.label == "Create").click().run()
    assert not app.exception
    assert get_concept(workspace, planted.dataset_id, "water background")
    assert "First name what you suspect" not in texts(app)


def test_the_form_keeps_its_place_when_another_person_makes_the_first_concept(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    """A browser draws what moved anew: whoever types there would lose the keyboard."""
    app = visit("tag_next")
    before = _way_to_the_form(app.main)
    create_concept(workspace, planted.dataset_id, "water")
    app.run()
    assert "Concept" in [choice.label for choice in app.button_group]
    assert len(before) > 2
    # within the row of choices, which has a key: a browser knows it again wherever it stands
    row = slice(2, None)
    assert _way_to_the_form(app.main)[row] == before[row]


def test_the_usual_look_comes_first_and_from_val(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", mode="grid")
    assert "Confirm the usual look" in texts(app)
    ids = [image["id"] for image in _grid(app)["images"]]
    rows = planted.rows_of(ids)
    assert set(planted.splits[rows]) == {1}
    assert set(planted.labels[rows]) == {0, 1}


def test_a_batch_stays_while_it_is_being_answered(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", mode="grid")
    before = [image["id"] for image in _grid(app)["images"]]
    tag(workspace, planted, concept, planted.rows_of(before[:3]), True)
    app.run()
    assert [image["id"] for image in _grid(app)["images"]] == before
    assert "3 of 10 images in this batch answered" in texts(app)


def test_when_all_are_answered_the_next_batch_comes(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", mode="grid")
    before = {image["id"] for image in _grid(app)["images"]}
    tag(workspace, planted, concept, planted.rows_of(sorted(before)), True)
    app.run()
    after = {image["id"] for image in _grid(app)["images"]}
    assert after
    assert not after & before
    assert "Find the exceptions" in texts(app)


def test_what_is_skipped_is_not_asked_again(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    app = visit("tag_next", mode="grid")
    before = {image["id"] for image in _grid(app)["images"]}
    next(button for button in app.button if button.label == "Skip the rest").click().run()
    assert not {image["id"] for image in _grid(app)["images"]} & before


def test_retraining_is_offered_once_there_are_tags_enough(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 12)
    app = visit("tag_next")
    button = next(button for button in app.button if button.label == "Retrain")
    assert button.disabled
    assert "8 more images" in button.help
    concept = get_concept(workspace, planted.dataset_id, "water")
    rows = [item.row for item in suggest_next(workspace, planted, concept, budget=20)]
    tag(workspace, planted, concept, np.array(rows), True)
    assert not next(button for button in visit("tag_next").button if button.label == "Retrain").disabled


def test_a_concept_without_a_name_is_told(visit: Visit, planted: Analysis) -> None:
    app = visit("tag_next")
    next(button for button in app.button if button.label == "Create").click().run()
    assert not app.exception
    assert "1 to 200 characters" in texts(app)


def test_batches_give_no_answer_away(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    adopt(workspace, planted, "place", "water")
    pond, tree = (create_concept(workspace, planted.dataset_id, name) for name in ("pond", "tree"))
    app = visit("tag_next", mode="grid", concept=str(pond.id))
    first = _grid(app)["images"][0]["id"]
    tag(workspace, planted, tree, planted.rows_of([first]), False)
    app.run()
    images = _grid(app)["images"]
    assert images[0]["chips"] == [["tree", False]]
    assert not any(image["chips"] for image in images[1:])
    assert {(image["label"], image["predicted"], image["correct"]) for image in images} == {("", "", None)}
    assert not any(image["details"] for image in images)
