"""What a person decided where a format leaves a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from core.errors import BadRequest

ROLES = ("image", "label", "split")
"""What a column of a table can be; every other column may become an attribute."""


@dataclass(frozen=True)
class Choices:
    """Everything has a default, which lets the format decide.

    format: name of a `Format`; None: recognised. columns: role (see `ROLES`) to name of a column; a role that is absent
    is found by name and content, one with an empty name has no column. attributes: columns that become attributes, in
    this order (evaluation groups by the first); None: those with few values. target: the attribute that is the class
    (CelebA: Blond_Hair, dSprites: shape). group: the attribute that evaluation groups by (CelebA: Male). images: folder
    that the paths of a table are relative to, itself relative to the dataset's folder unless absolute. classes: names
    of the dataset's classes in the model's order.
    """

    format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    attributes: tuple[str, ...] | None = None
    target: str | None = None
    group: str | None = None
    images: str | None = None
    classes: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """What was decided; nothing of what was left to the format."""
        given = {
            "format": self.format,
            "columns": dict(self.columns) or None,
            "attributes": None if self.attributes is None else list(self.attributes),
            "target": self.target,
            "group": self.group,
            "images": self.images,
            "classes": None if self.classes is None else list(self.classes),
        }
        return {name: value for name, value in given.items() if value is not None}


AUTOMATIC = Choices()


def choices_from_dict(value: Mapping[str, Any]) -> Choices:
    """The inverse of `Choices.to_dict`. Raises `BadRequest` for what is none."""
    known = {one.name for one in fields(Choices)}
    if not isinstance(value, Mapping) or not set(value) <= known:
        strange = ", ".join(sorted(set(value) - known)) if isinstance(value, Mapping) else repr(value)[:80]
        raise BadRequest(
            f"Choices about a dataset cannot hold {strange}.", next_step=f"They may hold: {', '.join(sorted(known))}."
        )
    columns = value.get("columns") or {}
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns.values()):
        raise _wrong("columns", "a column's name for each role")
    if not set(columns) <= set(ROLES):
        raise BadRequest(
            f"A column cannot be {', '.join(sorted(map(str, set(columns) - set(ROLES))))}.",
            next_step=f"Columns can be: {', '.join(ROLES)}; any other is an attribute.",
        )
    return Choices(
        format=_text(value, "format"),
        columns=dict(columns),
        attributes=_names(value, "attributes"),
        target=_text(value, "target"),
        group=_text(value, "group"),
        images=_text(value, "images"),
        classes=_names(value, "classes"),
    )


def dataset_folder(root: Path) -> Path:
    """The folder of a dataset: what was opened, or where the file lies that was."""
    return root.parent if root.is_file() else root


def image_folder(root: Path, choices: Choices) -> Path:
    """The folder that an image's name is relative to, for every format whose images are files."""
    return dataset_folder(root) / (choices.images or "")


def _text(value: Mapping[str, Any], name: str) -> str | None:
    found = value.get(name)
    if found is not None and not isinstance(found, str):
        raise _wrong(name, "a name")
    return found or None


def _names(value: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    found = value.get(name)
    if found is None:
        return None
    if isinstance(found, str) or not isinstance(found, (list, tuple)) or not all(isinstance(one, str) for one in found):
        raise _wrong(name, "a list of names")
    if len(set(found)) < len(found):
        raise BadRequest(f"The {name} name one thing twice.", next_step="Name each once.")
    return tuple(found)


def _wrong(name: str, wanted: str) -> BadRequest:
    return BadRequest(f"The choice {name!r} is not {wanted}.", next_step=f"Give {wanted}, or leave it out.")
