"""No page shuts anybody out, as far as axe-core can tell: names, roles, focus, contrast; light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from core.activations.store import open_analysis
from core.retraining.bakeoff import bake_off
from core.workspace import Workspace

from .test_bands import with_tags_and_a_repair

BANDS = "/bands?direction=logit:waterbird"
PLACES = {
    "home": "/",
    "load": "/load",
    "images": BANDS,
    "clusters": f"{BANDS}&look=discover",
    "contact sheet": f"{BANDS}&look=sheet",
    "curve": f"{BANDS}&look=curve",
    "compare": f"{BANDS}&look=compare",
    "directions": f"{BANDS}&look=directions",
    "map": "/map",
    "cards": "/tag_next?mode=cards",
    "batches": "/tag_next?mode=grid",
    "review": "/tag_next?look=review",
    "wrong labels": "/tag_next?look=wrong",
    "palette": "/concepts",
    "associations": "/concepts?look=associations",
    "history": "/concepts?look=history",
    "people": "/concepts?look=people",
    "files": "/concepts?look=files",
    "retrain": "/retrain",
    "all ways": "/retrain?look=ways",
    "results": "/results",
    "confusions": "/results?look=confusions",
    "calibration": "/results?look=calibration",
    "activations": "/results?look=activations",
    "flips": "/results?look=flips",
    "runs": "/runs",
    "glossary": "/glossary",
    "present": "/present",
}


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    analysis = open_analysis(demo)
    with_tags_and_a_repair(demo, analysis)
    bake_off(demo, analysis, methods=("afr",), seeds=(0,))
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


CHOSEN_DARK = "#7fd3e2"
# Streamlit's own, and not ours to change: (rule, where). A drop zone that is presentational and focusable.
STREAMLITS = (("presentation-role-conflict", "stFileUploaderDropzone"),)


def problems(page: Page) -> list[str]:
    """What axe finds in what is ours, a line each."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found
        for node in one["nodes"]
        if not any(one["id"] == rule and where in node["html"] for rule, where in STREAMLITS)
    ]


def settle(page: Page) -> None:
    """Wait until the page is drawn to the end; what fades in is half transparent for a moment."""
    page.wait_for_load_state("networkidle")
    # what waits to be drawn again is half transparent too
    expect(page.locator("[data-stale='true']")).to_have_count(0)
    page.wait_for_timeout(600)


def darken(page: Page) -> None:
    """Have the system turn dark, and wait until the page has followed, with the colours that Python chose."""
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "chosen => getComputedStyle(document.documentElement).getPropertyValue('--midband-chosen').trim() === chosen",
        arg=CHOSEN_DARK,
    )
    expect(page.get_by_test_id("stStatusWidget")).to_be_hidden()
    settle(page)


@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing_by_day_and_by_night(page: Page, server: Any, place: str) -> None:
    page.goto(server.url + PLACES[place])
    # a cold server reads features and starts its first script
    expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible(timeout=20_000)
    settle(page)
    assert problems(page) == []
    darken(page)
    assert problems(page) == []


def test_axe_finds_nothing_in_the_inspector(page: Page, server: Any) -> None:
    page.goto(server.url + BANDS)
    page.locator(".tile").first.dblclick()
    expect(page.get_by_role("dialog")).to_be_visible()
    settle(page)
    assert problems(page) == []
