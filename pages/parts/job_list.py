"""The Jobs page, one fragment that looks every second while something is under way: what runs, waits and ended."""

from __future__ import annotations

from collections import Counter
from functools import partial

import streamlit as st

from core.access.policy import Permission
from core.jobs import control
from core.jobs.job import CANCELLED, DONE, FAILED, PAUSED, QUEUED, RUNNING, Job
from core.jobs.launcher import retry
from core.jobs.queue import get_job, list_jobs, request_cancel
from core.limits import size_text
from pages.parts import gate, job_log, jobs, problem, rooms, state
from pages.parts.words import ago, duration, plain

SHOWN = "jobs_shown"
MORE = "jobs_more"
PER_STEP = 20
CHOICES = {
    "All": (RUNNING, QUEUED, PAUSED, DONE, FAILED, CANCELLED),
    "Under way": (RUNNING, QUEUED, PAUSED),
    "Done": (DONE,),
    "Not done": (FAILED, CANCELLED),
}
_BADGES = {
    RUNNING: ("running", ":material/play_arrow:", "blue"),
    QUEUED: ("waiting", ":material/hourglass_empty:", "gray"),
    PAUSED: ("paused", ":material/pause:", "orange"),
    DONE: ("done", ":material/check:", "green"),
    FAILED: ("failed", ":material/error:", "red"),
    CANCELLED: ("cancelled", ":material/close:", "gray"),
}


def show() -> None:
    under_way = any(job.active for job in list_jobs(state.workspace(), active=True))
    st.fragment(_list, run_every=jobs.POLL if under_way else None)(under_way)


def _list(polled: bool) -> None:
    with problem.shown():
        problem.remembered()
        linked = st.query_params.get("job")
        if linked:
            _one(get_job(state.workspace(), linked))
        under_way = list_jobs(state.workspace(), active=True)
        limit = PER_STEP + st.session_state.get(MORE, 0)
        newest = [job for job in list_jobs(state.workspace(), limit=limit + len(under_way) + 1) if not job.active]
        if polled != bool(under_way):
            # polling begins, or may end
            st.rerun()
        if not under_way and not newest:
            _empty()
            return
        chosen = st.segmented_control("Show", list(CHOICES), default="All", key=SHOWN, required=True)
        wanted = CHOICES[str(chosen or "All")]
        found = [job for job in [*under_way, *newest[:limit]] if job.state in wanted and job.id != linked]
        waiting = [job.id for job in under_way if job.state == QUEUED]
        # what runs is what one came for
        for job in sorted(
            found, key=lambda job: CHOICES["All"].index(job.state) if job.active else len(CHOICES["All"])
        ):
            _card(job, movable=job.id in waiting[1:])
        if not found:
            st.caption("None of these." if not linked else "No other of these.")
        states = Counter(job.state for job in under_way)
        st.caption(
            f"{states[RUNNING]} running, {states[QUEUED]} waiting, {states[PAUSED]} paused. "
            "They go on if you leave this page, close the browser or restart the server."
        )
        if len(newest) > limit:
            st.button("Show older ones", key="jobs-more", on_click=_show_more)


def _show_more() -> None:
    st.session_state[MORE] = st.session_state.get(MORE, 0) + PER_STEP


def _empty() -> None:
    with st.container(border=True, key="card-empty"):
        st.markdown("**Nothing has run yet.** Analysing, training, repairing and exporting show up here.")
        with st.container(horizontal=True):
            rooms.link("home", "Try the demo")
            rooms.link("load", "Load your data")


def _one(job: Job) -> None:
    """The job of the link in full: what is known of it, and its log."""
    with st.container(border=True, key="card-job-linked"):
        _card_head(job, reason=job.error is None)
        _buttons(job, movable=False, linked=True)
        if job.state == FAILED and job.error:
            problem.show(job.error)
        st.caption(_facts(job))
        job_log.show(job)


def _card(job: Job, *, movable: bool) -> None:
    with st.container(border=True, key=f"card-job-{job.id}"):
        _card_head(job)
        _buttons(job, movable=movable, linked=False)


def _card_head(job: Job, *, reason: bool = True) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(job.title)}**", width="content")
        label, icon, color = _BADGES[job.state]
        if job.stopping or job.pausing:
            label = "stopping" if job.stopping else "pausing"
        st.badge(label, icon=icon, color=color)
    if job.state in (RUNNING, PAUSED):
        st.progress(job.fraction or 0.0, text=plain(job.message) or "Getting ready")
    st.caption(plain(line(job, reason=reason)))


def line(job: Job, *, reason: bool = True) -> str:
    """When, how long, how far, and (reason) why it ended or stands still."""
    parts = []
    if job.finished is not None:
        parts.append(f"ended {ago(job.finished)}")
        if job.seconds is not None:
            parts.append(f"took {duration(job.seconds)}")
    elif job.state == RUNNING:
        parts.append(jobs.pace(job, "step") or "getting ready")
    elif job.started is None:
        parts.append(f"asked for {ago(job.created)}")
    if reason and job.exit_reason and job.state != DONE:
        parts.append(job.exit_reason)
    return " · ".join(parts)


def _facts(job: Job) -> str:
    facts = [f"asked for by {plain(job.author)} {ago(job.created)}", f"kind {plain(job.kind)}", f"id {job.id}"]
    if job.attempt > 1:
        facts.append(f"start number {job.attempt}")
    if job.needs_bytes:
        facts.append(f"needs about {size_text(job.needs_bytes)} of disk")
    if job.memory_limit:
        facts.append(f"may hold {size_text(job.memory_limit)} of memory")
    return " · ".join(facts)


def _buttons(job: Job, *, movable: bool, linked: bool) -> None:
    with st.container(horizontal=True, gap="small"):
        if not job.active:
            if job.state != DONE:
                _button(job, "Try again", ":material/refresh:", _retry)
        elif job.stopping:
            st.button("Cancelling …", key=f"cancel-{job.id}", icon=":material/close:", disabled=True)
        else:
            if job.state == PAUSED:
                _button(job, "Resume", ":material/play_arrow:", control.resume)
            else:
                label = "Pausing …" if job.pausing else "Pause"
                _button(job, label, ":material/pause:", control.pause, off=job.pausing, name="Pause")
            if movable:
                _button(job, "Move up", ":material/arrow_upward:", control.move_up)
            _button(job, "Cancel", ":material/close:", request_cancel)
        if linked:
            st.button("Close", key="job-close", icon=":material/unfold_less:", type="tertiary", on_click=_leave)
        else:
            _button(job, "Log and details", ":material/notes:", _look)


def _button(job: Job, label: str, icon: str, step: object, *, off: bool = False, name: str = "") -> None:
    draw = st.button if step is _look else partial(gate.button, Permission.TRAIN)
    draw(
        label,
        key=f"{(name or label).lower().replace(' ', '-')}-{job.id}",
        icon=icon,
        disabled=off,
        type="tertiary" if step is _look else "secondary",
        on_click=problem.kept(step),
        args=(state.workspace(), job.id),
    )


def _look(_workspace: object, job_id: str) -> None:
    st.query_params["job"] = job_id


def _leave() -> None:
    st.query_params.pop("job", None)


def _retry(workspace: object, job_id: str) -> None:
    again = retry(state.workspace(), job_id)
    jobs.watch(again)
    st.query_params["job"] = again.id
