"""What somebody does on the map: drawing, circling the values of a colour, opening an image, moving the view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.projection import inside_polygon
from pages.parts import feature_map, map_circle, map_colours, map_layouts, map_state, map_strokes, notices, state
from pages.parts.feature_map import MapEvent
from pages.parts.map_strokes import Stroke

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.map_state import MapView

OPENED = "map_opened"
LATE = "The map changed before that arrived, so nothing was circled. Please draw it again."


def on_view(analysis: Analysis, shown: str, where: feature_map.View | None) -> None:
    view = map_state.kept(analysis)
    points = map_layouts.points(analysis, view)
    if shown == map_layouts.shown_id(points, view):
        map_state.change(analysis, at=map_layouts.layout_id(points, view), where=where)
        state.write_link(map_state.query(analysis, map_state.kept(analysis)))


def on_event(analysis: Analysis, event: MapEvent) -> None:
    view = map_state.kept(analysis)
    if event.kind == "open":
        st.session_state[OPENED] = event.row
        return
    if event.kind == "clear":
        map_state.select(analysis, np.empty(0, dtype=np.int64))
        return
    rows = _meant(analysis, view, event)
    if rows is None:
        notices.say(LATE, ":material/info:")
        return
    before = map_circle.selected_rows(analysis)
    strokes, on = _strokes(view, event, len(before))
    if event.mode != "replace":
        selected = np.zeros(analysis.n, dtype=bool)
        selected[before] = True
        selected[rows] = event.mode == "add"
        rows = np.flatnonzero(selected)
    map_state.select(analysis, rows, strokes, on)


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


def _meant(analysis: Analysis, view: MapView, event: MapEvent) -> np.ndarray | None:
    """The rows that an event means; None where it speaks of a layout or of colours that are not shown any more."""
    if event.kind == "one":
        return np.array([event.row])
    inside = map_layouts.of_split(analysis, view.split).copy()
    if event.kind == "area":
        # principal components also when a UMAP has come while somebody drew
        drawn_on_components = event.layout.startswith(f"{map_layouts.PCA} ")
        points = map_layouts.principal(analysis) if drawn_on_components else map_layouts.points(analysis, view)
        if event.layout != map_layouts.shown_id(points, view):
            return None
        inside &= inside_polygon(points.xy, np.reshape(event.corners, (-1, 2)))
    if event.values is not None:
        choices = map_colours.choices(analysis, map_state.band(analysis))
        if view.colour not in choices:
            return None
        colours = map_colours.colours(analysis, view.colour, choices[view.colour])
        if event.colours != colours.id:
            return None
        inside &= np.isin(colours.codes, event.values)
    return np.flatnonzero(inside)
