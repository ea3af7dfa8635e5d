"""What the log of tags costs once it is long: 60,000 actions, 300,000 tags, three people, five concepts.

    python -m benchmarks.bench_log
    python -m benchmarks.bench_log --actions 200000

Each figure is the best of a few runs in this process: the clock's, and processor time beside it, which counts on a
machine with other work. The dataset has 100,000 images, of which half were tagged. "Anew" is reading what holds for a
concept after it changed; a page that asks again gets it from memory.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.concepts.agreement import agreements
from core.concepts.concept import create_concept
from core.concepts.history import authors, history
from core.concepts.labels import judge, label_verdicts
from core.concepts.log import settle_tags
from core.concepts.tags import redo, tag, tag_states, tag_version, tags_of, undo
from core.database import DatasetRecord
from core.workspace import Workspace, open_workspace

IMAGES, TAGGED, CONCEPTS, EACH = 100_000, 50_000, 5, 5
PEOPLE = ("Ann", "Bob", "Cy")
_BLOCK = 20_000


class Images:
    """As much of an analysis as tags need: names, looked up as `Analysis.rows_named` does."""

    dataset_id = "d"
    n = IMAGES
    attributes = ()
    classes = ("a", "b")
    labels = np.arange(IMAGES) % 2

    def __init__(self) -> None:
        self.names = [f"images/class_{i % 7}/photo_{i:06d}.jpg" for i in range(IMAGES)]

    def image_names(self, rows: Any) -> list[str]:
        return [self.names[row] for row in np.asarray(rows).tolist()]

    def rows_named(self, names: list[str]) -> np.ndarray:
        rows = {name: row for row, name in enumerate(self.names)}
        return np.array([rows.get(name, -1) for name in names], dtype=np.int64)


def fill(workspace: Workspace, images: Images, concepts: list[int], actions: int) -> None:
    rng = np.random.default_rng(0)
    with workspace.writing() as session:
        run = session.connection().exec_driver_sql
        for first in range(0, actions, _BLOCK):
            numbers = range(1000 + first, 1000 + min(first + _BLOCK, actions))
            run(
                "INSERT INTO tag_actions (id, dataset_id, source, author, created, subject, state, images) "
                "VALUES (?, 'd', 'person', ?, '2026-01-01 00:00:00.000000', 'c', 'present', ?)",
                [(number, PEOPLE[number % len(PEOPLE)], EACH) for number in numbers],
            )
            starts = rng.integers(0, TAGGED - EACH, size=len(numbers)).tolist()
            run(
                "INSERT INTO tags (action_id, concept_id, image, state) VALUES (?, ?, ?, ?)",
                [
                    (number, concepts[number % CONCEPTS], images.names[start + i], "present" if start % 3 else "absent")
                    for number, start in zip(numbers, starts, strict=True)
                    for i in range(EACH)
                ],
            )
        settle_tags(session)


def timed(name: str, work: Callable[[], Any], *, runs: int = 5) -> None:
    clock, processor = [], []
    for _ in range(runs):
        begun = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begun[0])
        processor.append(time.process_time() - begun[1])
    print(f"{name:44s} {1e3 * min(clock):9.1f} ms {1e3 * min(processor):9.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actions", type=int, default=60_000)
    options = parser.parse_args()
    images: Any = Images()
    with tempfile.TemporaryDirectory() as folder:
        workspace = open_workspace(Path(folder))
        with workspace.writing() as session:
            session.add(DatasetRecord(id="d", name="d", root="/", source="none", fingerprint=""))
        concepts = [create_concept(workspace, "d", f"concept {i}") for i in range(CONCEPTS)]
        print(f"{'':44s} {'clock':>12s} {'processor':>12s}")
        timed(
            f"tag {TAGGED:,} images at once, empty log",
            lambda: tag(workspace, images, concepts[0], np.arange(TAGGED), True, author="Ann"),
            runs=1,
        )
        timed("  undo that", lambda: undo(workspace, "d", "Ann"), runs=1)
        fill(workspace, images, [concept.id for concept in concepts], options.actions)
        size = (workspace.root / "midband.db").stat().st_size
        print(f"{options.actions:,} actions, {options.actions * EACH:,} tags, {size / 1e6:.0f} MB")
        timed("tag_version", lambda: tag_version(workspace, "d"))
        timed("tags of 60 images", lambda: tags_of(workspace, images, np.arange(60)))
        timed("what holds for a concept, anew", lambda: tag_states(workspace, _again(images), concepts[0]))
        timed("what holds for a concept, again", lambda: tag_states(workspace, images, concepts[0]))
        timed("tag one image", lambda: tag(workspace, images, concepts[0], [7], True, author="Ann"))
        timed("undo", lambda: undo(workspace, "d", "Bob"))
        timed("redo", lambda: redo(workspace, "d", "Bob"))
        timed("undo, of anybody", lambda: undo(workspace, "d"))
        timed("redo, of anybody", lambda: redo(workspace, "d"))
        timed("a page of history", lambda: history(workspace, "d"))
        timed("authors, anew", lambda: authors(workspace, "d"), runs=1)
        timed("authors, again", lambda: authors(workspace, "d"))
        timed("agreement, one concept", lambda: agreements(workspace, images, concepts[0]), runs=1)
        timed("agreement, all concepts", lambda: agreements(workspace, images), runs=1)
        timed(
            f"tag {TAGGED:,} images at once, long log",
            lambda: tag(workspace, images, concepts[0], np.arange(TAGGED), True, author="Ann"),
            runs=1,
        )
        timed("  undo that", lambda: undo(workspace, "d", "Ann"), runs=1)
        judge(workspace, images, np.arange(5000), "wrong")
        timed("5,000 verdicts on labels, anew", lambda: label_verdicts(workspace, _again(images)))
        timed("5,000 verdicts on labels, again", lambda: label_verdicts(workspace, images))


def _again(images: Images) -> Any:
    """The same images as an object of their own, of which nothing is in memory."""
    fresh = Images.__new__(Images)
    fresh.names = images.names
    return fresh


if __name__ == "__main__":
    main()
