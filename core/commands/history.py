"""`runs`, `note`, `replay`: what was retrained so far, what people say of it, and having it again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from core.activations.store import open_analysis
from core.commands.output import Answer, ProgressLine, number, percent, table
from core.commands.runs import finished_run
from core.errors import BadRequest
from core.retraining.evaluation import Evaluation
from core.retraining.replay import Replay
from core.retraining.replay import replay as have_again
from core.retraining.runs import RunResult, damaged_runs, delete_run, deleted_runs, list_runs, note_run, restore_run
from core.workspace import open_workspace

# figures that came out otherwise, listed for a person; `--json` lists them all
LISTED = 12


def runs(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = None if options.analysis is None else open_analysis(workspace, options.analysis).id
    if options.delete is not None:
        delete_run(workspace, options.delete)
        text = f"Run {options.delete} was deleted.\nTo bring it back: python -m core runs --restore {options.delete}"
        return Answer({"deleted": options.delete}, text)
    if options.restore is not None:
        restored = restore_run(workspace, options.restore)
        return Answer({"restored": restored.run}, f"Run {restored.run} is back.")
    found = (deleted_runs if options.deleted else list_runs)(workspace, analysis)
    damaged = {} if options.deleted else damaged_runs(workspace, analysis)
    lines = [_table(found, options.deleted), *([""] if damaged else []), *map(str, damaged.values())]
    return Answer({"runs": [_line(run) for run in found], "damaged": sorted(damaged)}, "\n".join(lines))


def note(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    if options.name is None and options.note is None:
        raise BadRequest("Nothing was said about the run.", next_step="Give --name, --note or both.")
    run = note_run(workspace, finished_run(workspace, options.run).run, name=options.name, note=options.note)
    lines = [f"Run {run.run}" + (f" is called “{run.name}”." if run.name else " has no name.")]
    return Answer({"run": run.run, "name": run.name, "note": run.note}, "\n".join([*lines, *run.note.splitlines()]))


def replay(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = None if options.analysis is None else open_analysis(workspace, options.analysis)
    replayed = have_again(workspace, options.file, analysis=analysis, progress=progress)
    return Answer(replayed.to_dict(), _replay_text(replayed), code=0 if replayed.same else 1)


def _line(run: RunResult) -> dict[str, Any]:
    return {
        "run": run.run,
        "name": run.name,
        "note": run.note,
        "created": run.created,
        "analysis": run.analysis,
        "method": run.method,
        "kind": run.kind,
        "concepts": list(run.concepts),
        "seed": run.seed,
        "settings": run.settings,
        "tags": run.tags,
        "data": run.data,
        "before": {"worst_group": run.before.worst_group, "average": run.before.average},
        "after": {"worst_group": run.after.worst_group, "average": run.after.average},
        "significant": run.comparison["significant"],
        "seconds": run.seconds,
    }


def _table(found: Sequence[RunResult], deleted: bool) -> str:
    if not found:
        return "No run was deleted." if deleted else "There is no run yet. Next: python -m core retrain --wait"
    rows = [
        [
            run.run,
            run.created,
            run.method,
            ", ".join(run.concepts),
            run.name,
            f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}",
            f"{percent(run.before.average)} → {percent(run.after.average)}",
            run.tags[:6],
        ]
        for run in found
    ]
    header = ["run", "made (UTC)", "method", "concepts", "name", "worst group", "average", "tags"]
    return table(rows, header, left=5)


def _replay_text(replayed: Replay) -> str:
    rows = [
        [name, _figure(replayed.before, key), _figure(replayed.replayed_before, key)]
        for name, key in (("before, worst group", "worst_group"), ("before, average", "average"))
    ] + [
        [name, _figure(replayed.after, key), _figure(replayed.replayed_after, key)]
        for name, key in (("after, worst group", "worst_group"), ("after, average", "average"))
    ]
    lines = [replayed.sentence, "", table(rows, ["", "recorded", "replayed"], indent="  ")]
    if replayed.differences:
        changed = [[one.what, _cell(one.recorded), _cell(one.replayed)] for one in replayed.differences[:LISTED]]
        more = len(replayed.differences) - LISTED
        lines += ["", table(changed, ["differs", "recorded", "replayed"], indent="  ")]
        lines += [f"  … and {more:,} more (--json lists all)"] if more > 0 else []
    return "\n".join([*lines, *(["", *replayed.changed] if replayed.changed else [])])


def _figure(evaluation: Evaluation, key: str) -> str:
    # every digit: a replay is about the last one
    return repr(float(getattr(evaluation, key)))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{len(value)} entries"
    if isinstance(value, list):
        return f"{len(value)} values"
    return number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)
