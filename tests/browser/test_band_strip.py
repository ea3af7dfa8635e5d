"""The band strip in a real browser: drag, keys, presets, and what Python is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from pages.parts.band_strip import DARK, LIGHT
from tests.browser.contrast import contrasts
from tests.browser.patience import until

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


@pytest.fixture
def phone(browser: Browser, server: Any) -> Iterator[Page]:
    """The same on a telephone's touch screen, in the dark."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        color_scheme="dark",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.goto(server.url)
    expect(page.locator(".count b")).to_have_text("286")
    yield page
    context.close()


def in_python(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())


def wait_until(page: Page, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(page, lambda: in_python(page), holds)


def middle(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page: Page, start: tuple[float, float], by: float, *, steps: int = 12) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by, start[1], steps=steps)


def touch_drag(page: Page, start: tuple[float, float], by: float, *, down: float = 0) -> None:
    """A finger's way: put down, moved in ten steps, lifted."""
    client = page.context.new_cdp_session(page)

    def say(kind: str, *points: dict[str, float]) -> None:
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    say("touchStart", {"x": start[0], "y": start[1]})
    for step in range(1, 11):
        say("touchMove", {"x": start[0] + by * step / 10, "y": start[1] + down * step / 10})
    say("touchEnd")


def choose(page: Page, label: str) -> None:
    """A radio button or check box of the page, and the run it asks for."""
    runs = in_python(page)["runs"]
    page.get_by_text(label, exact=True).click()
    wait_until(page, lambda held: held["runs"] > runs)
    page.evaluate("() => document.activeElement.blur()")


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


def test_shift_widens_and_narrows_the_whole_band(strip: Page) -> None:
    strip.get_by_role("slider", name="both ends").focus()
    strip.keyboard.press("Shift+ArrowRight")
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert (held["low"], held["high"]) == (pytest.approx(-1.1), pytest.approx(1.35))
    for _ in range(3):
        strip.keyboard.press("Shift+ArrowLeft")
    held = wait_until(strip, lambda held: held["low"] > START[0])
    assert (held["low"], held["high"]) == (pytest.approx(-0.8), pytest.approx(1.05))


@pytest.mark.parametrize("clicked", [False, True])
def test_arrows_move_the_band_when_nothing_has_the_focus(strip: Page, clicked: bool) -> None:
    if clicked:  # beside everything: Streamlit's own frame takes the focus
        strip.mouse.click(720, 880)
    strip.keyboard.press("ArrowRight")
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert (held["low"], held["high"]) == (pytest.approx(-0.9), pytest.approx(1.35))
    strip.keyboard.press("Shift+ArrowLeft")
    held = wait_until(strip, lambda held: held["low"] > -0.9)
    assert (held["low"], held["high"]) == (pytest.approx(-0.8), pytest.approx(1.25))
    strip.keyboard.press("Home")  # the page's own: it scrolls
    strip.keyboard.press("ArrowUp")
    strip.wait_for_timeout(400)
    assert len(in_python(strip)["heard"]) == 2


def test_keys_of_others_are_left_alone(strip: Page) -> None:
    words = strip.get_by_label("Words")
    words.fill("mid band")
    words.press("Home")
    words.press("Shift+ArrowRight")
    words.press("Backspace")
    expect(words).to_have_value("id band")
    strip.get_by_text("one", exact=True).click()
    strip.keyboard.press("ArrowLeft")  # the radio button's
    expect(strip.locator("label").filter(has_text="class").locator("input")).to_be_checked()
    strip.get_by_role("button", name="Dialog").click()
    expect(strip.get_by_role("dialog")).to_be_visible()
    strip.evaluate("() => document.activeElement.blur()")
    strip.keyboard.press("ArrowRight")
    strip.evaluate("() => document.activeElement.blur()")
    for keys in ("Control+ArrowRight", "Alt+ArrowRight"):
        strip.keyboard.press(keys)
    strip.wait_for_timeout(400)
    assert in_python(strip)["heard"] == []


