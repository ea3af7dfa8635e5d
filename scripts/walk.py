"""The way through the demo as a short film: a real browser walks it, a picture is taken at each step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from core.datasets import open_dataset
from core.workspace import Workspace

WINDOW = {"width": 1280, "height": 860}
SHOWN = (960, 645)
CAPTION = 52
CONCEPT = "water background"
ENOUGH = 40
QUALITY = 72
LARGEST = 2_000_000
# milliseconds: a picture of the pointer on its way, of something that just happened, of something to read
MOVE, GLANCE, READ = 70, 700, 2600
POINTER = """() => {
    const pointer = document.createElement('div');
    pointer.id = 'film-pointer';
    pointer.style.cssText = 'position:fixed;z-index:2147483647;pointer-events:none;width:22px;height:22px;' +
        'left:560px;top:380px;border-radius:50%;background:#d9832499;border:2px solid #fff;box-shadow:0 0 6px #0008;' +
        'transform:translate(-50%,-50%)';
    document.documentElement.append(pointer);
}"""
SAID = (
    "<body style='margin:0;background:#10292f;color:#fff;font:600 19px/{height}px system-ui,sans-serif;"
    "padding-left:22px;white-space:nowrap'>{text}</body>"
)


@dataclass
class Film:
    """Pictures with how long each is shown, in milliseconds."""

    page: Page
    # a tab of its own for what is said below the picture
    beside: Page
    frames: list[Image.Image] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    at: tuple[float, float] = (560.0, 380.0)

    def take(self, milliseconds: int) -> None:
        frame = Image.new("RGB", (SHOWN[0], SHOWN[1] + CAPTION))
        for taken, size, top in (
            (self.page.screenshot(), SHOWN, 0),
            (self.beside.screenshot(), (SHOWN[0], CAPTION), SHOWN[1]),
        ):
            with Image.open(BytesIO(taken)) as image:
                frame.paste(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), (0, top))
        self.frames.append(frame)
        self.times.append(milliseconds)

    def say(self, text: str) -> None:
        self.beside.set_content(SAID.format(height=CAPTION, text=escape(text)))

    def point(self, x: float, y: float) -> None:
        """Move the pointer there, in a few pictures."""
        start = np.array(self.at)
        for step in (0.4, 0.8, 1.0):
            now = start + step * (np.array((x, y)) - start)
            self.page.evaluate(
                "([x, y]) => Object.assign(document.getElementById('film-pointer').style, {left: x, top: y})",
                [f"{now[0]}px", f"{now[1]}px"],
            )
            self.take(MOVE)
        self.at = (x, y)

    def click(self, what: Locator) -> None:
        what.scroll_into_view_if_needed()
        box = what.bounding_box()
        assert box is not None
        self.point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        what.click()

    def write(self, target: Path) -> None:
        """Raises ValueError when it is larger than a README should load."""
        first, *rest = self.frames
        target.parent.mkdir(parents=True, exist_ok=True)
        first.save(
            target,
            save_all=True,
            append_images=rest,
            duration=self.times,
            loop=0,
            quality=QUALITY,
            method=4,
            minimize_size=True,
        )
        size = target.stat().st_size
        print(f"{target}: {len(self.frames)} pictures, {sum(self.times) / 1000:.0f} s, {size / 1e6:.2f} MB")
        if size > LARGEST:
            raise ValueError(f"{target} is larger than {LARGEST / 1e6:.0f} MB: take fewer pictures, or lower QUALITY.")


def film(browser: Browser, address: str, workspace: Workspace, target: Path) -> None:
    """Look, name, tag, repair, read the result; answers are the planted truth's."""
    context = browser.new_context(viewport=WINDOW, reduced_motion="reduce")
    context.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    beside = context.new_page()
    beside.set_viewport_size({"width": SHOWN[0], "height": CAPTION})
    page = context.new_page()
    page.goto(f"{address}/bands?direction=logit:waterbird")
    main = page.get_by_test_id("stMain")
    painted(page)
    page.evaluate(POINTER)
    walk = Film(page, beside)

    walk.say("What the model is surest of: waterbirds, all of them on water. Nothing looks wrong.")
    middle = ids(page)
    main.get_by_role("radio", name="Top", exact=True).click()
    top = other_images(page, middle)
    walk.take(READ)
    walk.click(main.get_by_role("radio", name="Mid band", exact=True))
    other_images(page, top)
    walk.say("The middle of the range: land and water are mixed up. It goes by the background.")
    walk.take(READ)

    walk.click(page.get_by_role("button", name="New concept"))
    box = page.get_by_role("textbox", name="What do you see?")
    expect(box).to_be_visible()
    walk.say("Name what you see.")
    for typed in ("water", CONCEPT):
        box.fill(typed)
        walk.take(GLANCE)
    walk.click(page.get_by_role("button", name="Create", exact=True))
    expect(page.locator(".concepts").get_by_text(CONCEPT)).to_be_visible()

    walk.click(page.get_by_role("button", name="Tag next").or_(page.get_by_role("link", name="Tag next")).first)
    main.get_by_role("radio", name="Grid", exact=True).click()
    walk.say("Say which images show it. A few dozen are enough.")
    tag_all(walk, workspace)

    walk.click(page.get_by_test_id("stMain").get_by_role("button", name="Retrain", exact=True))
    expect(page.get_by_text("What it will learn from")).to_be_visible()
    quiet(page)
    walk.say("Repair: only the last layer is trained anew, in seconds.")
    walk.take(READ)
    walk.click(main.get_by_role("button", name="Retrain", exact=True))
    page.get_by_role("button", name="See the results").click()
    expect(page.get_by_text(re.compile("Worst-group accuracy rose from"))).to_be_visible()
    expect(page.locator(".st-key-group-chart table").first).to_be_visible()
    quiet(page)
    walk.say("And what came of it, with intervals, on images nothing was trained on.")
    walk.take(2 * READ)
    walk.write(target)
    context.close()


