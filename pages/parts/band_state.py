"""What of the Bands page is looked at: kept per investigation, restored from a link, written back into it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import streamlit as st

from core.activations import bands, findings, proposals, sampling
from core.activations.filters import Filter, parse_filter
from core.concepts.concept import list_concepts
from core.datasets import SPLITS
from pages.parts import band_data, state
from pages.parts.band_data import ALL, EVERY_IMAGE, Subject
from pages.parts.band_scale import QUANTILE, SCALES, VALUE

if TYPE_CHECKING:
    from core.activations.store import Analysis

VIEWS = "band_views"
TOP, MID, BOTTOM = "Top", "Mid band", "Bottom"
PRESETS = (TOP, MID, BOTTOM)
# What the page shows below the strip.
IMAGES, SHEET, CURVE, COMPARE, DIRECTIONS = "images", "sheet", "curve", "compare", "directions"
LOOKS = (IMAGES, SHEET, CURVE, COMPARE, DIRECTIONS)
# How the other side of a comparison follows the band.
SAME_IMAGES, SAME_SHARE, SAME_VALUES = "images", "share", "values"
LINKS = (SAME_IMAGES, SAME_SHARE, SAME_VALUES)
FEWEST_BANDS, MOST_BANDS = 3, 12
# A mid band of one's own, next to the rules that propose one.
CUSTOM = "custom"
RULES = (*proposals.MID_RULES, CUSTOM)


@dataclass(frozen=True)
class View:
    """direction: as the command line writes it. split: train, val, test or all. low, high: both ends belong to the
    band, in activations whatever the scale. page: counted from 0. rule: which mid band is proposed; custom: its ends
    where it is one's own. colour: the facet that the histogram is split by. run: whose last layer, "" for the model as
    it is. bands, cut: of the contact sheet. shown: what the curve is of, "" for its own choice. other, other_run,
    link: the other side of a comparison."""

    direction: str
    split: str
    low: float
    high: float
    # of the first seven images of the demo's mid band, on average 5.7 have the unusual background; strongest first: 1.6
    order: str = sampling.SURPRISING
    seed: int = 0
    page: int = 0
    look: str = IMAGES
    rule: str = proposals.MID_RULES[0]
    custom: tuple[float, float] | None = None
    scale: str = VALUE
    colour: str = "class"
    log: bool = False
    where: Filter = EVERY_IMAGE
    run: str = ""
    bands: int = 6
    cut: str = VALUE
    shown: str = ""
    other: str = ""
    other_run: str = ""
    link: str = SAME_IMAGES


# What a link always carries; the rest only where it differs from the usual.
_ALWAYS = ("direction", "split", "low", "high", "order", "seed")
_USUAL = {field.name: field.default for field in fields(View) if field.name not in _ALWAYS}
# A change of anything but these shows the first page again.
_SAME_IMAGES = ("page", "look", "scale", "colour", "log", "bands", "cut", "shown", "other", "other_run", "link")


def current(analysis: Analysis) -> View:
    """The view of this investigation: from the address when that is new (a link, the back button), else as it was."""
    views: dict[str, View] = st.session_state.setdefault(VIEWS, {})
    asked = state.view_link()
    if asked and asked.get("analysis", analysis.id) == analysis.id and (linked := _from_link(analysis, asked)):
        views[analysis.id] = linked
    view = views.get(analysis.id)
    if view is None or not band_data.has_direction(subject(analysis, view)):
        # a concept may have been deleted, a vector removed, since
        views[analysis.id] = view = start(analysis)
    return view


def change(analysis: Analysis, **changes: object) -> View:
    """Change what is looked at and keep it. The band is rounded outward: what people read is what counts."""
    view = current(analysis)
    changed = replace(view, **changes)  # type: ignore[arg-type]
    if replace(changed, **{name: getattr(view, name) for name in _SAME_IMAGES}) != view:
        changed = replace(changed, page=0)
    low, high = findings.outward(changed.low, changed.high, band_data.span(subject(analysis, changed)))
    changed = replace(changed, low=low, high=high)
    st.session_state.setdefault(VIEWS, {})[analysis.id] = changed
    return changed


def open_direction(analysis: Analysis, spec: str, **changes: object) -> View:
    """Look at another direction: at the same proposed band of it, else at its middle."""
    view = current(analysis)
    preset = preset_of(analysis, view) or MID
    if view.rule == CUSTOM and spec != view.direction:
        # a middle of one's own means nothing along another direction
        changes = {"rule": proposals.MID_RULES[0], "custom": None, **changes}
    moved = replace(view, direction=spec, **changes)  # type: ignore[arg-type]
    band = proposed(analysis, moved, preset)
    return change(analysis, direction=spec, **{"low": band.low, "high": band.high, **changes})


def subject(analysis: Analysis, view: View) -> Subject:
    return band_data.subject(analysis, view.direction, view.split, view.where, view.run)


def other(analysis: Analysis, view: View) -> Subject:
    """The other side of a comparison: the same images."""
    return band_data.subject(analysis, view.other or view.direction, view.split, view.where, view.other_run)


def start(analysis: Analysis, spec: str | None = None, split: str | None = None) -> View:
    """The mid band of a direction: what is shown until somebody chooses otherwise."""
    view = View(spec or f"logit:{analysis.classes[0]}", split or splits(analysis)[0], 0.0, 0.0)
    return at(analysis, view, MID)


def at(analysis: Analysis, view: View, preset: str) -> View:
    """The view, moved to one of the proposed bands."""
    band = proposed(analysis, view, preset)
    low, high = findings.outward(band.low, band.high, band_data.span(subject(analysis, view)))
    return replace(view, low=low, high=high)


def splits(analysis: Analysis) -> tuple[str, ...]:
    """What can be looked at, the split that is tagged first."""
    there = [name for name in SPLITS if len(analysis.split_rows(name))]
    ordered = [name for name in ("val", "train", "test") if name in there]
    return (*ordered, ALL) if len(there) > 1 else (ALL,)


def proposed(analysis: Analysis, view: View, preset: str) -> bands.Range:
    """One of the three bands that are a click away. The rule looks at the images that are shown."""
    if preset == MID and view.rule == CUSTOM and view.custom is not None:
        return bands.Range(*view.custom, "The band that was kept as the middle.")
    which = {TOP: "top", BOTTOM: "bottom", MID: mid_rule(view)}[preset]
    return band_data.proposed(subject(analysis, view), which)


def mid_rule(view: View) -> str:
    """The rule for a direction that no middle of one's own was kept for."""
    return proposals.MID_RULES[0] if view.rule == CUSTOM else view.rule


