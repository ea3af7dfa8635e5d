from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.datasets.choices import AUTOMATIC, ROLES, Choices, choices_from_dict, dataset_folder, image_folder
from core.errors import BadRequest

NAMES = st.text(min_size=1, max_size=12)
LISTS = st.lists(NAMES, unique=True, max_size=4).map(tuple)
CHOICES = st.builds(
    Choices,
    format=st.none() | NAMES,
    columns=st.dictionaries(st.sampled_from(ROLES), st.text(max_size=12)),
    attributes=st.none() | LISTS,
    target=st.none() | NAMES,
    group=st.none() | NAMES,
    images=st.none() | NAMES,
    classes=st.none() | LISTS,
)


@given(CHOICES)
def test_choices_survive_json(choices: Choices) -> None:
    assert choices_from_dict(json.loads(json.dumps(choices.to_dict()))) == choices


def test_nothing_decided_says_nothing() -> None:
    assert AUTOMATIC.to_dict() == {}
    assert choices_from_dict({}) == AUTOMATIC
    assert choices_from_dict({"format": None, "columns": None}) == AUTOMATIC


def test_no_attributes_is_another_choice_than_any() -> None:
    assert choices_from_dict({"attributes": []}).attributes == ()
    assert Choices(attributes=()).to_dict() == {"attributes": []}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"colour": "red"}, "cannot hold colour"),
        ({"columns": {"picture": "x"}}, "cannot be picture"),
        ({"columns": {"image": 3}}, "columns"),
        ({"columns": ["image"]}, "columns"),
        ({"target": 3}, "target"),
        ({"attributes": "sex"}, "list of names"),
        ({"classes": [1, 2]}, "list of names"),
        ({"classes": ["a", "a"]}, "twice"),
        (["format"], "cannot hold"),
    ],
)
def test_nonsense_is_refused_with_a_next_step(value: Any, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as raised:
        choices_from_dict(value)
    assert raised.value.next_step


def test_names_are_relative_to_the_folder_a_file_lies_in(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("")
    assert dataset_folder(tmp_path / "labels.csv") == tmp_path == dataset_folder(tmp_path)
    assert image_folder(tmp_path / "labels.csv", Choices(images="pictures")) == tmp_path / "pictures"
    assert image_folder(tmp_path, Choices(images="/elsewhere")) == Path("/elsewhere")
    assert image_folder(tmp_path, AUTOMATIC) == tmp_path
