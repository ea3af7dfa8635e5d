"""The image grid in a real browser: select by mouse and keys, tag, and lose no event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

APP = Path(__file__).parent / "apps" / "grid_app.py"


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    return serve(APP)


@pytest.fixture(scope="module")
def slow_server(serve: Any) -> Any:
    """A page of 32-pixel photos that takes a quarter of a second per run: events arrive while it is still busy."""
    return serve(APP, env={"GRID_PAUSE": "0.25", "GRID_PIXELS": "32"})


@pytest.fixture
def grid(page: Page, server: Any) -> Page:
    return opened(page, server)


def opened(page: Page, server: Any) -> Page:
    page.goto(server.url)
    expect(page.locator(".tile")).to_have_count(60)
    expect(page.locator(".frame.loaded")).to_have_count(60)
    return page


def tile(page: Page, position: int) -> Locator:
    return page.locator(".tile").nth(position)


def selected(page: Page) -> list[int]:
    return page.locator(".tile[aria-selected=true]").evaluate_all("all => all.map(tile => Number(tile.dataset.id))")


def in_python(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())


def wait_for(page: Page, **wanted: Any) -> dict[str, Any]:
    """Wait until the page shows that Python holds what is wanted; fails with what it does hold."""
    held: dict[str, Any] = {}
    for _ in range(100):
        held = in_python(page)
        if all(held[name] == value for name, value in wanted.items()):
            return held
        page.wait_for_timeout(50)
    pytest.fail(f"wanted {wanted}, Python holds {held}")


def wait_for_kinds(page: Page, kinds: list[str]) -> dict[str, Any]:
    """Wait until Python has been told events of exactly these kinds."""
    held = in_python(page)
    for _ in range(100):
        if len(held["events"]) >= len(kinds):
            break
        page.wait_for_timeout(50)
        held = in_python(page)
    assert [event[0] for event in held["events"]] == kinds
    return held


def test_clicks_toggle_and_shift_takes_the_range(grid: Page) -> None:
    tile(grid, 2).click()
    tile(grid, 5).click()
    tile(grid, 2).click()
    assert selected(grid) == [5]
    tile(grid, 8).click(modifiers=["Shift"])
    assert selected(grid) == [5, 6, 7, 8]
    expect(grid.locator(".count")).to_have_text("60 shown · 4 selected")
    wait_for(grid, selected=[5, 6, 7, 8])


def test_arrows_move_and_keys_select(grid: Page) -> None:
    tile(grid, 0).focus()
    columns = grid.locator(".tiles").evaluate("tiles => getComputedStyle(tiles).gridTemplateColumns.split(' ').length")
    for key in ("ArrowRight", "ArrowDown", "Space"):
        grid.keyboard.press(key)
    assert selected(grid) == [columns + 1]
    grid.keyboard.press("Shift+ArrowRight")
    assert selected(grid) == [columns + 1, columns + 2]
    grid.keyboard.press("a")
    assert len(selected(grid)) == 60
    grid.keyboard.press("Escape")
    assert selected(grid) == []


def test_a_dragged_box_selects_what_it_touches(grid: Page) -> None:
    first, last = tile(grid, 1).bounding_box(), tile(grid, 2).bounding_box()
    assert first is not None
    assert last is not None
    grid.mouse.move(first["x"] + 20, first["y"] + 20)
    grid.mouse.down()
    grid.mouse.move(last["x"] + 30, last["y"] + 40, steps=5)
    assert selected(grid) == [1, 2]
    expect(grid.locator(".marquee")).to_be_visible()
    grid.mouse.up()
    expect(grid.locator(".marquee")).to_be_hidden()
    assert selected(grid) == [1, 2]


def test_a_number_key_tags_the_selection_and_shift_means_absent(grid: Page) -> None:
    tile(grid, 3).click()
    tile(grid, 4).click()
    grid.keyboard.press("1")
    expect(tile(grid, 3).locator(".chip")).to_have_text("water background")
    wait_for(grid, tags=[[3, 1, True], [4, 1, True]])
    grid.keyboard.press("Shift+Digit2")
    held = wait_for(grid, tags=[[3, 1, True], [4, 1, True], [3, 2, False], [4, 2, False]])
    assert held["events"][-1] == ["tag", [3, 4], 2, False]
    expect(tile(grid, 3).locator(".chip.absent")).to_have_text("<b>bird feeder</b>")


def test_without_a_selection_the_image_in_focus_is_tagged(grid: Page) -> None:
    tile(grid, 7).focus()
    grid.keyboard.press("3")
    wait_for(grid, tags=[[7, 3, True]])
    grid.keyboard.press("0")
    wait_for(grid, tags=[])


def test_the_next_click_after_tagging_starts_a_new_selection(grid: Page) -> None:
    tile(grid, 1).click()
    grid.keyboard.press("1")
    assert selected(grid) == [1]
    tile(grid, 2).click()
    assert selected(grid) == [2]


def test_undo_takes_the_last_tag_back(grid: Page) -> None:
    tile(grid, 1).click()
    grid.keyboard.press("1")
    wait_for(grid, tags=[[1, 1, True]])
    grid.keyboard.press("z")
    wait_for(grid, tags=[])
    expect(tile(grid, 1).locator(".chip")).to_have_count(0)
    grid.keyboard.press("Control+Shift+Z")
    wait_for_kinds(grid, ["tag", "undo", "redo"])


def test_buttons_tag_with_the_chosen_concept_and_rest_absent_leaves_the_tagged(grid: Page) -> None:
    grid.locator(".pill").nth(1).click()
    tile(grid, 0).click()
    grid.get_by_role("button", name="Present").click()
    wait_for(grid, tags=[[0, 2, True]])
    grid.get_by_role("button", name="Rest absent").click()
    held = wait_for(grid, tags=[[0, 2, True], *([i, 2, False] for i in range(1, 60))])
    assert held["concept"] == 2
    expect(grid.get_by_role("button", name="Rest absent")).to_have_attribute("aria-disabled", "true")


def test_a_button_that_cannot_act_does_nothing_and_explains(grid: Page) -> None:
    button = grid.get_by_role("button", name="Present")
    expect(button).to_have_attribute("aria-disabled", "true")
    button.click(force=True)
    button.hover(force=True)
    grid.mouse.move(0, 0)
    button.hover(force=True)
    expect(grid.locator(".tooltip")).to_contain_text("Select images first")
    assert in_python(grid)["events"] == []


def test_enter_and_double_click_open_one_image(grid: Page) -> None:
    tile(grid, 6).focus()
    grid.keyboard.press("Enter")
    wait_for(grid, events=[["open", [6], None, None]])
    tile(grid, 9).dblclick()
    held = wait_for(grid, events=[["open", [6], None, None], ["open", [9], None, None]])
    assert held["selected"] == []


@pytest.mark.parametrize("speed", ["server", "slow_server"])
def test_twenty_tags_in_a_second_are_twenty_tags_in_python(page: Page, speed: str, request: Any) -> None:
    grid = opened(page, request.getfixturevalue(speed))
    tile(grid, 0).focus()
    for _ in range(20):
        grid.keyboard.press("1")
        grid.keyboard.press("ArrowRight")
        grid.wait_for_timeout(30)
    expect(grid.locator(".chip")).to_have_count(20)
    held = wait_for(grid, tags=[[i, 1, True] for i in range(20)])
    assert [event[1] for event in held["events"]] == [[i] for i in range(20)]


def test_tags_in_one_instant_all_arrive_in_order(grid: Page) -> None:
    tile(grid, 0).focus()
    tile(grid, 0).evaluate(
        """first => {
            const tiles = first.parentElement.children
            for (let i = 0; i < 30; i++) {
                const key = i % 3 === 2 ? {key: 'z', code: 'KeyZ'} : {key: '1', code: 'Digit1'}
                tiles[i].focus()
                tiles[i].dispatchEvent(new KeyboardEvent('keydown', {...key, bubbles: true, composed: true}))
            }
        }"""
    )
    held = wait_for_kinds(grid, ["tag", "tag", "undo"] * 10)
    assert [image for image, _, _ in held["tags"]] == list(range(0, 30, 3))


def test_a_tag_survives_a_click_elsewhere_right_after_it(grid: Page) -> None:
    """Another widget's rerun interrupts ours."""
    tile(grid, 0).focus()
    grid.keyboard.press("1")
    grid.keyboard.press("ArrowRight")
    grid.keyboard.press("1")
    grid.get_by_test_id("stNumberInputStepUp").first.click()
    wait_for(grid, tags=[[0, 1, True], [1, 1, True]])
    expect(tile(grid, 0)).to_have_attribute("data-id", "60")


