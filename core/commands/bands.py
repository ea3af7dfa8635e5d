"""`bands` and `sample`: what lies where along a direction."""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from core.activations.bands import (
    Edges,
    Range,
    assign,
    check_edges,
    count,
    equal_width_edges,
    quantile_edges,
)
from core.activations.directions import Direction, class_index, parse_direction, scores
from core.activations.index import open_index
from core.activations.proposals import bottom_band, mid_band, top_band
from core.activations.sampling import draw
from core.activations.store import Analysis, open_analysis
from core.commands.output import Answer, number, percent, table
from core.concepts.concept import list_concepts
from core.concepts.probes import concept_direction
from core.concepts.tags import PRESENT, tag_states
from core.datasets.dataset import SPLITS
from core.errors import BadRequest
from core.progress import Progress
from core.workspace import Workspace, open_workspace

PRESETS = {"mid": mid_band, "top": top_band, "bottom": bottom_band}
# width of the longest bar, in characters
BAR = 24
# classes with a column of their own
WIDEST = 12


def bands(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    rows = analysis.split_rows(options.split) if options.split else np.arange(analysis.n)
    values, labels = scores(analysis, direction)[rows], analysis.labels[rows]
    edges = _edges(options, values)
    counted = count(values, edges.values, labels=labels, classes=analysis.classes)
    tagged = _tagged(workspace, analysis, rows, assign(values, edges.values), len(counted.bands))
    result = {
        "direction": direction.spec,
        **counted.to_dict(),
        "images": len(rows),
        "note": edges.note,
        "presets": {name: proposed.to_dict() for name, proposed in _presets(analysis, direction).items()},
    }
    for band, concepts in zip(result["bands"], tagged, strict=True):
        band["concepts"] = concepts
    return Answer(result, _bands_text(analysis, direction, result))


def sample(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    ordered = open_index(analysis, direction)
    low, high, closed = _band(options, analysis, direction, ordered.values)
    wanted = np.ones(analysis.n, dtype=bool)
    if options.split:
        wanted &= analysis.splits == SPLITS.index(options.split)
    if options.class_name is not None:
        wanted &= analysis.labels == class_index(options.class_name, analysis.classes)
    drawn = draw(
        ordered, low, high, closed=closed, count=options.count, rng=np.random.default_rng(options.seed), rows=wanted
    )
    activations = scores(analysis, direction)[drawn]
    images = [
        {
            "id": int(analysis.ids[row]),
            "image": analysis.image_names([row])[0],
            "activation": float(activation),
            "label": analysis.classes[analysis.labels[row]],
            "predicted": analysis.classes[analysis.predicted[row]],
            "split": SPLITS[analysis.splits[row]],
        }
        for row, activation in zip(drawn, activations, strict=True)
    ]
    result = {"direction": direction.spec, "low": low, "high": high, "closed": closed, "images": images}
    return Answer(result, _sample_text(direction, result))


def direction_of(workspace: Workspace, analysis: Analysis, spec: str) -> Direction:
    return parse_direction(spec, analysis, concept=lambda name: concept_direction(workspace, analysis, name))


def _edges(options: argparse.Namespace, values: np.ndarray) -> Edges:
    if options.edges is not None:
        if options.quantiles:
            raise BadRequest("--edges and --quantiles exclude each other.", next_step="Give one of the two.")
        return Edges(check_edges(options.edges))
    return (quantile_edges if options.quantiles else equal_width_edges)(values, options.count)


def _tagged(
    workspace: Workspace, analysis: Analysis, rows: np.ndarray, band_of: np.ndarray, total: int
) -> list[dict[str, int]]:
    """Images tagged as showing each concept, per band."""
    found: list[dict[str, int]] = [{} for _ in range(total)]
    for concept in list_concepts(workspace, analysis.dataset_id):
        shown = tag_states(workspace, analysis, concept)[rows] == PRESENT
        sizes = np.bincount(band_of[shown & (band_of >= 0)], minlength=total)
        for band, size in zip(found, sizes.tolist(), strict=True):
            band[concept.name] = size
    return found


def _presets(analysis: Analysis, direction: Direction) -> dict[str, Range]:
    index = direction.class_index
    return {} if index is None else {name: propose(analysis, index) for name, propose in PRESETS.items()}


def _band(
    options: argparse.Namespace, analysis: Analysis, direction: Direction, values: np.ndarray
) -> tuple[float, float, bool]:
    if options.preset:
        if options.low is not None or options.high is not None:
            raise BadRequest("--preset and --low or --high exclude each other.", next_step="Give one of the two.")
        proposed = _presets(analysis, direction).get(options.preset)
        if proposed is None:
            raise BadRequest(
                f"A {options.preset} band is proposed for class logits only, not for {direction.spec}.",
                next_step="Use --direction logit:CLASS, or give --low and --high.",
            )
        return proposed.low, proposed.high, proposed.closed
    low = -math.inf if options.low is None else options.low
    high = math.inf if options.high is None else options.high
    finite = values[np.isfinite(values)]
    # the last band is closed, so that the maximum has a place
    at_maximum = bool(len(finite)) and high >= float(finite[-1])
    return low, high, options.closed or at_maximum


def _bands_text(analysis: Analysis, direction: Direction, result: dict[str, Any]) -> str:
    concepts = list(result["bands"][0]["concepts"]) if result["bands"] else []
    # a column per class stays readable up to a dozen; `--json` has them all
    names = analysis.classes if analysis.k <= WIDEST else ()
    largest = max((band["count"] for band in result["bands"]), default=0)
    rows = []
    for band in result["bands"]:
        ends = f"[{number(band['low'])}, {number(band['high'])}{']' if band['closed'] else ')'}"
        bar = "█" * math.ceil(BAR * band["count"] / largest) if largest else ""
        classes = [f"{band['classes'][name]:,}" for name in names]
        tags = [f"{band['concepts'][name]:,}" for name in concepts]
        rows.append([ends, bar, f"{band['count']:,}", *classes, *tags])
    header = ["band", "", "images", *names, *(f"“{name}”" for name in concepts)]
    outside = [
        f"{result[key]:,} {words}"
        for key, words in (("below", "below"), ("above", "above"), ("not_a_number", "not a number"))
        if result[key]
    ]
    lines = [f"{direction.title}, {result['images']:,} images", "", table(rows, header, left=2, indent="  "), ""]
    lines += [f"Outside: {', '.join(outside)}."] if outside else []
    lines += [result["note"]] if result["note"] else []
    lines += [
        f"{name:>6}: {number(preset['low'])} to {number(preset['high'])}. {preset['why']}"
        for name, preset in result["presets"].items()
    ]
    return "\n".join(lines)


def _sample_text(direction: Direction, result: dict[str, Any]) -> str:
    images = result["images"]
    ends = f"[{number(result['low'])}, {number(result['high'])}{']' if result['closed'] else ')'}"
    if not images:
        return f"No image lies in {ends} of the {direction.title}. Widen the band, or drop --class and --split."
    rows = [
        [
            str(image["id"]),
            image["image"],
            number(image["activation"]),
            image["label"],
            image["predicted"] + ("" if image["predicted"] == image["label"] else " ✗"),
            image["split"],
        ]
        for image in images
    ]
    right = sum(image["predicted"] == image["label"] for image in images) / len(images)
    return "\n".join(
        [
            f"{len(images)} images of {ends} of the {direction.title}, {percent(right)} of them predicted rightly",
            "",
            table(rows, ["id", "image", "activation", "label", "predicted", "split"], left=2, indent="  "),
        ]
    )
