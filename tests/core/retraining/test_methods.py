"""Each method as a function of arrays; what they reach on planted truth is in test_runs.py and benchmarks/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.concepts.probes import cell_weights
from core.errors import BadRequest, EmptyGroup, NotFound
from core.retraining.groups import by_attribute
from core.retraining.methods import METHODS, Material, fit, fit_balanced, fit_towards, get_method
from core.retraining.pool import Pool

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


def test_the_methods_are_there_in_order_with_what_a_page_shows() -> None:
    assert tuple(METHODS) == NAMES
    for method in METHODS.values():
        assert method.title
        assert method.description
        assert method.source
        assert method.needs in ("", "tags", "attributes")


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
