"""Bands: slide along a class's logit and look at what lies there."""

from pages.parts import band_view, state, theme

theme.heading(
    "Bands",
    "Slide along what the model thinks of one class. At the top it is certain; the middle shows what it confuses.",
)
band_view.explore(state.analysis_or_invite())
