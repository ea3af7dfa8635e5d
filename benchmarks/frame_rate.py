"""How many frames per second Chromium draws while somebody scrolls through images, selects them, or does anything else.

    with a page that shows the grid:
        scrolling(page, ".tiles")        FrameRate(frames=171, seconds=2.9, median=60.0, lowest=46.2, slow=0)
        drawing_a_box(page, ".tile")
        frame_rate(page, act)            whatever `act` does

Frames are counted in the page itself by requestAnimationFrame, whose time stamps are those of the frames and not of
our messages to the browser. The mouse is moved from outside, as a hand would. What is reported is the longest wait
between two frames, as frames per second, since one long pause is felt more than a lower average.

A headless Chromium without a graphics card draws with the processor, so these figures are lower than those of a
desktop; what else runs on the machine counts against them too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

# below this, motion is seen as a row of pictures
SMOOTH = 30.0
# milliseconds by which a time stamp may be early or late without anything having been slow
JITTER = 1.0

_START = """() => {
  const stamps = (window.midbandFrames = [])
  const note = now => {
    if (window.midbandFrames !== stamps) return
    stamps.push(now)
    requestAnimationFrame(note)
  }
  requestAnimationFrame(note)
}"""
_STOP = """() => {
  const stamps = window.midbandFrames
  window.midbandFrames = null
  return stamps
}"""


@dataclass(frozen=True)
class FrameRate:
    """frames drawn in seconds; median and lowest frames per second; slow: how many waits were longer than 1/30 s."""

    frames: int
    seconds: float
    median: float
    lowest: float
    slow: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def frame_rate(page: Page, act: Callable[[], None]) -> FrameRate:
    """Watch the frames while `act` runs. Raises ValueError when it is over before two frames were drawn."""
    page.evaluate(_START)
    act()
    return summary(page.evaluate(_STOP))


def summary(stamps: list[float]) -> FrameRate:
    """stamps: milliseconds at which frames were drawn, rising."""
    waits = [after - before for before, after in pairwise(stamps) if after > before]
    if not waits:
        raise ValueError("fewer than two frames were drawn: act for longer")
    return FrameRate(
        frames=len(waits) + 1,
        seconds=round((stamps[-1] - stamps[0]) / 1000, 3),
        median=round(1000 / median(waits), 1),
        lowest=round(1000 / max(waits), 1),
        slow=sum(wait > 1000 / SMOOTH + JITTER for wait in waits),
    )


def scrolling(page: Page, over: str, *, by: int = 120, times: int = 60) -> FrameRate:
    """Turn the mouse wheel above the first element that `over` selects, down and back up again."""
    page.locator(over).first.hover()

    def act() -> None:
        for step in range(times):
            page.mouse.wheel(0, by if step < times // 2 else -by)
            page.wait_for_timeout(20)

    return frame_rate(page, act)


def drawing_a_box(page: Page, tile: str, *, moves: int = 60) -> FrameRate:
    """Draw a box from the first tile to the lower edge of the window, there and back, twice."""
    box = page.locator(tile).first.bounding_box()
    size = page.viewport_size
    assert box is not None
    assert size is not None
    start = (box["x"] + 30, box["y"] + 30)
    # not so far that the page begins to scroll
    end = (size["width"] * 0.9, size["height"] - 80)

    def act() -> None:
        page.mouse.move(*start)
        page.mouse.down()
        for step in range(moves):
            there = abs((step / moves * 4) % 2 - 1)
            page.mouse.move(*(e + (s - e) * there for s, e in zip(start, end, strict=True)))
            page.wait_for_timeout(16)
        page.mouse.up()

    return frame_rate(page, act)


def pressing(page: Page, key: str, *, times: int = 40) -> FrameRate:
    """Press a key again and again, faster than a held key repeats."""

    def act() -> None:
        for _ in range(times):
            page.keyboard.press(key)
            page.wait_for_timeout(20)

    return frame_rate(page, act)
