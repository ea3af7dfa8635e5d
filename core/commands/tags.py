"""`suggest`, `tag`, `concepts`: which images to tag, what was said of them, and what follows from it."""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from typing import Any

import numpy as np

from core.activations.bands import equal_width_edges
from core.activations.store import Analysis, open_analysis
from core.commands.output import Answer, ProgressLine, percent, table
from core.concepts.associations import ConceptSummary, by_band, summarise
from core.concepts.concept import get_concept
from core.concepts.exchange import import_csv
from core.concepts.suggestions import suggest_next, tagging_split
from core.concepts.tags import tag_states
from core.settings import DEFAULTS
from core.workspace import Workspace, open_workspace

# Rejected lines and suggestions listed for a person; `--json` lists them all.
LISTED = 10
WHY = {
    "own-low": "the lowest logits of their own class",
    "boundary": "between two classes",
    "top": "to confirm what a class usually shows",
    "doubt": "the probe is unsure",
}


def suggest(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    concept = get_concept(workspace, analysis.dataset_id, options.concept) if options.concept else None
    split = tagging_split(analysis)
    note = "" if split == "val" else f"There is no val split: the images come from {split}, which suits less."
    images = [
        {
            "id": int(analysis.ids[suggestion.row]),
            "image": analysis.image_names([suggestion.row])[0],
            "label": analysis.classes[analysis.labels[suggestion.row]],
            "why": suggestion.why,
        }
        for suggestion in suggest_next(workspace, analysis, concept, budget=options.budget)
    ]
    reasons = Counter(image["why"] for image in images)
    shown = [[str(image["id"]), image["image"], image["label"], image["why"]] for image in images]
    lines = [
        f"{len(images)} images of {split} to tag next" + (f" for {concept.name}" if concept else ""),
        *([note] if note else []),
        *(f"  {why}: {number_of} ({WHY.get(why, why)})" for why, number_of in reasons.items()),
        "",
        table(shown, ["id", "image", "label", "why"], left=4, indent="  "),
        "",
        "Look at them, write a table with the columns image,concept,present (1 or 0), then:",
        f"python -m core tag --workspace {workspace.root} --csv FILE",
    ]
    return Answer({"images": images, "split": split, "note": note}, "\n".join(lines))


def tag(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    imported = import_csv(workspace, analysis, options.csv)
    named = f" on {', '.join(imported.concepts)}" if imported.concepts else ""
    lines = [f"Added {imported.added:,} tags{named}."]
    if imported.rejected:
        lines += [f"Rejected {len(imported.rejected):,} lines:"]
        lines += [f"  line {line.row}: {line.reason}" for line in imported.rejected[:LISTED]]
        if len(imported.rejected) > LISTED:
            lines.append(f"  … and {len(imported.rejected) - LISTED:,} more (--json lists them all)")
    return Answer(imported.to_dict(), "\n".join(lines))


def concepts(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    found = [
        {**summary.to_dict(), "bands": _by_band(workspace, analysis, summary)}
        for summary in summarise(workspace, analysis)
    ]
    return Answer({"concepts": found}, _concepts_text(found))


def _by_band(workspace: Workspace, analysis: Analysis, summary: ConceptSummary) -> list[dict[str, Any]]:
    """How the concept goes with ten bands of the logit of each class that has tagged images."""
    states = tag_states(workspace, analysis, summary.concept)
    lines = []
    for index, association in enumerate(summary.classes):
        if not association.present + association.absent:
            continue
        logit = np.asarray(analysis.logits[:, index])
        edges = equal_width_edges(logit, DEFAULTS.band_count).values
        for band, (low, high) in zip(by_band(states, logit, edges), itertools.pairwise(edges.tolist()), strict=True):
            measures = {name: value for name, value in band.to_dict().items() if name != "name"}
            lines.append({"direction": f"logit:{association.name}", "low": low, "high": high, **measures})
    return lines


def _concepts_text(found: list[dict[str, Any]]) -> str:
    if not found:
        return "No concept yet. Tag images in the app, or import tags: python -m core tag --csv FILE"
    parts = []
    for one in found:
        tagged = f"{one['present']:,} present, {one['absent']:,} absent"
        rows = [
            [line["name"], f"{line['present']:,}", f"{line['absent']:,}", percent(line["share"]), _times(line["lift"])]
            for line in one["classes"]
            if line["present"] + line["absent"]
        ]
        parts += [f"{one['concept']} ({one['role']}): {tagged}"]
        if rows:
            parts += [table(rows, ["class", "present", "absent", "share", "lift"], indent="  ")]
        for direction, lines in itertools.groupby(one["bands"], key=lambda line: line["direction"]):
            cells = [
                f"{percent(line['share'])} of {line['present'] + line['absent']}" if line["share"] is not None else "–"
                for line in lines
            ]
            parts.append(f"  along {direction}, low to high: {', '.join(cells)}")
        parts.append("")
    return "\n".join([*parts, "Shares are of tagged images, which are no random sample."])


def _times(value: float | None) -> str:
    return "–" if value is None else f"×{value:.2f}"
