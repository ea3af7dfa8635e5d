"""The backgrounds: water and land in changing light. Both share their skies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from core.synthetic.canvas import Canvas, Color, darker, lighter, mix, varied

PLACES = ("land", "water")


@dataclass(frozen=True)
class Light:
    """Time of day. sky: colours from the zenith to the horizon. haze, amount: what every colour is drawn towards."""

    sky: tuple[Color, Color, Color]
    sun: Color
    haze: Color
    amount: float
    low: bool  # the sun stands near the horizon

    def on(self, color: Color, more: float = 0.0) -> Color:
        return mix(color, self.haze, min(1.0, self.amount + more))


LIGHTS = (
    Light(((96, 178, 226), (150, 208, 238), (214, 238, 246)), (255, 246, 200), (214, 236, 246), 0.02, False),
    Light(((120, 190, 222), (188, 220, 226), (250, 236, 212)), (255, 236, 180), (250, 232, 206), 0.10, False),
    Light(((250, 196, 140), (252, 214, 160), (255, 236, 196)), (255, 250, 222), (250, 200, 140), 0.18, True),
    Light(((104, 98, 164), (236, 138, 128), (255, 202, 140)), (255, 226, 150), (226, 130, 130), 0.20, True),
    Light(((164, 180, 192), (190, 202, 208), (218, 224, 224)), (240, 240, 236), (190, 200, 206), 0.16, False),
    Light(((44, 58, 110), (86, 98, 152), (170, 150, 178)), (246, 244, 226), (60, 70, 122), 0.34, False),
)


def sky(canvas: Canvas, light: Light, horizon: float, rng: np.random.Generator) -> tuple[float, float]:
    """Gradient, sun or moon, clouds. Returns where the sun stands."""
    zenith, middle, low = light.sky
    canvas.gradient(0, horizon + 0.01, [(0, zenith), (0.55, middle), (1, low)])
    x = rng.uniform(0.12, 0.88)
    y = horizon - rng.uniform(0.02, 0.10) if light.low else rng.uniform(0.08, horizon * 0.55)
    radius = rng.uniform(0.045, 0.075)
    canvas.glow(x, y, radius * 3.4, light.sun, 0.6)
    canvas.ellipse(x, y, radius, radius, light.sun)
    for _ in range(rng.integers(0, 4)):
        _cloud(canvas, rng.uniform(0, 1), rng.uniform(0.05, horizon * 0.75), rng.uniform(0.05, 0.11), light, rng)
    return x, y


def _cloud(canvas: Canvas, x: float, y: float, r: float, light: Light, rng: np.random.Generator) -> None:
    # opaque, in a colour near the sky's: overlapping discs that one can see through look like discs
    color = mix(mix((255, 255, 255), light.sky[2], 0.4), light.sky[1], rng.uniform(0.1, 0.4))
    base = y + r * 0.35
    canvas.ellipse(x, base, r * 1.9, r * 0.32, color)
    for dx, size in ((-0.9, 0.5), (-0.1, 0.75), (0.8, 0.55)):
        canvas.ellipse(x + dx * r, base - size * r * 0.35, size * r, size * r * 0.62, color)


def ridge(
    canvas: Canvas, level: float, height: float, color: Color, rng: np.random.Generator, *, rough: float = 1.0
) -> np.ndarray:
    """Hills along the horizon: everything under a wavy line. Returns the line, (33, 2)."""
    x = np.linspace(-0.02, 1.02, 33)
    y = np.zeros_like(x)
    for octave, weight in ((1.0, 0.6), (2.3, 0.3), (5.1, 0.1 * rough)):
        y += weight * np.sin(2 * math.pi * octave * x * rng.uniform(0.7, 1.3) + rng.uniform(0, 2 * math.pi))
    line = np.stack([x, level - height * (0.55 + 0.45 * y)], axis=1)
    canvas.polygon(np.vstack([line, [[1.02, 1.02], [-0.02, 1.02]]]), color)
    return line


# --- water -----------------------------------------------------------------------------------------------------------

WATERS: tuple[Color, ...] = ((44, 124, 176), (58, 146, 168), (36, 96, 150), (70, 140, 150), (82, 150, 190))


def water(canvas: Canvas, light: Light, ground: float, rng: np.random.Generator) -> Color:
    """A sea or a lake. ground: height of the bird's waterline. Returns the colour of the water there."""
    horizon = min(rng.uniform(0.34, 0.52), ground - 0.12)
    sun = sky(canvas, light, horizon, rng)
    base = light.on(varied(WATERS[rng.integers(len(WATERS))], rng, 8))
    scene = rng.random()
    if scene < 0.75:
        shore = light.on(varied((96, 128, 132), rng, 10), 0.3)
        ridge(canvas, horizon, rng.uniform(0.04, 0.13), shore, rng)
        if scene < 0.4:
            ridge(canvas, horizon, rng.uniform(0.015, 0.05), darker(shore, 0.18), rng, rough=3)
    near = mix(base, light.sky[2], 0.55)
    canvas.gradient(horizon, 1.0, [(0, near), (0.25, mix(base, near, 0.4)), (1, darker(base, 0.22))])
    if scene >= 0.75 and rng.random() < 0.5:
        _sail(canvas, rng.uniform(0.1, 0.9), horizon + 0.012, rng.uniform(0.05, 0.09), light, rng)
    _glitter(canvas, sun[0], horizon, light, rng)
    _waves(canvas, horizon, base, rng)
    if rng.random() < 0.35:
        _reeds(canvas, light, rng)
    return base


