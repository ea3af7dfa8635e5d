"""What few tags regain on data with planted truth: birds, shapes and digits, each with five networks.

    python -m benchmarks.bench_tagging --keep DIR      makes data, trains 15 networks, prints the tables (~25 min)
    python -m benchmarks.bench_tagging --quick         one network per set on less data: whether it works, no figures
    python -m benchmarks.bench_tagging --sets shapes   some of the sets only
    python -m benchmarks.bench_tagging --seeds 100 101 102   other data and networks, to tune on: see planted_sets.py

A simulated person (simulated_person.py) answers `suggest_next` from the planted truth in batches of ten, and the queue
is asked again after each: as on the page, it plans for the usual budget whenever the person will stop. An attribute of
three values is tagged as one concept per value, which takes three answers per image: "20 tags" are images looked at.
Beside it: the same number of images drawn at random, every val image tagged, nobody, and oracle DFR, which knows every
val group. All figures are on test. "of the gap" is the share of the way from ERM to the stronger of two oracles
(planted_sets.py) in worst-group accuracy: mean and standard deviation over the networks. Wrong answers and random
images are drawn anew `--draws` times per network, and averaged. Other methods: bench_methods.py.
"""

from __future__ import annotations

import json

from benchmarks.planted_sets import HEADER, Figures, Measured, Network, folders, lines, networks_of, parser_of
from benchmarks.simulated_person import Condition
from core.errors import NotEnoughTags

BATCH = 10

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


def measure(network: Network, draws: int) -> Measured:
    found = network.beside()
    for condition in CONDITIONS:
        found[condition.title] = [
            _answered(network, condition, draw) or found["ERM"][0] for draw in range(draws if condition.is_drawn else 1)
        ]
    return found


def _answered(network: Network, condition: Condition, draw: int) -> Figures | None:
    """None where the answers do not suffice: the classifier stays as it is."""
    gathered = network.answered(condition, draw)
    try:
        return network.fitted(condition.method, gathered)
    except NotEnoughTags as error:
        print(f"  {condition.title}, draw {draw}: {error.detail} Counted as ERM.")
        return None


def main() -> None:
    options = parser_of(__doc__).parse_args()
    draws = 1 if options.quick else options.draws
    demands = {condition.title: condition.demand for condition in CONDITIONS}
    result: dict[str, dict[str, object]] = {}
    missed: list[str] = []
    with folders(options) as (workspace, folder):
        for name in options.sets:
            measured = [measure(network, draws) for _, network in networks_of(workspace, folder, name, options)]
            print(f"\n{name}, {len(measured)} networks\n{HEADER}")
            found = lines(measured, demands)
            for line in found:
                print(line, flush=True)
            missed += [f"{name}: {line.title}" for line in found if line.met is False]
            result[name] = {line.title: line.to_dict() for line in found}
    print(f"\ndemands missed: {'; '.join(missed)}" if missed else "\nall demands met")
    if options.json:
        print(json.dumps({"seeds": options.seeds, "sets": result, "missed": missed}))


if __name__ == "__main__":
    main()
