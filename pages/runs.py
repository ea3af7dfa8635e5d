"""Runs: every repair so far, side by side, with what people noted about them."""

from functools import partial

from pages.parts import head, runs_table, state

heading = partial(head.show, "runs", "Every repair so far. Pick one to name it or have it again, two to compare them.")

analysis = state.analysis_or_invite(heading)
heading(then="results" if state.runs_exist(analysis.id) else None)
runs_table.show(analysis)
