"""The stage in a real browser: the whole show without a mouse, on every screen, for everybody."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import get_concept
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers, tag
from core.retraining.runs import list_runs
from core.workspace import Workspace

from .test_accessibility import darken, problems, settle
from .test_bands import with_tags_and_a_repair

KINDS = ("score", "pictures", "pictures", "see", "tag", "repair", "after", "end")


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    return open_analysis(demo)


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


@pytest.fixture
def repaired(demo: Workspace, analysis: Analysis) -> None:
    if not list_runs(demo, analysis.id):
        with_tags_and_a_repair(demo, analysis)


def at(page: Page, step: int) -> None:
    """Wait until a step is seen, with its pictures."""
    expect(page.locator(".slide.now")).to_have_attribute("data-kind", KINDS[step - 1])
    expect(page.get_by_role("button", name=re.compile(f"^Step {step} of 8"))).to_have_attribute("aria-current", "step")
    page.wait_for_function(
        """() => {
          const host = [...document.querySelectorAll("*")].find(node => node.shadowRoot?.querySelector(".stage"))
          const now = host.shadowRoot.querySelector(".slide.now")
          const images = [...now.querySelectorAll("img")]
          return getComputedStyle(now).opacity === "1" && images.every(image => image.naturalWidth > 0)
        }"""
    )


def beyond(page: Page) -> tuple[int, int]:
    """Pixels by which the step at hand, or the page, is wider and higher than what is seen of it."""
    inside = page.locator(".slide.now").evaluate(
        "s => [s.scrollWidth - s.clientWidth, s.scrollHeight - s.clientHeight]"
    )
    around = page.evaluate(
        """() => {
          const root = document.documentElement
          return [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight]
        }"""
    )
    return max(inside[0], around[0]), max(inside[1], around[1])


def test_the_whole_show_by_keyboard_repairs_the_model(
    page: Page, server: Any, demo: Workspace, analysis: Analysis
) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{server.url}/bands")
    expect(page.get_by_test_id("stMain").get_by_role("heading", name="Bands")).to_be_visible()
    page.get_by_role("link", name="Present").click()
    for step in range(1, 5):
        at(page, step)
        assert beyond(page) == (0, 0)
        if step < 4:
            page.keyboard.press(("ArrowRight", " ", "PageDown")[step - 1])
    # Enter leads to what has to be typed, and what is typed turns no step
    page.keyboard.press("Enter")
    page.keyboard.type("lake b.f?")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    at(page, 5)
    assert beyond(page) == (0, 0)
    concept = get_concept(demo, analysis.dataset_id, "lake b.f?")
    asked = [int(each) for each in page.locator(".pick").evaluate_all("all => all.map(tile => tile.dataset.id)")]
    rows = analysis.rows_of(asked)
    water = analysis.attributes[0].codes[rows] == analysis.attributes[0].values.index("water")
    assert len(asked) == 20
    # Enter goes to the pictures, arrows from one to the next, Space clicks, Tab leads on to the button
    page.keyboard.press("Enter")
    for shows in water:
        if shows:
            page.keyboard.press(" ")
        page.keyboard.press("ArrowRight")
    expect(page.locator(".pick[aria-pressed=true]")).to_have_count(int(water.sum()))
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Done")).to_be_focused()
    # what was clicked is there after a reload, among the same pictures whatever others said of them meanwhile; the
    # button is what is left to do
    tag(demo, analysis, concept, rows[:3], True, author="Bea")
    page.reload()
    for place in (0, 19):
        expect(page.locator(".pick").nth(place)).to_have_attribute("data-id", str(asked[place]))
    at(page, 5)
    expect(page.locator(".pick[aria-pressed=true]")).to_have_count(int(water.sum()))
    page.keyboard.press("Enter")
    at(page, 6)
    assert beyond(page) == (0, 0)
    states = answers(demo, analysis, concept)
    assert states[rows].tolist() == np.where(water, PRESENT, ABSENT).tolist()
    assert int((states != UNTAGGED).sum()) == 20
    before = {run.run for run in list_runs(demo, analysis.id)}
    page.keyboard.press("Enter")
    expect(page.get_by_role("progressbar", name="Learning")).to_be_visible()
    assert beyond(page) == (0, 0)
    # it turns to the result by itself
    expect(page.locator(".slide.now")).to_have_attribute("data-kind", "after", timeout=90_000)
    at(page, 7)
    assert beyond(page) == (0, 0)
    [run] = [run for run in list_runs(demo, analysis.id) if run.run not in before]
    assert run.concepts == ("lake b.f?",)
    assert run.after.worst_group > run.before.worst_group + 0.2
    numbers = page.locator(".slide.now .pair").first.inner_text().split()
    assert numbers == [f"{100 * run.before.worst_group:.0f}%", "→", f"{100 * run.after.worst_group:.0f}%"]
    page.keyboard.press("End")
    at(page, 8)
    assert beyond(page) == (0, 0)
    expect(page).to_have_url(re.compile(rf"analysis={analysis.id}&step=8$"))
    # going back, what was done is there; keys are shown when asked for
    page.keyboard.press("Home")
    at(page, 1)
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.reload()
    at(page, 1)
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("stMain").get_by_role("heading", level=1).first).to_be_visible()
    expect(page).not_to_have_url(re.compile("/present"))
    # who opened the stage itself finds the way around the other rooms, in their type
    expect(page.get_by_test_id("stHeader")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).fontSize") == "16px"
    page.get_by_test_id("stSidebar").get_by_role("link", name="Map").click()
    expect(page.get_by_test_id("stMain").get_by_role("heading", name="Map")).to_be_visible()


@pytest.mark.usefixtures("repaired")
def test_nothing_is_cut_off_on_a_phone_or_a_projector(page: Page, server: Any, analysis: Analysis) -> None:
    page.goto(f"{server.url}/bands")
    expect(page.get_by_test_id("stMain").get_by_role("heading", name="Bands")).to_be_visible()
    page.get_by_role("link", name="Present").click()
    at(page, 1)
    for width, height in ((390, 844), (1920, 1080), (1024, 768), (1280, 720)):
        page.set_viewport_size({"width": width, "height": height})
        for step in range(1, 9):
            page.get_by_role("button", name=re.compile(f"^Step {step} of 8")).click()
            at(page, step)
            wide, high = beyond(page)
            assert wide <= 0, (width, step)
            assert high <= 0 or width == 390, (width, step)
            box = page.get_by_role("button", name="Leave the presentation").bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width
    # a step that is linked to opens; leaving goes back to where one came from
    page.get_by_role("button", name="Leave the presentation").click()
    expect(page).to_have_url(re.compile(r"/bands"))
    page.goto(f"{server.url}/present?analysis={analysis.id}&step=3")
    at(page, 3)


@pytest.mark.usefixtures("repaired")
def test_axe_finds_nothing_on_any_step(page: Page, server: Any) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(f"{server.url}/present")
    at(page, 1)
    for dark in (False, True):
        if dark:
            darken(page)
        for step in range(1, 9):
            page.get_by_role("button", name=re.compile(f"^Step {step} of 8")).click()
            at(page, step)
            settle(page)
            assert problems(page) == [], (step, dark)
    page.get_by_role("button", name="Keys").focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_be_visible()
    assert problems(page) == []
    # nothing behind it is reached, and closing it gives back what had the focus
    expect(page.locator(".stage .foot")).to_have_attribute("inert", "")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(keys.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    expect(keys).to_be_hidden()
    expect(page.get_by_role("button", name="Keys")).to_be_focused()
