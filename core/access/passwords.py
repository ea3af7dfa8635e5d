"""Passwords as hashes: scrypt of the standard library, with a salt each."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from base64 import b64decode, b64encode

from core.errors import BadRequest

# characters; NIST SP 800-63B asks for 15 where a password stands alone and 8 beside another factor
SHORTEST = 12
# bytes: more is no better, and each is read
LONGEST = 1024
# OWASP's password storage cheat sheet: as hard as N=2**17 with one pass, in a quarter of the memory (32 MiB)
_COST, _BLOCK, _PASSES = 2**15, 8, 3
_MEMORY = 64 * 2**20
# hashes made at once: a crowd of attempts must not take the machine's memory
_room = threading.BoundedSemaphore(2)


def hashed(password: str) -> str:
    """What is kept of a password: "scrypt$N$r$p$salt$hash". Raises `BadRequest` for one too short or too long."""
    if len(password) < SHORTEST or len(password.encode()) > LONGEST:
        raise BadRequest(
            f"The password has {len(password)} characters.",
            next_step=f"Use {SHORTEST} characters or more: a few words that do not belong together are easy to keep.",
            title="That password does not work",
        )
    salt = secrets.token_bytes(16)
    made = _scrypt(password, salt, _COST, _BLOCK, _PASSES)
    return "$".join(("scrypt", str(_COST), str(_BLOCK), str(_PASSES), *(b64encode(x).decode() for x in (salt, made))))


def fits(password: str, kept: str | None) -> bool:
    """Whether a password is the one that was hashed. None, of somebody unknown, takes as long and never fits."""
    _, cost, block, passes, salt, made = (kept or _nobody()).split("$")
    asked = password if len(password.encode(errors="replace")) <= LONGEST else ""
    found = _scrypt(asked, b64decode(salt), int(cost), int(block), int(passes))
    return hmac.compare_digest(found, b64decode(made)) and kept is not None


def _scrypt(password: str, salt: bytes, cost: int, block: int, passes: int) -> bytes:
    with _room:
        # "replace": what a browser sends may hold half a character
        data = password.encode(errors="replace")
        return hashlib.scrypt(data, salt=salt, n=cost, r=block, p=passes, maxmem=_MEMORY, dklen=32)


def _nobody() -> str:
    blank = b64encode(bytes(16)).decode()
    return f"scrypt${_COST}${_BLOCK}${_PASSES}${blank}${b64encode(bytes(32)).decode()}"