def tag_all(walk: Film, workspace: Workspace) -> None:
    """The first images on screen, the others unseen, until there are enough."""
    dataset = open_dataset(workspace.datasets / "birds")
    place = next(attribute for attribute in dataset.attributes if attribute.name == "place")
    shows = place.codes == place.values.index("water")
    page, done, before = walk.page, 0, list[int]()
    while done < ENOUGH:
        now = other_images(page, before)
        water = [position for position, image in enumerate(now) if shows[image]]
        for count, position in enumerate(water):
            tile = page.locator(".tile").nth(position)
            if done == 0 and count < 3:
                walk.click(tile)
            else:
                tile.click()
        if done == 0:
            walk.take(GLANCE)
        if water:
            page.get_by_role("button", name="Present", exact=True).click()
            tagged(page, done + len(water))
        if len(water) < len(now):
            page.get_by_role("button", name="Rest absent").click()
        done += len(now)
        tagged(page, done)
        before = now
        walk.take(GLANCE)


def other_images(page: Page, before: list[int]) -> list[int]:
    """What is on screen, once it is no longer what was there before."""
    page.wait_for_function(
        "before => { const all = [...document.querySelectorAll('*')].flatMap(one => one.shadowRoot ? "
        "[...one.shadowRoot.querySelectorAll('.tile')] : []).map(tile => Number(tile.dataset.id));"
        "return all.length && !all.some(id => before.includes(id)) }",
        arg=before,
    )
    painted(page)
    return ids(page)


def ids(page: Page) -> list[int]:
    return page.locator(".tile").evaluate_all("all => all.map(tile => Number(tile.dataset.id))")


def tagged(page: Page, count: int) -> None:
    expect(page.get_by_text(re.compile(rf"^{count} (of about \d+ )?tags\b"))).to_be_visible()


def painted(page: Page) -> None:
    """Every image that is in view."""
    expect(page.locator(".frame.loaded").first).to_be_visible()
    quiet(page)


def quiet(page: Page) -> None:
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(300)
