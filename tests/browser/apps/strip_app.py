"""A page with nothing but a band strip: the browser tests drive it and read what Python holds from the screen."""

from __future__ import annotations

import json

import numpy as np
import streamlit as st

from pages.parts.band_strip import Marker, Preset, StripHistogram, band_strip

SPLITS = {"class": 2, "one": 1, "twelve": 12, "none": 0}
SCALES = ("value", "percent", "z")

st.set_page_config(layout="wide")


@st.cache_data
def values() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(-2.1, 1.4, 900), rng.normal(2.3, 1.1, 600)


@st.cache_data
def figure(split: str, scale: str) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Edges, places and counts."""
    land, water = values()
    everything = np.clip(np.concatenate([land, water]), -6.5, 6.0)
    edges, places = np.linspace(-6.5, 6.0, 61), None
    if scale == "percent":
        places = np.linspace(0, 1, 41)
        edges = np.quantile(everything, places)
        edges[[0, -1]] = -6.5, 6.0
    elif scale == "z":
        places = (edges - everything.mean()) / everything.std()
    if split == "class":
        parts = [np.clip(land, -6.5, 6.0), np.clip(water, -6.5, 6.0)]
    elif split == "none":
        parts = [everything[:0]]
    else:
        kinds = np.random.default_rng(1).integers(0, SPLITS[split], len(everything))
        parts = [everything[kinds == kind] for kind in range(SPLITS[split])]
    return edges, places, np.stack([np.histogram(part, edges)[0] for part in parts])


state = st.session_state
state.setdefault("band", (-1.0, 1.25))
state.setdefault("runs", 0)
state.setdefault("heard", [])
state.runs += 1

with st.container(horizontal=True):
    split = st.radio("Split", list(SPLITS), horizontal=True)
    scale = st.radio("Scale", SCALES, horizontal=True)
    log = st.checkbox("Log")
    subset = st.checkbox("Subset")
    turned = st.checkbox("Other direction")
    second = st.checkbox("Second strip")
    st.text_input("Words", key="words")
    elsewhere = st.checkbox("Elsewhere")
if elsewhere:
    st.code(json.dumps({"heard": state.heard}), language=None)
    st.stop()

edges, places, counts = figure(split, scale)
names = {
    "class": ("landbird", "<i>waterbird</i>"),
    "one": ("all",),
    "none": ("all",),
    "twelve": (*(f"value {i}" for i in range(11)), "not known"),
}[split]
histogram = StripHistogram(edges, counts, names, unknown=split == "twelve")


def count(low: float, high: float) -> int:
    return sum(int(((v >= low) & (v < high)).sum()) for v in values())


@st.dialog("A dialog")
def dialog() -> None:
    st.write("Something over the page.")


with st.container(horizontal=True):
    if st.button("Mid band"):
        state.band = (-1.0, 1.25)
    if st.button("Top band"):
        state.band = (3.5, 6.0)
    if st.button("Dialog"):
        dialog()
low, high = band_strip(
    "strip",
    histogram,
    *state.band,
    markers=[Marker(0.0, "decision boundary"), Marker(-2.1, "mean landbird"), Marker(2.3, "mean waterbird")],
    value_label="logit of landbird" if turned else "logit of waterbird",
    presets=[
        Preset(3.5, 6.0, "top band", active=False),
        Preset(-0.6, 2.4, "quantiles", active=False),
        Preset(-1.0, 1.25, "mid band"),
    ],
    places=places,
    tick_format=scale,
    log=log,
    highlight=np.histogram(values()[1][:60], edges)[0] if subset else None,
    highlight_label="in the other band",
    count=count,
    on_change=lambda low, high: state.heard.append([low, high]),
)
other = band_strip("other", histogram, 2.0, 3.0, primary=False, value_label="the other") if second else None
if st.checkbox("Fixed strip"):
    band_strip("fixed", histogram, low, high, primary=False, movable=False, value_label="the same, to look at")
if st.checkbox("Store what is returned", value=True):
    state.band = (low, high)
report = {"low": low, "high": high, "count": count(low, high), "runs": state.runs, "heard": state.heard, "other": other}
st.code(json.dumps(report), language=None)
