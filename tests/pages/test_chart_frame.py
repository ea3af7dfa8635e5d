"""All charts look alike, say what they show, and keep their place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pages.parts import chart_frame, rooms

PARTS = rooms.FOLDER / "parts"
SOURCES = sorted([*rooms.FOLDER.glob("*.py"), *PARTS.glob("*.py")])
# Streamlit's own charts, which would have another look
OTHERS = {"plotly_chart", "altair_chart", "vega_lite_chart", "line_chart", "bar_chart", "area_chart", "scatter_chart"}


def called(file: Path) -> set[str]:
    """Names of methods and functions that are called as `something.name(...)`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {function.attr for function in calls if isinstance(function, ast.Attribute)}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_only_the_frame_draws_charts(file: Path) -> None:
    if file.stem == "chart_frame":
        assert called(file) & OTHERS == {"plotly_chart"}
    else:
        assert not called(file) & OTHERS


def test_every_figure_takes_the_frames_layout() -> None:
    drawing = [file for file in SOURCES if "go.Figure()" in file.read_text(encoding="utf-8")]
    assert drawing
    for file in drawing:
        assert "chart_frame.layout(" in file.read_text(encoding="utf-8"), file.name


def test_only_a_comparison_of_all_ways_waits_for_the_large_script() -> None:
    drawing = {file.stem for file in SOURCES if "chart_frame" in file.read_text(encoding="utf-8")}
    assert drawing == {"chart_frame", "bake_off_chart", "bake_off_view"}


def test_markup_in_the_title_of_an_axis_stays_text() -> None:
    assert chart_frame.axis("<b>a & b</b>")["title"]["text"] == "&lt;b&gt;a &amp; b&lt;/b&gt;"
    assert "title" not in chart_frame.axis()


def test_what_is_given_takes_the_place_of_what_is_usual() -> None:
    given = chart_frame.layout(200, hovermode="x unified", legend=chart_frame.legend(y=2))
    assert given["hovermode"] == "x unified"
    assert (given["legend"]["y"], given["legend"]["orientation"]) == (2, "h")
