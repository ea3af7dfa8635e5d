"""`reproduce`: the paper's synthetic experiment, trained again on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.activations.store import Analysis
from core.commands.data import about
from core.commands.output import Answer, ProgressLine, percent, table
from core.datasets import open_dataset
from core.errors import BadRequest
from core.reproduction.page import finding, write_report
from core.reproduction.reference import REFERENCE
from core.reproduction.sweep import data_file, model_file, preset_named, run_sweep, write_data
from core.workspace import open_workspace


def reproduce(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    if options.look is not None:
        _check_look(options)
    preset = preset_named(options.preset, levels=options.levels or None, seeds=options.seeds)
    # each size has a folder of its own
    out = options.out or Path("reproduction") / preset.name
    if options.dataset_only:
        progress.after_interruption = "nothing is trained for it, the pictures are drawn anew"
        return _drawn(write_data(out, preset, progress=progress))
    progress.after_interruption = "networks that are trained are kept, the one under way begins anew"
    sweep = run_sweep(out, preset, progress=progress)
    report = write_report(sweep)
    rows = []
    for level in sweep.preset.levels:
        cells = sweep.of(level)
        if not cells:
            continue
        train, test = (sum(getattr(cell, part) for cell in cells) / len(cells) for part in ("train", "test"))
        rows.append([f"{level:.0%}", percent(train), percent(test), percent(REFERENCE.get(level))])
    lines = [
        table(rows, ["bias", "train", "test", "the authors' test"], left=0, indent="  "),
        "",
        finding(sweep),
        f"Report: {report}",
    ]
    result = {**sweep.to_dict(), "report": str(report)}
    if options.look is not None:
        analysis = _analysed(options, out, progress)
        result["analysis"] = analysis.id
        lines += [
            "",
            *about(analysis),
            f"Next: python -m core bands --workspace {options.workspace} --direction logit:{analysis.classes[0]}",
        ]
    return Answer(result, "\n".join(lines))


def _check_look(options: argparse.Namespace) -> None:
    """Raises `BadRequest` before anything is trained."""
    levels = preset_named(options.preset, levels=options.levels or None).levels
    if options.look not in levels:
        raise BadRequest(
            f"No network of a bias of {options.look:g} is trained here.",
            next_step=f"Look at one of {', '.join(f'{level:g}' for level in levels)}.",
        )


def _analysed(options: argparse.Namespace, out: Path, progress: ProgressLine) -> Analysis:
    """The first network of a level on its pictures, in the workspace, the latest one there."""
    from core.activations.extraction import analyse
    from core.classifiers.classifier import load_classifier
    from core.reproduction.network import INPUT

    progress.after_interruption = "the networks are kept, and the analysis goes on where it stopped"
    workspace = open_workspace(options.workspace)
    dataset = open_dataset(data_file(out, options.look), store=workspace.datasets, progress=progress)
    classifier = load_classifier(model_file(out, options.look), preprocessing=INPUT)
    return analyse(workspace, dataset, classifier, progress=progress)


def _drawn(files: tuple[Path, ...]) -> Answer:
    lines = [
        *(f"Written: {file}" for file in files),
        f"Next: python -m core look --data {files[0]}",
    ]
    return Answer({"data": [str(file) for file in files]}, "\n".join(lines))
