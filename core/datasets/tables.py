"""Formats that are a table beside the images: recognised by a header; pandas is imported when one is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.datasets.format import Format
from core.progress import Progress

METADATA = "metadata.csv"


@dataclass(frozen=True)
class TableColumns:
    """What a person needs to say which column is what.

    names: of the columns, in order. first: for each column its first values as text. roles: role (see `ROLES`) to the
    column that would be taken; absent where none fits. labels, attributes: columns that could be the label, or an
    attribute: those with few values.
    """

    names: tuple[str, ...]
    first: tuple[tuple[str, ...], ...]
    roles: dict[str, str]
    labels: tuple[str, ...]
    attributes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "first": [list(values) for values in self.first],
            "roles": dict(self.roles),
            "labels": list(self.labels),
            "attributes": list(self.attributes),
        }


def _recognises_metadata(path: Path) -> bool:
    return (path / METADATA).is_file()


def _read_metadata(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    from core.datasets.metadata_csv import read_metadata

    return read_metadata(path, seed=seed)


METADATA_CSV = Format(
    name="metadata-csv",
    title="metadata.csv as Waterbirds has it",
    layout="birds/metadata.csv: img_filename,y,split,place\nbirds/001.Albatross/1.jpg",
    recognises=_recognises_metadata,
    read=_read_metadata,
    choosing=("attributes", "group"),
)
