"""The report of a run as plain data; `page.py` makes a web page of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import numpy as np

from core.activations.store import Analysis
from core.concepts.concept import list_concepts
from core.concepts.tags import ABSENT, PRESENT, tag_states
from core.database import now
from core.errors import MidbandError
from core.export.findings import class_sheets
from core.files import file_digest
from core.retraining.identity import VERSION
from core.retraining.methods import get_method
from core.retraining.result import run_from_dict
from core.retraining.runs import class_places, order_note, run_logits
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.export.model import Models

# Flipped images shown of each kind.
EXAMPLES = 12
# Images below which a group's interval is wide enough to say so.
SMALL_GROUP = 50
# classes up to which a confusion matrix can be read
MOST_CLASSES = 12

WHAT = {
    "tags.csv": "the tags: image, concept, present, and who said so when",
    "curated.csv": "the images it was fitted on: class, group, weight, and why each is among them",
    "replay.json": "everything the run was made from: python -m core replay gives the same numbers again",
    "model-card.md": "what the model is for, how it was made, and what it does not do",
    "report.json": "the figures of this report for programs",
    "report.html": "this report",
    "report.pdf": "this report to print",
}


def make_report(
    workspace: Workspace, analysis: Analysis, run: Mapping[str, Any], models: Models, files: Sequence[Path]
) -> dict[str, Any]:
    """Everything the report says. run: `RunResult.to_dict()`. models: what was written. files: those written so far.

    What an earlier version did not store of a run is computed now where it can be, else absent or empty. Raises
    `BadRequest` where the images have no labels, or others than the run.
    """
    analysis.need_labels()
    result = run_from_dict(run)
    order, places = order_note(result, analysis), class_places(result, analysis)
    what = {**WHAT, **{model.file: model.what for model in models.written}}
    test = analysis.split_rows(run["after"]["split"])
    return {
        "midband": VERSION,
        "written": now().isoformat(sep=" ", timespec="minutes") + " UTC",
        "run": run["run"],
        "name": run.get("name", ""),
        "note": run.get("note", ""),
        "kind": run.get("kind", "head"),
        "analysis": analysis.id,
        "dataset": {
            "name": analysis.dataset_name,
            "images": analysis.n,
            "classes": list(analysis.classes),
            "splits": {name: len(analysis.split_rows(name)) for name in analysis.split_names},
        },
        "model": {
            "name": analysis.model_name,
            "arch": analysis.arch,
            "preprocessing": analysis.preprocessing,
            "single": models.single,
        },
        "method": _method(run["method"]),
        "concepts": _concepts(workspace, analysis, run["concepts"]),
        "seed": run["seed"],
        "settings": run.get("settings") or {},
        "chosen": run.get("chosen") or {},
        "tags": run.get("tags", ""),
        "data": run.get("data", ""),
        "seconds": run["seconds"],
        "created": run.get("created", ""),
        "before": run["before"],
        "after": run["after"],
        "comparison": run["comparison"],
        "baselines": run["baselines"],
        "feasibility": run.get("feasibility"),
        "curation": run["curation"],
        "findings": class_sheets(workspace, analysis, run["concepts"]),
        "confusion": _confusion(workspace, analysis, run, test, places),
        "shifts": list(run.get("shifts") or ()),
        "notes": [
            *analysis.notes,
            *([order] if order else []),
            *run["notes"],
            *(run["curation"] or {}).get("warnings", ()),
        ],
        "limits": limits(run),
        "examples": _examples(workspace, analysis, run),
        "files": [
            {
                "file": path.name,
                "what": what.get(path.name, "belongs to the file before it"),
                "bytes": path.stat().st_size,
                "sha256": file_digest(path, 64),
            }
            for path in files
        ],
        "formats": [model.to_dict() for model in models.written],
        "refused": [one.to_dict() for one in models.refused],
        "tried": models.tried,
        "how_to_load": how_to_load(analysis, models),
        "replay": "python -m core replay --workspace DIR replay.json"
        if any(path.name == "replay.json" for path in files)
        else "",
    }


def shown_images(report: Mapping[str, Any]) -> list[int]:
    """Ids of the images that the report shows, each once."""
    shown = [image["id"] for images in report["examples"].values() for image in images]
    for sheet in report["findings"]["sheets"]:
        shown += [image["id"] for band in sheet["bands"] for image in band["images"]]
    return list(dict.fromkeys(shown))


def limits(run: Mapping[str, Any]) -> list[str]:
    """What a reader must not conclude."""
    after = run["after"]
    sentences = [f"The accuracies hold for the {after['split']} images of this dataset; elsewhere they may differ."]
    if run.get("kind") == "network":
        sentences.append("The whole network was trained on: what else relied on its features has to be tried again.")
    else:
        sentences.append("Only the last layer changed. What the features do not hold, no last layer can use.")
    if after["groups_from"] == "classes":
        sentences.append("No confounder was known in the images measured, so the groups are the classes alone.")
    else:
        sentences.append("The groups follow what was named; another shortcut that nobody named may remain.")
    if after["estimated"]:
        sentences.append(
            "Which images show the concept was estimated for the images measured, so the group accuracies are a guide."
        )
    if not run["comparison"].get("significant", True):
        sentences.append("The worst-group accuracy did not rise beyond chance: this is no proof of a repair.")
    small = [group for group in after["groups"] if group["count"] < SMALL_GROUP]
    sentences += [
        f"{group['class']}{' with ' + group['concept'] if group['concept'] else ''} has only {group['count']} images "
        f"here: its accuracy lies between {group['low']:.0%} and {group['high']:.0%}."
        for group in small[:5]
    ]
    return sentences


def how_to_load(analysis: Analysis, models: Models) -> str:
    """Lines of Python that load the exported model without Midband."""
    files = {model.file for model in models.written}
    if analysis.arch == "onnx":
        return "\n".join(
            [
                "import onnxruntime",
                "",
                'session = onnxruntime.InferenceSession("model.onnx")',
                *_as_it_came(analysis, models),
                "output, *_ = session.run(None, {session.get_inputs()[0].name: images})",
            ]
        )
    if analysis.arch == "exported":
        return "\n".join(
            [
                "import torch",
                "",
                'model = torch.export.load("model.pt2").module()',
                *_as_it_came(analysis, models),
                "output = model(images)",
            ]
        )
    output = "model(images)"
    if analysis.arch.startswith("timm:"):
        lines = _of_timm(analysis.arch, 1 if models.single else analysis.k)
    elif analysis.arch.startswith("hf:") and "model-as-it-came.zip" in files:
        output = "model(images).logits"
        lines = [
            "import torch",
            "from transformers import AutoModelForImageClassification",
            "",
            "# the folder that model-as-it-came.zip holds",
            'model = AutoModelForImageClassification.from_pretrained("folder").eval()',
        ]
    elif analysis.arch in ("torchscript", "small") or analysis.arch.startswith("hf:"):
        lines = ["import torch", ""]
        if "model-torchscript.pt" in files or analysis.arch == "torchscript":
            lines.append('model = torch.jit.load("model-torchscript.pt").eval()')
        else:
            lines.append('model = torch.export.load("model.pt2").module()')
    else:
        extra = ", aux_logits=False" if analysis.arch in ("googlenet", "inception_v3") else ""
        lines = [
            "import torch, torchvision",
            "",
            f"model = torchvision.models.{analysis.arch}(weights=None, num_classes={1 if models.single else analysis.k}"
            f"{extra})",
            'model.load_state_dict(torch.load("model.pt", weights_only=True))',
            "model.eval()",
        ]
    lines += ["", *_input_lines(analysis), ""]
    if models.single:
        lines += [f"chance = {output}.sigmoid()  # of the second class"]
    else:
        lines += [f"chances = {output}.softmax(dim=1)"]
    if "model.onnx" in files:
        lines += [
            "",
            "# or without torch",
            "import onnxruntime",
            "",
            'session = onnxruntime.InferenceSession("model.onnx")',
            '(logits,) = session.run(["logits"], {"images": images_as_numpy})',
        ]
    return "\n".join(lines)


def _of_timm(arch: str, outputs: int) -> list[str]:
    """arch: `timm:name?key=value`, values as JSON where they are not plain words."""
    name, _, query = arch.removeprefix("timm:").partition("?")
    arguments = [f"num_classes={outputs}"]
    for key, text in parse_qsl(query):
        try:
            arguments.append(f"{key}={json.loads(text)!r}")
        except ValueError:
            arguments.append(f"{key}={text!r}")
    return [
        "import timm, torch",
        "",
        f"model = timm.create_model({name!r}, {', '.join(arguments)})",
        'model.load_state_dict(torch.load("model.pt", weights_only=True))',
        "model.eval()",
    ]


def _as_it_came(analysis: Analysis, models: Models) -> list[str]:
    """What goes into a model that is written as it came, and what comes out, as comments."""
    first = models.written[0]
    takes = first.what.partition("; takes ")[2]
    ends = [f"# {note}" for note in first.notes] or ["# it gives logits" + (" of the second class" * models.single)]
    return ["", f"# images: {takes}", *_input_lines(analysis)[1:], *ends]


def _input_lines(analysis: Analysis) -> list[str]:
    """What goes in, as comments: the preprocessing in words."""
    kept = analysis.preprocessing
    crop, resize = kept.get("crop"), kept.get("resize")
    how = (
        f"squeezed to {crop} x {crop}"
        if resize is None
        else f"shorter side {resize} pixels, the middle {crop} x {crop}"
    )
    lines = [f"# images: (b, 3, {crop}, {crop}) float32, RGB in 0..1, {how},"]
    lines.append(f"# then minus {kept.get('mean')}, divided by {kept.get('std')}")
    classes = [name if name.isprintable() else repr(name) for name in analysis.classes[:20]]
    lines.append(f"# classes in order: {', '.join(classes)}{' ...' if analysis.k > 20 else ''}")
    return lines


def _method(name: str) -> dict[str, Any]:
    try:
        return get_method(name).to_dict()
    except MidbandError:
        # a run of another version may name a method that this one does not have
        return {"name": name, "title": name, "description": "", "source": ""}


def _confusion(
    workspace: Workspace, analysis: Analysis, run: Mapping[str, Any], test: np.ndarray, places: np.ndarray | None
) -> dict[str, list[list[int]]] | None:
    """(k, k) counts [label][predicted] before and after; None with more classes than anybody reads. places: where the
    classes stand in what was stored, see `class_places`."""
    if analysis.k > MOST_CLASSES or not len(test):
        return None
    stored = {name: run[name].get("confusion") for name in ("before", "after")}
    if all(stored.values()):
        if places is not None:
            stored = {name: np.asarray(counts)[np.ix_(places, places)].tolist() for name, counts in stored.items()}
        return stored
    labels = np.asarray(analysis.labels)[test]

    def counted(predicted: np.ndarray) -> list[list[int]]:
        return np.bincount(labels * analysis.k + predicted, minlength=analysis.k**2).reshape(analysis.k, -1).tolist()

    after = run_logits(workspace, analysis, run["run"], test).argmax(axis=1)
    return {"before": counted(np.asarray(analysis.predicted)[test]), "after": counted(after)}


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


def _examples(workspace: Workspace, analysis: Analysis, run: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Some of the images whose prediction flipped, spread over all of them."""
    examples = {}
    for kind in ("fixed", "broken"):
        ids = run["comparison"][kind]
        chosen = [ids[i] for i in np.unique(np.linspace(0, len(ids) - 1, EXAMPLES).astype(int))] if ids else []
        rows = analysis.rows_of(chosen)
        predicted = run_logits(workspace, analysis, run["run"], rows).argmax(axis=1) if len(rows) else []
        examples[kind] = [
            {
                "id": int(analysis.ids[row]),
                "image": analysis.image_names([row])[0],
                "label": analysis.label_name(row),
                "before": analysis.classes[analysis.predicted[row]],
                "after": analysis.classes[int(after)],
            }
            for row, after in zip(rows, predicted, strict=True)
        ]
    return examples
