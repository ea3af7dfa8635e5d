"""Which images count: filters by class, prediction, right or wrong, known attributes and concepts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.activations.facets import facet_values
from core.activations.filters import Filter
from pages.parts import band_data, band_state, problem
from pages.parts.band_state import View
from pages.parts.words import plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

# as many values as pills can show at a glance
PILLS = 6
# facets from which on the filters are made only when they are opened
MANY = 10
Change = Callable[..., Any]


def button(analysis: Analysis, view: View, change: Change) -> None:
    """A button that opens the filters. change: called with `where=` when one changes."""
    chosen = len(view.where.terms)
    # the split has a control of its own
    offered = [facet for facet in band_data.facets(band_state.subject(analysis, view)) if facet[0] != "split"]
    popover = st.popover(
        f"Filter · {chosen}" if chosen else "Filter",
        icon=":material/filter_alt:",
        key="band-filter",
        on_change="rerun" if len(offered) > MANY else "ignore",
        help="Count and show only some of the images.",
    )
    # many of them are made when somebody wants to see them
    if len(offered) > MANY and not popover.open:
        return
    with popover:
        allowed = dict(view.where.terms)
        for spec, title in offered:
            _facet(analysis, spec, title, allowed.get(spec, ()), change)
        if chosen:
            st.button(
                "Show all images",
                icon=":material/filter_alt_off:",
                key="band-filter-clear",
                on_click=problem.kept(partial(change, where=Filter())),
            )


def chips(analysis: Analysis, view: View, change: Change) -> None:
    """What is filtered, in words; a click takes one away."""
    if not view.where.terms:
        return
    titles = dict(band_data.facets(band_state.subject(analysis, view)))
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="band-chips"):
        st.caption("Only", width="content")
        for spec, values in view.where.terms:
            names = " or ".join(short(value) for value in values)
            st.button(
                f"{plain(titles.get(spec, spec))}: {plain(names)}",
                icon=":material/close:",
                key=f"chip-{spec}",
                on_click=problem.kept(partial(change, where=without(view.where, spec))),
                help="Take this filter off.",
            )


def in_words(analysis: Analysis, view: View) -> str:
    """What is filtered, for a caption: "class: waterbird; correctness: wrong", or ""."""
    titles = dict(band_data.facets(band_state.subject(analysis, view)))
    return "; ".join(f"{titles.get(spec, spec)}: {' or '.join(values)}" for spec, values in view.where.terms)


def without(where: Filter, spec: str) -> Filter:
    return Filter(tuple(term for term in where.terms if term[0] != spec))


def with_values(where: Filter, spec: str, values: tuple[str, ...]) -> Filter:
    """values: those allowed; none means that the facet does not filter."""
    terms = dict(where.terms)
    terms[spec] = values
    return Filter(tuple((facet, allowed) for facet, allowed in terms.items() if allowed))


def _facet(analysis: Analysis, spec: str, title: str, allowed: tuple[str, ...], change: Change) -> None:
    values = facet_values(spec, analysis)
    key = f"filter-{spec}"
    st.session_state[key] = [value for value in allowed if value in values]
    options = {"key": key, "on_change": problem.kept(partial(_changed, analysis, spec, key, change))}
    if len(values) <= PILLS:
        st.pills(plain(short(title)), values, selection_mode="multi", format_func=lambda v: plain(short(v)), **options)
    else:
        st.multiselect(plain(short(title)), values, placeholder="all", **options)


def _changed(analysis: Analysis, spec: str, key: str, change: Change) -> None:
    view = band_state.current(analysis)
    change(where=with_values(view.where, spec, tuple(st.session_state[key])))
