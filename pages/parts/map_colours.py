"""What the points of the map can be coloured by, and the colour of each."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from core.activations.directions import Direction, parse_direction, scores
from core.activations.facets import CORRECTNESS, Facet, parse_facet
from core.concepts.probes import concept_direction
from core.concepts.tags import tag_version
from pages.parts import band_data, band_state, state
from pages.parts.feature_map import RAMP_DARK, RAMP_LIGHT, STEPS, UNKNOWN, MapColours
from pages.parts.image_grid import format_activation
from pages.parts.theme import DARK, LIGHT

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from pages.parts.band_state import View

USUAL = "class"
# as many as the palette tells apart; the most frequent values have one each
MOST_VALUES = 12
# classes whose logits are offered one by one
MOST_LOGITS = 50
# what is the rest of the values, darker than what is not known
REST_COLORS = ("#4a545c", "#b4bec6")
# of `theme.wrong_color` and `theme.right_color`
CORRECTNESS_COLORS = {"light": ("#c2410c", "#6b8fa8"), "dark": ("#f08a6b", "#5d7f99")}
# shares of the activations beyond both ends of the ramp: a few extreme ones would leave one colour for all others
BEYOND = 0.005


def choices(analysis: Analysis, band: View) -> dict[str, str]:
    """spec -> title of everything to colour by: facets, then activations, the direction at hand first."""
    tags = tag_version(state.workspace(), analysis.dataset_id)
    return _choices(analysis, band, tags, band_data.version(analysis, band.direction))


@lru_cache(maxsize=16)
def _choices(analysis: Analysis, band: View, tags: int, version: tuple[object, ...]) -> dict[str, str]:
    """tags, version: of the tags with the names of concepts, and of the direction at hand."""
    found = dict(band_data.facets(band_state.subject(analysis, band)))
    directions = dict.fromkeys((band.direction, *(f"logit:{name}" for name in analysis.classes[:MOST_LOGITS])))
    for spec in directions:
        if band_data.has_direction(analysis, spec):
            found[spec] = f"activation: {direction(analysis, spec).title}"
    return found


def is_direction(spec: str) -> bool:
    return ":" in spec and not spec.startswith(("attribute:", "concept:"))


def direction(analysis: Analysis, spec: str) -> Direction:
    """Raises `NotFound`, or `NotEnoughTags` for a concept without a probe."""
    workspace = state.workspace()
    return parse_direction(spec, analysis, concept=lambda name: concept_direction(workspace, analysis, name))


def colours(analysis: Analysis, spec: str, title: str) -> MapColours:
    """The colours of one choice. Raises `NotFound` for what the analysis does not have."""
    return _colours(analysis, spec, title, band_data.version(analysis, spec))


@lru_cache(maxsize=8)
def _colours(analysis: Analysis, spec: str, title: str, version: tuple[object, ...]) -> MapColours:
    """version: of the tags and vectors it depends on, so that newer ones are read anew."""
    identity = f"{analysis.id} {spec} {version}"
    if is_direction(spec):
        return _of_activation(analysis, spec, title, identity)
    facet = parse_facet(spec, analysis, states=band_data.states(analysis))
    if spec.startswith("concept:"):
        return replace(_of_concept(facet, title, identity), told=partial(_value_of, facet))
    if spec.startswith("attribute:"):
        return replace(_of_values(facet, title, identity), told=partial(_value_of, facet))
    if spec == "correctness":
        return MapColours(
            identity,
            title,
            facet.codes.astype(np.uint8),
            CORRECTNESS,
            *(CORRECTNESS_COLORS[m] for m in ("light", "dark")),
        )
    return _of_values(facet, title, identity)


def _value_of(facet: Facet, row: int) -> str:
    code = int(facet.codes[row])
    return f"{facet.title}: {facet.values[code] if code >= 0 else 'not known'}"


def _activation_of(values: np.ndarray, row: int) -> str:
    return format_activation(float(values[row])) or "not finite"


def _of_concept(facet: Facet, title: str, identity: str) -> MapColours:
    """Present first, and what nobody tagged in grey."""
    codes = np.array([1, 0, UNKNOWN], dtype=np.uint8)[facet.codes]
    return MapColours(identity, title, codes, ("present", "absent"), LIGHT[:2], DARK[:2], unknown="not tagged")


def _of_values(facet: Facet, title: str, identity: str) -> MapColours:
    sizes = np.bincount(facet.codes[facet.codes >= 0], minlength=len(facet.values))
    if len(facet.values) <= MOST_VALUES:
        count = len(facet.values)
        codes = np.where(facet.codes < 0, UNKNOWN, facet.codes).astype(np.uint8)
        return MapColours(identity, title, codes, facet.values, LIGHT[:count], DARK[:count])
    kept = np.sort(np.argsort(-sizes, kind="stable")[: MOST_VALUES - 1])
    table = np.full(len(facet.values) + 1, MOST_VALUES - 1, dtype=np.uint8)
    table[kept] = np.arange(len(kept))
    table[-1] = UNKNOWN
    names = (*(facet.values[i] for i in kept), f"{len(facet.values) - len(kept):,} others")
    light, dark = ((*palette[: len(kept)], rest) for palette, rest in zip((LIGHT, DARK), REST_COLORS, strict=True))
    return MapColours(identity, title, table[facet.codes], names, light, dark)


def _of_activation(analysis: Analysis, spec: str, title: str, identity: str) -> MapColours:
    activations = scores(analysis, direction(analysis, spec))
    found = activations.astype(np.float64)
    finite = np.isfinite(found)
    low, high = np.quantile(found[finite], (BEYOND, 1 - BEYOND)) if finite.any() else (0.0, 0.0)
    codes = np.full(analysis.n, UNKNOWN, dtype=np.uint8)
    span = high - low if high > low else 1.0
    codes[finite] = np.clip(np.rint((found[finite] - low) / span * (STEPS - 1)), 0, STEPS - 1)
    ends = [format_activation(float(end)) or f"{end:g}" for end in (low, high)]
    return MapColours(
        identity,
        title,
        codes,
        light=RAMP_LIGHT,
        dark=RAMP_DARK,
        low=f"≤ {ends[0]}",
        high=f"≥ {ends[1]}",
        unknown="not finite",
        told=partial(_activation_of, activations),
    )
