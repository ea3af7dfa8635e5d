"""The report as a PDF to print, A4: text that can be searched and copied, the images beside it.

Texts may hold any script. Each character is drawn with the first font installed that has it; where none has, a mark
takes its place and the last page says which scripts are missing, so that no box is left without a word.
"""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from PIL import Image, ImageFont

from core.export.card import EACH_AVERAGE, averages, settings_of
from core.export.page import MOST_SHIFTS, checked_of, percent, remarks_of, subtitle_of, title_of

# regular and bold; the first pair installed carries the text, the others lend what it lacks
FONTS = (
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf"),
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("Arial Unicode.ttf", "Arial Unicode.ttf"),
    ("msyh.ttc", "msyhbd.ttc"),
)
# Scripts whose letters join or turn: without an engine that shapes them, letters one by one would read as nonsense.
SHAPED = ("ARABIC", "HEBREW", "DEVANAGARI", "BENGALI", "TAMIL", "THAI", "KHMER", "MYANMAR", "SYRIAC", "TIBETAN")
# in place of what cannot be drawn: in every font, and told on the last page
MISSING = "?"
# used where no font file is installed at all: the standard fonts of PDF know Western Europe's letters only
CORE_FONT = "Helvetica"

INK, SOFT, LINE, PANEL = (29, 39, 48), (92, 107, 118), (221, 227, 231), (243, 246, 247)
BEFORE, AFTER, MIDDLE, BAD = (152, 165, 175), (11, 114, 133), (224, 154, 43), (192, 57, 43)
# millimetres
WIDTH, MARGIN = 210, 18
TEXT = WIDTH - 2 * MARGIN
# of the widest letter in a table
WIDEST = 3.0
# lines of a cell, at most
LINES = 40
# pixels of the longer side of a printed thumbnail: 200 dots per inch at its size
PIXELS = 160


