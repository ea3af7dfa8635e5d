"""What a job looks like from outside: its state, how far it is, and how long it will take."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import errors
from core.database import JobRecord
from core.errors import Cancelled, JobStopped, MidbandError

QUEUED, RUNNING, PAUSED = "queued", "running", "paused"
DONE, FAILED, CANCELLED = "done", "failed", "cancelled"
ACTIVE = (QUEUED, RUNNING, PAUSED)

# Enough to smooth uneven batches, few enough to follow a machine that becomes busy.
SAMPLES_KEPT = 24


@dataclass(frozen=True)
class Pace:
    """rate: steps per second. seconds_left: until `total`, at that rate. None: not known (yet)."""

    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Job:
    """One job as it is now.

    done, total: steps of the present phase, total 0 when unknown. rate: steps per second, seconds_left: seconds, both
    None when unknown. result: what it gave back, once `state` is "done". error: `MidbandError.to_dict()`, once it is
    "failed". stopping: somebody cancelled it, but its processes are not gone yet; pausing: the same before "paused".
    exit_reason: a sentence saying why it ended or stands still. attempt: which start of its process this is. author:
    who asked for it. needs_bytes: disk it is expected to write; memory_limit: bytes its processes may hold together.
    """

    id: str
    kind: str
    title: str
    request: dict[str, Any]
    state: str
    done: int
    total: int
    message: str
    rate: float | None
    seconds_left: float | None
    stopping: bool
    pausing: bool
    priority: int
    exit_reason: str
    attempt: int
    author: str
    needs_bytes: int | None
    memory_limit: int | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    log: Path
    pid: int | None
    created: datetime
    started: datetime | None
    finished: datetime | None

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def problem(self) -> MidbandError | None:
        """Why it has no result, as the error that was raised in its process; None while it may still have one."""
        if self.state == CANCELLED:
            return Cancelled(f"{self.title} was cancelled.")
        if self.state != FAILED or self.error is None:
            return None
        kind = getattr(errors, self.error["error"], JobStopped)
        return kind(self.error["detail"], next_step=self.error["next_step"], title=self.error["title"])

    @property
    def fraction(self) -> float | None:
        """How far the present phase is, 0..1; None when its length is unknown."""
        return min(self.done / self.total, 1.0) if self.total > 0 else None

    @property
    def seconds(self) -> float | None:
        """How long it has run, in seconds; None before its turn came."""
        if self.started is None:
            return None
        end = self.finished or datetime.now(UTC).replace(tzinfo=None)
        return max((end - self.started).total_seconds(), 0.0)

    def to_dict(self) -> dict[str, Any]:
        return {
            "job": self.id,
            "kind": self.kind,
            "title": self.title,
            "state": self.state,
            "done": self.done,
            "total": self.total,
            "message": self.message,
            "rate": self.rate,
            "seconds_left": self.seconds_left,
            "seconds": self.seconds,
            "priority": self.priority,
            "attempt": self.attempt,
            "author": self.author,
            "exit_reason": self.exit_reason,
            "needs_bytes": self.needs_bytes,
            "memory_limit": self.memory_limit,
            "result": self.result,
            "error": self.error,
            "log": str(self.log),
        }


def job_of(record: JobRecord, log: Path, now: float) -> Job:
    """The public view of a row. now: seconds since the epoch."""
    running = record.state == RUNNING and record.cancel_requested is None
    speed = pace(record.samples or [], record.total, now) if running else Pace()
    return Job(
        id=record.id,
        kind=record.kind,
        title=record.title,
        request=record.request,
        state=record.state,
        done=record.done,
        total=record.total,
        message=record.message,
        rate=speed.rate,
        seconds_left=speed.seconds_left,
        stopping=record.state in ACTIVE and record.cancel_requested is not None,
        pausing=record.state in (QUEUED, RUNNING) and None not in (record.pause_requested, record.pid),
        priority=record.priority,
        exit_reason=record.exit_reason,
        attempt=record.attempt,
        author=record.author,
        needs_bytes=record.needs_bytes,
        memory_limit=record.memory_limit,
        result=record.result,
        error=record.error,
        log=log,
        pid=record.pid,
        created=record.created,
        started=record.started,
        finished=record.finished,
    )


def pace(samples: Sequence[Sequence[float]], total: int, now: float) -> Pace:
    """Rate and time left from the last few (seconds, steps done) of one phase, oldest first.

    Work that resumes starts with a leap (0, then 5,000 at once). Counted as work it would promise an end in seconds,
    so an interval more than ten times as fast as the median one is left out.
    """
    if len(samples) < 2:
        return Pace()
    spans = [
        (later[0] - earlier[0], later[1] - earlier[1])
        for earlier, later in itertools.pairwise(samples)
        if later[0] > earlier[0]
    ]
    if not spans:
        return Pace()
    usual = statistics.median_low([steps / seconds for seconds, steps in spans])
    kept = [(seconds, steps) for seconds, steps in spans if steps <= 10 * usual * seconds] or spans
    elapsed = sum(seconds for seconds, _ in kept)
    # silence longer than usual counts too: a stalled job must not go on promising the same end
    silence = now - samples[-1][0]
    if silence > 3 * elapsed / len(kept):
        elapsed += silence
    rate = sum(steps for _, steps in kept) / elapsed
    if rate <= 0:
        return Pace()
    left = max(total - samples[-1][1], 0) / rate if total > 0 else None
    return Pace(rate=rate, seconds_left=left)
