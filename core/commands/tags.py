"""`suggest`, `tag`, `concepts`: which images to tag, what was said of them, and what follows from it."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from core.activations.store import Analysis, open_analysis
from core.commands.output import Answer, ProgressLine, table
from core.concepts.concept import Concept, get_concept, list_concepts
from core.concepts.suggestions import suggest_next, tagging_split
from core.concepts.tables import import_csv
from core.concepts.tags import ABSENT, PRESENT, tag_states
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
            "image": str(analysis.images[suggestion.row]),
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
    found = [_described(workspace, analysis, one) for one in list_concepts(workspace, analysis.dataset_id)]
    return Answer({"concepts": found}, _concepts_text(analysis, found))


def _described(workspace: Workspace, analysis: Analysis, concept: Concept) -> dict[str, Any]:
    states = tag_states(workspace, analysis, concept)
    return {
        **concept.to_dict(),
        "present": int((states == PRESENT).sum()),
        "absent": int((states == ABSENT).sum()),
    }


def _concepts_text(analysis: Analysis, found: list[dict[str, Any]]) -> str:
    if not found:
        return "No concept yet. Tag images in the app, or import tags: python -m core tag --csv FILE"
    rows = [[one["concept"], one["role"], f"{one['present']:,}", f"{one['absent']:,}"] for one in found]
    return table(rows, ["concept", "role", "present", "absent"], left=2)
