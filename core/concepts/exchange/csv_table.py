"""Tags as a table: `image,concept,present` (1, 0 or unsure), and where each came from. No palette, no verdicts.

UTF-8, lines end in CRLF as RFC 4180 has it. Any table with the three columns is read, whatever else it holds: commas,
semicolons or tabs, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import io

from core.concepts.exchange.contents import ORIGIN, Contents, Raw, name_of, unreadable, written_answer
from core.errors import BadRequest

COLUMNS = ("image", "concept", "present")
# A spreadsheet runs a cell that begins like this as a formula (OWASP, "CSV Injection"; the wide forms in East Asian
# editions). An apostrophe in front makes it text; cells that begin with an apostrophe get one too, so that reading the
# file back is exact.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
_ADVICE = "Give a CSV file with the columns image,concept,present, saved as UTF-8."


def write(contents: Contents) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([*COLUMNS, *ORIGIN])
    for one in contents.statements:
        origin = one.origin
        cells = [
            one.image,
            one.concept,
            written_answer(one.said),
            origin.author or "",
            origin.source or "",
            origin.how or "",
            "" if origin.time is None else origin.time.isoformat(sep=" "),
            origin.direction or "",
        ]
        # numbers are written as they are: a minus sign before digits is no formula
        band = ["" if value is None else repr(value) for value in (origin.low, origin.high)]
        writer.writerow([*map(guarded, cells), *band])
    return file.getvalue().encode("utf-8")


def read(content: bytes, name: str) -> Raw:
    """Cells of each line by column; cells that a line lacks are empty. Raises `BadRequest`."""
    try:
        text = content.decode("utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        header = [column.strip().lower() for column in next(reader, [])]
        _check(header, name)
        places = {column: header.index(column) for column in (*COLUMNS, *ORIGIN) if column in header}
        lines = []
        for cells in reader:
            if any(cells):
                line = {
                    column: _unguarded(cells[place]) if place < len(cells) else "" for column, place in places.items()
                }
                lines.append((reader.line_num, line))
    except (UnicodeDecodeError, csv.Error) as error:
        raise unreadable(f"{name_of(name)} is not a UTF-8 CSV file.", _ADVICE) from error
    return Raw("line", lines)


def _check(header: list[str], name: str) -> None:
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        found = ", ".join(filter(None, header))[:200] or "none"
        raise BadRequest(
            f"{name_of(name)} has no column {' or '.join(missing)}; its columns: {found}.",
            next_step=_ADVICE,
            title="The table of tags cannot be read",
        )


def guarded(cell: str) -> str:
    """The cell as a spreadsheet shows it, rather than runs it."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
