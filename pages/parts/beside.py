"""A run beside other ways to the same end, measured on the same images."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

import streamlit as st

from core.retraining.methods import METHODS
from core.retraining.runs import NO_PERSON
from pages.parts import rooms, run_list
from pages.parts.words import TERMS, anchor, plain

if TYPE_CHECKING:
    from core.retraining.runs import RunResult

ASSUMED = "The same repair without an answer: that images look as those of their class usually do stands in for tags."
# what the glossary says of a method
_TERMS = {
    "mid": "mid-range curation",
    "mid-tags": "mid-range curation",
    "group-dro": "group dro",
    "finetune": "finetuning",
}


class Way(NamedTuple):
    """Accuracies 0..1. own: it is the run itself."""

    method: str
    title: str
    worst_group: float
    average: float
    own: bool = False


def show(run: RunResult) -> None:
    st.header(
        "Beside other ways",
        anchor=False,
        help="The same images and features. A repair is worth its tags if it beats what needs none.",
    )
    found = ways(run)
    st.markdown(plain(sentence(run)))
    with st.container(key="beside-table"):
        st.html(table_html(found))
    if run.after.estimated:
        st.caption(":material/help: **Estimated** by the same guess of the groups for all.", help=TERMS["estimated"])
    with st.expander("What these ways do", icon=":material/menu_book:"):
        for way in found:
            if about := _described(way.method):
                st.markdown(f"**{plain(way.title)}**: {about}")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("One seed each, as a glance. For several seeds, with intervals:", width="content")
        rooms.link("retrain", "Compare all ways", look="ways")


def ways(run: RunResult) -> list[Way]:
    """The best worst group first; the run before others that come to the same."""
    own = Way(run.method, run_list.method_title(run.method), run.after.worst_group, run.after.average, own=True)
    others = [Way(one.method, one.title, one.worst_group, one.average) for one in run.baselines]
    return sorted([own, *others], key=lambda way: (-way.worst_group, not way.own))


def sentence(run: RunResult) -> str:
    """What to see: whether the tags were worth it. Points are those between the figures of the table."""
    # "erm" is the classifier as it is; "dfr" knows the group of every image, which is what nobody has to tag
    cheaper = [item for item in run.baselines if item.method not in ("erm", "dfr", run.method)]
    if not cheaper:
        return "Nothing that needs no tags could be measured beside it."
    best = max(cheaper, key=lambda item: item.worst_group)
    # only of what was measured: there are other ways, some of which nobody tried on these images
    told = (
        f"{best.title}, the best of {len(cheaper)} ways tried here that need no tags"
        if len(cheaper) > 1
        else f"{best.title}, the only way tried here that needs no tags"
    )
    ahead = round(100 * run.after.worst_group, 1) - round(100 * best.worst_group, 1)
    if ahead > 0.05:
        return f"In its worst group this run is {ahead:.1f} points ahead of {told}."
    if ahead < -0.05:
        return f"In its worst group this run is {-ahead:.1f} points behind {told}: its tags are not worth it yet."
    return f"In its worst group this run is as good as {told}."


def table_html(found: list[Way]) -> str:
    rows = "".join(
        f'<tr{" class=own" if way.own else ""}><th scope="row" dir="auto">{html.escape(way.title)}'
        f"{'<small>this run</small>' if way.own else ''}</th>"
        f"{_cell('worst group', way.worst_group)}{_cell('average', way.average)}</tr>"
        for way in found
    )
    return (
        '<div class="rx ways"><div class="scroll" tabindex="0" role="region" '
        'aria-label="This run and other ways, the best worst group first"><table><thead><tr>'
        '<th scope="col">Way</th><th scope="col">Worst group</th><th scope="col">Average</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _cell(head: str, share: float) -> str:
    return (
        f'<td data-head="{head}"><span class="bar" style="--share:{share:.4f}"></span>'
        f'<span class="figure">{100 * share:.1f}%</span></td>'
    )


def _described(method: str) -> str:
    """Markdown, with the way to the glossary; "" for a method of another version."""
    if method == NO_PERSON:
        return ASSUMED
    if method not in METHODS:
        return ""
    term = _TERMS.get(method, method)
    more = f" [More in the glossary](glossary#{anchor(term)})" if term in TERMS else ""
    return f"{plain(METHODS[method].description)}{more}"
