"""Opening what a path leads to: at once where that takes no time, else as a job with its progress on the page."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import streamlit as st

from core.access.person import acting_as
from core.datasets import choices_from_dict, open_dataset
from core.errors import BadRequest, Cancelled, MidbandError, NotFound
from core.jobs.job import CANCELLED, DONE, Job
from core.jobs.queue import get_job
from pages.parts import gate, jobs, state
from pages.parts.load_look import Looked, look_at, look_from
from pages.parts.words import plain

READ = "load_read"
# seconds that opening may hold up the page; beyond them it goes on in a process of its own
PATIENCE = 0.8


def read(path: str, choices: Mapping[str, Any], *, again: bool = False) -> Looked | None:
    """What there is at a path, kept for the session. None while it is being read, or where reading was cancelled: the
    page shows that then. Raises `MidbandError` for what cannot be used.

    choices: as `Choices.to_dict` gives them.
    """
    wanted = (path, json.dumps(choices, sort_keys=True))
    kept = st.session_state.get(READ)
    if again or kept is None or kept["wanted"] != wanted:
        kept = {"wanted": wanted, "looked": None, "job": None, "error": None}
        st.session_state[READ] = kept
        _begin(kept, path, choices)
    if kept["job"] is not None and kept["looked"] is None:
        _follow(kept)
    if kept["error"] is not None:
        raise kept["error"]
    return kept["looked"]


def forget() -> None:
    st.session_state.pop(READ, None)


def _begin(kept: dict[str, Any], path: str, choices: Mapping[str, Any]) -> None:
    with st.spinner("Reading …"):
        try:
            kept["looked"] = _at_once(path, choices)
        except MidbandError as error:
            kept["error"] = error
            return
    if kept["looked"] is None:
        name = Path(path).name or path
        request = {"data": path, **({"choices": dict(choices)} if choices else {})}
        kept["job"] = jobs.begin("look", f"Read {name}", request).id


def _at_once(path: str, choices: Mapping[str, Any]) -> Looked | None:
    """None where it takes longer than a person should wait for a page.

    A thread reads, so that a slow disk holds up nobody: nothing else can end a call that hangs. It gives up at its next
    sign of progress; what it had begun to unpack is gone then.
    """
    late, store = threading.Event(), state.workspace().datasets
    answer: Future[Looked] = Future()

    def stop_when_late(done: int, total: int, message: str = "") -> None:
        if late.is_set():
            raise Cancelled

    person = gate.me()

    def work() -> None:
        try:
            chosen = choices_from_dict(choices)
            with acting_as(person):
                dataset = open_dataset(path, choices=chosen, store=store, progress=stop_when_late)
                answer.set_result(look_at(dataset, stop_when_late))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        return answer.result(timeout=PATIENCE)
    except TimeoutError:
        if answer.done():
            raise
        late.set()
        return None


def _follow(kept: dict[str, Any]) -> None:
    try:
        job = get_job(state.workspace(), kept["job"])
    except NotFound:
        forget()
        st.rerun()
    if job.active:
        jobs.panel(job, on_done=_nothing, noun="image")
    elif job.state == DONE:
        kept["looked"] = look_from(job.result or {})
    elif job.state == CANCELLED:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{plain(job.title)} was cancelled.")
            if st.button("Read it after all", icon=":material/refresh:"):
                forget()
                st.rerun()
    else:
        kept["error"] = job.problem or BadRequest("It could not be read.", next_step="Read it again.")


def _nothing(job: Job) -> None:
    """The page goes on by itself."""
