"""Each method as a function of arrays; what they reach on planted truth is in test_runs.py and benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from core.classifiers.head import Head
from core.classifiers.softmax import standardise
from core.concepts.probes import cell_weights
from core.concepts.tags import UNTAGGED
from core.errors import BadRequest, EmptyGroup, NotFound
from core.retraining.curation import curate
from core.retraining.dfr import balanced
from core.retraining.groups import Grouping, by_attribute
from core.retraining.methods import (
    METHODS,
    Material,
    checked_settings,
    fit,
    fit_balanced,
    fit_towards,
    get_method,
    needs,
)
from core.retraining.pool import ConceptTags, Pool

NAMES = (
    "mid",
    "mid-tags",
    "class-balanced",
    "dfr",
    "afr",
    "self",
    "group-dro",
    "jtt",
    "erm",
    "finetune",
)


@pytest.fixture
def pool(planted_analysis: Any) -> Pool:
    analysis = planted_analysis(1)
    rows = analysis.split_rows("val")
    return Pool(
        rows,
        analysis.features[rows],
        analysis.logits[rows],
        analysis.labels[rows],
        analysis.classes,
        analysis.head,
        "val",
        np.ones(len(rows), dtype=bool),
    )


HEADS = tuple(name for name in NAMES if name != "finetune")


@pytest.fixture
def place(planted_analysis: Any) -> np.ndarray:
    """The place of each image of `pool`."""
    analysis = planted_analysis(1)
    return analysis.attributes[0].codes[analysis.split_rows("val")].astype(np.int64)


@pytest.fixture
def material(pool: Pool, place: np.ndarray) -> Material:
    """60 tags as "tag next" asks for them, and the true groups."""
    states = np.full(len(pool), UNTAGGED, dtype=np.int8)
    for c in range(2):
        members = np.flatnonzero(pool.labels == c)
        order = members[np.argsort(pool.logits[members, c])]
        asked = np.concatenate([order[:20], order[-300::30]])
        states[asked] = place[asked]
    return Material(pool, (ConceptTags("water", states),), grouping(pool, place))


def grouping(pool: Pool, codes: np.ndarray) -> Grouping:
    return by_attribute(pool.labels, pool.classes, "place", ("land", "water"), codes)


def worst(head: Head, pool: Pool, codes: np.ndarray) -> float:
    right = head.logits(pool.features).argmax(axis=1) == pool.labels
    groups = pool.labels * 2 + codes
    return min(float(right[groups == group].mean()) for group in np.unique(groups))


def scaled(pool: Pool, factor: float) -> Pool:
    """The same images with features in another unit, and the head that gives the same logits."""
    head = Head(pool.head.weight / np.float32(factor), pool.head.bias)
    features = pool.features * np.float32(factor)
    return Pool(pool.rows, features, pool.logits, pool.labels, pool.classes, head, "val", pool.eligible)


def renamed(material: Material) -> Material:
    """The same images with the two classes in the other order."""
    pool = material.pool
    head = Head(pool.head.weight[::-1].copy(), pool.head.bias[::-1].copy())
    logits, labels = pool.logits[:, ::-1].copy(), 1 - pool.labels
    other = Pool(pool.rows, pool.features, logits, labels, pool.classes[::-1], head, "val", pool.eligible)
    known = material.known
    assert known is not None
    return Material(other, material.concepts, grouping(other, known.codes % 2))


def test_the_methods_are_there_in_order_with_what_a_page_shows() -> None:
    assert tuple(METHODS) == NAMES
    for method in METHODS.values():
        assert method.title
        assert method.description
        assert method.source
        assert method.needs in ("", "tags", "attributes")
        assert method.labels.endswith(".")
        assert method.kind == ("network" if method.name == "finetune" else "head")
        for knob in method.knobs:
            assert knob.help.endswith("."), knob.name
            # what a page offers is what is taken
            assert knob.check(knob.default) == knob.default
            assert isinstance(knob.default, bool | str) or knob.low <= knob.default <= knob.high
            assert not isinstance(knob.default, str) or knob.default in knob.choices
        assert method.to_dict()["knobs"] == [knob.to_dict() for knob in method.knobs]


def test_unknown_method_lists_those_that_exist() -> None:
    with pytest.raises(NotFound) as caught:
        get_method("magic")
    for name in NAMES:
        assert name in caught.value.next_step


def test_erm_returns_the_very_head(pool: Pool) -> None:
    assert fit("erm", Material(pool), rng=np.random.default_rng(0)).head is pool.head


@pytest.mark.parametrize("method", ["class-balanced", "afr", "self"])
def test_images_that_are_not_eligible_change_nothing(pool: Pool, method: str) -> None:
    some = np.arange(len(pool)) < 900
    marked = Pool(pool.rows, pool.features, pool.logits, pool.labels, pool.classes, pool.head, "val", some)
    first = fit(method, Material(marked), rng=np.random.default_rng(0)).head
    second = fit(method, Material(marked.only_eligible()), rng=np.random.default_rng(0)).head
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-5)


def test_class_balanced_moves_a_lopsided_head(pool: Pool) -> None:
    tilted = Head(pool.head.weight, pool.head.bias + np.array([6, 0], dtype=np.float32))
    logits = tilted.logits(pool.features)
    lopsided = Pool(pool.rows, pool.features, logits, pool.labels, pool.classes, tilted, "val", pool.eligible)
    head = fit("class-balanced", Material(lopsided), rng=np.random.default_rng(0)).head
    before, after = (found.argmax(axis=1) for found in (logits, head.logits(pool.features)))
    recall = [[(guess == pool.labels)[pool.labels == c].mean() for c in (0, 1)] for guess in (before, after)]
    assert min(recall[1]) > min(recall[0]) + 0.2


def test_a_pull_without_end_keeps_the_head(pool: Pool) -> None:
    kept = fit_towards(pool, np.arange(len(pool)), cell_weights(pool.labels), l2=1e7)
    np.testing.assert_allclose(kept.weight, pool.head.weight, atol=1e-3)


def test_balanced_subsets_ignore_how_many_images_a_group_has(pool: Pool) -> None:
    """Copies of a group's images change nothing: only one of it as large as the smallest group is ever drawn."""
    rng = np.random.default_rng(0)
    groups = pool.labels * 2 + rng.integers(2, size=len(pool))
    plain = fit_balanced(pool, np.arange(len(pool)), groups, rng=np.random.default_rng(0), refits=40)
    copied = np.concatenate([np.arange(len(pool)), np.repeat(np.flatnonzero(groups == 1), 4)])
    repeated = fit_balanced(pool, copied, groups[copied], rng=np.random.default_rng(0), refits=40)
    one, two = (head.logits(pool.features) for head in (plain, repeated))
    assert np.corrcoef(one[:, 1] - one[:, 0], two[:, 1] - two[:, 0])[0, 1] > 0.97
    assert abs((one.argmax(axis=1) == 1).mean() - (two.argmax(axis=1) == 1).mean()) < 0.05


