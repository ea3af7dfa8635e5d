"""Probes fitted on parts of the tags, to see how they do on the others and how much they still change.

The tags are parted into folds. For each fold one probe is fitted on all other tags and one on half of them, each next
to the images that its own tags allow to be assumed: an answer that were known from what it says of its class's top half
would not be held out. The first kind says how far a probe can be trusted; the two together, what twice the tags
changed. All of them are fitted in one go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.classifiers.logistic import logistic_regression
from core.concepts.evidence import Evidence, ground, log_odds, scaled, spread_evenly
from core.concepts.majority import clear_majority
from core.concepts.probes import FOLDS, L2, cell_weights
from core.concepts.tags import UNTAGGED

if TYPE_CHECKING:
    from core.activations.store import Analysis

# enough for a check: images of each kind that the probes are fitted on, and of the pool that they guess
ASSUMED, TAGGED, GUESSED = 1_000, 2_000, 4_000
# a check needs less precision than a probe: its log-odds are within about a hundredth
_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Trials:
    """rows: (t,) int64, tagged images that were checked. values: (t,) of 0 and 1. cells: (t,) class x value. top: (t,)
    bool, in the top half of its class. held_out: (t,) probability of present by the probe that saw no tag of the
    image's fold, NaN where that fold left nothing to learn from. change: share of the pool's guesses that differ
    between that probe and the one with half of its tags, each class x guess weighing the same; NaN where unknown."""

    rows: np.ndarray
    values: np.ndarray
    cells: np.ndarray
    top: np.ndarray
    held_out: np.ndarray
    change: float


def trials(analysis: Analysis, known: Evidence) -> Trials:
    """Try probes on evidence that has tags of both values. Deterministic; an image stays in its fold as tags arrive, as
    far as that keeps the folds even."""
    base = ground(analysis)
    tagged = np.flatnonzero(known.tagged)
    tagged = tagged[spread_evenly(known.cells[tagged], TAGGED)]
    cells, top, t = known.cells[tagged], known.top[tagged], len(tagged)
    fold, half = _parts(known.rows[tagged], cells)
    number = np.arange(2 * FOLDS)
    # one column for each probe; the half that is left out alternates, so that both are tried
    seen = (fold[:, None] != number % FOLDS) & ((number < FOLDS) | (half[:, None] != number % 2))
    usual = _usual(known, cells, seen, top)

    assumed = np.concatenate([known.rows[~known.tagged], known.open])
    assumed = assumed[(usual[analysis.labels[assumed]] != UNTAGGED).any(axis=1)]
    assumed = assumed[spread_evenly(analysis.labels[assumed], ASSUMED)]
    rows, labels = np.concatenate([known.rows[tagged], assumed]), np.concatenate([cells // 2, analysis.labels[assumed]])
    values = np.concatenate([np.repeat(cells[:, None] % 2, 2 * FOLDS, axis=1), usual[analysis.labels[assumed]]])
    there = np.concatenate([seen, values[t:] != UNTAGGED])
    values[~there] = 0

    weights = np.zeros(values.shape)
    usable = np.zeros(2 * FOLDS, dtype=bool)
    for column in number.tolist():
        used = there[:, column]
        if len(np.unique(values[used, column])) == 2:
            usable[column] = True
            weights[used, column] = cell_weights(labels[used] * 2 + values[used, column])
    held_out, change = np.full(t, np.nan), np.nan
    columns = np.flatnonzero(usable)
    if len(columns):
        features = scaled(analysis.features, rows, base.scaling)
        fit = logistic_regression(features, values[:, columns], weights[:, columns], l2=L2, tolerance=_TOLERANCE)
        chance = 1 / (1 + np.exp(-np.clip(features[:t] @ fit.weight + fit.bias, -500, 500)))
        for position, column in enumerate(columns[columns < FOLDS].tolist()):
            held_out[fold == column] = chance[fold == column, position]
        change = _change(analysis, known, fit.weight, fit.bias, columns)
    return Trials(known.rows[tagged], cells % 2, cells, top, held_out, change)


def _usual(known: Evidence, cells: np.ndarray, seen: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Each class's usual value by the tags that each probe sees: (k, K). cells, top: (t,) tagged images. seen: (t, K)
    bool."""
    k = len(known.usual.values)
    counts = np.empty((2, k, seen.shape[1]), dtype=np.int64)
    counts[0], counts[1] = known.usual.absent[:, None], known.usual.present[:, None]
    for column in range(seen.shape[1]):
        unseen = np.bincount(cells[top & ~seen[:, column]], minlength=2 * k)
        counts[:, :, column] -= unseen.reshape(k, 2).T
    return clear_majority(counts[1], counts[0])


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