def _waves(canvas: Canvas, horizon: float, base: Color, rng: np.random.Generator) -> None:
    bright, deep = lighter(base, 0.42), darker(base, 0.25)
    for _ in range(26):
        depth = rng.random() ** 1.4
        y = horizon + 0.02 + depth * (0.97 - horizon)
        x, wide = rng.uniform(-0.05, 1.05), (0.03 + 0.12 * depth) * rng.uniform(0.6, 1.4)
        high = (0.003 + 0.010 * depth) * rng.uniform(0.7, 1.2)
        color = bright if rng.random() < 0.6 else deep
        canvas.polygon(
            [(x - wide, y), (x - wide * 0.4, y - high), (x + wide * 0.4, y - high), (x + wide, y), (x, y + high * 0.3)],
            color,
            0.5,
        )


def _glitter(canvas: Canvas, x: float, horizon: float, light: Light, rng: np.random.Generator) -> None:
    for step in range(10):
        depth = step / 10
        wide = (0.015 + 0.06 * depth) * rng.uniform(0.6, 1.3)
        y = horizon + 0.015 + depth * (0.9 - horizon) * 0.8
        canvas.ellipse(x + rng.normal(0, 0.012), y, wide, 0.004 + 0.003 * depth, light.sun, 0.55 * (1 - depth * 0.6))


def _sail(canvas: Canvas, x: float, y: float, size: float, light: Light, rng: np.random.Generator) -> None:
    cloth = light.on(((250, 246, 236), (232, 120, 90), (246, 214, 130))[rng.integers(3)])
    canvas.polygon([(x, y - size * 1.5), (x, y - size * 0.25), (x + size * 0.6, y - size * 0.25)], cloth)
    canvas.polygon(
        [(x - 0.006, y - size * 1.2), (x - 0.006, y - size * 0.25), (x - size * 0.4, y - size * 0.25)], cloth
    )
    canvas.polygon(
        [
            (x - size * 0.55, y - size * 0.18),
            (x + size * 0.65, y - size * 0.18),
            (x + size * 0.4, y),
            (x - size * 0.4, y),
        ],
        light.on((120, 76, 60)),
    )


def _reeds(canvas: Canvas, light: Light, rng: np.random.Generator) -> None:
    color = light.on(varied((92, 132, 76), rng))
    left = rng.random() < 0.5
    for _ in range(rng.integers(4, 9)):
        x = rng.uniform(-0.02, 0.14)
        x = x if left else 1 - x
        top, bend = rng.uniform(0.5, 0.78), rng.uniform(-0.03, 0.05)
        canvas.line([(x, 1.0), (x + bend * 0.3, (1 + top) / 2), (x + bend, top)], 0.008, color)
        if rng.random() < 0.5:
            canvas.ellipse(x + bend, top, 0.011, 0.035, light.on((118, 82, 56)))


# --- land ------------------------------------------------------------------------------------------------------------

MEADOWS: tuple[Color, ...] = ((132, 178, 84), (156, 184, 96), (110, 160, 84), (188, 178, 96), (206, 168, 92))
LEAVES: tuple[Color, ...] = (
    (70, 130, 74),
    (92, 148, 80),
    (54, 108, 76),
    (196, 138, 64),
    (180, 100, 62),
    (126, 150, 70),
)
FLOWERS: tuple[Color, ...] = ((250, 240, 226), (244, 202, 84), (226, 110, 120), (176, 130, 200))


