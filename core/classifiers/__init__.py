"""Image classifiers: loading them safely, parting them into backbone and head, training one.

Only `head`, `preprocessing`, `lookahead` and `image_cache` work without torch; import the other modules where they
are needed.
"""

from __future__ import annotations

import os

# Read by OpenMP when torch is loaded, so it has to be set before. By default OpenMP's threads spin while they wait for
# each other, which burns the cores that image decoding, the web server and the browser need: on two busy cores,
# training and extraction were three to five times slower for it. Waiting asleep costs little on an idle machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
