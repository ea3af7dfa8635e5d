"""What people have, given to the page as they have it: recognised, previewed, and mended where it does not fit."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from core.jobs.queue import list_jobs, request_cancel
from core.workspace import open_workspace

from .patience import until
from .test_accessibility import problems, settle

N = 24


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("load") / "workspace"
    yield folder
    if folder.exists():
        for job in list_jobs(opened := open_workspace(folder), active=True):
            request_cancel(opened, job.id, wait=10)


@pytest.fixture(scope="module")
def server(serve: Any, workspace: Path) -> Any:
    return serve(env={"MIDBAND_WORKSPACE": str(workspace)})


def pixels(place: int) -> np.ndarray:
    """Reddish for odd places, bluish for even ones, no two alike. (20, 24, 3) uint8."""
    rng = np.random.default_rng(place)
    picture = rng.integers(0, 60, (20, 24, 3))
    picture[..., 0 if place % 2 else 2] += 150
    return picture.astype(np.uint8)


def encoded(place: int) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels(place)).save(written, "PNG")
    return written.getvalue()


def class_folders(root: Path, count: int = N) -> Path:
    for place in range(count):
        folder = root / ("blue", "red")[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{place:03d}.png").write_bytes(encoded(place))
    return root


def table(root: Path) -> Path:
    """Columns that nobody could guess."""
    (root / "scans").mkdir(parents=True)
    rows = ["where;what it shows;ward"]
    for place in range(N):
        (root / "scans" / f"{place:03d}.png").write_bytes(encoded(place))
        rows.append(f"scans/{place:03d}.png;{('blue', 'red')[place % 2]};{'AB'[place // 12]}")
    (root / "list.csv").write_text("\n".join(rows) + "\n")
    return root / "list.csv"


def celeba(root: Path) -> Path:
    names = ("5_o_Clock_Shadow", "Blond_Hair", "Male", "Smiling")
    (root / "img_align_celeba").mkdir(parents=True)
    attributes, splits = [str(N), " ".join(names)], []
    for place in range(N):
        name = f"{place + 1:06d}.jpg"
        Image.fromarray(pixels(place)).save(root / "img_align_celeba" / name)
        signs = (place % 3 == 0, place % 2 == 1, place // 2 % 2 == 1, place % 5 == 0)
        attributes.append(f"{name}  {'  '.join('1' if sign else '-1' for sign in signs)}")
        splits.append(f"{name} {place % 3}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(splits) + "\n")
    return root


def parquet(root: Path) -> Path:
    """Two shards in the layout of Hugging Face's image datasets."""
    root.mkdir(parents=True)
    features = {
        "image": {"_type": "Image"},
        "label": {"_type": "ClassLabel", "names": ["blue", "red"]},
    }
    for shard in range(2):
        places = range(shard * N // 2, (shard + 1) * N // 2)
        images = [{"bytes": encoded(place), "path": f"{place}.png"} for place in places]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        columns = {"image": pa.array(images, kind), "label": pa.array([place % 2 for place in places])}
        told = {"huggingface": json.dumps({"info": {"features": features}})}
        pq.write_table(pa.table(columns).replace_schema_metadata(told), root / f"train-{shard:05d}-of-00002.parquet")
    return root


def arrays(root: Path) -> Path:
    root.mkdir(parents=True)
    images = np.stack([pixels(place) for place in range(N)])
    np.savez(root / "squares.npz", images=images, labels=np.arange(N) % 2)
    return root / "squares.npz"


def give(page: Page, path: Path) -> None:
    box = page.get_by_role("textbox", name="Folder or file with the images")
    box.fill(str(path))
    box.press("Enter")


def understood(page: Page) -> None:
    expect(page.get_by_text(f"holds {N} images of 2 classes")).to_be_visible()
    expect(page.get_by_role("heading", name="2 · Model")).to_be_visible()


def test_what_is_given_is_recognised(page: Page, server: Any, tmp_path: Path) -> None:
    """One after the other in one tab, as somebody tries what they have."""
    page.goto(server.url + "/load")
    for make, title in (
        (class_folders, "A folder per class"),
        (celeba, "CelebA"),
        (parquet, "Parquet with the pictures inside"),
        (arrays, "Arrays of numpy"),
    ):
        give(page, make(tmp_path / make.__name__.replace("_", "-")))
        expect(page.locator(".stMarkdownBadge").filter(has_text=title)).to_be_visible()
        understood(page)


def test_columns_that_cannot_be_guessed_are_asked_for(page: Page, server: Any, tmp_path: Path) -> None:
    page.goto(server.url + "/load")
    give(page, table(tmp_path / "ward"))
    # what is drawn last is there: nothing moves under the pointer any more
    expect(page.get_by_role("heading", name="2 · Model")).to_be_visible()
    page.get_by_text(re.compile("^Columns")).click()
    option = page.get_by_role("option", name="what it shows")
    field = page.get_by_role("combobox", name=re.compile("Class"))

    def offered() -> bool:
        # what is already in the field would not count as typed: the list opens on a change only
        field.fill("")
        field.fill("what it shows")
        page.wait_for_timeout(500)
        return option.is_visible()

    # a list that is drawn anew meanwhile forgets what was typed
    until(page, offered, bool)
    option.click()
    page.get_by_role("button", name="Read it this way").click()
    understood(page)
    # the address alone brings the dataset back
    assert "data=" in page.url


def test_an_address_shows_a_preview_that_everybody_can_read_by_night(
    browser: Browser, server: Any, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{server.url}/load?{urlencode({'data': str(celeba(tmp_path / 'faces'))})}")
    understood(page)
    settle(page)
    assert problems(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth <= 390")
    context.close()


def test_a_zip_is_dropped_unpacked_and_read(page: Page, server: Any, tmp_path: Path) -> None:
    source = class_folders(tmp_path / "colours")
    with zipfile.ZipFile(tmp_path / "colours.zip", "w") as archive:
        for file in sorted(source.rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    page.goto(server.url + "/load")
    page.locator("[data-testid=stFileUploader] input[type=file]").set_input_files(tmp_path / "colours.zip")
    understood(page)


def test_classes_in_another_order_are_found_before_the_pass_and_put_right(
    page: Page, server: Any, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    page.goto(server.url + "/load")
    give(page, class_folders(tmp_path / "colours", count=120))
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2))
    with torch.no_grad():
        # its first output is for red; by name, blue comes first
        network[2].weight.copy_(torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0]]))
        network[2].bias.zero_()
    torch.jit.trace(network, torch.zeros(1, 3, 32, 32)).save(tmp_path / "colours.pt")
    box = page.get_by_role("textbox", name="File or folder of the model")
    box.fill(str(tmp_path / "colours.pt"))
    box.press("Enter")
    fix = page.get_by_role("button", name=re.compile("Exchange"))
    expect(fix).to_be_visible(timeout=60_000)
    # the page at its fullest: what is asked, what is shown, what is offered
    page.get_by_text("How images are prepared").click()
    expect(page.get_by_text("What the network sees", exact=True)).to_be_visible()
    page.mouse.move(0, 0)
    settle(page)
    assert problems(page) == []
    fix.click()
    expect(page.get_by_text("Classes are in the order that you chose")).to_be_visible()
    expect(page.get_by_text("Accuracy is 100%")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Analyse", exact=True).click()
    expect(page.get_by_role("button", name="Look at the bands")).to_be_visible(timeout=60_000)
    expect(page.get_by_text(re.compile(r"right on (9\d|100)% of the"))).to_be_visible()
