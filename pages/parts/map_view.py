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
from core.datasets.dataset import SPLITS
from core.errors import BadRequest, MidbandError
from core.jobs.job import DONE, Job
from core.jobs.queue import get_job, list_jobs, request_cancel
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
    map_strokes,
    notices,
    problem,
    rooms,
    state,
    theme,
)
from pages.parts.feature_map import MapColours, MapEvent, MapLayout
from pages.parts.image_grid import format_activation
from pages.parts.map_strokes import Stroke
from pages.parts.words import TERMS, count, duration, listed, percent, plain, short

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
LATE = "The map changed before that arrived, so nothing was circled. Please draw it again."
# as high with a button as with a bar or a sentence: the map below must not move while somebody draws
ABOUT_STYLE = (
    "<style>.st-key-map-about { min-height: 2.75rem; justify-content: center; gap: 0 }"
    "@media (max-width: 640px) { .st-key-map-about { min-height: 7.5rem } }</style>"
)


@dataclass(frozen=True)
class MapView:
    """layout: which one is wanted; principal components are shown until there is a UMAP. colour: a facet or a
    direction. split: whose images are shown: train, val, test or all; "" for the usual one. neighbours, min_dist: of
    UMAP. at: the layout that `where` belongs to, where: what part of it is seen. strokes: what the circled images come
    from, () where an address cannot say it; on: the layout they were drawn on, "" for the one shown."""

    layout: str = UMAP
    colour: str = map_colours.USUAL
    split: str = ""
    neighbours: int = USUAL.neighbours
    min_dist: float = USUAL.min_dist
    at: str = ""
    where: feature_map.View | None = None
    strokes: tuple[Stroke, ...] = ()
    on: str = ""

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
    if analysis.n < FEWEST:
        _too_few(analysis)
        return
    # looked up once: a UMAP may come at any moment, and no map may go by another one's name
    points = _points(analysis, view)
    # always there, so that the map below keeps its place, and with it what somebody is drawing
    st.html(ABOUT_STYLE)
    with st.container(key="map-about"):
        _about(analysis, view, points)
    layout = MapLayout(
        _shown_id(points, view), LAYOUTS[points.kind], points.xy, _of_split(analysis, view.split), _images(view.split)
    )
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
        views[analysis.id] = _settled(analysis, from_link(asked), choices)
        _circle(analysis, _replayed(analysis, views[analysis.id], choices))
    views[analysis.id] = _settled(analysis, views.get(analysis.id, MapView()), choices)
    return views[analysis.id]


def _settled(analysis: Analysis, view: MapView, choices: dict[str, str]) -> MapView:
    """The view without what is not there."""
    if view.split not in band_state.splits(analysis):
        view = replace(view, split=band_state.splits(analysis)[0])
    if view.colour not in choices:
        notices.say(f"There is nothing called {plain(view.colour)} to colour by (any more).", ":material/info:")
        view = _recoloured(view, map_colours.USUAL)
    return view


def _recoloured(view: MapView, colour: str) -> MapView:
    """What was drawn among the values of other colours cannot be said in the address any more."""
    strokes = () if any(stroke.values is not None for stroke in view.strokes) else view.strokes
    return replace(view, colour=colour, strokes=strokes if colour != view.colour else view.strokes)


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
    if view.split != band_state.splits(analysis)[0]:
        link["split"] = view.split
    layout = _layout_id(_points(analysis, view), view)
    if view.where is not None and view.at == layout:
        link["at"] = ",".join(f"{number:g}" for number in view.where)
    if view.strokes:
        link["circled"] = map_strokes.written(view.strokes)
        if view.on not in ("", layout):
            link["on"] = view.on
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
        split=asked.get("split", ""),
        neighbours=settings.neighbours,
        min_dist=settings.min_dist,
        where=feature_map.read_view([_number(part) for part in asked.get("at", "").split(",")]),
        strokes=map_strokes.read(asked.get("circled", "")),
        on=asked.get("on", ""),
    )


def selected_rows(analysis: Analysis) -> np.ndarray:
    """Rows (m,) int64, rising, of what is circled on the map of this session."""
    return st.session_state.get(SELECTED, {}).get(analysis.id, np.empty(0, dtype=np.int64))


