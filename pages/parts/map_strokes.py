"""What somebody circled on the map, as an address carries it: `r0.5_1_2_1_2_3~ai17v0.2`.

Strokes joined by "~", of characters that an address keeps as they are. Each: r, a or t (replaces what was circled, adds
to it, takes away from it); "all", i and a row, or corners x_y_x_y; where only some values of the colours were meant, v
and those codes.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pages.parts.feature_map import UNKNOWN, Mode

# strokes in one address, and corners of each: the map draws with no more
MOST, MOST_CORNERS = 6, 60
_MODES: dict[str, Mode] = {"r": "replace", "a": "add", "t": "remove"}
_LETTERS = {mode: letter for letter, mode in _MODES.items()}
_STROKE = re.compile(r"([rat])(all|i\d{1,9}|[-+\de._]+)(?:v([\d.]*))?")


@dataclass(frozen=True)
class Stroke:
    """corners: (x0, y0, x1, y1, ...) in the map's units; () for every image, or for the one of `row`. values: codes of
    the colours that are meant; None for all."""

    mode: Mode = "replace"
    corners: tuple[float, ...] = ()
    row: int = -1
    values: tuple[int, ...] | None = None


def written(strokes: tuple[Stroke, ...]) -> str:
    return "~".join(map(_written, strokes))


def _written(stroke: Stroke) -> str:
    around = "_".join(f"{number:.9g}" for number in stroke.corners) or "all"
    what = around if stroke.row < 0 else f"i{stroke.row}"
    values = "" if stroke.values is None else f"v{'.'.join(map(str, stroke.values))}"
    return f"{_LETTERS[stroke.mode]}{what}{values}"


def read(text: str) -> tuple[Stroke, ...]:
    """The strokes of such a text; () where any of it makes no sense: half of it would circle other images."""
    parts = text.split("~", MOST)
    found = [_read(part) for part in parts]
    strokes = tuple(stroke for stroke in found if stroke is not None)
    return strokes if len(strokes) == len(parts) <= MOST else ()


def _read(text: str) -> Stroke | None:
    match = _STROKE.fullmatch(text)
    if match is None or not text.isascii():
        return None
    letter, what, told = match.groups()
    values = None if told is None else tuple(int(code) for code in told.split(".") if code)
    if values is not None and any(code > UNKNOWN for code in values):
        return None
    if what == "all":
        return Stroke(_MODES[letter], values=values)
    if what[0] == "i":
        return Stroke(_MODES[letter], row=int(what[1:]), values=values)
    try:
        corners = tuple(float(number) for number in what.split("_"))
    except ValueError:
        return None
    if len(corners) % 2 or not 6 <= len(corners) <= 2 * MOST_CORNERS or not all(map(math.isfinite, corners)):
        return None
    return Stroke(_MODES[letter], corners, values=values)
