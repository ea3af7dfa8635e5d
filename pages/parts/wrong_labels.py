"""Wrong labels: the images whose labels their features contradict, the most suspicious first, and what to do of them.

A verdict is a statement like a tag: kept with who and when, undone with one key, and honoured by retraining. The
dataset's own files are never touched.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from core.concepts.labels import LabelVerdicts, judge, label_verdicts, verdict_list
from core.concepts.mislabelled import LabelCheck, Suspect, check_labels
from core.concepts.tags import tag_version
from core.files import slug
from core.settings import DEFAULTS
from pages.parts import gallery, inspector, notices, problem, state, who
from pages.parts.image_grid import GridEvent, GridImage, image_grid
from pages.parts.words import count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

CHECKED, SHOWN, PAGE, KEPT = "wrong_labels_checked", "wrong_labels_shown", "wrong_labels_page", "wrong_labels_kept"
SELECTION = "wrong-labels-grid"
WAITING, JUDGED = "waiting", "judged"
LIMIT = 500
HOW = "wrong labels"
LOOKS_LIKE = "what each looks like"
CSV_COLUMNS = ("image", "label", "verdict", "new_label", "author", "when")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
HELP = {
    "how": (
        "Several small models learn the labels, each without some of the images, and are asked about just those. An "
        "image is suspected when such a model is as sure of another class as it usually is of that class's own images. "
        "Rare combinations can look like that too: look before you judge."
    ),
    "exclude": "Retraining leaves these images out.",
    "relabel": "Retraining takes these images for the other class. The dataset's own files stay as they are.",
    "right": "Take them off the list: the label is right.",
    "again": "Learn from your verdicts: left-out images teach nothing any more, new labels count.",
}


@dataclass(frozen=True)
class Listed:
    """One image of the list, the few words under it, and why it is suspected."""

    row: int
    note: str
    likely: int | None
    why: str


def show(analysis: Analysis) -> None:
    verdicts = label_verdicts(state.workspace(), analysis)
    found = _checked_now(analysis)
    judged = verdicts.judged
    waiting = [suspect for suspect in found.suspects if not judged[suspect.row]]
    _about(found, len(waiting), verdicts)
    look = _choose(len(waiting), int(judged.sum()))
    listed = _judged(analysis, found, verdicts) if look == JUDGED else [_suspected(analysis, one) for one in waiting]
    if not listed:
        _empty(found, look)
    else:
        _ask(analysis, listed, look)
    _export(analysis)


def _checked_now(analysis: Analysis) -> LabelCheck:
    """The check that this session looks at: it does not change under the hand, only when asked for."""
    version = st.session_state.setdefault(CHECKED, {}).get(analysis.id, 0)
    with st.spinner("Asking small models about labels they have not seen …", show_time=True):
        return _checked(analysis, version)


@lru_cache(maxsize=8)
def _checked(analysis: Analysis, version: int) -> LabelCheck:
    """version: of the verdicts that are learnt from, 0 for none."""
    verdicts = label_verdicts(state.workspace(), analysis) if version else None
    return check_labels(analysis, verdicts=verdicts, limit=LIMIT)


def _about(found: LabelCheck, waiting: int, verdicts: LabelVerdicts) -> None:
    if found.found:
        listed = f", the {LIMIT:,} most suspicious of them listed" if found.found > LIMIT else ""
        st.markdown(
            f"**{count(found.found, 'label')}** of {count(found.checked, 'image')} "
            f"{'contradicts' if found.found == 1 else 'contradict'} what the features say{listed}.",
            help=HELP["how"],
        )
    for note in found.notes:
        st.caption(f":material/info: {plain(note)}")
    if verdicts.count:
        relabelled = verdicts.count - int(verdicts.excluded.sum())
        parts = [f"leaves out {count(int(verdicts.excluded.sum()), 'image')}"] if verdicts.excluded.any() else []
        parts += [f"takes {count(relabelled, 'image')} for another class"] if relabelled else []
        st.caption(
            f":material/build: Retraining {' and '.join(parts)}. Test images are always judged by the labels as given."
        )


def _choose(waiting: int, judged: int) -> str:
    names = {WAITING: f"To judge ({waiting:,})", JUDGED: f"Judged ({judged:,})"}
    # kept under another key than the widget's: it goes when another look is shown
    st.session_state["wrong_labels_look"] = st.session_state.setdefault(SHOWN, WAITING)
    st.segmented_control(
        "List",
        list(names),
        key="wrong_labels_look",
        required=True,
        label_visibility="collapsed",
        format_func=names.get,
        on_change=_turn_list,
    )
    return st.session_state[SHOWN]


def _turn_list() -> None:
    st.session_state[SHOWN] = st.session_state["wrong_labels_look"]
    st.session_state[PAGE] = 0


def _suspected(analysis: Analysis, suspect: Suspect) -> Listed:
    return Listed(suspect.row, f"looks like {analysis.classes[suspect.likely]}", suspect.likely, suspect.why)


def _judged(analysis: Analysis, found: LabelCheck, verdicts: LabelVerdicts) -> list[Listed]:
    suspected = {suspect.row: suspect for suspect in found.suspects}
    listed = []
    for row in np.flatnonzero(verdicts.judged).tolist():
        now = int(verdicts.labels[row])
        note = "left out" if verdicts.excluded[row] else "label is right"
        if now != analysis.labels[row]:
            note = f"now {analysis.classes[now]}"
        suspect = suspected.get(row)
        listed.append(Listed(row, note, suspect.likely if suspect else None, suspect.why if suspect else ""))
    return listed


def _empty(found: LabelCheck, look: str) -> None:
    if look == JUDGED:
        text = "You have judged no label yet."
    elif found.found:
        text = "Every suspected label is judged."
    elif found.notes:
        text = "No label can be doubted here."
    else:
        text = "No label contradicts what the features say."
    st.info(text, icon=":material/check_circle:")


def _ask(analysis: Analysis, listed: list[Listed], look: str) -> None:
    size = DEFAULTS.grid_size
    pages = -(-len(listed) // size)
    page = min(st.session_state.get(PAGE, 0), pages - 1)
    start = max(0, min(page * size, len(listed) - size))
    shown = listed[start : start + size]
    rows = np.array([item.row for item in shown])
    # above the grid, and about what is selected in it
    actions = st.container(horizontal=True, vertical_alignment="center", gap="small", key="wrong-labels-actions")
    inspected = image_grid(
        SELECTION,
        _images(analysis, rows, shown),
        [],
        on_event=problem.kept(partial(_on_event, analysis, tuple(int(i) for i in analysis.ids[rows]))),
        toolbar=False,
        total=len(listed),
        page=page,
        pages=pages,
        scope=repr((analysis.id, look)),
        within="to judge" if look == WAITING else "judged",
    )
    chosen = analysis.rows_of(inspected.selected)
    likely = {item.row: item.likely for item in shown if item.likely is not None}
    with actions:
        _actions(analysis, chosen, likely, look)
    if (opened := st.session_state.pop(KEPT, None)) is not None:
        inspector.open_dialog(analysis, opened[0], ids=opened[1])


def _images(analysis: Analysis, rows: np.ndarray, shown: list[Listed]) -> list[GridImage]:
    notes = [item.note for item in shown]
    # what the model predicts would take the place of what the features say
    images = gallery.grid_images(analysis, rows, notes=notes, predicted=np.asarray(analysis.labels)[rows])
    return [
        replace(image, details=(*([item.why] if item.why else []), *image.details))
        for image, item in zip(images, shown, strict=True)
    ]


def _actions(analysis: Analysis, rows: np.ndarray, likely: dict[int, int], look: str) -> None:
    none = not len(rows)
    st.markdown(
        "Select images to judge them: click, drag, or **a** for all shown."
        if none
        else f"**{count(len(rows), 'image')} selected**",
        width="content",
    )
    st.button(
        "Wrong: leave out",
        icon=":material/block:",
        type="primary",
        disabled=none,
        on_click=problem.kept(partial(_say, analysis, rows, "wrong")),
        help=HELP["exclude"],
    )
    with st.popover("Relabel", icon=":material/edit:", disabled=none, help=HELP["relabel"]):
        offered = [LOOKS_LIKE, *analysis.classes] if any(int(row) in likely for row in rows) else [*analysis.classes]
        st.selectbox(
            "The right class",
            range(len(offered)),
            key="wrong-labels-class",
            format_func=lambda place: offered[place],
        )
        st.button(
            "Relabel them",
            icon=":material/edit:",
            type="primary",
            key="wrong-labels-relabel",
            disabled=none,
            on_click=problem.kept(partial(_relabel, analysis, rows, likely, tuple(offered))),
        )
    st.button(
        "Label is right",
        icon=":material/check:",
        disabled=none,
        on_click=problem.kept(partial(_say, analysis, rows, "right")),
        help=HELP["right"],
    )
    if look == JUDGED:
        st.button(
            "Take verdict back",
            icon=":material/backspace:",
            type="tertiary",
            disabled=none,
            on_click=problem.kept(partial(_say, analysis, rows, None)),
            help="Nothing is said of these labels any more.",
        )
    st.button(
        "Undo",
        icon=":material/undo:",
        type="tertiary",
        on_click=problem.kept(partial(inspector.take_back, analysis, "undo")),
        help="Takes back what you did last. Redo: **y** in the grid.",
    )
    if not _is_news(analysis):
        return
    st.button(
        "Look again",
        icon=":material/refresh:",
        type="tertiary",
        on_click=problem.kept(partial(_look_again, analysis)),
        help=HELP["again"],
    )


def _say(analysis: Analysis, rows: np.ndarray, verdict: Literal["wrong", "right"] | None) -> None:
    judge(state.workspace(), analysis, rows, verdict, author=who.author(), how=HOW)
    done = {"wrong": "Left out", "right": "Kept as labelled", None: "Verdict taken back"}[verdict]
    notices.say(f"{done}: {count(len(rows), 'image')}.", ":material/check:")


def _relabel(analysis: Analysis, rows: np.ndarray, likely: dict[int, int], offered: tuple[str, ...]) -> None:
    """offered: what the list showed, so that the number chosen means what was read."""
    place = st.session_state["wrong-labels-class"]
    own = place == 0 and len(offered) > len(analysis.classes)
    target = place - (len(offered) - len(analysis.classes))
    # images of a page without a likely class were judged before the check that is shown: nothing to go by
    classes = {int(row): likely.get(int(row)) if own else target for row in rows}
    for wanted in sorted({code for code in classes.values() if code is not None}):
        mine = [row for row, code in classes.items() if code == wanted]
        judge(
            state.workspace(),
            analysis,
            mine,
            "wrong",
            relabel_to=analysis.classes[wanted],
            author=who.author(),
            how=HOW,
        )
        notices.say(
            f"Relabelled as {plain(short(analysis.classes[wanted]))}: {count(len(mine), 'image')}.", ":material/check:"
        )


def _is_news(analysis: Analysis) -> bool:
    """Whether verdicts were given that the list shown has not learnt from."""
    learnt = st.session_state[CHECKED].get(analysis.id, 0)
    judged = label_verdicts(state.workspace(), analysis).judged.any()
    return bool(judged) and learnt != tag_version(state.workspace(), analysis.dataset_id)


def _look_again(analysis: Analysis) -> None:
    st.session_state[CHECKED][analysis.id] = tag_version(state.workspace(), analysis.dataset_id)
    st.session_state[PAGE] = 0


def _on_event(analysis: Analysis, ids: tuple[int, ...], event: GridEvent) -> None:
    if event.kind == "open":
        st.session_state[KEPT] = (event.ids[0], ids)
    elif event.kind == "page":
        st.session_state[PAGE] = event.page
    elif event.kind in ("undo", "redo"):
        inspector.take_back(analysis, event.kind)


def _export(analysis: Analysis) -> None:
    verdicts = verdict_list(state.workspace(), analysis)
    if not verdicts:
        return
    st.download_button(
        f"Export {count(len(verdicts), 'verdict')} (CSV)",
        data=partial(as_csv, analysis),
        file_name=f"{slug(f'{analysis.dataset_name} labels')}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="wrong-labels-export",
        help=f"Columns: {', '.join(CSV_COLUMNS)}.",
    )


def as_csv(analysis: Analysis) -> bytes:
    """Every verdict that holds, as UTF-8 with a byte order mark: spreadsheets take it for another encoding without."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for verdict in verdict_list(state.workspace(), analysis):
        told = verdict.to_dict()
        writer.writerow([_harmless(told[column] or "") for column in CSV_COLUMNS])
    return target.getvalue().encode("utf-8-sig")


def _harmless(cell: str) -> str:
    """Spreadsheets run cells that begin like a formula; an apostrophe in front makes them text."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