def test_dfr_needs_groups_and_every_class_in_them(pool: Pool) -> None:
    with pytest.raises(BadRequest):
        fit("dfr", Material(pool), rng=np.random.default_rng(0))
    codes = np.where(pool.labels == 0, -1, 0)
    known = by_attribute(pool.labels, pool.classes, "place", ("land", "water"), codes)
    with pytest.raises(EmptyGroup, match="class 0"):
        fit("dfr", Material(pool, known=known), rng=np.random.default_rng(0))


def test_dfr_survives_a_group_of_one(pool: Pool) -> None:
    codes = np.zeros(len(pool), dtype=int)
    codes[np.flatnonzero(pool.labels == 0)[0]] = 1
    known = by_attribute(pool.labels, pool.classes, "place", ("land", "water"), codes)
    head = fit("dfr", Material(pool, known=known), rng=np.random.default_rng(0)).head
    assert np.isfinite(head.weight).all()


def test_mid_without_concepts_says_what_to_do(pool: Pool) -> None:
    with pytest.raises(BadRequest) as caught:
        fit("mid", Material(pool), rng=np.random.default_rng(0))
    assert "tag" in caught.value.next_step


def test_retraining_starts_without_torch() -> None:
    root = Path(__file__).parents[3]
    program = (
        "import sys, core.retraining.runs, core.concepts.exchange, core.concepts.associations;"
        "import core.activations.sampling;"
        "assert 'torch' not in sys.modules and 'streamlit' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_knobs_left_out_have_their_defaults_and_text_is_read() -> None:
    assert checked_settings("erm") == {}
    assert checked_settings("jtt", {"factor": "7.5"}) == {"factor": 7.5, "pull": 0.1}
    found = checked_settings("dfr", {"refits": "3", "penalty": "l2"})
    assert found == {"penalty": "l2", "strength": 0.0, "refits": 3, "groups": "attribute"}
    assert type(found["refits"]) is int
    assert checked_settings("finetune", {"augment": "false"})["augment"] is False


@pytest.mark.parametrize(
    ("method", "knob", "value", "allowed"),
    [
        ("afr", "gamma", -1, "from 0 to 50"),
        ("afr", "gamma", float("nan"), "from 0 to 50"),
        ("afr", "gamma", "much", "from 0 to 50"),
        ("afr", "gamma", True, "from 0 to 50"),
        ("dfr", "refits", 2.5, "a whole number from 1 to 200"),
        ("dfr", "refits", 201, "a whole number from 1 to 200"),
        ("dfr", "penalty", "l3", "one of l1, l2"),
        ("finetune", "augment", "perhaps", "true or false"),
    ],
)
def test_a_knob_out_of_its_range_is_named_with_it(method: str, knob: str, value: Any, allowed: str) -> None:
    with pytest.raises(BadRequest, match=f"{knob} is .*{allowed}"):
        checked_settings(method, {knob: value})


def test_a_knob_that_is_not_there_lists_those_that_are(pool: Pool) -> None:
    with pytest.raises(BadRequest) as caught:
        fit("afr", Material(pool), rng=np.random.default_rng(0), settings={"speed": 3})
    assert "speed" in caught.value.detail
    assert "gamma, pull" in caught.value.next_step


def test_what_is_needed_follows_the_groups_knob() -> None:
    assert [needs(name) for name in ("mid", "dfr", "group-dro", "jtt")] == ["tags", "attributes", "tags", ""]
    assert needs("dfr", {"groups": "concepts"}) == "tags"
    assert needs("group-dro", {"groups": "attribute"}) == "attributes"


def test_finetuning_is_not_for_features_alone(material: Material) -> None:
    with pytest.raises(BadRequest, match="whole network"):
        fit("finetune", material, rng=np.random.default_rng(0))


@pytest.mark.parametrize("method", HEADS)
def test_the_same_seed_gives_the_same_head(material: Material, method: str) -> None:
    first, second = (fit(method, material, rng=np.random.default_rng(3)).head for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)
    np.testing.assert_array_equal(first.bias, second.bias)


@pytest.mark.parametrize("method", HEADS)
def test_features_in_another_unit_give_the_same_predictions(material: Material, method: str) -> None:
    other = Material(scaled(material.pool, 50.0), material.concepts, material.known)
    plain = fit(method, material, rng=np.random.default_rng(0)).head.logits(material.pool.features)
    moved = fit(method, other, rng=np.random.default_rng(0)).head.logits(other.pool.features)
    assert (plain.argmax(axis=1) == moved.argmax(axis=1)).mean() > 0.995


# methods that draw images of each group in turn draw others when the groups come in another order
@pytest.mark.parametrize("method", ["class-balanced", "afr", "self", "jtt", "group-dro"])
def test_classes_in_another_order_give_the_same_predictions(material: Material, method: str) -> None:
    settings = {"groups": "attribute"} if method == "group-dro" else {}
    plain = fit(method, material, rng=np.random.default_rng(0), settings=settings).head
    other = fit(method, renamed(material), rng=np.random.default_rng(0), settings=settings).head
    np.testing.assert_allclose(other.weight[::-1], plain.weight, atol=2e-3)


@pytest.mark.parametrize("method", ["mid", "dfr", "group-dro", "afr"])
def test_the_worst_group_gains(material: Material, place: np.ndarray, method: str) -> None:
    pool = material.pool
    head = fit(method, material, rng=np.random.default_rng(0)).head
    assert worst(head, pool, place) > worst(pool.head, pool, place) + 0.1


@pytest.mark.parametrize("method", ["dfr", "group-dro"])
def test_images_of_unknown_group_are_as_if_they_were_not_there(pool: Pool, place: np.ndarray, method: str) -> None:
    known = np.random.default_rng(0).random(len(pool)) < 0.6
    settings = {"groups": "attribute"}
    marked = Material(pool, known=grouping(pool, np.where(known, place, -1)))
    gaps = fit(method, marked, rng=np.random.default_rng(0), settings=settings)
    assert np.isfinite(gaps.head.weight).all()
    assert worst(gaps.head, pool, place) > worst(pool.head, pool, place)
    # their own features only set the scale of the space
    shuffled = pool.labels.copy()
    shuffled[~known] = 1 - shuffled[~known]
    other = Pool(pool.rows, pool.features, pool.logits, shuffled, pool.classes, pool.head, "val", pool.eligible)
    again = fit(method, Material(other, known=marked.known), rng=np.random.default_rng(0), settings=settings)
    np.testing.assert_array_equal(gaps.head.weight, again.head.weight)


@pytest.mark.parametrize("method", ["dfr", "group-dro"])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_a_pattern_that_one_class_never_shows_is_no_group(
    pool: Pool, place: np.ndarray, method: str, penalty: str
) -> None:
    """All landbirds on land: three groups are balanced, and the fourth, of nobody, breaks nothing."""
    kept = ~((pool.labels == 0) & (place == 1))
    some = Pool(
        pool.rows[kept],
        pool.features[kept],
        pool.logits[kept],
        pool.labels[kept],
        pool.classes,
        pool.head,
        "val",
        pool.eligible[kept],
    )
    settings = {"groups": "attribute"} | ({"penalty": penalty} if method == "dfr" else {})
    found = fit(
        method, Material(some, known=grouping(some, place[kept])), rng=np.random.default_rng(0), settings=settings
    )
    assert worst(found.head, some, place[kept]) > worst(some.head, some, place[kept])
    if method == "group-dro":
        assert len(found.chosen["weights"]) == 3


def test_dfr_tries_seven_strengths_and_says_what_it_chose(material: Material) -> None:
    found = fit("dfr", material, rng=np.random.default_rng(0))
    assert [line["strength"] for line in found.tried] == [1.0, 0.7, 0.3, 0.1, 0.07, 0.03, 0.01]
    best = max(line["worst_group"] for line in found.tried)
    first = next(line["strength"] for line in found.tried if line["worst_group"] == best)
    assert found.chosen == {"strength": first}
    given = fit("dfr", material, rng=np.random.default_rng(0), settings={"strength": 0.03})
    assert given.tried == ()
    assert given.chosen == {"strength": 0.03}


def test_a_small_strength_leaves_most_features_out(material: Material) -> None:
    used = [
        np.count_nonzero(
            np.abs(fit("dfr", material, rng=np.random.default_rng(0), settings={"strength": c}).head.weight[1])
        )
        for c in (0.03, 1.0)
    ]
    assert used[0] < used[1] / 2


def test_dfr_of_equal_groups_is_one_fit_however_many_are_averaged(pool: Pool, place: np.ndarray) -> None:
    group = pool.labels * 2 + place
    chosen = np.concatenate([np.flatnonzero(group == g)[:12] for g in np.unique(group)])
    codes = np.where(np.isin(np.arange(len(pool)), chosen), place, -1)
    heads = [
        fit(
            "dfr",
            Material(pool, known=grouping(pool, codes)),
            rng=np.random.default_rng(seed),
            settings={"refits": refits, "strength": 0.3},
        ).head
        for seed, refits in ((0, 1), (1, 7))
    ]
    np.testing.assert_array_equal(heads[0].weight, heads[1].weight)
    np.testing.assert_array_equal(heads[0].bias, heads[1].bias)


def test_dfr_is_the_mean_of_what_liblinear_fits(pool: Pool, place: np.ndarray) -> None:
    known = grouping(pool, place)
    ours = fit(
        "dfr", Material(pool, known=known), rng=np.random.default_rng(3), settings={"refits": 2, "strength": 0.3}
    ).head
    rng = np.random.default_rng(3)
    groups = known.codes
    scaler = StandardScaler().fit(pool.features)
    weight, bias = np.zeros(pool.features.shape[1]), 0.0
    for _ in range(2):
        chosen = balanced(groups, rng)
        model = LogisticRegression(l1_ratio=1, C=0.3, solver="liblinear", tol=1e-6, max_iter=10_000)
        model.fit(scaler.transform(pool.features[chosen]), pool.labels[chosen])
        weight += model.coef_[0] / 2
        bias += float(model.intercept_[0]) / 2
    theirs = scaler.transform(pool.features) @ weight + bias
    logits = ours.logits(pool.features)
    # ours stops a little earlier, and scales dead features less
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], theirs, atol=0.03 * np.abs(theirs).max())


