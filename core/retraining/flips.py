"""The test images that a repair fixed and those it broke, group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadRequest, PathNotFound
from core.retraining.groups import by_class
from core.retraining.material import assemble, gather, known_groups
from core.retraining.measuring import MeasuredGroups, measured_groups, told_groups
from core.retraining.replay import read_recipe
from core.retraining.result import RunResult
from core.retraining.run_store import run_folder
from core.retraining.statements import statements_from_dict
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class GroupFlips:
    """One group. count: its test images. fixed, broken: ids of those right only after, only before. class_name: None
    for the images whose group is not known."""

    class_name: str | None
    concept: str | None
    count: int
    fixed: tuple[int, ...]
    broken: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "class": self.class_name,
            "concept": self.concept,
            "count": self.count,
            "fixed": list(self.fixed),
            "broken": list(self.broken),
        }


def flips_by_group(workspace: Workspace, analysis: Analysis, run: RunResult) -> tuple[GroupFlips, ...]:
    """Every group of the run's test images, in the order of `run.before`; images of no known group last.

    Where groups are estimated, each image is in the group that a probe finds likeliest.
    """
    rows = analysis.split_rows(run.after.split)
    grouping = groups_of_run(workspace, analysis, run).grouping
    ids = analysis.ids[rows]
    flipped = {kind: np.isin(ids, run.comparison[kind]) for kind in ("fixed", "broken")}

    def of(members: np.ndarray, class_name: str | None, concept: str | None) -> GroupFlips:
        fixed, broken = (tuple(ids[members & flipped[kind]].tolist()) for kind in ("fixed", "broken"))
        return GroupFlips(class_name, concept, int(members.sum()), fixed, broken)

    there = [grouping.name(group) for group in range(grouping.count)]
    order = [(group.class_name, group.concept) for group in run.before.groups]
    # a probe asked again may see a group that was empty when the run was measured
    named = [name for name in order if name in there] + [name for name in there if name not in order]
    found = [of(grouping.codes == there.index(name), *name) for name in named]
    found.append(of(grouping.codes < 0, None, None))
    return tuple(group for group in found if group.count)


def groups_of_run(
    workspace: Workspace, analysis: Analysis, run: RunResult, rows: np.ndarray | None = None
) -> MeasuredGroups:
    """Groups of test images as the run measured them, from what was said at that time. rows: (t,) int64, None for all
    that it was measured on."""
    rows = analysis.split_rows(run.after.split) if rows is None else rows
    known = known_groups(analysis)
    # both without reading features
    if known is not None and known.source == run.after.groups_from:
        return told_groups(analysis, known, rows)
    if run.after.groups_from == "classes":
        return told_groups(analysis, by_class(analysis.labels, analysis.classes), rows)
    try:
        recipe = read_recipe(run_folder(workspace, run.run))
        gathered = assemble(analysis, statements_from_dict(recipe["statements"], analysis))
    except (PathNotFound, BadRequest):
        # a run of an earlier version: what the dataset itself knows
        gathered = gather(workspace, analysis, ())
    return measured_groups(analysis, gathered, None, run.seed, rows)
