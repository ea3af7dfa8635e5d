"""Whether the model is as sure as it is right, before and after a repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import chart_frame, theme
from pages.parts.words import TERMS, count, helped, interval, percent, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.retraining.calibration import Calibration
    from core.retraining.runs import RunResult

HEIGHT = 340
# a change of the expected calibration error below this is not worth a word
NOTABLE = 0.005
# images below which a bin is drawn faintly: its interval says why
FEW = 10
FIGURES = (("Calibration error", "ece", True), ("Brier score", "brier", False), ("Surprise (NLL)", "nll", False))


def show(run: RunResult) -> bool:
    """False, and nothing drawn, where the run did not record it."""
    before, after = run.before.calibration, run.after.calibration
    if before is None or after is None:
        return False
    st.header("Is it as sure as it is right?", anchor=False, help=helped("calibration"))
    st.markdown(plain(sentence(before, after)))
    cells = st.grid(3, min_column_width=210, gap="small")
    for title, name, as_percent in FIGURES:
        was, now = getattr(before, name), getattr(after, name)
        with cells.cell():
            st.metric(title, f"{_figure(was, as_percent)} → {_figure(now, as_percent)}", help=TERMS[name])
    cells = st.grid(2, min_column_width=320, gap="medium")
    for title, one in (("Before", before), ("After", after)):
        with cells.cell():
            st.markdown(f"**{title}**")
            chart_frame.draw(chart(one), f"reliability-{title.lower()}", f"{title}. {one.sentence}")
    st.caption(
        "A dot is the images that the model is about equally sure of; larger dots hold more of them. On the line it is "
        "right as often as it is sure, below it is too sure. Bars: 95% intervals."
    )
    with st.expander("The figures", icon=":material/table:"):
        cells = st.grid(2, min_column_width=320, gap="medium")
        for title, one in (("Before", before), ("After", after)):
            with cells.cell():
                st.markdown(f"**{title}**")
                st.table(figures(one), hide_index=True)
    return True


def sentence(before: Calibration, after: Calibration) -> str:
    """What to see: how sure it is against how often it is right, before and now."""
    change = after.ece - before.ece
    if change < -NOTABLE:
        told = "The repaired model knows better how sure it may be."
    elif change > NOTABLE:
        told = "The repaired model knows less well how sure it may be: do not read its probabilities as chances."
    else:
        told = "Calibration is as it was."
    return (
        f"{told} Before: {percent(before.confidence)} sure and {percent(before.accuracy)} right on average; now "
        f"{percent(after.confidence)} sure and {percent(after.accuracy)} right."
    )


def figures(calibration: Calibration) -> list[dict[str, str]]:
    return [
        {
            "sure": interval(one.low, one.high),
            "right": f"{percent(one.accuracy)} ({interval(one.accuracy_low, one.accuracy_high)})",
            "images": f"{one.count:,}",
        }
        for one in calibration.bins
    ]


def chart(calibration: Calibration) -> go.Figure:
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": theme.muted_color(), "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
    )
    bins = calibration.bins
    most = max(one.count for one in bins)
    color = theme.accent_color()
    figure.add_scatter(
        x=[one.confidence for one in bins],
        y=[one.accuracy for one in bins],
        mode="markers",
        marker={
            "color": color,
            "size": [8 + 18 * (one.count / most) ** 0.5 for one in bins],
            "opacity": [1.0 if one.count >= FEW else 0.45 for one in bins],
            "line": {"width": 0},
        },
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [one.accuracy_high - one.accuracy for one in bins],
            "arrayminus": [one.accuracy - one.accuracy_low for one in bins],
            "color": theme.muted_color(),
            "thickness": 1.2,
            "width": 3,
        },
        text=[
            f"sure {percent(one.confidence)}, right {percent(one.accuracy)}<br>"
            f"({interval(one.accuracy_low, one.accuracy_high)}), {count(one.count, 'image')}"
            for one in bins
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    lowest = max(0.0, min(one.low for one in bins) - 0.03)
    figure.update_layout(
        **chart_frame.layout(HEIGHT, showlegend=False, margin={"l": 8, "r": 12, "t": 8, "b": 8}),
        xaxis=chart_frame.axis("how sure it is", range=[lowest, 1.02], tickformat=".0%"),
        yaxis=chart_frame.axis("how often it is right", range=[-0.03, 1.03], tickformat=".0%"),
    )
    return figure


def _figure(value: float, as_percent: bool) -> str:
    return f"{100 * value:.1f}%" if as_percent else f"{value:.3f}"
