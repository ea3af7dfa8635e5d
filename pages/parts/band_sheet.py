"""The contact sheet: the direction cut into bands, side by side, to look at or to take away."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import streamlit as st

from core.activations.bands import Range
from core.activations.contact_sheet import ContactSheet, contact_sheet, sentence, sheet_edges
from core.export import sheet as sheet_file
from core.files import slug
from pages.parts import band_controls, band_data, band_filters, band_state, gate, inspector, problem
from pages.parts.band_data import Subject
from pages.parts.band_scale import QUANTILE, VALUE
from pages.parts.band_state import FEWEST_BANDS, IMAGES, MID, MOST_BANDS, View
from pages.parts.contact_sheet_view import show_sheet
from pages.parts.words import TERMS, count, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis

OPENED = "sheet_image_opened"
PER_BAND = 10
CUTS = {VALUE: "of equal width", QUANTILE: "with equally many images"}


def show(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view, presets=False, drawn=False, more=partial(_cut, analysis, view))
    subject = band_state.subject(analysis, view)
    sheet = _sheet(subject, view.bands, view.cut, view.seed, band_state.proposed(analysis, view, MID))
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="sheet-head"):
        with st.container(width="stretch", key="sheet-said"):
            st.markdown(
                plain(sentence(sheet)) or f"{count(sheet.total, 'image')} from the strongest to the weakest.",
                help=f"{count(sheet.total, 'image')}, the strongest band first; of each, as many as fit are shown, "
                "drawn evenly. A band's heading opens it under Images.",
            )
        _save(analysis, view, subject, sheet)
    show_sheet(
        "sheet",
        subject.analysis,
        sheet,
        on_open_image=_open_image,
        on_open_band=problem.kept(partial(_open_band, analysis)),
    )
    if (opened := st.session_state.pop(OPENED, None)) is not None:
        shown = [int(subject.analysis.ids[row]) for band in sheet.bands for row in band.rows]
        inspector.open_dialog(subject.analysis, opened, direction=band_data.direction(subject), ids=shown)


def _cut(analysis: Analysis, view: View) -> None:
    """Into which bands, and which images of them."""
    with st.popover(count(view.bands, "band"), key="sheet-cut", help="Into which bands."):
        st.session_state["sheet_bands"] = view.bands
        st.number_input(
            "Bands",
            FEWEST_BANDS,
            MOST_BANDS,
            key="sheet_bands",
            on_change=problem.kept(partial(_set, analysis, "bands", "sheet_bands")),
        )
        st.session_state["sheet_cut"] = view.cut
        st.segmented_control(
            "Cut",
            list(CUTS),
            key="sheet_cut",
            required=True,
            format_func=CUTS.get,
            on_change=problem.kept(partial(_set, analysis, "cut", "sheet_cut")),
        )
        st.button(
            "Other images",
            icon=":material/casino:",
            on_click=problem.kept(partial(band_state.change, analysis, seed=view.seed + 1)),
            help=f"Draw other images for every band (seed {view.seed}). {TERMS['seed']}",
        )


def _save(analysis: Analysis, view: View, subject: Subject, sheet: ContactSheet) -> None:
    name = slug(f"{analysis.dataset_name} {view.direction}")
    told = {"lead": _lead(subject), "filtered": band_filters.in_words(analysis, view)}
    for kind, icon, write in (("PNG", "image", sheet_file.png), ("PDF", "picture_as_pdf", sheet_file.pdf)):
        gate.download_button(
            kind,
            # made when asked for, not on every look
            data=partial(write, subject.analysis, sheet, **told),
            file_name=f"{name}.{kind.lower()}",
            icon=f":material/{icon}:",
            on_click="ignore",
            help=f"The whole contact sheet as a {kind}.",
        )


def _lead(subject: Subject) -> str:
    images = "all images" if subject.split == band_data.ALL else f"{subject.split} images"
    return f"{subject.analysis.model_name} on {subject.analysis.dataset_name}, {images}"


@lru_cache(maxsize=8)
def _sheet(subject: Subject, bands: int, cut: str, seed: int, mid: Range) -> ContactSheet:
    index = band_data.index(subject)
    return contact_sheet(
        subject.analysis,
        band_data.direction(subject),
        index,
        sheet_edges(index, bands, quantiles=cut == QUANTILE),
        facets=(band_data.facet(subject, "class"), *band_data.known(subject)),
        per_band=PER_BAND,
        seed=seed,
        mid=mid,
        top=band_data.proposed(subject, "top"),
    )


def _open_image(image_id: int) -> None:
    st.session_state[OPENED] = image_id


def _open_band(analysis: Analysis, low: float, high: float) -> None:
    # just the images that the heading counted
    band_state.change(analysis, exact=True, look=IMAGES, low=low, high=high)


def _set(analysis: Analysis, name: str, key: str) -> None:
    band_state.change(analysis, **{name: st.session_state[key]})
