"""Every image a retraining learns from: why it is in, left out, put in, taken back, kept, and honoured by the run."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import create_concept, list_concepts
from core.concepts.tags import tag
from core.jobs.job import Job
from core.retraining.edits import edits_from_dict
from core.retraining.kept_edits import KeptEdits, kept_edits, leave_out
from core.retraining.preview import Preview, choose, look_through
from core.retraining.runs import retrain
from core.workspace import Workspace
from pages.parts import curation_images
from pages.parts.curation_images import COLUMNS, SELECTION, as_csv
from pages.parts.image_grid import GridEvent
from pages.parts.words import percent

from .conftest import Visit, tag_by_truth, texts


@pytest.fixture
def app(visit: Visit, planted: Analysis, workspace: Workspace) -> AppTest:
    tag_by_truth(workspace, planted, 60)
    return press(visit("retrain"), "See every image")


def press(app: AppTest, label: str) -> AppTest:
    found = [button for button in app.button if button.label == label]
    assert found, f"no button {label} among {[button.label for button in app.button]}"
    found[0].click().run()
    assert not app.exception
    return app


def button(app: AppTest, label: str):
    return next(one for one in app.button if one.label == label)


def grid(app: AppTest) -> dict:
    """What the browser gets of the grid; nothing where there is none."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    grids = [data for data in found if isinstance(data, dict) and data.get("store") == SELECTION]
    return next((data for data in grids if data["role"] == "grid"), {"images": [], "scope": None, "paging": None})


def shown(app: AppTest) -> list[int]:
    return [image["id"] for image in grid(app)["images"]]


def select(app: AppTest, ids: list[int]) -> AppTest:
    app.session_state[SELECTION] = {"up": {"client": "tab", "selected": ids, "scope": grid(app)["scope"]}}
    return app.run()


def reason(app: AppTest, name: str) -> AppTest:
    app.button_group(key="curation-reason").set_value(name).run()
    assert not app.exception
    return app


def offered(app: AppTest, key: str) -> list[str]:
    return [option.content for option in app.button_group(key=key).proto.options]


def kept(workspace: Workspace, analysis: Analysis) -> KeptEdits:
    concepts = [each for each in list_concepts(workspace, analysis.dataset_id) if each.name == "water"]
    return kept_edits(workspace, analysis, concepts)


def preview_of(workspace: Workspace, analysis: Analysis) -> Preview:
    return look_through(choose(workspace, analysis), analysis, kept(workspace, analysis).edits)


def test_images_are_shown_when_asked_for_the_least_sure_first(
    app: AppTest, workspace: Workspace, planted: Analysis
) -> None:
    images = preview_of(workspace, planted).images
    used = np.flatnonzero(images.used)
    order = used[np.lexsort((images.rows[used], images.confidence[used]))]
    assert shown(app) == planted.ids[images.rows[order[:60]]].tolist()
    assert grid(app)["paging"]["total"] == len(used)
    press(app, "Hide the images")
    assert not shown(app)


