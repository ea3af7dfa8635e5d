"""The way through the demo as a short film: a real browser walks it, a picture is taken at each step."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Browser

from core.workspace import Workspace


def film(browser: Browser, address: str, workspace: Workspace, target: Path) -> None:
    raise NotImplementedError