def test_dfr_on_tagged_groups_needs_no_attribute(material: Material, place: np.ndarray) -> None:
    tagged = Material(material.pool, material.concepts)
    found = fit("dfr", tagged, rng=np.random.default_rng(0), settings={"groups": "concepts"})
    assert found.curation is not None
    assert worst(found.head, tagged.pool, place) > worst(tagged.pool.head, tagged.pool, place) + 0.1


def test_group_dro_finds_the_smallest_loss_of_the_worst_group(material: Material) -> None:
    """Its objective is below that of heads nearby, and group weights sit on the groups that are worst."""
    pool, known = material.pool, material.known
    assert known is not None
    settings = {"groups": "attribute", "rounds": 400, "step": 1.0}
    found = fit("group-dro", material, rng=np.random.default_rng(0), settings=settings)
    scaling = standardise(pool.features)
    x, old = scaling.apply(pool.features), scaling.unfold(pool.head)

    def height(head: Head) -> float:
        logits = head.logits(x).astype(np.float64)
        losses = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        losses -= logits[np.arange(len(x)), pool.labels]
        groups = [float(losses[known.codes == group].mean()) for group in range(4)]
        return max(groups) + 0.05 * float(((head.weight - old.weight) ** 2).sum())

    solution = scaling.unfold(found.head)
    lowest = height(solution)
    rng = np.random.default_rng(0)
    for size in (0.003, 0.01, 0.03):
        for _ in range(20):
            weight = solution.weight + size * rng.normal(size=solution.weight.shape).astype(np.float32)
            bias = solution.bias + size * rng.normal(size=2).astype(np.float32)
            assert height(Head(weight, bias)) > lowest - 2e-3
    balanced = fit_balanced(pool, np.arange(len(pool)), known.codes, rng=rng, l2=0.1)
    assert lowest < height(scaling.unfold(balanced))
    assert sum(found.chosen["weights"].values()) == pytest.approx(1)


