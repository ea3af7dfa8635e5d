"""A page with a button per image: the browser tests open the inspector from it."""

from __future__ import annotations

import os

import streamlit as st

from core.activations.directions import parse_direction
from pages.parts import inspector, notices, problem, state

st.set_page_config(layout="wide")
state.start()
analysis = state.analysis()
assert analysis is not None
ids = [int(i) for i in os.environ.get("INSPECTOR_IDS", "0,1,2").split(",")]


@st.fragment
@problem.guarded
def page() -> None:
    chosen = st.number_input("Image", 0, int(analysis.ids[-1]), ids[0])
    direction = parse_direction(f"logit:{analysis.classes[0]}", analysis)
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    st.caption(f"chosen: {chosen}, runs: {st.session_state['runs']}")
    if st.button("Open"):
        inspector.open_dialog(analysis, int(chosen), direction=direction, ids=ids)


notices.show()
page()
