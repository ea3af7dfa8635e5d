"""How people get in: `MIDBAND_ACCESS`."""

from __future__ import annotations

import os

from core.errors import BadRequest

VARIABLE = "MIDBAND_ACCESS"
LOCAL, PASSWORD, OIDC = "local", "password", "oidc"
MODES = (LOCAL, PASSWORD, OIDC)


def mode() -> str:
    """local: one person on this machine, nobody signs in. password, oidc: people with accounts. Raises `BadRequest`."""
    named = os.environ.get(VARIABLE, "").strip().lower() or LOCAL
    if named not in MODES:
        raise BadRequest(f"{VARIABLE} is {named!r}.", next_step=f"Set it to one of {', '.join(MODES)}.")
    return named


def signs_in() -> bool:
    return mode() != LOCAL
