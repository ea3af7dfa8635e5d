"""Results and Runs in a real browser, over the demo: ways of looking, images by group, two runs side by side."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from core.activations.store import Analysis, open_analysis
from core.retraining.runs import list_runs, retrain
from core.workspace import Workspace

from .patience import until
from .test_accessibility import darken, problems, settle
from .test_bands import grid_ids, look, wait_for_other_images, with_tags_and_a_repair


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = open_analysis(demo)
    retrain(demo, found, method="class-balanced", run_id="balanced")
    with_tags_and_a_repair(demo, found)
    return found


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def sideways(page: Page) -> int:
    """Pixels by which the page is wider than the window."""
    return page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth")


def test_looks_follow_the_address_and_stand_side_by_side_or_below(page: Page, server: Any) -> None:
    page.goto(f"{server.url}/results")
    expect(page.get_by_role("heading", name="Every group")).to_be_visible()
    expect(page.locator(".st-key-group-chart tbody tr")).to_have_count(4)
    look(page, "Calibration")
    expect(page).to_have_url(re.compile("look=calibration"))
    before, after = (page.locator(f".st-key-reliability-{name} .plot .drawing").first for name in ("before", "after"))
    expect(before).to_be_visible()
    expect(after).to_be_visible()
    left, right = before.bounding_box(), after.bounding_box()
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert right["x"] > left["x"] + left["width"] - 1
    # an address counts as asked for once the browser surely has taken over the one before
    page.wait_for_timeout(2000)
    look(page, "Activations")
    expect(page.locator(".st-key-shift-after .plot .drawing").first).to_be_visible()
    page.wait_for_timeout(2000)
    page.go_back()
    expect(page.get_by_role("heading", name="Is it as sure as it is right?")).to_be_visible()
    # on a phone one stands below the other, and nothing is cut off
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server.url}/results?look=activations")
    expect(page.locator(".st-key-shift-after .plot .drawing").first).to_be_visible()
    upper, lower = (page.locator(f".st-key-shift-{name}").bounding_box() for name in ("before", "after"))
    assert upper is not None
    assert lower is not None
    assert lower["y"] >= upper["y"] + upper["height"]
    assert sideways(page) <= 0


def test_flipped_images_of_one_group(page: Page, server: Any, demo: Workspace, analysis: Analysis) -> None:
    run = list_runs(demo)[0]
    place = analysis.attributes[0]
    rows = analysis.rows_of(run.comparison["fixed"])
    land = {
        int(analysis.ids[row])
        for row in rows
        if (analysis.classes[analysis.labels[row]], place.values[place.codes[row]]) == ("waterbird", "land")
    }
    page.goto(f"{server.url}/results?look=flips")
    expect(page.locator(".tile")).to_have_count(28)
    everything = grid_ids(page)
    page.get_by_role("radio", name=f"waterbird · land · {len(land)}").click()
    shown = wait_for_other_images(page, everything)
    assert set(shown) <= land
    page.locator(".tile").first.dblclick()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_two_ticked_runs_are_compared_and_a_name_lasts(page: Page, server: Any, analysis: Analysis) -> None:
    page.goto(f"{server.url}/runs")
    page.get_by_role("checkbox", name="Pick Mid-range").check()
    expect(page).to_have_url(re.compile(r"run=[0-9a-f]+"))
    name = page.get_by_role("textbox", name="Name")
    name.fill("with sixty tags")
    name.press("Enter")
    expect(page.get_by_role("heading", name="with sixty tags")).to_be_visible()
    page.get_by_role("checkbox", name="Pick Class-balanced").check()
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    expect(page).to_have_url(re.compile("with="))
    expect(page.get_by_role("columnheader", name=re.compile("2 · with sixty tags"))).to_be_visible()
    expect(page.locator(".frame.loaded").first).to_be_visible()
    # a link holds both
    page.reload()
    expect(page.get_by_role("columnheader", name=re.compile("1 · Class-balanced"))).to_be_visible()
    expect(page.get_by_text(re.compile("images are right in the second only"))).to_be_visible()
    settle(page)
    assert problems(page) == []
    darken(page)
    assert problems(page) == []


def test_a_deleted_run_comes_back(page: Page, server: Any, demo: Workspace, analysis: Analysis) -> None:
    page.goto(f"{server.url}/runs?run=balanced")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted: Class-balanced retraining.")).to_be_visible()
    assert "balanced" not in [run.run for run in list_runs(demo)]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", name="Class-balanced retraining")).to_be_visible()
    until(page, lambda: [run.run for run in list_runs(demo)], lambda runs: "balanced" in runs)
