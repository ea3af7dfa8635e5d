"""The map: every image of an analysis as a point in the plane, near to the images that the network sees alike.

    <analysis>/map/
      pca.npy  pca.json       (n, 2) float32 along the two leading principal components; made when first asked for
      umap.npy umap.json      (n, 2) float32 of UMAP with the usual settings; what a job of kind "map" leaves
      umap-<digest>.*         the same with other settings

Images with features that are not finite have no place: NaN in both columns.

UMAP (McInnes, Healy & Melville 2018, arXiv:1802.03426) lays out up to `SAMPLE` images. It works on the 50 leading
principal components, as is usual: what lies beyond is mostly noise, and distances cost a tenth. The neighbours that it
starts from are found here, exactly and in blocks, and it begins at the principal components (Kobak & Linderman 2021),
so that the same analysis gives the same map. Of a larger analysis a sample, stratified by class, is laid out; every
other image is placed among the nearest of the sample in the same 50 dimensions, weighted as UMAP weights neighbours:
of 6,000 images among 6,000, every neighbour on the map was of the image's own group, of UMAP's own `transform` 97%, in
1.7 times the seconds (benchmarks/bench_map.py).

Nothing here holds more than a block of the features in memory.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.errors import BadRequest
from core.files import digest, read_array, read_json, release, write_array, write_json
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.activations.store import Analysis

Kind = Literal["umap", "pca"]

# fewer points are no map
FEWEST = 3
# images that UMAP itself lays out; the others are placed among them
SAMPLE = 50_000
# principal components that UMAP sees
DIMENSIONS = 50
# images that the components are taken from: they stand for all of them, and a million is as fast as these
FITTED = 20_000
# neighbours that place an image which was not laid out
PLACED_BY = 10
# ranges of the two settings a person may change
NEIGHBOURS = (2, 200)
MIN_DIST = (0.0, 0.99)
# maps with other settings that are kept
KEPT = 8
# float32 numbers per block
BLOCK_NUMBERS = 1 << 23
# spread below this share of the largest feature is what rounding leaves of a constant
FLAT = 1e-6


@dataclass(frozen=True)
class MapSettings:
    """neighbours: how many images each one is held near to; few show detail, many the large picture. min_dist: how
    close points may lie, 0 to 0.99, in units of the map. sample: images laid out at most. seed: fixes the result."""

    neighbours: int = 15
    min_dist: float = 0.1
    sample: int = SAMPLE
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, (least, most) in (
            ("neighbours", self.neighbours, NEIGHBOURS),
            ("min_dist", self.min_dist, MIN_DIST),
            ("sample", self.sample, (FEWEST, 1_000_000)),
        ):
            if not least <= value <= most:
                raise BadRequest(
                    f"A map cannot be made with {name} = {value}.", next_step=f"Use {least} to {most} for it."
                )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


USUAL = MapSettings()


def map_settings(request: Mapping[str, Any]) -> MapSettings:
    """Settings from a job's request or a link: `neighbours` and `min_dist`, the usual where they are not given.
    Raises `BadRequest` for what is out of range or no number."""
    try:
        given, apart = request.get("neighbours"), request.get("min_dist")
        neighbours = USUAL.neighbours if given is None else int(given)
        min_dist = USUAL.min_dist if apart is None else float(apart)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRequest(
            f"The settings of a map are numbers ({error}).", next_step="Leave them out for the usual ones."
        ) from error
    return MapSettings(neighbours=neighbours, min_dist=round(min_dist, 3))


@dataclass(frozen=True, eq=False)
class MapPoints:
    """kind: "umap" or "pca". xy: (n, 2) float32, NaN where an image has no place. laid_out: images that the method
    itself placed, the others stand among them. nowhere: images without a place. spread: the share of the features'
    variance that the two axes hold, 0..1, of a PCA map; None of UMAP, whose axes mean nothing."""

    kind: Kind
    xy: np.ndarray
    laid_out: int
    nowhere: int
    spread: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "laid_out": self.laid_out, "nowhere": self.nowhere, "spread": self.spread}


def pca_map(analysis: Analysis) -> np.ndarray:
    """(n, 2) float32 along the two leading principal components; kept in `map/`. NaN for features not finite."""
    return pca_points(analysis).xy


def map_points(analysis: Analysis, settings: MapSettings = USUAL) -> MapPoints:
    """The UMAP with these settings where a job has made it, else the principal components. Raises `BadRequest` for
    fewer than three images."""
    return read_umap(analysis, settings) or pca_points(analysis)


def read_umap(analysis: Analysis, settings: MapSettings = USUAL) -> MapPoints | None:
    """The UMAP with these settings; None where there is none (yet), or what is there is damaged."""
    return _read(analysis, _stem(settings), "umap")


def umap_stamp(analysis: Analysis, settings: MapSettings = USUAL) -> tuple[int, ...] | None:
    """Differs whenever the UMAP with these settings does; None while there is none. Of the description, which is
    written last: times alone are too coarse to tell what came just after a look from what was there."""
    try:
        found = (analysis.folder / "map" / f"{_stem(settings)}.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def make_umap(analysis: Analysis, settings: MapSettings = USUAL, *, progress: Progress = silent) -> MapPoints:
    """Compute the UMAP of an analysis and keep it; the one that is there already is given back at once.

    progress: phases are the reduction, the neighbours, UMAP's epochs, and the placing of the rest. Raises `BadRequest`
    for fewer than three images with finite features, and what `progress` raises.
    """
    if (made := read_umap(analysis, settings)) is not None:
        return made
    _require_images(analysis.n)
    reduced, _ = _reduce(analysis, DIMENSIONS, progress)
    there = np.flatnonzero(np.isfinite(reduced).all(axis=1))
    _require_images(len(there))
    chosen = _stratified(there, analysis.labels, settings.sample, settings.seed)
    sample = reduced[chosen]
    xy = np.full((analysis.n, 2), np.nan, dtype=np.float32)
    xy[chosen] = layout = _lay_out(sample, settings, progress)
    rest = np.setdiff1d(there, chosen, assume_unique=True)
    for rows in _blocks(rest, max(1, BLOCK_NUMBERS // len(chosen))):
        xy[rows] = _placed(reduced[rows], sample, layout)
        progress(int(np.searchsorted(rest, rows[-1])) + 1, len(rest), "Placing the other images")
    found = MapPoints("umap", xy, laid_out=len(chosen), nowhere=analysis.n - len(there))
    _write(analysis, _stem(settings), found, settings.to_dict())
    _trim(analysis.folder / "map", _stem(settings))
    return found


def inside_polygon(xy: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Which points lie in a polygon: (n,) bool.

    xy: (n, 2), NaN lies nowhere. polygon: (m, 2) finite corners in order, closed by itself; fewer than three enclose
    nothing. A curve that crosses itself encloses what it goes around (nonzero winding), as a drawn loop is meant. Work
    grows with the points beside each edge: points are sorted by height once.
    """
    corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    inside = np.zeros(len(xy), dtype=bool)
    if len(corners) < 3 or not np.isfinite(corners).all():
        return inside
    low, high = corners.min(axis=0), corners.max(axis=0)
    across, upward = np.asarray(xy)[:, 0], np.asarray(xy)[:, 1]
    near = np.flatnonzero((across >= low[0]) & (across <= high[0]) & (upward >= low[1]) & (upward <= high[1]))
    order = np.argsort(upward[near])
    near = near[order]
    x, y = across[near].astype(np.float64), upward[near].astype(np.float64)
    winding = np.zeros(len(near), dtype=np.int32)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        # half-open, so that a corner belongs to one of its two edges
        start, stop = np.searchsorted(y, (min(y0, y1), max(y0, y1)), side="left")
        beside = slice(start, stop)
        left = x[beside] < x0 + (y[beside] - y0) * ((x1 - x0) / (y1 - y0)) if y1 != y0 else np.zeros(0, dtype=bool)
        if len(left):
            winding[beside] += left if y1 > y0 else -left.astype(np.int32)
    inside[near] = winding != 0
    return inside


