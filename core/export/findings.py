"""What the model showed before it was repaired: per class, images from the ends and the middle of its range.

The same bands and curves as on screen, of the held-out images that people look at, as plain data for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.activations.bands import Range
from core.activations.curves import confounder_curve, most_telling, percent
from core.activations.directions import Direction, parse_direction
from core.activations.facets import Facet, parse_facet
from core.activations.index import BandIndex, narrowed, open_index
from core.activations.proposals import MID, TOP, propose, usual_rows
from core.activations.sampling import MIXED, page
from core.activations.store import Analysis
from core.concepts.concept import get_concept
from core.concepts.tags import tag_states
from core.datasets.dataset import SPLITS
from core.errors import NotFound
from core.workspace import Workspace

# classes with sheets of their own: those the model is worst at
CLASSES = 4
# images of each band
IMAGES = 10
OWN_LOW = "own-low"
TITLES = {TOP: "Top", MID: "Middle", OWN_LOW: "Lowest of its own"}


def class_sheets(workspace: Workspace, analysis: Analysis, concepts: Sequence[str]) -> dict[str, Any]:
    """`images` of `split`, and `sheets`: per class a curve of what differs most between middle and top, and three bands
    with some of their images each. concepts: names of those that the run was about."""
    rows = usual_rows(analysis)
    facets = _facets(workspace, analysis, concepts)
    splits = {SPLITS[code] for code in np.unique(analysis.splits[rows]).tolist()}
    return {
        "images": int(rows.sum()),
        "split": splits.pop() if len(splits) == 1 else "all splits",
        "sheets": [_sheet(analysis, c, rows, facets) for c in _worst_classes(analysis, rows)],
    }


def _worst_classes(analysis: Analysis, rows: np.ndarray) -> list[int]:
    """Those named rightly least often, in the order of the classes; those without images left out."""
    labels = np.asarray(analysis.labels)[rows]
    right = np.bincount(labels[np.asarray(analysis.predicted)[rows] == labels], minlength=analysis.k)
    counts = np.bincount(labels, minlength=analysis.k)
    there = [c for c in range(analysis.k) if counts[c]]
    return sorted(sorted(there, key=lambda c: right[c] / counts[c])[:CLASSES])


def _sheet(analysis: Analysis, c: int, rows: np.ndarray, facets: Sequence[Facet]) -> dict[str, Any]:
    direction = parse_direction(f"logit:{analysis.classes[c]}", analysis)
    index = open_index(analysis, direction, rows)
    mid, top, low = (propose(analysis, direction, which, rows) for which in (MID, TOP, OWN_LOW))
    telling = most_telling(analysis, index, facets, mid=mid, top=top, own=c) if facets else None
    curve = None
    if telling is not None:
        curve = confounder_curve(analysis, index, *telling, mid=mid, top=top, own=c)
    own = narrowed(index, np.asarray(analysis.labels) == c)
    bands = [
        _band(analysis, direction, chosen, which, band, telling)
        for which, band, chosen in ((TOP, top, index), (MID, mid, index), (OWN_LOW, low, own))
    ]
    return {
        "class": analysis.classes[c],
        "direction": direction.spec,
        "bands": bands,
        "curve": None if curve is None else {**curve.to_dict(), "name": curve.name},
        "mid": mid.to_dict(),
        "top": top.to_dict(),
    }


def _band(
    analysis: Analysis,
    direction: Direction,
    index: BandIndex,
    which: str,
    band: Range,
    telling: tuple[Facet, str] | None,
) -> dict[str, Any]:
    shown = page(
        analysis, direction, index, band.low, band.high, closed=band.closed, order=MIXED, seed=0, number=0, size=IMAGES
    )
    all_rows = _rows(index, band)
    labels = np.asarray(analysis.labels)[all_rows]
    predicted = np.asarray(analysis.predicted)[all_rows]
    names = analysis.image_names(shown.rows)
    return {
        "band": which,
        "title": TITLES[which],
        "low": band.low,
        "high": band.high,
        "why": band.why,
        "count": len(all_rows),
        "accuracy": float((labels == predicted).mean()) if len(all_rows) else None,
        "shares": _shares(all_rows, telling),
        "images": [
            {
                "id": int(analysis.ids[row]),
                "image": name,
                "activation": float(value),
                "label": analysis.classes[analysis.labels[row]],
                "before": analysis.classes[analysis.predicted[row]],
            }
            for row, name, value in zip(shown.rows, names, shown.values, strict=True)
        ],
    }


def _rows(index: BandIndex, band: Range) -> np.ndarray:
    inside = (index.values >= band.low) & (index.values <= band.high)
    return np.asarray(index.order)[inside]


def _shares(rows: np.ndarray, telling: tuple[Facet, str] | None) -> str:
    """How common the telling value is among these images, in words."""
    if telling is None:
        return ""
    facet, value = telling
    codes = np.asarray(facet.codes)[rows]
    known = codes >= 0
    if facet.spec.startswith("concept:"):
        known &= codes != facet.values.index("not tagged")
    if not known.any():
        return ""
    share = float((codes[known] == facet.values.index(value)).mean())
    name = facet.title if value == "present" else value
    return f"{percent(share)} {name}" + ("" if known.all() else f" of {int(known.sum()):,} known")


def _facets(workspace: Workspace, analysis: Analysis, concepts: Sequence[str]) -> list[Facet]:
    facets = [parse_facet(f"attribute:{attribute.name}", analysis) for attribute in analysis.attributes]
    for name in concepts:
        try:
            concept = get_concept(workspace, analysis.dataset_id, name)
        except NotFound:
            # put away since the run
            continue
        known = {concept.name: tag_states(workspace, analysis, concept)}
        facets.append(parse_facet(f"concept:{concept.name}", analysis, states=known.__getitem__))
    return facets
