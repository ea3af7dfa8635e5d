"""The Map in a real browser: drawing, pointing, keys, the legend, and a telephone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from core.activations.projection import pca_map
from core.activations.store import Analysis
from core.classifiers.head import Head
from core.datasets.dataset import Attribute, Dataset
from core.workspace import Workspace, open_workspace

CLASSES = ("land<b>bird", "ماء :smile:")


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """400 images: two groups far apart, one of each class."""
    workspace = open_workspace(tmp_path_factory.mktemp("map") / "workspace")
    return two_groups(workspace)


def two_groups(workspace: Workspace) -> Analysis:
    from core.activations.store import write_analysis

    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = rng.normal(size=(400, 6)).astype(np.float32)
    features[:, 0] += 20.0 * labels
    weight = np.zeros((2, 6), dtype=np.float32)
    weight[1, 0], weight[0, 0] = 0.2, -0.2
    dataset = Dataset(
        id="two-groups",
        name="two groups",
        root=workspace.root,
        source="metadata-csv",
        images=np.array([f"{i:04d}.png" for i in range(400)], dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=np.ones(400, dtype=np.int8),
        classes=CLASSES,
        attributes=(Attribute("place", ("land", "water"), (labels ^ (np.arange(400) % 10 == 0)).astype(np.int16)),),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    return write_analysis(workspace, dataset, features=features, head=Head(weight, np.array([2, -2], np.float32)))


@pytest.fixture(scope="module")
def server(serve: Any, analysis: Analysis) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(analysis.folder.parents[1])})


@pytest.fixture
def map_page(page: Page, server: Any) -> Page:
    page.goto(f"{server.url}/map")
    expect(stage(page)).to_be_visible()
    return page


@pytest.fixture
def phone(browser: Browser, server: Any) -> Iterator[Page]:
    """A telephone's touch screen, in the dark."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page = context.new_page()
    page.goto(f"{server.url}/map?colour=attribute:place")
    expect(stage(page)).to_be_visible()
    yield page
    context.close()


def stage(page: Page) -> Any:
    return page.locator(".map-root .stage")


def counted(page: Page, text: str) -> None:
    expect(page.locator(".map-root .count")).to_have_text(text)


def half(page: Page, side: str) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the half of the stage that holds one of the two groups."""
    box = stage(page).bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2
    left, right = (box["x"] + 4, middle) if side == "left" else (middle, box["x"] + box["width"] - 4)
    return left, box["y"] + 4, right, box["y"] + box["height"] - 4


def draw(page: Page, side: str, *, box: bool = False, key: str | None = None) -> None:
    """Around everything on one side of the map."""
    left, top, right, bottom = half(page, side)
    page.mouse.move(left, top)
    if key:
        page.keyboard.down(key)
    page.mouse.down()
    corners = [(right, bottom)] if box else [(right, top), (right, bottom), (left, bottom), (left, top + 5)]
    for x, y in corners:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    if key:
        page.keyboard.up(key)


def spot_of(page: Page, analysis: Analysis, row: int) -> tuple[float, float]:
    """Where an image's point is on the screen while everything is in view: as the component computes it."""
    box = stage(page).bounding_box()
    assert box is not None
    width, height = box["width"] - 2, box["height"] - 2
    xy = pca_map(analysis)
    low, high = xy.min(axis=0), xy.max(axis=0)
    scale = min((width - 48) / (high[0] - low[0]), (height - 48) / (high[1] - low[1]))
    x, y = (xy[row] - (low + high) / 2) * scale
    return float(box["x"] + 1 + width / 2 + x), float(box["y"] + 1 + height / 2 - y)


def test_what_is_drawn_around_is_marked_at_once_and_shown_in_the_grid(map_page: Page, analysis: Analysis) -> None:
    counted(map_page, "400 images")
    draw(map_page, "left")
    counted(map_page, "200 of 400 images circled")
    expect(map_page.locator(".range")).to_contain_text("1–60 of 200")
    expect(map_page.locator(".tile")).to_have_count(60)
    # on a screen as large as this they are seen as it is
    expect(map_page.locator(".tile").first).to_be_in_viewport()
    expect(map_page.locator(".map-root .show")).to_be_hidden()
    # the legend says what of: one group is one class
    entries = map_page.locator(".legend .entry-count").all_inner_texts()
    assert sorted(entries[:2]) == ["0 / 200", "200 / 200"]
    stage(map_page).focus()
    map_page.keyboard.press("Escape")
    counted(map_page, "400 images")
    expect(map_page.locator(".tile")).to_have_count(0)
    expect(map_page.get_by_text("Nothing is circled")).to_be_visible()


def test_shift_adds_and_alt_takes_away(map_page: Page) -> None:
    stage(map_page).focus()
    map_page.keyboard.press("b")
    draw(map_page, "left", box=True)
    counted(map_page, "200 of 400 images circled")
    draw(map_page, "right", box=True, key="Shift")
    counted(map_page, "400 of 400 images circled")
    expect(map_page.locator(".range")).to_contain_text("of 400")
    draw(map_page, "left", box=True, key="Alt")
    counted(map_page, "200 of 400 images circled")
    # Python counts the same, though three areas came one after another
    expect(map_page.locator(".st-key-map-grid .range")).to_contain_text("of 200")
    expect(map_page.get_by_text("200 images:")).to_be_visible()