def test_streamlits_shortcuts_do_not_fire_from_the_grid(grid: Page) -> None:
    tile(grid, 0).focus()
    grid.keyboard.press("c")
    grid.keyboard.press("r")
    grid.wait_for_timeout(400)
    expect(grid.get_by_role("dialog")).to_have_count(0)


def test_focus_and_scroll_stay_when_other_images_come(grid: Page) -> None:
    tile(grid, 30).click()
    grid.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 300)")
    grid.keyboard.press("1")
    wait_for(grid, tags=[[30, 1, True]])
    assert selected(grid) == [30]
    assert grid.locator("[data-testid=stMain]").evaluate("main => main.scrollTop") == 300
    assert grid.locator(".tile:focus").get_attribute("data-id") == "30"


def test_names_are_text_and_never_markup(grid: Page) -> None:
    expect(grid.locator(".pill-name").nth(1)).to_have_text("<b>bird feeder</b>")
    assert grid.locator(".grid-root b").count() == 0


def test_tiles_say_what_they_show_to_a_screen_reader(grid: Page) -> None:
    tile(grid, 0).focus()
    grid.keyboard.press("1")
    expect(tile(grid, 0)).to_have_attribute(
        "aria-label",
        "val/00000.jpg, labelled landbird, predicted waterbird (wrong), activation 4.00, water background: present",
    )
    expect(grid.locator(".tiles")).to_have_attribute("role", "listbox")
    assert grid.locator(".tile[tabindex='0']").count() == 1


