"""The stage: each step says what is so, does the real thing, and needs nothing that is not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis, ModelFacts, refresh
from core.concepts.concept import Concept, create_concept, delete_concept, list_concepts
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, tag, tagging_split
from core.database import RunRecord, TagAction
from core.datasets.dataset import Dataset
from core.errors import BadRequest
from core.jobs.job import Job
from core.retraining.evaluation import GroupAccuracy
from core.retraining.runs import retrain
from core.workspace import Workspace
from pages.parts import (
    present_acts,
    present_kept,
    present_pictures,
    present_room,
    present_story,
    present_words,
    rooms,
    who,
)
from pages.parts.present_acts import Event, read_event
from pages.parts.present_kept import Kept
from pages.parts.present_story import AFTER, BETWEEN, END, ORDER, REPAIR, SCORE, SEE, SUREST, TAG

from .conftest import Visit, plant, set_job, tag_by_truth

# what nobody in an audience of non-coders knows
JARGON = (
    "logit",
    "band",
    "split",
    "val ",
    "ERM",
    "worst group",
    "worst-group",
    "neuron",
    "retrain",
    "layer",
    "feature",
)
HOSTILE = "שלום <img src=x onerror=alert(1)> **b** :tada: " + "x" * 120


def sent(app: AppTest) -> dict[str, list[dict[str, Any]]]:
    """What the stage's components got, by role."""
    found: dict[str, list[dict[str, Any]]] = {}
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.json) if element.proto.json else None
        if isinstance(data, dict) and "role" in data and "store" in data:
            found.setdefault(data["role"], []).append(data)
    return found


def stage_of(app: AppTest) -> dict[str, Any]:
    assert not app.exception
    assert not app.error
    [stage] = sent(app)["stage"]
    return stage


def slides_of(app: AppTest) -> dict[str, dict[str, Any]]:
    """By what they are about."""
    slides = stage_of(app)["slides"]
    assert len(slides) == len(ORDER)
    return dict(zip(ORDER, slides, strict=True))


def words_of(value: Any) -> str:
    """Every text in what is sent."""
    if isinstance(value, dict):
        return "\n".join(words_of(item) for item in value.values())
    if isinstance(value, list):
        return "\n".join(words_of(item) for item in value)
    return value if isinstance(value, str) else ""


def ids(tiles: list[dict[str, Any]]) -> list[int]:
    return [tile["id"] for tile in tiles]


# --- each step ------------------------------------------------------------------------------------------------------


def test_the_score_is_that_of_images_nobody_learnt_from(planted: Analysis, visit: Visit) -> None:
    slide = slides_of(visit("present"))[SCORE]
    val, test = (planted.split_rows(name) for name in ("val", "test"))
    assert slide["figure"] == f"{100 * (planted.predicted[val] == planted.labels[val]).mean():.0f}%"
    assert f"{len(val)} new pictures" in slide["title"]
    assert len(slide["pictures"]) == present_story.COLLAGE
    # on test the planted place says nothing about the class, and the audience hears of it
    other = (planted.predicted[test] == planted.labels[test]).mean()
    assert f"only {100 * other:.0f}%" in words_of(slide["lines"])


def test_surest_and_in_between_show_what_lies_there(workspace: Workspace, visit: Visit) -> None:
    planted = plant(workspace, 6000)
    app = visit("present", **{"class": "waterbird"})
    slides = slides_of(app)
    val = planted.split_rows("val")
    logits = planted.logits[:, 1]
    strongest = planted.ids[val[np.argsort(-logits[val], kind="stable")][: present_story.SHOWN]]
    assert ids(slides[SUREST]["pictures"]) == strongest.tolist()
    middle = planted.rows_of(ids(slides[BETWEEN]["pictures"]))
    own = planted.labels[middle] == 1
    assert own.sum() == present_story.SHOWN // 2
    assert logits[middle].max() < np.median(logits[val][planted.labels[val] == 1])
    wrong = [tile for tile, row in zip(slides[BETWEEN]["pictures"], middle, strict=True) if tile.get("wrong")]
    assert len(wrong) == int((planted.predicted[middle] != planted.labels[middle]).sum())
    assert all(tile["says"].startswith("taken for ") for tile in wrong)
    above, below = (planted.rows_of(ids(row["pictures"])) for row in slides[SEE]["rows"])
    for rows in (above, below):
        assert (planted.labels[rows] == 1).all()
    place = planted.attributes[0].codes
    # what is seen is what was planted: water above, land below
    assert place[above].mean() > 0.8
    assert place[below].mean() < 0.5
    assert logits[above].min() > logits[below].max()


