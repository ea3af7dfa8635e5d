"""The Concepts page by hand: a concept's life, what can be undone with a key, links, tags out and in again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from core.activations.store import Analysis, open_analysis
from core.concepts.concept import create_concept, list_concepts
from core.concepts.tags import PRESENT, UNSURE, answers, tag
from core.demo import find_demo
from core.workspace import Workspace

HOSTILE = "<img src=x onerror=\"document.title='broken'\"> **b** :smile: \u202eעדה"


@pytest.fixture(scope="module")
def server(serve: Any, demo: Workspace) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(demo.root)})


@pytest.fixture(scope="module")
def analysis(demo: Workspace) -> Analysis:
    found = find_demo(demo)
    assert found is not None
    return open_analysis(demo, found)


@pytest.fixture
def concepts(page: Page, server: Any, analysis: Analysis) -> Page:
    """The page, its palette on screen."""
    page.goto(f"{server.url}/concepts?analysis={analysis.id}")
    expect(page.get_by_role("heading", name="Concepts", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="New concept")).to_be_visible()
    return page


def names(demo: Workspace, analysis: Analysis) -> list[str]:
    return [concept.name for concept in list_concepts(demo, analysis.dataset_id)]


def say(page: Page, text: str) -> None:
    """Wait until a short message says this."""
    expect(page.get_by_test_id("stToast").filter(has_text=text).first).to_be_visible()


def test_a_concept_is_made_changed_deleted_and_all_of_it_undone_with_a_key(
    concepts: Page, demo: Workspace, analysis: Analysis
) -> None:
    concepts.get_by_role("button", name="New concept").click()
    concepts.get_by_role("textbox", name="What do you see?").fill("pond")
    concepts.get_by_role("button", name="Create", exact=True).click()
    row = concepts.locator("[class*=st-key-card-concept-]").filter(has_text="pond")
    expect(row.locator("kbd").first).to_have_text("1")

    row.get_by_role("button", name="Edit").click()
    dialog = concepts.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Name").fill(HOSTILE)
    dialog.get_by_role("textbox", name="Note").fill("<b>mostly</b>")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    changed = concepts.locator("[class*=st-key-card-concept-]").filter(has_text=HOSTILE)
    expect(changed).to_contain_text("<b>mostly</b>")
    assert concepts.title() != "broken"
    assert concepts.locator("[class*=st-key-card-concept-] img").count() == 0

    changed.get_by_role("button", name="More").click()
    concepts.get_by_role("menuitem", name="Delete").or_(concepts.get_by_role("option", name="Delete")).click()
    expect(concepts.get_by_text("No concept yet")).to_be_visible()
    assert names(demo, analysis) == []
    for after in ([HOSTILE], ["pond"], []):
        concepts.locator("h1").click()
        concepts.keyboard.press("z")
        expect(concepts.locator("[class*=st-key-card-concept-]")).to_have_count(len(after))
        if after:
            expect(concepts.locator("[class*=st-key-card-concept-]")).to_contain_text(after[0])
        assert names(demo, analysis) == after
    concepts.keyboard.press("Shift+Z")
    expect(concepts.locator("[class*=st-key-card-concept-]")).to_contain_text("pond")


def test_looks_are_pages_of_their_own_with_links_and_the_way_back(
    concepts: Page, demo: Workspace, analysis: Analysis
) -> None:
    concept = create_concept(demo, analysis.dataset_id, "linked / & ?")
    water = analysis.attributes[0].codes == analysis.attributes[0].values.index("water")
    rows = analysis.split_rows("val")[:60]
    tag(demo, analysis, concept, rows[water[rows]], True, direction="logit:waterbird", low=-1.25, high=0.5)
    tag(demo, analysis, concept, rows[~water[rows]], False)
    for look, text in (
        ("Associations", "What explains the errors"),
        ("History", "Who did what"),
        ("Files", "Take the tags"),
    ):
        concepts.get_by_role("radio", name=look).click()
        expect(concepts.get_by_text(text).first).to_be_visible()
        expect(concepts).to_have_url(re.compile(f"look={look.lower()}"))
    concepts.reload()
    expect(concepts.get_by_role("button", name="Parquet")).to_be_visible()
    concepts.get_by_role("radio", name="History").click()
    concepts.get_by_role("button", name="The band").first.click()
    expect(concepts.get_by_role("heading", name="Bands", exact=True)).to_be_visible()
    expect(concepts).to_have_url(re.compile(r"direction=logit%3Awaterbird.*low=-1.25.*high=0.5"))
    concepts.goto(f"{concepts.url.split('/bands')[0]}/concepts?analysis={analysis.id}&look=palette")
    row = concepts.locator("[class*=st-key-card-concept-]").filter(has_text="linked / & ?")
    expect(row).to_contain_text("A probe agrees with held-out tags")
    row.get_by_role("button", name="Along its direction").click()
    expect(concepts.get_by_role("heading", name="Bands", exact=True)).to_be_visible()
    expect(concepts).to_have_url(re.compile("direction=concept%3Alinked"))


def test_tags_go_out_as_a_file_and_come_in_again_after_a_look(
    concepts: Page, demo: Workspace, analysis: Analysis, tmp_path: Any
) -> None:
    concept = create_concept(demo, analysis.dataset_id, HOSTILE)
    tag(demo, analysis, concept, [0, 1], True)
    tag(demo, analysis, concept, [2], "unsure")
    before = answers(demo, analysis, concept)
    concepts.get_by_role("radio", name="Files").click()
    with concepts.expect_download() as download:
        concepts.get_by_role("button", name="JSON").click()
    file = tmp_path / "tags.json"
    download.value.save_as(file)
    tag(demo, analysis, concept, [0, 1, 2], None)

    concepts.get_by_test_id("stFileUploaderDropzone").locator("input").set_input_files(file)
    take = concepts.get_by_role("button", name=re.compile("^Import"))
    expect(take).to_be_visible()
    assert not np.isin(answers(demo, analysis, concept), (PRESENT, UNSURE)).any(), "not before it was asked for"
    take.click()
    say(concepts, "Imported")
    assert (answers(demo, analysis, concept) == before).all()


def test_on_a_phone_nothing_is_wider_than_the_screen(
    page: Page, server: Any, analysis: Analysis, demo: Workspace
) -> None:
    create_concept(demo, analysis.dataset_id, "W" * 200)
    page.set_viewport_size({"width": 390, "height": 844})
    for look, text in (("palette", "W" * 200), ("associations", "Known columns"), ("history", "Created")):
        page.goto(f"{server.url}/concepts?analysis={analysis.id}&look={look}")
        expect(page.get_by_text(text).first).to_be_visible()
        wide = page.get_by_test_id("stMain").evaluate("main => main.scrollWidth - main.clientWidth")
        assert wide <= 1, look
