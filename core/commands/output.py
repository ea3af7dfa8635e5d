"""What a command prints: aligned text for people, one JSON object for programs, progress on stderr."""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TextIO

from core.errors import Cancelled, MidbandError
from core.jobs.job import SAMPLES_KEPT, Pace, pace

# Seconds between two progress lines where the terminal cannot rewrite one (a file, a pipe, CI).
PLAIN_LINE_SECONDS = 10.0
LIVE_LINE_SECONDS = 0.1
# A wrapper (make, timeout) may pass on the signal that the terminal has sent already.
SAME_KEYPRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Answer:
    """result: the object that `--json` prints. text: the same for a person. code: the exit code, 1 where what was asked
    came out as no."""

    result: dict[str, Any]
    text: str
    code: int = 0


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), *, left: int = 1, indent: str = "") -> str:
    """Columns padded to their widest cell; the first `left` columns to the left, the others to the right."""
    every = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    if not every:
        return ""
    widths = [max(len(row[column]) for row in every) for column in range(len(every[0]))]
    lines = (
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in every
    )
    return "\n".join(indent + line.rstrip() for line in lines)


def percent(share: float | None) -> str:
    """0.8153 -> "81.5%"; a dash where there is nothing to say."""
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}%"


def interval(low: float | None, high: float | None) -> str:
    """A confidence interval of a share: "[76.0, 85.9]", in percent."""
    return "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"


def number(value: float) -> str:
    """Five significant digits, without a needless exponent: logits are read, not copied."""
    return f"{value:.5g}"


def duration(seconds: float | None) -> str:
    """12 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 1 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def line_of(done: int, total: int, message: str, speed: Pace) -> str:
    """One line about work under way: what, how far, how fast, how long still."""
    parts = [message] if message else []
    if total > 0:
        parts.append(f"{done:,} of {total:,} ({done / total:.0%})")
    elif done > 0:
        parts.append(f"{done:,}")
    if speed.rate is not None and "/s" not in message:
        parts.append(f"{speed.rate:,.0f}/s" if speed.rate >= 10 else f"{speed.rate:.1f}/s")
    if speed.seconds_left is not None and done < total:
        parts.append(f"{duration(speed.seconds_left)} left")
    return "  ".join(parts)


class ProgressLine:
    """The `Progress` of a command: one line on stderr, rewritten in place where that is a terminal."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._quiet = quiet
        self._message = ""
        self._total = 0
        self._samples: deque[tuple[float, float]] = deque(maxlen=SAMPLES_KEPT)
        self._shown = -math.inf
        self._open = False
        self.stopped, self._stopped_at = False, 0.0
        # what the same command makes of work that was stopped; a command that knows better says so
        self.after_interruption = "an analysis goes on where it stopped"

    def __call__(self, done: int, total: int, message: str = "") -> None:
        """Raises `Cancelled` after Ctrl-C."""
        now = time.time()
        if total != self._total or (self._samples and done < self._samples[-1][1]):
            self._samples.clear()
        self._total, self._message = total, message or self._message
        if len(self._samples) >= 2 and self._samples[-1][0] - self._samples[-2][0] < 0.5:
            self._samples[-1] = (now, float(done))
        else:
            self._samples.append((now, float(done)))
        self.show(line_of(done, total, self._message, pace(self._samples, total, now)))
        if self.stopped:
            raise self.interruption

    @property
    def interruption(self) -> Cancelled:
        return Cancelled(
            "The work was stopped before its end.",
            next_step=f"Run the same command again any time; {self.after_interruption}.",
        )

    def show(self, line: str) -> None:
        now = time.monotonic()
        if self._quiet or now - self._shown < (LIVE_LINE_SECONDS if self._live else PLAIN_LINE_SECONDS):
            return
        self._shown = now
        if self._live:
            self._stream.write(f"\r\x1b[2K{line}")
            self._open = True
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Clear the line, so that what follows starts on one of its own."""
        if self._open:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._open = False

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Within the block the first Ctrl-C ends the work at its next step, tidily; a second one at once."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            if not self.stopped:
                self.stopped, self._stopped_at = True, time.monotonic()
            elif time.monotonic() - self._stopped_at > SAME_KEYPRESS_SECONDS:
                raise KeyboardInterrupt

        try:
            before = signal.signal(signal.SIGINT, stop)
        except ValueError:
            # not in the main thread (a test, a notebook): there is nothing to catch
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def print_answer(answer: Answer, *, as_json: bool) -> None:
    sys.stdout.write((dumps(answer.result) if as_json else answer.text) + "\n")


def print_problem(problem: MidbandError, *, as_json: bool) -> None:
    """The sentence and the next step on stderr; with `--json` the object on stdout as well."""
    sys.stderr.write(f"{problem.title}: {problem.detail}\n{problem.next_step}\n")
    if as_json:
        sys.stdout.write(dumps(problem.to_dict()) + "\n")


def dumps(value: dict[str, Any]) -> str:
    """One line of standard JSON: numbers that are not finite become null."""
    return json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
