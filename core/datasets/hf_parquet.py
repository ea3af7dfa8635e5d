"""Parquet files with the pictures inside, as Hugging Face keeps image datasets.

A column of structs with `bytes` (an encoded image) and `path`, or of plain binary; a column of labels, whose names are
in the schema's metadata under the key "huggingface" (features of type ClassLabel). A dataset is one file or several
shards, whose names or folders say the split: `data/train-00000-of-00002.parquet`.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from core.datasets.bundles import (
    MOST_VALUES,
    Bundle,
    Coded,
    assemble,
    bundle_folder,
    check_count,
    chosen,
    coded,
    in_order,
    place_in,
    split_column,
    split_in,
)
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.images import UnreadableImage
from core.datasets.listing import list_files
from core.datasets.pictures import Picture
from core.datasets.table_text import short
from core.errors import BadMetadata, BadRequest, EmptyDataset
from core.progress import Progress

SUFFIX = ".parquet"
_IMAGES = ("image", "img", "images", "picture", "photo", "image_bytes", "jpg", "jpeg", "png", "webp")
_LABELS = ("label", "labels", "fine_label", "target", "class", "class_id", "class_name", "category", "y")
# a row group up to this size is read whole; a larger one in parts, from its start
WHOLE_BYTES = 8 * 2**20
# and so few rows; what is the same in many rows is written once, so that the size of a file says little of them
WHOLE_ROWS = 1000
PART_ROWS = 128
# parts kept for whoever asks next, in bytes of pictures
KEPT_BYTES = 16 * 2**20
# parts kept at least: threads ask a little out of order
KEPT_PARTS = 3
# files kept open
OPEN_FILES = 8
# rows of labels read at once
ROWS = 65_536
# entries of a folder that are looked at to recognise it, and folders in it that are entered
GLANCE, MOST_FOLDERS = 500, 10
# bytes asked of the file at once while a row group is read in parts
BUFFER = 2**20

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class _Layout:
    """What the columns of a file are. names: of the classes, from the metadata. kinds: columns of few words or whole
    numbers that may say something of an image."""

    image: str
    label: str | None
    names: tuple[str, ...] | None
    kinds: tuple[str, ...]


@dataclass
class _Gathered:
    """Values of one column over all files, as codes of those met so far."""

    places: dict[Any, int] = field(default_factory=dict)
    codes: list[np.ndarray] = field(default_factory=list)
    too_many: bool = False


class ParquetPictures:
    """Reads row groups, the last few of which are kept; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path, choices: Choices) -> None:
        self._folder = bundle_folder(root)
        self._choices = choices
        self._lock = threading.Lock()
        self._files: OrderedDict[str, _Shard] = OrderedDict()
        self._parts: OrderedDict[tuple[str, int], _Part] = OrderedDict()

    def read(self, name: str) -> Picture:
        shard, row = place_in(name)
        with self._lock:
            try:
                content, path = self._part(shard, row).row(row)
            except UnreadableImage:
                raise
            except FileNotFoundError:
                raise UnreadableImage("the file is not there any more") from None
            except Exception as error:
                # pyarrow raises OSError, ValueError, TypeError and its own on damaged files
                raise UnreadableImage(f"{shard} is damaged: {_reason(error)}") from error
        if content is not None:
            return content
        if not path:
            raise UnreadableImage("the table holds no picture for it")
        return self._beside(shard, path)

    def file(self, name: str) -> Path:
        return self._folder / place_in(name)[0]

    def missing(self, names: list[str]) -> str | None:
        there: dict[str, bool] = {}
        for name in names:
            shard = place_in(name)[0]
            if shard not in there:
                there[shard] = (self._folder / shard).is_file()
            if not there[shard]:
                return name
        return None

    def _beside(self, shard: str, path: str) -> Path:
        """A picture that the table only names. Nothing outside of the dataset's folder is opened."""
        folders = ((self._folder / shard).parent, self._folder)
        for folder in folders:
            try:
                place = (folder / path).resolve()
                if place.is_relative_to(self._folder) and place.is_file():
                    return place
            except (OSError, ValueError):
                # no system has files that are called so
                continue
        raise UnreadableImage(f"the table holds only its name, {short(path)!r}, and no such file lies beside it")

    def _part(self, shard: str, row: int) -> _Part:
        known = next((p for (s, _), p in reversed(self._parts.items()) if s == shard and p.start <= row < p.stop), None)
        if known is not None:
            self._parts.move_to_end((shard, known.start))
            return known
        for part in self._shard(shard).parts_until(row):
            self._parts[shard, part.start] = part
            while len(self._parts) > KEPT_PARTS and sum(p.bytes for p in self._parts.values()) > KEPT_BYTES:
                self._parts.popitem(last=False)
        return self._parts[next(reversed(self._parts))]

    def _shard(self, name: str) -> _Shard:
        if name not in self._files:
            self._files[name] = _Shard(self._folder / name, self._choices)
            while len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(name)
        return self._files[name]


