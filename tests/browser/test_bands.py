"""The Bands page in a real browser, by mouse and by keys, over the demo."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import get_concept
from core.concepts.tags import PRESENT, tag_states
from core.retraining.runs import retrain
from core.workspace import Workspace
from scripts.planted_tags import tag_by_truth
from tests.browser.patience import until

CONCEPT = "water background"


def with_tags_and_a_repair(workspace: Workspace, analysis: Analysis) -> None:
    """Sixty tags from the planted truth, and one retraining."""
    tag_by_truth(workspace, analysis, 60, CONCEPT)
    retrain(workspace, analysis)


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = open_analysis(demo)
    with_tags_and_a_repair(demo, found)
    return found


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


@pytest.fixture
def bands(page: Page, server: Any) -> Page:
    return opened(page, server, "/bands?direction=logit:waterbird")


def opened(page: Page, server: Any, path: str) -> Page:
    page.goto(server.url + path)
    expect(page.locator(".strip-root .window").first).to_be_visible()
    if "look=" not in path:
        expect(page.locator(".frame.loaded").first).to_be_visible()
    return page


def grid_ids(page: Page, nth: int = 0) -> list[int]:
    return (
        page.locator(".tiles")
        .nth(nth)
        .evaluate("tiles => [...tiles.querySelectorAll('.tile')].map(t => Number(t.dataset.id))")
    )


def wait_for_other_images(page: Page, before: list[int]) -> list[int]:
    return until(page, lambda: grid_ids(page), lambda now: bool(now) and now != before)


def band(page: Page) -> tuple[float, float]:
    """The band as the address has it: the page writes it there a moment after the images."""

    def ends() -> list[float]:
        found = (re.search(rf"[?&]{end}=([-\d.e]+)", page.url) for end in ("low", "high"))
        return [float(end[1]) for end in found if end]

    low, high = until(page, ends, lambda seen: len(seen) == 2)
    return low, high


def wait_for_band(page: Page, before: tuple[float, float]) -> tuple[float, float]:
    return until(page, lambda: band(page), lambda now: now != before)


def drag(page: Page, what: Locator, by: float) -> None:
    box = what.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=5)
    page.mouse.up()


def between(analysis: Analysis, low: float, high: float) -> np.ndarray:
    """(n,) bool, the val images whose logit of waterbird lies in the band."""
    logits = analysis.logits[:, analysis.classes.index("waterbird")].astype(np.float64)
    return (logits >= low) & (logits <= high) & (analysis.splits == 1)


def look(page: Page, name: str) -> None:
    page.get_by_test_id("stMain").get_by_role("radio", name=re.compile(name)).click()


def test_a_dragged_band_shows_its_images_and_nothing_else(bands: Page, analysis: Analysis) -> None:
    before, images = band(bands), grid_ids(bands)
    drag(bands, bands.locator(".window"), 150)
    low, high = wait_for_band(bands, before)
    rows = analysis.rows_of(wait_for_other_images(bands, images))
    logits = analysis.logits[rows, analysis.classes.index("waterbird")]
    assert ((logits >= low) & (logits <= high)).all()
    assert set(analysis.splits[rows]) == {1}
    # what the strip counts is what the grid says it pages through
    count = int(np.sum(between(analysis, low, high)))
    expect(bands.locator(".strip-root .count")).to_contain_text(f"{count:,} of")
    expect(bands.locator(".range")).to_contain_text(f"of {count:,}")


def test_arrows_move_the_band_and_shift_widens_it_wherever_the_focus_is(bands: Page) -> None:
    low, high = band(bands)
    bands.locator("body").press("ArrowRight")
    moved = wait_for_band(bands, (low, high))
    assert moved[0] > low
    assert moved[1] - moved[0] == pytest.approx(high - low, abs=0.01)
    bands.locator("body").press("Shift+ArrowRight")
    wider = wait_for_band(bands, moved)
    assert wider[0] < moved[0]
    assert wider[1] > moved[1]


def test_arrows_in_the_grid_do_not_move_the_band(bands: Page) -> None:
    before = band(bands)
    bands.locator(".tile").first.click()
    bands.keyboard.press("ArrowRight")
    bands.wait_for_timeout(800)
    assert band(bands) == before


def test_pages_keep_the_selection_and_show_other_images(bands: Page) -> None:
    first = grid_ids(bands)
    bands.locator(".tile").nth(1).click()
    bands.locator(".tile").nth(2).click()
    bands.keyboard.press("PageDown")
    second = wait_for_other_images(bands, first)
    assert not set(first) & set(second)
    expect(bands).to_have_url(re.compile("page=1"))
    expect(bands.locator(".bar .count")).to_contain_text("2")
    bands.keyboard.press("PageUp")
    wait_for_other_images(bands, second)
    assert (
        bands.locator(".tile[aria-selected=true]").evaluate_all("all => all.map(t => Number(t.dataset.id))")
        == first[1:3]
    )


def test_the_whole_band_is_tagged_and_taken_back_in_one_step(bands: Page, demo: Workspace, analysis: Analysis) -> None:
    concept = get_concept(demo, analysis.dataset_id, CONCEPT)
    before = tag_states(demo, analysis, concept)
    inside = between(analysis, *band(bands))
    bands.locator("[data-action=everything]").click()
    bands.get_by_role("button", name="Present", exact=True).click()
    question = bands.locator(".confirm .question")
    expect(question).to_contain_text(f"{int(inside.sum()):,}")
    bands.locator(".confirm [data-action=yes]").click()
    after = until(
        bands, lambda: tag_states(demo, analysis, concept), lambda states: bool((states[inside] == PRESENT).all())
    )
    assert (after[~inside] == before[~inside]).all()
    bands.locator("[data-action=undo]").click()
    until(bands, lambda: tag_states(demo, analysis, concept), lambda states: bool((states == before).all()))


def test_a_filter_is_set_seen_and_taken_off(bands: Page, analysis: Analysis) -> None:
    images = grid_ids(bands)
    bands.get_by_role("button", name="Filter").click()
    bands.get_by_role("button", name="wrong", exact=True).or_(
        bands.get_by_role("checkbox", name="wrong", exact=True)
    ).first.click()
    rows = analysis.rows_of(wait_for_other_images(bands, images))
    assert (analysis.predicted[rows] != analysis.labels[rows]).all()
    bands.keyboard.press("Escape")
    bands.get_by_role("button", name="correctness: wrong").click()
    assert wait_for_other_images(bands, analysis.ids[rows].tolist()) == images


def test_the_axis_changes_and_the_band_does_not(bands: Page) -> None:
    before = band(bands)
    bands.get_by_role("button", name="Display").click()
    bands.get_by_role("radio", name="share of images").click()
    expect(bands).to_have_url(re.compile("scale=quantile"))
    expect(bands.locator(".axis-name")).to_contain_text("percent")
    assert band(bands) == before


def test_a_double_click_looks_closer_and_escape_comes_back(bands: Page) -> None:
    images = grid_ids(bands)
    bands.locator(".tile").nth(3).dblclick()
    dialog = bands.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_text("Nearest in feature space")).to_be_visible()
    expect(dialog.get_by_text("4 of 60")).to_be_visible()
    bands.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    until(bands, lambda: grid_ids(bands), lambda now: now == images)


def test_a_copied_link_opens_the_same_view_in_another_session(bands: Page, server: Any, browser: Browser) -> None:
    before = grid_ids(bands)
    drag(bands, bands.locator(".handle[data-end=low]"), -120)
    first = wait_for_other_images(bands, before)
    bands.locator("[data-action=next]").click()
    shown = wait_for_other_images(bands, first)
    expect(bands).to_have_url(re.compile("page=1"))
    address = bands.url
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    other = context.new_page()
    other.goto(address)
    expect(other.locator(".frame.loaded").first).to_be_visible()
    until(other, lambda: grid_ids(other), lambda now: now == shown)
    assert band(other) == band(bands)
    context.close()


def test_two_sessions_look_at_bands_of_their_own(bands: Page, server: Any, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    other = opened(context.new_page(), server, "/bands?direction=logit:landbird")
    before = band(other), grid_ids(other)
    mine = grid_ids(bands)
    drag(bands, bands.locator(".window"), 200)
    wait_for_other_images(bands, mine)
    other.wait_for_timeout(500)
    assert (band(other), grid_ids(other)) == before
    context.close()


def test_the_contact_sheet_opens_a_band_and_is_taken_away(bands: Page, analysis: Analysis) -> None:
    look(bands, "Contact sheet")
    expect(bands).to_have_url(re.compile("look=sheet"))
    for kind, begins in (("PNG", b"\x89PNG"), ("PDF", b"%PDF")):
        with bands.expect_download() as download:
            bands.get_by_role("button", name=kind, exact=True).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(begins)
        if kind == "PNG":
            with Image.open(BytesIO(content)) as picture:
                assert min(picture.size) > 600
    before = band(bands)
    bands.locator(".open-band").nth(1).click()
    low, high = wait_for_band(bands, before)
    assert low < high
    expect(bands.locator(".frame.loaded").first).to_be_visible()
    logits = analysis.logits[analysis.rows_of(grid_ids(bands)), analysis.classes.index("waterbird")]
    assert ((logits >= low) & (logits <= high)).all()


def test_the_confounder_curve_says_it_in_a_sentence(bands: Page) -> None:
    look(bands, "Confounder curve")
    expect(bands.get_by_text(re.compile(r"\d+%.* of the .*top band")).first).to_be_visible()
    expect(bands.locator(".plot .drawing .mark").first).to_be_visible()


def test_both_sides_of_a_comparison_follow_one_band(bands: Page) -> None:
    look(bands, "Compare")
    expect(bands.locator(".tiles")).to_have_count(2)
    # before and after the repair, over the same images
    expect(bands.get_by_text(re.compile("turned right"))).to_be_visible()
    before, _ = until(bands, lambda: (grid_ids(bands, 0), grid_ids(bands, 1)), lambda both: both[0] == both[1] != [])
    drag(bands, bands.locator(".window").first, 60)
    until(bands, lambda: (grid_ids(bands, 0), grid_ids(bands, 1)), lambda both: both[0] == both[1] not in ([], before))


def test_the_right_side_moves_the_left_one(page: Page, server: Any) -> None:
    link = "/bands?direction=logit:waterbird&look=compare&other=logit:landbird&link=values&low=-1&high=1"
    page.goto(server.url + link)
    expect(page.locator(".strip-root .window")).to_have_count(2)
    expect(page.locator(".frame.loaded").first).to_be_visible()
    before = band(page)
    drag(page, page.locator(".window").nth(1), 60)
    low, high = wait_for_band(page, before)
    assert low > before[0]
    assert high - low == pytest.approx(before[1] - before[0], abs=0.02)
    # what the left strip counts now is the band of the address
    shown = page.locator(".strip-root").first.locator(".handle .value").all_inner_texts()
    assert [float(text.replace("\N{MINUS SIGN}", "-")) for text in shown] == pytest.approx([low, high], abs=0.02)


def test_a_direction_is_found_and_opened_by_keyboard(bands: Page) -> None:
    look(bands, "Directions")
    search = bands.get_by_role("textbox", name="Search")
    search.fill("neuron 7")
    search.press("Enter")
    card = bands.locator(".board-root").get_by_role("button")
    expect(card).to_have_count(1)
    card.focus()
    bands.keyboard.press("Enter")
    expect(bands).to_have_url(re.compile("direction=neuron%3A7|direction=neuron:7"))
    expect(bands.locator(".strip-root .value-name")).to_have_text("neuron 7")


def test_a_card_opens_the_images_its_sentence_speaks_of(bands: Page, analysis: Analysis) -> None:
    look(bands, "Directions")
    card = bands.locator(".board-root").get_by_role("button", name=re.compile(r"^logit of waterbird\."))
    card.click()
    expect(bands.locator(".frame.loaded").first).to_be_visible()
    expect(bands.get_by_role("button", name="class: waterbird")).to_be_visible()
    rows = analysis.rows_of(grid_ids(bands))
    assert set(analysis.labels[rows]) == {analysis.classes.index("waterbird")}
    # the weakest tenth of the class, at least thirty images
    own = np.sort(analysis.logits[(analysis.labels == 1) & (analysis.splits == 1), 1])
    assert band(bands)[1] == pytest.approx(own[round(0.1 * len(own))], abs=0.2)


def test_the_back_button_returns_to_the_view_before(bands: Page) -> None:
    bands.wait_for_timeout(2000)
    look(bands, "Directions")
    expect(bands).to_have_url(re.compile("look=directions"))
    bands.wait_for_timeout(2000)
    bands.go_back()
    expect(bands.locator(".frame.loaded").first).to_be_visible()


@pytest.mark.parametrize("way", ["images", "sheet", "curve", "compare", "directions"])
def test_nothing_scrolls_sideways(page: Page, server: Any, way: str) -> None:
    page.goto(f"{server.url}/bands?direction=logit:waterbird&look={way}")
    expect(page.get_by_role("heading", name="Bands")).to_be_visible()
    page.wait_for_load_state("networkidle")
    for width in (1920, 1024, 390):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)
        main = page.get_by_test_id("stMain")
        assert main.evaluate("main => main.scrollWidth - main.clientWidth") <= 0, width
