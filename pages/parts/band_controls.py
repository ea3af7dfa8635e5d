"""What chooses: the direction, the images, the band, and how all of it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import proposals, sampling
from core.activations.filters import Filter
from pages.parts import band_data, band_filters, band_scale, band_state, problem, theme
from pages.parts.band_data import ALL, Subject
from pages.parts.band_state import BOTTOM, MID, PRESETS, TOP, View
from pages.parts.band_strip import Marker, Preset, band_strip
from pages.parts.words import TERMS, count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

SEGMENTS = 5
LOOK_NAMES = {
    band_state.IMAGES: "Images",
    band_state.DISCOVER: "Clusters",
    band_state.SHEET: "Contact sheet",
    band_state.CURVE: "Confounder curve",
    band_state.COMPARE: "Compare",
    band_state.DIRECTIONS: "Directions",
}
LOOK_ICONS = {
    band_state.IMAGES: "grid_view",
    band_state.DISCOVER: "bubble_chart",
    band_state.SHEET: "view_column",
    band_state.CURVE: "show_chart",
    band_state.COMPARE: "compare",
    band_state.DIRECTIONS: "explore",
}
ORDER_NAMES = {
    sampling.SURPRISING: "sample, surprising first",
    sampling.MIXED: "random sample",
    sampling.STRONGEST: "strongest first",
    sampling.WEAKEST: "weakest first",
    sampling.UNSURE: "least sure first",
    sampling.TYPICAL: "most typical first",
    sampling.DIVERSE: "most diverse first",
}
RULE_NAMES = {
    "mid-gap": "halfway between the class means",
    "own-low": "the class's own lowest",
    "boundary": "around the decision boundary",
    "quantiles": "the middle half of all images",
}
# landmarks in words that need no glossary
MARKS = {"about the decision boundary": "about undecided", "decision boundary": "undecided"}
MEASURES = {"logit": "logit", "margin": "minus the runner-up", "probability": "probability"}


def looks(analysis: Analysis, view: View) -> None:
    """The ways of looking, as tabs."""
    st.session_state["band_look"] = view.look
    st.segmented_control(
        "Way of looking",
        band_state.LOOKS,
        key="band_look",
        required=True,
        label_visibility="collapsed",
        format_func=lambda look: f":material/{LOOK_ICONS[look]}: {LOOK_NAMES[look]}",
        on_change=problem.kept(partial(_set, analysis, "look", "band_look")),
    )


def choose(
    analysis: Analysis,
    view: View,
    *,
    direction: bool = True,
    presets: bool = True,
    drawn: bool = True,
    more: Callable[[], None] | None = None,
) -> None:
    """Which direction of which images; what is rarer is one click away.

    direction, presets: offer the direction, the three proposed bands. drawn: a histogram follows, so offer its looks.
    more: draws another control behind these.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="band-choice"):
        if direction:
            _direction(analysis, view)
        parts = band_state.splits(analysis)
        if len(parts) > 1:
            st.session_state["band_split"] = view.split
            st.segmented_control(
                "Images",
                parts,
                key="band_split",
                required=True,
                format_func=lambda name: "all" if name == ALL else name,
                on_change=problem.kept(partial(_set_images, analysis, "split", "band_split")),
                help=TERMS["split"],
            )
        if presets:
            st.session_state["band_preset"] = band_state.preset_of(analysis, view)
            st.segmented_control(
                "Band",
                PRESETS,
                key="band_preset",
                on_change=problem.kept(partial(_set_preset, analysis)),
                help=f"**{TOP}**: {TERMS['top']}  \n**{MID}**: {TERMS['mid band']}  \n**{BOTTOM}**: {TERMS['bottom']}",
            )
        if more is not None:
            more()
        band_filters.button(analysis, view, partial(set_images, analysis))
        _display(analysis, view, drawn=drawn)
    band_filters.chips(analysis, view, partial(set_images, analysis))


def strip(analysis: Analysis, view: View) -> None:
    """The histogram with the band on it."""
    subject = band_state.subject(analysis, view)
    draw_strip(
        f"strip-{analysis.id}",
        subject,
        view,
        low=view.low,
        high=view.high,
        on_change=problem.kept(partial(_set_range, analysis)),
        preset=band_state.preset_of(analysis, view),
        mid=band_state.proposed(analysis, view, MID),
        primary=True,
    )
    if outside := band_data.outside(subject):
        verb = "has" if outside == 1 else "have"
        st.caption(f"{count(outside, 'image')} {verb} no finite activation here and lie in no band.")


