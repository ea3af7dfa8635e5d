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

from core.concepts.concept import list_concepts
from core.concepts.exchange import guarded
from core.concepts.labels import LabelVerdicts, judge, label_verdicts, verdict_list
from core.concepts.mislabelled import LabelCheck, Suspect, check_labels
from core.concepts.probes import PROBE_WARNING
from core.concepts.spread import spread
from core.concepts.tags import tag_version
from core.errors import NotEnoughTags
from core.files import slug
from core.settings import DEFAULTS
from pages.parts import gallery, gate, inspector, notices, problem, state, who
from pages.parts.image_grid import GridEvent, GridImage, image_grid, selection_now
from pages.parts.words import count, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

CHECKED, SHOWN, PAGE, KEPT = "wrong_labels_checked", "wrong_labels_shown", "wrong_labels_page", "wrong_labels_kept"
# verdicts given in this session: with each, what was selected for it no longer is
GIVEN = "wrong_labels_given"
SELECTION = "wrong-labels-grid"
WAITING, JUDGED = "waiting", "judged"
LIMIT = 500
HOW = "wrong labels"
# stands for no class: a name of a class is one line of text, never empty
LOOKS_LIKE = ""
LOOKS_LIKE_TITLE = "what each looks like"
# of the suspected images, the share with an unusual combination from which most may be rare rather than wrong
MANY = 0.5
# and how many times the share among all images it has to be
LIFT = 2.0
CSV_COLUMNS = ("image", "label", "verdict", "new_label", "author", "when")
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
    _about(analysis, found)
    look = _choose(len(waiting), int(judged.sum()))
    listed = _judged(analysis, found, verdicts) if look == JUDGED else [_suspected(analysis, one) for one in waiting]
    if not listed:
        _empty(found, look)
    else:
        _ask(analysis, listed, look)
    _consequence(verdicts)
    _export(analysis)


def _checked_now(analysis: Analysis) -> LabelCheck:
    """The check that this session looks at: it does not change under the hand, only when asked for."""
    version = st.session_state.setdefault(CHECKED, {}).get(analysis.id, 0)
    # what another look left below it is hidden while this one has nothing to show yet
    with (
        st.container(key="labels-at-work"),
        st.spinner("Asking small models about labels they have not seen …", show_time=True),
    ):
        return _checked(analysis, version)


@lru_cache(maxsize=8)
def _checked(analysis: Analysis, version: int) -> LabelCheck:
    """version: of the verdicts that are learnt from, 0 for none."""
    verdicts = label_verdicts(state.workspace(), analysis) if version else None
    return check_labels(analysis, verdicts=verdicts, limit=LIMIT)


def _about(analysis: Analysis, found: LabelCheck) -> None:
    if found.found:
        listed = f", the {LIMIT:,} most suspicious of them listed" if found.found > LIMIT else ""
        st.markdown(
            f"**{count(found.found, 'label')}** of {count(found.checked, 'image')} "
            f"{'contradicts' if found.found == 1 else 'contradict'} what the features say{listed}.",
            help=HELP["how"],
        )
    for note in found.notes:
        st.caption(f":material/info: {plain(note)}")
    if found.found:
        st.caption(f":material/warning: {warning(analysis, found)}")


def _consequence(verdicts: LabelVerdicts) -> None:
    """What retraining makes of the verdicts. Below the images: the first verdict must not move them."""
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
    image_grid(
        SELECTION,
        _images(analysis, rows, shown),
        [],
        on_event=problem.kept(partial(_on_event, analysis, tuple(int(i) for i in analysis.ids[rows]))),
        toolbar=False,
        undo=True,
        total=len(listed),
        page=page,
        pages=pages,
        scope=repr((analysis.id, look, st.session_state.get(GIVEN, 0))),
        within="to judge" if look == WAITING else "judged",
    )
    asked = Asked(look, {item.row: item.likely for item in listed})
    with actions:
        _actions(analysis, asked, len(chosen_now(analysis, asked)))
    if (opened := st.session_state.pop(KEPT, None)) is not None:
        inspector.open_dialog(analysis, opened[0], ids=opened[1])