def test_of_two_strips_only_the_first_hears_keys_without_focus(strip: Page) -> None:
    choose(strip, "Second strip")
    expect(strip.locator(".handle")).to_have_count(4)
    strip.keyboard.press("ArrowRight")
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert held["other"] == [2.0, 3.0]
    strip.get_by_role("slider", name="both ends").nth(1).focus()
    strip.keyboard.press("ArrowRight")
    assert wait_until(strip, lambda now: now["other"] != [2.0, 3.0])["low"] == held["low"]


def test_a_strip_to_look_at_follows_and_cannot_be_moved(strip: Page) -> None:
    choose(strip, "Fixed strip")
    fixed = strip.locator(".strip-root.fixed")
    expect(fixed.locator(".value").first).to_have_text("\u22121.00")
    box = fixed.locator(".window").bounding_box()
    drag(strip, (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), 100)
    strip.mouse.up()
    assert fixed.locator("[tabindex='0']").count() == 0
    fixed.locator(".window").evaluate("part => part.focus()")
    strip.keyboard.press("ArrowRight")
    strip.wait_for_timeout(400)
    expect(fixed.locator(".value").first).to_have_text("\u22121.00")
    assert in_python(strip)["heard"] == []
    strip.get_by_role("button", name="Top band").click()
    expect(fixed.locator(".value").first).to_have_text("3.50")


def test_escape_takes_a_drag_back(strip: Page) -> None:
    drag(strip, middle(strip, ".window"), 200)
    expect(strip.locator(".handle .value").first).not_to_have_text("\u22121.00")
    strip.keyboard.press("Escape")
    strip.mouse.up()
    expect(strip.locator(".handle .value").first).to_have_text("\u22121.00")
    expect(strip.locator(".count b")).to_have_text("286")
    strip.wait_for_timeout(300)
    assert in_python(strip)["heard"] == []


@pytest.mark.parametrize(
    ("scale", "first", "ends"), [("percent", "47.6%", (0, 1)), ("z", "\u22120.25 σ", (-2.44, 2.53))]
)
def test_on_another_scale_the_band_is_the_same_and_moves_along_the_axis(
    strip: Page, scale: str, first: str, ends: tuple[float, float]
) -> None:
    choose(strip, scale)
    expect(strip.locator(".handle .value").first).to_contain_text(first)
    expect(strip.locator(".handle .value").first).to_contain_text("\u22121.00")
    slider = strip.get_by_role("slider", name="Low end")
    limits = [float(slider.get_attribute(f"aria-value{end}") or "nan") for end in ("min", "max")]
    assert limits == pytest.approx(ends, abs=0.01)
    assert (in_python(strip)["low"], in_python(strip)["high"]) == START
    window = strip.locator(".window").bounding_box()
    drag(strip, middle(strip, ".window"), 120)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] > START[0])
    moved = strip.locator(".window").bounding_box()
    assert moved["width"] == pytest.approx(window["width"], abs=1.5)
    assert moved["x"] - window["x"] == pytest.approx(120, abs=3)
    # the number that nobody moved is not touched by going to and fro between the scales
    drag(strip, middle(strip, ".handle[data-end=high]"), 60)
    strip.mouse.up()
    after = wait_until(strip, lambda now: now["high"] > held["high"])
    assert after["low"] == held["low"]
    choose(strip, "value")
    now = in_python(strip)
    assert (now["low"], now["high"]) == (after["low"], after["high"])


def test_equal_steps_on_the_percent_scale_are_equal_numbers_of_images(strip: Page) -> None:
    choose(strip, "percent")
    strip.get_by_role("slider", name="both ends").focus()
    strip.keyboard.press("End")
    held = wait_until(strip, lambda held: held["high"] == 6.0)
    assert held["count"] == pytest.approx(286, rel=0.05)
    strip.keyboard.press("Home")
    held = wait_until(strip, lambda held: held["low"] == -6.5)
    assert held["count"] == pytest.approx(286, rel=0.05)
    low = strip.get_by_role("slider", name="Low end")
    expect(low).to_have_attribute("aria-valuetext", "0.0% of the images below, activation \u22126.50")


