"""Tags as CSV: columns `image,concept,present` (1 or 0), written with author, source and time beside them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.concepts.concept import clean_name, concept_in, concept_key
from core.concepts.tags import effective_tags, record_action, rows_of_images
from core.database import ConceptRecord, TagAction, TagRecord
from core.errors import BadRequest, PathNotFound
from core.files import replacing, resolved
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

COLUMNS = ("image", "concept", "present")
_YES = {"1", "1.0", "true", "yes", "y", "present"}
_NO = {"0", "0.0", "false", "no", "n", "absent"}
# A spreadsheet runs a cell that begins like this as a formula. An apostrophe in front makes it text; cells that begin
# with an apostrophe get one too, so that reading the file back is exact.
_FORMULA = ("=", "+", "-", "@", "'")


@dataclass(frozen=True)
class Rejected:
    """row: line of the file, the header being 1. reason: a sentence."""

    row: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"row": self.row, "reason": self.reason}


@dataclass(frozen=True)
class Imported:
    """added: tags that were accepted, all in one action. concepts: names of the concepts they are about."""

    added: int
    concepts: tuple[str, ...]
    rejected: tuple[Rejected, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "added": self.added,
            "concepts": list(self.concepts),
            "rejected": [line.to_dict() for line in self.rejected],
        }


def import_csv(workspace: Workspace, analysis: Analysis, path: Path | str, *, author: str = "local") -> Imported:
    """Read tags from a table; concepts that do not exist yet are made.

    Unusable lines are rejected one by one with a reason; the others are added in one action, so one undo takes the
    import back. A second line on the same image and concept is rejected. Raises `PathNotFound`, or `BadRequest` when
    the file is not such a table.
    """
    lines = _lines(resolved(path, advice="Check the path of the table of tags."))
    rows = rows_of_images(analysis, [line["image"] for _, line in lines])
    accepted: dict[tuple[str, str], tuple[int, str, str, bool]] = {}
    rejected: list[Rejected] = []
    for (number, line), row in zip(lines, rows.tolist(), strict=True):
        problem, name, present = "", line["concept"], line["present"].strip().lower()
        if row < 0:
            problem = f"The analysis has no image “{line['image']}”."
        elif present not in _YES | _NO:
            problem = f"“{line['present']}” is neither 1 nor 0."
        else:
            try:
                name = clean_name(name)
            except BadRequest as error:
                problem = error.detail
        if not problem:
            key = (line["image"], concept_key(name))
            earlier = accepted.setdefault(key, (number, line["image"], name, present in _YES))
            if earlier[0] != number:
                verb = "repeats" if earlier[3] == (present in _YES) else "contradicts"
                problem = f"This line {verb} line {earlier[0]}."
        if problem:
            rejected.append(Rejected(number, problem))
    names: dict[str, None] = {}
    if accepted:
        with workspace.writing() as session:
            statements = []
            for _, image, name, present_value in accepted.values():
                concept = concept_in(session, analysis.dataset_id, name)
                names[concept.name] = None
                statements.append((concept.id, image, present_value))
            record_action(session, analysis.dataset_id, statements, author=author, source="import")
    return Imported(len(accepted), tuple(names), tuple(rejected))


def export_csv(workspace: Workspace, analysis: Analysis, path: Path | str) -> int:
    """Write the tags that hold, by image, then concept; returns how many.

    `import_csv` reads the file back to the same tags. Tags of images that this analysis lacks are written too.
    """
    query = (
        effective_tags(analysis.dataset_id)
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .join(TagAction, TagAction.id == TagRecord.action_id)
        .where(ConceptRecord.deleted.is_(None), TagRecord.state != "cleared")
        .with_only_columns(
            TagRecord.image,
            ConceptRecord.name,
            TagRecord.state,
            TagAction.author,
            TagAction.source,
            TagAction.created,
            TagAction.direction,
            TagAction.low,
            TagAction.high,
        )
        .order_by(TagRecord.image, ConceptRecord.name)
    )
    with workspace.reading() as session:
        tags = session.execute(query).all()
    with replacing(Path(path)) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "author", "source", "time", "direction", "low", "high"])
        for image, name, state, author, source, created, *band in tags:
            cells = [image, name, str(int(state == "present")), author, source, created.isoformat(sep=" ")]
            # numbers are written as they are: a minus sign before digits is no formula
            extra = ["" if value is None else str(value) for value in band]
            writer.writerow([*map(_as_text, cells), _as_text(extra[0]), *extra[1:]])
    return len(tags)


def _lines(path: Path) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise PathNotFound(f"There is no file {path}.", next_step="Check the path of the table of tags.")
    advice = "Give a CSV file with the columns image,concept,present, saved as UTF-8."
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            file.seek(0)
            separator = max(",;\t", key=header.count)
            reader = csv.reader(file, delimiter=separator)
            names = [name.strip().lower() for name in next(reader, [])]
            missing = [column for column in COLUMNS if column not in names]
            if missing:
                found = ", ".join(filter(None, names)) or "none"
                raise BadRequest(
                    f"{path.name} has no column {' or '.join(missing)}; its columns: {found}.",
                    next_step=advice,
                    title="The table of tags cannot be read",
                )
            places = [names.index(column) for column in COLUMNS]
            return [(reader.line_num, _cells(cells, places)) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(
            f"{path.name} is not a UTF-8 CSV file.", next_step=advice, title="The table of tags cannot be read"
        ) from error


def _cells(cells: Sequence[str], places: Sequence[int]) -> dict[str, str]:
    values = (_from_text(cells[place]) if place < len(cells) else "" for place in places)
    return dict(zip(COLUMNS, values, strict=True))


def _as_text(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _from_text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
