"""A page with nothing but a band strip: the browser tests drive it and read what Python holds from the screen."""

from __future__ import annotations

import json

import numpy as np
import streamlit as st

from pages.parts.band_strip import Marker, Preset, StripHistogram, band_strip

st.set_page_config(layout="wide")


@st.cache_data
def values() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(-2.1, 1.4, 900), rng.normal(2.3, 1.1, 600)


state = st.session_state
state.setdefault("band", (-1.0, 1.25))
state.setdefault("runs", 0)
state.setdefault("heard", [])
state.runs += 1

land, water = values()
edges = np.linspace(-6.5, 6.0, 61)
histogram = StripHistogram(
    edges=edges,
    counts=np.stack([np.histogram(np.clip(v, -6.5, 6.0), edges)[0] for v in (land, water)]),
    class_names=("landbird", "<i>waterbird</i>"),
)


def count(low: float, high: float) -> int:
    return sum(int(((v >= low) & (v < high)).sum()) for v in (land, water))


if st.button("Mid band"):
    state.band = (-1.0, 1.25)
if st.button("Top band"):
    state.band = (3.5, 6.0)
low, high = band_strip(
    "strip",
    histogram,
    *state.band,
    markers=[Marker(0.0, "decision boundary"), Marker(-2.1, "mean landbird"), Marker(2.3, "mean waterbird")],
    value_label="logit of waterbird",
    preset=Preset(-1.0, 1.25, "mid band"),
    count=count,
    on_change=lambda low, high: state.heard.append([low, high]),
)
if st.checkbox("Store what is returned", value=True):
    state.band = (low, high)
report = {"low": low, "high": high, "count": count(low, high), "runs": state.runs, "heard": state.heard}
st.code(json.dumps(report), language=None)
