"""docs/command-line.md says what the commands are."""

from __future__ import annotations

from core.commands.verbs import _ROOMS
from scripts.command_line import GUIDE, guide


def test_the_guide_is_what_the_commands_are_now() -> None:
    assert GUIDE.read_text(encoding="utf-8") == guide(), "python scripts/command_line.py writes it"


def test_every_command_has_its_part() -> None:
    parts = {line.removeprefix("## ") for line in guide().splitlines() if line.startswith("## ")}
    assert parts - {"For every command"} == {verb for verbs in _ROOMS.values() for verb in verbs}
    assert "`--direction D`" in guide()
    # help texts are filled in
    assert "%(" not in guide()
