from __future__ import annotations

import numpy as np
import pytest

from core.concepts.discriminant import Discriminant, PatternProbe, shrunk_covariance


def planted(seed: int, n: int = 1200, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with class and concept in them, classes, and the concept: usual in odd classes, 5% exceptions."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    shows = np.where(rng.random(n) < 0.95, labels % 2, 1 - labels % 2)
    features = rng.normal(size=(n, 32)) @ (np.eye(32) + 0.3 * rng.normal(size=(32, 32)))
    features[:, :8] += 3 * rng.normal(size=(k, 8))[labels]
    features[:, 8:16] += 2.5 * shows[:, None]
    return features.astype(np.float32), labels, shows


def known_of(labels: np.ndarray, shows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Half of the usual images, and two exceptions of every class but the last: (known, tagged)."""
    odd = shows != labels % 2
    known = ~odd & (rng.random(len(labels)) < 0.5)
    tagged = np.zeros(len(labels), dtype=bool)
    for c in range(int(labels.max())):
        tagged[rng.choice(np.flatnonzero(odd & (labels == c)), 2, replace=False)] = True
    return known | tagged, tagged


def fit(space: Discriminant, values: np.ndarray, known: np.ndarray, fixed: np.ndarray) -> PatternProbe | None:
    """A probe of one concept."""
    return space.fit(values[:, None], known[:, None], fixed[:, None])


@pytest.mark.parametrize("seed", range(3))
def test_a_few_exceptions_find_the_others_also_in_a_class_without_any(seed: int) -> None:
    features, labels, shows = planted(seed)
    known, tagged = known_of(labels, shows, np.random.default_rng(seed))
    probe = fit(Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool)), shows, known, tagged)
    assert probe is not None
    right = (probe.probability(features, labels)[:, 0] > 0.5) == (shows == 1)
    odd = (shows != labels % 2) & ~tagged
    for c in range(3):
        assert right[odd & (labels == c)].mean() > 0.8
    assert right[~odd].mean() > 0.97


def test_nothing_is_guessed_where_no_class_shows_both() -> None:
    features, labels, _ = planted(0)
    everyone = np.ones(len(labels), dtype=bool)
    assert fit(Discriminant(features, labels, 3, everyone), labels % 2, everyone, everyone) is None


def test_what_is_not_known_has_no_say() -> None:
    features, labels, shows = planted(1)
    known, tagged = known_of(labels, shows, np.random.default_rng(1))
    space = Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool))
    one, other = fit(space, shows, known, tagged), fit(space, np.where(known, shows, 1 - shows), known, tagged)
    assert one is not None
    assert other is not None
    assert np.allclose(one.weight, other.weight)
    assert np.allclose(one.bias, other.bias)


def test_constant_features_and_few_images_are_borne() -> None:
    features = np.zeros((6, 40), dtype=np.float32)
    features[:, 0] = [0, 5, 0.1, 5.1, 0, 5]
    values, everyone = np.array([0, 1, 0, 1, 0, 1]), np.ones(6, dtype=bool)
    probe = fit(Discriminant(features, np.array([0, 0, 0, 1, 1, 1]), 2, everyone), values, everyone, everyone)
    assert probe is not None
    assert np.isfinite(probe.weight).all()
    assert np.isfinite(probe.bias).all()


def test_the_covariance_is_drawn_as_ledoit_and_wolf_do() -> None:
    from sklearn.covariance import ledoit_wolf

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 30)) @ rng.normal(size=(30, 30))
    assert np.allclose(shrunk_covariance(rows), ledoit_wolf(rows, assume_centered=True)[0])
    # never singular, however few the rows
    assert np.linalg.eigvalsh(shrunk_covariance(rows[:5])).min() > 0
