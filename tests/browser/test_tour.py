"""The tour of the demo in a real browser: it is where one left it, never in the way, and small on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from core.demo import reset_demo
from core.workspace import Workspace
from scripts.local_app import end


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def test_it_outlives_a_reload_and_a_restart_of_the_server_and_can_be_skipped_restarted_and_ended(
    page: Page, server: Any, serve: Any, demo: Workspace
) -> None:
    bar, steps = page.locator(".st-key-tour-bar"), page.locator(".st-key-tour-list")
    page.goto(server.url)
    page.get_by_role("button", name="Try the demo").click()
    expect(bar).to_contain_text("surest", timeout=30_000)
    expect(steps).to_contain_text("1 of 6")
    # something else can be done at any time, and is seen
    page.get_by_test_id("stMain").get_by_role("radio", name="Mid band", exact=True).click()
    expect(bar).to_contain_text("hesitates", timeout=30_000)
    page.reload()
    expect(bar).to_contain_text("hesitates", timeout=30_000)
    bar.get_by_role("button", name="Skip").click()
    expect(bar).to_contain_text("It needs a name first")
    expect(steps.locator("li.skipped")).to_have_count(1)

    end(server.process)
    again = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    page.goto(f"{again.url}/bands")
    expect(bar).to_contain_text("It needs a name first", timeout=30_000)
    expect(steps.locator("li.done")).to_have_count(2)
    steps.get_by_role("button", name="Restart").click()
    expect(steps).to_contain_text("1 of 6", timeout=30_000)
    expect(bar).to_contain_text("What do they share?")
    steps.get_by_role("button", name="End tour").click()
    expect(bar).to_be_hidden()
    expect(steps).to_be_hidden()
    page.reload()
    expect(page.locator(".frame.loaded").first).to_be_visible(timeout=30_000)
    expect(bar).to_be_hidden()


def test_on_a_phone_there_is_only_the_bar_and_nothing_sticks_out(page: Page, serve: Any, demo: Workspace) -> None:
    server = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.url)
    page.get_by_role("button", name="Try the demo").click()
    bar = page.locator(".st-key-tour-bar")
    expect(bar).to_contain_text("What do they share?", timeout=30_000)
    expect(page.locator(".st-key-tour-list")).not_to_be_in_viewport()
    box = bar.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["height"] < 170
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in ("Show the middle", "Skip"):
        button = bar.get_by_role("button", name=name).bounding_box()
        assert button is not None
        assert button["x"] + button["width"] <= 390


def test_home_s_picture_fits_at_every_width_and_what_was_done_stands_out(
    page: Page, serve: Any, demo: Workspace
) -> None:
    server = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    page.goto(f"{server.url}/bands")
    expect(page.locator(".frame.loaded").first).to_be_visible(timeout=30_000)
    page.goto(server.url)
    steps = page.locator(".home-loop li")
    expect(steps.first).to_have_class("done", timeout=30_000)
    line, words = (
        steps.evaluate_all(f"lines => lines.map(line => getComputedStyle(line).{name})")
        for name in ("borderTopColor", "color")
    )
    assert line[0] != line[-1]
    assert words[0] != words[-1]
    for width in (320, 390, 660, 768, 1024, 1100, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(200)
        # words of neighbours would run together
        over = page.locator(".hero-row span").evaluate_all(
            "words => words.filter(word => word.scrollWidth > word.clientWidth).map(word => word.textContent)"
        )
        assert not over, width


def test_two_visitors_of_one_demo_are_each_led_through_it(browser: Browser, serve: Any, demo: Workspace) -> None:
    server = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    reset_demo(demo)
    ann, bob = (browser.new_context(viewport={"width": 1280, "height": 800}).new_page() for _ in range(2))
    bars = {page: page.locator(".st-key-tour-bar") for page in (ann, bob)}
    for page, bar in bars.items():
        page.goto(server.url)
        page.get_by_role("button", name="Try the demo").click()
        expect(bar).to_contain_text("What do they share?", timeout=30_000)
        expect(bar).not_to_contain_text("earlier work")
        bar.get_by_role("button", name="Show the middle").click()
        expect(bar).to_contain_text("hesitates", timeout=30_000)
        expect(page.locator(".frame.loaded").first).to_be_visible()
    # he has typed half a name when she has named hers
    hers, typed = (page.get_by_role("textbox", name="What do you see?") for page in (ann, bob))
    # a press while the page is still being drawn opens nothing that stays
    expect(bob.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    bars[bob].get_by_role("button", name="Name it").click()
    expect(typed).to_be_visible()
    typed.press_sequentially("half a na")
    expect(ann.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    bars[ann].get_by_role("button", name="Name it").click()
    expect(hers).to_be_visible()
    hers.fill("lake")
    hers.press("Enter")
    expect(bars[ann]).to_contain_text("whether they show lake", timeout=30_000)
    # she answers everything the tour asks for
    bars[ann].get_by_role("button", name="Show me 20").click()
    expect(ann.locator(".frame.loaded")).to_have_count(20, timeout=30_000)
    ann.locator(".tile").first.click()
    ann.get_by_role("button", name="Present", exact=True).click()
    expect(ann.get_by_text("1 of 20 images in this batch answered")).to_be_visible()
    ann.get_by_role("button", name="Rest absent").click()
    expect(bars[ann]).to_contain_text("learn anew", timeout=30_000)

    expect(typed).to_have_value("half a na")
    typed.press("End")
    typed.press_sequentially("me")
    expect(typed).to_have_value("half a name")
    typed.press("Enter")
    expect(bars[bob]).to_contain_text("whether they show half a name", timeout=30_000)
    expect(bob.locator(".st-key-tour-list")).to_contain_text("3 of 6")
    expect(bars[ann]).to_contain_text("learn anew")
    # begun anew it begins at the beginning, and says what is there
    bob.locator(".st-key-tour-list").get_by_role("button", name="Restart").click()
    expect(bars[bob]).to_contain_text("There is earlier work here: 2 concepts and 20 tags", timeout=30_000)
    expect(bob.locator(".st-key-tour-list")).to_contain_text("1 of 6")
    for page in (ann, bob):
        page.context.close()
