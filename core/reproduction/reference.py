"""What the authors' public notebook reports, to stand beside what comes out here.

Accuracy on unbiased test pictures, mean of 5 seeds: 20,000 training pictures of dSprites, 80 epochs (the public
notebook of O'Mahony et al., WACV 2025, arXiv:2411.10019). No figure of the published tables is quoted.
"""

from __future__ import annotations

REFERENCE = {
    0.0: 0.827,
    0.1: 0.833,
    0.2: 0.864,
    0.3: 0.871,
    0.4: 0.880,
    0.5: 0.879,
    0.6: 0.816,
    0.7: 0.735,
    0.8: 0.630,
    0.9: 0.471,
    1.0: 0.340,
}
"""Bias level to accuracy, 0..1."""
LEVELS = tuple(REFERENCE)
