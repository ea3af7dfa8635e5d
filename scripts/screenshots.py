"""Take the pictures of docs/images again, or all of them into a folder to look at.

    python scripts/screenshots.py                  the few of the README and the guides
    python scripts/screenshots.py --all DIR        every page and state, 1920 / 1024 / 390 px, light and dark
    python scripts/screenshots.py --all DIR --only present,bands      those whose name contains one of these
    python scripts/screenshots.py --all DIR --sizes 1024-light,390-dark
    python scripts/screenshots.py --animation      docs/images/demo.webp: the way through the demo, really walked

The demo workspace (MIDBAND_WORKSPACE, ./workspace) is copied first: the tags and the run that the pictures show are
made in the copy, from the planted truth. `--all` also writes a sheet for each state of a page, `sheets/NAME.png`, with
all sizes beside each other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import TimeoutError as TookTooLong

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.activations.extraction import analyse  # noqa: E402
from core.activations.projection import make_umap  # noqa: E402
from core.activations.store import open_analysis  # noqa: E402
from core.classifiers.classifier import load_classifier  # noqa: E402
from core.database import JobRecord, now  # noqa: E402
from core.datasets import open_dataset  # noqa: E402
from core.demo import MODEL as DEMO_MODEL  # noqa: E402
from core.demo import find_demo, make_demo  # noqa: E402
from core.errors import NotEnoughTags  # noqa: E402
from core.jobs.job import FAILED, RUNNING  # noqa: E402
from core.jobs.processes import started_at, this_host  # noqa: E402
from core.jobs.queue import submit  # noqa: E402
from core.retraining.bakeoff import bake_off  # noqa: E402
from core.retraining.runs import retrain  # noqa: E402
from core.workspace import Workspace, open_workspace  # noqa: E402
from pages.parts import who  # noqa: E402
from scripts.local_app import CHROMIUM_FLAGS, Server, chromium_path, serving  # noqa: E402
from scripts.planted_tags import tag_by_truth  # noqa: E402
from scripts.walk import film  # noqa: E402

BANDS = "/bands?direction=logit:waterbird"
# the pictures of the documentation, name: (path, height in pixels; None is the whole page)
SHOWN = {
    "home": ("/", 760),
    "bands": (BANDS, 1180),
    "contact-sheet": (f"{BANDS}&look=sheet", 1100),
    "confounder-curve": (f"{BANDS}&look=curve", 900),
    "compare": (f"{BANDS}&look=compare", 940),
    "directions": (f"{BANDS}&look=directions", 1000),
    "clusters": (f"{BANDS}&look=discover", 1000),
    "map": ("/map?colour=correctness", 1000),
    "tag-next": ("/tag_next", 860),
    "review": ("/tag_next?look=review", 1000),
    "concepts": ("/concepts", 700),
    "associations": ("/concepts?look=associations", 1100),
    "results": ("/results", 1180),
    "runs": ("/runs?run=balanced&with=repair", 1180),
    "present": ("/present?step=3", 720),
}
ROOMS = {
    "home": "/",
    "load": "/load",
    "bands": BANDS,
    "map": "/map?colour=correctness",
    "tag-next": "/tag_next",
    "concepts": "/concepts",
    "retrain": "/retrain",
    "results": "/results",
    "runs": "/runs",
    "present": "/present",
    "glossary": "/glossary",
}
LOOKS = {
    "contact-sheet": f"{BANDS}&look=sheet",
    "confounder-curve": f"{BANDS}&look=curve",
    "compare": f"{BANDS}&look=compare",
    "directions": f"{BANDS}&look=directions",
    "clusters": f"{BANDS}&look=discover",
    "tag-grid": "/tag_next?mode=grid",
    "review": "/tag_next?look=review",
    "wrong-labels": "/tag_next?look=wrong",
    **{f"concepts-{look}": f"/concepts?look={look}" for look in ("associations", "history", "people", "files")},
    "retrain-all-ways": "/retrain?look=ways",
    **{
        f"results-{look}": f"/results?look={look}"
        for look in ("confusions", "calibration", "activations", "flips", "beside")
    },
    "run": "/runs?run=repair",
    "runs-compared": "/runs?run=balanced&with=repair",
    **{f"present-{step}": f"/present?step={step}" for step in range(2, 9)},
}
ERRORS = {
    "unknown-investigation": "/bands?analysis=gone",
    "unknown-direction": "/bands?direction=logit:albatross",
    "unknown-run": "/runs?run=gone",
    "unknown-results": "/results?run=gone",
    "failed-job": "/retrain",
}
ME = who.Browser("0" * 16, "Ada")
WIDTHS = (1920, 1024, 390)
SCHEMES = ("light", "dark")
SIZES = tuple(f"{width}-{scheme}" for scheme in SCHEMES for width in WIDTHS)
TALLEST = 3200
# of the sheets: how wide a picture of each width is there, and how much of its height is shown
SHEET_WIDTHS = {1920: 900, 1024: 520, 390: 230}
SHEET_HEIGHT = 1100
PATIENCE = 30_000
# of several headings, as on the stage, the one that is seen
HEADING = "[data-testid=stMainBlockContainer] h1:visible"

Act = Callable[[Page], None]
unfinished: list[str] = []


@dataclass(frozen=True)
class Shot:
    """One state of a page. act: what is done on the page first. at_once: taken as soon as its title is there."""

    name: str
    path: str
    act: Act | None = None
    at_once: bool = False


def main() -> int:
    """How many states could not be taken as they should be: they are named at the end."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--all", type=Path, metavar="DIR", help="every page and state in every size and scheme")
    options.add_argument("--only", default="", metavar="NAMES", help="parts of names, divided by commas")
    options.add_argument("--sizes", default="", metavar="SIZES", help="such as 1920-light,390-dark; all by default")
    options.add_argument("--worlds", type=Path, metavar="DIR", help="keep the prepared workspaces, and use them again")
    options.add_argument("--animation", action="store_true", help="docs/images/demo.webp")
    chosen = options.parse_args()
    wanted = tuple(name for name in chosen.only.split(",") if name)
    sizes = tuple(size for size in chosen.sizes.split(",") if size) or SIZES
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        beside = chosen.worlds or Path(folder)
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, "--hide-scrollbars"]
        )
        if chosen.all is not None:
            everything(browser, beside, chosen.all, wanted, sizes)
        elif chosen.animation:
            workspace = untouched(beside / "walked")
            with serving(workspace.root) as server:
                film(browser, server.url, workspace, ROOT / "docs" / "images" / "demo.webp")
        else:
            for_the_guides(browser, beside, wanted)
        browser.close()
    for name in unfinished:
        print(f"Not drawn to the end: {name}", file=sys.stderr)
    return len(unfinished)


