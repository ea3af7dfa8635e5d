"""Reads the html, css and js of our own components from `assets/`.

A component's script may be several files of one subject each: they are put one after another into a single module,
so they import nothing from each other and Streamlit needs no build step. Each file also stands alone, which is how
`node --test` reads the pure ones.
"""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"


def source(component: str, *names: str) -> str:
    """The text of `assets/<component>/<name>` for every name, in order.

    Raises FileNotFoundError when one is absent: an installation without its assets is broken and says so at import.
    """
    return "\n".join((ASSETS / component / name).read_text(encoding="utf-8") for name in names)
