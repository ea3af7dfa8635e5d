"""The Bands page itself, one fragment: class, split, histogram, band, sentence, grid."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import findings, sampling
from core.activations.directions import class_index
from core.settings import DEFAULTS
from pages.parts import band_data, band_state, concept_tools, gallery, problem, rooms, state, theme
from pages.parts.band_state import ALL, BOTTOM, MID, PRESETS, TOP, View
from pages.parts.band_strip import Preset, band_strip
from pages.parts.words import TERMS, count, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

SEGMENTS = 5
ORDER_NAMES = {
    sampling.SURPRISING: "most surprising first",
    sampling.UNSURE: "least sure first",
    sampling.STRONGEST: "strongest first",
    sampling.WEAKEST: "weakest first",
    sampling.MIXED: "mixed",
}


TAG_NEXT = "about sixty answers, on the images where an answer says most."


@st.fragment
@problem.guarded
def explore(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    state.write_link(band_state.query(analysis, view))
    _choose(analysis, view)
    _strip(analysis, view)
    _numbers(analysis, view)
    _finding(analysis, view)
    _grid(analysis, view)
    _next(analysis)


def _choose(analysis: Analysis, view: View) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="band-choice"):
        st.session_state["band_class"] = view.class_name
        pick = st.segmented_control if len(analysis.classes) <= SEGMENTS else st.selectbox
        options = {"required": True} if pick is st.segmented_control else {"width": 260}
        pick(
            "Class",
            analysis.classes,
            key="band_class",
            # a select box shows text as it is, segments read Markdown
            format_func=plain if pick is st.segmented_control else str,
            on_change=partial(_set_class, analysis),
            help=f"Whose logit is looked at. {TERMS['logit']}",
            **options,
        )
        parts = band_state.splits(analysis)
        if len(parts) > 1:
            st.session_state["band_split"] = view.split
            st.segmented_control(
                "Images",
                parts,
                key="band_split",
                required=True,
                format_func=lambda name: "all" if name == ALL else name,
                on_change=partial(_set_split, analysis),
                help=TERMS["split"],
            )
        st.session_state["band_preset"] = band_state.preset_of(analysis, view)
        st.segmented_control(
            "Band",
            PRESETS,
            key="band_preset",
            on_change=partial(_set_preset, analysis),
            help=f"**{TOP}**: {TERMS['top']}  \n**{MID}**: {TERMS['mid band']}  \n**{BOTTOM}**: {TERMS['bottom']}",
        )


def _strip(analysis: Analysis, view: View) -> None:
    colors = theme.class_colors(len(band_data.legend(analysis, view.class_name)))
    histogram = band_data.histogram(analysis, view.class_name, view.split, colors)
    scores, mask = band_data.scores_of(analysis, view.class_name), band_data.mask(analysis, view.split)
    mid = band_state.proposed(analysis, view.class_name, view.split, MID)
    low, high = _inside(histogram.range, view)
    band_strip(
        f"strip-{analysis.id}",
        histogram,
        low,
        high,
        value_label=f"logit of {view.class_name}",
        preset=Preset(mid.low, mid.high, "mid band"),
        count=lambda low, high: len(findings.members(scores, low, high, closed=True, rows=mask)),
        height=172,
        on_change=problem.kept(partial(_set_range, analysis)),
    )


def _numbers(analysis: Analysis, view: View) -> None:
    step = band_data.span(analysis, view.class_name) / 50
    st.session_state["band_low"], st.session_state["band_high"] = view.low, view.high
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="band-numbers"):
        for end, key in (("From", "band_low"), ("To", "band_high")):
            st.number_input(
                end,
                key=key,
                step=step,
                format="%.3f",
                width=124,
                on_change=problem.kept(partial(_set_numbers, analysis)),
            )
        st.session_state["band_order"] = view.order
        st.selectbox(
            "Order",
            sampling.ORDERS,
            key="band_order",
            format_func=ORDER_NAMES.get,
            on_change=partial(_set_order, analysis),
            help=TERMS["order"],
            width=196,
        )
        st.button(
            f"Resample · seed {view.seed}",
            icon=":material/casino:",
            on_click=partial(_resample, analysis),
            help=f"Draw other images from the same band. {TERMS['seed']}",
        )
        named = bool(concept_tools.concepts(analysis))
        concept_tools.create(analysis, "bands", prominent=not named)
        if named and st.button("Tag next", type="primary", icon=":material/arrow_forward:", help=TAG_NEXT):
            rooms.go("tag_next")


def _finding(analysis: Analysis, view: View) -> None:
    scores, mask = band_data.scores_of(analysis, view.class_name), band_data.mask(analysis, view.split)
    band = findings.summarise(analysis, scores, view.low, view.high, closed=True, rows=mask)
    best = band_state.proposed(analysis, view.class_name, view.split, TOP)
    top = findings.summarise(analysis, scores, best.low, best.high, closed=True, rows=mask)
    preset = band_state.preset_of(analysis, view)
    st.markdown(plain(findings.sentence(band, top, is_top=preset == TOP)), help=_why(analysis, view, preset))
    shown = min(DEFAULTS.grid_size, band.count)
    rest = " Resample draws others." if shown < band.count else ""
    st.caption(f"{shown:,} of {count(band.count, 'image')} in this band.{rest} Double-click one for a closer look.")


def _why(analysis: Analysis, view: View, preset: str | None) -> str | None:
    return None if preset is None else plain(band_state.proposed(analysis, view.class_name, view.split, preset).why)


def _grid(analysis: Analysis, view: View) -> None:
    scores, mask = band_data.scores_of(analysis, view.class_name), band_data.mask(analysis, view.split)
    rng = np.random.default_rng(view.seed)
    rows = sampling.draw(scores, view.low, view.high, closed=True, count=DEFAULTS.grid_size, rng=rng, rows=mask)
    index = class_index(view.class_name, analysis.classes)
    logits = analysis.logits[rows]
    order = sampling.arrange(
        view.order,
        logits[:, index],
        analysis.labels[rows] == index,
        logits,
        centre=(view.low + view.high) / 2,
        rng=rng,
    )
    rows, values = rows[order], logits[order, index]
    where = gallery.Place(direction=f"logit:{view.class_name}", low=view.low, high=view.high)
    gallery.show(
        analysis,
        rows,
        key="band-grid",
        values=values,
        place=where,
        empty="No image lies in this band. Widen it, or choose another split.",
    )


def _next(analysis: Analysis) -> None:
    with st.container(border=True, key="card-next"):
        if not concept_tools.concepts(analysis):
            st.markdown(
                "**Does something come up that should not matter?** A background, a caption, a hand: give it a name "
                "with **New concept** above."
            )
        else:
            st.markdown(f"**Next:** {TAG_NEXT}")
            rooms.link("tag_next", "Tag next")


def _set_class(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    changed = band_state.start(analysis, st.session_state["band_class"], view.split)
    band_state.change(analysis, replace(changed, order=view.order))


def _set_split(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    preset, split = band_state.preset_of(analysis, view), st.session_state["band_split"]
    # a proposed band stays that band of the other split; a band of one's own stays where it is
    moved = replace(view, split=split)
    band_state.change(analysis, moved if preset is None else _at(analysis, moved, preset))


def _set_preset(analysis: Analysis) -> None:
    # a second click on the chosen segment clears it: the band stays
    if preset := st.session_state["band_preset"]:
        band_state.change(analysis, _at(analysis, band_state.current(analysis), preset))


def _at(analysis: Analysis, view: View, preset: str) -> View:
    band = band_state.proposed(analysis, view.class_name, view.split, preset)
    return replace(view, low=band.low, high=band.high)


def _set_range(analysis: Analysis, low: float, high: float) -> None:
    band_state.change(analysis, replace(band_state.current(analysis), low=low, high=high))


def _set_numbers(analysis: Analysis) -> None:
    # typed the wrong way round, the band is still clear
    low, high = sorted((st.session_state["band_low"], st.session_state["band_high"]))
    _set_range(analysis, low, high)


def _resample(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    band_state.change(analysis, replace(view, seed=view.seed + 1))


def _set_order(analysis: Analysis) -> None:
    band_state.change(analysis, replace(band_state.current(analysis), order=st.session_state["band_order"]))


def _inside(limits: tuple[float, float], view: View) -> tuple[float, float]:
    """The part of the band that can be drawn: a typed band may lie beyond every image."""
    start, end = limits
    return min(max(view.low, start), end), min(max(view.high, start), end)
