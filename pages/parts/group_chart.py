"""Accuracy of every group before and after, with intervals: a row per group, drawn without a chart library, which would
keep the page that everybody waits for from being read."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from pages.parts.words import TERMS, count, interval, percent, plain, short

if TYPE_CHECKING:
    from core.retraining.evaluation import Evaluation

BEFORE, AFTER = "before", "after"
# percent, of the axis
TICKS = (0, 25, 50, 75, 100)
# groups drawn; a table has all of more
DRAWN = 24


def show(before: Evaluation, after: Evaluation, key: str, names: tuple[str, str] = (BEFORE, AFTER)) -> None:
    """All groups with both accuracies, and where the groups are from. Groups that only one of the two has are left out.

    names: of the two, as the columns have them.
    """
    was, now = by_group(before), by_group(after)
    both = sorted((group for group in was if group in now), key=lambda group: was[group]["accuracy"])
    if not both:
        st.caption("The two were measured with different groups, so there is none to compare.")
        return
    drawn = both[:DRAWN]
    with st.container(key=key):
        st.html(chart_html([(was[group], now[group]) for group in drawn], names))
    if len(both) > DRAWN:
        st.caption(f"These are the {DRAWN} that were weakest. All {len(both):,}:")
        _all([(was[group], now[group]) for group in both], names)
    source(after)


def _all(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], names: tuple[str, str]) -> None:
    """What is too much to draw: a table that scrolls and sorts."""
    table = pd.DataFrame(
        [
            {
                "group": group_name(was),
                names[0]: with_interval(was),
                names[1]: with_interval(now),
                "test images": was["count"],
                "share of training": percent(was["share"]),
            }
            for was, now in rows
        ]
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        height=420,
        alt="Accuracy of every group with its 95% interval, the weakest first.",
    )


def source(evaluation: Evaluation) -> None:
    """Where the groups are from, and whether they were guessed."""
    if evaluation.estimated:
        told = evaluation.note or "Which images are in which group was guessed by a probe."
        st.caption(f":material/help: **Estimated.** {plain(told)}", help=TERMS["estimated"])
    st.caption(f"Groups: {plain(evaluation.groups_from)}. Lines and small figures: 95% intervals.")


def guessed(evaluation: Evaluation) -> None:
    """Where each image is shown in one group: that the group was guessed, if it was."""
    if evaluation.estimated:
        told = "each image is in the group a probe finds likeliest."
        st.caption(f":material/help: **Estimated:** {told}", help=TERMS["estimated"])


def sentence(before: Evaluation, after: Evaluation, names: tuple[str, str] | None = None) -> str:
    """What to see: how many groups rose and fell, and which most. names: of two runs, where neither came first."""
    was, now = by_group(before), by_group(after)
    both = [group for group in was if group in now]
    rose = [group for group in both if now[group]["accuracy"] > was[group]["accuracy"]]
    fell = [group for group in both if now[group]["accuracy"] < was[group]["accuracy"]]
    if not rose and not fell:
        return "No group changed." if names is None else "Both are as good in every group."
    verbs = ("rose", "fell") if names is None else tuple(f"better in {name}" for name in reversed(names))
    parts = []
    for groups, verb in zip((rose, fell), verbs, strict=True):
        if not groups:
            continue
        most = max(groups, key=lambda group: abs(now[group]["accuracy"] - was[group]["accuracy"]))
        change = f"{percent(was[most]['accuracy'])} to {percent(now[most]['accuracy'])}"
        if names is not None:
            change = change.replace(" to ", " and ")
            are = "is" if len(groups) == 1 else "are"
            parts.append(
                f"{count(len(groups), 'group')} {are} {verb}, {short(group_name(was[most]), 48)} most ({change})"
            )
        elif len(groups) > 1:
            parts.append(
                f"{count(len(groups), 'group')} {verb}, {short(group_name(was[most]), 48)} most (from {change})"
            )
        else:
            parts.append(f"{short(group_name(was[most]), 48)} {verb} from {change}")
    return f"{'; '.join(parts)}."


def by_group(evaluation: Evaluation) -> dict[tuple[str, str | None], dict[str, Any]]:
    return {(group.class_name, group.concept): group.to_dict() for group in evaluation.groups}


def with_interval(group: Mapping[str, Any]) -> str:
    return f"{percent(group['accuracy'])} ({interval(group['low'], group['high'])})"


def group_name(group: Mapping[str, Any]) -> str:
    """waterbird · land"""
    return group["class"] if group["concept"] is None else f"{group['class']} · {group['concept']}"


def chart_html(rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], names: tuple[str, str]) -> str:
    """A table with a row of the chart per group, so that the figures stand beside what is drawn of them.

    rows: before and after, each a group with `class`, `concept`, `count`, `accuracy`, `low`, `high`, `share`.
    """
    first, second = (html.escape(name) for name in names)
    ticks = "".join(f'<span style="--at:{at}">{at}%</span>' for at in TICKS)
    head = (
        '<tr><th scope="col">Group</th>'
        f'<th scope="col" class="track"><span class="hidden">Accuracy on test images</span>'
        f'<span class="ticks" aria-hidden="true">{ticks}</span></th>'
        f'<th scope="col"><i class="dot was"></i>{first}</th><th scope="col"><i class="dot now"></i>{second}</th></tr>'
    )
    body = "".join(_row(was, now, (first, second)) for was, now in rows)
    return (
        '<div class="rx groups"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Accuracy of every group, {first} and {second}, the weakest first">'
        f"<table><thead>{head}</thead><tbody>{body}</tbody></table></div></div>"
    )


def _row(was: Mapping[str, Any], now: Mapping[str, Any], names: tuple[str, str]) -> str:
    """names: escaped."""
    whole = group_name(was)
    about = f"{was['count']:,} tested, {percent(was['share'])} of training"
    low, high = sorted((was["accuracy"], now["accuracy"]))
    marks = f'<span class="change" style="{_from_to(low, high)}"></span>'
    cells = []
    for kind, name, one in zip(("was", "now"), names, (was, now), strict=True):
        marks += (
            f'<span class="between {kind}" style="{_from_to(one["low"], one["high"])}"></span>'
            f'<i class="dot {kind}" style="--at:{100 * one["accuracy"]:.2f}"></i>'
        )
        cells.append(
            f'<td data-head="{name}"><i class="dot {kind}"></i>{percent(one["accuracy"])}'
            f"<small>{interval(one['low'], one['high'])}</small></td>"
        )
    return (
        f'<tr><th scope="row" title="{html.escape(whole)}"><bdi dir="auto">{html.escape(short(whole, 60))}</bdi>'
        f'<small>{about}</small></th><td class="track"><div class="line" aria-hidden="true">{marks}</div></td>'
        f"{''.join(cells)}</tr>"
    )


def _from_to(low: float, high: float) -> str:
    """low, high: 0..1."""
    return f"--at:{100 * low:.2f};--to:{100 * high:.2f}"
