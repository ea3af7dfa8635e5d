"""Files dropped on the page become files of the workspace, once."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.files import file_digest, replacing, storage_problems

# of a file's name: what is left of it stands in front of its ending
LONGEST = 80
# control characters and what some systems read as a path
_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]+')


def keep(folder: Path, dropped: Sequence[Any]) -> Path:
    """Write what was dropped below `folder`: one file as itself, several into a folder of their own. Returns the path.

    dropped: Streamlit's uploaded files. A name cannot leave the folder; a file that is there already with the same
    content is used again, another one of that name gets a number. Raises `DiskFull` or `StorageProblem`.
    """
    if len(dropped) == 1:
        return _file(folder, dropped[0])
    target = _free(folder, _safe(dropped[0].name)[0], "")
    with storage_problems(target):
        target.mkdir(parents=True, exist_ok=True)
    for one in dropped:
        _file(target, one)
    return target


def _file(folder: Path, dropped: Any) -> Path:
    stem, suffix = _safe(dropped.name)
    content = dropped.getbuffer()
    plainly = folder / f"{stem}{suffix}"
    if plainly.is_file() and plainly.stat().st_size == len(content):
        here = hashlib.sha256(content).hexdigest()
        if file_digest(plainly, length=len(here)) == here:
            return plainly
    target = _free(folder, stem, suffix)
    with replacing(target) as beside:
        beside.write_bytes(content)
    return target


def _safe(name: str) -> tuple[str, str]:
    """Stem and ending of a name as a browser sent it; `.tar.gz` is one ending."""
    last = _UNSAFE.sub("_", re.split(r"[/\\]", name)[-1]).strip(" .") or "upload"
    endings = Path(last).suffixes[-2:]
    ending = "".join(endings if endings[-1:] == [".gz"] and endings[:1] == [".tar"] else endings[-1:])
    stem = last.removesuffix(ending)[:LONGEST].strip(" .") or "upload"
    return stem, ending.lower()[:16]


def _free(folder: Path, stem: str, suffix: str) -> Path:
    target, number = folder / f"{stem}{suffix}", 1
    while target.exists():
        number += 1
        target = folder / f"{stem}-{number}{suffix}"
    return target
