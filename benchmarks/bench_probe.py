"""What a probe costs when one more tag arrives, beside scikit-learn's LogisticRegression on the same images.

    python -m benchmarks.bench_probe                 10,000 images x 2,048 features, 3 kinds of data (some minutes)
    python -m benchmarks.bench_probe --seeds 9       more data of each kind
    python -m benchmarks.bench_probe --quick         one kind of data, lbfgs alone
    python -m benchmarks.bench_probe --large         also what the cap on assumed images costs, at 50,000 x 512

Measured is what the pages ask for after a tag: the tags are read from the database, the probe is refitted, and all
images get a probability and their place in the list sorted by doubt. The features are a memory map, in the system's
cache. Twice:

    session    60 tags, the other images of the top halves assumed
    all        every image tagged, as after adopting a metadata column

"first" has nothing prepared, as when somebody opens the page: the scaling and the standardised features are made too,
for the peer in the same way. "again" is one more tag: an image is said to show what it does not, and then what it does,
and both are timed. The peer minimises the same objective on the same images: C is 2/l2 on weights that sum to 1,
tolerance 1e-4, its usual one, on the largest entry of the gradient (ours is 1e-3 on its length, which is about
the same). "Again" it gets the tags and features ready-made, in the precision that suits it better, so that its
time is that of fitting and ranking alone; it is fitted as scikit-learn does by default, and beside ("warm") from its
last weights. Both take turns in one process. Held-out accuracy is on 4,000 other images, every class x value cell
weighing the same. "order" is Spearman's correlation of the pool's order with that of the exact minimum (the peer's, in
float64 to 1e-7), and "top" the share of the 100 most doubtful images that are the same.

Seconds are of the clock; "cpu" is the processor time of all threads, which other work on the machine changes less.
Last, the steps of a first and another fit are set against one reading of the features (a product with a vector), which
is what the machine can do at best.

The data are half-rectified mixtures of 2,048 components whose variances fall as rank^-0.5, 1/rank and rank^-1.5, with a
class and a concept that agrees with it in 95%.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from core.activations.store import Analysis, write_analysis
from core.classifiers.logistic import LogOdds, logistic_regression
from core.classifiers.softmax import softmax_regression, standardise
from core.concepts import evidence, spread
from core.concepts.adoption import adopt
from core.concepts.concept import Concept, create_concept
from core.concepts.evidence import design, ground
from core.concepts.probes import L2, Probe, cell_weights
from core.concepts.spread import fitted_probe, pool_probabilities, probabilities
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.datasets.dataset import Attribute, Dataset
from core.workspace import Workspace, open_workspace

POOL, HELD_OUT, D = 10_000, 4_000, 2_048
# how steeply the spectrum falls: components have variance rank^-power
POWERS = (0.5, 1.0, 1.5)
# corrected tags that are timed, of which the median counts
AGAIN = 3
# most doubtful images whose order is compared
TOP = 100


@dataclass(frozen=True)
class Planted:
    workspace: Workspace
    analysis: Analysis
    shows: np.ndarray


@dataclass(frozen=True)
class Figures:
    """Seconds of the clock and of the processor, the first time and with one more tag; accuracy on held-out images;
    agreement with the exact minimum: Spearman's correlation, and share of the most doubtful images."""

    first: tuple[float, float]
    again: tuple[float, float]
    accuracy: float
    order: float
    top: float


