from __future__ import annotations

import numpy as np
import pytest

from core.reproduction.similarity import even_rows, similarity


def planted(by_shape: float, by_zone: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with so much of the shape and of the zone in them."""
    rng = np.random.default_rng(seed)
    shapes, zones = np.divmod(rng.permutation(np.arange(270)) % 9, 3)
    of_shape, of_zone = rng.normal(size=(3, 200)), rng.normal(size=(3, 200))
    noise = rng.normal(size=(270, 200))
    return by_shape * of_shape[shapes] + by_zone * of_zone[zones] + noise, shapes, zones


def test_what_the_features_hold_is_what_it_says() -> None:
    shape, zone, neither = (similarity(*planted(*amounts)) for amounts in ((2.0, 0.0), (0.0, 2.0), (0.0, 0.0)))
    # of variances 4 + 1, 4 are shared
    assert shape.by_shape == pytest.approx(0.8, abs=0.15)
    assert abs(shape.by_zone) < 0.15
    assert zone.by_zone == pytest.approx(0.8, abs=0.15)
    assert abs(zone.by_shape) < 0.15
    assert abs(neither.by_shape) < 0.02
    assert abs(neither.by_zone) < 0.02


def test_the_matrix_is_in_order_of_shape_then_zone() -> None:
    features, shapes, zones = planted(3.0, 1.0)
    matrix = similarity(features, shapes, zones).matrix
    assert matrix.shape == (270, 270)
    np.testing.assert_allclose(np.diag(matrix), 1, atol=1e-6)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-6)
    blocks = matrix.reshape(3, 90, 3, 90).mean(axis=(1, 3))
    assert np.diag(blocks).min() > blocks[~np.eye(3, dtype=bool)].max() + 0.3
    inner = matrix[:90, :90].reshape(3, 30, 3, 30).mean(axis=(1, 3))
    assert np.diag(inner).min() > inner[~np.eye(3, dtype=bool)].max()


def test_dead_features_are_like_nothing() -> None:
    features, shapes, zones = planted(1.0, 1.0)
    features[3] = 5.0
    found = similarity(features, shapes, zones)
    assert np.isfinite(found.matrix).all()
    assert (np.abs(found.matrix).sum(axis=1) == 0).sum() == 1


def test_as_many_of_every_shape_in_every_zone() -> None:
    shapes, zones = np.divmod(np.random.default_rng(0).permutation(np.arange(180)) % 9, 3)
    rows = even_rows(shapes, zones, 12)
    assert len(set(rows.tolist())) == 108
    assert (np.bincount(shapes[rows] * 3 + zones[rows]) == 12).all()