def test_a_changed_figure_loses_neither_the_band_nor_its_place(strip: Page) -> None:
    drag(strip, middle(strip, ".window"), 90)
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["low"] > START[0])
    place = strip.locator(".strip-root").bounding_box()
    for change in ("one", "twelve", "Log", "Subset", "z", "class"):
        choose(strip, change)
        assert strip.locator(".strip-root").bounding_box() == place, change
        now = in_python(strip)
        assert (now["low"], now["high"]) == (held["low"], held["high"]), change
    assert len(in_python(strip)["heard"]) == 1


def test_keys_pressed_just_before_the_figure_changes_are_not_lost(strip: Page) -> None:
    strip.keyboard.press("ArrowRight")
    strip.get_by_text("Log", exact=True).click()
    held = wait_until(strip, lambda held: held["low"] != START[0])
    assert (held["low"], held["high"]) == (pytest.approx(-0.9), pytest.approx(1.35))


@pytest.mark.parametrize("way", ["mouse", "keyboard"])
def test_keys_pressed_just_before_leaving_are_not_lost(strip: Page, way: str) -> None:
    strip.get_by_role("checkbox", name="Elsewhere").focus()
    strip.locator(".window").evaluate(
        "band => band.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true, composed: true }))"
    )
    if way == "mouse":
        strip.get_by_text("Elsewhere", exact=True).click()
    else:
        strip.keyboard.press("Space")
    expect(strip.locator(".handle")).to_have_count(0)
    held = wait_until(strip, lambda held: bool(held["heard"]))
    assert held["heard"] == [[pytest.approx(-0.9), pytest.approx(1.35)]]


def test_keys_meant_for_another_direction_are_dropped(strip: Page) -> None:
    strip.keyboard.press("ArrowRight")
    strip.get_by_text("Other direction", exact=True).click()
    expect(strip.locator(".value-name")).to_have_text("logit of landbird")
    strip.wait_for_timeout(400)
    held = in_python(strip)
    # either Python heard of the move before the direction changed, or never
    assert (held["low"], held["high"]) == (START if not held["heard"] else tuple(held["heard"][0]))
    assert float(shown(strip)[0].replace("\u2212", "-")) == pytest.approx(held["low"])


def test_the_bin_under_the_pointer_tells_its_counts(strip: Page) -> None:
    plot = strip.locator(".plot").bounding_box()
    strip.mouse.move(middle(strip, ".window")[0], plot["y"] + plot["height"] * 0.6)
    tip = strip.locator(".tip")
    expect(tip).to_be_visible()
    expect(tip.locator(".tip-title")).to_contain_text(" to ")
    expect(tip.locator(".tip-line")).to_contain_text("of 1,500 images")
    expect(tip.locator(".tip-line")).to_contain_text("of the band")
    expect(tip.locator(".tip-row")).to_have_count(2)
    parts = [int(text) for text in tip.locator(".tip-count").all_inner_texts()]
    assert sum(parts) == int(tip.locator(".tip-line").inner_text().split()[0])
    strip.mouse.move(plot["x"] + 60, plot["y"] + plot["height"] * 0.6)
    expect(tip.locator(".tip-line")).to_contain_text("outside the band")
    strip.mouse.down()
    expect(tip).to_be_hidden()
    strip.mouse.up()
    strip.mouse.move(5, 5)
    expect(tip).to_be_hidden()


def test_a_value_of_the_legend_is_brought_to_the_front(strip: Page) -> None:
    first = strip.locator(".bars:not(.dim) .bar").first
    expect(first).to_have_attribute("data-row", "0")
    entry = strip.get_by_role("button", name="waterbird")
    entry.click()
    expect(entry).to_have_attribute("aria-pressed", "true")
    expect(first).to_have_attribute("data-row", "1")
    expect(strip.locator(".bars:not(.dim) .bar.faded")).to_have_count(1)
    entry.press("Enter")
    expect(first).to_have_attribute("data-row", "0")
    assert in_python(strip)["heard"] == []


