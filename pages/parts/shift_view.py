"""Has the middle emptied? Where the test images lie along a class, before and after a repair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import streamlit as st

from pages.parts import chart_frame, theme
from pages.parts.group_chart import group_name, guessed
from pages.parts.words import count, distinct, helped, percent, plain, short

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.retraining.runs import RunResult

HEIGHT = 320
# more classes than these are chosen from a list
PILLS = 6
MID_COLOR = {True: "#f0a84b", False: "#d98324"}
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
            chart_frame.draw(chart(shift, title, most, named), f"shift-{title}", told)
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
    """Images of one kind, as the chart has them. name: of a class or of all others, to be escaped."""

    name: str
    color: str


def sides(shift: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Side]:
    """Classes in their own colours, as on every other page. classes: of the run, () where it did not note them: then
    the accent."""
    own, others = Side(short(shift["class"]), theme.accent_color()), Side(OTHERS, theme.muted_color())
    if shift["class"] in classes:
        colors = theme.class_colors(len(classes))
        at = classes.index(shift["class"])
        own = own._replace(color=colors[at])
        if len(classes) == 2:
            others = Side(short(classes[1 - at]), colors[1 - at])
    return {OWN: own, OTHERS: others, UNKNOWN: Side(UNKNOWN, theme.line_color())}


def chart(shift: Mapping[str, Any], title: str, most: int, named: Mapping[str, Side]) -> go.Figure:
    """most: of the tallest bar of both charts."""
    import plotly.graph_objects as go

    edges = shift["edges"]
    centers = [(low + high) / 2 for low, high in pairwise(edges)]
    figure = go.Figure()
    figure.add_vrect(
        x0=shift["middle"][0],
        x1=shift["middle"][1],
        fillcolor=MID_COLOR[theme.is_dark()],
        opacity=0.2,
        line_width=0,
        layer="below",
    )
    for side, counts in layers(shift, title).items():
        if any(counts):
            name = chart_frame.text(named[side].name)
            figure.add_bar(
                name=name,
                x=centers,
                y=counts,
                width=edges[1] - edges[0],
                marker={"color": named[side].color, "opacity": 1.0 if side == OWN else 0.6, "line": {"width": 0}},
                hovertemplate=f"{name}: %{{y:,}}<extra></extra>",
            )
    figure.update_layout(
        **chart_frame.layout(HEIGHT, barmode="stack", hovermode="x unified", bargap=0.06),
        xaxis=chart_frame.axis(
            f"from {named[OTHERS].name} (−1) to {named[OWN].name} (1)",
            showgrid=False,
            tickvals=[-2, -1, 0, 1, 2],
            ticktext=["−2", "−1", "0", "1", "2"],
        ),
        yaxis=chart_frame.axis("images", range=[0, 1.08 * most], nticks=5),
    )
    return figure


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
