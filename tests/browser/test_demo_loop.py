"""The whole job on the demo, as a visitor does it: look, name, tag, repair, read the result, take it away."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.datasets import open_dataset
from core.retraining.runs import latest_run, retrain
from core.workspace import Workspace

CONCEPT = "water background"
# what a visitor may have to do from the first view to the result
MOST = 15
TAGS = 20


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


@pytest.fixture(scope="module")
def shows_water(demo: Workspace) -> np.ndarray:
    """(n,) bool: the planted truth, which the loop answers from."""
    dataset = open_dataset(demo.datasets / "birds")
    place = next(attribute for attribute in dataset.attributes if attribute.name == "place")
    return place.codes == place.values.index("water")


class Hands:
    """Everything a visitor does to the page goes through here, and counts one."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.done: list[str] = []

    def click(self, what: Locator, **options: Any) -> None:
        self.done.append(f"click {what}")
        what.click(**options)

    def fill(self, what: Locator, text: str) -> None:
        self.done.append(f"fill {what}")
        what.fill(text)

    def press(self, key: str) -> None:
        self.done.append(f"press {key}")
        self.page.keyboard.press(key)


def test_the_demo_loop_takes_fifteen_interactions_and_raises_the_worst_group(
    page: Page, server: Any, shows_water: np.ndarray
) -> None:
    hands, main = Hands(page), page.get_by_test_id("stMain")
    page.goto(server.url)
    hands.click(page.get_by_role("button", name="Try the demo"))

    # look: at what it is surest of, then in between
    expect(page.get_by_role("heading", name="Bands", exact=True)).to_be_visible(timeout=30_000)
    expect(page).to_have_url(re.compile("direction=logit%3Awaterbird"))
    expect(page.locator(".frame.loaded").first).to_be_visible()
    hands.click(page.get_by_role("button", name="Show the middle"))
    expect(page.get_by_text("it hesitates")).to_be_visible(timeout=30_000)

    # name
    hands.click(page.get_by_role("button", name="Name it"))
    hands.fill(page.get_by_role("textbox", name="What do you see?"), CONCEPT)
    hands.press("Enter")

    # tag
    hands.click(page.get_by_role("button", name=f"Show me {TAGS}"))
    expect(page.get_by_role("heading", name=f"Which of these {TAGS} show {CONCEPT}?")).to_be_visible(timeout=30_000)
    tiles = page.locator(".tile")
    expect(page.locator(".frame.loaded")).to_have_count(TAGS)
    ids = tiles.evaluate_all("all => all.map(tile => Number(tile.dataset.id))")
    for first, last in stretches(shows_water[ids]):
        hands.click(tiles.nth(first), modifiers=["ControlOrMeta"])
        if last > first:
            hands.click(tiles.nth(last), modifiers=["Shift"])
    hands.click(page.get_by_role("button", name="Present", exact=True))
    expect(page.get_by_text(f"{shows_water[ids].sum()} of {TAGS} images in this batch answered")).to_be_visible()
    hands.click(page.get_by_role("button", name="Rest absent"))

    # repair
    hands.click(main.get_by_role("button", name="Repair", exact=True))
    expect(page.get_by_text("What it will learn from")).to_be_visible(timeout=30_000)
    hands.click(main.get_by_role("button", name="Retrain", exact=True))
    hands.click(page.get_by_role("button", name="See the results").last, timeout=60_000)

    # read the result on screen
    expect(page.get_by_text(re.compile("Worst-group accuracy rose from"))).to_be_visible(timeout=30_000)
    headline = page.get_by_test_id("stMetricValue").first
    expect(headline).to_have_text(re.compile(r"^\d+% → \d+%$"))
    expect(headline).to_be_in_viewport(ratio=1)
    before, after = worst_group(page)
    assert before < 60
    assert after > before + 10
    # the tour ends with the same figures
    expect(page.locator(".st-key-tour-bar")).to_contain_text(headline.inner_text())
    expect(page.locator(".st-key-tour-bar")).to_contain_text(f"with {TAGS} answers")
    assert len(hands.done) <= MOST, "\n".join(hands.done)


def test_the_result_can_be_taken_away(page: Page, server: Any, demo: Workspace, shows_water: np.ndarray) -> None:
    analysis = open_analysis(demo)
    if latest_run(demo, analysis.id) is None:
        repair(demo, analysis, shows_water)
    page.goto(f"{server.url}/results")
    page.get_by_role("button", name="Export", exact=True).click(timeout=30_000)
    expect(page.get_by_role("button", name=re.compile(r"Model \(\.safetensors\)"))).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name=re.compile(r"Tags \(\.csv\)")).click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + TAGS


def repair(workspace: Workspace, analysis: Analysis, shows_water: np.ndarray) -> None:
    concept = create_concept(workspace, analysis.dataset_id, CONCEPT)
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=TAGS)])
    for present in (True, False):
        tag(workspace, analysis, concept, rows[shows_water[rows] == present], present)
    retrain(workspace, analysis, method="mid")


def stretches(wanted: np.ndarray) -> list[tuple[int, int]]:
    """First and last place of each stretch that is wanted."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted.astype(int), [0]])))
    return [(int(a), int(b) - 1) for a, b in list(pairwise(edges))[::2]]


def worst_group(page: Page) -> tuple[float, float]:
    """Before and after, in percent, from the sentence a person reads."""
    sentence: Locator = page.get_by_text(re.compile("Worst-group accuracy rose from"))
    found = re.search(r"from ([\d.]+)% \(.*?\) to ([\d.]+)% \(", sentence.inner_text())
    assert found is not None
    return float(found.group(1)), float(found.group(2))
