"""The birds. Both kinds share their colours, sizes and poses; what tells them apart is their build.

A water bird lies low and long, with a flat or long bill, a long or strong neck and webbed or very long legs. A land
bird is round and upright, with a big head, a short pointed beak and thin legs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.synthetic.canvas import Color, Pen, darker, lighter, mix, varied

BODIES: tuple[Color, ...] = (
    (238, 238, 232),
    (196, 202, 208),
    (122, 132, 146),
    (72, 82, 100),
    (150, 112, 78),
    (196, 158, 112),
    (92, 74, 66),
    (178, 84, 60),
    (214, 146, 74),
    (70, 128, 140),
    (84, 116, 168),
    (146, 150, 92),
)
ACCENTS: tuple[Color, ...] = (
    (244, 240, 228),
    (226, 120, 72),
    (236, 196, 96),
    (52, 60, 78),
    (58, 112, 96),
    (168, 70, 66),
    (120, 140, 170),
    (206, 168, 140),
)
BILLS: tuple[Color, ...] = ((240, 168, 48), (232, 124, 52), (70, 68, 76), (206, 92, 72), (222, 190, 90))


@dataclass(frozen=True)
class Plumage:
    body: Color
    wing: Color
    breast: Color
    head: Color
    tail: Color
    bill: Color
    leg: Color
    pattern: int  # 0 plain, 1 wing bars, 2 spots on the breast, 3 a band over the eye


def plumage(rng: np.random.Generator) -> Plumage:
    """One draw for both kinds, so that colour says nothing about the kind."""
    body = varied(BODIES[rng.integers(len(BODIES))], rng)
    accent = varied(ACCENTS[rng.integers(len(ACCENTS))], rng)
    breast = accent if rng.random() < 0.5 else lighter(body, 0.45)
    head = accent if rng.random() < 0.35 else (darker(body, 0.35) if rng.random() < 0.3 else body)
    wing = darker(body, rng.uniform(0.12, 0.38)) if rng.random() < 0.75 else mix(body, accent, 0.7)
    bill = varied(BILLS[rng.integers(len(BILLS))], rng, 8)
    leg = bill if rng.random() < 0.6 else varied((92, 80, 78), rng, 8)
    return Plumage(body, wing, breast, head, darker(wing, 0.2), bill, leg, int(rng.integers(4)))


Figure = Callable[[Pen, Plumage, np.random.Generator, bool], None]
"""Draws one bird; the last argument says whether it swims (no legs to be seen)."""


def duck(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    reach, lift = rng.uniform(-0.05, 0.06), rng.uniform(-0.06, 0.10)
    up = 0.0 if swims else -0.20
    if not swims:
        _webbed(pen, p, (-0.02, 0.16), -0.24)
    head = (0.40 + reach, -0.66 - lift + up)
    pen.polygon([(-0.36, -0.30 + up), (-0.68, -0.46 + up), (-0.62, -0.26 + up), (-0.40, -0.14 + up)], p.tail)
    body = [(0.50, -0.16), (0.44, -0.34), (0.12, -0.37), (-0.26, -0.37), (-0.52, -0.30), (-0.42, -0.06), (0.0, 0.06)]
    pen.blob([(x, y + up) for x, y in [*body, (0.36, 0.02)]], p.body)
    pen.blob(
        [(0.50, -0.16 + up), (0.40, -0.36 + up), (0.24, -0.20 + up), (0.26, 0.0 + up), (0.42, -0.02 + up)], p.breast
    )
    pen.tube([(0.34, -0.24 + up), (0.37, -0.46 + up), head], [0.15, 0.105, 0.10], p.head)
    if p.pattern == 3:
        pen.tube([(0.25, -0.37 + up), (0.36, -0.35 + up), (0.47, -0.39 + up)], [0.03, 0.03, 0.03], (246, 244, 236))
    _flat_bill(pen, p, head, rng.uniform(0.26, 0.34))
    pen.ellipse(*head, 0.165, 0.15, p.head)
    _wing(
        pen, p, [(0.20, -0.30 + up), (-0.10, -0.36 + up), (-0.54, -0.33 + up), (-0.22, -0.10 + up), (0.10, -0.12 + up)]
    )
    _eye(pen, head[0] + 0.06, head[1] - 0.035)


def swan(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    lift, bow = rng.uniform(-0.05, 0.12), rng.uniform(0.0, 0.1)
    up = 0.0 if swims else -0.22
    if not swims:
        _webbed(pen, p, (-0.04, 0.14), -0.26)
    head = (0.44 + bow, -0.98 - lift + up)
    pen.polygon([(-0.40, -0.30 + up), (-0.70, -0.40 + up), (-0.44, -0.10 + up)], p.tail)
    body = [(0.42, -0.14), (0.32, -0.34), (0.02, -0.40), (-0.36, -0.40), (-0.58, -0.30), (-0.42, -0.04), (0.0, 0.06)]
    pen.blob([(x, y + up) for x, y in [*body, (0.30, 0.02)]], p.body)
    neck = [(0.24, -0.20 + up), (0.40, -0.42 + up), (0.28 + bow / 2, -0.74 - lift / 2 + up), head]
    pen.tube(neck, [0.15, 0.085, 0.065, 0.075], p.head)
    _flat_bill(pen, p, head, rng.uniform(0.20, 0.27))
    pen.ellipse(*head, 0.125, 0.10, p.head, 0.2)
    if p.pattern == 3:
        pen.ellipse(head[0] + 0.10, head[1] + 0.01, 0.035, 0.05, (50, 48, 56))
    _wing(
        pen, p, [(0.16, -0.34 + up), (-0.20, -0.50 + up), (-0.66, -0.42 + up), (-0.30, -0.10 + up), (0.08, -0.12 + up)]
    )
    _eye(pen, head[0] + 0.045, head[1] - 0.03, 0.75)


def pelican(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    lift, bow = rng.uniform(-0.06, 0.08), rng.uniform(-0.03, 0.06)
    up = 0.0 if swims else -0.22
    if not swims:
        _webbed(pen, p, (-0.02, 0.14), -0.26)
    x, y = head = (0.30 + bow, -0.82 - lift + up)
    pen.polygon([(-0.38, -0.30 + up), (-0.68, -0.34 + up), (-0.64, -0.22 + up), (-0.42, -0.12 + up)], p.tail)
    body = [(0.38, -0.16), (0.28, -0.38), (0.0, -0.44), (-0.34, -0.38), (-0.54, -0.26), (-0.40, -0.04), (0.0, 0.06)]
    pen.blob([(a, b + up) for a, b in [*body, (0.28, 0.02)]], p.body)
    pen.tube(
        [(0.18, -0.22 + up), (0.36, -0.42 + up), (0.20 + bow, -0.66 - lift / 2 + up), head],
        [0.17, 0.1, 0.075, 0.09],
        p.head,
    )
    long, down = rng.uniform(0.50, 0.62), rng.uniform(0.10, 0.20)
    tip = (x + long, y + down)
    pouch = [(x + 0.06, y + 0.04), (x + 0.20, y + 0.20 + down / 2), (x + long * 0.7, y + down + 0.10), tip]
    pen.blob([*pouch, (x + long * 0.5, y + down * 0.4)], mix(p.bill, (246, 214, 150), 0.35))
    pen.polygon([(x + 0.05, y - 0.06), (x + long, y + down - 0.035), tip, (x + 0.05, y + 0.05)], p.bill)
    pen.ellipse(*head, 0.13, 0.115, p.head, 0.2)
    _wing(
        pen, p, [(0.16, -0.34 + up), (-0.16, -0.46 + up), (-0.62, -0.34 + up), (-0.28, -0.08 + up), (0.06, -0.12 + up)]
    )
    _eye(pen, x + 0.045, y - 0.03, 0.85)


def heron(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    high = rng.uniform(0.36, 0.46)
    bow, lift = rng.uniform(-0.02, 0.08), rng.uniform(-0.04, 0.1)
    for foot in (-0.02, 0.12):
        knee = (foot - 0.05, -high * 0.5)
        pen.stroke([(foot - 0.02, -high), knee, (foot, 0.0)], 0.035, p.leg, curved=False)
        if not swims:
            pen.stroke([(foot - 0.03, 0.0), (foot + 0.12, 0.0)], 0.03, p.leg, curved=False)
    head = (0.42 + bow, -high - 0.74 - lift)
    pen.polygon([(-0.22, -high - 0.12), (-0.58, -high + 0.10), (-0.26, -high + 0.02)], p.tail)
    body = [(0.26, -0.32), (-0.04, -0.32), (-0.36, -0.08), (-0.46, 0.06), (-0.12, 0.08), (0.16, 0.02), (0.30, -0.16)]
    pen.blob([(x, y - high) for x, y in body], p.body)
    neck = [(0.16, -high - 0.16), (0.40, -high - 0.28), (0.26, -high - 0.54 - lift / 2), head]
    pen.tube(neck, [0.12, 0.065, 0.05, 0.06], p.head)
    x, y = head
    long = rng.uniform(0.36, 0.48)
    pen.polygon([(x + 0.06, y - 0.055), (x + long, y + 0.02), (x + 0.06, y + 0.045)], p.bill)
    pen.ellipse(x, y, 0.12, 0.085, p.head, 0.15)
    pen.stroke([(x - 0.04, y - 0.06), (x - 0.18, y - 0.05), (x - 0.28, y + 0.02)], 0.035, darker(p.head, 0.5))
    points = [(0.16, -0.26), (-0.10, -0.30), (-0.44, 0.0), (-0.50, 0.10), (-0.12, 0.02), (0.10, -0.06)]
    _wing(pen, p, [(a, b - high) for a, b in points])
    _eye(pen, x + 0.04, y - 0.02, 0.75)


def robin(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    _songbird(pen, p, rng, tail=rng.uniform(0.0, 0.35), length=rng.uniform(0.34, 0.46), crest=0.0, beak=0.13)


def finch(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    _songbird(pen, p, rng, tail=rng.uniform(-0.1, 0.2), length=rng.uniform(0.30, 0.42), crest=0.0, beak=0.15, thick=1.5)


def cardinal(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    crest = rng.uniform(0.18, 0.28)
    _songbird(
        pen, p, rng, tail=rng.uniform(-0.3, 0.1), length=rng.uniform(0.42, 0.56), crest=crest, beak=0.14, thick=1.4
    )


def wren(pen: Pen, p: Plumage, rng: np.random.Generator, swims: bool) -> None:
    _songbird(pen, p, rng, tail=rng.uniform(0.9, 1.4), length=rng.uniform(0.28, 0.38), crest=0.0, beak=0.15, thick=0.8)


def _songbird(
    pen: Pen,
    p: Plumage,
    rng: np.random.Generator,
    *,
    tail: float,
    length: float,
    crest: float,
    beak: float,
    thick: float = 1.0,
) -> None:
    """tail: its angle in radians above the line of the back, pointing down and backwards at 0."""
    plump = rng.uniform(0.94, 1.08)
    x, y = 0.22 + rng.uniform(-0.04, 0.05), -0.80 + rng.uniform(-0.04, 0.05)
    for foot in (-0.03, 0.09):
        pen.stroke([(foot, -0.22), (foot + 0.01, 0.0)], 0.03, p.leg, curved=False)
        pen.stroke([(foot - 0.05, 0.0), (foot + 0.09, 0.0)], 0.028, p.leg, curved=False)
    direction = np.array([-np.cos(0.5 - tail), np.sin(0.5 - tail)])
    across = np.array([-direction[1], direction[0]]) * 0.075
    base, end = np.array([-0.24, -0.36]), np.array([-0.26, -0.36]) + direction * length
    pen.polygon([base - across, end - across * 1.1, end + across * 1.1, base + across], p.tail)
    if crest:
        pen.polygon([(x + 0.12, y - 0.16), (x - 0.16, y - 0.20 - crest), (x - 0.19, y + 0.02)], p.head)
    low = -0.12
    body = [
        (0.36, -0.62),
        (0.37 * plump, -0.40),
        (0.18, low - 0.03),
        (-0.10, low),
        (-0.34 * plump, -0.30),
        (-0.30 * plump, -0.50),
        (-0.04, -0.74),
        (0.16, -0.86),
    ]
    pen.blob(body, p.body)
    pen.blob(
        [(0.37, -0.62), (0.375 * plump, -0.38), (0.18, low - 0.03), (0.02, -0.20), (0.10, -0.46), (0.20, -0.64)],
        p.breast,
    )
    if p.pattern == 2:
        for dx, dy in ((0.25, -0.46), (0.17, -0.36), (0.27, -0.32), (0.16, -0.24)):
            pen.ellipse(dx, dy, 0.022, 0.03, darker(p.breast, 0.45))
    half = 0.05 * thick
    pen.polygon([(x + 0.17, y - half), (x + 0.19 + beak, y + 0.015), (x + 0.17, y + half + 0.01)], p.bill)
    pen.ellipse(x, y, 0.21, 0.195, p.head)
    if p.pattern == 3:
        pen.stroke([(x - 0.10, y - 0.10), (x + 0.04, y - 0.10), (x + 0.16, y - 0.04)], 0.04, lighter(p.head, 0.65))
    _wing(pen, p, [(0.04, -0.60), (-0.18, -0.60), (-0.50, -0.22), (-0.20, -0.20), (0.06, -0.36)])
    _eye(pen, x + 0.08, y - 0.03, 1.1)


def _wing(pen: Pen, p: Plumage, points: list[tuple[float, float]]) -> None:
    pen.blob(points, p.wing)
    middle = np.mean(points, axis=0)
    if p.pattern == 1:
        for share in (0.35, 0.6):
            row = [tuple(middle + (np.array(q) - middle) * 0.75) for q in (points[0], points[-2])]
            moved = [(a - share * 0.35, b + 0.01) for a, b in row]
            pen.stroke(moved, 0.028, lighter(p.wing, 0.6), curved=False)
    else:
        pen.blob([tuple(middle + (np.array(q) - middle) * 0.55) for q in points], lighter(p.wing, 0.14))


def _eye(pen: Pen, x: float, y: float, scale: float = 1.0) -> None:
    pen.ellipse(x, y, 0.036 * scale, 0.036 * scale, (28, 26, 34))
    pen.ellipse(x + 0.012 * scale, y - 0.013 * scale, 0.013 * scale, 0.013 * scale, (255, 255, 255))


def _flat_bill(pen: Pen, p: Plumage, head: tuple[float, float], long: float) -> None:
    x, y = head
    pen.blob(
        [
            (x + 0.08, y - 0.06),
            (x + 0.18, y - 0.02),
            (x + long + 0.08, y + 0.03),
            (x + long + 0.06, y + 0.09),
            (x + 0.08, y + 0.09),
        ],
        p.bill,
    )
    pen.stroke([(x + 0.12, y + 0.045), (x + long + 0.04, y + 0.06)], 0.018, darker(p.bill, 0.4), curved=False)


def _webbed(pen: Pen, p: Plumage, feet: tuple[float, float], top: float) -> None:
    for foot in feet:
        pen.stroke([(foot - 0.02, top), (foot, -0.02)], 0.045, p.leg, curved=False)
        pen.polygon(
            [(foot - 0.05, 0.0), (foot, -0.06), (foot + 0.15, 0.0), (foot + 0.13, 0.025), (foot - 0.04, 0.02)], p.leg
        )


KINDS: dict[str, tuple[Figure, ...]] = {
    "landbird": (robin, finch, cardinal, wren),
    "waterbird": (duck, swan, pelican, heron),
}


@dataclass(frozen=True)
class Build:
    """Of a figure, in its own units. extent: how large it looks. height: from the feet to where its crown can be."""

    extent: float
    height: float


# So that low and tall birds fill a picture alike, and none loses its head.
BUILDS: dict[Figure, Build] = {
    duck: Build(1.05, 1.12),
    swan: Build(1.25, 1.42),
    pelican: Build(1.2, 1.22),
    heron: Build(1.35, 1.40),
    robin: Build(1.0, 1.08),
    finch: Build(1.0, 1.08),
    cardinal: Build(1.1, 1.35),
    wren: Build(1.0, 1.08),
}
