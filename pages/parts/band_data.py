"""What the Bands page shows, computed once per model, direction and choice of images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from core.activations import bands, findings, proposals
from core.activations.bands import Range
from core.activations.directions import Direction, parse_direction, scores
from core.activations.facets import ConceptStates, Facet, facet_specs, parse_facet
from core.activations.filters import Filter, matching
from core.activations.index import BandIndex, FacetIndex, axis_edges, facet_index, open_index, positions
from core.activations.index import histogram as histogram_of
from core.activations.index import members as members_of
from core.activations.store import with_head
from core.concepts.concept import list_concepts
from core.concepts.probes import concept_direction
from core.concepts.tags import tag_states, tag_version
from core.datasets import SPLITS
from core.errors import MidbandError, NotFound
from pages.parts import state
from pages.parts.band_strip import StripHistogram

if TYPE_CHECKING:
    from core.activations.store import Analysis

ALL = "all"
EVERY_IMAGE = Filter()
BINS = 60
# more values than this cannot be told apart in one histogram: the most frequent ones are, the rest is one colour
MOST_VALUES = 8


@dataclass(frozen=True)
class Subject:
    """What is looked at: one direction of one model over some of the images.

    analysis: with the last layer of a run where one is chosen. split: train, val, test or all. tags: the version of
    the tags where they matter to the direction or the filter, else 0, so that tagging spoils no cache.
    """

    analysis: Analysis
    spec: str
    split: str
    where: Filter
    tags: int = 0


def subject(analysis: Analysis, spec: str, split: str, where: Filter, run: str = "") -> Subject:
    """run: the retraining whose last layer is looked at; "" for the model as it is."""
    tagged = spec.startswith("concept:") or any(facet.startswith("concept:") for facet, _ in where.terms)
    version = tag_version(state.workspace(), analysis.dataset_id) if tagged else 0
    return Subject(model(analysis, run), spec, split, where, version)


def model(analysis: Analysis, run: str) -> Analysis:
    return _after(analysis, run) if run else analysis


@lru_cache(maxsize=8)
def _after(analysis: Analysis, run: str) -> Analysis:
    # imported where a run is looked at: what measures runs brings scipy's statistics, half a second of a first page
    from core.retraining.runs import run_head

    return with_head(analysis, run_head(state.workspace(), run), f"{analysis.model_name} after {run}")


@lru_cache(maxsize=256)
def direction(subject: Subject) -> Direction:
    """Raises `NotFound` for what the analysis does not have, `NotEnoughTags` for a concept without a probe."""
    workspace = state.workspace()
    return parse_direction(
        subject.spec, subject.analysis, concept=lambda name: concept_direction(workspace, subject.analysis, name)
    )


def has_direction(subject: Subject) -> bool:
    try:
        direction(subject)
    except MidbandError:
        return False
    return True


@lru_cache(maxsize=64)
def rows(subject: Subject) -> np.ndarray | None:
    """(n,) bool, the images that count; None for all."""
    kept = matching(subject.analysis, subject.where, states=states(subject.analysis))
    if subject.split == ALL:
        return kept
    of_split = subject.analysis.splits == SPLITS.index(subject.split)
    return of_split if kept is None else kept & of_split


def states(analysis: Analysis) -> ConceptStates:
    """Tag states by the name of a concept, as the core asks for them."""

    def of(name: str) -> np.ndarray:
        known = {concept.name: concept for concept in list_concepts(state.workspace(), analysis.dataset_id)}
        if name not in known:
            raise NotFound(f"There is no concept “{name}”.", next_step="Choose one of those there are.")
        return tag_states(state.workspace(), analysis, known[name])

    return of


@lru_cache(maxsize=32)
def index(subject: Subject) -> BandIndex:
    return open_index(subject.analysis, direction(subject), rows(subject))


def total(subject: Subject) -> int:
    return index(subject).m


def limits(subject: Subject) -> tuple[float, float]:
    """Smallest and largest finite activation of the images; (0, 0) where there is none."""
    found = index(subject)
    return found.low, found.high


def span(subject: Subject) -> float:
    """Width of the range over all images of the model, whatever is filtered; 1 where there is none."""
    whole = index(replace(subject, split=ALL, where=EVERY_IMAGE))
    return whole.high - whole.low if whole.high > whole.low else 1.0


def facets(subject: Subject) -> tuple[tuple[str, str], ...]:
    """(spec, title) of every way to split the images there is."""
    names = [concept.name for concept in list_concepts(state.workspace(), subject.analysis.dataset_id)]
    return facet_specs(subject.analysis, names)


def facet(subject: Subject, spec: str) -> Facet:
    """One way to split the images, with few enough values to be told apart."""
    tagged = tag_version(state.workspace(), subject.analysis.dataset_id) if spec.startswith("concept:") else 0
    found = direction(subject)
    return _few(_facet(subject.analysis, spec, tagged), found.own_class if spec in ("class", "prediction") else None)


@lru_cache(maxsize=32)
def _facet(analysis: Analysis, spec: str, tags: int) -> Facet:
    """tags: the version of the tags, only there so that newer tags are read anew."""
    return parse_facet(spec, analysis, states=states(analysis))


@lru_cache(maxsize=32)
def _few(found: Facet, own: int | None) -> Facet:
    """own: a class that stays told apart even when it is not among the most frequent."""
    if len(found.values) <= MOST_VALUES:
        return found
    if own is not None:
        codes = np.where(found.codes < 0, -1, (found.codes != own).astype(np.int8)).astype(np.int8)
        return Facet(found.spec, found.title, (found.values[own], "all others"), codes)
    sizes = np.bincount(found.codes[found.codes >= 0], minlength=len(found.values))
    kept = np.sort(np.argsort(-sizes, kind="stable")[: MOST_VALUES - 1])
    table = np.full(len(found.values) + 1, MOST_VALUES - 1, dtype=np.int8)
    table[kept] = np.arange(len(kept))
    table[-1] = -1
    return Facet(found.spec, found.title, (*(found.values[i] for i in kept), "all others"), table[found.codes])


@lru_cache(maxsize=32)
def _facet_index(subject: Subject, found: Facet) -> FacetIndex:
    return facet_index(index(subject), found)


@lru_cache(maxsize=64)
def edges(subject: Subject, scale: str) -> np.ndarray:
    return axis_edges(index(subject), BINS, scale=scale)


@lru_cache(maxsize=64)
def histogram(subject: Subject, scale: str, found: Facet) -> StripHistogram:
    """Images per bin and value of a facet."""
    at = edges(subject, scale)
    counted = histogram_of(index(subject), at, _facet_index(subject, found))
    unknown = bool(counted.counts[-1].any())
    return StripHistogram(
        edges=at,
        counts=counted.counts if unknown else counted.counts[:-1],
        class_names=(*found.values, "not known") if unknown else found.values,
        unknown=unknown,
    )


def where_rows_lie(subject: Subject, scale: str, rows: np.ndarray) -> np.ndarray:
    """(b,) images of these rows per bin of the histogram."""
    values = scores(subject.analysis, direction(subject), rows)
    counted = bands.count(values, edges(subject, scale))
    return np.array([band.count for band in counted.bands])


def outside(subject: Subject) -> int:
    """Images whose activation is infinite or not a number: they lie in no band."""
    found = index(subject)
    start, stop = found.finite
    return found.m - (stop - start)


@lru_cache(maxsize=128)
def proposed(subject: Subject, which: str) -> Range:
    """which: "top", "bottom", or one of `proposals.MID_RULES`."""
    return proposals.propose(subject.analysis, direction(subject), which, rows(subject))


@lru_cache(maxsize=32)
def landmarks(subject: Subject) -> tuple[proposals.Landmark, ...]:
    return proposals.landmarks(subject.analysis, direction(subject), rows(subject))


def known(subject: Subject) -> tuple[Facet, ...]:
    """What can be said of the images beside their class: the attributes the dataset has, the concepts with tags."""
    wanted = [spec for spec, _ in facets(subject) if spec.startswith(("attribute:", "concept:"))]
    tagged = tag_version(state.workspace(), subject.analysis.dataset_id)
    return tuple(_facet(subject.analysis, spec, tagged) for spec in wanted)


def members(subject: Subject, low: float, high: float) -> np.ndarray:
    """Rows (m,) int64 of the band."""
    return members_of(index(subject), low, high, closed=True)


def count(subject: Subject, low: float, high: float) -> int:
    start, stop = positions(index(subject), low, high, closed=True)
    return stop - start


@lru_cache(maxsize=128)
def summary(subject: Subject, low: float, high: float) -> findings.BandSummary:
    return findings.summarise(subject.analysis, index(subject), low, high, closed=True)


def forget() -> None:
    """Read directions anew: what one of a name stands for has changed."""
    for kept in (direction, index, edges, _facet_index, histogram, proposed, landmarks, summary):
        kept.cache_clear()
