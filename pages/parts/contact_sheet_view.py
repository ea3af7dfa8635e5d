"""The contact sheet on screen: bands under each other, the strongest on top, each with its make-up and its images.

    show_sheet("sheet", analysis, sheet, on_open_image=look_closer, on_open_band=go_there)

Bars of one facet stand exactly under each other and begin with the same value, the one that is most common at the top:
so how it fades is seen at one glance, down the sheet. Images of which it is not known (or which nobody tagged) are
drawn grey and do not count in the share that is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.logs import get_logger
from pages.parts import theme
from pages.parts.component_source import source
from pages.parts.image_grid import format_activation
from pages.parts.picture_url import picture_url
from pages.parts.words import percent

if TYPE_CHECKING:
    from core.activations.contact_sheet import ContactSheet, SheetBand
    from core.activations.store import Analysis

log = get_logger("pages")

# answers that say nothing about an image
SILENT = ("unknown", "not tagged")
# values with a colour of their own; the rest is drawn as one
MOST_VALUES = 7
OTHERS = "others"
# with fewer images, a share is written as "2 of 5"
FEW = 10

_component = st.components.v2.component(
    "midband_contact_sheet",
    html=source("contact_sheet", "contact_sheet.html"),
    css="\n".join((source("contact_sheet", "contact_sheet.css"), source("image_grid", "tooltip.css"))),
    js="\n".join(
        (
            source("image_grid", "dom.js", "tooltip.js"),
            source("contact_sheet", "moves.js", "contact_sheet.js"),
        )
    ),
)


@dataclass(frozen=True)
class SheetImage:
    """id: unique in its band. thumbnail: WebP bytes. lines: shown on hover and read aloud, the name first."""

    id: int
    thumbnail: bytes
    lines: tuple[str, ...]
    wrong: bool = False


@dataclass(frozen=True)
class SheetBar:
    """One bar of a band: parts (value, images, colour) from left to right, and what is written above it.

    followed: the value that the text is about; the others are drawn fainter. "" draws all alike.
    """

    title: str
    text: str
    parts: tuple[tuple[str, int, str], ...]
    followed: str = ""


@dataclass(frozen=True)
class SheetRow:
    """A band: low <= activation < high, <= high where closed. label: "top", "mid" or ""."""

    low: float
    high: float
    count: int
    label: str
    bars: tuple[SheetBar, ...]
    images: tuple[SheetImage, ...]
    closed: bool = False

    @property
    def last(self) -> float:
        """The greatest activation that the band may hold: low <= activation <= last are exactly its images.

        Activations are float32: below an edge that belongs to the next band, there is a last one. A band too narrow
        for any ends at its low end.
        """
        if self.closed:
            return self.high
        with np.errstate(over="ignore"):
            below = np.float32(self.high)
        if float(below) >= self.high:
            below = np.nextafter(below, np.float32(-np.inf))
        return max(self.low, float(below))


@dataclass(frozen=True)
class SheetView:
    """rows: the strongest band first. title: what the bands are ranges of."""

    title: str
    rows: tuple[SheetRow, ...]
    note: str = ""


def show_sheet(
    key: str,
    analysis: Analysis,
    sheet: ContactSheet,
    *,
    on_open_image: Callable[[int], None],
    on_open_band: Callable[[float, float], None],
) -> None:
    """Draw a contact sheet of an analysis; see `contact_sheet` for the callbacks."""
    contact_sheet(key, sheet_view(analysis, sheet), on_open_image=on_open_image, on_open_band=on_open_band)


def contact_sheet(
    key: str,
    view: SheetView,
    *,
    on_open_image: Callable[[int], None],
    on_open_band: Callable[[float, float], None],
) -> None:
    """Draw the bands. on_open_image: called with the id of an image that is clicked; on_open_band: with the least and
    the greatest activation of a band whose heading is clicked, both of them in it. Both are callbacks: they run before
    the page's script does."""
    _component(
        key=key,
        data=sheet_data(view),
        on_open_change=partial(_deliver, key, view, on_open_image, on_open_band),
    )


def sheet_view(analysis: Analysis, sheet: ContactSheet) -> SheetView:
    """What is drawn of a sheet: thumbnails, colours, and the value of each facet that is compared down the sheet."""
    followed = [_followed(sheet.bands, place) for place in range(len(sheet.bands[0].facets) if sheet.bands else 0)]
    colored = [_colors(sheet.bands, place, value) for place, value in enumerate(followed)]
    return SheetView(
        title=sheet.title,
        rows=tuple(
            SheetRow(
                low=band.low,
                high=band.high,
                count=band.count,
                label=band.label,
                bars=(
                    _accuracy(band),
                    *(
                        _bar(title, dict(counts), value, colors)
                        for (_, title, counts), value, colors in zip(band.facets, followed, colored, strict=True)
                    ),
                ),
                images=_images(analysis, band.rows),
                closed=band.closed,
            )
            for band in sheet.bands
        ),
        note=sheet.note,
    )


