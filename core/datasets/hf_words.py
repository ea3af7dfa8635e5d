"""Columns of words and numbers over all files of a dataset: the values met, and one of them for each row."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.bundles import MOST_VALUES, Bundle, Coded, coded
from core.datasets.choices import Choices
from core.datasets.dataset import Problem
from core.datasets.hf_columns import Layout
from core.datasets.hf_pictures import reason_of
from core.progress import Progress

if TYPE_CHECKING:
    from core.datasets.hf_reading import Kind


@dataclass
class _Gathered:
    """Values of one column over all files, as codes of those met so far."""

    places: dict[Any, int] = field(default_factory=dict)
    codes: list[np.ndarray] = field(default_factory=list)
    too_many: bool = False


def words_of(
    folder: Path,
    bundles: list[Bundle],
    kind: Kind,
    layout: Layout,
    choices: Choices,
    problems: list[Problem],
    progress: Progress,
) -> dict[str, Coded]:
    """The columns that say something in few words, and those that were asked for. Pictures are not touched."""
    import pyarrow as pa

    asked = {layout.label, choices.target, choices.group, choices.columns.get("split"), *(choices.attributes or ())}
    wanted = [name for name in (layout.label, *layout.kinds) if name]
    gathered = {name: _Gathered() for name in wanted}
    done, total = 0, sum(bundle.count for bundle in bundles)
    for bundle in bundles:
        end = done + bundle.count
        try:
            there = [name for name in wanted if not gathered[name].too_many]
            # words stay numbered as they are in the file: one long word in every row would fill the memory
            with closing(kind.opened(folder / bundle.name, there)) as shard:
                for batch in shard.batches(there) if there else ():
                    for name, column in zip(batch.schema.names, batch.columns, strict=True):
                        _add(gathered[name], column, limit=None if name in asked else MOST_VALUES)
                    done += batch.num_rows
                    progress(done, total, "Reading the labels")
        except Exception as error:
            if isinstance(error, (OSError, ValueError, pa.ArrowException)):
                problems.append(Problem(bundle.name, f"its labels are damaged: {reason_of(error)}"))
            else:
                raise
        for one in gathered.values():
            missing = end - sum(map(len, one.codes))
            if missing > 0:
                one.codes.append(np.full(missing, -1, dtype=np.int32))
        done = end
    return {name: _ordered(name, one) for name, one in gathered.items() if not one.too_many}


def _add(gathered: _Gathered, column: Any, limit: int | None) -> None:
    import pyarrow as pa

    if gathered.too_many:
        return
    is_truth = pa.types.is_boolean(column.type)
    if is_truth:
        column = column.cast(pa.string())
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    # a dictionary can hold words that no row has
    used = np.unique(indices[indices >= 0])
    values = encoded.dictionary.take(pa.array(used)).to_pylist()
    if is_truth:
        values = [value.capitalize() for value in values]
    for value in values:
        gathered.places.setdefault(value, len(gathered.places))
    if limit is not None and len(gathered.places) > limit:
        gathered.too_many, gathered.places, gathered.codes = True, {}, []
        return
    lookup = np.full(len(encoded.dictionary) + 1, -1, dtype=np.int32)
    lookup[used] = [gathered.places[value] for value in values]
    gathered.codes.append(lookup[indices])


def _ordered(name: str, gathered: _Gathered) -> Coded:
    values = list(gathered.places)
    codes = np.concatenate([*gathered.codes, np.empty(0, dtype=np.int32)])
    if not values:
        return Coded(name, (), codes.astype(np.int64))
    known = coded(name, np.array(values))
    return Coded(name, known.values, np.append(known.codes, -1)[codes])
