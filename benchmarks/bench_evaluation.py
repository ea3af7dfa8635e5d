"""Do intervals and tests hold what they say? Planted accuracies and planted groups, measured again and again.

    python -m benchmarks.bench_evaluation           half a minute
    python -m benchmarks.bench_evaluation --quick   few draws, to see that it runs

Three tables. How often a 95% interval of the smallest group accuracy holds it, ours beside the percentile bootstrap.
How often a rise of the worst group is claimed where there is none, ours beside McNemar's test on the group that was
worst before. How often estimates of groups that nobody wrote down hold the truth, ours beside a probe's guesses taken
for it, with none to 120 tags on test. Exits with 1 when one of ours misses its promise.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np

from core.classifiers.softmax import softmax_regression, standardise
from core.concepts.suggestions import suggest
from core.retraining.curation import curate
from core.retraining.estimates import estimated_evaluation, guessed_groups
from core.retraining.evaluation import Evaluation, evaluate
from core.retraining.groups import by_attribute
from core.retraining.intervals import SIGNIFICANCE, mcnemar, minimum_change, minimum_interval
from core.retraining.pool import ConceptTags, Pool

# groups' true accuracies and sizes
MINIMA = {
    "four groups of 100 at 80%": ([0.8] * 4, [100] * 4),
    "nine groups of 20 at 85%": ([0.85] * 9, [20] * 9),
    "a ladder of four, 60 each": ([0.75, 0.8, 0.85, 0.9], [60] * 4),
    "one clearly worst, of 20": ([0.5, 0.9, 0.9, 0.95], [20, 200, 200, 50]),
}
# true accuracies before and after, and sizes: the smallest never rises
NO_RISES = {
    "nothing learnt, four alike": ([0.8] * 4, [0.8] * 4, [50] * 4),
    "nothing learnt, ten alike": ([0.7] * 10, [0.7] * 10, [40] * 10),
    "failure moved to another group": ([0.6, 0.95], [0.95, 0.6], [100, 100]),
    "failure moved, one of four": ([0.6, 0.95, 0.9, 0.9], [0.95, 0.6, 0.9, 0.9], [60] * 4),
}
# distance of the images with the concept from those without, in standard deviations
VISIBLE = (2.6, 2.0, 1.6)
TAGS = (0, 40, 120)
CLASSES = ("landbird", "waterbird")
TRAIN = np.array([70, 5, 5, 20])


@dataclass(frozen=True)
class Line:
    title: str
    ours: float
    other: float
    met: bool

    def __str__(self) -> str:
        return f"  {self.title:44}{self.ours:8.1%}{self.other:12.1%}{'' if self.met else '   MISSED'}"


def minima(draws: int) -> list[Line]:
    rng, found = np.random.default_rng(0), []
    for title, (accuracies, sizes) in MINIMA.items():
        held = np.zeros(2)
        for correct in rng.binomial(sizes, accuracies, size=(draws, len(sizes))):
            low, high = minimum_interval(correct, np.array(sizes))
            drawn = (rng.binomial(sizes, correct / sizes, size=(500, len(sizes))) / sizes).min(axis=1)
            resampled = np.quantile(drawn, [0.025, 0.975])
            truth = min(accuracies)
            held += (low <= truth <= high, resampled[0] <= truth <= resampled[1])
        ours, other = held / draws
        found.append(Line(title, ours, other, ours >= 0.95 - luck(0.05, draws)))
    return found


def claims(draws: int) -> list[Line]:
    rng, found = np.random.default_rng(1), []
    for title, (before, after, sizes) in NO_RISES.items():
        n, claimed = np.array(sizes), np.zeros(2)
        for _ in range(draws):
            both = rng.binomial(n, np.array(before) * after)
            # right before and after by luck of their own
            broken = rng.binomial(n - both, np.array(before) * (1 - np.array(after)) / (1 - np.array(before) * after))
            left = n - both - broken
            share = (1 - np.array(before)) * after
            fixed = rng.binomial(left, share / (share + (1 - np.array(before)) * (1 - np.array(after))))
            was, now = both + broken, both + fixed
            rises = (now / n).min() > (was / n).min()
            worst = int(np.argmin(was / n))
            p, _ = minimum_change(fixed, broken, was, n)
            alone = mcnemar(int(fixed[worst]), int(broken[worst])) < SIGNIFICANCE and fixed[worst] > broken[worst]
            claimed += (rises and p < SIGNIFICANCE, rises and alone)
        ours, other = claimed / draws
        found.append(Line(title, ours, other, ours <= SIGNIFICANCE + luck(SIGNIFICANCE, draws)))
    return found


def estimates(seeds: int) -> list[Line]:
    found = []
    for visible in VISIBLE:
        held: dict[int, list[bool]] = {tags: [] for tags in TAGS}
        naive: dict[int, list[bool]] = {tags: [] for tags in TAGS}
        for seed in range(1000, 1000 + seeds):
            for tags, (ours, taken) in one_world(seed, visible).items():
                held[tags] += ours
                naive[tags] += taken
        for tags in TAGS:
            ours, other = np.mean(held[tags]), np.mean(naive[tags])
            # the four groups of a world stand and fall with one probe
            enough = 0.95 - luck(0.05, seeds)
            found.append(Line(f"seen at {visible} deviations, {tags} tags on test", ours, other, bool(ours >= enough)))
    return found


def one_world(seed: int, visible: float) -> dict[int, tuple[list[bool], list[bool]]]:
    """Per number of tags on test: whether each group's interval holds its accuracy, ours and of guesses taken for true.

    A head that cheats on a place that agrees with the class in 95 of 100 images of val, and in every other of test; the
    probe is taught by 60 tags on val.
    """
    rng = np.random.default_rng(seed)
    sizes = (1500, 1200, 1000)
    split = np.repeat([0, 1, 2], sizes)
    labels = rng.integers(2, size=sum(sizes))
    place = np.where(rng.random(sum(sizes)) < np.where(split == 2, 0.5, 0.95), labels, 1 - labels)
    features = rng.normal(size=(sum(sizes), 32)).astype(np.float32)
    features[:, :4] += 0.7 * labels[:, None]
    features[:, 4:8] += visible / 2 * place[:, None]
    train, val, test = (split == part for part in range(3))
    scaling = standardise(features[train])
    head = scaling.fold(softmax_regression(scaling.apply(features[train]), labels[train], classes=2, l2=1e-3))
    logits = head.logits(features)
    usable = np.ones(sizes[1], dtype=bool)
    pool = Pool(np.flatnonzero(val), features[val], logits[val], labels[val], CLASSES, head, "val", usable)
    states = np.full(sizes[1], -1, dtype=np.int8)
    asked = [one.row for one in suggest(logits[val], labels[val], budget=60)]
    states[asked] = place[val][asked]
    curation = curate(pool, [ConceptTags("water", states)], rng=np.random.default_rng(seed))
    if curation.probe is None:
        raise SystemExit("No probe came of 60 tags.")
    predicted = logits[test].argmax(axis=1)
    known = by_attribute(labels[test], CLASSES, "place", ("no water", "water"), place[test])
    truth = evaluate(predicted, labels[test], known, TRAIN, "test")
    found = {}
    for tags in TAGS:
        said = np.full((sizes[2], 1), -1, dtype=np.int8)
        chosen = rng.choice(sizes[2], tags, replace=False)
        said[chosen, 0] = place[test][chosen]
        groups = guessed_groups(
            curation.probe,
            features[test],
            labels[test],
            said,
            CLASSES,
            ["water"],
            reference_features=pool.features,
            reference_labels=pool.labels,
            held_out=curation.probe_accuracy,
        )
        ours = estimated_evaluation(predicted, labels[test], groups, TRAIN, "test")
        taken = evaluate(predicted, labels[test], groups.grouping, TRAIN, "test")
        found[tags] = (_held(ours, truth), _held(taken, truth))
    return found


def _held(estimate: Evaluation, truth: Evaluation) -> list[bool]:
    true = {(group.class_name, group.concept): group.accuracy for group in truth.groups}
    return [group.low <= true[group.class_name, group.concept] <= group.high for group in estimate.groups]


def luck(share: float, draws: int) -> float:
    """Three standard errors of a share."""
    return float(3 * np.sqrt(share * (1 - share) / draws))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few draws")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    draws, seeds = (100, 3) if options.quick else (1000, 25)
    tables = {
        "Intervals that hold the smallest accuracy (95%)": ("ours", "bootstrap", minima(draws)),
        "Rises claimed where there is none (at most 5%)": ("ours", "McNemar", claims(draws)),
        "Intervals that hold a guessed group's accuracy (95%)": ("ours", "guesses", estimates(seeds)),
    }
    for title, (ours, other, lines) in tables.items():
        print(f"{title:46}{ours:>8}{other:>12}")
        for line in lines:
            print(line)
    if options.json:
        print(json.dumps({title: [vars(line) for line in lines] for title, (_, _, lines) in tables.items()}))
    if not all(line.met for _, _, lines in tables.values() for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
