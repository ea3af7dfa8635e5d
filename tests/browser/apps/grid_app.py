"""A page with nothing but an image grid: the browser tests drive it and read `log` from the screen."""

from __future__ import annotations

import json
import os
import time

import streamlit as st

from pages.parts.image_grid import GridConcept, GridEvent, GridImage, image_grid, selection_now
from tests.browser.apps.pictures import thumbnail

st.set_page_config(layout="wide")
CONCEPTS = [
    GridConcept(1, "water background", "#1f7a8c", 1, "Confounder."),
    GridConcept(2, "<b>bird feeder</b>", "#d98324", 2),
    GridConcept(3, "person in picture", "#7b5ea7", 3),
]
PIXELS = int(os.environ.get("GRID_PIXELS", "120"))
PAUSE = float(os.environ.get("GRID_PAUSE", "0"))
# images of the band that is paged through; 0 shows one page of no band, from the number typed
TOTAL = int(os.environ.get("GRID_TOTAL", "0"))
# seconds for which every other event leaves the page without the grid
AWAY = float(os.environ.get("GRID_AWAY", "0"))
# whether a selection is reported by itself
TRACK = os.environ.get("GRID_TRACK", "1") == "1"


state = st.session_state
state.setdefault("tags", {})  # (image, concept) -> True, False or "unsure"
state.setdefault("history", [])
state.setdefault("events", [])
state.setdefault("page", 0)
state.setdefault("runs", 0)
state.setdefault("outside", None)


def on_event(event: GridEvent) -> None:
    state.events.append([event.kind, list(event.ids), event.concept, event.present])
    if event.kind == "page":
        state.page = event.page
    elif event.kind == "tag":
        state.history.append(dict(state.tags))
        for image in sorted(set(range(TOTAL)) - set(event.left_out)) if event.everything else event.ids:
            if event.present is None:
                state.tags.pop((image, event.concept), None)
            else:
                state.tags[image, event.concept] = event.present
    elif event.kind == "undo" and state.history:
        state.tags = state.history.pop()


def act_outside() -> None:
    state.outside = list(selection_now("grid").ids)


@st.fragment
def explore() -> None:
    state.runs += 1
    if st.checkbox("Elsewhere"):
        st.code(json.dumps({"events": state.events, "runs": state.runs}), language=None)
        return
    st.button("Act on the selection", on_click=act_outside)
    left, middle, right = st.columns(3)
    first = left.number_input("First image", 0, 10_000, 0, step=60)
    count = middle.number_input("How many", 0, 500, 60)
    size = right.number_input("Size", 60, 300, 120)
    paging = {}
    if TOTAL:
        band = left.text_input("Band", "mid", on_change=lambda: state.update(page=0))
        pages = -(-TOTAL // int(count))
        state.page = min(state.page, pages - 1)
        first = state.page * int(count)
        count = min(int(count), TOTAL - first)
        paging = {"total": TOTAL, "page": state.page, "pages": pages, "scope": band, "everything": True}
    names = {concept.id: concept.name for concept in CONCEPTS}
    images = []
    for number in range(int(first), int(first) + int(count)):
        label = "waterbird" if number % 2 else "landbird"
        wrong = number % 5 == 0
        images.append(
            GridImage(
                id=number,
                thumbnail=thumbnail(number, PIXELS),
                title=f"val/{number:05d}.jpg",
                activation=4.0 - 0.11 * (number - int(first)),
                label=label,
                predicted=("landbird" if number % 2 else "waterbird") if wrong else label,
                correct=not wrong,
                details=(f"split {'val' if number % 2 else 'train'}",),
                chips=tuple((names[c], present) for (i, c), present in state.tags.items() if i == number),
            )
        )
    time.sleep(PAUSE)  # a page that has more to do
    if away := AWAY and len(state.events) % 2:
        # in the place of the grid, which is taken off the page until the run comes to it
        st.caption("Above the grid")
        time.sleep(AWAY)
    grid = image_grid(
        "grid",
        images,
        CONCEPTS,
        on_event=on_event,
        size=int(size),
        rest_absent=not TOTAL,
        track_selection=TRACK,
        **paging,
    )
    if AWAY and not away:
        st.caption("Below the grid")
    st.code(
        json.dumps(
            {
                "events": state.events,
                "runs": state.runs,
                "tags": [[i, c, present] for (i, c), present in state.tags.items()][:100],
                "tagged": len(state.tags),
                "selected": list(grid.selected),
                "concept": grid.concept,
                "elsewhere": grid.elsewhere,
                "everything": grid.everything,
                "outside": state.outside,
            }
        ),
        language=None,
    )


explore()
