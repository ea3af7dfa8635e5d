"""The Concepts page: the palette and its changes, what explains the errors, the history, people, files."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.adoption import adopt
from core.concepts.concept import change_concept, create_concept, get_concept, list_concepts
from core.concepts.exchange import dump_tags
from core.concepts.history import history
from core.concepts.tags import PRESENT, UNTAGGED, answers, tag, tag_states, undo
from core.workspace import Workspace
from pages.parts import associations_view, history_view, palette, who

from .conftest import Visit, tag_by_truth, texts

HOSTILE = "<script>alert(1)</script> **b** :material/home: שלום $x$"


def bodies(app: AppTest) -> str:
    """All HTML of the page."""
    return "\n".join(each.proto.body for each in app.get("html"))


def button(app: AppTest, label: str, place: int = 0) -> Any:
    return [each for each in app.button if each.label == label][place]


def field(elements: Any, label: str) -> Any:
    return next(each for each in elements if each.label == label)


def save(app: AppTest) -> None:
    """Press the dialog's button. In a browser that runs the dialog alone; here everything, so it is asked for again."""
    pressed = next(each for each in app.button if "concept-edit" in each.id and each.label == "Save")
    app.session_state[palette.OPENED] = ("edit", int(pressed.id.split("concept-edit-")[1].split("-")[0]))
    pressed.click().run()


# --- palette ---------------------------------------------------------------------------------------------------------


def test_an_empty_workspace_invites_to_begin(visit: Visit) -> None:
    assert "Nothing to look at yet" in texts(visit("concepts"))


def test_without_concepts_it_says_what_to_do(visit: Visit, planted: Analysis) -> None:
    app = visit("concepts")
    assert not app.exception
    assert "No concept yet" in texts(app)


