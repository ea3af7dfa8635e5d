"""Tag next in a real browser: answers by keys, mouse and finger, none lost, and the way back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import Concept, create_concept
from core.concepts.tags import ABSENT, PRESENT, UNSURE, UNTAGGED, answers, tag
from core.workspace import Workspace
from tests.browser.patience import until

APP = Path(__file__).parent / "apps" / "card_app.py"
HOSTILE = "<img src=x onerror=alert(1)> **bold** مرحبا"


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = open_analysis(demo)
    create_concept(demo, found.dataset_id, "water background")
    create_concept(demo, found.dataset_id, HOSTILE)
    return found


@pytest.fixture(scope="module")
def water(demo: Workspace, analysis: Analysis) -> Concept:
    return create_concept(demo, analysis.dataset_id, "water background")


@pytest.fixture(scope="module")
def hostile(demo: Workspace, analysis: Analysis) -> Concept:
    return create_concept(demo, analysis.dataset_id, HOSTILE)


@pytest.fixture(scope="module")
def slow_server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    """Cards alone, on a page that takes a quarter of a second per run: keys are pressed while it is still busy."""
    return serve(APP, env={"MIDBAND_WORKSPACE": str(demo.root), "CARD_PAUSE": "0.25"})


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def opened(page: Page, url: str) -> Page:
    page.goto(url)
    expect(page.locator(".stage[data-painted=large]")).to_be_visible()
    return page


def shown(page: Page) -> int:
    return int(page.locator(".stage").get_attribute("data-image") or -1)


def said(workspace: Workspace, analysis: Analysis, concept: Concept) -> dict[int, int]:
    states = answers(workspace, analysis, concept)
    return {int(analysis.ids[row]): int(states[row]) for row in np.flatnonzero(states != UNTAGGED)}


def wait_for_answers(page: Page, workspace: Workspace, analysis: Analysis, concept: Concept, wanted: Any) -> None:
    until(page, lambda: said(workspace, analysis, concept), lambda now: now == wanted)


def test_no_key_is_lost_however_quickly_they_come(
    page: Page, slow_server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    opened(page, slow_server.url)
    before = said(demo, analysis, water)
    wanted = dict(before)
    for key, says in [("y", PRESENT), ("n", ABSENT), ("u", UNSURE), ("1", PRESENT), ("Shift+Digit1", ABSENT)] * 2:
        wanted[shown(page)] = says
        page.keyboard.press(key)
    wait_for_answers(page, demo, analysis, water, wanted)
    # the way back, one step more than an answer: what was put off comes first
    last, current = list(wanted)[-1], shown(page)
    page.keyboard.press("Space")
    assert shown(page) != current
    page.keyboard.press("z")
    assert shown(page) == current
    page.keyboard.press("z")
    assert shown(page) == last
    del wanted[last]
    wait_for_answers(page, demo, analysis, water, wanted)
    expect(page.locator(".announcer")).to_contain_text("Undone. Next image. Asked")
    page.keyboard.press("Shift+z")
    wait_for_answers(page, demo, analysis, water, {**wanted, last: ABSENT})
    expect(page.locator(f".stage[data-image='{current}']")).to_be_visible()


def test_the_next_picture_is_painted_with_the_key(
    page: Page, server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    opened(page, f"{server.url}/tag_next?concept={water.id}")
    page.wait_for_timeout(1500)
    wanted = said(demo, analysis, water)
    for _ in range(4):
        wanted[shown(page)] = UNSURE
        # in the very task of the key press, without waiting for anything
        painted = page.evaluate("""() => {
            const roots = [...document.querySelectorAll('*')].map(element => element.shadowRoot)
            const root = roots.find(one => one?.querySelector('.stage'))
            const stage = root.querySelector('.stage'), before = stage.dataset.image
            window.dispatchEvent(new KeyboardEvent('keydown', { key: 'u', code: 'KeyU', bubbles: true }))
            const photo = root.querySelector('.photo')
            return [stage.dataset.image !== before, stage.dataset.painted, photo?.complete && photo.naturalWidth > 0]
        }""")
        assert painted == [True, "large", True]
        page.wait_for_timeout(400)
    wait_for_answers(page, demo, analysis, water, wanted)


def test_keys_belong_to_who_types_and_never_to_streamlit(
    page: Page, slow_server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    opened(page, slow_server.url)
    before = said(demo, analysis, water)
    current = shown(page)
    page.get_by_label("A field").fill("y")
    page.keyboard.type("nuz 1")
    assert shown(page) == current
    # after a click Space puts off; it does not press the button once more
    page.locator(".answer", has_text="Yes").click()
    assert page.locator(".stage").evaluate("stage => stage.matches(':focus')")
    after_click = shown(page)
    page.keyboard.press("Space")
    assert shown(page) != after_click
    wait_for_answers(page, demo, analysis, water, {**before, current: PRESENT})
    page.keyboard.press("c")  # Streamlit: clear caches
    page.wait_for_timeout(300)
    expect(page.get_by_role("dialog")).to_have_count(0)
    # by Tab a button is pressed with Space as any other
    third = shown(page)
    page.locator(".answer", has_text="No").focus()
    page.keyboard.press("Space")
    wait_for_answers(page, demo, analysis, water, {**before, current: PRESENT, third: ABSENT})


def test_another_concept_is_tagged_on_the_same_card_whatever_its_name(
    page: Page, server: Any, demo: Workspace, analysis: Analysis, water: Concept, hostile: Concept
) -> None:
    opened(page, f"{server.url}/tag_next?concept={water.id}")
    current = shown(page)
    pill = page.locator(".pill")
    expect(pill).to_have_text(f"{HOSTILE}2")
    page.keyboard.press("2")
    expect(pill).to_have_attribute("data-state", "yes")
    page.keyboard.press("Shift+Digit2")
    expect(pill).to_have_attribute("data-state", "no")
    assert shown(page) == current
    wait_for_answers(page, demo, analysis, hostile, {current: ABSENT})
    page.keyboard.press("Shift+Digit2")
    wait_for_answers(page, demo, analysis, hostile, {})
    opened(page, f"{server.url}/tag_next?concept={hostile.id}")
    expect(page.locator(".question")).to_have_text(f"Does this show {HOSTILE}?")
    assert page.locator(".question img").count() == 0


def test_a_finger_swipes_and_label_and_prediction_wait_to_be_asked_for(
    browser: Browser, server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = opened(context.new_page(), f"{server.url}/tag_next?concept={water.id}")
    expect(page.locator(".opinion")).to_be_hidden()
    for name in ("No", "Can’t tell", "Yes"):
        expect(page.locator(".answer", has_text=name)).to_be_in_viewport()
    before, current = said(demo, analysis, water), shown(page)
    swipe(page, -30)
    assert shown(page) == current
    swipe(page, 150)
    second = shown(page)
    assert second != current
    swipe(page, -150)
    wait_for_answers(page, demo, analysis, water, {**before, current: PRESENT, second: ABSENT})
    page.get_by_role("button", name="Show label and prediction").click()
    expect(page.locator(".opinion")).to_contain_text("predicted")
    page.get_by_role("button", name="Hide label and prediction").click()
    context.close()


def swipe(page: Page, dx: float) -> None:
    box = page.locator(".stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for step in range(1, 9):
        session.send(
            "Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + dx * step / 8, "y": y}]}
        )
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(50)


def test_a_closer_look_leaves_the_card_in_place(
    page: Page, server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    opened(page, f"{server.url}/tag_next?concept={water.id}")
    current, before = shown(page), said(demo, analysis, water)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator(".inspector .name")).to_have_text(str(analysis.images[analysis.rows_of([current])[0]]))
    page.keyboard.press("n")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert shown(page) == current
    assert said(demo, analysis, water) == before
    page.keyboard.press("y")
    wait_for_answers(page, demo, analysis, water, {**before, current: PRESENT})


def test_nothing_jumps_and_the_choice_of_mode_survives_a_reload(page: Page, server: Any, water: Concept) -> None:
    opened(page, f"{server.url}/tag_next?concept={water.id}")
    number = page.locator(".ring .number")
    before = int(number.inner_text())
    boxes = [page.locator(".stage").bounding_box(), page.get_by_role("button", name="Retrain").bounding_box()]
    for _ in range(3):
        page.keyboard.press("y")
    expect(number).to_have_text(str(before + 3))
    page.wait_for_timeout(800)
    assert [
        page.locator(".stage").bounding_box(),
        page.get_by_role("button", name="Retrain").bounding_box(),
    ] == boxes
    page.get_by_test_id("stMain").get_by_text("Grid", exact=True).click()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page).to_have_url(re.compile("mode=grid"))
    page.reload()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator(".stage")).to_have_count(0)


def test_guesses_are_accepted_in_one_step_and_taken_back_in_one(
    page: Page, server: Any, demo: Workspace, analysis: Analysis, water: Concept
) -> None:
    place = next(attribute for attribute in analysis.attributes if attribute.name == "place")
    shows = place.codes == place.values.index("water")
    rows = analysis.split_rows("val")[:60]
    tag(demo, analysis, water, rows[shows[rows]], True)
    tag(demo, analysis, water, rows[~shows[rows]], False)
    before = said(demo, analysis, water)
    page.goto(f"{server.url}/tag_next?look=review&concept={water.id}")
    expect(page.locator(".frame.loaded")).to_have_count(24)
    expect(page.locator(".tile").first).to_contain_text("guess")
    assert page.locator(".tile .chip").count() == 0
    ids = page.locator(".tile").evaluate_all("all => all.map(tile => Number(tile.dataset.id))")
    page.get_by_role("button", name="Accept all 24 shown as present").click()
    wait_for_answers(page, demo, analysis, water, {**before, **dict.fromkeys(ids, PRESENT)})
    expect(page.locator(f".tile[data-id='{ids[0]}']")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    wait_for_answers(page, demo, analysis, water, before)