def pdf(report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> bytes:
    """The whole report. report: see `core.export.report`. thumbnails: image id -> WebP bytes."""
    sheet = _Sheet(title_of(report))
    sheet.heading(title_of(report), 1)
    sheet.text(subtitle_of(report), soft=True)
    sheet.gap(2)
    sheet.text(report["comparison"]["sentence"], size=11.5)
    if report.get("note"):
        sheet.text(report["note"])
    _figures(sheet, report)
    _groups(sheet, report)
    _baselines(sheet, report)
    _findings(sheet, report, thumbnails)
    _shifts(sheet, report)
    _confusion(sheet, report)
    _calibration(sheet, report)
    _examples(sheet, report, thumbnails)
    _method(sheet, report)
    sheet.heading("What it does not say", 2)
    sheet.bullets(report["limits"])
    _files(sheet, report)
    return sheet.finished()


class _Sheet:
    """A4 pages that are written from top to bottom."""

    def __init__(self, title: str) -> None:
        # it warns of every glyph that a font lacks; what is missing is said in the document instead
        logging.getLogger("fpdf").setLevel(logging.ERROR)
        logging.getLogger("fontTools").setLevel(logging.ERROR)
        self._pdf = _Pages(format="A4")
        self._pdf.set_margins(MARGIN, MARGIN)
        self._pdf.set_auto_page_break(True, MARGIN)
        self._fonts = _installed()
        self._missing: dict[str, set[str]] = {}
        for name, (regular, bold) in self._fonts.items():
            self._pdf.add_font(name, "", regular)
            self._pdf.add_font(name, "B", bold)
        self._family = next(iter(self._fonts), CORE_FONT)
        if len(self._fonts) > 1:
            self._pdf.set_fallback_fonts(list(self._fonts)[1:])
        self._pdf.family = self._family
        self._pdf.set_title(self.drawable(title))
        self._pdf.set_creator("Midband")
        self._pdf.set_lang("en")
        self._pdf.add_page()

    def drawable(self, text: object) -> str:
        """The text with a mark for what no font here can draw; remembered, to be told at the end."""
        kept = []
        for character in unicodedata.normalize("NFC", str(text)):
            if character in "\n":
                kept.append(character)
            elif unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn"):
                # controls, marks of direction, unassigned: nothing to see
                kept.append(" " if character.isspace() else "")
            elif self._can(character):
                kept.append(character)
            else:
                kept.append(MISSING)
                self._missing.setdefault(_script(character), set()).add(character)
        return "".join(kept)

    def _can(self, character: str) -> bool:
        if _script(character) in SHAPED:
            return False
        if not self._fonts:
            return character in _LATIN_1
        return any(ord(character) in _characters(regular) for regular, _ in self._fonts.values())

    def gap(self, height: float) -> None:
        self._pdf.ln(height)

    def room(self, height: float) -> None:
        """A new page unless that much is left on this one."""
        if self._pdf.get_y() + height > self._pdf.h - MARGIN:
            self._pdf.add_page()

    def heading(self, text: str, level: int, *, needs: float = 22) -> None:
        """needs: millimetres below it without which it would stand alone at the foot of a page."""
        size, before = {1: (18, 0), 2: (13, 6), 3: (11, 3)}[level]
        self.room(before + needs)
        self._pdf.ln(before)
        self._pdf.set_text_color(*INK)
        self._pdf.set_font(self._family, "B", size)
        shown = self.drawable(text)
        if level < 3:
            self._pdf.start_section(shown[:80], level - 1)
        self._line(shown, size * 0.46)
        self._pdf.ln(1)

    def text(self, text: str, *, size: float = 9.5, soft: bool = False, bold: bool = False) -> None:
        self._pdf.set_text_color(*(SOFT if soft else INK))
        self._pdf.set_font(self._family, "B" if bold else "", size)
        self._line(self.drawable(text), size * 0.47)
        self._pdf.ln(0.8)

    def _line(self, text: str, height: float) -> None:
        self._pdf.set_x(MARGIN)
        self._pdf.multi_cell(TEXT, height, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def bullets(self, sentences: Sequence[str]) -> None:
        for sentence in sentences:
            self.text(f"- {sentence}")

    def code(self, text: str) -> None:
        self._pdf.set_text_color(*INK)
        self._pdf.set_font(self._family, "", 8)
        self._pdf.set_fill_color(*PANEL)
        self._pdf.set_x(MARGIN)
        self._pdf.multi_cell(
            TEXT, 3.9, self.drawable(text) or " ", align="L", fill=True, new_x=XPos.LMARGIN, new_y=YPos.NEXT, padding=2
        )
        self._pdf.ln(1.5)

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], *, bold: int = -1
    ) -> None:
        """widths: relative. Columns of numbers but for the first are set to the right. bold: a row."""
        numbers = [j > 0 and all(not row[j] or _is_number(row[j]) for row in rows) for j in range(len(header))]
        # a table takes up whatever colour was used last
        self._pdf.set_fill_color(255)
        self._pdf.set_draw_color(*LINE)
        self._pdf.set_font(self._family, "", 8.5)
        with self._pdf.table(
            width=TEXT,
            col_widths=tuple(widths),
            text_align=tuple("RIGHT" if number else "LEFT" for number in numbers),
            borders_layout="HORIZONTAL_LINES",
            line_height=4.6,
            padding=0.6,
            first_row_as_headings=any(header),
        ) as table:
            if any(header):
                self._pdf.set_text_color(*SOFT)
                line = table.row()
                for name, width in zip(header, widths, strict=True):
                    line.cell(self._short(name, TEXT * width / sum(widths)))
            self._pdf.set_text_color(*INK)
            for i, row in enumerate(rows):
                self._pdf.set_font(self._family, "B" if i == bold else "", 8.5)
                line = table.row()
                for cell, width in zip(row, widths, strict=True):
                    line.cell(self._short(cell, TEXT * width / sum(widths)))
        self._pdf.set_font(self._family, "", 8.5)
        self._pdf.ln(2)

    def _short(self, text: str, width: float) -> str:
        """What fits in a cell so many millimetres wide: a line of a table is on one page or on none."""
        shown = " ".join(self.drawable(text).split())
        most = max(int(width / WIDEST * LINES), 1)
        return shown if len(shown) <= most else f"{shown[: most - 3]}..."

    def strip(self, images: Sequence[tuple[bytes, str, bool]], *, side: float) -> None:
        """images: (WebP, caption, whether its edge is red). side: millimetres."""
        gap, height = 2.0, 2.6
        per_line = int((TEXT + gap) // (side + gap))
        self._pdf.set_font(self._family, "", 6.2)
        captions = [self._clipped(words, side) for _, words, _ in images]
        caption = 2.0 + height * max((len(lines) for lines in captions), default=0)
        for start in range(0, len(images), per_line):
            self.room(side + caption)
            top = self._pdf.get_y()
            for i, (content, words, wrong) in enumerate(images[start : start + per_line]):
                left = MARGIN + i * (side + gap)
                self._pdf.image(_square(content), left, top, side, side, alt_text=self.drawable(words))
                if wrong:
                    self._pdf.set_draw_color(*BAD)
                    self._pdf.set_line_width(0.7)
                    self._pdf.rect(left + 0.35, top + 0.35, side - 0.7, side - 0.7)
                    self._pdf.set_line_width(0.2)
                self._pdf.set_text_color(*SOFT)
                self._pdf.set_font(self._family, "", 6.2)
                self._pdf.set_xy(left, top + side + 0.4)
                self._pdf.multi_cell(side, height, "\n".join(captions[start + i]), align="L")
            self._pdf.set_xy(MARGIN, top + side + caption)

    def _clipped(self, words: str, width: float) -> list[str]:
        """At most three lines of the width."""
        lines = self._pdf.multi_cell(width, 2.6, self.drawable(words) or " ", dry_run=True, output="LINES")
        assert isinstance(lines, list)
        return lines if len(lines) <= 3 else [*lines[:2], f"{lines[2][:-2]}..."]

    def frame(self, height: float) -> tuple[float, float, float]:
        """Room for a picture: left, top, width in millimetres; what is written next stands below."""
        self.room(height + 8)
        top = self._pdf.get_y() + 2
        self._pdf.set_xy(MARGIN, top + height + 2)
        return MARGIN, top, TEXT

    @property
    def page(self) -> FPDF:
        return self._pdf

    def label(self, x: float, y: float, text: str, *, align: str = "L", size: float = 7) -> None:
        """Small grey text with its baseline at (x, y); nothing else moves."""
        place = self._pdf.get_x(), self._pdf.get_y()
        self._pdf.set_text_color(*SOFT)
        self._pdf.set_font(self._family, "", size)
        shown = self.drawable(text)
        width = self._pdf.get_string_width(shown)
        self._pdf.text(x - {"L": 0.0, "C": width / 2, "R": width}[align], y, shown)
        self._pdf.set_xy(*place)

    def finished(self) -> bytes:
        if self._missing:
            scripts = ", ".join(
                f"{name if name == 'CJK' else name.capitalize()} ({len(found):,})"
                for name, found in sorted(self._missing.items())
            )
            self.heading("What could not be printed", 2)
            self.text(
                f"Some texts hold characters that cannot be drawn here, of: {scripts}. A question mark stands in the "
                "place of each; report.html shows them all."
            )
        return bytes(self._pdf.output())


class _Pages(FPDF):
    """A page number at the foot of each page."""

    family = CORE_FONT

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font(self.family, "", 7)
        self.set_text_color(*SOFT)
        self.cell(0, 4, f"Midband, page {self.page_no()}", align="R")


def _figures(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    before, after, comparison = report["before"], report["after"], report["comparison"]
    sheet.gap(2)
    rows = []
    for title, key in averages(after):
        interval = after.get({"worst_group": "worst_interval", "average": "interval"}.get(key, ""))
        between = f"{percent(interval[0])} to {percent(interval[1])}" if interval else ""
        rows.append([title, percent(before.get(key)), percent(after[key]), between])
    sheet.table(["", "before", "after", "95% interval"], rows, [4, 2, 2, 3])
    sheet.text(
        f"Fixed {len(comparison['fixed']):,} images, broke {len(comparison['broken']):,}. Measured on "
        f"{after['count']:,} images of {after['split']}. {EACH_AVERAGE}",
        soft=True,
    )


def _groups(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    before, after = report["before"], report["after"]
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    sheet.heading("Groups", 2)
    if after.get("note"):
        sheet.text(after["note"])
    rows, worst = [], -1
    least = min((group["accuracy"] for group in after["groups"] if group["count"]), default=None)
    for i, group in enumerate(after["groups"]):
        was = earlier.get((group["class"], group["concept"]), {})
        worst = i if group["count"] and group["accuracy"] == least and worst < 0 else worst
        rows.append(
            [
                group["class"],
                group["concept"] or "",
                f"{group['count']:,}",
                percent(was.get("accuracy")),
                percent(group["accuracy"]),
                f"{percent(group['low'])} to {percent(group['high'])}",
            ]
        )
    sheet.table(["class", "group", "images", "before", "after", "95% interval"], rows, [4, 4, 2, 2, 2, 3.4], bold=worst)
    estimated = " (estimated)" if after["estimated"] else ""
    sheet.text(f"Groups from: {after['groups_from']}{estimated}. The worst group is bold.", soft=True)


def _baselines(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    if not report["baselines"]:
        return
    sheet.heading("How it compares", 2)
    lines = [[one["title"], percent(one["worst_group"]), percent(one["average"])] for one in report["baselines"]]
    after = report["after"]
    lines.append([f"{report['method']['title']} (this run)", percent(after["worst_group"]), percent(after["average"])])
    sheet.table(["last layer", "worst group", "average"], lines, [6, 2, 2], bold=len(lines) - 1)


def _findings(sheet: _Sheet, report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> None:
    found = report.get("findings") or {}
    if not found.get("sheets"):
        return
    sheet.heading("What it looked at", 2, needs=85)
    sheet.text(
        f"Before the repair, on {found['images']:,} images ({found['split']}): what the model likes best, what it "
        "hesitates about, and the class's own images that it trusts least. A red edge marks what it named wrongly.",
        soft=True,
    )
    for one in found["sheets"]:
        sheet.heading(one["class"], 3, needs=60)
        if one["curve"] is not None:
            sheet.text(one["curve"]["sentence"])
            _curve(sheet, one)
        for band in one["bands"]:
            facts = [f"{band['count']:,} images"]
            facts += [f"{percent(band['accuracy'])} named rightly"] if band["accuracy"] is not None else []
            facts += [band["shares"]] if band["shares"] else []
            sheet.room(34)
            sheet.text(f"{band['title']} ({band['low']:.3g} to {band['high']:.3g}): {', '.join(facts)}", size=8.5)
            shown = [
                (thumbnails[image["id"]], image["label"], image["label"] != image["before"])
                for image in band["images"]
                if image["id"] in thumbnails
            ]
            sheet.strip(shown, side=15.4)


def _curve(sheet: _Sheet, one: Mapping[str, Any]) -> None:
    curve = one["curve"]
    lines = [line for line in curve["curves"] if line["name"] in ("all images", one["class"])]
    low, high = curve["curves"][0]["low"][0], curve["curves"][0]["high"][-1]
    if not low < high:
        return
    height = 36.0
    left, top, width = sheet.frame(height + 5)
    page, inner = sheet.page, left + 10
    wide = width - 10

    def place(x: float, y: float) -> tuple[float, float]:
        return inner + (min(max(x, low), high) - low) / (high - low) * wide, top + (1 - y) * height

    page.set_fill_color(250, 238, 217)
    first, last = place(one["mid"]["low"], 1)[0], place(one["mid"]["high"], 1)[0]
    page.rect(first, top, max(last - first, 0.3), height, style="F")
    page.set_draw_color(*LINE)
    for share in (0.0, 0.5, 1.0):
        page.line(inner, place(low, share)[1], inner + wide, place(low, share)[1])
        sheet.label(inner - 1.5, place(low, share)[1] + 1, f"{share:.0%}", align="R")
    for kind, line in zip((BEFORE, AFTER), lines, strict=False):
        page.set_draw_color(*kind)
        page.set_line_width(0.5)
        points = [place(x, y) for x, y in zip(line["places"], line["shares"], strict=True) if y is not None]
        if len(points) > 1:
            page.polyline(points)
    page.set_line_width(0.2)
    sheet.label(inner, top + height + 3.5, f"{low:.3g}")
    sheet.label(inner + wide, top + height + 3.5, f"{high:.3g}", align="R")
    named = f"share of {curve['name']}: all images (grey), {one['class']} alone (teal); the middle is shaded"
    sheet.label(inner + wide / 2, top + height + 3.5, named[:110], align="C")


def _shifts(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    shifts = (report.get("shifts") or ())[:MOST_SHIFTS]
    if not shifts:
        return
    sheet.heading("Has the middle emptied?", 2, needs=65)
    for shift in shifts:
        sheet.heading(shift["class"], 3, needs=55)
        sheet.text(shift["sentence"])
        _histogram(sheet, shift)


def _histogram(sheet: _Sheet, shift: Mapping[str, Any]) -> None:
    edges, before, after = shift["edges"], shift["before"], shift["after"]
    most, height = max([*before, *after, 1]), 30.0
    left, top, width = sheet.frame(height + 5)
    page, span = sheet.page, edges[-1] - edges[0]

    def x(value: float) -> float:
        return left + (min(max(value, edges[0]), edges[-1]) - edges[0]) / span * width

    def y(count: float) -> float:
        return top + (1 - count / most) * height

    page.set_fill_color(250, 238, 217)
    page.rect(x(shift["middle"][0]), top, x(shift["middle"][1]) - x(shift["middle"][0]), height, style="F")
    page.set_fill_color(*BEFORE)
    for i, count in enumerate(before):
        page.rect(
            x(edges[i]) + 0.1, y(count), max(x(edges[i + 1]) - x(edges[i]) - 0.2, 0.1), y(0) - y(count), style="F"
        )
    points = [(x(edges[0]), y(0))]
    for i, count in enumerate(after):
        points += [(x(edges[i]), y(count)), (x(edges[i + 1]), y(count))]
    page.set_draw_color(*AFTER)
    page.set_line_width(0.5)
    page.polyline([*points, (x(edges[-1]), y(0))])
    page.set_line_width(0.2)
    if shift.get("comparable", True):
        sheet.label(x(-1), top + height + 3.5, "mean of the others", align="C")
        sheet.label(x(1), top + height + 3.5, f"mean of {shift['class']}"[:40], align="C")
    sheet.label(left, top + height + 3.5, "before: grey, after: teal")


def _confusion(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    found = report.get("confusion")
    if not found:
        return
    classes = report["dataset"]["classes"]
    sheet.heading("What is taken for what", 2)
    for title in ("before", "after"):
        rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in zip(classes, found[title], strict=True)]
        sheet.table([f"{title}: is / said", *classes], rows, [3, *([2] * len(classes))])


def _calibration(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    was, now = report["before"].get("calibration"), report["after"].get("calibration")
    if not was or not now:
        return
    sheet.heading("Is it as sure as it is right?", 2)
    keys = (("Expected calibration error", "ece"), ("Brier score", "brier"), ("Negative log-likelihood", "nll"))
    rows = [[title, f"{was[key]:.3f}", f"{now[key]:.3f}"] for title, key in keys if key in was and key in now]
    sheet.table(["", "before", "after"], rows, [6, 2, 2])
    rows = [
        [f"{percent(one['low'])} to {percent(one['high'])}", f"{one['count']:,}", percent(one["accuracy"])]
        for one in now.get("bins", ())
    ]
    if rows:
        sheet.table(["confidence after", "images", "of these right"], rows, [6, 2, 2])


def _examples(sheet: _Sheet, report: Mapping[str, Any], thumbnails: Mapping[int, bytes]) -> None:
    parts = (("fixed", "wrong before, right now", "before"), ("broken", "right before, wrong now", "after"))
    if not any(report["examples"][kind] for kind, _, _ in parts):
        return
    sheet.heading("Images that changed sides", 2, needs=42)
    for kind, words, taken in parts:
        shown = [image for image in report["examples"][kind] if image["id"] in thumbnails]
        if shown:
            total = len(report["comparison"][kind])
            sheet.room(38)
            sheet.text(f"{kind.capitalize()}: {words}. {len(shown):,} of {total:,}.")
            said = "was taken for" if kind == "fixed" else "now taken for"
            images = [(thumbnails[image["id"]], f"{image['label']}, {said} {image[taken]}", False) for image in shown]
            sheet.strip(images, side=20)


def _method(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    method, dataset, curation = report["method"], report["dataset"], report["curation"] or {}
    sheet.heading("How it was made", 2)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in curation.get("counts", {}).items())
    facts = [
        ("Dataset", f"{dataset['name']}, {dataset['images']:,} images, classes {', '.join(dataset['classes'])}"),
        ("Model", f"{report['model']['name']} ({report['model']['arch']})"),
        ("Method", f"{method['title']}. {method.get('description', '')}"),
        ("Source", method.get("source", "")),
        ("Settings", settings_of(report.get("settings") or {}, method)),
        ("Decided on the way", settings_of(report.get("chosen") or {}, method)),
        ("Can it be repaired?", (report.get("feasibility") or {}).get("sentence", "")),
        ("Concepts", ", ".join(concept["concept"] for concept in report["concepts"])),
        ("Fitted on", f"{curation.get('images', 0):,} images ({counts})" if curation else ""),
        ("Seed", str(report["seed"])),
        ("Hashes", f"tags {report.get('tags') or 'none'}, data {report.get('data') or 'none'}"),
    ]
    sheet.table(["", ""], [[name, value] for name, value in facts if value], [2, 7])
    sheet.bullets(report["notes"])
    if report.get("replay"):
        sheet.text("The same numbers again, to the last digit on the same machine:")
        sheet.code(report["replay"])


def _files(sheet: _Sheet, report: Mapping[str, Any]) -> None:
    sheet.heading("Files", 2)
    if checked_of(report):
        sheet.text(checked_of(report))
    rows = [[file["file"], file["what"], f"{file['bytes']:,}"] for file in report["files"]]
    sheet.table(["file", "what it is", "bytes"], rows, [3, 6, 1.6])
    sheet.bullets(remarks_of(report))
    sheet.code(report["how_to_load"])


def _square(content: bytes) -> io.BytesIO:
    """The middle of a thumbnail as JPEG, as large as it is printed."""
    with Image.open(io.BytesIO(content)) as opened:
        image = opened.convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    cut = image.crop((left, top, left + side, top + side))
    target = io.BytesIO()
    (cut.resize((PIXELS, PIXELS), Image.Resampling.LANCZOS) if side > PIXELS else cut).save(target, "JPEG", quality=90)
    return target


def _is_number(text: str) -> bool:
    return bool(text) and text[0] in "0123456789–−" and not any(character.isalpha() for character in text[:1])


_LATIN_1 = frozenset(chr(code) for code in (*range(32, 127), *range(160, 256)))


def _script(character: str) -> str:
    """The first word of a letter's name, which is its script: ARABIC, CJK, CYRILLIC."""
    if unicodedata.category(character)[0] == "S":
        return "SYMBOLS AND EMOJI"
    return unicodedata.name(character, "OTHER").split()[0].partition("-")[0]


@lru_cache(maxsize=1)
def _installed() -> dict[str, tuple[str, str]]:
    """Name -> files (regular, bold) of those of `FONTS` that are installed, in their order."""
    found: dict[str, tuple[str, str]] = {}
    for regular, bold in FONTS:
        try:
            paths = [ImageFont.truetype(name, 10).path for name in (regular, bold)]
        except OSError:
            continue
        if all(isinstance(path, str) and Path(path).is_file() for path in paths):
            found[Path(regular).stem.lower()] = (str(paths[0]), str(paths[1]))
    return found


@lru_cache(maxsize=16)
def _characters(path: str) -> frozenset[int]:
    """Code points that a font file draws."""
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=0, lazy=True) as font:
        return frozenset(font.getBestCmap())
