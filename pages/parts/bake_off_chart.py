"""The figure, the table and the file of a comparison of all ways."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.concepts.exchange import guarded
from core.retraining.bakeoff import ORACLE, BakeOff, Line
from core.retraining.runs import NO_PERSON
from pages.parts import chart_frame, theme
from pages.parts.words import interval, percent

if TYPE_CHECKING:
    import plotly.graph_objects as go

ERM = "erm"
# what every comparison holds whether asked for or not
ALWAYS = (ERM, NO_PERSON, ORACLE)
# pixels per way in the plot
ROW_HEIGHT = 44
# below this a difference would hardly come about by chance
CHANCE = 0.05


def chart(one: BakeOff) -> go.Figure:
    """One row per way, best first; the classifier as it is and the oracle as dashed lines through all."""
    import plotly.graph_objects as go

    names = [label(line.title) for line in one.lines]
    figure = go.Figure()
    _references(figure, one)
    figure.add_scatter(
        x=[value for line in one.lines for value in sorted(set(line.worst_group))],
        y=[name for line, name in zip(one.lines, names, strict=True) for _ in sorted(set(line.worst_group))],
        mode="markers",
        marker={"color": theme.muted_color(), "size": 5, "opacity": 0.7},
        hoverinfo="skip",
        showlegend=False,
    )
    for line, name in zip(one.lines, names, strict=True):
        figure.add_scatter(**_way(line, name))
    readable = {"tickfont": {"color": theme.text_color(), "size": 13}}
    figure.update_layout(
        **chart_frame.layout(
            ROW_HEIGHT * len(names) + 96,
            margin={"l": 8, "r": 16, "t": 52, "b": 8},
            xaxis=chart_frame.axis("accuracy in the worst group", range=[-0.02, 1.02], tickformat=".0%", **readable),
            yaxis=chart_frame.axis(
                autorange="reversed", ticksuffix="  ", categoryorder="array", categoryarray=names, **readable
            ),
        )
    )
    return figure


def _references(figure: go.Figure, one: BakeOff) -> None:
    # one above the other: on a phone they would run together
    for method, told, raised in ((ERM, "as it is", 0), (ORACLE, "known groups", 16)):
        reference = one.line(method)
        if reference is not None:
            figure.add_vline(
                x=reference.mean,
                line={"color": theme.muted_color(), "width": 1.5, "dash": "dash"},
                layer="below",
                annotation={
                    "text": told,
                    "font": {"color": theme.muted_color(), "size": 12},
                    "yanchor": "bottom",
                    "yshift": raised,
                },
                annotation_position="top",
            )


def _way(line: Line, name: str) -> dict[str, Any]:
    own = line.method not in ALWAYS
    color = theme.accent_color() if own else theme.muted_color()
    return {
        "x": [line.mean],
        "y": [name],
        "mode": "markers",
        "marker": {
            "color": color,
            "size": 12,
            "symbol": "circle" if own else "diamond-open",
            "line": {"width": 2, "color": color},
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [max(line.interval[1] - line.mean, 0.0)],
            "arrayminus": [max(line.mean - line.interval[0], 0.0)],
            "color": color,
            "thickness": 1.6,
            "width": 4,
        },
        "text": [f"{percent(line.mean)} ({interval(*line.interval)})<br>average {percent(line.average_mean)}"],
        "hovertemplate": "%{y}<br>worst group %{text}<extra></extra>",
        "showlegend": False,
    }


def told(one: BakeOff) -> str:
    """The chart in a sentence, for who cannot see it."""
    figures = "; ".join(f"{line.title} {percent(line.mean)}" for line in one.lines)
    return f"Accuracy in the worst group by way, best first: {figures}. The table below has the intervals."


def label(name: str) -> str:
    """A title beside the axis: long ones are broken in two."""
    safe = chart_frame.text(name)
    if len(name) <= 24 or " " not in safe:
        return safe
    words = safe.split(" ")
    half = min(range(1, len(words)), key=lambda cut: abs(len(" ".join(words[:cut])) - len(safe) / 2))
    return f"{' '.join(words[:half])}<br>{' '.join(words[half:])}"


def table(one: BakeOff) -> pd.DataFrame:
    floor = one.line(ERM)
    rows: list[dict[str, Any]] = [
        {
            "way": line.title,
            "worst group": percent(line.mean),
            "interval": interval(*line.interval),
            "against as it is": "" if floor is None or line.method == ERM else difference(line, floor),
            "spread": f"{100 * line.spread:.1f}",
            "average": percent(line.average_mean),
            "share of the gap": "–" if line.share is None else f"{100 * line.share:.0f}%",
            "needs": {"tags": "tags", "attributes": "known groups"}.get(line.needs, "nothing"),
            "seconds": f"{line.seconds:.2f}",
        }
        for line in one.lines
    ]
    return pd.DataFrame(rows)


def difference(line: Line, floor: Line) -> str:
    """Better, worse or neither than the classifier as it is, and how likely by chance."""
    if line.mean == floor.mean or line.p >= CHANCE:
        return f"no clear difference (p {chance(line.p)})"
    return f"{'better' if line.mean > floor.mean else 'worse'} (p {chance(line.p)})"


def chance(p: float) -> str:
    return "below 0.1%" if p < 0.001 else f"{100 * p:.1f}%" if p < 0.1 else f"{100 * p:.0f}%"


def as_csv(one: BakeOff) -> bytes:
    """One line per way and seed, then what they come to; with a byte order mark, for spreadsheets."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(
        (
            *("method", "title", "seed", "worst_group", "average", "weighted_average"),
            *("mean", "spread", "low", "high", "share_of_gap", "p", "seconds"),
        )
    )
    for line in one.lines:
        summary = (line.mean, line.spread, *line.interval, "" if line.share is None else line.share, line.p)
        for place, seed in enumerate(one.seeds):
            figures = (line.worst_group[place], line.average[place], line.weighted_average[place])
            writer.writerow((line.method, guarded(line.title), seed, *figures, *summary, line.seconds))
    return target.getvalue().encode("utf-8-sig")
