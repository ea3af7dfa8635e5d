"""The Retrain page itself, one fragment: one repair, looked through before it starts, or all ways compared."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import head, live, method_knobs, problem, rooms, state, theme
from pages.parts.component_source import source
from pages.parts.looks import Looks, asked_of

if TYPE_CHECKING:
    from core.activations.store import Analysis

REPAIR, WAYS = "repair", "ways"
LOOKS = Looks("retrain_look", "What to do", {REPAIR: "One repair", WAYS: "All ways at once"})
LEADS = {
    REPAIR: "Only the last layer is fitted again, on images where class and habit part. It takes seconds.",
    WAYS: "Every method on the same images, tags and seeds: which one is worth having, and whether any is.",
}
TRAINED = "The whole network is trained again, on images chosen so that each class and what usually comes with it part."
# each is imported when somebody looks
_MODULES = {REPAIR: "repair", WAYS: "bake_off_view"}


def heading() -> None:
    """What stands above an invitation to begin."""
    head.show("retrain", LEADS[REPAIR])


@st.fragment
@problem.guarded
def enter(analysis: Analysis) -> None:
    asked = asked_of(analysis)
    look = LOOKS.current(asked.get("look"))
    st.html(f"<style>:root {{ --retrain-few: {theme.wrong_color()}; }}\n{source('retrain', 'retrain.css')}</style>")
    live.drawn(analysis)
    if not analysis.labelled:
        heading()
        rooms.unlabelled("A repair learns from labels and is measured against them, and these images have none.")
        state.write_link({"analysis": analysis.id})
        return
    if look == REPAIR:
        method_knobs.adopt(asked)
    head.show(
        "retrain",
        TRAINED if look == REPAIR and method_knobs.current().network else LEADS[look],
        looks=partial(LOOKS.choose, look),
        then="results" if state.runs_exist(analysis.id) else None,
    )
    named = import_module(f"pages.parts.{_MODULES[look]}").show(analysis, asked)
    state.write_link({"analysis": analysis.id, "look": look, **named})
