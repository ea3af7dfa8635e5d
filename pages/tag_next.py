"""Tag next: a short queue of the images whose answers say most."""

from pages.parts import state, tag_queue, theme

theme.heading(
    "Tag next",
    "A few dozen answers about the right images are worth more than thousands about any. Here they come, batch by batch.",
)
tag_queue.work_through(state.analysis_or_invite())
