"""Results: whether the repair worked, for whom, and the files to take away."""

from functools import partial

from pages.parts import head, state, verdict

heading = partial(head.show, "results", "Measured on test images: no layer of either model has learnt from them.")

analysis = state.analysis_or_invite(heading)
heading()
verdict.show(analysis)
