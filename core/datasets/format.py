"""What a format is: how it is recognised and how it is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.progress import Progress


class Recognise(Protocol):
    """Whether a path looks like this format. Cheap: looks at names and a header, never at n files.

    path: resolved, an existing file or folder. Raises nothing: what cannot be read is not recognised.
    """

    def __call__(self, path: Path) -> bool: ...


class Read(Protocol):
    """The dataset at a path. No image is opened.

    path: resolved, an existing file or folder. seed: of splits that are made where there are none. store: a folder for
    what has to be unpacked, None where there is none (then `BadRequest`). Raises `EmptyDataset`, `BadMetadata`,
    `OneClass`, `BadRequest` for choices that do not fit.
    """

    def __call__(
        self, path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress
    ) -> Dataset: ...


def how_to_choose(name: str) -> str:
    """Where a person says that a dataset is of this format."""
    return f"“Not that?” on the Load page, or --format {name}"


@dataclass(frozen=True)
class Format:
    """One way in which people keep labelled images.

    name: as `Dataset.source` and `Choices.format` have it. title: for a person. layout: a short example, as people see
    it on disk. choosing: the fields of `Choices` that it understands, besides `format` and `classes`.
    """

    name: str
    title: str
    layout: str
    recognises: Recognise
    read: Read
    choosing: tuple[str, ...] = ()
