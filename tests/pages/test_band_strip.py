"""The band strip's Python side: who owns the band, and what is believed of what the browser says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.band_strip import (
    DARK_COLORS,
    LIGHT_COLORS,
    Marker,
    Owner,
    Preset,
    StripHistogram,
    _said,
    resolve,
    strip_data,
)

HISTOGRAM = StripHistogram(
    edges=np.linspace(-4, 6, 11), counts=np.arange(20).reshape(2, 10), class_names=("landbird", "waterbird")
)


def test_a_person_moves_the_band_and_it_stays_while_the_page_says_the_same() -> None:
    owner = Owner()
    assert resolve(owner, (0, 1), None, HISTOGRAM) == (0, 1)
    assert resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM) == (2, 3)
    assert resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM) == (2, 3)
    assert resolve(owner, (0, 1), (6, -1.0, 3.0), HISTOGRAM) == (-1, 3)


def test_a_page_that_stores_what_is_returned_keeps_the_persons_band() -> None:
    owner = Owner()
    band = resolve(owner, (0, 1), None, HISTOGRAM)
    # a move may come in the very next run (7) or after some that changed nothing
    for said in [(5, 2.0, 3.0), (5, 2.0, 3.0), (6, 2.5, 3.0), (7, 2.5, 3.5), (7, 2.5, 3.5)]:
        band = resolve(owner, band, said, HISTOGRAM)
        assert band == said[1:]


@pytest.mark.parametrize("stores", [True, False])
def test_a_preset_wins_over_an_older_move_and_keeps_winning(stores: bool) -> None:
    owner = Owner()
    resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM)
    if stores:
        resolve(owner, (2, 3), (5, 2.0, 3.0), HISTOGRAM)
    for _ in range(3):
        assert resolve(owner, (4, 6), (5, 2.0, 3.0), HISTOGRAM) == (4, 6)
    assert resolve(owner, (4, 6), (6, 4.5, 6.0), HISTOGRAM) == (4.5, 6)


def test_a_band_older_than_the_session_is_the_persons() -> None:
    assert resolve(Owner(), (0, 1), (5, 2.0, 3.0), HISTOGRAM) == (2, 3)


def test_going_back_to_a_preset_after_moving_away_works() -> None:
    owner = Owner()
    resolve(owner, (0, 1), None, HISTOGRAM)
    band = resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM)
    band = resolve(owner, band, (5, 2.0, 3.0), HISTOGRAM)
    assert resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM) == (0, 1)
    assert resolve(owner, (0, 1), (5, 2.0, 3.0), HISTOGRAM) == (0, 1)


def test_a_band_is_cut_to_the_range_of_the_histogram() -> None:
    assert resolve(Owner(), (-4, 6), (1, -99.0, 99.0), HISTOGRAM) == (-4, 6)


def test_numbers_that_start_anew_are_still_heard() -> None:
    owner = Owner(given=(0, 1), seen=500)
    assert resolve(owner, (0, 1), (3, 2.0, 3.0), HISTOGRAM) == (2, 3)


@pytest.mark.parametrize(
    "band",
    [
        None,
        3,
        [1, 2],
        {"low": 0, "high": 1},
        {"move": 1, "low": 2, "high": 1},
        {"move": 1, "low": "0", "high": 1},
        {"move": 1, "low": None, "high": 1},
        {"move": 1, "low": math.nan, "high": 1},
        {"move": 1, "low": 0, "high": math.inf},
        {"move": 1, "low": False, "high": True},
        {"move": True, "low": 0, "high": 1},
        {"move": 0, "low": 0, "high": 1},
    ],
)
def test_what_is_no_band_of_finite_numbers_is_ignored(band: Any) -> None:
    assert _said({"band": band}) is None


def test_a_band_from_the_browser_is_believed() -> None:
    assert _said({"band": {"move": 2, "low": 0, "high": 1.5}}) == (2, 0.0, 1.5)
    assert _said(None) is None


@pytest.mark.parametrize(
    ("edges", "counts", "colors"),
    [
        ([0, 1, 1], [[1, 1]], ()),
        ([0, 1, math.inf], [[1, 1]], ()),
        ([0], [[]], ()),
        ([0, 1, 2], [[1]], ()),
        ([0, 1, 2], [[1, -1]], ()),
        ([0, 1, 2], [[1, 1]], ("#fff", "#000")),
    ],
)
def test_a_histogram_that_cannot_be_drawn_is_refused(edges: Any, counts: Any, colors: Any) -> None:
    with pytest.raises(ValueError, match=r"edges|counts|colors"):
        StripHistogram(np.array(edges), np.array(counts), ("landbird",), colors)


def test_what_is_drawn_is_json_and_has_a_colour_per_class() -> None:
    many = StripHistogram(np.array([0.0, 1.0]), np.ones((14, 1)), tuple(f"c{i}" for i in range(14)))
    data = json.loads(json.dumps(strip_data(many, (0, 1))))
    assert data["colors"]["light"] == [*LIGHT_COLORS, *LIGHT_COLORS[:2]]
    assert data["colors"]["dark"] == [*DARK_COLORS, *DARK_COLORS[:2]]
    assert data["counts"] == [[1]] * 14


def test_markers_outside_the_range_are_left_out() -> None:
    markers = [Marker(0, "zero"), Marker(7, "far"), Marker(math.nan, "none"), Marker(6, "end")]
    data = strip_data(HISTOGRAM, (0, 1), markers=markers)
    assert [marker["label"] for marker in data["markers"]] == ["zero", "end"]


def app() -> None:
    import numpy as np
    import streamlit as st

    from pages.parts.band_strip import StripHistogram, band_strip

    histogram = StripHistogram(np.array([0.0, 1.0, 2.0]), np.array([[3, 4]]), ("bird",))
    low, high = band_strip("strip", histogram, 0.5, 9.0, count=lambda low, high: 5)
    st.text(f"{low} {high}")


def test_a_page_with_a_strip_runs_without_a_browser() -> None:
    page = AppTest.from_function(app).run()
    assert not page.exception
    assert page.text[0].value == "0.5 2.0"
    data = json.loads(page.get("bidi_component")[0].proto.json)
    assert (data["low"], data["high"], data["count"], data["total"]) == (0.5, 2.0, 5, 7)


def test_a_page_reads_the_band_a_browser_left() -> None:
    page = AppTest.from_function(app)
    page.session_state["strip"] = {"band": {"move": 1, "low": 1, "high": 1.25}}
    assert page.run().text[0].value == "1.0 1.25"


@pytest.mark.parametrize("band", [(2, 1), (math.nan, 1), (0, math.inf)])
def test_a_page_that_gives_no_band_is_told(band: tuple[float, float]) -> None:
    def broken(low: float, high: float) -> None:
        import numpy as np
        import streamlit as st

        from pages.parts.band_strip import StripHistogram, band_strip

        try:
            band_strip("strip", StripHistogram(np.array([0.0, 1.0]), np.array([[3]]), ("bird",)), low, high)
        except ValueError as problem:
            st.text(str(problem))

    assert "finite low <= high" in AppTest.from_function(broken, args=band).run().text[0].value
