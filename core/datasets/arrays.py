"""Pictures as arrays: an `.npz`, or a folder of `.npy` files, recognised by names (`images`, `x_train`, `test_labels`
...) and shapes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from core.datasets.array_members import DAMAGED, MOST_BYTES, Member, Pixels, members_of, unpacked_arrays, values_of
from core.datasets.bundles import (
    Bundle,
    Coded,
    Said,
    assemble,
    bundle_of,
    check_count,
    coded,
    in_order,
    place_in,
    split_column,
)
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset, Problem
from core.datasets.format import Format
from core.datasets.images import UnreadableImage
from core.datasets.pictures import Picture
from core.datasets.splits import split_code
from core.errors import BadArchive, BadMetadata, BadRequest, EmptyDataset
from core.progress import Progress

_IMAGES = ("images", "image", "imgs", "img", "x", "data", "pixels", "pictures", "inputs", "arr_0")
_LABELS = ("labels", "label", "y", "targets", "target", "classes", "class", "fine_labels", "arr_1")
_SPLITS = ("split", "splits")
# entries of a folder that are looked at to recognise it, and arrays in it: more are pictures, or samples, of their own
GLANCE, MOST_ARRAYS = 1000, 200
_CLASS_NAMES = ("class_names", "label_names", "classes_names", "names", "classnames")


class ArrayPictures:
    """Reads memory maps; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path, choices: Choices) -> None:
        self._root = root

    @cached_property
    def _arrays(self) -> dict[str, Pixels]:
        return {m.name: Pixels(m) for m in members_of(self._root, []).values() if m.is_pictures}

    def read(self, name: str) -> Picture:
        array, place = place_in(name)
        try:
            known = self._arrays.get(array)
            if known is None:
                raise UnreadableImage(f"there is no array {array} any more")
            return known[place]
        except UnreadableImage:
            raise
        except FileNotFoundError:
            raise UnreadableImage("the file is not there any more") from None
        except (OSError, BadArchive, *DAMAGED) as error:
            raise UnreadableImage(f"{array} is damaged: {error}") from error

    def file(self, name: str) -> Path:
        return self._root if self._root.is_file() else self._root / f"{place_in(name)[0]}.npy"

    def missing(self, names: list[str]) -> str | None:
        there: dict[str, bool] = {}
        for name in names:
            array = place_in(name)[0]
            if array not in there:
                there[array] = self.file(name).is_file()
            if not there[array]:
                return name
        return None


def _base(name: str) -> tuple[str, int | None]:
    """A name without the word for a split, and that split: x_train is x of 0."""
    words = [word for word in re.split(r"[\s_.-]+", name.lower()) if word]
    split = next((code for word in words if (code := split_code(word)) is not None), None)
    return "_".join(word for word in words if split_code(word) is None), split


def _pictures(members: Mapping[str, Member], choices: Choices) -> list[Member]:
    """The arrays that are the pictures: those of one name, in one piece or one for each split."""
    named = choices.columns.get("image")
    there = [member for member in members.values() if member.is_pictures]
    if named:
        found = [one for one in there if named in (one.name, _base(one.name)[0])]
        if not found:
            names = ", ".join(one.name for one in there) or "none"
            raise BadRequest(f"There is no array of pictures {named!r}.", next_step=f"There are: {names}.")
        return found
    rank = {name: place for place, name in enumerate(_IMAGES)}
    best = min(there, key=lambda one: (rank.get(_base(one.name)[0], len(rank)), -one.shape[0], one.name), default=None)
    if best is None:
        return []
    same = [one for one in there if _base(one.name)[0] == _base(best.name)[0]]
    divided = [one for one in same if _base(one.name)[1] is not None]
    return divided or [best]


def _single(path: Path) -> Path:
    """The archive itself where a folder holds one and no arrays beside."""
    if path.is_dir() and not any(path.glob("*.npy")):
        found = [one for one in path.glob("*.npz") if one.is_file()]
        if len(found) == 1:
            return found[0]
    return path


