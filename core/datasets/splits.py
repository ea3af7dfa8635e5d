"""Which split an image belongs to, read from names or made where there is none."""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np

from core.datasets.dataset import SPLITS, name_ranks

TRAIN, VAL, TEST = range(len(SPLITS))

_CODES = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VAL,
    "valid": VAL,
    "validation": VAL,
    "dev": VAL,
    "test": TEST,
    "testing": TEST,
    # WILDS: images of the same domains as train
    "id_val": VAL,
    "id_test": TEST,
}

SHARES = (0.6, 0.2, 0.2)
"""Train, val, test where a dataset has no split: the head is refitted on val and judged on test, so both need many."""


def split_code(name: str) -> int | None:
    """0, 1 or 2 for the usual names of train, val and test, upper or lower case; None for any other word."""
    return _CODES.get(name.strip().lower())


def meant_split(name: str) -> str | None:
    """The split whose name a word is close to but not: "val" for "vaild"."""
    near = get_close_matches(name.strip().lower(), _CODES, n=1, cutoff=0.75)
    return SPLITS[_CODES[near[0]]] if near and split_code(name) is None else None


def splits_of_folders(names: list[str]) -> np.ndarray | None:
    """(n,) int8 where the first folder of every name is called like a split and there are two of them, else None."""
    folders = {name.partition("/")[0] for name in names if "/" in name}
    codes = {folder: split_code(folder) for folder in folders}
    if None in codes.values() or len(set(codes.values())) < 2 or not all("/" in name for name in names):
        return None
    return np.array([codes[name.partition("/")[0]] for name in names], dtype=np.int8)


def complete(
    names: list[str], labels: np.ndarray, splits: np.ndarray | None, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Splits that can be worked with, and a sentence for each that had to be made up.

    labels: (n,) int64. splits: (n,) int8 as found, or None. Returns (n,) int8 and the notes.
    Only one split (or none): 60/20/20 per class. No test: half of val becomes test. No val: left so, because taking
    some of train would hold out images that the classifier has already learned by heart.
    """
    present = set() if splits is None else set(np.unique(splits).tolist())
    if splits is None or len(present) == 1:
        found = f"There was only a {SPLITS[present.pop()]} split" if present else "There were no splits"
        shares = ", ".join(f"{share:.0%} {name}" for share, name in zip(SHARES, SPLITS, strict=True))
        made = stratified(names, labels, SHARES, seed)
        images = "images of each class" if labels.any() else "images"
        return made, [f"{found}: the {images} were divided into {shares} (seed {seed})."]
    if present == {TRAIN, VAL}:
        held_out = np.flatnonzero(splits == VAL)
        half = stratified([names[i] for i in held_out], labels[held_out], (0.5, 0.5), seed)
        completed = splits.copy()
        completed[held_out[half == 1]] = TEST
        return completed, [f"There was no test split: half of val became test (per class, seed {seed})."]
    if present == {TRAIN, TEST}:
        return splits, ["There is no val split: images to tag and to retrain on come from train, which suits less."]
    if present == {VAL, TEST}:
        return splits, ["There is no train split: images to tag and to retrain on come from val; nothing to train on."]
    return splits, []


def stratified(names: list[str], labels: np.ndarray, shares: tuple[float, ...], seed: int) -> np.ndarray:
    """Part 0, 1, ... per image so that each class is divided by `shares`. Returns (n,) int8.

    Images are ranked by a keyed hash of their names, not drawn: when some are added later, hardly any of the others
    changes its split, so that what was tagged in val does not turn up in test.
    """
    order = np.lexsort((name_ranks(names, seed), labels))
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(names), dtype=np.float64)
    place[order] = np.arange(len(names)) - starts[labels[order]]
    # the middle of an image's place among its class, so that three images at 60/20/20 give 2, 0, 1 and not 3, 0, 0
    position = (place + 0.5) / sizes[labels]
    return np.searchsorted(np.cumsum(shares)[:-1], position, side="right").astype(np.int8)
