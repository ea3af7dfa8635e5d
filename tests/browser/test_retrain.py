"""The Retrain page in a real browser: images looked through and edited, and all ways compared."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from core.activations.store import Analysis, open_analysis
from core.retraining.bakeoff import bake_off, list_bake_offs
from core.retraining.runs import open_run
from core.workspace import Workspace

from .test_bands import with_tags_and_a_repair


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = open_analysis(demo)
    with_tags_and_a_repair(demo, found)
    return found


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


def opened(page: Page, server: Any, look: str = "repair") -> Page:
    page.goto(f"{server.url}/retrain?look={look}")
    ready = "Retrain" if look == "repair" else "Compare all ways"
    expect(page.get_by_test_id("stMain").get_by_role("button", name=ready, exact=True)).to_be_enabled()
    return page


def with_images(page: Page, server: Any) -> Page:
    opened(page, server).get_by_role("button", name="See every image").click()
    expect(page.locator(".frame.loaded").first).to_be_visible()
    return page


def first_ids(page: Page, count: int) -> list[int]:
    return page.locator(".tile").evaluate_all("(all, n) => all.slice(0, n).map(t => Number(t.dataset.id))", count)


def test_images_left_out_are_undone_kept_downloaded_and_learnt_without(
    page: Page, server: Any, demo: Workspace, analysis: Analysis
) -> None:
    with_images(page, server)
    main = page.get_by_test_id("stMain")
    ids = first_ids(page, 2)
    for place in range(2):
        page.locator(".tile").nth(place).click()
    expect(main.get_by_text("2 images selected")).to_be_visible()
    main.get_by_role("button", name="Leave out", exact=True).click()
    expect(main.get_by_text("2 images left out by hand.")).to_be_visible()
    expect(page.locator(f".tile[data-id='{ids[0]}']")).to_have_count(0)
    # one key takes it back, another does it again, once the page offers that
    expect(main.get_by_role("button", name="Undo").first).to_be_enabled()
    page.keyboard.press("z")
    expect(main.get_by_text("left out by hand.")).to_have_count(0)
    expect(page.locator(".tile").first).to_have_attribute("data-id", str(ids[0]))
    expect(main.get_by_role("button", name="Redo").first).to_be_enabled()
    page.keyboard.press("Shift+Z")
    expect(main.get_by_text("2 images left out by hand.")).to_be_visible()
    # the same keys where the images have the focus
    page.locator(".tile").first.focus()
    page.keyboard.press("z")
    expect(main.get_by_text("left out by hand.")).to_have_count(0)
    page.locator(".tile").first.focus()
    page.keyboard.press("y")
    expect(main.get_by_text("2 images left out by hand.")).to_be_visible()
    # kept in the workspace, not in the page
    with_images(page, server)
    expect(main.get_by_text("2 images left out by hand.")).to_be_visible()
    with page.expect_download() as download:
        main.get_by_role("button", name="Download as CSV").click()
    lines = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()))
    names = set(analysis.image_names(analysis.rows_of(ids)))
    assert {line["image"] for line in lines if line["reason"] == "left out"} == names
    # the run heeds it
    main.get_by_role("button", name="Retrain", exact=True).click()
    page.get_by_role("button", name="See the results").click(timeout=60_000)
    expect(page).to_have_url(re.compile("run="))
    run = open_run(demo)
    assert run.edits is not None
    assert set(run.edits["left_out"]) == names


def test_on_a_phone_nothing_is_cut_off(page: Page, server: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    with_images(page, server)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    main = page.get_by_test_id("stMain")
    for name in ("Leave out", "Use again", "Leave out all others", "Undo"):
        box = main.get_by_role("button", name=re.compile(f"^{name}( |$)")).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    # every figure of a group stands with its name
    row = page.locator(".curation tbody tr").first
    expect(row).to_be_visible()
    box = row.bounding_box()
    assert box is not None
    assert box["width"] <= 390


def test_all_ways_are_compared_and_the_best_is_taken_to_the_repair(page: Page, server: Any, demo: Workspace) -> None:
    main = opened(page, server, "ways").get_by_test_id("stMain")
    for name in ("SELF, no tags", "Group DRO on the last layer", "Mid-range curation, tags only"):
        main.get_by_role("button", name=name, exact=True).click()
    main.get_by_role("spinbutton", name="Seeds").fill("2")
    main.get_by_role("spinbutton", name="Seeds").press("Enter")
    main.get_by_role("button", name="Compare all ways").click()
    expect(main.get_by_role("heading", name="Worst group, way by way")).to_be_visible(timeout=90_000)
    expect(main.locator(".js-plotly-plot .errorbar").first).to_be_attached()
    (found,) = list_bake_offs(demo)
    assert found.seeds == (0, 1)
    assert {line.method for line in found.lines} == {
        *("erm", "no-person", "dfr", "mid", "class-balanced", "afr", "jtt"),
    }
    expect(page).to_have_url(re.compile(f"bake_off={found.id}"))
    main.get_by_role("button", name=re.compile("^Repair with")).click()
    expect(main.get_by_role("heading", name="What it will learn from")).to_be_visible()
    expect(page).to_have_url(re.compile("look=repair"))


def test_an_earlier_comparison_can_be_linked_to(page: Page, server: Any, demo: Workspace, analysis: Analysis) -> None:
    for name in ("linked1", "linked2"):
        bake_off(demo, analysis, methods=("afr",), seeds=(0,), bake_off_id=name)
    page.goto(f"{server.url}/retrain?look=ways&bake_off=linked1")
    main = page.get_by_test_id("stMain")
    expect(main.get_by_role("heading", name="Worst group, way by way")).to_be_visible()
    expect(page).to_have_url(re.compile("bake_off=linked1"))
    # an address counts as asked for once the browser surely has taken over the one before
    page.wait_for_timeout(2000)
    main.get_by_role("radio", name="One repair").click()
    expect(page).to_have_url(re.compile("look=repair"))
    page.wait_for_timeout(2000)
    page.go_back()
    expect(main.get_by_role("heading", name="Worst group, way by way")).to_be_visible()
