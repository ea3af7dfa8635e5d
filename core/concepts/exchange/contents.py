"""What a file of tags holds, whatever its format: statements, the palette, verdicts on labels.

A reader of a format gives `Raw`: cells as they stand in the file. `checked` makes `Contents` of it, or rejects lines
one by one with a reason. A writer of a format takes `Contents`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from core.concepts.concept import ROLES
from core.concepts.names import LONGEST_NOTE, clean_name, clean_note, concept_key
from core.concepts.tags import rows_of_images
from core.datasets.dataset import no_labels
from core.errors import BadRequest
from core.migration import SHORTCUTS

if TYPE_CHECKING:
    from core.activations.store import Analysis

Answer = bool | Literal["unsure"]
# bytes of a file of tags at most: a million tags in CSV
LARGEST = 150_000_000
MOST_TAGS = 2_000_000
# a path, a note or a direction may be long; what is longer is no such thing
LONGEST_TEXT = LONGEST_NOTE
# characters of a cell that a reason quotes
QUOTED = 80
TITLE = "The file of tags cannot be read"
VERDICTS = ("wrong", "right")
# what a file says of where a statement came from, in the order of `Origin`
ORIGIN = ("author", "source", "how", "time", "direction", "low", "high")

_LONG = f"longer than {LONGEST_TEXT:,} characters"
_UNCLEAR = "which cannot be understood"

_YES = {"1", "1.0", "true", "yes", "y", "present"}
_NO = {"0", "0.0", "false", "no", "n", "absent"}
_UNSURE = {"unsure", "?"}


@dataclass(frozen=True)
class Origin:
    """Where a statement came from before it was exported; None where the file does not say. time: UTC, naive."""

    author: str | None = None
    source: str | None = None
    how: str | None = None
    time: datetime | None = None
    direction: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Statement:
    """row: place in the file, counted as the file counts (`Raw.unit`). said: True present, False absent, "unsure"."""

    row: int
    image: str
    concept: str
    said: Answer
    origin: Origin


@dataclass(frozen=True)
class PaletteEntry:
    """A concept as files carry it; None where a file does not say. shortcut: 1 to 9, 0 for none. attribute: the
    dataset's column that it follows and the value that means present."""

    name: str
    color: str | None = None
    role: str | None = None
    note: str | None = None
    shortcut: int | None = None
    attribute: tuple[str, str] | None = None


@dataclass(frozen=True)
class LabelStatement:
    """label: the class as the dataset gives it. verdict: "wrong" or "right". new_label: the class it should be."""

    row: int
    image: str
    label: str
    verdict: str
    new_label: str | None
    origin: Origin


@dataclass(frozen=True)
class Rejected:
    """row: line of a CSV file (the header being 1), number of the tag, row or verdict elsewhere. reason: a sentence."""

    row: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "reason": self.reason}


@dataclass(frozen=True)
class Raw:
    """Cells as read. unit: what `row` counts, "line", "row" or "tag". tags: (row, column -> cell)."""

    unit: str
    tags: Sequence[tuple[int, Mapping[str, Any]]]
    concepts: Sequence[Any] = ()
    verdicts: Sequence[Any] = ()


