"""The stage: one investigation told to an audience, step by step, on the same state as the other rooms.

All steps travel to the browser at once and are turned there, without waiting for Python; what somebody does on one
(a name, answers, a repair) is an event of the outbox and changes the real thing. Pictures come in messages of their
own, thumbnails first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.concepts.questions import answered, questions
from core.concepts.telling import telling
from core.jobs.job import DONE, FAILED
from core.retraining.news import is_news_since
from pages.parts import (
    jobs,
    live,
    present_acts,
    present_pictures,
    present_story,
    present_words,
    rooms,
    run_list,
    state,
    theme,
    who,
)
from pages.parts.component_source import source
from pages.parts.inbox import Inbox
from pages.parts.present_acts import JOB, LEAVING, PROBLEM
from pages.parts.present_kept import Kept, concept_of, kept_of, place, undoable
from pages.parts.present_story import AFTER, ASKED, REPAIR, Scene, Slide

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.concept import Concept
    from core.jobs.job import Job
    from core.retraining.runs import RunResult

# seconds between two looks at a repair: it takes a few
POLL = 0.5

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
    concept = concept_of(analysis, kept)
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
        can_undo=undoable(analysis, kept),
    )


def _is_news(analysis: Analysis, run: RunResult, concept: Concept | None) -> bool:
    """Whether a repair now would learn something else than the last one did."""
    if concept is None:
        return False
    return concept.name not in run.concepts or is_news_since(state.workspace(), analysis, run)


def _batch(analysis: Analysis, kept: Kept, concept: Concept, class_index: int) -> tuple[int, ...]:
    """Ids of the images that are asked about; () where there are answers enough and no more are asked.

    Those on screen stay until they are answered, whatever others say meanwhile.
    """
    if kept.batch[0] == concept.id and kept.batch[1]:
        return kept.batch[1]
    if answered(state.workspace(), analysis, concept).count >= ASKED and kept.more != concept.id:
        return ()
    rows = questions(state.workspace(), analysis, concept, class_index, budget=ASKED)
    kept.batch = (concept.id, tuple(int(image) for image in analysis.ids[rows]))
    return kept.batch[1]


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
            "session": kept.session,
            "classes": choices,
            "class": chosen,
            "address": {} if analysis is None else _address(analysis, kept),
            "problem": st.session_state.get(PROBLEM),
            "colors": {"accent": theme.accent_color(), "wrong": theme.wrong_color()},
            "ack": inbox.done,
        },
        on_up_change=partial(present_acts.deliver, analysis, key),
        on_step_change=partial(present_acts.stepped, analysis, key),
    )


def _thumbnails(key: str, analysis: Analysis, slides: tuple[Slide, ...]) -> None:
    images = sorted({image for slide in slides for image in images_of(slide)})
    rows = analysis.rows_of(images)
    encoded = {str(image): present_pictures.thumbnail(analysis, row) for image, row in zip(images, rows, strict=True)}
    _component(key=f"{key}-thumbnails", data={"role": "thumbnails", "store": key, "pictures": encoded})


def _sharp(key: str, analysis: Analysis, slides: tuple[Slide, ...], step: int) -> None:
    """The same, larger: of the step that is seen first, then of those around it."""
    sent: set[int] = set()
    order = sorted(range(len(slides)), key=lambda at: (abs(at - step), at < step))
    for at in order:
        images = [image for image in images_of(slides[at]) if image not in sent]
        sent.update(images)
        rows = analysis.rows_of(images)
        urls = {
            str(image): url
            for image, row in zip(images, rows, strict=True)
            if (url := present_pictures.sharp(analysis, int(row))) is not None
        }
        _component(key=f"{key}-sharp-{at}", data={"role": "sharp", "store": key, "pictures": urls})


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
        key=f"{key}-work",
        data={"role": "work", "store": key, "fraction": job.fraction, "text": present_words.working(job)},
    )


def _told_of(job: Job | None, kept: Kept) -> None:
    """Once a repair that was started here has ended: turn to what it brought, or say what went wrong."""
    if job is None or job.active or job.id == kept.ran or st.session_state.get(JOB) != job.id:
        return
    kept.ran = job.id
    if job.state == DONE and kept.step == place(REPAIR):
        kept.go(place(AFTER))
    elif job.state == FAILED and job.error:
        present_acts.tell(job.error)


def _leave(analysis: Analysis | None, to: str) -> None:
    """Back to where one came from, or on to the first page or the results."""
    run = None if analysis is None else next(iter(run_list.finished_runs(analysis.id)), None)
    if to == "results" and run is not None:
        st.session_state["run"] = run
        rooms.go("results", run=run)
        return
    room = st.session_state.get(rooms.CAME_FROM, "home") if to == "leave" else "home"
    rooms.go(room if room in rooms.ROOMS else "home")
