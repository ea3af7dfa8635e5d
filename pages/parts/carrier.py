"""Brings a component what travels apart from the rest of it, such as pictures, which do not change with every tag."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages.parts.component_source import source

_component = st.components.v2.component(
    "midband_carrier",
    html="<span hidden></span>\n",
    css=":host { display: none }\n",
    js=source("carrier", "carrier.js"),
)


def carry(key: str, to: str, data: dict[str, Any]) -> None:
    """Send `data` to the component whose script receives by the name `to` (`assets/carrier/receive.js`).

    key: unique on the page. Sent again only when it changes.
    """
    _component(key=key, data={**data, "to": to})
