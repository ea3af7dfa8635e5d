"""CelebA as it is distributed: tables of attributes (-1 or 1) and of splits, txt or csv, beside the aligned faces.

Liu et al. 2015, arXiv:1411.7766. Understood: the authors' folders (Anno, Eval, Img), torchvision's (`celeba/`), the
csv files of Kaggle and of WILDS. The class is one attribute, by default Blond_Hair, and evaluation groups by another,
by default Male, as in Sagawa et al. 2020, arXiv:1911.08731; all others are attributes too.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.datasets.choices import Choices, image_folder
from core.datasets.dataset import Attribute, Dataset
from core.datasets.format import Format
from core.errors import BadMetadata, BadRequest, EmptyDataset
from core.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

TARGET, GROUP = "Blond_Hair", "Male"
_PLACES = ("", "Anno", "Eval", "Img", "celeba", "celeba/Anno", "celeba/Eval", "celeba/Img", "CelebA/Anno")
_TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_SPLITS = ("list_eval_partition.txt", "list_eval_partition.csv")
_IMAGES = ("img_align_celeba/img_align_celeba", "img_align_celeba", "img_align_celeba_png", "img_celeba")


def _find(root: Path, names: tuple[str, ...]) -> Path | None:
    places = (root / inner / name for inner in _PLACES for name in names)
    # neither a pipe nor a device, which would keep whoever opens it waiting
    return next((place for place in places if place.is_dir() or place.is_file()), None)


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    """choices: target is the class; group comes first of the attributes."""
    from core.datasets.cells import splits_of
    from core.datasets.table_reading import Rows, read_rows

    progress(0, 0, "Reading the attributes")
    table = _find(path, _TABLES)
    if table is None:
        raise BadMetadata(f"{path} holds no {_TABLES[0]}.", next_step="Choose the folder that holds it.")
    faces = _faces(path, choices)
    cells = _cells(table, names_in=1)
    names = tuple(str(name) for name in cells.columns)
    target = choices.target or TARGET
    order = _order(names, target, choices)
    division = _find(path, _SPLITS)
    progress(0, len(cells), "Looking for the images")
    rows = Rows(
        table=table.name,
        images=cells.index.to_series().astype(str).rename("image").reset_index(drop=True),
        label=_codes(cells[target]).map({0: "0", 1: "1", -1: ""}).astype(str).reset_index(drop=True),
        splits=None if division is None else splits_of(_divided(division, cells.index)),
        others=cells[[]],
        folder=faces,
        classes=(f"not {target}", target),
        known=tuple(
            Attribute(name, (f"not {name}", name), _codes(cells[name]).to_numpy(dtype="int16")) for name in order
        ),
    )
    images = faces.relative_to(path).as_posix() if faces.is_relative_to(path) else str(faces)
    resolved = replace(choices, format=FORMAT.name, target=target, images=images)
    return read_rows(rows, path, source=FORMAT.name, seed=seed, choices=resolved)


def _order(names: tuple[str, ...], target: str, choices: Choices) -> list[str]:
    """The attributes besides the class, the one to group by first. Raises `BadRequest`."""
    asked = [target, *(choices.attributes or ()), *filter(None, [choices.group])]
    unknown = [name for name in asked if name not in names]
    if unknown:
        raise BadRequest(f"CelebA has no attribute {unknown[0]}.", next_step=f"It has: {', '.join(names)}.")
    if choices.group == target:
        raise BadRequest(
            f"{target} is the class, so it cannot be what the images are grouped by as well.",
            next_step=f"Group by another attribute, such as {GROUP if target != GROUP else 'Young'}.",
        )
    first = choices.group or (GROUP if choices.attributes is None and GROUP in names else None)
    order = [first, *(names if choices.attributes is None else choices.attributes)]
    return [name for name in dict.fromkeys(order) if name is not None and name != target]


def _faces(path: Path, choices: Choices) -> Path:
    found = image_folder(path, choices).resolve() if choices.images else _find(path, _IMAGES)
    if found is None or not found.is_dir():
        packed = _find(path, ("img_align_celeba.zip",))
        raise EmptyDataset(
            f"{path} holds the tables of CelebA, but no folder {_IMAGES[1]} with the images.",
            next_step=f"Unpack {packed}." if packed else f"Put {_IMAGES[1]} beside the tables.",
        )
    return found


def _codes(values: pd.Series) -> pd.Series:
    """1 where an attribute shows, 0 where it does not, -1 where the table does not say."""
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    return (numbers == 1).astype("int64") - (~numbers.isin([1, 0, -1])).astype("int64")


def _divided(table: Path, images: pd.Index) -> pd.Series:
    """The split of each image as text, "" where the table does not say."""
    import pandas as pd

    cells = _cells(table, names_in=None)
    if cells.shape[1] == 0:
        raise BadMetadata(
            f"{table} has one column only: the split of each image is missing.",
            next_step="Download it again: an interrupted download is the usual reason.",
        )
    said = cells[~cells.index.duplicated()].iloc[:, 0]
    numbers = pd.to_numeric(said, errors="coerce").reindex(images)
    split = numbers.map({0: "train", 1: "val", 2: "test"}).fillna("").astype(str)
    return split.rename("partition").reset_index(drop=True)


def _cells(table: Path, *, names_in: int | None) -> pd.DataFrame:
    """Rows by the name of the image. names_in: the line of a txt, from 0, with the names of the columns, None where
    there is none. Raises `BadMetadata`."""
    import pandas as pd

    try:
        if table.suffix == ".csv":
            return pd.read_csv(table, index_col=0, encoding="utf-8-sig")
        if names_in is None:
            return pd.read_csv(table, sep=r"\s+", header=None, index_col=0)
        # the line of names has one cell less than the rows: the first cells become the index
        return pd.read_csv(table, sep=r"\s+", skiprows=names_in, header=0)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError, ValueError) as error:
        raise BadMetadata(
            f"{table} is not the table that CelebA has ({str(error).splitlines()[0][:200]}).",
            next_step="Download it again: an interrupted download is the usual reason.",
        ) from error


FORMAT = Format(
    name="celeba",
    title="CelebA",
    layout="celeba/list_attr_celeba.txt (or .csv)\nceleba/list_eval_partition.txt\nceleba/img_align_celeba/000001.jpg",
    recognises=lambda path: path.is_dir() and _find(path, _TABLES) is not None,
    read=_read,
    choosing=("target", "group", "attributes", "images"),
)
