"""A page with nothing but cards: the browser tests drive it, and read from the workspace what was saved."""

from __future__ import annotations

import os
import time

import streamlit as st

from core.concepts.concept import list_concepts
from pages.parts import notices, problem, state, tag_card

st.set_page_config(layout="wide")
PAUSE = float(os.environ.get("CARD_PAUSE", "0"))
state.start()
analysis = state.analysis()
assert analysis is not None
concept = list_concepts(state.workspace(), analysis.dataset_id)[0]


@st.fragment
@problem.guarded
def page() -> None:
    tag_card.show(analysis, concept, tag_card.prepare(analysis, concept))
    time.sleep(PAUSE)  # a page that has more to do
    st.session_state["runs"] = st.session_state.get("runs", 0) + 1
    st.caption(f"runs: {st.session_state['runs']}")


notices.show()
st.text_input("A field")
page()