def planted(root: Path, seed: int, power: float, *, pool: int = POOL, held_out: int = HELD_OUT, d: int = D) -> Planted:
    """An analysis whose val images are the pool and whose test images are held out, as the store writes it."""
    rng = np.random.default_rng(seed)
    n = pool + held_out
    labels = rng.integers(0, 2, n)
    shows = np.where(rng.random(n) < 0.95, labels, 1 - labels)
    deviation = (np.arange(1, d + 1) ** (-power / 2)).astype(np.float32)
    features = rng.standard_normal((n, d), dtype=np.float32) * deviation
    # where class and concept lie: anywhere among the leading components, so apart by as much in any spectrum
    for values, strength in ((labels, 1.5), (shows, 1.2)):
        direction = rng.standard_normal(d) * (np.arange(d) < d // 10)
        direction /= np.linalg.norm(direction)
        apart = strength * np.sqrt(np.sum((direction * deviation) ** 2))
        features += ((2 * values - 1)[:, None] * (apart * direction)).astype(np.float32)
    features = features @ np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))[0]
    features /= features.std()
    features = np.maximum(features + 0.3 * rng.standard_normal(d, dtype=np.float32), 0)
    # val is scattered among the rest, as in most datasets
    splits = np.full(n, 2, dtype=np.int8)
    splits[np.sort(rng.choice(n, pool, replace=False))] = 1
    fitted = rng.choice(n, min(n, 4_000), replace=False)
    scaling = standardise(features[fitted])
    head = softmax_regression(scaling.apply(features[fitted]), labels[fitted], classes=2, l2=0.1)
    dataset = Dataset(
        id=f"planted-{seed}-{power}",
        name="planted",
        root=root / "images",
        source="metadata-csv",
        images=np.array([f"{i:09d}.jpg" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels.astype(np.int64),
        splits=splits,
        classes=("landbird", "waterbird"),
        attributes=(Attribute("place", ("land", "water"), shows.astype(np.int16)),),
        problems=(),
        notes=(),
        fingerprint="planted",
    )
    workspace = open_workspace(root)
    analysis = write_analysis(workspace, dataset, features=features, head=scaling.fold(head), analysis_id=dataset.id)
    return Planted(workspace, analysis, shows)


def answered(data: Planted, everything: bool) -> Concept:
    """A concept with the tags of a session, or of all of the pool."""
    workspace, analysis = data.workspace, data.analysis
    if everything:
        return adopt(workspace, analysis, "place", "water")
    concept = create_concept(workspace, analysis.dataset_id, "session")
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=60)])
    for present in (True, False):
        tag(workspace, analysis, concept, rows[data.shows[rows] == present], present)
    return concept


def forget() -> None:
    evidence._grounds.clear()
    spread._states.clear()


def ours(data: Planted, concept: Concept) -> np.ndarray:
    """What the pages ask for: probabilities, and the pool sorted by doubt. Returns the probe's weight and bias."""
    fitted = fitted_probe(data.workspace, data.analysis, concept)
    chance = pool_probabilities(data.analysis, fitted.probe, fitted.odds)
    np.argsort(np.abs(chance - 0.5), kind="stable")
    return np.append(fitted.probe.weight, fitted.probe.bias)


class Peer:
    """LogisticRegression on the images and weights that our probe is fitted on."""

    def __init__(
        self,
        data: Planted,
        concept: Concept,
        solver: str,
        *,
        warm: bool = False,
        precision: type[np.floating] = np.float32,
        tolerance: float = 1e-4,
    ) -> None:
        self.data, self.concept, self.precision = data, concept, precision
        base = ground(data.analysis)
        self.pool = base.features[base.place[base.pool]]
        self.model = LogisticRegression(C=2 / L2, solver=solver, max_iter=1000, warm_start=warm, tol=tolerance)

    def prepare(self) -> Peer:
        known = evidence.evidence(self.data.workspace, self.data.analysis, self.concept)
        blocks, values, weights = design(self.data.analysis, known, cell_weights(known.cells))
        used = weights > 0
        self.features = np.concatenate(blocks)[used].astype(self.precision, copy=False)
        self.values, self.weights = values[used], weights[used]
        return self

    def fit(self) -> np.ndarray:
        self.model.fit(self.features, self.values, sample_weight=self.weights)
        chance = self.model.predict_proba(self.pool)[:, 1]
        np.argsort(np.abs(chance - 0.5), kind="stable")
        scaling = ground(self.data.analysis).scaling
        weight = self.model.coef_[0] / scaling.scale
        return np.append(weight, self.model.intercept_[0] - weight @ scaling.mean)


def timed(work: Callable[[], np.ndarray]) -> tuple[tuple[float, float], np.ndarray]:
    clock, processor = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - clock, time.process_time() - processor), result


