"""Concepts: what people named in the images, how it goes with the classes, and who said what."""

from pages.parts import palette, state

palette.show(state.analysis_or_invite(palette.heading))
