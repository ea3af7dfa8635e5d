"""What is looked at on the Map page: kept for the session, and written into the address."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.projection import USUAL, MapSettings, map_settings
from core.errors import BadRequest
from pages.parts import band_state, feature_map, map_circle, map_colours, map_layouts, map_strokes, notices, state
from pages.parts.map_strokes import Stroke
from pages.parts.words import plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

VIEWS = "map_views"


@dataclass(frozen=True)
class MapView:
    """layout: which one is wanted; principal components are shown until there is a UMAP. colour: a facet or a
    direction. split: whose images are shown: train, val, test or all; "" for the usual one. neighbours, min_dist: of
    UMAP. at: the layout that `where` belongs to, where: what part of it is seen. strokes: what the circled images come
    from, () where an address cannot say it; on: the layout they were drawn on, "" for the one shown."""

    layout: str = map_layouts.UMAP
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


def current(analysis: Analysis, choices: dict[str, str]) -> MapView:
    """The view of this investigation: from the address when that is new, else as it was left. choices: what there is
    to colour by."""
    views: dict[str, MapView] = st.session_state.setdefault(VIEWS, {})
    asked = state.view_link()
    if asked and asked.get("analysis", analysis.id) == analysis.id and len(asked) > ("analysis" in asked):
        views[analysis.id] = _settled(analysis, from_link(asked), choices)
        map_circle.circle(analysis, map_circle.replayed(analysis, views[analysis.id], choices))
    views[analysis.id] = _settled(analysis, views.get(analysis.id, MapView()), choices)
    return views[analysis.id]


def _settled(analysis: Analysis, view: MapView, choices: dict[str, str]) -> MapView:
    """The view without what is not there."""
    if view.split not in band_state.splits(analysis):
        view = replace(view, split=band_state.splits(analysis)[0])
    if view.colour not in choices:
        notices.say(f"There is nothing called {plain(view.colour)} to colour by (any more).", ":material/info:")
        view = recoloured(view, map_colours.USUAL)
    return view


def recoloured(view: MapView, colour: str) -> MapView:
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
    layout = map_layouts.layout_id(map_layouts.points(analysis, view), view)
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
        layout=layout if layout in map_layouts.LAYOUTS else map_layouts.UMAP,
        colour=asked.get("colour") or map_colours.USUAL,
        split=asked.get("split", ""),
        neighbours=settings.neighbours,
        min_dist=settings.min_dist,
        where=feature_map.read_view([_number(part) for part in asked.get("at", "").split(",")]),
        strokes=map_strokes.read(asked.get("circled", "")),
        on=asked.get("on", ""),
    )


def select(analysis: Analysis, rows: np.ndarray, strokes: tuple[Stroke, ...] = (), on: str = "") -> None:
    """Circle these rows, (m,) rising and each once, and show them from the first page on. strokes, on: as in
    `MapView`."""
    change(analysis, strokes=strokes, on=on)
    map_circle.circle(analysis, rows)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def band(analysis: Analysis) -> band_state.View:
    """The band that was looked at last; the mid band of the first class where none was."""
    try:
        return band_state.kept(analysis)
    except KeyError:
        return band_state.start(analysis)
