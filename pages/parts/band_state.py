"""What of the Bands page is looked at: kept per investigation, restored from a link, written back into it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import bands, findings, proposals, sampling
from core.activations.filters import Filter, parse_filter
from core.concepts.concept import list_concepts
from core.concepts.telling import gained_errors
from core.datasets import SPLITS
from pages.parts import band_data, notices, state
from pages.parts.band_data import ALL, EVERY_IMAGE, Subject
from pages.parts.band_scale import QUANTILE, SCALES, VALUE
from pages.parts.words import listed, plain

if TYPE_CHECKING:
    import numpy as np

    from core.activations.store import Analysis

VIEWS = "band_views"
HELD = "band_held"
BROUGHT = "band_brought"
TOP, MID, BOTTOM = "Top", "Mid band", "Bottom"
PRESETS = (TOP, MID, BOTTOM)
# What the page shows below the strip.
IMAGES, DISCOVER, SHEET, CURVE = "images", "discover", "sheet", "curve"
COMPARE, DIRECTIONS = "compare", "directions"
LOOKS = (IMAGES, DISCOVER, SHEET, CURVE, COMPARE, DIRECTIONS)
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
    """The view of this investigation: from the address when that is new (a link, the back button), else as it was.

    What it speaks of and is not there (any more) gives way to the usual, and is told.
    """
    views: dict[str, View] = st.session_state.setdefault(VIEWS, {})
    asked = state.view_link()
    if asked and asked.get("analysis", analysis.id) == analysis.id and (linked := _from_link(analysis, asked)):
        views[analysis.id] = linked
    if analysis.id not in views:
        views[analysis.id] = start(analysis)
    view, gone = _still_there(analysis, views[analysis.id])
    if view.look == COMPARE and not view.other:
        view = _with_other_side(analysis, view)
    if gone:
        notices.say(f"Not there (any more): {plain(listed(gone))}. You see what there is.", ":material/info:")
    views[analysis.id] = view
    return view


def kept(analysis: Analysis) -> View:
    """The view as it was left, without a look at the address."""
    return st.session_state[VIEWS][analysis.id]


def change(analysis: Analysis, *, exact: bool = False, **changes: object) -> View:
    """Change what is looked at and keep it.

    A new band is rounded outward, so that what people read is what counts; exact: not where it must hold just the
    images that were counted somewhere else.
    """
    view = current(analysis)
    changed = replace(view, **changes)  # type: ignore[arg-type]
    if replace(changed, **{name: getattr(view, name) for name in _SAME_IMAGES}) != view:
        changed = replace(changed, page=0)
    if not exact and changes.keys() & {"low", "high"}:
        low, high = findings.outward(changed.low, changed.high, band_data.span(subject(analysis, changed)))
        changed = replace(changed, low=low, high=high)
    st.session_state.setdefault(VIEWS, {})[analysis.id] = changed
    return changed


def turn_to(analysis: Analysis, page: int) -> None:
    """Note which page is shown, where the one asked for does not exist."""
    views = st.session_state[VIEWS]
    views[analysis.id] = replace(views[analysis.id], page=page)
    hold(analysis, views[analysis.id])


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
    return _held(analysis, view, _fresh(analysis, view))


def other(analysis: Analysis, view: View) -> Subject:
    """The other side of a comparison, over the same images: the filter speaks of the left model's predictions."""
    spec = view.other or view.direction
    found = band_data.subject(analysis, spec, view.split, view.where, view.other_run, judge=view.run)
    return _held(analysis, view, found) if spec == view.direction else found


def hold(analysis: Analysis, view: View) -> None:
    """Keep the images that are shown while somebody tags them.

    A tag may change what a filter by concepts holds and where a concept's direction points. As long as nothing else
    changes, the page stays as it is: the next key must not hit other images than those on screen.
    """
    holding: dict[str, tuple[View, tuple[object, ...]]] = st.session_state.setdefault(HELD, {})
    if analysis.id not in holding or holding[analysis.id][0] != view:
        holding[analysis.id] = (view, _fresh(analysis, view).version)


