"""Work under way: the indicator in the sidebar, the panel on a page, and the toast at the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import streamlit as st
from sqlalchemy import select

from core.access.policy import Permission
from core.database import JobRecord, now
from core.errors import NotFound
from core.jobs.control import pause, resume
from core.jobs.job import CANCELLED, DONE, FAILED, PAUSED, QUEUED, RUNNING, Job
from core.jobs.launcher import launch, retry
from core.jobs.queue import get_job, list_jobs, read_log, request_cancel
from pages.parts import gate, load_rest, notices, problem, rooms, state
from pages.parts.words import count, duration, plain

WATCHED = "jobs_watched"
# ids of those that were begun here
BEGUN = "jobs_begun"
# ids of failed jobs whose message somebody has put away
PUT_AWAY = "jobs_put_away"
POLL = 1.0
# shown beside every page; the rest is counted
SMALL = 3
# a failure is told again after a reload for this long
TOLD_AGAIN = timedelta(days=1)
# kinds that take seconds and whose end is told where they were asked for
UNANNOUNCED = ("look", "check")
# jobs of a kind that are looked at for the last one of an investigation
MOST_LOOKED_AT = 50


def begin(kind: str, title: str, request: dict[str, Any], *, key: str | None = None) -> Job:
    """Start work in the background and watch it. Pressed twice, it starts once."""
    job = launch(state.workspace(), kind, title, request, key=key)
    watch(job)
    return job


def watch(job: Job) -> None:
    """Count a job among those begun here, and tell its end."""
    _begun().append(job.id)
    if job.kind not in UNANNOUNCED:
        _watched()[job.id] = job.state


def latest(*kinds: str, analysis: str | None = None) -> Job | None:
    """The newest job of these kinds, whatever its state. analysis: only of this investigation."""
    query = select(JobRecord.id, JobRecord.request).where(JobRecord.kind.in_(kinds)).order_by(JobRecord.turn.desc())
    with state.workspace().reading() as session:
        found = session.execute(query.limit(MOST_LOOKED_AT if analysis else 1)).all()
    fits = (key for key, request in found if analysis in (None, request.get("analysis")))
    return next((get_job(state.workspace(), key) for key in fits), None)


def active(*kinds: str, analysis: str | None = None) -> Job | None:
    """The job of these kinds that waits or runs. analysis: only of this investigation."""
    running = list_jobs(state.workspace(), active=True)
    return next(
        (
            job
            for job in running
            if (not kinds or job.kind in kinds) and analysis in (None, job.request.get("analysis"))
        ),
        None,
    )


def begun(kind: str, *, analysis: str) -> tuple[str, ...]:
    """Ids of the jobs of a kind and an investigation that this session began, the first first."""
    ids = _begun()
    if not ids:
        return ()
    with state.workspace().reading() as session:
        found = session.scalars(select(JobRecord).where(JobRecord.id.in_(ids), JobRecord.kind == kind)).all()
    of_analysis = {job.id for job in found if job.request.get("analysis") == analysis}
    return tuple(each for each in dict.fromkeys(ids) if each in of_analysis)


def at_hand(kind: str, kept: str, *, analysis: str | None = None) -> Job | None:
    """What a page that starts jobs of a kind has to show: the one under way, else the one that was started here, whose
    id the session holds under `kept`; else the last, where it failed and nobody has put that away.

    analysis: only of this investigation.
    """
    if (running := active(kind, analysis=analysis)) is not None:
        st.session_state[kept] = running.id
        return running
    if job_id := st.session_state.get(kept):
        try:
            job = get_job(state.workspace(), job_id)
        except NotFound:
            del st.session_state[kept]
        else:
            if analysis in (None, job.request.get("analysis")):
                return job
    last = latest(kind, analysis=analysis)
    if last is None or last.state != FAILED or last.id in st.session_state.get(PUT_AWAY, ()):
        return None
    return last if last.finished is None or now() - last.finished < TOLD_AGAIN else None


def put_away(job: Job, kept: str) -> None:
    """What `at_hand` does not show again, as a callback."""
    st.session_state.pop(kept, None)
    st.session_state.setdefault(PUT_AWAY, set()).add(job.id)


def indicator() -> None:
    """What runs now, on every page. It asks every second only while something runs."""
    running = [job for job in list_jobs(state.workspace(), active=True) if job.kind not in UNANNOUNCED]
    watched = _watched()
    for job in running:
        watched.setdefault(job.id, job.state)
    polled = st.fragment(_indicator, run_every=POLL if watched else None)
    with st.sidebar.container(key="jobs"):
        polled()
        load_rest.offer()


def _indicator() -> None:
    with problem.shown():
        watched = _watched()
        ended, under_way = False, []
        for job_id in list(watched):
            job = get_job(state.workspace(), job_id)
            if job.active:
                under_way.append(job)
            else:
                del watched[job_id]
                _announce(job)
                ended = True
        for job in sorted(under_way, key=lambda job: job.state != RUNNING)[:SMALL]:
            _small(job)
        if under_way:
            more = len(under_way) - SMALL
            rooms.link("jobs", f"Jobs, {more} more" if more > 0 else "Jobs")
        if ended:
            # the page itself may show something new, and polling may stop
            st.rerun()


def _small(job: Job) -> None:
    label = f"{plain(job.title)} — {_status(job)}"
    fraction = job.fraction
    st.progress(fraction if fraction is not None else 0.0, text=label)


def _announce(job: Job) -> None:
    """Say how it ended. What somebody is looking at stays: the page that started it leads on."""
    if job.state == DONE:
        notices.say(f"{plain(job.title)}: done.", icon=":material/check_circle:")
    elif job.state == FAILED:
        notices.say(f"{plain(job.title)}: it did not work out. Jobs has its log.", icon=":material/error:")
    elif job.state == CANCELLED:
        notices.say(f"{plain(job.title)}: cancelled.", icon=":material/cancel:")


def panel(job: Job, *, on_done: Callable[[Job], None], noun: str = "image") -> None:
    """One job in full: bar, speed, time left, cancel, log; and how it ended.

    on_done draws what follows a success. noun: what is counted ("image", "step").
    """
    if job.active:
        st.fragment(_progress, run_every=POLL)(job.id, noun)
    elif job.state == DONE:
        on_done(job)
        _log(job)
    else:
        _ended(job)


def _progress(job_id: str, noun: str) -> None:
    with problem.shown():
        job = get_job(state.workspace(), job_id)
        if not job.active:
            st.rerun()
        with st.container(border=True, key="card-job"):
            st.markdown(f"**{plain(job.title)}**")
            fraction = job.fraction
            st.progress(fraction if fraction is not None else 0.0, text=plain(job.message) or _status(job).capitalize())
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                st.caption(_standing(job) or pace(job, noun) or "Getting ready …")
                if not job.stopping:
                    paused = job.state == PAUSED
                    gate.button(
                        Permission.TRAIN,
                        "Resume" if paused else "Pausing …" if job.pausing else "Pause",
                        key=f"pause-{job.id}",
                        icon=":material/play_arrow:" if paused else ":material/pause:",
                        disabled=job.pausing,
                        on_click=problem.kept(resume if paused else pause),
                        args=(state.workspace(), job.id),
                    )
                gate.button(
                    Permission.TRAIN,
                    "Cancelling …" if job.stopping else "Cancel",
                    key=f"cancel-{job.id}",
                    icon=":material/close:",
                    disabled=job.stopping,
                    on_click=problem.kept(request_cancel),
                    args=(state.workspace(), job.id),
                )
            _log(job)
        st.caption("It goes on if you leave this page, close the browser or restart the server.")


def _ended(job: Job) -> None:
    if job.state == FAILED and job.error:
        problem.show(job.error)
    elif job.state == CANCELLED:
        st.info(f"{plain(job.title)}: cancelled. Nothing half-made was kept.", icon=":material/cancel:")
    with st.container(horizontal=True, vertical_alignment="center"):
        if gate.button(Permission.TRAIN, "Try again", key=f"retry-{job.id}", icon=":material/refresh:"):
            watch(retry(state.workspace(), job.id))
            st.rerun()
    _log(job)


def _log(job: Job) -> None:
    if text := read_log(state.workspace(), job.id):
        with st.expander("Log", icon=":material/notes:", key=f"log-{job.id}"):
            st.code(text, language=None, height=220, wrap_lines=True)


def _standing(job: Job) -> str:
    """Why it does not move; empty while it does."""
    if job.state == PAUSED:
        return plain(job.exit_reason) or "Paused."
    return "Waiting for its turn." if job.state == QUEUED else ""


def _status(job: Job) -> str:
    if job.stopping:
        return "stopping"
    if job.state == PAUSED or job.pausing:
        return "paused" if job.state == PAUSED else "pausing"
    if job.state == QUEUED:
        return "waiting for its turn"
    if job.fraction is None:
        return plain(job.message) or "starting"
    left = f", {duration(job.seconds_left)} left" if job.seconds_left is not None else ""
    return f"{job.fraction:.0%}{left}"


def pace(job: Job, noun: str) -> str:
    parts = []
    if job.total:
        parts.append(f"{job.done:,} of {count(job.total, noun)}")
    if job.rate:
        parts.append(f"{job.rate:,.0f} {noun}s/s" if job.rate >= 10 else f"{job.rate:.1f} {noun}s/s")
    if job.seconds_left is not None:
        parts.append(f"about {duration(job.seconds_left)} left")
    return " · ".join(parts)


def _watched() -> dict[str, str]:
    return st.session_state.setdefault(WATCHED, {})


def _begun() -> list[str]:
    return st.session_state.setdefault(BEGUN, [])