def test_every_tile_says_its_reason(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    images = preview_of(workspace, planted).images
    for name, words in (("tagged", "tagged"), ("assumed", "assumed usual")):
        reason(app, name)
        assert {image["note"] for image in grid(app)["images"]} == {words}
        assert grid(app)["paging"]["total"] == int((images.reasons == name).sum())
    reason(app, "probe")
    places = {int(planted.ids[row]): place for place, row in enumerate(images.rows)}
    for image in grid(app)["images"]:
        confidence = images.confidence[places[image["id"]]]
        assert image["note"] == f"{percent(confidence)} sure"
        assert image["value"] == "", "a bare number beside how sure it is would be taken for it"
        assert image["details"][0].startswith("group: ")
        assert any(detail.startswith("counts ×") for detail in image["details"])


def test_nothing_is_done_without_a_selection(app: AppTest) -> None:
    for label in ("Leave out", "Use again", "Leave out all others", "Use them so", "Undo"):
        assert button(app, label).disabled
    select(app, shown(app)[:3])
    assert "**3 images selected**" in texts(app)
    assert not button(app, "Leave out").disabled


def test_images_left_out_are_kept_survive_a_reload_and_reach_the_run(
    app: AppTest, visit: Visit, workspace: Workspace, planted: Analysis, queued: list[Job]
) -> None:
    ids = shown(app)[:3]
    names = planted.image_names(planted.rows_of(ids))
    press(select(app, ids), "Leave out")
    assert not set(ids) & set(shown(app))
    assert "**3 images left out by hand.**" in texts(app)
    assert "Left out by hand · 3" in offered(app, "curation-reason")
    # another page, as after a reload
    fresh = visit("retrain")
    assert "**3 images left out by hand.**" in texts(fresh)
    press(fresh, "Retrain")
    request = queued[0].request
    assert sorted(request["edits"]["left_out"]) == sorted(names)
    run = retrain(workspace, planted, edits=edits_from_dict(request["edits"]))
    assert run.curation is not None
    assert run.curation["images"] == int(preview_of(workspace, planted).images.used.sum())


def test_images_are_used_again_and_steps_are_taken_back(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    ids = shown(app)[:4]
    press(select(app, ids), "Leave out")
    reason(app, "left out")
    assert sorted(shown(app)) == sorted(ids)
    assert all(image["note"].startswith("left out, was ") for image in grid(app)["images"])
    press(select(app, ids[:1]), "Use again")
    assert sorted(shown(app)) == sorted(ids[1:])
    press(app, "Undo")
    assert sorted(shown(app)) == sorted(ids)
    press(app, "Undo")
    assert not shown(app)
    assert kept(workspace, planted).count == 0
    assert button(app, "Undo").disabled
    press(app, "Redo")
    assert sorted(shown(app)) == sorted(ids)
    assert kept(workspace, planted).count == 4


def test_all_others_of_a_group_are_left_out(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    images = preview_of(workspace, planted).images
    code = int(np.bincount(images.groups[images.used]).argmax())
    app.button_group(key="curation-group").set_value(code).run()
    ids = shown(app)[:12]
    press(select(app, ids), "Leave out all others")
    assert sorted(shown(app)) == sorted(ids)
    after = preview_of(workspace, planted).images
    was = images.used & (images.groups == code)
    assert sorted(planted.ids[after.rows[after.used & was]].tolist()) == sorted(ids)
    assert (after.used == images.used)[~was].all()
    assert "Left out all others of" in "".join(toast.value for toast in app.toast)


def test_images_are_put_into_a_group(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    before = preview_of(workspace, planted)
    ids = shown(app)[:2]
    rows = planted.rows_of(ids)
    select(app, ids)
    app.button_group(key="curation-put").set_value(["water"]).run()
    press(app, "Use them so")
    after = preview_of(workspace, planted)
    for row in rows:
        place = int(np.flatnonzero(after.images.rows == row)[0])
        assert after.title(int(after.images.groups[place])) == f"{planted.classes[planted.labels[row]]} with water"
        assert after.images.reasons[place] == "put in"
    assert int(after.images.used.sum()) == int(before.images.used.sum())
    assert "**2 images put in by hand.**" in texts(app)
    reason(app, "put in")
    assert all(image["note"].startswith("put in, was ") for image in grid(app)["images"])


def test_edits_are_forgotten_in_one_step_that_can_be_taken_back(
    app: AppTest, workspace: Workspace, planted: Analysis
) -> None:
    press(select(app, shown(app)[:5]), "Leave out")
    press(app, "Forget my edits")
    assert "by hand.**" not in texts(app)
    assert kept(workspace, planted).count == 0
    press(app, "Undo")
    assert kept(workspace, planted).count == 5


def test_too_many_left_out_is_told_and_can_be_undone(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    images = preview_of(workspace, planted).images
    landbirds = images.rows[images.used & (planted.labels[images.rows] == 0)]
    concept = list_concepts(workspace, planted.dataset_id)[0]
    leave_out(workspace, planted, (concept,), planted.image_names(landbirds))
    app.run()
    assert not app.exception
    assert "No image of landbird could be grouped" in "".join(error.value for error in app.error)
    assert button(app, "Retrain").disabled
    press(app, "Undo")
    assert not app.error
    assert not button(app, "Retrain").disabled


def test_a_tag_changes_what_is_learnt_from(app: AppTest, workspace: Workspace, planted: Analysis) -> None:
    reason(app, "probe")
    first = shown(app)[0]
    row = int(planted.rows_of([first])[0])
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, [row], bool(planted.attributes[0].codes[row] == 1))
    app.run()
    assert first not in shown(app)


def test_pages_are_turned_and_images_opened_by_events(
    planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_by_truth(workspace, planted, 60)
    concepts = tuple(list_concepts(workspace, planted.dataset_id))
    seen: dict = {}
    said: list[str] = []
    monkeypatch.setattr(curation_images.st, "session_state", seen)
    monkeypatch.setattr(curation_images.state, "workspace", lambda: workspace)
    monkeypatch.setattr(curation_images.notices, "say", lambda text, icon: said.append(text))
    for event in (GridEvent("page", page=2), GridEvent("open", ids=(7,))):
        curation_images._on_event(planted, concepts, (7, 8), event)
    assert seen == {curation_images.PAGE: 2, curation_images.OPENED: (7, (7, 8))}
    leave_out(workspace, planted, concepts, planted.image_names([planted.split_rows("val")[0]]))
    for kind, count in (("undo", 0), ("redo", 1), ("redo", 1)):
        curation_images._on_event(planted, concepts, (), GridEvent(kind))
        assert kept(workspace, planted).count == count
    assert said == ["Taken back: 1 image.", "Done again: 1 image.", "There is nothing to do again."]


def test_a_method_that_takes_them_as_they_are_offers_no_edits(app: AppTest, workspace: Workspace) -> None:
    press(select(app, shown(app)[:2]), "Leave out")
    app.radio(key="retrain_method").set_value("dfr").run()
    assert not app.exception
    assert grid(app)["paging"]["total"] == 200
    assert "Leave out" not in [one.label for one in app.button]
    assert "by hand.**" not in texts(app)
    assert "2 edits by hand do not apply" in texts(app)
    assert offered(app, "curation-reason") == ["All used · 200", "Known · 200"]


def test_the_table_says_of_every_image_what_is_done_with_it(workspace: Workspace, planted: Analysis) -> None:
    tag_by_truth(workspace, planted, 60)
    plain = preview_of(workspace, planted)
    (concept,) = list_concepts(workspace, planted.dataset_id)
    names = planted.image_names(plain.curation.rows[:2])
    leave_out(workspace, planted, (concept,), names)
    preview = preview_of(workspace, planted)
    text = as_csv(planted, preview).decode("utf-8-sig")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert tuple(lines[0]) == COLUMNS
    val = planted.split_rows("val")
    assert [line["image"] for line in lines] == planted.image_names(val)
    assert [line["class"] for line in lines] == [planted.classes[label] for label in planted.labels[val]]
    assert sum(float(line["weight"]) for line in lines) == pytest.approx(1, abs=1e-4)
    assert {line["image"] for line in lines if line["edited"] == "yes"} == set(names)
    assert all(line["used"] == "no" and line["reason"] == "left out" for line in lines if line["image"] in names)
    assert sum(line["used"] == "yes" for line in lines) == len(preview.curation.rows)
    assert {line["reason"] for line in lines} >= {"tagged", "assumed", "probe", "left out"}
