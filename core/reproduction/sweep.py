"""Networks trained at every level of bias, several seeds each; what is done already is not done again.

OUT/sweep.json            the preset, and every cell that is done, whenever it was trained
OUT/cells/0.80-1.json     one network: accuracies, similarities, which pictures its sheets show
OUT/cells/0.80-1.npz      its similarity matrix and those pictures
OUT/models/0.80-1.pt      the network as TorchScript
OUT/data/0.80.npz         what the first seed was trained and tested on, to be opened as a dataset
OUT/report.html           see page.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core.activations.proposals import mid_range
from core.errors import BadRequest
from core.files import digest, read_json, replacing, storage_problems, write_json
from core.progress import Progress, silent
from core.reproduction.reference import LEVELS
from core.reproduction.similarity import even_rows, similarity
from core.synthetic.sprites import SHAPES, Sprites, draw_latents, render, write_sprites

# of the files of a cell
_FORMAT = 2
SWEEP, CELLS, MODELS, DATA = "sweep.json", "cells", "models", "data"
# pictures of the matrix for each shape in each zone, and of a sheet for each shape and band
_EACH, SHOWN = 12, 10
# of the val and test pictures beside those trained on
_HELD_OUT = {"quick": 1000, "full": 4000}


@dataclass(frozen=True)
class Preset:
    """images: trained on. held_out: in val and in test, each without bias in its place, val with the bias of train."""

    name: str
    images: int
    held_out: int
    epochs: int
    seeds: int
    levels: tuple[float, ...] = LEVELS

    @property
    def cells(self) -> list[tuple[float, int]]:
        """Level and seed: every level once before any a second time, so that an early end shows the whole curve."""
        return [(level, seed) for seed in range(self.seeds) for level in self.levels]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "levels": list(self.levels)}


PRESETS = {
    "quick": Preset("quick", images=10_000, held_out=_HELD_OUT["quick"], epochs=8, seeds=3),
    "full": Preset("full", images=20_000, held_out=_HELD_OUT["full"], epochs=80, seeds=5),
}


@dataclass(frozen=True)
class Cell:
    """One network. train, test: accuracies; test is without bias. worst: the lowest test accuracy of a shape in a zone.
    by_shape, by_zone: see `Similarity`. strays: share of pictures outside of their shape's own zone, in the top and in
    the middle of the shape's own logit, on val (None where no picture lies there)."""

    level: float
    seed: int
    train: float
    test: float
    worst: float
    by_shape: float
    by_zone: float
    strays_top: float | None
    strays_middle: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Sweep:
    folder: Path
    preset: Preset
    cells: tuple[Cell, ...]

    def of(self, level: float) -> list[Cell]:
        return [cell for cell in self.cells if cell.level == level]

    def to_dict(self) -> dict[str, Any]:
        return {"preset": self.preset.to_dict(), "cells": [cell.to_dict() for cell in self.cells]}


def preset_named(name: str, *, levels: Sequence[float] | None = None, seeds: int | None = None) -> Preset:
    """Raises `BadRequest` for a preset, levels or seeds that cannot be."""
    if name not in PRESETS:
        raise BadRequest(f"There is no preset {name!r}.", next_step=f"Choose one of {', '.join(PRESETS)}.")
    chosen = PRESETS[name]
    if levels is not None:
        if not levels or any(not 0 <= level <= 1 for level in levels):
            raise BadRequest("Levels of bias lie from 0 to 1.", next_step="Give some, such as 0,0.5,1.")
        if any(round(level, 2) != level for level in levels):
            raise BadRequest("Levels of bias have two decimals at most.", next_step="Give such as 0.05,0.5.")
        chosen = replace(chosen, levels=tuple(sorted(set(levels))))
    if seeds is not None:
        if seeds < 1:
            raise BadRequest(f"{seeds} seeds train nothing.", next_step="Give one or more.")
        chosen = replace(chosen, seeds=seeds)
    return chosen


