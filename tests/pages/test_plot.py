"""Charts drawn as HTML: what is planted lies where the axes say, names stay text, and everything is said in words."""

from __future__ import annotations

import html
import math
import re
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.parts import plot, theme
from pages.parts.plot import Key, Told

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 6))


def held(markup: str, name: str) -> list[float]:
    """The values of a custom property, in order."""
    return [float(value) for value in re.findall(rf"--{name}:(-?[0-9.]+)", markup)]


def path(markup: str) -> str:
    """What a line's mask is drawn of."""
    (shape,) = re.findall(r"data:image/svg\+xml,([^']+)'", markup)
    (way,) = re.findall(r' d="([^"]*)"', unquote(shape))
    return way


def unit(title: str = "") -> plot.Axis:
    return plot.axis(title, 0, 1)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[float, float]:
    low = draw(NUMBERS)
    return low, low + draw(st.floats(1e-3, 1e9))


@given(ranges(), st.integers(3, 9))
def test_ticks_are_nice_even_and_cover_the_range(ends: tuple[float, float], most: int) -> None:
    low, high = ends
    values, step = plot.nice_ticks(low, high, most)
    slack = step * 1e-6 + 4 * math.ulp(max(abs(low), abs(high)))
    assert 1 <= len(values) <= most
    assert float(f"{step:.9e}".partition("e")[0]) in (1, 2, 5)
    assert all(low - slack <= value <= high + slack for value in values)
    # no other would fit before or behind
    assert values[0] - step < low + slack
    assert values[-1] + step > high - slack
    for one, other in pairwise(values):
        assert other - one == pytest.approx(step, rel=1e-6, abs=slack)


@pytest.mark.parametrize(
    ("low", "high", "options", "labels"),
    [
        (-6.5, 6.2, {}, "−6 −4 −2 0 2 4 6"),
        (-0.03, 1.03, {"percent": True, "most": 6}, "0% 20% 40% 60% 80% 100%"),
        (0, 172.8, {"most": 5, "least": 1}, "0 50 100 150"),
        (0, 1.08, {"most": 5, "least": 1}, "0 1"),
        (-3, 3, {"least": 1}, "−3 −2 −1 0 1 2 3"),
        (0, 5_000, {"most": 6}, "0 1,000 2,000 3,000 4,000 5,000"),
        (0.0, 0.04, {"most": 5}, "0.00 0.01 0.02 0.03 0.04"),
        (0.0, 4e-8, {"most": 5}, "0 1e−08 2e−08 3e−08 4e−08"),
    ],
)
def test_ticks_are_written_as_one_would(low: float, high: float, options: dict, labels: str) -> None:
    assert [label for _, label in plot.axis("", low, high, **options).ticks] == labels.split()


@given(ranges(), st.lists(NUMBERS, min_size=1, max_size=12))
def test_every_mark_lies_in_the_plot_and_keeps_its_order(ends: tuple[float, float], values: list[float]) -> None:
    x = plot.axis("", *ends)
    places = held("".join(plot.dot(x, unit(), value, 0.5, "red") for value in sorted(values)), "x")
    assert len(places) == len(values)
    assert all(0 <= place <= 100 for place in places)
    assert places == sorted(places)


def test_a_point_lies_where_the_axes_say() -> None:
    x, y = plot.axis("", -2, 6), plot.axis("", 0, 200)
    mark = plot.dot(x, y, 0, 50, "red", marker="square", size=14, opacity=0.45)
    assert (held(mark, "x"), held(mark, "y"), held(mark, "s")) == ([25], [25], [14])
    assert 'class="mark square"' in mark
    assert "opacity:0.45" in mark
    interval = plot.whisker(x, y, 4, 50, 150, "red")
    assert (held(interval, "x"), held(interval, "y"), held(interval, "h")) == ([75], [25], [50])


def test_a_line_has_gaps_and_a_dash_of_its_own() -> None:
    drawn = plot.line(unit(), unit(), [0, 0.25, 0.5, 0.75, 1], [0, 0.5, None, 1, 0.5], "red", width=2, dash="dash")
    assert path(drawn) == "M0.000 100.000L25.000 50.000M75.000 0.000L100.000 50.000"
    assert 'stroke-dasharray="6 6"' in unquote(drawn)
    assert 'stroke-dasharray="none"' in unquote(plot.line(unit(), unit(), [0, 1], [0, 1], "red"))
    # a point by itself has its mark only
    assert path(plot.line(unit(), unit(), [0, 0.5, 1], [None, 0.5, None], "red")) == ""
    shapes = {unquote(plot.line(unit(), unit(), [0, 1], [0, 1], "red", dash=dash)) for dash in plot.DASHES}
    assert len(shapes) == len(plot.DASHES)


def test_a_line_goes_on_beyond_the_plot_instead_of_bending_at_its_edge() -> None:
    assert path(plot.line(plot.axis("", 0.5, 1), unit(), [0, 1], [0, 1], "red")) == "M-100.000 100.000L100.000 0.000"