def _images(analysis: Analysis, rows: np.ndarray, shown: list[Listed]) -> list[GridImage]:
    # whether the prediction is right would take the place of what the features say
    images = gallery.grid_images(analysis, rows, notes=[item.note for item in shown], telling="note")
    return [
        replace(image, details=(*([item.why] if item.why else []), *image.details))
        for image, item in zip(images, shown, strict=True)
    ]


@dataclass(frozen=True)
class Asked:
    """The list as it was drawn. likely: per row of it the class it looks like, None where nothing suggests one."""

    look: str
    likely: dict[int, int | None]


def _actions(analysis: Analysis, asked: Asked, selected: int) -> None:
    """Always the same buttons at the same places; what they do is about what is selected when they are pressed."""
    none = not selected
    st.button(
        "Wrong: leave out",
        icon=":material/block:",
        disabled=none,
        on_click=problem.kept(partial(_say, analysis, asked, "wrong")),
        help=HELP["exclude"],
    )
    with st.popover("Relabel", icon=":material/edit:", disabled=none, help=HELP["relabel"]):
        own = any(likely is not None for likely in asked.likely.values())
        st.selectbox(
            "The right class",
            [*([LOOKS_LIKE] if own else []), *analysis.classes],
            key=f"wrong-labels-class-{own}",
            format_func=lambda name: name or LOOKS_LIKE_TITLE,
        )
        st.button(
            "Relabel them",
            icon=":material/edit:",
            type="primary",
            key="wrong-labels-relabel",
            disabled=none,
            on_click=problem.kept(partial(_relabel, analysis, asked, f"wrong-labels-class-{own}")),
        )
    st.button(
        "Label is right",
        icon=":material/check:",
        disabled=none,
        on_click=problem.kept(partial(_say, analysis, asked, "right")),
        help=HELP["right"],
    )
    if asked.look == JUDGED:
        st.button(
            "Take verdict back",
            icon=":material/backspace:",
            type="tertiary",
            disabled=none,
            on_click=problem.kept(partial(_say, analysis, asked, None)),
            help="Nothing is said of these labels any more.",
        )
    st.button(
        "Undo",
        icon=":material/undo:",
        type="tertiary",
        on_click=problem.kept(partial(inspector.take_back, analysis, "undo")),
        help="Takes back what you did last. Redo: **y** in the grid.",
    )
    news = _is_news(analysis)
    st.button(
        "Look again",
        icon=":material/refresh:",
        type="tertiary",
        disabled=not news,
        on_click=problem.kept(partial(_look_again, analysis)),
        help=HELP["again"] if news else f"{HELP['again']} There are no new ones yet.",
    )
    # last: it changes its width
    st.markdown(
        "Select images: click, drag, or **a** for all shown." if none else f"**{count(selected, 'image')} selected**",
        width="content",
    )


def chosen_now(analysis: Analysis, asked: Asked) -> np.ndarray:
    """Rows of the list that are selected at this moment. What is drawn may be older: the browser tells of a selection a
    moment later, and of the press of a button at once, after what was selected then."""
    ids = selection_now(SELECTION).ids
    rows = [int(row) for row in analysis.rows_of(ids)]
    return np.array([row for row in rows if row in asked.likely], dtype=np.int64)


def _open_ones(analysis: Analysis, asked: Asked) -> tuple[np.ndarray, str]:
    """What is selected and still to be judged, and a sentence on what somebody judged meanwhile."""
    rows = chosen_now(analysis, asked)
    if asked.look != WAITING:
        return rows, ""
    judged = label_verdicts(state.workspace(), analysis).judged[rows]
    skipped = int(judged.sum())
    return rows[~judged], f" {count(skipped, 'image')} judged meanwhile: left as is." if skipped else ""


