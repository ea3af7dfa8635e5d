"""Spreading a concept: a probe's guess for every image, how far to trust it, and which guesses to look at.

The probe is refitted when tags arrive, starting from the one before. What is worked out is kept in the process, for the
concepts used last, and shared by all sessions. A guess is never a tag: nothing here writes to the database.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.activations.curves import wilson
from core.classifiers.logistic import LogOdds, logistic_regression
from core.concepts.concept import Concept
from core.concepts.evidence import Evidence, Ground, check_both_values, design, evidence, ground, log_odds
from core.concepts.probes import L2, PROBE_WARNING, Probe, cell_weights, doubtful_tags, folded
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, tag_version
from core.concepts.trials import Trials, trials
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

Side = Literal["present", "absent", "both"]
Order = Literal["doubt", "sure"]
Split = Literal["tagging", "all"]

# length of the gradient at a refitted probe: its objective is within 1e-5 of the minimum (see logistic.py)
TOLERANCE = 1e-3
# concepts whose probe is kept, those used last
_KEPT = 16


@dataclass(frozen=True)
class HeldOut:
    """How often probes agree with tags they have not seen, 0..1: the mean over present and absent tags, so that 0.5 is
    guessing; None when fewer than two of either were checked. low, high: 95% interval. tags: how many were checked.

    Images are asked about because they are hard or telling, so this is not the share of all guesses that are right.
    """

    share: float | None
    low: float
    high: float
    tags: int

    def to_dict(self) -> dict[str, Any]:
        return {"share": self.share, "low": self.low, "high": self.high, "tags": self.tags}


@dataclass(frozen=True, eq=False)
class Spread:
    """A probe's guesses. rows: (m,) int64 rows of the analysis, none with broken features (NaN or infinite): for these
    there is no guess. probability: (m,) float64 that each shows the concept.
    present, absent: tags the probe was fitted on. doubtful: (t,) int64 rows whose tag contradicts all the others
    (`doubtful_tags`), worth a second look. warnings: sentences."""

    concept: Concept
    rows: np.ndarray
    probability: np.ndarray
    held_out: HeldOut
    present: int
    absent: int
    doubtful: np.ndarray
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "concept": self.concept.name,
            "images": len(self.rows),
            "guessed_present": int((self.probability > 0.5).sum()),
            "held_out": self.held_out.to_dict(),
            "present": self.present,
            "absent": self.absent,
            "doubtful": self.doubtful.tolist(),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Candidate:
    """An image to review. source: "probe", or who suggested it as a member ("cluster", "text"). probability: of the
    probe, NaN where it made no guess."""

    row: int
    source: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "row": self.row,
            "source": self.source,
            "probability": None if np.isnan(self.probability) else self.probability,
        }


@dataclass(frozen=True, eq=False)
class Fitted:
    """A concept's probe as it is now, and what it was fitted on. odds: (m,) log-odds of the ground's first rows."""

    known: Evidence
    fit: LogOdds
    probe: Probe
    odds: np.ndarray


@dataclass(eq=False)
class _State:
    """What is kept of one concept. made: the ground it stands on; another one starts anew. version: of the tags that
    `fitted` knows, None before there are any."""

    lock: Lock = field(default_factory=Lock)
    made: Ground | None = None
    version: int | None = None
    fitted: Fitted | None = None
    trials: Trials | None = None
    probability: dict[str, np.ndarray] = field(default_factory=dict)


_states: OrderedDict[tuple[str, str, str, int], _State] = OrderedDict()
_states_lock = Lock()


def spread(workspace: Workspace, analysis: Analysis, concept: Concept, *, split: Split = "tagging") -> Spread:
    """The guesses of a concept's probe for the images that may be tagged for curation, or for all of them.

    Kept until the concept's tags change. Raises `NotEnoughTags` unless both values are tagged.
    """
    state = _state(workspace, analysis, concept)
    with state.lock:
        fitted = _refresh(state, workspace, analysis, concept)
        tried = _tried(state, analysis, fitted)
        rows = np.flatnonzero(ground(analysis).whole) if split == "all" else ground(analysis).pool
        if split not in state.probability:
            state.probability[split] = (
                probabilities(analysis, fitted.probe, rows)
                if split == "all"
                else pool_probabilities(analysis, fitted.probe, fitted.odds)
            )
        guessed = np.isfinite(state.probability[split])
        probability = state.probability[split][guessed] if not guessed.all() else state.probability[split]
        rows = rows[guessed]
    held_out = held_out_agreement(tried)
    doubtful = _doubtful(fitted.known, tried, held_out)
    warnings = list(fitted.known.usual.warnings)
    if held_out.share is not None and held_out.share < PROBE_WARNING:
        warnings.append(
            f"The features hardly show {concept.name}: a probe tells present from absent on {held_out.share:.0%} of "
            f"the tags it had not seen (50% is guessing)."
        )
    return Spread(
        concept=concept,
        rows=rows,
        probability=probability,
        held_out=held_out,
        present=fitted.known.count(PRESENT),
        absent=fitted.known.count(ABSENT),
        doubtful=doubtful,
        warnings=tuple(warnings),
    )


def fitted_probe(workspace: Workspace, analysis: Analysis, concept: Concept) -> Fitted:
    """A concept's probe, refitted from the last one when its tags have changed since.

    Where it started moves its log-odds by about a hundredth at most; `concept_probe` always starts from nothing.
    Raises `NotEnoughTags` unless both values are tagged.
    """
    state = _state(workspace, analysis, concept)
    with state.lock:
        return _refresh(state, workspace, analysis, concept)


def tried_probes(workspace: Workspace, analysis: Analysis, concept: Concept) -> tuple[Fitted, Trials]:
    """`fitted_probe`, and the probes fitted on parts of its tags. Raises `NotEnoughTags`."""
    state = _state(workspace, analysis, concept)
    with state.lock:
        fitted = _refresh(state, workspace, analysis, concept)
        return fitted, _tried(state, analysis, fitted)


def probabilities(analysis: Analysis, probe: Probe, rows: np.ndarray) -> np.ndarray:
    """A probe's guess for some rows: (r,) float64 in 0..1, NaN where the features are broken. Features are read a block
    at a time."""
    odds = log_odds(analysis.features, rows, probe.weight, probe.bias)
    return np.where(np.isfinite(odds), _chance(odds), np.nan)


def pool_probabilities(analysis: Analysis, probe: Probe, odds: np.ndarray | None = None) -> np.ndarray:
    """A probe's guess for the images that may be tagged: (m,) float64, in the order of the ground's pool. Where
    the ground holds their features, none is read. odds: of `Fitted`, if it is of this probe: fitting has found them."""
    base = ground(analysis)
    if len(base.rows) < len(base.pool):
        return probabilities(analysis, probe, base.pool)
    weight, bias = probe.weight * base.scaling.scale, probe.bias + float(probe.weight @ base.scaling.mean)
    found = np.empty(0, dtype=np.float32) if odds is None else odds
    rest = base.features[len(found) :] @ weight.astype(np.float32) + np.float32(bias)
    return _chance(np.concatenate([found, rest])[base.place[base.pool]].astype(np.float64))


def held_out_agreement(tried: Trials) -> HeldOut:
    """Balanced accuracy of held-out tags with its interval.

    The interval joins Wilson's of the two shares by the distances of their ends (Zou & Donner, "Construction of
    confidence limits about effect measures", 2008): like Wilson's, it is right for small numbers and for shares of 1.
    """
    measured = ~np.isnan(tried.held_out)
    right = (tried.held_out > 0.5) == (tried.values == 1)
    counts = np.array([(measured & (tried.values == value)).sum() for value in (0, 1)])
    if counts.min() < 2:
        return HeldOut(None, 0.0, 1.0, int(measured.sum()))
    agreeing = np.array([(right & measured & (tried.values == value)).sum() for value in (0, 1)])
    shares = agreeing / counts
    low, high = wilson(agreeing, counts)
    share = float(shares.mean())
    return HeldOut(
        share,
        max(0.0, share - float(np.sqrt(((shares - low) ** 2).sum())) / 2),
        min(1.0, share + float(np.sqrt(((high - shares) ** 2).sum())) / 2),
        int(measured.sum()),
    )


def review(
    spread: Spread,
    states: np.ndarray,
    *,
    side: Side = "present",
    order: Order = "doubt",
    limit: int | None = None,
) -> np.ndarray:
    """Rows (r,) int64 of guessed images that nobody has answered yet, those to look at first coming first.

    states: (n,) int8, the analysis's `answers`: images that a person or an adopted column speaks of are left out, and
    those somebody was unsure about. side: guessed present, guessed absent, or both. order: "doubt" puts the least sure
    first, "sure" the surest.
    """
    shown = spread.probability > 0.5
    wanted = {"present": shown, "absent": ~shown, "both": np.ones(len(shown), dtype=bool)}[side]
    places = np.flatnonzero(wanted & (states[spread.rows] == UNTAGGED))
    return spread.rows[_first(places, _keys(spread.probability[places], order), limit)]


def review_list(
    spread: Spread | None,
    states: np.ndarray,
    suggested: tuple[np.ndarray, np.ndarray, str] | None = None,
    *,
    side: Side = "present",
    order: Order = "doubt",
    limit: int | None = None,
) -> tuple[Candidate, ...]:
    """`review` and the members that somebody suggested in one list: no image twice, none that is answered.

    spread: None while there is no probe. suggested: what `suggested_members` returns. Suggested images are possible
    members, so they belong to the sides "present" and "both"; the two sources take turns, the suggestions in their own
    order, for their scores cannot be compared with probabilities.
    """
    guessed = np.empty(0, dtype=np.int64)
    if spread is not None:
        guessed = review(spread, states, side=side, order=order, limit=limit)
    rows, _, source = suggested if suggested is not None and side != "absent" else (guessed[:0], None, "")
    others = [int(row) for row in np.asarray(rows, dtype=np.int64) if states[row] == UNTAGGED]
    # either source has its turn as long as it has images left
    turns = sorted(
        [(place, 0, row, source) for place, row in enumerate(others)]
        + [(place, 1, int(row), "probe") for place, row in enumerate(guessed)]
    )
    found: dict[int, str] = {}
    for _, _, row, name in turns:
        found.setdefault(row, name)
    chosen = list(found.items())[:limit]
    chance = _chances(spread, [row for row, _ in chosen])
    return tuple(Candidate(row, name, float(p)) for (row, name), p in zip(chosen, chance, strict=True))


def _chances(spread: Spread | None, rows: Sequence[int]) -> np.ndarray:
    wanted, result = np.asarray(rows, dtype=np.int64), np.full(len(rows), np.nan)
    if spread is not None and len(spread.rows):
        places = np.minimum(np.searchsorted(spread.rows, wanted), len(spread.rows) - 1)
        there = spread.rows[places] == wanted
        result[there] = spread.probability[places[there]]
    return result


def _chance(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds, -500, 500)))


def _keys(probability: np.ndarray, order: Order) -> np.ndarray:
    sureness = np.abs(probability - 0.5)
    return sureness if order == "doubt" else -sureness


def _first(places: np.ndarray, keys: np.ndarray, limit: int | None) -> np.ndarray:
    """Places in the order of their keys, equal ones as they are; only `limit` of them are sorted."""
    if limit is not None and limit < len(places):
        near = np.flatnonzero(keys <= np.partition(keys, limit)[limit])
        places, keys = places[near], keys[near]
    return places[np.argsort(keys, kind="stable")[:limit]]


def _state(workspace: Workspace, analysis: Analysis, concept: Concept) -> _State:
    key = (str(workspace.root), analysis.id, str(analysis.head_folder), concept.id)
    with _states_lock:
        state = _states.setdefault(key, _State())
        _states.move_to_end(key)
        while len(_states) > _KEPT:
            _states.popitem(last=False)
        return state


def _refresh(state: _State, workspace: Workspace, analysis: Analysis, concept: Concept) -> Fitted:
    """The probe of the tags as they are; called with the state's lock held."""
    base = ground(analysis)
    # read before the tags: a tag that arrives in between makes the next call look again
    version = tag_version(workspace, analysis.dataset_id)
    if state.made is None or any(a is not b for a, b in zip(state.made.made_of, base.made_of, strict=True)):
        state.fitted = state.version = None
    if state.fitted is not None and state.version == version:
        return state.fitted
    known = evidence(workspace, analysis, concept)
    if state.fitted is None or not known.says_the_same(state.fitted.known):
        check_both_values(known, concept)
        before, odds = (None, None) if state.fitted is None else (state.fitted.fit, state.fitted.odds)
        blocks, values, weights = design(analysis, known, cell_weights(known.cells))
        there = len(blocks[0])
        fit = logistic_regression(
            blocks,
            values,
            weights,
            l2=L2,
            after=before,
            odds=None if odds is None else odds[:there],
            tolerance=TOLERANCE,
        )
        assert fit.odds is not None
        fitted = Fitted(known, fit, folded(base.scaling, fit.weight[:, 0], float(fit.bias[0])), fit.odds[:there])
        state.trials, state.probability = None, {}
    else:
        fitted = replace(state.fitted, known=known)
    state.made, state.version, state.fitted = base, version, fitted
    return fitted


def _tried(state: _State, analysis: Analysis, fitted: Fitted) -> Trials:
    if state.trials is None:
        state.trials = trials(analysis, fitted.known)
    return state.trials


def _doubtful(known: Evidence, tried: Trials, held_out: HeldOut) -> np.ndarray:
    # only a probe that sees the concept has a right to contradict a person
    if held_out.share is None or held_out.share < PROBE_WARNING:
        return np.empty(0, dtype=np.int64)
    expected = known.usual.values[tried.cells // 2]
    unusual_on_top = tried.top & (expected != UNTAGGED) & (tried.values != expected)
    # a tag that could not be checked cannot be doubted
    chance = np.where(np.isnan(tried.held_out), tried.values, tried.held_out)
    return tried.rows[doubtful_tags(chance, tried.values, tried.cells, unusual_on_top)]
