"""The images that a new model was fitted on, as a table anybody's training script can read."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from core.concepts.exchange.csv_table import guarded

_COLUMNS = ("image", "class", "group", "weight", "reason")


def curated_csv(stored: Path, run: Mapping[str, Any]) -> bytes:
    """CSV with the columns image, class, group, weight, reason. stored: the run's curation.parquet. run:
    `RunResult.to_dict()`."""
    table = pq.read_table(stored).to_pydict()
    names = _group_names(table, run)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for image, label, group, weight, reason in zip(*(table[name] for name in _COLUMNS), strict=True):
        writer.writerow(
            [guarded(image), guarded(label), guarded(names.get(group, str(group))), f"{weight:.9g}", reason]
        )
    return target.getvalue().encode("utf-8")


def _group_names(table: Mapping[str, Any], run: Mapping[str, Any]) -> dict[int, str]:
    """Groups are stored as numbers; the curation lists those that occur in the order of these numbers."""
    codes = sorted(set(table["group"]))
    listed = (run.get("curation") or {}).get("groups") or []
    if len(listed) != len(codes):
        return {}
    return {
        code: group["class"] if group.get("concept") is None else f"{group['class']} · {group['concept']}"
        for code, group in zip(codes, listed, strict=True)
    }
