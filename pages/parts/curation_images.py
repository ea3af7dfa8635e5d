"""Every held-out image with the reason it is used or not: looked through, left out, used again, put into a group."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.concepts.concept import Concept
from core.concepts.exchange import guarded
from core.concepts.majority import own_logits
from core.retraining.kept_edits import KeptEdits, leave_out, put_in, redo_edit, take_as_chosen, undo_edit
from core.retraining.preview import (
    ASSUMED,
    DOUBTFUL,
    KNOWN,
    LEFT_OUT,
    PROBE,
    PUT_IN,
    TAGGED,
    UNCLEAR,
    UNKNOWN,
    Preview,
)
from core.settings import DEFAULTS
from pages.parts import gallery, inspector, notices, problem, state
from pages.parts.image_grid import GridEvent, GridImage, format_activation, image_grid, selection_now
from pages.parts.words import count, distinct, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

REASON, GROUP, PAGE, OPENED, STEP = (f"curation_{name}" for name in ("reason", "group", "page", "opened", "step"))
SELECTION = "curation-grid"
USED, EVERY_GROUP = "used", -1
# groups offered as pills; more of them as a list
MOST_PILLS = 8
COLUMNS = ("image", "class", "group", "used", "reason", "confidence", "weight", "band", "edited")
TITLES = {
    USED: "All used",
    TAGGED: "Tagged",
    ASSUMED: "Assumed to look usual",
    PROBE: "Recognised from tags",
    KNOWN: "Known",
    PUT_IN: "Put in by hand",
    LEFT_OUT: "Left out by hand",
    UNCLEAR: "Not sure enough",
    DOUBTFUL: "Doubtful tags",
    UNKNOWN: "Unknown",
}
HELP = {
    "reason": "**Tagged**: a person said it. **Assumed to look usual**: from the top half of its class, which usually "
    "looks so, and what learnt from the tags agrees. **Recognised from tags**: a small model that learnt from the "
    "tags is sure of it. **Not sure enough**: it is not, so the image is not used. The share under an image says how "
    "sure.",
    "out": "The new head is not fitted on them. Their tags still teach the probe.",
    "again": "Uses them, or not, as they were chosen at first.",
    "others": "Keeps the selected images only, and leaves out all others of their groups.",
    "put": "Says what they show, for this repair alone: uses them in that group. A tag says it for good, and teaches "
    "the probe too.",
    "undo": "Takes back the last edit, by whomever.",
    "redo": "Does again what was taken back last.",
}


@dataclass(frozen=True)
class Listed:
    """The images of the list as it was drawn, in order. places: (l,) int64 in the preview's images."""

    preview: Preview
    places: np.ndarray


