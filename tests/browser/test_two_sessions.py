"""Two people at once: each sees what the other tags, no tag is lost, nothing moves under the hand."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import Concept, create_concept, delete_concept
from core.concepts.history import history
from core.concepts.tags import PRESENT, tag_states
from core.demo import find_demo
from core.workspace import Workspace

NAME = "water <b>background</b> 🌊"

Enter = Callable[..., Page]


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = find_demo(demo)
    assert found is not None
    return open_analysis(demo, found)


@pytest.fixture
def concept(demo: Workspace, analysis: Analysis) -> Iterator[Concept]:
    """A concept of the test's own, made by nobody of the two."""
    made = create_concept(demo, analysis.dataset_id, f"{NAME} {time.monotonic_ns()}")
    yield made
    with contextlib.suppress(Exception):
        delete_concept(demo, made)


@pytest.fixture
def enter(browser: Browser, server: Any, analysis: Analysis) -> Iterator[Enter]:
    """enter("Ada") opens the bands in a browser of her own, under this name."""
    contexts = []

    def come(name: str, path: str = "bands") -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{server.url}/{path}?analysis={analysis.id}")
        page.get_by_role("button", name="Tagging as Person").click()
        box = page.get_by_role("textbox", name="Your name")
        box.fill(name)
        box.press("Enter")
        expect(tagging_as(page, name)).to_be_visible()
        expect(tile(page, 20)).to_be_visible()
        return page

    yield come
    for context in contexts:
        context.close()


def tile(page: Page, number: int) -> Any:
    return page.locator(".tile").nth(number)


def tagging_as(page: Page, name: str) -> Any:
    """What says the name; one that writes from right to left stands between marks that are not seen."""
    return page.get_by_role("button", name="Tagging as").filter(has_text=name)


def chips(page: Page, number: int) -> Any:
    return tile(page, number).locator(".chip")


def tag(page: Page, numbers: list[int], concept: Concept, key: str = "") -> None:
    """Select images by clicking and tag them with the number key."""
    for number in numbers:
        tile(page, number).click()
    page.keyboard.press(key or f"Digit{concept.shortcut}")


def tagged(demo: Workspace, analysis: Analysis, concept: Concept) -> set[int]:
    return set(analysis.ids[np.flatnonzero(tag_states(demo, analysis, concept) == PRESENT)].tolist())


def ids(page: Page, numbers: list[int]) -> set[int]:
    return {int(tile(page, number).get_attribute("data-id")) for number in numbers}


def test_each_sees_what_the_other_tags_and_keeps_selection_and_place(enter: Enter, concept: Concept) -> None:
    ada, bo = enter("Ada"), enter("Bo")
    expect(tile(bo, 20)).to_be_visible()
    before = [tile(bo, number).get_attribute("data-id") for number in range(24)]
    # he has selected two images, scrolled down, and has the focus on a tile
    tile(bo, 14).click()
    tile(bo, 15).click()
    main = bo.get_by_test_id("stMain")
    main.evaluate("main => main.scrollTo(0, main.scrollTop + 90)")
    place = tile(bo, 20).bounding_box()["y"]
    bo.evaluate("""() => {
      window.gone = 0
      const grid = [...document.querySelectorAll('*')].find(each => each.shadowRoot?.querySelector('.tile'))
      new MutationObserver(changes => {
        for (const change of changes) for (const node of change.removedNodes)
          if (node.classList?.contains('tile') || node.querySelector?.('.tile')) window.gone += 1
      }).observe(grid.shadowRoot, { childList: true, subtree: true })
    }""")
    tag(ada, [14, 16], concept)
    began = time.perf_counter()
    expect(chips(bo, 16)).to_have_text(concept.name)
    seen = time.perf_counter() - began
    sys.stdout.write(f"\nseen by the other after {seen:.2f} s\n")
    expect(chips(bo, 14)).to_have_text(concept.name)
    expect(bo.locator(".tile[aria-selected=true]")).to_have_count(2)
    assert [tile(bo, number).get_attribute("data-id") for number in range(24)] == before
    # what stands above may take another line; where he looks nothing moves
    assert tile(bo, 20).bounding_box()["y"] == pytest.approx(place, abs=1)
    assert bo.evaluate("window.gone") == 0, "no tile was taken away, so none flickered"
    assert tile(bo, 15).evaluate("tile => tile.getRootNode().activeElement === tile")
    # and she sees what he does to his selection
    bo.keyboard.press(f"Shift+Digit{concept.shortcut}")
    expect(chips(ada, 15)).to_have_class(re.compile("absent"))
    expect(ada.get_by_text("Bo is here, tagged 2 images; you agree on 0 of 1.")).to_be_visible()