def test_a_phone_gets_three_columns_and_no_sideways_scrolling(page: Page, server: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server)
    template = "tiles => getComputedStyle(tiles).gridTemplateColumns.split(' ').length"
    assert page.locator(".tiles").evaluate(template) == 3
    assert page.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_tiles_have_their_size_before_their_pictures(page: Page, server: Any) -> None:
    page.add_init_script("Object.defineProperty(HTMLImageElement.prototype, 'src', {set() {}, get() { return '' }})")
    page.goto(server.url)
    expect(page.locator(".tile")).to_have_count(60)
    frame = page.locator(".frame").first.bounding_box()
    assert frame is not None
    assert frame["width"] == pytest.approx(frame["height"])
    assert frame["width"] >= 120


def test_tiny_photos_show_their_pixels_and_larger_ones_are_smoothed(page: Page, slow_server: Any, server: Any) -> None:
    rendering = "picture => getComputedStyle(picture).imageRendering"
    assert opened(page, slow_server).locator(".picture").first.evaluate(rendering) == "pixelated"
    assert opened(page, server).locator(".picture").first.evaluate(rendering) == "auto"


def test_nothing_to_show_is_said(grid: Page) -> None:
    grid.get_by_label("How many").fill("0")
    grid.keyboard.press("Enter")
    expect(grid.locator(".empty")).to_have_text("No images to show.")
    expect(grid.locator(".tiles")).to_be_hidden()
