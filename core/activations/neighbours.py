"""The images whose features lie nearest to one image's: exact, in blocks over the memory map.

    cosine         1 - x.q / (|x| |q|), from 0 (same direction) to 2
    standardised   Euclidean, every feature divided by its standard deviation over all images

Each block is measured in float32 first. What may be among the nearest, rounding errors allowed for, is measured again
in float64, so that the result does not depend on block sizes or on the library that multiplies. Memory is that of one
block, whatever n.

Defined for every input: equal distances are ordered by row. A zero vector has no direction: its cosine distance to
anything is 1. A feature that is the same for all images says nothing and is left out of `standardised`. Images with
features that are not finite are nobody's neighbours and have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadRequest
from core.files import read_array, release, write_array
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.activations.store import Analysis

COSINE, STANDARDISED = "cosine", "standardised"
METRICS = (COSINE, STANDARDISED)
# float32 numbers per block: 4 MiB stay in the processor's cache through the few passes each block needs
BLOCK_NUMBERS = 1 << 20
# Squares smaller than this lose digits in float32, or vanish.
TINY = np.float32(1e-25)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """rows: (m,) int64, nearest first, never the image itself. distances: (m,) float64. m = min(count, images with
    finite features besides this one); 0 where the image's own features are not finite."""

    rows: np.ndarray
    distances: np.ndarray
    metric: str

    def same_class(self, labels: np.ndarray, label: int) -> float | None:
        """Share of the neighbours that are labelled `label`; None without neighbours. labels: (n,) of all images."""
        return float((labels[self.rows] == label).mean()) if len(self.rows) else None

    def to_dicts(self, analysis: Analysis) -> list[dict[str, Any]]:
        """One object per neighbour, as the command line prints them."""
        return [
            {
                "id": int(analysis.ids[row]),
                "image": name,
                "distance": float(distance),
                "label": analysis.label_name(row),
                "predicted": analysis.classes[analysis.predicted[row]],
                "correct": bool(analysis.labels[row] == analysis.predicted[row]) if analysis.labelled else None,
            }
            for row, distance, name in zip(self.rows, self.distances, analysis.image_names(self.rows), strict=True)
        ]


def neighbours(
    analysis: Analysis, row: int, count: int, *, metric: str = COSINE, progress: Progress = silent
) -> Neighbours:
    """The `count` images nearest to the image of a row. Raises `BadRequest`, and what `progress` raises."""
    if metric not in METRICS:
        raise BadRequest(f"“{metric}” is no distance.", next_step=f"Use {' or '.join(METRICS)}.")
    if count < 0:
        raise BadRequest(f"{count} neighbours cannot be found.", next_step="Ask for none, or for some.")
    deviations = feature_deviations(analysis, progress=progress) if metric == STANDARDISED else None
    rows, distances = nearest(analysis.features, row, count, deviations=deviations, progress=progress)
    return Neighbours(rows, distances, metric)


