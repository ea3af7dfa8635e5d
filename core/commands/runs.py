"""`retrain`, `compare`, `export`: a new last layer, what it changed, and the files to take away."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.access.roots import allowed_path
from core.activations.store import open_analysis
from core.commands.output import Answer, ProgressLine, duration, interval, line_of, percent, table
from core.errors import BadRequest, Cancelled, NotFound, PathNotFound
from core.export import write_export
from core.files import resolved
from core.jobs import Job, launch, list_jobs, request_cancel, wait_for
from core.jobs.job import DONE, Pace
from core.retraining.methods import checked_settings
from core.retraining.runs import (
    CurationEdits,
    RunResult,
    check_request,
    compare_runs,
    edits_from_dict,
    new_run_id,
    open_run,
    order_note,
    predictions,
)
from core.workspace import Workspace, open_workspace

# Flipped images listed for a person; `--json` lists them all.
LISTED = 5


def retrain(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    edits = _edits(options.edits)
    settings = dict(options.settings)
    # what can be told at once is told here, not in the log of a job
    check_request(workspace, analysis, options.method, options.concepts, settings, edits)
    checked = checked_settings(options.method, settings)
    request = {
        "analysis": analysis.id,
        "method": options.method,
        "concepts": list(options.concepts),
        "seed": options.seed,
        "run": new_run_id(),
        **({"settings": {name: checked[name] for name in settings}} if settings else {}),
        **({"edits": edits.to_dict()} if edits else {}),
    }
    job = launch(workspace, "retrain", f"Retrain with {options.method}", request)
    # the same work may be under way already: then that run is the answer
    run_id = job.request["run"]
    if not options.wait:
        empty = {"before": None, "after": None, "seconds": None}
        following = f"python -m core compare --workspace {workspace.root} --run {run_id}"
        text = f"Run {run_id} is in the queue.\nNext: {following}"
        return Answer({"run": run_id, "job": job.id, "state": job.state, **empty}, text)
    wait_showing(workspace, job, progress)
    run = open_run(workspace, run_id)
    following = f"python -m core export --workspace {workspace.root} --run {run_id} --out DIR"
    return Answer(run.to_dict(), f"{_run_text(run)}\n\nNext: {following}")


def compare(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    run = finished_run(workspace, options.run)
    if options.other is not None:
        return _two(workspace, run, finished_run(workspace, options.other))
    analysis = open_analysis(workspace, run.analysis)
    analysis.need_labels()
    note = order_note(run, analysis)
    flips: dict[str, list[dict[str, Any]]] = {}
    for kind in ("fixed", "broken"):
        rows = analysis.rows_of(run.comparison[kind])
        predicted = predictions(workspace, analysis, run.run, rows)
        flips[kind] = [
            {
                "id": int(analysis.ids[row]),
                "image": analysis.image_names([row])[0],
                "label": analysis.label_name(row),
                "before": analysis.classes[analysis.predicted[row]],
                "after": analysis.classes[int(now)],
            }
            for row, now in zip(rows, predicted, strict=True)
        ]
    lines = [_run_text(run), *([note] if note else [])]
    for kind, images in flips.items():
        rows_shown = [
            [image["image"], image["label"] or "–", f"{image['before']} → {image['after']}"]
            for image in images[:LISTED]
        ]
        more = f" (the first {LISTED}; --json lists all)" if len(images) > LISTED else ""
        lines += ["", f"{kind.capitalize()}: {len(images):,}{more}", table(rows_shown, left=3, indent="  ")]
    told = {**run.to_dict(), "notes": [*run.notes, *([note] if note else [])]}
    return Answer({**told, **flips}, "\n".join(lines).rstrip())


def _two(workspace: Workspace, one: RunResult, other: RunResult) -> Answer:
    compared = compare_runs(workspace, one.run, other.run)
    rows = [
        ["worst group", percent(one.after.worst_group), percent(other.after.worst_group)],
        ["average", percent(one.after.average), percent(other.after.average)],
        ["weighted", percent(one.after.weighted_average), percent(other.after.weighted_average)],
    ]
    told = [[apart.what, shown(apart.first), shown(apart.second)] for apart in compared.differences]
    lines = [f"{one.title} and {other.title}, on {compared.images:,} test images of both", ""]
    lines += [table(rows, ["after", "first", "second"], indent="  "), "", compared.sentence, ""]
    lines += [table(told, ["told differently", "first", "second"], left=3, indent="  ")] if told else []
    return Answer(compared.to_dict(), "\n".join(lines).rstrip())


def shown(value: Any) -> str:
    """A setting as a cell."""
    if value is None or value == "":
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} {len(part)}" if hasattr(part, "__len__") else name for name, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def export(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    run = finished_run(workspace, options.run)
    chosen = {} if options.formats is None else {"formats": options.formats}
    out = options.out or workspace.exports / run.run
    exported = write_export(workspace, run.run, out, progress=progress, **chosen)
    rows = [[path.name, f"{path.stat().st_size:,} bytes"] for path in exported.files]
    lines = [f"Run {run.run} is in {exported.files[0].parent}:", "", table(rows, indent="  ")]
    if exported.refused:
        lines += ["", *(f"{name} is not among them: {reason}" for name, reason in exported.refused)]
    return Answer({"run": run.run, **exported.to_dict()}, "\n".join(lines))


def _edits(file: Path | None) -> CurationEdits:
    """Of a file as the preview writes it. Raises `PathNotFound`, `BadRequest`."""
    if file is None:
        return CurationEdits()
    advice = 'Name a .json such as {"left_out": ["a.jpg"], "kept": {"b.jpg": {"water": true}}}.'
    path = allowed_path(resolved(file, advice=advice))
    try:
        return edits_from_dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PathNotFound(f"There is no {path}.", next_step=advice) from None
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise BadRequest(f"{path.name} cannot be read ({error}).", next_step=advice) from error


def wait_showing(workspace: Workspace, job: Job, progress: ProgressLine) -> None:
    """Wait for a job, showing how far it is. Raises what became of it unless it is done; Ctrl-C cancels it."""

    def watch(job: Job) -> None:
        waiting = "Waiting for the jobs before it" if job.state == "queued" else job.message
        progress.show(line_of(job.done, job.total, waiting, Pace(job.rate, job.seconds_left)))
        if progress.stopped and not job.stopping:
            request_cancel(workspace, job.id)

    ended = wait_for(workspace, job.id, watch=watch)
    if ended.problem is not None:
        raise ended.problem


def finished_run(workspace: Workspace, run_id: str | None) -> RunResult:
    """A run that has ended. Raises what is known of one that has not."""
    try:
        return open_run(workspace, run_id)
    except NotFound:
        jobs = [job for job in list_jobs(workspace, limit=1000) if run_id and job.request.get("run") == run_id]
        if not jobs or jobs[0].state == DONE:
            raise
        if jobs[0].active:
            raise BadRequest(
                f"Run {run_id} is still {jobs[0].state}.",
                next_step="Try again in a moment, or use `retrain --wait`.",
                title="The run has no result yet",
            ) from None
        raise jobs[0].problem or Cancelled() from None


def _run_text(run: RunResult) -> str:
    before, after = run.before.to_dict(), run.after.to_dict()
    concepts = f" on {', '.join(run.concepts)}" if run.concepts else ""
    name = f" “{run.name}”" if run.name else ""
    lines = [f"Run {run.run}{name}: {run.method}{concepts}, {duration(run.seconds)}", run.comparison["sentence"], ""]
    lines += [_accuracies(before, after), "", _groups(before, after), ""]
    if run.baselines:
        rows = [[entry.title, percent(entry.worst_group), percent(entry.average)] for entry in run.baselines]
        lines += [table(rows, ["to compare with", "worst group", "average"], indent="  "), ""]
    flips = f"Fixed {len(run.comparison['fixed']):,} images, broke {len(run.comparison['broken']):,}."
    warnings: Sequence[str] = (run.curation or {}).get("warnings", ())
    return "\n".join([*lines, flips, *run.notes, *warnings])


def _accuracies(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    rows = [
        [name, percent(before[key]), percent(after[key])]
        for name, key in (("worst group", "worst_group"), ("average", "average"), ("weighted", "weighted_average"))
    ]
    return table(rows, [f"on {after['split']}", "before", "after"], indent="  ")


def _groups(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    rows = []
    for group in after["groups"]:
        was = earlier[group["class"], group["concept"]]
        rows.append(
            [
                group["class"],
                group["concept"] or "",
                f"{group['count']:,}",
                f"{percent(was['accuracy'])} {interval(was['low'], was['high'])}",
                f"{percent(group['accuracy'])} {interval(group['low'], group['high'])}",
            ]
        )
    header = ["class", "group", "images", "before", "after"]
    return table(rows, header, left=2, indent="  ") + f"\n  Groups from: {after['groups_from']}; 95% intervals."
