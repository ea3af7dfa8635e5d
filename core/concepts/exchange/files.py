"""`export_tags`, `import_tags` and their variants on bytes: one way in and one way out for every format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from core.access import audit
from core.access.policy import Permission, require
from core.access.roots import allowed_path
from core.concepts.exchange import applying, csv_table, fiftyone, json_file, parquet
from core.concepts.exchange.applying import Imported
from core.concepts.exchange.contents import LARGEST, Contents, checked, name_of, unreadable
from core.concepts.exchange.gathering import gather
from core.errors import BadRequest, PathNotFound
from core.files import replacing, resolved, storage_problems
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

FORMATS = ("csv", "json", "parquet", "fiftyone")
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}
_NO_FILE = "Check the path of the table of tags."


@dataclass(frozen=True)
class Exported:
    """tags, concepts, verdicts: how many were written. files: where."""

    format: str
    tags: int
    concepts: int
    verdicts: int
    files: tuple[Path, ...]

    def to_dict(self) -> dict[str, object]:
        return {
            "format": self.format,
            "tags": self.tags,
            "concepts": self.concepts,
            "verdicts": self.verdicts,
            "files": [str(file) for file in self.files],
        }


def format_of(path: Path | str, format: str | None = None) -> str:
    """The format asked for, or the one that a name goes with: by suffix; `labels.json` and folders are FiftyOne's.

    Raises `BadRequest` naming the formats.
    """
    if format is not None:
        if format not in FORMATS:
            raise BadRequest(f"“{format}” is not a format of tags.", next_step=f"Use one of: {', '.join(FORMATS)}.")
        return format
    name = PurePath(path).name.lower()
    suffix = PurePath(name).suffix
    if name == fiftyone.LABELS or not suffix:
        return "fiftyone"
    if suffix not in _SUFFIXES:
        raise BadRequest(
            f"No format of tags goes with the name {name_of(str(path))}.",
            next_step="Let it end in .csv, .json or .parquet, name a folder for FiftyOne, or name the format.",
        )
    return _SUFFIXES[suffix]


def dump_tags(workspace: Workspace, analysis: Analysis, format: str) -> bytes:
    """The file that `export_tags` writes, as bytes; for FiftyOne `labels.json`.

    Raises `BadRequest` for no format, `NotAllowed`.
    """
    require(Permission.EXPORT, "tags")
    return _dump(gather(workspace, analysis), analysis, format_of("", format))


def export_tags(workspace: Workspace, analysis: Analysis, path: Path | str, format: str | None = None) -> Exported:
    """Write what is said of a dataset's images; see the formats for what each carries.

    format: one of FORMATS, None: what the name says (`format_of`). For FiftyOne, path is a folder (made if missing) or
    a `labels.json`. Existing files are replaced. Raises `BadRequest`, `PathNotFound`, `DiskFull`, `StorageProblem`.
    """
    require(Permission.EXPORT, "tags")
    place = allowed_path(resolved(path, advice="Name a file for the tags."))
    chosen = "fiftyone" if format is None and place.is_dir() else format_of(place, format)
    contents = gather(workspace, analysis)
    content = _dump(contents, analysis, chosen)
    written: dict[Path, bytes] = {place: content}
    if chosen == "fiftyone" and place.suffix.lower() != ".json":
        written = {place / fiftyone.LABELS: content, place / fiftyone.DATA: fiftyone.write_data(contents, analysis)}
    elif place.is_dir():
        raise BadRequest(f"{place} is a folder.", next_step="Name a file for the tags.")
    for file, data in written.items():
        with storage_problems(file), replacing(file) as beside:
            beside.write_bytes(data)
    audit.record(workspace, "exported", f"tags of {analysis.dataset_name}", {"to": str(place)})
    carries = chosen != "csv"
    return Exported(
        chosen,
        len(contents.statements),
        len(contents.palette) if carries else 0,
        len(contents.verdicts) if carries else 0,
        tuple(written),
    )


def import_tags(
    workspace: Workspace, analysis: Analysis, path: Path | str, format: str | None = None, *, author: str = "local"
) -> Imported:
    """Read a file of tags into the workspace; concepts that do not exist yet are made.

    Unusable lines are rejected one by one with a reason; what is new among the others is taken in one action, so one
    undo takes the import back. A line about an image and concept that an earlier line spoke of is rejected. Where the
    workspace says otherwise, the file wins (and undo brings the answer back); a concept that exists keeps its colour,
    role and note. format: None goes by the name and, for JSON, by the content; a folder is FiftyOne's. Raises
    `PathNotFound`, or `BadRequest` where the file is no such file.
    """
    name, content = _content(path)
    return load_tags(workspace, analysis, content, name, format=format, author=author)


def preview_tags(
    workspace: Workspace, analysis: Analysis, content: bytes, name: str, *, format: str | None = None
) -> Imported:
    """What `load_tags` would do; nothing is written. Raises as it does."""
    return applying.preview(workspace, analysis, _parse(analysis, content, name, format))


def preview_file(workspace: Workspace, analysis: Analysis, path: Path | str, format: str | None = None) -> Imported:
    """What `import_tags` would do; nothing is written. Raises as it does."""
    name, content = _content(path)
    return preview_tags(workspace, analysis, content, name, format=format)


def load_tags(
    workspace: Workspace,
    analysis: Analysis,
    content: bytes,
    name: str,
    *,
    format: str | None = None,
    author: str = "local",
) -> Imported:
    """`import_tags` of bytes, such as an upload. name: what the file is called."""
    contents = _parse(analysis, content, name, format)
    return applying.apply(workspace, analysis, contents, author=author, name=name_of(name))


def export_csv(workspace: Workspace, analysis: Analysis, path: Path | str) -> int:
    """Write the tags as CSV, whatever the file is called; returns how many."""
    return export_tags(workspace, analysis, path, "csv").tags


def import_csv(workspace: Workspace, analysis: Analysis, path: Path | str, *, author: str = "local") -> Imported:
    """`import_tags` of a CSV file, whatever it is called."""
    return import_tags(workspace, analysis, path, "csv", author=author)


def _dump(contents: Contents, analysis: Analysis, format: str) -> bytes:
    if format == "fiftyone":
        return fiftyone.write(contents, analysis)
    return {"csv": csv_table.write, "json": json_file.write, "parquet": parquet.write}[format](contents)


def _parse(analysis: Analysis, content: bytes, name: str, format: str | None) -> Contents:
    if len(content) > LARGEST:
        raise _too_large(name, len(content))
    chosen = format_of(name, format)
    if chosen in ("json", "fiftyone"):
        value = json_file.parse(content, name)
        # the format that was asked for counts; without one, what the file holds
        if format is None:
            chosen = "fiftyone" if fiftyone.is_ours(value) else "json" if json_file.is_ours(value) else chosen
        if chosen == "fiftyone":
            return checked(fiftyone.raw_of(value, name, analysis), analysis)
        return checked(json_file.raw_of(value, name), analysis)
    return checked({"csv": csv_table.read, "parquet": parquet.read}[chosen](content, name), analysis)


def _content(path: Path | str) -> tuple[str, bytes]:
    place = allowed_path(resolved(path, advice=_NO_FILE))
    if place.is_dir():
        place /= fiftyone.LABELS
    if not place.is_file():
        raise PathNotFound(f"There is no file {place}.", next_step=_NO_FILE)
    try:
        size = place.stat().st_size
        if size > LARGEST:
            raise _too_large(place.name, size)
        return place.name, place.read_bytes()
    except OSError as error:
        raise unreadable(
            f"{name_of(str(place))} cannot be read ({error.strerror}).", "Check who may read the file."
        ) from error


def _too_large(name: str, size: int) -> BadRequest:
    return unreadable(
        f"{name_of(name)} has {size / 1e6:,.0f} MB; at most {LARGEST / 1e6:,.0f} MB are read.",
        "Check that it is the right file, or split it into several.",
    )
