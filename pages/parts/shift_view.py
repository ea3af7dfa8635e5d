"""Has the middle emptied? Where the test images lie along a class, before and after a repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import streamlit as st

from pages.parts import plot, theme
from pages.parts.group_chart import group_name, guessed
from pages.parts.words import count, distinct, helped, percent, plain, short

if TYPE_CHECKING:
    from core.retraining.runs import RunResult

HEIGHT = 240
# more classes than these are chosen from a list
PILLS = 6
MID_COLOR = plot.both("#d98324", "#f0a84b")
OWN, OTHERS, UNKNOWN = "its own", "other classes", "group not known"


def show(run: RunResult) -> bool:
    """False, and nothing drawn, where the run did not record it."""
    if not run.shifts:
        return False
    st.header("Has the middle emptied?", anchor=False, help=helped("emptied"))
    shift = _choose(run)
    st.markdown(plain(shift["sentence"]))
    # both with one height of the axis: bars are to be compared
    most = max(*shift["before"], *shift["after"])
    named = sides(shift, run.classes)
    cells = st.grid(2, min_column_width=320, gap="medium")
    for title in ("before", "after"):
        with cells.cell():
            part = shift[f"middle_{title}"]
            st.markdown(f"**{title.capitalize()}** · {percent(part / shift['count'])} in the middle")
            told = f"{title.capitalize()}: {part:,} of {shift['count']:,} images lie in the middle."
            plot.draw(chart(shift, title, most, named, told), f"shift-{title}")
    beyond = " Images beyond 3 are in the outermost bars." if _beyond(shift) else ""
    st.caption(
        f"{count(shift['count'], 'test image')}: −1 is where those of {plain(named[OTHERS].name)} are on average, 1 "
        f"where those of {plain(named[OWN].name)} are.{beyond}"
    )
    _by_group(shift, run)
    return True


def _choose(run: RunResult) -> Mapping[str, Any]:
    """Of two classes one says it all: what lies between them lies between them both ways."""
    named = {shift["class"]: shift for shift in run.shifts}
    first = run.before.worst.class_name if run.before.worst.class_name in named else next(iter(named))
    if len(named) <= 2:
        return named[first]
    key = f"shift-{run.run}"
    st.session_state.setdefault(key, first)
    told = dict(zip(named, distinct(list(named), most=40), strict=True))
    if len(named) <= PILLS:
        chosen = st.pills(
            "Class",
            list(named),
            key=key,
            required=True,
            format_func=lambda name: plain(told[name]),
            label_visibility="collapsed",
        )
    else:
        chosen = st.selectbox("Class", list(named), key=key, format_func=told.get, width=360)
    return named[chosen]


def _beyond(shift: Mapping[str, Any]) -> bool:
    return any(shift[title][end] for title in ("before", "after") for end in (0, -1))


def layers(shift: Mapping[str, Any], title: str) -> dict[str, list[int]]:
    """Counts per bar of the class's own images, of the others', and of those whose group is not known."""
    bars = len(shift[title])
    own, others = [0] * bars, [0] * bars
    for group in shift["groups"]:
        into = own if group["class"] == shift["class"] else others
        for bar, number in enumerate(group[title]):
            into[bar] += number
    rest = [total - a - b for total, a, b in zip(shift[title], own, others, strict=True)]
    return {OWN: own, OTHERS: others, UNKNOWN: rest}


class Side(NamedTuple):
    """Images of one kind, as the chart has them. name: of a class or of all others, to be escaped. color: CSS."""

    name: str
    color: str


def sides(shift: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Side]:
    """Classes in their own colours, as on every other page. classes: of the run, () where it did not note them: then
    the accent."""
    own, others = Side(short(shift["class"]), plot.ACCENT), Side(OTHERS, plot.MUTED)
    if shift["class"] in classes:
        at = classes.index(shift["class"])
        own = own._replace(color=_color(at))
        if len(classes) == 2:
            others = Side(short(classes[1 - at]), _color(1 - at))
    return {OWN: own, OTHERS: others, UNKNOWN: Side(UNKNOWN, plot.LINE)}


def _color(at: int) -> str:
    """Of the class at this place."""
    return plot.both(theme.LIGHT[at % len(theme.LIGHT)], theme.DARK[at % len(theme.DARK)])


def chart(shift: Mapping[str, Any], title: str, most: int, named: Mapping[str, Side], told: str) -> str:
    """most: of the tallest bar of both charts. told: what it shows, for who cannot see it."""
    edges = shift["edges"]
    x = plot.axis(
        f"from {plot.isolated(named[OTHERS].name)} (−1) to {plot.isolated(named[OWN].name)} (1)",
        edges[0],
        edges[-1],
        least=1,
        grid=False,
    )
    y = plot.axis("images", 0, 1.08 * max(most, 1), most=5, least=1)
    stacked = {side: counts for side, counts in layers(shift, title).items() if any(counts)}
    keys = {
        side: plot.Key(named[side].name, named[side].color, opacity=1.0 if side == OWN else 0.6) for side in stacked
    }
    drawn = [plot.shade(x, *shift["middle"], MID_COLOR, "middle")]
    below = [0] * (len(edges) - 1)
    for side, counts in stacked.items():
        drawn.append(plot.bars(x, y, edges, counts, keys[side].color, below=below, opacity=keys[side].opacity))
        below = [one + more for one, more in zip(below, counts, strict=True)]
    hints = [
        plot.Told(
            (edges[bar] + edges[bar + 1]) / 2,
            _between(edges, bar),
            tuple((named[side].name, f"{counts[bar]:,}") for side, counts in stacked.items()),
            tuple(keys.values()),
        )
        for bar in range(len(edges) - 1)
    ]
    return plot.plot(x, y, drawn, key=f"shift-{title}", height=HEIGHT, told=told, keys=list(keys.values()), hints=hints)


def _between(edges: Sequence[float], bar: int) -> str:
    """From where to where a bar is; the outermost hold what lies beyond."""
    low, high = (f"{edge:.4g}".replace("-", "−") for edge in (edges[bar], edges[bar + 1]))
    if bar == 0:
        return f"up to {high}"
    return f"from {low}" if bar == len(edges) - 2 else f"{low} to {high}"


def _by_group(shift: Mapping[str, Any], run: RunResult) -> None:
    table = pd.DataFrame(
        [
            {
                "group": group_name(group),
                "in the middle before": percent(group["middle_before"] / group["count"]),
                "in the middle after": percent(group["middle_after"] / group["count"]),
                "test images": group["count"],
            }
            for group in shift["groups"]
            if group["count"]
        ]
    )
    if table.empty:
        return
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content" if len(table) <= 12 else 420,
        alt="Share of each group's images that lie in the middle, before and after.",
    )
    guessed(run.after)
