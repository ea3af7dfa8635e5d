"""Bands in a real browser over one hundred thousand images.

    python -m benchmarks.bench_browser [--images N]

Prints, measured in Chromium against a real server:
- milliseconds from releasing the band to 60 new images painted: median, 90th percentile, over bands not seen before;
  and as a ratio to the machine's limit in the same run, which is the same 60 images put into an empty page;
- frames per second while the grid is scrolled and while a box is dragged over it: the lowest and the median;
- resident memory of the server per extra session.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import tempfile
from pathlib import Path

import numpy as np
import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.frame_rate import drawing_a_box, scrolling
from core.activations.store import Analysis, write_analysis
from core.activations.thumbnails import make_thumbnail
from core.classifiers.head import Head
from core.datasets.dataset import Attribute, Dataset
from core.settings import DEFAULTS
from core.synthetic.picture import draw_bird
from core.workspace import Workspace, open_workspace
from scripts.local_app import CHROMIUM_FLAGS, chromium_path, serving

SHOWN = 60
MOVES = 30
SESSIONS = 5
CLASSES = ("landbird", "waterbird")

# Resolves with the milliseconds from the next release of the mouse until other images than now are decoded and painted.
WATCH = """() => {
  const grid = () => [...document.querySelectorAll('*')].map(e => e.shadowRoot).find(r => r?.querySelector('.tile'))
  const ids = () => [...(grid()?.querySelectorAll('.tile') ?? [])].map(tile => tile.dataset.id).join()
  window.painted = new Promise(resolve => {
    document.addEventListener('pointerup', () => {
      const started = performance.now(), before = ids()
      const look = () => {
        const pictures = [...(grid()?.querySelectorAll('.tile .picture') ?? [])]
        const ready = ids() !== before && pictures.length && pictures.every(p => p.complete && p.naturalWidth)
        if (!ready) return requestAnimationFrame(look)
        Promise.all(pictures.map(p => p.decode())).then(() =>
          requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - started))))
      }
      look()
    }, { once: true, capture: true })
  })
}"""
# The same pictures in a page without anything else: what decoding and painting alone cost.
LIMIT = """urls => new Promise(resolve => {
  document.body.replaceChildren()
  const started = performance.now()
  const pictures = urls.map(url => Object.assign(new Image(120, 120), { src: url }))
  document.body.append(...pictures)
  Promise.all(pictures.map(p => p.decode())).then(() =>
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - started))))
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = open_workspace(Path(folder) / "workspace")
        analysis = planted(workspace, options.images)
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        with serving(workspace.root) as server:
            page = opened(browser, server.url)
            times = [move(page, place) for place in np.random.default_rng(0).uniform(-0.32, 0.32, MOVES)]
            limit = statistics.median(painting(browser, analysis, seed) for seed in range(10))
            print(f"images                            {options.images:,}, {SHOWN} shown")
            median, slow = statistics.median(times), float(np.quantile(times, 0.9))
            print(f"release to images painted         median {median:.0f} ms, 90% within {slow:.0f} ms, {MOVES} moves")
            print(f"  of that decoding and painting   {limit:.0f} ms in an empty page: ratio {median / limit:.1f}")
            for name, rate in (
                ("scrolling", scrolling(page, ".tiles")),
                ("selecting with a box", drawing_a_box(page, ".tile")),
            ):
                print(f"{name:<33} lowest {rate.lowest:.0f}, median {rate.median:.0f} frames/s, {rate.frames} frames")
            process = psutil.Process(server.pid)
            before = process.memory_info().rss
            others = [opened(browser, server.url) for _ in range(SESSIONS)]
            for other in others:
                move(other, 0.1)
            each = (process.memory_info().rss - before) / SESSIONS / 1e6
            print(f"server memory per extra session   {each:.1f} MB, mean of {SESSIONS}; {before / 1e6:.0f} MB before")
        browser.close()


def planted(workspace: Workspace, n: int) -> Analysis:
    """n images of two classes whose pictures are a few hundred drawn birds, repeated; their features are made up."""
    rng = np.random.default_rng(0)
    labels, place = rng.integers(0, 2, n), rng.integers(0, 2, n)
    features = rng.normal(size=(n, 32)).astype(np.float32)
    features[:, 0] += 2 * labels - 1
    features[:, 1] += 2 * place - 1
    weight = np.zeros((2, 32), dtype=np.float32)
    weight[1, :2] = 0.8
    drawn = pictures(300, rng)
    root = workspace.root.parent / "planted"
    dataset = Dataset(
        id="planted",
        name="planted",
        root=root,
        source="metadata-csv",
        images=np.array([f"images/{i:08d}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels,
        splits=np.ones(n, dtype=np.int8),
        classes=CLASSES,
        attributes=(Attribute("place", ("land", "water"), place.astype(np.int16)),),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    return write_analysis(
        workspace,
        dataset,
        features=features,
        head=Head(weight, np.zeros(2, dtype=np.float32)),
        thumbnail_files=[drawn[i % len(drawn)] for i in range(n)],
    )


def pictures(count: int, rng: np.random.Generator) -> list[bytes]:
    """WebP thumbnails of the size and quality that an analysis makes."""
    size, quality = DEFAULTS.thumbnail_size, DEFAULTS.thumbnail_quality
    birds = (draw_bird(CLASSES[i % 2], ("land", "water")[i // 2 % 2], rng, size) for i in range(count))
    return [make_thumbnail(bird, size, quality) for bird in birds]


def opened(browser: Browser, url: str) -> Page:
    """The Bands page in a session of its own, its first images painted."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url + "/bands?direction=logit:waterbird&split=all&low=-0.1&high=0.1")
    page.wait_for_selector(".tile .loaded, .frame.loaded", timeout=60_000)
    page.wait_for_timeout(1500)
    return page


def move(page: Page, place: float) -> float:
    """Drag the band so that its middle lies at a share of the strip's width from the centre; milliseconds to paint."""
    window, plot = page.locator(".window").first.bounding_box(), page.locator(".plot").first.bounding_box()
    assert window is not None
    assert plot is not None
    x, y = window["x"] + window["width"] / 2, plot["y"] + plot["height"] / 2
    page.evaluate(f"({WATCH})()")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(plot["x"] + plot["width"] * (0.5 + place), y, steps=6)
    page.mouse.up()
    milliseconds = float(page.evaluate("window.painted"))
    # nobody drags again within half a second of seeing new images
    page.wait_for_timeout(600)
    return milliseconds


def painting(browser: Browser, analysis: Analysis, seed: int) -> float:
    """Milliseconds that the browser alone needs to decode and paint as many of the same images."""
    rows = np.random.default_rng(seed).choice(analysis.n, SHOWN, replace=False)
    urls = [f"data:image/webp;base64,{base64.b64encode(analysis.thumbnail(row)).decode()}" for row in rows]
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    milliseconds = float(page.evaluate(f"({LIMIT})", urls))
    page.close()
    return milliseconds


if __name__ == "__main__":
    main()
