"""A contact sheet as a picture (PNG) or as pages to print (PDF, A4 landscape).

Drawn in units of 1/96 inch on a page of 1123 x 794, twice as fine: 192 dots per inch. A row per band, the strongest
first: what it is, what it is made of, some of its images.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from core.access.policy import Permission, require
from core.access.roots import allowed_path
from core.activations.contact_sheet import UNKNOWN, ContactSheet, SheetBand
from core.activations.curves import percent
from core.activations.store import Analysis
from core.errors import BadRequest
from core.export.pen import PAPER, SCALE, Pen, plain
from core.files import replacing, resolved

WIDTH, HEIGHT, MARGIN = 1123, 794, 38
DPI = 96 * SCALE
# rows of a printed page at most: with more, images are too small to see what they show
ROWS = 6
HEADER, FOOTER, GAP = 118, 34, 8
TALLEST, LOWEST = 196, 96
# columns: from where, how wide
FACTS, BARS, IMAGES = (14, 150), (176, 278), (462, 576)
# attributes and concepts with a bar of their own
MOST_BARS = 4
BAR = 9

INK, SOFT, FAINT, LINE = "#1d2730", "#5c6b76", "#eef1f3", "#dde3e7"
TEAL, TEAL_TINT, AMBER, AMBER_TINT = "#0b7285", "#eaf4f6", "#b8690f", "#fdf4e5"
RIGHT = "#4f6d9a"
# as the pages have them: told apart by eyes that see colours differently
COLORS = ("#1f7a8c", "#d98324", "#7b5ea7", "#4c8c4a", "#c2567a", "#8a6d3b", "#4f6d9a", "#6b7680")
# values of attributes: greys and blues, so that they are not taken for classes
VALUES = ("#9aa7b1", "#35506b", "#c9b27c", "#6f9bb8", "#5e5346", "#b7c7bd", "#8d7a9e", "#404b54")
LABELS = {"top": ("TOP", TEAL, TEAL_TINT), "mid": ("MID BAND", AMBER, AMBER_TINT)}


@dataclass(frozen=True)
class _Bar:
    """What one small bar of every row shows. focus: the value whose share is written beside it."""

    spec: str
    title: str
    colors: dict[str, str]
    focus: str


def png(analysis: Analysis, sheet: ContactSheet, **options: Any) -> bytes:
    """The whole sheet as one picture, as tall as it needs to be. options: as `write_sheet`."""
    file = io.BytesIO()
    _page(analysis, sheet, sheet.bands, _about(analysis, sheet, **options), "", printed=False).save(
        file, "PNG", dpi=(DPI, DPI), optimize=True
    )
    return file.getvalue()


def pdf(analysis: Analysis, sheet: ContactSheet, **options: Any) -> bytes:
    """The sheet on A4 pages, six bands at most on each. options: as `write_sheet`."""
    about = _about(analysis, sheet, **options)
    parts = _parts(sheet.bands)
    pages = [
        _page(analysis, sheet, part, about, f"{number} / {len(parts)}" if len(parts) > 1 else "", printed=True)
        for number, part in enumerate(parts, start=1)
    ]
    file = io.BytesIO()
    pages[0].save(
        file,
        "PDF",
        save_all=True,
        append_images=pages[1:],
        resolution=DPI,
        quality=93,
        subsampling=0,
        title=plain(about.title),
        creator="Midband",
    )
    return file.getvalue()


def write_sheet(
    analysis: Analysis,
    sheet: ContactSheet,
    path: Path | str,
    *,
    lead: str = "",
    filtered: str = "",
    written: datetime | None = None,
) -> Path:
    """Write a sheet to a .png or .pdf. Returns where it lies.

    lead: a sentence below the title. filtered: which images count, in words, where not all do. written: the date on
    it, today when left out. Raises `BadRequest` for another ending, `DiskFull`, `StorageProblem`.
    """
    require(Permission.EXPORT, "a contact sheet")
    advice = "Name a file that ends in .png or .pdf."
    target = allowed_path(resolved(path, advice=advice))
    make = {".png": png, ".pdf": pdf}.get(target.suffix.lower())
    if make is None or target.is_dir():
        raise BadRequest(f"{target.name} is not a picture or a PDF that can be written.", next_step=advice)
    content = make(analysis, sheet, lead=lead, filtered=filtered, written=written)
    with replacing(target) as beside:
        beside.write_bytes(content)
    return target


@dataclass(frozen=True)
class _About:
    """What stands at the head of each page, and what the bars mean."""

    title: str
    facts: str
    lead: str
    written: str
    bars: tuple[_Bar, ...]
    more: int
    images: int


def _about(
    analysis: Analysis, sheet: ContactSheet, *, lead: str = "", filtered: str = "", written: datetime | None = None
) -> _About:
    facts = [
        analysis.dataset_name,
        analysis.model_name,
        f"{sheet.total:,} images" + (f", {filtered}" if filtered else ""),
    ]
    if sheet.outside:
        facts.append(f"{sheet.outside:,} in no band")
    bars, more = _bars(sheet)
    return _About(
        title=sheet.title[:1].upper() + sheet.title[1:],
        facts="   ·   ".join(facts),
        lead=" ".join(part for part in (lead, sheet.note) if part),
        written=f"{written or datetime.now():%d %B %Y}".lstrip("0"),
        bars=bars,
        more=more,
        images=max((len(band.rows) for band in sheet.bands), default=0),
    )


def _bars(sheet: ContactSheet) -> tuple[tuple[_Bar, ...], int]:
    """The bars of every row, and how many facets had no room."""
    if not sheet.bands:
        return (), 0
    found: list[_Bar] = []
    left_out = 0
    for place, (spec, title, counts) in enumerate(sheet.bands[0].facets):
        values = dict.fromkeys(value for band in sheet.bands for value, _ in band.facets[place][2])
        del counts
        if spec == "class":
            colors = {value: COLORS[i % len(COLORS)] for i, value in enumerate(values)}
            found.insert(0, _Bar(spec, "class", colors, _strongest(sheet, place, values)))
        elif spec.startswith(("attribute:", "concept:")):
            if sum(bar.spec != "class" for bar in found) == MOST_BARS:
                left_out += 1
                continue
            named = [value for value in values if value not in (UNKNOWN, "not tagged")]
            colors = {value: VALUES[i % len(VALUES)] for i, value in enumerate(named)}
            focus = _focus(sheet, place, colors)
            if spec.startswith("concept:"):
                # how many show it, and only those have a strong colour
                colors, focus = {"present": VALUES[1], "absent": VALUES[0]}, "present"
            found.append(_Bar(spec, title, colors, focus))
    return tuple(found), left_out


def _focus(sheet: ContactSheet, place: int, values: Sequence[str] | dict[str, Any]) -> str:
    """The value whose share differs most between the middle and the top, or between any two bands without labels."""
    labelled = [band for band in sheet.bands if band.label]
    compared = labelled if len(labelled) == 2 else sheet.bands

    def difference(value: str) -> float:
        shares = [share for band in compared if (share := _share(band, place, value, values)) is not None]
        return max(shares) - min(shares) if shares else 0.0

    names = list(values)
    # of two values either would do: the second, as curves have it
    return max(reversed(names), key=difference) if names else ""


def _strongest(sheet: ContactSheet, place: int, values: dict[str, Any]) -> str:
    """The value most common in the strongest band that holds an image."""
    counts = next((dict(band.facets[place][2]) for band in sheet.bands if band.count), {})
    return max(values, key=lambda value: counts.get(value, 0), default="")


def _share(band: SheetBand, place: int, value: str, values: Sequence[str] | dict[str, Any]) -> float | None:
    counts = dict(band.facets[place][2])
    known = sum(counts.get(one, 0) for one in values)
    return counts.get(value, 0) / known if known else None


def _parts(bands: Sequence[SheetBand]) -> list[Sequence[SheetBand]]:
    """Bands per page, about equally many on each."""
    pages = max(1, -(-len(bands) // ROWS))
    size = -(-len(bands) // pages) if bands else 1
    return [bands[start : start + size] for start in range(0, max(len(bands), 1), size)]


def _page(
    analysis: Analysis, sheet: ContactSheet, bands: Sequence[SheetBand], about: _About, number: str, *, printed: bool
) -> Image.Image:
    rows = max(1, min(len(bands), ROWS))
    room = HEIGHT - HEADER - FOOTER
    # few bands get larger images, but do not fill a page for its own sake
    row = min(TALLEST, max(LOWEST, (room - GAP * (rows - 1)) // rows))
    height = HEIGHT
    if not printed:
        needed = HEADER + FOOTER + len(bands) * (row + GAP)
        height = needed if len(bands) > ROWS else max(min(HEIGHT, needed), 300)
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), PAPER)
    pen = Pen(image)
    _header(pen, about)
    largest = max((band.count for band in sheet.bands), default=0)
    for place, band in enumerate(bands):
        _row(pen, analysis, band, about, HEADER + place * (row + GAP), row, largest)
    if not bands:
        pen.text(MARGIN, HEADER + 20, sheet.note or "There is no band to show.", 15, SOFT)
    _footer(pen, about, height, number)
    return image


def _header(pen: Pen, about: _About) -> None:
    right = WIDTH - MARGIN
    pen.mark(right - 100, 36)
    pen.text(right - 70, 34, "Midband", 17, INK, bold=True)
    pen.text(right, 58, about.written, 11.5, SOFT, anchor="ra")
    pen.text(MARGIN, 28, about.title, 27, INK, bold=True, room=right - MARGIN - 130)
    pen.text(MARGIN, 64, about.facts, 12.5, SOFT, room=right - MARGIN - 130)
    if about.lead:
        pen.text(MARGIN, 84, about.lead, 13.5, INK, room=right - MARGIN)
    pen.line(MARGIN, HEADER - 10, right, HEADER - 10, LINE)


def _row(pen: Pen, analysis: Analysis, band: SheetBand, about: _About, top: float, height: float, largest: int) -> None:
    label, strong, tint = LABELS.get(band.label, ("", SOFT, FAINT))
    pen.box(MARGIN, top, WIDTH - MARGIN, top + height, tint if label else "#f8f9fa", radius=7)
    if label:
        pen.box(MARGIN, top, MARGIN + 5, top + height, strong, radius=2.5)
    left, width = MARGIN + FACTS[0], FACTS[1]
    # what is written stands in the middle of the row's height
    y = top + (height - (76 if label else 58)) / 2
    if label:
        pen.text(left, y, label, 11, strong, bold=True)
        y += 18
    pen.text(left, y, band.range_text, 16.5, INK, bold=True, room=width)
    pen.text(left, y + 23, f"{band.count:,} image{'' if band.count == 1 else 's'}", 12.5, SOFT, room=width)
    pen.box(left, y + 44, left + width - 16, y + 48, "#e3e8eb", radius=2)
    if band.count:
        pen.box(left, y + 44, left + max(4, (width - 16) * band.count / largest), y + 48, strong, radius=2)
    _figures(pen, band, about, top, height)
    _images(pen, analysis, band, about, top, height)


def _figures(pen: Pen, band: SheetBand, about: _About, top: float, height: float) -> None:
    """The small bars: class mix, accuracy, attributes, concepts."""
    lines = len(about.bars) + 1
    step = min(26.0, (height - 14) / lines)
    y = top + (height - step * lines) / 2 + (step - 14) / 2
    start, bar_width = float(MARGIN + BARS[0] + 66), 84.0
    # up to where the images begin
    end_of_text = MARGIN + BARS[0] + BARS[1]
    places = {spec: place for place, (spec, *_) in enumerate(band.facets)}
    for i in range(lines):
        # the class first, then how often the model is right, then the rest
        bar = None if i == min(1, len(about.bars)) else about.bars[i if i == 0 else i - 1]
        middle = y + i * step + 7
        name = "right" if bar is None else bar.title
        pen.text(start - 8, middle, name, 11.5, SOFT, anchor="rm", room=64)
        pen.box(start, middle - BAR / 2, start + bar_width, middle + BAR / 2, "#e3e8eb", radius=2)
        if bar is None:
            if band.accuracy is not None:
                pen.box(start, middle - BAR / 2, start + bar_width * band.accuracy, middle + BAR / 2, RIGHT, radius=2)
                pen.text(start + bar_width + 8, middle, percent(band.accuracy), 11.5, INK, bold=True, anchor="lm")
            continue
        counts = dict(band.facets[places[bar.spec]][2])
        known = sum(counts.get(value, 0) for value in bar.colors)
        x = start
        for value, color in bar.colors.items():
            if known and counts.get(value, 0):
                end = x + bar_width * counts[value] / known
                pen.box(x, middle - BAR / 2, end, middle + BAR / 2, color)
                x = end
        if not known:
            said = "" if not band.count else "not tagged" if bar.spec.startswith("concept:") else "unknown"
            pen.text(start + bar_width + 8, middle, said, 11.5, SOFT, anchor="lm")
            continue
        share = percent(counts.get(bar.focus, 0) / known)
        said = f"of {known:,} tagged" if bar.spec.startswith("concept:") else bar.focus
        taken = pen.text(start + bar_width + 8, middle, share, 11.5, INK, bold=True, anchor="lm")
        pen.text(
            start + bar_width + 12 + taken,
            middle,
            said,
            11.5,
            SOFT,
            anchor="lm",
            room=end_of_text - start - bar_width - 12 - taken,
        )


def _images(pen: Pen, analysis: Analysis, band: SheetBand, about: _About, top: float, height: float) -> None:
    left, width = MARGIN + IMAGES[0], IMAGES[1]
    if not band.rows:
        said = "No image lies here." if not band.count else "No image was asked for."
        pen.text(left, top + height / 2, said, 12.5, SOFT, anchor="lm")
        return
    gap, inner = 6, height - 14
    # the largest squares of which all fit; the same in every row
    side = next(
        side
        for side in range(int(inner), 0, -1)
        if (per_line := (width + gap) // (side + gap)) and -(-about.images // per_line) * (side + gap) - gap <= inner
    )
    per_line = (width + gap) // (side + gap)
    lines = -(-len(band.rows) // per_line)
    y = top + (height - lines * (side + gap) + gap) / 2
    class_bar = next((bar for bar in about.bars if bar.spec == "class"), None)
    for i, row in enumerate(band.rows):
        x, at = left + (i % per_line) * (side + gap), y + (i // per_line) * (side + gap)
        name = analysis.classes[int(analysis.labels[row])]
        color = class_bar.colors.get(name, SOFT) if class_bar else SOFT
        wrong = int(analysis.predicted[row]) != int(analysis.labels[row])
        pen.picture(_thumbnail(analysis, row, round(side * SCALE)), x, at, side, color, wrong=wrong)


def _footer(pen: Pen, about: _About, height: float, number: str) -> None:
    """What the colours mean."""
    y, x, right = height - FOOTER / 2 - 2, float(MARGIN), float(WIDTH - MARGIN - (50 if number else 0))
    entries: list[tuple[str, str]] = []
    for bar in about.bars:
        shown = list(bar.colors.items())[:8]
        if bar.spec.startswith("concept:"):
            entries.append((bar.colors["present"], f"{bar.title} (of tagged images)"))
        elif bar.spec == "class":
            entries += [(color, value) for value, color in shown]
        else:
            entries += [(color, f"{bar.title}: {value}") for value, color in shown]
    for color, text in entries:
        taken = pen.measure(text, 11.5) + 34
        if x + taken > right - 190:
            x += pen.text(x, y, "…", 11.5, SOFT, anchor="lm") + 12
            break
        pen.box(x, y - 5, x + 10, y + 5, color, radius=2)
        pen.text(x + 15, y, text, 11.5, SOFT, anchor="lm")
        x += taken
    if about.images:
        pen.cross(x + 6, y, 6)
        x += 17 + pen.text(x + 17, y, "taken for another class", 11.5, SOFT, anchor="lm") + 18
    if about.more:
        noun = "attribute or concept" if about.more == 1 else "attributes and concepts"
        pen.text(x, y, f"{about.more} more {noun} not shown", 11.5, SOFT, anchor="lm", room=right - x)
    if number:
        pen.text(WIDTH - MARGIN, y, number, 11.5, SOFT, anchor="rm")


def _thumbnail(analysis: Analysis, row: int, side: int) -> Image.Image:
    """side: dots. A grey square where the thumbnail cannot be read."""
    try:
        with Image.open(io.BytesIO(analysis.thumbnail(row))) as image:
            return ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    except (OSError, ValueError):
        return Image.new("RGB", (side, side), "#c8d0d6")