def draw_strip(
    key: str,
    subject: Subject,
    view: View,
    *,
    low: float,
    high: float,
    mid: proposals.Range,
    preset: str | None = None,
    on_change: Callable[[float, float], None] | None = None,
    height: int = 208,
    primary: bool = False,
    movable: bool = True,
    highlight: np.ndarray | None = None,
    highlight_label: str = "",
) -> None:
    """One direction's histogram as the view wants it drawn: scale, colours, height of the bars, landmarks.

    highlight: rows (m,) whose place is drawn on top. movable: False shows a band that follows from elsewhere.
    """
    facet = band_data.facet(subject, view.colour)
    histogram = band_data.histogram(subject, view.scale, facet)
    if facet.spec == "correctness":
        histogram = replace(histogram, colors=(theme.wrong_color(), theme.right_color()))
    scale = band_scale.scale(band_data.index(subject), view.scale)
    band_strip(
        key,
        histogram,
        low,
        high,
        value_label=band_data.direction(subject).title,
        value_help=TERMS.get(subject.spec.partition(":")[0], TERMS["direction"]),
        presets=[Preset(mid.low, mid.high, "mid band", active=preset == MID)],
        markers=[Marker(mark.value, MARKS.get(mark.label, mark.label)) for mark in band_data.landmarks(subject)],
        # of the band itself: what is drawn of it may be cut off
        count=lambda _low, _high: band_data.count(subject, low, high),
        total=band_data.total(subject),
        places=scale.places(histogram.edges),
        tick_format=scale.tick_format,
        ends=scale.ends(low, high),
        log=view.log,
        highlight_label=highlight_label,
        height=height,
        primary=primary,
        movable=movable,
        highlight=None if highlight is None else band_data.where_rows_lie(subject, view.scale, highlight),
        on_change=on_change,
    )


def sample(analysis: Analysis, view: View) -> None:
    """Which images of the band come first, and the ends of the band as numbers."""
    with st.popover("Order", icon=":material/sort:", key="band-sample", help="Order, other samples, exact ends."):
        _order(analysis, view)
        _ends(analysis, view)


def _order(analysis: Analysis, view: View) -> None:
    st.session_state["band_order"] = view.order
    st.selectbox(
        "Order",
        sampling.ORDERS,
        key="band_order",
        format_func=ORDER_NAMES.get,
        on_change=problem.kept(partial(_set, analysis, "order", "band_order")),
        help=TERMS["order"],
    )
    if view.order in (sampling.SURPRISING, sampling.MIXED):
        st.button(
            "Resample",
            icon=":material/casino:",
            on_click=problem.kept(partial(_resample, analysis)),
            help=f"Draw other images from the same band (seed {view.seed}). {TERMS['seed']}",
        )


def _ends(analysis: Analysis, view: View) -> None:
    """The two ends of the band, in the units of the axis."""
    scale = band_scale.scale(band_data.index(band_state.subject(analysis, view)), view.scale)
    low, high = scale.shown(view.low, view.high)
    ends = (("From", "band_low", low), ("To", "band_high", high))
    for column, (end, key, value) in zip(st.columns(2), ends, strict=True):
        st.session_state[key] = float(value)
        column.number_input(
            end,
            key=key,
            step=scale.step,
            format=f"%.{scale.digits}f",
            on_change=problem.kept(partial(_set_end, analysis, key)),
            help=f"In {scale.unit}." if scale.unit else None,
        )


def set_images(analysis: Analysis, **changes: object) -> None:
    """Look at other images: a proposed band stays that band of theirs, a band of one's own stays where it is."""
    view = band_state.current(analysis)
    preset = band_state.preset_of(analysis, view)
    view = band_state.change(analysis, **changes)
    if preset is not None:
        _move(analysis, view, preset)


def _direction(analysis: Analysis, view: View) -> None:
    kind = view.direction.partition(":")[0]
    measure = kind if kind in MEASURES else "logit"
    options = [f"{measure}:{class_name}" for class_name in analysis.classes]
    titles = dict(zip(options, analysis.classes, strict=True))
    if view.direction not in titles:
        options.append(view.direction)
        titles[view.direction] = band_data.direction(band_state.subject(analysis, view)).title
    st.session_state["band_direction"] = view.direction
    few = len(options) <= SEGMENTS + 1
    pick = st.segmented_control if few else st.selectbox
    pick(
        "Class" if kind in MEASURES else "Direction",
        options,
        key="band_direction",
        # a select box shows text as it is, segments read Markdown
        format_func=(lambda spec: plain(short(titles[spec]))) if few else titles.get,
        on_change=problem.kept(partial(_set_direction, analysis)),
        help=f"Whose logit is looked at; **Directions** holds everything else. {TERMS['logit']}",
        **({"required": True} if few else {"width": 260}),
    )


