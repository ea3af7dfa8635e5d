"""Retrain: what the new last layer will learn from, and one button; or all ways at once, side by side."""

from pages.parts import retrain_room, state

retrain_room.enter(state.analysis_or_invite(retrain_room.heading))