def test_a_row_says_what_is_known_of_a_concept(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    concept = get_concept(workspace, planted.dataset_id, "water")
    change_concept(workspace, concept, note="at least half", shortcut=4, role="core")
    said = answers(workspace, planted, concept)
    unsure = np.flatnonzero(said == UNTAGGED)[:2]
    tag(workspace, planted, concept, unsure, "unsure")
    app = visit("concepts")
    assert not app.exception
    shown = bodies(app)
    counts = f"{(said == PRESENT).sum()} present · {(said == 0).sum()} absent · 2 unsure"
    for part in (counts, "at least half", ">4</kbd>", "core feature"):
        assert part in shown
    assert "A probe agrees with held-out tags" in texts(app)


def test_names_are_shown_as_text(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, HOSTILE, note="<b>note</b>")
    create_concept(workspace, planted.dataset_id, "x" * 200)
    shown = bodies(visit("concepts"))
    assert "<script>" not in shown
    assert "<b>note" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; **b** :material/home: שלום $x$" in shown


def test_a_concept_is_made_with_colour_role_key_and_note(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = visit("concepts")
    field(app.text_input, "What do you see?").set_value("  reeds ")
    field(app.selectbox, "What it is to the class").set_value("core")
    field(app.color_picker, "Colour").set_value("#123456")
    field(app.selectbox, "Number key").set_value(7)
    field(app.text_area, "Note").set_value(" stalks ")
    button(app, "Create").click().run()
    assert not app.exception
    made = get_concept(workspace, planted.dataset_id, "reeds")
    assert (made.color, made.role, made.shortcut, made.note) == ("#123456", "core", 7, "stalks")
    assert {entry.author for entry in history(workspace, planted.dataset_id)} == {"Person 1"}


def test_a_name_equal_but_for_case_chooses_the_one_there_is_and_says_so(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    before = create_concept(workspace, planted.dataset_id, "Water")
    app = visit("concepts")
    field(app.text_input, "What do you see?").set_value("WATER")
    button(app, "Create").click().run()
    assert list_concepts(workspace, planted.dataset_id) == (before,)
    assert "was there already" in app.toast[0].value


def test_editing_is_one_step_and_undo_takes_it_back(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    reeds = create_concept(workspace, planted.dataset_id, "reeds")
    app = visit("concepts")
    button(app, "Edit").click().run()
    field(app.text_input, "Name").set_value("lake")
    next(each for each in app.selectbox if each.label == "Number key" and "concept-key" not in each.id).set_value(2)
    next(each for each in app.text_area if each.label == "Note" and "concept-note" not in each.id).set_value("shore")
    save(app)
    assert not app.exception
    changed, other = list_concepts(workspace, planted.dataset_id)
    assert (changed.name, changed.shortcut, changed.note) == ("lake", 2, "shore")
    assert other.shortcut == 1, "keys are exchanged"
    button(app, "Undo").click().run()
    assert list_concepts(workspace, planted.dataset_id) == (water, reeds)
    button(app, "Redo").click().run()
    assert list_concepts(workspace, planted.dataset_id) == (changed, other)


def test_deleting_keeps_the_tags_for_undo(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 12)
    before = get_concept(workspace, planted.dataset_id, "water")
    said = tag_states(workspace, planted, before)
    app = visit("concepts")
    assert app.menu_button[0].options == ["Delete"], "nothing to merge it into"
    app.menu_button[0].set_value("Delete").run()
    assert not app.exception
    assert not list_concepts(workspace, planted.dataset_id)
    assert "Undo" in app.toast[0].value
    button(app, "Undo").click().run()
    assert list_concepts(workspace, planted.dataset_id) == (before,)
    assert (tag_states(workspace, planted, before) == said).all()


def test_merging_says_of_the_one_kept_what_was_said_of_the_other(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    water = create_concept(workspace, planted.dataset_id, "water")
    lake = create_concept(workspace, planted.dataset_id, "lake")
    tag(workspace, planted, water, [1, 2], True)
    tag(workspace, planted, lake, [2, 3], False)
    app = visit("concepts")
    app.menu_button[1].set_value("Merge into …").run()
    assert "All that was said of **lake** is said of the other one" in texts(app)
    app.session_state[palette.OPENED] = ("merge", lake.id)
    button(app, "Merge").click().run()
    assert not app.exception
    assert list_concepts(workspace, planted.dataset_id) == (water,)
    assert tag_states(workspace, planted, water)[:5].tolist() == [-1, 1, 1, 0, -1]
    button(app, "Undo").click().run()
    assert list_concepts(workspace, planted.dataset_id) == (water, lake)
    assert tag_states(workspace, planted, water)[:5].tolist() == [-1, 1, 1, -1, -1]


def test_a_name_that_is_taken_is_told_in_the_dialog(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water")
    create_concept(workspace, planted.dataset_id, "reeds")
    app = visit("concepts")
    button(app, "Edit").click().run()
    field(app.text_input, "Name").set_value("REEDS")
    save(app)
    assert "There is a concept “reeds” already" in app.error[0].value.replace("\\", "")
    assert [concept.name for concept in list_concepts(workspace, planted.dataset_id)] == ["water", "reeds"]


def test_another_persons_step_is_not_undone_here(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water", author="Ada")
    app = visit("concepts")
    button(app, "Undo").click().run()
    assert list_concepts(workspace, planted.dataset_id)
    assert "Nothing of yours to undo, though others did something" in app.toast[0].value


def test_rows_lead_to_the_queue_the_guesses_and_the_direction(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "a/b & c?")
    gone: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(palette.rooms, "go", lambda room, **query: gone.append((room, query)))
    app = visit("concepts")
    for label in ("Tag next", "Review guesses", "Along its direction"):
        button(app, label).click().run()
    named = {"analysis": planted.id, "concept": str(concept.id)}
    assert gone == [
        ("tag_next", {"look": "queue", **named}),
        ("tag_next", {"look": "review", **named}),
        ("bands", {"analysis": planted.id, "direction": "concept:a/b & c?"}),
    ]


def test_the_look_is_in_the_address_and_read_from_it(visit: Visit, planted: Analysis) -> None:
    app = visit("concepts", look="history")
    assert "Nothing was done yet" in texts(app)
    field(app.get("button_group"), "Show").set_value("people").run()
    assert app.query_params["look"] in ("people", ["people"])
    assert "Nobody has tagged yet" in texts(app)


# --- associations ----------------------------------------------------------------------------------------------------


def test_what_explains_the_errors_comes_first_with_bars_and_intervals(visit: Visit, planted: Analysis) -> None:
    app = visit("concepts", look="associations")
    assert not app.exception
    shown = bodies(app)
    codes, wrong = planted.attributes[0].codes, planted.predicted != planted.labels
    for label, name in enumerate(planted.classes):
        # a class with the place that goes with the other one
        compared = (planted.labels == label) & (planted.splits != 0) & (codes != label)
        assert f"{wrong[compared].sum()} of {compared.sum()}</span>" in shown, name
    # in each comparison one bar is in the colour of errors
    assert shown.count('class="rate worse"') == shown.count('class="rate"') == 2
    assert "95% interval" in shown


def test_bars_and_whiskers_lie_where_the_figures_are() -> None:
    bar = associations_view.bar_html(0.25, 0.1, 0.5, worse=True)
    assert 'style="width:25.0%"' in bar
    assert 'style="left:10.0%;width:40.0%"' in bar
    assert "25%, 95% interval 10% to 50%" in bar


def test_a_column_is_adopted_in_one_click_and_one_step(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = visit("concepts", look="associations")
    water = int((planted.attributes[0].codes == 1).sum())
    button(app, f"Adopt water ({water})").click().run()
    assert not app.exception
    [concept] = list_concepts(workspace, planted.dataset_id)
    assert concept.attribute == ("place", "water")
    assert (tag_states(workspace, planted, concept) == PRESENT).sum() == water
    done = button(app, "water is “place\\: water”")
    assert done.disabled
    assert undo(workspace, planted.dataset_id, "Person 1") is not None
    assert not list_concepts(workspace, planted.dataset_id)


def test_a_concept_is_shown_by_class_and_by_band(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    adopt(workspace, planted, "place", "water")
    app = visit("concepts", look="associations")
    table = app.dataframe[0].value.set_index("Class")
    codes, label = planted.attributes[0].codes, planted.classes.index("waterbird")
    expected = (codes[planted.labels == label] == 1).mean()
    assert table.loc["waterbird", "Share"] == pytest.approx(expected)
    assert table.loc["waterbird", "Odds ratio"] > 1 > table.loc["landbird", "Odds ratio"]
    field(app.selectbox, "Bands along").set_value("logit:waterbird").run()
    assert not app.exception
    shown = bodies(app)
    assert "all classes" in shown
    assert shown.count("<td") == 3 * associations_view.BANDS, "two classes and all of them"
    assert f"of {(codes >= 0).sum() // associations_view.BANDS}</small>" in shown


# --- history ---------------------------------------------------------------------------------------------------------


def test_every_step_says_who_what_how_and_from_which_band(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(palette.rooms, "go", lambda room, **query: gone.append((room, query)))
    concept = create_concept(workspace, planted.dataset_id, HOSTILE, author="<i>Ada</i>")
    tag(
        workspace,
        planted,
        concept,
        [1, 2],
        True,
        author="<i>Ada</i>",
        how="grid",
        direction="logit:waterbird",
        low=-0.25,
        high=1.5,
    )
    undo(workspace, planted.dataset_id, "<i>Ada</i>")
    app = visit("concepts", look="history")
    assert not app.exception
    shown = bodies(app)
    assert "<i>" not in shown
    assert "<script>" not in shown
    assert "in the grid · logit of waterbird, −0.25 to 1.50" in shown
    assert "<s " in shown
    assert "(undone)" in shown
    button(app, "The band").click().run()
    assert gone == [("bands", {"analysis": planted.id, "direction": "logit:waterbird", "low": "-0.25", "high": "1.5"})]


def test_back_to_here_takes_back_ones_own_steps_since(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = visit("concepts", look="history")
    me = who._browsers()[app.session_state[who.BROWSER]].name
    concept = create_concept(workspace, planted.dataset_id, "water", author=me)
    for row in range(3):
        tag(workspace, planted, concept, [row], True, author=me)
        tag(workspace, planted, concept, [row + 10], True, author="Ada")
    app.run()
    assert len([each for each in app.button if each.label == "Back to here"]) == 3, "not for the newest, nor others'"
    button(app, "Back to here", 1).click().run()
    assert not app.exception
    assert np.flatnonzero(tag_states(workspace, planted, concept) == PRESENT).tolist() == [0, 10, 11, 12]
    assert "Took back 2 steps" in app.toast[0].value
    button(app, "Redo").click().run()
    assert np.flatnonzero(tag_states(workspace, planted, concept) == PRESENT).tolist() == [0, 1, 10, 11, 12]


def test_a_long_history_comes_in_parts_and_can_be_ones_own_only(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water", author="Ada")
    for row in range(history_view.PAGE + 5):
        tag(workspace, planted, concept, [row], True, author="Ada" if row % 2 else "Person 1")
    app = visit("concepts", look="history")
    # Person 1 is taken by somebody who tagged: this session is another
    assert who._browsers()[app.session_state[who.BROWSER]].name == "Person 2"
    steps = bodies(app).count("<bdi")
    assert steps == history_view.PAGE
    button(app, "Show more").click().run()
    assert bodies(app).count("<bdi") == history_view.PAGE + 6
    field(app.get("button_group"), "By").set_value("me").run()
    assert "Nothing was done yet" in texts(app)


# --- people ----------------------------------------------------------------------------------------------------------


def test_agreement_is_told_with_interval_and_kappa_and_differing_images_are_shown(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water", author="Ada")
    tag(workspace, planted, concept, range(20), True, author="Ada")
    tag(workspace, planted, concept, range(20, 30), False, author="Ada")
    tag(workspace, planted, concept, range(18), True, author="<u>Bo</u>")
    tag(workspace, planted, concept, range(18, 30), False, author="<u>Bo</u>")
    app = visit("concepts", look="people")
    assert not app.exception
    assert "agree on 28 of 30 answers (93%, 79% to 98%, kappa 0.86)" in texts(app)
    assert "<u>" not in bodies(app)
    sent = [json.loads(each.proto.json) for each in app.get("bidi_component") if each.proto.json]
    grid = next(data for data in sent if isinstance(data, dict) and data.get("role") == "grid")
    assert planted.rows_of([image["id"] for image in grid["images"]]).tolist() == [18, 19]
    assert {image["note"] for image in grid["images"]} == {"<u>Bo</u> no, Ada yes"}


def test_people_who_answered_about_different_images_are_told_what_to_do(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water", author="Ada")
    tag(workspace, planted, concept, [1], True, author="Ada")
    tag(workspace, planted, concept, [2], True, author="Bo")
    app = visit("concepts", look="people")
    assert "answer the same few dozen images" in texts(app)


# --- files -----------------------------------------------------------------------------------------------------------


def test_every_format_can_be_downloaded(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 12)
    app = visit("concepts", look="files")
    assert not app.exception
    assert [each.proto.label for each in app.get("download_button")] == ["CSV", "JSON", "Parquet", "FiftyOne"]


def test_an_import_is_shown_before_it_is_taken(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    names = [str(name) for name in planted.images[:4]]
    tag(workspace, planted, concept, [0, 1], True)
    table = io.StringIO()
    table.write("image,concept,present\n")
    for image, present in ((names[0], 1), (names[1], 0), (names[2], 1), ("nowhere.png", 1), (names[3], "maybe")):
        table.write(f"{image},water,{present}\n")
    app = visit("concepts", look="files")
    app.file_uploader[0].upload("tags.csv", table.getvalue().encode(), "text/csv").run()
    assert not app.exception
    figures = {each.label: each.value for each in app.metric}
    assert figures == {"New answers": "1", "Changed": "1", "Known already": "1", "Rejected": "2"}
    assert (tag_states(workspace, planted, concept)[:4] == [1, 1, -1, -1]).all(), "nothing is taken yet"
    rejected = app.dataframe[0].value
    assert len(rejected) == 2
    button(app, "Import 2 answers").click().run()
    assert not app.exception
    assert (tag_states(workspace, planted, concept)[:4] == [1, 0, 1, -1]).all()
    undo(workspace, planted.dataset_id, "Person 1")
    assert (tag_states(workspace, planted, concept)[:4] == [1, 1, -1, -1]).all()


def test_a_file_with_nothing_new_or_nothing_readable_is_told(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    tag_by_truth(workspace, planted, 12)
    app = visit("concepts", look="files")
    app.file_uploader[0].upload("tags.json", dump_tags(workspace, planted, "json"), "application/json").run()
    assert button(app, "Nothing new to import").disabled
    app = visit("concepts", look="files")
    app.file_uploader[0].upload("tags.parquet", b"PAR1 not at all", "application/octet-stream").run()
    assert not app.exception
    assert app.error