def show(
    analysis: Analysis, concepts: tuple[Concept, ...], preview: Preview, kept: KeptEdits, *, editable: bool
) -> None:
    st.header("Every image", anchor=False)
    reason, group = _filters(preview)
    places = listed(preview, reason, group)
    st.caption(
        "The least sure first: that is where mistakes are. "
        + ("Select images to change what is done with them." if editable else "This method uses them as they are.")
    )
    size = DEFAULTS.grid_size
    pages = max(1, -(-len(places) // size))
    page = min(st.session_state.get(PAGE, 0), pages - 1)
    start = max(0, min(page * size, len(places) - size))
    rows = preview.images.rows[places]
    shown = places[start : start + size]
    actions = st.container(horizontal=True, vertical_alignment="center", gap="small", key="curation-image-actions")
    image_grid(
        SELECTION,
        _tiles(analysis, preview, shown),
        [],
        on_event=problem.kept(
            partial(_on_event, analysis, concepts, tuple(int(i) for i in analysis.ids[rows[start : start + size]]))
        ),
        toolbar=False,
        undo=editable,
        empty="No image is here.",
        total=len(places),
        page=page,
        pages=pages,
        scope=repr((analysis.id, reason, group, st.session_state.get(STEP, 0))),
        within="held-out images",
        track_selection=editable,
    )
    if editable:
        with actions:
            _actions(analysis, concepts, Listed(preview, places), kept)
    if (opened := st.session_state.pop(OPENED, None)) is not None:
        inspector.open_dialog(analysis, opened[0], ids=opened[1])


def listed(preview: Preview, reason: str, group: int) -> np.ndarray:
    """Places in the preview's images, (l,) int64: of a reason and a group, the least sure first."""
    images = preview.images
    which = images.used if reason == USED else images.reasons == reason
    if group != EVERY_GROUP:
        which = which & (images.groups == group)
    places = np.flatnonzero(which)
    sure = np.nan_to_num(images.confidence[places], nan=0.0)
    return places[np.lexsort((images.rows[places], sure))]


def _filters(preview: Preview) -> tuple[str, int]:
    images = preview.images
    numbers = {reason: int((images.reasons == reason).sum()) for reason in TITLES}
    numbers[USED] = int(images.used.sum())
    reason = st.session_state.get(REASON, USED)
    # who is emptying a list stays there
    offered = [name for name in TITLES if numbers[name] or name in (USED, reason)]
    st.session_state["curation-reason"] = reason
    st.pills(
        "Why they are used, or not",
        offered,
        format_func=lambda name: f"{TITLES[name]} · {numbers[name]:,}",
        required=True,
        key="curation-reason",
        help=HELP["reason"],
        on_change=partial(_keep, REASON, "curation-reason"),
    )
    return reason, _group(preview, images.used if reason == USED else images.reasons == reason)


def _group(preview: Preview, which: np.ndarray) -> int:
    codes = preview.images.groups[which]
    titles = {EVERY_GROUP: f"Every group · {int(which.sum()):,}"}
    names = distinct([group.title for group in preview.groups], most=48)
    for group, name in zip(preview.groups, names, strict=True):
        titles[group.code] = f"{plain(name)} · {int((codes == group.code).sum()):,}"
    chosen = st.session_state.get(GROUP, EVERY_GROUP)
    chosen = chosen if chosen in titles else EVERY_GROUP
    st.session_state["curation-group"] = chosen
    keep = partial(_keep, GROUP, "curation-group")
    if len(titles) > MOST_PILLS:
        st.selectbox("Group", list(titles), format_func=titles.get, key="curation-group", on_change=keep, width=460)
    else:
        st.pills("Group", list(titles), format_func=titles.get, required=True, key="curation-group", on_change=keep)
    return chosen


def _keep(name: str, key: str) -> None:
    st.session_state[name] = st.session_state[key]
    st.session_state[PAGE] = 0


def _tiles(analysis: Analysis, preview: Preview, places: np.ndarray) -> list[GridImage]:
    images = preview.images
    rows = images.rows[places]
    tiles = gallery.grid_images(
        analysis,
        rows,
        notes=[note(preview, int(place)) for place in places],
        telling="note",
    )
    own = own_logits(analysis.logits[rows], analysis.labels[rows])
    facts = [
        (*_details(preview, int(place)), f"logit of its class {format_activation(value)}")
        for place, value in zip(places, own.tolist(), strict=True)
    ]
    return [replace(tile, details=(*told, *tile.details)) for tile, told in zip(tiles, facts, strict=True)]


def note(preview: Preview, place: int) -> str:
    """The reason, in a few words: "tagged", "97% sure", "assumed usual", "left out, was 97% sure"."""
    images = preview.images
    reason, was = str(images.reasons[place]), str(images.unedited[place])
    if reason in (LEFT_OUT, PUT_IN):
        return f"{reason}, was {_reason(was, images.confidence[place] if reason == LEFT_OUT else math.nan)}"
    return _reason(reason, images.confidence[place])


def _reason(reason: str, confidence: float) -> str:
    if reason == ASSUMED:
        return "assumed usual"
    if reason == DOUBTFUL:
        return "tag contradicts the others"
    if reason == PROBE:
        return "recognised" if math.isnan(confidence) else f"{percent(confidence)} sure"
    if reason == UNCLEAR and not math.isnan(confidence):
        return f"only {percent(confidence)} sure"
    return reason


def _details(preview: Preview, place: int) -> list[str]:
    images = preview.images
    title = preview.title(int(images.groups[place]))
    facts = [f"group: {title}"] if title else []
    facts.append(f"{images.bands[place]} of its class")
    if images.weights[place] > 0:
        facts.append(f"counts {times(float(images.weights[place]) * int(images.used.sum()))}")
    return facts


def times(factor: float) -> str:
    """How much an image counts: ×0.5, ×9.9, ×27."""
    if factor >= 10:
        return f"×{factor:.0f}"
    return f"×{factor:.1f}" if factor >= 0.1 else f"×{factor:.2f}"


# --- what is done with the selected ones -----------------------------------------------------------------------------


def _actions(analysis: Analysis, concepts: tuple[Concept, ...], here: Listed, kept: KeptEdits) -> None:
    """Always the same buttons at the same places; what they do is about what is selected when they are pressed."""
    selected = len(_selected(analysis, here))
    none = not selected

    def action(
        label: str, icon: str, does: Callable[..., None], about: str, *, off: bool, shortcut: str | None = None
    ) -> None:
        st.button(
            label,
            icon=f":material/{icon}:",
            type="tertiary" if shortcut else "secondary",
            disabled=off,
            shortcut=shortcut,
            key=f"curation-{icon}",
            help=about,
            on_click=problem.kept(partial(does, analysis, concepts, here)),
        )

    action("Leave out", "block", _leave_out, HELP["out"], off=none)
    action("Use again", "add_circle", _use_again, HELP["again"], off=none)
    action("Leave out all others", "filter_alt", _leave_out_others, HELP["others"], off=none)
    with st.popover("Put into a group", icon=":material/move_item:", disabled=none, help=HELP["put"]):
        names = [concept.name for concept in concepts]
        titles = dict(zip(names, distinct(names, most=40), strict=True))
        st.pills(
            "They show",
            names,
            selection_mode="multi",
            format_func=lambda name: plain(titles[name]),
            key="curation-put",
            help="What is not chosen here, they do not show.",
        )
        st.button(
            "Use them so",
            icon=":material/check:",
            type="primary",
            disabled=none,
            key="curation-put-now",
            on_click=problem.kept(partial(_put_in, analysis, concepts, here)),
        )
    action("Undo", "undo", _undo, HELP["undo"], off=not kept.undo, shortcut="z")
    action("Redo", "redo", _redo, HELP["redo"], off=not kept.redo, shortcut="shift+z")
    # last: it changes its width
    st.markdown(
        "Click, drag, or **a** for all shown." if none else f"**{count(selected, 'image')} selected**", width="content"
    )


def _selected(analysis: Analysis, here: Listed) -> np.ndarray:
    """Places of the list that are selected at this moment."""
    rows = analysis.rows_of(selection_now(SELECTION).ids)
    return here.places[np.isin(here.preview.images.rows[here.places], rows)]


def _names(analysis: Analysis, here: Listed, places: np.ndarray) -> list[str]:
    return analysis.image_names(here.preview.images.rows[places])


def _leave_out(analysis: Analysis, concepts: tuple[Concept, ...], here: Listed) -> None:
    places = _selected(analysis, here)
    used = places[here.preview.images.used[places]]
    number = leave_out(state.workspace(), analysis, concepts, _names(analysis, here, used))
    _told(f"Left out: {count(number, 'image')}." if number else "They are not used anyway.", number)


def _use_again(analysis: Analysis, concepts: tuple[Concept, ...], here: Listed) -> None:
    places = _selected(analysis, here)
    number = take_as_chosen(state.workspace(), analysis, concepts, _names(analysis, here, places))
    unused = here.preview.images.unedited[places]
    waiting = int(np.isin(unused, (UNCLEAR, DOUBTFUL, UNKNOWN)).sum())
    more = f" {count(waiting, 'image')} unclear: put into a group to use." if waiting else ""
    done = f"As chosen at first: {count(number, 'image')}." if number else "Nothing was changed by hand."
    _told(f"{done}{more}", number)


def _leave_out_others(analysis: Analysis, concepts: tuple[Concept, ...], here: Listed) -> None:
    images, places = here.preview.images, _selected(analysis, here)
    chosen = places[images.used[places]]
    codes = np.unique(images.groups[chosen])
    others = np.setdiff1d(np.flatnonzero(images.used & np.isin(images.groups, codes)), chosen)
    number = leave_out(state.workspace(), analysis, concepts, _names(analysis, here, others))
    titles = " and ".join(plain(short(here.preview.title(int(code)))) for code in codes[:2])
    of = titles if len(codes) <= 2 else f"{len(codes)} groups"
    _told(f"Left out all others of {of}: {count(number, 'image')}." if number else "There are no others.", number)


def _put_in(analysis: Analysis, concepts: tuple[Concept, ...], here: Listed) -> None:
    shown = set(st.session_state.get("curation-put") or ())
    pattern = {concept.name: concept.name in shown for concept in concepts}
    names = _names(analysis, here, _selected(analysis, here))
    number = put_in(state.workspace(), analysis, concepts, dict.fromkeys(names, pattern))
    said = " and ".join(f"{'with' if value else 'without'} {plain(short(name))}" for name, value in pattern.items())
    _told(f"Used as images {said}: {number:,}." if number else "They are used so already.", number)


def _undo(analysis: Analysis, concepts: tuple[Concept, ...], _: object = None) -> None:
    number = undo_edit(state.workspace(), analysis, concepts)
    _told(f"Taken back: {count(number, 'image')}." if number else "There is no edit to take back.", number)


def _redo(analysis: Analysis, concepts: tuple[Concept, ...], _: object = None) -> None:
    number = redo_edit(state.workspace(), analysis, concepts)
    _told(f"Done again: {count(number, 'image')}." if number else "There is nothing to do again.", number)


def _told(text: str, number: int) -> None:
    if number:
        # with each step, what was selected for it no longer is
        st.session_state[STEP] = st.session_state.get(STEP, 0) + 1
    notices.say(text, ":material/check:" if number else ":material/info:")


def _on_event(analysis: Analysis, concepts: tuple[Concept, ...], ids: tuple[int, ...], event: GridEvent) -> None:
    if event.kind == "open":
        st.session_state[OPENED] = (event.ids[0], ids)
    elif event.kind == "page":
        st.session_state[PAGE] = event.page
    elif event.kind == "undo":
        _undo(analysis, concepts)
    elif event.kind == "redo":
        _redo(analysis, concepts)


def as_csv(analysis: Analysis, preview: Preview) -> bytes:
    """Every held-out image, as UTF-8 with a byte order mark: spreadsheets take it for another encoding without."""
    images = preview.images
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    labels = preview.choice.material.pool.labels[np.isin(preview.choice.material.pool.rows, images.rows)]
    for place, name in enumerate(analysis.image_names(images.rows)):
        confidence = float(images.confidence[place])
        writer.writerow(
            [
                guarded(name),
                guarded(analysis.classes[labels[place]]),
                guarded(preview.title(int(images.groups[place]))),
                "yes" if images.used[place] else "no",
                str(images.reasons[place]),
                "" if math.isnan(confidence) else f"{confidence:.6g}",
                f"{float(images.weights[place]):.6g}",
                str(images.bands[place]),
                "yes" if images.reasons[place] in (LEFT_OUT, PUT_IN) else "no",
            ]
        )
    return target.getvalue().encode("utf-8-sig")
