"""A folder with `metadata.csv` in the convention of GroupDRO and Waterbirds: `img_filename,y,split,place`.

Sagawa et al. 2020, arXiv:1911.08731 (the Waterbirds set and its table). Needed: `img_filename`, relative to the folder,
and `y`. `split` is 0, 1, 2 or a name. Every other column is tolerated; those with few values become attributes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.datasets.table_text import read_head
from core.datasets.tables import names_images
from core.progress import Progress

TABLE = "metadata.csv"
FILE, LABEL, SPLIT = "img_filename", "y", "split"


def _recognises(path: Path) -> bool:
    """Where the columns have other names the table may be one of another format; broken ones are told about here."""
    table = path / TABLE
    if not table.is_file():
        return False
    head = read_head(table)
    named = set() if head is None else {name.lower() for name in head.names}
    return {FILE, LABEL} <= named or not names_images(table)


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    """Classes are the values of `y` in order (numbers by size, text by alphabet)."""
    from core.datasets.cells import read_cells, splits_of
    from core.datasets.table_reading import Rows, read_rows

    progress(0, 0, "Reading the table")
    cells = read_cells(path / TABLE, lower=(FILE, LABEL, SPLIT), needed=(FILE, LABEL))
    progress(0, len(cells), "Looking for the images")
    rows = Rows(
        table=TABLE,
        images=cells[FILE],
        label=cells[LABEL],
        splits=splits_of(cells[SPLIT]) if SPLIT in cells and len(cells) else None,
        others=cells.drop(columns=[FILE, LABEL, SPLIT], errors="ignore"),
        folder=path,
        # what was absent before stays so: a file that is like it would make another dataset of an analysed one
        lenient=False,
    )
    resolved = replace(choices, format=FORMAT.name)
    return read_rows(rows, path, source=FORMAT.name, seed=seed, choices=resolved)


FORMAT = Format(
    name="metadata-csv",
    title="metadata.csv as Waterbirds has it",
    layout="birds/metadata.csv: img_filename,y,split,place\nbirds/001.Albatross/1.jpg",
    recognises=_recognises,
    read=_read,
    choosing=("attributes", "group"),
)
