"""The contact sheet's Python side: which value is compared down the sheet, what the bars say, what a click may open."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import streamlit as st
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra import numpy as arrays
from streamlit.testing.v1 import AppTest

from core.activations.contact_sheet import ContactSheet, SheetBand, contact_sheet, sheet_edges
from core.activations.directions import parse_direction
from core.activations.facets import parse_facet
from core.activations.index import make_index, open_index, positions
from core.activations.store import Analysis
from pages.parts import contact_sheet_view as view
from pages.parts.contact_sheet_view import SheetImage, SheetRow, SheetView, sheet_data, sheet_view


def band(label: str, *facets: dict[str, int], count: int = 100, accuracy: float | None = 0.9) -> SheetBand:
    kinds = ("concept" if "present" in counts else "attribute" for counts in facets)
    made = tuple(
        (f"{kind}:{i}", f"facet {i}", tuple(counts.items()))
        for i, (kind, counts) in enumerate(zip(kinds, facets, strict=True))
    )
    return SheetBand(0.0, 1.0, False, count, accuracy, made, (), label)


def sheet(*bands: SheetBand) -> ContactSheet:
    return ContactSheet("logit:a", "logit of a", bands, 100, 0, "")


def said(planted: Analysis, *bands: SheetBand) -> list[list[str]]:
    return [[bar.text for bar in row.bars] for row in sheet_view(planted, sheet(*bands)).rows]


def test_what_is_most_common_at_the_top_is_followed_down(planted: Analysis) -> None:
    bands = (
        band("top", {"water": 80, "land": 15, "ice": 5}),
        band("", {"water": 10, "land": 10, "ice": 80}),
        band("mid", {"water": 75, "land": 20, "ice": 5}),
    )
    assert said(planted, *bands) == [["90%", "water 80%"], ["90%", "water 10%"], ["90%", "water 75%"]]


def test_the_same_value_comes_first_in_every_band(planted: Analysis) -> None:
    bands = (band("top", {"water": 99, "land": 1}), band("mid", {"water": 1, "land": 99}))
    rows = sheet_view(planted, sheet(*bands)).rows
    assert [row.bars[1].parts[0][0] for row in rows] == ["water", "water"]
    assert len({row.bars[1].parts[0][2] for row in rows}) == 1
    assert [row.bars[1].followed for row in rows] == ["water", "water"]


def test_what_nobody_said_does_not_count_in_a_share(planted: Analysis) -> None:
    bands = (
        band("top", {"absent": 30, "present": 10, "not tagged": 60}),
        band("mid", {"absent": 2, "present": 3, "not tagged": 95}),
        band("", {"absent": 0, "present": 0, "not tagged": 100}),
        band("", {"absent": 0, "present": 0, "unknown": 100}),
        band("", {"absent": 0, "present": 0}, count=0, accuracy=None),
    )
    assert [texts[1] for texts in said(planted, *bands)] == [
        "present 25%",
        "present 3 of 5",
        "not tagged",
        "unknown",
        "no image",
    ]
    parts = sheet_view(planted, sheet(*bands)).rows[1].bars[1].parts
    assert parts[-1][:2] == ("not tagged", 95)


def test_many_values_share_few_colours(planted: Analysis) -> None:
    counts = {f"class {i}": 20 + i for i in range(30)}
    [row] = sheet_view(planted, sheet(band("top", counts, count=sum(counts.values())))).rows
    parts = row.bars[1].parts
    assert len(parts) <= view.MOST_VALUES + 2
    assert sum(images for _, images, _ in parts) == sum(counts.values())
    assert parts[-1][0] == view.OTHERS


def test_widths_add_up_to_the_whole_bar(planted: Analysis) -> None:
    data = sheet_data(sheet_view(planted, sheet(band("top", {"a": 1, "b": 2, "unknown": 4}))))
    for bar in data["rows"][0]["bars"]:
        assert sum(part["share"] for part in bar["parts"]) == pytest.approx(1, abs=1e-4)


def test_a_sheet_of_an_analysis_counts_every_image(planted: Analysis) -> None:
    direction = parse_direction("logit:waterbird", planted)
    index = open_index(planted, direction)
    facets = [parse_facet("class", planted), parse_facet("attribute:place", planted)]
    made = contact_sheet(planted, direction, index, sheet_edges(index, 5), facets=facets, per_band=4, seed=0)
    shown = sheet_view(planted, made)
    assert sum(row.count for row in shown.rows) == planted.n
    for row in shown.rows:
        for bar in row.bars:
            assert sum(images for _, images, _ in bar.parts) == row.count
    picture = shown.rows[0].images[0]
    assert picture.wrong == bool(planted.labels[made.bands[0].rows[0]] != planted.predicted[made.bands[0].rows[0]])
    assert picture.lines[0] == planted.images[made.bands[0].rows[0]]


ONE = SheetView("logit", (SheetRow(0.5, 1.5, 3, "top", (), (SheetImage(7, b"webp", ("7.jpg",)),)),))


def opened(message: object) -> list[tuple[Any, ...]]:
    heard: list[tuple[Any, ...]] = []
    st.session_state["sheet"] = {"open": message}
    view._deliver("sheet", ONE, lambda i: heard.append(("image", i)), lambda a, b: heard.append(("band", a, b)))
    return heard


def test_a_click_opens_what_is_on_the_sheet() -> None:
    assert opened({"kind": "image", "id": 7}) == [("image", 7)]
    assert opened({"kind": "band", "low": 0.5, "high": 1.5}) == [("band", 0.5, float(np.nextafter(np.float32(1.5), 0)))]


TIED = some.sampled_from([-1.5, 0.0, 0.1, 1.0, 1.0 + 2**-23, 3.0, 1e30])
ENDS = TIED | some.floats(-2, 4)


@settings(max_examples=300, deadline=None)
@given(
    arrays.arrays(np.float32, some.integers(1, 40), elements=TIED.map(lambda value: float(np.float32(value)))),
    some.tuples(ENDS, ENDS).map(sorted),
    some.booleans(),
)
def test_an_opened_band_holds_exactly_the_images_of_its_heading(
    values: np.ndarray, ends: list[float], closed: bool
) -> None:
    """Also where images stand on the edge to the next band, and where the edge is no float32."""
    low, high = ends
    index = make_index(values)
    start, stop = positions(index, low, high, closed=closed)
    row = SheetRow(low, high, stop - start, "", (), (), closed=closed)
    if row.count:
        assert positions(index, row.low, row.last, closed=True) == (start, stop)
    assert low <= row.last <= high


def test_bands_of_a_sheet_say_which_of_them_holds_its_high_end(planted: Analysis) -> None:
    direction = parse_direction("logit:waterbird", planted)
    index = make_index(np.repeat(np.arange(4, dtype=np.float32), 150))
    made = contact_sheet(planted, direction, index, np.arange(4.0), facets=[], per_band=2, seed=0)
    rows = sheet_view(planted, made).rows
    assert [row.count for row in rows] == [300, 150, 150]
    assert (rows[0].low, rows[0].last) == (2.0, 3.0)
    for row in rows:
        start, stop = positions(index, row.low, row.last, closed=True)
        assert stop - start == row.count


@pytest.mark.parametrize(
    "message",
    [
        None,
        "image",
        [],
        {},
        {"kind": "image"},
        {"kind": "image", "id": 8},
        {"kind": "image", "id": [7]},
        {"kind": "image", "id": "7"},
        {"kind": "band", "low": 0.5},
        {"kind": "band", "low": 0.5, "high": 1.6},
        {"kind": "band", "low": [0.5], "high": {}},
        {"kind": "delete", "id": 7},
    ],
)
def test_what_is_not_on_the_sheet_opens_nothing(message: object) -> None:
    assert opened(message) == []


def test_true_is_no_image() -> None:
    heard: list[int] = []
    first = SheetView("logit", (SheetRow(0, 1, 1, "", (), (SheetImage(1, b"", ("1.jpg",)),)),))
    st.session_state["sheet"] = {"open": {"kind": "image", "id": True}}
    view._deliver("sheet", first, heard.append, lambda low, high: None)
    assert heard == []


def test_a_page_with_a_sheet_runs_without_a_browser() -> None:
    def app() -> None:
        from pages.parts.contact_sheet_view import SheetRow, SheetView, contact_sheet

        rows = (SheetRow(-1.0, 1234.5, 0, "mid", (), ()),)
        contact_sheet("sheet", SheetView("x", rows), on_open_image=lambda i: None, on_open_band=lambda a, b: None)

    page = AppTest.from_function(app).run()
    assert not page.exception
    [mounted] = page.get("bidi_component")
    [row] = json.loads(mounted.proto.json)["rows"]
    assert (row["range"], row["count"], row["label"]) == ("−1.00 to 1234", "0 images", "mid")


def test_empty_bands_show_no_image_and_break_nothing(planted: Analysis) -> None:
    empty = band("top", {"a": 0}, count=0, accuracy=None)
    data = sheet_data(sheet_view(planted, sheet(empty)))
    assert data["rows"][0]["bars"] == []
    assert sheet_data(sheet_view(planted, sheet()))["rows"] == []
    assert np.isfinite(data["rows"][0]["low"])
