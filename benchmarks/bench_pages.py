"""How soon each page shows what it is for, how much it moves while it loads, and how much it weighs.

    python -m benchmarks.bench_pages [--workspace DIR] [--repeats N] [NAME ...]

Without a workspace the demo is made, tagged sixty times and repaired. For every page, or those that are named:
- warm: median seconds from the address to its main heading and first content (images decoded, plots drawn), in a
  browser with a profile, as people have it, that looked at the page twice before: it has the app's files, and compiled
  them. At most 1 s on two cores with nothing else to do. Beside it, in the same run, a page of a title and a field
  that Streamlit draws by itself, the least that any page can take.
- shift: cumulative layout shift, as the web's "core vitals" count it, of the first and of the warm visits, the worst.
  At most 0.1.
- weight: what the first visit of a browser that knows nothing transfers, over HTTP and WebSocket, and its requests;
  and what a warm visit transfers.

Ends with 1 when a page does not show its content, shows an error, or misses a limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, BrowserType, CDPSession, Error, Page, sync_playwright

from core.demo import make_demo
from core.retraining.runs import retrain
from core.workspace import open_workspace
from scripts.local_app import CHROMIUM_FLAGS, chromium_path, end, serving, start_server
from scripts.planted_tags import tag_by_truth

PAINT_LIMIT, SHIFT_LIMIT = 1.0, 0.1
# seconds to wait for a page's content, and after it for what still moves
PATIENCE, AFTER = 30.0, 1.5
TILE, PLOT, CARD = ".tile img", ".plot .drawing :is(.mark, .bars i)", "[class*='st-key-card-']"
BANDS = "/bands?direction=logit:waterbird"
# what Streamlit takes for next to nothing
BARE, BARE_SCRIPT = "(bare Streamlit)", 'import streamlit as st\n\nst.title("Bare")\nst.text_input("A field")\n'
# visits from which a browser has compiled the scripts of a page
BEFORE = 2
# address and what must be seen of it, besides the main heading
PLACES = {
    "home": ("/", CARD),
    "load": ("/load", "input"),
    "images": (BANDS, TILE),
    "clusters": (f"{BANDS}&look=discover", TILE),
    "contact sheet": (f"{BANDS}&look=sheet", ".sheet img"),
    "curve": (f"{BANDS}&look=curve", PLOT),
    "compare": (f"{BANDS}&look=compare", TILE),
    "directions": (f"{BANDS}&look=directions", ".board-root .cards > *"),
    "map": ("/map", ".map-root canvas"),
    "cards": ("/tag_next?mode=cards", ".stage img"),
    "batches": ("/tag_next?mode=grid", TILE),
    "review": ("/tag_next?look=review", TILE),
    "wrong labels": ("/tag_next?look=wrong", TILE),
    "palette": ("/concepts", CARD),
    "associations": ("/concepts?look=associations", CARD),
    "history": ("/concepts?look=history", "[data-testid=stCaptionContainer]"),
    "people": ("/concepts?look=people", "[data-testid=stAlert]"),
    "files": ("/concepts?look=files", "[data-testid=stDownloadButton] button"),
    "retrain": ("/retrain", ".curation table"),
    "all ways": ("/retrain?look=ways", "[data-testid=stNumberInput] input"),
    "results": ("/results", ".rx.groups td"),
    "confusions": ("/results?look=confusions", ".rx table"),
    "calibration": ("/results?look=calibration", PLOT),
    "activations": ("/results?look=activations", PLOT),
    "flips": ("/results?look=flips", TILE),
    "runs": ("/runs", ".runs-root tbody td"),
    "present": ("/present", ".slide.now img"),
    "glossary": ("/glossary", "h2"),
}
# Runs before the page's own scripts. Looks into the shadow roots of our components as well.
WATCH = """
({ content }) => {
  window.shown = null
  window.shifts = []
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts.push([one.startTime, one.value])
  }).observe({ type: "layout-shift", buffered: true })
  const drawn = (one) => {
    const box = one.getBoundingClientRect()
    return box.width > 0 && box.height > 0 && (one.tagName !== "IMG" || (one.complete && one.naturalWidth > 0))
  }
  const roots = () => {
    const main = document.querySelector("[data-testid=stMain]")
    if (!main) return []
    const own = [...main.querySelectorAll("[data-testid=stBidiComponentIsolated]")].map((host) => host.shadowRoot)
    return [main, ...own.filter(Boolean)]
  }
  const look = () => {
    // of several headings, as on the stage, the one that is seen
    if (["h1", content].every((one) => roots().some((root) => [...root.querySelectorAll(one)].some(drawn)))) {
      window.shown = performance.now()
      return
    }
    requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}
