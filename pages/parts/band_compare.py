"""Two directions, two classes, or the model before and after a repair: side by side, one band for both."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import comparison, findings, sampling
from core.activations.directions import scores
from core.activations.index import same_share
from core.activations.scoreboard import catalogue
from pages.parts import band_controls, band_data, band_directions, band_state, concept_tools, gallery, problem
from pages.parts.band_data import Subject
from pages.parts.band_state import SAME_IMAGES, SAME_SHARE, SAME_VALUES, View
from pages.parts.words import TERMS, count, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

SHOWN = 24
# differences of more classes would bury the rest of the list; the board makes any of them
FEW_CLASSES = 6
LINK_NAMES = {
    SAME_IMAGES: "right: same images",
    SAME_SHARE: "right: same share",
    SAME_VALUES: "right: same values",
}


def show(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view, direction=False)
    here, there = band_state.subject(analysis, view), band_state.other(analysis, view)
    members = band_data.members(here, view.low, view.high)
    _sentence(here, there, view, members)
    notes = []
    if len(members) > SHOWN:
        notes.append(f"{SHOWN} of {count(len(members), 'image')} are shown; **Images** pages through all of them.")
    if here.analysis is not there.analysis and "test" in band_state.splits(analysis):
        seen = "A repair learns from val images: under **test** are those it has never seen."
        notes.append("These are test images: the repair has never seen them." if view.split == "test" else seen)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="compare-notes"):
        st.caption(" ".join(notes), width="stretch")
        _link(analysis, view)
    left, right = st.columns(2, gap="medium")
    with left:
        _side(analysis, view, "left")
        band_controls.strip(analysis, view)
        _grid(here, view, _sample(here, view.low, view.high, view), "compare-left", view.low, view.high)
    with right:
        _side(analysis, view, "right")
        low, high = _follow(here, there, view, members)
        band_controls.draw_strip(
            f"strip-other-{analysis.id}",
            there,
            view,
            low=low,
            high=high,
            mid=band_data.proposed(there, band_state.mid_rule(view)),
            movable=view.link != SAME_IMAGES,
            highlight=members if view.link == SAME_IMAGES else None,
            highlight_label="images of the left band",
            on_change=problem.kept(partial(_moved, analysis)),
        )
        same = view.link == SAME_IMAGES
        rows = _sample(here, view.low, view.high, view) if same else _sample(there, low, high, view)
        _grid(there, view, rows, "compare-right", low, high)


def _link(analysis: Analysis, view: View) -> None:
    st.session_state["compare_link"] = view.link
    st.selectbox(
        "On the right",
        band_state.LINKS,
        key="compare_link",
        format_func=LINK_NAMES.get,
        label_visibility="collapsed",
        width=220,
        on_change=problem.kept(partial(_set, analysis, "link", "compare_link")),
        help=TERMS["linked"],
    )


def _side(analysis: Analysis, view: View, side: str) -> None:
    """The direction and the model of one side."""
    name, run_name = ("direction", "run") if side == "left" else ("other", "other_run")
    runs = band_state.runs(analysis)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        spec, run = getattr(view, name), getattr(view, run_name)
        titles = _choices(analysis, view)
        st.session_state[f"compare_{name}"] = spec
        st.selectbox(
            "Left" if side == "left" else "Right",
            list(titles),
            key=f"compare_{name}",
            format_func=titles.get,
            on_change=problem.kept(partial(_set_direction, analysis, name)),
            help=TERMS["direction"],
        )
        if runs:
            st.session_state[f"compare_{run_name}"] = run
            st.selectbox(
                "Model",
                ["", *runs],
                key=f"compare_{run_name}",
                format_func=lambda key: runs.get(key, "as it is"),
                on_change=problem.kept(partial(_set, analysis, run_name, f"compare_{run_name}")),
                help=TERMS["run"],
            )


def _choices(analysis: Analysis, view: View) -> dict[str, str]:
    """Directions to choose from: spec -> title. Neurons are found on the board: a list of them says nothing."""
    concepts = tuple(concept.name for concept in concept_tools.concepts(analysis))
    kinds = ("logit", "difference", "pc", "concept", "vector")
    if len(analysis.classes) > FEW_CLASSES:
        kinds = ("logit", "pc", "concept", "vector")
    listed = catalogue(analysis, kinds=kinds, concepts=concepts)
    usable = (spec for spec in listed if not spec.startswith("concept:") or band_data.has_direction(analysis, spec))
    titles = {spec: band_directions.title(spec) for spec in usable}
    for shown in (view.direction, view.other):
        titles.setdefault(shown, band_directions.title(shown))
    return titles


def _follow(here: Subject, there: Subject, view: View, members: np.ndarray) -> tuple[float, float]:
    """The band of the right side that goes with the left one; for the same images, where the middle 80% of them lie."""
    mine, theirs = band_data.index(here), band_data.index(there)
    if view.link == SAME_VALUES:
        return view.low, view.high
    if view.link == SAME_SHARE:
        return same_share(mine, view.low, view.high, theirs)
    landed = _scores(there)[members]
    landed = landed[np.isfinite(landed)]
    if not len(landed):
        return theirs.low, theirs.high
    # a few that landed far away would stretch the band over nearly everything
    low, high = np.quantile(landed, [0.1, 0.9], method="inverted_cdf")
    return float(low), float(high)


def _moved(analysis: Analysis, low: float, high: float) -> None:
    """The right band was moved: the left one follows."""
    view = band_state.current(analysis)
    mine = band_data.index(band_state.subject(analysis, view))
    theirs = band_data.index(band_state.other(analysis, view))
    if view.link == SAME_SHARE:
        low, high = same_share(theirs, low, high, mine)
    band_state.change(analysis, low=low, high=high)


def _sentence(here: Subject, there: Subject, view: View, members: np.ndarray) -> None:
    if view.link == SAME_IMAGES:
        found = comparison.compare(
            here.analysis,
            there.analysis,
            members,
            _scores(here),
            _scores(there),
            mid=band_data.proposed(there, band_state.mid_rule(view)),
            top=band_data.proposed(there, "top"),
            rows=band_data.rows(here),
        )
        text = comparison.sentence(found, same_model=here.analysis is there.analysis)
        if found.correlation is not None and here.analysis is there.analysis:
            text += f" The two activations correlate at {found.correlation:.2f}."
    else:
        low, high = _follow(here, there, view, members)
        sides = []
        for name, subject, (start, end) in (("Left", here, (view.low, view.high)), ("Right", there, (low, high))):
            top = band_data.proposed(subject, "top")
            band = band_data.summary(subject, start, end)
            sides.append(f"{name}: {findings.sentence(band, band_data.summary(subject, top.low, top.high))}")
        text = " ".join(sides)
    st.markdown(plain(text))


@lru_cache(maxsize=4)
def _scores(subject: Subject) -> np.ndarray:
    return scores(subject.analysis, band_data.direction(subject))


def _sample(subject: Subject, low: float, high: float, view: View) -> np.ndarray:
    page = sampling.page(
        subject.analysis,
        band_data.direction(subject),
        band_data.index(subject),
        low,
        high,
        closed=True,
        order=view.order,
        seed=view.seed,
        number=0,
        size=SHOWN,
    )
    return page.rows


def _grid(subject: Subject, view: View, rows: np.ndarray, key: str, low: float, high: float) -> None:
    gallery.show(
        subject.analysis,
        rows,
        key=key,
        values=_scores(subject)[rows],
        place=gallery.Place(direction=subject.spec, low=low, high=high),
        direction=band_data.direction(subject),
        empty="No image lies in this band.",
    )


def _set(analysis: Analysis, name: str, key: str) -> None:
    band_state.change(analysis, **{name: st.session_state[key]})


def _set_direction(analysis: Analysis, name: str) -> None:
    spec = st.session_state[f"compare_{name}"]
    if name == "direction":
        band_state.open_direction(analysis, spec)
    else:
        band_state.change(analysis, other=spec)
