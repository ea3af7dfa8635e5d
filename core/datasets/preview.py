"""What of a dataset is worth seeing before anything long starts: counts, problems, a few of its images."""

from __future__ import annotations

import io
import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.datasets import describe_dataset
from core.datasets.dataset import SPLITS, Dataset, Problem
from core.datasets.even_draw import even_rows
from core.datasets.images import UnreadableImage, decode
from core.files import digest, replacing, storage_problems, write_json
from core.progress import Progress, silent
from core.settings import DEFAULTS

PREVIEW = "preview.json"
# Images drawn for the strip, and problems listed: a preview is looked at, not scrolled.
SAMPLES = 12
LISTED = 100
# previews that are kept; whoever looks again at a dataset gets a new one
MOST_PREVIEWS = 100
_PREVIEW = re.compile(r"[0-9a-f]{12}-[0-9a-f]{12}")


def write_preview(
    dataset: Dataset, folder: Path, *, progress: Progress = silent, samples: int = SAMPLES
) -> dict[str, Any]:
    """Describe the dataset and draw a few of its images into `folder/<id>-<choices>/`; returns what `preview.json` has.

    Besides the keys of `describe_dataset`: `samples` [{`image`, `class` (None without labels), `split`, `file`}],
    `unreadable` [{`image`, `reason`}] for the drawn ones that could not be, `problem_count` (`problems` holds the
    first `LISTED`), `folder`. Beyond `MOST_PREVIEWS` the oldest in `folder` go. Raises `DiskFull`, `StorageProblem`.
    """
    described = describe_dataset(dataset)
    choices = json.dumps(dataset.choices.to_dict(), sort_keys=True)
    place = folder / f"{dataset.id}-{digest(choices, dataset.fingerprint)}"
    rows = even_rows(dataset.labels, samples)
    rows = rows[np.lexsort((rows, dataset.labels[rows]))]
    shown: list[dict[str, Any]] = []
    unreadable: list[dict[str, str]] = []
    with storage_problems(place / PREVIEW):
        place.mkdir(parents=True, exist_ok=True)
    for done, row in enumerate(rows.tolist()):
        progress(done, len(rows), "Looking at some images")
        name = str(dataset.images[row])
        try:
            picture = decode(dataset.pictures().read(name), DEFAULTS.max_image_pixels)
        except UnreadableImage as problem:
            unreadable.append(Problem(name, problem.reason).to_dict())
            continue
        file = place / f"sample-{len(shown):02d}.webp"
        with replacing(file) as beside:
            beside.write_bytes(_small(picture))
        shown.append(
            {
                "image": name,
                "class": dataset.classes[dataset.labels[row]] if dataset.labelled else None,
                "split": SPLITS[dataset.splits[row]],
                "file": str(file),
            }
        )
    preview = {
        **described,
        "problems": described["problems"][:LISTED],
        "problem_count": len(described["problems"]),
        "samples": shown,
        "unreadable": unreadable,
        "folder": str(place),
    }
    write_json(place / PREVIEW, preview)
    # somebody else may remove the same
    with suppress(FileNotFoundError):
        _remove_oldest(folder)
    return preview


def _remove_oldest(folder: Path) -> None:
    previews = [one / PREVIEW for one in folder.iterdir() if _PREVIEW.fullmatch(one.name)]
    written = sorted((file.stat().st_mtime_ns, file.parent) for file in previews if file.is_file())
    for _, oldest in written[:-MOST_PREVIEWS]:
        shutil.rmtree(oldest, ignore_errors=True)


def _small(picture: Image.Image) -> bytes:
    side = DEFAULTS.thumbnail_size
    if max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    picture.save(target, format="WEBP", quality=DEFAULTS.thumbnail_quality)
    return target.getvalue()
