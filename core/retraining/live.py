"""Estimates that follow the tags: a thread refits while somebody tags, and pages ask it for what it found last.

One `LiveRepair` serves every page that shows an analysis. It has its own copy of the held-out features, computes one
estimate at a time and always for the newest tags; after each it rests as long as it worked, so that it never takes more
than half of one core from the pages. Nobody asking for a while ends the thread and frees the memory. A few analyses are
followed at a time; one that somebody looks at is never given up for another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from core.concepts.tags import UNTAGGED, tag_version, tagging_split
from core.errors import MidbandError
from core.logs import get_logger
from core.retraining.live_estimate import LiveEstimate, LiveGround, live_estimate, live_ground
from core.retraining.material import assemble, check_needs, chosen_concepts
from core.retraining.pool import ConceptTags
from core.retraining.statements import Statements, read_statements
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

_log = get_logger("live")

# held-out images beyond those tagged that an estimate is made of; more cost memory and say the same
MOST_IMAGES = 10_000
# seconds without a question after which the thread ends
IDLE = 60.0
# seconds of rest after an estimate, at least
REST = 0.3
# analyses followed at a time, and estimates computed at a time
MOST_OPEN = 2
# seconds after its last question at which an analysis counts as left: another may be followed instead
LEFT = 5.0
# points of the way that are kept
MOST_MOMENTS = 60


@dataclass(frozen=True)
class Moment:
    """One point of the way: worst-group accuracy that a repair with so many tagged images would have."""

    tags: int
    worst: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LivePreview:
    """What the tags of one version allow. version: `tag_version`. concepts: names. tags: images tagged with one of
    them. estimate: None where `problem`, a sentence, says why there is none. seconds: that it took."""

    version: int
    concepts: tuple[str, ...]
    tags: int
    estimate: LiveEstimate | None
    problem: str
    seconds: float


class LiveRepair:
    """Follows the tags of one analysis. Safe to be used from several threads."""

    def __init__(self, workspace: Workspace, analysis: Analysis) -> None:
        self._workspace, self._analysis = workspace, analysis
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._asked = time.monotonic()
        self._wanted: int | None = None
        self._closed = False
        self._latest: LivePreview | None = None
        self._way: tuple[Moment, ...] = ()

    @property
    def asked(self) -> float:
        """When somebody asked last, of `time.monotonic`."""
        return self._asked

    @property
    def latest(self) -> LivePreview | None:
        """What was found last; None before the first."""
        return self._latest

    @property
    def way(self) -> tuple[Moment, ...]:
        """Estimates of this process for the concepts at hand, by number of tags."""
        return self._way

    def follow(self) -> LivePreview | None:
        """Say that somebody is looking: newer tags are computed in the background. Returns what was found last."""
        version = tag_version(self._workspace, self._analysis.dataset_id)
        with self._changed:
            self._asked = time.monotonic()
            if self._closed:
                return self._latest
            self._wanted = version
            if self.is_behind and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="live repair", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return self._latest

    def wait(self, seconds: float) -> LivePreview | None:
        """What was found for the tags asked about last; None when it takes longer."""
        with self._changed:
            done = self._changed.wait_for(lambda: not self.is_behind, timeout=seconds)
        return self._latest if done else None

    def close(self) -> None:
        """End the thread, after the estimate under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def changes(self, rows: Sequence[int] | np.ndarray) -> dict[int, int]:
        """Images among these rows that a repair would name otherwise: row -> class."""
        preview = self._latest
        rows = np.asarray(rows, dtype=np.int64)
        if preview is None or preview.estimate is None or not len(rows):
            return {}
        analysis = self._analysis
        now = preview.estimate.head.logits(np.asarray(analysis.features[rows], dtype=np.float32)).argmax(axis=1)
        differs = now != np.asarray(analysis.logits[rows]).argmax(axis=1)
        return dict(zip(rows[differs].tolist(), now[differs].tolist(), strict=True))

    @property
    def is_behind(self) -> bool:
        """Whether the tags asked about last are still to be computed."""
        return self._wanted is not None and (self._latest is None or self._latest.version != self._wanted)

    def _work(self) -> None:
        # in the thread alone: freed with it
        ground = _Ground(self._workspace, self._analysis)
        while True:
            with self._changed:
                while not self._closed and not self.is_behind:
                    left = self._asked + IDLE - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                version = self._wanted
                if self._closed or not self.is_behind or version is None:
                    self._thread = None
                    return
            # one that was given up may still be at its last estimate
            with _computing:
                preview = ground.preview(version)
            with self._changed:
                self._way = _onwards(self._way, self._latest, preview)
                self._latest = preview
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._closed, timeout=max(REST, preview.seconds))


