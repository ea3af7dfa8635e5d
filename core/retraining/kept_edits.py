"""What people changed of the images that retrainings will learn from, kept until somebody forgets it.

<workspace>/runs/edits-<analysis>.json    by the ids of the concepts a repair is about: what holds, and the steps taken

Edits hold for the workspace, like tags, and so for everybody who has it open. Every step can be taken back and done
again; it notes of each image what was said of it before, so that taking one back leaves what others did since alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.access import audit
from core.access.policy import Permission, require
from core.concepts.concept import Concept
from core.files import read_json, write_json
from core.retraining.edits import CurationEdits
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# steps that can be taken back
MOST_STEPS = 50

# what is said of an image: "out", or what it shows by the id of a concept; None means nothing, as it was chosen
Said = str | dict[str, bool] | None
_OUT = "out"
_lock = threading.Lock()


@dataclass(frozen=True)
class KeptEdits:
    """edits: what holds. undo, redo: steps that can be taken back, and done again."""

    edits: CurationEdits = field(default_factory=CurationEdits)
    undo: int = 0
    redo: int = 0

    @property
    def count(self) -> int:
        """Images about which something is said."""
        return len(self.edits.left_out) + len(self.edits.kept)


def kept_edits(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> KeptEdits:
    """What holds for repairs about these concepts; nothing where nobody changed anything."""
    entry = _entry(_read(_file(workspace, analysis)), concepts)
    names = {str(concept.id): concept.name for concept in concepts}
    said: dict[str, Said] = entry["said"]
    return KeptEdits(
        CurationEdits(
            tuple(image for image, value in said.items() if value == _OUT),
            {
                image: {names[key]: shown for key, shown in value.items()}
                for image, value in said.items()
                if isinstance(value, dict)
            },
        ),
        len(entry["past"]),
        len(entry["future"]),
    )


def leave_out(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept], images: Iterable[str]) -> int:
    """Have no head fitted on these images. Returns how many that was news of, and so do the others below."""
    return _change(workspace, analysis, concepts, dict.fromkeys(images, _OUT))


def put_in(
    workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept], images: Mapping[str, Mapping[str, bool]]
) -> int:
    """Have heads fitted on these images, each with what it shows: concept -> present, for each of the concepts."""
    ids = {concept.name: str(concept.id) for concept in concepts}
    given = {image: {ids[name]: bool(shown) for name, shown in said.items()} for image, said in images.items()}
    return _change(workspace, analysis, concepts, given)


def take_as_chosen(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept], images: Iterable[str]) -> int:
    """Say nothing more about these images: they are used, or not, as the recipe chooses."""
    return _change(workspace, analysis, concepts, dict.fromkeys(images))


def forget_edits(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> int:
    """Say nothing more about any image: one step, which can be taken back."""
    kept = kept_edits(workspace, analysis, concepts).edits
    return take_as_chosen(workspace, analysis, concepts, (*kept.left_out, *kept.kept))


def undo_edit(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> int:
    """Take the last step back; 0 where there is none."""
    return _step(workspace, analysis, concepts, "past", "future")


def redo_edit(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept]) -> int:
    """Do again what was taken back last; 0 where there is nothing, or something else was done since."""
    return _step(workspace, analysis, concepts, "future", "past")


def _change(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept], given: Mapping[str, Said]) -> int:
    require(Permission.TAG)
    with _lock:
        file = _file(workspace, analysis)
        stored = _read(file)
        entry = _entry(stored, concepts)
        news = {image: value for image, value in given.items() if entry["said"].get(image) != value}
        if news:
            entry["past"] = [*entry["past"], _say(entry["said"], news)][-MOST_STEPS:]
            entry["future"] = []
            _write(file, stored, concepts, entry)
            _audit(workspace, analysis, len(news))
        return len(news)


def _step(workspace: Workspace, analysis: Analysis, concepts: Sequence[Concept], source: str, target: str) -> int:
    require(Permission.TAG)
    with _lock:
        file = _file(workspace, analysis)
        stored = _read(file)
        entry = _entry(stored, concepts)
        if not entry[source]:
            return 0
        *entry[source], last = entry[source]
        entry[target] = [*entry[target], _say(entry["said"], last)]
        _write(file, stored, concepts, entry)
        _audit(workspace, analysis, len(last))
        return len(last)


def _audit(workspace: Workspace, analysis: Analysis, images: int) -> None:
    audit.record(workspace, "chose images", analysis.id, {"images": images})


def _say(said: dict[str, Said], news: Mapping[str, Said]) -> dict[str, Said]:
    """Change `said` in place; returns what was said of these images before."""
    before = {image: said.get(image) for image in news}
    for image, value in news.items():
        if value is None:
            said.pop(image, None)
        else:
            said[image] = value
    return before


def _file(workspace: Workspace, analysis: Analysis) -> Path:
    return workspace.runs / f"edits-{analysis.id}.json"


def _key(concepts: Sequence[Concept]) -> str:
    # a concept may be renamed: what was said stays said
    return "-".join(str(number) for number in sorted(concept.id for concept in concepts))


def _read(file: Path) -> dict[str, Any]:
    try:
        stored = read_json(file)
    except (OSError, ValueError):
        # a damaged file must not keep anybody from a repair; what was edited is seen to be gone
        return {}
    return stored if isinstance(stored, dict) else {}


def _entry(stored: Mapping[str, Any], concepts: Sequence[Concept]) -> dict[str, Any]:
    """Of these concepts, whatever is not what this module writes left away."""
    ids = {str(concept.id) for concept in concepts}
    found = stored.get(_key(concepts))
    found = found if isinstance(found, dict) else {}
    steps = {name: found[name] if isinstance(found.get(name), list) else [] for name in ("past", "future")}
    return {
        "said": _whole(found.get("said"), ids),
        **{name: [_whole(step, ids, nothing=True) for step in each] for name, each in steps.items()},
    }


def _whole(said: Any, ids: set[str], *, nothing: bool = False) -> dict[str, Said]:
    if not isinstance(said, dict):
        return {}
    return {
        image: value
        for image, value in said.items()
        if value == _OUT
        or (nothing and value is None)
        or (isinstance(value, dict) and set(value) == ids and all(isinstance(one, bool) for one in value.values()))
    }


def _write(file: Path, stored: Mapping[str, Any], concepts: Sequence[Concept], entry: Mapping[str, Any]) -> None:
    write_json(file, {**stored, _key(concepts): entry})
