"""What few tags regain on data with planted truth: birds, shapes and digits, each with five networks.

    python -m benchmarks.bench_tagging --keep DIR      makes data, trains 15 networks, prints the tables (~25 min)
    python -m benchmarks.bench_tagging --quick         one network per set on less data: whether it works, no figures
    python -m benchmarks.bench_tagging --sets shapes   some of the sets only
    python -m benchmarks.bench_tagging --seeds 100 101 102   other data and networks, to tune on: see below

A simulated person (simulated_person.py) answers `suggest_next` from the planted truth in batches of ten, and the queue
is asked again after each: as on the page, it plans for the usual budget whenever the person will stop. An attribute of
three values is tagged as one concept per value, which takes three answers per image: "20 tags" are images looked at.
Beside it: the same number of images drawn at random, every val image tagged, nobody, and oracle DFR, which knows every
val group. All figures are on test. "regained" is the share of the way from ERM to oracle DFR in worst-group accuracy:
mean and standard deviation over the networks. Wrong answers and random images are drawn anew `--draws` times per
network, and averaged.

The data follow the first seed, the networks each seed. Constants of curation were tuned with seeds from 100 on, and
the figures quoted anywhere come from seeds 0 to 4, which were looked at afterwards.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.simulated_person import Condition, answer
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.classifiers.head import Head
from core.classifiers.training import train_erm
from core.datasets import open_dataset
from core.errors import NotEnoughTags
from core.retraining.evaluation import evaluate
from core.retraining.groups import Grouping
from core.retraining.material import Gathered, chosen_concepts, gather
from core.retraining.methods import fit, fit_without_tags
from core.synthetic.birds import make_birds
from core.synthetic.digits import make_digits
from core.synthetic.shapes import make_shapes
from core.workspace import Workspace, open_workspace

BATCH = 10
# by how much the average may fall below that of ERM
AVERAGE_LOSS = 0.01


@dataclass(frozen=True)
class Planted:
    """A set with planted truth. make(out, n=, seed=) writes it. images, quick_images: how many. image_size, epochs: of
    the training, None for what is usual."""

    make: Callable[..., Path]
    images: int = 6000
    quick_images: int = 1600
    image_size: int | None = None
    epochs: int | None = None


SETS = {
    "birds": Planted(make_birds),
    "shapes": Planted(make_shapes, image_size=32, epochs=15),
    "digits": Planted(make_digits, image_size=32, epochs=15),
}

CONDITIONS = (
    Condition("all of val tagged", 1_000_000),
    Condition("60 tags", 60, batch=BATCH, demand=0.95),
    Condition("20 tags", 20, batch=BATCH, demand=0.85),
    Condition("60 tags, 10% wrong", 60, wrong=0.1, batch=BATCH, demand=0.85),
    Condition("20 tags, 10% wrong", 20, wrong=0.1, batch=BATCH),
    Condition("60 tags, 20% wrong", 60, wrong=0.2, batch=BATCH),
    Condition("20 tags, 20% wrong", 20, wrong=0.2, batch=BATCH),
    Condition("60 random tags", 60, random=True),
    Condition("20 random tags", 20, random=True),
    Condition("60 random tags, 10% wrong", 60, wrong=0.1, random=True),
    Condition("mid-tags, 60 tags", 60, batch=BATCH, method="mid-tags"),
)

# worst-group accuracy and average of one head on test
Figures = tuple[float, float]


class Bench:
    """One network on its data, and what heads fitted on its features get right."""

    def __init__(self, workspace: Workspace, analysis: Analysis) -> None:
        self._workspace, self._analysis = workspace, analysis
        self._test = analysis.split_rows("test")

    def measure(self, draws: int) -> dict[str, list[Figures]]:
        """Lines of the table: title -> figures per draw."""
        plain = self._gathered(())
        rng = np.random.default_rng(0)
        found = {
            "ERM": [self._figures(plain, self._analysis.head)],
            "nobody": [self._figures(plain, fit_without_tags(plain.material.pool, rng=rng).head)],
            "oracle DFR": [self._figures(plain, fit("dfr", plain.material, rng=np.random.default_rng(0)).head)],
        }
        for condition in CONDITIONS:
            found[condition.title] = [
                self._answered(condition, draw) or found["ERM"][0] for draw in range(draws if condition.is_drawn else 1)
            ]
        return found

    def _answered(self, condition: Condition, draw: int) -> Figures | None:
        """None where the answers do not suffice: the classifier stays as it is."""
        name = f"{condition.title} {self._analysis.id} {draw}"
        names = answer(self._workspace, self._analysis, condition, name, np.random.default_rng(draw))
        gathered = self._gathered(names)
        try:
            fitted = fit(condition.method, gathered.material, rng=np.random.default_rng(0))
        except NotEnoughTags as error:
            print(f"  {condition.title}, draw {draw}: {error.detail} Counted as ERM.")
            return None
        return self._figures(gathered, fitted.head)

    def _gathered(self, names: tuple[str, ...]) -> Gathered:
        chosen = chosen_concepts(self._workspace, self._analysis, names) if names else ()
        return gather(self._workspace, self._analysis, chosen)

    def _figures(self, gathered: Gathered, head: Head) -> Figures:
        groups, rows = gathered.groups, self._test
        if groups is None:
            raise SystemExit("The data have no known attribute, so there is no truth to measure with.")
        measured = Grouping(groups.codes[rows], groups.classes, groups.patterns, groups.source)
        predicted = head.logits(self._analysis.features[rows]).argmax(axis=1)
        result = evaluate(
            predicted, self._analysis.labels[rows], measured, np.zeros(groups.count, dtype=np.int64), "test"
        )
        return result.worst_group, result.average


@dataclass(frozen=True)
class Line:
    """worst, average, regained: (networks,) float64, draws averaged. met: None where nothing is demanded."""

    title: str
    worst: np.ndarray
    average: np.ndarray
    regained: np.ndarray
    average_loss: float
    demand: float | None

    @property
    def met(self) -> bool | None:
        if self.demand is None:
            return None
        return bool(self.regained.mean() >= self.demand and self.average_loss <= AVERAGE_LOSS)

    def __str__(self) -> str:
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        spread = self.regained.std(ddof=1) if len(self.regained) > 1 else 0.0
        demand = "" if self.demand is None else f"{self.demand:.0%}"
        return (
            f"{self.title:26}{self.worst.mean():8.1%}{self.average.mean():9.1%}"
            f"{self.regained.mean():9.0%} ±{spread:4.0%}{demand:>8} {verdict:7}"
            + " ".join(f"{value:6.1%}" for value in self.worst)
        )


HEADER = f"{'':26}{'worst':>8}{'average':>9}{'regained':>15}{'demand':>8} {'':7}worst group per network"


def lines(measured: list[dict[str, list[Figures]]]) -> list[Line]:
    """One line per title from the figures of several networks."""

    def column(title: str, which: int) -> np.ndarray:
        return np.array([np.mean([draw[which] for draw in network[title]]) for network in measured])

    demands = {condition.title: condition.demand for condition in CONDITIONS}
    worst, average = column("ERM", 0), column("ERM", 1)
    gap = column("oracle DFR", 0) - worst
    return [
        Line(
            title,
            column(title, 0),
            column(title, 1),
            (column(title, 0) - worst) / gap,
            float((average - column(title, 1)).mean()),
            demands.get(title),
        )
        for title in measured[0]
    ]


def networks(folder: Path, name: str, seeds: list[int], *, quick: bool) -> tuple[Path, list[Path]]:
    """The data and one trained network per seed, made where they are not there yet."""
    planted = SETS[name]
    data = folder / f"{name}-{seeds[0]}{'-quick' if quick else ''}"
    if not data.exists():
        planted.make(data, n=planted.quick_images if quick else planted.images, seed=seeds[0])
    dataset = open_dataset(data)
    files = []
    for seed in seeds:
        file = folder / f"{data.name}-seed{seed}.safetensors"
        if not file.exists():
            started = time.perf_counter()
            epochs = 6 if quick else planted.epochs
            train_erm(dataset, seed=seed, out=file, epochs=epochs, image_size=planted.image_size)
            print(f"trained {name}, seed {seed}, in {time.perf_counter() - started:.0f} s", flush=True)
        files.append(file)
    return data, files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS), help="which data")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of the networks to train")
    parser.add_argument("--draws", type=int, default=5, help="draws of random images and wrong answers")
    parser.add_argument("--quick", action="store_true", help="one network, 1,600 images, 6 epochs, one draw")
    parser.add_argument("--keep", type=Path, help="a folder that keeps data and networks, and reuses them")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    seeds, draws = (options.seeds[:1], 1) if options.quick else (options.seeds, options.draws)
    result: dict[str, dict[str, object]] = {}
    missed = []
    with tempfile.TemporaryDirectory(prefix="bench-tagging-") as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        workspace = open_workspace(Path(temporary) / "workspace")
        for name in options.sets:
            data, files = networks(folder, name, seeds, quick=options.quick)
            dataset = open_dataset(data)
            measured = [
                Bench(workspace, analyse(workspace, dataset, load_classifier(file))).measure(draws) for file in files
            ]
            print(f"\n{name}, {len(files)} networks\n{HEADER}")
            found = lines(measured)
            for line in found:
                print(line, flush=True)
            missed += [f"{name}: {line.title}" for line in found if line.met is False]
            result[name] = {
                line.title: {
                    "worst_group": line.worst.tolist(),
                    "average": line.average.tolist(),
                    "regained": line.regained.tolist(),
                    "demand": line.demand,
                    "met": line.met,
                }
                for line in found
            }
    print(f"\ndemands missed: {'; '.join(missed)}" if missed else "\nall demands met")
    if options.json:
        print(json.dumps({"seeds": seeds, "sets": result, "missed": missed}))


if __name__ == "__main__":
    main()
