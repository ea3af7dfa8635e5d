"""The Map: UMAP as a job within memory, and 100,000 points in Chromium.

    python -m benchmarks.bench_map [--only umap|placing|browser] [--images N] [--points N]

Prints, each against a peer or a limit of this machine measured in the same run:
- UMAP of 50,000 x 512 in a process of its own: its highest memory (what compiling takes included), seconds, and how
  many times those of its own principal components, which are shown meanwhile;
- placing images that were not laid out: ours beside UMAP's own `transform`, seconds and how many of the neighbours on
  the map are of the image's own group;
- 100,000 points: milliseconds from opening the page to the points drawn, and from lifting the mouse after a lasso to
  the selection's images in the grid; beside Plotly's scattergl, and the former beside the same page without points.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bench_bands import line, resident_mb

D, GROUPS, RUNS = 512, 40, 5
PLOTLY = """
import sys
import numpy as np
import plotly.graph_objects as go
import streamlit as st

st.set_page_config(layout="wide")
xy = np.load({path!r})
labels = np.load({labels!r})
figure = go.Figure(go.Scattergl(x=xy[:, 0], y=xy[:, 1], mode="markers", marker=dict(size=3, color=labels)))
figure.update_layout(height=522, dragmode="lasso", margin=dict(l=0, r=0, t=0, b=0))
event = st.plotly_chart(figure, on_select="rerun", selection_mode="lasso", key="map")
st.markdown(f"selected {{len(event.selection.point_indices)}}")
"""


def grouped(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d) of groups that overlap a little, in a space of some 30 dimensions with noise, and their group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, GROUPS, n)
    inner = rng.normal(size=(GROUPS, 30)).astype(np.float32)[group] * 2 + rng.normal(size=(n, 30)).astype(np.float32)
    spread = rng.normal(size=(30, d)).astype(np.float32)
    return inner @ spread + rng.normal(size=(n, d)).astype(np.float32) * 0.5, group


def measure_umap(root: Path, images: int) -> dict[str, float]:
    """A child process: the map as its job makes it."""
    from core.activations.projection import make_umap, pca_points
    from core.activations.store import open_analysis
    from core.workspace import open_workspace

    analysis = open_analysis(open_workspace(root))
    started = time.perf_counter()
    pca_points(analysis)
    at_once = time.perf_counter() - started
    phases: dict[str, float] = {}
    began = [time.perf_counter(), ""]

    def progress(done: int, total: int, message: str = "") -> None:
        now = time.perf_counter()
        if began[1]:
            phases[began[1]] = phases.get(began[1], 0.0) + now - began[0]
        began[:] = [now, message]

    started = time.perf_counter()
    make_umap(analysis, progress=progress)
    return {
        "seconds": time.perf_counter() - started,
        "pca": at_once,
        "peak": resident_mb("VmHWM"),
        **{f"phase {name}": seconds for name, seconds in phases.items()},
    }


def umap(images: int) -> None:
    from core.activations.store import write_analysis
    from core.classifiers.head import Head
    from core.datasets.dataset import Dataset
    from core.workspace import open_workspace

    with tempfile.TemporaryDirectory(prefix="midband-bench-") as folder:
        root = Path(folder) / "workspace"
        features, group = grouped(images, D)
        dataset = Dataset(
            id="planted",
            name="planted",
            root=Path(folder),
            source="metadata-csv",
            images=np.array([f"{i:08d}.png" for i in range(images)], dtype=np.dtypes.StringDType()),
            labels=group,
            splits=np.ones(images, dtype=np.int8),
            classes=tuple(f"group {i}" for i in range(GROUPS)),
            attributes=(),
            problems=(),
            notes=(),
            fingerprint="0",
        )
        write_analysis(
            open_workspace(root),
            dataset,
            features=features,
            head=Head(np.zeros((GROUPS, D), np.float32), np.zeros(GROUPS, np.float32)),
        )
        command = [sys.executable, "-m", "benchmarks.bench_map", "--child", str(root), "--images", str(images)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
    print(f"UMAP of {images:,} x {D}")
    print(line("  highest memory of the process", found["peak"], 1900 if images <= 50_000 else None, "MB"))
    print(line("  seconds", found["seconds"], None, "s"))
    for name, seconds in found.items():
        if name.startswith("phase "):
            print(line(f"    {name.removeprefix('phase ')}", seconds, None, "s"))
    print(line("  principal components, shown meanwhile", found["pca"], None, "s"))
    print(line("  times as long as these", found["seconds"] / found["pca"], None, "x"))


def placing() -> None:
    """Ours against `transform`, over the same layout of a sample."""
    from umap import UMAP

    from core.activations.projection import DIMENSIONS, _placed

    n, rest = 6000, 6000
    values, group = grouped(n + rest, DIMENSIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = UMAP(random_state=0, n_jobs=1)
        layout = np.asarray(model.fit_transform(values[:n]), dtype=np.float32)
        # once for what compiling takes
        model.transform(values[n : n + 100])
        seconds: dict[str, float] = {}
        found: dict[str, np.ndarray] = {}
        ways: dict[str, Callable[[], np.ndarray]] = {
            "ours": lambda: _placed(values[n:], values[:n], layout),
            "transform": lambda: np.asarray(model.transform(values[n:])),
        }
        for name, way in ways.items():
            started = time.perf_counter()
            found[name] = way()
            seconds[name] = time.perf_counter() - started
    print(f"placing {rest:,} images among {n:,}")
    for name in ways:
        hits = own_group(found[name], group[n:], layout, group[:n])
        print(line(f"  {name}: seconds", seconds[name], None, "s"))
        print(line(f"  {name}: of 10 neighbours on the map, own group", 100 * hits, None, "%"))
    print(line("  times faster", seconds["transform"] / seconds["ours"], None, "x"))


def own_group(xy: np.ndarray, group: np.ndarray, layout: np.ndarray, groups: np.ndarray) -> float:
    from core.activations.projection import nearest_among

    nearest, _ = nearest_among(np.ascontiguousarray(xy, np.float32), layout, 10)
    return float((groups[nearest] == group[:, None]).mean())


# --- in the browser --------------------------------------------------------------------------------------------------

FIND = (
    """selector => [...document.querySelectorAll('*')].map(e => e.shadowRoot).find(r => r?.querySelector(selector))"""
)
# milliseconds since the navigation began, once the points are painted
DRAWN = f"""() => new Promise(resolve => {{
  const find = {FIND}
  const look = () => find('.map-root:not([hidden])')?.querySelector('.map-root').dataset.drawn
    ? requestAnimationFrame(() => resolve(performance.now())) : requestAnimationFrame(look)
  look()
}})"""
# milliseconds from the next lift of the mouse: until the points are marked, and until Python's answer is in the grid
WATCH = f"""() => {{
  const find = {FIND}
  const stage = find('.map-root').querySelector('.stage')
  const count = () => find('.map-root').querySelector('.count').textContent
  const grid = () => [...(find('.tile')?.querySelectorAll('.tile') ?? [])].map(tile => tile.dataset.id).join()
  window.timed = new Promise(resolve => stage.addEventListener('pointerup', () => {{
    const started = performance.now(), before = [count(), grid()], times = {{}}
    const look = () => {{
      if (!times.marked && count() !== before[0]) times.marked = performance.now() - started
      times.grid = performance.now() - started
      if (grid() !== before[1]) return requestAnimationFrame(() => resolve(times))
      requestAnimationFrame(look)
    }}
    look()
  }}, {{ once: true, capture: true }}))
}}"""
PLOTLY_DRAWN = """() => new Promise(resolve => {
  const look = () => document.querySelector('.js-plotly-plot .gl-canvas-context, .js-plotly-plot canvas') &&
    document.querySelector('.js-plotly-plot .plot-container') && document.querySelector('.js-plotly-plot').calcdata
    ? requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))) : requestAnimationFrame(look)
  look()
})"""
PLOTLY_WATCH = """() => {
  const text = () => [...document.querySelectorAll('[data-testid=stMarkdown]')].at(-1)?.textContent
  window.timed = new Promise(resolve => document.addEventListener('mouseup', () => {
    const started = performance.now(), before = text()
    const look = () => text() !== before ? resolve(performance.now() - started) : requestAnimationFrame(look)
    look()
  }, { once: true, capture: true }))
}"""


def browser(points: int) -> None:
    from playwright.sync_api import sync_playwright

    from benchmarks.bench_browser import planted
    from core.activations.projection import pca_map
    from core.workspace import open_workspace
    from scripts.local_app import CHROMIUM_FLAGS, chromium_path, serving

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = open_workspace(Path(folder) / "workspace")
        analysis = planted(workspace, points)
        running = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        with serving(workspace.root) as server:
            # the first visit imports, sorts and reduces
            first = opened(running, f"{server.url}/map", DRAWN)
            again = [opened(running, f"{server.url}/map", DRAWN) for _ in range(RUNS)]
            empty = statistics.median(
                opened(running, f"{server.url}/tag_next", "() => performance.now()", "[data-testid=stHeading]")[0]
                for _ in range(RUNS)
            )
            drawn = statistics.median(time for time, _ in again)
            page = again[-1][1]
            page.wait_for_timeout(1500)
            page.mouse.move(700, 5)
            times = [lasso(page, ".stage", WATCH, move) for move in range(RUNS + 1)][1:]
            hover = [hovered(page, move) for move in range(3 * RUNS)]
        peer = plotly(running, Path(folder), pca_map(analysis), analysis.labels)
        running.close()
    marked = statistics.median(one["marked"] for one in times)
    selected = statistics.median(one["grid"] for one in times)
    demanded = points <= 100_000
    print(f"{points:,} points in Chromium, median of {RUNS}")
    print(line("  page opened to points drawn", drawn / 1000, 2 if demanded else None, "s"))
    print(line("  the first time, with imports and the reduction", first[0] / 1000, None, "s"))
    print(line("  another room of the same app", empty / 1000, None, "s"))
    print(line("  Plotly scattergl, page opened to drawn", peer["drawn"] / 1000, None, "s"))
    print(line("  times faster than that", peer["drawn"] / drawn, None, "x"))
    print(line("  lasso let go to points marked", marked, None, "ms"))
    print(line("  lasso let go to the selection in the grid", selected, 300 if demanded else None, "ms"))
    print(line("  Plotly, lasso let go to the number selected", peer["lasso"], None, "ms"))
    print(line("  times faster than that", peer["lasso"] / selected, None, "x"))
    print(line("  pointer on a point to its picture, half of them", statistics.median(hover), None, "ms"))


def opened(browser: Any, url: str, script: str, wait: str = "") -> tuple[float, Any]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(url, wait_until="commit")
    if wait:
        page.wait_for_selector(wait, timeout=60_000)
    return float(page.evaluate(script)), page


def lasso(page: Any, stage: str, watch: str, move: int) -> Any:
    """Draw a loop around the middle of the stage, another one each time."""
    box = page.locator(stage).first.bounding_box()
    x, y = box["x"] + box["width"] * (0.45 + 0.01 * move), box["y"] + box["height"] / 2
    page.evaluate(watch)
    page.mouse.move(x + 100, y)
    page.mouse.down()
    for angle in np.linspace(0, 6, 40):
        page.mouse.move(x + 100 * np.cos(angle), y + 100 * np.sin(angle))
    page.mouse.up()
    found = page.evaluate("() => window.timed")
    page.wait_for_timeout(700)
    return found


def hovered(page: Any, move: int) -> float:
    """Milliseconds from the pointer's coming to the picture there."""
    box = page.locator(".stage").first.bounding_box()
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.wait_for_timeout(150)
    started = f"""() => {{
      const root = ({FIND})('.map-root').querySelector('.map-root')
      window.timed = new Promise(resolve => root.querySelector('.stage').addEventListener('pointermove', () => {{
        const began = performance.now()
        const look = () => root.querySelector('.card').hidden && performance.now() - began < 3000
          ? requestAnimationFrame(look) : resolve(performance.now() - began)
        look()
      }}, {{ once: true, capture: true }}))
    }}"""
    page.evaluate(started)
    page.mouse.move(box["x"] + box["width"] * (0.4 + 0.012 * move), box["y"] + box["height"] * (0.42 + 0.006 * move))
    return float(page.evaluate("() => window.timed"))


def plotly(browser: Any, folder: Path, xy: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    from scripts.local_app import end, start_server

    np.save(folder / "xy.npy", xy)
    np.save(folder / "labels.npy", labels)
    script = folder / "peer.py"
    script.write_text(PLOTLY.format(path=str(folder / "xy.npy"), labels=str(folder / "labels.npy")))
    server = start_server(script, log=folder / "peer.txt")
    try:
        opened(browser, server.url, PLOTLY_DRAWN)[1].close()
        pages = [opened(browser, server.url, PLOTLY_DRAWN) for _ in range(3)]
        page = pages[-1][1]
        page.wait_for_timeout(3000)
        times = [lasso(page, ".js-plotly-plot", PLOTLY_WATCH, move) for move in range(4)][1:]
    finally:
        end(server.process)
    return {"drawn": statistics.median(seconds for seconds, _ in pages), "lasso": statistics.median(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("umap", "placing", "browser"))
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure_umap(Path(options.child), options.images)))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if options.only in (None, "umap"):
        umap(options.images)
    if options.only in (None, "placing"):
        placing()
    if options.only in (None, "browser"):
        browser(options.points)


if __name__ == "__main__":
    main()