# --- principal components --------------------------------------------------------------------------------------------


def pca_points(analysis: Analysis) -> MapPoints:
    """`pca_map` with what there is to say about it. Raises `BadRequest` for fewer than three images."""
    _require_images(analysis.n)
    if (made := _read(analysis, "pca", "pca")) is not None:
        return made
    xy, spread = _reduce(analysis, 2, silent)
    found = MapPoints("pca", xy, laid_out=analysis.n, nowhere=int(np.isnan(xy[:, 0]).sum()), spread=spread)
    _write(analysis, "pca", found, {})
    return found


def _reduce(analysis: Analysis, dimensions: int, progress: Progress) -> tuple[np.ndarray, float]:
    """Coordinates (n, dimensions) float32 along the leading principal components, zeros beyond those there are, NaN
    for features not finite; and the share of the variance they hold. In units of a power of two near the largest
    feature: squares of features from 1e19 on are infinite in float32."""
    progress(0, analysis.n, "Reducing the features")
    mean, components, scale, share = _components(analysis, dimensions)
    n, d = analysis.features.shape
    found = np.zeros((n, dimensions), dtype=np.float32)
    size = max(1, BLOCK_NUMBERS // max(d, 1))
    for start in range(0, n, size):
        block = np.asarray(analysis.features[start : start + size]) / scale
        finite = np.isfinite(block).all(axis=1)
        place = found[start : start + size]
        with np.errstate(all="ignore"):
            place[:, : len(components)] = (block - mean) @ components.T
        place[~finite] = np.nan
        release(analysis.features)
        progress(min(start + size, n), n, "Reducing the features")
    return found, share


def _components(analysis: Analysis, dimensions: int) -> tuple[np.ndarray, np.ndarray, np.float32, float]:
    """Mean (d,) and components (m, d), both of the features over `scale`, float32; m <= dimensions. Each component
    has unit length and its largest weight positive. From `FITTED` images at most, evenly from all classes."""
    # nothing else in browsing needs it
    import scipy.linalg

    values = np.asarray(analysis.features[np.sort(_stratified(np.arange(analysis.n), analysis.labels, FITTED, 0))])
    release(analysis.features)
    values = values[np.isfinite(values).all(axis=1)]
    largest = float(np.abs(values).max(initial=0))
    scale = np.float32(2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1)
    none = np.zeros((0, analysis.d), dtype=np.float32)
    if len(values) < 2:
        return np.zeros(analysis.d, dtype=np.float32), none, scale, 0.0
    values = values / scale
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    values -= mean
    covariance = (values.T @ values).astype(np.float64) / len(values)
    keep = min(dimensions, analysis.d)
    variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=[analysis.d - keep, analysis.d - 1])
    real = variances[::-1] > FLAT**2
    components = vectors.T[::-1][real]
    if not len(components):
        return mean, none, scale, 0.0
    strongest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(len(components)), strongest])[:, None]
    share = float(variances[::-1][real].sum() / np.trace(covariance))
    return mean, components.astype(np.float32), scale, min(share, 1.0)


