"""Step 3 of Load: one button, then the job until the bands are there."""

from __future__ import annotations

import streamlit as st

from core.activations.store import open_analysis
from core.datasets import Dataset, Problem
from core.errors import NotFound
from core.jobs.job import DONE, Job
from core.jobs.queue import get_job
from pages.parts import bring_data, bring_model, jobs, rooms, state
from pages.parts.bring_model import Choice
from pages.parts.words import count, percent, plain

JOB = "load_job"
KINDS = ("analyse", "train-analyse")


def shown_instead() -> bool:
    """Show the job that runs, or the one that just ended, in place of the questions."""
    job = _current()
    if job is None:
        return False
    st.session_state[JOB] = job.id
    jobs.panel(job, on_done=_done)
    if not job.active:
        if job.state == DONE:
            st.button("Load something else", icon=":material/add:", on_click=_anew)
        else:
            st.button("Change the settings", icon=":material/edit:", on_click=_forget)
    return True


def button(dataset: Dataset, choice: Choice) -> None:
    trains = choice.kind == "train-analyse"
    with st.container(border=True, key="card-analyse"):
        st.header("3 · Analyse", anchor=False)
        st.caption(
            "One pass over all images: what the network sees in each, its logits, and a thumbnail. "
            "You can leave meanwhile."
        )
        label = "Train and analyse" if trains else "Analyse"
        if st.button(label, type="primary", icon=":material/play_arrow:", disabled=bool(choice.missing)):
            title = f"{'Train on' if trains else 'Analyse'} {dataset.name}"
            st.session_state[JOB] = jobs.begin(choice.kind, title, choice.request).id
            st.rerun()
        if choice.missing:
            st.caption(choice.missing)


def _current() -> Job | None:
    if running := jobs.active(*KINDS):
        return running
    if job_id := st.session_state.get(JOB):
        try:
            return get_job(state.workspace(), job_id)
        except NotFound:
            # another workspace was put in its place meanwhile
            _forget()
    return None


def _done(job: Job) -> None:
    result = job.result or {}
    analysis = open_analysis(state.workspace(), result["analysis"])
    with st.container(border=True, key="card-done"):
        st.markdown(
            f"**{plain(analysis.dataset_name)}** is ready: {count(analysis.n, 'image')}, "
            f"named rightly {percent(analysis.accuracy)} of the time."
        )
        if _was_there(job, analysis.id):
            st.caption(
                ":material/bolt: Images and model are unchanged since last time, so nothing had to be computed again."
            )
        if st.button("Look at the bands", type="primary", icon=":material/arrow_forward:"):
            state.choose(analysis.id)
            rooms.go("bands")
    skipped = tuple(Problem(**item) for item in result.get("skipped", ()))
    bring_data.left_out(skipped, "skipped")


def _was_there(job: Job, analysis_id: str) -> bool:
    record = next((item for item in state.investigations() if item.id == analysis_id), None)
    return record is not None and job.started is not None and record.created < job.started


def _anew() -> None:
    _forget()
    st.session_state[bring_data.PATH] = st.session_state[bring_model.PATH] = ""


def _forget() -> None:
    st.session_state.pop(JOB, None)
