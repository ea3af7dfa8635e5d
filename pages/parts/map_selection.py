"""The images that are circled on the map, to be tagged like any."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.directions import scores
from core.activations.selection import describe
from core.datasets.dataset import SPLITS
from core.settings import DEFAULTS
from pages.parts import (
    band_data,
    band_state,
    concept_tools,
    gallery,
    inspector,
    map_circle,
    map_colours,
    map_drawing,
    map_state,
    problem,
    rooms,
)
from pages.parts.words import count, listed, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis


def show(analysis: Analysis, band: band_state.View) -> None:
    opened = st.session_state.pop(map_drawing.OPENED, None)
    rows = map_circle.selected_rows(analysis)
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
    view = map_state.kept(analysis)
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
                on_click=problem.kept(partial(map_state.select, analysis, rows[:0])),
                key="map-clear",
            )
    number = st.session_state.setdefault(map_circle.PAGE, {}).get(analysis.id, 0)
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
        scope=f"{analysis.id} {st.session_state.get(map_circle.DRAWN, 0)}",
        within="in your circle",
        on_page=problem.kept(partial(_set_page, analysis)),
        everything=partial(map_circle.selected_rows, analysis),
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
    st.session_state.setdefault(map_circle.PAGE, {})[analysis.id] = number


def _range(analysis: Analysis, rows: np.ndarray, band: band_state.View) -> dict[str, object] | None:
    """What to change of the Bands page so that its band holds all of these images; None where no band can."""
    spec = band.direction if band_data.has_direction(analysis, band.direction) else band_state.usual_direction(analysis)
    values = scores(analysis, map_colours.direction(analysis, spec), rows)
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    return {
        "direction": spec,
        "low": float(values.min()),
        "high": float(values.max()),
        "split": map_state.kept(analysis).split,
        "where": band_data.EVERY_IMAGE,
        "run": "",
        "look": band_state.IMAGES,
    }
