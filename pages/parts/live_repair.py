"""The strip that says, while somebody tags, what a repair with the tags so far would give.

The estimate is made by a thread of the server (core/retraining/live.py), and the browser asks for it once a second
while its tab can be seen. Nothing of the page is run for it. Switched off, nobody asks, and so nothing is computed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.retraining.curation import FEWEST_TAGS
from pages.parts import live, live_route, problem, who
from pages.parts.component_source import source
from pages.parts.words import TERMS, count

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.evaluation import Evaluation
    from core.retraining.live import LivePreview

KEY = "live-repair"
# browsers it is switched off in, the latest last: a reload, or another tab, does not switch it on again
_off: dict[str, None] = {}
# intervals from here on are explained
WIDE = 0.2
# images whose prediction is asked about at once; a page of a grid has fewer
MOST_IDS = 1_000
BUSY = "Other investigations are being previewed at the moment. This one follows when one of them is closed."
NOTHING_TAGGED = (
    f"From {FEWEST_TAGS} images on that are tagged, this says about how much a repair would bring for the group where "
    "the model does worst."
)

_component = st.components.v2.component(
    "midband_live_repair",
    html=source("live_repair", "live_repair.html"),
    css="\n".join([source("live_repair", "live_repair.css"), source("image_grid", "tooltip.css")]),
    js="\n".join(
        [source("image_grid", "dom.js", "tooltip.js", "would.js"), source("live_repair", "strip.js", "live_repair.js")]
    ),
)


def show(analysis: Analysis, place: str) -> None:
    """The strip and its switch; nothing where there are no labels, which a repair needs.

    place: where on screen, for the key of the switch. To be shown on a watched page.
    """
    if not analysis.labelled:
        return
    on, switch = who.browser().id not in _off, f"{KEY}-switch-{place}"
    # another tab may have switched it
    st.session_state[switch] = on
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{KEY}-{place}"):
        st.toggle(
            "Live preview",
            key=switch,
            on_change=problem.kept(partial(_switch, place)),
            help=TERMS["live preview"],
        )
        token = st.session_state.get(live.TOKEN, "")
        if on and live.shown(token) is not None:
            _component(key=f"{KEY}-{place}-strip", data={"url": live_route.repair_path(token), "analysis": analysis.id})


def _switch(place: str) -> None:
    me = who.browser().id
    _off.pop(me, None)
    if not st.session_state.get(f"{KEY}-switch-{place}", True):
        _off[me] = None
        while len(_off) > who.MOST:
            del _off[next(iter(_off))]


def ask(token: str, ids: str) -> dict[str, Any] | None:
    """What the browser is told; None where the session is not known. Runs without Streamlit.

    ids: of the images on screen, with commas between.
    """
    looked_at = live.shown(token)
    if looked_at is None:
        return None
    # numpy and scipy are loaded by now; nobody waits who has the strip switched off
    from core.retraining.live import live_repair

    workspace, analysis = looked_at
    repair = live_repair(workspace, analysis)
    if repair is None:
        return {**_EMPTY, "problem": BUSY}
    preview = repair.follow()
    if preview is None:
        return {**_EMPTY, "working": True}
    rows = _rows(analysis, ids)
    changes = repair.changes(rows)
    return {
        **_EMPTY,
        **_figures(preview),
        "working": repair.is_behind,
        "way": [
            {"tags": moment.tags, "worst": moment.worst, "low": moment.low, "high": moment.high}
            for moment in repair.way
        ],
        "changes": {str(int(analysis.ids[row])): analysis.classes[c] for row, c in changes.items()},
    }


_EMPTY: dict[str, Any] = {
    "tags": 0,
    "concepts": [],
    "problem": "",
    "sentence": "",
    "range": "",
    "before": None,
    "after": None,
    "low": None,
    "high": None,
    "working": False,
    "way": [],
    "changes": {},
}


def _figures(preview: LivePreview) -> dict[str, Any]:
    # before the first tag nothing went wrong, whatever a retraining would say
    problem = preview.problem if preview.concepts else NOTHING_TAGGED
    told: dict[str, Any] = {"tags": preview.tags, "concepts": list(preview.concepts), "problem": problem}
    if preview.estimate is not None:
        after = preview.estimate.after
        told |= {
            "sentence": preview.estimate.sentence,
            "range": _range(preview.tags, after),
            "before": preview.estimate.before.worst_group,
            "after": after.worst_group,
            "low": after.worst_interval[0],
            "high": after.worst_interval[1],
        }
    return told


def _range(tags: int, after: Evaluation) -> str:
    """Why the interval of an estimate is as wide as it is, and what narrows it; "" where it is narrow."""
    low, high = after.worst_interval
    if high - low <= WIDE:
        return ""
    group = f"the weakest group ({after.worst.title})"
    if tags >= after.count:
        return f"Only a rough figure: {group} has no more than {count(after.worst.count, 'held-out image')}."
    return (
        f"Only a rough figure: which held-out images are in {group}, about {after.worst.count:,} of them, is guessed "
        "from your tags. More tags narrow it, most of all of images that break the rule. Tag next asks for those."
    )


def _rows(analysis: Analysis, ids: str) -> np.ndarray:
    """Rows of the ids asked about; what is none of this analysis is left out."""
    named = [int(one) for one in ids.split(",")[:MOST_IDS] if one.isdecimal() and len(one) < 18]
    wanted = np.unique(np.array(named, dtype=np.int64))
    return analysis.rows_of(wanted[np.isin(wanted, analysis.ids)])
