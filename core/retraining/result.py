"""What a retraining found, as it is stored, printed and shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from core.retraining.evaluation import Evaluation, evaluation_from_dict

HEAD, NETWORK = "head", "network"


@dataclass(frozen=True)
class Baseline:
    """Another way to the same end, measured on the same images."""

    method: str
    title: str
    worst_group: float
    average: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.method,
            "title": self.title,
            "worst_group": self.worst_group,
            "average": self.average,
        }


@dataclass(frozen=True)
class RunResult:
    """run, analysis: ids. before, after: the old and the new head on test. comparison: sentence, significant,
    p_average, p_worst, and the ids of the test images fixed and broken. curation: `Curation.to_dict()`, None for
    methods without one. tags: hash of the tags used. seconds: of the whole run.

    settings: the method's knobs, defaults filled in. chosen: what was tuned or decided on the way; tried: the table it
    was tuned by, one line per setting. data: hash of the dataset's fingerprint, the analysis, its labels and splits.
    edits: what a person left out or put in by hand, None for nothing. feasibility: whether the features can carry a
    repair, `Feasibility.to_dict()`, None where that was not asked. shifts: per class how its activations moved,
    `ActivationShift.to_dict()`. kind: "head", or "network" where the whole network was trained. name, note: what people
    wrote about the run, hostile as any text they type. classes: as they stood then, output by output; () where an
    earlier version did not write them.
    """

    run: str
    analysis: str
    method: str
    concepts: tuple[str, ...]
    seed: int
    before: Evaluation
    after: Evaluation
    comparison: dict[str, Any]
    baselines: tuple[Baseline, ...]
    curation: dict[str, Any] | None
    notes: tuple[str, ...]
    seconds: float
    tags: str
    created: str
    settings: dict[str, Any] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)
    tried: tuple[dict[str, Any], ...] = ()
    data: str = ""
    edits: dict[str, Any] | None = None
    feasibility: dict[str, Any] | None = None
    shifts: tuple[dict[str, Any], ...] = ()
    kind: str = HEAD
    name: str = ""
    note: str = ""
    classes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What people call it, else its id."""
        return self.name or self.run

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "analysis": self.analysis,
            "method": self.method,
            "kind": self.kind,
            "classes": list(self.classes),
            "concepts": list(self.concepts),
            "seed": self.seed,
            "settings": self.settings,
            "chosen": self.chosen,
            "tried": list(self.tried),
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "comparison": self.comparison,
            "baselines": [baseline.to_dict() for baseline in self.baselines],
            "curation": self.curation,
            "edits": self.edits,
            "feasibility": self.feasibility,
            "shifts": list(self.shifts),
            "notes": list(self.notes),
            "seconds": self.seconds,
            "tags": self.tags,
            "data": self.data,
            "created": self.created,
            "name": self.name,
            "note": self.note,
        }


def run_from_dict(value: Mapping[str, Any]) -> RunResult:
    """The inverse of `RunResult.to_dict`; what an earlier version did not write has its default, what a later one wrote
    is left. Raises `KeyError`, `TypeError`, `ValueError` or `AttributeError` for what is no run."""
    comparison = value["comparison"]
    if not isinstance(comparison["sentence"], str) or not all(
        isinstance(comparison[name], list) for name in ("fixed", "broken")
    ):
        raise TypeError("its comparison is none")
    known = {field.name for field in fields(RunResult)}
    return RunResult(
        **{
            **{name: item for name, item in value.items() if name in known},
            "classes": _classes(value.get("classes", ())),
            "concepts": tuple(value["concepts"]),
            "before": evaluation_from_dict(value["before"]),
            "after": evaluation_from_dict(value["after"]),
            "baselines": tuple(_baseline(baseline) for baseline in value["baselines"]),
            "notes": tuple(value["notes"]),
            "shifts": tuple(value.get("shifts", ())),
            "tried": tuple(value.get("tried", ())),
        }
    )


def _classes(value: Any) -> tuple[str, ...]:
    if not all(isinstance(name, str) for name in value):
        raise TypeError("its classes have no names")
    return tuple(value)


def _baseline(value: Mapping[str, Any]) -> Baseline:
    return Baseline(value["method"], value["title"], float(value["worst_group"]), float(value["average"]))
