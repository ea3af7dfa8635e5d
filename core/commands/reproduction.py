"""`reproduce`: the paper's synthetic experiment, trained again on this machine."""

from __future__ import annotations

import argparse

from core.commands.output import Answer, ProgressLine, percent, table
from core.reproduction.page import finding, write_report
from core.reproduction.reference import REFERENCE
from core.reproduction.sweep import preset_named, run_sweep


def reproduce(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    preset = preset_named(options.preset, levels=options.levels or None, seeds=options.seeds)
    sweep = run_sweep(options.out, preset, progress=progress)
    report = write_report(sweep)
    rows = []
    for level in preset.levels:
        cells = sweep.of(level)
        train, test = (sum(getattr(cell, part) for cell in cells) / len(cells) for part in ("train", "test"))
        rows.append([f"{level:.0%}", percent(train), percent(test), percent(REFERENCE.get(level))])
    lines = [
        table(rows, ["bias", "train", "test", "the authors' test"], left=0, indent="  "),
        "",
        finding(sweep),
        f"Report: {report}",
    ]
    return Answer({**sweep.to_dict(), "report": str(report)}, "\n".join(lines))
