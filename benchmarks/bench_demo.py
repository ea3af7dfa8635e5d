"""What the recipe regains on the demo: ERM, baselines and `mid` against oracle DFR, over several trained networks.

    python -m benchmarks.bench_demo                    makes the birds, trains 3 networks, prints the table (~10 min)
    python -m benchmarks.bench_demo --quick            one network on fewer birds: whether it works, not the figures
    python -m benchmarks.bench_demo --data DIR         other data with a known attribute of two values
    python -m benchmarks.bench_demo --models A B C     classifiers that are trained already

A simulated person (simulated_person.py) answers the questions of `suggest_next`, all at once, from the dataset's own
attribute, nothing else; the methods never see the attribute, `dfr` excepted. All figures are on test, worst-group
accuracy / average in percent. "regained" is the share of the way from ERM to oracle DFR in worst-group accuracy, mean
over the networks; DFR takes as many images of each group as the smallest has, so `mid` with every image tagged, which
uses all, can pass it. Wrong answers and random images are drawn anew `--draws` times per network, and averaged.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.simulated_person import Condition, answer
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.classifiers.training import train_erm
from core.datasets import open_dataset
from core.errors import NotEnoughTags
from core.retraining.runs import RunResult, retrain
from core.synthetic.birds import make_birds
from core.workspace import Workspace, open_workspace

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
)


def measure(workspace: Workspace, analysis: Analysis, draws: int) -> dict[str, list[tuple[float, float, float]]]:
    """Lines of the table for one network: title -> (worst group, average, seconds) per draw."""
    found: dict[str, list[tuple[float, float, float]]] = {}

    def keep(title: str, run: RunResult) -> None:
        found.setdefault(title, []).append((run.after.worst_group, run.after.average, run.seconds))

    for title, method in (("ERM", "erm"), ("class-balanced", "class-balanced"), ("AFR", "afr"), ("SELF", "self")):
        keep(title, retrain(workspace, analysis, method=method))
    oracle = retrain(workspace, analysis, method="dfr")
    keep("oracle DFR", oracle)
    for baseline in oracle.baselines:
        if baseline.method == "no-person":
            found["no person"] = [(baseline.worst_group, baseline.average, 0.0)]
    for condition in CONDITIONS:
        for draw in range(draws if condition.is_drawn else 1):
            name = f"{condition.title} {analysis.id} {draw}"
            names = answer(workspace, analysis, condition, name, np.random.default_rng(draw))
            try:
                keep(condition.title, retrain(workspace, analysis, method=condition.method, concepts=names))
            except NotEnoughTags as error:
                print(f"  {condition.title}, draw {draw}: {error.detail} Counted as ERM.")
                found.setdefault(condition.title, []).append((*found["ERM"][0][:2], 0.0))
    return found


def table(measured: list[dict[str, list[tuple[float, float, float]]]]) -> tuple[list[str], dict[str, float]]:
    demands = {condition.title: condition.demand for condition in CONDITIONS}

    def mean(title: str, of: Callable[[tuple[float, float, float]], float]) -> np.ndarray:
        return np.array([np.mean([of(draw) for draw in network[title]]) for network in measured])

    worst = {title: mean(title, lambda draw: draw[0]) for title in measured[0]}
    average = {title: mean(title, lambda draw: draw[1]) for title in measured[0]}
    seconds = {title: mean(title, lambda draw: draw[2]) for title in measured[0]}
    gap = worst["oracle DFR"] - worst["ERM"]
    regained = {title: float(np.mean((worst[title] - worst["ERM"]) / gap)) for title in worst}
    lines = [f"{'':28}{'worst group':>12}{'average':>9}{'regained':>10}{'demand':>8}{'seconds':>9}   per network"]
    for title in worst:
        demand = demands.get(title)
        lines.append(
            f"{title:28}{worst[title].mean():12.1%}{average[title].mean():9.1%}{regained[title]:10.0%}"
            f"{'' if demand is None else f'{demand:.0%}':>8}{seconds[title].mean():9.2f}   "
            + " ".join(f"{value:.1%}" for value in worst[title])
        )
    return lines, regained


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a dataset with an attribute of two values; the birds when not given")
    parser.add_argument("--models", type=Path, nargs="*", help="trained classifiers; else one is trained per seed")
    parser.add_argument("--seeds", type=int, default=3, help="networks to train")
    parser.add_argument("--draws", type=int, default=5, help="draws of random images and wrong answers")
    parser.add_argument("--quick", action="store_true", help="one network, 1,600 birds, 6 epochs")
    parser.add_argument("--keep", type=Path, help="a folder that keeps data, networks and workspace, and reuses them")
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
        lines, regained = table(measured)
        print("\n".join(lines))
        print(json.dumps({"networks": len(models), "regained": regained}))


if __name__ == "__main__":
    main()
