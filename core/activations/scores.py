"""What is said of a direction's middle, and the file that keeps it for the next time.

The file's name is a digest of everything the result depends on, so nothing that is out of date is ever read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.bands import Range
from core.activations.directions import Direction
from core.activations.skew import Known
from core.files import digest, read_json, replacing

if TYPE_CHECKING:
    from core.activations.store import Analysis

# scores from here on are worth a look
SUSPICIOUS = 0.3
# results kept in an analysis's folder
KEPT = 20
VERSION = 3


@dataclass(frozen=True)
class Suspicion:
    """How suspicious one direction's middle looks.

    kind: as in its spec. class_name: the class whose images are compared. mid, top: bands to open, both closed. tells:
    what is found, without its figures: directions with the same tell the same. why: it in one plain sentence. evidence:
    skew, harm, clump, error (0..1) and what they were computed from; mid_images, top_images, mid_error, top_error are 0
    where nothing could be compared. counts: images looked at, of all classes, in 24 bins of equal width between the
    limits.
    """

    spec: str
    title: str
    kind: str
    score: float
    class_name: str
    mid: Range
    top: Range
    tells: str
    why: str
    evidence: dict[str, float]
    counts: tuple[int, ...]
    limits: tuple[float, float]

    @property
    def suspicious(self) -> bool:
        return self.score >= SUSPICIOUS

    def to_dict(self) -> dict[str, Any]:
        return {
            "direction": self.spec,
            "title": self.title,
            "kind": self.kind,
            "score": self.score,
            "suspicious": self.suspicious,
            "class": self.class_name,
            "mid": self.mid.to_dict(),
            "top": self.top.to_dict(),
            "tells": self.tells,
            "why": self.why,
            "evidence": dict(self.evidence),
            "counts": list(self.counts),
            "limits": list(self.limits),
        }


def key(
    analysis: Analysis,
    specs: Sequence[str],
    rows: np.ndarray,
    known: Sequence[Known],
    changing: dict[str, Direction | None],
    strict: bool,
) -> str:
    """A digest of everything the result depends on. changing: directions whose weights do not follow from the spec."""
    parts: list[str | bytes] = [
        f"{VERSION} {strict}",
        *analysis.classes,
        rows.tobytes(),
        analysis.labels[rows].tobytes(),
    ]
    parts += [np.asarray(analysis.predicted[rows]).tobytes(), analysis.head.weight.tobytes()]
    parts.append(np.asarray(analysis.head.bias).tobytes())
    for one in known:
        parts += [one.spec, one.title, *one.values, one.codes.tobytes()]
    parts.append("directions")
    for spec in specs:
        parts.append(spec)
        direction = changing.get(spec)
        if direction is not None and direction.weight is not None:
            parts += [direction.weight.tobytes(), repr(direction.bias)]
    return digest(*parts, length=24)


def keep(file: Path, judged: Sequence[Suspicion]) -> None:
    """Write them; of the files beside it the newest stay."""
    # thousands of entries for programs only: no line breaks, which take ten times as long
    with replacing(file) as beside:
        beside.write_text(json.dumps([one.to_dict() for one in judged], ensure_ascii=False), encoding="utf-8")
    ages = []
    for kept in file.parent.glob("*.json"):
        # what begins with a dot is being written by another process
        if not kept.name.startswith("."):
            with suppress(OSError):
                ages.append((kept.stat().st_mtime_ns, kept))
    for _, old in sorted(ages, reverse=True)[KEPT:]:
        with suppress(OSError):
            old.unlink(missing_ok=True)


def restored(file: Path) -> tuple[Suspicion, ...] | None:
    """What `keep` wrote; None where nothing was, or where another version wrote it."""
    try:
        return tuple(_read(entry) for entry in read_json(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(entry: dict[str, Any]) -> Suspicion:
    mid, top = (Range(one["low"], one["high"], one["why"], one["closed"]) for one in (entry["mid"], entry["top"]))
    return Suspicion(
        spec=entry["direction"],
        title=entry["title"],
        kind=entry["kind"],
        score=entry["score"],
        class_name=entry["class"],
        mid=mid,
        top=top,
        tells=entry["tells"],
        why=entry["why"],
        evidence=entry["evidence"],
        counts=tuple(entry["counts"]),
        limits=(entry["limits"][0], entry["limits"][1]),
    )
