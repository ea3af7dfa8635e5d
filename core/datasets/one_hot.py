"""Classes written as a column each, with a 1 in the column of the class and 0 in the others, read as one column."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile

import numpy as np
import pandas as pd

from core.datasets.splits import split_code
from core.datasets.tables import LABEL_NAMES, SPLIT_NAMES

# how 0 and 1 are written; pandas' get_dummies writes truths
_CODES = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
# columns of one class each that are looked at; a table of more holds numbers that were computed
_MOST = 1_000
# columns that are named
_NAMED = 3


def merged(cells: pd.DataFrame, asked: Collection[str] = ()) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells with one column in place of each such run of columns, and the names of these. asked: columns that
    somebody named; runs with one of them stay as they are."""
    made: list[str] = []
    for names in list(_runs(cells)):
        if not set(names) & set(asked):
            name, values = _called(names, cells)
            codes = np.stack([cells[one].str.strip().str.lower().map(_CODES) for one in names]).argmax(axis=0)
            place = cells.columns.get_loc(names[0])
            cells = cells.drop(columns=names)
            cells.insert(int(place), name, np.array(values, dtype=object)[codes])
            made.append(name)
    return cells, tuple(made)


def _runs(cells: pd.DataFrame) -> Iterator[list[str]]:
    """Neighbouring columns, two at least and as many as possible, of which one has the 1 in every row.

    None has a usual name of the label or the split: in a set where one attribute goes with the class in every image,
    they would be taken for two classes. Nor are two columns whose names have nothing in common where another is the
    label.
    """
    names = list(cells)[:_MOST] if len(cells) else []
    has_label = any(name.lower() in LABEL_NAMES for name in names)
    # of the columns from `first` on: each is asked for again and again
    known: dict[int, np.ndarray | None] = {}
    first = 0
    while first < len(names):
        total, end = np.zeros(len(cells), dtype=np.int8), first
        for place in range(first, len(names)):
            if place not in known:
                usual = names[place].lower() in (*LABEL_NAMES, *SPLIT_NAMES)
                known[place] = None if usual else _codes(cells[names[place]])
            codes = known[place]
            if codes is None:
                break
            total = total + codes
            if (total > 1).any():
                break
            if place > first and (total == 1).all():
                end = place
        run = names[first : end + 1]
        values = _values(run)
        is_chance = has_label and len(run) == 2 and values == run
        if end > first and not is_chance and not all(split_code(value) is not None for value in values):
            yield run
        first = end + 1
        known = {place: codes for place, codes in known.items() if place >= first}


def _codes(cells: pd.Series) -> np.ndarray | None:
    """(n,) int8, None unless every cell is a 0 or a 1. Most columns are told by their first cells."""
    for some in (cells.iloc[:20], cells):
        codes = some.str.strip().str.lower().map(_CODES)
        if codes.isna().any():
            return None
    return codes.to_numpy(dtype=np.int8)


def _called(names: Sequence[str], cells: pd.DataFrame) -> tuple[str, list[str]]:
    """A name for all of them, what they have in common if it is free, and a value for each."""
    values = _values(names)
    common = names[0][: len(names[0]) - len(values[0])].rstrip("_.-=: ")
    if common and common not in cells:
        return common, values
    shown = " / ".join(names[:_NAMED])
    return (f"{shown} / … ({len(names)})" if len(names) > _NAMED else shown), values


def _values(names: Sequence[str]) -> list[str]:
    """The names without what all of them begin with, up to a mark: cat of label_cat."""
    # of the first and the last in order, which differ most
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    begin = re.match(r".*[_.\-=: ]", "".join(one for one, _ in pairs))
    rest = [name[begin.end() if begin else 0 :] for name in names]
    return rest if all(rest) else list(names)