def is_outdated(analysis: Analysis, view: View) -> bool:
    """Whether tags have changed since what the view would hold."""
    return subject(analysis, view).version != _fresh(analysis, view).version


def bring(analysis: Analysis, rows: np.ndarray) -> None:
    """Bring images from elsewhere into the band that is looked at now: they are shown alone until another one is."""
    st.session_state.setdefault(BROUGHT, {})[analysis.id] = (_of_images(kept(analysis)), rows)


def brought(analysis: Analysis, view: View) -> np.ndarray | None:
    """Rows (m,) of the images that were brought into this band; None where none were."""
    found = st.session_state.get(BROUGHT, {}).get(analysis.id)
    return found[1] if found is not None and found[0] == _of_images(view) else None


def _of_images(view: View) -> tuple[object, ...]:
    return view.direction, view.low, view.high, view.split, view.where, view.run


def let_go(analysis: Analysis) -> None:
    """Show what the view holds now."""
    st.session_state.get(HELD, {}).pop(analysis.id, None)


def _fresh(analysis: Analysis, view: View) -> Subject:
    return band_data.subject(analysis, view.direction, view.split, view.where, view.run, judge=view.run)


def _held(analysis: Analysis, view: View, found: Subject) -> Subject:
    held = st.session_state.get(HELD, {}).get(analysis.id)
    return replace(found, version=held[1]) if held is not None and held[0] == view else found


def start(analysis: Analysis, spec: str | None = None, split: str | None = None) -> View:
    """The mid band of a direction: what is shown until somebody chooses otherwise."""
    view = View(spec or usual_direction(analysis), split or splits(analysis)[0], 0.0, 0.0)
    return at(analysis, view, MID)


def at(analysis: Analysis, view: View, preset: str) -> View:
    """The view, moved to one of the proposed bands."""
    band = proposed(analysis, view, preset)
    low, high = findings.outward(band.low, band.high, band_data.span(subject(analysis, view)))
    return replace(view, low=low, high=high)


def usual_direction(analysis: Analysis) -> str:
    """The class that errs more in its middle, by the greatest margin: there is something to see. Where the images have
    no labels, the one predicted most."""
    tells = gained_errors(analysis) if analysis.labelled else np.bincount(analysis.predicted, minlength=analysis.k)
    return f"logit:{analysis.classes[int(tells.argmax())]}"


def splits(analysis: Analysis) -> tuple[str, ...]:
    """What can be looked at, the split that is tagged first; everything, where nothing is to be measured."""
    there = [name for name in SPLITS if len(analysis.split_rows(name))]
    ordered = [name for name in ("val", "train", "test") if name in there]
    if len(there) > 1 and not analysis.labelled:
        return ALL, *ordered
    return (*ordered, ALL) if len(there) > 1 else (ALL,)


def proposed(analysis: Analysis, view: View, preset: str) -> bands.Range:
    """One of the three bands that are a click away. The rule looks at the images that are shown."""
    if preset == MID and view.rule == CUSTOM and view.custom is not None:
        return bands.Range(*view.custom, "The band that was kept as the middle.")
    which = {TOP: "top", BOTTOM: "bottom", MID: mid_rule(view)}[preset]
    return band_data.proposed(subject(analysis, view), which)


def mid_rule(view: View) -> str:
    """The rule for a direction that no middle of one's own was kept for."""
    return usual_rule() if view.rule == CUSTOM else view.rule


