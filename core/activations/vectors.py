"""Directions that somebody brings: vectors of d numbers, kept with the analysis.

<analysis>/vectors/<slug>.npy    (d,) float32
<analysis>/vectors/<slug>.json   {"name": as a person typed it}
"""

from __future__ import annotations

import io
import json
import math
import re
import tokenize
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.access.policy import Permission, require
from core.errors import BadRequest, NotFound
from core.files import read_array, read_json, slug, storage_problems, write_array, write_json

if TYPE_CHECKING:
    from core.activations.store import Analysis

LONGEST_NAME = 100
# features of the widest networks; a vector longer than this is only read where the number is given
WIDEST = 65_536
# bytes that a number takes at most, written out, and those of a header
PER_NUMBER, HEADER = 64, 1024
# what reading damaged or hostile content raises, deep in numpy, json and tokenize
BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    RecursionError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)
TITLE = "This vector cannot be used"
_FORMATS = "Bring a .npy file, a .json list, or a .csv or .txt file of numbers."


def read_vector(content: bytes, name: str, *, d: int = WIDEST) -> np.ndarray:
    """Read a vector from a file's content: (d,) float32.

    name: the file's name; its ending says what is in it: .npy (numbers only, never unpickled), .json (a list), .csv or
    .txt (numbers between commas, semicolons or spaces). Shapes (1, d) and (d, 1) are taken as (d,). d: how many
    numbers are wanted; content much larger than that is refused before it is read. Raises `BadRequest`.
    """
    _check_size(len(content), name, d)
    ending = Path(name).suffix.lower()
    if ending == ".npy":
        return _numbers(_from_npy(content, name), name)
    if ending not in (".json", ".csv", ".txt"):
        raise _problem(f"{name} is not a kind of file that vectors are read from.", _FORMATS)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _problem(f"{name} is not text in UTF-8.", _FORMATS) from None
    return _numbers(_from_json(text, name), name) if ending == ".json" else _from_text(text, name)


def parse_vector(text: str, *, d: int = WIDEST) -> np.ndarray:
    """Read a typed vector: (d,) float32. Numbers between commas, semicolons or spaces, in brackets or not. d: as for
    `read_vector`. Raises `BadRequest`."""
    _check_size(len(text), "The text", d)
    return _from_text(text.strip().removeprefix("[").removesuffix("]"), "The text")


def save_vector(analysis: Analysis, name: str, vector: np.ndarray) -> str:
    """Keep a vector with the analysis, in place of one of the same name. Returns the name as it is kept.

    vector: (d,) numbers. Raises `BadRequest` for another length, numbers that are not finite, all zeros, or an
    unusable name.
    """
    require(Permission.TAG, name)
    name, vector = _clean(name), _numbers(np.asarray(vector), "The vector")
    if len(vector) != analysis.d:
        raise _problem(
            f"The vector has {len(vector):,} numbers, but the model has {analysis.d:,} penultimate features.",
            f"Bring a vector of {analysis.d:,} numbers, one per feature.",
        )
    if not vector.any():
        raise _problem("All numbers of the vector are 0, so it points nowhere.", "Bring one that has another number.")
    file = _file(analysis, name)
    write_array(file, vector)
    write_json(file.with_suffix(".json"), {"name": name})
    return name


def list_vectors(analysis: Analysis) -> tuple[str, ...]:
    """Names of the vectors kept with the analysis, in alphabetical order."""
    names = []
    for file in (analysis.folder / "vectors").glob("*.json"):
        # what begins with a dot is being written, what has no numbers beside it is being removed
        if file.name.startswith(".") or not file.with_suffix(".npy").exists():
            continue
        try:
            names.append(str(read_json(file)["name"]))
        except (OSError, ValueError, KeyError, TypeError):
            # removed by somebody else just now, or not ours
            continue
    return tuple(sorted(names, key=lambda name: (name.casefold(), name)))