def preset_of(analysis: Analysis, view: View) -> str | None:
    """The name of the proposed band that is shown, if it is one."""
    for name in PRESETS:
        moved = at(analysis, view, name)
        if (moved.low, moved.high) == (view.low, view.high):
            return name
    return None


def query(analysis: Analysis, view: View) -> dict[str, str]:
    """What a link to this view carries."""
    link = {
        "analysis": analysis.id,
        "direction": view.direction,
        "low": _written(view.low),
        "high": _written(view.high),
        "split": view.split,
        "seed": str(view.seed),
        "order": view.order,
    }
    for name, usual in _USUAL.items():
        value = getattr(view, name)
        if value != usual:
            link[name] = _written_setting(value)
    return link


def _from_link(analysis: Analysis, asked: dict[str, str]) -> View | None:
    """What the address asks for; whatever in it makes no sense falls back to the usual."""
    if "direction" not in asked:
        return None
    settings = _settings(analysis, asked)
    split = asked.get("split")
    blank = View(asked["direction"], split if split in splits(analysis) else splits(analysis)[0], 0.0, 0.0, **settings)
    if blank.run and blank.run not in runs(analysis):
        blank = replace(blank, run="")
    if not band_data.has_direction(subject(analysis, blank)):
        return None
    found = band_data.direction(subject(analysis, blank)).spec
    blank = replace(blank, direction=found)
    if blank.other_run not in ("", *runs(analysis)) or not band_data.has_direction(other(analysis, blank)):
        blank = replace(blank, other="", other_run="")
    known = {spec for spec, _ in band_data.facets(subject(analysis, blank))}
    if blank.colour not in known:
        blank = replace(blank, colour="class")
    low, high = _number(asked.get("low")), _number(asked.get("high"))
    if low is not None and high is not None and low <= high:
        return replace(blank, low=low, high=high)
    return at(analysis, blank, MID)


def _settings(analysis: Analysis, asked: dict[str, str]) -> dict[str, object]:
    """Everything but direction, split and band, where it makes sense."""
    found: dict[str, object] = {}
    for name, allowed in (
        ("order", sampling.ORDERS),
        ("look", LOOKS),
        ("rule", RULES),
        ("scale", tuple(SCALES)),
        ("cut", (VALUE, QUANTILE)),
        ("link", LINKS),
    ):
        if asked.get(name) in allowed:
            found[name] = asked[name]
    for name, least, most in (("seed", 0, 2**31), ("page", 0, 10**9), ("bands", FEWEST_BANDS, MOST_BANDS)):
        value = _number(asked.get(name))
        if value is not None and least <= value <= most and value == int(value):
            found[name] = int(value)
    for name in ("colour", "run", "shown", "other", "other_run"):
        if asked.get(name):
            found[name] = asked[name]
    if asked.get("where"):
        concepts = [concept.name for concept in list_concepts(state.workspace(), analysis.dataset_id)]
        found["where"] = parse_filter(asked["where"], analysis, concepts)
    ends = [_number(end) for end in asked.get("custom", "").split("..")]
    if len(ends) == 2 and None not in ends and ends[0] <= ends[1]:  # type: ignore[operator]
        found["custom"] = tuple(ends)
    elif found.get("rule") == CUSTOM:
        del found["rule"]
    found["log"] = asked.get("log") == "1"
    return found


def runs(analysis: Analysis) -> dict[str, str]:
    """Finished retrainings of this investigation: id -> what people call it, the newest first."""
    return {run.id: run.title for run in state.runs(analysis.id)}


def _written(number: float) -> str:
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def _written_setting(value: object) -> str:
    if isinstance(value, Filter):
        return value.to_text()
    if isinstance(value, tuple):
        return "..".join(_written(end) for end in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