def run_sweep(out: Path, preset: Preset, *, progress: Progress = silent) -> Sweep:
    """Train what is not there yet. Progress counts images seen. What is returned has all networks of this size that
    `out` holds, those of levels and seeds that were not asked for among them.

    Stopped anywhere, the next call goes on after the last whole network. Raises `BadRequest` where `out` holds networks
    of another size or version, `StorageProblem`, `DiskFull`, and what `progress` raises.
    """
    _check_size(out, preset)
    each = preset.images * preset.epochs
    with storage_problems(out):
        for folder in (CELLS, MODELS, DATA):
            (out / folder).mkdir(parents=True, exist_ok=True)
        for number, (level, seed) in enumerate(preset.cells):
            if _known(out, preset, level, seed) is None:
                before, total = each * number, each * len(preset.cells)
                said = f"Bias {level:.0%}, seed {seed + 1} of {preset.seeds}"

                def seen(images: int, before: int = before, total: int = total, said: str = said) -> None:
                    progress(before + images, total, said)

                _cell(out, preset, level, seed, seen)
                write_json(out / SWEEP, _whole(out, preset).to_dict())
        sweep = _whole(out, preset)
        write_json(out / SWEEP, sweep.to_dict())
    return sweep


def write_data(out: Path, preset: Preset, *, progress: Progress = silent) -> tuple[Path, ...]:
    """What the first seed of each level is trained and tested on, as datasets to be opened; trains nothing.

    Raises `BadRequest` where `out` holds networks of another size or version, `StorageProblem`, `DiskFull`, and what
    `progress` raises.
    """
    _check_size(out, preset)
    written = []
    with storage_problems(out):
        (out / DATA).mkdir(parents=True, exist_ok=True)
        for number, level in enumerate(preset.levels):
            progress(number, len(preset.levels), f"Drawing shapes, bias {level:.0%}")
            parts = drawn(preset, level, 0)
            pictures = {name: render(sprites) for name, sprites in parts.items()}
            written.append(write_sprites(data_file(out, level), parts, pictures))
        progress(len(preset.levels), len(preset.levels), "Drawing shapes")
    return tuple(written)


def data_file(out: Path, level: float) -> Path:
    """What the first seed of a level was trained on, as a dataset."""
    return out / DATA / f"{level:.2f}.npz"


def model_file(out: Path, level: float, seed: int = 0) -> Path:
    """The network of a level and seed, as TorchScript."""
    return out / MODELS / f"{_name(level, seed)}.pt"


