"""The table of runs: read, sorted, opened, and ticked to be compared; on a phone a card per run.

    picked = run_rows("runs", COLUMNS, [Row(id="4f2a", name="Mid-range curation", href="?run=4f2a", cells={...})],
                      picked=["4f2a"], label="All runs, the newest first.", on_pick=remember)

Streamlit's own table draws its cells on a canvas, with a script that a browser takes half a second to begin with. This
one is a table that browsers know: it can be searched, copied from and read aloud. A tick travels as the ids that are
then picked, with a number that comes back with the next `data`, so that an answer to a tick undoes no later one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import streamlit as st

from pages.parts.component_source import source

# rows the table shows before it scrolls
TALL = 12

_component = st.components.v2.component(
    "midband_run_rows",
    html=source("run_rows", "run_rows.html"),
    css="\n".join((source("run_rows", "run_rows.css"), source("image_grid", "tooltip.css"))),
    js="\n".join((source("image_grid", "tooltip.js"), source("run_rows", "order.js", "run_rows.js"))),
)


@dataclass(frozen=True)
class Column:
    """key: of a row's cells, and its head. help: shown on hover and focus of the head.

    kind: numbers stand on the right, a share (0 to 100) has a bar; both, and a moment, sort the largest first.
    """

    key: str
    kind: Literal["text", "number", "share", "moment"] = "text"
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """text: as shown. sort: what it is sorted by; None stands last. full: in its place on hover and in a file."""

    text: str
    sort: float | str | None = None
    full: str = ""


@dataclass(frozen=True)
class Row:
    """id: unique among the rows. name: told to a screen reader with the tick. href: where the row alone is open."""

    id: str
    name: str
    href: str
    cells: Mapping[str, Cell]


def run_rows(
    key: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    picked: Sequence[str],
    label: str,
    on_pick: Callable[[list[str]], None],
) -> None:
    """Show the rows; the first column is their name, and opens one.

    picked: ids of the rows that are ticked. on_pick: called with the ids that are ticked now, in the order in which
    they were, as a callback before the script runs; none that is not among the rows.
    """
    known = {row.id for row in rows}
    ack_key = f"{key}-ack"

    def told() -> None:
        message = st.session_state.get(key)
        found = picked_now(message.get("pick") if isinstance(message, dict) else None, known)
        if found is not None:
            st.session_state[ack_key], ids = found
            on_pick(ids)

    _component(
        key=key,
        data={
            "key": key,
            "columns": [{"key": one.key, "title": one.key, "kind": one.kind, "help": one.help} for one in columns],
            "rows": [row_data(row, columns) for row in rows],
            "picked": list(picked),
            "ack": st.session_state.get(ack_key, 0),
            "tall": TALL,
            "label": label,
        },
        on_pick_change=told,
    )


def picked_now(message: object, known: set[str]) -> tuple[int, list[str]] | None:
    """The message's number and the ids it ticks, each once; None where it is not acceptable."""
    if not isinstance(message, dict):
        return None
    number, ids = message.get("number"), message.get("ids")
    if type(number) is not int or number < 0 or not isinstance(ids, list):
        return None
    return number, list(dict.fromkeys(one for one in ids if isinstance(one, str) and one in known))


def row_data(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    """What the browser draws; a number that is not finite has no place in an order."""
    cells = {}
    for column in columns:
        cell = row.cells[column.key]
        sort = cell.sort if column.kind != "text" else cell.sort or cell.text
        broken = isinstance(sort, float) and (sort != sort or abs(sort) == float("inf"))
        cells[column.key] = {"text": cell.text, "sort": None if broken else sort, "full": cell.full}
    return {"id": row.id, "name": row.name, "href": row.href, "cells": cells}
