from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.datasets import open_dataset
from core.errors import BadRequest
from core.synthetic.sprites import SHAPES, ZONES, Sprites, draw_latents, render, write_sprites


def one(shape: int, **latents: int) -> Sprites:
    known = {"scales": 5, "turns": 0, "xs": 16, "ys": 16, "zones": 1} | latents
    return Sprites(np.array([shape]), **{name: np.array([value]) for name, value in known.items()})


@settings(max_examples=40, deadline=None)
@given(n=st.integers(3, 400), bias=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_so_many_of_each_shape_are_in_its_own_zone(n: int, bias: float, seed: int) -> None:
    sprites = draw_latents(n, bias, np.random.default_rng(seed))
    counts = np.bincount(sprites.shapes, minlength=3)
    assert counts.sum() == n
    assert np.ptp(counts) <= 1
    for shape in range(3):
        own = sprites.zones[sprites.shapes == shape] == shape
        assert own.sum() >= round(bias * len(own))
    x = sprites.xs / 31
    assert (x[sprites.zones == 0] < 0.3).all()
    assert ((x[sprites.zones == 1] >= 0.35) & (x[sprites.zones == 1] <= 0.65)).all()
    assert (x[sprites.zones == 2] >= 0.7).all()


def test_without_bias_the_place_says_nothing() -> None:
    sprites = draw_latents(9000, 0.0, np.random.default_rng(0))
    table = np.histogram2d(sprites.shapes, sprites.zones, bins=3)[0]
    # 1,000 expected in each, 26 the standard deviation
    assert np.abs(table - 1000).max() < 130


@pytest.mark.parametrize("shape", range(3))
def test_a_shape_is_where_and_as_large_as_its_latents_say(shape: int) -> None:
    y, x = np.mgrid[:64, :64] + 0.5
    for place in (0, 10, 31):
        picture = render(one(shape, xs=place)).astype(float)[0]
        assert (x * picture).sum() / picture.sum() == pytest.approx(64 * (0.25 + 0.5 * place / 31), abs=0.6)
        picture = render(one(shape, ys=place)).astype(float)[0]
        assert (y * picture).sum() / picture.sum() == pytest.approx(64 * (0.25 + 0.5 * place / 31), abs=0.6)
    small, large = (render(one(shape, scales=scale)).astype(float).sum() for scale in (0, 5))
    assert large / small == pytest.approx(4, rel=0.15)


def test_the_latents_are_as_many_as_those_of_dsprites() -> None:
    sprites = draw_latents(20_000, 0.0, np.random.default_rng(2))
    assert [len(np.unique(values)) for values in (sprites.shapes, sprites.scales, sprites.turns, sprites.ys)] == [
        3, 6, 40, 32
    ]  # fmt: skip
    # of the 32 places on the x-axis, those in the gaps between the zones stay empty
    assert len(np.unique(sprites.xs)) == 10 + 10 + 10
    assert render(one(0)).shape == (1, 64, 64)
    # the last turn is a whole one, as there
    first, second, last = (render(one(2, turns=turn)) for turn in (0, 1, 39))
    assert (first == last).all()
    assert (first != second).any()


def test_nothing_is_cut_off_however_it_is_turned() -> None:
    pictures = render(draw_latents(3000, 0.0, np.random.default_rng(1)))
    assert not pictures[:, [0, -1]].any()
    assert not pictures[:, :, [0, -1]].any()
    whole = {shape: render(one(shape)).astype(float).sum() for shape in range(3)}
    for shape, area in whole.items():
        for turn in range(0, 40, 3):
            turned = render(one(shape, turns=turn, xs=0, ys=31)).astype(float).sum()
            assert turned == pytest.approx(area, rel=0.05)


def test_shapes_are_told_apart_by_their_outline() -> None:
    square, ellipse, heart = (render(one(shape))[0].astype(float) / 255 for shape in range(3))
    # a square fills its box, an ellipse pi/4 of it; a heart is wider above its middle than below
    for picture, share in ((square, 1.0), (ellipse, np.pi / 4)):
        rows, columns = picture.any(axis=1).sum(), picture.any(axis=0).sum()
        assert picture.sum() / (rows * columns) == pytest.approx(share, abs=0.12)
    there = np.flatnonzero(heart.any(axis=1))
    widths = (heart[there] > 0.5).sum(axis=1)
    assert widths[: len(widths) // 2].mean() > 1.5 * widths[-len(widths) // 3 :].mean()


def test_the_same_seed_draws_the_same_pictures() -> None:
    first, second = (render(draw_latents(50, 0.4, np.random.default_rng(7))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_it_opens_as_a_dataset_with_the_zone_as_its_attribute(tmp_path: Path) -> None:
    parts = {name: draw_latents(60, 0.8, np.random.default_rng(i)) for i, name in enumerate(("train", "val", "test"))}
    pictures = {name: render(sprites) for name, sprites in parts.items()}
    path = write_sprites(tmp_path / "sprites.npz", parts, pictures)
    dataset = open_dataset(path, store=tmp_path / "store")
    assert dataset.classes == SHAPES
    assert [sum(counts.values()) for counts in dataset.counts().values()] == [60, 60, 60]
    zone = next(attribute for attribute in dataset.attributes if attribute.name == "zone")
    assert set(zone.values) == set(ZONES)
    told = np.array(dataset.classes)[dataset.labels]
    assert (told == np.array(SHAPES)[np.concatenate([part.shapes for part in parts.values()])]).all()


@pytest.mark.parametrize(("n", "bias"), [(2, 0.5), (30, -0.1), (30, 1.1)])
def test_what_cannot_be_drawn_is_refused(n: int, bias: float) -> None:
    with pytest.raises(BadRequest):
        draw_latents(n, bias, np.random.default_rng(0))