def sheet_data(view: SheetView) -> dict[str, Any]:
    """The message to the browser; pictures are data URLs."""
    return {
        "title": view.title,
        "note": view.note,
        "rows": [
            {
                "low": row.low,
                "high": row.high,
                "range": f"{format_activation(row.low)} to {format_activation(row.high)}",
                "count": f"{row.count:,} image{'' if row.count == 1 else 's'}",
                "label": row.label,
                "bars": [
                    {"title": bar.title, "text": bar.text, "parts": _widths(bar)} for bar in row.bars if bar.parts
                ],
                "images": [
                    {
                        "id": image.id,
                        "picture": picture_url(image.thumbnail),
                        "lines": list(image.lines),
                        "wrong": image.wrong,
                    }
                    for image in row.images
                ],
            }
            for row in view.rows
        ],
    }


def _deliver(
    key: str, view: SheetView, on_open_image: Callable[[int], None], on_open_band: Callable[[float, float], None]
) -> None:
    """Pass on what was clicked, if it is on this sheet: a click may come from the one before."""
    state = st.session_state.get(key)
    message = state.get("open") if isinstance(state, dict) else None
    if not isinstance(message, dict):
        return
    if message.get("kind") == "image":
        wanted = message.get("id")
        known = (image.id for row in view.rows for image in row.images)
        if not isinstance(wanted, bool) and (found := next((i for i in known if i == wanted), None)) is not None:
            on_open_image(found)
    elif message.get("kind") == "band":
        ends = (message.get("low"), message.get("high"))
        if found_row := next((row for row in view.rows if (row.low, row.high) == ends), None):
            on_open_band(found_row.low, found_row.last)
    else:
        log.warning("a message of a contact sheet makes no sense and was dropped")


def _followed(bands: Sequence[SheetBand], place: int) -> str:
    """The value of a facet that is most common at the top, to see it fade or not; of a concept its presence. "" where
    nothing is known."""
    totals: Counter[str] = Counter()
    for band in bands:
        totals.update({value: images for value, images in band.facets[place][2] if value not in SILENT})
    if not sum(totals.values()):
        return ""
    if "present" in totals and bands[0].facets[place][0].startswith("concept:"):
        return "present"
    top = next((band for band in bands if band.label == "top"), bands[0])
    above = _shares(dict(top.facets[place][2]))
    return max(totals, key=lambda value: (above.get(value, 0), totals[value]))


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    known = {value: images for value, images in counts.items() if value not in SILENT}
    total = sum(known.values())
    return {value: images / total for value, images in known.items()} if total else {}


def _colors(bands: Sequence[SheetBand], place: int, followed: str) -> dict[str, str]:
    """A colour per value that is drawn by itself, in the order drawn: the followed one first."""
    totals: dict[str, int] = {}
    for band in bands:
        for value, images in band.facets[place][2]:
            totals[value] = totals.get(value, 0) + images
    known = [value for value in totals if value not in SILENT]
    # colours go by the facet's own order, as in the histogram
    palette = dict(zip(known, theme.class_colors(len(known)), strict=True))
    common = sorted(known, key=lambda value: -totals[value])[:MOST_VALUES]
    return {value: palette[value] for value in sorted(set(common) | {followed}, key=lambda v: v != followed) if value}


def _bar(title: str, counts: dict[str, int], followed: str, colors: dict[str, str]) -> SheetBar:
    silent = sum(counts.get(value, 0) for value in SILENT)
    drawn = [(value, counts.get(value, 0), color) for value, color in colors.items()]
    others = sum(counts.values()) - silent - sum(images for _, images, _ in drawn)
    known = sum(counts.values()) - silent
    parts = (
        *drawn,
        (OTHERS, others, "var(--others)"),
        *((value, counts.get(value, 0), "var(--silent)") for value in SILENT),
    )
    if not known:
        said = "no image" if not silent else "not tagged" if counts.get("not tagged") else "unknown"
    else:
        said = f"{followed} {_share(counts.get(followed, 0), known)}"
    return SheetBar(title, said, tuple(part for part in parts if part[1]), followed)


def _share(images: int, known: int) -> str:
    return f"{images} of {known}" if known < FEW else percent(images / known)


def _accuracy(band: SheetBand) -> SheetBar:
    if band.accuracy is None or not band.count:
        return SheetBar("right", "no labels" if band.count else "no image", ())
    right = round(band.accuracy * band.count)
    parts = (("right", right, "var(--right)"), ("wrong", band.count - right, "var(--wrong)"))
    return SheetBar("right", _share(right, band.count), tuple(part for part in parts if part[1]))


def _images(analysis: Analysis, rows: Sequence[int]) -> tuple[SheetImage, ...]:
    names = analysis.image_names(np.asarray(rows, dtype=np.int64)) if len(rows) else []
    made = []
    for row, name in zip(rows, names, strict=True):
        label, predicted = analysis.labels[row], analysis.predicted[row]
        wrong = bool(label != predicted)
        said = f"predicted {analysis.classes[predicted]}{' (wrong)' if wrong else ''}"
        lines = (name, f"labelled {analysis.classes[label]}", said) if analysis.labelled else (name, said)
        made.append(SheetImage(int(analysis.ids[row]), analysis.thumbnail(row), lines, wrong))
    return tuple(made)


def _widths(bar: SheetBar) -> list[dict[str, Any]]:
    total = sum(images for _, images, _ in bar.parts)
    return [
        {
            "value": value,
            "count": f"{images:,}",
            "share": round(images / total, 5),
            "color": color,
            "faint": bool(bar.followed) and value != bar.followed,
        }
        for value, images, color in bar.parts
    ]
