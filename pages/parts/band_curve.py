"""Confounder curves: the share of an attribute or concept along the range of a direction, with one sentence above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.curves import (
    ALL,
    ESTIMATE,
    ConfounderCurve,
    Curve,
    confounder_curve,
    curve_values,
    most_telling,
    value_name,
)
from core.activations.directions import class_of
from core.concepts.concept import get_concept
from core.concepts.probes import concept_probe
from core.concepts.tags import tag_version
from core.errors import NotEnoughTags, NotFound
from pages.parts import chart_frame, rooms, state, theme
from pages.parts.words import count, interval, percent, plain, short

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.activations.bands import Range
    from core.activations.directions import Direction
    from core.activations.facets import Facet
    from core.activations.index import BandIndex
    from core.activations.store import Analysis

# what is drawn, as "attribute:place=water": kept over reruns and rooms, for links
CHOSEN = "curve_facet"
PICK, ESTIMATED = "curve_pick", "curve_estimate"
# more choices than these need a list that can be searched
BUTTONS = 8
HEIGHT = 440
# images below which a class's share in a bin is not drawn: the table has it
DRAWN = 5
# rows of features that a probe looks at together
BLOCK = 65_536
# lines are told apart by dash and marker too
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
# amber and teal, as wherever bands are shown; faint, since lines cross them
MID_COLOR = {True: "#f0a84b", False: "#d98324"}
TOP_COLOR = {True: "#57b8c9", False: "#1f7a8c"}


def show(
    analysis: Analysis,
    direction: Direction,
    index: BandIndex,
    *,
    mid: Range,
    top: Range,
    facets: Sequence[Facet],
    dark: bool,
    on_choice: Callable[[str], None] | None = None,
) -> None:
    """The chooser, the sentence, the picture and its figures; without anything to draw, what to do about it.

    index: the images that count. mid, top: the bands that are compared and shaded. facets: attributes and concepts are
    offered. What is chosen stands in `st.session_state["curve_facet"]` and may be set there before. on_choice: called
    with it when a person chooses, before the page is drawn again.
    """
    choices = {token(facet, value): (facet, value) for facet, value in curve_values(facets)}
    if not choices:
        _nothing(facets)
        return
    own = class_of(analysis, direction)
    facet, value = _choose(analysis, index, choices, facets, mid=mid, top=top, own=own, on_choice=on_choice)
    estimate = _estimate(analysis, facet)
    found = confounder_curve(
        analysis, index, facet, value, mid=mid, top=top, own=own, estimate=estimate if value == "present" else None
    )
    with st.container(key="curve-sentence"):
        st.header(plain(found.sentence), anchor=False)
        if found.note:
            st.caption(plain(found.note))
    if found.known:
        chart_frame.draw(
            chart(found, direction.title, mid=mid, top=top, dark=dark),
            "curve",
            f"{found.name} along the {direction.title}. {found.sentence}",
        )
        st.caption(
            f"A point is a bin of {_between(found.curves[0].counts)}; where a class has fewer than {DRAWN} of them it "
            "has none. Around the lines: 95% intervals."
        )
        with st.expander("The figures", icon=":material/table:"):
            same_bins = [curve for curve in found.curves if curve.name != ESTIMATE]
            st.table(figures(same_bins), hide_index=True)
            if len(same_bins) < len(found.curves):
                st.table(figures(found.curves[-1:]), hide_index=True)


def token(facet: Facet, value: str) -> str:
    """A facet's value as links hold it: attribute:place=water."""
    return f"{facet.spec}={value}"


