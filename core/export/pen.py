"""A pen for pages made of dots: boxes, lines, text that fits, pictures with a class's colour.

All lengths are in units of the page; the picture is finer by `SCALE`.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

SCALE = 2
PAPER, WRONG = "#ffffff", "#b3261e"

# regular and bold; the first that has all characters of a text is taken, Pillow's own font where none is installed
FONTS = (
    ("LiberationSans-Regular.ttf", "LiberationSans-Bold.ttf"),
    ("Arial.ttf", "Arial Bold.ttf"),
    ("arial.ttf", "arialbd.ttf"),
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf"),
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc"),
    ("Arial Unicode.ttf", "Arial Unicode.ttf"),
    ("msyh.ttc", "msyhbd.ttc"),
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Pen:
    """Draws onto an image."""

    def __init__(self, image: Image.Image) -> None:
        self.image = image
        self.draw = ImageDraw.Draw(image)

    def box(self, x0: float, y0: float, x1: float, y1: float, color: str, *, radius: float = 0) -> None:
        ends = [round(v * SCALE) for v in (x0, y0, x1, y1)]
        # both ends are inside for Pillow
        ends[2], ends[3] = max(ends[0], ends[2] - 1), max(ends[1], ends[3] - 1)
        short = min(ends[2] - ends[0], ends[3] - ends[1])
        self.draw.rounded_rectangle(ends, min(radius * SCALE, short / 2), fill=color)

    def line(self, x0: float, y0: float, x1: float, y1: float, color: str, width: float = 1) -> None:
        ends = [round(v * SCALE) for v in (x0, y0, x1, y1)]
        self.draw.line(ends, fill=color, width=round(width * SCALE))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        color: str,
        *,
        bold: bool = False,
        anchor: str = "la",
        room: float | None = None,
    ) -> float:
        """Returns the width taken. room: the text is cut to it."""
        shown = plain(text)
        if room is not None and self.measure(shown, size, bold=bold) > room:
            shown = self._cut(shown, size, bold, room)
        if shown:
            font = _font(shown, round(size * SCALE), bold)
            self.draw.text((round(x * SCALE), round(y * SCALE)), shown, fill=color, font=font, anchor=anchor)
        return self.measure(shown, size, bold=bold)

    def measure(self, text: str, size: float, *, bold: bool = False) -> float:
        shown = plain(text)
        return self.draw.textlength(shown, font=_font(shown, round(size * SCALE), bold)) / SCALE if shown else 0.0

    def _cut(self, text: str, size: float, bold: bool, room: float) -> str:
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.measure(text[:middle].rstrip() + "…", size, bold=bold) <= room:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + "…" if low else ""

    def picture(self, picture: Image.Image, x: float, y: float, side: float, color: str, *, wrong: bool) -> None:
        """A square with rounded corners, its class's colour at the foot, a cross where the model is wrong."""
        place, dots = (round(x * SCALE), round(y * SCALE)), picture.width
        mask = Image.new("L", (dots, dots), 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, dots - 1, dots - 1), 4 * SCALE, fill=255)
        foot = ImageDraw.Draw(picture)
        foot.rectangle((0, dots - 4 * SCALE, dots, dots), fill=color)
        foot.line((0, dots - 4 * SCALE - 1, dots, dots - 4 * SCALE - 1), fill=PAPER, width=SCALE)
        self.image.paste(picture, place, mask)
        if wrong:
            self.cross(x + side - 9, y + 9, 7)

    def cross(self, x: float, y: float, radius: float) -> None:
        around = [round(v * SCALE) for v in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(around, fill=WRONG, outline=PAPER, width=SCALE)
        arm = radius * 0.38
        for sign in (1, -1):
            self.line(x - arm, y - sign * arm, x + arm, y + sign * arm, PAPER, 1.5)

    def mark(self, x: float, y: float) -> None:
        """The product's mark: an activation curve, its middle band lit."""
        self.box(x + 8, y - 4, x + 16, y + 18, "#f3d7ac", radius=2.5)
        points = [(0, 15.5), (4, 15.2), (7, 14), (9.5, 11), (12, 7), (14.5, 3), (17, 0), (20, -1.2), (24, -1.5)]
        self.draw.line(
            [(round((x + a) * SCALE), round((y + b) * SCALE)) for a, b in points],
            fill="#2b8fa3",
            width=round(2.8 * SCALE),
            joint="curve",
        )


def plain(text: str) -> str:
    """One line that can be drawn: no control characters, no halves of characters (names of files may hold both)."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join("".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in whole).split(" "))


@lru_cache(maxsize=512)
def _font(text: str, size: int, bold: bool) -> Font:
    """The first font that has all characters of a text, else the first there is."""
    fonts = [font for names in FONTS if (font := _load(names[bold], size))]
    fonts = fonts or [ImageFont.load_default(size)]
    return next((font for font in fonts if all(_has(font, sign) for sign in set(text))), fonts[0])


@lru_cache(maxsize=256)
def _load(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _has(font: Font, sign: str) -> bool:
    # what a font lacks it draws as one and the same box; no font has a sign at the end of Unicode
    missing = font.getmask("\U0010fffe")
    drawn = font.getmask(sign)
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)
