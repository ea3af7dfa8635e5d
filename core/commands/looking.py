"""`directions`, `curve` and `contact-sheet`: where to look, what fades towards the middle, and a picture of it all."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.activations.bands import Range
from core.activations.contact_sheet import ContactSheet, sheet_edges
from core.activations.contact_sheet import contact_sheet as make_sheet
from core.activations.curves import (
    ESTIMATE,
    ConfounderCurve,
    Curve,
    confounder_curve,
    curve_values,
    most_telling,
)
from core.activations.curves import percent as share_text
from core.activations.directions import KINDS, Direction, class_of
from core.activations.facets import Facet, facet_specs, parse_facet
from core.activations.findings import outward
from core.activations.index import BandIndex, open_index
from core.activations.proposals import TOP, propose, usual_rows
from core.activations.scoreboard import Suspicion, catalogue, scoreboard
from core.activations.store import Analysis, open_analysis
from core.commands.bands import concept_states, direction_of, wanted_images
from core.commands.closer import concept_directions
from core.commands.output import Answer, number, percent, table
from core.concepts.concept import get_concept, list_concepts
from core.concepts.probes import concept_direction, concept_probe
from core.errors import BadRequest, NotFound
from core.export.sheet import write_sheet
from core.progress import Progress
from core.workspace import Workspace, open_workspace

# kinds ranked unless others are asked for: differences repeat the logits where there are two classes, components take
# a pass over all features
USUAL_KINDS = ("logit", "neuron", "concept", "vector")
# width of a bar for a share of 100%, in characters
BAR = 20
# rows of features that a probe looks at together
BLOCK = 65_536


def directions(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    kinds = tuple(dict.fromkeys(options.kind)) or USUAL_KINDS
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise BadRequest(
            f"“{unknown[0]}” is no kind of direction.", next_step=f"Use some of: {', '.join(KINDS)}, with commas."
        )
    # a concept with too few tags has no direction yet
    concepts = [d.spec.partition(":")[2] for d in concept_directions(workspace, analysis)] if "concept" in kinds else []
    specs = catalogue(analysis, kinds=kinds, concepts=concepts)
    wanted = wanted_images(options, workspace, analysis)
    found = scoreboard(
        analysis,
        specs,
        rows=_where(analysis, wanted),
        facets=_known(workspace, analysis),
        concept=lambda name: concept_direction(workspace, analysis, name),
        progress=progress,
    )
    shown = found[: options.limit]
    result = {
        "directions": [one.to_dict() for one in shown],
        "total": len(found),
        "suspicious": sum(one.suspicious for one in found),
    }
    return Answer(result, _directions_text(shown, result, _same_images(options)))


def curve(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    index = open_index(analysis, direction, wanted_images(options, workspace, analysis))
    mid, top = _bands(options, analysis, direction)
    estimate = None
    if options.estimate:
        if options.concept is None:
            raise BadRequest("--estimate guesses a concept.", next_step="Give --concept NAME too.")
        estimate = _estimate(workspace, analysis, options.concept)
    curves = [
        confounder_curve(
            analysis,
            index,
            facet,
            value,
            mid=mid,
            top=top,
            bins=options.bins,
            own=class_of(analysis, direction),
            estimate=estimate,
        )
        for facet, value in _asked(options, workspace, analysis)
    ]
    result = {
        "direction": direction.spec,
        "mid": mid.to_dict(),
        "top": top.to_dict(),
        "curves": [one.to_dict() for one in curves],
    }
    return Answer(result, _curves_text(direction, curves))


def contact_sheet(options: argparse.Namespace, progress: Progress) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    direction = direction_of(workspace, analysis, options.direction)
    index = open_index(analysis, direction, wanted_images(options, workspace, analysis))
    mid, top = _bands(options, analysis, direction)
    facets = _known(workspace, analysis)
    if options.edges is not None and options.quantiles:
        raise BadRequest("--edges and --quantiles exclude each other.", next_step="Give one of the two.")
    sheet = make_sheet(
        analysis,
        direction,
        index,
        sheet_edges(index, options.bands, quantiles=options.quantiles, given=options.edges),
        facets=[parse_facet("class", analysis), *facets],
        per_band=options.per_band,
        seed=options.seed,
        mid=mid,
        top=top,
    )
    words = [f"split {options.split}"] if options.split else []
    words += [options.filter] if options.filter else []
    file = write_sheet(
        analysis,
        sheet,
        options.out,
        lead=_lead(analysis, direction, index, facets, mid, top),
        filtered=", ".join(words),
    )
    result = {"files": [str(file)], **sheet.to_dict()}
    return Answer(result, _sheet_text(sheet, str(file)))


def _same_images(options: argparse.Namespace) -> str:
    """The options that lead the next command to the same images; those left to their usual values are left out."""
    told = []
    if options.workspace != (os.environ.get("MIDBAND_WORKSPACE") or "workspace"):
        told += ["--workspace", str(options.workspace)]
    for name in ("analysis", "split", "filter"):
        if getattr(options, name):
            told += [f"--{name}", getattr(options, name)]
    return shlex.join(told)


def _where(analysis: Analysis, wanted: np.ndarray | None) -> np.ndarray | None:
    """The images that are judged: those asked for, else val as for the proposed bands."""
    return usual_rows(analysis) if wanted is None else wanted


def _known(workspace: Workspace, analysis: Analysis) -> list[Facet]:
    """Attributes, and concepts with their tags."""
    names = [concept.name for concept in list_concepts(workspace, analysis.dataset_id)]
    specs = [spec for spec, _ in facet_specs(analysis, names) if spec.startswith(("attribute:", "concept:"))]
    return [parse_facet(spec, analysis, states=concept_states(workspace, analysis)) for spec in specs]


def _bands(options: argparse.Namespace, analysis: Analysis, direction: Direction) -> tuple[Range, Range]:
    """Middle and top, proposed from val."""
    rows = usual_rows(analysis)
    return propose(analysis, direction, options.mid_rule, rows), propose(analysis, direction, TOP, rows)


def _asked(options: argparse.Namespace, workspace: Workspace, analysis: Analysis) -> Sequence[tuple[Facet, str]]:
    if options.concept is not None and options.attribute is not None:
        raise BadRequest("--concept and --attribute exclude each other.", next_step="Give one of the two, or neither.")
    if options.concept is not None:
        spec = f"concept:{get_concept(workspace, analysis.dataset_id, options.concept).name}"
    elif options.attribute is not None:
        spec = f"attribute:{options.attribute}"
    else:
        found = curve_values(_known(workspace, analysis))
        if not found:
            raise NotFound(
                "Nothing is known of these images besides their class: no attribute, no tag.",
                next_step="Tag some images (`suggest` says which), or add columns to metadata.csv.",
            )
        return found
    facet = parse_facet(spec, analysis, states=concept_states(workspace, analysis))
    found = curve_values([facet])
    if not found:
        raise NotFound(
            f"No image is tagged with {options.concept} yet.", next_step="Tag some first: `suggest` says which."
        )
    return found


def _estimate(workspace: Workspace, analysis: Analysis, name: str) -> np.ndarray:
    """(n,) bool, which images a concept's probe takes to show it. Raises `NotEnoughTags`."""
    probe = concept_probe(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))
    shown = np.empty(analysis.n, dtype=bool)
    for start in range(0, analysis.n, BLOCK):
        shown[start : start + BLOCK] = probe.probability(analysis.features[start : start + BLOCK]) > 0.5
    return shown