def test_in_between_tells_the_errors_of_the_class_itself(workspace: Workspace, visit: Visit) -> None:
    planted = plant(workspace, 6000)
    finding = slides_of(visit("present", **{"class": "waterbird"}))[BETWEEN]["finding"]
    middle = present_story.Scene(planted, 1).exhibit.middle
    own = middle[planted.labels[middle] == 1]
    wrong = (planted.predicted[own] != 1).mean()
    assert finding.startswith(f"In between it gets {100 * wrong:.0f}% of the {len(own)} “waterbird” pictures wrong")


def test_where_hardly_anything_lies_in_between_the_nearest_is_shown(workspace: Workspace, visit: Visit) -> None:
    analysis = plant(workspace, 30)
    slide = slides_of(visit("present"))[BETWEEN]
    assert "closest" in slide["finding"]
    assert len(slide["pictures"]) == min(present_story.SHOWN, len(analysis.split_rows("val")))


def test_nothing_is_tagged_yet_and_each_step_says_what_comes_first(planted: Analysis, visit: Visit) -> None:
    slides = slides_of(visit("present"))
    assert slides[TAG]["missing"]["to"] == ORDER.index(SEE)
    assert slides[REPAIR]["missing"]["to"] == ORDER.index(SEE)
    assert slides[AFTER]["missing"]["to"] == ORDER.index(REPAIR)
    assert slides[SEE]["concepts"] == []
    assert slides[END]["lines"] == []
    assert {button.get("kind", button.get("to")) for button in slides[END]["buttons"]} == {"leave", 0}


def test_a_name_brings_twenty_pictures_that_nobody_answered(
    planted: Analysis, workspace: Workspace, visit: Visit
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:9], True)
    slide = slides_of(visit("present"))[TAG]
    rows = planted.rows_of(ids(slide["pictures"]))
    assert len(set(rows.tolist())) == present_story.ASKED
    assert (answers(workspace, planted, concept)[rows] == UNTAGGED).all()
    assert np.isin(rows, planted.split_rows(tagging_split(planted))).all()
    assert "“water”" in slide["title"]


def test_what_was_answered_elsewhere_counts_and_can_be_gone_on_with(
    planted: Analysis, workspace: Workspace, visit: Visit
) -> None:
    tag_by_truth(workspace, planted, 24)
    slides = slides_of(visit("present"))
    slide = slides[TAG]
    assert slide["answered"]
    assert len(slide["present"]) + len(slide["absent"]) == 24
    assert f"{len(slide['present'])} show it" == slide["present_title"]
    assert slide["more"]
    assert slides[REPAIR]["label"] == "Repair it"
    assert sum(len(row["pictures"]) for row in slides[REPAIR]["rows"]) == 2 * present_story.LEARNT


def test_too_few_answers_are_told_before_a_repair(planted: Analysis, workspace: Workspace, visit: Visit) -> None:
    concept = create_concept(workspace, planted.dataset_id, "water")
    tag(workspace, planted, concept, planted.split_rows("val")[:20], False)
    missing = slides_of(visit("present"))[REPAIR]["missing"]
    assert "0 show it and 20 do not" in missing["text"]
    assert missing["kind"] == "more"


