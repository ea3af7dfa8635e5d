"""Present: one investigation told to an audience, step by step, on the whole screen."""

from pages.parts import present_room, state

present_room.enter(state.analysis())
