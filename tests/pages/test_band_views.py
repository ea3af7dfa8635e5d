"""The Bands page beyond its first view: measures, scales, filters, pages, other directions, other ways of looking."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.activations.vectors import list_vectors, save_vector
from core.concepts.concept import create_concept, delete_concept, get_concept, rename_concept
from core.concepts.tags import tag, undo
from core.retraining.runs import retrain, run_folder
from core.workspace import Workspace
from pages.parts import band_state, gallery

from .conftest import Visit, plant, tag_by_truth, texts


def sent(app: AppTest, name: str) -> list[dict]:
    """What components were sent, as far as it holds this entry."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return [data for data in found if isinstance(data, dict) and name in data]


def grid(app: AppTest) -> list[int]:
    return [image["id"] for image in next(data["images"] for data in sent(app, "images") if data["role"] == "grid")]


def strip(app: AppTest) -> dict:
    return sent(app, "edges")[0]


def view_of(app: AppTest, analysis: Analysis) -> band_state.View:
    return app.session_state["band_views"][analysis.id]


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


MEASURED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "margin": lambda logits: logits[:, 0] - logits[:, 1],
    "probability": lambda logits: softmax(logits)[:, 0],
}


@pytest.mark.parametrize("measure", MEASURED)
def test_a_class_is_measured_in_three_ways(visit: Visit, planted: Analysis, measure: str) -> None:
    app = visit("bands")
    app.segmented_control(key="band_measure").set_value(measure).run()
    assert not app.exception
    assert app.query_params["direction"] in (f"{measure}:landbird", [f"{measure}:landbird"])
    view, rows = view_of(app, planted), planted.rows_of(grid(app))
    values = MEASURED[measure](planted.logits[rows].astype(np.float64))
    assert len(rows)
    assert ((values >= view.low - 1e-5) & (values <= view.high + 1e-5)).all()
    # the class changes, the measure stays
    app.segmented_control(key="band_direction").set_value(f"{measure}:waterbird").run()
    assert view_of(app, planted).direction == f"{measure}:waterbird"


