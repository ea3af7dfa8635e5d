"""Tag next: a short queue of the images whose answers say most."""

from pages.parts import state, tag_queue, theme

theme.heading(
    "Tag next",
    "A few dozen answers about the right images are worth more than thousands about any. They come in batches.",
)
tag_queue.work_through(state.analysis_or_invite())