def _say(analysis: Analysis, asked: Asked, verdict: Literal["wrong", "right"] | None) -> None:
    rows, skipped = _open_ones(analysis, asked)
    if not len(rows):
        notices.say(f"Nothing is selected.{skipped}", ":material/info:")
        return
    judge(state.workspace(), analysis, rows, verdict, author=who.author(), how=HOW)
    done = {"wrong": "Left out", "right": "Kept as labelled", None: "Verdict taken back"}[verdict]
    _given(f"{done}: {count(len(rows), 'image')}.{skipped}")


def _relabel(analysis: Analysis, asked: Asked, key: str) -> None:
    rows, skipped = _open_ones(analysis, asked)
    wanted = st.session_state[key]
    likely = {row: analysis.classes[code] for row, code in asked.likely.items() if code is not None}
    # judged before the check that is shown: nothing to go by
    classes = {int(row): wanted or likely.get(int(row)) for row in rows}
    given = {row: name for row, name in classes.items() if name is not None}
    if without := len(classes) - len(given):
        skipped += f" {count(without, 'image')} skipped: nothing says what they look like."
    if not given:
        notices.say(f"Nothing was relabelled.{skipped}", ":material/info:")
        return
    workspace, targets = state.workspace(), list(given.values())
    judge(workspace, analysis, list(given), "wrong", relabel_to=targets, author=who.author(), how=HOW)
    names = list(dict.fromkeys(given.values()))
    target = f"Relabelled as {plain(short(names[0]))}" if len(names) == 1 else "Relabelled as what each looks like"
    _given(f"{target}: {count(len(given), 'image')}.{skipped}")


def _given(told: str) -> None:
    st.session_state[GIVEN] = st.session_state.get(GIVEN, 0) + 1
    notices.say(told, ":material/check:")


def warning(analysis: Analysis, found: LabelCheck) -> str:
    """Markdown: whether the suspected images may be rare combinations, which are what a repair needs."""
    rows = np.array([suspect.row for suspect in found.suspects], dtype=np.int64)
    name, share = most_unusual(analysis, rows)
    if share >= MANY:
        return (
            "**Many of these may be rare combinations rather than wrong labels: those are what a repair needs.** "
            f"In {percent(share)} of those listed, {plain(short(name))} is not what is usual for the class."
        )
    return "Rare combinations can look mislabelled too, and they are what a repair needs: look before you judge."


def most_unusual(analysis: Analysis, rows: np.ndarray) -> tuple[str, float]:
    """The known attribute or confounder in which most of these images differ from what is usual for their class, and
    the share of them that do; ("", 0.0) where none is known, or none sets them apart."""
    labels = np.asarray(analysis.labels)
    found = [("", 0.0)]
    for name, codes in _known_codes(analysis):
        known = codes >= 0
        table = np.zeros((len(analysis.classes), int(codes.max(initial=0)) + 1), dtype=np.int64)
        np.add.at(table, (labels[known], codes[known]), 1)
        usual = table.argmax(axis=1)
        unusual, of = codes != usual[labels], rows[known[rows]]
        share = float(unusual[of].mean()) if len(of) else 0.0
        # where most images are unusual anyway, such as by photographer, it tells nothing
        if share >= LIFT * unusual[known].mean():
            found.append((name, share))
    return max(found, key=lambda pair: pair[1])


def _known_codes(analysis: Analysis) -> list[tuple[str, np.ndarray]]:
    """Per attribute of two values or more, and confounder that can be guessed: (n,) codes, -1 where unknown."""
    found = [(one.name, np.asarray(one.codes).astype(np.int64)) for one in analysis.attributes]
    for concept in list_concepts(state.workspace(), analysis.dataset_id):
        if concept.role != "confounder":
            continue
        try:
            told = spread(state.workspace(), analysis, concept, split="all")
        except NotEnoughTags:
            continue
        if told.held_out.share is not None and told.held_out.share >= PROBE_WARNING:
            codes = np.full(analysis.n, -1, dtype=np.int64)
            codes[told.rows] = told.probability > 0.5
            found.append((concept.name, codes))
    return found


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
    gate.download_button(
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
        writer.writerow([guarded(told[column] or "") for column in CSV_COLUMNS])
    return target.getvalue().encode("utf-8-sig")
