"""What a bird stands on when it neither swims nor walks. Rocks and posts carry both kinds in both places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.synthetic.canvas import Canvas, Color, Pen, darker, lighter, varied
from core.synthetic.scenes import Light


@dataclass(frozen=True)
class Spot:
    """Where a bird stands. x, y: its feet. length: of the bird's unit. ground: colour of the land or water there."""

    canvas: Canvas
    x: float
    y: float
    length: float
    light: Light
    place: str
    ground: Color


def rock(spot: Spot, rng: np.random.Generator) -> None:
    x, y = spot.x, spot.y
    stone = spot.light.on(varied((132, 128, 126), rng, 10))
    wide, deep = spot.length * rng.uniform(0.6, 0.85), spot.length * rng.uniform(0.25, 0.4)
    outline = [
        (x - wide, y + deep),
        (x - wide * 0.7, y + 0.01),
        (x, y - 0.012),
        (x + wide * 0.75, y + 0.01),
        (x + wide, y + deep),
        (x, y + deep * 1.15),
    ]
    spot.canvas.blob(outline, stone)
    top = [
        (x - wide * 0.6, y + deep * 0.3),
        (x - wide * 0.3, y + 0.004),
        (x + wide * 0.4, y + 0.004),
        (x + wide * 0.1, y + deep * 0.35),
    ]
    spot.canvas.blob(top, lighter(stone, 0.22), 0.8)
    _foot(spot, y + deep, wide * 1.15, rng)


def post(spot: Spot, rng: np.random.Generator) -> None:
    x, y = spot.x, spot.y
    wood = spot.light.on(varied((128, 98, 76), rng, 10))
    half, low = spot.length * rng.uniform(0.13, 0.2), min(0.97, y + rng.uniform(0.16, 0.26))
    foot = half * 1.05
    spot.canvas.polygon([(x - half, y), (x + half, y), (x + foot, low), (x - foot, low)], wood)
    shade = [(x + half * 0.3, y), (x + half, y), (x + foot, low), (x + half * 0.35, low)]
    spot.canvas.polygon(shade, darker(wood, 0.2))
    spot.canvas.ellipse(x, y, half, half * 0.3, lighter(wood, 0.25))
    _foot(spot, low, half * 2.2, rng)


def branch(spot: Spot, rng: np.random.Generator) -> None:
    """Reaches in from one side and ends in a twig behind the bird."""
    x, y, length = spot.x, spot.y, spot.length
    wood = spot.light.on(varied((110, 82, 64), rng, 8))
    leaf = spot.light.on(varied((112, 152, 82), rng, 14))
    side = 1 if rng.random() < 0.5 else -1
    rise = rng.uniform(-0.08, 0.10)
    path = [
        (x + side * 0.8, y + rise * 2),
        (x + side * 0.35, y + rise * 0.5 + 0.02),
        (x, y + 0.014),
        (x - side * length * 0.9, y - 0.02),
    ]
    Pen(spot.canvas, 0, 0, 1).tube(path, [0.03, 0.022, 0.015, 0.006], wood)
    for share in rng.uniform(-0.9, 1.6, size=rng.integers(3, 7)):
        if abs(share) < 0.35:
            continue  # would hide the bird's feet
        at = y + 0.012 + (0.03 if rng.random() < 0.5 else -0.022) + max(0.0, share) * rise * 0.4
        stem = Pen(spot.canvas, x + side * share * length, at, length)
        stem.ellipse(0, 0, 0.13, 0.055, varied(leaf, rng, 6), turn=rng.uniform(0, 3))


PERCHES: dict[str, Callable[[Spot, np.random.Generator], None]] = {"rock": rock, "post": post, "branch": branch}


def ripples(canvas: Canvas, x: float, y: float, wide: float, water: Color, rng: np.random.Generator) -> None:
    for step in range(3):
        reach, drop = wide * (0.9 + 0.28 * step), 0.004 + 0.014 * step
        for side in (-1, 1):
            near, far = x + side * reach * rng.uniform(0.15, 0.4), x + side * reach
            path = [(near, y + drop + 0.006), ((near + far) / 2, y + drop + 0.006), (far, y + drop)]
            canvas.line(path, 0.008, lighter(water, 0.5), 0.75 - 0.2 * step)


def tufts(canvas: Canvas, x: float, y: float, wide: float, meadow: Color, rng: np.random.Generator) -> None:
    for _ in range(5):
        at, size = x + rng.uniform(-0.8, 0.8) * wide, rng.uniform(0.02, 0.04)
        color = lighter(meadow, 0.15) if rng.random() < 0.5 else darker(meadow, 0.22)
        low = y + 0.012
        for blade in (-0.5, 0.0, 0.5):
            tip = (at + blade * size * 1.2, low - size)
            canvas.polygon([(at - size * 0.16, low), tip, (at + size * 0.16, low)], color)


def _foot(spot: Spot, y: float, wide: float, rng: np.random.Generator) -> None:
    """Where the perch meets the water or the ground."""
    if spot.place == "water":
        ripples(spot.canvas, spot.x, y, wide, spot.ground, rng)
    else:
        tufts(spot.canvas, spot.x, y, wide * 1.3, spot.ground, rng)