def test_a_ribbon_goes_there_along_the_top_and_back_below() -> None:
    drawn = plot.ribbon(unit(), unit(), [0, 1], [0.2, 0.4], [0.6, 1], "red")
    corners = re.findall(r"([0-9.]+)% ([0-9.]+)%", drawn)
    assert [(float(a), float(b)) for a, b in corners] == [(0, 40), (100, 0), (100, 60), (0, 80)]
    lone = plot.ribbon(unit(), unit(), [0.5], [0.2], [0.6], "red")
    assert (held(lone, "x"), held(lone, "y"), held(lone, "h")) == ([50], [20], [40])


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=9))
def test_stacked_bars_stand_on_each_other(counts: list[tuple[int, int]]) -> None:
    x, y = plot.axis("", 0, len(counts)), plot.axis("", 0, 200)
    edges = range(len(counts) + 1)
    own, others = [one for one, _ in counts], [other for _, other in counts]
    lower, upper = plot.bars(x, y, edges, own, "red"), plot.bars(x, y, edges, others, "blue", below=own)
    assert held(lower, "h") == pytest.approx([one / 2 for one in own if one], abs=1e-3)
    assert held(upper, "h") == pytest.approx([other / 2 for other in others if other], abs=1e-3)
    assert held(upper, "y") == pytest.approx([one / 2 for one, other in counts if other], abs=1e-3)
    assert held(lower, "x") == pytest.approx([100 * i / len(own) for i, one in enumerate(own) if one], abs=1e-3)


def test_a_shade_is_cut_off_at_the_edges_and_left_out_beyond() -> None:
    x = plot.axis("", 0, 10)
    drawn = plot.shade(x, 5, 40, "red", "top")
    assert held(drawn, "x") == [50, 75]
    assert held(drawn, "w") == [50]
    assert plot.shade(x, 11, 40, "red") == plot.shade(x, 4, 3, "red") == ""
    assert plot.collide(x, (1, 2), (2, 3))
    assert not plot.collide(x, (1, 2), (7, 9))


def whole(**options: object) -> str:
    given = {"key": "a", "height": 300, "told": "What it shows.", **options}
    return plot.plot(plot.axis("along", 0, 10), plot.axis("up", 0, 1), ["<i>drawn</i>"], **given)


def test_hints_share_the_plot_and_are_one_stop_of_the_tab_key() -> None:
    hints = [Told(at, f"at {at}", (("", "said"),)) for at in (8, 1, 3)]
    markup = whole(hints=hints)
    labels = re.findall(r'<input type="radio" name="a-figures" aria-label="([^"]*)"', markup)
    assert labels == ["at 1; said", "at 3; said", "at 8; said"]
    part = markup.partition('class="hits"')[2]
    starts, widths = held(part, "x"), held(part, "w")
    assert starts[0] == 0
    assert starts[-1] + widths[-1] == pytest.approx(100)
    assert starts[1:] == pytest.approx([start + wide for start, wide in zip(starts, widths, strict=True)][:-1])
    # what stands at the right is told to the left of it
    assert [" late" in one for one in re.findall(r'<label class="([^"]*)"', part)] == [False, False, True]
    # nothing to focus lies within the picture, which is one thing to a screen reader
    assert "<input" not in markup.partition('role="img"')[2].partition('class="hits"')[0]


def test_a_chart_says_what_it_shows_and_keeps_its_height() -> None:
    markup = whole()
    assert 'role="img" aria-label="What it shows."' in markup
    assert "--height:300px" in markup
    assert "radio" not in markup
    for title in ("along", "up"):
        assert f'class="title {title}" aria-hidden="true">{title}</span>' in markup


HOSTILE = '<img src=x onerror="alert(1)">&amp;\'" \u202egnp.exe 😀' + "x" * 150


def test_names_are_no_markup_anywhere() -> None:
    key = Key(HOSTILE, "red", "dash", "star")
    x = plot.axis(HOSTILE, 0, 1)
    markup = plot.plot(
        x,
        plot.axis(HOSTILE, 0, 1),
        [plot.shade(x, 0, 1, "red", HOSTILE)],
        key="a",
        height=100,
        told=HOSTILE,
        keys=[key],
        hints=[Told(0.5, HOSTILE, ((HOSTILE, HOSTILE),), (key,))],
    )
    assert "<img" not in markup
    assert 'onerror="' not in markup
    # both titles, the shade, the picture, the legend, and five times in the hint and its label
    assert markup.count(html.escape(HOSTILE)) == 11
    assert markup.count('<bdi dir="auto">&lt;img') == 2


@pytest.mark.parametrize("dark", [False, True])
def test_colours_are_those_of_the_theme(dark: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theme, "is_dark", lambda: dark)
    for color, wanted in (
        (plot.MUTED, theme.muted_color()),
        (plot.ACCENT, theme.accent_color()),
        (plot.LINE, theme.line_color()),
    ):
        assert re.findall("#[0-9a-f]{6}", color)[dark] == wanted


def test_every_mark_has_a_shape_of_its_own() -> None:
    styles = (theme.ASSETS / "plot" / "plot.css").read_text(encoding="utf-8")
    for marker in (*plot.MARKERS, "open", "x"):
        # a square is what all are without one
        assert marker == "square" or f".mark.{marker} {{" in styles, marker