def chart(found: ConfounderCurve, axis: str, *, mid: Range, top: Range, dark: bool) -> go.Figure:
    """The picture. axis: what the range is of."""
    import plotly.graph_objects as go

    soft = theme.muted_color()
    figure = go.Figure()
    colors = theme.DARK if dark else theme.LIGHT
    classes = [curve for curve in found.curves if curve.name not in (ALL, ESTIMATE)]
    styles: dict[str, tuple[str, str, str]] = {ALL: (soft, "solid", "circle-open"), ESTIMATE: (soft, "dot", "x")}
    for i, curve in enumerate(classes):
        styles[curve.name] = colors[i % len(colors)], DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)]
    # ribbons below all lines
    for curve in found.curves:
        _ribbon(figure, curve, styles[curve.name][0])
    for curve in found.curves:
        color, dash, marker = styles[curve.name]
        quiet = curve.name in (ALL, ESTIMATE)
        figure.add_scatter(
            name=chart_frame.text(short(curve.name, 24)),
            x=curve.places,
            # next to no image is a gap
            y=[share if number >= DRAWN else None for share, number in zip(curve.shares, curve.counts, strict=True)],
            mode="lines+markers",
            connectgaps=False,
            line={"color": color, "width": 2 if quiet else 3.5, "dash": dash},
            marker={"color": color, "size": 7 if quiet else 11, "symbol": marker, "line": {"width": 2, "color": color}},
            text=_hints(curve),
            hovertemplate="%{text}<extra></extra>",
            legendrank=1 if not quiet else 2,
        )
    first, last = min(curve.low[0] for curve in found.curves), max(curve.high[-1] for curve in found.curves)
    room = (last - first) * 0.02 or 0.5
    for band, label, color in ((mid, "middle", MID_COLOR[dark]), (top, "top", TOP_COLOR[dark])):
        _shade(figure, max(band.low, first - room), min(band.high, last + room), label, color)
    figure.update_layout(
        # the names of the bands stand between the legend and the plot
        **chart_frame.layout(HEIGHT, margin={"l": 8, "r": 8, "t": 56, "b": 8}, legend=chart_frame.legend(y=1.08)),
        xaxis=chart_frame.axis(short(axis, 60), showgrid=False, range=[first - room, last + room]),
        yaxis=chart_frame.axis(f"share with {short(found.name, 40)}", range=[-0.03, 1.03], tickformat=".0%", nticks=6),
    )
    return figure


def figures(curves: Sequence[Curve]) -> list[dict[str, str]]:
    """Lines of the same bins as a table: a row per bin, a column per line."""
    rows = []
    for i, (low, high) in enumerate(zip(curves[0].low, curves[0].high, strict=True)):
        row = {"activation": f"{low:.2f} to {high:.2f}".replace("-", "−")}
        for curve in curves:
            share = percent(curve.shares[i]) if curve.counts[i] else "–"
            row[plain(curve.name)] = f"{share} ({curve.shown[i]:,} of {curve.counts[i]:,})"
        rows.append(row)
    return rows


def _between(counts: Sequence[int]) -> str:
    """20 to 130 images; 126 images."""
    low, high = min(counts), max(counts)
    return count(high, "image") if low == high else f"{low:,} to {count(high, 'image')}"


def _choose(
    analysis: Analysis,
    index: BandIndex,
    choices: dict[str, tuple[Facet, str]],
    facets: Sequence[Facet],
    *,
    mid: Range,
    top: Range,
    own: int,
    on_choice: Callable[[str], None] | None,
) -> tuple[Facet, str]:
    chosen = st.session_state.get(CHOSEN)
    if chosen not in choices:
        found = most_telling(analysis, index, facets, mid=mid, top=top, own=own)
        chosen = token(*found) if found else next(iter(choices))
        st.session_state[CHOSEN] = chosen
    if len(choices) > 1:
        st.session_state[PICK] = chosen
        names = {one: value_name(facet.spec, facet.title, value) for one, (facet, value) in choices.items()}
        if len(choices) <= BUTTONS:
            st.pills(
                "Share of",
                list(choices),
                key=PICK,
                required=True,
                # buttons read Markdown, a select box shows text as it is
                format_func=lambda one: plain(short(names[one])),
                on_change=_remember,
                args=(on_choice,),
            )
        else:
            st.selectbox(
                "Share of",
                list(choices),
                key=PICK,
                format_func=names.get,
                on_change=_remember,
                args=(on_choice,),
                width=360,
            )
    return choices[chosen]


