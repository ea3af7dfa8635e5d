"""The test images that a repair fixed, and those it broke, by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from pages.parts import gallery, group_chart, problem, run_list
from pages.parts.words import count, distinct, helped, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.flips import GroupFlips
    from core.retraining.runs import RunResult

FIXED, BROKEN = "fixed", "broken"
# images per page
SHOWN = 28
# flips below which a share of them says nothing
FEW = 5
# more groups than these are chosen from a list that can be searched
PILLS = 10
EVERY = "every"


@st.fragment
@problem.guarded
def show(analysis: Analysis, run: RunResult) -> None:
    st.header("Images that changed", anchor=False, help=helped("fixed"))
    ids = {FIXED: run.comparison["fixed"], BROKEN: run.comparison["broken"]}
    with st.spinner("Sorting them by group …"):
        groups = run_list.flips(analysis, run)
    st.markdown(plain(sentence(groups, ids, run)))
    which = st.segmented_control(
        "Which",
        (FIXED, BROKEN),
        default=FIXED if ids[FIXED] or not ids[BROKEN] else BROKEN,
        required=True,
        format_func=lambda name: f"{name.capitalize()} · {len(ids[name]):,}",
        key=f"flips-{run.run}",
        label_visibility="collapsed",
    )
    st.caption("Wrong before, right now." if which == FIXED else "Right before, wrong now: what the repair costs.")
    chosen = _choose(groups, which, run)
    shown = ids[which] if chosen is None else getattr(chosen, which)
    pages = -(-len(shown) // SHOWN)
    name = EVERY if chosen is None else _title(chosen)
    page = st.pagination(pages, key=f"flips-page-{run.run}-{which}-{name}") if pages > 1 else 1
    rows = analysis.rows_of(list(shown[(page - 1) * SHOWN : page * SHOWN]))
    now = run_list.predicted_on_test(analysis, run)
    at = np.searchsorted(analysis.split_rows(run.after.split), rows)
    # what stands below keeps its place while the images come, see assets/theme/midband.css
    with st.container(key="flips-some" if len(rows) else "flips-none"):
        gallery.show(
            analysis,
            rows,
            key=f"flips-grid-{run.run}",
            predicted=now[at],
            notes=[f"before: {analysis.classes[analysis.predicted[row]]}" for row in rows],
            toolbar=False,
            empty="None: no test image went this way.",
        )
    group_chart.guessed(run.after)


def sentence(groups: tuple[GroupFlips, ...], ids: dict[str, list[int]], run: RunResult) -> str:
    """What to see: where the repair fixed most, and where it broke most."""
    if not ids[FIXED] and not ids[BROKEN]:
        return "The repaired model says the same of every test image."
    parts = [f"{count(len(ids[FIXED]), 'image')} fixed, {len(ids[BROKEN]):,} broken."]
    for kind, verb in ((FIXED, "fixed"), (BROKEN, "broken")):
        if len(ids[kind]) < FEW or len(groups) < 2:
            continue
        most = max(groups, key=lambda group: len(getattr(group, kind)))
        number = len(getattr(most, kind))
        if number > len(ids[kind]) / 2:
            parts.append(
                f"{percent(number / len(ids[kind]))} of those {verb} are of {short(_title(most), 60)}, "
                f"{number:,} of its {count(most.count, 'image')}."
            )
    return " ".join(parts)


def _choose(groups: tuple[GroupFlips, ...], which: str, run: RunResult) -> GroupFlips | None:
    """The group whose images are shown; None for all."""
    there = {_title(group): group for group in groups if getattr(group, which)}
    if len(there) < 2:
        return None
    counts = [len(getattr(group, which)) for group in there.values()]
    names = ("All", *distinct(list(there), most=44))
    told = {
        key: f"{name} · {number:,}"
        for key, name, number in zip((EVERY, *there), names, (sum(counts), *counts), strict=True)
    }
    key = f"flips-group-{run.run}-{which}"
    if len(there) <= PILLS:
        name = st.pills(
            "Group",
            list(told),
            default=EVERY,
            required=True,
            key=key,
            format_func=lambda name: plain(told[name]),
            label_visibility="collapsed",
        )
    else:
        name = st.selectbox("Group", list(told), key=key, format_func=told.get, width=420)
    return there.get(name)


def _title(group: GroupFlips) -> str:
    """As the charts have it."""
    if group.class_name is None:
        return "group not known"
    return group_chart.group_name({"class": group.class_name, "concept": group.concept})
