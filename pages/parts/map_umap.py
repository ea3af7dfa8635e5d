"""What the map shows, and where its UMAP stands while there is none: it is made by a job."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.access.policy import Permission
from core.activations.projection import SAMPLE, USUAL, MapPoints, map_settings, umap_stamp
from core.errors import BadRequest
from core.jobs.job import DONE, Job
from core.jobs.queue import get_job, list_jobs, request_cancel
from pages.parts import gate, jobs, map_layouts, map_state, problem, state
from pages.parts.words import count, duration, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.map_state import MapView

# as high with a button as with a bar or a sentence: the map below must not move while somebody draws
ABOUT_STYLE = (
    "<style>.st-key-map-about { min-height: 2.75rem; justify-content: center; gap: 0 }"
    "@media (max-width: 640px) { .st-key-map-about { min-height: 5rem; justify-content: flex-start } }</style>"
)


def about(analysis: Analysis, view: MapView, points: MapPoints) -> None:
    """What the map shows, and where the UMAP stands while there is none with these settings."""
    nowhere = f" {count(points.nowhere, 'image')} without finite features have no place here." if points.nowhere else ""
    if points.kind == map_layouts.UMAP:
        rest = analysis.n - points.nowhere - points.laid_out
        placed = f" {points.laid_out:,} images were laid out, the others stand among their nearest of those."
        st.caption(
            "Near each other is alike; how far groups lie apart, and how dense they are, says little."
            f"{placed if rest > 0 else ''}{nowhere}"
        )
        return
    axes = f"The two axes hold {percent(points.spread)} of what differs between the images' features.{nowhere}"
    job = _job(analysis, view) if view.layout == map_layouts.UMAP else None
    if job is not None and job.state != DONE:
        if job.active:
            st.fragment(_progress, run_every=jobs.POLL)(job.id)
        else:
            jobs.panel(job, on_done=lambda _: None, noun="step")
        return
    if view.layout == map_layouts.PCA:
        st.caption(axes)
        return
    placed = f" {count(SAMPLE, 'image')} are laid out, the others placed among them." if analysis.n > SAMPLE else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="map-umap"):
        gate.button(
            Permission.TRAIN,
            "Make the UMAP",
            type="primary",
            icon=":material/scatter_plot:",
            on_click=problem.kept(partial(begin, analysis)),
        )
        st.caption(
            "Principal components are shown. A UMAP parts groups better; making it takes about "
            f"{duration(_estimate(analysis))}.{placed}{nowhere}",
            width="stretch",
        )


def _progress(job_id: str) -> None:
    """One line, as high as what stands there before and after: the panel of a job would push the map down."""
    with problem.shown():
        job = get_job(state.workspace(), job_id)
        if not job.active:
            st.rerun()
        left = f", about {duration(job.seconds_left)} left" if job.seconds_left is not None else ""
        doing = plain(job.message) or "Getting ready"
        with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="map-job"):
            st.progress(
                job.fraction or 0.0,
                text=f"{doing}{left}. Principal components are shown until the UMAP is there.",
                width="stretch",
            )
            gate.button(
                Permission.TRAIN,
                "Cancelling …" if job.stopping else "Cancel",
                key=f"cancel-{job.id}",
                icon=":material/close:",
                disabled=job.stopping,
                on_click=problem.kept(partial(request_cancel, state.workspace(), job.id)),
            )


def on_its_way(analysis: Analysis) -> bool:
    """Whether the UMAP with these settings is there or being made."""
    view = map_state.kept(analysis)
    job = _job(analysis, view)
    return umap_stamp(analysis, view.settings) is not None or (job is not None and job.active)


def begin(analysis: Analysis) -> None:
    view = map_state.kept(analysis)
    request = {"analysis": analysis.id}
    if view.settings != USUAL:
        request |= {"neighbours": view.neighbours, "min_dist": view.min_dist}
    jobs.begin("map", f"Map of {analysis.dataset_name}", request)


def _job(analysis: Analysis, view: MapView) -> Job | None:
    """The newest job for this map, whatever its state."""
    for job in list_jobs(state.workspace()):
        if job.kind == "map" and job.request.get("analysis") == analysis.id:
            try:
                if map_settings(job.request) == view.settings:
                    return job
            except BadRequest:
                continue
    return None


def _estimate(analysis: Analysis) -> float:
    """Seconds, from benchmarks/bench_map.py on two cores: starting, the quadratic search, the epochs, the rest."""
    laid_out = min(analysis.n, SAMPLE)
    return 15 + laid_out * 1.2e-3 + (laid_out / SAMPLE) ** 2 * 30 + (analysis.n - laid_out) * 2e-4
