"""An analysis at hand: its arrays, and what is asked of its images."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core.activations import thumbnails
from core.activations.computed import Computed, read_computed
from core.activations.store.names import open_names, read_names
from core.classifiers.head import Head
from core.datasets.choices import AUTOMATIC, Choices
from core.datasets.dataset import SPLITS, Attribute, Problem, no_labels
from core.datasets.pictures import Picture, Pictures, open_pictures
from core.errors import NotFound, StorageProblem
from core.files import release

# names looked up one by one as long as they are fewer than the images by this factor
_FEW = 20


@dataclass(frozen=True, eq=False)
class Analysis:
    """An open analysis: n images, d features, k classes. Arrays are read-only memory maps, one row per image."""

    id: str
    folder: Path
    dataset_id: str
    dataset_name: str
    dataset_root: Path
    model_name: str
    model_file: Path
    arch: str
    classes: tuple[str, ...]
    preprocessing: dict[str, Any]
    features: np.ndarray  # (n, d) float32
    logits: np.ndarray  # (n, k) float32
    ids: np.ndarray  # (n,) int64, strictly increasing
    labels: np.ndarray  # (n,) int64
    splits: np.ndarray  # (n,) int8, codes of SPLITS
    predicted: np.ndarray  # (n,) int64
    attributes: tuple[Attribute, ...]  # codes (n,) int16, one per row
    head: Head
    skipped: tuple[Problem, ...]  # everything that is not in the analysis, and why
    notes: tuple[str, ...]
    accuracy: float  # share of right predictions on test, on all images where there is no test split; nan: no labels
    dataset_source: str = "class-folders"  # name of the dataset's `Format`
    choices: Choices = AUTOMATIC  # how the dataset was opened
    labelled: bool = True  # False: `labels` are what the classifier predicted, because nobody has said what is right
    other_head: Path | None = None  # folder of what another last layer gives, see `with_head`

    @property
    def n(self) -> int:
        return int(self.features.shape[0])

    @property
    def d(self) -> int:
        return int(self.features.shape[1])

    @property
    def k(self) -> int:
        return int(self.logits.shape[1])

    @property
    def head_folder(self) -> Path:
        """Where what depends on the last layer lies."""
        return self.other_head or self.folder

    @cached_property
    def pictures(self) -> Pictures:
        """Opens the full-size images by name (they may be gone by now); threads may share it."""
        return open_pictures(self.dataset_root, self.dataset_source, self.choices)

    def picture(self, row: int) -> Picture:
        """The row's full-size image, for `core.datasets.images.decode`. Raises `UnreadableImage`."""
        return self.pictures.read(self.image_names([row])[0])

    def need_labels(self) -> None:
        """Raise `BadRequest` where the images have no labels: for whatever takes `labels` for the truth."""
        if not self.labelled:
            raise no_labels(self.dataset_name)

    def label_name(self, row: int) -> str | None:
        """The class that the dataset gives an image; None where nobody has said."""
        return self.classes[self.labels[row]] if self.labelled else None

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """The splits that have images, in the order of SPLITS."""
        there = np.bincount(self.splits, minlength=len(SPLITS))
        return tuple(name for name, count in zip(SPLITS, there, strict=True) if count)

    def image_names(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """What `images` says of some rows, without reading the others."""
        wanted = np.asarray(rows, dtype=np.int64).reshape(-1)
        if "images" in self.__dict__:
            return self.images[wanted].tolist()
        content, offsets = self._names
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= self.n):
            raise IndexError(f"rows from {wanted.min()} to {wanted.max()} among {self.n}")
        ends = zip(offsets[wanted].tolist(), offsets[wanted + 1].tolist(), strict=True)
        names = [content[start:stop].tobytes().decode() for start, stop in ends]
        release(content)
        return names

    def rows_named(self, names: Sequence[str]) -> np.ndarray:
        """Rows (m,) int64 of images by name; -1 for a name that the analysis does not have."""
        if "images" not in self.__dict__ and len(names) * _FEW < self.n:
            return np.array([self._row_named(name) for name in names], dtype=np.int64)
        known = self.images
        # Datasets list their images sorted by name; looking a few up there costs less than a dictionary of all.
        # (numpy.searchsorted finds wrong places for StringDType keys that lie in another array, as of numpy 2.4.)
        if len(names) * _FEW < self.n and bool((known[1:] > known[:-1]).all()):
            places = ((bisect_left(known, name), name) for name in names)
            found = [place if place < self.n and known[place] == name else -1 for place, name in places]
        else:
            rows = {name: row for row, name in enumerate(known.tolist())}
            found = [rows.get(name, -1) for name in names]
        return np.array(found, dtype=np.int64)

    def _row_named(self, name: str) -> int:
        """Found by halving: names are sorted, in UTF-8 as well."""
        content, offsets = self._names
        wanted = name.encode("utf-8", "surrogateescape")

        def at(row: int) -> bytes:
            return content[offsets[row] : offsets[row + 1]].tobytes()

        row = bisect_left(range(self.n), wanted, key=at)
        return row if row < self.n and at(row) == wanted else -1

    @cached_property
    def _names(self) -> tuple[np.ndarray, np.ndarray]:
        """Bytes and offsets of the names."""
        return open_names(self.folder, self.n)

    @cached_property
    def images(self) -> np.ndarray:
        """(n,) StringDType: each row's image as the dataset names it. All of them are read when first asked for;
        `image_names` reads a few."""
        return read_names(self.folder)

    @cached_property
    def computed(self) -> Computed:
        """In which precision the network computed the features, and why. Raises `StorageProblem` when damaged."""
        try:
            return read_computed(self.folder)
        except (OSError, ValueError) as error:
            raise StorageProblem(
                f"The analysis in {self.folder} is damaged ({type(error).__name__}: {error}).",
                next_step="Remove that folder and analyse the dataset again.",
            ) from error

    @property
    def precision(self) -> str:
        """What the network computed with: "fp32" or "bf16"."""
        return self.computed.precision

    @cached_property
    def thumbnails(self) -> thumbnails.ThumbnailPack:
        return thumbnails.open_pack(self.folder)

    def thumbnail(self, row: int) -> bytes:
        """The row's thumbnail, WebP or JPEG."""
        return self.thumbnails[int(row)]

    def image_path(self, row: int) -> Path:
        """The file that holds the row's full-size image, its own or one of many (it may be gone by now)."""
        return self.pictures.file(self.image_names([row])[0])

    def rows_of(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
        """Rows (m,) int64 of these image ids, in the order given. Raises `NotFound` naming the first one absent."""
        wanted = np.asarray(ids, dtype=np.int64).reshape(-1)
        rows = np.searchsorted(self.ids, wanted)
        found = rows < self.n
        found[found] = self.ids[rows[found]] == wanted[found]
        if not found.all():
            raise NotFound(
                f"Image {int(wanted[~found][0])} is not part of this analysis.",
                next_step="Reload the page: the dataset may have changed, or the image was skipped.",
            )
        return rows.astype(np.int64)

    def split_rows(self, name: str) -> np.ndarray:
        """Rows (m,) int64 of one split, in order; empty where the dataset has no such split."""
        return np.flatnonzero(self.splits == SPLITS.index(name)).astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """What the command line prints of an analysis."""
        return {
            "analysis": self.id,
            "images": self.n,
            "skipped": [problem.to_dict() for problem in self.skipped],
            "classes": list(self.classes),
            "labelled": self.labelled,
            "accuracy": self.accuracy if self.labelled else None,
            "features": self.d,
            "dataset": self.dataset_name,
            "model": self.model_name,
            "arch": self.arch,
            "precision": self.precision,
            "notes": list(self.notes),
        }


def accuracy_of(predicted: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> float:
    """Share of right predictions on test, on everything where there is no test image."""
    test = splits == SPLITS.index("test")
    right = predicted == labels
    return float(right[test].mean() if test.any() else right.mean())
