"""The contact sheet in a real browser: what it says, what opens, by mouse, keyboard and finger."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.contrast import contrasts

APP = Path(__file__).parent / "apps" / "sheet_app.py"


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    return serve(APP)


@pytest.fixture
def sheet(page: Page, server: Any) -> Page:
    return shown(page, server)


def shown(page: Page, server: Any) -> Page:
    page.goto(server.url)
    expect(page.locator(".image")).to_have_count(40)
    return page


def below(edge: float) -> float:
    """The last activation of a band whose high end belongs to the next one."""
    return float(np.nextafter(np.float32(edge), np.float32(-np.inf)))


def expect_opened(page: Page, *wanted: list[Any]) -> None:
    expect(page.locator("[data-testid=stCode]")).to_have_text(json.dumps(list(wanted)))


def test_a_click_opens_an_image_or_a_band(sheet: Page) -> None:
    sheet.locator(".image").nth(13).click()
    expect_opened(sheet, ["image", 103])
    sheet.locator(".open-band").nth(2).click()
    expect_opened(sheet, ["image", 103], ["band", 0.0, below(2.0)])
    sheet.locator(".image").nth(13).click()
    expect_opened(sheet, ["image", 103], ["band", 0.0, below(2.0)], ["image", 103])


def test_keys_move_over_the_sheet_from_a_single_tab_stop(sheet: Page) -> None:
    sheet.keyboard.press("Tab")
    headings, images = sheet.locator(".open-band"), sheet.locator(".image")
    while not headings.first.evaluate("node => node.matches(':focus')"):
        sheet.keyboard.press("Tab")
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        sheet.keyboard.press(key)
    expect(images.nth(11)).to_be_focused()
    sheet.keyboard.press("Enter")
    expect_opened(sheet, ["image", 101])
    expect(images.nth(11)).to_be_focused()
    sheet.keyboard.press("ArrowDown")
    sheet.keyboard.press("ArrowDown")  # an empty band: its heading
    expect(headings.nth(3)).to_be_focused()
    sheet.keyboard.press("Enter")
    expect_opened(sheet, ["image", 101], ["band", -2.0, below(0.0)])
    sheet.keyboard.press("Control+Home")
    expect(headings.first).to_be_focused()
    sheet.keyboard.press("End")
    expect(images.nth(9)).to_be_focused()
    expect(sheet.locator(".sheet [tabindex='0']")).to_have_count(1)
    sheet.keyboard.press("Tab")
    assert sheet.locator(".sheet :focus").count() == 0


def test_streamlits_shortcuts_do_not_fire_from_the_sheet(sheet: Page) -> None:
    sheet.locator(".open-band").first.focus()
    sheet.keyboard.press("c")
    sheet.wait_for_timeout(300)
    expect(sheet.get_by_role("dialog")).to_have_count(0)


def test_top_and_mid_band_are_marked_in_words_and_colour(sheet: Page) -> None:
    expect(sheet.locator(".badge")).to_have_text(["top", "mid band"])
    edges = sheet.locator(".band").evaluate_all("all => all.map(band => getComputedStyle(band).borderLeftColor)")
    assert len({edges[0], edges[1], edges[2]}) == 3
    expect(sheet.locator(".open-band").nth(2)).to_have_attribute(
        "aria-label",
        "Open the band 0.00 to 2.00, mid band, 97 images, right: 75%, class: waterbird 50%, background: land 48%, "
        "<b>bird feeder</b>: present 20%",
    )


def test_bars_of_a_facet_stand_under_each_other_and_reach_as_far_as_their_share(sheet: Page) -> None:
    tracks = sheet.locator(".band:has(.bar) .bar:nth-child(3) .track").evaluate_all(
        """all => all.map(track =>
          [track, track.firstChild].map(node => node.getBoundingClientRect()).map(at => [at.left, at.width]))"""
    )
    assert len({round(track[0]) for track, _ in tracks}) == 1
    reached = [part[1] / track[1] for track, part in tracks]
    assert reached == pytest.approx([0.06, 0.22, 0.48, 0.71], abs=0.01)


def test_names_are_text_and_never_markup(sheet: Page) -> None:
    expect(sheet.locator(".bar-title").nth(3)).to_have_text("<b>bird feeder</b>")
    assert sheet.locator(".sheet b").count() == 0


def test_bars_and_images_say_more_on_hover(sheet: Page) -> None:
    sheet.locator(".bar").nth(2).hover()
    expect(sheet.locator(".tooltip")).to_contain_text("water: 94 (94%)")
    sheet.locator(".image").nth(1).hover()
    expect(sheet.locator(".tooltip")).to_contain_text("val/00001.jpg")
    expect(sheet.locator(".image").nth(1)).to_have_attribute(
        "aria-label", "val/00001.jpg, labelled waterbird, predicted landbird (wrong)"
    )


def test_an_empty_band_says_so(sheet: Page) -> None:
    expect(sheet.locator(".band").nth(3)).to_contain_text("No image lies in this band.")
    expect(sheet.locator(".note")).to_have_text("Two bands were joined.")


def test_on_a_projector_top_and_middle_are_seen_at_one_glance(page: Page, server: Any) -> None:
    page.set_viewport_size({"width": 1920, "height": 1080})
    shown(page, server)
    for band in (0, 2):
        expect(page.locator(".band").nth(band)).to_be_in_viewport(ratio=1)
    first = page.locator(".image").first.bounding_box()
    assert first is not None
    assert first["width"] > 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_reading_needs(browser: Browser, server: Any, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = shown(context.new_page(), server)
    for band in (".top", ".mid", ".band:not(.top, .mid)"):
        words = f"{band} :is(.range, .count, .bar-title, .bar-said, .none, .badge)"
        assert min(contrasts(page, words, band)) >= 4.5, band
    assert min(contrasts(page, ".note", ".sheet")) >= 4.5
    context.close()


def test_on_a_phone_images_are_swiped_and_nothing_else_moves_sideways(browser: Browser, server: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = shown(context.new_page(), server)
    assert page.evaluate("() => document.documentElement.scrollWidth <= 390")
    strip = page.locator(".images").first
    assert strip.evaluate("strip => strip.scrollWidth > strip.clientWidth")
    page.locator(".image").first.tap()
    expect_opened(page, ["image", 0])
    page.locator(".open-band").nth(1).tap()
    expect_opened(page, ["image", 0], ["band", 2.0, below(4.0)])
    context.close()
