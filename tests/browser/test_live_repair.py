"""The live preview in a real browser: it follows the answers, marks images, and ends when it is switched off."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import Concept, create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.workspace import Workspace


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    return open_analysis(demo)


@pytest.fixture(scope="module")
def water(demo: Workspace, analysis: Analysis) -> Concept:
    """A concept with 30 true answers."""
    concept = create_concept(demo, analysis.dataset_id, "water background")
    rows = np.array([item.row for item in suggest_next(demo, analysis, concept, budget=30)[:30]])
    shown = analysis.attributes[0].codes[rows] == 1
    for present in (True, False):
        tag(demo, analysis, concept, rows[shown == present], present)
    return concept


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis, water: Concept) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def test_it_follows_the_answers_without_a_run_of_the_page(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/tag_next")
    strip = page.locator(".told")
    expect(strip.locator(".state")).to_have_text("estimated from 30 tagged images", timeout=60_000)
    assert re.fullmatch(r"\d+% → (about|roughly) \d+%", strip.locator(".figure").inner_text())
    expect(page.locator(".stage[data-painted=large]")).to_be_visible()
    # label and prediction are hidden at first, and so is what would become of them
    expect(page.locator(".cards")).not_to_contain_text("repair")
    page.keyboard.press("y")
    expect(strip.locator(".state")).to_have_text("estimated from 31 tagged images")
    expect(strip.locator(".way")).to_be_visible()
    page.keyboard.press("z")
    expect(strip.locator(".state")).to_have_text("estimated from 30 tagged images")
    expect(strip.locator(".way")).to_be_hidden()
    strip.hover()
    expect(page.locator(".strip .tooltip")).to_contain_text("test is not looked at")
    expect(page.locator(".strip .announcer")).to_contain_text("worst group")
    height = strip.bounding_box()
    page.route("**/repair*", lambda route: route.abort())
    expect(strip.locator(".state")).to_contain_text("No connection to the server")
    expect(strip.locator(".figure")).to_be_visible()
    page.unroute("**/repair*")
    expect(strip.locator(".state")).to_have_text("estimated from 30 tagged images")
    assert strip.bounding_box() == height


def test_images_that_would_be_named_otherwise_say_so_until_it_is_switched_off(page: Page, server: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/repair" in request.url else None)
    page.goto(f"{server.url}/bands")
    marked = page.locator(".tile:has(.would:not(:empty))")
    expect(marked.first).to_be_visible(timeout=60_000)
    assert marked.count() < page.locator(".tile").count()
    said = marked.first.locator(".would").inner_text()
    assert re.fullmatch(r"→ (landbird|waterbird)", said)
    label = marked.first.get_attribute("aria-label") or ""
    assert f"would become {said.removeprefix('→ ')} after a repair" in label
    # a mark takes no room of its own
    heights = page.locator(".tile").evaluate_all("tiles => [...new Set(tiles.map(tile => tile.offsetHeight))]")
    assert len(heights) == 1
    page.get_by_text("Live preview", exact=True).click()
    expect(page.locator(".told")).to_have_count(0)
    expect(marked).to_have_count(0)
    before = len(asked)
    page.wait_for_timeout(2500)
    assert len(asked) == before
