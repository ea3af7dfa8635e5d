from __future__ import annotations

import numpy as np
import pytest

from core.synthetic.canvas import Canvas, Pen, mix, smooth
from core.synthetic.figures import KINDS
from core.synthetic.picture import choose_stand, draw_bird

GROUPS = [(kind, place) for kind in ("landbird", "waterbird") for place in ("land", "water")]


def pixels(kind: str, place: str, seed: int, size: int = 48) -> np.ndarray:
    return np.asarray(draw_bird(kind, place, np.random.default_rng(seed), size))


@pytest.mark.parametrize(("kind", "place"), GROUPS)
def test_every_group_can_be_drawn_at_any_size(kind: str, place: str) -> None:
    for seed, size in enumerate((16, 48, 96)):
        drawn = pixels(kind, place, seed, size)
        assert drawn.shape == (size, size, 3)
        assert drawn.std() > 5


def test_a_picture_follows_its_generator() -> None:
    assert np.array_equal(pixels("landbird", "water", 3), pixels("landbird", "water", 3))
    assert not np.array_equal(pixels("landbird", "water", 3), pixels("landbird", "water", 4))


def test_water_is_bluer_than_land_below_the_horizon() -> None:
    blue = {
        place: np.mean([pixels("landbird", place, s)[-10:].astype(float) @ [-0.5, -0.5, 1] for s in range(30)])
        for place in ("land", "water")
    }
    assert blue["water"] > blue["land"] + 30


def test_the_sky_says_nothing_about_the_kind_of_bird() -> None:
    """The corners are background: their mean colour is the same for both kinds to within the noise of 120 pictures."""
    corner = {k: np.array([pixels(k, "water", s, 16)[:3, :3].mean() for s in range(120)]) for k in KINDS}
    land, water = corner["landbird"], corner["waterbird"]
    error = np.hypot(land.std(), water.std()) / np.sqrt(120)
    assert abs(land.mean() - water.mean()) < 4 * error


@pytest.mark.parametrize("place", ["land", "water"])
@pytest.mark.parametrize("perch", ["rock", "post"])
def test_both_kinds_use_rocks_and_posts_in_both_places(place: str, perch: str) -> None:
    rng = np.random.default_rng(0)
    for figures in KINDS.values():
        assert perch in {choose_stand(figure, place, rng) for figure in figures for _ in range(100)}


def test_land_birds_never_swim() -> None:
    rng = np.random.default_rng(0)
    stands = {choose_stand(f, p, rng) for f in KINDS["landbird"] for p in ("land", "water") for _ in range(100)}
    assert not stands & {"swims", "wades"}


def test_a_smooth_curve_passes_through_its_points() -> None:
    points = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 2.0)])
    for closed in (True, False):
        curve = smooth(points, closed=closed)
        nearest = np.abs(curve[:, None] - points[None]).sum(axis=2).min(axis=0)
        assert np.allclose(nearest, 0)


def test_a_mirrored_pen_draws_below_the_water_line() -> None:
    above = Pen(Canvas(16), 0.5, 0.5, 0.2).place([(0.0, -1.0)])
    below = Pen(Canvas(16), 0.5, 0.5, 0.2, mirrored=True).place([(0.0, -1.0)])
    assert above[0, 1] < 0.5 < below[0, 1]


def test_colours_mix_from_one_to_the_other() -> None:
    assert mix((0, 0, 0), (200, 100, 50), 0.0) == (0, 0, 0)
    assert mix((0, 0, 0), (200, 100, 50), 0.5) == (100, 50, 25)
    assert mix((0, 0, 0), (200, 100, 50), 1.0) == (200, 100, 50)