def _stratified(rows: np.ndarray, labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """At most `size` of the rows, drawn evenly so that every class keeps its share: (m,) int64, rising."""
    if len(rows) <= size:
        return rows
    shuffled = np.random.default_rng(seed).permutation(rows)
    by_class = shuffled[np.argsort(np.asarray(labels)[shuffled], kind="stable")]
    places = (np.arange(size, dtype=np.float64) * (len(rows) / size)).astype(np.int64)
    return np.sort(by_class[places])


# --- UMAP ------------------------------------------------------------------------------------------------------------


def _lay_out(values: np.ndarray, settings: MapSettings, progress: Progress) -> np.ndarray:
    """UMAP of (m, dimensions) finite values: (m, 2) float32."""
    spread = values[:, :2].std(axis=0)
    if not spread.any():
        # all the same: nothing lies beside anything
        return np.zeros((len(values), 2), dtype=np.float32)
    count = min(settings.neighbours, len(values) - 1)
    indices, distances = _neighbours(values, count, progress)
    progress(0, 0, "Starting UMAP")
    # compiles for seconds: only in a job
    from umap import UMAP

    # equal images must not start at the very same place, nor all of them on a line
    noise = np.random.default_rng(settings.seed).normal(scale=1e-3 * float(spread.max()), size=(len(values), 2))
    with warnings.catch_warnings():
        # it tells that new images could not be transformed: they are placed by `_placed`
        warnings.simplefilter("ignore")
        umap = UMAP(
            n_neighbors=count,
            min_dist=settings.min_dist,
            init=(values[:, :2] + noise).astype(np.float32),
            random_state=settings.seed,
            n_jobs=1,
            precomputed_knn=(indices, distances, None),
            transform_mode="embedding",
            tqdm_kwds={
                "file": _Epochs(progress),
                "bar_format": "{n}/{total}\n",
                "mininterval": 0.1,
                "miniters": 1,
                "disable": False,
            },
        )
        return np.asarray(umap.fit_transform(values), dtype=np.float32)


class _Epochs:
    """Where UMAP's progress bar writes to: lines "12/200" become calls of `progress`, whose exceptions end UMAP."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def write(self, text: str) -> int:
        done, _, total = text.strip().partition("/")
        if done.isdigit() and total.isdigit():
            self.progress(int(done), int(total), "Laying out the map")
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""


def _neighbours(values: np.ndarray, count: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of each, itself first, as UMAP takes them: (m, count) int32 and float32, exact."""
    m = len(values)
    indices = np.empty((m, count), dtype=np.int32)
    distances = np.empty((m, count), dtype=np.float32)
    for rows in _blocks(np.arange(m), max(1, BLOCK_NUMBERS // m)):
        indices[rows], distances[rows] = nearest_among(values[rows], values, count, own=rows)
        progress(int(rows[-1]) + 1, m, "Finding neighbours")
    return indices, distances


def nearest_among(
    queries: np.ndarray, points: np.ndarray, count: int, *, own: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` points nearest to each query, nearest first, equals by position: (q, count) int64 and float32.

    queries: (q, d), points: (m, d) float32, count <= m. own: (q,) positions of the queries among the points, which then
    come first. Only a few candidates of every row are sorted. All (q, m) distances are held at once.
    """
    squares = np.einsum("ij,ij->i", points, points)
    apart = queries @ points.T
    apart *= -2
    apart += squares
    if own is not None:
        apart[np.arange(len(queries)), own] = -np.inf
    row, column = _candidates(apart, count)
    value = apart[row, column]
    order = np.lexsort((column, value, row))
    row, column, value = row[order], column[order], value[order]
    first = np.searchsorted(row, np.arange(len(queries)))
    taken = first[:, None] + np.arange(count)
    found, nearest = column[taken], value[taken].astype(np.float64)
    nearest += np.einsum("ij,ij->i", queries, queries, dtype=np.float64)[:, None]
    return found, np.sqrt(np.maximum(nearest, 0)).astype(np.float32)


def _candidates(apart: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of numbers (q, m) among which are the `count` smallest of every row, equals by position; at most
    64 * count per row. The count-th smallest of every sixteenth number bounds them, which is faster than the exact one.
    """
    every = max(1, min(16, apart.shape[1] // (4 * count)))
    bound = np.partition(apart[:, ::every], count - 1, axis=1)[:, count - 1]
    within = apart <= bound[:, None]
    # many equal numbers, as of images that are copies of one another, may all lie on the bound
    crowded = np.flatnonzero(np.count_nonzero(within, axis=1) > 4 * every * count)
    if len(crowded):
        values = apart[crowded]
        last = np.partition(values, count - 1, axis=1)[:, count - 1, None]
        nearer, equal = values < last, values == last
        missing = count - np.count_nonzero(nearer, axis=1)
        equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= missing[:, None]
        within[crowded] = nearer | equal
    row, column = np.nonzero(within)
    return row, column


def _placed(queries: np.ndarray, sample: np.ndarray, layout: np.ndarray) -> np.ndarray:
    """Places (q, 2) float32 of images that were not laid out: among their nearest of the sample, which weigh as in
    UMAP, exp(-(distance - nearest) / scale), with the scale that suits each image's own distances."""
    count = min(PLACED_BY, len(sample))
    nearest, distances = nearest_among(queries, sample, count)
    beyond = distances - distances[:, :1]
    scale = beyond.mean(axis=1, keepdims=True, dtype=np.float64)
    weights = np.exp(-np.divide(beyond, scale, out=np.zeros(beyond.shape), where=scale > 0))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("qk,qkc->qc", weights, layout[nearest]).astype(np.float32)


def _blocks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _require_images(count: int) -> None:
    if count < FEWEST:
        raise BadRequest(
            f"A map needs at least {FEWEST} images with finite features; here there are {count}.",
            next_step="Analyse a dataset with more images.",
            title="Too few images for a map",
        )


# --- on disk ---------------------------------------------------------------------------------------------------------


def _stem(settings: MapSettings) -> str:
    if settings == USUAL:
        return "umap"
    return f"umap-{digest(json.dumps(settings.to_dict(), sort_keys=True))}"


def _read(analysis: Analysis, stem: str, kind: Kind) -> MapPoints | None:
    file = analysis.folder / "map" / f"{stem}.npy"
    try:
        facts = read_json(file.with_suffix(".json"))
        xy = np.asarray(read_array(file))
        if xy.shape != (analysis.n, 2) or xy.dtype != np.float32:
            return None
        return MapPoints(kind, xy, int(facts["laid_out"]), int(facts["nowhere"]), facts["spread"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(analysis: Analysis, stem: str, found: MapPoints, settings: dict[str, Any]) -> None:
    """The description last: with it the map is whole."""
    file = analysis.folder / "map" / f"{stem}.npy"
    write_array(file, found.xy)
    write_json(file.with_suffix(".json"), {**found.to_dict(), **settings})


def _trim(folder: Path, kept: str) -> None:
    """Remove the oldest maps with other settings, so that `KEPT` are left."""
    ages = []
    for file in folder.glob("umap-*.json"):
        try:
            ages.append((file.stat().st_mtime_ns, file))
        except OSError:
            # another process is removing it
            continue
    for _, file in sorted(ages)[:-KEPT]:
        if file.stem != kept:
            file.unlink(missing_ok=True)
            file.with_suffix(".npy").unlink(missing_ok=True)
