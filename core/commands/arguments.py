"""Values that options take."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    return _whole(text, 1)


def natural(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is less than {least}")
    return value


def numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as -2,0,2") from None


def names(text: str) -> tuple[str, ...]:
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def setting(text: str) -> tuple[str, str]:
    """A knob and its value: "pull=0.01"."""
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not a setting such as pull=0.01")
    return name.strip(), value.strip()


def column(text: str) -> tuple[str, str]:
    """A role and the column that has it: "label=species". Whether there is such a role is told by the dataset."""
    role, sign, name = text.partition("=")
    if not sign or not role.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not a column such as label=species")
    return role.strip(), name.strip()


def per_channel(text: str) -> tuple[float, ...]:
    """One number for every channel of an image, or one each."""
    values = numbers(text)
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is neither one number nor three")
    return values


def class_names(text: str) -> tuple[str, ...]:
    """ "a,b,c", or the name of a text file with a class on each line (for names with commas, and for a thousand)."""
    file = Path(text).expanduser()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines() if file.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read as a list of classes ({error})") from None
    found = names(text) if lines is None else tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names no class")
    return found
