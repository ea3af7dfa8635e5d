"""Which dataset an archive is whose images lie many to a file: such a file that grew is another file.

What its images are called says where they lie in it. So it is what was opened before if nine in ten of the images are
where they were: those that a few looks find, spread over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from core.datasets.dataset import Dataset
from core.datasets.images import UnreadableImage
from core.datasets.known_archives import MOSTLY, Known, Likeness, changed, replaced
from core.datasets.pictures import FilePictures, Picture, Pictures
from core.datasets.unpacking import inside
from core.errors import MidbandError

# images that are compared, and archives that they are looked for in
_LOOKS, _ARCHIVES = 60, 3


def shown_before(
    candidates: Sequence[Known], path: Path, dataset: Dataset, store: Path, read: Callable[[Path], Dataset]
) -> tuple[Known | None, tuple[str, ...]] | None:
    """Which of these the archive at `path` is, and sentences about what has changed; None where images have files of
    their own, which are compared as such.

    dataset: what is in the archive. read: what is in the folder of an earlier copy; what it raises is no answer.
    """
    if isinstance(dataset.pictures(), FilePictures):
        return None
    notes: list[str] = []
    compared = 0
    for known in candidates:
        folder = inside(store / known.copy)
        if folder is None or compared == _ARCHIVES:
            continue
        compared += 1
        try:
            earlier = read(folder)
        except (MidbandError, OSError):
            continue
        is_own = known.archive == str(path)
        found = _likeness(earlier, dataset)
        if is_own:
            found = max(found, _likeness(dataset, earlier), key=lambda one: one.share)
        if found.share >= MOSTLY:
            return known, (*notes, *([changed(path, found, "images")] if is_own else []))
        if is_own:
            notes.append(replaced(path, found, "images"))
    return (None, tuple(notes)) if notes else None


def _likeness(earlier: Dataset, now: Dataset) -> Likeness:
    """How many images of the first are in the second, under the same names."""
    before, after = earlier.pictures(), now.pictures()
    # in order, which is how they are read fastest
    places = np.unique(np.linspace(0, len(earlier) - 1, _LOOKS).astype(np.int64))
    contents = [(name, _content(before, name)) for name in earlier.images[places].tolist()]
    there = [(name, content) for name, content in contents if content is not None]
    return Likeness(sum(_content(after, name) == content for name, content in there), len(there))


def _content(pictures: Pictures, name: str) -> tuple[object, ...] | None:
    try:
        return _comparable(pictures.read(name))
    except (UnreadableImage, OSError):
        return None


def _comparable(picture: Picture) -> tuple[object, ...]:
    if isinstance(picture, np.ndarray):
        return picture.shape, picture.tobytes()
    return (picture,) if isinstance(picture, bytes) else (picture.read_bytes(),)
