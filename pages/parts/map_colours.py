"""What the points of the map can be coloured by, and the colour of each."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from core.activations.directions import Direction, parse_direction, scores
from core.activations.facets import CORRECTNESS, Facet, parse_facet
from core.concepts.concept import get_concept
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
# luminance of the dark page, #13181d
DARK_PAGE = 0.0089
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
        own = get_concept(state.workspace(), analysis.dataset_id, spec.partition(":")[2]).color
        return replace(_of_concept(facet, title, identity, own), told=partial(_value_of, facet))
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


def _of_concept(facet: Facet, title: str, identity: str, own: str) -> MapColours:
    """Present first, in the concept's own colour."""
    codes = np.array([1, 0, UNKNOWN], dtype=np.uint8)[facet.codes]
    present = (legible(own, dark=False), legible(own, dark=True))
    light, dark = ((color, rest) for color, rest in zip(present, REST_COLORS, strict=True))
    return MapColours(identity, title, codes, ("present", "absent"), light, dark, unknown="not tagged")


def legible(color: str, *, dark: bool) -> str:
    """A colour that people chose, as near to it as is seen on the page: at least 3:1, WCAG's for graphics."""
    chosen = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    end = np.ones(3) if dark else np.zeros(3)
    for share in np.linspace(0, 1, 21):
        mixed = np.rint((chosen * (1 - share) + end * share) * 255) / 255
        high, low = sorted((_luminance(mixed), DARK_PAGE if dark else 1.0), reverse=True)
        if (high + 0.05) / (low + 0.05) >= 3:
            break
    return "#{:02x}{:02x}{:02x}".format(*np.rint(mixed * 255).astype(int))


def _luminance(channels: np.ndarray) -> float:
    """Relative luminance as WCAG 2 defines it; channels: red, green, blue from 0 to 1."""
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


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
