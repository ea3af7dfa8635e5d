from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.activations.store import Analysis
from core.classifiers.head import Head
from core.concepts import mislabelled as module
from core.concepts.labels import judge, label_verdicts
from core.concepts.mislabelled import check_labels, doubtful, suspects, tells_classes, unseen_chances
from core.errors import Cancelled
from core.workspace import Workspace

FLIPPED = 0.03


def flipped_birds(
    make_analysis: Any, seed: int = 0, n: int = 3000, splits: np.ndarray | None = None
) -> tuple[Analysis, np.ndarray]:
    """Birds with a shortcut in features and head (the place agrees with the class in 95%), 3% of the labels wrong.

    Returns the analysis and which labels are wrong: (n,) bool."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    place = np.where(rng.random(n) < 0.95, labels, 1 - labels)
    features = rng.normal(size=(n, 12)).astype(np.float32)
    features[:, 0] += 2.0 * (2 * labels - 1)
    features[:, 1] += 3.0 * (2 * place - 1)
    weight = np.zeros((2, 12), dtype=np.float32)
    weight[1, :2] = 0.3, 1.2
    weight[0] = -weight[1]
    wrong = np.zeros(n, dtype=bool)
    wrong[rng.permutation(n)[: round(FLIPPED * n)]] = True
    head = Head(weight, np.zeros(2, dtype=np.float32))
    classes = ("landbird", "waterbird")
    given = np.where(wrong, 1 - labels, labels)
    return make_analysis(features, given, head=head, classes=classes, place=place, splits=splits), wrong


def test_wrong_labels_come_first_and_the_exceptions_do_not_swamp_them(make_analysis: Any) -> None:
    precise, lowest, exceptional = [], [], []
    for seed in range(4):
        analysis, wrong = flipped_birds(make_analysis, seed)
        rows = np.array([suspect.row for suspect in suspects(analysis)])
        precise.append((wrong[rows[:20]].mean(), wrong[rows[:50]].mean()))
        own = analysis.logits[np.arange(analysis.n), analysis.labels]
        lowest.append(wrong[np.argsort(own)[:50]].mean())
        truth = np.where(wrong, 1 - analysis.labels, analysis.labels)
        unusual = truth != analysis.attributes[0].codes
        exceptional.append((unusual & ~wrong)[rows[:50]].mean())
    first_20, first_50 = np.mean(precise, axis=0)
    assert first_20 == 1
    assert first_50 > 0.95
    # by the model's own logits alone exceptions to the shortcut are among the first fifty
    assert first_50 > np.mean(lowest) + 0.05
    assert np.mean(exceptional) < 0.05


def test_a_suspect_says_what_it_looks_like_and_why(make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis)
    found = suspects(analysis, limit=30)
    scores = [suspect.score for suspect in found]
    assert scores == sorted(scores, reverse=True)
    for suspect in found:
        assert suspect.given == analysis.labels[suspect.row] != suspect.likely
        assert 0 <= suspect.score <= 1
        count, agree = suspect.nearest
        assert (count, 0 <= agree <= count) == (15, True)
        assert f"look like {analysis.classes[suspect.likely]}; {agree} of the 15" in suspect.why
        assert set(suspect.to_dict()) == {"row", "given", "likely", "score", "why"}
    # the nearest images of a clear case agree
    assert found[0].nearest[1] > 10


def test_the_neighbours_are_those_of_the_same_split_and_never_the_image(make_analysis: Any) -> None:
    splits = np.repeat([0, 1], 300)
    analysis, _ = flipped_birds(make_analysis, n=600, splits=splits)
    features = analysis.features
    for suspect in suspects(analysis, limit=5):
        mine = np.flatnonzero(splits == splits[suspect.row])
        scale = features[mine].std(axis=0)
        distances = np.linalg.norm((features[mine] - features[suspect.row]) / scale, axis=1)
        nearest = mine[np.argsort(distances)[1:16]]
        assert suspect.nearest == (15, int((analysis.labels[nearest] == suspect.likely).sum()))


def test_clean_separable_labels_are_not_doubted(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 600)
    features = rng.normal(size=(600, 8)).astype(np.float32)
    features[np.arange(600), labels] += 12
    found = check_labels(make_analysis(features, labels))
    assert (found.suspects, found.found, found.checked, found.notes) == ((), 0, 600, ())


def test_features_that_say_nothing_seldom_let_anybody_be_suspected(make_analysis: Any) -> None:
    accused = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        analysis = make_analysis(rng.normal(size=(800, 8)), rng.integers(0, 2, 800))
        found = check_labels(analysis)
        accused += bool(found.suspects)
        if not found.suspects:
            assert found.notes == ("In val, the features do not tell the classes apart, so no label can be doubted.",)
    # two standard errors, on one side: one set in forty is the rate that is meant
    assert accused <= 3


def test_splits_are_checked_by_themselves(make_analysis: Any) -> None:
    splits = np.repeat([0, 1, 2], [1500, 1480, 20])
    analysis, _ = flipped_birds(make_analysis, splits=splits)
    found = check_labels(analysis)
    rows = np.array([suspect.row for suspect in found.suspects])
    assert {0, 1} <= set(splits[rows].tolist())
    # a split with another meaning of its features changes nothing in the others
    turned = np.array(analysis.features)
    turned[:1500] *= -1
    again = check_labels(replace(analysis, features=turned))
    of_val = [(s.row, s.score) for s in found.suspects if splits[s.row] == 1]
    assert [(s.row, s.score) for s in again.suspects if splits[s.row] == 1] == of_val


def test_too_few_of_a_class_are_left_alone(make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis, n=30, splits=np.repeat([0, 1, 2], 10))
    found = check_labels(analysis)
    assert found.suspects == ()
    assert found.notes == tuple(f"Too few images in {name} to doubt a label." for name in ("train", "val", "test"))


def test_many_classes_are_handled_by_least_squares(make_analysis: Any) -> None:
    rng = np.random.default_rng(0)
    k, n = 40, 4000
    labels = rng.integers(0, k, n)
    features = rng.normal(size=(n, 30)).astype(np.float32) + 3 * rng.normal(size=(k, 30))[labels].astype(np.float32)
    wrong = np.zeros(n, dtype=bool)
    wrong[rng.permutation(n)[:100]] = True
    given = np.where(wrong, (labels + 7) % k, labels)
    found = check_labels(make_analysis(features, given, classes=tuple(f"class {i}" for i in range(k))))
    rows = np.array([suspect.row for suspect in found.suspects])
    assert wrong[rows[:80]].mean() > 0.97
    assert [suspect.likely for suspect in found.suspects[:20]] == labels[rows[:20]].tolist()


def test_many_classes_take_no_more_memory_than_their_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    n, k = 30_000, 100
    labels = np.arange(n) % k
    features = (2 * rng.normal(size=(k, 16))[labels] + rng.normal(size=(n, 16))).astype(np.float32)
    monkeypatch.setattr(module, "_AT_ONCE", 100_000)
    tracemalloc.start()
    try:
        chances = unseen_chances(features, np.arange(n), labels, k, rng=rng)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert chances.dtype == np.float32
    # the probabilities, and those of 10,000 images that their sharpness is found on
    assert most < 1.6 * chances.nbytes
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    assert (chances.argmax(axis=1) == labels).mean() > 0.8
    # as sure as they are right
    assert chances.max(axis=1).mean() == pytest.approx((chances.argmax(axis=1) == labels).mean(), abs=0.05)


def test_judged_images_are_not_listed_and_teach_what_was_said(workspace: Workspace, make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis)
    first = suspects(analysis, limit=40)
    rows = [suspect.row for suspect in first]
    judge(workspace, analysis, rows[:10], "wrong")
    judge(workspace, analysis, rows[10:20], "right")
    for row in rows[20:30]:
        judge(workspace, analysis, [row], "wrong", relabel_to=analysis.classes[1 - analysis.labels[row]])
    verdicts = label_verdicts(workspace, analysis)
    found = check_labels(analysis, verdicts=verdicts)
    listed = {suspect.row for suspect in found.suspects}
    assert not listed & set(rows[:30])
    assert set(rows[30:40]) <= listed
    # left-out images are not even looked at
    assert found.checked == analysis.n - 10


def test_at_most_so_many_are_checked_and_that_is_said(make_analysis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    analysis, wrong = flipped_birds(make_analysis)
    monkeypatch.setattr(module, "MOST_IMAGES", 1000)
    monkeypatch.setattr(module, "MOST_FITTED", 300)
    monkeypatch.setattr(module, "FEWEST_FITTED", 300)
    found = check_labels(analysis)
    assert (found.checked, found.total) == (1000, 3000)
    assert found.notes == ("1,000 of 3,000 images were checked, drawn evenly.",)
    rows = np.array([suspect.row for suspect in found.suspects])
    assert wrong[rows[:15]].mean() > 0.9
    assert len(check_labels(analysis, limit=3).suspects) == 3
    assert check_labels(analysis, limit=3).found == found.found


def test_twice_gives_the_same(make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis, n=600)
    assert check_labels(analysis).to_dict() == check_labels(analysis).to_dict()


def test_progress_counts_folds_and_can_stop_it(make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis, n=600, splits=np.repeat([0, 1], 300))
    told: list[tuple[int, int]] = []
    check_labels(analysis, progress=lambda done, total, message="": told.append((done, total)))
    assert told == [(i, 10) for i in range(1, 11)]

    def stop(done: int, total: int, message: str = "") -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        check_labels(analysis, progress=stop)


@pytest.mark.filterwarnings("error")
def test_broken_and_equal_features_do_not_crash(make_analysis: Any) -> None:
    analysis, _ = flipped_birds(make_analysis, n=600)
    features = np.array(analysis.features)
    features[5], features[9, 3], features[:, 7] = np.nan, np.inf, 4.0
    assert check_labels(replace(analysis, features=features)).found > 0
    found = check_labels(replace(analysis, features=np.ones_like(features)))
    assert found.suspects == ()
    assert "do not tell the classes apart" in found.notes[0]


def test_no_model_sees_the_label_it_is_asked_about() -> None:
    """Each image has a feature of its own that says its label: only a model that learnt from it could know it."""
    rng = np.random.default_rng(0)
    n = 60
    labels = rng.integers(0, 2, n)
    features = np.diag(2.0 * labels - 1).astype(np.float32) * 50
    chances = unseen_chances(features, np.arange(n), labels, 2, rng=rng)
    assert chances.sum(axis=1) == pytest.approx(1)
    assert (chances.argmax(axis=1) == labels).mean() < 0.75


def test_the_thresholds_are_those_of_confident_learning() -> None:
    # class 1 is usually given 0.9 to its own images, class 0 0.8: 0.85 for 1 is not enough, 0.95 is
    chances = np.array([[0.8, 0.2], [0.8, 0.2], [0.15, 0.85], [0.05, 0.95], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    places, likely, lead = doubtful(chances, labels)
    assert places.tolist() == [3]
    assert likely.tolist() == [1]
    assert lead == pytest.approx([0.9])


def test_telling_classes_apart_is_more_than_guessing_the_larger_one() -> None:
    labels = np.repeat([0, 1], [950, 50])
    always = np.tile([0.9, 0.1], (1000, 1))
    assert not tells_classes(always, labels)
    right = np.eye(2)[labels] * 0.8 + 0.1
    assert tells_classes(right, labels)
    # of three images nothing follows
    assert not tells_classes(right[[0, 1, 999]], labels[[0, 1, 999]])
