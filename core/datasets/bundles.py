"""Images that lie many to a file: what they are called, and how a `Dataset` is made of them.

An image is called after its file and its place in it, such as `train-00000-of-00002.parquet#000123`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from core.datasets.choices import Choices, dataset_folder
from core.datasets.dataset import SPLITS, Attribute, Dataset, Problem, dataset_id, fingerprint, limited, marks_of
from core.datasets.images import UnreadableImage
from core.datasets.loose_images import UNLABELLED
from core.datasets.splits import complete, split_code
from core.errors import BadArchive, BadMetadata, BadRequest, EmptyDataset, OneClass
from core.files import digest

MOST_VALUES = 20
"""Distinct values up to which a column is an attribute, as in tables."""

MOST_IMAGES = 50_000_000
"""Images of a dataset; a file of a few bytes can claim any number, and each has a name that is held in memory."""

DIGITS = 6

_IDS = frozenset({"id", "img_id", "image_id", "index", "idx", "row", "__index_level_0__"})


@dataclass(frozen=True)
class Bundle:
    """A file, or an array in a file, that holds `count` images.

    name: what its images are called after. size: bytes. modified: nanoseconds. Of the file it lies in.
    """

    name: str
    count: int
    size: int
    modified: int


@dataclass(frozen=True, eq=False)
class Coded:
    """What is said of n images in few words. values: in order. codes: (n,) int64, -1 where nothing is said."""

    name: str
    values: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True, eq=False)
class Said:
    """What files say of the images in them: a row for each, in the order of the bundles, which is that of `in_order`.

    label: None where nobody says what the images show. others: whatever else may be the class or an attribute. splits:
    (n,) int8, -1 for images that belong to none; None where nothing is said of splits.
    """

    bundles: Sequence[Bundle]
    label: Coded | None
    others: Sequence[Coded]
    splits: np.ndarray | None


def bundle_of(name: str, count: int, file: Path) -> Bundle:
    status = file.stat()
    return Bundle(name, count, status.st_size, status.st_mtime_ns)


def in_order(bundles: Sequence[Bundle]) -> list[Bundle]:
    """So that the names of their images increase from the first of the first to the last of the last."""
    return sorted(bundles, key=lambda bundle: f"{bundle.name}#")


def check_count(root: Path, bundles: Sequence[Bundle]) -> None:
    """Raise `BadArchive` where there are more than `MOST_IMAGES`, before anything is made for each of them."""
    count = sum(bundle.count for bundle in bundles)
    if count > MOST_IMAGES:
        raise BadArchive(
            f"{root.name} claims to hold {count:,} images; {MOST_IMAGES:,} are the most.",
            next_step="Divide it into several, or check where it came from.",
        )


def names_of(bundle: Bundle) -> list[str]:
    """As many digits for all images of a file, so that their names sort by their places."""
    digits = max(DIGITS, len(str(bundle.count - 1)))
    return [f"{bundle.name}#{place:0{digits}d}" for place in range(bundle.count)]


def place_in(name: str) -> tuple[str, int]:
    """The bundle of an image and its place in it. Raises `UnreadableImage` for a name that is none of ours."""
    bundle, _, place = name.rpartition("#")
    if not bundle or not (place.isascii() and place.isdigit()) or len(place) > 18:
        raise UnreadableImage("its name does not say where it lies")
    return bundle, int(place)


def coded(name: str, values: np.ndarray) -> Coded:
    """values: (n,) numbers, truths or text; text may be empty, numbers not finite: nothing is said there then.

    Numbers are in the order of their size ("1.0" is 1), text in that of the alphabet.
    """
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind not in "fiub":
        distinct, codes = np.unique(np.char.strip(np.asarray(values, dtype=np.str_)), return_inverse=True)
        texts = [str(value) for value in distinct]
        known = np.array([text != "" for text in texts], dtype=bool)
    else:
        distinct, codes = np.unique(values, return_inverse=True)
        known = np.isfinite(distinct.astype(np.float64))
        texts = [str(value) for value in distinct.tolist()]
        if values.dtype.kind == "f" and bool((distinct[known] == np.round(distinct[known])).all()):
            texts = [str(int(value)) if known[place] else "" for place, value in enumerate(distinct.tolist())]
    place = np.where(known, np.cumsum(known) - 1, -1).astype(np.int64)
    kept = tuple(text for text, is_known in zip(texts, known.tolist(), strict=True) if is_known)
    return Coded(name, kept, place[codes.reshape(-1)])


def split_in(*names: str) -> int | None:
    """The first word among these names of files and folders that is one of a split: `train-00000-of-00002` is 0."""
    for name in names:
        for word in name.replace("-", " ").replace("_", " ").replace(".", " ").split():
            if (code := split_code(word)) is not None:
                return code
    return None


def split_column(name: str, values: np.ndarray) -> np.ndarray:
    """(n,) int8 codes of `SPLITS`, -1 where it is none of them. Raises `BadMetadata` where none is known at all."""
    column = coded(name, values)
    known = [int(v) if v.isascii() and v.isdecimal() else split_code(v) for v in column.values]
    codes = [code if code is not None and 0 <= code < len(SPLITS) else -1 for code in known]
    if all(code < 0 for code in codes):
        raise BadMetadata(
            f"{name} holds {', '.join(column.values[:3]) or 'nothing'}, which are no names of splits.",
            next_step="Use 0, 1, 2 or train, val, test; or leave it out to have the images divided at random.",
        )
    return np.array([*codes, -1], dtype=np.int8)[column.codes]


def _chosen(columns: Sequence[Coded], label: Coded | None, choices: Choices) -> tuple[Coded | None, list[Coded]]:
    """What is the class and what are attributes, the one that evaluation groups by first.

    label: the class unless `choices` makes another column the target. Raises `BadRequest` for a column that is absent.
    """
    known = {one.name: one for one in (*([label] if label else []), *columns)}

    def named(name: str, what: str) -> Coded:
        if name not in known:
            there = ", ".join(list(known)[:20]) or "nothing"
            raise BadRequest(f"There is no {name!r} to be the {what}.", next_step=f"What is said of images: {there}.")
        return known[name]

    target = named(choices.target, "class") if choices.target else label
    if choices.attributes is not None:
        attributes = [named(name, "attribute") for name in choices.attributes]
    else:
        attributes = [one for one in known.values() if one is not target and _says_something(one, target)]
    if choices.group:
        first = named(choices.group, "attribute")
        attributes = [first, *(one for one in attributes if one is not first)]
    return target, attributes


def _says_something(column: Coded, label: Coded | None) -> bool:
    """Few values, more than one, fewer than images, and not settled by the class alone."""
    known = int((column.codes >= 0).sum())
    if not 2 <= len(column.values) <= min(MOST_VALUES, known - 1) or column.name.lower() in _IDS:
        return False
    return label is None or not _settled(column.codes, label.codes)


def _settled(codes: np.ndarray, by: np.ndarray) -> bool:
    there = (codes >= 0) & (by >= 0)
    pairs = np.unique(by[there] * (int(codes.max(initial=0)) + 1) + codes[there])
    return len(pairs) == len(np.unique(by[there]))


def assemble(
    root: Path,
    source: str,
    said: Said,
    problems: Sequence[Problem] = (),
    *,
    seed: int,
    choices: Choices,
    notes: Sequence[str] = (),
    name: str | None = None,
    column: str | None = None,
) -> Dataset:
    """The dataset that its files and `choices` make; images without a label or of no split are left out.

    column: which pictures of several in the same files, so that others have other marks. Raises `EmptyDataset`,
    `OneClass`, `BadArchive`, and `BadRequest` for choices that do not fit.
    """
    bundles, splits = said.bundles, said.splits
    check_count(root, bundles)
    label, attributes = _chosen(said.others, said.label, choices)
    names = [image for bundle in bundles for image in names_of(bundle)]
    faults: list[tuple[np.ndarray, str]] = []
    if label is not None:
        faults.append((label.codes < 0, f"no {label.name}"))
    if splits is not None:
        faults.append((splits < 0, f"its split is none of {', '.join(SPLITS)}"))
    usable = np.ones(len(names), dtype=bool)
    found = list(problems)
    for at_fault, reason in faults:
        found += _listed(bundles, names, at_fault & usable, reason)
        usable &= ~at_fault
    kept = np.flatnonzero(usable)
    if not len(kept):
        why = f" ({found[0].image}: {found[0].reason})" if found else ""
        raise EmptyDataset(
            f"{root} holds no image that can be used{why}.",
            next_step="Choose a dataset that holds images.",
        )
    if len(kept) < len(names):
        names = [names[row] for row in kept.tolist()]
    labels = np.zeros(len(kept), dtype=np.int64) if label is None else label.codes[kept]
    if label is not None and len(np.unique(labels)) < 2:
        raise OneClass(
            f"All {len(kept):,} images of {root} have the same {label.name}, {label.values[labels[0]]}.",
            next_step="Add images of a second class.",
        )
    completed, made = complete(names, labels, None if splits is None else splits[kept], seed)
    counts = [bundle.count for bundle in bundles]
    sizes = np.repeat(np.array([bundle.size for bundle in bundles], dtype=np.int64), counts)[kept]
    modified = np.repeat(np.array([bundle.modified for bundle in bundles], dtype=np.int64), counts)[kept]
    if column is not None:
        modified = modified ^ np.int64(int(digest(column, length=15), 16))
    listed, more = limited(found)
    return Dataset(
        id=dataset_id(root),
        name=name or (root.stem if root.is_file() else root.name),
        root=root,
        source=source,
        images=np.array(names, dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=completed,
        classes=() if label is None else label.values,
        attributes=tuple(Attribute(one.name, one.values, one.codes[kept].astype(np.int16)) for one in attributes),
        problems=listed,
        notes=(*((UNLABELLED,) if label is None else ()), *notes, *made, *more),
        fingerprint=fingerprint(names, sizes, modified),
        choices=replace(choices, format=source, classes=None),
        marks=marks_of(sizes, modified),
    )


def _listed(bundles: Sequence[Bundle], names: list[str], at_fault: np.ndarray, reason: str) -> list[Problem]:
    """A problem for each image at fault, and one for all of a file: a test set without labels needs one sentence."""
    found: list[Problem] = []
    end = 0
    for bundle in bundles:
        start, end = end, end + bundle.count
        rows = np.flatnonzero(at_fault[start:end])
        if len(rows) == bundle.count > 1:
            found.append(Problem(bundle.name, f"all of its {bundle.count:,} images: {reason}", bundle.count))
        else:
            found += [Problem(names[start + row], reason) for row in rows.tolist()]
    return found


def bundle_folder(root: Path) -> Path:
    """What the names of bundles are relative to."""
    return dataset_folder(root)