def for_the_guides(browser: Browser, beside: Path, wanted: Sequence[str]) -> None:
    with serving(full(beside / "guides").root) as server:
        for name, (path, height) in SHOWN.items():
            if fits(name, wanted):
                with window(browser, server, 1440, height) as context:
                    page = context.new_page()
                    page.goto(server.url + path)
                    settle(page)
                    save(page.screenshot(), ROOT / "docs" / "images" / f"{name}.png")


def everything(browser: Browser, beside: Path, folder: Path, wanted: Sequence[str], sizes: Sequence[str]) -> None:
    """Each world is a workspace of its own with a server of its own."""
    for world, (prepare, shots) in WORLDS.items():
        chosen = [shot for shot in shots if fits(f"{world}-{shot.name}", wanted)]
        if not chosen:
            continue
        with serving(prepare(beside / world).root) as server:
            for width in WIDTHS:
                schemes = [scheme for scheme in SCHEMES if f"{width}-{scheme}" in sizes]
                with window(browser, server, width) as context:
                    for shot in chosen if schemes else []:
                        by_day_and_night(context, server, shot, schemes, folder / f"{world}-{shot.name}-{width}")
        for shot in chosen:
            sheet(folder, f"{world}-{shot.name}", sizes)


def fits(name: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(part in name for part in wanted)


def by_day_and_night(context: BrowserContext, server: Server, shot: Shot, schemes: Sequence[str], target: Path) -> None:
    """One after the other on the same page; what is taken at once is opened anew."""
    width = int(target.name.rpartition("-")[2])
    page = context.new_page()
    for scheme in schemes:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        try:
            arrive(page, server.url + shot.path, shot, first=scheme == schemes[0])
        except TookTooLong as error:
            unfinished.append(f"{target.name}-{scheme}: {str(error).splitlines()[0]}")
        save(page.screenshot(), target.with_name(f"{target.name}-{scheme}.png"))
    page.close()


def arrive(page: Page, address: str, shot: Shot, *, first: bool) -> None:
    if shot.at_once:
        page.goto(address, wait_until="commit")
        page.wait_for_selector(HEADING)
        return
    if first:
        page.goto(address)
        settle(page)
        if shot.act is not None:
            shot.act(page)
    settle(page)
    turn(page)
    grow(page)


def turn(page: Page) -> None:
    """Until the colours that Python chose are those of the scheme, see assets/theme/turn.js."""
    page.wait_for_function(
        "getComputedStyle(document.documentElement).getPropertyValue('--midband-scheme').trim()"
        " === (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')"
    )
    settle(page)


def grow(page: Page) -> None:
    """As tall a window as the page needs, which is taken in one picture."""
    wanted = page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight")
    size = page.viewport_size
    if size is not None and wanted > size["height"]:
        page.set_viewport_size({"width": size["width"], "height": min(wanted, TALLEST)})
        settle(page)


def sheet(folder: Path, name: str, sizes: Sequence[str]) -> None:
    """All sizes of one state beside each other, by day above and by night below."""
    rows = []
    for scheme in SCHEMES:
        row = []
        for width, shown in SHEET_WIDTHS.items():
            if f"{width}-{scheme}" in sizes:
                with Image.open(folder / f"{name}-{width}-{scheme}.png") as image:
                    height = round(image.height * shown / image.width)
                    small = image.convert("RGB").resize((shown, height), Image.Resampling.LANCZOS)
                row.append(small.crop((0, 0, shown, min(height, SHEET_HEIGHT))))
        rows.append(row)
    gap = 12
    heights = [max((image.height for image in row), default=0) for row in rows]
    across = max(sum(image.width + gap for image in row) for row in rows)
    canvas = Image.new("RGB", (across + gap, sum(heights) + 3 * gap), (150, 150, 150))
    y = gap
    for row, height in zip(rows, heights, strict=True):
        x = gap
        for image in row:
            canvas.paste(image, (x, y))
            x += image.width + gap
        y += height + gap
    save_picture(canvas, folder / "sheets" / f"{name}.png")


# --- the worlds ------------------------------------------------------------------------------------------------------


def untouched(folder: Path) -> Workspace:
    """The demo as it comes, in a folder of its own. The pictures are drawn and looked at once for all worlds."""
    made = folder.parent / "demo"
    if not made.exists():
        here = open_workspace(os.environ.get("MIDBAND_WORKSPACE") or ROOT / "workspace")
        if (here.datasets / "birds").exists():
            shutil.copytree(here.datasets / "birds", made / "datasets" / "birds")
        make_demo(open_workspace(made))
    return _copied(made, folder)


def full(folder: Path) -> Workspace:
    """44 tags, two runs, all ways at once, and the map."""
    made = folder.parent / "worked-on"
    if not made.exists():
        workspace = untouched(made)
        analysis = open_analysis(workspace, find_demo(workspace))
        tag_by_truth(workspace, analysis, 44)
        retrain(workspace, analysis, method="class-balanced", run_id="balanced")
        retrain(workspace, analysis, run_id="repair")
        bake_off(workspace, analysis, methods=("afr", "jtt"), seeds=(0, 1))
        make_umap(analysis)
    return _copied(made, folder)


def _copied(made: Path, folder: Path) -> Workspace:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(made, folder)
    return open_workspace(folder)


def with_a_failure(folder: Path) -> Workspace:
    """A repair that ended without a result."""
    workspace = untouched(folder)
    analysis = open_analysis(workspace, find_demo(workspace))
    job = submit(workspace, "retrain", "Retrain", {"analysis": analysis.id, "method": "mid", "run": "failed"})
    problem = NotEnoughTags(
        "Every tagged image shows 'water background'.",
        next_step="Tag some images that do not show it: Tag next proposes them.",
    )
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.state, record.error = FAILED, problem.to_dict()
    return workspace


def images_gone(folder: Path) -> Workspace:
    workspace = full(folder)
    shutil.rmtree(workspace.datasets / "birds" / "images")
    return workspace


def at_work(folder: Path) -> Workspace:
    """A repair and a map that are under way for good: their worker is this process, which does nothing for them."""
    workspace = untouched(folder)
    analysis = open_analysis(workspace, find_demo(workspace))
    tag_by_truth(workspace, analysis, 44)
    request = {"analysis": analysis.id}
    _under_way(
        workspace,
        "retrain",
        "Retrain on birds",
        request | {"method": "mid", "run": "new"},
        "Training the last layer",
        0.6,
    )
    _under_way(workspace, "map", "Map of birds", request, "Laying out the images", 0.3)
    return workspace


def making(folder: Path) -> Workspace:
    """Where the demo is being made."""
    workspace = open_workspace(folder)
    _under_way(workspace, "demo", "Demo: birds", {"which": "birds"}, "Drawing birds", 0.4)
    return workspace


def _under_way(
    workspace: Workspace, kind: str, title: str, request: dict[str, Any], message: str, share: float
) -> None:
    job = submit(workspace, kind, title, request)
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job.id)
        record.state, record.pid, record.process_started = RUNNING, os.getpid(), started_at(os.getpid())
        record.host, record.started, record.heartbeat = this_host(), now(), now()
        record.message, record.done, record.total = message, round(1000 * share), 1000


