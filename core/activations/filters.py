"""Filters: which images count, as terms that can be read in a link.

    class=waterbird,landbird;correctness=wrong      waterbirds and landbirds that the model gets wrong

Terms are facets (facets.py); all of them have to hold, each for one of its values. Names are percent-encoded, so a
name may hold any character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np

from core.activations.facets import facet_specs, facet_values, parse_facet

if TYPE_CHECKING:
    from core.activations.facets import ConceptStates
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Filter:
    """terms: (facet spec, values allowed), and-ed; the values of a term are or-ed. A term without values restricts
    nothing and is dropped."""

    terms: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        kept = tuple((spec, tuple(dict.fromkeys(values))) for spec, values in self.terms if values)
        object.__setattr__(self, "terms", tuple(dict.fromkeys(kept)))

    def to_text(self) -> str:
        return ";".join(
            f"{quote(spec, safe=':')}={','.join(quote(value, safe='') for value in values)}"
            for spec, values in self.terms
        )


def parse_filter(text: str, analysis: Analysis, concepts: Sequence[str] = ()) -> Filter:
    """Read what `Filter.to_text` wrote. Facets and values that this analysis does not have are dropped: a link from
    another dataset still opens. concepts: names of the concepts there are."""
    # by what is left without space around: names in tables may have some
    known = {_tidy(spec): spec for spec, _ in facet_specs(analysis, concepts)} | {"split": "split"}
    terms = []
    for part in text.split(";"):
        name, separator, listed = part.partition("=")
        spec = known.get(_tidy(unquote(name)))
        if not separator or spec is None:
            continue
        possible = facet_values(spec, analysis)
        values = tuple(value for value in map(unquote, listed.split(",")) if value in possible)
        terms.append((spec, values))
    return Filter(tuple(terms))


def matching(analysis: Analysis, chosen: Filter, *, states: ConceptStates | None = None) -> np.ndarray | None:
    """(n,) bool, the images that a filter lets through; None for all. states: tag states of a concept by name.

    Raises `NotFound` for a facet that does not exist.
    """
    if not chosen.terms:
        return None
    let_through = np.ones(analysis.n, dtype=bool)
    for spec, values in chosen.terms:
        facet = parse_facet(spec, analysis, states=states)
        # one place more, for -1: what is not known matches nothing
        allowed = np.array([*(value in values for value in facet.values), False])
        let_through &= allowed[facet.codes]
    return let_through


def _tidy(spec: str) -> str:
    kind, colon, name = spec.partition(":")
    return f"{kind.strip()}{colon}{name.strip()}"
