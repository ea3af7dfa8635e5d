"""Runs: every repair so far, side by side, with what people noted about them."""

from pages.parts import runs_table, state, theme

theme.heading("Runs", "Every repair so far. Pick one to name it or have it again, two to compare them.")
runs_table.show(state.analysis_or_invite())