def _lead(
    analysis: Analysis, direction: Direction, index: BandIndex, facets: Sequence[Facet], mid: Range, top: Range
) -> str:
    """The sentence of what differs most between middle and top; empty where nothing is known."""
    own = class_of(analysis, direction)
    found = most_telling(analysis, index, facets, mid=mid, top=top, own=own)
    return confounder_curve(analysis, index, *found, mid=mid, top=top, own=own).sentence if found else ""


def _directions_text(shown: Sequence[Suspicion], result: dict[str, Any], same: str) -> str:
    """same: options for the next command, as `_same_images` gives them."""
    if not shown:
        return "There is no direction of these kinds yet."
    rows = [
        [
            one.title,
            f"{one.score:.2f}{' !' if one.suspicious else ''}",
            one.class_name,
            f"[{number(one.mid.low)}, {number(one.mid.high)}]",
            one.why,
        ]
        for one in shown
    ]
    # sentences last and as long as they are: a column of them would pad every line
    lines = table([row[:-1] for row in rows], ["direction", "score", "class", "middle"]).split("\n")
    told = [lines[0], *(f"{line}  {row[-1]}" for line, row in zip(lines[1:], rows, strict=True))]
    total, suspicious = result["total"], result["suspicious"]
    rest = f"; {len(shown)} are shown, --limit shows more" if len(shown) < total else ""
    first = shown[0]
    # rounded, but never so that an image is lost
    low, high = outward(first.mid.low, first.mid.high, max(first.limits[1] - first.limits[0], 0.0))
    band = f"--low {low} --high {high} --closed --class {shlex.quote(first.class_name)}"
    return "\n".join(
        [
            "Directions by how suspicious their middle looks: 0 like the top, 1 as different and wrong as can be.",
            "",
            *(f"  {line}".rstrip() for line in told),
            "",
            f"{suspicious:,} of {total:,} are worth a look (!){rest}.",
            f"Next: python -m core sample --direction {shlex.quote(first.spec)} {band} {same}".rstrip(),
        ]
    )


