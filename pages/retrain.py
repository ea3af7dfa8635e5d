"""Retrain: what the new last layer will learn from, and one button."""

from pages.parts import repair, state, theme

theme.heading(
    "Retrain",
    "Only the last layer is fitted again, on images chosen so that each class and what usually comes with it part. "
    "It takes seconds.",
)
repair.offer(state.analysis_or_invite())
