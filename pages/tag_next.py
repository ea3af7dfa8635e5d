"""Tag next: a short queue of the images whose answers say most, and a look at what they lead to."""

from core.access.policy import Permission
from pages.parts import gate, state, tag_room

if not gate.closed(Permission.TAG):
    tag_room.enter(state.analysis_or_invite(tag_room.heading))
