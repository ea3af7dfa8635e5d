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
from core.activations.vectors import load_vector
from core.concepts.concept import get_concept, list_concepts
from core.concepts.probes import concept_direction
from core.concepts.tags import tag_states, tag_version
from core.datasets import SPLITS
from core.errors import MidbandError
from pages.parts import state
from pages.parts.band_scale import QUANTILE
from pages.parts.band_strip import StripHistogram

if TYPE_CHECKING:
    from core.activations.store import Analysis

ALL = "all"
EVERY_IMAGE = Filter()
BINS = 60
# an axis in shares of the images is straight only between two edges: more of them keep it true to the numbers
SHARE_BINS = 100
# more values than this cannot be told apart in one histogram: the most frequent ones are, the rest is one colour
MOST_VALUES = 8


@dataclass(frozen=True)
class Subject:
    """What is looked at: one direction of one model over some of the images.

    analysis: with the last layer of a run where one is chosen. judged: the model whose predictions the filter speaks
    of. split: train, val, test or all. version: of the tags and vectors that the direction and the filter depend on,
    () where they depend on none, so that tagging spoils no cache.
    """

    analysis: Analysis
    spec: str
    split: str
    where: Filter
    judged: Analysis
    version: tuple[object, ...] = ()


def subject(analysis: Analysis, spec: str, split: str, where: Filter, run: str = "", *, judge: str = "") -> Subject:
    """run: the retraining whose last layer is looked at, judge: the one whose predictions are filtered by; "" for the
    model as it is."""
    looked_at = model(analysis, run)
    judged = looked_at if judge == run else model(analysis, judge)
    return Subject(looked_at, spec, split, where, judged, version(analysis, spec, where))


def model(analysis: Analysis, run: str) -> Analysis:
    return _after(analysis, run) if run else analysis


def version(analysis: Analysis, spec: str = "", where: Filter = EVERY_IMAGE) -> tuple[object, ...]:
    """What a direction and a filter depend on besides the network: the concepts they name, the tags, the vector."""
    names = [
        name for kind, _, name in (text.partition(":") for text in (spec, *dict(where.terms))) if kind == "concept"
    ]
    found: list[object] = []
    if names:
        # by id: another concept may have taken over a name
        known = {concept.name: concept.id for concept in list_concepts(state.workspace(), analysis.dataset_id)}
        found += [tag_version(state.workspace(), analysis.dataset_id), *(known.get(name) for name in names)]
    if spec.startswith("vector:"):
        try:
            found.append(hash(load_vector(analysis, spec.partition(":")[2]).tobytes()))
        except MidbandError:
            # it is gone: reading the direction says so
            found.append(None)
    return tuple(found)


@lru_cache(maxsize=8)
def _after(analysis: Analysis, run: str) -> Analysis:
    # imported where a run is looked at: what measures runs brings scipy's statistics, half a second of a first page
    from core.retraining.runs import run_head

    title = next((found.title for found in state.runs(analysis.id) if found.id == run), run)
    return with_head(analysis, run_head(state.workspace(), run), f"{analysis.model_name}, {title}")


def direction(subject: Subject) -> Direction:
    """Raises `NotFound` for what the analysis does not have, `NotEnoughTags` for a concept without a probe."""
    return _direction(subject.analysis, subject.spec, _own_version(subject))


def _own_version(subject: Subject) -> tuple[object, ...]:
    """What the direction alone depends on."""
    return subject.version if subject.spec.startswith(("concept:", "vector:")) else ()


@lru_cache(maxsize=256)
def _direction(analysis: Analysis, spec: str, version: tuple[object, ...]) -> Direction:
    """version: only there so that what changed since is read anew."""
    workspace = state.workspace()
    return parse_direction(spec, analysis, concept=lambda name: concept_direction(workspace, analysis, name))


def canonical(analysis: Analysis, spec: str) -> str:
    """A direction as it is written everywhere; the text as it came where there is none."""
    try:
        return _direction(analysis, spec, version(analysis, spec)).spec
    except MidbandError:
        return spec


def has_direction(analysis: Analysis, spec: str) -> bool:
    try:
        _direction(analysis, spec, version(analysis, spec))
    except MidbandError:
        return False
    return True


@lru_cache(maxsize=16)
def rows(subject: Subject) -> np.ndarray | None:
    """(n,) bool, the images that count; None for all."""
    kept = matching(subject.judged, subject.where, states=states(subject.analysis))
    if subject.split == ALL:
        return kept
    of_split = subject.analysis.splits == SPLITS.index(subject.split)
    return of_split if kept is None else kept & of_split


def states(analysis: Analysis) -> ConceptStates:
    """Tag states by the name of a concept, as the core asks for them."""
    workspace = state.workspace()
    return lambda name: tag_states(workspace, analysis, get_concept(workspace, analysis.dataset_id, name))


# as many directions and filters as a person goes to and fro between: a million images are 8 MB each
@lru_cache(maxsize=16)
def index(subject: Subject) -> BandIndex:
    return open_index(subject.analysis, direction(subject), rows(subject))


def total(subject: Subject) -> int:
    return index(subject).m


def span(subject: Subject) -> float:
    """Width of the range over all images of the model, whatever is filtered; 1 where there is none."""
    whole = index(
        replace(subject, split=ALL, where=EVERY_IMAGE, judged=subject.analysis, version=_own_version(subject))
    )
    return whole.high - whole.low if whole.high > whole.low else 1.0


def facets(subject: Subject) -> tuple[tuple[str, str], ...]:
    """(spec, title) of every way to split the images there is; every title is another one."""
    names = [concept.name for concept in list_concepts(state.workspace(), subject.analysis.dataset_id)]
    found = facet_specs(subject.analysis, names)
    titles = [title for _, title in found]
    return tuple(
        (spec, title if titles.count(title) == 1 else f"{spec.partition(':')[0]} {title}") for spec, title in found
    )


def facet(subject: Subject, spec: str) -> Facet:
    """One way to split the images, with few enough values to be told apart."""
    found = direction(subject)
    whole = _facet(subject.analysis, spec, version(subject.analysis, spec))
    return _few(whole, found.own_class if spec in ("class", "prediction") else None)


@lru_cache(maxsize=64)
def _facet(analysis: Analysis, spec: str, version: tuple[object, ...]) -> Facet:
    """version: only there so that newer tags are read anew."""
    return parse_facet(spec, analysis, states=states(analysis))


@lru_cache(maxsize=16)
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


@lru_cache(maxsize=16)
def _facet_index(subject: Subject, found: Facet) -> FacetIndex:
    return facet_index(index(subject), found)


@lru_cache(maxsize=64)
def edges(subject: Subject, scale: str) -> np.ndarray:
    return axis_edges(index(subject), SHARE_BINS if scale == QUANTILE else BINS, scale=scale)


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
    return tuple(_facet(subject.analysis, spec, version(subject.analysis, spec)) for spec in wanted)


def members(subject: Subject, low: float, high: float) -> np.ndarray:
    """Rows (m,) int64 of the band."""
    return members_of(index(subject), low, high, closed=True)


def count(subject: Subject, low: float, high: float) -> int:
    start, stop = positions(index(subject), low, high, closed=True)
    return stop - start


@lru_cache(maxsize=128)
def summary(subject: Subject, low: float, high: float) -> findings.BandSummary:
    return findings.summarise(subject.analysis, index(subject), low, high, closed=True)
