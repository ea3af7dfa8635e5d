"""The sentence below the map: planted patterns are told, and that there is none."""

from __future__ import annotations

import numpy as np
import pytest

from pages.parts import map_finding
from pages.parts.feature_map import STEPS, UNKNOWN, MapColours, MapLayout

N = 400


def told(
    xy: np.ndarray, codes: np.ndarray, names: tuple[str, ...] = ("sea", "land"), *, shown: np.ndarray | None = None
) -> str:
    map_finding._sentence.cache_clear()
    layout = MapLayout("one", "UMAP", xy.astype(np.float32), shown)
    return map_finding.sentence(layout, MapColours("one", "place", codes.astype(np.uint8), names))


@pytest.fixture
def places() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, 2))


def test_values_that_lie_apart_order_the_map(places: np.ndarray) -> None:
    codes = np.arange(N) % 2
    assert told(places + 100 * codes[:, None], codes) == (
        "The map is ordered by **place**: of an image's nearest neighbours here 100% share its place, by chance 50%."
    )


def test_values_drawn_by_lot_are_spread(places: np.ndarray) -> None:
    codes = np.random.default_rng(1).permutation(np.arange(N) % 2)
    assert told(places, codes).startswith("The map is not ordered by **place**")


def test_a_rare_value_is_no_pattern_by_being_rare(places: np.ndarray) -> None:
    codes = np.random.default_rng(1).permutation(np.arange(N) < 8)
    assert "is not ordered" in told(places, codes)


def test_a_ramp_that_rises_along_the_map(places: np.ndarray) -> None:
    order = np.argsort(np.argsort(places[:, 0]))
    along = places * (1, 0)
    text = told(along, order / (N - 1) * (STEPS - 1), ())
    # of numbers spread evenly two are a third of their range apart
    assert text.startswith("The map is ordered by **place**")
    assert text.endswith("any two by 33%.")
    assert "is not ordered" in told(places, np.random.default_rng(1).permutation(order) / (N - 1) * (STEPS - 1), ())


def test_what_is_hidden_or_not_known_or_nowhere_does_not_count(places: np.ndarray) -> None:
    codes = np.arange(N) % 2
    places = places + 100 * codes[:, None]
    third = np.arange(N) % 3
    codes[third == 1] = UNKNOWN
    places[third == 2] = np.nan
    shown = np.arange(N) < 200
    places[~shown] = 0
    assert "100% share its place" in told(places, codes, shown=shown)
    assert told(np.full((N, 2), np.nan), codes) == ""


def test_one_value_alone_is_told_so(places: np.ndarray) -> None:
    assert told(places, np.zeros(N)) == "All of them have the same place."


def test_images_in_one_place_are_no_neighbours_of_themselves() -> None:
    codes = np.arange(N) % 2
    text = told(np.zeros((N, 2)), codes)
    # with itself counted, all would be a little more alike than by chance
    assert "by chance 50%" in text
    assert "is not ordered" in text
