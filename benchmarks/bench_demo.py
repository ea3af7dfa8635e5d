"""What the recipe regains on the demo, by the very runs a person would start, over several trained networks.

    python -m benchmarks.bench_demo                    makes the birds, trains 3 networks, prints the table (~10 min)
    python -m benchmarks.bench_demo --quick            one network on fewer birds: whether it works, not the figures
    python -m benchmarks.bench_demo --data DIR         other data with a known attribute of two values
    python -m benchmarks.bench_demo --models A B C     classifiers that are trained already

A simulated person (simulated_person.py) answers the questions of `suggest_next`, all at once, from the dataset's own
attribute, nothing else; the methods never see the attribute, `dfr` excepted. Every line is `retrain` as the app calls
it, and its seconds are of the whole run: curation, fit, measuring, baselines, storing. All figures are on test. "of the
gap" is the share of the way from ERM to the stronger of two oracles (planted_sets.py) in worst-group accuracy, mean
over the networks. Wrong answers and random images are drawn anew `--draws` times per network, and averaged.

bench_tagging and bench_methods measure more, on three sets.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.planted_sets import ERM, HEADER, NOBODY, ORACLES, Figures, Measured, lines
from benchmarks.simulated_person import Condition, answer
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.classifiers.training import train_erm
from core.datasets import open_dataset
from core.errors import NotEnoughTags
from core.retraining.result import RunResult
from core.retraining.runs import retrain
from core.synthetic.birds import make_birds
from core.workspace import Workspace, open_workspace

WITHOUT_TAGS = ("class-balanced", "jtt", "afr", "self")
CONDITIONS = (
    # what the recipe could reach at most: unlike DFR, it uses every image of the large groups too
    Condition("mid, all of val tagged", 1_000_000),
    Condition("mid, 60 tags", 60, demand=0.90),
    Condition("mid, 40 tags", 40),
    Condition("mid, 20 tags", 20, demand=0.85),
    Condition("mid, 60 tags, 10% wrong", 60, wrong=0.1, demand=0.85),
    Condition("mid, 20 tags, 10% wrong", 20, wrong=0.1),
    Condition("mid, 60 random tags", 60, random=True),
    Condition("mid-tags, 60 tags", 60, method="mid-tags"),
    Condition("group-dro, 60 tags", 60, method="group-dro"),
)


def measure(workspace: Workspace, analysis: Analysis, draws: int) -> Measured:
    """Lines of the table for one network: title -> figures per draw."""
    as_it_is = retrain(workspace, analysis, method="erm")
    nobody = next(line for line in as_it_is.baselines if line.method == "no-person")
    found: Measured = {ERM: [_figures(as_it_is)], NOBODY: [Figures(nobody.worst_group, nobody.average)]}
    for title, knobs in ORACLES.items():
        found[title] = [_figures(retrain(workspace, analysis, method="dfr", settings=knobs))]
    for method in WITHOUT_TAGS:
        found[method] = [_figures(retrain(workspace, analysis, method=method))]
    for condition in CONDITIONS:
        for draw in range(draws if condition.is_drawn else 1):
            name = f"{condition.title} {analysis.id} {draw}"
            names = answer(workspace, analysis, condition, name, np.random.default_rng(draw))
            try:
                figures = _figures(retrain(workspace, analysis, method=condition.method, concepts=names))
            except NotEnoughTags as error:
                print(f"  {condition.title}, draw {draw}: {error.detail} Counted as ERM.")
                figures = found[ERM][0]
            found.setdefault(condition.title, []).append(figures)
    return found


def _figures(run: RunResult) -> Figures:
    return Figures(run.after.worst_group, run.after.average, run.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset with an attribute of two values; the birds when not given")
    parser.add_argument("--models", type=Path, nargs="*", help="trained classifiers; else one is trained per seed")
    parser.add_argument("--seeds", type=int, default=3, help="networks to train")
    parser.add_argument("--draws", type=int, default=5, help="draws of random images and wrong answers")
    parser.add_argument("--quick", action="store_true", help="one network, 1,600 birds, 6 epochs")
    parser.add_argument("--keep", type=Path, help="a folder that keeps data and networks, and reuses them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-demo-") as temporary:
        folder = options.keep or Path(temporary)
        data = options.data or folder / ("birds-quick" if options.quick else "birds")
        if not data.exists():
            started = time.perf_counter()
            make_birds(data, n=1600 if options.quick else 6000)
            print(f"made {data.name} in {time.perf_counter() - started:.0f} s")
        dataset = open_dataset(data)
        workspace = open_workspace(Path(temporary) / "workspace")
        models = list(options.models or [])
        if not models:
            for seed in range(1 if options.quick else options.seeds):
                file = folder / f"{data.name}-seed{seed}.safetensors"
                if not file.exists():
                    started = time.perf_counter()
                    train_erm(dataset, seed=seed, out=file, epochs=6 if options.quick else None)
                    print(f"trained seed {seed} in {time.perf_counter() - started:.0f} s", flush=True)
                models.append(file)
        measured = []
        for file in models:
            analysis = analyse(workspace, dataset, load_classifier(file))
            measured.append(measure(workspace, analysis, options.draws))
        found = lines(measured, {condition.title: condition.demand for condition in CONDITIONS})
        print("\n".join([HEADER, *map(str, found)]))
        share = {line.title: float(line.share.mean()) for line in found}
        print(json.dumps({"networks": len(models), "share": share}))


if __name__ == "__main__":
    main()
