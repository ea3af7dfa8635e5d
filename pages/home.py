"""Home: what this is, the two ways to begin, and what was done so far."""

import streamlit as st

from pages.parts import home_cards, theme

theme.heading(
    "Find what your classifier confuses. Then fix it.",
    "Midband shows the images in the middle of the activation range, where a model mixes a class up with what usually "
    "comes with it. Name that, tag a few dozen images, and retrain the last layer: in minutes, without code.",
)
demo, own = st.columns(2, gap="medium")
with demo:
    home_cards.demo()
with own:
    home_cards.own()
home_cards.investigations()