def test_a_repair_of_before_is_told_with_its_real_numbers(
    planted: Analysis, workspace: Workspace, visit: Visit
) -> None:
    tag_by_truth(workspace, planted, 40)
    run = retrain(workspace, planted, method="mid", concepts=["water"])
    slides = slides_of(visit("present"))
    worst, average = slides[AFTER]["figures"]
    assert (worst["before"], worst["after"]) == tuple(
        f"{100 * one.worst_group:.0f}%" for one in (run.before, run.after)
    )
    assert (average["before"], average["after"]) == tuple(
        f"{100 * one.average:.0f}%" for one in (run.before, run.after)
    )
    groups = slides[AFTER]["groups"]
    assert [group["before"] for group in groups] == sorted(group.accuracy for group in run.before.groups)
    assert groups[0]["before"] == run.before.worst_group
    fixed = set(run.comparison["fixed"])
    assert set(ids(slides[AFTER]["pictures"])) <= fixed
    assert f"{len(fixed)} pictures now right" == slides[AFTER]["pictures_title"]
    assert slides[REPAIR]["result"]
    assert slides[REPAIR]["label"] == "Repair it again"
    assert f"Now it is {100 * run.after.worst_group:.0f}%" in words_of(slides[END]["lines"])
    assert "40 answers" in words_of(slides[END]["lines"])


