"""What a run was told, and having it again: the same work as a job, or the same numbers from its file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.jobs.job import DONE
from core.retraining.methods import METHODS
from core.retraining.runs import rerun_request, run_folder
from pages.parts import jobs, run_list, state
from pages.parts.words import TERMS, count, short

if TYPE_CHECKING:
    from core.jobs.job import Job
    from core.retraining.runs import RunResult

JOB = "rerun_job"
REPLAY = "replay.json"


def begin(run: RunResult, seed: int | None = None) -> None:
    """Start the same retraining with the tags as they are now. seed: another one."""
    name = short(run_list.title(run), 60)
    job = jobs.begin("retrain", f"Again: {name}", rerun_request(run, seed=seed))
    st.session_state[JOB] = job.id


def panel() -> None:
    """The retraining under way, or how the one that was started here ended, until it is put away."""
    job = jobs.at_hand("retrain", JOB)
    if job is None:
        return
    jobs.panel(job, on_done=_done, noun="step")
    if not job.active and job.state != DONE:
        st.button("Put away", type="tertiary", icon=":material/close:", on_click=jobs.put_away, args=(job, JOB))


def _done(job: Job) -> None:
    # the new run stands in the list: nothing more to say
    st.session_state.pop(JOB, None)


def replay_command(run: RunResult) -> str:
    """The line that computes a run again and compares; "" for runs of earlier versions, which cannot."""
    file = run_folder(state.workspace(), run.run) / REPLAY
    if not file.is_file():
        return ""
    return f"python -m core replay --workspace {shlex.quote(str(state.workspace().root))} {shlex.quote(str(file))}"


def show_replay(run: RunResult) -> None:
    command = replay_command(run)
    if not command:
        st.caption("A run of an earlier version: it cannot be replayed, but run again.")
        return
    st.caption("The same numbers again, to the last digit on this machine:", help=TERMS["replay"])
    st.code(command, language="bash", wrap_lines=True)


def facts(run: RunResult) -> dict[str, str]:
    """Everything a run was told, in words; to be escaped."""
    method = METHODS.get(run.method)
    found = {
        "Method": f"{run_list.method_title(run.method)}. {method.source}." if method else run.method,
        "Concepts": ", ".join(run.concepts) or "none",
        "Settings": settings_told(run.method, run.settings) or "as usual",
        "Decided on the way": settings_told(run.method, run.chosen),
        "Seed": str(run.seed),
        "Edits": edits_told(run.edits),
        "Made": f"{run.created} UTC, in {run.seconds:.1f} s",
        "Run": run.run,
        "Tags": run.tags,
        "Data": run.data,
        "Could it be repaired?": (run.feasibility or {}).get("sentence", ""),
    }
    return {name: value for name, value in found.items() if value}


def settings_told(method: str, settings: Mapping[str, Any]) -> str:
    """Settings by the titles that the method gives them."""
    titles = {knob.name: knob.title for knob in METHODS[method].knobs} if method in METHODS else {}
    return "; ".join(
        f"{titles.get(name, name.replace('_', ' '))}: {value_told(value)}"
        for name, value in settings.items()
        if isinstance(value, bool | int | float | str) and value != ""
    )


def value_told(value: Any) -> str:
    """One setting as people read it."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return edits_told(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def edits_told(edits: Mapping[str, Any] | None) -> str:
    """How many images were left out or put in by hand."""
    if not edits:
        return ""
    parts = [(len(edits.get("left_out") or ()), "left out"), (len(edits.get("kept") or ()), "put in")]
    return ", ".join(f"{count(number, 'image')} {verb} by hand" for number, verb in parts if number)
