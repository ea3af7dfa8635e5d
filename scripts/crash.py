"""Kill tagging, analysing, retraining and exporting at random points, and look whether anything is lost.

    python -m scripts.crash [--points 300] [--seed 0] [--only tagging,analyse,retrain,export] [--processes 2]

At each point the work of a scene (crash_scenes.py) starts in a process group of its own and that gets SIGKILL: half of
the time after a random share of the time that the work takes, half of the time right before a random one of its
writes (a file opened for writing, renamed or removed, a folder made or removed, a commit). One in four is killed a
second time while it goes on. Then it is looked at:

- everything that was acknowledged is there: the child says so through a pipe once a call has returned;
- the database is whole, and what can be read is whole: equal to that of a run that nobody killed, or absent;
- the same work, started again, ends in the same bytes as the run that nobody killed.

Prints one JSON object and ends with 1 if anything was lost or differs. The processes are forked from one that has
everything imported, so that a point takes the time of the work and not of its imports.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sqlalchemy import Engine
from sqlalchemy.event import listen

from scripts.crash_scenes import SCENES, Scene, damage, prepare

WRITES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"})
FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TWICE = 0.25
# seconds after which a process counts as hanging
PATIENCE = 120


@dataclass(frozen=True)
class Outcome:
    """What became of one point. way: time or write. at: share of the time, or number of the write. kills: that reached
    a process that was still at work. acknowledged: steps, before the last kill. lost: what is missing or damaged.
    differing: parts that the rerun made otherwise than a run without a kill."""

    scene: str
    point: int
    way: str
    at: float
    kills: int
    acknowledged: int
    lost: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """A run that nobody killed. states: what was seen after each step, the first before any. seconds, writes: how long
    the work took, and how many writes it made."""

    states: tuple[dict[str, str], ...]
    seconds: float
    writes: int


@dataclass
class Harness:
    """root: a folder of its own. prepare(work): makes what the first scene begins with. look(work): what the database
    says of itself, empty when it is whole."""

    root: Path
    scenes: Mapping[str, Scene]
    prepare: Callable[[Path], None]
    look: Callable[[Path], list[str]]
    references: dict[str, Reference] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """Always the same one: paths are part of results."""
        return self.root / "work"

    def make(self, names: Sequence[str]) -> None:
        """What the scenes begin with, and what a run without a kill makes of it. Raises `RuntimeError`."""
        self.work.mkdir(parents=True)
        _value(_answer(lambda: self.prepare(self.work), self.root, warm=True))
        shutil.copytree(self.work, self._kept(""))
        wanted = set(names)
        for name in reversed(self.scenes):
            if name in wanted:
                wanted.add(self.scenes[name].base)
        for name, scene in self.scenes.items():
            if name in wanted:
                self._begin_at(scene.base)
                self.references[name] = self._reference(scene)
                shutil.copytree(self.work, self._kept(name))

    def point(self, name: str, number: int, seed: int) -> Outcome:
        """Kill a scene once or twice, look, have it again, look again."""
        scene, reference = self.scenes[name], self.references[name]
        rng = np.random.default_rng([seed, number])
        way = ("time", "write")[int(rng.integers(2))]
        self._begin_at(scene.base)
        lost: list[str] = []
        begin = kills = 0
        at = 0.0
        for _ in range(1 + int(rng.random() < TWICE)):
            # of what is left to do
            share = 1 - begin / scene.steps
            at = rng.random() * share if way == "time" else float(rng.integers(1, int(reference.writes * share) + 2))
            landed, acknowledged = self._killed(scene, begin, way, at * (reference.seconds if way == "time" else 1))
            kills += landed
            begin, found = self._judged(scene, reference, acknowledged)
            lost += found
            if lost or acknowledged == scene.steps:
                break
        differing: list[str] = []
        if not lost:
            # a job begins again as a whole, whatever the first one finished
            resumed = begin if scene.steps > 1 else 0
            answer = _answer(lambda: scene.work(self.work, resumed, _nobody), self.root)
            lost += [f"the rerun failed: {answer['failed']}"] if "failed" in answer else []
            lost += self.look(self.work)
            differing = _apart(self._seen(scene), reference.states[-1])
        return Outcome(name, number, way, round(at, 4), kills, begin, tuple(lost), tuple(differing))

    def _killed(self, scene: Scene, begin: int, way: str, at: float) -> tuple[int, int]:
        """Start the work and kill it after `at` seconds, or before write number `at`. Gives whether it was still at
        work, and how many steps are acknowledged."""
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            _become(self.root, stop_at=int(at) if way == "write" else None)
            _end(lambda: scene.work(self.work, begin, lambda step: _tell(write, step)))
        os.close(write)
        if way == "time":
            time.sleep(at)
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        with os.fdopen(read, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(pid, 0)
        # what has no end of line was not acknowledged
        steps = told[: told.rfind(b"\n") + 1].split()
        landed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        return int(landed), int(steps[-1]) + 1 if steps else begin

    def _judged(self, scene: Scene, reference: Reference, acknowledged: int) -> tuple[int, list[str]]:
        """The step to go on from, and what is lost: there has to be the state after what was acknowledged, or after
        the step that was under way."""
        found = self.look(self.work)
        try:
            seen = self._seen(scene)
        except RuntimeError as error:
            return acknowledged, [*found, f"cannot be read: {error}"]
        for step in (acknowledged, acknowledged + 1):
            if step < len(reference.states) and seen == reference.states[step]:
                return step, found
        parts = _apart(seen, reference.states[acknowledged])
        return acknowledged, [*found, f"after {acknowledged} acknowledged steps, other than it should be: {parts}"]

    def _reference(self, scene: Scene) -> Reference:
        """The work done twice without a kill: looked at after each step, then measured. Raises `RuntimeError`."""
        states = [self._seen(scene)]

        def watched() -> list[dict[str, str]]:
            after: list[dict[str, str]] = []
            scene.work(self.work, 0, lambda step: after.append(scene.seen(self.work)))
            return after

        states += _value(_answer(watched, self.root, warm=True))
        if len(states) != scene.steps + 1:
            raise RuntimeError(f"{len(states) - 1} steps were acknowledged, not {scene.steps}")
        # what was acknowledged is what anybody else could see at that moment: work that writes later has broken its
        # word without being killed
        if late := _apart(self._seen(scene), states[-1]):
            raise RuntimeError(f"written after it was acknowledged: {late}")
        self._begin_at(scene.base)
        measured = _answer(lambda: scene.work(self.work, 0, _nobody), self.root)
        _value(measured)
        if apart := _apart(self._seen(scene), states[-1]):
            raise RuntimeError(f"two runs without a kill differ in {apart}")
        return Reference(tuple(states), measured["seconds"], measured["writes"])

    def _seen(self, scene: Scene) -> dict[str, str]:
        """Looked at by a process of its own, as the next server would be. Raises `RuntimeError`."""
        seen: dict[str, str] = _value(_answer(lambda: scene.seen(self.work), self.root))
        return seen

    def _kept(self, name: str) -> Path:
        return self.root / f"after-{name or 'nothing'}"

    def _begin_at(self, name: str) -> None:
        shutil.rmtree(self.work)
        # times of files as well: an analysis knows its images by them
        shutil.copytree(self._kept(name), self.work)


# processes ------------------------------------------------------------------------------------------------------------

_writes = 0


def _become(root: Path, stop_at: int | None) -> None:
    """In a forked process: lead a group, print into a file, count writes below `root` and die before one of them."""
    os.setsid()
    # one that hangs ends as well, and is told as a failure
    signal.alarm(PATIENCE)
    log = os.open(root / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    below = str(root / "work")

    def count() -> None:
        global _writes
        _writes += 1
        if _writes == stop_at:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        written = event in WRITES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & FOR_WRITING)
        if written and str(arguments[0]).startswith(below):
            count()

    sys.addaudithook(hear)
    listen(Engine, "commit", lambda _connection: count())


def _end(work: Callable[[], object]) -> NoReturn:
    """Do the work and leave without what a normal end would tidy up."""
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell(pipe: int, step: int) -> None:
    os.write(pipe, b"%d\n" % step)


def _nobody(step: int) -> None:
    """Takes acknowledgements that nobody waits for."""


def _answer(work: Callable[[], Any], root: Path, *, warm: bool = False) -> dict[str, Any]:
    """What a function gives back in a process of its own, as JSON; or why it failed. warm: import here, too, what it
    imported there."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        _become(root, stop_at=None)

        def answered() -> None:
            begun = time.monotonic()
            value = work()
            facts = {"value": value, "seconds": time.monotonic() - begun, "writes": _writes}
            facts["modules"] = sorted(sys.modules) if warm else []
            with os.fdopen(write, "w") as pipe:
                json.dump(facts, pipe)

        _end(answered)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        return {"failed": f"status {status}: {(root / 'log.txt').read_text(errors='replace')[-1500:]}"}
    answer: dict[str, Any] = json.loads(told)
    for name in answer["modules"]:
        if name not in sys.modules:
            # parts of packages that cannot stand alone
            with suppress(Exception):
                importlib.import_module(name)
    return answer


