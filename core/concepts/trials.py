"""Probes fitted on parts of the tags, to see how they do on the others and how much they still change.

The tags are parted into folds. For each fold one probe is fitted on all other tags and one on half of them, next to the
same assumed images. The first kind says how far a probe can be trusted; the two together, what twice the tags changed.
All of them are fitted in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.logistic import logistic_regression
from core.concepts.evidence import Evidence, ground, log_odds, scaled, spread_evenly
from core.concepts.probes import FOLDS, L2, cell_weights

if TYPE_CHECKING:
    from core.activations.store import Analysis

# enough for a check: images of each kind that the probes are fitted on, and of the pool that they guess
ASSUMED, TAGGED, GUESSED = 1_000, 2_000, 4_000
# a check needs less precision than a probe: its log-odds are within about a hundredth
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Trials:
    """rows: (t,) int64, tagged images that were checked. values: (t,) of 0 and 1. cells: (t,) class x value. held_out:
    (t,) probability of present by the probe that saw no tag of the image's fold, NaN where that fold left nothing to
    learn from. with_half: the same by the probe that had half of the tags. change: share of the pool's guesses that
    differ between the two kinds of probe, each class x guess weighing the same; NaN where unknown."""

    rows: np.ndarray
    values: np.ndarray
    cells: np.ndarray
    held_out: np.ndarray
    with_half: np.ndarray
    change: float


def trials(analysis: Analysis, known: Evidence) -> Trials:
    """Try probes on evidence that has tags of both values. Deterministic; an image stays in its fold as tags arrive, as
    far as that keeps the folds even."""
    base = ground(analysis)
    tagged, assumed = np.flatnonzero(known.tagged), np.flatnonzero(~known.tagged)
    tagged = tagged[spread_evenly(known.cells[tagged], TAGGED)]
    assumed = assumed[spread_evenly(known.cells[assumed], ASSUMED)]
    used = np.concatenate([tagged, assumed])
    values, cells, t = known.values[used], known.cells[used], len(tagged)
    fold, half = _parts(known.rows[tagged], cells[:t])

    weights = np.zeros((len(used), 2 * FOLDS))
    usable = np.zeros(2 * FOLDS, dtype=bool)
    for column in range(2 * FOLDS):
        seen = np.ones(len(used), dtype=bool)
        seen[:t] = fold != column % FOLDS
        if column >= FOLDS:
            # the half that is left out alternates, so that both are tried
            seen[:t] &= half != column % 2
        if len(np.unique(values[seen])) == 2:
            usable[column] = True
            weights[seen, column] = cell_weights(cells[seen])
    held_out, with_half, change = np.full(t, np.nan), np.full(t, np.nan), np.nan
    columns = np.flatnonzero(usable)
    if len(columns):
        features = scaled(analysis.features, known.rows[used], base.scaling)
        fit = logistic_regression(features, values, weights[:, columns], l2=L2, tolerance=_TOLERANCE)
        chance = 1 / (1 + np.exp(-np.clip(features[:t] @ fit.weight + fit.bias, -500, 500)))
        for position, column in enumerate(columns.tolist()):
            held = fold == column % FOLDS
            (held_out if column < FOLDS else with_half)[held] = chance[held, position]
        change = _change(analysis, known, fit.weight, fit.bias, columns)
    return Trials(known.rows[tagged], values[:t], cells[:t], held_out, with_half, change)


def _parts(rows: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fold 0..FOLDS-1 and half 0..1 of each tagged image; every cell is spread evenly over both."""
    # a number per image that looks random and is always the same
    order = np.argsort((rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15), kind="stable")
    fold, half = np.empty(len(rows), dtype=np.int64), np.empty(len(rows), dtype=np.int64)
    for cell in np.unique(cells):
        members = order[cells[order] == cell]
        fold[members] = (np.arange(len(members)) + cell) % FOLDS
        half[members] = np.arange(len(members)) // FOLDS % 2
    return fold, half


def _change(analysis: Analysis, known: Evidence, weight: np.ndarray, bias: np.ndarray, columns: np.ndarray) -> float:
    base = ground(analysis)
    pool = base.pool
    if len(pool) > GUESSED:
        pool = pool[np.linspace(0, len(pool) - 1, GUESSED).astype(np.int64)]
    plain = weight / base.scaling.scale[:, None]
    shown = log_odds(analysis.features, pool, plain, bias - base.scaling.mean @ plain) > 0
    labels = analysis.labels[pool]
    changes = []
    for fold in range(FOLDS):
        pair = [np.flatnonzero(columns == column) for column in (fold, fold + FOLDS)]
        if all(len(found) for found in pair):
            more, less = (shown[:, int(found[0])] for found in pair)
            shares = cell_weights(labels * 2 + more)
            changes.append(float(shares[more != less].sum()))
    return float(np.mean(changes)) if changes else float("nan")
