"""Why a job ended that left no result, in a sentence with a next step."""

from __future__ import annotations

import errno
import signal
from pathlib import Path

from core.database import JobRecord
from core.errors import DiskFull, JobStopped, MidbandError, OutOfMemory, UnexpectedProblem
from core.jobs.job import QUEUED
from core.jobs.kinds import kind_of

# how libraries say that memory ran out without raising MemoryError
_NO_MEMORY = ("can't allocate memory", "cannot allocate memory", "out of memory", "not enough memory")
_CLOSE_OTHERS = "Close other programs or use fewer images, then start it again."


def interrupted(record: JobRecord, code: int | None, *, rebooted: bool, elsewhere: str) -> MidbandError:
    """What became of a job whose process is gone.

    code: its exit code as a shell tells it (128 + number of the signal that killed it); None: not known. rebooted: the
    machine was restarted since. elsewhere: name of the machine it ran on, empty for this one.
    """
    next_step = kind_of(record.kind).after_interruption(record.request)
    if rebooted:
        return JobStopped("The machine was restarted while it was under way.", next_step=next_step)
    if elsewhere:
        return JobStopped(f"The machine it ran on ({elsewhere}) gives no sign of life any more.", next_step=next_step)
    if record.state == QUEUED and record.started is None:
        return JobStopped(
            f"Its process ended while it was waiting for its turn{_by(code)}.",
            next_step="Start it again: nothing was lost.",
        )
    if code == 128 + signal.SIGKILL:
        return JobStopped(
            "Its process was killed by signal 9 (SIGKILL): by a person, or by the system because the machine ran out "
            "of memory.",
            next_step=next_step,
        )
    if code is not None and code > 128:
        return JobStopped(f"Its process was killed{_by(code)}.", next_step=next_step)
    return JobStopped(
        "Its process ended without a result: it was killed from outside, or the memory ran out.", next_step=next_step
    )


def unexpected(problem: Exception, log: Path) -> MidbandError:
    """What people read about an exception that nobody expected: a sentence, and where the details are."""
    if isinstance(problem, MemoryError) or any(words in str(problem).lower() for words in _NO_MEMORY):
        return OutOfMemory("Out of memory: the memory of this machine did not suffice.", next_step=_CLOSE_OTHERS)
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk became full while it ran.", next_step="Free some space, then start it again.")
    return UnexpectedProblem(
        f"The job ended with an unexpected problem ({type(problem).__name__}); the log has the details.",
        next_step=f"Start it again; if it happens again, report it with the log: {log}.",
    )


def _by(code: int | None) -> str:
    if code is None or code <= 128:
        return ""
    try:
        return f" by signal {code - 128} ({signal.Signals(code - 128).name})"
    except ValueError:
        # a real-time signal has a number and no name
        return f" by signal {code - 128}"
