"""What all charts of plotly have in common: quiet colours, one size of type, no toolbar, a place kept so that nothing
jumps. Its script is large: what people wait for is drawn with pages/parts/plot.py.

Nothing else draws a plotly figure (tests/pages/test_chart_frame.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from pages.parts import theme

if TYPE_CHECKING:
    import plotly.graph_objects as go


def layout(height: int, **more: Any) -> dict[str, Any]:
    """Settings of `update_layout`; `more` adds to them, axes with `axis`."""
    return {
        "height": height,
        "margin": {"l": 8, "r": 16, "t": 36, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": theme.text_color(), "size": 14, "family": "Source Sans, Source Sans Pro, sans-serif"},
        "legend": legend(),
        "hoverlabel": {"align": "left", "font": {"size": 14}},
        "hovermode": "closest",
        "dragmode": False,
        **more,
    }


def legend(**more: Any) -> dict[str, Any]:
    return {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "itemclick": False, **more}


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """title: what is measured, with its unit; text without markup."""
    named = {"title": {"text": text(title), "font": {"size": 14}}} if title else {}
    return {
        "gridcolor": theme.line_color(),
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        **named,
        **more,
    }


def draw(figure: go.Figure, key: str, told: str) -> None:
    """told: what it shows, for who cannot see it."""
    # the chart's code arrives after the page: its place is kept
    st.html(f"<style>.st-key-{key} {{ min-height: {figure.layout.height}px; }}</style>")
    with st.container(key=key):
        st.plotly_chart(
            figure,
            width="stretch",
            theme=None,
            config={"displayModeBar": False, "scrollZoom": False, "doubleClick": False},
            key=f"{key}-chart",
            alt=told,
        )


def text(name: str) -> str:
    """Plotly reads a little HTML in labels: names are to show as they are."""
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
