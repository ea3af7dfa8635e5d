"""Do model and images fit? A few hundred labelled images tell before the pass, and what would mend it is a button."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from core.errors import NotFound
from core.files import marks_of
from core.jobs.job import CANCELLED, DONE, FAILED, QUEUED, Job
from core.jobs.kinds import kind_of
from core.jobs.queue import get_job, list_jobs, request_cancel
from pages.parts import jobs, load_input, problem, state
from pages.parts.load_look import Looked
from pages.parts.words import count, percent, plain

CHECK = "load_check"
ORDER = "load_class_order"
ORDER_FIELD = "load_class_order_field"
KIND = "check"
# what `show` says
DOUBT, NEVER, CHECKING = "doubt", "never", "checking"
# how a check ended
GOOD, WEAK, NONE = "good", "weak", "none"
# accuracies are sums of weights: the same figure may differ behind the last digit
THE_SAME = 1e-6
# errors of a check that say nothing about model and images
BY_CHANCE = ("JobStopped", "UnexpectedProblem", "DiskFull", "StorageProblem")
# beyond these nobody puts classes in order by hand
MOST_ORDERED = 60
# jobs that are looked through for a check made before a reload
LOOKED_THROUGH = 30
# requests that differ in these alone are tries of the same model
_TRIED = ("preprocessing", "class_order")


def class_order(looked: Looked, model: str) -> list[str] | None:
    """The dataset's classes in the model's order, where somebody said so for these two."""
    kept = st.session_state.get(ORDER)
    return list(kept["classes"]) if kept and kept["of"] == [looked.about["root"], model] else None


def known_input(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """How the model of this request wants images prepared, once a check has opened it."""
    kept = st.session_state.get(CHECK)
    same = kept and _apart_from_tries(kept["wanted"]) == _apart_from_tries(kind_of(KIND).prepare(dict(request)))
    return kept["input"] if same else None


def show(looked: Looked, request: dict[str, Any], own: Sequence[str] | None = None) -> str:
    """What the check says of this request; it begins by itself the first time a model is met.

    own: the model's names of its classes, where its file says them.

    Returns "", `CHECKING` while it runs, `DOUBT` where something should be mended first, or `NEVER` where the pass
    would fail the same way.
    """
    if not looked.labelled:
        st.caption(":material/label_off: Without labels nothing tells beforehand whether model and images fit.")
        return ""
    wanted = kind_of(KIND).prepare(request)
    kept = _kept(wanted)
    if kept["job"] is None:
        # somebody tries settings: not each of them is worth a minute of the machine
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("These settings were not checked yet.")
            if st.button("Check them", icon=":material/fact_check:"):
                _begin(kept, wanted)
                st.rerun()
        return ""
    try:
        job = get_job(state.workspace(), kept["job"])
    except NotFound:
        del st.session_state[CHECK]
        st.rerun()
    if job.active:
        st.fragment(_progress, run_every=jobs.POLL)(job.id)
    elif job.state == DONE:
        _said(job, looked, str(request["model"]))
    elif job.state == FAILED:
        _failed(job)
    elif job.state == CANCELLED:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("The check was stopped.")
            if st.button("Check again", key="load-check-again", type="tertiary", icon=":material/refresh:"):
                _begin(kept, wanted)
                st.rerun()
    _order_by_hand(looked, str(request["model"]), job, own or ())
    if job.state == FAILED:
        return DOUBT if (job.error or {}).get("error") in BY_CHANCE else NEVER
    if job.active:
        return CHECKING
    result = job.result or {}
    return DOUBT if result.get("offers") or (job.state == DONE and _verdict(result) == NONE) else ""


def stop() -> None:
    """End the check that this session began: what it would still say comes too late."""
    kept = st.session_state.get(CHECK)
    if kept and kept["job"] is not None:
        with suppress(NotFound):
            request_cancel(state.workspace(), kept["job"])


def anew() -> None:
    """Have the model met for the first time again: its check begins by itself."""
    st.session_state.pop(CHECK, None)


def _kept(wanted: dict[str, Any]) -> dict[str, Any]:
    """What the session knows of the check of this request, begun now where it is the first of this model."""
    kept = st.session_state.get(CHECK)
    now = stamp(wanted)
    if kept is not None and (kept["wanted"], kept["stamp"]) == (wanted, now):
        return kept
    same = kept is not None and kept["stamp"] == now and _apart_from_tries(kept["wanted"]) == _apart_from_tries(wanted)
    stop()
    fresh = {
        "wanted": wanted,
        "stamp": now,
        "job": None,
        "input": kept["input"] if same and kept else None,
        "promised": kept.get("promised") if same and kept and kept.get("asked") else None,
    }
    st.session_state[CHECK] = fresh
    if (before := _before(wanted)) is not None:
        fresh["job"] = before.id
    elif not same or (kept is not None and kept.get("asked")):
        _begin(fresh, wanted)
    return fresh


def _begin(kept: dict[str, Any], wanted: dict[str, Any]) -> None:
    kept["job"] = jobs.begin(KIND, "Check whether model and images fit", wanted).id


def _before(wanted: Mapping[str, Any]) -> Job | None:
    """The newest check of this very request, made before a reload or on another page."""
    told = json.dumps(wanted, sort_keys=True)
    found = list_jobs(state.workspace(), limit=LOOKED_THROUGH)
    return next(
        (
            job
            for job in found
            if job.kind == KIND
            and (job.active or job.state == DONE)
            and _is_newer(job, wanted)
            and json.dumps(job.request, sort_keys=True) == told
        ),
        None,
    )


def stamp(request: Mapping[str, Any]) -> tuple[tuple[str, int, int], ...]:
    """What tells that the files of a model were written anew; nothing for what is no file."""
    with suppress(OSError, RuntimeError, ValueError):
        return marks_of(Path(request["model"]).expanduser())
    return ()


def _is_newer(job: Job, request: Mapping[str, Any]) -> bool:
    """Whether a job began after the model was last written: what an older one says is of other weights."""
    written = max((modified for _, modified, _ in stamp(request)), default=0)
    return job.created.replace(tzinfo=UTC).timestamp() >= written / 1e9


def _apart_from_tries(request: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name not in _TRIED}


def _progress(job_id: str) -> None:
    with problem.shown():
        job = get_job(state.workspace(), job_id)
        if not job.active:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(width="stretch", gap="xxsmall"):
                st.progress(job.fraction or 0.0, text="Checking on a few hundred images whether model and images fit")
                st.caption("Waiting for its turn" if job.state == QUEUED else plain(job.message) or "Getting ready")
            st.button(
                "Stopping …" if job.stopping else "Stop",
                key="load-check-stop",
                icon=":material/close:",
                disabled=job.stopping,
                on_click=problem.kept(stop),
            )


def _verdict(result: Mapping[str, Any]) -> str:
    """`GOOD`, `WEAK` or `NONE`: the last is no better than guessing. Checks of earlier versions gave only figures."""
    if (said := result.get("verdict")) in (GOOD, WEAK, NONE):
        return str(said)
    accuracy, chance = result.get("accuracy"), result.get("chance") or 0.0
    return GOOD if accuracy is not None and accuracy > chance + THE_SAME else NONE


def _said(job: Job, looked: Looked, model: str) -> None:
    result = job.result or {}
    kept = st.session_state[CHECK]
    found = result.get("preprocessing")
    if found and "preprocessing" not in job.request and kept["input"] != found:
        kept["input"] = found
        # the editor above was drawn before this was known
        st.rerun()
    for note in result.get("notes", ()):
        if note not in looked.about["notes"]:
            st.caption(f":material/info: {plain(note)}")
    offers = result.get("offers") or []
    _kept_promise(result)
    if not offers:
        verdict = _verdict(result)
        if verdict == NONE:
            st.warning(plain(result["sentence"]), icon=":material/warning:")
        with st.container(horizontal=True, vertical_alignment="center"):
            if verdict != NONE:
                icon = ":material/check_circle:" if verdict == GOOD else ":material/info:"
                st.markdown(f"{icon} {plain(result['sentence'])}", width="content")
            if st.button("Check again", key="load-check-again", type="tertiary", icon=":material/refresh:"):
                _begin(kept, job.request)
                st.rerun()
        return
    st.warning(plain(result["sentence"]), icon=":material/swap_vert:")
    with st.container(horizontal=True, vertical_alignment="center"):
        for place, offer in enumerate(offers):
            st.button(
                f"{plain(offer['title'])} ({percent(offer['accuracy'])})",
                key=f"load-offer-{place}",
                type="primary" if not place else "secondary",
                icon=":material/auto_fix_high:",
                on_click=partial(_take, offer, looked.about["root"], model),
            )


def _kept_promise(result: Mapping[str, Any]) -> None:
    """Why the check of what was offered says another figure than the offer did."""
    promised, found = st.session_state[CHECK].get("promised"), result.get("accuracy")
    if promised is not None and found is not None and round(100 * promised) != round(100 * found):
        st.caption(
            f":material/info: The offer said {percent(promised)}: that was on half of these images, those that it was "
            "not found with. Now all of them count."
        )


def _take(offer: Mapping[str, Any], root: str, model: str) -> None:
    if offer.get("classes"):
        set_order(root, model, list(offer["classes"]))
    if offer.get("preprocessing"):
        load_input.use(offer["preprocessing"])
    # what a button promised is checked at once
    st.session_state[CHECK].update(asked=True, promised=offer["accuracy"])


def _failed(job: Job) -> None:
    problem.show(job.error or {})
    if st.button("Check again", icon=":material/refresh:"):
        _begin(st.session_state[CHECK], job.request)
        st.rerun()


def _order_by_hand(looked: Looked, model: str, job: Job, own: Sequence[str]) -> None:
    """The order of the classes, where one was set, or where another one may help."""
    order = class_order(looked, model)
    if order is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(":material/swap_vert: Classes are in the order that you chose for this model.")
            st.button("As the names are", type="tertiary", icon=":material/undo:", on_click=partial(_take_back, ORDER))
    if not 2 <= len(looked.classes) <= MOST_ORDERED:
        return
    if job.state == FAILED and (job.error or {}).get("error") == "ClassMismatch":
        _order_field(looked, model, order)
    elif job.state == DONE and _in_doubt(job.result or {}) and not set(own) & set(looked.classes):
        with st.popover("I know the order of the classes", icon=":material/swap_vert:", type="tertiary"):
            _order_field(looked, model, order)


def _in_doubt(result: Mapping[str, Any]) -> bool:
    """Whether the classes may be in an order that the check has not found."""
    return not result.get("offers") and _verdict(result) != GOOD


def _order_field(looked: Looked, model: str, order: Sequence[str] | None) -> None:
    picked = st.multiselect(
        "Classes in the order of the model's outputs",
        looked.classes,
        default=[name for name in order or () if name in looked.classes],
        key=ORDER_FIELD,
        placeholder="the class of the first output, then the second …",
        help="Only who trained the model knows it.",
    )
    if len(picked) == len(looked.classes) and picked != order:
        set_order(looked.about["root"], model, picked)
        st.session_state[CHECK].update(asked=True, promised=None)
        st.rerun()
    if picked and len(picked) < len(looked.classes):
        st.caption(f"{count(len(looked.classes) - len(picked), 'class is', 'classes are')} still to be named.")


def set_order(root: str, model: str, classes: list[str]) -> None:
    st.session_state[ORDER] = {"of": [root, model], "classes": classes}


def _take_back(key: str) -> None:
    st.session_state.pop(key, None)
    st.session_state[CHECK].update(asked=True, promised=None)
