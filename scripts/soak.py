"""Twenty people at once: browsers that look around and tag for minutes, and whether anything is lost, fails or leaks.

    python -m scripts.soak [--minutes 10] [--more 10] [--sessions 20] [--seed 0] [--rest 150] [--out FILE.json]

The app runs as in the README, over a demo workspace of its own. Each session is a browser context (cookies, storage
and a connection of its own) of one Chromium, and walks a seeded random way: other bands, tags, undo, another page, a
reload, a link. Between two steps it thinks for 2 to 6 seconds. A tag counts as acknowledged when the answer to its
message has reached the browser; it is written down then, and compared with the database at the end.

Prints one JSON object and ends with 1 if a tag is lost or there twice, an error is seen anywhere, or memory is not flat
in the second phase (soak_summary.py says what flat means).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Browser, ConsoleMessage, Page, WebSocket, async_playwright
from playwright.async_api import Error as BrowserError
from sqlalchemy import select

from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.database import ConceptRecord, TagAction, TagRecord
from core.demo import make_demo
from core.logs import file_in
from core.retraining.runs import retrain
from core.workspace import Workspace, open_workspace
from scripts.local_app import CHROMIUM_FLAGS, Server, chromium_path, serving
from scripts.planted_tags import tag_by_truth
from scripts.soak_summary import Memory, Notes, Press, Said, summary

CONCEPTS = ("soak one", "soak two", "soak three")
PATIENCE = 60_000
EVERY = 5.0
THINK = (2.0, 6.0)
BANDS = ("Top", "Mid band", "Bottom")
IDS = "all => all.map(tile => tile.dataset.id)"
DIRECTION = "direction=logit:waterbird"
# what a page shows once it is there
CONTENT = {
    "bands": ".tile .frame.loaded",
    "bands?look=curve": ".plot .drawing",
    "map": ".map-root .stage",
    "results": ".st-key-group-chart tbody tr",
}
BROKEN = "[data-testid=stException], [data-testid=stAlertContentError]"
# no run is under way and nothing of the run before is left
SETTLED = """() => {
  const app = document.querySelector('[data-testid=stApp]')
  return app && app.dataset.testScriptState === 'notRunning' && !document.querySelector('[data-stale=true]')
}"""
ACKNOWLEDGED = re.compile(rb'"ack":\s*(\{[^{}]*\})')
CLIENT = re.compile(rb'"client":\s*"([^"]+)"')
NUMBER = re.compile(rb'"seq":\s*(\d+)')
# Streamlit looks for its server below a page's own address first, and expects to be told that it is not there
PROBED = re.compile(r"/(bands|map|results)/_stcore/(health|host-config)$")


@dataclass
class Wire:
    """What a page said to the server and was answered: numbers of the grid's events, by the tab that counts them."""

    client: str = ""
    sent: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    def hear(self, socket: WebSocket) -> None:
        socket.on("framesent", self.out)
        socket.on("framereceived", self.back)

    def out(self, frame: str | bytes) -> None:
        said = frame.encode() if isinstance(frame, str) else frame
        numbers = [int(each) for each in NUMBER.findall(said)]
        if numbers and (client := CLIENT.search(said)):
            name = client[1].decode()
            # another tab, or the page loaded anew, counts from 1
            self.sent = max(numbers) if name != self.client else max(self.sent, *numbers)
            self.client = name

    def back(self, frame: str | bytes) -> None:
        for told in ACKNOWLEDGED.findall(frame.encode() if isinstance(frame, str) else frame):
            self.answered.update(json.loads(told))

    async def answer(self, client: str, sent: int) -> bool:
        """Whether something was sent after this, and answered, within patience."""
        deadline = time.monotonic() + PATIENCE / 1000
        while time.monotonic() < deadline:
            if (self.client, self.sent) != (client, sent) and self.answered.get(self.client, 0) >= self.sent:
                return True
            await asyncio.sleep(0.02)
        return False