def test_a_logarithmic_height_raises_what_is_rare(strip: Page) -> None:
    def leftmost() -> int:
        path = strip.locator(".bars:not(.dim) .bar").first.get_attribute("d") or ""
        return int(re.search(r"v(\d+)", path)[1])

    before = leftmost()
    ticks = strip.locator(".count-tick").all_text_contents()
    choose(strip, "Log")
    assert leftmost() >= 5 * before
    assert strip.locator(".count-tick").all_text_contents() == ["1", "10"] != ticks


def test_a_subset_is_drawn_over_the_bars_and_named(strip: Page) -> None:
    choose(strip, "Subset")
    assert strip.locator(".subset-edge").evaluate("path => path.getTotalLength()") > 100
    expect(strip.locator(".subset-entry")).to_contain_text("in the other band (drawn ")


def test_only_the_active_preset_is_shaded_in_full(strip: Page) -> None:
    opacity = "shade => Number(getComputedStyle(shade).opacity)"
    active, quiet = strip.locator(".preset:not(.quiet)"), strip.locator(".preset.quiet")
    assert (active.count(), quiet.count()) == (1, 2)
    assert active.evaluate(opacity) >= 3 * quiet.first.evaluate(opacity)


@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_labels_never_overlap(strip: Page, width: int) -> None:
    strip.set_viewport_size({"width": width, "height": 900})
    strip.wait_for_timeout(300)
    boxes = [label.bounding_box() for label in strip.locator(".marker-label, .preset-label").all()]
    assert len(boxes) >= 4
    for i, one in enumerate(boxes):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= width
        for other in boxes[:i]:
            beside = one["x"] >= other["x"] + other["width"] or other["x"] >= one["x"] + one["width"]
            assert beside or abs(one["y"] - other["y"]) >= 12


def test_the_new_band_and_count_are_announced_once(strip: Page) -> None:
    live = strip.locator(".announcer")
    expect(live).to_have_attribute("aria-live", "polite")
    expect(live).to_have_text("")
    drag(strip, middle(strip, ".handle[data-end=high]"), 150)
    expect(live).to_have_text("")  # a voice does not follow every pixel
    strip.mouse.up()
    held = wait_until(strip, lambda held: held["high"] != START[1])
    expect(live).to_contain_text(f"{held['count']} of 1,500 images")
    expect(live).to_contain_text("Band \u22121.00 to ")


