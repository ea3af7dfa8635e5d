"""All methods on the same images, features and tags, several seeds each: one table with intervals.

<workspace>/bakeoffs/<id>/result.json    `BakeOff.to_dict()`

The classifier as it is, the assumptions of no person, and DFR with known groups (where an attribute is known of all
images) are always beside the methods asked for: a figure means something between them.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.access import audit
from core.access.policy import Permission, require
from core.database import now
from core.errors import BadRequest, EmptyGroup, NotEnoughTags, NotFound, StorageProblem
from core.files import read_json, write_json
from core.progress import Progress, silent
from core.retraining.curation import curate
from core.retraining.edits import CurationEdits
from core.retraining.evaluation import guesses
from core.retraining.feasibility import feasibility_of
from core.retraining.identity import data_digest, plain
from core.retraining.material import MOST_CONCEPTS, Gathered, chosen_concepts, gather
from core.retraining.measuring import NO_PERSON, Measure, baseline_title, check_measurable, measured_groups
from core.retraining.methods import METHODS, checked_settings, fit_without_tags, get_method, needs
from core.retraining.outcome import repair
from core.retraining.result import NETWORK
from core.retraining.threads import pinned_threads, threads_worth
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

FOLDER, RESULT = "bakeoffs", "result.json"
ORACLE = "dfr"
MOST_SEEDS = 20
USUAL_SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class Line:
    """One method. worst_group, average, weighted_average: per seed, in the order of `BakeOff.seeds`. mean, spread: of
    the worst-group accuracies over the seeds; the standard deviation is 0 where the seed does not matter. interval: 95%
    over the draw of the test images, ends averaged over the seeds. average_mean, average_spread: of the averages.
    share: of the way from the classifier as it is to the oracle; None without an oracle, or where it is no better.
    p: paired, of the smallest group accuracy against that of the classifier as it is (`Comparison.p_minimum`); of
    several seeds twice the mean, which holds however they depend on each other (Rüschendorf 1982); then corrected for
    the number of lines but that of the classifier as it is (`holm`). A rise of a head that merely guesses has p 1.
    seconds: of a fit.
    """

    method: str
    title: str
    needs: str
    worst_group: tuple[float, ...]
    average: tuple[float, ...]
    weighted_average: tuple[float, ...]
    mean: float
    spread: float
    interval: tuple[float, float]
    average_mean: float
    average_spread: float
    share: float | None
    p: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "title": self.title,
            "needs": self.needs,
            "worst_group": list(self.worst_group),
            "average": list(self.average),
            "weighted_average": list(self.weighted_average),
            "mean": self.mean,
            "spread": self.spread,
            "interval": list(self.interval),
            "average_mean": self.average_mean,
            "average_spread": self.average_spread,
            "share": self.share,
            "p": self.p,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class BakeOff:
    """lines: best first, an order that was seen on test, as a note says. groups_from, estimated: as of an `Evaluation`.
    absent: method -> why it has no line."""

    id: str
    analysis: str
    concepts: tuple[str, ...]
    seeds: tuple[int, ...]
    lines: tuple[Line, ...]
    absent: dict[str, str]
    groups_from: str
    estimated: bool
    images: int
    tags: str
    data: str
    notes: tuple[str, ...]
    seconds: float
    created: str

    def line(self, method: str) -> Line | None:
        return next((line for line in self.lines if line.method == method), None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "bake_off": self.id,
            "analysis": self.analysis,
            "concepts": list(self.concepts),
            "seeds": list(self.seeds),
            "lines": [line.to_dict() for line in self.lines],
            "absent": dict(self.absent),
            "groups_from": self.groups_from,
            "estimated": self.estimated,
            "images": self.images,
            "tags": self.tags,
            "data": self.data,
            "notes": list(self.notes),
            "seconds": self.seconds,
            "created": self.created,
        }


@dataclass(frozen=True, eq=False)
class _Entered:
    """What a method said of the test images: predicted (seeds, t) int64, one row where the seed does not matter."""

    predicted: np.ndarray
    seconds: float

    def joined(self, later: _Entered) -> _Entered:
        return _Entered(np.concatenate([self.predicted, later.predicted]), self.seconds + later.seconds)


def usual_methods() -> tuple[str, ...]:
    """Those compared when nobody says which: all that fit a head."""
    return tuple(name for name, method in METHODS.items() if method.kind != NETWORK)


def bake_off(
    workspace: Workspace,
    analysis: Analysis,
    *,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = USUAL_SEEDS,
    concepts: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    bake_off_id: str | None = None,
    progress: Progress = silent,
) -> BakeOff:
    """Fit every method with every seed, measure all on test, and store the table.

    methods: none means all that fit a head. settings: method -> knobs. A method that lacks tags or groups has no line
    but a reason. Raises `NotFound`, `BadRequest`, `EmptyGroup`.
    """
    require(Permission.TRAIN, "a comparison of all ways")
    started, created = time.perf_counter(), now()
    given = settings or {}
    asked = check_bake_off(methods, seeds, given)
    chosen = chosen_concepts(workspace, analysis, concepts)
    if not concepts and len(chosen) > MOST_CONCEPTS:
        chosen = ()
    progress(0, 0, "Reading tags and features")
    check_measurable(analysis)
    gathered = gather(workspace, analysis, chosen)
    entered: dict[str, _Entered] = {}
    absent: dict[str, str] = {}
    trains = any(get_method(name).kind == NETWORK for name in asked if name != NO_PERSON)
    with pinned_threads(None if trains else threads_worth(analysis.d), with_torch=trains):
        groups = measured_groups(analysis, gathered, None, int(seeds[0]))
        measured = Measure(analysis, groups)
        # seed after seed, not method after method: they differ much in time, and what is left follows from one round
        for turn, seed in enumerate(seeds):
            for place, method in enumerate(asked):
                progress(turn * len(asked) + place, len(asked) * len(seeds), baseline_title(method))
                if method in absent or (turn and method == "erm"):
                    continue
                try:
                    fitted = _enter(analysis, gathered, measured, method, int(seed), given.get(method, {}))
                except (BadRequest, EmptyGroup, NotEnoughTags) as error:
                    absent[method] = error.detail
                    entered.pop(method, None)
                else:
                    before = entered.get(method)
                    entered[method] = fitted if before is None else before.joined(fitted)
        notes = (*gathered.notes, *_doubts(gathered, int(seeds[0])), *_caution(measured, entered))
    result = BakeOff(
        id=bake_off_id or secrets.token_hex(6),
        analysis=analysis.id,
        concepts=gathered.names,
        seeds=tuple(int(seed) for seed in seeds),
        lines=_lines(measured, entered, len(seeds)),
        absent=absent,
        groups_from=groups.grouping.source,
        estimated=groups.grouping.estimated,
        images=len(measured.rows),
        tags=gathered.tags,
        data=data_digest(workspace, analysis),
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        seconds=time.perf_counter() - started,
        created=created.isoformat(sep=" ", timespec="seconds"),
    )
    write_json(_folder(workspace, result.id) / RESULT, plain(result.to_dict()))
    audit.record(workspace, "trained", f"comparison {result.id}", {"methods": list(asked), "analysis": analysis.id})
    total = len(asked) * len(seeds)
    progress(total, total, "Compared")
    return result


def check_bake_off(
    methods: Sequence[str], seeds: Sequence[int], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[str, ...]:
    """The methods to compare, the lines that are always there among them. Raises `NotFound`, `BadRequest`."""
    if not seeds or len(set(seeds)) != len(seeds) or len(seeds) > MOST_SEEDS:
        raise BadRequest(
            f"A comparison takes 1 to {MOST_SEEDS} different seeds.", next_step="5 are usual, 3 do for a first look."
        )
    wanted = tuple(dict.fromkeys(methods)) or usual_methods()
    for method in wanted:
        if method != NO_PERSON:
            checked_settings(method, (settings or {}).get(method, {}))
    return ("erm", NO_PERSON, *(name for name in dict.fromkeys((*wanted, ORACLE)) if name not in ("erm", NO_PERSON)))


def open_bake_off(workspace: Workspace, bake_off_id: str | None = None) -> BakeOff:
    """A stored comparison; None means the latest. Raises `NotFound`, or `StorageProblem` for a damaged one."""
    if bake_off_id is None:
        latest = next(iter(list_bake_offs(workspace)), None)
        if latest is None:
            raise NotFound("No methods have been compared yet.", next_step="Start it: `python -m core bake-off`.")
        return latest
    file = _folder(workspace, bake_off_id) / RESULT
    if not file.is_file():
        raise NotFound(
            f"There is no comparison {bake_off_id}.", next_step="See whether its job is still running or failed."
        )
    return _read(file)


def list_bake_offs(workspace: Workspace, analysis_id: str | None = None) -> tuple[BakeOff, ...]:
    """Stored comparisons that can be read, latest first; of one analysis when given."""
    found = []
    for file in (workspace.root / FOLDER).glob(f"*/{RESULT}"):
        # one that cannot be read must not hide the others
        with suppress(StorageProblem, FileNotFoundError):
            found.append((file.stat().st_mtime_ns, _read(file)))
    found.sort(key=lambda one: -one[0])
    return tuple(one for _, one in found if analysis_id in (None, one.analysis))


def _read(file: Path) -> BakeOff:
    try:
        return _from_dict(read_json(file))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageProblem(
            f"The comparison {file.parent.name} cannot be read ({type(error).__name__}: {error}).",
            next_step="Compare the methods again.",
            title="The comparison cannot be read",
        ) from error


def _enter(
    analysis: Analysis, gathered: Gathered, measured: Measure, method: str, seed: int, settings: Mapping[str, Any]
) -> _Entered:
    """One method with one seed."""
    started = time.perf_counter()
    if method == NO_PERSON:
        logits = measured.logits(fit_without_tags(gathered.material.pool, rng=np.random.default_rng(seed)).head)
    else:
        _check_needs(method, settings, gathered)
        with tempfile.TemporaryDirectory(prefix="midband-bake-off-") as folder:
            repaired = repair(
                analysis,
                gathered,
                method=method,
                settings=checked_settings(method, settings),
                edits=CurationEdits(),
                seed=seed,
                folder=Path(folder),
            )
        logits = measured.logits(repaired.head) if repaired.logits is None else repaired.logits[measured.rows]
    return _Entered(logits.argmax(axis=1)[None], time.perf_counter() - started)


def _check_needs(method: str, settings: Mapping[str, Any], gathered: Gathered) -> None:
    wanted = needs(method, settings)
    if wanted == "attributes" and gathered.material.known is None:
        raise BadRequest(
            "It needs the group of every held-out image, and the dataset has no known attribute.",
            next_step="Leave it out.",
        )
    if wanted == "tags" and not gathered.names:
        raise NotEnoughTags("It needs tags, and no image is tagged with a confounder yet.", next_step="Tag some.")


def _doubts(gathered: Gathered, seed: int) -> tuple[str, ...]:
    """What the features and the tags say against any repair."""
    material = gathered.material
    if not material.concepts:
        return ()
    try:
        curation = curate(material.pool, material.concepts, rng=np.random.default_rng(seed))
    except NotEnoughTags:
        # methods that need tags have no line, and a reason
        return ()
    return feasibility_of(material.pool, curation, material.concepts, seed=seed).doubts


def _caution(measured: Measure, entered: Mapping[str, _Entered]) -> list[str]:
    """How far the figures may be believed."""
    groups = measured.groups
    evaluations = {
        method: [measured.evaluate(predicted) for predicted in entry.predicted] for method, entry in entered.items()
    }
    notes = [groups.note] if groups.guessed is None else []
    notes.append(evaluations["erm"][0].note)
    if guessing := [baseline_title(method) for method, found in evaluations.items() if all(map(guesses, found))]:
        notes.append(f"Little more than guessing, so that a higher worst group is no gain: {', '.join(guessing)}.")
    if len(entered) > 2:
        notes.append(
            f"The chances (p) are corrected for {len(entered) - 1} comparisons with the classifier as it is (Holm). "
            "Which is best was seen on the test images themselves, where the best of several looks better than it is: "
            "to quote a figure, choose one and measure it on images that had no part in this."
        )
    return notes


def holm(chances: Sequence[float]) -> list[float]:
    """p-values corrected for being several (Holm 1979, "A simple sequentially rejective multiple test procedure"): none
    of the true ones comes out below 0.05 in 19 of 20 tables, however they depend on each other."""
    corrected = [1.0] * len(chances)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(chances)), key=lambda i: chances[i])):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = largest
    return corrected


def _lines(measured: Measure, entered: Mapping[str, _Entered], seeds: int) -> tuple[Line, ...]:
    erm = entered["erm"].predicted[0]
    as_it_is = measured.evaluate(erm)
    found = []
    for method, entry in entered.items():
        evaluations = [measured.evaluate(predicted) for predicted in entry.predicted]
        chances = [
            1.0
            if evaluation.worst_group > as_it_is.worst_group and guesses(evaluation)
            else measured.compare(erm, predicted, as_it_is, evaluation).p_minimum
            for predicted, evaluation in zip(entry.predicted, evaluations, strict=True)
        ]
        worst = np.array([evaluation.worst_group for evaluation in evaluations])
        average = np.array([evaluation.average for evaluation in evaluations])
        ends = np.array([evaluation.worst_interval for evaluation in evaluations]).mean(axis=0)
        # one fit where the seed does not matter stands for all of them
        each = seeds // len(worst)
        found.append(
            Line(
                method=method,
                title=baseline_title(method),
                needs="" if method == NO_PERSON else get_method(method).needs,
                worst_group=tuple(worst.tolist()) * each,
                average=tuple(average.tolist()) * each,
                weighted_average=tuple(evaluation.weighted_average for evaluation in evaluations) * each,
                mean=float(worst.mean()),
                spread=float(worst.std(ddof=1)) if len(worst) > 1 else 0.0,
                interval=(float(ends[0]), float(ends[1])),
                average_mean=float(average.mean()),
                average_spread=float(average.std(ddof=1)) if len(average) > 1 else 0.0,
                share=None,
                p=chances[0] if len(chances) == 1 else min(1.0, 2 * float(np.mean(chances))),
                seconds=entry.seconds / len(worst),
            )
        )
    others = [i for i, line in enumerate(found) if line.method != "erm"]
    for i, chance in zip(others, holm([found[i].p for i in others]), strict=True):
        found[i] = replace(found[i], p=chance)
    return tuple(sorted(_with_shares(found), key=lambda line: -line.mean))


def _with_shares(lines: list[Line]) -> list[Line]:
    means = {line.method: line.mean for line in lines}
    floor, oracle = means["erm"], means.get(ORACLE)
    if oracle is None or oracle <= floor:
        return lines
    return [replace(line, share=(line.mean - floor) / (oracle - floor)) for line in lines]


def _folder(workspace: Workspace, bake_off_id: str) -> Path:
    if not bake_off_id or not all(character.isalnum() or character in "-_" for character in bake_off_id):
        raise NotFound(f"“{bake_off_id}” is not the id of a comparison.", next_step="Use the id that was printed.")
    return workspace.root / FOLDER / bake_off_id


def _from_dict(value: Mapping[str, Any]) -> BakeOff:
    lists = ("worst_group", "average", "weighted_average", "interval")
    # what a later version wrote besides is left
    of_line, of_all = ({field.name for field in fields(kind)} for kind in (Line, BakeOff))
    lines = (
        Line(
            **{
                **{name: item for name, item in line.items() if name in of_line},
                **{name: tuple(line[name]) for name in lists},
            }
        )
        for line in value["lines"]
    )
    rest = {name: item for name, item in value.items() if name in of_all}
    return BakeOff(
        **{
            **rest,
            "id": value["bake_off"],
            "concepts": tuple(value["concepts"]),
            "seeds": tuple(value["seeds"]),
            "lines": tuple(lines),
            "notes": tuple(value["notes"]),
        }
    )
