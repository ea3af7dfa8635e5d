"""A page with nothing but a direction board: the browser tests drive it and read what Python heard from the screen."""

from __future__ import annotations

import json

import numpy as np
import streamlit as st

from pages.parts.direction_board import DirectionCard, direction_board

st.set_page_config(layout="wide")
TITLES = {0: "logit of <b>waterbird</b>", 3: "logit of waterbird minus logit of landbird on land"}
KINDS = ("logit", "neuron", "difference", "component", "concept")


@st.cache_data
def cards(count: int, start: int) -> list[DirectionCard]:
    made = []
    for number in range(start, start + count):
        rng = np.random.default_rng(number)
        values = np.concatenate([rng.normal(-2, 1, 300), rng.normal(rng.uniform(0, 3), 0.8, 200)])
        counts, edges = np.histogram(values, 24)
        made.append(
            DirectionCard(
                spec=f"neuron:{number}",
                title=TITLES.get(number, f"neuron {number}"),
                counts=tuple(counts.tolist()),
                edges=(float(edges[0]), float(edges[-1])),
                band=tuple(np.quantile(values, [0.4, 0.6]).tolist()),
                score=None if number % 7 == 6 else float(1 / (1 + number / 8)),
                why="Water background: 12% of the top band, 48% of the middle." if number % 3 else "Often wrong here.",
                badge=KINDS[number % len(KINDS)],
                details=(f"clustered {number % 10}/10", "wrong 14% of the middle, 2% of the top"),
            )
        )
    return made


state = st.session_state
state.setdefault("heard", [])
state.setdefault("open", None)
state.setdefault("runs", 0)
state.runs += 1


def opened(spec: str) -> None:
    state.heard.append(spec)
    state.open = spec


size = st.radio("Cards", [8, 60, 0], horizontal=True)
page = st.radio("Page", [0, 1], horizontal=True)
direction_board(
    "board",
    cards(size, page * size),
    on_open=opened,
    selected=state.open,
    score_help="1 is the most suspicious middle among all directions looked at.",
)
st.code(json.dumps({"heard": state.heard, "runs": state.runs}), language=None)
