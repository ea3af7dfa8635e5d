from __future__ import annotations

import numpy as np
import pytest

from core.concepts import discriminant
from core.concepts.discriminant import Discriminant, Outside, PatternProbe, _Sums, shrunk_covariance


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


def three_colors(seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, classes and one of three colours that exclude each other, usual in the class of the same number."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    color = np.where(rng.random(n) < 0.95, labels, rng.integers(3, size=n))
    features = rng.normal(size=(n, 32)) @ (np.eye(32) + 0.3 * rng.normal(size=(32, 32)))
    features[:, :8] += 3 * rng.normal(size=(3, 8))[labels]
    features[:, 8:20] += 2.5 * rng.normal(size=(3, 12))[color]
    return features.astype(np.float32), labels, color


@pytest.mark.parametrize("seed", range(3))
def test_values_that_exclude_each_other_are_guessed_as_one_pattern(seed: int) -> None:
    features, labels, color = three_colors(seed)
    values = np.eye(3, dtype=np.int64)[color]
    odd = color != labels
    tagged = np.zeros(len(labels), dtype=bool)
    # the class of number 2 has no exception that is known, and that of 1 none of one colour
    for c, shown in ((0, 1), (0, 2), (1, 0)):
        tagged[np.flatnonzero((labels == c) & (color == shown))[:3]] = True
    known = np.repeat((tagged | (~odd & (np.arange(len(labels)) % 2 == 0)))[:, None], 3, axis=1)
    fixed = np.repeat(tagged[:, None], 3, axis=1)
    probe = Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool), ~odd).fit(values, known, fixed)
    assert probe is not None
    assert sorted(probe.patterns.tolist()) == [[0, 0, 1], [0, 1, 0], [1, 0, 0]]
    guessed, confidence = probe.guess(features, labels)
    right = (guessed == values).all(axis=1)
    for c in range(3):
        assert right[odd & ~tagged & (labels == c)].mean() > 0.8
    assert right[~odd].mean() > 0.98
    assert np.allclose(probe.probability(features, labels).sum(axis=1), 1)
    assert ((confidence > 1 / 3) & (confidence <= 1)).all()


def test_a_guess_agrees_with_what_was_said_of_the_image() -> None:
    features, labels, color = three_colors(0)
    values, everyone = np.eye(3, dtype=np.int64)[color], np.ones((len(labels), 3), dtype=bool)
    probe = Discriminant(features, labels, 3, everyone[:, 0]).fit(values, everyone, everyone)
    assert probe is not None
    said = np.full((len(labels), 3), -1, dtype=np.int8)
    said[0, (labels[0] + 1) % 3] = 1
    said[1, color[1]] = 0
    # a pattern that nobody has seen
    said[2] = 1
    guessed, _ = probe.guess(features, labels, said)
    assert guessed[0].tolist() == np.eye(3)[(labels[0] + 1) % 3].tolist()
    assert guessed[1, color[1]] == 0
    assert guessed[1].sum() == 1
    assert guessed[2].tolist() == [1, 1, 1]


def test_a_concept_that_no_class_shows_both_ways_is_left_at_its_usual_value() -> None:
    features, labels, shows = planted(0)
    known, tagged = known_of(labels, shows, np.random.default_rng(0))
    # the second concept is the class itself
    values = np.stack([shows, labels == 2], axis=1).astype(np.int64)
    probe = Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool)).fit(
        values, np.repeat(known[:, None], 2, axis=1), np.repeat(tagged[:, None], 2, axis=1)
    )
    assert probe is not None
    guessed, _ = probe.guess(features, labels)
    assert np.array_equal(guessed[:, 1], values[:, 1])
    assert (guessed[:, 0] == shows).mean() > 0.95


def test_concepts_answered_on_different_images_are_learnt_together() -> None:
    features, labels, color = three_colors(1)
    values, odd = np.eye(3, dtype=np.int64)[color], color != labels
    usual = np.repeat((~odd & (np.arange(len(labels)) % 2 == 0))[:, None], 3, axis=1)
    fixed = np.zeros_like(usual)
    for j in range(3):
        # what somebody said who went through the images with one concept in mind
        fixed[np.flatnonzero(odd)[j::3], j] = True
    probe = Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool), ~odd).fit(values, usual | fixed, fixed)
    assert probe is not None
    guessed, _ = probe.guess(features, labels)
    assert (guessed == values).all(axis=1)[odd].mean() > 0.8


def test_the_spread_is_that_of_the_calm_images() -> None:
    """Three exceptions find the others where the spread is measured without exceptions, and less well with them."""
    right = {True: 0.0, False: 0.0}
    for seed in range(4):
        features, labels, shows = planted(seed)
        odd, everyone = shows != labels % 2, np.ones(len(labels), dtype=bool)
        tagged = np.zeros(len(labels), dtype=bool)
        tagged[np.flatnonzero(odd)[:3]] = True
        known = tagged | (~odd & (np.arange(len(labels)) % 2 == 0))
        for calm in right:
            probe = fit(Discriminant(features, labels, 3, everyone, ~odd if calm else None), shows, known, tagged)
            assert probe is not None
            right[calm] += (probe.guess(features, labels)[0][:, 0] == shows)[odd & ~tagged].mean() / 4
    assert right[True] > 0.85
    assert right[True] >= right[False]


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


