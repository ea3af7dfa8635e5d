"""Tag next: a short queue of the images whose answers say most, and a look at what they lead to."""

from pages.parts import state, tag_room

tag_room.enter(state.analysis_or_invite(tag_room.heading))