def test_tagging_quickly_at_once_loses_nothing_and_undo_is_ones_own(
    enter: Enter, demo: Workspace, analysis: Analysis, concept: Concept
) -> None:
    ada, bo = enter("Ada"), enter("Bo")
    mine, his = list(range(0, 20, 2)), list(range(1, 20, 2))
    wanted_a, wanted_b = ids(ada, mine), ids(bo, his)
    for first, second in zip(mine, his, strict=True):
        # one at a time and without waiting: ten events each, under way together
        for page, number in ((ada, first), (bo, second)):
            tile(page, number).focus()
            page.keyboard.press(f"Digit{concept.shortcut}")
    for page in (ada, bo):
        for number in (mine[-1], his[-1]):
            expect(chips(page, number)).to_have_text(concept.name)
    assert tagged(demo, analysis, concept) == wanted_a | wanted_b
    authors = [entry.author for entry in history(demo, analysis.dataset_id, limit=20)]
    assert sorted(authors) == ["Ada"] * 10 + ["Bo"] * 10

    # her last step, though his came after it
    tile(ada, 0).focus()
    ada.keyboard.press("z")
    expect(chips(ada, mine[-1])).to_have_count(0)
    expect(chips(bo, mine[-1])).to_have_count(0)
    assert tagged(demo, analysis, concept) == (wanted_a | wanted_b) - ids(ada, [mine[-1]])


def test_nothing_happens_to_a_dialog_or_a_form_that_is_open(enter: Enter, concept: Concept) -> None:
    ada, bo = enter("Ada"), enter("Bo")
    tile(bo, 3).dblclick()
    expect(bo.get_by_role("dialog")).to_be_visible()
    expect(bo.locator(".inspector .name")).to_be_visible()
    tag(ada, [5], concept)
    expect(chips(ada, 5)).to_have_text(concept.name)
    bo.wait_for_timeout(3500)
    expect(bo.get_by_role("dialog")).to_be_visible()
    expect(chips(bo, 5)).to_have_count(0)
    bo.keyboard.press("Escape")
    expect(chips(bo, 5)).to_have_text(concept.name)
    # what is being typed stays, and so does the form around it
    bo.get_by_role("button", name="New concept").click()
    box = bo.get_by_role("textbox", name="What do you see?")
    box.press_sequentially("half a na")
    tag(ada, [6], concept)
    expect(chips(bo, 6)).to_have_text(concept.name)
    box.press_sequentially("me")
    expect(box).to_have_value("half a name")
    expect(box).to_be_focused()


def test_agreement_and_differing_images_are_on_the_page_of_concepts(
    enter: Enter, concept: Concept, tmp_path: Path
) -> None:
    # names of their own: people are known by all they ever tagged
    ada, bo = enter("Ada L"), enter("Bo B")
    tag(ada, [0, 1, 2], concept)
    tag(bo, [0, 1], concept)
    tile(bo, 2).focus()
    bo.keyboard.press("Escape")
    tag(bo, [2], concept, f"Shift+Digit{concept.shortcut}")
    different = tile(bo, 2).get_attribute("data-id")
    note = ada.get_by_role("button", name=re.compile("Bo B is here, tagged 3 images"))
    expect(note).to_have_text(re.compile("you agree on 2 of 3"))
    note.click()
    expect(ada.get_by_text("Ada L and Bo B agree on 2 of 3 answers")).to_be_visible()
    expect(ada.locator(".tile")).to_have_count(1)
    expect(tile(ada, 0)).to_have_attribute("data-id", different or "")
    expect(tile(ada, 0)).to_have_attribute("aria-label", re.compile("Ada L yes, Bo B no"))


def test_a_name_survives_a_reload_and_a_hidden_page_asks_nothing(browser: Browser, enter: Enter) -> None:
    hostile = "<i>Zoë</i> עדה"
    page = enter(hostile)
    page.reload()
    expect(tagging_as(page, hostile)).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/live/" in request.url else None)
    for _ in range(2):
        with page.expect_request("**/live/**"):
            pass
    page.evaluate("""() => {
      Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true })
      document.dispatchEvent(new Event("visibilitychange"))
    }""")
    page.wait_for_timeout(1500)
    asked.clear()
    page.wait_for_timeout(2500)
    assert not asked
    page.evaluate("""() => {
      delete document.visibilityState
      document.dispatchEvent(new Event("visibilitychange"))
    }""")
    page.wait_for_timeout(300)
    assert asked, "at once when it is seen again"
