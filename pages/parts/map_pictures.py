"""What the map shows of the points near the pointer, for `map_route`. Runs without Streamlit's session."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.errors import MidbandError
from pages.parts import map_colours, map_route
from pages.parts.picture_url import picture_url

if TYPE_CHECKING:
    from core.activations.store import Analysis

TOKEN = "map_token"
# maps that are known at once, those used last; one that was forgotten is known again when its page runs
MOST = 500
# rows in one question
MOST_ROWS = 32
# the longest number of an image
_DIGITS = 9

_maps: OrderedDict[str, Shown] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True)
class Shown:
    """What one session's map shows: the only images that its token opens, and the value that is told of each."""

    analysis: Analysis
    colour: str
    title: str


def address(analysis: Analysis, colour: str, title: str) -> str:
    """Where the map of this session asks; from now on its token opens the images of this analysis and no others."""
    token: str = st.session_state.setdefault(TOKEN, secrets.token_urlsafe(18))
    with _lock:
        _maps[token] = Shown(analysis, colour, title)
        _maps.move_to_end(token)
        while len(_maps) > MOST:
            _maps.popitem(last=False)
    return map_route.path(token)


def answer(token: str, rows: str) -> dict[str, Any] | None:
    """{row: {url, lines}} of rows as "3,17"; None for a token that is not known, and for anything that is no row."""
    with _lock:
        shown = _maps.get(token)
        if shown is None:
            return None
        _maps.move_to_end(token)
    wanted = read_rows(rows, shown.analysis.n)
    return None if wanted is None else pictures(shown, wanted)


def read_rows(text: str, n: int) -> list[int] | None:
    """Rows below n, each once; None where one of them is none, or where they are too many."""
    parts = text.split(",", MOST_ROWS)
    if len(parts) > MOST_ROWS or not all(part.isascii() and part.isdigit() and len(part) <= _DIGITS for part in parts):
        return None
    found = list(dict.fromkeys(int(part) for part in parts))
    return found if all(row < n for row in found) else None


def pictures(shown: Shown, rows: list[int]) -> dict[str, Any]:
    """Of each row its thumbnail as the grid has it, and lines: its name, label and prediction, and the value it
    is coloured by."""
    analysis = shown.analysis
    try:
        told = map_colours.colours(analysis, shown.colour, shown.title).told
    except MidbandError:
        # a concept that somebody has deleted meanwhile: the picture is still worth seeing
        told = None
    found = {}
    for row, name in zip(rows, analysis.image_names(np.array(rows)), strict=True):
        label, predicted = analysis.label_name(row), analysis.classes[analysis.predicted[row]]
        lines = [name, f"{label or 'no label'}, predicted {predicted}" if label != predicted else predicted]
        if told is not None:
            lines.append(told(row))
        found[str(row)] = {"url": picture_url(analysis.thumbnail(row)), "lines": lines}
    return found
