"""Accuracy of every group before and after, with intervals: one row per group, an arrow's worth of change in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pages.parts import theme
from pages.parts.words import interval, percent

if TYPE_CHECKING:
    import plotly.graph_objects as go

BEFORE, AFTER = "before", "after"
ROW_HEIGHT = 62


def group_name(group: Mapping[str, Any]) -> str:
    """waterbird · land"""
    return group["class"] if group["concept"] is None else f"{group['class']} · {group['concept']}"


def chart(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> go.Figure:
    """before, after: groups with `class`, `concept`, `count`, `accuracy`, `low`, `high`, the same ones in both."""
    import plotly.graph_objects as go

    # weakest first: the eye starts where it matters
    order = sorted(range(len(before)), key=lambda i: before[i]["accuracy"])
    names = [_text(group_name(before[i])) for i in order]
    figure = go.Figure()
    for i, name in zip(order, names, strict=True):
        figure.add_shape(
            type="line",
            x0=before[i]["accuracy"],
            x1=after[i]["accuracy"],
            y0=name,
            y1=name,
            line={"color": theme.line_color(), "width": 8},
            layer="below",
        )
    for title, groups, color, symbol in (
        (BEFORE, before, theme.muted_color(), "circle-open"),
        (AFTER, after, theme.accent_color(), "circle"),
    ):
        rows = [groups[i] for i in order]
        figure.add_scatter(
            name=title,
            x=[row["accuracy"] for row in rows],
            y=names,
            mode="markers",
            marker={"color": color, "size": 12, "symbol": symbol, "line": {"width": 2, "color": color}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [row["high"] - row["accuracy"] for row in rows],
                "arrayminus": [row["accuracy"] - row["low"] for row in rows],
                "color": color,
                "thickness": 1.4,
                "width": 4,
            },
            text=[
                f"{title}: {percent(row['accuracy'])} ({interval(row['low'], row['high'])}) of {row['count']:,}"
                for row in rows
            ],
            hovertemplate="%{y}<br>%{text}<extra></extra>",
        )
    figure.update_layout(
        height=ROW_HEIGHT * len(names) + 90,
        margin={"l": 8, "r": 16, "t": 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": theme.text_color(), "size": 14},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        xaxis={
            "range": [-0.02, 1.02],
            "tickformat": ".0%",
            "gridcolor": theme.line_color(),
            "zeroline": False,
            "fixedrange": True,
        },
        yaxis={"autorange": "reversed", "automargin": True, "fixedrange": True, "ticksuffix": "  "},
        hoverlabel={"align": "left"},
    )
    return figure


def _text(name: str) -> str:
    """Plotly reads a little HTML in labels: names are to show as they are."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
