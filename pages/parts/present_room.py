"""The stage: one investigation told to an audience, step by step, on the same state as the other rooms.

All steps travel to the browser at once and are turned there, without waiting for Python; what somebody does on one
(a name, answers, a repair) is an event of the outbox and changes the real thing. Pictures come in messages of their
own, thumbnails first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.concepts.concept import Concept, create_concept, get_concept
from core.concepts.suggestions import suggest, suggest_next
from core.concepts.tags import answers, newest_standing, tag, tag_version, tagging_split, undo
from core.concepts.telling import telling
from core.errors import BadRequest, MidbandError, NotFound
from core.jobs.job import DONE, FAILED
from core.jobs.queue import request_cancel
from core.retraining.material import tags_digest
from core.retraining.runs import new_run_id
from core.retraining.statements import read_statements
from pages.parts import (
    concept_tools,
    jobs,
    live,
    method_knobs,
    present_pictures,
    present_story,
    rooms,
    run_list,
    state,
    theme,
    who,
)
from pages.parts.component_source import source
from pages.parts.inbox import Inbox, is_int
from pages.parts.present_story import AFTER, ASKED, REPAIR, TAG, Scene, Slide
from pages.parts.words import short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.jobs.job import Job
    from core.retraining.runs import RunResult

KEPT = "present_kept"
PROBLEM = "present_problem"
LEAVING = "present_leaving"
JOB = "present_job"
HOW = "present"
# seconds between two looks at a repair: it takes a few
POLL = 0.5
# with more classes, only pictures that have to do with the one at hand are asked about
FEW_CLASSES = 4

_component = st.components.v2.component(
    "midband_present",
    html=source("present", "stage.html"),
    css=source("present", "stage.css"),
    js="\n".join(
        [
            source("image_grid", "dom.js", "outbox.js"),
            source("present", "fit.js", "keys.js", "kept.js", "pictures.js", "slides.js", "stage.js"),
        ]
    ),
)


@dataclass
class Kept:
    """What a session keeps of one investigation's presentation.

    step: at hand, from 0. turn: counts the times that Python turned to a step. class_index: chosen, None for the most
    telling. concept: id of the one at hand. batch: images asked about, for which concept. more: the concept of which
    more is asked although there are answers. said: actions of the last answers. ran: the repair that was told of.
    """

    step: int = 0
    turn: int = 0
    class_index: int | None = None
    concept: int | None = None
    batch: tuple[int, tuple[int, ...]] = (0, ())
    more: int | None = None
    said: tuple[int, ...] = ()
    ran: str = ""

    def go(self, step: int) -> None:
        self.step, self.turn = step, self.turn + 1


@dataclass(frozen=True)
class Event:
    """What a person did. kind: name (`text`), concept or class (`number`), tags (`number`, `shown`, `rest`: ids), or
    one of `PLAIN`."""

    kind: str
    number: int = 0
    text: str = ""
    shown: tuple[int, ...] = ()
    rest: tuple[int, ...] = ()


PLAIN = ("more", "undo", "repair", "stop", "leave", "home", "results")


def read_event(entry: dict[str, Any]) -> Event | None:
    """An event as the browser sent it; None where it makes no sense."""
    kind, text, number = entry.get("kind"), entry.get("text"), entry.get("concept", entry.get("class"))
    if kind in PLAIN:
        return Event(kind)
    if kind == "name" and isinstance(text, str):
        return Event("name", text=text)
    if kind in ("concept", "class") and is_int(number):
        return Event(kind, number)
    shown, rest = _ids(entry.get("shown")), _ids(entry.get("rest"))
    if kind == "tags" and is_int(number) and shown is not None and rest is not None:
        return Event("tags", number, shown=shown, rest=rest)
    return None


def _ids(value: object) -> tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) and all(is_int(one) for one in value) else None


def _key(analysis: Analysis) -> str:
    return f"present-{analysis.id}"


@st.fragment
def enter(analysis: Analysis | None) -> None:
    """The whole page."""
    if room := st.session_state.pop(LEAVING, None):
        _leave(analysis, room)
    if analysis is None:
        _mount("present", (present_story.nothing(),), Kept(), None)
        return
    live.drawn(analysis)
    kept = kept_of(analysis)
    _adopt(analysis, kept)
    job = jobs.at_hand("retrain", JOB, analysis=analysis.id)
    _told_of(job, kept)
    scene = scene_of(analysis, kept, job)
    slides = present_story.story(scene)
    kept.step = min(kept.step, len(slides) - 1)
    key = _key(analysis)
    _thumbnails(key, analysis, slides)
    _mount(key, slides, kept, analysis)
    if job is not None and job.active:
        st.fragment(_working, run_every=POLL)(analysis.id, key)
    _sharp(key, analysis, slides, kept.step)


def kept_of(analysis: Analysis) -> Kept:
    all_kept: dict[str, Kept] = st.session_state.setdefault(KEPT, {})
    return all_kept.setdefault(analysis.id, Kept())


def _adopt(analysis: Analysis, kept: Kept) -> None:
    """Take over what the address says, when the stage is entered or the server knows nothing of it (any more); from
    then on the browser keeps it, see stage.js."""
    if kept.turn and _key(analysis) in st.session_state:
        return
    asked = st.query_params.to_dict()
    step = asked.get("step", "")
    kept.go(max(int(step) - 1, 0) if step.isascii() and step.isdigit() and len(step) < 4 else 0)
    if (name := asked.get("class")) in analysis.classes:
        kept.class_index = analysis.classes.index(name)


def _address(analysis: Analysis, kept: Kept) -> dict[str, str]:
    """What a link to this presentation carries besides the step."""
    link = {"analysis": analysis.id}
    if kept.class_index is not None:
        link["class"] = analysis.classes[kept.class_index]
    return link


def scene_of(analysis: Analysis, kept: Kept, job: Job | None) -> Scene:
    """What is to be told now."""
    concept = _concept(analysis, kept)
    class_index = telling(analysis)[0] if kept.class_index is None else kept.class_index
    run = next(iter(run_list.finished_runs(analysis.id).values()), None)
    return Scene(
        analysis,
        class_index,
        concept,
        batch=() if concept is None else _batch(analysis, kept, concept, class_index),
        run=run,
        running=job is not None and job.active,
        news=run is not None and _is_news(analysis, run, concept),
        can_undo=bool(_undoable(analysis, kept)),
    )


def _concept(analysis: Analysis, kept: Kept) -> Concept | None:
    """The one chosen here, or in another room; else the newest confounder."""
    known = {one.id: one for one in present_story.concepts_of(analysis) if one.role != "wrong-label"}
    for chosen in (kept.concept, st.session_state.get(concept_tools.CHOSEN)):
        if chosen in known:
            return known[chosen]
    confounders = [one for one in known.values() if one.role == "confounder"] or list(known.values())
    return confounders[-1] if confounders else None


def _is_news(analysis: Analysis, run: RunResult, concept: Concept | None) -> bool:
    """Whether a repair now would learn from other answers than the last one did."""
    if concept is None:
        return False
    if concept.name not in run.concepts:
        return True
    version = tag_version(state.workspace(), analysis.dataset_id)
    return _answers_now(analysis, run.concepts, version) != run.tags


@lru_cache(maxsize=8)
def _answers_now(analysis: Analysis, names: tuple[str, ...], version: int) -> str:
    """What a run with these concepts would note as its tags; "" where one of them is gone. version: of the log."""
    workspace = state.workspace()
    try:
        concepts = [get_concept(workspace, analysis.dataset_id, name) for name in names]
    except NotFound:
        return ""
    return tags_digest(analysis, read_statements(workspace, analysis, concepts))


def _batch(analysis: Analysis, kept: Kept, concept: Concept, class_index: int) -> tuple[int, ...]:
    """Ids of the images that are asked about; () where there are answers enough and no more are asked.

    Those on screen stay until they are answered, whatever others say meanwhile.
    """
    if kept.batch[0] == concept.id and kept.batch[1]:
        return kept.batch[1]
    present, absent = present_story.answered(analysis, concept)
    if len(present) + len(absent) >= ASKED and kept.more != concept.id:
        return ()
    rows = proposed(analysis, concept, class_index)
    kept.batch = (concept.id, tuple(int(image) for image in analysis.ids[rows]))
    return kept.batch[1]


def proposed(analysis: Analysis, concept: Concept, class_index: int) -> np.ndarray:
    """Rows to ask about next. With many classes only pictures that are of the one at hand, or taken for it: among
    twenty of a thousand classes nobody would see what they share."""
    workspace = state.workspace()
    if analysis.k <= FEW_CLASSES:
        return np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=ASKED)], dtype=np.int64)
    pool = analysis.split_rows(tagging_split(analysis))
    about = (analysis.labels[pool] == class_index) | (analysis.predicted[pool] == class_index)
    rows = pool[about]
    found = suggest(
        analysis.logits,
        np.asarray(analysis.labels[rows]),
        budget=ASKED,
        states=answers(workspace, analysis, concept)[rows],
        rows=rows,
    )
    return rows[[item.row for item in found]]


# --- what is sent ---------------------------------------------------------------------------------------------------


def _mount(key: str, slides: tuple[Slide, ...], kept: Kept, analysis: Analysis | None) -> None:
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    choices: list[dict[str, Any]] = []
    about = "Midband"
    chosen = 0
    if analysis is not None:
        order = telling(analysis)
        chosen = order[0] if kept.class_index is None else kept.class_index
        choices = [{"index": place, "name": who.isolated(analysis.classes[place], 40)} for place in order]
        about = f"Midband · {who.isolated(analysis.dataset_name, 40)}"
    _component(
        key=key,
        data={
            "role": "stage",
            "store": key,
            "about": about,
            "slides": [slide.to_dict() for slide in slides],
            "at": kept.step,
            "turn": kept.turn,
            "classes": choices,
            "class": chosen,
            "address": {} if analysis is None else _address(analysis, kept),
            "problem": st.session_state.get(PROBLEM),
            "colors": {"accent": theme.accent_color(), "wrong": theme.wrong_color()},
            "ack": inbox.done,
        },
        on_up_change=partial(_deliver, analysis, key),
        on_step_change=partial(_stepped, analysis, key),
    )


def _thumbnails(key: str, analysis: Analysis, slides: tuple[Slide, ...]) -> None:
    images = sorted({image for slide in slides for image in images_of(slide)})
    rows = analysis.rows_of(images)
    encoded = {str(image): present_pictures.thumbnail(analysis, row) for image, row in zip(images, rows, strict=True)}
    _component(key=f"{key}-thumbnails", data={"role": "thumbnails", "store": key, "pictures": encoded})


def _sharp(key: str, analysis: Analysis, slides: tuple[Slide, ...], step: int) -> None:
    """The same, larger: of the step that is seen first, then of those around it."""
    sent: set[int] = set()
    order = sorted(range(len(slides)), key=lambda place: (abs(place - step), place < step))
    for place in order:
        images = [image for image in images_of(slides[place]) if image not in sent]
        sent.update(images)
        rows = analysis.rows_of(images)
        urls = {
            str(image): url
            for image, row in zip(images, rows, strict=True)
            if (url := present_pictures.sharp(analysis, int(row))) is not None
        }
        _component(key=f"{key}-sharp-{place}", data={"role": "sharp", "store": key, "pictures": urls})


def images_of(slide: Slide) -> list[int]:
    """Ids of all pictures of a step."""
    lists = [slide.rest.get(name, ()) for name in ("pictures", "present", "absent")]
    lists += [row["pictures"] for row in slide.rest.get("rows", ())]
    return [tile["id"] for tiles in lists for tile in tiles]


def _working(analysis_id: str, key: str) -> None:
    """How far the repair is, until it ends."""
    job = jobs.active("retrain", analysis=analysis_id)
    if job is None:
        st.rerun()
    _component(
        key=f"{key}-work", data={"role": "work", "store": key, "fraction": job.fraction, "text": working_told(job)}
    )


def working_told(job: Job) -> str:
    """How far a repair is, for people who know no method."""
    if job.stopping:
        return "Stopping …"
    if job.state == "queued":
        return "Waiting for its turn …"
    share = job.fraction
    if share is None or share < 0.2:
        return "Reading your answers …"
    if share < 0.4:
        return "Learning anew …"
    return "Taking the exam again …"


# --- what is done ---------------------------------------------------------------------------------------------------


def _stepped(analysis: Analysis | None, key: str) -> None:
    told = st.session_state.get(key)
    if analysis is not None and isinstance(told, dict):
        keep_step(kept_of(analysis), told.get("step"))


def keep_step(kept: Kept, told: object) -> None:
    """Where the browser is, unless Python has turned to another step since."""
    if isinstance(told, dict) and told.get("turn") == kept.turn and is_int(at := told.get("at")):
        kept.step = max(at, 0)


def _deliver(analysis: Analysis | None, key: str) -> None:
    told = st.session_state.get(key)
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    st.session_state.pop(PROBLEM, None)
    act: Callable[[Event], None] = partial(_kept_problem, partial(_act, analysis))
    inbox.deliver(told.get("up") if isinstance(told, dict) else None, act, read=read_event, harmless=("tags",))


def _kept_problem(act: Callable[[Event], None], event: Event) -> None:
    """On the stage problems are shown by the stage: what lies below it is not seen."""
    try:
        act(event)
    except MidbandError as error:
        _tell(error.to_dict())


def _tell(error: dict[str, Any]) -> None:
    turn = st.session_state.get("present_problems", 0) + 1
    st.session_state["present_problems"] = turn
    text = " ".join(str(error.get(name) or "") for name in ("detail", "next_step"))
    st.session_state[PROBLEM] = {
        "turn": str(turn),
        "title": f"{error.get('title') or 'That did not work'}.",
        "text": text,
    }


def _act(analysis: Analysis | None, event: Event) -> None:
    if event.kind in ("leave", "home", "results"):
        st.session_state[LEAVING] = event.kind
    elif analysis is not None:
        _change(analysis, kept_of(analysis), event)


def _change(analysis: Analysis, kept: Kept, event: Event) -> None:
    if event.kind == "class" and 0 <= event.number < analysis.k:
        kept.class_index = event.number
        kept.batch = (0, ())
    elif event.kind == "name":
        _name(analysis, kept, event.text)
    elif event.kind == "concept":
        _take(kept, event.number)
    elif event.kind == "tags":
        _tag(analysis, kept, event)
    elif event.kind == "more":
        kept.more = None if (concept := _concept(analysis, kept)) is None else concept.id
        kept.go(_place(TAG))
    elif event.kind == "undo":
        _undo(analysis, kept)
    elif event.kind == "repair":
        _repair(analysis, kept)
    elif event.kind == "stop" and (job := jobs.active("retrain", analysis=analysis.id)) is not None:
        request_cancel(state.workspace(), job.id)


def _name(analysis: Analysis, kept: Kept, text: str) -> None:
    """An existing concept of that name, or a new one; then on to showing it."""
    concept = create_concept(state.workspace(), analysis.dataset_id, text, author=who.author())
    _take(kept, concept.id)


def _take(kept: Kept, concept: int) -> None:
    kept.concept = st.session_state[concept_tools.CHOSEN] = concept
    kept.go(_place(TAG))


def _tag(analysis: Analysis, kept: Kept, event: Event) -> None:
    """What was clicked shows it, the rest does not; two actions, taken back together."""
    concept = next((one for one in present_story.concepts_of(analysis) if one.id == event.number), None)
    if concept is None:
        raise BadRequest(
            "What you named is not there any more, so the answers were not saved.",
            next_step="Name it again.",
            title="It was deleted meanwhile",
        )
    # asked first: Streamlit interrupts where it is asked something, and between the halves it must not
    workspace, author = state.workspace(), who.author()
    said = []
    for images, shows in ((event.shown, True), (event.rest, False)):
        rows = analysis.rows_of(images)
        action = tag(workspace, analysis, concept, rows, shows, author=author, how=HOW)
        said += [] if action is None else [action]
    kept.concept, kept.said, kept.batch, kept.more = concept.id, tuple(said), (0, ()), None
    kept.go(_place(REPAIR))


def _undoable(analysis: Analysis, kept: Kept) -> bool:
    """Whether the last answers given here are what this person did last."""
    if not kept.said:
        return False
    with state.workspace().reading() as session:
        newest = newest_standing(session, analysis.dataset_id, who.author())
        return newest is not None and newest.id == kept.said[-1]


def _undo(analysis: Analysis, kept: Kept) -> None:
    while _undoable(analysis, kept):
        undo(state.workspace(), analysis.dataset_id, who.author())
        kept.said = kept.said[:-1]
    kept.batch, kept.more = (0, ()), None
    kept.go(_place(TAG))


def _repair(analysis: Analysis, kept: Kept) -> None:
    concept = _concept(analysis, kept)
    if concept is None:
        return
    request: dict[str, Any] = {
        "analysis": analysis.id,
        "method": method_knobs.DEFAULT,
        "concepts": [concept.name],
        "seed": 0,
        "run": new_run_id(),
    }
    st.session_state[JOB] = jobs.begin("retrain", f"Retrain on {short(analysis.dataset_name, 60)}", request).id


def _told_of(job: Job | None, kept: Kept) -> None:
    """Once a repair that was started here has ended: turn to what it brought, or say what went wrong."""
    if job is None or job.active or job.id == kept.ran or st.session_state.get(JOB) != job.id:
        return
    kept.ran = job.id
    if job.state == DONE and kept.step == _place(REPAIR):
        kept.go(_place(AFTER))
    elif job.state == FAILED and job.error:
        _tell(job.error)


def _place(about: str) -> int:
    return present_story.ORDER.index(about)


def _leave(analysis: Analysis | None, to: str) -> None:
    """Back to where one came from, or on to the first page or the results."""
    run = None if analysis is None else next(iter(run_list.finished_runs(analysis.id)), None)
    if to == "results" and run is not None:
        st.session_state["run"] = run
        rooms.go("results", run=run)
        return
    room = st.session_state.get(rooms.CAME_FROM, "home") if to == "leave" else "home"
    rooms.go(room if room in rooms.ROOMS else "home")
