"""Facets and filters: every image in one part, and what a link says comes back from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.activations.facets import facet_specs, facet_values, parse_facet
from core.activations.filters import Filter, matching, parse_filter
from core.errors import NotFound

PLACE = np.array([0, 1, -1, 0, 1, 1])
STATES = np.array([1, 0, -1, -1, 1, 0], dtype=np.int8)


def states(name: str) -> np.ndarray:
    if name != "a; b=c,d%":
        raise NotFound(f"There is no concept “{name}”.", next_step="Choose another.")
    return STATES


@pytest.fixture
def analysis(make_analysis) -> Any:  # type: ignore[no-untyped-def]
    labels = np.array([0, 1, 0, 1, 0, 1])
    found = make_analysis(
        np.ones((6, 2)),
        labels,
        classes=("land, bird", "water=bird"),
        splits=np.array([0, 0, 2, 2, 2, 0]),
        place=PLACE,
    )
    found.predicted[:] = [0, 1, 1, 0, 0, 1]
    return found


@pytest.mark.parametrize(
    ("spec", "values", "codes"),
    [
        ("class", ("land, bird", "water=bird"), [0, 1, 0, 1, 0, 1]),
        ("prediction", ("land, bird", "water=bird"), [0, 1, 1, 0, 0, 1]),
        ("correctness", ("wrong", "right"), [1, 1, 0, 0, 1, 1]),
        ("split", ("train", "test"), [0, 0, 1, 1, 1, 0]),
        ("attribute:place", ("land", "water"), PLACE.tolist()),
        ("attribute:Place", ("land", "water"), PLACE.tolist()),
        ("concept:a; b=c,d%", ("absent", "present", "not tagged"), [1, 0, 2, 2, 1, 0]),
    ],
)
def test_a_facet_names_the_part_of_every_image(analysis: Any, spec: str, values: tuple, codes: list[int]) -> None:
    facet = parse_facet(spec, analysis, states=states)
    assert (facet.values, facet.codes.tolist()) == (values, codes)
    assert facet.codes.dtype.itemsize == 1
    assert facet_values(spec, analysis) == values


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("colour", "correctness"),
        ("attribute:sky", "place"),
        ("attribute", "attribute:NAME"),
        ("concept:", "concept:NAME"),
        ("concept:x", "Choose another"),
        ("", "class"),
    ],
)
def test_an_unknown_facet_says_what_exists(analysis: Any, spec: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        parse_facet(spec, analysis, states=states)
    assert said in caught.value.next_step


def test_spaces_around_the_name_of_an_attribute_do_not_matter(analysis: Any) -> None:
    spaced = replace(analysis, attributes=(replace(analysis.attributes[0], name=" Place "),))
    for spec in ("attribute:place", "attribute: Place ", " attribute:PLACE"):
        facet = parse_facet(spec, spaced)
        assert facet.spec == "attribute: Place "
        assert facet.codes.tolist() == PLACE.tolist()
    chosen = Filter((("attribute: Place ", ("land",)),))
    for text in (chosen.to_text(), "attribute:Place=land"):
        assert parse_filter(text, spaced) == chosen
    found = matching(spaced, chosen)
    assert found is not None
    assert np.flatnonzero(found).tolist() == np.flatnonzero(PLACE == 0).tolist()


def test_concepts_need_their_tags(analysis: Any) -> None:
    with pytest.raises(NotFound):
        parse_facet("concept:a; b=c,d%", analysis)


def test_all_facets_are_listed_and_split_only_where_it_parts(analysis: Any, make_analysis) -> None:  # type: ignore[no-untyped-def]
    listed = [spec for spec, _ in facet_specs(analysis, ["w"])]
    assert listed == ["class", "prediction", "correctness", "split", "attribute:place", "concept:w"]
    plain = make_analysis(np.ones((4, 2)), np.array([0, 1, 0, 1]))
    assert [spec for spec, _ in facet_specs(plain)] == ["class", "prediction", "correctness"]


@pytest.mark.parametrize(
    ("terms", "rows"),
    [
        ((("class", ("land, bird",)),), [0, 2, 4]),
        ((("correctness", ("wrong",)), ("split", ("test",))), [2, 3]),
        ((("attribute:place", ("land", "water")),), [0, 1, 3, 4, 5]),
        ((("concept:a; b=c,d%", ("present", "not tagged")), ("class", ("land, bird",))), [0, 2, 4]),
        ((("split", ("val",)),), []),
    ],
)
def test_terms_are_anded_and_their_values_ored(analysis: Any, terms: tuple, rows: list[int]) -> None:
    found = matching(analysis, Filter(terms), states=states)
    assert found is not None
    assert np.flatnonzero(found).tolist() == rows


def test_no_term_is_every_image(analysis: Any) -> None:
    assert matching(analysis, Filter()) is None
    assert Filter((("class", ()),)) == Filter()
    with pytest.raises(NotFound):
        matching(analysis, Filter((("colour", ("red",)),)))


def test_a_filter_survives_its_text_whatever_the_names_hold(analysis: Any) -> None:
    chosen = Filter(
        (("class", ("water=bird", "land, bird")), ("concept:a; b=c,d%", ("absent",)), ("attribute:place", ("land",)))
    )
    text = chosen.to_text()
    assert not set(text) & set(' "<>#&+')
    assert parse_filter(text, analysis, ["a; b=c,d%"]) == chosen
    assert len({chosen, parse_filter(text, analysis, ["a; b=c,d%"])}) == 1


def test_what_a_link_names_that_is_not_there_is_dropped(analysis: Any) -> None:
    text = "class=land%2C%20bird,seagull;colour=red;split=val;;=;class;concept:gone=present;correctness=wrong"
    expected = Filter((("class", ("land, bird",)), ("correctness", ("wrong",))))
    assert parse_filter(text, analysis, []) == expected


@settings(deadline=None)
@given(st.text(max_size=80))
def test_no_text_breaks_the_filter(text: str) -> None:
    from types import SimpleNamespace

    analysis: Any = SimpleNamespace(classes=("a", "b"), attributes=(), split_names=("val",), labelled=True)
    found = parse_filter(text, analysis, ["c"])
    assert parse_filter(found.to_text(), analysis, ["c"]) == found