def _curves_text(direction: Direction, curves: Sequence[ConfounderCurve]) -> str:
    parts = [f"Along the {direction.title}"]
    for one in curves:
        known = [line for line in one.curves if line.name != ESTIMATE]
        guessed = [line for line in one.curves if line.name == ESTIMATE]
        parts += ["", one.sentence, ""]
        # an estimate has bins of its own
        parts += [_curve_table(lines) + "\n" for lines in (known, guessed) if lines and lines[0].counts]
        parts += [one.note] if one.note else []
    return "\n".join(parts).rstrip()


def _curve_table(lines: Sequence[Curve]) -> str:
    """Lines of the same bins, the first one as a bar too."""
    rows = []
    for i, (low, high) in enumerate(zip(lines[0].low, lines[0].high, strict=True)):
        closing = "]" if i == len(lines[0].low) - 1 else ")"
        share = lines[0].shares[i]
        cells = [f"{share_text(line.shares[i])} of {line.counts[i]:,}" if line.counts[i] else "–" for line in lines]
        bar = "" if math.isnan(share) else "█" * round(BAR * share)
        rows.append([f"[{number(low)}, {number(high)}{closing}", bar.ljust(BAR), *cells])
    return table(rows, ["activation", "", *(line.name for line in lines)], left=2, indent="  ")


def _sheet_text(sheet: ContactSheet, file: str) -> str:
    largest = max((band.count for band in sheet.bands), default=0)
    rows = [
        [
            f"[{number(band.low)}, {number(band.high)}{']' if band.closed else ')'}",
            band.label,
            "█" * math.ceil(BAR * band.count / largest) if largest else "",
            f"{band.count:,}",
            percent(band.accuracy),
            str(len(band.rows)),
        ]
        for band in sheet.bands
    ]
    header = ["band", "", "", "images", "right", "on the sheet"]
    lines = [f"{sheet.title}, {sheet.total:,} images", "", table(rows, header, left=3, indent="  "), ""]
    lines += [f"{sheet.outside:,} images lie in no band."] if sheet.outside else []
    lines += [sheet.note] if sheet.note else []
    return "\n".join([*lines, f"Written: {file}"])
