"""The whole job on the demo, as a visitor does it: look, name, tag, repair, read the result, take it away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core.datasets import open_dataset
from core.workspace import Workspace

CONCEPT = "water background"
ENOUGH = 60


@pytest.fixture(scope="module")
def shows_water(demo: Workspace) -> np.ndarray:
    """(n,) bool: the planted truth, which the loop answers from."""
    dataset = open_dataset(demo.datasets / "birds")
    place = next(attribute for attribute in dataset.attributes if attribute.name == "place")
    return place.codes == place.values.index("water")


def test_the_demo_loop_raises_worst_group_accuracy(
    page: Page, serve: Any, demo: Workspace, shows_water: np.ndarray
) -> None:
    server = serve(env={"MIDBAND_WORKSPACE": str(demo.root)})
    page.goto(server.url)
    page.get_by_role("button", name="Explore the demo").click()

    # look: the middle of the range mixes both classes
    expect(page.get_by_role("heading", name="Bands", exact=True)).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("radio", name="waterbird", exact=True).click()
    expect(page).to_have_url(re.compile("direction=logit%3Awaterbird"))
    expect(page.locator(".frame.loaded").first).to_be_visible()
    expect(page.get_by_text("Here the model is right")).to_be_visible()

    # name
    page.get_by_role("button", name="New concept").click()
    page.get_by_role("textbox", name="What do you see?").fill(CONCEPT)
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".concepts").get_by_text(CONCEPT)).to_be_visible()

    # tag what is proposed, until the budget is spent
    page.get_by_role("button", name="Tag next").click()
    page.get_by_test_id("stMain").get_by_role("radio", name="Grid", exact=True).click()
    expect(page.get_by_role("heading", name="Confirm the usual look")).to_be_visible()
    done, answered = 0, []
    while done < ENOUGH:
        done, answered = answer_batch(page, shows_water, done, answered)

    # repair
    page.get_by_test_id("stMain").get_by_role("button", name="Retrain", exact=True).click()
    expect(page.get_by_text("What it will learn from")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("button", name="Retrain", exact=True).click()
    page.get_by_role("button", name="See the results").click(timeout=60_000)

    # read the result on screen
    expect(page.get_by_text(re.compile("Worst-group accuracy rose from"))).to_be_visible(timeout=30_000)
    # the headline says it at a glance, and is fully in view
    headline = page.get_by_test_id("stMetricValue").first
    expect(headline).to_have_text(re.compile(r"^\d+% → \d+%$"))
    expect(headline).to_be_in_viewport(ratio=1)
    before, after = worst_group(page)
    assert before < 60
    assert after > before + 10

    # take it away
    page.get_by_role("button", name="Export", exact=True).click()
    expect(page.get_by_role("button", name=re.compile(r"Model \(\.safetensors\)"))).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Tags \(\.csv\)")).click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + done


def answer_batch(page: Page, shows_water: np.ndarray, before: int, answered: list[int]) -> tuple[int, list[int]]:
    """Select what shows water, press Present, then Rest absent.

    before: tags so far. answered: the images of the batch before, which give way to this one's. Returns both anew.
    """
    tiles = page.locator(".tile")
    ids: list[int] = []
    for _ in range(100):
        ids = tiles.evaluate_all("all => all.map(tile => Number(tile.dataset.id))")
        if ids and not set(ids) & set(answered):
            break
        page.wait_for_timeout(100)
    expect(page.locator(".frame.loaded")).to_have_count(len(ids))
    water = [position for position, image in enumerate(ids) if shows_water[image]]
    for position in water:
        tiles.nth(position).click()
    if water:
        page.get_by_role("button", name="Present", exact=True).click()
        wait_for_tags(page, before + len(water))
    if len(water) < len(ids):
        page.get_by_role("button", name="Rest absent").click()
    return wait_for_tags(page, before + len(ids)), ids


def wait_for_tags(page: Page, wanted: int) -> int:
    expect(page.get_by_text(re.compile(rf"^{wanted} (of about {ENOUGH} )?tags\b"))).to_be_visible()
    return wanted


def worst_group(page: Page) -> tuple[float, float]:
    """Before and after, in percent, from the sentence a person reads."""
    sentence: Locator = page.get_by_text(re.compile("Worst-group accuracy rose from"))
    found = re.search(r"from ([\d.]+)% \(.*?\) to ([\d.]+)% \(", sentence.inner_text())
    assert found is not None
    return float(found.group(1)), float(found.group(2))
