"""Illustrated birds with a planted confounder: what the demo, the tests and the benchmarks investigate.

Water birds and land birds stand on water or on land. In train and val nearly every bird stands where it belongs, so a
network can be right by looking at the background; in test it stands anywhere. The task is that of Waterbirds (Sagawa et
al. 2020, arXiv:1911.08731), drawn from scratch.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.progress import Progress, silent
from core.synthetic.picture import draw_bird
from core.synthetic.planting import appearing, check, image_name, make_folders, write_table
from core.synthetic.scenes import PLACES

CLASSES = ("landbird", "waterbird")
COLUMNS = ("img_id", "img_filename", "y", "y_name", "split", "place", "place_name")

_CHUNK = 100


@dataclass(frozen=True)
class Plan:
    """What each image shows; each (n,) int8. kinds, places: 0 land, 1 water. splits: 0 train, 1 val, 2 test."""

    kinds: np.ndarray
    places: np.ndarray
    splits: np.ndarray


def plan_birds(n: int, agreement: float, rng: np.random.Generator) -> Plan:
    """Half of the images train, a quarter val, a quarter test, in random order.

    In train and val a share `agreement` of each kind (to the nearest image) stands where it belongs; in test the four
    groups are equally large.
    """
    kinds, places, splits = [], [], []
    test = max(4, n // 16 * 4)
    val = max(4, n // 8 * 2)
    for split, count in ((0, n - val - test), (1, val), (2, test)):
        for kind in (0, 1):
            mine = (count + kind) // 2
            at_home = round(mine * (0.5 if split == 2 else agreement))
            kinds += [kind] * mine
            places += [kind] * at_home + [1 - kind] * (mine - at_home)
            splits += [split] * mine
    order = rng.permutation(n)
    return Plan(*(np.array(column, dtype=np.int8)[order] for column in (kinds, places, splits)))


def make_birds(
    out: Path,
    *,
    n: int = 6000,
    size: int = 96,
    seed: int = 0,
    agreement: float = 0.95,
    progress: Progress = silent,
    processes: int | None = None,
) -> Path:
    """Write `out/metadata.csv` (see `COLUMNS`) and `out/images`, and return `out`.

    n: images. size: pixels, width and height. agreement: share of each kind that stands where it belongs, in train and
    val. The same arguments give the same bytes, however many processes draw (all cores by default). The folder appears
    when it is complete; until then everything lies beside it, and is removed when the work is cancelled.
    Raises `BadRequest`, `DiskFull`, `StorageProblem`, and what `progress` raises.
    """
    if n < 16:
        raise BadRequest(f"{n} birds are too few for three splits.", next_step="Ask for 16 or more.")
    check(out, size, agreement)
    plan = plan_birds(n, agreement, np.random.default_rng([seed, 0]))
    with appearing(out) as beside:
        make_folders(beside, n)
        chunks = [
            _Chunk(beside, first, size, seed, plan.kinds[first : first + _CHUNK], plan.places[first : first + _CHUNK])
            for first in range(0, n, _CHUNK)
        ]
        done = 0
        progress(done, n, "Drawing birds")
        for drawn in _mapped(chunks, processes or _cores()):
            done += drawn
            progress(done, n, "Drawing birds")
        rows = enumerate(zip(plan.kinds.tolist(), plan.places.tolist(), plan.splits.tolist(), strict=True))
        write_table(
            beside / "metadata.csv",
            COLUMNS,
            ((i, image_name(i, ".jpg"), y, CLASSES[y], split, place, PLACES[place]) for i, (y, place, split) in rows),
        )
    return out


@dataclass(frozen=True)
class _Chunk:
    folder: Path
    first: int
    size: int
    seed: int
    kinds: np.ndarray
    places: np.ndarray


def _draw_chunk(chunk: _Chunk) -> int:
    for offset, (kind, place) in enumerate(zip(chunk.kinds, chunk.places, strict=True)):
        index = chunk.first + offset
        # one generator per image: what is drawn depends on its number, not on who draws what before
        image = draw_bird(CLASSES[kind], PLACES[place], np.random.default_rng([chunk.seed, 1, index]), chunk.size)
        image.save(chunk.folder / image_name(index, ".jpg"), quality=92, subsampling=0)
    return len(chunk.kinds)


def _mapped(chunks: list[_Chunk], processes: int) -> Iterator[int]:
    """Images drawn by each chunk, as they come."""
    if processes == 1 or len(chunks) == 1:
        yield from map(_draw_chunk, chunks)
        return
    # spawned, because forking a process that has threads (a server, torch) can leave a child with a held lock
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(chunks)), mp_context=context)
    try:
        for future in as_completed([pool.submit(_draw_chunk, chunk) for chunk in chunks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Those this process may use, which in a container can be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
