"""The report of a run as plain data; `page.py` makes a web page of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.activations.store import Analysis
from core.classifiers.head import Head
from core.concepts.concept import list_concepts
from core.concepts.tags import ABSENT, PRESENT, tag_states
from core.database import now
from core.files import file_digest
from core.retraining.methods import get_method
from core.workspace import Workspace

VERSION = "0.1.0"
# Flipped images shown of each kind.
EXAMPLES = 12
# Images below which a group's interval is wide enough to say so.
SMALL_GROUP = 50

WHAT = {
    "model.safetensors": "all weights with the new last layer; names architecture, classes and preprocessing",
    "model.pt": "the same weights as a PyTorch state dict",
    "model-torchscript.pt": "the same network as TorchScript",
    "tags.csv": "the tags: image, concept, present, and who said so when",
    "report.json": "the figures of this report for programs",
    "report.html": "this report",
}


def make_report(
    workspace: Workspace, analysis: Analysis, run: Mapping[str, Any], head: Head, files: Sequence[Path]
) -> dict[str, Any]:
    """Everything the report says. run: `RunResult.to_dict()`. head: the run's. files: those written so far."""
    method = get_method(run["method"])
    return {
        "midband": VERSION,
        "written": now().isoformat(sep=" ", timespec="minutes") + " UTC",
        "run": run["run"],
        "analysis": analysis.id,
        "dataset": {"name": analysis.dataset_name, "images": analysis.n, "classes": list(analysis.classes)},
        "model": {"name": analysis.model_name, "arch": analysis.arch, "preprocessing": analysis.preprocessing},
        "method": method.to_dict(),
        "concepts": _concepts(workspace, analysis, run["concepts"]),
        "seed": run["seed"],
        "seconds": run["seconds"],
        "before": run["before"],
        "after": run["after"],
        "comparison": run["comparison"],
        "baselines": run["baselines"],
        "curation": run["curation"],
        "notes": [*analysis.notes, *run["notes"], *(run["curation"] or {}).get("warnings", ())],
        "limits": limits(run),
        "examples": _examples(analysis, run["comparison"], head),
        "files": [
            {
                "file": path.name,
                "what": WHAT.get(path.name, ""),
                "bytes": path.stat().st_size,
                "sha256": file_digest(path, 64),
            }
            for path in files
        ],
        "how_to_load": how_to_load(analysis),
    }


def limits(run: Mapping[str, Any]) -> list[str]:
    """What a reader must not conclude."""
    after = run["after"]
    sentences = [
        f"The accuracies hold for the {after['split']} images of this dataset; elsewhere they may differ.",
        "Only the last layer changed. What the features do not hold, no last layer can use.",
    ]
    if after["groups_from"] == "classes":
        sentences.append("No confounder was known in the images measured, so the groups are the classes alone.")
    else:
        sentences.append("The groups follow what was named; another shortcut that nobody named may remain.")
    if after["estimated"]:
        sentences.append("A probe guessed which images show the concept, so the group accuracies are a guide only.")
    small = [group for group in after["groups"] if group["count"] < SMALL_GROUP]
    sentences += [
        f"{group['class']}{' with ' + group['concept'] if group['concept'] else ''} has only {group['count']} images "
        f"here: its accuracy lies between {group['low']:.0%} and {group['high']:.0%}."
        for group in small[:5]
    ]
    return sentences


def how_to_load(analysis: Analysis) -> str:
    """Lines of Python that load the exported weights without Midband."""
    if analysis.arch == "torchscript":
        return 'import torch\n\nmodel = torch.jit.load("model-torchscript.pt").eval()'
    if analysis.arch == "small":
        return (
            "# the small network is Midband's own\n"
            "from core.classifiers.classifier import load_classifier\n\n"
            'classifier = load_classifier("model.safetensors")'
        )
    return (
        "import torch, torchvision\n\n"
        f"model = torchvision.models.{analysis.arch}(num_classes={analysis.k})\n"
        'model.load_state_dict(torch.load("model.pt", weights_only=True))\n'
        "model.eval()"
    )


def _concepts(workspace: Workspace, analysis: Analysis, names: Sequence[str]) -> list[dict[str, Any]]:
    wanted = {name.casefold() for name in names}
    found = []
    for concept in list_concepts(workspace, analysis.dataset_id):
        if concept.name.casefold() in wanted:
            states = tag_states(workspace, analysis, concept)
            found.append(
                {
                    **concept.to_dict(),
                    "present": int((states == PRESENT).sum()),
                    "absent": int((states == ABSENT).sum()),
                }
            )
    return found


def _examples(analysis: Analysis, comparison: Mapping[str, Any], head: Head) -> dict[str, list[dict[str, Any]]]:
    """Some of the images whose prediction flipped, spread over all of them."""
    examples = {}
    for kind in ("fixed", "broken"):
        ids = comparison[kind]
        chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, EXAMPLES).astype(int))] if ids else []
        rows = analysis.rows_of(chosen)
        predicted = head.logits(analysis.features[rows]).argmax(axis=1) if len(rows) else []
        examples[kind] = [
            {
                "id": int(analysis.ids[row]),
                "image": analysis.image_names([row])[0],
                "label": analysis.classes[analysis.labels[row]],
                "before": analysis.classes[analysis.predicted[row]],
                "after": analysis.classes[int(after)],
            }
            for row, after in zip(rows, predicted, strict=True)
        ]
    return examples
