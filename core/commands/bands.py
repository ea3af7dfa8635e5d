"""`bands` and `sample`: what lies where along a direction."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np

from core.activations.bands import Edges, Range, assign, check_edges, count, equal_width_edges, quantile_edges
from core.activations.directions import Direction, class_index, parse_direction
from core.activations.facets import ConceptStates, Facet, facet_specs, parse_facet
from core.activations.filters import Filter, matching, parse_filter
from core.activations.index import BandIndex, open_index, positions
from core.activations.proposals import BOTTOM, TOP, propose, usual_rows
from core.activations.sampling import MIXED, page
from core.activations.store import Analysis, open_analysis
from core.commands.output import Answer, number, percent, table
from core.concepts.concept import get_concept, list_concepts
from core.concepts.probes import concept_direction
from core.concepts.tags import PRESENT, tag_states
from core.datasets.dataset import SPLITS
from core.errors import BadRequest
from core.progress import Progress
from core.workspace import Workspace, open_workspace

# width of the longest bar, in characters
BAR = 24
# classes with a column of their own
WIDEST = 12
# of images without labels
PREDICTED = (
    "The images have no labels: classes are those that the model predicts, and the mid band is where these predictions "
    "change, so it cannot show what the model gets wrong."
)


def bands(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    # the very activations that `sample` draws from
    index = open_index(analysis, direction, wanted_images(options, workspace, analysis))
    values, rows = np.asarray(index.values), index.order.astype(np.int64)
    edges = _edges(options, values)
    counted = count(values, edges.values, labels=analysis.labels[rows], classes=analysis.classes)
    band_of = assign(values, edges.values)
    tagged = _tagged(workspace, analysis, rows, band_of, len(counted.bands))
    result = {
        "direction": direction.spec,
        "labelled": analysis.labelled,
        **counted.to_dict(),
        "images": len(rows),
        "note": edges.note,
        "presets": {name: proposed.to_dict() for name, proposed in _presets(options, analysis, direction).items()},
    }
    for band, concepts in zip(result["bands"], tagged, strict=True):
        band["concepts"] = concepts
    facet = None
    if options.facet:
        facet = parse_facet(options.facet, analysis, states=concept_states(workspace, analysis))
        result["facet"] = facet.spec
        for band, parts in zip(result["bands"], _parts(facet, rows, band_of, len(counted.bands)), strict=True):
            band["parts"] = parts
    return Answer(result, _bands_text(analysis, direction, result, facet))


def sample(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    index = open_index(analysis, direction, wanted_images(options, workspace, analysis))
    low, high, closed = _band(options, analysis, direction)
    drawn = page(
        analysis,
        direction,
        index,
        low,
        high,
        closed=closed,
        order=options.order or MIXED,
        seed=options.seed,
        number=options.page - 1,
        size=options.count,
    )
    # without an order: an even draw, strongest first
    shown = np.arange(len(drawn.rows)) if options.order else np.argsort(-drawn.values, kind="stable")
    rows = drawn.rows[shown]
    images = [
        {
            "id": int(analysis.ids[row]),
            "image": image,
            "activation": float(activation),
            "label": analysis.label_name(row),
            "predicted": analysis.classes[analysis.predicted[row]],
            "split": SPLITS[analysis.splits[row]],
        }
        for row, image, activation in zip(rows, analysis.image_names(rows), drawn.values[shown], strict=True)
    ]
    result = {
        "direction": direction.spec,
        "low": low,
        "high": high,
        "closed": closed,
        "total": drawn.total,
        "page": drawn.number + 1,
        "pages": drawn.pages,
        "note": " ".join(part for part in (drawn.note, _at_the_end(index, low, high, closed)) if part),
        "images": images,
    }
    return Answer(result, _sample_text(direction, result))


def direction_of(workspace: Workspace, analysis: Analysis, spec: str) -> Direction:
    return parse_direction(spec, analysis, concept=lambda name: concept_direction(workspace, analysis, name))


def concept_states(workspace: Workspace, analysis: Analysis) -> ConceptStates:
    return lambda name: tag_states(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))


def wanted_images(options: argparse.Namespace, workspace: Workspace, analysis: Analysis) -> np.ndarray | None:
    """(n,) bool, the images that --filter, --split and --class leave; None for all."""
    concepts = [concept.name for concept in list_concepts(workspace, analysis.dataset_id)]
    terms = _filter(options.filter, analysis, concepts).terms if options.filter else ()
    if options.split:
        terms = (*terms, ("split", (options.split,)))
    if getattr(options, "class_name", None) is not None:
        terms = (*terms, ("class", (analysis.classes[class_index(options.class_name, analysis.classes)],)))
    return matching(analysis, Filter(terms), states=concept_states(workspace, analysis))


def _filter(text: str, analysis: Analysis, concepts: Sequence[str]) -> Filter:
    """A filter in which everything means something: unlike a link, a command should not be half understood."""
    found = parse_filter(text, analysis, concepts)
    terms = [term.partition("=") for term in text.split(";") if term]
    # as sets: what is said twice is said
    asked = {(unquote(name).strip(), unquote(value)) for name, _, listed in terms for value in listed.split(",")}
    if len({(spec, value) for spec, values in found.terms for value in values}) != len(asked):
        specs = ", ".join(spec for spec, _ in facet_specs(analysis, concepts))
        raise BadRequest(
            f"The filter “{text}” names something that is not there"
            + (f"; understood was “{found.to_text()}”." if found.terms else "."),
            next_step=f"Write it like class=A,B;correctness=wrong, with one of: {specs}.",
        )
    return found


def _parts(facet: Facet, rows: np.ndarray, band_of: np.ndarray, total: int) -> list[dict[str, int]]:
    """Images per value of a facet, per band; "" is those of which nothing is known."""
    width = len(facet.values) + 1
    codes = facet.codes[rows].astype(np.int64)
    inside = band_of >= 0
    cells = band_of[inside] * width + np.where(codes[inside] < 0, width - 1, codes[inside])
    counts = np.bincount(cells, minlength=total * width).reshape(total, width)
    named = [dict(zip((*facet.values, ""), row, strict=True)) for row in counts.tolist()]
    return named if counts[:, -1].any() else [{name: size for name, size in row.items() if name} for row in named]


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


def _presets(options: argparse.Namespace, analysis: Analysis, direction: Direction) -> dict[str, Range]:
    """The proposed bands, by the names that --preset takes. The rules look at val, as curation does."""
    rules = {"mid": options.mid_rule, "top": TOP, "bottom": BOTTOM}
    rows = usual_rows(analysis)
    return {name: propose(analysis, direction, rule, rows) for name, rule in rules.items()}


def _band(options: argparse.Namespace, analysis: Analysis, direction: Direction) -> tuple[float, float, bool]:
    if options.preset:
        if options.low is not None or options.high is not None:
            raise BadRequest("--preset and --low or --high exclude each other.", next_step="Give one of the two.")
        proposed = _presets(options, analysis, direction)[options.preset]
        return proposed.low, proposed.high, proposed.closed
    low = -math.inf if options.low is None else options.low
    high = math.inf if options.high is None else options.high
    # the last band is closed, so that the maximum has a place: that of all images, whatever is filtered, so that the
    # same ends mean the same band
    whole = open_index(analysis, direction)
    start, stop = whole.finite
    return low, high, options.closed or (stop > start and high >= whole.high)


def _at_the_end(index: BandIndex, low: float, high: float, closed: bool) -> str:
    """What a half-open band leaves out at its very end, where `bands` may end its last, closed one."""
    left_out = (
        0 if closed else positions(index, low, high, closed=True)[1] - positions(index, low, high, closed=False)[1]
    )
    if not left_out:
        return ""
    images = "1 image lies" if left_out == 1 else f"{left_out:,} images lie"
    return f"{images} exactly at {number(high)}, which is not part of the band: --closed adds what lies there."


def _bands_text(analysis: Analysis, direction: Direction, result: dict[str, Any], facet: Facet | None) -> str:
    concepts = list(result["bands"][0]["concepts"]) if result["bands"] else []
    parts, names = ("classes", analysis.classes) if facet is None else ("parts", facet.values)
    if facet is not None and result["bands"]:
        names = tuple(result["bands"][0]["parts"])
    # a column per class stays readable up to a dozen; `--json` has them all
    names = names if len(names) <= WIDEST else ()
    of_classes = facet is None and not analysis.labelled
    largest = max((band["count"] for band in result["bands"]), default=0)
    rows = []
    for band in result["bands"]:
        ends = f"[{number(band['low'])}, {number(band['high'])}{']' if band['closed'] else ')'}"
        bar = "█" * math.ceil(BAR * band["count"] / largest) if largest else ""
        classes = [f"{band[parts][name]:,}" for name in names]
        tags = [f"{band['concepts'][name]:,}" for name in concepts]
        rows.append([ends, bar, f"{band['count']:,}", *classes, *tags])
    header = [
        "band",
        "",
        "images",
        *(f"predicted {name}" if of_classes else name or "not known" for name in names),
        *(f"“{name}”" for name in concepts),
    ]
    outside = [
        f"{result[key]:,} {words}"
        for key, words in (("below", "below"), ("above", "above"), ("not_a_number", "not a number"))
        if result[key]
    ]
    lines = [f"{direction.title}, {result['images']:,} images", "", table(rows, header, left=2, indent="  "), ""]
    lines += [f"Outside: {', '.join(outside)}."] if outside else []
    lines += [result["note"]] if result["note"] else []
    lines += [PREDICTED] if not analysis.labelled else []
    lines += [
        f"{name:>6}: {number(preset['low'])} to {number(preset['high'])}. {preset['why']}"
        for name, preset in result["presets"].items()
    ]
    return "\n".join(lines)


def _sample_text(direction: Direction, result: dict[str, Any]) -> str:
    images = result["images"]
    ends = f"[{number(result['low'])}, {number(result['high'])}{']' if result['closed'] else ')'}"
    if not images:
        return (
            f"No image lies in {ends} of the {direction.title}. Widen the band, or drop --class, --split and --filter."
        )
    rows = [
        [
            str(image["id"]),
            image["image"],
            number(image["activation"]),
            image["label"] or "–",
            image["predicted"] + ("" if image["label"] in (None, image["predicted"]) else " ✗"),
            image["split"],
        ]
        for image in images
    ]
    which = f", page {result['page']} of {result['pages']}" if result["pages"] > 1 else ""
    right = sum(image["predicted"] == image["label"] for image in images) / len(images)
    judged = "they have no labels" if images[0]["label"] is None else f"{percent(right)} of them predicted rightly"
    return "\n".join(
        [
            f"{len(images):,} of the {result['total']:,} images in {ends} of the {direction.title}{which}; " + judged,
            "",
            table(rows, ["id", "image", "activation", "label", "predicted", "split"], left=2, indent="  "),
            *([result["note"]] if result["note"] else []),
        ]
    )
