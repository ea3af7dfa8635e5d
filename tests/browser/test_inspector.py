"""The inspector in a real browser: look at one image, move on by keys, tag it, see where the model looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Page, expect

from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.architectures import build
from core.classifiers.checkpoint import ModelDescription, write_checkpoint
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import Preprocessing
from core.concepts.concept import create_concept
from core.concepts.tags import tags_of
from core.datasets import open_dataset
from core.synthetic.birds import make_birds
from core.workspace import Workspace, open_workspace
from tests.browser.patience import until

APP = Path(__file__).parent / "apps" / "inspector_app.py"
SHOWN = list(range(8))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(tmp_path_factory.mktemp("inspector") / "workspace")


@pytest.fixture(scope="module")
def analysis(workspace: Workspace) -> Analysis:
    """Sixty birds seen by a network with random weights, which crops what is left and right."""
    model = workspace.root / "model.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = build("small", 2).state_dict()
    preprocessing = Preprocessing(resize=64, crop=48)
    write_checkpoint(model, state, ModelDescription("small", ("landbird", "waterbird"), preprocessing))
    data = open_dataset(make_birds(workspace.root / "birds", n=60, size=64, processes=1))
    made = analyse(workspace, data, load_classifier(model))
    for name in ("water", "<b>branch</b>"):
        create_concept(workspace, made.dataset_id, name)
    # one image that is gone by the time somebody looks
    made.image_path(SHOWN[-1]).unlink()
    return made


@pytest.fixture(scope="module")
def server(serve: Any, workspace: Workspace, analysis: Analysis) -> Any:
    env = {"MIDBAND_WORKSPACE": str(workspace.root), "INSPECTOR_IDS": ",".join(map(str, SHOWN))}
    return serve(APP, env=env)


def opened(page: Page, server: Any, image: int = 2) -> Page:
    page.goto(server.url)
    page.get_by_label("Image").first.fill(str(image))
    page.keyboard.press("Enter")
    expect(page.get_by_text(f"chosen: {image},")).to_be_visible()
    page.get_by_role("button", name="Open").click()
    expect(page.locator(".near-tile:not(.waits)")).to_have_count(12)
    return page


@pytest.fixture
def dialog(page: Page, server: Any) -> Page:
    return opened(page, server)


def name_of(analysis: Analysis, image: int) -> str:
    return str(analysis.images[image])


def tags(workspace: Workspace, analysis: Analysis, image: int) -> list[tuple[str, bool]]:
    return tags_of(workspace, analysis, [image]).get(image, [])


def wait_for_tags(page: Page, workspace: Workspace, analysis: Analysis, image: int, wanted: Any) -> None:
    until(page, lambda: tags(workspace, analysis, image), lambda now: now == wanted)


def test_everything_about_an_image_is_there(dialog: Page, analysis: Analysis) -> None:
    row = 2
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, row))
    expect(dialog.locator(".position")).to_have_text("3 of 8")
    facts = dialog.locator(".facts")
    expect(facts).to_contain_text(f"Label{analysis.classes[analysis.labels[row]]}")
    expect(facts).to_contain_text(f"Predicted{analysis.classes[analysis.predicted[row]]}")
    expect(facts).to_contain_text("place")
    right = analysis.labels[row] == analysis.predicted[row]
    expect(dialog.locator(".verdict")).to_contain_text("right" if right else "wrong")
    photo = dialog.locator(".photo")
    assert photo.evaluate("photo => photo.naturalWidth") == 64
    assert photo.bounding_box()["width"] > 300  # type: ignore[index]
    expect(dialog.locator(".bar-row")).to_have_count(2)
    expect(dialog.locator(".place:not(.waits)")).to_have_count(5)
    expect(dialog.locator(".place.current")).to_contain_text("logit of landbird")
    shares = [float(text.rstrip("%")) for text in dialog.locator(".bar-row .number:last-child").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=1.5)


def test_arrows_go_through_the_images_and_stop_at_the_ends(dialog: Page, analysis: Analysis) -> None:
    dialog.keyboard.press("ArrowRight")
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, 3))
    expect(dialog.locator(".position")).to_have_text("4 of 8")
    for _ in range(4):
        dialog.keyboard.press("ArrowLeft")
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, 0))
    expect(dialog.locator("[data-action=previous]")).to_have_attribute("aria-disabled", "true")
    dialog.keyboard.press("ArrowLeft")
    dialog.wait_for_timeout(300)
    expect(dialog.locator(".position")).to_have_text("1 of 8")
    dialog.get_by_role("button", name="Next image").click()
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, 1))
    expect(dialog.locator(".near-tile:not(.waits)")).to_have_count(12)


def test_focus_stays_and_escape_closes(dialog: Page, analysis: Analysis) -> None:
    dialog.get_by_role("button", name="Next image").focus()
    dialog.keyboard.press("ArrowRight")
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, 3))
    assert dialog.locator("[data-action=next]").evaluate("button => button.matches(':focus')")
    told = dialog.get_by_text("runs: ").inner_text()
    dialog.keyboard.press("Escape")
    expect(dialog.get_by_role("dialog")).to_have_count(0)
    # the page runs again, so that tags given in the dialog show in its grid
    expect(dialog.get_by_text("runs: ")).not_to_have_text(told)


def test_a_neighbour_opens_and_the_way_back_is_one_step(dialog: Page, analysis: Analysis) -> None:
    tile = dialog.locator(".near-tile").first
    chosen = int(tile.get_attribute("data-id") or -1)
    assert "predicted" in (tile.get_attribute("aria-label") or "")
    tile.click()
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, chosen))
    if chosen not in SHOWN:
        expect(dialog.locator(".position")).to_have_text("near 3 of 8")
        dialog.keyboard.press("ArrowLeft")
        expect(dialog.locator(".name")).to_have_text(name_of(analysis, 2))


def test_the_other_distance_finds_neighbours_too(dialog: Page) -> None:
    dialog.get_by_role("radio", name="Standardised").click()
    expect(dialog.get_by_role("radio", name="Standardised")).to_be_checked()
    expect(dialog.locator(".near-tile:not(.waits)")).to_have_count(12)
    distances = dialog.locator(".near-tile").evaluate_all(
        "tiles => tiles.map(tile => Number(tile.getAttribute('aria-label').split('distance ')[1]))"
    )
    assert distances == sorted(distances)
    assert distances[0] > 0.5, "in standard deviations"


def test_tags_by_click_and_by_key_are_saved_and_undone(dialog: Page, workspace: Workspace, analysis: Analysis) -> None:
    dialog.get_by_role("button", name="water: present").click()
    expect(dialog.get_by_role("button", name="water: present")).to_have_attribute("aria-pressed", "true")
    wait_for_tags(dialog, workspace, analysis, 2, [("water", True)])
    dialog.get_by_role("button", name="water: absent").click()
    wait_for_tags(dialog, workspace, analysis, 2, [("water", False)])
    dialog.keyboard.press("2")
    wait_for_tags(dialog, workspace, analysis, 2, [("water", False), ("<b>branch</b>", True)])
    expect(dialog.locator(".tag-name").nth(1)).to_have_text("<b>branch</b>")
    dialog.keyboard.press("z")
    wait_for_tags(dialog, workspace, analysis, 2, [("water", False)])
    expect(dialog.get_by_role("button", name="<b>branch</b>: present")).to_have_attribute("aria-pressed", "false")
    dialog.get_by_role("button", name="water: no tag").click()
    wait_for_tags(dialog, workspace, analysis, 2, [])


def test_tagging_on_the_move_tags_the_image_that_was_meant(
    dialog: Page, workspace: Workspace, analysis: Analysis
) -> None:
    for _ in range(4):
        dialog.keyboard.press("1")
        dialog.keyboard.press("ArrowRight")
    dialog.keyboard.press("Shift+1")
    for image in (2, 3, 4, 5):
        wait_for_tags(dialog, workspace, analysis, image, [("water", True)])
    wait_for_tags(dialog, workspace, analysis, 6, [("water", False)])
    expect(dialog.locator(".name")).to_have_text(name_of(analysis, 6))
    for _ in range(5):
        dialog.keyboard.press("z")
    for image in range(2, 7):
        wait_for_tags(dialog, workspace, analysis, image, [])


def test_where_the_model_looks_lies_over_what_it_saw(dialog: Page) -> None:
    button = dialog.get_by_role("button", name="Show where the model looks")
    expect(dialog.locator(".heat")).to_be_hidden()
    button.click()
    expect(dialog.locator(".heat")).to_be_visible(timeout=60_000)
    expect(dialog.get_by_text("Orange places speak for")).to_be_visible()
    frame, heat = (dialog.locator(name).bounding_box() for name in (".frame", ".heat"))
    assert frame is not None
    assert heat is not None
    # 48 of 64 pixels, in the middle
    assert heat["width"] / frame["width"] == pytest.approx(48 / 64, abs=0.01)
    assert (heat["x"] - frame["x"]) / frame["width"] == pytest.approx(8 / 64, abs=0.01)
    assert (heat["y"] - frame["y"]) / frame["height"] == pytest.approx(8 / 64, abs=0.01)
    expect(dialog.locator(".seen")).to_be_visible()
    before = dialog.locator(".heat").get_attribute("src")
    dialog.locator(".choice").select_option("difference")
    expect(dialog.locator(".heat")).not_to_have_attribute("src", before or "")
    expect(dialog.get_by_text("minus that of").first).to_be_visible()
    opacity = dialog.get_by_label("Opacity")
    opacity.focus()
    dialog.keyboard.press("ArrowRight")
    expect(dialog.locator(".heat")).to_have_css("opacity", "0.65")
    expect(dialog.locator(".position")).to_have_text("3 of 8")
    # remembered for the next image; h takes it away
    opacity.evaluate("slider => slider.blur()")
    dialog.keyboard.press("ArrowRight")
    expect(dialog.locator(".position")).to_have_text("4 of 8")
    expect(dialog.locator(".heat")).to_be_visible()
    dialog.keyboard.press("h")
    expect(dialog.locator(".heat")).to_be_hidden()


def test_an_image_that_is_gone_shows_its_thumbnail_and_says_so(page: Page, server: Any, analysis: Analysis) -> None:
    opened(page, server, SHOWN[-1])
    expect(page.locator(".note")).to_have_text("This is the thumbnail: the file is not there any more.")
    assert page.locator(".photo").evaluate("photo => photo.naturalWidth") > 0
    page.get_by_role("button", name="Show where the model looks").click()
    expect(page.get_by_text("Without the image there is no heat map")).to_be_visible(timeout=60_000)


def test_streamlits_shortcuts_do_not_fire_from_the_dialog(dialog: Page) -> None:
    dialog.get_by_role("button", name="Next image").focus()
    dialog.keyboard.press("c")
    dialog.keyboard.press("r")
    dialog.wait_for_timeout(400)
    expect(dialog.get_by_role("dialog")).to_have_count(1)
    expect(dialog.get_by_text("Clear caches")).to_have_count(0)


def test_strips_mark_where_the_image_stands(dialog: Page, analysis: Analysis) -> None:
    values = analysis.logits[:, 0].astype(np.float64)
    share = (values[2] - values.min()) / (values.max() - values.min())
    mark, strip = (dialog.locator(f".place.current {name}").bounding_box() for name in (".here", ".strip"))
    assert mark is not None
    assert strip is not None
    assert mark["x"] - strip["x"] == pytest.approx(share * (strip["width"] - 2), abs=0.6)


def test_a_phone_gets_one_column_and_no_sideways_scrolling(page: Page, server: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, server)
    look, know = (page.locator(name).bounding_box() for name in (".look", ".know"))
    assert look is not None
    assert know is not None
    assert know["y"] > look["y"] + look["height"] - 1
    assert page.locator(".inspector").evaluate("root => root.scrollWidth <= root.clientWidth")
    assert page.evaluate("() => document.documentElement.scrollWidth <= 390")


def test_from_the_grid_and_back_to_it(page: Page, serve: Any, workspace: Workspace, analysis: Analysis) -> None:
    page.goto(serve(env={"MIDBAND_WORKSPACE": str(workspace.root)}).url + "/bands")
    expect(page.locator(".frame.loaded").nth(1)).to_be_visible(timeout=60_000)
    tiles = page.locator(".tile")
    first, second = (int(tiles.nth(place).get_attribute("data-id") or -1) for place in (0, 1))
    tiles.nth(0).focus()
    page.keyboard.press("Enter")
    expect(page.locator(".inspector .name")).to_have_text(name_of(analysis, first))
    page.keyboard.press("ArrowRight")
    expect(page.locator(".inspector .name")).to_have_text(name_of(analysis, second))
    page.keyboard.press("1")
    wait_for_tags(page, workspace, analysis, second, [("water", True)])
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    # the grid shows the tag, and the keys go on at the image looked at last
    expect(page.locator(f".tile[data-id='{second}'] .chip")).to_have_text("water")
    expect(page.locator(".tile:focus")).to_have_attribute("data-id", str(second))
    page.locator(f".tile[data-id='{first}']").dblclick()
    expect(page.locator(".inspector .name")).to_have_text(name_of(analysis, first))
    page.keyboard.press("z")
    wait_for_tags(page, workspace, analysis, second, [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, server: Any, scheme: Any) -> None:
    """WCAG AA: 4.5 to 1 for every text that is shown."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=scheme)
    page = opened(context.new_page(), server)
    page.wait_for_timeout(500)
    weak = page.locator(".inspector").evaluate(
        """root => {
            const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
            const rgba = color => {
                canvas.clearRect(0, 0, 1, 1)
                canvas.fillStyle = color
                canvas.fillRect(0, 0, 1, 1)
                return [...canvas.getImageData(0, 0, 1, 1).data]
            }
            const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
                .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
            const ground = node => {
                for (let at = node; at; at = at.parentElement ?? at.getRootNode().host) {
                    const color = rgba(getComputedStyle(at).backgroundColor)
                    if (color[3] > 250) return color
                }
                return [255, 255, 255, 255]
            }
            return [...root.querySelectorAll("*")]
                .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
                .filter(node => node.checkVisibility() && !node.closest(".announcer, [aria-disabled], :disabled"))
                .map(node => {
                    const [a, b] = [light(rgba(getComputedStyle(node).color)), light(ground(node))]
                    return [node.className || node.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]
                })
                .filter(([, contrast]) => contrast < 4.5)
        }"""
    )
    context.close()
    assert weak == []
