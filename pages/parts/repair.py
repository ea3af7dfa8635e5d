"""The Retrain page: concepts, method, what will be learnt from, and the job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.concepts.concept import Concept, list_concepts
from core.concepts.tags import UNTAGGED, tag_states, tag_version
from core.errors import MidbandError, NotFound
from core.jobs.job import Job
from core.jobs.queue import get_job
from core.retraining.curation import Curation
from core.retraining.material import chosen_concepts
from core.retraining.methods import METHODS
from core.retraining.runs import check_request, new_run_id, open_run, preview
from pages.parts import jobs, rooms, state
from pages.parts.words import TERMS, count, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

JOB = "retrain_job"
PREVIEW = "retrain_preview"
DEFAULT = "mid"
# methods that choose images from tags, so that the choice can be shown beforehand
CURATING = ("mid", "mid-tags")


def offer(analysis: Analysis) -> None:
    job = _current(analysis)
    if job is not None:
        st.session_state[JOB] = job.id
        jobs.panel(job, on_done=_done, noun="step")
        if not job.active:
            st.button("Set up another repair", icon=":material/add:", on_click=partial(st.session_state.pop, JOB, None))
        return
    concepts = _concepts(analysis)
    method = _method(analysis)
    seed = int(st.session_state.get("retrain_seed", 0))
    missing = _missing(analysis, method, concepts)
    with st.container(border=True, key="card-curation"):
        st.header("What it will learn from", anchor=False, help=TERMS["curation"])
        if missing is None and method in CURATING:
            _show(_preview(analysis, method, concepts, seed))
        elif missing is None:
            st.markdown(plain(METHODS[method].description))
        else:
            st.markdown(f":material/info: {plain(missing.detail)} {plain(missing.next_step)}")
            if METHODS[method].needs == "tags":
                rooms.link("tag_next", "Tag next")
    _start(analysis, method, concepts, missing)


def _concepts(analysis: Analysis) -> tuple[str, ...]:
    """Which concepts' groups are balanced: the confounders with enough tags, unless somebody chooses otherwise."""
    tagged = [concept for concept in list_concepts(state.workspace(), analysis.dataset_id) if _tags(analysis, concept)]
    usable = {concept.name: concept for concept in tagged if concept.role != "wrong-label"}
    if len(usable) < 2:
        return tuple(usable)
    chosen = st.pills(
        "Concepts",
        list(usable),
        selection_mode="multi",
        default=[concept.name for concept in chosen_concepts(state.workspace(), analysis, ())],
        format_func=lambda name: f"{plain(short(name))} · {_tags(analysis, usable[name])}",
        key=f"retrain-concepts-{analysis.id}",
        help="What the new last layer should stop relying on, and how many tags each has. With several, every "
        "combination of them is a group of its own.",
    )
    return tuple(chosen)


def _tags(analysis: Analysis, concept: Concept) -> int:
    return int((tag_states(state.workspace(), analysis, concept) != UNTAGGED).sum())


def _method(analysis: Analysis) -> str:
    with st.expander(f"Method: {plain(_title())}", icon=":material/tune:", key="retrain-methods"):
        names = list(METHODS)
        st.radio(
            "Method",
            names,
            key="retrain_method",
            index=names.index(DEFAULT),
            format_func=lambda name: plain(METHODS[name].title) + (" (the usual choice)" if name == DEFAULT else ""),
            captions=[_caption(name, analysis) for name in names],
            label_visibility="collapsed",
        )
        st.number_input("Seed", min_value=0, value=0, key="retrain_seed", help=TERMS["seed"], width=160)
    return str(st.session_state["retrain_method"])


def _title() -> str:
    return METHODS[st.session_state.get("retrain_method", DEFAULT)].title


def _caption(name: str, analysis: Analysis) -> str:
    method = METHODS[name]
    needs = {
        "tags": "Needs tags.",
        "attributes": f"Uses {plain(analysis.attributes[0].name)}, which the dataset knows of every image."
        if analysis.attributes
        else "Needs an attribute that the dataset knows of every image; this one has none.",
    }.get(method.needs, "Needs nothing.")
    return f"{plain(method.description)} {needs}"


def _missing(analysis: Analysis, method: str, concepts: tuple[str, ...]) -> MidbandError | None:
    """Why it cannot start yet."""
    try:
        check_request(state.workspace(), analysis, method, concepts)
        if method in CURATING:
            _preview(analysis, method, concepts, int(st.session_state.get("retrain_seed", 0)))
    except MidbandError as error:
        return error
    return None


def _preview(analysis: Analysis, method: str, concepts: tuple[str, ...], seed: int) -> Curation:
    """Fitted once for the tags as they are now."""
    key = (analysis.id, method, concepts, seed, tag_version(state.workspace(), analysis.dataset_id))
    kept = st.session_state.get(PREVIEW)
    if kept is None or kept[0] != key:
        with st.spinner("Choosing images …"):
            chosen = preview(state.workspace(), analysis, method=method, concepts=concepts, seed=seed)
        st.session_state[PREVIEW] = kept = (key, chosen)
    return kept[1]


def _show(curation: Curation) -> None:
    reasons = curation.to_dict()["counts"]
    total = len(curation.positions)
    parts = [
        f"**{reasons['tagged']:,}** you tagged",
        f"**{reasons['assumed']:,}** assumed to look usual, from the top of their class",
        f"**{reasons['probe']:,}** recognised from your tags" if reasons["probe"] else "",
    ]
    st.markdown(
        f"{count(total, 'image')}: {', '.join(part for part in parts if part)}. "
        f"{count(curation.left_out, 'unclear one')} left out. Every group below counts the same."
    )
    table = pd.DataFrame(
        [
            {"group": _group(size.class_name, size.concept), "images": size.count, "tagged": size.tagged}
            for size in curation.sizes
        ]
    )
    st.dataframe(table, hide_index=True, width="stretch", height="content" if len(table) <= 12 else 420)
    for warning in curation.warnings:
        st.caption(f":material/warning: {plain(warning)}")


def _group(class_name: str, concept: str | None) -> str:
    return class_name if concept is None else f"{class_name} · {concept}"


def _start(analysis: Analysis, method: str, concepts: tuple[str, ...], missing: MidbandError | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = st.button(
            "Retrain",
            type="primary",
            icon=":material/play_arrow:",
            disabled=missing is not None,
            help=None if missing is None else plain(missing.next_step),
        )
        if missing is not None:
            # what to do about it stands above
            st.caption(f"{plain(missing.title)}.", width="stretch")
    if pressed:
        request = {
            "analysis": analysis.id,
            "method": method,
            "concepts": list(concepts),
            "seed": int(st.session_state.get("retrain_seed", 0)),
            "run": new_run_id(),
        }
        st.session_state[JOB] = jobs.begin("retrain", f"Retrain on {analysis.dataset_name}", request).id
        st.rerun()


def _current(analysis: Analysis) -> Job | None:
    running = jobs.active("retrain")
    if running is not None:
        return running
    if job_id := st.session_state.get(JOB):
        try:
            job = get_job(state.workspace(), job_id)
        except NotFound:
            return None
        if job.request.get("analysis") == analysis.id:
            return job
    return None


def _done(job: Job) -> None:
    run = open_run(state.workspace(), (job.result or {})["run"])
    with st.container(border=True, key="card-done"):
        worst = f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
        st.markdown(f"**The new last layer is ready.** Worst group on test images: **{worst}**.")
        if st.button("See the results", type="primary", icon=":material/arrow_forward:"):
            st.session_state["run"] = run.run
            rooms.go("results", run=run.run)
