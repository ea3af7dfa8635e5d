"""The table of runs: what the browser is sent, and what of its answers is taken."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.run_rows import Cell, Column, Row, picked_now, row_data

KNOWN = {"a", "b"}


def page() -> None:
    import streamlit as st

    from pages.parts.run_rows import Cell, Column, Row, run_rows

    cells = {"Name": Cell("<b>bold</b>"), "Score": Cell("80.0%", 80.0)}
    run_rows(
        "runs",
        [Column("Name"), Column("Score", "share", "Of a hundred.")],
        [Row("a", "<b>bold</b>", "?run=a", cells)],
        picked=["a"],
        label="All runs",
        on_pick=lambda ids: st.session_state.update(told=ids),
    )


def test_what_is_ticked_comes_with_its_number_each_known_id_once_and_in_order() -> None:
    assert picked_now({"number": 3, "ids": ["b", "a", "b", "gone", 7, None]}, KNOWN) == (3, ["b", "a"])
    assert picked_now({"number": 0, "ids": []}, KNOWN) == (0, [])


@pytest.mark.parametrize(
    "message",
    [
        *(None, [], "a", {}, {"number": 1}, {"ids": ["a"]}, {"number": True, "ids": []}, {"number": -1, "ids": []}),
        *({"number": 1.5, "ids": []}, {"number": 1, "ids": "ab"}, {"number": 1, "ids": {"a": 1}}),
    ],
)
def test_what_cannot_be_understood_ticks_nothing(message: Any) -> None:
    assert picked_now(message, KNOWN) is None


def test_a_column_sorts_by_its_value_and_words_by_what_is_shown() -> None:
    columns = [Column("Name"), Column("Score", "number"), Column("When", "moment")]
    row = Row(
        "a", "n", "?run=a", {"Name": Cell("n", full="a longer n"), "Score": Cell("–", math.nan), "When": Cell("?")}
    )
    cells = row_data(row, columns)["cells"]
    assert cells["Name"] == {"text": "n", "sort": "n", "full": "a longer n"}
    assert [cells[key]["sort"] for key in ("Score", "When")] == [None, None]
    json.dumps(cells, allow_nan=False)


def test_the_browser_gets_rows_with_their_ticks_and_the_number_of_the_last_answer() -> None:
    app = AppTest.from_function(page).run()
    assert not app.exception
    (sent,) = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    assert (sent["picked"], sent["ack"]) == (["a"], 0)
    assert sent["columns"][1] == {"key": "Score", "title": "Score", "kind": "share", "help": "Of a hundred."}
    assert sent["rows"][0]["name"] == "<b>bold</b>"
    app.session_state["runs-ack"] = 4
    app.run()
    (later,) = [json.loads(one.proto.json) for one in app.get("bidi_component")]
    assert later["ack"] == 4