def test_the_price_of_a_repair_is_told(planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    run = retrain(workspace, planted, method="mid", concepts=["water"])

    def told(now: dict[tuple[str, str | None], tuple[float, float]], usual: float) -> str:
        """With other figures for some groups: accuracy and the upper end of its interval."""
        groups = tuple(
            replace(group, accuracy=found[0], high=found[1])
            if (found := now.get((group.class_name, group.concept)))
            else group
            for group in run.before.groups
        )
        after = replace(run.before, groups=groups, weighted_average=usual)
        slide = present_story.after(present_story.Scene(planted, 1, run=replace(run, after=after)))
        return slide.finding.replace("\u00a0", " ")

    best = max(run.before.groups, key=lambda group: group.low)
    name = present_words.group_name(best, "attribute place")
    before = f"{100 * best.accuracy:.0f}%"
    usual = run.before.weighted_average
    assert told({}, usual) == ""
    fallen = {(best.class_name, best.concept): (best.low - 0.1, best.low - 0.05)}
    assert told(fallen, usual) == f"The price: {name} {before} → {100 * (best.low - 0.1):.0f}%."
    assert told(fallen, usual - 0.05).endswith(
        f"; pictures like those it learnt from {100 * usual:.0f}% → {100 * (usual - 0.05):.0f}%."
    )
    # what may be chance is no price
    assert told({(best.class_name, best.concept): (best.low - 0.1, best.low + 0.01)}, usual) == ""


@pytest.mark.parametrize(
    ("groups_from", "value", "said"),
    [
        ("attribute place", "land", "odd on land"),
        ("attribute ink", "white", "odd in white ink"),
        ("attribute coat", "red", "odd (coat: red)"),
        ("concept water", "no water, reeds", "odd without “water”, with “reeds”"),
        ("classes", None, "odd"),
    ],
)
def test_groups_are_said_as_people_say_them(groups_from: str, value: str | None, said: str) -> None:
    group = GroupAccuracy("odd", value, 10, 5, 0.5, 0.2, 0.8, 0.1)
    assert present_words.group_name(group, groups_from) == said


def test_a_repair_that_changed_nothing_is_not_praised(planted: Analysis, workspace: Workspace) -> None:
    tag_by_truth(workspace, planted, 40)
    run = retrain(workspace, planted, method="erm")
    slide = present_story.after(present_story.Scene(planted, 1, run=run))
    assert slide.title == "It did not get clearly better"
    last = present_story.end(present_story.Scene(planted, 1, run=run))
    assert "changed little" in words_of(last.rest["lines"])


def test_guessed_groups_are_called_about(planted: Analysis, workspace: Workspace, visit: Visit) -> None:
    bare = Dataset(
        id=planted.dataset_id,
        name="birds",
        root=planted.dataset_root,
        source="class-folders",
        images=planted.images,
        labels=np.asarray(planted.labels),
        splits=np.asarray(planted.splits),
        classes=planted.classes,
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    tag_by_truth(workspace, planted, 60)
    model = ModelFacts(name="erm", file=Path("/erm"), arch="small", digest="0", preprocessing={})
    analysis = refresh(workspace, planted.id, bare, model)
    run = retrain(workspace, analysis, method="mid", concepts=["water"])
    assert run.after.estimated
    slide = slides_of(visit("present"))[AFTER]
    assert slide["figures"][0]["after"].startswith("about ")
    assert "guessed" in slide["finding"]
    assert any(group["name"] == "waterbird without “water”" for group in slide["groups"])


def test_without_labels_it_goes_on_without_what_needs_them(
    unlabelled: Analysis, workspace: Workspace, visit: Visit
) -> None:
    concept = create_concept(workspace, unlabelled.dataset_id, "water")
    tag(workspace, unlabelled, concept, np.arange(20), True)
    slides = slides_of(visit("present"))
    assert slides[SCORE]["figure"] == ""
    assert "no score" in words_of(slides[SCORE]["lines"])
    assert not any(tile.get("wrong") for tile in slides[BETWEEN]["pictures"])
    for about in (REPAIR, AFTER):
        assert "really show" in slides[about]["missing"]["text"]
        assert "label" not in slides[about]["missing"]
    assert "nan" not in words_of(list(slides.values())).lower().split()


def test_no_step_speaks_jargon(planted: Analysis, workspace: Workspace, visit: Visit) -> None:
    tag_by_truth(workspace, planted, 40)
    retrain(workspace, planted, method="mid", concepts=["water"])
    told = words_of(stage_of(visit("present"))["slides"])
    assert [word for word in JARGON if word in told] == []


def test_hostile_names_travel_as_text_and_shortened(planted: Analysis, workspace: Workspace, visit: Visit) -> None:
    create_concept(workspace, planted.dataset_id, HOSTILE)
    slide = slides_of(visit("present"))[TAG]
    assert "“\u2068שלום <img src=x onerror=" in slide["title"]
    assert "\u2069”" in slide["title"]
    assert len(slide["title"]) < 80


def test_a_thousand_classes_with_long_names(workspace: Workspace, visit: Visit) -> None:
    names = tuple(f"{'a very long name of a kind of thing ' * 3}{i:04d}" for i in range(1000))
    analysis = plant(workspace, 6000, name="many", classes=names)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    app = visit("present")
    stage = stage_of(app)
    assert len(stage["classes"]) == 1000
    assert len({choice["index"] for choice in stage["classes"]}) == 1000
    assert all(len(slide["title"]) < 140 for slide in stage["slides"])
    chosen = stage["class"]
    rows = analysis.rows_of(ids(slides_of(app)[TAG]["pictures"]))
    assert len(rows)
    assert ((analysis.labels[rows] == chosen) | (analysis.predicted[rows] == chosen)).all()
    assert (answers(workspace, analysis, concept)[rows] == UNTAGGED).all()


def test_an_empty_workspace_says_what_to_do(visit: Visit) -> None:
    stage = stage_of(visit("present"))
    [slide] = stage["slides"]
    assert slide["buttons"][0]["kind"] == "home"
    assert "demo" in slide["finding"]


# --- pictures, class, address ---------------------------------------------------------------------------------------


def test_every_picture_comes_small_and_those_with_a_file_large_too(
    planted: Analysis, workspace: Workspace, visit: Visit
) -> None:
    tag_by_truth(workspace, planted, 24)
    app = visit("present")
    got = sent(app)
    [small] = got["thumbnails"]
    shown = {image for slide in stage_of(app)["slides"] for image in _images(slide)}
    assert set(map(int, small["pictures"])) == shown
    large = [name for message in got["sharp"] for name in message["pictures"]]
    assert len(set(large)) == len(large)
    readable = {image for image in shown if planted.image_path(int(planted.rows_of([image])[0])).is_file()}
    assert set(map(int, large)) == readable


def _images(slide: dict[str, Any]) -> list[int]:
    rows = slide.get("rows", [])
    lists = [slide.get(name, []) for name in ("pictures", "present", "absent")] + [row["pictures"] for row in rows]
    return [tile["id"] for tiles in lists for tile in tiles]


def test_small_files_are_enlarged_and_missing_ones_leave_the_thumbnail(planted: Analysis) -> None:
    files = [row for row in range(planted.n) if planted.image_path(row).is_file()]
    url = present_pictures.sharp(planted, files[0])
    assert url is not None
    assert url.startswith("data:image/webp;base64,")
    gone = next(row for row in range(planted.n) if row not in files)
    assert present_pictures.sharp(planted, gone) is None
    assert present_pictures.thumbnail(planted, gone).startswith("data:image/webp")


def test_a_link_opens_its_step_and_class(planted: Analysis, visit: Visit) -> None:
    stage = stage_of(visit("present", analysis=planted.id, step="3", **{"class": "landbird"}))
    assert stage["at"] == 2
    assert stage["class"] == 0
    assert stage["address"] == {"analysis": planted.id, "class": "landbird"}


@pytest.mark.parametrize("step", ["0", "99", "-2", "x", "٣", "1" * 40])
def test_a_step_that_is_none_is_the_nearest_or_the_first(planted: Analysis, visit: Visit, step: str) -> None:
    assert stage_of(visit("present", step=step, **{"class": "no such"}))["at"] == (7 if step == "99" else 0)


# --- what is done ---------------------------------------------------------------------------------------------------

Do = Callable[..., None]


@pytest.fixture
def kept(planted: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Kept:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(st, "session_state", {})
    who._browsers.clear()
    return present_kept.kept_of(planted)


@pytest.fixture
def do(planted: Analysis, kept: Kept) -> Do:
    return lambda kind, **rest: present_acts._act(planted, Event(kind, **rest))


def said(workspace: Workspace, analysis: Analysis, concept: Concept) -> dict[int, int]:
    states = answers(workspace, analysis, concept)
    return {int(row): int(states[row]) for row in np.flatnonzero(states != UNTAGGED)}


def batch_of(planted: Analysis, kept: Kept) -> tuple[int, ...]:
    return present_room.scene_of(planted, kept, None).batch


def test_naming_makes_a_concept_once_and_leads_to_the_pictures(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    for text in ("water background", "Water  Background"):
        do("name", text=text)
        assert kept.step == ORDER.index(TAG)
    [concept] = list_concepts(workspace, planted.dataset_id)
    assert (concept.name, concept.role) == ("water background", "confounder")
    assert present_room.scene_of(planted, kept, None).concept == concept
    with pytest.raises(BadRequest):
        do("name", text="   ")


def test_a_step_taken_before_python_turned_to_another_is_no_news(kept: Kept, do: Do) -> None:
    do("name", text="water")
    present_acts.keep_step(kept, {"at": 3, "turn": kept.turn - 1})
    assert kept.step == ORDER.index(TAG)
    for nonsense in (None, 3, {"at": "3", "turn": kept.turn}, {"turn": kept.turn}):
        present_acts.keep_step(kept, nonsense)
        assert kept.step == ORDER.index(TAG)
    present_acts.keep_step(kept, {"at": 3, "turn": kept.turn})
    assert kept.step == 3


def test_done_tags_what_was_clicked_and_the_rest(planted: Analysis, workspace: Workspace, kept: Kept, do: Do) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    rows = planted.rows_of(images).tolist()
    assert said(workspace, planted, concept) == {row: PRESENT if row in rows[:5] else ABSENT for row in rows}
    assert kept.step == ORDER.index(REPAIR)
    with workspace.reading() as session:
        made = [one for one in session.query(TagAction).all() if one.kind == "tag"]
        assert {(one.author, one.source, one.how) for one in made} == {(who.author(), "person", "present")}
    # there are twenty: nothing more is asked until somebody wants it
    assert batch_of(planted, kept) == ()
    do("more")
    more = batch_of(planted, kept)
    assert len(more) == present_story.ASKED
    assert not set(more) & set(images)
    assert batch_of(planted, kept) == more


def test_a_new_session_goes_on_with_the_pictures_of_the_one_before(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    # somebody else answers some of them, and the session ends
    tag(workspace, planted, concept, planted.rows_of(images[:6]), True)
    st.session_state.clear()
    again = present_kept.kept_of(planted)
    assert again.session != kept.session
    assert batch_of(planted, again) != images
    for nonsense in ((concept.id, (1 << 40,)), (concept.id + 1, images), (concept.id, tuple(range(99)))):
        do("ask", number=nonsense[0], shown=nonsense[1])
        assert batch_of(planted, again) != images
    do("ask", number=concept.id, shown=images)
    assert batch_of(planted, again) == images


def test_undo_takes_back_both_halves_and_nothing_else(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    tag(workspace, planted, concept, [0], True, author=who.author())
    do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    assert present_room.scene_of(planted, kept, None).can_undo
    do("undo")
    assert said(workspace, planted, concept) == {0: PRESENT}
    assert kept.step == ORDER.index(TAG)
    assert not present_room.scene_of(planted, kept, None).can_undo
    do("undo")
    assert said(workspace, planted, concept) == {0: PRESENT}


def reload_the_page() -> None:
    """A new session of the same browser, which its cookie tells."""
    same = st.session_state[who.BROWSER]
    st.session_state.clear()
    st.session_state[who.BROWSER] = same


def test_a_reload_still_takes_back_both_halves_of_the_last_answer_and_no_other(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    tag(workspace, planted, concept, [0], True, author=who.author())
    images = batch_of(planted, kept)
    do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    tag(workspace, planted, concept, [1], True, author="somebody else")
    reload_the_page()
    again = present_kept.kept_of(planted)
    assert again.session != kept.session
    assert again.said == kept.said
    assert present_room.scene_of(planted, again, None).can_undo
    do("undo")
    assert said(workspace, planted, concept) == {0: PRESENT, 1: PRESENT}
    reload_the_page()
    # what was answered on another page is no answer of the stage
    assert present_kept.kept_of(planted).said == ()


def test_a_reload_does_not_take_two_answers_for_halves_of_one(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    do("tags", number=concept.id, rest=batch_of(planted, kept))
    with workspace.writing() as session:
        for action in session.query(TagAction):
            action.created -= present_kept.HALVES
    do("more")
    do("tags", number=concept.id, rest=batch_of(planted, kept))
    reload_the_page()
    assert present_kept.kept_of(planted).said == kept.said


def test_what_was_done_elsewhere_since_is_not_undone_here(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    tag(workspace, planted, concept, [0], True, author=who.author())
    do("undo")
    assert len(said(workspace, planted, concept)) == present_story.ASKED + 1


def test_pictures_on_screen_stay_while_others_answer(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    tag(workspace, planted, concept, planted.rows_of(images[:12]), True, author="somebody else")
    assert batch_of(planted, kept) == images


def test_answers_to_what_was_deleted_are_refused_with_a_word(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    delete_concept(workspace, concept)
    present_acts._kept_problem(
        lambda event: present_acts._act(planted, event),
        Event("tags", concept.id, shown=images[:5], rest=images[5:]),
    )
    assert "not saved" in st.session_state[present_acts.PROBLEM]["text"]


def test_the_repair_is_the_job_that_the_retrain_page_starts(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 24)
    do("repair")
    [job] = queued
    assert (job.kind, job.request["method"], job.request["concepts"]) == ("retrain", "mid", ["water"])
    assert job.request["analysis"] == planted.id
    kept.step = ORDER.index(REPAIR)
    present_room._told_of(job, kept)
    assert kept.step == ORDER.index(REPAIR)
    assert present_words.working(job) == "Waiting for its turn …"


def test_the_end_of_a_repair_turns_to_what_it_brought_once(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 24)
    do("repair")
    set_job(workspace, queued[0].id, state="done")
    job = present_room.jobs.at_hand("retrain", present_acts.JOB, analysis=planted.id)
    assert job is not None
    kept.step = ORDER.index(REPAIR)
    present_room._told_of(job, kept)
    assert kept.step == ORDER.index(AFTER)
    kept.step = ORDER.index(REPAIR)
    present_room._told_of(job, kept)
    assert kept.step == ORDER.index(REPAIR)


def test_a_repair_that_failed_says_why(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do, queued: list[Job]
) -> None:
    tag_by_truth(workspace, planted, 24)
    do("repair")
    error = {"title": "Not enough tags", "detail": "There are 3.", "next_step": "Tag more."}
    set_job(workspace, queued[0].id, state="failed", error=error)
    job = present_room.jobs.at_hand("retrain", present_acts.JOB, analysis=planted.id)
    present_room._told_of(job, kept)
    told = st.session_state[present_acts.PROBLEM]
    assert (told["title"], told["text"]) == ("Not enough tags.", "There are 3. Tag more.")


def test_answers_after_a_repair_ask_for_another(planted: Analysis, workspace: Workspace, kept: Kept, do: Do) -> None:
    tag_by_truth(workspace, planted, 24)
    retrain(workspace, planted, method="mid", concepts=["water"])
    scene = present_room.scene_of(planted, kept, None)
    assert scene.run is not None
    assert not scene.news
    do("more")
    images = batch_of(planted, kept)
    assert scene.concept is not None
    do("tags", number=scene.concept.id, shown=images[:5], rest=images[5:])
    scene = present_room.scene_of(planted, kept, None)
    assert scene.news
    assert present_story.repair(scene).rest["label"] == "Repair it"
    # that they came is known after a reload too
    st.session_state.clear()
    assert present_room.scene_of(planted, present_kept.kept_of(planted), None).news


def test_answers_about_something_else_ask_for_no_other_repair(
    planted: Analysis, workspace: Workspace, kept: Kept
) -> None:
    tag_by_truth(workspace, planted, 24)
    retrain(workspace, planted, method="mid", concepts=["water"])
    kept.concept = list_concepts(workspace, planted.dataset_id)[0].id
    assert not present_room.scene_of(planted, kept, None).news
    tag(workspace, planted, create_concept(workspace, planted.dataset_id, "bamboo"), [0, 1], True)
    assert not present_room.scene_of(planted, kept, None).news


@pytest.mark.parametrize("call", [1, 2])
def test_answers_that_streamlit_interrupts_are_taken_back_whole(
    planted: Analysis, workspace: Workspace, kept: Kept, do: Do, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    do("name", text="water")
    [concept] = list_concepts(workspace, planted.dataset_id)
    images = batch_of(planted, kept)
    name, calls = who.author(), iter(range(1, 100))

    def author() -> str:
        if next(calls) == call:
            raise KeyboardInterrupt
        return name

    monkeypatch.setattr(who, "author", author)
    try:
        do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    except KeyboardInterrupt:
        # as the inbox does
        do("tags", number=concept.id, shown=images[:5], rest=images[5:])
    monkeypatch.setattr(who, "author", lambda: name)
    assert len(said(workspace, planted, concept)) == len(images)
    do("undo")
    assert said(workspace, planted, concept) == {}


def test_leaving_goes_back_to_where_one_came_from(
    planted: Analysis, kept: Kept, do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(rooms, "go", lambda name, **query: gone.append((name, query)))
    st.session_state[rooms.CAME_FROM] = "map"
    for to in ("leave", "home", "results"):
        do(to)
        assert st.session_state[present_acts.LEAVING] == to
        present_room._leave(planted, to)
    # without a repair there are no results
    assert [name for name, _ in gone] == ["map", "home", "home"]


def test_leaving_for_the_results_opens_the_run(
    planted: Analysis, workspace: Workspace, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(rooms, "go", lambda name, **query: gone.append((name, query)))
    tag_by_truth(workspace, planted, 24)
    run = retrain(workspace, planted, method="mid", concepts=["water"])
    present_room._leave(planted, "results")
    assert gone == [("results", {"run": run.run})]
    with workspace.reading() as session:
        assert session.get(RunRecord, run.run) is not None


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"kind": "delete"},
        {"kind": "name", "text": 3},
        {"kind": "class", "class": "1"},
        {"kind": "concept", "concept": True},
        {"kind": "tags", "concept": 1, "shown": [1, "2"], "rest": []},
        {"kind": "tags", "concept": 1, "shown": [1]},
    ],
)
def test_messages_that_make_no_sense_are_dropped(entry: dict[str, Any]) -> None:
    assert read_event(entry) is None


def test_messages_are_read_as_they_were_meant() -> None:
    assert read_event({"kind": "class", "class": 3}) == Event("class", 3)
    assert read_event({"kind": "tags", "concept": 7, "shown": [1], "rest": [2, 3]}) == Event(
        "tags", 7, shown=(1,), rest=(2, 3)
    )
    assert read_event({"kind": "leave"}) == Event("leave")
