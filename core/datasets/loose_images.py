"""Images and nothing else: a folder of any depth that says nothing of what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem, dataset_id, fingerprint, limited, marks_of
from core.datasets.format import Format, how_to_choose
from core.datasets.images import is_image_name
from core.datasets.listing import holds_image, list_files
from core.datasets.splits import complete, splits_of_folders
from core.datasets.table_text import listed
from core.datasets.tables import readable_in
from core.errors import EmptyDataset
from core.progress import Progress

UNLABELLED = "These images have no labels: bands and concepts can be looked at, right and wrong cannot be told apart."


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    """Folders called train, val and test say the split; others say nothing."""
    progress(0, 0, "Looking for images")
    files = list_files(path)
    is_image = np.array([is_image_name(name) for name in files.names], dtype=bool)
    problems = files.problems + [
        Problem(name, "not an image file")
        for name, image in zip(files.names, is_image.tolist(), strict=True)
        if not image
    ]
    sizes, modified = files.arrays()
    kept = np.flatnonzero(is_image)
    kept = kept[np.argsort(np.array(files.names, dtype=np.dtypes.StringDType())[kept], kind="stable")]
    if not len(kept):
        example = f" (for example {problems[0].image}: {problems[0].reason})" if problems else ""
        raise EmptyDataset(f"{path} holds no image files{example}.", next_step="Choose a folder that holds images.")
    names = [files.names[place] for place in kept]
    labels = np.zeros(len(names), dtype=np.int64)
    splits, notes = complete(names, labels, splits_of_folders(names), seed)
    if beside := readable_in(path):
        lie = "lie" if len(beside) > 1 else "lies"
        notes.insert(
            0,
            f"{listed(table.name for table in beside)} {lie} beside the images: to take labels from there, read it as "
            f"a table ({how_to_choose('table')}).",
        )
    told, more = limited(problems)
    return Dataset(
        id=dataset_id(path),
        name=path.name,
        root=path,
        source=FORMAT.name,
        images=np.array(names, dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=splits,
        classes=(),
        attributes=(),
        problems=told,
        notes=(UNLABELLED, *notes, *more),
        fingerprint=fingerprint(names, sizes[kept], modified[kept]),
        choices=Choices(format=FORMAT.name),
        marks=marks_of(sizes[kept], modified[kept]),
    )


FORMAT = Format(
    name="images",
    title="Images without labels",
    layout="photos/1.jpg\nphotos/2024/may/2.jpg",
    recognises=lambda path: path.is_dir() and holds_image(path),
    read=_read,
)
