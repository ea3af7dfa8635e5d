"""Page settings, logo and the little styling that the theme file cannot say."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import streamlit as st

from pages.parts.component_source import source

# pixels; it holds six short words and one chooser
SIDEBAR = 248
# keys of what is drawn first, see `follow`
ROOM, STAGE = "theme", "theme-stage"
ASSETS = Path(__file__).resolve().parents[2] / "assets"

# For charts and components that need a colour per class: at least 3:1 against the page, neighbours told apart by people
# who see colours differently (tests/pages/test_band_strip.py computes both). Beyond twelve classes they repeat. The
# same stand in .streamlit/config.toml.
LIGHT = (
    *("#1f7a8c", "#c9741a", "#4e2c94", "#a73204", "#b077e0", "#6f2d4d"),
    *("#6e51bb", "#40a26f", "#385984", "#8e6851", "#8a0700", "#b75ab0"),
)
DARK = (
    *("#57b8c9", "#f0a84b", "#556dc6", "#50f5db", "#a2640b", "#e1dc8d"),
    *("#e17363", "#4992d1", "#a8c8a5", "#826a8d", "#e0a1fb", "#be4263"),
)

_turn = st.components.v2.component("midband_theme", html="<span></span>", js=source("theme", "turn.js"))


def apply() -> None:
    """To be called first on every run."""
    st.set_page_config(
        page_title="Midband", page_icon=ASSETS / "brand" / "mark.svg", layout="wide", initial_sidebar_state=SIDEBAR
    )
    st.logo(
        ASSETS / "brand" / ("logo-dark.svg" if is_dark() else "logo-light.svg"),
        size="large",
        icon_image=ASSETS / "brand" / "mark.svg",
    )
    colors = (
        f":root {{ --midband-chosen: {chosen_color()}; --midband-muted: {muted_color()}; "
        f"--midband-page: {page_color()}; --midband-scheme: {'dark' if is_dark() else 'light'}; }}"
    )
    # the rest of the styles is in the page from the start, see pages/parts/shell.py
    st.html(f"<style>{colors}</style>")


def follow(is_stage: bool) -> None:
    """What the page is like in this room, and that it may turn dark or light. To be called before anything is drawn.

    is_stage: larger type, the whole width, nothing around it. Whether it is one shows in what is drawn here, by which
    the styles that come before the app hold or not, see pages/parts/shell.py.
    """
    if is_stage:
        st.html(f"<style>{_css('stage.css')}</style>")
    with st.container(key=STAGE if is_stage else ROOM):
        _turn(key="theme-turn", on_turned_change=lambda: None)


def is_dark() -> bool:
    return st.context.theme.type == "dark"


def class_colors(count: int) -> tuple[str, ...]:
    palette = DARK if is_dark() else LIGHT
    return tuple(palette[i % len(palette)] for i in range(count))


def accent_color() -> str:
    return "#57b8c9" if is_dark() else "#0b7285"


def chosen_color() -> str:
    return "#7fd3e2" if is_dark() else "#0b7285"


def right_color() -> str:
    """What the model names rightly; quieter than `wrong_color`, which is what one looks for."""
    return "#5d7f99" if is_dark() else "#6b8fa8"


def wrong_color() -> str:
    return "#f08a6b" if is_dark() else "#c2410c"


def text_color() -> str:
    return "#e4e9ed" if is_dark() else "#1d2730"


def muted_color() -> str:
    return "#98a5af" if is_dark() else "#5c6b76"


def page_color() -> str:
    """What everything stands on, as in .streamlit/config.toml."""
    return "#13181d" if is_dark() else "#ffffff"


def line_color() -> str:
    return "#2f3942" if is_dark() else "#dde3e7"


def heading(title: str, lead: str) -> None:
    """The title of a room and one sentence on what it is for."""
    st.title(title, anchor=False)
    with st.container(key="lead"):
        st.markdown(lead)


@lru_cache(maxsize=1)
def _css(name: str) -> str:
    return (ASSETS / "theme" / name).read_text(encoding="utf-8")
