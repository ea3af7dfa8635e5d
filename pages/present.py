"""Present: one investigation told to an audience, step by step, on the whole screen."""

from pages.parts import state, theme

theme.heading("Present", "One investigation told to an audience, step by step.")
state.analysis_or_invite()