def middle(times: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(clock for clock, _ in times), statistics.median(processor for _, processor in times)


def accuracy(data: Planted, fitted: np.ndarray) -> float:
    rows = data.analysis.split_rows("test")
    chance = probabilities(data.analysis, Probe(fitted[:-1], float(fitted[-1])), rows)
    cells = data.analysis.labels[rows] * 2 + data.shows[rows]
    return float(cell_weights(cells)[(chance > 0.5) == (data.shows[rows] == 1)].sum())


def agreement(data: Planted, fitted: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """Of two fits on the pool: Spearman's correlation, and the share of the most doubtful images that are the same."""
    pool = ground(data.analysis).pool
    mine, best = (data.analysis.features[pool] @ one[:-1] + one[-1] for one in (fitted, exact))
    doubtful = [set(np.argsort(np.abs(odds), kind="stable")[:TOP].tolist()) for odds in (mine, best)]
    return float(spearmanr(mine, best).statistic), len(doubtful[0] & doubtful[1]) / TOP


def measure(
    data: Planted, everything: bool, solvers: Sequence[str]
) -> tuple[Figures, dict[str, Figures], dict[str, float]]:
    """Our figures, those of the peer's solvers, and seconds of each from its last weights, taking turns."""
    concept = answered(data, everything)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("ours", *solvers)}
    firsts, last = {}, {}
    # the first time twice: the libraries' own first calls are not what is measured
    for _ in range(2):
        forget()
        firsts["ours"], _ = timed(lambda: ours(data, concept))
        for solver in solvers:
            forget()
            firsts[solver], _ = timed(lambda solver=solver: Peer(data, concept, solver).prepare().fit())
    warm = {solver: Peer(data, concept, solver, warm=True) for solver in solvers}
    from_last: dict[str, list[tuple[float, float]]] = {name: [] for name in solvers}
    ours(data, concept)
    known = evidence.evidence(data.workspace, data.analysis, concept)
    for row in np.random.default_rng(0).choice(known.rows[known.tagged], AGAIN, replace=False):
        for right in (False, True):
            tag(data.workspace, data.analysis, concept, [row], bool(data.shows[row]) == right)
            spent, last["ours"] = timed(lambda: ours(data, concept))
            times["ours"].append(spent)
            for solver in solvers:
                cold = Peer(data, concept, solver).prepare()
                spent, last[solver] = timed(cold.fit)
                times[solver].append(spent)
                warm[solver].prepare()
                from_last[solver].append(timed(warm[solver].fit)[0])
    exact = Peer(data, concept, "lbfgs", precision=np.float64, tolerance=1e-7).prepare().fit()
    figures = {
        name: Figures(
            firsts[name], middle(times[name]), accuracy(data, last[name]), *agreement(data, last[name], exact)
        )
        for name in times
    }
    return figures.pop("ours"), figures, {name: middle(spent)[0] for name, spent in from_last.items()}


HEAD = (
    f"{'':24s}|{'first: ms':>10s}{'peer':>7s}{'ratio':>7s}{'(cpu)':>7s} |{'again: ms':>10s}{'peer':>7s}{'ratio':>7s}"
    f"{'(cpu)':>7s}{'warm':>7s} |{'held out':>9s}{'peer':>7s}{'diff':>7s} |{'order':>7s}{'peer':>7s}{'top':>5s}"
    f"{'peer':>5s}"
)


def row(title: str, mine: Figures, peer: Figures, warm: float) -> str:
    parts = []
    for one, other in ((mine.first, peer.first), (mine.again, peer.again)):
        ratio, of_processor = other[0] / one[0], other[1] / one[1]
        parts.append(f"{one[0] * 1e3:10.0f}{other[0] * 1e3:7.0f}{ratio:6.1f}x{of_processor:6.1f}x")
    apart = (mine.accuracy - peer.accuracy) * 100
    order = f"{mine.order:7.4f}{peer.order:7.4f}{mine.top:5.0%}{peer.top:5.0%}"
    guesses = f"{mine.accuracy:9.1%}{peer.accuracy:7.1%}{apart:+7.2f}"
    return f"{title:24s}|{parts[0]} |{parts[1]}{warm * 1e3:7.0f} |{guesses} |{order}"


def steps(data: Planted, everything: bool) -> str:
    """What a first fit and another one spend their time on, in readings of the features that are fitted on."""
    analysis, concept = data.analysis, answered(data, everything)
    ours(data, concept)
    base, known = ground(analysis), evidence.evidence(data.workspace, analysis, concept)

    def least(work: Callable[[], object], times: int = 5) -> float:
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    blocks, values, weights = design(analysis, known, cell_weights(known.cells))
    along = np.ones(blocks[0].shape[1], dtype=np.float32)
    reading = least(lambda: [block @ along for block in blocks], 15)
    raw = evidence._gathered(analysis.features, base.rows)[0]
    other = values.copy()
    other[np.flatnonzero(weights > 0)[0]] ^= 1
    before = logistic_regression(blocks, other, weights, l2=L2, tolerance=spread.TOLERANCE)
    fits: list[LogOdds] = []

    def fit(after: LogOdds | None) -> None:
        odds = None if after is None or after.odds is None else after.odds[: len(blocks[0])]
        fits.append(
            logistic_regression(blocks, values, weights, l2=L2, after=after, odds=odds, tolerance=spread.TOLERANCE)
        )

    found = {
        "tags": least(lambda: evidence.evidence(data.workspace, analysis, concept)),
        "copy": least(lambda: evidence._gathered(analysis.features, base.rows)[0]),
        "scaling": least(lambda: evidence._standardise(raw)),
        "standardise": least(lambda: evidence._in_place(raw.copy(), base.scaling)) - least(raw.copy),
        "first fit": least(lambda: fit(None), 3),
        "another": least(lambda: fit(before), 3),
        "ranking": least(
            lambda: pool_probabilities(analysis, spread.fitted_probe(data.workspace, analysis, concept).probe)
        ),
    }
    said = ", ".join(f"{name} {seconds * 1e3:.1f} ms = {seconds / reading:.1f}" for name, seconds in found.items())
    return (
        f"one reading of {sum(map(len, blocks)):,} rows {reading * 1e3:.1f} ms; in readings: {said}; "
        f"there and back {fits[0].passes} times at first, {fits[-1].passes} with another tag"
    )


def capped(root: Path) -> None:
    """What the cap on assumed images costs: the guesses and the accuracy with it and without."""
    data = planted(root / "large", 0, 1.0, pool=50_000, d=512)
    concept = answered(data, False)
    forget()
    short, with_cap = timed(lambda: ours(data, concept))
    most = evidence.MOST
    evidence.MOST = 1_000_000
    forget()
    long, without = timed(lambda: ours(data, concept))
    evidence.MOST = most
    forget()
    rows = data.analysis.split_rows("test")
    guesses = [probabilities(data.analysis, Probe(one[:-1], float(one[-1])), rows) > 0.5 for one in (with_cap, without)]
    print(
        f"\n50,000 x 512, 60 tags: at most {most:,} assumed images {short[0] * 1e3:.0f} ms, all of them "
        f"{long[0] * 1e3:.0f} ms; {(guesses[0] != guesses[1]).mean():.2%} of the held-out guesses differ, accuracy "
        f"{accuracy(data, with_cap):.1%} and {accuracy(data, without):.1%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="data sets of each kind")
    parser.add_argument("--quick", action="store_true", help="one kind of data, lbfgs alone")
    parser.add_argument("--power", type=float, help="this kind of data alone")
    parser.add_argument("--large", action="store_true", help="also what the cap on assumed images costs")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(f"{POOL:,} x {D:,} features, load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        solvers = ["lbfgs"] if options.quick else ["lbfgs", quickest(Path(folder))]
        print(f"\n{HEAD}")
        everything: list[tuple[Figures, Figures]] = []
        powers = (1.0,) if options.quick else POWERS
        if options.power is not None:
            powers = (options.power,)
        for seed in range(options.seeds):
            for power in powers:
                data = planted(Path(folder) / f"{seed}-{power}", seed, power)
                for title, whole in (("session", False), ("all", True)):
                    mine, peers, warm = measure(data, whole, solvers)
                    for solver, peer in peers.items():
                        everything.append((mine, peer))
                        print(row(f"{title} r^-{power} {solver}", mine, peer, warm[solver]), flush=True)
        slowest = [max(getattr(mine, when)[0] for mine, _ in everything) * 1e3 for when in ("first", "again")]
        least = [
            min(getattr(peer, when)[0] / getattr(mine, when)[0] for mine, peer in everything)
            for when in ("first", "again")
        ]
        apart = max(abs(mine.accuracy - peer.accuracy) for mine, peer in everything) * 100
        print(
            f"\nslowest: first {slowest[0]:.0f} ms, again {slowest[1]:.0f} ms; least ratio: first {least[0]:.1f}x, "
            f"again {least[1]:.1f}x; accuracies differ by {apart:.2f} points at most"
        )
        for title, whole in (("session", False), ("all", True)):
            fresh = planted(Path(folder) / f"steps-{title}", 0, 1.0)
            print(f"{title}: {steps(fresh, whole)}")
        if options.large:
            capped(Path(folder))


def quickest(root: Path) -> str:
    """The peer's quickest solver but lbfgs, for the tags of a session."""
    data = planted(root / "solvers", 100, 1.0)
    concept = answered(data, False)
    seconds = {}
    for solver in ("lbfgs", "lbfgs in float64", "newton-cg", "newton-cholesky", "liblinear"):
        precision = np.float64 if solver.endswith("float64") else np.float32
        peer = Peer(data, concept, solver.split()[0], precision=precision).prepare()
        seconds[solver] = min(timed(peer.fit)[0][0] for _ in range(2))
    print("solvers, session: " + ", ".join(f"{name} {s * 1e3:.0f} ms" for name, s in seconds.items()))
    return min((name for name in seconds if not name.startswith("lbfgs")), key=seconds.__getitem__)


if __name__ == "__main__":
    main()
