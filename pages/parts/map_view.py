"""The Map page itself, a fragment: the map and what it is coloured by; and in it another one, which is all that runs
when somebody draws: what is marked, and the images that they drew around."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.access.policy import Permission
from core.activations.projection import FEWEST, MIN_DIST, NEIGHBOURS, umap_stamp
from core.errors import MidbandError
from pages.parts import (
    band_data,
    band_state,
    concept_tools,
    feature_map,
    gate,
    head,
    map_circle,
    map_colours,
    map_drawing,
    map_finding,
    map_layouts,
    map_pictures,
    map_selection,
    map_state,
    map_umap,
    notices,
    problem,
    rooms,
    state,
)
from pages.parts.feature_map import MapColours, MapLayout
from pages.parts.image_grid import format_activation
from pages.parts.words import helped, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.map_state import MapView

LEAD = "Every image is a point, near those the network sees alike. Circle some to look at them and tag them."
KEY = "map"


def heading() -> None:
    """What stands above an invitation to begin."""
    head.show("map", LEAD)


@st.fragment
@problem.guarded
def explore(analysis: Analysis) -> None:
    band = map_state.band(analysis)
    choices = map_colours.choices(analysis, band)
    view = map_state.current(analysis, choices)
    notices.show()
    then = "tag_next" if concept_tools.concepts(analysis) else None
    if analysis.n < FEWEST:
        head.show("map", LEAD, then=then)
        _too_few(analysis)
        return
    # looked up once: a UMAP may come at any moment, and no map may go by another one's name
    points = map_layouts.points(analysis, view)
    head.show(
        "map",
        LEAD,
        looks=partial(_controls, analysis, view, choices, points.kind),
        then=then,
        # in sight on low screens too
        beside=lambda: None,
    )
    # always there, so that the map below keeps its place, and with it what somebody is drawing
    st.html(map_umap.ABOUT_STYLE)
    with st.container(key="map-about"):
        map_umap.about(analysis, view, points)
    layout = MapLayout(
        map_layouts.shown_id(points, view),
        map_layouts.LAYOUTS[points.kind],
        points.xy,
        map_layouts.of_split(analysis, view.split),
        map_layouts.images(view.split),
    )
    colours = map_colours.colours(analysis, view.colour, choices[view.colour])
    with st.container(gap=None):
        feature_map.send(KEY, layout, colours)
        _drawn(analysis, layout, colours)
    state.write_link(map_state.query(analysis, map_state.kept(analysis)))


def _controls(analysis: Analysis, view: MapView, choices: dict[str, str], drawn: str) -> None:
    """drawn: the layout on screen, which is not the one asked for while that one is being made."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content", key="map-controls"):
        st.session_state["map-layout"] = drawn
        st.segmented_control(
            "Layout",
            list(map_layouts.LAYOUTS),
            format_func=map_layouts.LAYOUTS.get,
            key="map-layout",
            required=True,
            label_visibility="collapsed",
            on_change=problem.kept(partial(_set_layout, analysis)),
            help="**UMAP** keeps alike images together; its axes and its distances between groups mean nothing. "
            "Where there is none yet, it is made when you choose it. **Principal components** show the two directions "
            "in which the features differ most; they are there at once.",
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
                help=helped("split"),
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
            gate.form_submit_button(
                Permission.TRAIN,
                "Make the map",
                icon=":material/scatter_plot:",
                on_click=problem.kept(partial(_set_settings, analysis)),
            )


def _set_settings(analysis: Analysis) -> None:
    neighbours, min_dist = st.session_state["map-neighbours"], st.session_state["map-min-dist"]
    map_state.change(analysis, layout=map_layouts.UMAP, neighbours=int(neighbours), min_dist=round(float(min_dist), 3))
    if umap_stamp(analysis, map_state.kept(analysis).settings) is None:
        map_umap.begin(analysis)


def _set_layout(analysis: Analysis) -> None:
    wanted = st.session_state["map-layout"]
    map_state.change(analysis, layout=wanted)
    if wanted == map_layouts.UMAP and not map_umap.on_its_way(analysis):
        map_umap.begin(analysis)


def _set_split(analysis: Analysis) -> None:
    """The same drawing circles the images that are shown now; what no address can say keeps those that still are."""
    map_state.change(analysis, split=st.session_state["map-split"])
    view = map_state.kept(analysis)
    rows = map_circle.selected_rows(analysis)
    if view.strokes:
        found = map_circle.replayed(analysis, view, map_colours.choices(analysis, map_state.band(analysis)))
    else:
        found = rows[map_layouts.of_split(analysis, view.split)[rows]]
    map_circle.circle(analysis, found)


def _set_colour(analysis: Analysis) -> None:
    views = st.session_state[map_state.VIEWS]
    views[analysis.id] = map_state.recoloured(map_state.kept(analysis), st.session_state["map-colour"])


def _too_few(analysis: Analysis) -> None:
    with st.container(border=True, key="card-empty"):
        st.markdown(
            f"**A map needs at least {FEWEST} images;** this investigation has {analysis.n}. Load more images, or look "
            "at them on the Bands page."
        )
        with st.container(horizontal=True):
            rooms.link("load", "Load your data")
            rooms.link("bands", "Bands")


@st.fragment
@problem.guarded
def _drawn(analysis: Analysis, layout: MapLayout, colours: MapColours) -> None:
    """What runs when somebody draws: neither places nor colours change, and the panel of a job is left alone."""
    band = map_state.band(analysis)
    with st.container():
        _map(analysis, layout, colours, band)
        if found := map_finding.sentence(layout, colours):
            st.caption(found)
        map_selection.show(analysis, band)
    state.write_link(map_state.query(analysis, map_state.kept(analysis)))


def _map(analysis: Analysis, layout: MapLayout, colours: MapColours, band: band_state.View) -> None:
    view = map_state.kept(analysis)
    selected = np.zeros(analysis.n, dtype=bool)
    selected[map_circle.selected_rows(analysis)] = True
    in_band, band_label = _in_band(analysis, band)
    feature_map.feature_map(
        KEY,
        layout,
        colours,
        selected=selected,
        band=in_band,
        band_label=band_label,
        view=view.where if not view.at or layout.id == f"{view.at} {view.split}" else None,
        on_event=problem.kept(partial(map_drawing.on_event, analysis)),
        on_view=partial(map_drawing.on_view, analysis),
        pictures=map_pictures.address(analysis, view.colour, colours.title),
    )


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
