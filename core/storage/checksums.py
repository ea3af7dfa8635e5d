"""What the files of a folder have to be: their sizes, looked at whenever it is opened, and their SHA-256, looked at by
`verify`. They lie in `checksums.json` beside the files; a folder of an earlier version has none and is taken as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.files import file_digest, read_json, write_json

MANIFEST = "checksums.json"
EMPTY: Mapping[str, Path] = MappingProxyType({})
_LENGTH = 64


@dataclass(frozen=True)
class Damage:
    """A file that is not what was written. name: its path in the folder."""

    name: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"file": self.name, "reason": self.reason}


def seal(folder: Path, *, without: Collection[str] = (), coming: Mapping[str, Path] = EMPTY) -> None:
    """Write down what every file of a folder is. without: files and subfolders, by name, that may change. coming: files
    that will have a name in it when this is written, and where they are now.

    Raises `DiskFull`, `StorageProblem`.
    """
    found = dict(coming)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        # hidden ones are being written
        if path.is_file() and name.parts[0] not in {MANIFEST, *without} and not path.name.startswith("."):
            found.setdefault(name.as_posix(), path)
    files = {
        name: {"bytes": path.stat().st_size, "sha256": file_digest(path, _LENGTH)}
        for name, path in sorted(found.items())
    }
    write_json(folder / MANIFEST, {"format": 1, "files": files})


def unseal(folder: Path) -> None:
    """To be called before the files of a folder are written again, so that nobody takes the new ones for damaged."""
    (folder / MANIFEST).unlink(missing_ok=True)


def resized(folder: Path, *, but: Collection[str] = ()) -> tuple[Damage, ...]:
    """Files that are missing or of another size than was written: a torn write, half a copy. Reads no content.

    but: names that are made again by whoever reads them.
    """
    found = []
    try:
        files = _files(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return (Damage(MANIFEST, f"cannot be read ({type(error).__name__})"),)
    for name, facts in files.items():
        if name in but:
            continue
        try:
            size = (folder / name).stat().st_size
        except OSError:
            found.append(Damage(name, "is missing"))
            continue
        if size != facts["bytes"]:
            found.append(Damage(name, f"has {size:,} bytes instead of {facts['bytes']:,}"))
    return tuple(found)


def changed(folder: Path) -> tuple[Damage, ...]:
    """Files that are not what was written, by their whole content."""
    found = {damage.name: damage for damage in resized(folder)}
    if MANIFEST not in found:
        for name, facts in _files(folder).items():
            if name in found:
                continue
            try:
                same = file_digest(folder / name, _LENGTH) == facts["sha256"]
            except OSError as error:
                found[name] = Damage(name, f"cannot be read ({error.strerror})")
                continue
            if not same:
                found[name] = Damage(name, "has another content than was written")
    return tuple(found.values())


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    try:
        files = read_json(folder / MANIFEST)["files"]
    except FileNotFoundError:
        return {}
    return {str(name): {"bytes": int(facts["bytes"]), "sha256": str(facts["sha256"])} for name, facts in files.items()}
