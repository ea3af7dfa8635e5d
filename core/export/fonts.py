"""The fonts that are installed, and which characters they draw."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

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
# used where no font file is installed at all: the standard fonts of PDF know Western Europe's letters only
CORE_FONT = "Helvetica"

LATIN_1 = frozenset(chr(code) for code in (*range(32, 127), *range(160, 256)))


def script_of(character: str) -> str:
    """The first word of a letter's name, which is its script: ARABIC, CJK, CYRILLIC."""
    if unicodedata.category(character)[0] == "S":
        return "SYMBOLS AND EMOJI"
    return unicodedata.name(character, "OTHER").split()[0].partition("-")[0]


@lru_cache(maxsize=1)
def installed() -> dict[str, tuple[str, str]]:
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
def characters_in(path: str) -> frozenset[int]:
    """Code points that a font file draws."""
    from fontTools.ttLib import TTFont

    with TTFont(path, fontNumber=0, lazy=True) as font:
        return frozenset(font.getBestCmap())
