"""The band strip in a real browser: drag, keys, presets, and what Python is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

APP = Path(__file__).parent / "apps" / "strip_app.py"
START = (-1.0, 1.25)


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    return serve(APP)


@pytest.fixture
def strip(page: Page, server: Any) -> Page:
    page.goto(server.url)
    expect(page.locator(".handle")).to_have_count(2)
    expect(page.locator(".count b")).to_have_text("286")
    return page


def in_python(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())


def wait_until(page: Page, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    for _ in range(100):
        held = in_python(page)
        if holds(held):
            return held
        page.wait_for_timeout(50)
    pytest.fail(f"Python holds {held}")


def middle(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], by: float, *, steps: int = 12) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by, start[1], steps=steps)


def shown(page: Page) -> tuple[str, str]:
    low, high = page.locator(".handle .value").all_inner_texts()
    return low, high


def test_a_dragged_handle_tells_python_once_and_only_on_release(strip: Page) -> None:
    runs = in_python(strip)["runs"]
    drag(strip, middle(strip, ".handle[data-end=high]"), 150)
    strip.wait_for_timeout(300)
    assert in_python(strip)["runs"] == runs
    expect(strip.locator(".count b")).to_contain_text("≈")
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["high"] != START[1])
    assert held["low"] == START[0]
    assert held["heard"] == [[held["low"], held["high"]]]
    assert held["runs"] == runs + 1
    expect(strip.locator(".count b")).to_have_text(str(held["count"]))
    assert float(shown(strip)[1]) == pytest.approx(held["high"])


def test_the_band_moves_as_a_whole_and_keeps_its_width(strip: Page) -> None:
    drag(strip, middle(strip, ".window"), 200)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] > START[0])
    assert held["high"] - held["low"] == pytest.approx(START[1] - START[0])


def test_a_band_dragged_past_the_end_stops_there(strip: Page) -> None:
    drag(strip, middle(strip, ".window"), 5000)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] > START[0])
    assert held["high"] == 6.0
    assert held["high"] - held["low"] == pytest.approx(START[1] - START[0])


def test_a_drag_over_the_empty_part_draws_a_new_band(strip: Page) -> None:
    x, y = middle(strip, ".handle[data-end=high]")
    drag(strip, (x + 250, y), -120)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] > START[1])
    assert START[1] < held["low"] < held["high"] < 6


def test_a_click_on_the_empty_part_changes_nothing(strip: Page) -> None:
    x, y = middle(strip, ".handle[data-end=high]")
    strip.mouse.click(x + 250, y)
    strip.wait_for_timeout(400)
    assert in_python(strip)["heard"] == []


def test_handles_never_cross(strip: Page) -> None:
    drag(strip, middle(strip, ".handle[data-end=low]"), 900)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert held["low"] < held["high"] == START[1]


def test_keys_move_a_handle_and_report_once_they_rest(strip: Page) -> None:
    low = strip.get_by_role("slider", name="Low end")
    low.focus()
    expect(low).to_have_attribute("aria-valuenow", "-1")
    for _ in range(5):
        strip.keyboard.press("ArrowRight")
    strip.keyboard.press("Shift+ArrowLeft")
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert held["low"] == pytest.approx(-1.5)
    assert held["heard"] == [[held["low"], START[1]]]
    expect(low).to_have_attribute("aria-valuenow", "-1.5")
    expect(low).to_have_attribute("aria-valuetext", "−1.50")
    strip.keyboard.press("Home")
    wait_until(strip, lambda held: held["low"] == -6.5)


def test_keys_move_the_whole_band(strip: Page) -> None:
    strip.get_by_role("slider", name="both ends").focus()
    strip.keyboard.press("ArrowRight")
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert (held["low"], held["high"]) == (pytest.approx(-0.9), pytest.approx(1.35))
    strip.keyboard.press("End")
    wait_until(strip, lambda held: held["high"] == 6.0)


@pytest.mark.parametrize("page_stores", [True, False])
def test_a_preset_moves_the_strip_and_the_person_can_move_on(strip: Page, page_stores: bool) -> None:
    if not page_stores:
        strip.get_by_text("Store what is returned").click()
    drag(strip, middle(strip, ".handle[data-end=high]"), 100)
    strip.mouse.up()
    wait_until(strip, lambda held: held["high"] != START[1])
    strip.get_by_role("button", name="Top band").click()
    wait_until(strip, lambda held: (held["low"], held["high"]) == (3.5, 6.0))
    expect(strip.locator(".handle .value").first).to_have_text("3.50")
    drag(strip, middle(strip, ".handle[data-end=low]"), -100)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] < 3.5)
    assert held["high"] == 6.0


def test_streamlits_shortcuts_do_not_fire_from_the_strip(strip: Page) -> None:
    runs = in_python(strip)["runs"]
    strip.get_by_role("slider", name="Low end").focus()
    strip.keyboard.press("r")
    strip.keyboard.press("c")
    strip.wait_for_timeout(500)
    assert in_python(strip)["runs"] == runs
    expect(strip.get_by_role("dialog")).to_have_count(0)


def test_names_are_text_and_labels_are_drawn(strip: Page) -> None:
    expect(strip.locator(".entry").nth(1)).to_have_text("<i>waterbird</i>")
    assert strip.locator(".strip-root .legend i").count() == 0
    labels = strip.locator(".marker-label, .preset-label").all_text_contents()
    names = ["decision boundary", "mean landbird", "mean waterbird", "mid band", "quantiles", "top band"]
    assert sorted(labels) == names


def test_the_strip_follows_the_width_of_the_window(strip: Page) -> None:
    strip.set_viewport_size({"width": 390, "height": 700})
    width = strip.locator(".plot").evaluate("plot => plot.clientWidth")
    expect(strip.locator(".still")).to_have_attribute("viewBox", f"0 0 {width} 126")
    low, high = (middle(strip, f".handle[data-end={end}]")[0] for end in ("low", "high"))
    assert 0 < low < high < 390
    assert strip.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_dragging_keeps_up_with_the_pointer(strip: Page) -> None:
    """No frame of a drag may take long: the bars stand still, only the clip and the handles move."""
    strip.evaluate(
        """() => {
            window.frames_ = []
            let last = performance.now()
            const tick = now => { window.frames_.push(now - last); last = now; requestAnimationFrame(tick) }
            requestAnimationFrame(tick)
        }"""
    )
    drag(strip, middle(strip, ".window"), 400, steps=120)
    strip.mouse.up()
    frames = sorted(strip.evaluate("() => window.frames_.slice(2)"))
    assert len(frames) > 5
    assert frames[len(frames) // 2] < 50  # at 60 Hz about 17; busy machines get some room
