"""Which classes are taken for which, before and after a repair, and the images behind each mistake."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from pages.parts import gallery, run_list
from pages.parts.words import count, distinct, helped, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

# classes up to which a matrix can be read at a glance
MOST_CLASSES = 12
# mistakes listed, those most often made first
LISTED = 12
# images per page
SHOWN = 28


class Mistake(NamedTuple):
    """Images of class `label` taken for class `said`: how many before and after, of how many of that class."""

    label: int
    said: int
    before: int
    after: int
    images: int


def show(analysis: Analysis, run: RunResult) -> None:
    st.header("What is taken for what", anchor=False, help=helped("confusion"))
    before, after = matrices(analysis, run)
    found = mistakes(before, after)
    st.markdown(plain(sentence(found, analysis.classes)))
    if analysis.k <= MOST_CLASSES:
        cells = st.grid(2, min_column_width=340, gap="medium")
        for title, matrix in (("Before", before), ("After", after)):
            with cells.cell():
                st.html(matrix_html(title, matrix, analysis.classes))
    if not found:
        return
    if analysis.k > 2:
        table = pd.DataFrame(
            [
                {
                    "is a": analysis.classes[one.label],
                    "taken for": analysis.classes[one.said],
                    "before": one.before,
                    "after": one.after,
                    "test images": one.images,
                }
                for one in found[:LISTED]
            ]
        )
        st.dataframe(
            table,
            hide_index=True,
            width="stretch",
            height="content",
            alt="The mistakes made most often, with how many images before and after.",
        )
        if len(found) > LISTED:
            st.caption(f"The {LISTED} made most often, of {len(found):,} kinds.")
    _images(analysis, run, found[:LISTED])


def matrices(analysis: Analysis, run: RunResult) -> tuple[np.ndarray, np.ndarray]:
    """(k, k) counts [label][said] before and after; computed for runs that did not record them."""
    recorded = run.before.confusion, run.after.confusion
    if all(recorded):
        return np.array(recorded[0]), np.array(recorded[1])
    rows = analysis.split_rows(run.after.split)
    labels, k = np.asarray(analysis.labels)[rows], analysis.k
    said = np.asarray(analysis.predicted)[rows], run_list.predicted_on_test(analysis, run)
    was, now = (np.bincount(labels * k + each, minlength=k * k).reshape(k, k) for each in said)
    return was, now


def mistakes(before: np.ndarray, after: np.ndarray) -> list[Mistake]:
    """Every kind that was made at least once, the most frequent first."""
    made = np.maximum(before, after)
    np.fill_diagonal(made, 0)
    order = np.argsort(-made, axis=None, kind="stable")[: int((made > 0).sum())]
    sizes = before.sum(axis=1)
    return [
        Mistake(label, said, int(before[label, said]), int(after[label, said]), int(sizes[label]))
        for label, said in (divmod(int(at), len(made)) for at in order)
    ]


def sentence(found: list[Mistake], classes: tuple[str, ...]) -> str:
    """What to see: the mistake that was made most often, and the one that changed most where that is another."""
    if not found:
        return "No image is taken for another class, before or after."

    def told(one: Mistake) -> str:
        return f"{short(classes[one.label])} taken for {short(classes[one.said])}"

    worst = max(found, key=lambda one: one.before)
    of = f"of {count(worst.images, 'image')}"
    first = f"The commonest mistake was {told(worst)}: {worst.before:,} {of} before, {worst.after:,} now."
    grown = max(found, key=lambda one: one.after - one.before)
    if grown.after <= grown.before:
        return f"{first} No kind of mistake became more frequent."
    if grown == worst:
        return f"{first} No other grew more."
    return f"{first} What grew most is {told(grown)}: from {grown.before:,} to {grown.after:,}."


def matrix_html(title: str, matrix: np.ndarray, classes: tuple[str, ...]) -> str:
    """Images by what they are (down) and what the model says (across); shaded by the share of the row."""
    names = [f'<bdi dir="auto">{html.escape(name)}</bdi>' for name in distinct(classes, most=24)]
    full = [html.escape(name, quote=True) for name in classes]
    head = "".join(f'<th scope="col" title="{whole}">{name}</th>' for name, whole in zip(names, full, strict=True))
    rows = []
    for label, counts in enumerate(matrix):
        total = int(counts.sum())
        cells = []
        for said, number in enumerate(counts.tolist()):
            share = number / total if total else 0.0
            kind = "right" if said == label else "wrong"
            cells.append(
                f'<td class="{kind}" style="--share:{share:.3f}">{number:,}<small>{percent(share)}</small></td>'
            )
        rows.append(f'<tr><th scope="row" title="{full[label]}">{names[label]}</th>{"".join(cells)}</tr>')
    across = f'<tr><td></td><th scope="colgroup" colspan="{len(classes)}">the model says</th></tr>'
    return (
        f'<div class="rx matrix" style="--classes:{len(classes)}"><div class="scroll" tabindex="0" role="region" '
        f'aria-label="{title}: what is taken for what"><table><caption>{title}</caption><thead>{across}<tr>'
        f'<th scope="col">it is a</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></div>'
    )


def _images(analysis: Analysis, run: RunResult, found: list[Mistake]) -> None:
    """The images of one mistake, made before or after."""
    classes = distinct(analysis.classes, most=30)
    names = {
        f"{one.label}-{one.said}": f"{classes[one.label]} taken for {classes[one.said]} · "
        f"{one.before:,} → {one.after:,}"
        for one in found
    }
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        chosen = st.selectbox(
            "Look at",
            list(names),
            format_func=names.get,
            index=None,
            placeholder="Choose a mistake to see its images",
            key=f"mistake-{run.run}",
            width=460,
        )
        if chosen is None:
            return
        label, said = map(int, chosen.split("-"))
        rows = analysis.split_rows(run.after.split)
        now = run_list.predicted_on_test(analysis, run)
        was = np.asarray(analysis.predicted)[rows]
        of = np.asarray(analysis.labels)[rows] == label
        order = [
            of & (was == said) & (now == said),
            of & (was != said) & (now == said),
            of & (was == said) & (now != said),
        ]
        notes = ("still so", "new", "not any more")
        at = np.concatenate([np.flatnonzero(each) for each in order])
        words = [note for note, each in zip(notes, order, strict=True) for _ in range(int(each.sum()))]
        pages = -(-len(at) // SHOWN)
        page = st.pagination(pages, key=f"mistake-page-{run.run}-{chosen}") if pages > 1 else 1
    part = slice((page - 1) * SHOWN, page * SHOWN)
    st.caption(
        ", ".join(f"{int(each.sum()):,} {note}" for note, each in zip(notes, order, strict=True)).capitalize() + "."
    )
    gallery.show(
        analysis,
        rows[at[part]],
        key=f"mistake-grid-{run.run}",
        predicted=now[at[part]],
        notes=words[part],
        telling="all",
        toolbar=False,
    )