def land(canvas: Canvas, light: Light, ground: float, rng: np.random.Generator) -> Color:
    """A meadow with hills, or the edge of a wood. ground: height of the feet. Returns the colour of the ground."""
    horizon = min(rng.uniform(0.38, 0.56), ground - 0.10)
    sky(canvas, light, horizon, rng)
    meadow = light.on(varied(MEADOWS[rng.integers(len(MEADOWS))], rng, 8))
    far = light.on(mix(meadow, (110, 150, 150), 0.5), 0.28)
    ridge(canvas, horizon, rng.uniform(0.08, 0.2), far, rng)
    leaf = varied(LEAVES[rng.integers(len(LEAVES))], rng, 8)
    if rng.random() < 0.4:
        _wood(canvas, horizon, light, leaf, rng)
    else:
        line = ridge(canvas, horizon + 0.03, rng.uniform(0.05, 0.12), mix(meadow, far, 0.45), rng)
        for _ in range(rng.integers(2, 7)):
            x, y = line[rng.integers(len(line))]
            _tree(canvas, float(x), float(y) + 0.02, rng.uniform(0.09, 0.2), light, leaf, rng)
    top = horizon + 0.05
    canvas.gradient(top, 1.0, [(0, mix(meadow, far, 0.2)), (0.3, meadow), (1, darker(meadow, 0.2))])
    ridge_line = ridge(canvas, top + 0.012, 0.03, mix(meadow, far, 0.12), rng)
    canvas.gradient(
        float(ridge_line[:, 1].max()), 1.0, [(0, mix(meadow, far, 0.12)), (0.4, meadow), (1, darker(meadow, 0.2))]
    )
    _grass(canvas, top + 0.05, meadow, light, rng)
    return meadow


def _wood(canvas: Canvas, horizon: float, light: Light, leaf: Color, rng: np.random.Generator) -> None:
    back, front = light.on(darker(leaf, 0.1), 0.18), light.on(darker(leaf, 0.2))
    # undergrowth, so that no sky shows between the trunks
    canvas.gradient(horizon - 0.03, horizon + 0.1, [(0, darker(back, 0.1)), (1, darker(front, 0.15))])
    for color, level, count in ((back, -0.04, 9), (front, 0.02, 8)):
        for x in np.linspace(-0.05, 1.05, count) + rng.normal(0, 0.03, count):
            _tree(canvas, float(x), horizon + level + 0.04, rng.uniform(0.2, 0.34), light, color, rng, tinted=True)


def _tree(
    canvas: Canvas,
    x: float,
    y: float,
    size: float,
    light: Light,
    leaf: Color,
    rng: np.random.Generator,
    *,
    tinted: bool = False,
) -> None:
    color = varied(leaf if tinted else light.on(leaf, 0.08), rng, 6)
    trunk = light.on((112, 84, 66), 0.1)
    canvas.polygon(
        [
            (x - size * 0.05, y),
            (x - size * 0.035, y - size * 0.5),
            (x + size * 0.035, y - size * 0.5),
            (x + size * 0.05, y),
        ],
        trunk,
    )
    if rng.random() < 0.5:
        for tier in range(3):
            wide, low = size * (0.36 - 0.08 * tier), y - size * (0.18 + 0.24 * tier)
            shade = lighter(color, 0.06 * tier)
            canvas.polygon([(x - wide, low), (x, low - size * 0.44), (x + wide, low)], shade)
    else:
        r = size * 0.3
        canvas.ellipse(x - r * 0.55, y - size * 0.55, r * 0.75, r * 0.72, darker(color, 0.08))
        canvas.ellipse(x + r * 0.6, y - size * 0.52, r * 0.75, r * 0.7, darker(color, 0.08))
        canvas.ellipse(x, y - size * 0.72, r, r, color)
        canvas.ellipse(x - r * 0.25, y - size * 0.8, r * 0.5, r * 0.45, lighter(color, 0.12))


def _grass(canvas: Canvas, top: float, meadow: Color, light: Light, rng: np.random.Generator) -> None:
    flower = light.on(FLOWERS[rng.integers(len(FLOWERS))])
    flowers = rng.random() < 0.6
    for _ in range(30):
        depth = rng.random() ** 1.2
        x, y = rng.uniform(0, 1), top + depth * (1.0 - top)
        size = 0.012 + 0.03 * depth
        color = lighter(meadow, 0.2) if rng.random() < 0.5 else darker(meadow, 0.24)
        for blade in (-0.5, 0.0, 0.5):
            tip = (x + blade * size * 1.1, y - size * (1.3 if blade == 0 else 1.0))
            canvas.polygon(
                [(x - size * 0.14 + blade * size * 0.3, y), tip, (x + size * 0.14 + blade * size * 0.3, y)], color, 0.8
            )
        if flowers and rng.random() < 0.45:
            canvas.ellipse(x + size, y - size * 0.4, size * 0.34, size * 0.34, flower)
            canvas.ellipse(
                x + size,
                y - size * 0.4,
                size * 0.13,
                size * 0.13,
                (248, 206, 90) if flower[1] < 230 else (226, 150, 60),
            )
