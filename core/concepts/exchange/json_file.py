"""Tags, palette and verdicts on labels as one JSON object.

    {"format": "midband-tags", "version": 1,
     "concepts": [{"concept", "color", "role", "note", "shortcut", "attribute": [name, value] or null}],
     "tags": [{"image", "concept", "present": true, false or "unsure", "author", "source", "how", "time", "direction",
               "low", "high"}],
     "verdicts": [{"image", "label", "verdict": "wrong" or "right", "new_label", "author", "source", "how",
                   "time"}]}

Times are UTC in ISO 8601. Only `tags` with image, concept and present have to be there; a list of such tags alone is
read as well.
"""

from __future__ import annotations

import json
from typing import Any

from core.concepts.exchange.contents import (
    MOST_TAGS,
    Contents,
    LabelStatement,
    Origin,
    PaletteEntry,
    Raw,
    Statement,
    name_of,
    unreadable,
    written_number,
    written_time,
)

FORMAT, VERSION = "midband-tags", 1
# each takes up to a hundred bytes once parsed, whatever it takes in the file; a file of as many tags as are read, and
# as little of each as will do, has less
MOST_VALUES = 6 * MOST_TAGS
_ADVICE = "Give a file that Midband exported, or a list of objects with image, concept and present."


def write(contents: Contents) -> bytes:
    head = {"format": FORMAT, "version": VERSION}
    # one line per tag: readable, and a comparison of two exports shows what changed
    parts = [
        f'  "{name}": [{_lines(items)}]'
        for name, items in (
            ("concepts", [palette_entry(entry) for entry in contents.palette]),
            ("tags", [_tag(statement) for statement in contents.statements]),
            ("verdicts", [verdict(one) for one in contents.verdicts]),
        )
    ]
    opening = "".join(f"  {json.dumps(name)}: {json.dumps(value)},\n" for name, value in head.items())
    return ("{\n" + opening + ",\n".join(parts) + "\n}\n").encode("utf-8")


def read(content: bytes, name: str) -> Raw:
    """Raises `BadRequest`."""
    return raw_of(parse(content, name), name)


def is_ours(value: Any) -> bool:
    """Whether a parsed JSON value says that it is such a file."""
    return isinstance(value, dict) and "tags" in value


def raw_of(value: Any, name: str) -> Raw:
    """The cells of a JSON value that was parsed already."""
    if isinstance(value, list):
        value = {"tags": value}
    if not isinstance(value, dict) or not isinstance(value.get("tags"), list):
        raise unreadable(f"{name_of(name)} has no list of tags.", _ADVICE)
    if isinstance(value.get("version"), int) and value["version"] > VERSION:
        raise unreadable(
            f"{name_of(name)} was written by a newer Midband (version {str(value['version'])[:20]} of the format).",
            "Update Midband, or export the tags as CSV there.",
        )
    tags = [(number, tag if isinstance(tag, dict) else {}) for number, tag in enumerate(value["tags"], start=1)]
    return Raw("tag", tags, listed(value, "concepts", name), listed(value, "verdicts", name))


def parse(content: bytes, name: str) -> Any:
    """JSON of somebody's file: too much of it, nested too deeply, or not JSON at all, ends in `BadRequest`."""
    # counted before it is parsed: 150 MB of empty lists would take 3 GB
    if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise unreadable(
            f"{name_of(name)} holds more than {MOST_VALUES:,} values, which is more than tags need.",
            "Check that it is the right file, or split it into several.",
        )
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = "nests too deeply to be tags" if isinstance(error, RecursionError) else "is not JSON in UTF-8"
        raise unreadable(f"{name_of(name)} {reason}.", _ADVICE) from error


def listed(value: dict[str, Any], part: str, name: str) -> list[Any]:
    found = value.get(part)
    if found is None:
        return []
    if not isinstance(found, list):
        raise unreadable(f"“{part}” in {name_of(name)} is not a list.", _ADVICE)
    return found


def palette_entry(entry: PaletteEntry) -> dict[str, Any]:
    return {
        "concept": entry.name,
        "color": entry.color,
        "role": entry.role,
        "note": entry.note,
        "shortcut": entry.shortcut or None,
        "attribute": None if entry.attribute is None else list(entry.attribute),
    }


def verdict(one: LabelStatement) -> dict[str, Any]:
    kept = ("author", "source", "how", "time")
    origin = {name: value for name, value in origin_cells(one.origin).items() if name in kept}
    return {"image": one.image, "label": one.label, "verdict": one.verdict, "new_label": one.new_label, **origin}


def origin_cells(origin: Origin) -> dict[str, Any]:
    return {
        "author": origin.author,
        "source": origin.source,
        "how": origin.how,
        "time": written_time(origin.time),
        "direction": origin.direction,
        "low": written_number(origin.low),
        "high": written_number(origin.high),
    }


def _tag(statement: Statement) -> dict[str, Any]:
    head = {"image": statement.image, "concept": statement.concept, "present": statement.said}
    return {**head, **origin_cells(statement.origin)}


def _lines(items: list[dict[str, Any]]) -> str:
    inner = ",\n".join(f"    {json.dumps(item, ensure_ascii=False, allow_nan=False)}" for item in items)
    return f"\n{inner}\n  " if items else ""