def unlabelled(folder: Path) -> Workspace:
    """Images of the demo in one folder, of which nobody has said what they show."""
    made = folder.parent / "unlabelled-once"
    if not made.exists():
        source = untouched(folder.parent / "untouched")
        pictures = folder.parent / "holiday"
        pictures.mkdir(exist_ok=True)
        for image in sorted((source.datasets / "birds" / "images").rglob("*.*"))[:400]:
            shutil.copyfile(image, pictures / image.name)
        analyse(open_workspace(made), open_dataset(pictures), load_classifier(DEMO_MODEL))
    return _copied(made, folder)


def begin_the_tour(page: Page) -> None:
    page.get_by_role("button", name="Try the demo").click()
    page.locator(".st-key-tour-bar").wait_for()


def ask_to_reset(page: Page) -> None:
    page.get_by_role("button", name="More").first.click()
    page.get_by_text("Begin afresh?").wait_for()


def a_path_that_is_not_there(page: Page) -> None:
    box = page.get_by_role("textbox", name="Folder or file with the images")
    box.fill("/photos/that/are/not/here")
    box.press("Enter")
    page.get_by_text("Path not found").first.wait_for()


def look_closer(page: Page) -> None:
    page.locator(".tile").first.dblclick()
    page.get_by_role("dialog").wait_for()