def arrays_at(path: Path) -> dict[str, Member]:
    """The arrays of what could be a dataset of them, by a look at their headers; {} for anything else."""
    try:
        if path.is_dir():
            with os.scandir(path) as entries:
                there = sum(entry.name.endswith((".npy", ".npz")) for entry in islice(entries, GLANCE))
            if not 0 < there <= MOST_ARRAYS:
                return {}
        path = _single(path)
        if path.is_file() and path.suffix.lower() != ".npz":
            return {}
        return members_of(path, [])
    except (OSError, BadArchive):
        return {}


def _recognises(path: Path) -> bool:
    # one that is damaged is recognised too, so that it can be said to be damaged
    is_npz = path.is_file() and path.suffix.lower() == ".npz"
    return is_npz or any(member.is_pictures for member in arrays_at(path).values())


def opened_arrays(
    path: Path, choices: Choices, store: Path | None, progress: Progress
) -> tuple[Path, dict[str, Member], list[Member], list[Problem]]:
    """Where the arrays are by now, all of them, those that are the pictures, and what was left out."""
    root = _single(path)
    problems: list[Problem] = []
    members = members_of(root, problems)
    pictures = _pictures(members, choices)
    if not pictures:
        there = ", ".join(f"{one.name} {one.shape}" for one in list(members.values())[:8])
        left_out = f"{problems[0].image}: {problems[0].reason}" if problems else ""
        raise EmptyDataset(
            f"{root} holds no array of pictures, which has the shape (n, height, width) or one of colours more; "
            f"it holds {'; '.join(filter(None, [there, left_out])) or 'nothing'}.",
            next_step="Save the pictures as an array called images, and their classes as one called labels.",
        )
    check_count(root, [bundle_of(one.name, one.shape[0], one.file) for one in pictures])
    if any(one.offset is None for one in pictures):
        root = unpacked_arrays(root, store, progress)
        members = members_of(root, [])
        pictures = _pictures(members, choices)
    return root, members, pictures, problems


def _read(path: Path, *, seed: int, choices: Choices, store: Path | None, progress: Progress) -> Dataset:
    root, members, pictures, problems = opened_arrays(path, choices, store, progress)
    bundles = in_order([bundle_of(one.name, one.shape[0], one.file) for one in pictures])
    pictures = [members[bundle.name] for bundle in bundles]
    found = _beside(members, pictures)
    problems += _not_beside(members, pictures, found)

    label_name = choices.columns.get("label")
    if label_name is None:
        label_name = next((name for name in _LABELS if name in found and _is_label(found[name])), "")
    elif label_name and (label_name := _base(label_name)[0]) not in found:
        raise BadRequest(
            f"There is no array {choices.columns['label']!r} with a label for each picture.",
            next_step=f"There are: {', '.join(found) or 'none'}.",
        )
    label = _class_names(_classes(label_name, found.pop(label_name)), members) if label_name else None
    splits = _splits(bundles, found, choices)
    others = [_coded_few(name, values) for name, values in found.items() if values.ndim == 1]
    said = Said(bundles, label, others, splits)
    notes = [note for note in map(_stretched, pictures) if note]
    return assemble(root, FORMAT.name, said, problems, seed=seed, choices=choices, notes=notes)


def _beside(members: Mapping[str, Member], pictures: Sequence[Member]) -> dict[str, np.ndarray]:
    """Arrays with a row for each picture, put together over the splits as the pictures are; by bare name."""
    found: dict[str, list[np.ndarray]] = {}
    for place, picture in enumerate(pictures):
        split = _base(picture.name)[1]
        for member in members.values():
            bare, own = _base(member.name)
            fits = member.shape[:1] == picture.shape[:1] and own == split and not member.is_pictures
            if fits and (len(member.shape) == 1 or (len(member.shape) == 2 and member.shape[1] <= 2**15)):
                pieces = found.setdefault(bare, [])
                # of two of one name the first counts
                if len(pieces) == place and member.bytes <= MOST_BYTES:
                    values = values_of(member)
                    pieces.append(values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values)
    whole = {name: pieces for name, pieces in found.items() if len(pieces) == len(pictures)}
    same = {name: pieces for name, pieces in whole.items() if len({piece.shape[1:] for piece in pieces}) == 1}
    return {name: np.concatenate(pieces) for name, pieces in same.items()}


