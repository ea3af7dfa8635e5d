"""When fits compute in float64."""

from __future__ import annotations

# features of up to this many entries are handled in float64: exact, and fast enough to be unnoticeable.
# Above it, float32 halves time and memory.
DOUBLE = 1_000_000
