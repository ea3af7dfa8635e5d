"""Results: whether the repair worked, for whom, and the files to take away."""

from pages.parts import state, theme, verdict

theme.heading(
    "Results",
    "Measured on test images that neither training nor tagging has seen.",
)
verdict.show(state.analysis_or_invite())