def _not_beside(
    members: Mapping[str, Member], pictures: Sequence[Member], found: Mapping[str, np.ndarray]
) -> list[Problem]:
    """Arrays that are called like labels and have another number of rows than there are pictures."""
    counts = {_base(one.name)[1]: one.shape[0] for one in pictures}
    called = [one for one in members.values() if _base(one.name)[0] in _LABELS and one.shape and not one.is_pictures]
    return [
        Problem(one.name, f"it has {one.shape[0]:,} entries for {count:,} pictures, so none of them is used")
        for one in called
        if (count := counts.get(_base(one.name)[1])) not in (None, one.shape[0]) and _base(one.name)[0] not in found
    ]


def _is_label(values: np.ndarray) -> bool:
    """One word or number for each picture, or a row with a single 1."""
    if values.ndim == 1:
        return values.dtype.kind in "fiubUS"
    return values.dtype.kind in "fiub" and bool(
        ((values == 0) | (values == 1)).all() and (values.sum(axis=1) == 1).all()
    )


def _classes(name: str, values: np.ndarray) -> Coded:
    if values.ndim == 2:
        if not _is_label(values):
            raise BadMetadata(
                f"The array {name} has {values.shape[1]} numbers for each picture, not one class.",
                next_step="Choose an array with one class for each picture, or none.",
            )
        return Coded(name, tuple(map(str, range(values.shape[1]))), values.argmax(axis=1).astype(np.int64))
    if values.dtype.kind == "f" and not (values[np.isfinite(values)] % 1 == 0).all():
        raise BadMetadata(
            f"The array {name} holds measurements such as {values[values % 1 != 0][0]}, not classes.",
            next_step="Choose the array that holds the class of each picture, or none.",
        )
    return coded(name, values)


def _coded_few(name: str, values: np.ndarray) -> Coded:
    if values.dtype.kind == "f" and not (values[np.isfinite(values)] % 1 == 0).all():
        # a measurement is none of a few things
        return Coded(name, (), np.full(len(values), -1, dtype=np.int64))
    return coded(name, values)


def _class_names(label: Coded, members: Mapping[str, Member]) -> Coded:
    """The same label with its numbers replaced by the names that lie beside."""
    for name in _CLASS_NAMES:
        member = members.get(name)
        if member is None or len(member.shape) != 1 or member.dtype.kind not in "US" or member.bytes > MOST_BYTES:
            continue
        names = [str(value) for value in _as_text(values_of(member))]
        numbers = [int(value) if value.isascii() and value.isdecimal() else -1 for value in label.values]
        if len(set(names)) == len(names) and all(0 <= number < len(names) for number in numbers):
            lookup = np.array([*numbers, -1], dtype=np.int64)
            return replace(label, values=tuple(names), codes=lookup[label.codes])
    return label


def _as_text(values: np.ndarray) -> np.ndarray:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _splits(bundles: Sequence[Bundle], found: dict[str, np.ndarray], choices: Choices) -> np.ndarray | None:
    """(n,) int8: from an array that says so (which is taken out of `found`), else from the names of the arrays."""
    named = choices.columns.get("split")
    if named:
        # found by bare name, whatever the case in which it was chosen
        named = named if named in found else _base(named)[0]
    if named and named not in found:
        raise BadRequest(
            f"There is no array {choices.columns['split']!r} with a split for each picture.", next_step="Leave it out."
        )
    name = named or next((one for one in _SPLITS if one in found and found[one].ndim == 1), None)
    if name and named != "":
        return split_column(name, found.pop(name))
    by_name = [_base(bundle.name)[1] for bundle in bundles]
    if named == "" or all(code is None for code in by_name):
        return None
    codes = np.array([-1 if code is None else code for code in by_name], dtype=np.int8)
    return np.repeat(codes, [bundle.count for bundle in bundles])


def _stretched(member: Member) -> str:
    low, high = Pixels(member).limits
    if (low, high) == (0.0, 255.0):
        return ""
    return f"The numbers of {member.name} are taken for shades from {low:g} (black) to {high:g} (white)."


FORMAT = Format(
    name="npz",
    title="Arrays of numpy (.npz, .npy)",
    layout="digits.npz: images (n, h, w), labels (n,)\n(or x_train, y_train, x_test ...; or .npy files of these names)",
    recognises=_recognises,
    read=_read,
    choosing=("columns", "attributes", "target", "group"),
)