def test_the_point_under_the_pointer_shows_its_picture_and_opens(map_page: Page, analysis: Analysis) -> None:
    xy = pca_map(analysis)
    row = int(xy[:, 1].argmax())  # at the rim: nothing lies nearer to the pointer
    x, y = spot_of(map_page, analysis, row)
    map_page.mouse.move(x - 40, y)
    map_page.mouse.move(x, y)
    card = map_page.locator(".card")
    expect(card).to_be_visible()
    expect(card).to_contain_text(analysis.image_names([row])[0])
    expect(card).to_contain_text(CLASSES[analysis.labels[row]])
    assert card.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    map_page.mouse.dblclick(x, y)
    expect(map_page.get_by_role("dialog")).to_be_visible()
    expect(map_page.get_by_role("dialog")).to_contain_text(analysis.image_names([row])[0])


def test_a_view_is_kept_in_the_address_and_restored_from_it(map_page: Page, server: Any) -> None:
    left, top, _, bottom = half(map_page, "left")
    map_page.mouse.move(left + 120, (top + bottom) / 2)
    map_page.mouse.wheel(0, -700)
    map_page.wait_for_url(re.compile("at="))
    address = map_page.url
    map_page.goto(address)
    expect(stage(map_page)).to_be_visible()
    # only a part is in view: everything there is less than everything
    stage(map_page).focus()
    map_page.keyboard.press("b")
    draw(map_page, "left", box=True)
    expect(map_page.locator(".map-root .count")).to_have_text(re.compile(r"^\d+ of 400 images circled$"))
    seen = int(map_page.locator(".map-root .count").inner_text().split()[0])
    assert seen < 200
    map_page.keyboard.press("0")
    map_page.wait_for_url(re.compile(r"^(?!.*at=)"))


def test_everything_can_be_done_with_keys(map_page: Page) -> None:
    stage(map_page).focus()
    map_page.keyboard.press("n")
    expect(map_page.locator(".card")).to_be_visible()
    map_page.keyboard.press("Space")
    counted(map_page, "1 of 400 images circled")
    map_page.keyboard.press("n")
    map_page.keyboard.press("Space")
    counted(map_page, "2 of 400 images circled")
    map_page.keyboard.press("Escape")
    counted(map_page, "400 images")
    # a box from the middle to the lower right corner: half of the right group, more or less
    map_page.keyboard.press("b")
    map_page.keyboard.press("ArrowLeft")
    map_page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown"):
        for _ in range(12):
            map_page.keyboard.press(f"Shift+{key}")
    map_page.keyboard.press("Space")
    expect(map_page.locator(".map-root .count")).to_have_text(re.compile(r"^\d+ of 400 images circled$"))
    assert 40 < int(map_page.locator(".map-root .count").inner_text().split()[0]) <= 200


def test_a_value_of_the_legend_stands_out_and_is_selected_alone(map_page: Page) -> None:
    map_page.get_by_role("button", name=f"{CLASSES[1]}: 200 images").click()
    map_page.get_by_role("button", name="Circle all").click()
    counted(map_page, "200 of 400 images circled")
    expect(map_page.locator(".st-key-map-grid .range")).to_contain_text("of 200")
    # another colour keeps the selection
    map_page.get_by_role("combobox", name="Colour by").click()
    map_page.get_by_role("option", name="Colour: place").click()
    expect(map_page.locator(".legend-title")).to_have_text("place")
    counted(map_page, "200 of 400 images circled")


def test_a_finger_draws_on_a_telephone_in_the_dark(phone: Page) -> None:
    left, top, right, bottom = half(phone, "left")
    client = phone.context.new_cdp_session(phone)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": left, "y": top}]})
    for (x0, y0), (x1, y1) in pairwise(corners):
        for step in range(1, 7):
            point = {"x": x0 + (x1 - x0) * step / 6, "y": y0 + (y1 - y0) * step / 6}
            client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    counted(phone, "200 of 400 images circled")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    # what is seen is dark, and points are not
    pixels = phone.locator(".picture").evaluate(
        "canvas => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        " let bright = 0; for (let i = 0; i < data.length; i += 4) bright += data[i + 1] > 140 ? 1 : 0;"
        " return [data[0], bright] }"
    )
    assert pixels[0] < 40
    assert pixels[1] > 500


def test_one_press_leads_to_what_was_circled_on_a_telephone(phone: Page) -> None:
    phone.get_by_role("button", name="Circle all").tap()
    # the images are below the window: one press leads there, with the keyboard
    show = phone.get_by_role("button", name="Show 400 images circled")
    expect(phone.locator(".tile").first).not_to_be_in_viewport()
    expect(show).to_be_in_viewport()
    show.tap()
    expect(phone.locator(".tile").first).to_be_in_viewport()
    expect(phone.locator(".st-key-map-selected")).to_be_focused()
    expect(show).to_be_hidden()