def load_vector(analysis: Analysis, name: str) -> np.ndarray:
    """The vector of this name: (d,) float32. Raises `NotFound` listing those there are."""
    file = _file(analysis, name)
    try:
        vector = read_array(file, mapped=False)
        if vector.shape == (analysis.d,):
            return vector.astype(np.float32)
    except (OSError, *BROKEN):
        pass
    if file.exists():
        raise NotFound(f"The file of the vector “{name}” is damaged.", next_step="Remove it, then bring it again.")
    names = ", ".join(list_vectors(analysis))
    raise NotFound(
        f"There is no vector “{name}”.",
        next_step=f"The vectors are: {names}." if names else "Upload a vector, or type one, first.",
    )


def delete_vector(analysis: Analysis, name: str) -> None:
    """Remove a vector, a damaged one too. Raises `NotFound`, `NotAllowed`."""
    require(Permission.TAG, name)
    file = _file(analysis, name)
    if not file.exists():
        load_vector(analysis, name)
    with storage_problems(file):
        file.with_suffix(".json").unlink(missing_ok=True)
        file.unlink(missing_ok=True)


def _from_npy(content: bytes, name: str) -> np.ndarray:
    source = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(source)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(source)
        # checked before anything is allocated: a header may promise terabytes
        if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - source.tell():
            raise ValueError("it holds something other than the numbers it promises")
        source.seek(0)
        return np.load(source, allow_pickle=False)
    except BROKEN as error:
        raise _problem(f"{name} is not a .npy file of numbers ({str(error)[:200]}).", _FORMATS) from None


def _from_json(text: str, name: str) -> np.ndarray:
    try:
        found: Any = json.loads(text)
        if not isinstance(found, list):
            raise ValueError("it is not a list")
        return np.array(found, dtype=np.float64)
    except BROKEN as error:
        raise _problem(f"{name} is not a JSON list of numbers ({str(error)[:200]}).", _FORMATS) from None


def _from_text(text: str, name: str) -> np.ndarray:
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    values = []
    for place, word in enumerate(words):
        try:
            values.append(float(word))
        except ValueError:
            raise _problem(
                f"{name}: “{word[:40]}”, number {place + 1} of {len(words)}, is not a number.",
                "Give numbers with a point for decimals, between commas or spaces, such as 0.5, -1, 2.",
            ) from None
    return _numbers(np.array(values), name)


def _check_size(size: int, name: str, d: int) -> None:
    if size > PER_NUMBER * d + HEADER:
        shown = f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size:,} characters"
        raise _problem(f"{name} has {shown}, far more than {d:,} numbers take.", "Bring one number per feature.")


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """(d,) float32 of what was read. Raises `BadRequest`."""
    if values.dtype.kind not in "iufb":
        raise _problem(f"{name} does not hold real numbers (but {values.dtype}).", _FORMATS)
    if values.ndim > 1 and values.size == max(values.shape):
        values = values.reshape(-1)
    if values.ndim != 1 or not values.size:
        shape = " × ".join(map(str, values.shape)) or "a single number"
        raise _problem(f"{name} holds {shape} numbers, not one row of them.", "Bring one row or column of numbers.")
    with np.errstate(over="ignore"):
        vector = values.astype(np.float32)
    if values.any() and not vector.any():
        raise _problem(
            f"{name}: its largest number is {np.abs(values).max():g}, which float32 rounds to 0.",
            "Multiply all of them by the same large number: only the direction counts.",
        )
    wrong = np.flatnonzero(~np.isfinite(vector))
    if len(wrong):
        raise _problem(
            f"{name}: number {wrong[0] + 1} of {len(vector)} is {values[wrong[0]]:g}, which is not a finite number "
            "in float32.",
            "Replace it, and scale very large numbers down: only the direction counts.",
        )
    return vector


def _clean(name: str) -> str:
    spaced = " ".join(unicodedata.normalize("NFC", name).split())
    clean = "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cs"))
    if not 1 <= len(clean) <= LONGEST_NAME:
        problem = "is empty" if not clean else f"has {len(clean)} characters"
        raise BadRequest(f"The vector's name {problem}.", next_step=f"Use 1 to {LONGEST_NAME} characters.")
    return clean


def _file(analysis: Analysis, name: str) -> Path:
    return analysis.folder / "vectors" / f"{slug(name)}.npy"


def _problem(detail: str, next_step: str) -> BadRequest:
    return BadRequest(detail, next_step=next_step, title=TITLE)