def _value(answer: dict[str, Any]) -> Any:
    if "failed" in answer:
        raise RuntimeError(answer["failed"])
    return answer["value"]


def _apart(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(part for part in {*one, *other} if one.get(part) != other.get(part))


# all of them ----------------------------------------------------------------------------------------------------------


def summary(outcomes: Sequence[Outcome], seed: int, seconds: float) -> dict[str, Any]:
    """What is printed."""
    by_scene = Counter(outcome.scene for outcome in outcomes)
    return {
        "points": len(outcomes),
        "kills": sum(outcome.kills for outcome in outcomes),
        "lost": sum(bool(outcome.lost) for outcome in outcomes),
        "differing": sum(bool(outcome.differing) for outcome in outcomes),
        "by_scene": {
            name: {
                "points": count,
                "kills": sum(outcome.kills for outcome in outcomes if outcome.scene == name),
                "before_a_write": sum(outcome.way == "write" for outcome in outcomes if outcome.scene == name),
            }
            for name, count in by_scene.items()
        },
        "seed": seed,
        "seconds": round(seconds, 1),
        "failures": [asdict(outcome) for outcome in outcomes if outcome.lost or outcome.differing],
    }


def _share(points: list[tuple[int, str]], seed: int) -> list[Outcome]:
    """Some of the points, in one process and below one folder."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="midband-crash-") as folder:
        harness = Harness(Path(folder), SCENES, prepare, damage)
        harness.make(sorted({name for _, name in points}))
        outcomes = []
        for number, name in points:
            outcomes.append(harness.point(name, number, seed))
            if number % 25 == 0:
                print(f"{time.strftime('%H:%M:%S')} point {number}", file=sys.stderr, flush=True)
        return outcomes


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Kill the work at random points and look whether anything is lost.")
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(SCENES), help="scenes, with commas: %(default)s")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in SCENES]:
        parser.error(f"There is no scene {unknown[0]!r}; there are {', '.join(SCENES)}.")
    # forked processes inherit no threads: none may be waited for
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    begun = time.monotonic()
    points = [(number, names[number % len(names)]) for number in range(options.points)]
    processes = max(1, min(options.processes, len(points)))
    # every share has points of every scene
    whole = len(names) * processes
    shares = [[one for one in points if one[0] % whole // len(names) == share] for share in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        outcomes = [outcome for part in pool.map(_share, shares, [options.seed] * processes) for outcome in part]
    told = summary(outcomes, options.seed, time.monotonic() - begun)
    print(json.dumps(told, indent=2))
    return 1 if told["lost"] or told["differing"] else 0


if __name__ == "__main__":
    sys.exit(main())
