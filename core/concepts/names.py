"""Names and notes of concepts, as they are kept: what people type is hostile until it went through here."""

from __future__ import annotations

import itertools
import unicodedata

from core.concepts.log import clean_line
from core.errors import BadRequest

LONGEST_NAME = 200
LONGEST_NOTE = 4000


def clean_name(name: str) -> str:
    """The name as it is stored: NFC, spaces trimmed and runs of them made one, no control characters.

    Raises `BadRequest` unless 1 to 200 characters are left.
    """
    clean = clean_line(name)
    if not 1 <= len(clean) <= LONGEST_NAME:
        problem = "is empty" if not clean else f"has {len(clean)} characters"
        raise BadRequest(f"The concept's name {problem}.", next_step=f"Use 1 to {LONGEST_NAME} characters.")
    return clean


def clean_note(note: str) -> str:
    """The note as it is stored: NFC, no control characters but newlines, no empty space around it.

    Raises `BadRequest` when more than 4,000 characters are left.
    """
    lines = note.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    kept = (one for one in lines if one == "\n" or unicodedata.category(one) not in ("Cc", "Cs"))
    clean = unicodedata.normalize("NFC", "".join(kept)).strip()
    if len(clean) > LONGEST_NOTE:
        raise BadRequest(
            f"The note has {len(clean):,} characters.", next_step=f"Use at most {LONGEST_NOTE:,} characters."
        )
    return clean


def concept_key(name: str) -> str:
    """What makes two clean names the same concept: equal but for case."""
    # case folding can undo the normal form, hence once more
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def free_name(wanted: str, taken: set[str]) -> str:
    """The name, cut to its longest, with the lowest number from 2 on that makes it none of the keys in `taken`."""
    name = clean_name(wanted[:LONGEST_NAME])
    for number in itertools.count(2):
        if concept_key(name) not in taken:
            break
        suffix = f" ({number})"
        name = clean_name(f"{wanted[: LONGEST_NAME - len(suffix)]}{suffix}")
    return name