"""
# the largest sum of shifts less than 1 s apart, within 5 s
LARGEST_SHIFT = """
() => {
  let [worst, sum, first, last] = [0, 0, 0, -Infinity]
  for (const [at, value] of window.shifts) {
    if (at - last > 1000 || at - first > 5000) [sum, first] = [0, at]
    ;[sum, last] = [sum + value, at]
    worst = Math.max(worst, sum)
  }
  return worst
}
"""


@dataclass(frozen=True)
class Visit:
    """One look at a page. seconds: until its content was drawn. kilobytes: transferred. shift: of the layout."""

    seconds: float
    shift: float
    kilobytes: float
    requests: int


class DidNotPaint(Exception):
    """A page whose content never came, or an error in its place."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, help="with a tagged and repaired investigation of the demo")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(PLACES)}")
    options = parser.parse_args()
    if unknown := set(options.names) - set(PLACES):
        parser.error(f"no page is called {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = options.workspace or prepared(Path(folder) / "workspace")
        measure_bare(playwright.chromium, Path(folder), options.repeats)
        with serving(workspace) as server:
            missed = measure(playwright.chromium, server.url, options.names or list(PLACES), options.repeats)
    for line in missed:
        print(f"MISSED  {line}")
    return 1 if missed else 0


def prepared(root: Path) -> Path:
    """The demo with sixty tags and a repair."""
    workspace = open_workspace(root)
    analysis = make_demo(workspace)
    tag_by_truth(workspace, analysis, 60)
    retrain(workspace, analysis)
    return root


def measure_bare(chromium: BrowserType, folder: Path, repeats: int) -> None:
    """Prints the heading of the table, and its first line: what nothing of ours is in."""
    print(
        f"{'page':16s} {'warm s':>7s} {'first s':>8s} {'shift':>6s} {'first kB':>9s} {'requests':>9s} {'warm kB':>8s}"
    )
    script = folder / "bare.py"
    script.write_text(BARE_SCRIPT, encoding="utf-8")
    server = start_server(str(script), log=folder / "bare.txt")
    try:
        tell(BARE, *looked_at(chromium, server.url, "/", "input", repeats))
    finally:
        end(server.process)


def measure(chromium: BrowserType, url: str, names: list[str], repeats: int) -> list[str]:
    """Prints a line per page; returns what is wrong."""
    missed: list[str] = []
    for name in names:
        try:
            first, warm = looked_at(chromium, url, *PLACES[name], repeats)
        except DidNotPaint as error:
            print(f"{name:16s} did not paint")
            missed.append(f"{name}: {error}")
            continue
        seconds, shift = tell(name, first, warm)
        if seconds > PAINT_LIMIT:
            missed.append(f"{name}: {seconds:.2f} s to its content, more than {PAINT_LIMIT:g} s")
        if shift > SHIFT_LIMIT:
            missed.append(f"{name}: the layout shifts by {shift:.3f}, more than {SHIFT_LIMIT:g}")
    return missed


def tell(name: str, first: Visit, warm: list[Visit]) -> tuple[float, float]:
    """Prints a line of the table; returns seconds (the median of the warm visits) and shift (the worst)."""
    seconds = statistics.median(visit.seconds for visit in warm)
    shift = max(visit.shift for visit in (first, *warm))
    print(
        f"{name:16s} {seconds:7.2f} {first.seconds:8.2f} {shift:6.3f} {first.kilobytes:9,.0f} {first.requests:9d} "
        f"{statistics.median(visit.kilobytes for visit in warm):8,.0f}",
        flush=True,
    )
    return seconds, shift


def looked_at(chromium: BrowserType, url: str, path: str, content: str, repeats: int) -> tuple[Visit, list[Visit]]:
    """The visit of a browser that knows nothing, and those that follow. Raises `DidNotPaint`."""
    with tempfile.TemporaryDirectory() as profile:
        context = chromium.launch_persistent_context(
            profile, executable_path=chromium_path(), args=CHROMIUM_FLAGS, viewport={"width": 1280, "height": 800}
        )
        try:
            first, *later = (visit(context, url, path, content) for _ in range(BEFORE + repeats))
        finally:
            context.close()
    return first, later[BEFORE - 1 :]


def visit(context: BrowserContext, url: str, path: str, content: str) -> Visit:
    page = context.new_page()
    try:
        weighed = Weight(context.new_cdp_session(page))
        page.add_init_script(f"({WATCH})({{ content: {content!r} }})")
        page.goto(url + path)
        try:
            page.wait_for_function("() => window.shown !== null", timeout=1000 * PATIENCE)
        except Error as error:
            raise DidNotPaint(f"no {content} within {PATIENCE:g} s at {path}") from error
        page.wait_for_timeout(1000 * AFTER)
        complain(page, path)
        seconds = page.evaluate("() => window.shown") / 1000
        return Visit(seconds, page.evaluate(LARGEST_SHIFT), weighed.bytes / 1000, weighed.requests)
    finally:
        page.close()


def complain(page: Page, path: str) -> None:
    """Raises `DidNotPaint` where the page shows an error."""
    errors = page.locator("[data-testid=stMain] :is([data-testid=stException], [data-testid=stAlertContentError])")
    if errors.count():
        raise DidNotPaint(f"an error at {path}: {errors.first.inner_text()[:200]}")


class Weight:
    """What a page's visit transfers, as Chromium counts it: bodies as they were sent, and messages of the WebSocket."""

    def __init__(self, session: CDPSession) -> None:
        self.bytes, self.requests = 0.0, 0
        session.on("Network.requestWillBeSent", self._sent)
        session.on("Network.loadingFinished", lambda event: self._add(event["encodedDataLength"]))
        for direction in ("Sent", "Received"):
            session.on(
                f"Network.webSocketFrame{direction}", lambda event: self._add(len(event["response"]["payloadData"]))
            )
        session.send("Network.enable")

    def _sent(self, event: dict[str, Any]) -> None:
        if not event["request"]["url"].startswith("data:"):
            self.requests += 1

    def _add(self, length: float) -> None:
        self.bytes += length


if __name__ == "__main__":
    sys.exit(main())
