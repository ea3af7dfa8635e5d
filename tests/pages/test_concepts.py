"""The Concepts page: the palette and its changes, what explains the errors, the history, people, files."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts.adoption import adopt
from core.concepts.agreement import Agreement
from core.concepts.associations import attribute_states
from core.concepts.concept import change_concept, create_concept, get_concept, list_concepts
from core.concepts.exchange import dump_tags
from core.concepts.explaining import Explanation
from core.concepts.history import Author, Entry, history
from core.concepts.steps import Said
from core.concepts.tags import PRESENT, UNTAGGED, answers, tag, tag_states, undo
from core.datasets.dataset import Attribute
from core.errors import NotFound
from core.workspace import Workspace
from pages.parts import associations_view, history_view, palette, people_view, tag_files, who

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
    # one press, one step to undo
    assert len(history(workspace, planted.dataset_id)) == 1
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
    told = app.error[0].value.replace("\\", "")
    assert told == "There is a concept “reeds” already. Choose another name, or use that one."
    assert [concept.name for concept in list_concepts(workspace, planted.dataset_id)] == ["water", "reeds"]


def test_another_persons_step_is_not_undone_here(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    create_concept(workspace, planted.dataset_id, "water", author="Ada")
    app = visit("concepts")
    assert button(app, "Undo").disabled
    assert "theirs to undo" in button(app, "Undo").help


@pytest.mark.parametrize("look", palette.LOOKS.titles)
def test_undo_and_redo_stand_on_every_look_and_are_off_where_there_is_nothing(
    visit: Visit, planted: Analysis, workspace: Workspace, look: str
) -> None:
    app = visit("concepts", look=look)
    assert (button(app, "Undo").disabled, button(app, "Redo").disabled) == (True, True)
    me = who._browsers()[app.session_state[who.BROWSER]].name
    create_concept(workspace, planted.dataset_id, "water", author=me)
    app.run()
    assert (button(app, "Undo").disabled, button(app, "Redo").disabled) == (False, True)
    button(app, "Undo").click().run()
    assert not list_concepts(workspace, planted.dataset_id)
    assert (button(app, "Undo").disabled, button(app, "Redo").disabled) == (True, False)
    # Y answers questions elsewhere
    assert [button(app, each).proto.shortcut for each in ("Undo", "Redo")] == ["z", "shift+z"]
    button(app, "Redo").click().run()
    assert list_concepts(workspace, planted.dataset_id)


def test_rows_lead_to_the_queue_the_guesses_and_the_direction(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "a/b & c?")
    val = planted.split_rows("val")
    tag(workspace, planted, concept, val[:2], True)
    tag(workspace, planted, concept, val[2:4], False)
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


def test_without_both_answers_there_is_no_direction_and_it_says_why(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:3], True)
    # of test nothing is learnt
    tag(workspace, planted, concept, planted.split_rows("test")[:3], False)
    app = visit("concepts")
    assert button(app, "Along its direction").disabled
    assert "No image outside test is tagged absent" in button(app, "Along its direction").help
    tag(workspace, planted, concept, planted.split_rows("val")[5:7], False)
    assert not button(app.run(), "Along its direction").disabled


def test_answers_that_teach_a_repair_nothing_are_told_apart(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:3], True)
    assert "which is what a repair learns from" not in bodies(visit("concepts"))
    tag(workspace, planted, concept, planted.split_rows("test")[:4], False)
    tag(workspace, planted, concept, planted.split_rows("val")[3:4], "unsure")
    assert "3 present · 4 absent · 1 unsure · 3 of them on val, which is what a repair learns from" in bodies(
        visit("concepts")
    )


def test_only_what_was_changed_in_the_dialog_is_changed(planted: Analysis, workspace: Workspace) -> None:
    opened = create_concept(workspace, planted.dataset_id, "water", color="#123456", role="core", note="half")
    change_concept(workspace, opened, name="lake", note="all of it", shortcut=5, role="other")
    as_shown = {"name": "water", "color": "#123456", "role": "core", "note": "half", "shortcut": opened.shortcut or 0}
    assert palette.differing(opened, as_shown) == {}
    asked = palette.differing(opened, as_shown | {"color": "#654321"})
    changed = change_concept(workspace, opened, **asked)
    assert (changed.name, changed.note, changed.shortcut, changed.role) == ("lake", "all of it", 5, "other")
    assert changed.color == "#654321"
    assert palette.differing(opened, as_shown | {"shortcut": 0}) == {"shortcut": 0}


def test_what_another_changed_while_a_dialog_was_open_stays(
    visit: Visit, planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    water = create_concept(workspace, planted.dataset_id, "water", note="half")
    app = visit("concepts")
    button(app, "Edit").click().run()
    next(each for each in app.text_area if each.label == "Note" and "concept-note" not in each.id).set_value("shore")
    # in a browser the dialog runs alone, with the concept as it was when it opened
    change_concept(workspace, water, name="lake", author="Ada")
    monkeypatch.setattr(palette.concept_tools, "concepts", lambda analysis: (water,))
    save(app)
    assert not app.exception
    [changed] = list_concepts(workspace, planted.dataset_id)
    assert (changed.name, changed.note) == ("lake", "shore")


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


def test_a_concept_that_cannot_be_judged_yet_is_named_with_the_reason(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "*reeds*")
    tag(workspace, planted, concept, planted.split_rows("train")[:30], True)
    shown = texts(visit("concepts", look="associations")).replace("\\", "")
    assert "Not judged yet: *reeds* (all 30 answers are on train, which does not count)." in shown
    assert "Counted are the 400 images of val and test" in shown


def test_what_explains_errors_is_shown_as_text() -> None:
    told = associations_view.explanation_html(explanation("<b>x</b>", sentence="<script>"), None)
    assert "<b>x" not in told
    assert "<script>" not in told
    assert "with &lt;b&gt;x&lt;/b&gt;" in told
    assert "&lt;script&gt;" in told
    column = associations_view.explanation_html(explanation("<i>", value="<u>"), "<s>")
    assert not any(mark in column for mark in ("<i>", "<u>", "<s>"))


def explanation(name: str, **rest: Any) -> Explanation:
    facts = {"spec": "", "value": None, "class_name": "bird", "errors_with": 3, "count_with": 10, "errors_without": 1}
    facts |= {"count_without": 10, "raised": True, "tagged": True, "sentence": "said"}
    figures = dict.fromkeys(
        ("difference", "low", "high", "odds_ratio", "odds_low", "odds_high", "excess", "share", "p", "adjusted"), 0.5
    )
    return Explanation(name=name, **(facts | figures | rest))


def test_columns_and_values_that_read_alike_are_told_apart(planted: Analysis, visit: Visit) -> None:
    codes = planted.attributes[0].codes
    first, second = Attribute("a=b", ("c", "d"), codes), Attribute("a", ("b=c", "d"), codes[::-1].copy())
    both = replace(planted, attributes=(first, second))
    for attribute in both.attributes:
        for value in attribute.values:
            states = associations_view._states(both, associations_view.trait(attribute.name, value), 0)
            assert (states == attribute_states(attribute, value)).all()


def test_a_concept_that_went_meanwhile_is_told(planted: Analysis, visit: Visit) -> None:
    visit("concepts")
    for gone in (associations_view.trait("never there", None), associations_view.trait("place", "moon")):
        with pytest.raises(NotFound, match="is not there any more"):
            associations_view._states(planted, gone, 0)


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
    assert table.loc["waterbird", "Share"] == pytest.approx(100 * expected)
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


def entry(**facts: Any) -> Entry:
    given = {"id": 1, "when": datetime(2026, 1, 2), "author": "Ada", "kind": "tag", "source": "person", "how": "card"}
    given |= {"sentence": "Tagged 1 image with “water”", "direction": None, "low": None, "high": None, "undone": None}
    return Entry(**(given | {"images": 1, "concept": "water"} | facts))


def test_steps_are_shown_as_text_and_long_names_cut_short() -> None:
    hostile = entry(author="<u>", sentence="<b>", how="<i>", direction="logit:<s>", low=0.0, high=1.0)
    told = history_view.line_html(history_view.Line((hostile,), (Said('<a href="x">', "present"),)))
    assert not any(mark in told for mark in ("<u>", "<i>", "<s>", "<a href", "<b></", 'title="<'))
    assert all(f"&lt;{mark}&gt;" in told for mark in "buis")
    long = history_view.line_html(history_view.Line((entry(sentence=f"Deleted “{'x' * 200}”"),), (None,)))
    assert f"Deleted “{'x' * 39}…”</span>" in long
    assert "x" * 200 in long, "in full when pointed at"


def test_single_answers_in_a_row_fold_into_a_line_that_can_be_opened(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water", author="Ada")
    for row, said in enumerate((True, True, False, "unsure")):
        tag(workspace, planted, concept, [row], said, author="Ada", how="card")
    tag(workspace, planted, concept, [9, 10], True, author="Ada", how="card")
    for row in (11, 12):
        tag(workspace, planted, concept, [row], True, author="Bo", how="card")
    app = visit("concepts", look="history")
    shown = bodies(app)
    assert shown.count("<bdi") == 5, "two of Bo's are few, and two images at once are one step as it is"
    told = "Tagged 4 images with “water”, one by one (2 present, 1 absent, 1 unsure)"
    assert f"{told}</span>" in shown
    assert f"on a card · {planted.images[11]}" in shown
    assert f"on a card · {planted.images[0]}" not in shown
    button(app, "Each").click().run()
    shown = bodies(app)
    assert told not in shown
    assert f"on a card · {planted.images[0]}" in shown
    assert shown.count("<bdi") == 8


def test_what_differs_does_not_fold() -> None:
    alike = [entry(id=number) for number in range(9, 5, -1)]
    assert [len(line.entries) for line in history_view.folded(alike, {}, set())] == [4]
    others: list[dict[str, Any]] = [{"author": "Bo"}, {"concept": "reeds"}, {"how": "grid"}, {"source": "review"}]
    others += [{"undone": datetime(2026, 1, 3)}, {"direction": "neuron:1"}, {"images": 2}, {"kind": "palette"}]
    for other in others:
        mixed = [*alike[:2], entry(id=7, **other), *alike[2:]]
        assert len(history_view.folded(mixed, {}, set())) == 5, other
    assert len(history_view.folded(alike, {}, {7})) == 4


def test_every_place_pages_name_has_words() -> None:
    parts = Path(history_view.__file__).parent
    named = {
        word
        for file in parts.glob("*.py")
        for word in re.findall(r'\b(?:how|HOW)(?:: str)? ?= ?"([^"]+)"', file.read_text(encoding="utf-8"))
    }
    assert len(named) > 8
    assert named <= history_view.PLACES.keys()


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


def test_kappa_is_told_of_enough_answers_only() -> None:
    def pair(both: int) -> Agreement:
        return Agreement("Ada", "Bo", both, both - 1, 0.9, 0.5, 1.0, 0.7, ())

    assert "kappa" not in people_view.pair_sentence(pair(9))
    assert "kappa 0.70" in people_view.pair_sentence(pair(10))


def test_names_of_one_browser_are_one_person() -> None:
    last = datetime(2026, 1, 2), datetime(2026, 1, 5)
    found = (Author("Zoë <b>", 3, last[0]), Author("Bo", 1, last[0]), Author("Person 3", 4, last[1]))
    zoe, bo = people_view.persons(found, {"Person 3": "Zoë <b>"})
    assert (zoe.name, zoe.answers, zoe.last, zoe.earlier) == ("Zoë <b>", 7, last[1], ["Person 3"])
    assert (bo.answers, bo.earlier) == (1, [])
    told = people_view.person_html(zoe, me=True, here=True)
    assert "<b>Zoë &lt;b&gt;</b>" in told
    assert "(earlier Person 3)" in told
    assert "you · 7 answers · here now" in told
    # who has not answered under the new name yet is called by it all the same
    [only] = people_view.persons(found[2:], {"Person 3": "Zoë"})
    assert (only.name, only.earlier) == ("Zoë", ["Person 3"])


def test_nobody_is_said_to_have_given_no_answers_just_now() -> None:
    person = people_view.Person("Ada", 0, datetime(2026, 1, 2))
    assert "0 answers" not in people_view.person_html(person, me=False, here=True)
    assert people_view.person_html(person, me=False, here=False).endswith("no answers</span></p>")


def test_who_changed_their_name_is_not_compared_with_themselves(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    app = visit("concepts", look="people")
    me = who._browsers()[app.session_state[who.BROWSER]]
    me.name, me.former = "Zoë", ["Person 1"]
    concept = create_concept(workspace, planted.dataset_id, "water", author="Zoë")
    for author in ("Person 1", "Zoë", "Bo"):
        tag(workspace, planted, concept, [1, 2], author != "Bo", author=author)
    app.run()
    assert "(earlier Person 1)" in bodies(app)
    shown = texts(app)
    assert "**Bo** and **Zoë** agree on 0 of 2" in shown
    assert "**Person 1** and **Zoë**" not in shown


def test_what_is_shown_of_people_follows_the_answers(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water", author="Ada")
    tag(workspace, planted, concept, [1, 2], True, author="Ada")
    tag(workspace, planted, concept, [1], True, author="Bo")
    app = visit("concepts", look="people")
    assert "agree on 1 of 1 answer" in texts(app)
    tag(workspace, planted, concept, [2], True, author="Bo")
    assert "agree on 2 of 2 answers" in texts(app.run())


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


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("birds", "birds"),
        ("../my birds/v1.2", "my-birds-v1.2"),
        ("鸟", "鸟"),
        ("???", "dataset"),
        ("x" * 300, "x" * 60),
    ],
)
def test_files_are_named_after_their_dataset(name: str, stem: str) -> None:
    assert tag_files.file_stem(name) == stem


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
