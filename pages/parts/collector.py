"""Python's garbage collector and a server with many modules.

Streamlit collects garbage after every run of a page, in which time nothing of what was drawn is sent: 0.15 s for the
several hundred thousand objects of numpy, pandas and Streamlit itself, which never are garbage.
"""

from __future__ import annotations

import gc
import sys

# new modules from which on it is worth it. What lives at such a moment is never looked at again, so it is to be rare:
# a session whose objects hold each other stays in memory then.
WORTH = 40

_spared = 0


def spare_modules() -> None:
    """Have the collector pass over everything there is, if many modules were imported since the last time. To be called
    before a run, when the garbage of the last one is gone."""
    global _spared
    if len(sys.modules) - _spared >= WORTH:
        _spared = len(sys.modules)
        gc.freeze()
