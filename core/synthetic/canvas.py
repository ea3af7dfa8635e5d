"""Drawing for the illustrated data: colours, gradients, smooth outlines. Coordinates are 0..1, y downwards.

Pictures are drawn several times too large and reduced, which is what makes Pillow's hard-edged polygons look painted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Points = Sequence[tuple[float, float]] | Sequence[np.ndarray] | np.ndarray

OVERSAMPLING = 3
_STEPS = 7
# Catmull-Rom: the curve passes through every control point, so outlines can be read off the numbers
_T = np.linspace(0.0, 1.0, _STEPS, endpoint=False)
_BASIS = 0.5 * np.stack(
    [-_T + 2 * _T**2 - _T**3, 2 - 5 * _T**2 + 3 * _T**3, _T + 4 * _T**2 - 3 * _T**3, -(_T**2) + _T**3], axis=1
)


def mix(a: Color, b: Color, share: float) -> Color:
    """share 0: a, 1: b."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def lighter(color: Color, share: float) -> Color:
    return mix(color, (255, 255, 255), share)


def darker(color: Color, share: float) -> Color:
    return mix(color, (18, 20, 40), share)


def varied(color: Color, rng: np.random.Generator, by: float = 12.0) -> Color:
    """A neighbour of the colour: brightness and each channel moved by about `by` of 255."""
    common = rng.normal(0, by)
    channels = [min(255, max(0, round(c + common + rng.normal(0, by / 2)))) for c in color]
    return channels[0], channels[1], channels[2]


def smooth(points: Points, *, closed: bool = True) -> np.ndarray:
    """A curve through all points. points: (m, 2). Returns (about 7 m, 2)."""
    p = np.asarray(points, dtype=float)
    if closed:
        quads = np.stack([np.roll(p, 1, axis=0), p, np.roll(p, -1, axis=0), np.roll(p, -2, axis=0)], axis=1)
    else:
        padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
        quads = np.stack([padded[:-3], padded[1:-2], padded[2:-1], padded[3:]], axis=1)
    curve = np.einsum("sk,mkd->msd", _BASIS, quads).reshape(-1, 2)
    return curve if closed else np.vstack([curve, p[-1]])


def ellipse_points(x: float, y: float, rx: float, ry: float, turn: float = 0.0, count: int = 28) -> np.ndarray:
    """Outline of an ellipse turned by `turn` radians."""
    angle = np.linspace(0, 2 * math.pi, count, endpoint=False)
    u, v = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + u * math.cos(turn) - v * math.sin(turn), y + u * math.sin(turn) + v * math.cos(turn)], axis=1)


class Canvas:
    """A square picture of `size` pixels that is drawn `OVERSAMPLING` times as large."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.scale = size * OVERSAMPLING
        self.image = Image.new("RGB", (self.scale, self.scale))
        # mode RGBA on an RGB picture: colours with an alpha are blended in
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def gradient(self, top: float, bottom: float, stops: Sequence[tuple[float, Color]]) -> None:
        """Fill the full width from `top` to `bottom` with colours from top to bottom; stops: (0..1, colour)."""
        first, last = round(top * self.scale), round(bottom * self.scale)
        height = last - first
        if height <= 0:
            return
        at = np.linspace(0, 1, height)
        places = [place for place, _ in stops]
        column = np.stack([np.interp(at, places, [color[c] for _, color in stops]) for c in range(3)], axis=1)
        strip = Image.fromarray(np.rint(column[:, None, :]).astype(np.uint8))
        self.image.paste(strip.resize((self.scale, height), Image.Resampling.NEAREST), (0, first))

    def polygon(self, points: Points, color: Color, alpha: float = 1.0) -> None:
        flat = (np.asarray(points) * self.scale).ravel().tolist()
        self._draw.polygon(flat, fill=(*color, round(255 * alpha)))

    def blob(self, points: Points, color: Color, alpha: float = 1.0) -> None:
        self.polygon(smooth(points), color, alpha)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color, alpha: float = 1.0) -> None:
        s = self.scale
        self._draw.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=(*color, round(255 * alpha)))

    def line(self, points: Points, width: float, color: Color, alpha: float = 1.0) -> None:
        flat = (np.asarray(points) * self.scale).ravel().tolist()
        pixels = max(1, round(width * self.scale))
        self._draw.line(flat, fill=(*color, round(255 * alpha)), width=pixels, joint="curve")

    def glow(self, x: float, y: float, radius: float, color: Color, strength: float) -> None:
        """A soft disc of light that fades to nothing at `radius`."""
        rings = 20
        for ring in range(rings, 0, -1):
            self.ellipse(x, y, radius * ring / rings, radius * ring / rings, color, strength / rings)

    def finish(self) -> Image.Image:
        return self.image.reduce(OVERSAMPLING)


class Pen:
    """Draws on a canvas in the coordinates of a figure: origin at its feet, facing right, about one unit long.

    x, y: where the origin goes. scale: length of a unit. flip: facing left. lean: turned by radians (head down > 0).
    mirrored: upside down, for reflections. alpha: of everything drawn.
    """

    def __init__(
        self,
        canvas: Canvas,
        x: float,
        y: float,
        scale: float,
        *,
        flip: bool = False,
        lean: float = 0.0,
        stretch: tuple[float, float] = (1.0, 1.0),
        mirrored: bool = False,
        alpha: float = 1.0,
    ) -> None:
        self._canvas = canvas
        self._alpha = alpha
        self._scale = scale
        turn = np.array([[math.cos(lean), -math.sin(lean)], [math.sin(lean), math.cos(lean)]])
        sides = np.diag([-1.0 if flip else 1.0, -0.8 if mirrored else 1.0])
        self._matrix = (sides @ turn @ np.diag(stretch)) * scale
        self._origin = np.array([x, y])

    def place(self, points: Points) -> np.ndarray:
        return np.asarray(points, dtype=float) @ self._matrix.T + self._origin

    def polygon(self, points: Points, color: Color, alpha: float = 1.0) -> None:
        self._canvas.polygon(self.place(points), color, alpha * self._alpha)

    def blob(self, points: Points, color: Color, alpha: float = 1.0) -> None:
        self._canvas.polygon(self.place(smooth(points)), color, alpha * self._alpha)

    def ellipse(
        self, x: float, y: float, rx: float, ry: float, color: Color, turn: float = 0.0, alpha: float = 1.0
    ) -> None:
        self.polygon(ellipse_points(x, y, rx, ry, turn), color, alpha)

    def stroke(self, points: Points, width: float, color: Color, *, curved: bool = True) -> None:
        path = smooth(points, closed=False) if curved else np.asarray(points, dtype=float)
        self._canvas.line(self.place(path), width * self._scale, color, self._alpha)

    def tube(self, points: Points, widths: Sequence[float], color: Color) -> None:
        """A limb along a curve whose half-width goes through `widths` (one per point): necks, branches."""
        path = smooth(points, closed=False)
        along = np.linspace(0, 1, len(path))
        half = np.interp(along, np.linspace(0, 1, len(widths)), widths)[:, None]
        tangent = np.gradient(path, axis=0)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
        normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1])[:, None], 1e-9)
        self.polygon(np.vstack([path + normal * half, (path - normal * half)[::-1]]), color)