def nearest(
    features: np.ndarray,
    row: int,
    count: int,
    *,
    deviations: np.ndarray | None = None,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) int64 and distances (m,) float64 of the rows nearest to one, by distance, then by row.

    features: (n, d) float32, may be a memory map. deviations: (d,) float64, for the standardised Euclidean distance;
    None for cosine. progress: called after each block, done of n rows.
    """
    n, d = features.shape
    best_rows, best = np.empty(0, dtype=np.int64), np.empty(0)
    query = np.asarray(features[row], dtype=np.float64)
    if count == 0 or not np.isfinite(query).all():
        return best_rows, best
    measure = _Cosine(query) if deviations is None else _Standardised(query, deviations)
    size = max(1, BLOCK_NUMBERS // max(d, 1))
    for start in range(0, n, size):
        block = np.asarray(features[start : start + size])
        rough = measure.rough(block)
        if start <= row < start + size:
            rough[row - start] = np.inf
        limit = float(best[-1]) if len(best) == count else np.inf
        if count < len(rough):
            # NaN sorts last: it cannot lower the limit, and is measured again below
            limit = min(limit, float(np.partition(rough, count - 1)[count - 1]))
        # written so that NaN is kept
        candidates = np.flatnonzero(~(rough > measure.at_most(limit)))
        candidates = candidates[candidates + start != row]
        found = measure.exact(block[candidates])
        kept = np.isfinite(found)
        best_rows = np.concatenate([best_rows, candidates[kept] + start])
        best = np.concatenate([best, found[kept]])
        order = np.lexsort((best_rows, best))[:count]
        best_rows, best = best_rows[order], best[order]
        release(features)
        progress(min(start + size, n), n)
    return best_rows, best


def feature_deviations(analysis: Analysis, *, progress: Progress = silent) -> np.ndarray:
    """Standard deviation of each feature over the images whose features are all finite: (d,) float64, kept in
    `sorted/` in the analysis."""
    file = analysis.folder / "sorted" / "feature-deviations.npy"
    try:
        kept = read_array(file, mapped=False)
        if kept.shape == (analysis.d,) and kept.dtype == np.float64:
            return kept
    except (OSError, ValueError):
        # not measured yet, or damaged
        pass
    measured = deviations_of(analysis.features, progress=progress)
    write_array(file, measured)
    return measured


def deviations_of(features: np.ndarray, *, progress: Progress = silent) -> np.ndarray:
    """features: (n, d). Returns (d,) float64, 0 for a feature that is the same everywhere."""
    n, d = features.shape
    size = max(1, BLOCK_NUMBERS // max(d, 1))
    count, mean, squares = 0, np.zeros(d), np.zeros(d)
    for start in range(0, n, size):
        block = np.asarray(features[start : start + size], dtype=np.float64)
        block = block[np.isfinite(block).all(axis=1)]
        if len(block):
            # Chan, Golub & LeVeque 1979: two sets' sums of squares about their means, put together without cancellation
            own = block.mean(axis=0)
            gap, together = own - mean, count + len(block)
            squares += ((block - own) ** 2).sum(axis=0) + gap**2 * (count * len(block) / together)
            mean += gap * (len(block) / together)
            count = together
        release(features)
        progress(min(start + size, n), n, "Measuring how far features spread")
    spread = np.sqrt(squares / max(count, 1))
    # what is left of a constant after rounding is no spread
    return np.where(spread > 1e-12 * np.abs(mean), spread, 0.0)


class _Cosine:
    def __init__(self, query: np.ndarray) -> None:
        norm = float(np.sqrt(query @ query))
        self.query = query / norm if norm > 0 else query
        self.error = _relative_error(len(query))

    def rough(self, block: np.ndarray) -> np.ndarray:
        """(m,) float32; NaN where float32 cannot tell, its squares being out of its range."""
        with np.errstate(all="ignore"):
            squares = np.einsum("ij,ij->i", block, block)
            result = 1 - (block @ self.query.astype(np.float32)) / np.sqrt(squares)
        result[(squares < TINY) | np.isinf(squares)] = np.nan
        return result

    def at_most(self, limit: float) -> float:
        return limit + 4 * self.error

    def exact(self, block: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = block.astype(np.float64)
            # a common factor changes no angle, and keeps the squares of huge and of tiny numbers in range
            scale = np.abs(values).max(axis=1, initial=0, keepdims=True)
            values = np.where(scale > 0, values / scale, values)
            norms = np.sqrt(np.einsum("ij,ij->i", values, values))
            # einsum, not BLAS: equal rows give equal numbers wherever they lie
            products = np.einsum("ij,j->i", values, self.query)
            similarity = np.where(norms > 0, products / norms, np.where(np.isnan(norms), np.nan, 0.0))
        return _rounded(1 - np.clip(similarity, -1, 1))


class _Standardised:
    def __init__(self, query: np.ndarray, deviations: np.ndarray) -> None:
        self.query = query
        self.factors = np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)
        self.error = _relative_error(len(query))

    def rough(self, block: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            steps = block - self.query.astype(np.float32)
            steps *= self.factors.astype(np.float32)
            squares = np.einsum("ij,ij->i", steps, steps)
            result = np.sqrt(squares)
        result[(squares < TINY) | np.isinf(squares)] = np.nan
        return result

    def at_most(self, limit: float) -> float:
        return limit * (1 + 2 * self.error)

    def exact(self, block: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            steps = (block.astype(np.float64) - self.query) * self.factors
            return _rounded(np.sqrt(np.einsum("ij,ij->i", steps, steps)))


def _relative_error(d: int) -> float:
    """An upper bound of what float32 sums of d products lose (Higham 2002, section 3.1)."""
    return (d + 8) * float(np.finfo(np.float32).eps)


def _rounded(distances: np.ndarray) -> np.ndarray:
    """To twelve decimals: below lies the noise of float64, which must not decide the order of equals."""
    return np.asarray(np.round(distances, 12))