def _remember(on_choice: Callable[[str], None] | None) -> None:
    st.session_state[CHOSEN] = st.session_state[PICK]
    if on_choice is not None:
        on_choice(st.session_state[CHOSEN])


def _estimate(analysis: Analysis, facet: Facet) -> np.ndarray | None:
    """What a concept's probe says of every image, if that is asked for and there are tags enough."""
    kind, _, name = facet.spec.partition(":")
    if kind != "concept":
        return None
    try:
        guessed = _guessed(analysis, name, tag_version(state.workspace(), analysis.dataset_id))
    except (NotEnoughTags, NotFound):
        return None
    st.toggle(
        "Estimate for all images",
        key=ESTIMATED,
        help="A probe learns the concept from its tags and guesses for every image. A guess, drawn as a dotted line.",
    )
    return guessed if st.session_state[ESTIMATED] else None


@lru_cache(maxsize=8)
def _guessed(analysis: Analysis, name: str, tags: int) -> np.ndarray:
    """(n,) bool. tags: the version of the tags, so that newer ones are learned from."""
    workspace = state.workspace()
    probe = concept_probe(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))
    shown = np.empty(analysis.n, dtype=bool)
    for start in range(0, analysis.n, BLOCK):
        shown[start : start + BLOCK] = probe.probability(analysis.features[start : start + BLOCK]) > 0.5
    return shown


def _nothing(facets: Sequence[Facet]) -> None:
    with st.container(border=True, key="card-curve-empty"):
        st.markdown("**Nothing is known of these images besides their class, so there is no curve yet.**")
        if any(facet.spec.startswith("concept:") for facet in facets):
            st.markdown("You have named a concept: tag some images with it, at the top and in the middle.")
        else:
            st.markdown(
                "Name something you see (a background, a caption, a hand) with **New concept** under *Images*, and tag "
                "some images with it, at the top and in the middle. Or bring what you know already: columns beside the "
                "labels in the dataset's `metadata.csv` become attributes."
            )
        rooms.link("tag_next", "Tag images")


def _ribbon(figure: go.Figure, curve: Curve, color: str) -> None:
    # one closed shape per run of bins that hold images
    for run in _runs([number >= DRAWN for number in curve.counts]):
        x = [curve.places[i] for i in run]
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*(curve.interval_high[i] for i in run), *(curve.interval_low[i] for i in reversed(run))],
            fill="toself",
            fillcolor=_faint(color, 0.16),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )


def _shade(figure: go.Figure, low: float, high: float, label: str, color: str) -> None:
    if high < low:
        return
    figure.add_shape(
        type="rect",
        xref="x",
        yref="paper",
        x0=low,
        x1=high,
        y0=0,
        y1=1,
        fillcolor=_faint(color, 0.13),
        line={"width": 0},
        layer="below",
    )
    # the name above the plot, where no line runs
    figure.add_annotation(
        x=(low + high) / 2,
        y=1,
        yref="paper",
        yanchor="bottom",
        text=f"<b>{label}</b>",
        showarrow=False,
        font={"color": theme.text_color(), "size": 14},
        bordercolor=color,
        borderwidth=0,
        bgcolor=_faint(color, 0.25),
        borderpad=3,
    )


def _hints(curve: Curve) -> list[str]:
    return [
        f"<b>{chart_frame.text(short(curve.name))}</b><br>{percent(share)} ({interval(low, high)})<br>"
        f"{shown:,} of {number:,}, {start:.2f} to {stop:.2f}"
        for share, low, high, shown, number, start, stop in zip(
            curve.shares,
            curve.interval_low,
            curve.interval_high,
            curve.shown,
            curve.counts,
            curve.low,
            curve.high,
            strict=True,
        )
    ]


def _runs(filled: Sequence[bool]) -> list[list[int]]:
    """Positions of neighbouring filled bins."""
    runs: list[list[int]] = []
    for i, one in enumerate(filled):
        if one and i and filled[i - 1]:
            runs[-1].append(i)
        elif one:
            runs.append([i])
    return runs


def _faint(color: str, alpha: float) -> str:
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
