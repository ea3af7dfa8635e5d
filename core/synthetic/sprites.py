"""The paper's synthetic experiment: white shapes on black whose place on the x-axis mostly goes with the shape.

The latents and their numbers are those of dSprites (Matthey et al. 2017): square, ellipse and heart, 6 scales, 40
turns, 32 places on each axis, 64 x 64 pixels. The pictures are drawn here. Squares belong into the left zone, ellipses
into the middle, hearts to the right; the zones leave gaps between them (O'Mahony et al., WACV 2025, arXiv:2411.10019,
and its authors' public notebook). The bias is the share of each shape that is put into its own zone; the others lie in
a zone drawn at random, so that at 0 the place says nothing and at 1 it says everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadRequest
from core.files import replacing

SHAPES = ("square", "ellipse", "heart")
ZONES = ("left", "middle", "right")
SCALES, TURNS, PLACES = 6, 40, 32
SIDE = 64
# from nothing to a full turn, which looks alike: as there
_TURNED = np.linspace(0.0, 2 * math.pi, TURNS)
# of the 32 places from 0 to 1, those of each zone: below 0.3, from 0.35 to 0.65, from 0.7
_PLACES = np.linspace(0.0, 1.0, PLACES)
_IN_ZONE = (
    np.flatnonzero(_PLACES < 0.3),
    np.flatnonzero((_PLACES >= 0.35) & (_PLACES <= 0.65)),
    np.flatnonzero(_PLACES >= 0.7),
)
# the middle of a shape lies between a quarter and three quarters of the picture, so that none is cut off
_FIRST, _REACH = 0.25, 0.5
# half the side of the largest square, as a share of the picture; the smallest shape is half as large as the largest
_HALF, _SMALLEST = 0.15, 0.5
# the corner of a square is further from its middle than any other point of a shape, in halves of the side
_FURTHEST = 1.45
# points of each pixel that are asked whether they are inside, along either axis: smooth edges
_FINER = 3
_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Sprites:
    """What n pictures show, each (n,) int64. shapes: positions in `SHAPES`. scales, turns, xs, ys: 0 to the number of
    them less one. zones: positions in `ZONES`, of xs."""

    shapes: np.ndarray
    scales: np.ndarray
    turns: np.ndarray
    xs: np.ndarray
    ys: np.ndarray
    zones: np.ndarray

    def __len__(self) -> int:
        return len(self.shapes)


def draw_latents(n: int, bias: float, rng: np.random.Generator) -> Sprites:
    """n sprites, as many of each shape to the nearest one, in random order.

    bias: the share of each shape, to the nearest image, that is put into its own zone; the others lie in one of the
    three at random. Raises `BadRequest`.
    """
    if not 0 <= bias <= 1:
        raise BadRequest(f"A bias of {bias} is no share.", next_step="Choose a number from 0 to 1.")
    if n < len(SHAPES):
        raise BadRequest(f"{n} sprites are too few for {len(SHAPES)} shapes.", next_step="Ask for more.")
    shapes = rng.permutation(np.arange(n) % len(SHAPES))
    zones = rng.integers(len(ZONES), size=n)
    for shape in range(len(SHAPES)):
        own = np.flatnonzero(shapes == shape)
        zones[own[: round(bias * len(own))]] = shape
    xs = np.empty(n, dtype=np.int64)
    for zone, places in enumerate(_IN_ZONE):
        inside = zones == zone
        xs[inside] = rng.choice(places, size=int(inside.sum()))
    scales, turns, ys = (rng.integers(count, size=n) for count in (SCALES, TURNS, PLACES))
    return Sprites(shapes, scales, turns, xs, ys, zones)


def zone_at(place: float) -> int:
    """The zone of a shape whose middle lies there, as a share of the picture's width: a position in `ZONES`. A place
    between two zones counts to the nearer one."""
    reached = (place - _FIRST) / _REACH
    middles = [_PLACES[places].mean() for places in _IN_ZONE]
    return int(np.argmin([abs(reached - middle) for middle in middles]))


def render(sprites: Sprites, side: int = SIDE) -> np.ndarray:
    """(n, side, side) uint8: 0 outside of the shape, 255 inside, between the two at its edge."""
    pictures = np.zeros((len(sprites), side, side), dtype=np.uint8)
    # a shape lies within a window of that many pixels: the rest is black
    window = min(side, math.ceil(2 * _FURTHEST * _HALF * side) + 1)
    points = ((np.arange(window * _FINER) + 0.5) / (side * _FINER)).astype(np.float32)
    for start in range(0, len(sprites), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        kinds = sprites.shapes[part]
        half = _HALF * (_SMALLEST + (1 - _SMALLEST) * sprites.scales[part] / (SCALES - 1))
        turn = _TURNED[sprites.turns[part]]
        middles = [_FIRST + _REACH * _PLACES[places[part]] for places in (sprites.xs, sprites.ys)]
        corners = [np.clip(np.floor((m - _FURTHEST * _HALF) * side), 0, side - window).astype(int) for m in middles]
        # from the middle of the shape, in halves of its side, turned back upright
        across, down = (
            ((points + (corner / side)[:, None] - middle[:, None]) / half[:, None]).astype(np.float32)
            for corner, middle in zip(corners, middles, strict=True)
        )
        cos, sin = (f(turn).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
        u = cos * across[:, None, :] + sin * down[:, :, None]
        v = cos * down[:, :, None] - sin * across[:, None, :]
        inside = np.empty(u.shape, dtype=np.float32)
        for shape, contains in enumerate((_square, _ellipse, _heart)):
            of = kinds == shape
            inside[of] = contains(u[of], v[of])
        blocks = inside.reshape(len(kinds), window, _FINER, window, _FINER).mean(axis=(2, 4))
        here = np.arange(len(kinds))[:, None, None] + start
        rows, columns = (corner[:, None] + np.arange(window) for corner in reversed(corners))
        pictures[here, rows[:, :, None], columns[:, None, :]] = np.rint(255 * blocks)
    return pictures


def write_sprites(path: Path, parts: dict[str, Sprites], pictures: dict[str, np.ndarray]) -> Path:
    """An `.npz` that can be opened as a dataset: its classes the shapes, its attributes the zone and the scale.

    parts, pictures: the sprites of each split and what `render` made of them.
    """
    names = list(parts)
    together = {
        field: np.concatenate([getattr(parts[name], field) for name in names])
        for field in ("shapes", "zones", "scales")
    }
    with replacing(path) as beside, open(beside, "wb") as target:
        np.savez_compressed(
            target,
            images=np.concatenate([pictures[name] for name in names]),
            # numbers, so that the classes are in the order of the logits
            labels=together["shapes"],
            class_names=np.array(SHAPES),
            split=np.repeat(names, [len(parts[name]) for name in names]),
            zone=np.array(ZONES)[together["zones"]],
            scale=together["scales"],
        )
    return path


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (np.abs(u) <= 1) & (np.abs(v) <= 1)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return (u / np.float32(1.25)) ** 2 + (v / np.float32(0.75)) ** 2 <= 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(a^2 + b^2 - 1)^3 <= a^2 b^3, point down, moved so that its centre of mass is the middle."""
    a, b = u * np.float32(1.05), (v - np.float32(0.28)) * np.float32(-1.05)
    a, ring = a * a, a * a + b * b - 1
    return ring * ring * ring <= a * b * b * b
