"""Results: whether the repair worked, for whom, and the files to take away."""

from pages.parts import state, theme, verdict

theme.heading(
    "Results",
    "Measured on test images: no layer of either model has learnt from them.",
)
verdict.show(state.analysis_or_invite())
