"""The Bands page itself, one fragment: the ways of looking, the direction, the band, and what lies in it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations import findings, sampling
from core.activations.index import open_index
from core.settings import DEFAULTS
from pages.parts import (
    band_controls,
    band_data,
    band_state,
    concept_tools,
    gallery,
    head,
    live_repair,
    notices,
    problem,
    rooms,
    state,
    tour,
)
from pages.parts.band_data import Subject
from pages.parts.band_state import MID, TOP, View
from pages.parts.words import plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

LEADS = {
    band_state.IMAGES: "At the top the model is certain of a class; the middle shows what it confuses.",
    band_state.DISCOVER: "What the images of this band have in common besides the class, found without any tag.",
    band_state.SHEET: "The whole range at one glance: what the model is sure of, and what it confuses, side by side.",
    band_state.CURVE: "How common something is along the range. What the model relies on fades towards the middle.",
    band_state.COMPARE: "Two directions, or the model before and after a repair, over the same images.",
    band_state.DIRECTIONS: "Where to look: everything that gives an image one number, the most suspicious first.",
}
TAG_NEXT = "about sixty answers, on the images where an answer says most."


@st.fragment
@problem.guarded
def explore(analysis: Analysis) -> None:
    view = band_state.current(analysis)
    notices.show()
    band_state.hold(analysis, view)
    named = bool(concept_tools.concepts(analysis))
    head.show(
        "bands",
        LEADS[view.look],
        looks=partial(band_controls.looks, analysis, view),
        then=_tag_next if named else None,
        beside=partial(concept_tools.create, analysis, "bands", prominent=not named)
        if view.look == band_state.IMAGES
        else None,
    )
    if band_state.is_outdated(analysis, view):
        _outdated(analysis)
    if (
        view.look != band_state.DIRECTIONS
        and view.where.terms
        and not band_data.total(band_state.subject(analysis, view))
    ):
        _nothing_fits(analysis, view)
    else:
        _LOOKS[view.look](analysis, view)
    # at the end: what was shown is what the address says
    state.write_link(band_state.query(analysis, band_state.kept(analysis)))
    tour.follow()


def _outdated(analysis: Analysis) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="band-outdated"):
        st.caption("Your tags change what belongs here. The page waits until you are done.", width="content")
        st.button(
            "Update",
            icon=":material/refresh:",
            type="tertiary",
            on_click=problem.kept(partial(band_state.let_go, analysis)),
        )


def _nothing_fits(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view)
    with st.container(border=True, key="card-empty"):
        st.markdown("**No image fits the filter.** Allow more values, choose another split, or show all images.")
        st.button(
            "Show all images",
            icon=":material/filter_alt_off:",
            on_click=problem.kept(partial(band_controls.set_images, analysis, where=band_data.EVERY_IMAGE)),
        )


def heading() -> None:
    """What stands above an invitation to begin."""
    head.show("bands", LEADS[band_state.IMAGES])


def _images(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view)
    band_controls.strip(analysis, view)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="band-finding"):
        # a text wraps in it instead of pushing what stands beside it down
        with st.container(width="stretch", key="band-said"):
            _finding(analysis, view)
        band_controls.sample(analysis, view)
    if concept_tools.concepts(analysis):
        live_repair.show(analysis, "bands")
    _grid(analysis, view)
    _next(analysis)


def _tag_next() -> None:
    if st.button("Tag next", icon=":material/arrow_forward:", help=f"{TAG_NEXT[0].upper()}{TAG_NEXT[1:]}"):
        rooms.go("tag_next")


def _finding(analysis: Analysis, view: View) -> None:
    subject = band_state.subject(analysis, view)
    band = band_data.summary(subject, view.low, view.high)
    best = band_state.proposed(analysis, view, TOP)
    top = band_data.summary(subject, best.low, best.high)
    preset = band_state.preset_of(analysis, view)
    why = None if preset is None else plain(band_state.proposed(analysis, view, preset).why)
    st.markdown(plain(findings.sentence(band, top, is_top=preset == TOP)), help=why)


def _grid(analysis: Analysis, view: View) -> None:
    subject = band_state.subject(analysis, view)
    mine = _brought(analysis, subject, view)
    shown = _page(subject, view, mine)
    if shown.number != view.page:
        band_state.turn_to(analysis, shown.number)
    if shown.note:
        st.caption(plain(shown.note))
    gallery.show(
        subject.analysis,
        shown.rows,
        key="band-grid",
        values=shown.values,
        place=gallery.Place(direction=view.direction, low=view.low, high=view.high),
        direction=band_data.direction(subject),
        total=shown.total,
        page=shown.number,
        pages=shown.pages,
        # what is selected stays selected through the pages of one band
        scope=repr(
            (analysis.id, view.direction, view.low, view.high, view.split, view.where, view.run, mine is not None)
        ),
        within="in this band" if mine is None else "in your circle",
        on_page=problem.kept(partial(_set_page, analysis)),
        everything=partial(_everything, subject, view) if mine is None else lambda: mine,
        empty="No image lies in this band. Widen it, or count other images with Filter."
        if view.where.terms
        else "No image lies in this band. Widen it, or choose another split.",
    )


def _brought(analysis: Analysis, subject: Subject, view: View) -> np.ndarray | None:
    """The images circled on the map that the grid shows alone; None where it shows the band."""
    mine = band_state.brought(analysis, view)
    if mine is None:
        return None
    mine = np.intersect1d(mine, _everything(subject, view))
    whole = len(_everything(subject, view))
    if not len(mine) or len(mine) == whole:
        return None
    choices = {True: f"Circled {len(mine):,}", False: f"The whole band {whole:,}"}
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="band-brought"):
        st.caption(
            f"**{len(mine):,} of these {whole:,} images** are those you circled on the map; the others lie in between.",
            width="content",
        )
        only = st.segmented_control(
            "Which of these images",
            list(choices),
            default=True,
            required=True,
            format_func=choices.get,
            label_visibility="collapsed",
            key=f"band-brought-{analysis.id}-{len(mine)}-{whole}",
        )
    return mine if only else None


def _page(subject: Subject, view: View, mine: np.ndarray | None = None) -> sampling.BandPage:
    """mine: rows to show alone, of those in the band."""
    index = band_data.index(subject)
    if mine is not None:
        among = np.zeros(subject.analysis.n, dtype=bool)
        among[mine] = True
        index = open_index(subject.analysis, band_data.direction(subject), among)
    return sampling.page(
        subject.analysis,
        band_data.direction(subject),
        index,
        view.low,
        view.high,
        closed=True,
        order=view.order,
        seed=view.seed,
        number=view.page,
        size=DEFAULTS.grid_size,
    )


def _everything(subject: Subject, view: View) -> np.ndarray:
    return band_data.members(subject, view.low, view.high)


def _set_page(analysis: Analysis, number: int) -> None:
    band_state.change(analysis, page=number)


def _curve(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view, presets=False, drawn=False)
    subject = band_state.subject(analysis, view)
    from pages.parts import band_curve

    if view.shown:
        st.session_state[band_curve.CHOSEN] = view.shown
    with st.container(key="band-curve"):
        band_curve.show(
            subject.analysis,
            band_data.direction(subject),
            band_data.index(subject),
            mid=band_state.proposed(analysis, view, MID),
            top=band_state.proposed(analysis, view, TOP),
            facets=band_data.known(subject),
            on_choice=problem.kept(partial(_set_shown, analysis)),
        )


def _set_shown(analysis: Analysis, chosen: str) -> None:
    band_state.change(analysis, shown=chosen)


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


# Each is imported when somebody looks: the first view of a session waits for nothing it does not show.


def _discover(analysis: Analysis, view: View) -> None:
    from pages.parts import band_discover

    band_discover.show(analysis, view)


def _sheet(analysis: Analysis, view: View) -> None:
    from pages.parts import band_sheet

    band_sheet.show(analysis, view)


def _compare(analysis: Analysis, view: View) -> None:
    from pages.parts import band_compare

    band_compare.show(analysis, view)


def _directions(analysis: Analysis, view: View) -> None:
    from pages.parts import band_directions

    band_directions.show(analysis, view)


_LOOKS = {
    band_state.IMAGES: _images,
    band_state.DISCOVER: _discover,
    band_state.SHEET: _sheet,
    band_state.CURVE: _curve,
    band_state.COMPARE: _compare,
    band_state.DIRECTIONS: _directions,
}
