"""Simple shapes with a planted confounder: squares, ellipses and hearts that mostly come in a colour of their own.

In train and val nearly every square is red, every ellipse green and every heart blue; in test any shape has any
colour. Position, size, turn, stretch, paleness and background say nothing. The shapes are those of dSprites (Matthey et
al. 2017), drawn from scratch.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from core.progress import Progress, silent
from core.synthetic.canvas import Canvas, Color, ellipse_points, mix, varied
from core.synthetic.planting import appearing, check, image_name, make_folders, plan_groups, write_table

CLASSES = ("square", "ellipse", "heart")
COLORS = ("red", "green", "blue")
COLUMNS = ("img_id", "img_filename", "y", "y_name", "split", "color", "color_name")

_PAINTS: dict[str, Color] = {"red": (196, 78, 72), "green": (84, 158, 88), "blue": (82, 106, 196)}
# half the side of a shape, as a share of the picture's; how much of its paint is grey; its turn, in radians. Smaller,
# brighter or freely turned shapes leave a small network no reason to learn any shape: its features hold the colour only
HALF = (0.24, 0.38)
PALE = (0.6, 0.9)
TURN = 0.15
_EVERY = 100


def make_shapes(
    out: Path,
    *,
    n: int = 6000,
    size: int = 32,
    seed: int = 0,
    agreement: float = 0.95,
    progress: Progress = silent,
) -> Path:
    """Write `out/metadata.csv` (see `COLUMNS`) and `out/images`, and return `out`.

    n: images, half of them for train, a quarter each for val and test. size: pixels, width and height. agreement:
    share of each shape that has its usual colour, in train and val. The same arguments give the same bytes. The folder
    appears when it is complete. Raises `BadRequest`, `DiskFull`, `StorageProblem`, and what `progress` raises.
    """
    check(out, size, agreement)
    plan = plan_groups(n, len(CLASSES), len(COLORS), agreement, np.random.default_rng([seed, 0]))
    truth = list(zip(plan.labels.tolist(), plan.values.tolist(), plan.splits.tolist(), strict=True))
    with appearing(out) as beside:
        make_folders(beside, n)
        for index, (y, color, _) in enumerate(truth):
            if index % _EVERY == 0:
                progress(index, n, "Drawing shapes")
            drawn = draw_shape(CLASSES[y], COLORS[color], np.random.default_rng([seed, 1, index]), size)
            drawn.save(beside / image_name(index, ".png"))
        write_table(
            beside / "metadata.csv",
            COLUMNS,
            (
                (index, image_name(index, ".png"), y, CLASSES[y], split, color, COLORS[color])
                for index, (y, color, split) in enumerate(truth)
            ),
        )
        progress(n, n, "Drawing shapes")
    return out


def draw_shape(shape: str, color: str, rng: np.random.Generator, size: int = 32) -> Image.Image:
    """shape: one of `CLASSES`. color: one of `COLORS`. size: pixels. Returns an RGB image, size x size."""
    canvas = Canvas(size)
    level = rng.uniform(70, 190)
    top, bottom = (_grey(level + shift) for shift in rng.normal(0, 25, 2))
    canvas.gradient(0, 1, [(0.0, top), (1.0, bottom)])
    half, stretch, turn = rng.uniform(*HALF), rng.uniform(0.8, 1.0), rng.normal(0, TURN)
    x, y = rng.uniform(0.38, 0.62, 2)
    outline = _outline(shape) * (half, half * stretch)
    turned = outline @ np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    # lighter than a dark ground, darker than a light one
    pale = _grey(level + (60 if level < 130 else -60))
    paint = mix(varied(_PAINTS[color], rng, by=14), pale, rng.uniform(*PALE))
    canvas.polygon(turned + np.array([x, y]), paint)
    pixels = np.asarray(canvas.finish(), dtype=np.float64)
    noisy = pixels + rng.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _grey(level: float) -> Color:
    value = min(255, max(0, round(level)))
    return value, value, value


def _outline(shape: str) -> np.ndarray:
    """Around the origin, about one unit in each direction, with equal areas to within a tenth: (m, 2)."""
    if shape == "square":
        return np.array([(-0.87, -0.87), (0.87, -0.87), (0.87, 0.87), (-0.87, 0.87)])
    if shape == "ellipse":
        return ellipse_points(0, 0, 0.98, 0.98)
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    heart = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -heart - 2], axis=1) / 14.2
