"""Having a run again: one file and one command give the same numbers, to the last digit, on the same machine.

`runs/<id>/replay.json` holds everything a run was made from but the images and the network themselves: method,
settings, seed, what was said of which image at that time, edits, hashes of data and weights, versions, the number of
threads, and the figures that came out. What is tagged afterwards does not matter.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.access.roots import allowed_path
from core.errors import BadRequest, NotFound, PathNotFound
from core.files import digest, resolved, write_json
from core.progress import Progress, silent
from core.retraining.edits import edits_from_dict
from core.retraining.evaluation import Evaluation, evaluation_from_dict
from core.retraining.identity import (
    activations_digest,
    data_digest,
    fingerprint,
    head_digest,
    logits_digest,
    plain,
    versions,
    weights_digest,
)
from core.retraining.material import assemble
from core.retraining.methods import checked_settings, get_method
from core.retraining.outcome import Outcome, compute, figures
from core.retraining.result import NETWORK, RunResult
from core.retraining.run_store import REPLAY, run_folder
from core.retraining.statements import Statements, statements_from_dict
from core.retraining.threads import pinned_threads
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

FORMAT = 1
# what a recipe has to hold, and of what kind each is
_NEEDED: dict[str, type] = {
    "format": int,
    "run": str,
    "analysis": str,
    "method": str,
    "settings": dict,
    "seed": int,
    "statements": dict,
    "made_from": dict,
    "threads": int,
    "result": dict,
}
# a million names of images and what is said of them; more would fill the memory once parsed
MOST_BYTES, MOST_VALUES = 256_000_000, 10_000_000
MOST_THREADS = 4096


@dataclass(frozen=True)
class Changed:
    """A figure that came out otherwise: where it is ("after.worst_group"), as it was recorded, and as it is now."""

    what: str
    recorded: Any
    replayed: Any

    def to_dict(self) -> dict[str, Any]:
        return {"what": self.what, "recorded": self.recorded, "replayed": self.replayed}


@dataclass(frozen=True)
class Replay:
    """same: every figure and every weight came out as recorded. differences: those that did not. changed: sentences
    about what is not as it was then (data, weights, versions), which may explain them. before, after: as recorded;
    replayed_before, replayed_after: as they came out now."""

    run: str
    same: bool
    differences: tuple[Changed, ...]
    changed: tuple[str, ...]
    before: Evaluation
    after: Evaluation
    replayed_before: Evaluation
    replayed_after: Evaluation

    @property
    def sentence(self) -> str:
        if self.same:
            return f"Run {self.run} came out the same to the last digit."
        count = len(self.differences)
        differ = "1 figure differs" if count == 1 else f"{count:,} figures differ"
        return f"Run {self.run} came out otherwise: {differ}."

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "same": self.same,
            "sentence": self.sentence,
            "differences": [difference.to_dict() for difference in self.differences],
            "changed": list(self.changed),
            "recorded": {"before": self.before.to_dict(), "after": self.after.to_dict()},
            "replayed": {"before": self.replayed_before.to_dict(), "after": self.replayed_after.to_dict()},
        }


def write_recipe(
    workspace: Workspace,
    analysis: Analysis,
    result: RunResult,
    outcome: Outcome,
    statements: Statements,
    threads: int,
) -> None:
    """Write `replay.json` of a run that was just computed."""
    recipe = {
        "format": FORMAT,
        "run": result.run,
        "created": result.created,
        "analysis": analysis.id,
        "method": result.method,
        "settings": result.settings,
        "seed": result.seed,
        "statements": statements.to_dict(analysis),
        "edits": result.edits,
        "tags": result.tags,
        "made_from": _made_from(workspace, analysis),
        "threads": threads,
        "result": _found(analysis, outcome),
    }
    write_json(run_folder(workspace, result.run) / REPLAY, plain(recipe))


def read_recipe(file: Path | str) -> dict[str, Any]:
    """What `write_recipe` wrote; of a folder, the file in it. Raises `PathNotFound`, `BadRequest` for another file."""
    advice = "Name the replay.json of a run or of an export."
    path = allowed_path(resolved(file, advice=advice))
    path = path / REPLAY if path.is_dir() else path
    try:
        # a device or a pipe has no end
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is larger than that of any run")
        content = path.read_bytes()
        if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:
            raise ValueError("it holds more than that of any run")
        recipe = json.loads(content.decode("utf-8"))
    except FileNotFoundError:
        raise PathNotFound(f"There is no {path}.", next_step=advice) from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadRequest(f"{path.name} cannot be read ({error}).", next_step=advice) from error
    lacks = [name for name in _NEEDED if not isinstance(recipe, dict) or name not in recipe]
    if lacks:
        raise BadRequest(f"{path.name} describes no run: it lacks {', '.join(lacks)}.", next_step=advice)
    if wrong := [name for name, kind in _NEEDED.items() if type(recipe[name]) is not kind]:
        raise BadRequest(f"{path.name} cannot be read: {', '.join(wrong)} cannot be what it is.", next_step=advice)
    if recipe["format"] != FORMAT:
        raise BadRequest(
            f"{path.name} was written by another version (format {recipe['format']}; this one knows {FORMAT}).",
            next_step="Use the version of Midband that made the run.",
        )
    return recipe


def replay(
    workspace: Workspace, file: Path | str, *, analysis: Analysis | None = None, progress: Progress = silent
) -> Replay:
    """Compute a run again from its file, and compare. Nothing is stored.

    analysis: None for the one that the file names. Raises `PathNotFound`, `BadRequest` for a file that describes no
    run, `NotFound` when its analysis is not in the workspace, and what `retrain` raises.
    """
    from core.activations.store import open_analysis

    recipe = read_recipe(file)
    try:
        analysis = analysis or open_analysis(workspace, recipe["analysis"])
    except (NotFound, ValueError) as error:
        raise NotFound(
            f"The analysis {recipe['analysis'][:100]} that the run was made with is not in this workspace.",
            next_step="Analyse the same dataset with the same model here first (`python -m core analyse`).",
        ) from error
    try:
        statements = statements_from_dict(recipe["statements"], analysis)
        edits = edits_from_dict(recipe.get("edits"))
        settings = checked_settings(recipe["method"], recipe["settings"])
        threads, seed = recipe["threads"], recipe["seed"]
        if not 1 <= threads <= MOST_THREADS or seed < 0:
            raise ValueError(f"{threads} threads and seed {seed}")
        before, after = (evaluation_from_dict(recipe["result"][name]) for name in ("before", "after"))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise BadRequest(
            f"The file describes a run that cannot be read ({type(error).__name__}: {error}).",
            next_step="Use the replay.json as it was written.",
        ) from error
    pinned = pinned_threads(threads, with_torch=get_method(recipe["method"]).kind == NETWORK)
    with tempfile.TemporaryDirectory(prefix="midband-replay-") as folder, pinned:
        outcome = compute(
            analysis,
            assemble(analysis, statements),
            method=recipe["method"],
            settings=settings,
            edits=edits,
            seed=seed,
            folder=Path(folder),
            progress=progress,
        )
        found = plain(_found(analysis, outcome))
    differences = tuple(_differences(recipe["result"], found))
    return Replay(
        run=str(recipe["run"]),
        same=not differences,
        differences=differences,
        changed=tuple(_changed(recipe["made_from"], _made_from(workspace, analysis))),
        before=before,
        after=after,
        replayed_before=outcome.before,
        replayed_after=outcome.after,
    )


def _found(analysis: Analysis, outcome: Outcome) -> dict[str, Any]:
    repaired = outcome.repaired
    return {
        **figures(analysis, outcome),
        "head": head_digest(repaired.head),
        "logits": None if repaired.logits is None else logits_digest(repaired.logits),
    }


def _made_from(workspace: Workspace, analysis: Analysis) -> dict[str, Any]:
    return {
        "dataset": fingerprint(workspace, analysis),
        "data": data_digest(workspace, analysis),
        "weights": weights_digest(analysis),
        "activations": activations_digest(analysis),
        "images": analysis.n,
        "classes": digest(*analysis.classes),
        "versions": versions(),
    }


def _differences(recorded: Any, found: Any, path: str = "") -> Iterator[Changed]:
    """Where two plain values differ, from the top down. What is not a number equals what is not a number."""
    if isinstance(recorded, dict) and isinstance(found, dict):
        for name in dict.fromkeys((*recorded, *found)):
            yield from _differences(recorded.get(name), found.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for i, (was, now) in enumerate(zip(recorded, found, strict=True)):
            yield from _differences(was, now, f"{path}[{i}]")
    elif json.dumps(recorded) != json.dumps(found):
        yield Changed(path, recorded, found)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "dataset": "the files of the dataset",
        "data": "labels, splits or attributes of the dataset",
        "weights": "the weights of the classifier",
        "activations": "what the classifier computed of the images",
    }
    for name, what in words.items():
        if then.get(name) != now.get(name):
            yield (
                f"{what[0].upper()}{what[1:]} are not as they were."
                if name != "activations"
                else ("What the classifier computed of the images is not as it was.")
            )
    was, is_now = then.get("versions"), now["versions"]
    was = was if isinstance(was, dict) else {}
    for library in dict.fromkeys((*was, *is_now)):
        if was.get(library) != is_now.get(library):
            yield f"{library} was {was.get(library, 'absent')} and is {is_now.get(library, 'absent')} now."
