"""Illustrated birds with a planted confounder: what the demo, the tests and the benchmarks investigate.

Water birds and land birds stand on water or on land. In train and val nearly every bird stands where it belongs, so a
network can be right by looking at the background; in test it stands anywhere. The task is that of Waterbirds (Sagawa et
al. 2020, arXiv:1911.08731), drawn from scratch.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import BadRequest
from core.files import storage_problems
from core.progress import Progress, silent
from core.synthetic.canvas import Canvas, Pen, darker, lighter, mix, varied
from core.synthetic.figures import HEIGHTS, KINDS, Plumage, duck, gull, heron, plumage, swan
from core.synthetic.scenes import LIGHTS, PLACES, Light, land, water

CLASSES = ("landbird", "waterbird")
COLUMNS = ("img_id", "img_filename", "y", "y_name", "split", "place", "place_name")

_CHUNK = 100
_PER_FOLDER = 500


@dataclass(frozen=True)
class Plan:
    """What each image shows; each (n,) int8. kinds, places: 0 land, 1 water. splits: 0 train, 1 val, 2 test."""

    kinds: np.ndarray
    places: np.ndarray
    splits: np.ndarray


def plan_birds(n: int, agreement: float, rng: np.random.Generator) -> Plan:
    """Half of the images train, a quarter val, a quarter test, in random order.

    In train and val a share `agreement` of each kind (to the nearest image) stands where it belongs; in test the four
    groups are equally large (as equally as n allows).
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


def draw_bird(kind: str, place: str, rng: np.random.Generator, size: int = 96) -> Image.Image:
    """One picture. kind: "landbird" or "waterbird". place: "land" or "water". Returns an RGB image, size x size."""
    canvas = Canvas(size)
    light = LIGHTS[rng.integers(len(LIGHTS))]
    figure = KINDS[kind][rng.integers(len(KINDS[kind]))]
    length = rng.uniform(0.30, 0.44) / HEIGHTS[figure]
    x, feet = rng.uniform(0.36, 0.64), rng.uniform(0.68, 0.84)
    stand = _stand(figure in (duck, swan, gull, heron), figure is heron, place, rng)
    ground = (water if place == "water" else land)(canvas, light, feet, rng)
    bird = _lit(plumage(rng), light)
    if stand in ("rock", "post", "branch"):
        feet -= rng.uniform(0.02, 0.10)
        _PERCHES[stand](canvas, x, feet, length, light, place, ground, rng)
    pose = {"flip": bool(rng.random() < 0.5), "lean": float(rng.normal(0, 0.07))}
    stretch = (float(rng.uniform(0.92, 1.08)), float(rng.uniform(0.92, 1.08)))
    seed = int(rng.integers(2**32))
    swims = stand in ("swims", "wades")
    if swims:
        mirror = Pen(canvas, x, feet + 0.01, length, stretch=stretch, mirrored=True, alpha=0.3, **pose)
        figure(mirror, bird, np.random.default_rng(seed), swims)
    elif stand == "ground":
        canvas.ellipse(x, feet, length * 0.55, length * 0.08, darker(ground, 0.6), 0.35)
    pen = Pen(canvas, x, feet, length, stretch=stretch, **pose)
    figure(pen, bird, np.random.default_rng(seed), swims)
    if swims:
        _ripples(canvas, x, feet, length * (0.35 if stand == "wades" else 0.75), ground, rng)
    elif stand == "ground":
        _tufts(canvas, x, feet, length, ground, rng)
    return canvas.finish()


def _stand(water_bird: bool, wader: bool, place: str, rng: np.random.Generator) -> str:
    """What carries the bird. Rocks and posts carry both kinds in both places, so that they give nothing away."""
    chance = rng.random()
    if place == "water":
        if water_bird:
            return ("wades" if wader else "swims") if chance < 0.7 else ("rock" if chance < 0.88 or wader else "post")
        return "branch" if chance < 0.4 else ("rock" if chance < 0.7 else "post")
    if chance < (0.65 if water_bird else 0.4):
        return "ground"
    if chance < 0.85 or water_bird:
        return "rock" if rng.random() < 0.6 else "post"
    return "branch"


def _lit(p: Plumage, light: Light) -> Plumage:
    """The bird in the light of the scene, but less than the scene itself: it is what one should look at."""
    share = light.amount * 0.35
    colors = (mix(c, light.haze, share) for c in (p.body, p.wing, p.breast, p.head, p.tail, p.bill, p.leg))
    return Plumage(*colors, pattern=p.pattern)


def _rock(canvas, x, y, length, light, place, ground, rng) -> None:  # type: ignore[no-untyped-def]
    stone = light.on(varied((132, 128, 126), rng, 10))
    wide, deep = length * rng.uniform(0.6, 0.85), length * rng.uniform(0.25, 0.4)
    canvas.blob(
        [
            (x - wide, y + deep),
            (x - wide * 0.7, y + 0.01),
            (x, y - 0.012),
            (x + wide * 0.75, y + 0.01),
            (x + wide, y + deep),
            (x, y + deep * 1.15),
        ],
        stone,
    )
    canvas.blob(
        [
            (x - wide * 0.6, y + deep * 0.3),
            (x - wide * 0.3, y + 0.004),
            (x + wide * 0.4, y + 0.004),
            (x + wide * 0.1, y + deep * 0.35),
        ],
        lighter(stone, 0.22),
        0.8,
    )
    if place == "water":
        _ripples(canvas, x, y + deep, wide * 1.15, ground, rng)
    else:
        _tufts(canvas, x, y + deep, wide * 1.4, ground, rng)


