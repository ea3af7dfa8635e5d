"""The direction board's Python side: what is drawn, and whose click is believed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.direction_board import DirectionCard, card_data, opened_spec

CARD = DirectionCard(
    "neuron:3", "neuron 3", (1, 4, 2), (-2.0, 4.0), band=(-0.5, 1.0), score=0.5, why="Why.", badge="neuron"
)


def test_what_is_drawn_is_json_and_the_band_is_a_part_of_the_range() -> None:
    data = json.loads(json.dumps(card_data(CARD)))
    assert data["counts"] == [[1, 4, 2]]
    assert data["band"] == [0.25, 0.5]
    assert data["limits"] == [-0.5, 1.0]
    assert (data["title"], data["score"], data["why"], data["badge"]) == ("neuron 3", 0.5, "Why.", "neuron")


def test_rows_of_counts_stay_rows() -> None:
    assert card_data(DirectionCard("a", "a", ((1, 2), (3, 4)), (0.0, 1.0)))["counts"] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("edges", "band", "drawn"),
    [
        ((0.0, 1.0), (-5.0, 0.5), [0, 0.5]),
        ((0.0, 1.0), (2.0, 3.0), [1, 1]),
        ((0.0, 1.0), (math.nan, 0.5), None),
        ((1.0, 1.0), (1.0, 1.0), None),
        ((0.0, 1.0), None, None),
    ],
)
def test_a_band_is_cut_to_the_range_and_left_out_where_there_is_none(edges: Any, band: Any, drawn: Any) -> None:
    assert card_data(DirectionCard("a", "a", (1,), edges, band))["band"] == drawn


@pytest.mark.parametrize(
    "fields",
    [
        {"counts": ()},
        {"counts": ((1, 2), (3,))},
        {"counts": (1, -1)},
        {"edges": (1.0, 0.0)},
        {"edges": (0.0, math.inf)},
        {"score": 1.5},
        {"score": math.nan},
    ],
)
def test_a_card_that_cannot_be_drawn_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"counts|edges|score"):
        DirectionCard(**{"spec": "a", "title": "a", "counts": (1, 2), "edges": (0.0, 1.0)} | fields)


def test_only_a_text_opens_a_card() -> None:
    assert opened_spec({"open": "neuron:3"}) == "neuron:3"
    assert [opened_spec(state) for state in (None, {}, {"open": 3}, {"open": None}, "open")] == [None] * 5


def app(specs: tuple[str, ...]) -> None:
    import streamlit as st

    from pages.parts.direction_board import DirectionCard, direction_board

    try:
        cards = [DirectionCard(spec, spec, (1, 2), (0.0, 1.0)) for spec in specs]
        direction_board("board", cards, on_open=lambda spec: None, selected="b", empty="Nothing here.")
    except ValueError as problem:
        st.text(str(problem))


def test_a_page_with_a_board_runs_without_a_browser() -> None:
    page = AppTest.from_function(app, args=(("a", "b"),)).run()
    assert not page.exception
    data = json.loads(page.get("bidi_component")[0].proto.json)
    assert [card["spec"] for card in data["cards"]] == ["a", "b"]
    assert (data["selected"], data["empty"]) == ("b", "Nothing here.")


def test_two_cards_of_one_spec_are_refused() -> None:
    assert "share a spec" in AppTest.from_function(app, args=(("a", "a"),)).run().text[0].value
