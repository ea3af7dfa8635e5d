"""What runs in a job's own process: `python -m core.jobs.worker --workspace DIR --job ID`.

It waits until the jobs before it in the workspace have ended, runs its own, and writes down what came of it. Nothing
heavy is imported while it waits. A thread of its own writes progress and signs of life, so that the work never waits
for the database and a long computation still shows that it lives.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from sqlalchemy import select
from sqlalchemy.orm import Session

from core import logs
from core.access.person import Person, Role, acting_as
from core.database import JobRecord, RunRecord, now
from core.errors import Cancelled, DiskFull, MidbandError, OutOfMemory
from core.jobs import processes
from core.jobs.control import wake_next
from core.jobs.endings import unexpected
from core.jobs.job import ACTIVE, DONE, FAILED, PAUSED, QUEUED, RUNNING, SAMPLES_KEPT
from core.jobs.kinds import kind_of
from core.jobs.queue import alive, log_path
from core.limits import held_memory, require_memory, watch_disk
from core.settings import DEFAULTS
from core.workspace import Workspace, open_workspace

# Seconds between two looks whether it is this job's turn.
TURN_SECONDS = 0.2
# Seconds between two lines in the log that differ in their numbers only.
LOG_SECONDS = 2.0
# Politeness towards the pages on a machine with few cores (Unix nice value).
NICENESS = 5
_log = logs.get_logger("jobs")


class Reporter:
    """The `Progress` of a job: keeps the latest state in memory, a thread carries it into the database."""

    def __init__(self, workspace: Workspace, job_id: str, log: TextIO) -> None:
        self._workspace = workspace
        self._job_id = job_id
        self._log = log
        self._lock = threading.Lock()
        self._done, self._total, self._message = 0, 0, ""
        self._samples: deque[list[float]] = deque(maxlen=SAMPLES_KEPT)
        self._changed = False
        self._logged, self._logged_at = "", -math.inf
        self.stopped = threading.Event()
        # why it stops, where nobody asked for it
        self.fault: MidbandError | None = None
        # bytes; None: none
        self.memory_limit: int | None = None
        self._asked_at: float | None = None
        self._ended = threading.Event()

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Raises `Cancelled` once somebody asked for the end."""
        with self._lock:
            if total != self._total or done < self._done:
                self._samples.clear()
            self._done, self._total = done, total
            self._message = message or self._message
            self._sample(time.time())
            self._changed = True
        self._log_message(message)
        if self.stopped.is_set():
            raise Cancelled

    def _log_message(self, message: str) -> None:
        # messages may change with every batch ("loss 0.412"): a new phase is always logged, numbers now and then
        phase = re.split(r"[:\d]", message)[0]
        same = phase == re.split(r"[:\d]", self._logged)[0]
        if message and message != self._logged and not (same and time.monotonic() - self._logged_at < LOG_SECONDS):
            self._logged, self._logged_at = message, time.monotonic()
            self.say(message)

    def say(self, text: str) -> None:
        """Write a line into the job's log."""
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._log, flush=True)

    def _sample(self, at: float) -> None:
        # the newest sample follows the work; it becomes a fixed one when it is far enough from the one before
        if len(self._samples) >= 2 and self._samples[-1][0] - self._samples[-2][0] < 0.5:
            self._samples[-1] = [at, float(self._done)]
        elif not self._samples or self._done != self._samples[-1][1]:
            self._samples.append([at, float(self._done)])

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Carry progress and signs of life into the database while the block runs."""
        thread = threading.Thread(target=self._carry, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(timeout=5)

    def _carry(self) -> None:
        beat = 0.0
        while not self._ended.wait(DEFAULTS.progress_seconds):
            due = time.monotonic() - beat >= DEFAULTS.heartbeat_seconds
            if not (self._changed or due):
                continue
            try:
                self._write()
                if due:
                    self._watch()
            except MidbandError as error:
                # a full disk or a locked database: the work goes on, the next write may succeed
                self.say(f"Progress not written: {error}")
            if due:
                beat = time.monotonic()

    def record_in(self, record: JobRecord) -> None:
        """Put the latest progress into the row."""
        with self._lock:
            record.done, record.total, record.message = self._done, self._total, self._message
            record.samples = [list(sample) for sample in self._samples]
            self._changed = False

    def _write(self) -> None:
        with self._workspace.writing() as session:
            record = session.get_one(JobRecord, self._job_id)
            record.heartbeat = now()
            if record.state == RUNNING:
                self.record_in(record)
            asked = record.cancel_requested or (record.pause_requested if record.state != PAUSED else None)
        if asked is not None:
            self.stopped.set()

    def _watch(self) -> None:
        """End the work when it takes what others need, or does not stop when it should."""
        if self.stopped.is_set():
            self._asked_at = self._asked_at or time.monotonic()
            if time.monotonic() - self._asked_at > DEFAULTS.cancel_grace:
                # the work does not report any more, and nobody may be looking: end it from inside, children included
                os.killpg(os.getpgrp(), signal.SIGKILL)
            return
        try:
            watch_disk(self._workspace.root)
        except DiskFull as error:
            # its half-made files go first: it may stop by itself
            self.fault = error
            self.stopped.set()
        members = processes.group_members(os.getpgrp(), processes.started_at(os.getpgrp()) or 0.0)
        try:
            require_memory(held_memory(members), self.memory_limit)
        except OutOfMemory as error:
            self.say(str(error))
            with self._workspace.writing() as session:
                # becomes "failed" at the next look, once the processes are gone
                session.get_one(JobRecord, self._job_id).error = error.to_dict()
            os.killpg(os.getpgrp(), signal.SIGKILL)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run one job of a workspace (started by core.jobs.launcher).")
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--job", required=True)
    options = parser.parse_args(arguments)
    os.nice(NICENESS)
    workspace = open_workspace(options.workspace, create=False)
    reporter = Reporter(workspace, options.job, sys.stdout)
    _stop_on_signal(reporter)
    logs.keep_in(workspace.root)
    with reporter.reporting():
        record = _wait_for_turn(workspace, options.job, reporter)
        if record is None:
            return 0
        # what they may do was asked when they asked for it
        with acting_as(Person(record.author, Role.OWNER.word)):
            return _work(workspace, record, reporter)


def _stop_on_signal(reporter: Reporter) -> None:
    owner = os.getpid()

    def stop(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner:
            # a child made by fork inherits this handler; it has nothing to tidy up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        reporter.stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _wait_for_turn(workspace: Workspace, job_id: str, reporter: Reporter) -> JobRecord | None:
    """The row, marked as running, once no other job of the workspace runs or waits before it; None: not needed."""
    while True:
        with workspace.reading() as session:
            free = _is_free(session, session.get_one(JobRecord, job_id))
        if free or reporter.stopped.is_set():
            with workspace.writing() as session:
                record = session.get_one(JobRecord, job_id)
                leader = os.getpgrp()
                if record.pid is None:
                    # its launcher was killed between starting this process and writing down so
                    record.pid, record.process_started = leader, processes.started_at(leader)
                    record.host, record.boot = processes.this_host(), processes.this_boot()
                if record.pid != leader or record.state != QUEUED:
                    return None
                if reporter.stopped.is_set() or record.cancel_requested or record.pause_requested:
                    # what becomes of it is written at the next look, once this process is gone
                    return None
                # looked at again under the write lock: two workers may have found their turn at once
                if _is_free(session, record):
                    record.state, record.heartbeat, record.error = RUNNING, now(), None
                    record.started = record.started or now()
                    reporter.memory_limit = record.memory_limit
                    return record
        wake_next(workspace)
        reporter.stopped.wait(TURN_SECONDS)


def _is_free(session: Session, record: JobRecord) -> bool:
    others = session.scalars(select(JobRecord).where(JobRecord.state.in_(ACTIVE), JobRecord.id != record.id))
    mine = (-record.priority, record.turn)
    return not any(
        (other.state == RUNNING or (other.state == QUEUED and (-other.priority, other.turn) < mine)) and alive(other)
        for other in others
    )


def _work(workspace: Workspace, record: JobRecord, reporter: Reporter) -> int:
    reporter.say(f"{record.title} ({record.kind}) {record.request}")
    _log.info("a job starts", job=record.id, kind=record.kind, author=record.author, attempt=record.attempt)
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    try:
        result = kind_of(record.kind).run(workspace, record.request, reporter)
    except Cancelled:
        reporter.stopped.set()
    except MidbandError as problem:
        reporter.say(str(problem))
        error = problem.to_dict()
    except Exception as problem:
        # all of it goes into the log; people read a sentence and where the log is
        reporter.say(traceback.format_exc())
        _log.error("a job failed for a reason nobody foresaw", error=problem, job=record.id, kind=record.kind)
        error = unexpected(problem, log_path(workspace, record.id)).to_dict()
    # whatever an interrupted job fails with (a child that was stopped with it, say) is the interruption
    stopped = result is None and reporter.stopped.is_set()
    if stopped and reporter.fault is not None:
        stopped, error = False, reporter.fault.to_dict()
    _log.info(
        "a job ends",
        job=record.id,
        kind=record.kind,
        state="stopping" if stopped else FAILED if result is None else DONE,
        problem=error and error["error"],
    )
    reporter.say("stopping" if stopped else "failed" if result is None else "done")
    if stopped:
        # what becomes of it (cancelled, paused, killed by the system) is written at the next look, once this process
        # and its children are gone
        return 128 + signal.SIGTERM
    with workspace.writing() as session:
        fresh = session.get_one(JobRecord, record.id)
        fresh.state = FAILED if result is None else DONE
        fresh.result, fresh.error, fresh.finished = result, error, now()
        fresh.exit_reason = error["detail"] if error else "Done."
        reporter.record_in(fresh)
        if result is not None and (run := session.get(RunRecord, result.get("run", ""))):
            # whoever looks at the run finds what its job printed
            run.job_id = record.id
    wake_next(workspace)
    return 0 if result is not None else 1


if __name__ == "__main__":
    sys.exit(main())