def _post(canvas, x, y, length, light, place, ground, rng) -> None:  # type: ignore[no-untyped-def]
    wood = light.on(varied((128, 98, 76), rng, 10))
    half, low = length * rng.uniform(0.13, 0.2), min(0.97, y + rng.uniform(0.16, 0.26))
    canvas.polygon([(x - half, y), (x + half, y), (x + half * 1.05, low), (x - half * 1.05, low)], wood)
    canvas.polygon(
        [(x + half * 0.3, y), (x + half, y), (x + half * 1.05, low), (x + half * 0.35, low)], darker(wood, 0.2)
    )
    canvas.ellipse(x, y, half, half * 0.3, lighter(wood, 0.25))
    if place == "water":
        _ripples(canvas, x, low, half * 2.2, ground, rng)
    else:
        _tufts(canvas, x, low, half * 4, ground, rng)


def _branch(canvas, x, y, length, light, place, ground, rng) -> None:  # type: ignore[no-untyped-def]
    wood = light.on(varied((110, 82, 64), rng, 8))
    leaf = light.on(varied((112, 152, 82), rng, 14))
    side = 1 if rng.random() < 0.5 else -1
    rise = rng.uniform(-0.08, 0.10)
    path = [
        (x + side * 0.8, y + rise * 2),
        (x + side * 0.35, y + rise * 0.5 + 0.02),
        (x, y + 0.014),
        (x - side * length * 0.9, y - 0.02),
    ]
    Pen(canvas, 0, 0, 1).tube(path, [0.03, 0.022, 0.015, 0.006], wood)
    for _ in range(rng.integers(3, 7)):
        share = rng.uniform(-0.9, 1.6)
        at = (
            x + side * share * length,
            y + 0.012 + (0.03 if rng.random() < 0.5 else -0.022) + max(0.0, share) * rise * 0.4,
        )
        if abs(share) < 0.35:
            continue
        Pen(canvas, *at, length).ellipse(0, 0, 0.13, 0.055, varied(leaf, rng, 6), turn=rng.uniform(0, 3))


_PERCHES = {"rock": _rock, "post": _post, "branch": _branch}


def _ripples(canvas, x, y, wide, ground, rng) -> None:  # type: ignore[no-untyped-def]
    for step in range(3):
        reach, drop = wide * (0.9 + 0.28 * step), 0.004 + 0.014 * step
        for side in (-1, 1):
            near, far = x + side * reach * rng.uniform(0.15, 0.4), x + side * reach
            canvas.line(
                [(near, y + drop + 0.006), ((near + far) / 2, y + drop + 0.006), (far, y + drop)],
                0.008,
                lighter(ground, 0.5),
                0.75 - 0.2 * step,
            )


def _tufts(canvas, x, y, wide, ground, rng) -> None:  # type: ignore[no-untyped-def]
    for _ in range(5):
        at, size = x + rng.uniform(-0.8, 0.8) * wide, rng.uniform(0.02, 0.04)
        color = lighter(ground, 0.15) if rng.random() < 0.5 else darker(ground, 0.22)
        for blade in (-0.5, 0.0, 0.5):
            canvas.polygon(
                [
                    (at - size * 0.16, y + 0.012),
                    (at + blade * size * 1.2, y + 0.012 - size),
                    (at + size * 0.16, y + 0.012),
                ],
                color,
            )


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
    _check(out, n, size, agreement)
    plan = plan_birds(n, agreement, np.random.default_rng([seed, 0]))
    with _appearing(out) as beside:
        for first in range(0, n, _PER_FOLDER):
            (beside / _image_name(first)).parent.mkdir(parents=True)
        chunks = [
            _Chunk(beside, first, size, seed, plan.kinds[first : first + _CHUNK], plan.places[first : first + _CHUNK])
            for first in range(0, n, _CHUNK)
        ]
        done = 0
        progress(done, n, "Drawing birds")
        for drawn in _mapped(chunks, processes or len(os.sched_getaffinity(0))):
            done += drawn
            progress(done, n, "Drawing birds")
        _write_table(beside / "metadata.csv", plan)
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
        image.save(chunk.folder / _image_name(index), quality=92, subsampling=0)
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


def _image_name(index: int) -> str:
    """Folders by number: neither kind, place nor split can be read from a name, because the order is random."""
    return f"images/{index // _PER_FOLDER:02d}/{index:05d}.jpg"


def _write_table(path: Path, plan: Plan) -> None:
    with open(path, "w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(COLUMNS)
        for index, (y, place, split) in enumerate(zip(plan.kinds, plan.places, plan.splits, strict=True)):
            writer.writerow((index, _image_name(index), int(y), CLASSES[y], int(split), int(place), PLACES[place]))


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
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


def _check(out: Path, n: int, size: int, agreement: float) -> None:
    if n < 16:
        raise BadRequest(f"{n} birds are too few for three splits.", next_step="Ask for 16 or more.")
    if not 16 <= size <= 1024:
        raise BadRequest(f"{size} pixels is no size for these pictures.", next_step="Choose 16 to 1024.")
    if not 0 <= agreement <= 1:
        raise BadRequest(f"An agreement of {agreement} is no share.", next_step="Choose a number from 0 to 1.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadRequest(f"{out} already holds something.", next_step="Choose a folder that is new or empty.")