def test_a_finger_drags_the_handle_and_the_band(phone: Page) -> None:
    handle = phone.locator(".handle[data-end=high]").bounding_box()
    assert handle["width"] >= 44
    x, y = middle(phone, ".handle[data-end=high]")
    touch_drag(phone, (x + 14, y), 60)  # a thumb hits beside it
    held = wait_until(phone, lambda held: held["high"] > START[1])
    assert held["low"] == START[0]
    touch_drag(phone, middle(phone, ".window"), 50)
    moved = wait_until(phone, lambda now: now["low"] > START[0])
    assert moved["high"] - moved["low"] == pytest.approx(held["high"] - held["low"], abs=1e-6)
    assert len(moved["heard"]) == 2
    assert phone.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_a_finger_draws_a_band_and_a_tap_asks_for_the_bin(phone: Page) -> None:
    x, y = middle(phone, ".handle[data-end=low]")
    phone.touchscreen.tap(x - 70, y + 30)
    expect(phone.locator(".tip-title")).to_be_visible()
    box = phone.locator(".tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    touch_drag(phone, (x - 100, y), 50)
    held = wait_until(phone, lambda held: held["low"] < START[0])
    assert held["high"] < START[0]


def test_a_finger_that_scrolls_the_page_moves_nothing(phone: Page) -> None:
    phone.set_viewport_size({"width": 390, "height": 500})
    touch_drag(phone, middle(phone, ".window"), 3, down=-120)
    phone.wait_for_timeout(400)
    assert in_python(phone)["heard"] == []
    expect(phone.locator(".handle .value").first).to_have_text("\u22121.00")


def test_everything_is_large_enough_to_read_and_in_the_dark_too(phone: Page) -> None:
    sizes = phone.locator(".strip-root").evaluate(
        "root => [...root.querySelectorAll('text, .value, .entry, .count, .value-name')]"
        ".map(part => parseFloat(getComputedStyle(part).fontSize))"
    )
    assert len(sizes) > 10
    assert min(sizes) >= 12
    fills = phone.locator(".bars .bar").evaluate_all("bars => bars.map(bar => bar.getAttribute('fill'))")
    assert fills[:2] == list(DARK[:2])
    assert phone.locator(".grip").first.evaluate("grip => getComputedStyle(grip).transitionDuration") == "0s"


def test_colours_follow_the_theme_of_the_page(strip: Page) -> None:
    bar = strip.locator(".bars:not(.dim) .bar").first
    expect(bar).to_have_attribute("fill", LIGHT[0])
    strip.emulate_media(color_scheme="dark")
    expect(bar).to_have_attribute("fill", DARK[0])
    strip.emulate_media(color_scheme="light")
    expect(bar).to_have_attribute("fill", LIGHT[0])
    assert in_python(strip)["heard"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(strip: Page, scheme: str) -> None:
    choose(strip, "percent")
    strip.emulate_media(color_scheme=scheme)
    strip.wait_for_timeout(300)
    words = ".value-name, .axis-name, .entry, .count, .count b, .tick, .count-tick, .marker-label, .preset-label"
    found = contrasts(strip, words, ".strip-root") + contrasts(strip, ".value-too", ".value")
    assert len(found) > 15
    assert min(found) >= 4.5
    shapes = contrasts(strip, ".outline, .marker, .preset-edge, .axis", ".strip-root", "stroke")
    assert min(shapes) >= 3


def test_no_image_at_all_is_said(strip: Page) -> None:
    choose(strip, "none")
    expect(strip.locator(".nothing")).to_have_text("No images to count")
    assert strip.locator(".count-tick").count() == 0


def test_focus_shows(strip: Page) -> None:
    for name in ("Low end", "High end"):
        strip.keyboard.press("Tab")
        slider = strip.get_by_role("slider", name=name)
        slider.focus()
        grip = slider.locator(".grip")
        assert grip.evaluate("grip => getComputedStyle(grip).outlineStyle") == "solid"
    window = strip.get_by_role("slider", name="both ends")
    before = window.evaluate("part => getComputedStyle(part).boxShadow")
    window.focus()
    assert window.evaluate("part => getComputedStyle(part).boxShadow") != before


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
    keys = strip.get_by_role("slider", name="Low end").evaluate(
        "slider => slider.getRootNode().getElementById(slider.getAttribute('aria-describedby')).textContent"
    )
    assert "Shift and arrow keys widen" in keys
    labels = strip.locator(".marker-label, .preset-label").all_text_contents()
    names = ["decision boundary", "mean landbird", "mean waterbird", "mid band", "quantiles", "top band"]
    assert sorted(labels) == names


def test_the_strip_follows_the_width_of_the_window(strip: Page) -> None:
    strip.set_viewport_size({"width": 390, "height": 700})
    width = strip.locator(".plot").evaluate("plot => plot.clientWidth")
    expect(strip.locator(".still")).to_have_attribute("viewBox", f"0 0 {width} 208")
    low, high = (middle(strip, f".handle[data-end={end}]")[0] for end in ("low", "high"))
    assert 0 < low < high < 390
    assert strip.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_dragging_keeps_up_with_the_pointer(strip: Page) -> None:
    """No frame of a drag may take long: the bars stand still, only the clip and the handles move."""
    choose(strip, "twelve")
    choose(strip, "Subset")
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
