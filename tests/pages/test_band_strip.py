"""The band strip's Python side: who owns the band, and what is believed of what the browser says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.band_strip import (
    AXIS_LABELS,
    DARK,
    LIGHT,
    UNKNOWN_COLORS,
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
    assert data["colors"]["light"] == [*LIGHT, *LIGHT[:2]]
    assert data["colors"]["dark"] == [*DARK, *DARK[:2]]
    assert data["counts"] == [[1]] * 14


def test_markers_outside_the_range_are_left_out() -> None:
    markers = [Marker(0, "zero"), Marker(7, "far"), Marker(math.nan, "none"), Marker(6, "end")]
    data = strip_data(HISTOGRAM, (0, 1), markers=markers)
    assert [marker["label"] for marker in data["markers"]] == ["zero", "end"]


def test_presets_are_cut_to_the_range_and_only_those_in_it_are_drawn() -> None:
    presets = [
        Preset(-9, 0, "low", active=False),
        Preset(0, 1, "mid"),
        Preset(7, 9, "far"),
        Preset(math.nan, 1, "none"),
    ]
    assert strip_data(HISTOGRAM, (0, 1), presets=presets)["presets"] == [
        {"low": -4, "high": 0, "label": "low", "active": False},
        {"low": 0, "high": 1, "label": "mid", "active": True},
    ]


def test_the_unknown_part_is_grey_whatever_comes_before_it() -> None:
    unsure = StripHistogram(np.array([0.0, 1.0]), np.ones((3, 1)), ("absent", "present", "not tagged"), unknown=True)
    colors = strip_data(unsure, (0, 1))["colors"]
    assert colors["light"] == [*LIGHT[:2], UNKNOWN_COLORS[0]]
    assert colors["dark"] == [*DARK[:2], UNKNOWN_COLORS[1]]


def test_colors_of_ones_own_are_taken_in_light_and_dark() -> None:
    own = StripHistogram(np.array([0.0, 1.0]), np.ones((2, 1)), ("a", "b"), ("#111", "#222"))
    assert strip_data(own, (0, 1))["colors"] == {"light": ["#111", "#222"], "dark": ["#111", "#222"]}


def test_places_say_where_edges_stand_and_scales_have_a_name() -> None:
    places = np.linspace(0, 1, 11)
    data = strip_data(HISTOGRAM, (0, 1), places=places, tick_format="percent")
    assert data["places"] == places.tolist()
    assert data["edges"][0] == -4
    assert data["axisLabel"] == AXIS_LABELS["percent"]


@pytest.mark.parametrize(
    "options",
    [
        {"places": np.linspace(0, 1, 10)},
        {"places": np.zeros(11)},
        {"places": np.array([*range(10), math.inf])},
        {"highlight": np.zeros(9)},
        {"highlight": np.full(10, -1)},
        {"tick_format": "miles"},
    ],
)
def test_what_does_not_fit_the_bins_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"places|highlight|tick_format"):
        strip_data(HISTOGRAM, (0, 1), **options)


# Machado, Oliveira and Fernandes (2009), linear RGB: how full protanopia, deuteranopia and tritanopia see.
SIGHT = {
    "usual": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    darker, lighter = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def oklab(rgb: np.ndarray) -> np.ndarray:
    """Ottosson's Oklab of linear RGB: equal distances look about equally different."""
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponent = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return opponent @ np.cbrt(np.clip(cones @ rgb, 0, None))


def difference(one: str, other: str) -> float:
    """Oklab distance for whoever tells the two apart worst."""
    return min(
        float(np.linalg.norm(oklab(np.clip(view @ linear(one), 0, 1)) - oklab(np.clip(view @ linear(other), 0, 1))))
        for view in SIGHT.values()
    )


@pytest.mark.parametrize(
    ("colors", "unknown", "background"),
    [(LIGHT, UNKNOWN_COLORS[0], "#ffffff"), (DARK, UNKNOWN_COLORS[1], "#13181d")],
    ids=["light", "dark"],
)
def test_colours_stand_out_and_are_told_apart_by_everybody(
    colors: tuple[str, ...], unknown: str, background: str
) -> None:
    assert len(set(colors)) == 12
    assert min(contrast(color, background) for color in (*colors, unknown)) >= 3
    pairs = [(colors[i], colors[j]) for i in range(12) for j in range(i)]
    assert min(difference(*pair) for pair in pairs) > 0.06
    assert min(difference(one, other) for one, other in pairs if {one, other} <= set(colors[:6])) > 0.09
    assert min(difference(colors[i], colors[i + 1]) for i in range(11)) > 0.12  # they touch in a bar
    assert min(difference(color, unknown) for color in colors) > 0.05


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


def test_a_change_of_scale_keeps_the_band() -> None:
    def scaled() -> None:
        import numpy as np
        import streamlit as st

        from pages.parts.band_strip import Preset, StripHistogram, band_strip

        scale = st.radio("Scale", ["value", "percent"])
        places = None if scale == "value" else np.array([0.0, 0.9, 1.0])
        histogram = StripHistogram(np.array([0.0, 1.0, 2.0]), np.array([[3, 4]]), ("bird",))
        band_strip("strip", histogram, 0.0, 2.0, places=places, tick_format=scale, presets=[Preset(0, 1, "mid")])

    page = AppTest.from_function(scaled)
    page.session_state["strip"] = {"band": {"move": 1, "low": 1, "high": 1.25}}
    before = json.loads(page.run().get("bidi_component")[0].proto.json)
    after = json.loads(page.radio[0].set_value("percent").run().get("bidi_component")[0].proto.json)
    assert [(data["low"], data["high"]) for data in (before, after)] == [(1, 1.25)] * 2
    assert (before["places"], after["places"]) == (None, [0, 0.9, 1])
    assert after["presets"][0]["label"] == "mid"


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
