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
from pages.parts import plot, rooms, state, theme
from pages.parts.words import count, interval, percent, plain, short

if TYPE_CHECKING:
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
HEIGHT = 330
# images below which a class's share in a bin is not drawn: the table has it
DRAWN = 5
# rows of features that a probe looks at together
BLOCK = 65_536
# amber and teal, as wherever bands are shown
MID_COLOR, TOP_COLOR = plot.both("#d98324", "#f0a84b"), plot.both("#1f7a8c", "#57b8c9")


def show(
    analysis: Analysis,
    direction: Direction,
    index: BandIndex,
    *,
    mid: Range,
    top: Range,
    facets: Sequence[Facet],
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
        plot.draw(chart(found, direction.title, mid=mid, top=top), "curve")
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


def chart(found: ConfounderCurve, axis: str, *, mid: Range, top: Range) -> str:
    """The picture. axis: what the range is of."""
    keys = _keys(found.curves)
    first, last = min(curve.low[0] for curve in found.curves), max(curve.high[-1] for curve in found.curves)
    room = (last - first) * 0.02 or 0.5
    x = plot.axis(plot.isolated(short(axis, 60)), first - room, last + room, grid=False)
    y = plot.axis(f"share with {plot.isolated(short(found.name, 40))}", -0.03, 1.03, most=6, percent=True)
    drawn = []
    bands = [(max(band.low, x.low), min(band.high, x.high)) for band in (mid, top)]
    close = all(high >= low for low, high in bands) and plot.collide(x, *bands)
    for (low, high), label, color in zip(bands, ("middle", "top"), (MID_COLOR, TOP_COLOR), strict=True):
        drawn.append(plot.shade(x, low, high, color, label, raised=close and label == "top"))
    # ribbons below all lines
    for curve in found.curves:
        color = keys[curve.name].color
        for run in _runs([number >= DRAWN for number in curve.counts]):
            places, lows, highs = (
                [values[i] for i in run] for values in (curve.places, curve.interval_low, curve.interval_high)
            )
            drawn.append(plot.ribbon(x, y, places, lows, highs, color))
    drawn += [_line(x, y, curve, keys[curve.name]) for curve in found.curves]
    return plot.plot(
        x,
        y,
        drawn,
        key="curve",
        height=HEIGHT,
        told=f"{found.name} along the {axis}. {found.sentence}",
        # the classes first
        keys=sorted(keys.values(), key=lambda key: key.name in (ALL, ESTIMATE)),
        hints=_hints(found.curves, keys),
    )


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


def _keys(curves: Sequence[Curve]) -> dict[str, plot.Key]:
    """How each line is drawn, by its name: classes in their colours, with a dash and a mark of their own."""
    classes = [curve.name for curve in curves if curve.name not in (ALL, ESTIMATE)]
    keys = {
        ALL: plot.Key(ALL, plot.MUTED, "solid", "open"),
        ESTIMATE: plot.Key(ESTIMATE, plot.MUTED, "dot", "x"),
    }
    for i, name in enumerate(classes):
        color = plot.both(theme.LIGHT[i % len(theme.LIGHT)], theme.DARK[i % len(theme.DARK)])
        dash, marker = plot.DASHES[i % len(plot.DASHES)], plot.MARKERS[i % len(plot.MARKERS)]
        keys[name] = plot.Key(short(name, 24), color, dash, marker, width=3.5)
    return {curve.name: keys[curve.name] for curve in curves}


def _line(x: plot.Axis, y: plot.Axis, curve: Curve, key: plot.Key) -> str:
    # next to no image is a gap
    shares = [share if number >= DRAWN else None for share, number in zip(curve.shares, curve.counts, strict=True)]
    size = 9.0 if curve.name in (ALL, ESTIMATE) else 11.0
    marks = [
        plot.dot(x, y, place, share, key.color, marker=key.marker, size=size)
        for place, share in zip(curve.places, shares, strict=True)
        if share is not None
    ]
    return plot.line(x, y, curve.places, shares, key.color, width=key.width, dash=key.dash) + "".join(marks)


def _hints(curves: Sequence[Curve], keys: dict[str, plot.Key]) -> list[plot.Told]:
    """What every line says of a bin; an estimate may have bins of its own."""
    bins: dict[tuple[float, float, float], list[tuple[str, str, plot.Key]]] = {}
    # as in the legend, the classes first
    for curve in sorted(curves, key=lambda curve: curve.name in (ALL, ESTIMATE)):
        for i, place in enumerate(curve.places):
            rows = bins.setdefault((place, curve.low[i], curve.high[i]), [])
            if curve.counts[i] >= DRAWN:
                told = (
                    f"{percent(curve.shares[i])} ({interval(curve.interval_low[i], curve.interval_high[i])}), "
                    f"{curve.shown[i]:,} of {curve.counts[i]:,}"
                )
                rows.append((short(curve.name), told, keys[curve.name]))
    return [
        plot.Told(
            place,
            f"{low:.2f} to {high:.2f}".replace("-", "−"),
            tuple((name, told) for name, told, _ in rows),
            tuple(key for _, _, key in rows),
        )
        for (place, low, high), rows in bins.items()
        if rows
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
