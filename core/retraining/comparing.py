"""Two runs side by side: what was set differently, and which of them is right where the other is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.retraining.evaluation import Comparison
from core.retraining.flips import groups_of_run
from core.retraining.measuring import Measure
from core.retraining.result import RunResult
from core.retraining.run_store import open_run, predictions
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

SETTINGS = ("method", "concepts", "seed", "tags", "data", "analysis", "edits")


@dataclass(frozen=True)
class Difference:
    """One thing that two runs do not share: "method", "tags" ... or a knob's name; None where one has no such knob."""

    what: str
    first: Any
    second: Any

    def to_dict(self) -> dict[str, Any]:
        return {"what": self.what, "first": self.first, "second": self.second}


@dataclass(frozen=True, eq=False)
class RunComparison:
    """first, second: the runs. differences: in settings. images: test images that both have, on which they are
    compared. comparison: the second against the first, its positions being those of `rows`; None where no image is
    shared. better, worse: ids of images that only the second, only the first gets right. rows: (images,) int64, in
    the second's analysis. sentence: all of it for a person."""

    first: RunResult
    second: RunResult
    differences: tuple[Difference, ...]
    images: int
    comparison: Comparison | None
    better: tuple[int, ...]
    worse: tuple[int, ...]
    rows: np.ndarray
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        paired = None
        if self.comparison is not None:
            paired = {**self.comparison.to_dict(), "fixed": list(self.better), "broken": list(self.worse)}
        return {
            "first": self.first.run,
            "second": self.second.run,
            "differences": [difference.to_dict() for difference in self.differences],
            "images": self.images,
            "comparison": paired,
            "sentence": self.sentence,
        }


def compare_runs(workspace: Workspace, first: str, second: str) -> RunComparison:
    """Whether the second run is better than the first, on the same test images.

    Runs of two analyses of one dataset share its test images; runs of two datasets share nothing to be compared on.
    Groups are those that the second run measured with. Raises `NotFound`.
    """
    from core.activations.store import open_analysis

    one, two = open_run(workspace, first), open_run(workspace, second)
    there = open_analysis(workspace, two.analysis)
    here = there if one.analysis == two.analysis else open_analysis(workspace, one.analysis)
    return compare_results(workspace, one, two, here, there)


def compare_results(
    workspace: Workspace, one: RunResult, two: RunResult, here: Analysis, there: Analysis
) -> RunComparison:
    """As `compare_runs`. here, there: the open analyses of the first and of the second. Raises `BadRequest` where the
    images have no labels, or a run was made when the classes were others."""
    here.need_labels()
    there.need_labels()
    differences = settings_apart(one, two)
    mine, other = _shared(here, there)
    if not len(other):
        sentence = "The runs are of different datasets: no image of test is in both, so neither can be called better."
        return RunComparison(one, two, differences, 0, None, (), (), other, sentence)
    measured = Measure(there, groups_of_run(workspace, there, two, other))
    was, now = predictions(workspace, here, one.run, mine), predictions(workspace, there, two.run, other)
    paired = measured.compare(was, now, measured.evaluate(was), measured.evaluate(now))
    ids = there.ids[other]
    better, worse = ids[paired.fixed].tolist(), ids[paired.broken].tolist()
    return RunComparison(
        one, two, differences, len(other), paired, tuple(better), tuple(worse), other, _sentence(paired, differences)
    )


def settings_apart(one: RunResult, two: RunResult) -> tuple[Difference, ...]:
    """What two runs were told differently, settings first, knobs after."""

    def facts(run: RunResult) -> dict[str, Any]:
        named = {name: getattr(run, name) for name in SETTINGS}
        return {**named, "concepts": list(run.concepts), **run.settings}

    mine, other = facts(one), facts(two)
    return tuple(
        Difference(name, mine.get(name), other.get(name))
        for name in dict.fromkeys((*mine, *other))
        if mine.get(name) != other.get(name)
    )


def _shared(here: Analysis, there: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the test images that both analyses have, in the first and in the second, in the second's order."""
    if here.id == there.id:
        rows = there.split_rows("test")
        return rows, rows
    if here.dataset_id != there.dataset_id or here.classes != there.classes:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    mine, other = here.split_rows("test"), there.split_rows("test")
    _, at_mine, at_other = np.intersect1d(here.ids[mine], there.ids[other], return_indices=True)
    return mine[at_mine], other[at_other]


def _sentence(paired: Comparison, differences: tuple[Difference, ...]) -> str:
    if not len(paired.fixed) and not len(paired.broken):
        told = "" if differences else " They were told the same."
        return f"Both runs are right and wrong about the same images.{told}"
    flips = f"{len(paired.fixed):,} images are right in the second only, {len(paired.broken):,} in the first only."
    return f"From the first run to the second: {paired.sentence} {flips}"
