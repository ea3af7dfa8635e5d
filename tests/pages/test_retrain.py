"""Retrain: what will be learnt from is shown before, what is missing is said, and one press starts one job."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.concept import change_concept, get_concept
from core.database import now
from core.errors import PathNotFound
from core.jobs.job import Job
from core.retraining.feasibility import Feasibility
from core.retraining.finetune_time import TrainingPace
from core.retraining.methods import METHODS
from core.retraining.run_store import delete_run
from core.retraining.runs import retrain
from core.workspace import Workspace
from pages.parts import method_knobs, repair

from .conftest import Visit, plant, set_job, tag_by_truth, texts

GROUPS = ("landbird without water", "landbird with water", "waterbird without water", "waterbird with water")


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def start(app: AppTest):
    return next(button for button in app.button if button.label == "Retrain")


def method(app: AppTest, name: str) -> AppTest:
    app.radio(key="retrain_method").set_value(name).run()
    assert not app.exception
    return app


def html(app: AppTest) -> str:
    """What stands in our own markup."""
    return "\n".join(element.proto.body for element in app.get("html"))


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("retrain"))


def test_without_tags_the_button_says_what_is_missing(visit: Visit, planted: Analysis) -> None:
    app = visit("retrain")
    assert not app.exception
    assert start(app).disabled
    assert "Create a concept" in texts(app)


def test_too_few_tags_are_told_with_how_many_more(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 5)
    app = visit("retrain")
    assert start(app).disabled
    assert "Tag at least 3 more" in texts(app)


def test_with_enough_tags_groups_reasons_and_the_promise_are_shown(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = visit("retrain")
    assert not app.exception
    assert not start(app).disabled
    shown, table = texts(app), html(app)
    for title in GROUPS:
        assert f'<bdi dir="auto">{title}</bdi>' in table
    assert table.count("→ 25%") == 4, "every group weighs the same after balancing"
    assert "**60** you tagged" in shown
    assert "assumed to look usual" in shown
    assert "The features hold enough for a repair" in shown
    assert "Every group below counts the same." in shown


def test_names_people_typed_are_shown_as_they_are(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 60)
    concept = get_concept(workspace, planted.dataset_id, "water")
    change_concept(workspace, concept, name="<img src=x> **wet** :bird:")
    app = visit("retrain")
    assert not app.exception
    assert "<img" not in html(app)
    assert "landbird with &lt;img src=x&gt; **wet** :bird:" in html(app)


def test_pressing_starts_the_job_with_everything_it_needs(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    press(visit("retrain"), "Retrain")
    (job,) = queued
    assert job.kind == "retrain"
    assert job.request.pop("run")
    assert job.request == {"analysis": planted.id, "method": "mid", "concepts": ["water"], "seed": 0}


def test_while_it_runs_there_is_no_second_button(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = press(visit("retrain"), "Retrain")
    labels = [button.label for button in app.button]
    assert "Cancel" in labels
    assert "Retrain" not in labels


def test_a_method_without_tags_can_be_chosen(visit: Visit, planted: Analysis, queued: list[Job]) -> None:
    app = method(visit("retrain"), "class-balanced")
    assert not start(app).disabled
    assert "It uses all 200 val images and knows their classes only" in texts(app)
    press(app, "Retrain")
    assert queued[0].request["method"] == "class-balanced"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is_from_where_and_what_it_needs(
    visit: Visit, planted: Analysis, workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_knobs, "_pace", lambda *_: TrainingPace(10.0, False))
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), name)
    shown = texts(app).replace("\\", "")
    assert METHODS[name].labels in shown
    assert f"Source: {METHODS[name].source}" in shown
    captions = app.radio(key="retrain_method").proto.captions
    assert [caption.replace("\\", "") for caption in captions] == [one.description for one in METHODS.values()]
    widgets = [*app.number_input, *app.toggle, *app.button_group]
    keys = {widget.key for widget in widgets if widget.key}
    assert {f"retrain-knob-{name}-{knob.name}" for knob in METHODS[name].knobs} <= keys
    helps = {widget.key: widget.proto.help for widget in [*app.number_input, *app.toggle]}
    for knob in METHODS[name].knobs:
        if not isinstance(knob.default, str):
            assert helps[f"retrain-knob-{name}-{knob.name}"].replace("\\", "") == knob.help
    assert start(app).disabled is (name == "erm"), "the classifier as it is cannot be retrained into itself"


def test_known_groups_are_shown_for_a_method_that_needs_them(visit: Visit, planted: Analysis) -> None:
    app = method(visit("retrain"), "dfr")
    assert "landbird (place: water)" in html(app)
    assert "whose attribute place is known" in texts(app)
    assert not start(app).disabled


def test_knobs_are_sent_only_where_they_differ_and_can_be_reset(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = visit("retrain")
    app.number_input(key="retrain-knob-mid-pull").set_value(0.5).run()
    app.number_input(key="retrain-knob-mid-refits").set_value(7).run()
    app.number_input(key="retrain_seed").set_value(3).run()
    assert "2 settings changed" in app.expander[0].label
    # they are remembered while another method, or another room, is looked at
    method(app, "afr")
    assert "changed" not in app.expander[0].label
    visit("bands", app)
    visit("retrain", app)
    method(app, "mid")
    assert app.number_input(key="retrain-knob-mid-pull").value == 0.5
    press(app, "Retrain")
    assert queued[0].request["settings"] == {"pull": 0.5, "refits": 7}
    assert queued[0].request["seed"] == 3
    set_job(workspace, queued[0].id, state="cancelled")
    app.run()
    press(app, "Set up another repair")
    press(app, "Usual settings")
    assert app.number_input(key="retrain-knob-mid-pull").value == METHODS["mid"].knobs[0].default
    assert "changed" not in app.expander[0].label


def test_words_and_switches_are_knobs_too(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(method_knobs, "_pace", lambda *_: TrainingPace(10.0, False))
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), "finetune")
    app.toggle(key="retrain-knob-finetune-augment").set_value(False).run()
    app.button_group(key="retrain-knob-finetune-layers").set_value("last-block").run()
    press(app, "Retrain")
    assert queued[0].request["settings"] == {"augment": False, "layers": "last-block"}


def test_finetuning_says_how_long_it_takes(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(method_knobs, "_pace", lambda *args: asked.append(args[1:]) or TrainingPace(2.0, False))
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), "finetune")
    shown = texts(app).replace("\\", "")
    assert "2.0 images a second on this machine, which has no GPU" in shown
    assert "min at most" in shown
    knobs = {knob.name: knob.default for knob in METHODS["finetune"].knobs}
    assert asked == [(knobs["layers"], knobs["batch"])]
    assert "The features hold" not in shown, "it can learn new ones"
    assert "It takes seconds" not in shown


def test_a_slow_measurement_does_not_hold_up_the_page(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(method_knobs, "_pace", lambda *_: go_on.wait(20) and TrainingPace(2.0, False))
    monkeypatch.setattr(method_knobs, "AT_ONCE", 0.05)
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), "finetune")
    assert "Measuring how fast this network trains here" in texts(app)
    assert not start(app).disabled
    go_on.set()
    monkeypatch.setattr(method_knobs, "AT_ONCE", 10)
    app.run()
    assert "Measuring" not in texts(app)
    assert "2.0 images a second" in texts(app).replace("\\", "")


def test_method_seed_and_open_images_are_in_the_address(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), "mid-tags")
    app.number_input(key="retrain_seed").set_value(5).run()
    press(app, "See every image")
    asked = {name: app.query_params[name] for name in ("method", "seed", "images")}
    assert asked == {"method": "mid-tags", "seed": "5", "images": "all"}
    fresh = visit("retrain", look="repair", **asked)
    assert fresh.radio(key="retrain_method").value == "mid-tags"
    assert fresh.number_input(key="retrain_seed").value == 5
    assert "Hide the images" in [button.label for button in fresh.button]
    odd = visit("retrain", look="repair", method="nosuch", seed="-1", images="<b>")
    assert odd.radio(key="retrain_method").value == "mid"
    assert odd.number_input(key="retrain_seed").value == 0


def test_finetuning_a_network_that_is_gone_is_not_offered(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> TrainingPace:
        raise PathNotFound("The model's file erm.safetensors is not there any more.", next_step="Put it back.")

    monkeypatch.setattr(method_knobs, "_pace", gone)
    tag_by_truth(workspace, planted, 60)
    app = method(visit("retrain"), "finetune")
    assert start(app).disabled
    assert "erm.safetensors is not there any more. Put it back." in texts(app).replace("\\", "")
    assert not start(method(app, "mid")).disabled


def test_hopeless_features_are_told_before_and_asked_about_twice(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_by_truth(workspace, planted, 60)
    hopeless = Feasibility(False, 0.52, 0.5, "The features hold little of the classes beyond the concept.")
    monkeypatch.setattr(repair, "promised", lambda preview, *, seed: hopeless)
    app = visit("retrain")
    assert "The features hold little of the classes beyond the concept" in app.warning[0].value.replace("\\", "")
    press(app, "Retrain")
    assert not queued
    assert "expect no gain" in texts(app)
    press(app, "Leave it")
    assert "expect no gain" not in texts(app)
    press(app, "Retrain")
    press(app, "Retrain all the same")
    assert [job.kind for job in queued] == ["retrain"]


def test_the_promise_is_asked_once(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_by_truth(workspace, planted, 60)
    asked = []
    unclear = Feasibility(True, float("nan"), 0.5, "The groups are too small to tell beforehand.")
    monkeypatch.setattr(repair, "promised", lambda preview, *, seed: asked.append(seed) or unclear)
    app = visit("retrain")
    app.run()
    assert asked == [0]
    assert "too small to tell" in texts(app)
    app.number_input(key="retrain_seed").set_value(1).run()
    assert asked == [0, 1]


def test_concepts_are_chosen_where_there_are_several(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    tag_by_truth(workspace, planted, 40, "reeds")
    app = visit("retrain")
    key = f"retrain-concepts-{planted.id}"
    assert app.button_group(key=key).value == ["water", "reeds"]
    app.button_group(key=key).set_value(["water"]).run()
    assert "reeds" not in html(app)
    # kept while another look is shown
    visit("retrain", app, look="ways")
    visit("retrain", app, look="repair")
    assert app.button_group(key=key).value == ["water"]
    press(app, "Retrain")
    assert queued[0].request["concepts"] == ["water"]


def test_no_concept_chosen_is_not_all_of_them(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 60)
    tag_by_truth(workspace, planted, 40, "reeds")
    app = visit("retrain")
    app.button_group(key=f"retrain-concepts-{planted.id}").set_value([]).run()
    assert start(app).disabled
    assert "Choose at least one above" in texts(app)


def test_a_small_group_is_warned_of(visit: Visit, workspace: Workspace) -> None:
    # five images of a hundred break the rule in val of so few
    analysis = plant(workspace, 300)
    tag_by_truth(workspace, analysis, 60)
    shown = texts(visit("retrain")).replace("\\", "")
    assert "Only " in shown
    assert "the gain will be uncertain" in shown or "a gain would be luck" in shown


def test_a_finished_job_leads_to_its_results(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = press(visit("retrain"), "Retrain")
    run = retrain(workspace, planted, run_id=queued[0].request["run"])
    set_job(workspace, queued[0].id, state="done", result={"run": run.run})
    app.run()
    assert "The new last layer is ready" in texts(app)
    press(app, "See the results")
    assert app.title[0].value == "Results"


def test_a_run_deleted_elsewhere_gives_way_to_another_repair(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = press(visit("retrain"), "Retrain")
    run = retrain(workspace, planted, run_id=queued[0].request["run"])
    set_job(workspace, queued[0].id, state="done", result={"run": run.run})
    delete_run(workspace, run.run)
    app.run()
    assert not app.exception
    assert not app.error
    assert not start(app).disabled


def test_a_retraining_that_failed_is_told_after_a_reload_until_put_away(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    press(visit("retrain"), "Retrain")
    error = {"error": "BadRequest", "title": "That setting does not work", "detail": "Too odd.", "next_step": "Ask."}
    set_job(workspace, queued[0].id, state="failed", error=error, finished=now())
    app = visit("retrain")
    assert "Too odd" in "".join(each.value for each in app.error)
    press(app, "Set up another repair")
    assert not app.error
    assert not start(app).disabled
    set_job(workspace, queued[0].id, finished=now() - timedelta(days=2))
    assert not visit("retrain").error, "an old failure is nobody's business any more"


def test_a_retraining_that_lacked_tags_leads_to_tagging(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    press(visit("retrain"), "Retrain")
    for kind, led in (("NotEnoughTags", True), ("BadRequest", False)):
        error = {"error": kind, "title": "No", "detail": "One-sided.", "next_step": "Tag next proposes some."}
        set_job(workspace, queued[0].id, state="failed", error=error, finished=now())
        links = [each.proto.label for each in visit("retrain").main.get("page_link")]
        assert ("Tag next" in links) is led


def test_a_retraining_of_other_images_does_not_stand_in_the_way(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    press(visit("retrain"), "Retrain")
    other = plant(workspace, 300, name="fish")
    labels = [button.label for button in visit("retrain", analysis=other.id).button]
    assert "Cancel" not in labels
    assert "Retrain" in labels
    assert "Cancel" in [button.label for button in visit("retrain", analysis=planted.id).button]


def test_what_was_started_for_other_images_is_not_shown_as_theirs(
    visit: Visit, planted: Analysis, workspace: Workspace, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 60)
    app = press(visit("retrain", analysis=planted.id), "Retrain")
    run = retrain(workspace, planted, run_id=queued[0].request["run"])
    set_job(workspace, queued[0].id, state="done", result={"run": run.run})
    app.run()
    assert "The new last layer is ready" in texts(app)
    other = plant(workspace, 300, name="fish")
    app.run()
    app.selectbox(key="investigation_chooser").set_value(other.id).run()
    assert "The new last layer is ready" not in texts(app)
    assert "Retrain" in [button.label for button in app.button]


def test_concepts_that_begin_alike_are_told_apart(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    beginning = "something that is seen at the very edge of the picture and "
    for name in ("is wet", "is dry"):
        tag_by_truth(workspace, planted, 40, beginning + name)
    options = visit("retrain").button_group(key=f"retrain-concepts-{planted.id}").options
    assert len(set(options)) == 2


def test_the_look_is_in_the_address(visit: Visit, planted: Analysis) -> None:
    app = visit("retrain")
    assert app.query_params["look"] == "repair"
    app = visit("retrain", look="ways")
    assert "Nothing compared yet" in texts(app)
    assert app.query_params["look"] == "ways"
