"""Step 3 of Load: one button, then the job until the bands are there."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st

from core.activations.store import open_analysis
from core.datasets import Problem
from core.errors import NotFound
from core.jobs.job import CANCELLED, DONE, FAILED, Job
from core.jobs.queue import get_job, list_jobs, request_cancel
from pages.parts import bring_data, bring_model, jobs, load_check, load_preview, problem, rooms, state
from pages.parts.bring_model import Choice
from pages.parts.load_look import Looked
from pages.parts.words import count, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

JOB = "load_job"
# ids of the jobs that this session began and whose end it has not seen yet, to the investigation looked at then
OWN = "load_own_jobs"
# ids of the jobs that this session has turned its back on, which may take a moment to end
LEFT = "load_left_jobs"
KINDS = ("analyse", "train-analyse")
# images of a first look, and from how many on it is offered
SAMPLE, BIG = 1000, 2500
FIRST, ALL = "A first look, then the rest", "All at once"
PRECISIONS = {"auto": "As fast as is safe", "fp32": "Full (fp32)", "bf16": "Half (bf16)"}
PRECISION_HELP = (
    "How many digits the network computes with. Half is up to three times as fast on processors made for it. “As fast "
    "as is safe” uses it only where a first batch gives the same answers as full precision."
)
# why bands would show nothing of a model, and what helps
BROUGHT_WRONGLY = (
    "So the bands would show nothing of the model. Probably the classes are in another order, or images are prepared "
    "in another way: a check of a few hundred images tells, and offers what mends it."
)
TRAINED_BADLY = (
    "So the network has learned nothing of the classes yet, and the bands would show nothing of it. More epochs help, "
    "or a network that was trained elsewhere."
)
# jobs that are looked through for the other half of a first look
LOOKED_THROUGH = 30


@dataclass(frozen=True)
class _Shown:
    """first: a look at a sample. job: the pass over everything. One of them may be absent."""

    first: Job | None
    job: Job | None


def shown_instead() -> bool:
    """Show the job that runs, or the one that just ended, in place of the questions."""
    shown = _current()
    if shown is None:
        return False
    first, job = shown.first, shown.job
    if job is not None and (first is None or job.state == DONE or first.state in (FAILED, CANCELLED)):
        first = None
        jobs.panel(job, on_done=_done)
    elif first is not None:
        jobs.panel(first, on_done=_first_done)
        if job is not None:
            _rest(first, job)
    ended = [one for one in (first, job) if one is not None]
    if not any(one.active for one in ended):
        if any(one.state == DONE for one in ended):
            st.button("Load something else", icon=":material/add:", on_click=_anew)
        else:
            st.button("Change the settings", icon=":material/edit:", on_click=_forget)
    return True


def button(looked: Looked, choice: Choice) -> None:
    """Comes once there is something to start."""
    if choice.missing:
        return
    trains = choice.kind == "train-analyse"
    with st.container(border=True, key="card-analyse"):
        st.header("3 · Analyse", anchor=False)
        st.caption(
            "One pass over all images: what the network sees in each, its logits, and a thumbnail. "
            "You can leave meanwhile."
        )
        first = looked.images > BIG and not trains and _first_look(looked)
        request = {**choice.request, **_advanced()}
        label = "Train and analyse" if trains else "Analyse"
        if choice.checking:
            label = "Analyse without waiting"
        kind = "secondary" if choice.doubt or choice.checking else "primary"
        if st.button(label, key="load-start", type=kind, icon=":material/play_arrow:"):
            load_check.stop()
            title = f"{'Train on' if trains else 'Analyse'} {looked.name}"
            if first:
                job = jobs.begin(choice.kind, f"First look at {looked.name}", {**request, "sample": SAMPLE})
                begun = (job, jobs.begin(choice.kind, title, request))
            else:
                job = jobs.begin(choice.kind, title, request)
                begun = (job,)
            st.session_state[JOB] = job.id
            before = st.session_state.get(state.CHOSEN)
            st.session_state.setdefault(OWN, {}).update({one.id: before for one in begun})
            st.rerun()


def _first_look(looked: Looked) -> bool:
    way = st.segmented_control(
        "How to begin",
        (FIRST, ALL),
        default=FIRST,
        required=True,
        key="load_first",
        persist_state="session",
        label_visibility="collapsed",
    )
    if way == FIRST:
        st.caption(
            f"{SAMPLE:,} images, drawn evenly, are ready in a moment; the other {looked.images - SAMPLE:,} follow in "
            "the background, and nothing is computed twice."
        )
    return way == FIRST


def _advanced() -> dict[str, Any]:
    with st.expander("Advanced", icon=":material/settings:"):
        precision = st.selectbox(
            "Precision",
            list(PRECISIONS),
            format_func=PRECISIONS.__getitem__,
            key=bring_model.PRECISION,
            persist_state="session",
            help=PRECISION_HELP,
            width=260,
        )
    return {} if precision == "auto" else {"precision": precision}


def _current() -> _Shown | None:
    job = jobs.active(*KINDS)
    if job is not None and job.stopping and job.id in st.session_state.get(LEFT, ()):
        job = None
    if job is None and (job_id := st.session_state.get(JOB)):
        try:
            job = get_job(state.workspace(), job_id)
        except NotFound:
            # another workspace was put in its place meanwhile
            _forget()
    if job is None:
        return None
    st.session_state[JOB] = job.id
    other = _other_half(job)
    return _Shown(job, other) if job.request.get("sample") else _Shown(other, job)


def _other_half(job: Job) -> Job | None:
    """Of a first look the newest pass over everything, and the reverse; None where there was none."""
    whole = {name: value for name, value in job.request.items() if name != "sample"}
    wanted = whole if job.request.get("sample") else {**whole, "sample": SAMPLE}
    found = list_jobs(state.workspace(), limit=LOOKED_THROUGH)
    return next((one for one in found if one.kind == job.kind and one.request == wanted), None)


def _first_done(job: Job) -> None:
    analysis = open_analysis(state.workspace(), (job.result or {})["analysis"])
    _look_at(job, analysis.id)
    with st.container(border=True, key="card-done"):
        st.markdown(
            f"**A first look at {plain(analysis.dataset_name)}** is ready: {count(analysis.n, 'image')}"
            f"{_right(analysis)}."
        )
        _then(job, analysis)


def _rest(first: Job, job: Job) -> None:
    """The pass over everything, while the first look can be used already."""
    if job.active:
        st.fragment(_rest_progress, run_every=jobs.POLL)(job.id, waits=first.active)
    else:
        st.markdown("**The other images** did not follow.")
        jobs.panel(job, on_done=_done)


def _rest_progress(job_id: str, *, waits: bool) -> None:
    with problem.shown():
        job = get_job(state.workspace(), job_id)
        if not job.active:
            st.rerun()
        if waits:
            st.caption(":material/low_priority: Then all other images follow by themselves.")
            return
        with st.container(border=True, key="card-rest"):
            st.markdown("**All images** follow in the background. What you name and tag meanwhile stays.")
            st.progress(job.fraction or 0.0, text=plain(job.message) or "Getting ready")


def _done(job: Job) -> None:
    result = job.result or {}
    analysis = open_analysis(state.workspace(), result["analysis"])
    _look_at(job, analysis.id)
    with st.container(border=True, key="card-done"):
        st.markdown(f"**{plain(analysis.dataset_name)}** is ready: {count(analysis.n, 'image')}{_right(analysis)}.")
        if _was_there(job, analysis.id):
            st.caption(
                ":material/bolt: Images and model are unchanged since last time, so nothing had to be computed again."
            )
        _then(job, analysis)
    skipped = tuple(Problem(**item) for item in result.get("skipped", ()))
    load_preview.left_out(skipped, "skipped")


def _look_at(job: Job, analysis_id: str) -> None:
    """What was loaded here becomes the investigation at hand, once, unless somebody chose another one meanwhile."""
    own: dict[str, str | None] = st.session_state.get(OWN, {})
    if job.id not in own:
        return
    before, now = own.pop(job.id), st.session_state.get(state.CHOSEN)
    if now == analysis_id or (before is not None and now != before):
        return
    state.choose(analysis_id)
    # the rest of a first look takes its place in turn
    own.update(dict.fromkeys(own, analysis_id))
    # the sidebar was drawn before this was known
    st.rerun()


def _right(analysis: Analysis) -> str:
    """How often the model is right, and on which images: those of test, where there are any."""
    if not analysis.labelled:
        return ""
    judged = _judged(analysis)
    which = "test image" if len(judged) < analysis.n else "image"
    whole = f"the {count(len(judged), which)}" if len(judged) > 1 else f"the one {which}"
    return f", right on {percent(analysis.accuracy)} of {whole}"


def _then(job: Job, analysis: Analysis) -> None:
    """What to do next: look at the bands, or mend first what makes them worthless."""
    if (usual := _no_better_than(analysis)) is None:
        _to_the_bands(analysis.id, "Look at the bands", "primary")
        return
    trained = job.kind == "train-analyse"
    why, remedy = (TRAINED_BADLY, "Train again") if trained else (BROUGHT_WRONGLY, "Find out why")
    name, chance = usual
    st.warning(
        f"That is no better than always answering {plain(name)} ({percent(chance)}). {why}",
        icon=":material/model_training:" if trained else ":material/swap_vert:",
    )
    with st.container(horizontal=True):
        st.button(
            remedy,
            key=f"load-mend-{job.id}",
            type="primary",
            icon=":material/build:",
            on_click=problem.kept(partial(_mend, job)),
        )
        _to_the_bands(analysis.id, "Look at the bands all the same", "secondary")


def _no_better_than(analysis: Analysis) -> tuple[str, float] | None:
    """The class that always answering would be as often right with, and how often that is; None where the model is
    better."""
    if not analysis.labelled:
        return None
    often = np.bincount(analysis.labels[_judged(analysis)], minlength=analysis.k)
    chance = float(often.max() / max(often.sum(), 1))
    # counts of images were divided here: half of a hundredth of an image makes no difference
    if analysis.accuracy > chance + 1e-6:
        return None
    return analysis.classes[int(often.argmax())], chance


def _mend(job: Job) -> None:
    """Back to the questions with what was given, and to a check that may end; what still runs is stopped."""
    running = [one for one in (job, _other_half(job)) if one is not None and one.active]
    for one in running:
        with suppress(NotFound):
            request_cancel(state.workspace(), one.id)
    st.session_state.setdefault(LEFT, set()).update(one.id for one in running)
    bring_data.fill(job.request)
    bring_model.fill(job.request)
    load_check.anew()
    _forget()


def _judged(analysis: Analysis) -> np.ndarray:
    """Rows (m,) that the accuracy is about: those of test, all where there is no test split."""
    rows = analysis.split_rows("test")
    return rows if len(rows) else np.arange(analysis.n)


def _to_the_bands(analysis_id: str, label: str, kind: Literal["primary", "secondary"]) -> None:
    if st.button(label, type=kind, icon=":material/arrow_forward:"):
        state.choose(analysis_id)
        rooms.go("bands")


def _was_there(job: Job, analysis_id: str) -> bool:
    record = next((item for item in state.investigations() if item.id == analysis_id), None)
    return record is not None and job.started is not None and record.created < job.started


def _anew() -> None:
    _forget()
    bring_data.clear()
    bring_model.clear()


def _forget() -> None:
    st.session_state.pop(JOB, None)
