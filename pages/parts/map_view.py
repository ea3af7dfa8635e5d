"""The Map page itself, a fragment: the map and what it is coloured by; and in it another one, which is all that runs
when somebody draws: what is marked, and the images that they drew around."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.directions import scores
from core.activations.projection import (
    FEWEST,
    MIN_DIST,
    NEIGHBOURS,
    SAMPLE,
    USUAL,
    MapPoints,
    MapSettings,
    inside_polygon,
    map_points,
    map_settings,
    pca_points,
    umap_stamp,
)
from core.activations.selection import describe
from core.errors import BadRequest, MidbandError
from core.jobs.job import DONE, Job
from core.jobs.queue import list_jobs
from core.settings import DEFAULTS
from pages.parts import (
    band_data,
    band_state,
    concept_tools,
    feature_map,
    gallery,
    inspector,
    jobs,
    map_colours,
    map_pictures,
    notices,
    problem,
    rooms,
    state,
    theme,
)
from pages.parts.feature_map import MapColours, MapEvent, MapLayout
from pages.parts.image_grid import format_activation
from pages.parts.words import count, duration, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEAD = "Every image as a point, near to those the network sees alike. Draw around some to look at them and tag them."
VIEWS = "map_views"
SELECTED = "map_selected"
DRAWN = "map_drawn"
PAGE = "map_page"
OPENED = "map_opened"
KEY = "map"
UMAP, PCA = "umap", "pca"
LAYOUTS = {UMAP: "UMAP", PCA: "Principal components"}
FEW, MANY = 5, 100
LATE = "The map changed before that arrived, so nothing was selected. Please draw it again."


@dataclass(frozen=True)
class MapView:
    """layout: which one is wanted; principal components are shown until there is a UMAP. colour: a facet or a
    direction. neighbours, min_dist: of UMAP. at: the layout that `where` belongs to, where: what part of it is seen."""

    layout: str = UMAP
    colour: str = map_colours.USUAL
    neighbours: int = USUAL.neighbours
    min_dist: float = USUAL.min_dist
    at: str = ""
    where: feature_map.View | None = None

    @property
    def settings(self) -> MapSettings:
        return MapSettings(neighbours=self.neighbours, min_dist=self.min_dist)


def heading() -> None:
    """What stands above an invitation to begin."""
    theme.heading("Map", LEAD)


@st.fragment
@problem.guarded
def explore(analysis: Analysis) -> None:
    band = _band(analysis)
    choices = map_colours.choices(analysis, band)
    view = current(analysis, choices)
    notices.show()
    # as wide as the Bands page
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="medium", key="band-head"
    ):
        st.title("Map", anchor=False, width="content")
        if analysis.n >= FEWEST:
            _controls(analysis, view, choices)
    with st.container(key="lead"):
        st.markdown(LEAD)
    if analysis.n < FEWEST:
        _too_few(analysis)
        return
    # looked up once: a UMAP may come at any moment, and no map may go by another one's name
    points = _points(analysis, view)
    # always there, so that the map below keeps its place, and with it what somebody is drawing
    with st.container(key="map-about"):
        _about(analysis, view, points)
    layout = MapLayout(_layout_id(points, view), LAYOUTS[points.kind], points.xy)
    colours = map_colours.colours(analysis, view.colour, choices[view.colour])
    with st.container(gap=None):
        feature_map.send(KEY, layout, colours)
        _drawn(analysis, layout, colours)
    state.write_link(query(analysis, kept(analysis)))


# --- what is looked at -----------------------------------------------------------------------------------------------


def current(analysis: Analysis, choices: dict[str, str]) -> MapView:
    """The view of this investigation: from the address when that is new, else as it was left. choices: what there is
    to colour by."""
    views: dict[str, MapView] = st.session_state.setdefault(VIEWS, {})
    asked = state.view_link()
    if asked and asked.get("analysis", analysis.id) == analysis.id and len(asked) > ("analysis" in asked):
        views[analysis.id] = from_link(asked)
    view = views.setdefault(analysis.id, MapView())
    if view.colour not in choices:
        notices.say(f"There is nothing called {plain(view.colour)} to colour by (any more).", ":material/info:")
        view = replace(view, colour=map_colours.USUAL)
        views[analysis.id] = view
    return view


def kept(analysis: Analysis) -> MapView:
    """The view as it was left, without a look at the address."""
    return st.session_state[VIEWS][analysis.id]


def change(analysis: Analysis, **changes: object) -> None:
    st.session_state[VIEWS][analysis.id] = replace(kept(analysis), **changes)  # type: ignore[arg-type]


def query(analysis: Analysis, view: MapView) -> dict[str, str]:
    """What a link to this view carries."""
    link = {"analysis": analysis.id, "layout": view.layout, "colour": view.colour}
    if (view.neighbours, view.min_dist) != (USUAL.neighbours, USUAL.min_dist):
        link |= {"neighbours": str(view.neighbours), "min_dist": f"{view.min_dist:g}"}
    if view.where is not None and view.at == _layout_id(_points(analysis, view), view):
        link["at"] = ",".join(f"{number:g}" for number in view.where)
    return link


def from_link(asked: dict[str, str]) -> MapView:
    """What an address asks for; whatever in it makes no sense falls back to the usual."""
    try:
        settings = map_settings(asked)
    except BadRequest:
        settings = USUAL
    layout = asked.get("layout")
    return MapView(
        layout=layout if layout in LAYOUTS else UMAP,
        colour=asked.get("colour") or map_colours.USUAL,
        neighbours=settings.neighbours,
        min_dist=settings.min_dist,
        where=feature_map.read_view([_number(part) for part in asked.get("at", "").split(",")]),
    )


def selected_rows(analysis: Analysis) -> np.ndarray:
    """Rows (m,) int64, rising, of what is selected on the map of this session."""
    return st.session_state.get(SELECTED, {}).get(analysis.id, np.empty(0, dtype=np.int64))


def select(analysis: Analysis, rows: np.ndarray) -> None:
    """Select these rows, (m,) rising and each once, and show them from the first page on."""
    st.session_state.setdefault(PAGE, {})[analysis.id] = 0
    st.session_state[DRAWN] = st.session_state.get(DRAWN, 0) + 1
    st.session_state.setdefault(SELECTED, {})[analysis.id] = np.asarray(rows, dtype=np.int64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _band(analysis: Analysis) -> band_state.View:
    """The band that was looked at last; the mid band of the first class where none was."""
    try:
        return band_state.kept(analysis)
    except KeyError:
        return band_state.start(analysis)


# --- controls --------------------------------------------------------------------------------------------------------


def _controls(analysis: Analysis, view: MapView, choices: dict[str, str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content", key="map-controls"):
        st.session_state["map-layout"] = view.layout
        st.segmented_control(
            "Layout",
            list(LAYOUTS),
            format_func=LAYOUTS.get,
            key="map-layout",
            required=True,
            label_visibility="collapsed",
            on_change=problem.kept(partial(_set_layout, analysis)),
            help="**UMAP** keeps alike images together; its axes and its distances between groups mean nothing. "
            "**Principal components** show the two directions in which the features differ most; they are there at "
            "once.",
        )
        st.session_state["map-colour"] = view.colour
        st.selectbox(
            "Colour by",
            list(choices),
            # a list of choices shows text as it is
            format_func=lambda spec: f"Colour: {short(choices.get(spec, spec))}",
            key="map-colour",
            label_visibility="collapsed",
            width=260,
            on_change=problem.kept(partial(_set_colour, analysis)),
        )
        with st.popover("More", icon=":material/tune:", key="map-more"), st.form("map-settings", border=False):
            st.markdown("**Settings of UMAP**")
            st.session_state["map-neighbours"], st.session_state["map-min-dist"] = view.neighbours, view.min_dist
            st.number_input(
                "Neighbours",
                min_value=NEIGHBOURS[0],
                max_value=NEIGHBOURS[1],
                key="map-neighbours",
                help="How many images each one is held near to. Few show small groups, many the large picture.",
            )
            st.slider(
                "Least distance",
                MIN_DIST[0],
                MIN_DIST[1],
                key="map-min-dist",
                help="How close points may lie. Small makes dense groups, large spreads them out.",
            )
            st.form_submit_button(
                "Make the map", icon=":material/scatter_plot:", on_click=problem.kept(partial(_set_settings, analysis))
            )


def _set_settings(analysis: Analysis) -> None:
    neighbours, min_dist = st.session_state["map-neighbours"], st.session_state["map-min-dist"]
    change(analysis, layout=UMAP, neighbours=int(neighbours), min_dist=round(float(min_dist), 3))
    if umap_stamp(analysis, kept(analysis).settings) is None:
        _begin(analysis)


def _set_layout(analysis: Analysis) -> None:
    change(analysis, layout=st.session_state["map-layout"])


def _set_colour(analysis: Analysis) -> None:
    change(analysis, colour=st.session_state["map-colour"])


# --- the job ---------------------------------------------------------------------------------------------------------


def _about(analysis: Analysis, view: MapView, points: MapPoints) -> None:
    """What the map shows, and where the UMAP stands while there is none with these settings."""
    nowhere = f" {count(points.nowhere, 'image')} without finite features have no place here." if points.nowhere else ""
    if points.kind == UMAP:
        rest = analysis.n - points.nowhere - points.laid_out
        placed = f" {points.laid_out:,} images were laid out, the others stand among their nearest of those."
        st.caption(
            "Near each other is alike; how far groups lie apart, and how dense they are, says little."
            f"{placed if rest > 0 else ''}{nowhere}"
        )
        return
    axes = f"The two axes hold {percent(points.spread)} of what differs between the images' features.{nowhere}"
    job = _job(analysis, view) if view.layout == UMAP else None
    if job is not None and job.state != DONE:
        if job.active:
            st.caption(f"Principal components are shown until the UMAP is there. {axes}")
        jobs.panel(job, on_done=lambda _: None, noun="step")
        return
    if view.layout == PCA:
        st.caption(axes)
        return
    placed = f" {count(SAMPLE, 'image')} are laid out, the others placed among them." if analysis.n > SAMPLE else ""
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="map-umap"):
        st.button(
            "Make the UMAP",
            type="primary",
            icon=":material/scatter_plot:",
            on_click=problem.kept(partial(_begin, analysis)),
        )
        st.caption(
            "You see the principal components. A UMAP parts groups of alike images better; it is made once, in the "
            f"background, in about {duration(_estimate(analysis))}.{placed}{nowhere}",
            width="stretch",
        )


def _begin(analysis: Analysis) -> None:
    view = kept(analysis)
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


def _too_few(analysis: Analysis) -> None:
    with st.container(border=True, key="card-empty"):
        st.markdown(
            f"**A map needs at least {FEWEST} images;** this investigation has {analysis.n}. Load more images, or look "
            "at them on the Bands page."
        )
        with st.container(horizontal=True):
            rooms.link("load", "Load your data")
            rooms.link("bands", "Bands")


# --- the map ---------------------------------------------------------------------------------------------------------


@st.fragment
@problem.guarded
def _drawn(analysis: Analysis, layout: MapLayout, colours: MapColours) -> None:
    """What runs when somebody draws: neither places nor colours change, and the panel of a job is left alone."""
    band = _band(analysis)
    with st.container():
        _map(analysis, layout, colours, band)
        _selection(analysis, band)


def _map(analysis: Analysis, layout: MapLayout, colours: MapColours, band: band_state.View) -> None:
    view = kept(analysis)
    selected = np.zeros(analysis.n, dtype=bool)
    selected[selected_rows(analysis)] = True
    in_band, band_label = _in_band(analysis, band)
    feature_map.feature_map(
        KEY,
        layout,
        colours,
        selected=selected,
        band=in_band,
        band_label=band_label,
        view=view.where if view.at in ("", layout.id) else None,
        on_event=problem.kept(partial(_on_event, analysis)),
        on_view=partial(_on_view, analysis),
        pictures=map_pictures.address(analysis, view.colour, colours.title),
    )


def _points(analysis: Analysis, view: MapView) -> MapPoints:
    stamp = umap_stamp(analysis, view.settings) if view.layout == UMAP else None
    return _principal(analysis) if stamp is None else _laid_out(analysis, view.settings, stamp)


@lru_cache(maxsize=4)
def _principal(analysis: Analysis) -> MapPoints:
    return pca_points(analysis)


@lru_cache(maxsize=4)
def _laid_out(analysis: Analysis, settings: MapSettings, stamp: tuple[int, ...]) -> MapPoints:
    """stamp: of what is on disk, so that another one is seen."""
    return map_points(analysis, settings)


def _layout_id(points: MapPoints, view: MapView) -> str:
    return f"{points.kind} {view.neighbours} {view.min_dist:g}" if points.kind == UMAP else PCA


def _in_band(analysis: Analysis, view: band_state.View) -> tuple[np.ndarray | None, str]:
    """(n,) bool, the band that is looked at on the Bands page, and its name; None where it cannot be looked at."""
    try:
        subject = band_state.subject(analysis, view)
        low, high = (format_activation(end) or f"{end:g}" for end in (view.low, view.high))
        return _mask(subject, view.low, view.high), f"{band_data.direction(subject).title}, {low} to {high}"
    except MidbandError:
        return None, ""


@lru_cache(maxsize=4)
def _mask(subject: band_data.Subject, low: float, high: float) -> np.ndarray:
    mask = np.zeros(subject.analysis.n, dtype=bool)
    mask[band_data.members(subject, low, high)] = True
    return mask


# --- what a person does ----------------------------------------------------------------------------------------------


def _on_view(analysis: Analysis, layout: str, where: feature_map.View | None) -> None:
    view = kept(analysis)
    if layout == _layout_id(_points(analysis, view), view):
        change(analysis, at=layout, where=where)
        state.write_link(query(analysis, kept(analysis)))


def _on_event(analysis: Analysis, event: MapEvent) -> None:
    view = kept(analysis)
    if event.kind == "open":
        st.session_state[OPENED] = event.row
        return
    if event.kind == "clear":
        select(analysis, np.empty(0, dtype=np.int64))
        return
    rows = _meant(analysis, view, event)
    if rows is None:
        notices.say(LATE, ":material/info:")
        return
    if event.mode != "replace":
        selected = np.zeros(analysis.n, dtype=bool)
        selected[selected_rows(analysis)] = True
        selected[rows] = event.mode == "add"
        rows = np.flatnonzero(selected)
    select(analysis, rows)


def _meant(analysis: Analysis, view: MapView, event: MapEvent) -> np.ndarray | None:
    """The rows that an event means; None where it speaks of a layout or of colours that are not shown any more."""
    if event.kind == "one":
        return np.array([event.row])
    if event.kind == "area":
        # principal components also when a UMAP has come while somebody drew
        points = _principal(analysis) if event.layout == PCA else _points(analysis, view)
        if event.layout != _layout_id(points, view):
            return None
        inside = inside_polygon(points.xy, np.reshape(event.corners, (-1, 2)))
    else:
        inside = np.ones(analysis.n, dtype=bool)
    if event.values is not None:
        choices = map_colours.choices(analysis, _band(analysis))
        if view.colour not in choices:
            return None
        colours = map_colours.colours(analysis, view.colour, choices[view.colour])
        if event.colours != colours.id:
            return None
        inside &= np.isin(colours.codes, event.values)
    return np.flatnonzero(inside)


# --- the selection ---------------------------------------------------------------------------------------------------


def _selection(analysis: Analysis, band: band_state.View) -> None:
    opened = st.session_state.pop(OPENED, None)
    rows = selected_rows(analysis)
    if not len(rows):
        st.caption(
            "**Nothing is selected.** Drag around points with the lasso, or press a value in the legend and **Select "
            "all**. What you select is shown here, to be tagged like any image."
        )
    else:
        _selected(analysis, rows, band)
    if opened is not None:
        near = rows if opened in rows else np.array([opened])
        inspector.open_dialog(analysis, int(analysis.ids[opened]), ids=analysis.ids[near[:300]].tolist())


def _selected(analysis: Analysis, rows: np.ndarray, band: band_state.View) -> None:
    found = describe(analysis, rows)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small", key="map-selected"
    ):
        st.markdown(f"**{count(found.count, 'image')}:** {plain(found.sentence())}", width="stretch")
        with st.container(horizontal=True, gap="small", width="content"):
            found_in = _range(analysis, rows, band)
            if st.button(
                "Show in Bands",
                icon=":material/bar_chart:",
                disabled=found_in is None,
                help="The band from the lowest to the highest activation of these images, along the direction at hand.",
            ):
                band_state.change(analysis, **(found_in or {}))
                rooms.go("bands")
            concept_tools.create(analysis, "map", prominent=not concept_tools.concepts(analysis))
            st.button(
                "Clear",
                icon=":material/close:",
                on_click=problem.kept(partial(select, analysis, rows[:0])),
                key="map-clear",
            )
    number = st.session_state.setdefault(PAGE, {}).get(analysis.id, 0)
    size = DEFAULTS.grid_size
    pages = math.ceil(len(rows) / size)
    number = min(number, pages - 1)
    # mixed, always in the same way: a first page of rows in order would show one folder
    shown = np.random.default_rng(0).permutation(rows)[number * size : (number + 1) * size]
    along = (
        map_colours.direction(analysis, band.direction) if band_data.has_direction(analysis, band.direction) else None
    )
    gallery.show(
        analysis,
        shown,
        key="map-grid",
        values=None if along is None else scores(analysis, along, shown),
        place=gallery.Place(direction=None if along is None else along.spec),
        direction=along,
        total=len(rows),
        page=number,
        pages=pages,
        scope=f"{analysis.id} {st.session_state.get(DRAWN, 0)}",
        within="in your selection",
        on_page=problem.kept(partial(_set_page, analysis)),
        everything=partial(selected_rows, analysis),
        how="map",
    )


def _set_page(analysis: Analysis, number: int) -> None:
    st.session_state.setdefault(PAGE, {})[analysis.id] = number


def _range(analysis: Analysis, rows: np.ndarray, band: band_state.View) -> dict[str, object] | None:
    """What to change of the Bands page so that its band holds all of these images; None where no band can."""
    spec = band.direction if band_data.has_direction(analysis, band.direction) else f"logit:{analysis.classes[0]}"
    values = scores(analysis, map_colours.direction(analysis, spec), rows)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return {
        "direction": spec,
        "low": float(values.min()),
        "high": float(values.max()),
        "split": band_data.ALL if len(band_state.splits(analysis)) > 1 else band_state.splits(analysis)[0],
        "where": band_data.EVERY_IMAGE,
        "run": "",
        "look": band_state.IMAGES,
    }