class _Part:
    """Pictures of consecutive rows, start to stop. column: a pyarrow array of structs or binary."""

    def __init__(self, start: int, column: Any) -> None:
        import pyarrow as pa

        self.start, self.stop, self.bytes = start, start + len(column), column.nbytes
        self._nulls = column
        if pa.types.is_struct(column.type):
            fields = {column.type.field(i).name: column.field(i) for i in range(column.type.num_fields)}
            self._contents, self._paths = fields.get("bytes"), fields.get("path")
        else:
            self._contents, self._paths = column, None

    def row(self, row: int) -> tuple[bytes | None, str | None]:
        """Its encoded image, or else its path."""
        place = row - self.start
        if not self._nulls[place].is_valid:
            return None, None
        content = self._contents[place].as_py() if self._contents is not None else None
        path = self._paths[place].as_py() if self._paths is not None and content is None else None
        return content, path


class _Shard:
    """One open file. Row groups that are too large to be held are walked through by a cursor."""

    def __init__(self, path: Path, choices: Choices) -> None:
        self._file = _open(path)
        self._column = _layout(self._file.schema_arrow, choices).image
        metadata = self._file.metadata
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self._cursor: tuple[int, int, Iterator[Any]] | None = None

    def parts_until(self, row: int) -> Iterator[_Part]:
        """The parts that are read on the way to a row; the last one holds it."""
        if row >= self._starts[-1]:
            raise UnreadableImage("the file has fewer rows than it had")
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        count = int(self._starts[group + 1] - self._starts[group])
        size = self._size(group)
        if size <= WHOLE_BYTES and count <= WHOLE_ROWS:
            table = self._file.read_row_group(group, columns=[self._column], use_threads=False)
            yield _Part(int(self._starts[group]), table.column(0).combine_chunks())
            return
        if self._cursor is None or self._cursor[0] != group or self._cursor[1] > row:
            rows = max(1, min(PART_ROWS, WHOLE_BYTES * count // max(size, 1)))
            batches = self._file.iter_batches(rows, row_groups=[group], columns=[self._column], use_threads=False)
            self._cursor = (group, int(self._starts[group]), batches)
        while self._cursor[1] <= row:
            _, start, batches = self._cursor
            self._cursor = None
            part = _Part(start, next(batches).column(0))
            self._cursor = (group, part.stop, batches)
            yield part

    def _size(self, group: int) -> int:
        """Bytes of its pictures, unpacked."""
        facts = self._file.metadata.row_group(group)
        columns = (facts.column(index) for index in range(facts.num_columns))
        mine = (self._column, f"{self._column}.")
        return sum(
            c.total_uncompressed_size
            for c in columns
            if c.path_in_schema == mine[0] or c.path_in_schema.startswith(mine[1])
        )

    def close(self) -> None:
        self._file.close()


def _open(path: Path, numbered: list[str] | None = None) -> Any:
    """numbered: columns of text that come as a dictionary of their words and a number for each row."""
    import pyarrow.parquet as pq

    # buffered: without it a whole column of a row group is fetched to read its beginning
    return pq.ParquetFile(path, buffer_size=BUFFER, pre_buffer=False, read_dictionary=numbered)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _layout(schema: Any, choices: Choices) -> _Layout:
    """Raises `BadRequest` for chosen columns that are not there, `BadMetadata` where no column holds pictures."""
    import pyarrow as pa

    features = _features(schema)
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    if twice:
        raise BadMetadata(
            f"There is more than one column {short(twice[0])}.", next_step="Keep one of them and rename the others."
        )
    image = choices.columns.get("image") or _image_column(schema, features)
    if image is None:
        raise BadMetadata(
            f"None of the columns holds pictures: {', '.join(schema.names[:12])}.",
            next_step="A column of pictures holds bytes, or structs with bytes and path, as Hugging Face writes them.",
        )
    named = {name: tuple(map(str, feature["names"])) for name, feature in features.items() if _is_class(feature)}
    label = choices.columns.get("label")
    if label is None:
        usable = [name for name in schema.names if name != image and _is_kind(schema.field(name).type)]
        label = next((name for name in _LABELS if name in named and name in usable), None)
        label = label or next((name for name in usable if name in named), None)
        label = label or next((name for name in _LABELS if name in usable), None)
    for column in (image, label, choices.columns.get("split")):
        if column and column not in schema.names:
            raise BadRequest(
                f"There is no column {column!r}.", next_step=f"The columns are: {', '.join(schema.names[:30])}."
            )
    kinds = [name for name in schema.names if name not in (image, label) and _is_kind(schema.field(name).type)]
    if not (pa.types.is_struct(schema.field(image).type) or _is_binary(schema.field(image).type)):
        raise BadRequest(
            f"The column {image} holds no pictures but {schema.field(image).type}.",
            next_step="Choose a column that holds bytes, or structs with bytes and path.",
        )
    return _Layout(image, label or None, named.get(label or ""), tuple(kinds))


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """What Hugging Face wrote of the columns; nothing where it is not what it should be."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): feature for name, feature in found.items() if isinstance(feature, dict)}


def _is_class(feature: dict[str, Any]) -> bool:
    names = feature.get("names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return feature.get("_type") == "ClassLabel" and is_list and len(set(names or [])) == len(names or []) > 0


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_kind(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


def _image_column(schema: Any, features: dict[str, dict[str, Any]]) -> str | None:
    import pyarrow as pa

    def holds_bytes(kind: Any) -> bool:
        return pa.types.is_struct(kind) and any(f.name == "bytes" and _is_binary(f.type) for f in kind)

    # field by field: asked by name, one that is there twice is none
    structs = [one.name for one in schema if holds_bytes(one.type)]
    plain = [one.name for one in schema if _is_binary(one.type)]
    said = [name for name in (*structs, *plain) if features.get(name, {}).get("_type") == "Image"]
    candidates = said or structs or [name for name in plain if name.lower() in _IMAGES] or plain
    if not said and not structs and len(plain) > 1 and not any(name.lower() in _IMAGES for name in plain):
        return None
    rank = {name: place for place, name in enumerate(_IMAGES)}
    return min(candidates, key=lambda name: rank.get(name.lower(), len(rank)), default=None)


def _recognises(path: Path) -> bool:
    try:
        first = path if path.is_file() else next(_near(path), None)
        if first is None or first.suffix.lower() != SUFFIX:
            return False
        with _open(first) as opened:
            return _image_column(opened.schema_arrow, _features(opened.schema_arrow)) is not None
    except Exception:
        # whatever is wrong with a file that only has the suffix
        return False


def _near(root: Path, depth: int = 3) -> Iterator[Path]:
    """Parquet files that a glance finds: among the first entries of a folder and of the first folders in it."""
    folders: list[Path] = []
    with os.scandir(root) as entries:
        for entry in islice(entries, GLANCE):
            if entry.name.lower().endswith(SUFFIX) and entry.is_file():
                yield Path(entry.path)
            elif len(folders) < MOST_FOLDERS and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
    for folder in folders if depth > 1 else []:
        yield from _near(folder, depth - 1)


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    problems: list[Problem] = []
    folder = bundle_folder(path)
    names = [path.name] if path.is_file() else _shards(path, problems)
    if not names:
        why = f" ({problems[0].image}: {problems[0].reason})" if problems else ""
        raise EmptyDataset(f"{path} holds no Parquet file{why}.", next_step="Choose a folder that holds some.")
    opened = [(bundle, layout) for bundle, layout in _looked_at(folder, names, choices, problems) if bundle.count]
    if not opened:
        raise BadMetadata(
            f"{path} cannot be read ({problems[0].reason})." if problems else f"{path} holds no rows.",
            next_step="Copy it again: Parquet files have to be whole.",
            title="The Parquet file cannot be read",
        )
    layout = _agreed(path, opened)
    bundles = in_order([bundle for bundle, _ in opened])
    check_count(path, bundles)
    columns = _gather(folder, bundles, layout, choices, problems, progress)
    label = _label(layout, columns)
    splits, split_name = _splits(bundles, columns, choices)
    others = [one for name, one in columns.items() if name not in (layout.label, split_name)]
    target, attributes = chosen(others, label, choices)
    return assemble(
        path,
        FORMAT.name,
        bundles,
        label=target,
        attributes=attributes,
        splits=splits,
        seed=seed,
        choices=choices,
        problems=problems,
        column=layout.image,
    )


def _shards(root: Path, problems: list[Problem]) -> list[str]:
    """Parquet files below a folder, relative to it. In the cache of Hugging Face they are links to a folder beside."""
    found = list_files(root)
    names = [name for name in found.names if name.lower().endswith(SUFFIX)]
    blobs = next((above.parent / "blobs" for above in root.parents if above.name == "snapshots"), None)
    for problem in found.problems:
        if not problem.image.lower().endswith(SUFFIX):
            continue
        place = (root / problem.image).resolve()
        if blobs is not None and place.is_relative_to(blobs) and place.is_file():
            names.append(problem.image)
        else:
            problems.append(problem)
    return names


def _looked_at(
    folder: Path, names: list[str], choices: Choices, problems: list[Problem]
) -> Iterator[tuple[Bundle, _Layout]]:
    """Every file that is whole enough to have its columns read; the others become problems."""
    for name in names:
        try:
            with _open(folder / name) as opened:
                rows, schema, is_blank = opened.metadata.num_rows, opened.schema_arrow, _blank(opened.metadata)
            status = (folder / name).stat()
        except Exception as error:
            # pyarrow raises OSError, ValueError, TypeError and its own on damaged files
            problems.append(Problem(name, f"damaged: {_reason(error)}"))
            continue
        layout = _layout(schema, choices)
        if rows and layout.image in is_blank:
            problems.append(Problem(name, f"none of its {rows:,} rows has a picture in {short(layout.image)}"))
            continue
        yield Bundle(name, rows, status.st_size, status.st_mtime_ns), layout


def _blank(metadata: Any) -> set[str]:
    """The columns without a single value, as the statistics of the file tell; those of structs by all their fields."""
    filled: set[str] = set()
    names: set[str] = set()
    for group in range(metadata.num_row_groups):
        facts = metadata.row_group(group)
        for column in (facts.column(index) for index in range(facts.num_columns)):
            name = column.path_in_schema.partition(".")[0]
            names.add(name)
            said = column.statistics
            if said is None or not said.has_null_count or said.null_count < column.num_values:
                filled.add(name)
    return names - filled


def _agreed(path: Path, opened: list[tuple[Bundle, _Layout]]) -> _Layout:
    """The layout of all files. Raises `BadMetadata` where they have different ones: that is more than one dataset."""
    first, layout = opened[0]
    for bundle, other in opened:
        if (other.image, other.label, other.names) != (layout.image, layout.label, layout.names):
            raise BadMetadata(
                f"{first.name} and {bundle.name} in {path} have different columns: they are not of one dataset.",
                next_step=f"Open one of the folders, such as {(path / first.name).parent}.",
            )
    shared = [name for name in layout.kinds if all(name in other.kinds for _, other in opened)]
    return _Layout(layout.image, layout.label, layout.names, tuple(shared))


def _gather(
    folder: Path,
    bundles: list[Bundle],
    layout: _Layout,
    choices: Choices,
    problems: list[Problem],
    progress: Progress,
) -> dict[str, Coded]:
    """The columns that say something in few words, and those that were asked for. Pictures are not touched."""
    asked = {layout.label, choices.target, choices.group, choices.columns.get("split"), *(choices.attributes or ())}
    wanted = [name for name in (layout.label, *layout.kinds) if name]
    gathered = {name: _Gathered() for name in wanted}
    done, total = 0, sum(bundle.count for bundle in bundles)
    for bundle in bundles:
        end = done + bundle.count
        try:
            there = [name for name in wanted if not gathered[name].too_many]
            # words stay numbered as they are in the file: one long word in every row would fill the memory
            with _open(folder / bundle.name, numbered=there) as opened:
                for batch in opened.iter_batches(ROWS, columns=there) if there else ():
                    for name, column in zip(batch.schema.names, batch.columns, strict=True):
                        _add(gathered[name], column, limit=None if name in asked else MOST_VALUES)
                    done += batch.num_rows
                    progress(done, total, "Reading the labels")
        except Exception as error:
            if isinstance(error, (OSError, ValueError)):
                problems.append(Problem(bundle.name, f"its labels are damaged: {_reason(error)}"))
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


def _label(layout: _Layout, columns: dict[str, Coded]) -> Coded | None:
    """The label column, its numbers replaced by the names that the metadata has for them."""
    if layout.label is None:
        return None
    found = columns[layout.label]
    numbers = _numbers(found.values)
    if numbers is None:
        return found
    if not all(number.is_integer() for number in numbers):
        raise BadMetadata(
            f"The column {layout.label} holds measurements such as {found.values[0]}, not classes.",
            next_step="Choose the column that holds the class of each picture.",
        )
    # a test set whose labels are kept secret has -1
    size = len(layout.names) if layout.names else None
    kept = [number for number in numbers if number >= 0 and (size is None or number < size)] if size else numbers
    names = layout.names or found.values
    place = {number: int(number) if size else index for index, number in enumerate(kept)}
    lookup = np.array([*(place.get(number, -1) for number in numbers), -1], dtype=np.int64)
    return Coded(found.name, names, lookup[found.codes])


def _numbers(values: tuple[str, ...]) -> list[float] | None:
    try:
        return [float(value) for value in values] if values else None
    except ValueError:
        return None


def _splits(bundles: list[Bundle], columns: dict[str, Coded], choices: Choices) -> tuple[np.ndarray | None, str | None]:
    """(n,) int8 from the column that says so, else from the names of the files; and the name of that column."""
    column = choices.columns.get("split")
    if column is None and "split" in columns and len(columns["split"].values) <= MOST_VALUES:
        column = "split"
    if column and column in columns:
        said = columns[column]
        try:
            codes = split_column(column, np.array(said.values))
        except BadMetadata:
            if choices.columns.get("split"):
                raise
        else:
            return np.append(codes, np.int8(-1))[said.codes], column
    by_name = [split_in(Path(bundle.name).name, *reversed(Path(bundle.name).parts[:-1])) for bundle in bundles]
    if column == "" or all(code is None for code in by_name):
        return None, None
    codes = np.array([-1 if code is None else code for code in by_name], dtype=np.int8)
    return np.repeat(codes, [bundle.count for bundle in bundles]), None


FORMAT = Format(
    name="hf-parquet",
    title="Parquet with the pictures inside (Hugging Face)",
    layout="data/train-00000-of-00002.parquet\ndata/test-00000-of-00001.parquet\n(columns: image, label)",
    recognises=_recognises,
    read=_read,
    choosing=("columns", "attributes", "target", "group"),
)
