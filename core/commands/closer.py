"""`closer`: everything about one image."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from core.access.roots import allowed_path
from core.activations.directions import Direction, class_index
from core.activations.neighbours import Neighbours, neighbours
from core.activations.standing import Standing, probabilities, standings, strongest_first, telling_directions
from core.activations.store import Analysis, open_analysis
from core.commands.bands import direction_of
from core.commands.output import Answer, number, percent, table
from core.concepts.concept import list_concepts
from core.concepts.tags import rows_of_images, tags_of
from core.datasets.dataset import SPLITS
from core.datasets.images import UnreadableImage, decode
from core.errors import BadRequest, MidbandError, NotFound
from core.files import replacing, resolved
from core.progress import Progress
from core.settings import DEFAULTS
from core.workspace import Workspace, open_workspace

# classes listed for a person; `--json` has them all
LISTED = 10


def closer(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    row = row_of(analysis, options.image)
    if options.class_name is not None and options.heatmap is None:
        raise BadRequest("--class says whose heat map is drawn.", next_step="Give --heatmap FILE.png too.")
    # what may be wrong about it is said before the long work
    target = None if options.heatmap is None else _target(options.heatmap)
    index = (
        int(analysis.predicted[row])
        if options.class_name is None
        else class_index(options.class_name, analysis.classes)
    )
    current = direction_of(workspace, analysis, options.direction) if options.direction else None
    near = neighbours(analysis, row, options.neighbours, metric=options.metric, progress=progress)
    concepts = concept_directions(workspace, analysis)
    told = standings(analysis, telling_directions(analysis, row, current=current, concepts=concepts), row)
    logits, shares = analysis.logits[row], probabilities(analysis.logits[row])
    label, predicted = analysis.label_name(row), analysis.classes[analysis.predicted[row]]
    result: dict[str, Any] = {
        "image": analysis.image_names([row])[0],
        "id": int(analysis.ids[row]),
        "labelled": analysis.labelled,
        "label": label,
        "predicted": predicted,
        "correct": label == predicted if analysis.labelled else None,
        "split": SPLITS[analysis.splits[row]],
        "attributes": {a.name: a.values[a.codes[row]] for a in analysis.attributes if a.codes[row] >= 0},
        "tags": [
            {"concept": name, "present": present} for name, present in tags_of(workspace, analysis, [row]).get(row, [])
        ],
        "logits": [
            {"class": analysis.classes[c], "logit": float(logits[c]), "probability": float(shares[c])}
            for c in strongest_first(logits)
        ],
        "neighbours": near.to_dicts(analysis),
        "same_class": near.same_class(analysis.labels, int(analysis.labels[row])) if analysis.labelled else None,
        "standing": [one.to_dict() for one in told],
        "heatmap": None,
    }
    if target is not None:
        result["heatmap"] = _draw_heat_map(analysis, row, index, target)
    return Answer(result, _text(result, near, told))


def row_of(analysis: Analysis, image: str) -> int:
    """The row of an image by the name the dataset gives it, else by its id. Raises `NotFound`."""
    found = int(rows_of_images(analysis, [image])[0])
    if found >= 0:
        return found
    if image.isascii() and image.isdigit():
        return int(analysis.rows_of([min(int(image), np.iinfo(np.int64).max)])[0])
    raise NotFound(
        f"There is no image “{image}” in this analysis.",
        next_step=f"Name it as `sample` does, such as {analysis.image_names([0])[0]}, or give its id.",
    )


def concept_directions(workspace: Workspace, analysis: Analysis) -> list[Direction]:
    """Of the concepts that have tags enough for one."""
    found = []
    for concept in list_concepts(workspace, analysis.dataset_id):
        try:
            found.append(direction_of(workspace, analysis, f"concept:{concept.name}"))
        except MidbandError:
            continue
    return found


def _target(path: Path) -> Path:
    advice = "Name a file that ends in .png."
    target = allowed_path(resolved(path, advice=advice))
    if target.suffix.lower() != ".png" or target.is_dir():
        raise BadRequest(f"{target.name} is not a picture that can be written.", next_step=advice)
    return target


def _draw_heat_map(analysis: Analysis, row: int, index: int, file: Path) -> dict[str, Any]:
    # torch takes seconds to import: only for who asks
    from core.activations.reloading import borrowed_classifier
    from core.classifiers.heatmap import heat_map, overlaid, png

    try:
        image = decode(analysis.picture(row), DEFAULTS.max_image_pixels)
    except UnreadableImage as error:
        raise NotFound(
            f"{analysis.image_path(row)} cannot be opened: {error.reason}.",
            next_step="Put the image back where it was, or leave out --heatmap.",
        ) from error
    with borrowed_classifier(analysis) as classifier:
        heat = heat_map(classifier, image, index, head=analysis.head)
    with replacing(file) as beside:
        beside.write_bytes(png(overlaid(image, heat)))
    return {"file": str(file), "class": analysis.classes[index], **heat.to_dict()}


def _text(result: dict[str, Any], near: Neighbours, told: tuple[Standing, ...]) -> str:
    known = [f"{name}: {value}" for name, value in result["attributes"].items()]
    known += [f"{tag['concept']}: {'present' if tag['present'] else 'absent'}" for tag in result["tags"]]
    verdict = "rightly" if result["correct"] else "wrongly"
    judged = f"{result['label']}, {verdict} predicted as" if result["label"] else "without a label, predicted as"
    lines = [
        f"{result['image']} (id {result['id']}, {result['split']}): {judged} {result['predicted']}.",
        *([", ".join(known) + "."] if known else []),
        "",
    ]
    classes = [[item["class"], number(item["logit"]), percent(item["probability"])] for item in result["logits"]]
    lines += [table(classes[:LISTED], ["class", "logit", "probability"], indent="  ")]
    rest = len(classes) - LISTED
    lines += [f"  … and {rest:,} more (--json has them all)"] if rest > 0 else []
    if near.rows.size:
        rows = [
            [
                item["image"],
                item["label"] or "–",
                item["predicted"] + (" ✗" if item["correct"] is False else ""),
                number(item["distance"]),
            ]
            for item in result["neighbours"]
        ]
        same = f"; {percent(result['same_class'])} of them are labelled {result['label']}" if result["label"] else ""
        lines += ["", f"Nearest in feature space ({near.metric}){same}:", ""]
        lines += [table(rows, ["image", "label", "predicted", "distance"], left=3, indent="  ")]
    # without labels the predictions stand in
    own = "its label" if result["labelled"] else "its prediction"
    lines += ["", f"Where it stands: above this share of all images, and of those with {own}", ""]
    places = [
        [
            one.title,
            "–" if one.value is None else number(one.value),
            percent(one.percentile),
            percent(one.own_percentile),
        ]
        for one in told
    ]
    lines += [table(places, ["direction", "value", "all", own], indent="  ")]
    if (heat := result["heatmap"]) is not None:
        lines += ["", f"Heat map of {heat['class']} ({heat['method']}): {heat['file']}"]
    return "\n".join(lines)