def test_jtt_weighs_the_images_that_the_old_head_gets_wrong(pool: Pool) -> None:
    wrong = pool.logits.argmax(axis=1) != pool.labels
    alike = fit("jtt", Material(pool), rng=np.random.default_rng(0), settings={"factor": 1}).head
    plain = fit_towards(pool, np.arange(len(pool)), np.ones(len(pool)))
    np.testing.assert_allclose(alike.weight, plain.weight, atol=1e-5)
    recalls = []
    for factor in (1, 5, 50):
        head = fit("jtt", Material(pool), rng=np.random.default_rng(0), settings={"factor": factor}).head
        recalls.append((head.logits(pool.features).argmax(axis=1) == pool.labels)[wrong].mean())
    assert recalls == sorted(recalls)
    assert recalls[2] > recalls[0] + 0.3


def test_self_by_dropout_chooses_other_images(pool: Pool) -> None:
    heads = [
        fit("self", Material(pool), rng=np.random.default_rng(0), settings={"variant": variant}).head
        for variant in ("misclassification", "dropout")
    ]
    assert np.abs(heads[0].weight - heads[1].weight).max() > 1e-3


def test_images_somebody_looked_through_are_taken_as_they_are(material: Material) -> None:
    curation = curate(material.pool, material.concepts, rng=np.random.default_rng(0))
    found = fit("mid", Material(material.pool, curation=curation), rng=np.random.default_rng(0))
    assert found.curation is curation
