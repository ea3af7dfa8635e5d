"""Clusters and wrong labels in a real browser: named with Enter, judged by keys, calm on a phone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import list_concepts
from core.concepts.labels import label_verdicts
from core.concepts.tags import UNTAGGED, answers, suggested_members
from core.workspace import Workspace

NAME = "<b>land</b> behind **waterbirds** אדמה"
# importing scikit-learn and the first clusters, on a busy machine
SLOW = 60_000


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    return open_analysis(demo)


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def test_a_cluster_is_named_with_enter_and_reviewed(
    page: Page, server: Any, demo: Workspace, analysis: Analysis
) -> None:
    page.goto(server.url + "/bands?direction=logit:waterbird&look=discover")
    name = page.get_by_label("Name of cluster 1")
    expect(name).to_be_visible(timeout=SLOW)
    # the planted exceptions come first: waterbirds on land, which the model takes for landbirds
    concepts = len(list_concepts(demo, analysis.dataset_id))
    name.fill(NAME)
    name.press("Enter")
    review = page.get_by_role("link", name="Review them")
    expect(review).to_be_visible(timeout=SLOW)
    [*_, concept] = list_concepts(demo, analysis.dataset_id)
    assert len(list_concepts(demo, analysis.dataset_id)) == concepts + 1
    assert concept.name == NAME
    rows = np.asarray(suggested_members(demo, analysis, concept)[0])
    place = analysis.attributes[0].codes[rows]
    assert (place != analysis.labels[rows]).mean() > 0.9
    assert (answers(demo, analysis, concept) == UNTAGGED).all()
    # the name is shown as it was typed
    expect(page.get_by_text(NAME).first).to_be_visible()
    review.click()
    expect(page.get_by_role("heading", name="Tag next")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("from a cluster").first).to_be_visible(timeout=SLOW)


def test_labels_are_judged_in_bulk_and_taken_back(page: Page, server: Any, demo: Workspace, analysis: Analysis) -> None:
    page.goto(server.url + "/tag_next?look=wrong")
    leave_out = page.get_by_role("button", name="Wrong: leave out")
    expect(leave_out).to_be_disabled(timeout=SLOW)
    tiles = page.locator(".tile")
    expect(tiles.first).to_be_visible(timeout=SLOW)
    listed = tiles.count()
    tiles.nth(0).click()
    tiles.nth(2).click(modifiers=["Shift"])
    expect(page.get_by_text("3 images selected")).to_be_visible(timeout=SLOW)
    leave_out.click()
    expect(tiles).to_have_count(listed - 3, timeout=SLOW)
    assert label_verdicts(demo, analysis).excluded.sum() == 3
    expect(page.get_by_text("Retraining leaves out 3 images")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(tiles).to_have_count(listed, timeout=SLOW)
    assert not label_verdicts(demo, analysis).judged.any()


def test_a_verdict_is_about_what_is_selected_at_that_moment(
    page: Page, server: Any, demo: Workspace, analysis: Analysis
) -> None:
    page.goto(server.url + "/tag_next?look=wrong")
    tiles = page.locator(".tile")
    expect(tiles.first).to_be_visible(timeout=SLOW)
    listed = tiles.count()
    leave_out = page.get_by_role("button", name="Wrong: leave out")
    before = leave_out.bounding_box()
    tiles.nth(0).click()
    expect(page.get_by_text("1 image selected")).to_be_visible(timeout=SLOW)
    # nothing has moved, and the page has not heard of the next selection yet when the button is pressed
    assert leave_out.bounding_box() == before
    tiles.nth(2).click()
    chosen = page.locator(".tile[aria-selected=true]").evaluate_all("all => all.map(tile => Number(tile.dataset.id))")
    leave_out.click()
    expect(tiles).to_have_count(listed - len(chosen), timeout=SLOW)
    judged = np.flatnonzero(label_verdicts(demo, analysis).judged)
    assert sorted(analysis.ids[judged].tolist()) == sorted(chosen)
    assert leave_out.bounding_box() == before
    page.get_by_role("button", name="Undo").click()
    expect(tiles).to_have_count(listed, timeout=SLOW)


def test_nothing_sticks_out_on_a_phone(browser: Browser, server: Any) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone = context.new_page()
    for path in ("/bands?look=discover", "/tag_next?look=wrong"):
        phone.goto(server.url + path)
        expect(phone.locator(".tile").first).to_be_visible(timeout=SLOW)
        widest = phone.evaluate(
            "Math.max(...[...document.querySelectorAll('[data-testid=stMainBlockContainer] *')]"
            # these are pushed sideways within a line of their own
            ".filter(e => e.getClientRects().length"
            " && !e.closest('[data-testid=stButtonGroup], .st-key-wrong-labels-actions'))"
            ".map(e => e.getBoundingClientRect().right))"
        )
        assert widest <= 391, path
    context.close()
