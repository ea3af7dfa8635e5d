"""Planted features: a core signal, a spurious one that agrees with the class in 95% of train and val, and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.classifiers.softmax import softmax_regression, standardise
from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.workspace import Workspace


@dataclass(frozen=True)
class Planted:
    features: np.ndarray
    labels: np.ndarray
    place: np.ndarray
    splits: np.ndarray
    head: Head


def planted(
    seed: int = 0,
    *,
    sizes: tuple[int, int, int] = (3000, 1500, 1000),
    classes: int = 2,
    values: int = 2,
    dimensions: int = 128,
    agreement: float = 0.95,
    core: float = 1.3,
    spurious: float = 2.5,
) -> Planted:
    """Features of a network that cheats: rectified random mixtures of class signal, place signal and noise.

    core, spurious: distance of the classes' (places') means in standard deviations. Class c usually shows place
    c % values. Test is balanced over class x place. The head is an ERM fit on train.
    """
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    splits = np.repeat([0, 1, 2], sizes)
    labels = rng.integers(classes, size=n)
    usual = labels % values
    place = np.where(rng.random(n) < agreement, usual, (usual + rng.integers(1, values, size=n)) % values)
    test = splits == 2
    place[test] = rng.integers(values, size=test.sum())
    latent = rng.normal(size=(n, 24))
    # a few latent dimensions per class and place, so that both signals are spread over many features
    core_means = rng.normal(size=(classes, 8))
    place_means = rng.normal(size=(values, 8))
    core_means *= core / np.linalg.norm(core_means - core_means.mean(axis=0), axis=1, keepdims=True)
    place_means *= spurious / np.linalg.norm(place_means - place_means.mean(axis=0), axis=1, keepdims=True)
    latent[:, :8] += core_means[labels]
    latent[:, 8:16] += place_means[place]
    mixing = rng.normal(size=(24, dimensions)) / np.sqrt(24)
    features = np.maximum(latent @ mixing + 0.3 + 0.1 * rng.normal(size=(n, dimensions)), 0).astype(np.float32)
    train = splits == 0
    scaling = standardise(features[train])
    head = scaling.fold(softmax_regression(scaling.apply(features[train]), labels[train], classes=classes, l2=1e-3))
    return Planted(features, labels, place, splits, head)


@pytest.fixture
def planted_analysis(make_analysis: Any) -> Any:
    """planted_analysis(seed, **options): the analysis, with `place` as attribute when it has two values."""

    def make(seed: int = 0, *, with_place: bool = True, **options: Any) -> Any:
        data = planted(seed, **options)
        return make_analysis(
            data.features,
            data.labels,
            splits=data.splits,
            head=data.head,
            place=data.place if with_place else None,
        )

    return make


@pytest.fixture
def answer(workspace: Workspace) -> Callable[..., None]:
    """answer(analysis, truth, budget=, name=): tag what is suggested, as somebody who always sees right would."""

    def tagged(analysis: Any, truth: np.ndarray, *, budget: int = 60, name: str = "water") -> None:
        concept = create_concept(workspace, analysis.dataset_id, name)
        rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=budget)])
        for present in (True, False):
            tag(workspace, analysis, concept, rows[(truth[rows] == 1) == present], present)

    return tagged
