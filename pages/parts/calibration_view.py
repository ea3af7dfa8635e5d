"""Whether the model is as sure as it is right, before and after a repair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import plot
from pages.parts.words import TERMS, count, helped, interval, percent, plain

if TYPE_CHECKING:
    from core.retraining.calibration import Calibration
    from core.retraining.runs import RunResult

HEIGHT = 270
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
            key = f"reliability-{title.lower()}"
            plot.draw(chart(one, key, f"{title}. {one.sentence}"), key)
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


def chart(calibration: Calibration, key: str, told: str) -> str:
    """key, told: as `plot.plot` has them."""
    bins = calibration.bins
    lowest = max(0.0, min(one.low for one in bins) - 0.03)
    x = plot.axis("how sure it is", lowest, 1.02, most=6, percent=True, least=0.1)
    y = plot.axis("how often it is right", -0.03, 1.03, most=6, percent=True)
    drawn = [plot.line(x, y, (0, 1), (0, 1), plot.MUTED, width=1.5, dash="dot")]
    drawn += [plot.whisker(x, y, one.confidence, one.accuracy_low, one.accuracy_high, plot.MUTED) for one in bins]
    most = max(one.count for one in bins)
    drawn += [
        plot.dot(
            x,
            y,
            one.confidence,
            one.accuracy,
            plot.ACCENT,
            size=8 + 18 * (one.count / most) ** 0.5,
            opacity=1.0 if one.count >= FEW else 0.45,
        )
        for one in bins
    ]
    hints = [
        plot.Told(
            one.confidence,
            f"sure {percent(one.confidence)}",
            (
                ("", f"right {percent(one.accuracy)} ({interval(one.accuracy_low, one.accuracy_high)})"),
                ("", count(one.count, "image")),
            ),
        )
        for one in bins
    ]
    return plot.plot(x, y, drawn, key=key, height=HEIGHT, told=told, hints=hints)


def _figure(value: float, as_percent: bool) -> str:
    return f"{100 * value:.1f}%" if as_percent else f"{value:.3f}"
