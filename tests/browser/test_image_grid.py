"""The image grid in a real browser: select by mouse and keys, tag, and lose no event."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks import frame_rate
from tests.browser.contrast import contrasts
from tests.browser.patience import until

APP = Path(__file__).parent / "apps" / "grid_app.py"


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    return serve(APP)


@pytest.fixture(scope="module")
def slow_server(serve: Any) -> Any:
    """A page of 32-pixel photos that takes a quarter of a second per run: events arrive while it is still busy."""
    return serve(APP, env={"GRID_PAUSE": "0.25", "GRID_PIXELS": "32"})


@pytest.fixture(scope="module")
def band_server(serve: Any) -> Any:
    """60 of 4,812 images on each page."""
    return serve(APP, env={"GRID_TOTAL": "4812"})


@pytest.fixture(scope="module")
def quiet_server(serve: Any) -> Any:
    """A selection causes no runs by itself."""
    return serve(APP, env={"GRID_TRACK": "0"})


@pytest.fixture(scope="module")
def vanishing_server(serve: Any) -> Any:
    """Every other event takes the grid off the page for a second."""
    return serve(APP, env={"GRID_AWAY": "1"})


@pytest.fixture
def grid(page: Page, server: Any) -> Page:
    return opened(page, server)


@pytest.fixture
def band(page: Page, band_server: Any) -> Page:
    return opened(page, band_server)


def opened(page: Page, server: Any) -> Page:
    page.goto(server.url)
    expect(page.locator(".tile")).to_have_count(60)
    expect(page.locator(".frame.loaded")).to_have_count(60)
    return page


def tile(page: Page, position: int) -> Locator:
    return page.locator(".tile").nth(position)


def selected(page: Page) -> list[int]:
    return page.locator(".tile[aria-selected=true]").evaluate_all("all => all.map(tile => Number(tile.dataset.id))")


def scroll_top(page: Page) -> float:
    return page.get_by_test_id("stMain").evaluate("main => main.scrollTop")


def scroll_to(page: Page, top: float) -> None:
    page.get_by_test_id("stMain").evaluate("(main, top) => main.scrollTo(0, top)", top)


def turn(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()


def in_python(page: Page) -> dict[str, Any]:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())


def wait_for(page: Page, **wanted: Any) -> dict[str, Any]:
    """Wait until the page shows that Python holds what is wanted; fails with what it does hold."""
    return until(page, lambda: in_python(page), lambda held: all(held[name] == wanted[name] for name in wanted))


def wait_for_kinds(page: Page, kinds: list[str]) -> dict[str, Any]:
    """Wait until Python has been told events of exactly these kinds."""
    held = until(page, lambda: in_python(page), lambda held: len(held["events"]) >= len(kinds))
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
    grid.keyboard.press("u")
    wait_for(grid, tags=[[7, 3, "unsure"]])
    expect(tile(grid, 7).locator(".chip.unsure")).to_have_text("?person in picture")
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


def test_keys_pressed_while_the_grid_is_away_are_not_lost(page: Page, vanishing_server: Any) -> None:
    grid = opened(page, vanishing_server)
    tile(grid, 0).focus()
    grid.keyboard.press("1")
    expect(grid.locator(".tile")).to_have_count(0)
    # nothing has the focus now, and the one who tags does not look at it
    for key in ("ArrowRight", "Shift+Digit2", "ArrowRight", "3"):
        grid.keyboard.press(key)
    assert grid.locator(".tile").count() == 0, "all were pressed while it was away"
    expect(grid.get_by_test_id("stCode")).to_contain_text('"tags": [[0, 1, true], [1, 2, false], [2, 3, true]]')
    expect(tile(grid, 2)).to_be_focused()


def test_what_is_typed_elsewhere_while_the_grid_is_away_is_no_tag(page: Page, vanishing_server: Any) -> None:
    grid = opened(page, vanishing_server)
    tile(grid, 0).focus()
    grid.keyboard.press("1")
    expect(grid.locator(".tile")).to_have_count(0)
    grid.get_by_role("spinbutton", name="Size").click()
    grid.keyboard.press("2")
    expect(grid.locator(".tile")).to_have_count(60)
    expect(grid.get_by_role("spinbutton", name="Size")).to_be_focused()
    expect(grid.get_by_test_id("stCode")).to_contain_text('"tags": [[0, 1, true]]')


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


def test_a_grid_that_was_left_lets_the_next_page_rest(grid: Page) -> None:
    """What was tagged last was never answered: the grid was gone by then."""
    tile(grid, 3).focus()
    grid.keyboard.press("1")
    grid.get_by_text("Elsewhere", exact=True).click()
    expect(grid.locator(".tile")).to_have_count(0)
    held = wait_for_kinds(grid, ["tag"])
    grid.wait_for_timeout(500)  # the run that the leaving itself may have asked for
    runs = in_python(grid)["runs"]
    grid.wait_for_timeout(4500)  # the first repetition would have come after four seconds
    assert in_python(grid) == held | {"runs": runs}
    grid.get_by_text("Elsewhere", exact=True).click()
    expect(tile(grid, 3).locator(".chip")).to_have_count(1)
    wait_for(grid, tags=[[3, 1, True]])
    assert len(in_python(grid)["events"]) == 1


def test_a_button_outside_acts_on_the_selection_that_is_on_screen(page: Page, quiet_server: Any) -> None:
    opened(page, quiet_server)
    outside = page.get_by_role("button", name="Act on the selection")
    runs = in_python(page)["runs"]
    tile(page, 1).click()
    for position in (3, 6, 4):
        tile(page, position).click(modifiers=["Control"])
    outside.click()
    assert wait_for(page, outside=[1, 3, 4, 6])["runs"] <= runs + 2
    tile(page, 4).click(modifiers=["Control"])
    outside.focus()  # as Tab does
    page.keyboard.press("Enter")
    wait_for(page, outside=[1, 3, 6])
    tile(page, 1).focus()
    page.keyboard.press("Escape")
    outside.click()
    wait_for(page, outside=[])


def test_letters_mean_the_same_on_a_cyrillic_keyboard(grid: Page) -> None:
    tile(grid, 0).focus()
    grid.keyboard.press("1")
    wait_for(grid, tags=[[0, 1, True]])
    for key, code in (("ф", "KeyA"), ("я", "KeyZ")):
        grid.locator(".tile:focus").evaluate(
            "(tile, [key, code]) => tile.dispatchEvent(new KeyboardEvent('keydown', "
            "{ key, code, bubbles: true, composed: true, cancelable: true }))",
            [key, code],
        )
    wait_for(grid, tags=[])
    assert len(selected(grid)) == 60


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
    expect(grid.locator(".tile[tabindex='0']")).to_have_count(1)


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


# --- pages and whole bands -------------------------------------------------------------------------------------------


def test_pages_turn_by_button_key_and_number(band: Page) -> None:
    where = band.locator(".range")
    expect(where).to_have_text("1–60 of 4,812 in this band")
    expect(band.get_by_role("button", name="Previous page")).to_have_attribute("aria-disabled", "true")
    turn(band, "Next page")
    expect(where).to_have_text("61–120 of 4,812 in this band")
    tile(band, 0).focus()
    band.keyboard.press("PageDown")
    expect(where).to_have_text("121–180 of 4,812 in this band")
    band.keyboard.press("PageUp")
    expect(where).to_have_text("61–120 of 4,812 in this band")
    band.get_by_label("Page number").fill("80")
    band.keyboard.press("Enter")
    expect(where).to_have_text("4,741–4,800 of 4,812 in this band")
    turn(band, "Last page")
    expect(where).to_have_text("4,801–4,812 of 4,812 in this band")
    expect(band.locator(".tile")).to_have_count(12)
    expect(band.get_by_role("button", name="Next page")).to_have_attribute("aria-disabled", "true")
    turn(band, "First page")
    expect(where).to_have_text("1–60 of 4,812 in this band")
    expect(tile(band, 0)).to_have_attribute("aria-setsize", "4812")


def test_pages_pressed_faster_than_they_come_add_up(band: Page) -> None:
    tile(band, 0).focus()
    for _ in range(5):
        band.keyboard.press(".")
    expect(band.locator(".range")).to_have_text("301–360 of 4,812 in this band")


def test_a_selection_spans_pages_and_says_what_cannot_be_seen(band: Page) -> None:
    tile(band, 2).click()
    tile(band, 4).click()
    turn(band, "Next page")
    expect(band.locator(".count")).to_have_text("2 selected, 2 on other pages")
    tile(band, 0).click()
    expect(band.locator(".count")).to_have_text("3 selected, 2 on other pages")
    assert selected(band) == [60]
    band.get_by_role("button", name="Present").hover()
    expect(band.locator(".tooltip")).to_contain_text("2 of them are not in view")
    band.keyboard.press("1")
    assert wait_for(band, tagged=3)["events"][-1] == ["tag", [60, 2, 4], 1, True]
    turn(band, "Previous page")
    expect(tile(band, 2).locator(".chip")).to_have_text("water background")
    assert selected(band) == [2, 4]


def test_a_selection_ends_with_its_band(band: Page) -> None:
    tile(band, 2).click()
    turn(band, "Next page")
    expect(band.locator(".count")).to_have_text("1 selected, 1 on other pages")
    band.get_by_label("Band").fill("top")
    band.keyboard.press("Enter")
    expect(band.locator(".count")).to_have_text("None selected")
    assert selected(band) == []


def test_a_whole_band_is_tagged_after_a_yes_and_undone_at_once(band: Page) -> None:
    band.get_by_role("button", name="Select all 4,812").click()
    expect(band.locator(".count")).to_have_text("All 4,812 in this band selected")
    tile(band, 5).click()
    turn(band, "Next page")
    expect(band.locator(".count")).to_have_text("4,811 selected: all in this band but 1")
    expect(tile(band, 0)).to_have_attribute("data-id", "60")
    assert len(selected(band)) == 60
    tile(band, 0).focus()
    band.keyboard.press("1")
    question = band.get_by_role("alertdialog")
    expect(question).to_contain_text("Tag 4,811 images: all in this band but the 1 left out")
    band.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(tile(band, 0)).to_be_focused()
    assert in_python(band)["tagged"] == 0
    band.keyboard.press("1")
    expect(band.get_by_role("button", name="Tag 4,811 images")).to_be_focused()
    band.keyboard.press("Enter")
    expect(band.locator(".chip")).to_have_count(60)
    wait_for(band, tagged=4811)
    band.keyboard.press("z")
    wait_for(band, tagged=0)
    expect(band.locator(".chip")).to_have_count(0)


def test_a_question_about_a_band_goes_away_with_the_band(band: Page) -> None:
    tile(band, 0).focus()
    band.keyboard.press("Shift+A")
    band.keyboard.press("2")
    expect(band.get_by_role("alertdialog")).to_be_visible()
    band.get_by_label("Band").fill("top")
    band.keyboard.press("Enter")
    expect(band.get_by_role("alertdialog")).to_be_hidden()
    expect(band.locator(".count")).to_have_text("None selected")
    assert in_python(band)["events"] == []


def test_a_page_begins_at_its_first_image_and_a_tag_moves_nothing(band: Page) -> None:
    tile(band, 50).scroll_into_view_if_needed()
    before = scroll_top(band)
    tile(band, 50).click()
    band.keyboard.press("1")
    wait_for(band, tagged=1)
    assert scroll_top(band) == before
    turn(band, "Next page")
    expect(tile(band, 0)).to_have_attribute("data-id", "60")
    expect(tile(band, 0)).to_be_in_viewport(ratio=0.9)
    top, bar = tile(band, 0).bounding_box(), band.locator(".bar").bounding_box()
    assert top is not None
    assert bar is not None
    assert top["y"] >= bar["y"] + bar["height"]


def test_other_images_do_not_scroll_the_page(band: Page) -> None:
    scroll_to(band, 120)
    band.get_by_label("Band").fill("top")
    band.keyboard.press("Enter")
    expect(band.locator(".count")).to_have_text("None selected")
    band.wait_for_timeout(300)
    assert scroll_top(band) == 120


# --- more ways to select ---------------------------------------------------------------------------------------------


def test_ctrl_click_goes_on_with_a_selection_that_was_tagged(grid: Page) -> None:
    tile(grid, 1).click()
    grid.keyboard.press("1")
    tile(grid, 2).click(modifiers=["Control"])
    assert selected(grid) == [1, 2]


def test_a_range_may_shrink_again_while_it_is_drawn(grid: Page) -> None:
    tile(grid, 0).click()
    tile(grid, 9).click()
    for key in ("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft"):
        grid.keyboard.press(key)
    assert selected(grid) == [0, 9, 10]
    tile(grid, 14).click(modifiers=["Shift"])
    tile(grid, 12).click(modifiers=["Shift"])
    assert selected(grid) == [0, 9, 10, 11, 12]


def test_home_and_end_move_within_the_page(grid: Page) -> None:
    tile(grid, 9).focus()
    grid.keyboard.press("End")
    expect(tile(grid, 59)).to_be_focused()
    expect(tile(grid, 59)).to_be_in_viewport(ratio=0.9)
    grid.keyboard.press("Home")
    expect(tile(grid, 0)).to_be_focused()


def test_a_double_click_leaves_a_tagged_selection_alone(grid: Page) -> None:
    tile(grid, 1).click()
    tile(grid, 2).click()
    grid.keyboard.press("1")
    tile(grid, 7).dblclick()
    wait_for_kinds(grid, ["tag", "open"])
    assert selected(grid) == [1, 2]


def test_a_box_drawn_to_the_edge_scrolls_on_and_escape_gives_it_up(grid: Page) -> None:
    tile(grid, 59).click()
    scroll_to(grid, 0)
    start = tile(grid, 0).bounding_box()
    assert start is not None
    grid.mouse.move(start["x"] + 20, start["y"] + 40)
    grid.mouse.down()
    grid.mouse.move(700, 895, steps=5)
    expect(tile(grid, 45)).to_have_attribute("aria-selected", "true")
    assert scroll_top(grid) > 100
    grid.keyboard.press("Escape")
    assert selected(grid) == [59]
    grid.mouse.up()
    assert selected(grid) == [59]


def test_a_hover_shows_details(grid: Page) -> None:
    tile(grid, 1).hover()
    expect(grid.locator(".tooltip")).to_contain_text("split val")
    expect(tile(grid, 1)).to_have_attribute("aria-description", "split val")


# --- touch -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def phone(browser: Browser, band_server: Any) -> Any:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    yield opened(context.new_page(), band_server)
    context.close()


Touch = Callable[..., None]


@pytest.fixture
def touch(phone: Page) -> Touch:
    """touch("touchMove", x, y): what a finger does, as the browser hears it."""
    session = phone.context.new_cdp_session(phone)

    def send(kind: str, x: float = 0, y: float = 0) -> None:
        points = [] if kind == "touchEnd" else [{"x": x, "y": y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    return send


def middle(page: Page, position: int) -> tuple[float, float]:
    box = tile(page, position).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["width"] / 2


def test_a_tap_selects_and_the_bar_stays_short_within_reach(phone: Page) -> None:
    bar = phone.locator(".bar")
    scroll_to(phone, 300)
    tile(phone, 4).tap()
    assert selected(phone) == [4]
    expect(phone.get_by_role("button", name="Present")).to_be_in_viewport(ratio=1)
    box = bar.bounding_box()
    assert box is not None
    assert box["height"] <= 150
    assert box["y"] + box["height"] == pytest.approx(844, abs=1)
    assert phone.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_a_finger_that_rests_and_moves_selects_a_range(phone: Page, touch: Touch) -> None:
    scroll_to(phone, 300)
    before = scroll_top(phone)
    touch("touchStart", *middle(phone, 3))
    phone.wait_for_timeout(600)
    assert selected(phone) == [3]
    touch("touchMove", *middle(phone, 4))
    touch("touchMove", *middle(phone, 7))
    expect(tile(phone, 7)).to_have_attribute("aria-selected", "true")
    touch("touchEnd")
    assert selected(phone) == [3, 4, 5, 6, 7]
    assert scroll_top(phone) == before


def test_a_finger_that_moves_at_once_scrolls_and_selects_nothing(phone: Page, touch: Touch) -> None:
    x, y = middle(phone, 4)
    touch("touchStart", x, y)
    for step in range(1, 12):
        touch("touchMove", x, y - 25 * step)
        phone.wait_for_timeout(16)
    touch("touchEnd")
    phone.wait_for_function("() => document.querySelector('[data-testid=stMain]').scrollTop > 100")
    assert selected(phone) == []


# --- size, focus, contrast, frames -----------------------------------------------------------------------------------


def width(page: Page) -> float:
    box = tile(page, 0).bounding_box()
    assert box is not None
    return box["width"]


def test_zoom_keeps_the_image_in_focus_where_it_is_and_outlives_a_reload(grid: Page, server: Any) -> None:
    tile(grid, 30).focus()
    tile(grid, 30).scroll_into_view_if_needed()
    before, was = tile(grid, 30).bounding_box(), width(grid)
    grid.keyboard.press("+")
    grid.keyboard.press("+")
    after = tile(grid, 30).bounding_box()
    assert before is not None
    assert after is not None
    assert width(grid) > was + 30
    assert after["y"] == pytest.approx(before["y"], abs=2)
    now = width(grid)
    opened(grid, server)
    assert width(grid) == now
    for _ in range(5):
        grid.get_by_role("button", name="Smaller images").click()
    assert width(grid) < was
    expect(grid.get_by_role("button", name="Smaller images")).to_have_attribute("aria-disabled", "true")


def test_the_first_tab_leads_to_the_images(band: Page) -> None:
    band.keyboard.press("Tab")
    expect(band.get_by_role("button", name="Skip to images")).to_be_focused()
    band.keyboard.press("Enter")
    expect(tile(band, 0)).to_be_focused()
    band.keyboard.press("Space")
    assert selected(band) == [0]


def test_bar_and_images_are_one_tab_stop_each(band: Page) -> None:
    band.get_by_label("Page number").focus()
    band.keyboard.press("Tab")
    expect(tile(band, 0)).to_be_focused()
    band.keyboard.press("Shift+Tab")
    expect(band.get_by_label("Page number")).to_be_focused()
    band.keyboard.press("End")
    band.keyboard.press("ArrowRight")
    expect(band.get_by_role("button", name="Next page")).to_be_focused()
    band.keyboard.press("Enter")
    expect(band.locator(".range")).to_have_text("61–120 of 4,812 in this band")
    expect(band.get_by_role("button", name="Next page")).to_be_focused()


def test_keys_typed_into_the_page_number_do_nothing_else(band: Page) -> None:
    tile(band, 0).click()
    band.get_by_label("Page number").fill("")
    band.keyboard.type("12az")
    band.keyboard.press("Escape")
    assert in_python(band)["tagged"] == 0
    assert selected(band) == [0]
    expect(band.get_by_label("Page number")).to_have_value("1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_reading_needs(browser: Browser, band_server: Any, scheme: str) -> None:
    # without motion, a button has its new colours at once
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme, reduced_motion="reduce")
    page = opened(context.new_page(), band_server)
    tile(page, 0).click()
    bar = ".range, .count, .at, .number, .action:not([aria-disabled]):not(:empty), .pill"
    for words in (f".bar :is({bar})", ".tiles :is(.label, .value, .verdict)"):
        assert min(contrasts(page, words, ".grid-root")) >= 4.5, words
    context.close()


def test_a_page_at_twice_the_size_needs_no_sideways_scrolling(page: Page, band_server: Any) -> None:
    page.set_viewport_size({"width": 640, "height": 450})  # 1280 at 200%
    opened(page, band_server)
    tile(page, 0).click()
    assert page.evaluate("() => document.documentElement.scrollWidth <= 640")
    bar = page.locator(".bar").bounding_box()
    assert bar is not None
    assert bar["height"] < 180


def test_scrolling_and_selecting_240_images_stay_smooth(band: Page) -> None:
    """The middle of the frames, since a busy machine may lose single ones; benchmarks report the worst."""
    band.get_by_label("How many").fill("240")
    band.keyboard.press("Enter")
    expect(band.locator(".frame.loaded")).to_have_count(240)
    scrolled = frame_rate.scrolling(band, ".tiles", times=20)
    scroll_to(band, 0)
    drawn = frame_rate.drawing_a_box(band, ".tile", moves=20)
    assert selected(band), "the box selected something"
    assert min(scrolled.median, drawn.median) >= frame_rate.SMOOTH
