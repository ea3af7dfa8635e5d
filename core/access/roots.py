"""The folders that people may have opened or written to.

`MIDBAND_DATA_ROOTS` lists them. Unset, one person on one machine may open whatever they may open anyway; where people
sign in, only the workspace is open to them.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.access.modes import signs_in
from core.errors import NotAllowed
from core.workspace import opened

VARIABLE = "MIDBAND_DATA_ROOTS"


def data_roots() -> tuple[Path, ...] | None:
    """The folders within which data, models and outputs may lie, symbolic links followed; None: anywhere."""
    named = os.environ.get(VARIABLE, "")
    if not named.strip() and not signs_in():
        return None
    return tuple(Path(part).expanduser().resolve() for part in named.split(os.pathsep) if part.strip()) + opened()


def is_open(path: Path | str) -> bool:
    """Whether a path lies within the data roots, symbolic links followed."""
    roots = data_roots()
    place = Path(path).expanduser().resolve()
    return roots is None or any(place.is_relative_to(root) for root in roots)


def allowed_path(path: Path | str) -> Path:
    """The path, symbolic links followed. Raises `NotAllowed` for one outside the data roots."""
    place = Path(path).expanduser().resolve()
    if not is_open(place):
        roots = data_roots() or ()
        # what is there, and whether it is, stays unsaid
        raise NotAllowed(
            f"{path} lies outside the folders that may be opened here.",
            next_step=f"Use a folder below one of {', '.join(map(str, roots)) or 'none'}; who runs the server names "
            f"others in {VARIABLE}.",
            title="This place is not open",
        )
    return place
