"""No page shuts anybody out, as far as axe-core can tell: names, roles, focus, contrast; light and dark."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from core.activations.store import open_analysis
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
    "results": "/results",
}


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    with_tags_and_a_repair(demo, open_analysis(demo))
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_nothing(browser: Browser, server: Any, place: str, scheme: Any) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server.url + PLACES[place])
    expect(page.get_by_test_id("stMain").get_by_role("heading").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    # what fades in is half transparent for a moment
    page.wait_for_timeout(600)
    assert problems(page) == []
    context.close()


def test_axe_finds_nothing_in_the_inspector(page: Page, server: Any) -> None:
    page.goto(server.url + BANDS)
    page.locator(".tile").first.dblclick()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(600)
    assert problems(page) == []