class _Ground:
    """The part of an estimate that tags leave as it is, computed when it first differs."""

    def __init__(self, workspace: Workspace, analysis: Analysis) -> None:
        self._workspace, self._analysis = workspace, analysis
        self._usable: tuple[np.ndarray, ...] | None = None
        self._ground: LiveGround | None = None

    def preview(self, version: int) -> LivePreview:
        started = time.perf_counter()
        names: tuple[str, ...] = ()
        tags, estimate, problem = 0, None, ""
        try:
            chosen = chosen_concepts(self._workspace, self._analysis, ())
            names = tuple(concept.name for concept in chosen)
            check_needs("tags", self._analysis, chosen)
            statements = read_statements(self._workspace, self._analysis, chosen)
            ground = self._of(statements)
            states = statements.states[ground.pool.rows]
            tags = int((states != UNTAGGED).any(axis=1).sum())
            estimate = live_estimate(
                ground, [ConceptTags(name, states[:, i]) for i, name in enumerate(statements.names)]
            )
        except MidbandError as error:
            problem = f"{error.detail} {error.next_step}"
        except Exception as error:
            # nobody waits for this thread: what goes wrong has to be seen, and must not end it
            _log.error("the live preview failed", error=error, analysis=self._analysis.id)
            problem = "The estimate failed; the log of the server says why. Tags are saved all the same."
        return LivePreview(version, names, tags, estimate, problem, time.perf_counter() - started)

    def _of(self, statements: Statements) -> LiveGround:
        analysis = self._analysis
        on_train = np.zeros(analysis.n, dtype=bool)
        on_train[analysis.split_rows("train")] = True
        tagged = (statements.states != UNTAGGED).any(axis=1)
        surplus = _surplus(analysis, tagged)
        usable = (statements.wrong | surplus, statements.labels, statements.said & on_train)
        if (
            self._ground is None
            or self._usable is None
            or not all(np.array_equal(*each) for each in zip(usable, self._usable, strict=True))
        ):
            self._ground = None
            pool = assemble(analysis, replace(statements, wrong=usable[0])).material.pool
            self._usable, self._ground = usable, live_ground(pool)
        return self._ground


def _surplus(analysis: Analysis, tagged: np.ndarray) -> np.ndarray:
    """Held-out images to do without: (n,) bool. Of each class evenly spaced ones stay, and all that are tagged."""
    result = np.zeros(analysis.n, dtype=bool)
    rows = analysis.split_rows(tagging_split(analysis))
    if len(rows) > MOST_IMAGES:
        rows = rows[np.argsort(analysis.labels[rows], kind="stable")]
        result[rows] = True
        result[rows[np.linspace(0, len(rows) - 1, MOST_IMAGES).astype(np.int64)]] = False
        result[tagged] = False
    return result


def _onwards(way: tuple[Moment, ...], before: LivePreview | None, now: LivePreview) -> tuple[Moment, ...]:
    """The way with one more point. Of other concepts it begins anew; tags taken back take their points along."""
    if before is None or before.concepts != now.concepts:
        way = ()
    way = tuple(moment for moment in way if moment.tags < now.tags)
    if now.estimate is None:
        return way
    after = now.estimate.after
    way = (*way, Moment(now.tags, after.worst_group, *after.worst_interval))
    if len(way) > MOST_MOMENTS:
        # the one that is missed least: both ends stay, and the others about as far apart as they can be
        gaps = [way[i + 1].tags - way[i - 1].tags for i in range(1, len(way) - 1)]
        least = 1 + gaps.index(min(gaps))
        way = (*way[:least], *way[least + 1 :])
    return way


_open: dict[tuple[str, str], LiveRepair] = {}
_lock = threading.Lock()
_computing = threading.BoundedSemaphore(MOST_OPEN)


def live_repair(workspace: Workspace, analysis: Analysis) -> LiveRepair | None:
    """The one that all pages of this process share; None while as many other analyses are looked at as can be followed.

    Room is made by ending the one used longest ago, but for those that somebody still asks about.
    """
    key = (str(workspace.root), analysis.id)
    with _lock:
        if key not in _open:
            # those of tabs that were left, longest ago first
            left = sorted((one.asked, each) for each, one in _open.items() if time.monotonic() - one.asked > LEFT)
            for _, old in left[: max(0, len(_open) + 1 - MOST_OPEN)]:
                _open.pop(old).close()
            if len(_open) >= MOST_OPEN:
                return None
            _open[key] = LiveRepair(workspace, analysis)
        return _open[key]
