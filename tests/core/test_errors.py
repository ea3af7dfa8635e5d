from __future__ import annotations

import inspect

import pytest

from core import errors

LEAVES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.MidbandError) and cls is not errors.MidbandError
]


@pytest.mark.parametrize("cls", LEAVES)
def test_every_error_says_what_is_wrong_and_what_to_do(cls: type[errors.MidbandError]) -> None:
    error = cls("The file is empty.", next_step="Choose another.")
    assert error.to_dict() == {
        "error": cls.__name__,
        "title": cls.title,
        "detail": "The file is empty.",
        "next_step": "Choose another.",
    }
    assert cls.title != errors.MidbandError.title, "a title of its own"


@pytest.mark.parametrize("cls", [cls for cls in LEAVES if cls is not errors.Cancelled])
def test_an_error_without_a_next_step_cannot_be_made(cls: type[errors.MidbandError]) -> None:
    with pytest.raises(TypeError):
        cls("The file is empty.")


def test_the_tree_in_the_docstring_names_every_error() -> None:
    assert errors.__doc__ is not None
    assert {cls.__name__ for cls in LEAVES} == {cls.__name__ for cls in LEAVES if cls.__name__ in errors.__doc__}
