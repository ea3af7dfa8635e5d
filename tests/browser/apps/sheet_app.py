"""A page with nothing but a contact sheet of made-up bands: the browser tests drive it and read what was opened."""

from __future__ import annotations

import json

import streamlit as st

from pages.parts.contact_sheet_view import SheetBar, SheetImage, SheetRow, SheetView, contact_sheet
from tests.browser.apps.pictures import thumbnail

st.set_page_config(layout="wide")
LABELS = ("top", "", "mid", "", "")
COLORS = ("#1f7a8c", "#d98324")


def bar(title: str, value: str, other: str, share: int) -> SheetBar:
    return SheetBar(title, f"{value} {share}%", ((value, share, COLORS[0]), (other, 100 - share, COLORS[1])), value)


def row(position: int) -> SheetRow:
    share = (6, 22, 48, 63, 71)[position]
    return SheetRow(
        low=4.0 - 2 * position,
        high=6.0 - 2 * position,
        count=(1204, 812, 97, 0, 4812)[position],
        label=LABELS[position],
        bars=(
            SheetBar("right", "75%", (("right", 75, "var(--right)"), ("wrong", 25, "var(--wrong)"))),
            bar("class", "waterbird", "landbird", 98 - share),
            bar("background", "land", "water", share),
            bar("<b>bird feeder</b>", "present", "absent", 10 + 5 * position),
        )[: 0 if position == 3 else None],
        images=tuple(
            SheetImage(
                100 * position + i,
                thumbnail(17 * position + i, 120),
                (f"val/{100 * position + i:05d}.jpg", "labelled waterbird", "predicted landbird (wrong)"),
                i % 4 == position % 4,
            )
            for i in range(0 if position == 3 else 10)
        ),
    )


opened = st.session_state.setdefault("opened", [])
contact_sheet(
    "sheet",
    SheetView("logit of waterbird", tuple(row(position) for position in range(5)), note="Two bands were joined."),
    on_open_image=lambda image: opened.append(["image", image]),
    on_open_band=lambda low, high: opened.append(["band", low, high]),
)
st.code(json.dumps(opened), language=None)
