"""Folders of WILDS as its package downloads them, where paths follow from columns: Camelyon17, iWildCam, FMoW, RxRx1.

Koh et al. 2021, arXiv:2012.07421; where images lie and what the splits are follows the loaders of the wilds package.
Its validation and test sets from other domains are val and test here; those of the same domains as train (`id_val`,
`id_test`) are val and test too, and the attribute `official split` tells them apart. Waterbirds and CelebA come as
their own formats, others as a table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.datasets.table_text import listed, read_head
from core.errors import BadMetadata, BadRequest
from core.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

OFFICIAL = "official split"


@dataclass(frozen=True)
class _Known:
    """A dataset of WILDS. table: its file. needed: columns that it is recognised by. label: column of the class. group:
    the attribute that evaluation groups by. prepared: the table with the columns `image` and `OFFICIAL`, and what else
    follows from it; cells are text. classes: names of the values of the label, in order."""

    title: str
    table: str
    needed: frozenset[str]
    label: str
    group: str
    prepared: Callable[[Path, pd.DataFrame], pd.DataFrame]
    classes: tuple[str, ...] | None = None


def _camelyon(root: Path, cells: pd.DataFrame) -> pd.DataFrame:
    """The table divides three hospitals into train (0) and id_val (1); the two others are val and test."""
    of = "patient_" + cells["patient"].str.zfill(3) + "_node_" + cells["node"]
    images = "patches/" + of + "/patch_" + of + "_x_" + cells["x_coord"] + "_y_" + cells["y_coord"] + ".png"
    split = cells["split"].map({"0": "train", "1": "id_val"}).fillna("")
    split = split.mask(cells["center"] == "1", "val").mask(cells["center"] == "2", "test")
    return cells.assign(image=images, **{OFFICIAL: split}).rename(columns={"center": "hospital"})


def _iwildcam(root: Path, cells: pd.DataFrame) -> pd.DataFrame:
    """Day is from 6 to 18 o'clock. `categories.csv` names the classes where it is there."""
    hour = cells["datetime"].str.extract(r"[ T](\d\d?):")[0].fillna("-1").astype(int)
    daylight = (hour // 6).map({0: "night", 1: "day", 2: "day", 3: "night"}).fillna("")
    cells = cells.assign(image="train/" + cells["filename"], daylight=daylight, **{OFFICIAL: cells["split"]})
    return _named(root / "categories.csv", cells, "y", "name", "y_name")


def _fmow(root: Path, cells: pd.DataFrame) -> pd.DataFrame:
    """Before 2013 the table's splits are of one domain; val is of 2013 to 2015, test later, what remains is unused."""
    year = cells["timestamp"].str[:4]
    since = year.where(year.str.fullmatch(r"\d{4}"), "0").astype(int)
    split = cells["split"]
    official = split.map({"train": "train", "val": "id_val", "test": "id_test"}).fillna("").mask(since >= 2013, "")
    official = official.mask((split == "val") & (since >= 2013) & (since < 2016), "val")
    official = official.mask((split == "test") & (since >= 2016), "test")
    numbers = cells.index.to_series().astype(str)
    cells = cells.assign(image="images/rgb_img_" + numbers + ".png", year=year, **{OFFICIAL: official})
    cells = _named(root / "country_code_mapping.csv", cells, "country_code", "region", "region", key="alpha-3")
    # sequestered images, and those of a year that belongs to another split, are no part of the benchmark
    return cells[official != ""]


def _rxrx1(root: Path, cells: pd.DataFrame) -> pd.DataFrame:
    well = cells["well"] + "_s" + cells["site"] + ".png"
    images = "images/" + cells["experiment"] + "/Plate" + cells["plate"] + "/" + well
    return cells.assign(image=images, **{OFFICIAL: cells["dataset"]})


def _named(table: Path, cells: pd.DataFrame, code: str, naming: str, new: str, key: str | None = None) -> pd.DataFrame:
    """With a column `new` of what a table beside it calls the values of `code`; without that table, as it was."""
    from core.datasets.cells import read_cells

    if not table.is_file() or code not in cells:
        return cells
    names = read_cells(table)
    if not {key or code, naming} <= set(names):
        return cells
    called = dict(zip(names[key or code], names[naming], strict=True))
    return cells.assign(**{new: cells[code].map(called).fillna("Other")})


_DATASETS = (
    _Known(
        "Camelyon17 of WILDS",
        "metadata.csv",
        frozenset({"patient", "node", "x_coord", "y_coord", "tumor", "center", "split"}),
        "tumor",
        "hospital",
        _camelyon,
        ("normal", "tumor"),
    ),
    _Known(
        "iWildCam of WILDS",
        "metadata.csv",
        frozenset({"filename", "y", "split", "datetime", "location_remapped"}),
        "y",
        "daylight",
        _iwildcam,
    ),
    _Known(
        "FMoW of WILDS",
        "rgb_metadata.csv",
        frozenset({"split", "category", "timestamp", "country_code"}),
        "category",
        "region",
        _fmow,
    ),
    _Known(
        "RxRx1 of WILDS",
        "metadata.csv",
        frozenset({"experiment", "plate", "well", "site", "sirna_id", "dataset"}),
        "sirna_id",
        "cell_type",
        _rxrx1,
    ),
)


def _known(path: Path) -> _Known | None:
    for one in _DATASETS:
        head = read_head(path / one.table)
        if head is not None and one.needed <= set(head.names):
            return one
    return None


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    from core.datasets.cells import read_cells, splits_of
    from core.datasets.table_reading import Rows, read_rows

    known = _known(path)
    if known is None:
        raise BadMetadata(
            f"{path} is none of the folders of WILDS that are known.",
            next_step=f"Known are: {', '.join(one.title for one in _DATASETS)}; open others as a table.",
        )
    progress(0, 0, "Reading the table")
    cells = known.prepared(path, read_cells(path / known.table))
    if not len(cells):
        raise BadMetadata(f"{path / known.table} has no rows that are in a split.", next_step="Download it again.")
    label = choices.target or known.label
    if label not in cells:
        raise BadRequest(f"There is no column {label}.", next_step=f"The columns are: {listed(cells)}.")
    progress(0, len(cells), "Looking for the images")
    cells = cells.reset_index(drop=True)
    rows = Rows(
        table=known.table,
        images=cells["image"],
        label=cells[label],
        splits=splits_of(cells[OFFICIAL]),
        others=cells.drop(columns=["image", label, *{"split", "dataset", "filename"} & set(cells)]),
        folder=path,
        lenient=False,
        classes=known.classes if label == known.label else None,
    )
    group = choices.group or (known.group if choices.attributes is None and known.group in cells else None)
    resolved = replace(choices, format=FORMAT.name, target=label, group=group)
    notes = [f"{known.title}: splits as in the benchmark."]
    if cells[OFFICIAL].str.startswith("id_").any():
        notes.append(f"val and test hold id_val and id_test too; the attribute “{OFFICIAL}” tells them apart.")
    return read_rows(rows, path, source=FORMAT.name, seed=seed, choices=resolved, notes=notes)


FORMAT = Format(
    name="wilds",
    title="A folder of WILDS",
    layout="camelyon17_v1.0/metadata.csv\ncamelyon17_v1.0/RELEASE_v1.0.txt\ncamelyon17_v1.0/patches/...",
    recognises=lambda path: path.is_dir() and _known(path) is not None,
    read=_read,
    choosing=("target", "group", "attributes"),
)
