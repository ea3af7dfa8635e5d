"""Bands: slide along what the model thinks of a class, or along any direction, and look at what lies there."""

from pages.parts import band_view, state

band_view.explore(state.analysis_or_invite(band_view.heading))