def _display(analysis: Analysis, view: View, *, drawn: bool) -> None:
    subject = band_state.subject(analysis, view)
    with st.popover("Display", icon=":material/tune:", key="band-display", help="Measure, axis, colours, mid band."):
        kind = view.direction.partition(":")[0]
        if kind in MEASURES:
            st.session_state["band_measure"] = kind
            st.segmented_control(
                "Measure",
                list(MEASURES),
                key="band_measure",
                required=True,
                format_func=MEASURES.get,
                on_change=problem.kept(partial(_set_measure, analysis)),
                help=TERMS["measure"],
            )
        runs = band_state.runs(analysis)
        if runs:
            st.session_state["band_run"] = view.run
            st.selectbox(
                "Model",
                ["", *runs],
                key="band_run",
                format_func=lambda run: runs.get(run, "as it is"),
                on_change=problem.kept(partial(_set_images, analysis, "run", "band_run")),
                help=TERMS["run"],
            )
        st.session_state["band_rule"] = view.rule
        rules = band_state.RULES if view.custom is not None else proposals.MID_RULES
        own = "" if view.custom is None else f"my own: {view.custom[0]:g} to {view.custom[1]:g}"
        st.selectbox(
            "Mid band",
            rules,
            key="band_rule",
            format_func={**RULE_NAMES, band_state.CUSTOM: own}.get,
            on_change=problem.kept(partial(_set_rule, analysis)),
            help=TERMS["mid rule"],
        )
        if view.look == band_state.IMAGES:
            st.button(
                "Take the band as the middle",
                icon=":material/bookmark:",
                on_click=problem.kept(partial(_keep_band, analysis)),
                help="From now on, the band you see is the mid band of this direction.",
            )
        if drawn:
            _drawing(analysis, view, subject)


def _drawing(analysis: Analysis, view: View, subject: Subject) -> None:
    """How the histogram looks."""
    st.session_state["band_scale"] = view.scale
    st.segmented_control(
        "Axis",
        list(band_scale.SCALES),
        key="band_scale",
        required=True,
        format_func=band_scale.SCALES.get,
        on_change=problem.kept(partial(_set, analysis, "scale", "band_scale")),
        help=TERMS["axis"],
    )
    titles = dict(band_data.facets(subject))
    st.session_state["band_colour"] = view.colour
    st.selectbox(
        "Colours",
        list(titles),
        key="band_colour",
        format_func=titles.get,
        on_change=problem.kept(partial(_set, analysis, "colour", "band_colour")),
        help="What the bars of the histogram are split by.",
    )
    st.session_state["band_log"] = view.log
    st.toggle(
        "Logarithmic heights",
        key="band_log",
        on_change=problem.kept(partial(_set, analysis, "log", "band_log")),
        help="Makes small bars visible next to large ones. The parts of a bar still show their shares.",
    )


def _set(analysis: Analysis, name: str, key: str) -> None:
    band_state.change(analysis, **{name: st.session_state[key]})


def _set_images(analysis: Analysis, name: str, key: str) -> None:
    set_images(analysis, **{name: st.session_state[key]})


def _set_direction(analysis: Analysis) -> None:
    band_state.open_direction(analysis, st.session_state["band_direction"])


def _set_measure(analysis: Analysis) -> None:
    name = band_state.current(analysis).direction.partition(":")[2]
    band_state.open_direction(analysis, f"{st.session_state['band_measure']}:{name}")


def _set_rule(analysis: Analysis) -> None:
    view, rule = band_state.current(analysis), st.session_state["band_rule"]
    own = band_data.direction(band_state.subject(analysis, view)).own_class
    where = view.where
    if own is not None:
        # the rule speaks of the class's own images: show those, and all of them again under another rule
        only = ("class", (analysis.classes[own],))
        terms = tuple(term for term in where.terms if term != only)
        asked_for = rule == "own-low" and not any(facet == "class" for facet, _ in terms)
        where = Filter((*terms, only)) if asked_for else Filter(terms) if view.rule == "own-low" else where
    _move(analysis, band_state.change(analysis, rule=rule, where=where), MID)


def _keep_band(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    band_state.change(analysis, rule=band_state.CUSTOM, custom=(view.low, view.high))


def _set_preset(analysis: Analysis) -> None:
    # a second click on the chosen segment clears it: the band stays
    if preset := st.session_state["band_preset"]:
        _move(analysis, band_state.current(analysis), preset)


def _move(analysis: Analysis, view: View, preset: str) -> None:
    band = band_state.proposed(analysis, view, preset)
    band_state.change(analysis, low=band.low, high=band.high)


def _set_range(analysis: Analysis, low: float, high: float) -> None:
    band_state.change(analysis, low=low, high=high)


def _set_end(analysis: Analysis, key: str) -> None:
    view = band_state.current(analysis)
    scale = band_scale.scale(band_data.index(band_state.subject(analysis, view)), view.scale)
    value, kept = scale.meant(st.session_state[key]), view.high if key == "band_low" else view.low
    # typed the wrong way round, the band is still clear
    low, high = sorted((value, kept))
    band_state.change(analysis, low=low, high=high)


def _resample(analysis: Analysis) -> None:
    band_state.change(analysis, seed=band_state.current(analysis).seed + 1)