def usual_rule() -> str:
    return proposals.MID_RULES[0]


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
    settings = _settings(analysis, asked)
    if "direction" not in asked and not settings:
        return None
    split = asked.get("split")
    usual = View(
        usual_direction(analysis),
        split if split in splits(analysis) else splits(analysis)[0],
        0.0,
        0.0,
        **settings,
    )
    view, gone = _still_there(analysis, replace(usual, direction=asked.get("direction", usual.direction)))
    if gone:
        notices.say(f"The link asks for what is not here: {plain(listed(gone))}.", ":material/info:")
    low, high = _number(asked.get("low")), _number(asked.get("high"))
    if low is not None and high is not None and low <= high and "direction" not in " ".join(gone):
        return replace(view, low=low, high=high)
    return at(analysis, view, MID)


def _still_there(analysis: Analysis, view: View) -> tuple[View, list[str]]:
    """The view without what is not there, and what that was, in words."""
    gone = []
    known = runs(analysis)
    if view.run and view.run not in known:
        view = replace(view, run="")
        gone.append("the repair")
    if view.other_run and view.other_run not in known:
        view = replace(view, other_run="")
        gone.append("the repair it is compared with")
    if view.where.terms:
        concepts = [concept.name for concept in list_concepts(state.workspace(), analysis.dataset_id)]
        where = parse_filter(view.where.to_text(), analysis, concepts)
        if where != view.where:
            view = replace(view, where=where)
            gone.append("a filter")
    spec = _canonical(analysis, view.direction)
    if spec != view.direction:
        view = replace(view, direction=spec)
    if not band_data.has_direction(analysis, view.direction):
        gone.append(f"the direction {view.direction}")
        view = at(analysis, replace(view, direction=usual_direction(analysis), rule=usual_rule(), custom=None), MID)
    if view.other and not band_data.has_direction(analysis, view.other):
        gone.append(f"the direction {view.other}")
        view = replace(view, other="", other_run="")
    if view.colour not in dict(band_data.facets(subject(analysis, view))):
        view = replace(view, colour="class")
        gone.append("the colours")
    return view, gone


def _with_other_side(analysis: Analysis, view: View) -> View:
    """What a first visit compares: before and after the newest repair, else two classes."""
    newest = next(iter(runs(analysis)), None)
    if newest is not None:
        # where a repair is looked at already, the model as it is stands beside it
        view = replace(view, other=view.direction, other_run="" if view.run else newest)
        return _on_test(analysis, view) if "test" in splits(analysis) and view.split != "test" else view
    own = band_data.direction(subject(analysis, view)).own_class
    others = [name for i, name in enumerate(analysis.classes) if i != own]
    return replace(view, other=f"logit:{others[0]}" if others else view.direction)


def _on_test(analysis: Analysis, view: View) -> View:
    """Before and after is judged on images that the repair has not learnt from."""
    preset = preset_of(analysis, view)
    moved = replace(view, split="test", page=0)
    return moved if preset is None else at(analysis, moved, preset)


def _canonical(analysis: Analysis, spec: str) -> str:
    """A direction as the rest of the page writes it: concept:water for concept:WATER, logit:a for LOGIT: A."""
    if spec.partition(":")[0].strip().lower() == "concept":
        name = spec.partition(":")[2].strip()
        for concept in list_concepts(state.workspace(), analysis.dataset_id):
            if concept.name.casefold() == name.casefold():
                return f"concept:{concept.name}"
        return spec
    return band_data.canonical(analysis, spec)


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
        found["where"] = merged(parse_filter(asked["where"], analysis, concepts))
    first, _, last = asked.get("custom", "").partition("..")
    start, end = _number(first), _number(last)
    if start is not None and end is not None and start <= end:
        found["custom"] = (start, end)
    elif found.get("rule") == CUSTOM:
        del found["rule"]
    if asked.get("log") == "1":
        found["log"] = True
    return found


def merged(where: Filter) -> Filter:
    """One term per facet: two of a kind in a link become one that allows both."""
    terms: dict[str, tuple[str, ...]] = {}
    for spec, values in where.terms:
        terms[spec] = tuple(dict.fromkeys((*terms.get(spec, ()), *values)))
    return Filter(tuple(terms.items()))


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
