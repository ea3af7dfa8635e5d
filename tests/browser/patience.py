"""How long tests wait for what has to come, and waiting for what no locator can tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest
from playwright.sync_api import Page

# Milliseconds. On a machine that is busy with other tests everything takes longer; waiting ends as soon as what is
# awaited is there.
PATIENCE = 30_000
_STEP = 25

T = TypeVar("T")


def until(page: Page, look: Callable[[], T], fits: Callable[[T], bool]) -> T:
    """What `look` gives once it fits; the test fails with what it gave last."""
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        seen = look()
        if fits(seen):
            return seen
        if time.monotonic() > deadline:
            pytest.fail(f"after {PATIENCE / 1000:.0f} s still {seen!r}")
        page.wait_for_timeout(_STEP)