def read_pictures(out: Path, cell: Cell) -> dict[str, np.ndarray]:
    """The matrix of a cell (`matrix`), what its rows show (`shapes`, `xs`), and the pictures of its sheets
    (`square-top`, `square-middle` ...)."""
    with np.load(out / CELLS / f"{_name(cell.level, cell.seed)}.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _cell(out: Path, preset: Preset, level: float, seed: int, seen: Any) -> Cell:
    # torch takes seconds to import: a sweep that is done needs none
    from core.reproduction.network import asked, trained, write

    parts = drawn(preset, level, seed)
    pictures = {name: render(sprites) for name, sprites in parts.items()}
    seen(0)
    network = trained(pictures["train"], parts["train"].shapes, epochs=preset.epochs, seed=seed, progress=seen)
    figures = {name: asked(network, pictures[name]) for name in parts}
    right = {name: logits.argmax(axis=1) == parts[name].shapes for name, (_, logits) in figures.items()}
    test = parts["test"]
    rows = even_rows(test.shapes, test.zones, _EACH)
    alike = similarity(figures["test"][0][rows], test.shapes[rows], test.zones[rows])
    sheets, strays = _sheets(parts["val"], pictures["val"], figures["val"][1])
    cell = Cell(
        level=level,
        seed=seed,
        train=float(right["train"].mean()),
        test=float(right["test"].mean()),
        worst=min(
            float(right["test"][inside].mean())
            for shape in range(3)
            for zone in range(3)
            if (inside := (test.shapes == shape) & (test.zones == zone)).any()
        ),
        by_shape=alike.by_shape,
        by_zone=alike.by_zone,
        strays_top=strays["top"],
        strays_middle=strays["middle"],
    )
    name = _name(level, seed)
    write(network, model_file(out, level, seed))
    if seed == 0:
        write_sprites(data_file(out, level), parts, pictures)
    with replacing(out / CELLS / f"{name}.npz") as beside, open(beside, "wb") as target:
        order = np.lexsort((test.zones[rows], test.shapes[rows]))
        of_rows = {"shapes": test.shapes[rows][order], "xs": test.xs[rows][order]}
        np.savez_compressed(target, matrix=alike.matrix, **of_rows, **sheets)  # type: ignore[arg-type]  # a stub's oversight
    # last: with it the cell is done
    write_json(out / CELLS / f"{name}.json", {"key": _key(preset), **cell.to_dict()})
    return cell


def drawn(preset: Preset, level: float, seed: int) -> dict[str, Sprites]:
    """Train and val have the bias, test has none."""
    return {
        "train": draw_latents(preset.images, level, np.random.default_rng([seed, 0, 0])),
        "val": draw_latents(preset.held_out, level, np.random.default_rng([seed, 0, 1])),
        "test": draw_latents(preset.held_out, 0.0, np.random.default_rng([seed, 0, 2])),
    }


def _sheets(
    sprites: Sprites, pictures: np.ndarray, logits: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float | None]]:
    """For each shape its own pictures from the top and the middle of its logit, and how many of those are strays.

    The middle is that of `mid_range`; in it a shape's own pictures are what is looked at, since they are the ones that
    the network is not sure of.
    """
    sheets, outside = {}, {"top": [0, 0], "middle": [0, 0]}
    for shape, name in enumerate(SHAPES):
        values, own = logits[:, shape], sprites.shapes == shape
        middle = mid_range(values, own, name)
        mine = np.flatnonzero(own)
        strongest = mine[np.argsort(-values[mine], kind="stable")]
        between = mine[(values[mine] >= middle.low) & (values[mine] < middle.high)]
        bands = {"top": strongest[: max(1, len(mine) // 10)], "middle": between}
        for band, rows in bands.items():
            outside[band][0] += int((sprites.zones[rows] != shape).sum())
            outside[band][1] += len(rows)
            sheets[f"{name}-{band}"] = pictures[rows[:: max(1, len(rows) // SHOWN)][:SHOWN]]
    return sheets, {band: strays / count if count else None for band, (strays, count) in outside.items()}


def _known(out: Path, preset: Preset, level: float, seed: int) -> Cell | None:
    path = out / CELLS / f"{_name(level, seed)}.json"
    try:
        stored = read_json(path)
        files = [path.with_suffix(".npz"), model_file(out, level, seed), *([data_file(out, level)] if not seed else [])]
        if stored.pop("key") != _key(preset) or not all(file.is_file() for file in files):
            return None
        cell = Cell(**stored)
        return cell if (cell.level, cell.seed) == (level, seed) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # not there, or not whole: made anew
        return None


def _whole(out: Path, preset: Preset) -> Sweep:
    """Every network of this size that is there, and the levels and seeds of all of them."""
    cells = set()
    for path in (out / CELLS).glob("*.json"):
        level, _, seed = path.stem.rpartition("-")
        try:
            cell = _known(out, preset, float(level), int(seed))
        except ValueError:
            # a file of somebody else's
            continue
        if cell is not None:
            cells.add(cell)
    levels = sorted({*preset.levels, *(cell.level for cell in cells)})
    seeds = max([preset.seeds, *(cell.seed + 1 for cell in cells)])
    ordered = sorted(cells, key=lambda cell: (cell.seed, cell.level))
    return Sweep(out, replace(preset, levels=tuple(levels), seeds=seeds), tuple(ordered))


def _check_size(out: Path, preset: Preset) -> None:
    """Raises `BadRequest` where another preset's networks, or an older version's, would be overwritten."""
    told = f"{out} holds networks of another size"
    next_step = "Give another folder with --out."
    try:
        stored = read_json(out / SWEEP)
        there = stored["preset"]
        size = (there["images"], there["held_out"], there["epochs"])
        if size != (preset.images, preset.held_out, preset.epochs):
            told += f": {size[0]:,} pictures, {size[2]} epochs"
            next_step = f"Give another folder with --out, or --preset {there['name']} to go on with these."
        else:
            told = f"{out} holds networks that another version trained"
    except (OSError, ValueError, TypeError, KeyError):
        # not there or not whole: the cells say it
        pass
    if any(_key_of(path) not in (None, _key(preset)) for path in (out / CELLS).glob("*.json")):
        raise BadRequest(f"{told}.", next_step=next_step)


def _key_of(path: Path) -> str | None:
    """None for a cell that is not whole."""
    try:
        return str(read_json(path)["key"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _key(preset: Preset) -> str:
    """What two sweeps must have in common to share a network."""
    return digest(json.dumps([_FORMAT, preset.images, preset.held_out, preset.epochs]))


def _name(level: float, seed: int) -> str:
    return f"{level:.2f}-{seed}"
