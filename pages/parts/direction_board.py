"""Small multiples of directions: one card each, with its histogram, its middle and why to look there.

    direction_board(
        "board",
        [DirectionCard(spec="logit:waterbird", title="logit of waterbird", counts=(3, 9, 4), edges=(-4.0, 6.0),
                       band=(-1.0, 1.25), score=0.82, why="12% of the top band is on land, 48% of the middle.",
                       badge="logit")],
        on_open=open_direction,
    )

The page passes the cards of one page; which ones and in which order is its business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.parts.component_source import source

_component = st.components.v2.component(
    "midband_direction_board",
    html=source("direction_board", "direction_board.html"),
    css="\n".join((source("direction_board", "direction_board.css"), source("image_grid", "tooltip.css"))),
    js="\n".join((source("image_grid", "tooltip.js"), source("direction_board", "spark.js", "direction_board.js"))),
)


@dataclass(frozen=True)
class DirectionCard:
    """One direction at a glance.

    spec: what `on_open` is called with, unique among the cards. counts: images per bin, equally wide bins over
    `edges`; or several rows of them, drawn one on another. band: the range shaded as the middle. score: 0..1, how
    suspicious; None draws no bar. why: one sentence. more: a smaller one below it. badge: the direction's kind, one or
    two words. details: more lines, shown on hover and focus.
    """

    spec: str
    title: str
    counts: tuple[int, ...] | tuple[tuple[int, ...], ...]
    edges: tuple[float, float]
    band: tuple[float, float] | None = None
    score: float | None = None
    why: str = ""
    more: str = ""
    badge: str = ""
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rows = self.rows
        if not rows or not rows[0] or len({len(row) for row in rows}) > 1 or any(c < 0 for row in rows for c in row):
            raise ValueError("counts must be one row, or several of one length, of numbers >= 0")
        low, high = self.edges
        if not (math.isfinite(low) and math.isfinite(high)) or low > high:
            raise ValueError(f"edges must be finite and rising, not {low}, {high}")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"score must lie in 0..1, not {self.score}")

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The counts as rows, also where there is one."""
        if self.counts and isinstance(self.counts[0], tuple | list):
            return self.counts  # type: ignore[return-value]
        return (self.counts,)  # type: ignore[return-value]


def direction_board(
    key: str,
    cards: Sequence[DirectionCard],
    *,
    on_open: Callable[[str], None],
    selected: str | None = None,
    score_label: str = "suspicion",
    score_help: str = "",
    colors: Sequence[str] = (),
    empty: str = "No direction matches.",
) -> None:
    """Show the cards; call `on_open` with a card's spec, as a callback before the script runs, when it is opened.

    A click may arrive after the page has moved on: the spec is then of a card shown in the run before, which the
    person saw and meant. What it names may be gone by now, and `on_open` has to deal with that.

    selected: the spec of the card that is open at present, marked. score_label, score_help: what the bar is and one
    sentence on how to read it. colors: CSS colours of the rows of counts; () takes the accent. empty: said when there
    is no card.

    Raises ValueError when two cards share a spec.
    """
    specs = [card.spec for card in cards]
    if len(set(specs)) != len(specs):
        raise ValueError("two cards of the board share a spec")
    shown = frozenset(specs)
    # of one run before, and no earlier: nobody can have meant a card that is gone for longer
    known = st.session_state.get(f"{key}-shown", frozenset()) | shown
    st.session_state[f"{key}-shown"] = shown

    def opened() -> None:
        spec = opened_spec(st.session_state.get(key))
        if spec in known:
            on_open(spec)

    _component(
        key=key,
        data={
            "cards": [card_data(card) for card in cards],
            "selected": selected,
            "scoreLabel": score_label,
            "scoreHelp": score_help,
            "colors": list(colors),
            "empty": empty,
        },
        on_open_change=opened,
    )


def opened_spec(state: object) -> str | None:
    """The spec the browser asked for; None unless it is a text."""
    spec = state.get("open") if isinstance(state, dict) else None
    return spec if isinstance(spec, str) else None


def card_data(card: DirectionCard) -> dict[str, Any]:
    """What the browser draws: the band as fractions of the card's range, cut to it."""
    low, high = card.edges
    band = None
    if card.band is not None and high > low:
        start, end = (min(max((value - low) / (high - low), 0.0), 1.0) for value in card.band)
        band = [start, end] if end >= start and math.isfinite(start) and math.isfinite(end) else None
    return {
        "spec": card.spec,
        "title": card.title,
        "counts": [[int(c) for c in row] for row in card.rows],
        "edges": [float(low), float(high)],
        "band": band,
        "limits": None if card.band is None else [float(value) for value in card.band],
        "score": None if card.score is None else float(card.score),
        "why": card.why,
        "more": card.more,
        "badge": card.badge,
        "details": list(card.details),
    }
