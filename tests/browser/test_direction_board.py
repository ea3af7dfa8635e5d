"""The direction board in a real browser: open by click, key and finger, and stay calm with many cards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.contrast import contrasts
from tests.browser.patience import until

APP = Path(__file__).parent / "apps" / "board_app.py"


@pytest.fixture(scope="module")
def server(serve: Any) -> Any:
    return serve(APP)


@pytest.fixture
def board(page: Page, server: Any) -> Page:
    page.goto(server.url)
    expect(page.locator(".card")).to_have_count(8)
    return page


def heard(page: Page) -> list[str]:
    return json.loads(page.locator("[data-testid=stCode]").inner_text())["heard"]


def expect_heard(page: Page, *specs: str) -> None:
    until(page, lambda: heard(page), lambda now: now == list(specs))


def focused(page: Page) -> str | None:
    return page.locator(".board-root").evaluate("root => root.getRootNode().activeElement?.dataset.spec ?? null")


def test_a_click_opens_a_card_which_is_then_marked(board: Page) -> None:
    board.locator(".card").nth(2).click()
    expect_heard(board, "neuron:2")
    expect(board.locator(".card[aria-current]")).to_have_count(1)
    expect(board.locator(".card").nth(2)).to_have_attribute("aria-current", "true")
    expect(board.locator(".card").nth(2).locator(".open")).to_have_text("Shown now")
    board.locator(".card").nth(2).click()  # once more is heard once more
    expect_heard(board, "neuron:2", "neuron:2")


def test_one_tab_stop_arrows_between_the_cards_enter_opens(board: Page) -> None:
    expect(board.locator(".card[tabindex='0']")).to_have_count(1)
    board.locator(".card").first.focus()
    board.keyboard.press("ArrowRight")
    assert focused(board) == "neuron:1"
    board.keyboard.press("ArrowDown")  # five columns at this width
    assert focused(board) == "neuron:6"
    board.keyboard.press("ArrowDown")
    assert focused(board) == "neuron:6"
    board.keyboard.press("Home")
    assert focused(board) == "neuron:0"
    board.keyboard.press("End")
    assert focused(board) == "neuron:7"
    board.keyboard.press("ArrowUp")
    assert focused(board) == "neuron:2"
    board.keyboard.press("Enter")
    expect_heard(board, "neuron:2")
    assert focused(board) == "neuron:2"  # the rerun takes nobody away from their card
    expect(board.locator(".card[tabindex='0']")).to_have_count(1)
    board.keyboard.press("ArrowRight")
    board.keyboard.press("Space")
    expect_heard(board, "neuron:2", "neuron:3")


def test_streamlits_shortcuts_do_not_fire_from_the_board(board: Page) -> None:
    board.locator(".card").first.focus()
    board.keyboard.press("r")
    board.keyboard.press("c")
    board.wait_for_timeout(400)
    assert json.loads(board.locator("[data-testid=stCode]").inner_text())["runs"] == 1
    expect(board.get_by_role("dialog")).to_have_count(0)


def test_a_card_says_all_it_shows(board: Page) -> None:
    card = board.get_by_role("button", name="neuron 1")
    label = card.get_attribute("aria-label")
    for part in ("neuron 1", "suspicion 0.89 of 1", "mid band", "Water background: 12% of the top band"):
        assert part in label
    assert board.locator(".cards").evaluate("list => list.tagName") == "UL"
    expect(board.locator(".title").first).to_have_text("logit of <b>waterbird</b>")
    assert board.locator(".title b").count() == 0


def test_a_card_without_a_score_has_no_bar(board: Page) -> None:
    assert board.locator(".card").nth(6).locator(".score").count() == 0
    assert "suspicion" not in board.locator(".card").nth(6).get_attribute("aria-label")


def test_the_mid_band_is_shaded_where_it_lies(board: Page) -> None:
    plot, mid = (board.locator(f".card .{name}").first.bounding_box() for name in ("plot", "mid"))
    assert plot["x"] < mid["x"] < mid["x"] + mid["width"] < plot["x"] + plot["width"]
    strong = board.locator(".card .spark:not(.pale)").first
    assert "inset" in strong.evaluate("spark => getComputedStyle(spark).clipPath")


def test_the_score_explains_itself_after_a_moment_and_goes_with_the_pointer(board: Page) -> None:
    board.locator(".card .score").nth(1).hover()
    tooltip = board.locator(".tooltip")
    expect(tooltip).to_contain_text("suspicion 0.89 of 1")
    expect(tooltip).to_contain_text("most suspicious middle")
    board.mouse.move(5, 5)
    expect(tooltip).to_be_hidden()
    board.locator(".card .figure").nth(1).hover()
    expect(tooltip).to_contain_text("500 images from")
    board.locator(".card").first.focus()
    board.keyboard.press("ArrowRight")
    expect(tooltip).to_contain_text("wrong 14% of the middle")


@pytest.mark.parametrize(("width", "columns"), [(1920, 5), (1440, 5), (1024, 3), (700, 2), (390, 1)])
def test_columns_follow_the_width(board: Page, width: int, columns: int) -> None:
    board.set_viewport_size({"width": width, "height": 900})
    tops = [board.locator(".card").nth(i).bounding_box()["y"] for i in range(6)]
    assert sum(top == tops[0] for top in tops) == columns
    assert board.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")


def test_figures_stand_in_line_under_titles_of_one_line_or_two(board: Page) -> None:
    titles = [title.bounding_box()["height"] for title in board.locator(".title").all()[:5]]
    assert max(titles) > 1.5 * min(titles)
    assert len({figure.bounding_box()["y"] for figure in board.locator(".figure").all()[:5]}) == 1
    assert len({card.bounding_box()["height"] for card in board.locator(".card").all()[:5]}) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(board: Page, scheme: str) -> None:
    board.emulate_media(color_scheme=scheme)
    # the page's colours follow the system's, then those of the cards fade over
    board.wait_for_function(
        "isDark => getComputedStyle(document.querySelector('.stApp')).colorScheme.includes(isDark ? 'dark' : 'light')",
        arg=scheme == "dark",
    )
    board.wait_for_timeout(600)
    found = contrasts(board, ".title, .badge, .end, .score-name, .score-value, .why, .open", ".card")
    assert len(found) > 20
    assert min(found) >= 4.5


def test_sixty_cards_are_drawn_at_once_and_a_page_on_replaces_them(board: Page) -> None:
    board.get_by_text("60", exact=True).click()
    expect(board.locator(".card")).to_have_count(60)
    board.locator(".card").first.focus()
    board.keyboard.press("End")
    assert focused(board) == "neuron:59"
    milliseconds = board.locator(".board-root").evaluate(
        """async root => {
            const longest = []
            let last = performance.now()
            for (let i = 0; i < 30; i++) {
                root.closest("*").scrollIntoView()
                document.querySelector("[data-testid=stMain]").scrollTop = i * 100
                await new Promise(requestAnimationFrame)
                longest.push(performance.now() - last)
                last = performance.now()
            }
            return longest.sort((a, b) => a - b)[15]
        }"""
    )
    assert milliseconds < 50
    board.get_by_role("radiogroup", name="Page").get_by_text("1", exact=True).click()
    expect(board.locator(".card").first).to_have_attribute("data-spec", "neuron:60")
    expect(board.locator(".card[tabindex='0']")).to_have_count(1)


def test_no_card_is_said_in_words(board: Page) -> None:
    board.get_by_role("radiogroup", name="Cards").get_by_text("0", exact=True).click()
    expect(board.locator(".empty")).to_have_text("No direction matches.")
    expect(board.locator(".card")).to_have_count(0)


def test_a_focused_card_shows_it(board: Page) -> None:
    board.locator(".card").first.focus()
    board.keyboard.press("ArrowRight")
    outline = board.locator(".card").nth(1).evaluate("card => getComputedStyle(card).outlineStyle")
    assert outline == "solid"
