"""Take the pictures of docs/images again, or all of them into a folder to look at.

    python scripts/screenshots.py                  the few of the README and the guides
    python scripts/screenshots.py --all DIR        every page, empty and full, 1920 / 1024 / 390 px, light and dark

The demo workspace (MIDBAND_WORKSPACE, ./workspace) is copied first: the tags and the run that the pictures show are
made in the copy, from the planted truth.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.activations.projection import make_umap  # noqa: E402
from core.activations.store import Analysis, open_analysis  # noqa: E402
from core.concepts.concept import create_concept  # noqa: E402
from core.concepts.suggestions import suggest_next  # noqa: E402
from core.concepts.tags import tag  # noqa: E402
from core.demo import CONCEPT, find_demo, make_demo  # noqa: E402
from core.retraining.runs import retrain  # noqa: E402
from core.workspace import Workspace, open_workspace  # noqa: E402
from pages.parts import who  # noqa: E402
from scripts.local_app import CHROMIUM_FLAGS, chromium_path, serving  # noqa: E402

# name: (path, height in pixels; None is the whole page)
SHOWN = {
    "home": ("/", 760),
    "bands": ("/bands?direction=logit:waterbird", 1180),
    "contact-sheet": ("/bands?direction=logit:waterbird&look=sheet", 1100),
    "confounder-curve": ("/bands?direction=logit:waterbird&look=curve", 900),
    "compare": ("/bands?direction=logit:waterbird&look=compare", 940),
    "directions": ("/bands?direction=logit:waterbird&look=directions", 1000),
    "clusters": ("/bands?direction=logit:waterbird&look=discover", 1000),
    "map": ("/map?colour=correctness", 1000),
    "tag-next": ("/tag_next", 860),
    "review": ("/tag_next?look=review", 1000),
    "concepts": ("/concepts", 700),
    "associations": ("/concepts?look=associations", 1100),
    "results": ("/results", 1180),
    "runs": ("/runs?run=balanced&with=repair", 1180),
}
PAGES = {
    "home": "/",
    "load": "/load",
    **{name: path for name, (path, _) in SHOWN.items()},
    "retrain": "/retrain",
    **{f"results-{look}": f"/results?look={look}" for look in ("confusions", "calibration", "activations", "flips")},
    "results-beside": "/results?look=beside",
    "run": "/runs?run=repair",
}
ME = who.Browser("0" * 16, "Ada")
WIDTHS = (1920, 1024, 390)
TALLEST = 3200


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--all", type=Path, metavar="DIR", help="every page in every size and scheme")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as beside, sync_playwright() as playwright:
        full = demo_copy(Path(beside) / "full")
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, "--hide-scrollbars"]
        )
        with serving(full) as server:
            if chosen.all is None:
                for name, (path, height) in SHOWN.items():
                    save(
                        picture(browser, server.url + path, 1440, height=height),
                        ROOT / "docs" / "images" / f"{name}.png",
                    )
            else:
                everything(browser, server.url, chosen.all)
        if chosen.all is not None:
            with serving(Path(beside) / "empty") as server:
                for name, path in PAGES.items():
                    save(picture(browser, server.url + path, 1440), chosen.all / f"empty-{name}.png")
        browser.close()


def everything(browser: Browser, url: str, folder: Path) -> None:
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            for name, path in PAGES.items():
                save(picture(browser, url + path, width, scheme=scheme), folder / f"{name}-{width}-{scheme}.png")


def demo_copy(target: Path) -> Path:
    """The demo with 44 tags, two runs and the map, in a folder of its own."""
    source = open_workspace(os.environ.get("MIDBAND_WORKSPACE") or ROOT / "workspace")
    if find_demo(source) is None:
        make_demo(source)
    shutil.copytree(source.root, target, ignore=shutil.ignore_patterns("jobs", "exports", "runs"))
    workspace = open_workspace(target)
    analysis = open_analysis(workspace, find_demo(workspace))
    tag_by_truth(workspace, analysis)
    retrain(workspace, analysis, method="class-balanced", run_id="balanced")
    retrain(workspace, analysis, run_id="repair")
    make_umap(analysis)
    return target


def tag_by_truth(workspace: Workspace, analysis: Analysis, budget: int = 44) -> None:
    concept = create_concept(workspace, analysis.dataset_id, CONCEPT)
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=60)[:budget]])
    place = next(attribute for attribute in analysis.attributes if attribute.name == "place")
    water = place.codes[rows] == place.values.index("water")
    tag(workspace, analysis, concept, rows[water], True)
    tag(workspace, analysis, concept, rows[~water], False)


def picture(browser: Browser, address: str, width: int, *, scheme: str = "light", height: int | None = None) -> bytes:
    context = browser.new_context(
        viewport={"width": width, "height": height or 900}, color_scheme="dark" if scheme == "dark" else "light"
    )
    # one person takes all pictures, not a new one each
    context.add_cookies([{"name": who.COOKIE, "value": who.cookie(ME), "url": address}])
    page = context.new_page()
    page.goto(address)
    settle(page)
    if height is None:
        wanted = page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight")
        page.set_viewport_size({"width": width, "height": min(max(wanted, 700), TALLEST)})
        settle(page)
    taken = page.screenshot()
    context.close()
    return taken


def settle(page: Page) -> None:
    """Until the first run is through and thumbnails and charts are painted."""
    page.wait_for_selector("[data-testid=stMainBlockContainer] h1")
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(800)


def save(taken: bytes, path: Path) -> None:
    """A picture of flat surfaces needs no more than 256 colours: a quarter of the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(BytesIO(taken)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(path)


if __name__ == "__main__":
    main()
