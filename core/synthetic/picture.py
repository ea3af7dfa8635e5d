"""One picture: a scene, something to stand on, a bird in the light of the scene."""

from __future__ import annotations

import numpy as np
from PIL import Image

from core.synthetic.canvas import Canvas, Color, Pen, darker, mix
from core.synthetic.figures import BUILDS, KINDS, Figure, Plumage, heron, plumage
from core.synthetic.perches import PERCHES, Spot, ripples, tufts
from core.synthetic.scenes import LIGHTS, Light, land, water

# Share of the picture's side that a bird takes. Smaller ones leave the network nothing to learn from at 64 pixels.
LENGTH = (0.44, 0.60)


def draw_bird(kind: str, place: str, rng: np.random.Generator, size: int = 96) -> Image.Image:
    """kind: "landbird" or "waterbird". place: "land" or "water". size: pixels. Returns an RGB image, size x size.

    Light, sky, colours, size, position, direction and pose are drawn alike for both kinds and both places.
    """
    canvas = Canvas(size)
    light = LIGHTS[rng.integers(len(LIGHTS))]
    figure = KINDS[kind][rng.integers(len(KINDS[kind]))]
    build = BUILDS[figure]
    length = rng.uniform(*LENGTH) / build.extent
    least = length * build.height + 0.02
    x, feet = rng.uniform(0.40, 0.60), max(least, rng.uniform(0.72, 0.88))
    stand = choose_stand(figure, place, rng)
    ground = (water if place == "water" else land)(canvas, light, feet, rng)
    bird = _lit(plumage(rng), light)
    if stand in PERCHES:
        feet = max(least, feet - rng.uniform(0.02, 0.10))
        PERCHES[stand](Spot(canvas, x, feet, length, light, place, ground), rng)
    flip, lean = bool(rng.random() < 0.5), float(rng.normal(0, 0.07))
    stretch = (float(rng.uniform(0.92, 1.08)), float(rng.uniform(0.92, 1.08)))
    seed = int(rng.integers(2**32))
    in_water = stand in ("swims", "wades")
    if in_water:
        mirror = Pen(canvas, x, feet + 0.01, length, flip=flip, lean=lean, stretch=stretch, mirrored=True, alpha=0.3)
        # the same seed twice: a bird and its reflection
        figure(mirror, bird, np.random.default_rng(seed), True)
    elif stand == "ground":
        canvas.ellipse(x, feet, length * 0.55, length * 0.08, darker(ground, 0.6), 0.35)
    pen = Pen(canvas, x, feet, length, flip=flip, lean=lean, stretch=stretch)
    figure(pen, bird, np.random.default_rng(seed), in_water)
    if in_water:
        ripples(canvas, x, feet, length * (0.35 if stand == "wades" else 0.75), ground, rng)
    elif stand == "ground":
        tufts(canvas, x, feet, length, ground, rng)
    return canvas.finish()


def choose_stand(figure: Figure, place: str, rng: np.random.Generator) -> str:
    """In water "swims" or "wades", else "ground" or a perch: rocks and posts for all birds in both places."""
    chance = rng.random()
    water_bird = figure in KINDS["waterbird"]
    if place == "water" and water_bird:
        if chance < 0.7:
            return "wades" if figure is heron else "swims"
        return "rock" if chance < 0.88 or figure is heron else "post"
    if place == "water":
        return "branch" if chance < 0.4 else ("rock" if chance < 0.7 else "post")
    if chance < (0.65 if water_bird else 0.4):
        return "ground"
    if chance < 0.85 or water_bird:
        return "rock" if rng.random() < 0.6 else "post"
    return "branch"


def _lit(bird: Plumage, light: Light) -> Plumage:
    """The bird in the light of the scene, though less than the scene: it is what one should look at."""

    def lit(color: Color) -> Color:
        return mix(color, light.haze, light.amount * 0.35)

    return Plumage(
        body=lit(bird.body),
        wing=lit(bird.wing),
        breast=lit(bird.breast),
        head=lit(bird.head),
        tail=lit(bird.tail),
        bill=lit(bird.bill),
        leg=lit(bird.leg),
        pattern=bird.pattern,
    )