def test_sums_kept_up_to_date_are_those_of_the_images_taken() -> None:
    rng = np.random.default_rng(0)
    features, labels, _ = planted(0)
    order = np.argsort(labels, kind="stable")
    features, labels = features[order], labels[order]
    own = [slice(*np.searchsorted(labels, [c, c + 1])) for c in range(3)]
    values, taken = rng.integers(2, size=(len(labels), 2)), rng.random(len(labels)) < 0.5
    sums = _Sums(features, own, values, taken)
    # a few images, then most of one class, then nearly all: each is added up another way
    for share in (0.01, 0.6, 0.99):
        values = np.where(rng.random(values.shape) < share, 1 - values, values)
        taken = np.where(rng.random(len(taken)) < share, ~taken, taken)
        sums.change(values, taken)
    together, outcome = sums.within()
    design, rows = np.zeros((0, 2)), np.zeros((0, 32))
    for c in range(3):
        of = taken & (labels == c)
        design, rows = np.vstack([design, values[of] - values[of].mean(axis=0)]), np.vstack([rows, features[of]])
    assert np.allclose(together, design.T @ design)
    assert np.allclose(outcome, design.T @ rows, atol=1e-3)


def test_one_space_serves_many_fits_in_whatever_order_the_images_lie() -> None:
    features, labels, shows = planted(2)
    known, tagged = known_of(labels, shows, np.random.default_rng(2))
    everyone = np.ones(len(labels), dtype=bool)
    space = Discriminant(features, labels, 3, everyone)
    first = fit(space, shows, known, tagged)
    fit(space, shows, everyone, everyone)
    again = fit(space, shows, known, tagged)
    mixed = np.random.default_rng(0).permutation(len(labels))
    other = fit(Discriminant(features[mixed], labels[mixed], 3, everyone), shows[mixed], known[mixed], tagged[mixed])
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.weight, again.weight)
    assert np.allclose(first.weight, other.weight, atol=1e-4 * np.abs(first.weight).max())
    assert np.allclose(first.bias, other.bias, atol=1e-3)


def test_a_covariance_in_few_directions_is_that_of_all() -> None:
    """Where nothing is outside exactly, and nearly so where what is outside is alike in all directions."""
    rng = np.random.default_rng(3)
    deviation = np.concatenate([np.linspace(6, 2, 20), np.full(180, 0.4)])
    rows = rng.normal(size=(700, 200)) * deviation
    few, left = rows[:, :20], rows[:, 20:]
    whole = shrunk_covariance(rows)[:20, :20]
    seen = shrunk_covariance(few, Outside(180, (left**2).sum(axis=1)))
    assert np.allclose(seen, whole, rtol=2e-3, atol=2e-3 * np.diag(whole).min())
    # the few alone are drawn towards a multiple several times as large
    alone = shrunk_covariance(few)
    assert np.abs(alone - whole).max() > 5 * np.abs(seen - whole).max()
    assert np.array_equal(shrunk_covariance(few, Outside(0, np.zeros(700))), alone)


def test_fits_together_are_those_of_each_alone() -> None:
    """Folds share what they sum, and find what they would have found."""
    features, labels, shows = planted(4)
    known, tagged = known_of(labels, shows, np.random.default_rng(4))
    space = Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool))
    fits = []
    for left_out in range(3):
        some = known & (np.arange(len(labels)) % 7 != left_out)
        fits.append((shows[:, None], some[:, None], (tagged & some)[:, None]))
    for together, each in zip(space.fit_all(fits), fits, strict=True):
        alone = space.fit(*each)
        assert together is not None
        assert alone is not None
        assert np.allclose(together.weight, alone.weight, atol=1e-4 * np.abs(alone.weight).max())
        assert np.allclose(together.bias, alone.bias, atol=1e-3)


def test_sums_that_begin_at_anothers_are_their_own() -> None:
    rng = np.random.default_rng(6)
    features = rng.normal(size=(300, 16)).astype(np.float32)
    own = [slice(0, 140), slice(140, 300)]
    values, taken = rng.integers(2, size=(300, 2)).astype(np.int8), rng.random(300) < 0.7
    first = _Sums(features, own, values, taken)
    others, less = values.copy(), taken.copy()
    others[:5], less[:9] = 1 - others[:5], False
    second = _Sums(features, own, others, less, [first])
    exact = _Sums(features, own, others, less)
    for found, expected in zip(second.within(), exact.within(), strict=True):
        assert np.allclose(found, expected, atol=1e-3)
    # what one takes from the other it does not change there
    again = _Sums(features, own, values, taken)
    assert all(np.array_equal(*pair) for pair in zip(first.within(), again.within(), strict=True))


def test_two_threads_read_what_one_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels, shows = planted(5, n=1201)
    known, tagged = known_of(labels, shows, np.random.default_rng(5))
    one = fit(Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool)), shows, known, tagged)
    monkeypatch.setattr(discriminant, "_MANY", 1)
    two = fit(Discriminant(features, labels, 3, np.ones(len(labels), dtype=bool)), shows, known, tagged)
    assert one is not None
    assert two is not None
    assert np.allclose(one.weight, two.weight, atol=1e-5 * np.abs(one.weight).max())
    assert np.allclose(one.bias, two.bias, atol=1e-4)