def select(analysis: Analysis, rows: np.ndarray, strokes: tuple[Stroke, ...] = (), on: str = "") -> None:
    """Circle these rows, (m,) rising and each once, and show them from the first page on. strokes, on: as in
    `MapView`."""
    change(analysis, strokes=strokes, on=on)
    _circle(analysis, rows)


def _circle(analysis: Analysis, rows: np.ndarray) -> None:
    st.session_state.setdefault(PAGE, {})[analysis.id] = 0
    st.session_state[DRAWN] = st.session_state.get(DRAWN, 0) + 1
    st.session_state.setdefault(SELECTED, {})[analysis.id] = np.asarray(rows, dtype=np.int64)


def _images(split: str) -> str:
    """What the images shown are called."""
    return "images" if split == band_data.ALL else f"{split} images"


@lru_cache(maxsize=4)
def _of_split(analysis: Analysis, split: str) -> np.ndarray:
    """(n,) bool, whose points are shown."""
    if split == band_data.ALL:
        return np.ones(analysis.n, dtype=bool)
    return np.asarray(analysis.splits == SPLITS.index(split))


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
        parts = band_state.splits(analysis)
        if len(parts) > 1:
            st.session_state["map-split"] = view.split
            st.segmented_control(
                "Images",
                parts,
                key="map-split",
                required=True,
                label_visibility="collapsed",
                on_change=problem.kept(partial(_set_split, analysis)),
                help=TERMS["split"],
            )
        st.session_state["map-colour"] = view.colour
        st.selectbox(
            "Colour by",
            list(choices),
            # a list of choices shows text as it is
            format_func=lambda spec: f"Colour: {short(choices.get(spec, spec))}",
            key="map-colour",
            label_visibility="collapsed",
            width=240,
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


def _set_split(analysis: Analysis) -> None:
    """The same drawing circles the images that are shown now; what no address can say keeps those that still are."""
    change(analysis, split=st.session_state["map-split"])
    view = kept(analysis)
    rows = selected_rows(analysis)
    if view.strokes:
        found = _replayed(analysis, view, map_colours.choices(analysis, _band(analysis)))
    else:
        found = rows[_of_split(analysis, view.split)[rows]]
    _circle(analysis, found)


def _set_colour(analysis: Analysis) -> None:
    views = st.session_state[VIEWS]
    views[analysis.id] = _recoloured(kept(analysis), st.session_state["map-colour"])


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
            st.fragment(_progress, run_every=jobs.POLL)(job.id)
        else:
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
            st.button(
                "Cancelling …" if job.stopping else "Cancel",
                key=f"cancel-{job.id}",
                icon=":material/close:",
                disabled=job.stopping,
                on_click=problem.kept(partial(request_cancel, state.workspace(), job.id)),
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
    state.write_link(query(analysis, kept(analysis)))


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
        view=view.where if not view.at or layout.id == f"{view.at} {view.split}" else None,
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


def _shown_id(points: MapPoints, view: MapView) -> str:
    """Of the points on screen: a layout, and whose images."""
    return f"{_layout_id(points, view)} {view.split}"


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


def _on_view(analysis: Analysis, shown: str, where: feature_map.View | None) -> None:
    view = kept(analysis)
    points = _points(analysis, view)
    if shown == _shown_id(points, view):
        change(analysis, at=_layout_id(points, view), where=where)
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
    before = selected_rows(analysis)
    strokes, on = _strokes(view, event, len(before))
    if event.mode != "replace":
        selected = np.zeros(analysis.n, dtype=bool)
        selected[before] = True
        selected[rows] = event.mode == "add"
        rows = np.flatnonzero(selected)
    select(analysis, rows, strokes, on)


def _strokes(view: MapView, event: MapEvent, before: int) -> tuple[tuple[Stroke, ...], str]:
    """How the address says what is circled after this event, and the layout that was drawn on; () where it cannot.
    before: how many images were circled."""
    on = event.layout.rpartition(" ")[0] if event.kind == "area" else ""
    stroke = Stroke(event.mode, event.corners, event.row, event.values)
    if event.mode == "replace" or not before:
        return (stroke,), on
    if not view.strokes or (on and view.on and on != view.on) or len(view.strokes) >= map_strokes.MOST:
        return (), ""
    return (*view.strokes, stroke), view.on or on


def _replayed(analysis: Analysis, view: MapView, choices: dict[str, str]) -> np.ndarray:
    """The rows that the strokes of a view circle, (m,) rising; none where their layout is not there (any more)."""
    circled = np.zeros(analysis.n, dtype=bool)
    points = _principal(analysis) if view.on == PCA else _points(analysis, view)
    if view.on in ("", _layout_id(points, view)):
        for stroke in view.strokes:
            if stroke.row >= 0:
                inside = np.arange(analysis.n) == stroke.row
            elif stroke.corners:
                inside = inside_polygon(points.xy, np.reshape(stroke.corners, (-1, 2)))
            else:
                inside = np.ones(analysis.n, dtype=bool)
            if stroke.values is not None:
                inside &= np.isin(map_colours.colours(analysis, view.colour, choices[view.colour]).codes, stroke.values)
            inside &= _of_split(analysis, view.split)
            circled = {"add": circled | inside, "remove": circled & ~inside}.get(stroke.mode, inside)
    return np.flatnonzero(circled)


def _meant(analysis: Analysis, view: MapView, event: MapEvent) -> np.ndarray | None:
    """The rows that an event means; None where it speaks of a layout or of colours that are not shown any more."""
    if event.kind == "one":
        return np.array([event.row])
    inside = _of_split(analysis, view.split).copy()
    if event.kind == "area":
        # principal components also when a UMAP has come while somebody drew
        points = _principal(analysis) if event.layout.startswith(f"{PCA} ") else _points(analysis, view)
        if event.layout != _shown_id(points, view):
            return None
        inside &= inside_polygon(points.xy, np.reshape(event.corners, (-1, 2)))
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
            "**Nothing is circled.** Drag around points with the lasso, or press a value in the legend and **Circle "
            "all**. What you circle is shown here, to be tagged like any image."
        )
    else:
        _selected(analysis, rows, band)
    if opened is not None:
        near = rows if opened in rows else np.array([opened])
        inspector.open_dialog(analysis, int(analysis.ids[opened]), ids=analysis.ids[near[:300]].tolist())


def _selected(analysis: Analysis, rows: np.ndarray, band: band_state.View) -> None:
    view = kept(analysis)
    found = describe(analysis, rows, split=view.split)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small", key="map-selected"
    ):
        st.markdown(
            f"**{count(found.count, 'image')}:** {plain(found.sentence())}{_not_counted(analysis, rows)}",
            # two lines beside the buttons: the images shall begin as high up as they can
            width=560,
        )
        with st.container(horizontal=True, gap="small", width="content"):
            found_in = _range(analysis, rows, band)
            if st.button(
                "Show in Bands",
                icon=":material/bar_chart:",
                disabled=found_in is None,
                help="The band from the lowest to the highest activation of these images, along the direction at hand.",
            ):
                band_state.change(analysis, **(found_in or {}))
                band_state.bring(analysis, rows)
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
        direction=along,
        total=len(rows),
        page=number,
        pages=pages,
        scope=f"{analysis.id} {st.session_state.get(DRAWN, 0)}",
        within="in your circle",
        on_page=problem.kept(partial(_set_page, analysis)),
        everything=partial(selected_rows, analysis),
        how="map",
    )


def _not_counted(analysis: Analysis, rows: np.ndarray) -> str:
    """What is said where tags of some of these images help no repair; "" where all do."""
    counts = band_state.splits(analysis)[0]
    found = np.bincount(np.asarray(analysis.splits)[rows], minlength=len(SPLITS))
    others = [f"{number:,} {name}" for name, number in zip(SPLITS, found, strict=True) if number and name != counts]
    if not others or counts == band_data.ALL:
        return ""
    return f" **{listed(others)} images are among them:** a repair learns from tags of {counts} images."


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
        "split": kept(analysis).split,
        "where": band_data.EVERY_IMAGE,
        "run": "",
        "look": band_state.IMAGES,
    }
