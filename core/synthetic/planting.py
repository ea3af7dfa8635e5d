"""What the generated sets share: who shows what, and a folder that appears when it is complete.

The planted truth, as in Waterbirds (Sagawa et al. 2020, arXiv:1911.08731): every class has a usual value of a
confounder, which a share `agreement` of its train and val images shows; test holds every class x value group equally
often.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.files import storage_problems

TRAIN, VAL, TEST = 0, 1, 2
PER_FOLDER = 500


@dataclass(frozen=True)
class Plan:
    """What each image shows; each (n,) int8. labels: class. values: confounder. splits: 0 train, 1 val, 2 test."""

    labels: np.ndarray
    values: np.ndarray
    splits: np.ndarray


def plan_groups(n: int, classes: int, values: int, agreement: float, rng: np.random.Generator) -> Plan:
    """About half of the n images train, a quarter val, a quarter test, in random order.

    The usual value of class c is c modulo `values`. In train and val the classes are equally large to the nearest
    image, a share `agreement` of each (to the nearest image) shows its usual value, and the others show the other
    values in turn. In test all groups are equally large. Raises `BadRequest` when n is too small for that.
    """
    groups = classes * values
    test = n // (4 * groups) * groups
    val = n // 4
    if not test:
        raise BadRequest(
            f"{n} images are too few for {groups} groups in test.", next_step=f"Ask for {4 * groups} or more."
        )
    labels, shown, splits = [], [], []
    for split, count in ((TRAIN, n - val - test), (VAL, val), (TEST, test)):
        for c in range(classes):
            mine = (count + c) // classes
            usual = c % values
            if split == TEST:
                shows = list(range(values)) * (mine // values)
            else:
                at_home = round(mine * agreement)
                others = [value for value in range(values) if value != usual]
                shows = [usual] * at_home + [others[i % len(others)] for i in range(mine - at_home)]
            labels += [c] * mine
            shown += shows
            splits += [split] * mine
    order = rng.permutation(n)
    return Plan(*(np.array(column, dtype=np.int8)[order] for column in (labels, shown, splits)))


def image_name(index: int, suffix: str) -> str:
    """Folders by number: neither class, value nor split can be read from a name, because the order is random."""
    return f"images/{index // PER_FOLDER:02d}/{index:05d}{suffix}"


def make_folders(out: Path, n: int) -> None:
    for first in range(0, n, PER_FOLDER):
        (out / image_name(first, "")).parent.mkdir(parents=True)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(columns)
        writer.writerows(rows)


@contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is renamed to it at the end, or removed when the work fails."""
    with storage_problems(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            beside.chmod(0o755)
            yield beside
            os.replace(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def check(out: Path, size: int, agreement: float) -> None:
    """Raise `BadRequest` for what no generated set can have."""
    if not 16 <= size <= 1024:
        raise BadRequest(f"{size} pixels is no size for these pictures.", next_step="Choose 16 to 1024.")
    if not 0 <= agreement <= 1:
        raise BadRequest(f"An agreement of {agreement} is no share.", next_step="Choose a number from 0 to 1.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadRequest(f"{out} already holds something.", next_step="Choose a folder that is new or empty.")
