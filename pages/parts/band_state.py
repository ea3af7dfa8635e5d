"""Which band is looked at: kept per investigation, restored from a link, written back into it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from core.activations import bands, findings, sampling
from core.activations.directions import class_index
from core.datasets import SPLITS
from core.errors import NotFound
from pages.parts import state
from pages.parts.band_data import span

if TYPE_CHECKING:
    from core.activations.bands import Range
    from core.activations.store import Analysis

VIEWS = "band_views"
ALL = "all"
TOP, MID, BOTTOM = "Top", "Mid band", "Bottom"
PRESETS = (TOP, MID, BOTTOM)
_PROPOSED = {TOP: bands.top_band, MID: bands.mid_band, BOTTOM: bands.bottom_band}


@dataclass(frozen=True)
class View:
    """class_name: whose logit. split: train, val, test or all. low, high: both ends belong to the band. order: of the
    images drawn, one of `sampling.ORDERS`."""

    class_name: str
    split: str
    low: float
    high: float
    seed: int = 0
    # of the first seven images of the demo's mid band, on average 5.7 have the unusual background; strongest first: 1.6
    order: str = sampling.SURPRISING


def current(analysis: Analysis) -> View:
    """The view of this investigation: from the address when that is new (a link, the back button), else as it was."""
    views: dict[str, View] = st.session_state.setdefault(VIEWS, {})
    asked = state.view_link()
    if asked and asked.get("analysis", analysis.id) == analysis.id and (linked := _from_link(analysis, asked)):
        views[analysis.id] = linked
    if analysis.id not in views:
        views[analysis.id] = start(analysis)
    return views[analysis.id]


def change(analysis: Analysis, view: View) -> None:
    """Keep a view. Its numbers are rounded outward, so that what people read is what counts."""
    low, high = findings.outward(view.low, view.high, span(analysis, view.class_name))
    st.session_state.setdefault(VIEWS, {})[analysis.id] = replace(view, low=low, high=high)


def start(analysis: Analysis, class_name: str | None = None, split: str | None = None) -> View:
    """The mid band of a class: what is shown until somebody chooses otherwise."""
    name = class_name or analysis.classes[0]
    part = split or splits(analysis)[0]
    band = proposed(analysis, name, part, MID)
    low, high = findings.outward(band.low, band.high, span(analysis, name))
    return View(name, part, low, high)


def splits(analysis: Analysis) -> tuple[str, ...]:
    """What can be looked at, the split that is tagged first."""
    there = [name for name in SPLITS if len(analysis.split_rows(name))]
    ordered = [name for name in ("val", "train", "test") if name in there]
    return (*ordered, ALL) if len(there) > 1 else (ALL,)


def proposed(analysis: Analysis, class_name: str, split: str, preset: str) -> Range:
    """One of the three bands that are a click away. The rule looks at the images of the split that is shown."""
    return _PROPOSED[preset](analysis, class_index(class_name, analysis.classes), split=None if split == ALL else split)


def preset_of(analysis: Analysis, view: View) -> str | None:
    """The name of the proposed band that is shown, if it is one."""
    for name in PRESETS:
        band = proposed(analysis, view.class_name, view.split, name)
        if findings.outward(band.low, band.high, span(analysis, view.class_name)) == (view.low, view.high):
            return name
    return None


def query(analysis: Analysis, view: View) -> dict[str, str]:
    """What a link to this view carries."""
    return {
        "analysis": analysis.id,
        "direction": f"logit:{view.class_name}",
        "low": f"{view.low:g}" if float(f"{view.low:g}") == view.low else repr(view.low),
        "high": f"{view.high:g}" if float(f"{view.high:g}") == view.high else repr(view.high),
        "split": view.split,
        "seed": str(view.seed),
        "order": view.order,
    }


def _from_link(analysis: Analysis, asked: dict[str, str]) -> View | None:
    """What the address asks for; whatever in it makes no sense falls back to the usual."""
    if "direction" not in asked:
        return None
    kind, _, name = asked["direction"].partition(":")
    try:
        name = analysis.classes[class_index(name, analysis.classes)]
    except NotFound:
        return None
    if kind != "logit":
        return None
    split = asked.get("split")
    view = start(analysis, name, split if split in splits(analysis) else None)
    low, high, seed = _number(asked.get("low")), _number(asked.get("high")), _number(asked.get("seed"))
    if low is not None and high is not None and low <= high:
        view = replace(view, low=low, high=high)
    if seed is not None and seed >= 0 and seed == int(seed):
        view = replace(view, seed=int(seed))
    if asked.get("order") in sampling.ORDERS:
        view = replace(view, order=asked["order"])
    return view


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
