"""How long the demo takes to appear, and how much memory the app and the analysis of the demo need.

    python -m benchmarks.bench_startup

Prints three things, for a machine on which everything is installed:
- seconds from `make run` to the demo's images on screen in Chromium, with the demo workspace made before; median of 3;
- resident memory of the app's process with nobody looking, and its peak while the demo is browsed;
- seconds and peak memory of making the demo from nothing, which is drawing 6,000 birds and analysing them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import Browser, sync_playwright

from scripts.local_app import CHROMIUM_FLAGS, ROOT, Server, chromium_path, end, free_port, serving, wait_until_healthy

REPEATS = 3
TILE = "[role=option] img"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        workspace = Path(folder) / "demo"
        seconds, megabytes = make_demo(workspace)
        print(f"demo from nothing           {seconds:6.1f} s, peak memory {megabytes:5.0f} MB (largest process)")
        seconds, megabytes = make_demo(workspace)
        print(f"demo that is there already  {seconds:6.1f} s, peak memory {megabytes:5.0f} MB")
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        times = [make_run(browser, workspace) for _ in range(REPEATS)]
        spread = ", ".join(f"{value:.1f}" for value in sorted(times))
        print(f"`make run` to images        {statistics.median(times):6.1f} s, median of {REPEATS} ({spread})")
        idle, peak = browse(browser, workspace)
        print(f"app, nobody looking         {idle:6.0f} MB")
        print(f"app, demo browsed           {peak:6.0f} MB at its peak")
        browser.close()


def make_demo(workspace: Path) -> tuple[float, float]:
    """Seconds and peak resident MB of `python -m core demo`, by the operating system's own account."""
    script = (
        "import json, resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(json.dumps(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))"
    )
    command = [sys.executable, "-m", "core", "demo", "--workspace", str(workspace)]
    started = time.monotonic()
    # a process between, because the account of children only ever grows
    done = subprocess.run(
        [sys.executable, "-c", script, *command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return time.monotonic() - started, json.loads(done.stdout) * 1024 / 1e6


def make_run(browser: Browser, workspace: Path) -> float:
    """Seconds from the command to the first screenful of the demo's images."""
    port = free_port()
    started = time.monotonic()
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            ["make", "run", f"PORT={port}", f"WORKSPACE={workspace}"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            server = Server(f"http://127.0.0.1:{port}", Path(log.name), process)
            wait_until_healthy(server)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(server.url + "/bands")
            page.wait_for_selector(TILE, timeout=60_000)
            seconds = time.monotonic() - started
            page.close()
        finally:
            end(process)
    return seconds


def browse(browser: Browser, workspace: Path) -> tuple[float, float]:
    """Resident MB of the app before anybody looks, and its peak over a look at every page and every band."""
    with serving(workspace) as server:
        process = psutil.Process(server.pid)
        idle = process.memory_info().rss
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for path in ("/", "/load", "/tag_next", "/retrain", "/results", "/bands"):
            page.goto(server.url + path)
            page.wait_for_selector("[data-testid=stMainBlockContainer] h1")
            page.wait_for_load_state("networkidle")
        for band in ("Top", "Bottom", "Mid band"):
            page.get_by_role("radio", name=band).or_(page.get_by_role("button", name=band)).first.click()
            page.wait_for_timeout(1500)
        peak = high_water(process)
        page.close()
    return idle / 1e6, peak / 1e6


def high_water(process: psutil.Process) -> float:
    """Largest resident size a process has had, in bytes (Linux); elsewhere its size now."""
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    return float(process.memory_info().rss)


if __name__ == "__main__":
    main()
