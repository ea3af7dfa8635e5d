"""What the scoreboard costs, and whether it finds what was planted.

    python -m benchmarks.bench_scoreboard                      100,000 images x 2,048 neurons (0.8 GB of disk)
    python -m benchmarks.bench_scoreboard --images 1000000     ten times as many (8 GB)

All neurons and logits are ranked in a process of its own, with an attribute known; the time is set against reading the
features once from the same files (in the system's cache), for that is what any exact figure over all images would cost
at least. Seconds are of the clock and of the processor; the ratio is of the latter, which a busy machine changes less.
Memory is what the ranking allocates at its peak, mapped files not counted. The quality part plants a shortcut, or none,
over several seeds and sizes and tells the scores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

D, SHORTCUT, CORE = 2048, 3, 7
# rows written and read at once
BLOCK = 16_384


def write(root: Path, n: int, d: int = D, *, lean: float = 1.2, seed: int = 0) -> None:
    """Neuron 3 sees the place, neuron 7 the class; 20 others echo the place. lean: the head's weight of the place."""
    from core.activations.store import write_analysis
    from core.classifiers.head import Head
    from core.datasets.dataset import Attribute, Dataset
    from core.workspace import open_workspace

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    place = np.where(rng.random(n) < 0.95, labels, 1 - labels)
    root.mkdir(parents=True, exist_ok=True)
    features = np.lib.format.open_memmap(root / "made.npy", mode="w+", dtype=np.float32, shape=(n, d))
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        block = rng.standard_normal((rows.stop - start, d), dtype=np.float32)
        block[:, SHORTCUT] += 2.5 * (2 * place[rows] - 1)
        block[:, CORE] += 2.5 * (2 * labels[rows] - 1)
        block[:, 20:40] += 2.0 * (2 * place[rows] - 1)[:, None]
        features[rows] = block
    weight = np.zeros((2, d), dtype=np.float32)
    weight[1, [SHORTCUT, CORE]] = lean, 1.0
    weight[0] = -weight[1]
    dataset = Dataset(
        id="planted",
        name="planted",
        root=root,
        source="metadata-csv",
        images=np.array([f"{i:09d}.jpg" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels.astype(np.int64),
        splits=np.ones(n, dtype=np.int8),
        classes=("landbird", "waterbird"),
        attributes=(Attribute("place", ("land", "water"), place.astype(np.int16)),),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    write_analysis(
        open_workspace(root / "workspace"),
        dataset,
        features=features,
        head=Head(weight, np.zeros(2, dtype=np.float32)),
        analysis_id="planted",
    )
    (root / "made.npy").unlink()


def measure(root: Path) -> dict[str, Any]:
    from core.activations.facets import parse_facet
    from core.activations.scoreboard import catalogue, scoreboard
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    analysis = open_analysis(open_workspace(root / "workspace"), "planted")
    specs, facets = catalogue(analysis), [parse_facet("attribute:place", analysis)]
    # warm: the libraries are loaded, the files in the cache
    read(analysis.features)
    scoreboard(analysis, specs[:2], facets=facets)
    reading = timed(lambda: read(analysis.features))
    found: list[Any] = []
    ranking = timed(lambda: found.extend(scoreboard(analysis, specs, facets=facets)))
    again = timed(lambda: scoreboard(analysis, specs, facets=facets))
    tracemalloc.start()
    # one direction less: another question, so that nothing comes from the disk
    scoreboard(analysis, specs[:-1], facets=facets)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    return {
        "reading the features once, s (clock, processor)": reading,
        f"ranking {len(specs):,} directions, s": ranking,
        "ratio to reading once": round(ranking[1] / reading[1], 1),
        "again, from the disk, s": again,
        "peak MB allocated": round(peak),
        "first three": [f"{one.spec} {one.score:.2f}" for one in found[:3]],
    }


def read(features: np.ndarray) -> float:
    """Pass over all features, a block at a time, as a sum that no library can skip."""
    total = 0.0
    for start in range(0, len(features), BLOCK):
        total += float(features[start : start + BLOCK].sum(dtype=np.float32))
    return total


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return round(time.perf_counter() - clock, 2), round(time.process_time() - processor, 2)


def quality(folder: Path) -> None:
    from core.activations.facets import parse_facet
    from core.activations.scoreboard import SUSPICIOUS, catalogue, scoreboard
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    print(f"scores of planted features (d = 64), 5 seeds, threshold {SUSPICIOUS}: lowest to highest")
    for n in (300, 1000, 5000):
        for lean, name in ((1.2, "shortcut"), (0.0, "clean")):
            lines: dict[str, list[float]] = {"with the attribute": [], "without": []}
            for seed in range(5):
                root = folder / f"{n}-{name}-{seed}"
                write(root, n, 64, lean=lean, seed=seed)
                analysis = open_analysis(open_workspace(root / "workspace"), "planted")
                for title, facets in (
                    ("with the attribute", [parse_facet("attribute:place", analysis)]),
                    ("without", []),
                ):
                    found = {one.spec: one.score for one in scoreboard(analysis, catalogue(analysis), facets=facets)}
                    # the leaning logit where there is a shortcut; the worst of all where there is none
                    lines[title].append(found["logit:waterbird"] if lean else max(found.values()))
            told = "; ".join(f"{title} {min(scores):.2f} to {max(scores):.2f}" for title, scores in lines.items())
            print(f"  {n:>6,} images, {'logit of a ' + name if lean else 'worst of a ' + name + ' one'}: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(Path(options.child))))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="midband-bench-") as text:
        root = Path(text) / "large"
        print(f"writing {options.images:,} x {D:,}: {timed(lambda: write(root, options.images))[0]:.0f} s")
        command = [sys.executable, "-m", "benchmarks.bench_scoreboard", "--child", str(root)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        for name, value in json.loads(done.stdout).items():
            print(f"  {name}: {value}")
        quality(Path(text))


if __name__ == "__main__":
    main()
