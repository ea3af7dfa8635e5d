"""docs/command-line.md from the options of every verb, so that it says what the commands take.

python scripts/command_line.py          write it
python scripts/command_line.py --check  say whether it is up to date
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.commands.parser import make_parser  # noqa: E402

GUIDE = ROOT / "docs" / "command-line.md"
HEAD = """# The command line

Everything the pages do can be done without a browser: `python -m core COMMAND`. `--json` prints one JSON object on the
last line of stdout and nothing else there, for scripts; a problem is told on stderr with its next step, and ends with
exit code 2. Names of images are relative to their dataset; accuracies are shares from 0 to 1.

This page is written by `python scripts/command_line.py` from the commands themselves.
"""


def guide() -> str:
    """The whole page, as Markdown."""
    parser = make_parser()
    verbs = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in verbs._choices_actions}
    common = [action for action in parser._actions if action.option_strings and action.dest != "help"]
    everywhere = {action.dest for action in common}
    parts = [HEAD, "| command | what it does |", "| --- | --- |"]
    parts += [f"| [`{name}`](#{name}) | {summary} |" for name, summary in summaries.items()]
    parts += ["", "## For every command", "", *_options(common)]
    parts += [
        "",
        "`--analysis ID` chooses among several analyses, where a command works on one; by default the one used last.",
    ]
    for name, verb in verbs.choices.items():
        own = [action for action in verb._actions if action.dest not in {*everywhere, "help", "analysis"}]
        parts += ["", f"## {name}", "", _sentence(summaries[name]), "", "```sh", _usage(name, own), "```"]
        parts += ["", *_options(own)] if own else []
    return "\n".join(parts) + "\n"


def _sentence(summary: str) -> str:
    return summary if summary.endswith("?") else f"{summary}."


def _usage(name: str, actions: Iterable[argparse.Action]) -> str:
    """The command with what it cannot do without."""
    needed = [_written(action) for action in actions if not action.option_strings or action.required]
    return " ".join(["python -m core", name, *needed])


def _options(actions: Iterable[argparse.Action]) -> list[str]:
    rows = ["| option | |", "| --- | --- |"]
    return rows + [f"| `{_cell(_written(action, every=True))}` | {_cell(_help(action))} |" for action in actions]


def _written(action: argparse.Action, *, every: bool = False) -> str:
    if not action.option_strings:
        return _values(action)
    names = ", ".join(action.option_strings) if every else action.option_strings[0]
    return names if action.nargs == 0 else f"{names} {_values(action)}"


def _values(action: argparse.Action) -> str:
    if action.metavar is not None:
        return action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar)
    return "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()


def _help(action: argparse.Action) -> str:
    known: Mapping[str, object] = {
        **vars(action),
        "choices": ", ".join(map(str, action.choices or ())),
        "prog": "python -m core",
    }
    return (action.help or "") % known


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> int:
    written = guide()
    if "--check" in sys.argv[1:]:
        if GUIDE.is_file() and GUIDE.read_text(encoding="utf-8") == written:
            return 0
        print(f"{GUIDE.relative_to(ROOT)} is not what the commands are now: python scripts/command_line.py writes it.")
        return 1
    GUIDE.write_text(written, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
