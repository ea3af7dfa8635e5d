"""From files with pictures inside to a dataset: shards of one table, whose names or folders say the split."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from core.datasets.bundles import (
    MOST_VALUES,
    Bundle,
    Coded,
    Said,
    assemble,
    bundle_folder,
    check_count,
    in_order,
    split_column,
    split_in,
)
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem
from core.datasets.hf_columns import Layout, image_column, layout_of
from core.datasets.hf_pictures import Shard, reason_of
from core.datasets.hf_words import words_of
from core.datasets.listing import list_files
from core.datasets.table_text import short
from core.errors import BadMetadata, EmptyDataset, MidbandError
from core.progress import Progress

# entries of a folder that are looked at to recognise it, and folders in it that are entered
GLANCE, MOST_FOLDERS = 500, 10


@dataclass(frozen=True)
class Kind:
    """A kind of file that holds tables. name: of the `Format`. called: for a person. opened: a file; the columns that
    are named come as a dictionary of their words and a number for each row, where the file can. files: those of a
    dataset, given its folder and all that lie in it by their names relative to it; adds what is left out."""

    name: str
    called: str
    suffix: str
    opened: Callable[[Path, Sequence[str]], Shard]
    files: Callable[[Path, list[str], list[Problem]], list[str]] = lambda _, names, __: names


def looks_like(path: Path, kind: Kind) -> bool:
    """Whether a file, or the first of a folder that a glance finds, is of this kind and holds pictures."""
    try:
        first = path if path.is_file() else next(_near(path, kind.suffix), None)
        if first is None or first.suffix.lower() != kind.suffix:
            return False
        with closing(kind.opened(first, ())) as shard:
            return image_column(shard.schema) is not None
    except Exception:
        # whatever is wrong with a file that only has the suffix
        return False


def _near(root: Path, suffix: str, depth: int = 3) -> Iterator[Path]:
    """Files that a glance finds: among the first entries of a folder and of the first folders in it."""
    folders: list[Path] = []
    with os.scandir(root) as entries:
        for entry in islice(entries, GLANCE):
            if entry.name.lower().endswith(suffix) and entry.is_file():
                yield Path(entry.path)
            elif len(folders) < MOST_FOLDERS and not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                folders.append(Path(entry.path))
    for folder in folders if depth > 1 else []:
        yield from _near(folder, suffix, depth - 1)


def files_of(root: Path, suffix: str, problems: list[Problem]) -> list[str]:
    """Files below a folder, relative to it. In the cache of Hugging Face they are links to a folder beside."""
    found = list_files(root)
    names = [name for name in found.names if name.lower().endswith(suffix)]
    blobs = next((above.parent / "blobs" for above in root.parents if above.name == "snapshots"), None)
    for problem in found.problems:
        if not problem.image.lower().endswith(suffix):
            continue
        place = (root / problem.image).resolve()
        if blobs is not None and place.is_relative_to(blobs) and place.is_file():
            names.append(problem.image)
        else:
            problems.append(problem)
    return names


def read_shards(path: Path, kind: Kind, *, seed: int, choices: Choices, progress: Progress) -> Dataset:
    """Raises `EmptyDataset`, `BadMetadata`, `BadRequest`, `OneClass`."""
    problems: list[Problem] = []
    folder = bundle_folder(path)
    names = [path.name] if path.is_file() else kind.files(path, files_of(path, kind.suffix, problems), problems)
    if not names:
        why = f" ({problems[0].image}: {problems[0].reason})" if problems else ""
        raise EmptyDataset(f"{path} holds no {kind.called} file{why}.", next_step="Choose a folder that holds some.")
    opened = [(bundle, layout) for bundle, layout in _looked_at(folder, names, kind, choices, problems) if bundle.count]
    if not opened:
        raise BadMetadata(
            f"{path} cannot be read ({problems[0].reason})." if problems else f"{path} holds no rows.",
            next_step=f"Copy it again: {kind.called} files have to be whole.",
            title=f"The {kind.called} file cannot be read",
        )
    layout = _agreed(path, opened)
    bundles = in_order([bundle for bundle, _ in opened])
    check_count(path, bundles)
    columns = words_of(folder, bundles, kind, layout, choices, problems, progress)
    label = _label(layout, columns)
    splits, split_name = _splits(bundles, columns, choices)
    others = [one for name, one in columns.items() if name not in (layout.label, split_name)]
    said = Said(bundles, label, others, splits)
    return assemble(path, kind.name, said, problems, seed=seed, choices=choices, column=layout.image)


def _looked_at(
    folder: Path, names: list[str], kind: Kind, choices: Choices, problems: list[Problem]
) -> Iterator[tuple[Bundle, Layout]]:
    """Every file that is whole enough to have its columns read; the others become problems."""
    for name in names:
        try:
            status = (folder / name).stat()
            with closing(kind.opened(folder / name, ())) as shard:
                layout = layout_of(shard.schema, choices)
                rows, is_blank = shard.rows, shard.is_blank(layout.image)
        except MidbandError:
            raise
        except Exception as error:
            # pyarrow raises OSError, ValueError, TypeError and its own on damaged files
            problems.append(Problem(name, f"damaged: {reason_of(error)}"))
            continue
        if rows and is_blank:
            problems.append(Problem(name, f"none of its {rows:,} rows has a picture in {short(layout.image)}", rows))
            continue
        yield Bundle(name, rows, status.st_size, status.st_mtime_ns), layout


def _agreed(path: Path, opened: list[tuple[Bundle, Layout]]) -> Layout:
    """The layout of all files. Raises `BadMetadata` where they have different ones: that is more than one dataset."""
    first, layout = opened[0]
    for bundle, other in opened:
        if (other.image, other.label, other.names) != (layout.image, layout.label, layout.names):
            raise BadMetadata(
                f"{first.name} and {bundle.name} in {path} have different columns: they are not of one dataset.",
                next_step=f"Open one of the folders, such as {(path / first.name).parent}.",
            )
    shared = [name for name in layout.kinds if all(name in other.kinds for _, other in opened)]
    return Layout(layout.image, layout.label, layout.names, tuple(shared))


def _label(layout: Layout, columns: dict[str, Coded]) -> Coded | None:
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
