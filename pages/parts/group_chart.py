"""Accuracy of every group before and after, with intervals: one row per group, an arrow's worth of change in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pages.parts import chart_frame, theme
from pages.parts.words import TERMS, count, interval, percent, plain, short

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.retraining.evaluation import Evaluation

BEFORE, AFTER = "before", "after"
ROW_HEIGHT = 62
# of a row's height: the two points of a group, so that equal ones are both seen
APART = 0.12
# groups drawn; the table has the others
DRAWN = 24


def show(before: Evaluation, after: Evaluation, key: str, names: tuple[str, str] = (BEFORE, AFTER)) -> None:
    """The chart, the same as a table, and where the groups are from. Groups that only one of the two has are left out.

    names: of the two, as the legend and the columns have them.
    """
    was, now = by_group(before), by_group(after)
    both = sorted((group for group in was if group in now), key=lambda group: was[group]["accuracy"])
    if not both:
        st.caption("The two were measured with different groups, so there is none to compare.")
        return
    drawn = both[:DRAWN]
    figure = chart([was[group] for group in drawn], [now[group] for group in drawn], names)
    chart_frame.draw(figure, key, sentence(before, after))
    if len(both) > DRAWN:
        st.caption(f"Drawn are the {DRAWN} that were weakest; the table has all {len(both):,}.")
    table = pd.DataFrame(
        [
            {
                "group": group_name(was[group]),
                names[0]: with_interval(was[group]),
                names[1]: with_interval(now[group]),
                "test images": was[group]["count"],
                "share of training": percent(was[group]["share"]),
            }
            for group in both
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height="content" if len(table) <= 12 else 420,
        alt="Accuracy of every group with its 95% interval, the weakest first.",
    )
    source(after)


def source(evaluation: Evaluation) -> None:
    """Where the groups are from, and whether they were guessed."""
    if evaluation.estimated:
        told = evaluation.note or "Which images are in which group was guessed by a probe."
        st.caption(f":material/help: **Estimated.** {plain(told)}", help=TERMS["estimated"])
    st.caption(f"Groups: {plain(evaluation.groups_from)}. In brackets: 95% intervals.")


def guessed(evaluation: Evaluation) -> None:
    """Where each image is shown in one group: that the group was guessed, if it was."""
    if evaluation.estimated:
        told = "each image is in the group a probe finds likeliest."
        st.caption(f":material/help: **Estimated:** {told}", help=TERMS["estimated"])


def sentence(before: Evaluation, after: Evaluation) -> str:
    """What to see: how many groups rose and fell, beyond their intervals or not."""
    was, now = by_group(before), by_group(after)
    both = [group for group in was if group in now]
    rose = [group for group in both if now[group]["accuracy"] > was[group]["accuracy"]]
    fell = [group for group in both if now[group]["accuracy"] < was[group]["accuracy"]]
    if not rose and not fell:
        return "No group changed."
    parts = []
    for groups, verb in ((rose, "rose"), (fell, "fell")):
        if groups:
            most = max(groups, key=lambda group: abs(now[group]["accuracy"] - was[group]["accuracy"]))
            change = f"{percent(was[most]['accuracy'])} to {percent(now[most]['accuracy'])}"
            parts.append(
                f"{count(len(groups), 'group')} {verb}, {short(group_name(was[most]), 48)} most (from {change})"
                if len(groups) > 1
                else f"{short(group_name(was[most]), 48)} {verb} from {change}"
            )
    return f"{'; '.join(parts)}."


def by_group(evaluation: Evaluation) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(group.class_name, group.concept): group.to_dict() for group in evaluation.groups}


def with_interval(group: Mapping[str, Any]) -> str:
    return f"{percent(group['accuracy'])} ({interval(group['low'], group['high'])})"


def group_name(group: Mapping[str, Any]) -> str:
    """waterbird · land"""
    return group["class"] if group["concept"] is None else f"{group['class']} · {group['concept']}"


def chart(
    before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]], names: tuple[str, str] = (BEFORE, AFTER)
) -> go.Figure:
    """before, after: groups with `class`, `concept`, `count`, `accuracy`, `low`, `high`, the same ones in both."""
    import plotly.graph_objects as go

    # weakest first: the eye starts where it matters
    order = sorted(range(len(before)), key=lambda i: before[i]["accuracy"])
    labels = [chart_frame.text(short(group_name(before[i]), 44)) for i in order]
    figure = go.Figure()
    for place, i in enumerate(order):
        figure.add_shape(
            type="line",
            x0=before[i]["accuracy"],
            x1=after[i]["accuracy"],
            y0=place,
            y1=place,
            line={"color": theme.line_color(), "width": 8},
            layer="below",
        )
    for title, groups, color, symbol, lift in (
        (names[0], before, theme.muted_color(), "circle-open", -APART),
        (names[1], after, theme.accent_color(), "circle", APART),
    ):
        rows = [groups[i] for i in order]
        figure.add_scatter(
            name=title,
            x=[row["accuracy"] for row in rows],
            y=[place + lift for place in range(len(rows))],
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
            customdata=labels,
            text=[
                f"{chart_frame.text(title)}: {percent(row['accuracy'])} ({interval(row['low'], row['high'])}) of "
                f"{row['count']:,}"
                for row in rows
            ],
            hovertemplate="%{customdata}<br>%{text}<extra></extra>",
        )
    figure.update_layout(
        **chart_frame.layout(ROW_HEIGHT * len(labels) + 90),
        xaxis=chart_frame.axis("accuracy on test images", range=[-0.02, 1.02], tickformat=".0%"),
        yaxis=chart_frame.axis(
            range=[len(labels) - 0.5, -0.5],
            tickvals=list(range(len(labels))),
            ticktext=labels,
            ticksuffix="  ",
            showgrid=False,
        ),
    )
    return figure