@dataclass
class Person:
    """One session: what it does, at random but as the seed says."""

    name: str
    page: Page
    address: str
    analysis: Analysis
    notes: Notes
    chance: random.Random
    wire: Wire = field(default_factory=Wire)
    said: list[Said] = field(default_factory=list)
    band: str = BANDS[1]
    at: str = ""

    async def enter(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("websocket", self.wire.hear)
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.notes.errors.append(f"{self.name}: {error}"))
        await self.step("first page", lambda: self.go("bands"))
        await self.page.get_by_role("button", name="Tagging as Person").click()
        box = self.page.get_by_role("textbox", name="Your name")
        await box.fill(self.name)
        await box.press("Enter")
        await self.page.get_by_role("button", name="Tagging as").filter(has_text=self.name).wait_for()
        await self.settled()

    async def walk(self, until: float) -> None:
        """Until the moment that the monotonic clock shows `until`."""
        while time.monotonic() < until:
            kind, act = self.next()
            await self.step(kind, act)
            await asyncio.sleep(self.chance.uniform(*THINK))

    def next(self) -> tuple[str, Callable[[], Awaitable[None]]]:
        if self.at != "bands":
            return "deep link", lambda: self.go("bands")
        other = self.chance.choice([name for name in CONTENT if name != "bands"])
        ways: list[tuple[int, str, Callable[[], Awaitable[None]]]] = [
            (50, "tag", self.tag),
            (20, "band", self.move),
            (8, "undo", self.undo),
            (14, f"open {other}", lambda: self.go(other)),
            (8, "reload", self.reload),
        ]
        _, kind, act = self.chance.choices(ways, [weight for weight, _, _ in ways])[0]
        return kind, act

    async def step(self, kind: str, act: Callable[[], Awaitable[None]]) -> None:
        begun = time.monotonic()
        try:
            await act()
            await self.settled()
            self.notes.presses.append(Press(kind, time.monotonic() - begun))
            if await self.page.locator(BROKEN).count():
                text = await self.page.locator(BROKEN).first.inner_text()
                self.notes.errors.append(f"{self.name}, {kind}: {text}")
        except (BrowserError, TimeoutError) as error:
            self.notes.errors.append(f"{self.name}, {kind}: {error}")

    async def settled(self) -> None:
        await self.page.wait_for_function(SETTLED)

    async def go(self, where: str) -> None:
        sign = "&" if "?" in where else "?"
        self.at = where
        if where == "bands":
            self.band = BANDS[1]
        await self.page.goto(f"{self.address}/{where}{sign}analysis={self.analysis.id}&{DIRECTION}")
        await self.page.locator(CONTENT[where]).first.wait_for()

    async def reload(self) -> None:
        await self.page.reload()
        await self.page.locator(CONTENT[self.at]).first.wait_for()

    async def move(self) -> None:
        """To another of the proposed bands, until other images are there."""
        self.band = self.chance.choice([band for band in BANDS if band != self.band])
        before = await self.page.locator(".tile").evaluate_all(IDS)
        await self.page.get_by_test_id("stMain").get_by_role("radio", name=self.band, exact=True).click()
        deadline = time.monotonic() + PATIENCE / 1000
        while (now := await self.page.locator(".tile").evaluate_all(IDS)) == before or not now:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.band} shows no other images")
            await asyncio.sleep(0.05)

    async def tag(self) -> None:
        """One image with one of the concepts, by its number key."""
        concept = self.chance.randrange(len(CONCEPTS))
        tile = self.page.locator(".tile").nth(self.chance.randrange(24))
        await tile.focus()
        image = self.analysis.image_names(self.analysis.rows_of([int(await tile.get_attribute("data-id") or -1)]))[0]
        said = Said(self.name, CONCEPTS[concept], image)
        if await self.answered(f"Digit{self.keys[concept]}"):
            self.said.append(said)
        else:
            self.notes.unanswered.append(said)
            self.notes.errors.append(f"{self.name}: a tag was not answered")

    async def undo(self) -> None:
        await self.page.locator(".tile").first.focus()
        if not await self.answered("z"):
            self.notes.errors.append(f"{self.name}: an undo was not answered")
            return
        standing = [place for place, each in enumerate(self.said) if not each.undone]
        if standing:
            self.said[standing[-1]] = self.said[standing[-1]]._replace(undone=True)

    async def answered(self, key: str) -> bool:
        before = self.wire.client, self.wire.sent
        await self.page.keyboard.press(key)
        return await self.wire.answer(*before)

    def heard(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not PROBED.search(message.location.get("url", "")):
            self.notes.errors.append(f"{self.name}, console: {message.text} {message.location.get('url', '')}")

    keys: tuple[int, ...] = (1, 2, 3)


def prepare(root: Path) -> tuple[Workspace, Analysis, tuple[int, ...]]:
    """A demo with one repair, so that there are results, and the concepts; with their number keys."""
    workspace = open_workspace(root)
    analysis = make_demo(workspace)
    tag_by_truth(workspace, analysis, 60, "water background")
    retrain(workspace, analysis)
    made = [create_concept(workspace, analysis.dataset_id, name) for name in CONCEPTS]
    return workspace, analysis, tuple(concept.shortcut or 0 for concept in made)


def held(workspace: Workspace, names: Sequence[str]) -> list[Said]:
    """Every tag of these people, undone ones as well, as often as it is there."""
    query = (
        select(TagAction.author, ConceptRecord.name, TagRecord.image, TagAction.undone)
        .join(TagRecord, TagRecord.action_id == TagAction.id)
        .join(ConceptRecord, ConceptRecord.id == TagRecord.concept_id)
        .where(TagAction.author.in_(names), TagRecord.state == "present")
    )
    with workspace.reading() as session:
        found = session.execute(query).all()
    return [Said(author, name, image, undone is not None) for author, name, image, undone in found]


def measured(process: psutil.Process, begun: float) -> Memory:
    """The server and its children, now."""
    rss = pss = threads = files = 0
    for each in (process, *process.children(recursive=True)):
        # one that ended meanwhile holds nothing
        with suppress(psutil.NoSuchProcess):
            info = each.memory_full_info()
            rss, pss = rss + info.rss, pss + info.pss
            threads, files = threads + each.num_threads(), files + each.num_fds()
    return Memory(time.monotonic() - begun, rss, pss, threads, files)


async def _watch(process: psutil.Process, begun: float, notes: Notes) -> None:
    while True:
        notes.memory.append(measured(process, begun))
        await asyncio.sleep(EVERY)


async def _session(browser: Browser, make: Callable[[Page], Person], first: float, until: float) -> None:
    await asyncio.sleep(first)
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    person = make(await context.new_page())
    try:
        await person.enter()
        await person.walk(until)
    except (BrowserError, TimeoutError) as error:
        person.notes.errors.append(f"{person.name}: {error}")
    finally:
        person.notes.acknowledged.extend(person.said)
        await context.close()


async def soak(server: Server, made: tuple[Workspace, Analysis, tuple[int, ...]], options: Any) -> dict[str, Any]:
    """All sessions from the first to the last, then the rest; what came of it."""
    workspace, analysis, keys = made
    notes, process, begun = Notes(), psutil.Process(server.pid), time.monotonic()
    before = measured(process, begun)
    names = [f"Soaker {number}" for number in range(options.sessions)]
    until = begun + 60 * (options.minutes + options.more)
    load: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_FLAGS)
        watching = asyncio.create_task(_watch(process, begun, notes))

        def person(number: int) -> Callable[[Page], Person]:
            chance = random.Random(f"{options.seed} {number}")
            return lambda page: Person(names[number], page, server.url, analysis, notes, chance, keys=keys)

        # people do not all come in the same second
        await asyncio.gather(*(_session(browser, person(n), n * 1.0, until) for n in range(options.sessions)))
        load += os.getloadavg()
        watching.cancel()
        await browser.close()
    ended = measured(process, begun)
    await asyncio.sleep(options.rest)
    rested = measured(process, begun)
    notes.errors += [f"log: {line}" for line in _errors_in(file_in(workspace.root))]
    notes.errors += [f"server: {line}" for line in _tracebacks(server.log)]
    told = summary(notes, held(workspace, names), 60 * options.minutes)
    moments = {"before": before, "last": ended, "after_rest": rested}
    facts = {name: getattr(options, name) for name in ("sessions", "minutes", "more", "seed", "rest")}
    return {**told, "moments": {n: m._asdict() for n, m in moments.items()}, "load_average": load, **facts}


def _errors_in(log: Path) -> list[str]:
    lines = log.read_text().splitlines() if log.is_file() else []
    return [line[:500] for line in lines if json.loads(line)["level"] in ("error", "critical")]


def _tracebacks(log: Path) -> list[str]:
    return [line for line in log.read_text(errors="replace").splitlines() if line.startswith("Traceback")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Many browsers at once on one server: lost tags, errors, memory.")
    parser.add_argument("--minutes", type=float, default=10, help="of the first phase")
    parser.add_argument("--more", type=float, default=10, help="minutes of the second phase, in which memory is flat")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rest", type=float, default=150, help="seconds after which sessions that ended are dropped")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="midband-soak-") as folder:
        made = prepare(Path(folder) / "workspace")
        with serving(made[0].root) as server:
            told = asyncio.run(soak(server, made, options))
    text = json.dumps(told, indent=2)
    if options.out:
        options.out.write_text(f"{text}\n")
    print(text)
    return 1 if told["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
