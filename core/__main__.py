"""The command line: `python -m core COMMAND`. Every step of the loop without a browser.

Exit codes: 0 done, 1 what was asked came out as no (a replay, `verify`, `doctor`), 2 a problem that the user can act on
(printed with its next step), 130 stopped by Ctrl-C. Anything else is a mistake of this program and shows its traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from core import logs
from core.commands.output import ProgressLine, print_answer, print_problem
from core.commands.parser import parse
from core.commands.verbs import run_verb
from core.errors import Cancelled, MidbandError

PROBLEM, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in words
    progress = ProgressLine(quiet="--quiet" in words)
    try:
        options = parse(words)
        logs.keep_in(Path(options.workspace).expanduser(), stderr="off")
        # nothing but the result may reach stdout: a library that prints goes to stderr
        with contextlib.redirect_stdout(sys.stderr), progress.until_interrupted():
            answer = run_verb(options, progress)
    except MidbandError as problem:
        progress.close()
        print_problem(problem, as_json=as_json)
        return INTERRUPTED if isinstance(problem, Cancelled) else PROBLEM
    except KeyboardInterrupt:
        # a second Ctrl-C, or a child process that heard the first one too
        progress.close()
        print_problem(progress.interruption, as_json=as_json)
        return INTERRUPTED
    progress.close()
    try:
        print_answer(answer, as_json=as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader (`head`) has seen enough; without this, Python complains once more while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return answer.code


if __name__ == "__main__":
    sys.exit(main())