def _shots(paths: Mapping[str, str], *, at_once: bool = False) -> list[Shot]:
    return [Shot(name, path, at_once=at_once) for name, path in paths.items()]


# name: what makes its workspace in a folder, and what is taken there
WORLDS: dict[str, tuple[Callable[[Path], Workspace], list[Shot]]] = {
    "full": (full, [*_shots({**ROOMS, **LOOKS}), Shot("inspector", BANDS, look_closer)]),
    "loading": (full, _shots(ROOMS, at_once=True)),
    "untouched": (untouched, _shots({**ROOMS, "clusters": LOOKS["clusters"]})),
    "empty": (open_workspace, _shots(ROOMS)),
    "error": (with_a_failure, [*_shots(ERRORS), Shot("path-not-found", "/load", a_path_that_is_not_there)]),
    "touring": (untouched, [Shot("tour", "/", begin_the_tour)]),
    "resetting": (full, [Shot("reset", "/", ask_to_reset)]),
    "at-work": (at_work, _shots({name: ROOMS[name] for name in ("home", "retrain", "map")})),
    "making": (making, _shots({"home": "/"})),
    "unlabelled": (unlabelled, _shots({**ROOMS, "bands": "/bands", "map": "/map"})),
    "images-gone": (images_gone, [Shot("inspector", BANDS, look_closer), *_shots({"tag-next": "/tag_next"})]),
}


# --- pictures --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def window(browser: Browser, server: Server, width: int, height: int | None = None) -> Iterator[BrowserContext]:
    """One person takes all pictures, not a new one each."""
    context = browser.new_context(viewport={"width": width, "height": height or 900}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    context.add_cookies([{"name": who.COOKIE, "value": who.cookie(ME), "url": server.url}])
    yield context
    context.close()


def settle(page: Page) -> None:
    """Until the run is through and thumbnails and charts are painted."""
    page.wait_for_selector(HEADING)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-stale=true]')"
    )
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(400)


def save(taken: bytes, path: Path) -> None:
    with Image.open(BytesIO(taken)) as image:
        save_picture(image, path)


def save_picture(image: Image.Image, path: Path) -> None:
    """A picture of flat surfaces needs no more than 256 colours: a quarter of the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.convert("RGB").quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(path, flush=True)


if __name__ == "__main__":
    sys.exit(main())
