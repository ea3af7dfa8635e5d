"""What was understood of a dataset, kept for the session: its description and a few of its images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.activations.thumbnails import make_thumbnail
from core.classifiers.preprocessing import Preprocessing
from core.datasets import SPLITS, Dataset, choices_from_dict, describe_dataset, recognise
from core.datasets.even_draw import even_rows
from core.datasets.images import UnreadableImage, decode
from core.datasets.pictures import open_pictures
from core.datasets.preview import SAMPLES
from core.errors import MidbandError
from core.progress import Progress, silent
from core.settings import DEFAULTS

# pixels: what is kept of an image to try preparations on; a camera's photo would take 60 MB
LARGEST_KEPT = 1200


@dataclass(frozen=True)
class Sample:
    """One image of a preview. of: its class, None where nobody says. thumbnail: a WebP file."""

    image: str
    of: str | None
    thumbnail: bytes


@dataclass(frozen=True)
class Looked:
    """A dataset as a person sees it before anything long starts.

    about: what `describe_dataset` says. samples: by class. unreadable: how many of those looked at cannot be opened.
    problems: how many files or rows were left out; `about` may list fewer. fits: names and titles of the formats that
    the path looks like.
    """

    about: dict[str, Any]
    samples: tuple[Sample, ...]
    unreadable: int
    problems: int
    fits: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        return str(self.about["name"])

    @property
    def images(self) -> int:
        return int(self.about["images"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.about["classes"])

    @property
    def labelled(self) -> bool:
        return bool(self.about["labelled"])

    @property
    def request(self) -> dict[str, Any]:
        """What a job needs to open the same dataset."""
        chosen = self.about["choices"]
        return {"data": self.about["root"], **({"choices": chosen} if chosen else {})}

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by split and class, without the splits that have none."""
        counts = self.about["counts"]
        return {split: counts[split] for split in SPLITS if any(counts.get(split, {}).values())}

    def as_input(self, preprocessing: Preprocessing, most: int) -> list[bytes]:
        """A few images of different classes as a network with this preparation gets them: WebP files."""
        step = max(1, len(self.samples) // most)
        names = tuple(sample.image for sample in self.samples[::step][:most])
        choices = json.dumps(self.about["choices"], sort_keys=True)
        found = []
        for image in _opened(self.about["root"], self.about["format"], choices, names):
            written = BytesIO()
            Image.fromarray(preprocessing.shown(image)).save(written, "WEBP", quality=90)
            found.append(written.getvalue())
        return found


def look_at(dataset: Dataset, progress: Progress = silent) -> Looked:
    """Opens a few images, evenly from all classes, and nothing else."""
    samples, unreadable = [], 0
    rows = even_rows(dataset.labels, SAMPLES)
    for row in rows[np.lexsort((rows, dataset.labels[rows]))].tolist():
        progress(0, 0)
        name = str(dataset.images[row])
        try:
            image = decode(dataset.pictures().read(name), DEFAULTS.max_image_pixels)
        except UnreadableImage:
            # listed with its reason once the images are analysed
            unreadable += 1
            continue
        thumbnail = make_thumbnail(image, DEFAULTS.thumbnail_size, DEFAULTS.thumbnail_quality)
        samples.append(Sample(name, dataset.classes[dataset.labels[row]] if dataset.labelled else None, thumbnail))
    about = describe_dataset(dataset)
    return Looked(about, tuple(samples), unreadable, int(about["left_out"]), _fits(dataset.root))


def look_from(preview: Mapping[str, Any]) -> Looked:
    """What a job of the kind `look` found: it has opened the images already."""
    samples = tuple(
        Sample(one["image"], one["class"], Path(one["file"]).read_bytes())
        for one in preview["samples"]
        if Path(one["file"]).is_file()
    )
    fits = _fits(Path(preview["root"]))
    # a job of an earlier version counted the lines
    left_out = int(preview.get("left_out", preview["problem_count"]))
    return Looked(dict(preview), samples, len(preview["unreadable"]), left_out, fits)


def _fits(root: Path) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((one.name, one.title) for one in recognise(root))
    except MidbandError:
        return ()


@lru_cache(maxsize=8)
def _opened(root: str, source: str, choices: str, names: tuple[str, ...]) -> list[Image.Image]:
    """Decoded once: whoever tries preparations sees each of them at once."""
    pictures = open_pictures(Path(root), source, choices_from_dict(json.loads(choices)))
    found = []
    for name in names:
        try:
            image = decode(pictures.read(name), DEFAULTS.max_image_pixels)
        except (UnreadableImage, MidbandError, OSError):
            continue
        image.thumbnail((LARGEST_KEPT, LARGEST_KEPT), Image.Resampling.BILINEAR)
        found.append(image)
    return found
