"""Somebody's own images: load, train one here, watch it go on through a refresh and a restart, look at the bands."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Page, expect

from core.jobs.queue import list_jobs, request_cancel
from core.workspace import open_workspace
from tests.browser.patience import until


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Circles and squares in class folders, one damaged file among them."""
    root = tmp_path_factory.mktemp("own") / "shapes"
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 12), ("test", 12)):
        for name in ("circle", "square"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = Image.new("RGB", (32, 32), tuple(int(value) for value in rng.integers(170, 255, 3)))
                draw = ImageDraw.Draw(image)
                x, y = (int(value) for value in rng.integers(2, 12, 2))
                shape = draw.ellipse if name == "circle" else draw.rectangle
                shape([x, y, x + 16, y + 16], fill=tuple(int(value) for value in rng.integers(0, 140, 3)))
                image.save(folder / f"{i:02d}.png")
    (root / "val" / "circle" / "broken.png").write_bytes(b"this is no image")
    return root


def fill_in(page: Page, folder: Path, epochs: int) -> None:
    box = page.get_by_role("textbox", name="Folder or file with the images")
    box.fill(str(folder))
    box.press("Enter")
    expect(page.get_by_text(re.compile("images of 2 classes"))).to_be_visible()
    page.get_by_role("radio", name="Train one here").click()
    number = page.get_by_role("spinbutton", name="Epochs")
    number.fill(str(epochs))
    number.press("Enter")


def images(page: Page) -> list[str]:
    """What the grid shows, in order."""
    return page.locator(".tile").evaluate_all("all => all.map(tile => tile.dataset.id)")


def test_own_images_are_trained_on_analysed_and_shown(page: Page, serve: Any, photos: Path, tmp_path: Path) -> None:
    server = serve(env={"MIDBAND_WORKSPACE": str(tmp_path / "workspace")})
    page.goto(server.url + "/load")
    fill_in(page, photos, epochs=2)
    page.get_by_role("button", name="Train and analyse").click()
    expect(page.get_by_role("button", name="Look at the bands")).to_be_visible(timeout=120_000)
    expect(page.get_by_text("1 file or row skipped")).to_be_visible()
    page.get_by_role("button", name="Look at the bands").click()
    expect(page.get_by_role("heading", name="Bands", exact=True)).to_be_visible()
    expect(page.locator(".handle")).to_have_count(2)

    # the address alone brings the same view back, on a server that has shown nothing yet
    before = page.url
    page.get_by_test_id("stMain").get_by_role("radio", name="Top", exact=True).click()
    expect(page).not_to_have_url(before)
    fresh = serve(env={"MIDBAND_WORKSPACE": str(tmp_path / "workspace")})
    other = page.context.new_page()
    other.goto(fresh.url + page.url.removeprefix(server.url))
    expect(other.locator(".frame.loaded").first).to_be_visible()
    shown = until(page, lambda: images(page), bool)
    until(other, lambda: images(other), shown.__eq__)
    # the frame is there too: a fresh server must not run the page without it
    expect(other.get_by_role("link", name="Tag next")).to_be_visible()


def test_a_job_goes_on_through_a_refresh_and_a_restart(page: Page, serve: Any, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    server = serve(env={"MIDBAND_WORKSPACE": str(folder)})
    page.goto(server.url + "/load")
    fill_in(page, photos, epochs=1000)
    page.get_by_role("button", name="Train and analyse").click()
    expect(page.get_by_test_id("stMain").get_by_text(re.compile(r"^Epoch \d+ of 1,?000"))).to_be_visible(timeout=60_000)

    page.reload()
    expect(page.get_by_test_id("stMain").get_by_text(re.compile(r"^Epoch \d+ of 1,?000"))).to_be_visible()
    # and every other page shows that it runs
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_test_id("stSidebar").get_by_text("Train on shapes")).to_be_visible()

    os.kill(server.pid, signal.SIGINT)
    (running,) = list_jobs(open_workspace(folder), active=True)
    before = running.done
    again = serve(env={"MIDBAND_WORKSPACE": str(folder)})
    page.goto(again.url + "/load")
    expect(page.get_by_test_id("stMain").get_by_text(re.compile(r"^Epoch \d+ of 1,?000"))).to_be_visible()
    until(page, lambda: list_jobs(open_workspace(folder), active=True)[0].done, lambda done: done > before)

    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("cancelled. Nothing half-made was kept")).to_be_visible(timeout=30_000)
    assert not list_jobs(open_workspace(folder), active=True)


@pytest.fixture(autouse=True)
def _no_job_left(tmp_path: Path) -> Any:
    """A failing test must not leave an hour of training behind."""
    yield
    if (tmp_path / "workspace").exists():
        workspace = open_workspace(tmp_path / "workspace")
        for job in list_jobs(workspace, active=True):
            request_cancel(workspace, job.id, wait=10)
