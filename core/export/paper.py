"""Pages of paper, A4, written from top to bottom: text in any script, tables, strips of images, frames to draw in.

Each character is drawn with the first font installed that has it; where none has, a mark takes its place and the last
page says which scripts are missing, so that no box is left without a word.
"""

from __future__ import annotations

import io
import logging
import unicodedata
from collections.abc import Sequence

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from PIL import Image

from core.export.fonts import CORE_FONT, LATIN_1, SHAPED, characters_in, installed, script_of

# in place of what cannot be drawn: in every font, and told on the last page
MISSING = "?"

INK, SOFT, LINE, PANEL = (29, 39, 48), (92, 107, 118), (221, 227, 231), (243, 246, 247)
BAD = (192, 57, 43)
# millimetres
WIDTH, MARGIN = 210, 18
TEXT = WIDTH - 2 * MARGIN
# of the widest letter in a table
WIDEST = 3.0
# lines of a cell, at most
LINES = 40
# pixels of the longer side of a printed thumbnail: 200 dots per inch at its size
PIXELS = 160


class Paper:
    """What is written so far; `finished` gives the file."""

    def __init__(self, title: str) -> None:
        # it warns of every glyph that a font lacks; what is missing is said in the document instead
        logging.getLogger("fpdf").setLevel(logging.ERROR)
        logging.getLogger("fontTools").setLevel(logging.ERROR)
        self._pdf = _Pages(format="A4")
        self._pdf.set_margins(MARGIN, MARGIN)
        self._pdf.set_auto_page_break(True, MARGIN)
        self._fonts = installed()
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
                self._missing.setdefault(script_of(character), set()).add(character)
        return "".join(kept)

    def _can(self, character: str) -> bool:
        if script_of(character) in SHAPED:
            return False
        if not self._fonts:
            return character in LATIN_1
        return any(ord(character) in characters_in(regular) for regular, _ in self._fonts.values())

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
