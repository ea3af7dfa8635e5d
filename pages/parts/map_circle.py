"""What is circled on the map of this session, and how an address circles it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.projection import inside_polygon
from pages.parts import map_colours, map_layouts

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.map_state import MapView

SELECTED = "map_selected"
DRAWN = "map_drawn"
PAGE = "map_page"


def selected_rows(analysis: Analysis) -> np.ndarray:
    """Rows (m,) int64, rising, of what is circled on the map of this session."""
    return st.session_state.get(SELECTED, {}).get(analysis.id, np.empty(0, dtype=np.int64))


def circle(analysis: Analysis, rows: np.ndarray) -> None:
    """These rows from now on, shown from the first page on."""
    st.session_state.setdefault(PAGE, {})[analysis.id] = 0
    st.session_state[DRAWN] = st.session_state.get(DRAWN, 0) + 1
    st.session_state.setdefault(SELECTED, {})[analysis.id] = np.asarray(rows, dtype=np.int64)


def replayed(analysis: Analysis, view: MapView, choices: dict[str, str]) -> np.ndarray:
    """The rows that the strokes of a view circle, (m,) rising; none where their layout is not there (any more)."""
    circled = np.zeros(analysis.n, dtype=bool)
    points = map_layouts.principal(analysis) if view.on == map_layouts.PCA else map_layouts.points(analysis, view)
    if view.on in ("", map_layouts.layout_id(points, view)):
        for stroke in view.strokes:
            if stroke.row >= 0:
                inside = np.arange(analysis.n) == stroke.row
            elif stroke.corners:
                inside = inside_polygon(points.xy, np.reshape(stroke.corners, (-1, 2)))
            else:
                inside = np.ones(analysis.n, dtype=bool)
            if stroke.values is not None:
                inside &= np.isin(map_colours.colours(analysis, view.colour, choices[view.colour]).codes, stroke.values)
            inside &= map_layouts.of_split(analysis, view.split)
            circled = {"add": circled | inside, "remove": circled & ~inside}.get(stroke.mode, inside)
    return np.flatnonzero(circled)
