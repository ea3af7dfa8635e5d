"""`methods` and `bake-off`: the ways to retrain, one by one and side by side."""

from __future__ import annotations

import argparse
import secrets

from core.activations.store import open_analysis
from core.commands.output import Answer, ProgressLine, duration, interval, percent, table
from core.commands.runs import wait_showing
from core.jobs import launch
from core.retraining.bakeoff import BakeOff, check_bake_off, open_bake_off
from core.retraining.material import chosen_concepts
from core.retraining.methods import METHODS
from core.workspace import open_workspace


def methods(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    lines = []
    for method in METHODS.values():
        lines += [f"{method.name}: {method.title}", f"  {method.description}"]
        lines += [f"  Labels: {method.labels}"] if method.labels else []
        lines += [f"  Source: {method.source}"]
        rows = [[knob.name, str(knob.default), knob.range, knob.help] for knob in method.knobs]
        lines += [table(rows, left=4, indent="    ")] if rows else []
        lines += [""]
    result = {"methods": [method.to_dict() for method in METHODS.values()]}
    return Answer(result, "\n".join(lines).rstrip())


def bake_off(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    seeds = list(range(options.seeds))
    # what can be told at once is told here, not in the log of a job
    check_bake_off(options.methods, seeds)
    chosen_concepts(workspace, analysis, options.concepts)
    request = {
        "analysis": analysis.id,
        "methods": list(options.methods),
        "seeds": seeds,
        "concepts": list(options.concepts),
        "bake_off": secrets.token_hex(6),
    }
    job = launch(workspace, "bakeoff", "Compare methods", request)
    # the same work may be under way already
    bake_off_id = job.request["bake_off"]
    if not options.wait:
        text = f"The comparison {bake_off_id} is in the queue; --wait waits for its table."
        return Answer({"bake_off": bake_off_id, "job": job.id, "state": job.state, "lines": None}, text)
    wait_showing(workspace, job, progress)
    compared = open_bake_off(workspace, bake_off_id)
    return Answer(compared.to_dict(), _table(compared))


def _table(compared: BakeOff) -> str:
    several = len(compared.seeds) > 1
    rows = [
        [
            line.method,
            percent(line.mean) + (f" ± {100 * line.spread:.1f}" if several else ""),
            interval(*line.interval),
            percent(line.average_mean) + (f" ± {100 * line.average_spread:.1f}" if several else ""),
            percent(line.share),
            "" if line.method == "erm" else "< 0.001" if line.p < 0.001 else f"{line.p:.3f}",
            duration(line.seconds),
        ]
        for line in compared.lines
    ]
    header = ["method", "worst group", "95%", "average", "of the gap", "p", "a fit"]
    seeds = f"{len(compared.seeds)} seed{'s' if several else ''}"
    lines = [f"{compared.images:,} test images, {seeds}; groups from: {compared.groups_from}", ""]
    lines += [table(rows, header, indent="  "), ""]
    lines += ["± is the spread over the seeds; 95% is over the draw of the test images; p is against erm."]
    lines += [f"{method} is not there: {reason}" for method, reason in compared.absent.items()]
    return "\n".join([*lines, *compared.notes])
