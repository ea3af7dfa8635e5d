"""The formats there are, and which of them a path looks like."""

from __future__ import annotations

from pathlib import Path

from core.datasets import folders, tables
from core.datasets.format import Format
from core.errors import BadRequest, EmptyDataset

__all__ = ["FORMATS", "Format", "format_named", "recognise"]

# The first that fits is used unless a person says otherwise: the particular before the general.
FORMATS: tuple[Format, ...] = (
    tables.METADATA_CSV,
    folders.FORMAT,
)


def format_named(name: str) -> Format:
    """Raises `BadRequest`."""
    found = next((one for one in FORMATS if one.name == name), None)
    if found is None:
        raise BadRequest(
            f"There is no format {name!r}.", next_step=f"Known are: {', '.join(one.name for one in FORMATS)}."
        )
    return found


def recognise(path: Path) -> tuple[Format, ...]:
    """Every format that fits, best first. path: resolved, an existing file or folder.

    Raises `EmptyDataset` that names what was looked for when none does.
    """
    fitting = tuple(one for one in FORMATS if one.recognises(path))
    if not fitting:
        raise EmptyDataset(
            f"{path} holds nothing that is known.",
            next_step=f"Known are: {'; '.join(one.title for one in FORMATS)}.",
        )
    return fitting
