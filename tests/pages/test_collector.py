"""The garbage collector passes over what imports made, and over nothing else twice."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from pages.parts import collector


@pytest.fixture(autouse=True)
def thawed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(collector, "_spared", 0)
    yield
    gc.unfreeze()


def test_many_new_modules_are_passed_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gc.unfreeze()
    collector.spare_modules()
    spared = gc.get_freeze_count()
    assert spared > 0
    kept = [[i] for i in range(1000)]
    collector.spare_modules()
    assert gc.get_freeze_count() <= spared
    for i in range(collector.WORTH):
        monkeypatch.setitem(sys.modules, f"new_module_{i}", ModuleType(f"new_module_{i}"))
    collector.spare_modules()
    assert gc.get_freeze_count() >= spared + len(kept)


def test_garbage_made_later_is_collected() -> None:
    collector.spare_modules()
    ring: list[object] = []
    ring.append(ring)
    del ring
    assert gc.collect() >= 1
