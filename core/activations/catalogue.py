"""The list of directions that can be looked at."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.activations.directions import COMPONENTS, KINDS, parse_direction
from core.activations.vectors import list_vectors
from core.errors import NotFound

if TYPE_CHECKING:
    from core.activations.store import Analysis

# classes of which all differences are listed
FEW_CLASSES = 10


def catalogue(
    analysis: Analysis, *, kinds: Sequence[str] = ("logit", "neuron"), concepts: Sequence[str] = ()
) -> tuple[str, ...]:
    """The specs of all directions of some kinds, as `parse_direction` takes them, each once.

    kinds: of `directions.KINDS`. concepts: names of concepts that have a direction. Differences are listed in both
    senses for up to 10 classes, beyond that between neighbours in the list; two classes whose difference is written
    like that of two others are left out.
    """
    classes = analysis.classes
    found: list[str] = []
    for kind in dict.fromkeys(kinds):
        if kind in ("logit", "margin", "probability"):
            found += [f"{kind}:{name}" for name in classes]
        elif kind == "neuron":
            found += [f"neuron:{i}" for i in range(analysis.d)]
        elif kind == "difference":
            few = len(classes) <= FEW_CLASSES
            pairs = [(a, b) for a in classes for b in classes if a != b] if few else itertools.pairwise(classes)
            found += [spec for spec in (f"difference:{a}-{b}" for a, b in pairs) if _is_clear(spec, analysis)]
        elif kind == "pc":
            found += [f"pc:{i}" for i in range(min(COMPONENTS, analysis.d))]
        elif kind == "concept":
            found += [f"concept:{name}" for name in concepts]
        elif kind == "vector":
            found += [f"vector:{name}" for name in list_vectors(analysis)]
        else:
            raise ValueError(f"{kind} is no kind of direction; there are {', '.join(KINDS)}")
    return tuple(found)


def _is_clear(spec: str, analysis: Analysis) -> bool:
    try:
        parse_direction(spec, analysis)
    except NotFound:
        # with classes "a", "a-b", "b-a": a minus b-a, or a-b minus a
        return False
    return True