def test_typed_shares_hold_that_share_of_the_images(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    app.segmented_control(key="band_scale").set_value("quantile").run()
    app.number_input(key="band_high").set_value(75.0).run()
    app.number_input(key="band_low").set_value(50.0).run()
    assert not app.exception
    assert strip(app)["count"] == pytest.approx(strip(app)["total"] / 4, abs=2)
    assert strip(app)["tickFormat"] == "percent"
    # what stands at the handles is what stands in the fields
    fields = [app.number_input(key=key).value / 100 for key in ("band_low", "band_high")]
    assert strip(app)["ends"] == pytest.approx(fields)


def test_z_scores_are_standard_deviations(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    app.segmented_control(key="band_scale").set_value("z").run()
    for key, value in (("band_high", 1.0), ("band_low", -1.0)):
        app.number_input(key=key).set_value(value).run()
    logits = planted.logits[planted.split_rows("val"), 0].astype(np.float64)
    view = view_of(app, planted)
    assert (view.low, view.high) == pytest.approx(
        (logits.mean() - logits.std(), logits.mean() + logits.std()), abs=0.01
    )


def test_a_change_of_scale_does_not_move_the_band(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    before = view_of(app, planted)
    for scale in ("quantile", "z", "value"):
        app.segmented_control(key="band_scale").set_value(scale).run()
        view = view_of(app, planted)
        assert (view.low, view.high) == (before.low, before.high)


def test_filters_count_show_and_link_the_same_images(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:landbird", low="-100", high="100", split="all")
    app.pills(key="filter-correctness").set_value(["wrong"]).run()
    app.pills(key="filter-class").set_value(["waterbird"]).run()
    wanted = set(np.flatnonzero((planted.predicted != planted.labels) & (planted.labels == 1)))
    assert strip(app)["total"] == strip(app)["count"] == len(wanted)
    assert set(planted.rows_of(grid(app))) <= wanted
    link = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    again = visit("bands", **link)
    assert grid(again) == grid(app)
    next(button for button in again.button if button.label.startswith("correctness")).click().run()
    assert strip(again)["total"] == int((planted.labels == 1).sum())


def test_a_filter_by_concept_follows_the_tags(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:7], True)
    app = visit("bands", direction="logit:landbird", low="-100", high="100", where="concept:water=present")
    assert strip(app)["total"] == 7
    shown = grid(app)
    tag(workspace, planted, concept, planted.split_rows("val")[7:9], True)
    app.run()
    # nothing moves under the hand of who tags, until asked for
    assert grid(app) == shown
    next(button for button in app.button if button.label == "Update").click().run()
    assert strip(app)["total"] == 9
    assert not [button for button in app.button if button.label == "Update"]


def test_the_classs_own_lowest_shows_its_own_images_and_another_rule_all_again(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    everything = strip(app)["total"]
    app.selectbox(key="band_rule").set_value("own-low").run()
    assert {int(label) for label in planted.labels[planted.rows_of(grid(app))]} == {0}
    assert app.session_state["band_preset"] == "Mid band"
    app.selectbox(key="band_rule").set_value("boundary").run()
    assert strip(app)["total"] == everything


def test_a_middle_of_ones_own_is_kept_for_its_direction(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:landbird", low="-0.5", high="0.75")
    next(button for button in app.button if button.label == "Take the band as the middle").click().run()
    assert app.session_state["band_preset"] == "Mid band"
    assert "my own: -0.5 to 0.75" in app.selectbox(key="band_rule").options
    app.segmented_control(key="band_preset").set_value("Top").run()
    link = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    again = visit("bands", **link)
    again.segmented_control(key="band_preset").set_value("Mid band").run()
    view = view_of(again, planted)
    assert (view.low, view.high) == (-0.5, 0.75)
    again.segmented_control(key="band_direction").set_value("logit:waterbird").run()
    assert view_of(again, planted).rule == "mid-gap"
    assert again.session_state["band_preset"] == "Mid band"


def test_pages_hold_every_image_of_the_band_once(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, 1200)
    seen: list[int] = []
    for number in range(100):
        app = visit("bands", direction="logit:landbird", low="-100", high="100", split="val", page=str(number))
        if view_of(app, analysis).page != number or number * 60 >= strip(app)["total"]:
            break
        seen += grid(app)
    assert sorted(seen) == sorted(analysis.ids[analysis.split_rows("val")].tolist())


def test_another_band_starts_at_its_first_page(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, 1200)
    app = visit("bands", direction="logit:landbird", low="-100", high="100", page="2")
    assert view_of(app, analysis).page == 2
    app.segmented_control(key="band_scale").set_value("z").run()
    assert view_of(app, analysis).page == 2
    app.selectbox(key="band_order").set_value("weakest").run()
    assert view_of(app, analysis).page == 0


@pytest.mark.parametrize("order", ["strongest", "weakest", "unsure", "typical", "diverse", "mixed"])
def test_every_order_shows_images_of_the_band(visit: Visit, planted: Analysis, order: str) -> None:
    app = visit("bands", direction="logit:landbird", low="-2", high="2", order=order)
    logits = planted.logits[planted.rows_of(grid(app))]
    assert not app.exception
    assert (np.abs(logits[:, 0]) <= 2).all()
    if order == "unsure":
        assert (np.diff(np.abs(logits[:, 0] - logits[:, 1])) >= -1e-6).all()


def test_the_histogram_splits_by_any_facet(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", split="all", direction="logit:landbird")
    app.selectbox(key="band_colour").set_value("correctness").run()
    wrong = int((planted.predicted != planted.labels).sum())
    assert [sum(row) for row in strip(app)["counts"]] == [wrong, planted.n - wrong]
    app.selectbox(key="band_colour").set_value("attribute:place").run()
    assert strip(app)["classes"] == ["land", "water"]
    app.toggle(key="band_log").set_value(True).run()
    assert strip(app)["log"] is True
    assert app.query_params["log"] in ("1", ["1"])


@pytest.mark.parametrize("spec", ["neuron:1", "pc:0", "difference:waterbird-landbird", "concept:water"])
def test_any_direction_opens_from_a_link(visit: Visit, planted: Analysis, workspace: Workspace, spec: str) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("bands", direction=spec)
    assert not app.exception
    assert view_of(app, planted).direction == spec
    assert strip(app)["count"] == len(grid(app)) or strip(app)["count"] > 60
    if spec == "neuron:1":
        values = planted.features[planted.rows_of(grid(app)), 1]
        view = view_of(app, planted)
        assert ((values >= view.low) & (values <= view.high)).all()


def test_a_concept_that_was_deleted_since_falls_back_to_a_class(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="concept:gone")
    assert not app.exception
    assert view_of(app, planted).direction == "logit:landbird"


def test_activations_that_are_no_number_are_told(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace)
    path = analysis.folder / "logits.npy"
    logits = np.load(path, allow_pickle=False)
    rows = analysis.split_rows("val")
    logits[rows[:3], 0], logits[rows[3:5], 0] = np.nan, np.inf
    np.save(path, logits, allow_pickle=False)
    app = visit("bands")
    assert not app.exception
    assert "5 images have no finite activation" in texts(app)
    assert strip(app)["total"] == len(rows)
    assert np.sum(strip(app)["counts"]) == len(rows) - 5


@pytest.mark.parametrize("look", ["sheet", "curve", "compare", "directions"])
def test_every_way_of_looking_opens_from_a_link(visit: Visit, planted: Analysis, look: str) -> None:
    app = visit("bands", direction="logit:waterbird", look=look)
    assert not app.exception
    assert not app.error
    assert app.segmented_control(key="band_look").value == look
    app.segmented_control(key="band_look").set_value("images").run()
    assert len(grid(app))


def test_what_the_curve_is_of_stands_in_the_link(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("bands", direction="logit:waterbird", look="curve")
    first = app.session_state["curve_facet"]
    other = next(token for token in ("concept:water=present", "attribute:place=water") if token != first)
    app.pills(key="curve_pick").set_value(other).run()
    assert view_of(app, planted).shown == other
    link = {name: value if isinstance(value, str) else value[0] for name, value in app.query_params.items()}
    again = visit("bands", **link)
    assert again.session_state["curve_facet"] == other


def test_a_comparison_starts_with_before_and_after_the_newest_repair(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    run = retrain(workspace, planted)
    app = visit("bands", direction="logit:waterbird", look="compare")
    assert not app.exception
    view = view_of(app, planted)
    assert (view.other, view.run, view.other_run) == ("logit:waterbird", "", run.run)
    grids = [data["images"] for data in sent(app, "images") if data["role"] == "grid"]
    assert [image["id"] for image in grids[0]] == [image["id"] for image in grids[1]]
    assert "turned right" in texts(app)
    # on images that the repair has not learnt from, and the address says so
    assert view.split == "test"
    assert app.query_params["split"] in ("test", ["test"])
    assert app.session_state["band_preset"] == "Mid band"
    app.segmented_control(key="band_split").set_value("val").run()
    assert view_of(app, planted).split == "val"
    assert "it has never seen" in texts(app)


def test_a_network_trained_anew_is_not_compared_on_features_that_are_not_its_own(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    head, network = retrain(workspace, planted), retrain(workspace, planted, seed=1)
    np.save(run_folder(workspace, network.run) / "logits.npy", planted.logits)
    app = visit("bands", direction="logit:waterbird", look="compare")
    assert not app.exception
    assert view_of(app, planted).other_run == head.run


def test_without_a_repair_two_classes_are_compared(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:waterbird", look="compare")
    assert view_of(app, planted).other == "logit:landbird"
    assert len(sent(app, "edges")) == 2
    for link in ("share", "values"):
        app.selectbox(key="compare_link").set_value(link).run()
        assert not app.exception


def test_the_model_after_a_repair_is_looked_at_like_any_other(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    run = retrain(workspace, planted)
    app = visit("bands")
    before = strip(app)["counts"]
    app.selectbox(key="band_run").set_value(run.run).run()
    assert not app.exception
    assert strip(app)["counts"] != before
    assert app.query_params["run"] in (run.run, [run.run])


def test_a_vector_of_ones_own_becomes_a_direction(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", look="directions", direction="logit:landbird")
    app.text_input(key="vector-name-0").set_value("mine")
    app.text_area(key="vector-text-0").set_value("0, 1, 0, 0, 0, 0, 0, 0")
    next(button for button in app.button if button.label == "Save and open").click().run()
    assert not app.exception
    assert list_vectors(planted) == ("mine",)
    view = view_of(app, planted)
    assert view.direction == "vector:mine"
    values = planted.features[planted.rows_of(grid(app)), 1]
    assert ((values >= view.low) & (values <= view.high)).all()


@pytest.mark.parametrize("text", ["1, 2", "one two", "", "0 0 0 0 0 0 0 0", "1 2 3 4 5 6 7 nan"])
def test_a_vector_that_is_none_gets_a_sentence(visit: Visit, planted: Analysis, text: str) -> None:
    app = visit("bands", look="directions", direction="logit:landbird")
    app.text_input(key="vector-name-0").set_value("mine")
    app.text_area(key="vector-text-0").set_value(text)
    next(button for button in app.button if button.label == "Save and open").click().run()
    assert not app.exception
    assert len(app.error) == 1
    assert ":material/arrow_forward:" in app.error[0].value
    assert list_vectors(planted) == ()


def test_a_vector_saved_anew_is_read_anew(visit: Visit, planted: Analysis) -> None:
    save_vector(planted, "mine", np.eye(8)[1])
    first = strip(visit("bands", direction="vector:mine", low="-9", high="9"))["counts"]
    app = visit("bands", look="directions", direction="logit:landbird")
    app.text_input(key="vector-name-0").set_value("mine")
    app.text_area(key="vector-text-0").set_value("1 0 0 0 0 0 0 0")
    next(button for button in app.button if button.label == "Save and open").click().run()
    assert strip(app)["counts"] != first


def test_the_board_searches_and_sorts(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", look="directions", direction="logit:landbird")
    cards = sent(app, "cards")[0]["cards"]
    scores = [card["score"] for card in cards]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=0.0501)
    app.selectbox(key="board-sort").set_value("wrong").run()
    by_error = [card["spec"] for card in sent(app, "cards")[0]["cards"]]
    assert by_error != [card["spec"] for card in cards]
    app.selectbox(key="board-sort").set_value("name").run()
    first = [card["title"] for card in sent(app, "cards")[0]["cards"]]
    assert first[:2] == ["logit of landbird", "logit of waterbird"]
    neurons = [title for title in first if title.startswith("neuron")]
    assert neurons == [f"neuron {i}" for i in range(8)]
    app.text_input(key="board-search").set_value("neuron 1").run()
    assert [card["title"] for card in sent(app, "cards")[0]["cards"]] == ["neuron 1"]
    app.text_input(key="board-search").set_value("no such thing").run()
    assert "No direction fits" in texts(app)


def test_each_finding_is_one_card_until_one_asks_for_each(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", look="directions", direction="logit:landbird")
    folded = sent(app, "cards")[0]["cards"]
    assert any(card["more"] for card in folded)
    told = texts(app)
    app.toggle(key="board-once").set_value(False).run()
    each = sent(app, "cards")[0]["cards"]
    others = sum(int(card["more"].split()[0]) for card in folded if card["more"])
    assert len(each) == len(folded) + others <= 24
    assert not any(card["more"] for card in each)
    assert f"{len(each)} directions tell {len(folded)} thing" in told


def test_nonsense_in_the_new_parts_of_a_link_falls_back(visit: Visit, planted: Analysis) -> None:
    app = visit(
        "bands",
        direction="logit:landbird",
        look="nowhere",
        scale="log",
        colour="attribute:nothing",
        where="class=nobody;nonsense",
        run="0000",
        other="neuron:99999",
        other_run="x",
        bands="999",
        page="-3",
        link="?",
        rule="custom",
        cut="?",
        custom="a..b",
    )
    assert not app.exception
    assert not app.error
    assert view_of(app, planted) == band_state.View(
        "logit:landbird", "val", view_of(app, planted).low, view_of(app, planted).high
    )
    assert len(grid(app))


def test_the_whole_band_is_what_lies_in_it_and_counts(
    visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict = {}
    shown = gallery.show
    monkeypatch.setattr(gallery, "show", lambda *args, **named: told.update(named) or shown(*args, **named))
    visit("bands", direction="logit:landbird", low="-1", high="1", split="val", where="class=waterbird")
    logits = planted.logits[:, 0]
    inside = (logits >= -1) & (logits <= 1) & (planted.splits == 1) & (planted.labels == 1)
    assert sorted(told["everything"]().tolist()) == np.flatnonzero(inside).tolist()
    assert told["total"] == inside.sum()
    first = told["scope"]
    visit("bands", direction="logit:landbird", low="-1", high="1", split="val", where="class=landbird")
    assert told["scope"] != first
    assert (told["place"].direction, told["place"].low, told["place"].high) == ("logit:landbird", -1.0, 1.0)


def test_a_band_beyond_every_image_holds_none_of_them(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="logit:landbird", low="50", high="100")
    assert strip(app)["count"] == 0
    assert (app.number_input(key="band_low").value, app.number_input(key="band_high").value) == (50, 100)
    assert grid(app) == []


def test_a_filter_that_fits_nothing_says_so_everywhere(visit: Visit, planted: Analysis) -> None:
    where = "class=landbird;prediction=landbird;correctness=wrong"
    for look in ("images", "sheet", "curve", "compare"):
        app = visit("bands", direction="logit:landbird", look=look, where=where)
        assert not app.exception
        assert "No image fits the filter" in texts(app)
        next(button for button in app.button if button.label == "Show all images" and not button.key).click().run()
        assert "No image fits the filter" not in texts(app)
        assert view_of(app, planted).look == look


def test_a_proposed_band_stays_that_band_of_the_images_that_are_left(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    before = view_of(app, planted)
    app.pills(key="filter-attribute:place").set_value(["water"]).run()
    assert app.session_state["band_preset"] == "Mid band"
    after = view_of(app, planted)
    assert (after.low, after.high) != (before.low, before.high)
    # a second click on the chosen band changes nothing
    app.segmented_control(key="band_preset").set_value(None).run()
    assert view_of(app, planted) == after


def test_another_class_keeps_the_top(visit: Visit, planted: Analysis) -> None:
    app = visit("bands")
    app.segmented_control(key="band_preset").set_value("Top").run()
    app.segmented_control(key="band_direction").set_value("logit:waterbird").run()
    assert app.session_state["band_preset"] == "Top"


def test_a_page_that_does_not_exist_becomes_the_last_one_in_the_link_too(visit: Visit, workspace: Workspace) -> None:
    plant(workspace, 1200)
    app = visit("bands", direction="logit:landbird", low="-100", high="100", split="val", page="99")
    assert app.query_params["page"] in ("6", ["6"])
    assert len(grid(app)) == 400 - 6 * 60


def test_a_change_of_look_keeps_the_page(visit: Visit, workspace: Workspace) -> None:
    analysis = plant(workspace, 1200)
    app = visit("bands", direction="logit:landbird", low="-100", high="100", page="2")
    app.segmented_control(key="band_look").set_value("sheet").run()
    app.segmented_control(key="band_look").set_value("images").run()
    assert view_of(app, analysis).page == 2


def test_bars_by_concept_follow_the_tags(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    rows = planted.split_rows("val")
    tag(workspace, planted, concept, rows[:5], True)
    app = visit("bands", colour="concept:water", direction="logit:landbird", split="val")
    assert sum(strip(app)["counts"][1]) == 5
    tag(workspace, planted, concept, rows[5:9], True)
    app.run()
    assert sum(strip(app)["counts"][1]) == 9


def test_a_new_concept_of_an_old_name_does_not_take_over_its_images(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:7], True)
    link = {"direction": "logit:landbird", "low": "-100", "high": "100", "where": "concept:water=present"}
    assert strip(visit("bands", **link))["total"] == 7
    rename_concept(workspace, concept, "lake")
    create_concept(workspace, planted.dataset_id, "water")
    assert "No image fits the filter" in texts(visit("bands", **link))


def test_what_is_deleted_while_it_is_looked_at_gives_way(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("bands", direction="concept:water", colour="concept:water", where="concept:water=present")
    assert view_of(app, planted).direction == "concept:water"
    delete_concept(workspace, get_concept(workspace, planted.dataset_id, "water"))
    app.run()
    assert not app.exception
    assert not app.error
    view = view_of(app, planted)
    assert (view.direction, view.colour, view.where.terms) == ("logit:landbird", "class", ())
    assert len(grid(app))


def test_a_comparison_with_what_is_gone_goes_on_with_something_else(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("bands", direction="logit:landbird", look="compare", other="concept:water")
    assert view_of(app, planted).other == "concept:water"
    undo(workspace, planted.dataset_id)
    app.run()
    assert not app.exception
    assert not app.error
    assert view_of(app, planted).other == "logit:waterbird"


def test_two_repairs_of_one_minute_are_told_apart(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    first, second = retrain(workspace, planted), retrain(workspace, planted, seed=1)
    app = visit("bands")
    options = app.selectbox(key="band_run").options
    assert len(set(options)) == 3
    for run in (first.run, second.run):
        app.selectbox(key="band_run").set_value(run).run()
        assert view_of(app, planted).run == run


def test_the_filter_speaks_of_the_left_model_on_both_sides(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 40)
    retrain(workspace, planted)
    app = visit("bands", direction="logit:waterbird", look="compare", where="correctness=wrong", low="-100", high="100")
    left, right = sent(app, "edges")
    assert left["total"] == right["total"] == int((planted.predicted != planted.labels)[planted.splits == 2].sum())


def test_the_same_share_is_the_same_share_where_many_are_equal(visit: Visit, planted: Analysis) -> None:
    # a neuron at rest for most images
    values = np.array(planted.features)
    values[:, 7] = np.maximum(values[:, 7] - 0.5, 0)
    np.save(planted.folder / "features.npy", values, allow_pickle=False)
    app = visit(
        "bands", direction="neuron:7", look="compare", other="logit:landbird", link="share", low="0", high="0.0001"
    )
    left, right = sent(app, "edges")
    assert left["count"] > 100
    assert abs(left["count"] - right["count"]) <= 1


def test_shares_give_equal_activations_their_room(visit: Visit, planted: Analysis) -> None:
    values = np.array(planted.features)
    values[:, 7] = np.maximum(values[:, 7] - 0.5, 0)
    np.save(planted.folder / "features.npy", values, allow_pickle=False)
    app = visit("bands", direction="neuron:7", scale="quantile", low="0", high="0.0001")
    rest = float((values[planted.splits == 1, 7] == 0).mean())
    assert app.number_input(key="band_low").value == 0
    assert app.number_input(key="band_high").value == pytest.approx(100 * rest, abs=0.1)
    places = strip(app)["places"]
    assert (places[0], places[-1]) == (0, 1)
    assert places[1] == pytest.approx(rest, abs=0.02)


def test_small_ranges_are_written_with_enough_figures(visit: Visit, planted: Analysis) -> None:
    save_vector(planted, "tiny", np.eye(8)[0] * 1e-6)
    app = visit("bands", direction="vector:tiny")
    low = app.number_input(key="band_low")
    assert float(low.format % low.value if "%" in low.format else low.value) == pytest.approx(low.value, rel=1e-3)
    assert low.value != 0


@pytest.mark.parametrize("terms", ["class=landbird;class=waterbird", "class=landbird,landbird"])
def test_a_link_may_say_a_facet_twice(visit: Visit, planted: Analysis, terms: str) -> None:
    app = visit("bands", direction="logit:landbird", low="-100", high="100", where=terms)
    assert not app.exception
    wanted = {"landbird"} if "," in terms else {"landbird", "waterbird"}
    assert set(dict(view_of(app, planted).where.terms)["class"]) == wanted


def test_a_link_to_what_is_gone_says_so_and_keeps_the_rest(visit: Visit, planted: Analysis) -> None:
    app = visit("bands", direction="vector:nope", look="sheet", split="test")
    view = view_of(app, planted)
    assert (view.direction, view.look, view.split) == ("logit:landbird", "sheet", "test")
    assert any("vector:nope" in toast.value.replace("\\", "") for toast in app.toast)


def test_a_concept_is_the_same_in_any_case(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    app = visit("bands", direction="concept:WATER")
    assert view_of(app, planted).direction == "concept:water"


def test_an_attribute_and_a_concept_of_one_name_are_two_choices(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    create_concept(workspace, planted.dataset_id, "place")
    app = visit("bands")
    app.selectbox(key="band_colour").set_value("attribute:place").run()
    assert view_of(app, planted).colour == "attribute:place"
    assert strip(app)["classes"] == ["land", "water"]