@dataclass(frozen=True)
class Contents:
    """Usable statements, in the order of the file, at most one per image and concept. notes: sentences for a person."""

    statements: tuple[Statement, ...]
    palette: tuple[PaletteEntry, ...] = ()
    verdicts: tuple[LabelStatement, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    unit: str = "line"


@dataclass
class _Checking:
    rejected: list[Rejected] = field(default_factory=list)
    # of what is kept without some of its cells: how many of each kind and reason, and which cells
    without: dict[tuple[str, str], tuple[int, set[str]]] = field(default_factory=dict)
    origins: dict[tuple[str, ...], tuple[Origin, Mapping[str, list[str]]]] = field(default_factory=dict)

    def lose(self, kind: str, lost: Mapping[str, list[str]]) -> None:
        """Note that one statement or concept is kept without these cells, by reason."""
        for reason, names in lost.items():
            count, all_names = self.without.get((kind, reason), (0, set()))
            self.without[kind, reason] = count + 1, all_names.union(names)

    @property
    def notes(self) -> list[str]:
        sentences = []
        for (kind, reason), (count, names) in self.without.items():
            subject = f"1 {kind} is read without its" if count == 1 else f"{count:,} {kind}s are read without their"
            sentences.append(f"{subject} {', '.join(sorted(names))}, {reason}.")
        return sentences


def checked(raw: Raw, analysis: Analysis) -> Contents:
    """Keep what can be used and say why the rest cannot."""
    if len(raw.tags) > MOST_TAGS:
        raise unreadable(
            f"The file holds {len(raw.tags):,} tags; at most {MOST_TAGS:,} are read at once.",
            "Split it into several files.",
        )
    checking = _Checking()
    statements = _statements(raw, analysis, checking)
    palette = _palette(raw.concepts, checking)
    verdicts = _verdicts(raw.verdicts, analysis, checking)
    return Contents(
        tuple(statements), tuple(palette), tuple(verdicts), tuple(checking.rejected), tuple(checking.notes), raw.unit
    )


def unreadable(detail: str, next_step: str) -> BadRequest:
    return BadRequest(detail, next_step=next_step, title=TITLE)


def shown(value: Any) -> str:
    """A cell within a sentence: short, and something every terminal can print."""
    text = value if isinstance(value, str) else f"a {type(value).__name__}"
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"


def read_answer(value: Any) -> Answer | None:
    """1, "true", "present", ... -> True; "unsure" -> "unsure"; None where it is no answer."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    text = value.strip().casefold() if isinstance(value, str) else ""
    return True if text in _YES else False if text in _NO else "unsure" if text in _UNSURE else None


def written_answer(said: Answer) -> str:
    return "unsure" if said == "unsure" else "1" if said else "0"


def written_time(time: datetime | None) -> str | None:
    return None if time is None else f"{time.isoformat()}Z"


def written_number(value: float | None) -> float | str | None:
    """For standard JSON, which has no infinity."""
    return value if value is None or math.isfinite(value) else str(value)


def _statements(raw: Raw, analysis: Analysis, checking: _Checking) -> list[Statement]:
    images = [cells.get("image") for _, cells in raw.tags]
    rows = rows_of_images(analysis, [image if isinstance(image, str) else "" for image in images])
    found: dict[tuple[str, str], Statement] = {}
    names: dict[str, str] = {}
    unusable: dict[str, str] = {}
    for (number, cells), row in zip(raw.tags, rows.tolist(), strict=True):
        problem, image, typed = "", cells.get("image"), cells.get("concept")
        said = read_answer(cells.get("present"))
        if row < 0 or not isinstance(image, str):
            problem = f"The analysis has no image “{shown(image)}”."
        elif said is None:
            problem = f"“{shown(cells.get('present'))}” is neither 1 nor 0 nor unsure."
        elif not isinstance(typed, str):
            problem = "The concept is not a text."
        elif typed in unusable:
            problem = unusable[typed]
        elif typed not in names:
            try:
                names[typed] = _name(typed)
            except BadRequest as error:
                problem = unusable[typed] = error.detail
        if not problem:
            assert isinstance(image, str)
            assert isinstance(typed, str)
            assert said is not None
            key = (image, concept_key(names[typed]))
            earlier = found.get(key)
            if earlier is None:
                found[key] = Statement(number, image, names[typed], said, _origin(cells, checking))
            else:
                verb = "repeats" if earlier.said == said else "contradicts"
                problem = f"This {raw.unit} {verb} {raw.unit} {earlier.row}."
        if problem:
            checking.rejected.append(Rejected(number, problem))
    return list(found.values())


def _name(typed: str) -> str:
    if len(typed) > LONGEST_TEXT:
        raise BadRequest(f"The concept's name has more than {LONGEST_TEXT:,} characters.", next_step="Shorten it.")
    return clean_name(typed)


def _palette(concepts: Sequence[Any], checking: _Checking) -> list[PaletteEntry]:
    found: dict[str, PaletteEntry] = {}
    for number, cells in enumerate(concepts, start=1):
        try:
            entry = _entry(cells)
        except BadRequest as error:
            checking.rejected.append(Rejected(number, f"Concept {number} of the file: {error.detail}"))
            continue
        if concept_key(entry.name) in found:
            checking.rejected.append(Rejected(number, f"Concept {number} of the file repeats “{shown(entry.name)}”."))
        else:
            found[concept_key(entry.name)] = entry
            checking.lose("concept", _lost(cells, vars(entry), ("color", "role", "note", "shortcut", "attribute")))
    return list(found.values())


def _entry(cells: Any) -> PaletteEntry:
    """What a palette entry says that can be used; raises `BadRequest` where even its name cannot."""
    if not isinstance(cells, Mapping) or not isinstance(cells.get("concept"), str):
        raise BadRequest("it has no name.", next_step="Give it one.")
    color, role, note, attribute = (cells.get(name) for name in ("color", "role", "note", "attribute"))
    column: tuple[str, str] | None = None
    if isinstance(attribute, list) and len(attribute) == 2 and all(isinstance(part, str) for part in attribute):
        column = (attribute[0], attribute[1])
    return PaletteEntry(
        name=_name(cells["concept"]),
        color=color if isinstance(color, str) and re.fullmatch(r"#[0-9A-Fa-f]{6}", color) else None,
        role=role if role in ROLES else None,
        note=_note(note),
        shortcut=_key(cells),
        attribute=column,
    )


def _note(value: Any) -> str | None:
    try:
        return clean_note(value) if isinstance(value, str) else None
    except BadRequest:
        return None


def _key(cells: Mapping[str, Any]) -> int | None:
    key = cells.get("shortcut")
    if "shortcut" in cells and key is None:
        return 0
    return key if isinstance(key, int) and not isinstance(key, bool) and 1 <= key <= SHORTCUTS else None


def _verdicts(verdicts: Sequence[Any], analysis: Analysis, checking: _Checking) -> list[LabelStatement]:
    images = [cells.get("image") if isinstance(cells, Mapping) else None for cells in verdicts]
    rows = rows_of_images(analysis, [image if isinstance(image, str) else "" for image in images])
    found: dict[str, LabelStatement] = {}
    unlabelled = "" if analysis.labelled else no_labels(analysis.dataset_name).detail
    for number, (cells, image, row) in enumerate(zip(verdicts, images, rows.tolist(), strict=True), start=1):
        problem = unlabelled
        if problem:
            pass
        elif not isinstance(cells, Mapping) or not isinstance(image, str) or row < 0:
            problem = f"The analysis has no image “{shown(image)}”."
        elif cells.get("verdict") not in VERDICTS:
            problem = f"“{shown(cells.get('verdict'))}” is neither wrong nor right."
        elif (new_label := cells.get("new_label")) is not None and new_label not in analysis.classes:
            problem = f"There is no class “{shown(new_label)}”."
        elif cells.get("label") is not None and cells["label"] != analysis.classes[analysis.labels[row]]:
            given = analysis.classes[analysis.labels[row]]
            problem = f"It is about the label “{shown(cells['label'])}”, but the image's label is “{given}”."
        elif image in found:
            problem = f"There is a verdict on “{shown(image)}” already."
        if problem:
            checking.rejected.append(Rejected(number, f"Verdict {number} of the file: {problem}"))
        else:
            assert isinstance(image, str)
            label, verdict = analysis.classes[analysis.labels[row]], cells["verdict"]
            # an image that is to have the class it has is right, as when a person says so
            better = None if cells.get("new_label") == label or verdict == "right" else cells.get("new_label")
            verdict = "right" if cells.get("new_label") == label else verdict
            found[image] = LabelStatement(number, image, label, verdict, better, _origin(cells, checking))
    return list(found.values())


def _origin(cells: Mapping[str, Any], checking: _Checking) -> Origin:
    # many statements come from one action, so that most cells were read before
    key = tuple(_identity(cells.get(name)) for name in ORIGIN)
    if key not in checking.origins:
        checking.origins[key] = _read_origin(cells)
    origin, lost = checking.origins[key]
    checking.lose("statement", lost)
    return origin


def _identity(cell: Any) -> str:
    # lists and objects say nothing here, whatever is in them
    return repr(cell) if cell is None or isinstance(cell, str | int | float | datetime) else "[]"


def _read_origin(cells: Mapping[str, Any]) -> tuple[Origin, Mapping[str, list[str]]]:
    """The origin, and the names of the cells that are not in it, by reason."""
    author, source, how, direction = (_short(cells.get(name)) for name in ("author", "source", "how", "direction"))
    origin = Origin(
        author, source, how, _time(cells.get("time")), direction, _number(cells.get("low")), _number(cells.get("high"))
    )
    return origin, _lost(cells, vars(origin), ORIGIN)


def _lost(cells: Mapping[str, Any], kept: Mapping[str, Any], names: Iterable[str]) -> dict[str, list[str]]:
    """Names of the cells that say something that is not kept, by reason."""
    lost: dict[str, list[str]] = {}
    for name in names:
        cell = cells.get(name)
        if kept[name] is None and cell is not None and cell != "":
            long = isinstance(cell, str) and len(cell) > LONGEST_TEXT
            lost.setdefault(_LONG if long else _UNCLEAR, []).append(name)
    return lost


def _short(value: Any) -> str | None:
    return _text(value) if isinstance(value, str) and 0 < len(value) <= LONGEST_TEXT else None


def _text(value: str) -> str:
    """Halves of characters, which no database holds, become question marks."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _time(value: Any) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    except (OverflowError, ValueError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def name_of(path: str) -> str:
    """A file's own name within a sentence."""
    return shown(PurePath(path).name or path)
