"""What browsing bands costs: opening, moving a band, and memory. On planted activations of a million images, 10 logits.

    python -m benchmarks.bench_bands                     one million images, about half a minute
    python -m benchmarks.bench_bands --images 10000000   ten million (3 GB of disk, a few minutes)

"Opening" is measured twice: to the histogram by class (what the core needs before a band can be moved), and to all that
the page shows first: proposed bands, landmarks, their summaries, a page of images with names and thumbnails. The third
figure is the second in a fresh process, interpreter and imports included. Streamlit and the browser come on top:
bench_browser.

"Moving a band" is what the page asks for when the slider is released: the histogram and the band's counts per class,
and a page of 60 images. It takes turns with a plain scan of the same band (boolean mask, numpy.histogram,
numpy.bincount, Generator.choice) in the same process, and both have to agree. Processor time is shown beside: on a
machine with other work, what is above it is waiting for a core. Opening and memory are measured in processes of their
own; the files are in the system's cache, as they are after an analysis. Sizes are resident memory (VmRSS, and VmHWM for
the highest it was), mapped files included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# classes, features and histogram bins; one page of images
K, D, BINS, SIZE = 10, 16, 60, 60
MOVES = 400


def resident_mb(kind: str = "VmRSS") -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{kind}:")[1].split()[0]) / 1024


def write(root: Path, n: int) -> None:
    """An analysis as the store writes it: class means apart, so that logits overlap as a trained classifier's do."""
    import numpy as np

    from core.activations.store import write_analysis
    from core.classifiers.head import Head
    from core.datasets.dataset import Dataset
    from core.workspace import open_workspace

    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, n)
    features = rng.normal(size=(n, D)).astype(np.float32)
    features[np.arange(n), labels] += 2
    dataset = Dataset(
        id="planted",
        name="planted",
        root=root / "images",
        source="class-folders",
        images=np.array([f"class/{i:09d}.jpg" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=np.ones(n, np.int8),
        classes=tuple(f"class {c}" for c in range(K)),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="planted",
    )
    head = Head(np.eye(K, D, dtype=np.float32), np.zeros(K, np.float32))
    write_analysis(open_workspace(root), dataset, features=features, head=head, analysis_id="planted")


def measure_opening(root: Path) -> dict[str, Any]:
    """From nothing open to the histogram, and on to all that the page shows first."""
    from core.activations.directions import parse_direction
    from core.activations.facets import parse_facet
    from core.activations.index import axis_edges, facet_index, histogram, open_index
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    started = time.perf_counter()
    analysis = open_analysis(open_workspace(root), "planted")
    direction = parse_direction("logit:class 3", analysis)
    index = open_index(analysis, direction)
    classes = facet_index(index, parse_facet("class", analysis))
    counted = histogram(index, axis_edges(index, BINS, scale="value"), classes)
    core_only = time.perf_counter() - started
    assert counted.total == analysis.n
    rest = first_view(analysis, direction, index, None)
    return {"core": core_only, "view": time.perf_counter() - started, "parts": rest}


def first_view(analysis: Any, direction: Any, index: Any, rows: np.ndarray | None) -> dict[str, float]:
    """What the page shows besides the histogram. Returns seconds per part."""
    from core.activations import sampling
    from core.activations.findings import summarise
    from core.activations.proposals import MID, TOP, landmarks, propose

    times = [time.perf_counter()]
    top, mid = (propose(analysis, direction, rule, rows) for rule in (TOP, MID))
    times.append(time.perf_counter())
    landmarks(analysis, direction, rows)
    times.append(time.perf_counter())
    for band in (mid, top):
        summarise(analysis, index, band.low, band.high, closed=True)
    times.append(time.perf_counter())
    shown = first_page(analysis, direction, index, mid.low, mid.high, sampling.SURPRISING)
    analysis.image_names(shown.rows)
    for row in shown.rows:
        analysis.thumbnail(int(row))
    times.append(time.perf_counter())
    names = ("proposals", "landmarks", "summaries", "page of images")
    return {name: after - before for name, before, after in zip(names, times[:-1], times[1:], strict=True)}


def first_page(analysis: Any, direction: Any, index: Any, low: float, high: float, order: str) -> Any:
    from core.activations import sampling

    return sampling.page(analysis, direction, index, low, high, closed=True, order=order, seed=0, number=0, size=SIZE)


def measure_filtering(root: Path) -> dict[str, Any]:
    """Seconds until all is shown again after another choice of images; the direction is open."""
    from core.activations.directions import parse_direction
    from core.activations.facets import parse_facet
    from core.activations.filters import matching, parse_filter
    from core.activations.index import axis_edges, facet_index, histogram, open_index
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    analysis = open_analysis(open_workspace(root), "planted")
    direction, facet = parse_direction("logit:class 3", analysis), parse_facet("class", analysis)
    first_view(analysis, direction, open_index(analysis, direction), None)
    times = []
    for text in ("correctness=wrong", "class=class 3", "correctness=right", "class=class 1,class 2;correctness=right"):
        started = time.perf_counter()
        rows = matching(analysis, parse_filter(text, analysis))
        index = open_index(analysis, direction, rows)
        counted = histogram(index, axis_edges(index, BINS, scale="value"), facet_index(index, facet))
        first_view(analysis, direction, index, rows)
        times.append(time.perf_counter() - started)
        assert rows is not None
        assert counted.total == rows.sum() > 0
    return {"seconds": times}


def measure_orders(root: Path) -> dict[str, Any]:
    """Seconds until the first page of the whole range, in the orders that compare images with each other."""
    from core.activations import sampling
    from core.activations.directions import parse_direction
    from core.activations.index import open_index
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    analysis = open_analysis(open_workspace(root), "planted")
    direction = parse_direction("logit:class 3", analysis)
    times: dict[str, list[float]] = {order: [] for order in (sampling.UNSURE, sampling.TYPICAL, sampling.DIVERSE)}
    for _ in range(3):
        for order, taken in times.items():
            # an index of its own remembers nothing
            index = open_index(analysis, direction)
            started = time.perf_counter()
            assert len(first_page(analysis, direction, index, index.low, index.high, order).rows) == SIZE
            taken.append(time.perf_counter() - started)
    return {order: max(taken) for order, taken in times.items()}


def measure_moving(root: Path) -> dict[str, Any]:
    """Seconds per move of a band: ours and the plain scan's, in turns."""
    import numpy as np

    from core.activations import sampling
    from core.activations.directions import parse_direction, scores
    from core.activations.facets import parse_facet
    from core.activations.index import axis_edges, counts_between, facet_index, histogram, open_index, positions
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    analysis = open_analysis(open_workspace(root), "planted")
    direction = parse_direction("logit:class 3", analysis)
    index = open_index(analysis, direction)
    classes = facet_index(index, parse_facet("class", analysis))
    edges = axis_edges(index, BINS, scale="value")
    plain_values, plain_labels = scores(analysis, direction), np.array(analysis.labels)

    def ours(low: float, high: float, seed: int) -> tuple[Any, np.ndarray, sampling.BandPage]:
        counted = histogram(index, edges, classes)
        start, stop = positions(index, low, high, closed=True)
        per_class = counts_between(classes, start, stop)
        shown = sampling.page(
            analysis,
            direction,
            index,
            low,
            high,
            closed=True,
            order=sampling.SURPRISING,
            seed=seed,
            number=0,
            size=SIZE,
        )
        return counted.counts, per_class, shown

    def plain(low: float, high: float, seed: int) -> tuple[Any, np.ndarray, np.ndarray]:
        inside = (plain_values >= low) & (plain_values <= high)
        # by number and range: with edges of its own it sorts, which takes longer
        counted, _ = np.histogram(plain_values, BINS, (index.low, index.high))
        per_class = np.bincount(plain_labels[inside], minlength=K)
        rows = np.flatnonzero(inside)
        return counted, per_class, np.random.default_rng(seed).choice(rows, min(SIZE, len(rows)), replace=False)

    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {"ours": [], "processor": [], "plain": []}
    for move in range(MOVES):
        low, high = np.sort(plain_values[rng.integers(0, analysis.n, 2)]).astype(float)
        started, busy = time.perf_counter(), time.thread_time()
        counted, per_class, shown = ours(low, high, move)
        times["ours"].append(time.perf_counter() - started)
        times["processor"].append(time.thread_time() - busy)
        # the scan is the slow one: a quarter of the moves says enough about it
        if move % 4 == 0:
            started = time.perf_counter()
            scanned, scanned_classes, rows = plain(low, high, move)
            times["plain"].append(time.perf_counter() - started)
            assert np.array_equal(counted.sum(axis=0), scanned)
            assert np.array_equal(per_class[:K], scanned_classes)
            assert len(shown.rows) == len(rows)
            assert ((plain_values[shown.rows] >= low) & (plain_values[shown.rows] <= high)).all()
    quantiles = {name: (np.quantile(taken, [0.5, 0.95]) * 1000).tolist() for name, taken in times.items()}
    return {**quantiles, "faster": quantiles["plain"][0] / quantiles["ours"][0]}


def measure_memory(root: Path) -> dict[str, Any]:
    """Resident memory after many bands of every logit, their thumbnails and names read."""
    import numpy as np

    from core.activations import sampling
    from core.activations.directions import parse_direction
    from core.activations.facets import parse_facet
    from core.activations.index import axis_edges, facet_index, histogram, open_index
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    imported = resident_mb()
    analysis = open_analysis(open_workspace(root), "planted")
    rng, kept, facet = np.random.default_rng(1), [], parse_facet("class", analysis)
    for c in range(K):
        direction = parse_direction(f"logit:class {c}", analysis)
        index = open_index(analysis, direction)
        classes = facet_index(index, facet)
        kept.append((index, classes))
        for move in range(100):
            histogram(index, axis_edges(index, BINS, scale="value"), classes)
            low, high = np.sort(index.values[rng.integers(0, index.m, 2)]).astype(float)
            shown = sampling.page(
                analysis,
                direction,
                index,
                low,
                high,
                closed=True,
                order=sampling.SURPRISING,
                seed=move,
                number=0,
                size=SIZE,
            )
            analysis.image_names(shown.rows)
            for row in shown.rows:
                analysis.thumbnail(int(row))
    return {"imported": imported, "resident": resident_mb(), "peak": resident_mb("VmHWM")}


MEASUREMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "opening": measure_opening,
    "filtering": measure_filtering,
    "orders": measure_orders,
    "moving": measure_moving,
    "memory": measure_memory,
}


def in_own_process(name: str, root: Path) -> dict[str, Any]:
    """What a measurement returns, and "process": the seconds it took from starting the interpreter to its end."""
    command = [sys.executable, "-m", "benchmarks.bench_bands", "--child", name, str(root)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {**json.loads(done.stdout), "process": time.perf_counter() - started}


def empty_process_mb() -> float:
    code = "print(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def line(what: str, measured: float, target: float | None, unit: str, *, at_least: bool = False) -> str:
    start = f"{what:<48}{measured:>9.2f} {unit:<2}"
    if target is None:
        return start
    reached = measured >= target if at_least else measured <= target
    return f"{start}   demanded {'≥' if at_least else '≤'} {target:g} {unit:<4}{'reached' if reached else 'MISSED'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--child", nargs=2, metavar=("NAME", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, root = options.child
        print(json.dumps(MEASUREMENTS[name](Path(root))))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.images:,} images, {K} logits, {D} features")
    with tempfile.TemporaryDirectory(prefix="midband-bench-") as text:
        root = Path(text)
        started = time.perf_counter()
        write(root, options.images)
        print(f"written in {time.perf_counter() - started:.1f} s\n")
        cold, warm = [], []
        for _ in range(3):
            shutil.rmtree(root / "analyses" / "planted" / "sorted", ignore_errors=True)
            cold.append(in_own_process("opening", root))
            warm.append(in_own_process("opening", root))
        filtering, orders = in_own_process("filtering", root), in_own_process("orders", root)
        moving, memory = in_own_process("moving", root), in_own_process("memory", root)
        empty = empty_process_mb()
        # opening and memory grow with the images and are demanded of a million; moving a band does not grow
        demanded = options.images <= 1_000_000
        second = 1 if demanded else None
        for times, when in ((cold, "nothing sorted yet"), (warm, "again")):
            worst = {name: max(one[name] for one in times) for name in ("core", "view", "process")}
            print(line(f"opening, {when}: histogram (worst of 3)", worst["core"], second, "s"))
            print(line("  all of the first view", worst["view"], second, "s"))
            print(line("  and with the interpreter and imports", worst["process"], None, "s"))
        slowest = max(cold, key=lambda one: one["view"])["parts"]
        print("  of the first view: " + ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in slowest.items()))
        print(line("another filter: all of the view (worst of 4)", max(filtering["seconds"]), second, "s"))
        for order in ("unsure", "typical", "diverse"):
            print(line(f"first page, {order} first (worst of 3)", orders[order], second, "s"))
        print(line("moving a band, median", moving["ours"][0], 3, "ms"))
        print(line("moving a band, 95th percentile", moving["ours"][1], 3, "ms"))
        print(line("of which processor time, 95th percentile", moving["processor"][1], None, "ms"))
        print(line("the same as a plain scan, median", moving["plain"][0], None, "ms"))
        print(line("the same as a plain scan, 95th percentile", moving["plain"][1], None, "ms"))
        print(line("times faster than the scan (medians)", moving["faster"], 5, "x", at_least=True))
        print(line("memory of an empty process", empty, None, "MB"))
        print(line("imports add", memory["imported"] - empty, None, "MB"))
        above = memory["resident"] - empty
        print(line("imports and many bands of all 10 logits add", above, 300 if demanded else None, "MB"))
        print(line("  at the highest (VmHWM)", memory["peak"] - empty, None, "MB"))


if __name__ == "__main__":
    main()
