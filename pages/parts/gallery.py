"""Images of an investigation in the grid: what is shown of each, and what happens when one is tagged or opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st

from core.activations.directions import parse_direction
from core.activations.standing import probabilities, strongest_first
from core.concepts.concept import list_concepts
from core.concepts.probes import concept_direction
from core.concepts.standing import said_of
from core.concepts.tags import tag, tags_of
from core.datasets.dataset import SPLITS
from core.errors import MidbandError
from pages.parts import concept_tools, inspector, live, notices, problem, state, who
from pages.parts.image_grid import GridConcept, GridEvent, GridImage, image_grid
from pages.parts.words import count, percent, plain

if TYPE_CHECKING:
    from core.activations.directions import Direction
    from core.activations.store import Analysis

Telling = Literal["all", "note", "people"]

# in the session: (key of the grid, id of the image) that somebody wants to look at closer
OPENED = "image_opened"
LATE = "What is shown changed before that tag arrived, so nothing was tagged. Please look again and repeat it."
# one tag is one row of the database; so many take a few seconds
MOST_AT_ONCE = 50_000
TOO_MANY = f"At most {MOST_AT_ONCE:,} images are tagged at once: narrow the band or filter it."


@dataclass(frozen=True)
class Place:
    """The band a person was looking at while tagging: kept with the tags."""

    direction: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Shown:
    """What an event of the grid may refer to. ids: the images of this page, in their order. key: the grid's.

    how: where on screen this is, source: whether a person answers or judges a guess; both are kept with the tags.
    """

    place: Place
    key: str = ""
    how: str = "grid"
    source: str = "person"
    ids: tuple[int, ...] = ()
    on_page: Callable[[int], None] | None = None
    everything: Callable[[], np.ndarray] | None = None


def show(
    analysis: Analysis,
    rows: np.ndarray,
    *,
    key: str,
    values: np.ndarray | None = None,
    notes: Sequence[str] | None = None,
    place: Place | None = None,
    direction: Direction | None = None,
    empty: str = "No images to show.",
    toolbar: bool = True,
    rest_absent: bool = False,
    active: int | None = None,
    predicted: np.ndarray | None = None,
    total: int | None = None,
    page: int = 0,
    pages: int = 1,
    scope: str | None = None,
    within: str = "in this band",
    on_page: Callable[[int], None] | None = None,
    everything: Callable[[], np.ndarray] | None = None,
    how: str = "grid",
    source: str = "person",
    telling: Telling = "all",
) -> None:
    """rows: (m,) which images, in the order shown. values: (m,) activations. notes: m short texts.

    place: kept with what is tagged here. direction: the one of `place`, for a closer look; read from there if absent.
    predicted: (m,) classes to show in place of the analysis's own predictions.
    total, page, pages, scope, within: where these images stand among all, as `image_grid` takes them.
    on_page: called with the number, from 0, of the page asked for; a callback, like `on_event` of the grid.
    everything: returns the rows of all `total` images; with it all of them can be tagged at once, in one action.
    how, source: kept with what is tagged here: "grid", "map" or "review"; "person", or "review" where a person judges
    guesses.
    telling: what is told of each image, as `grid_images` takes it.
    """
    live.drawn(analysis)
    concepts = list_concepts(state.workspace(), analysis.dataset_id)
    few = (len(rows) if total is None else total) <= MOST_AT_ONCE
    shown = Shown(
        place or Place(),
        key=key,
        how=how,
        source=source,
        ids=tuple(int(i) for i in analysis.ids[rows]),
        on_page=on_page,
        everything=everything,
    )
    image_grid(
        key,
        grid_images(analysis, rows, values=values, notes=notes, predicted=predicted, telling=telling),
        [
            GridConcept(concept.id, concept.name, concept.color, concept.shortcut, concept_tools.about(concept))
            for concept in concepts
        ],
        on_event=problem.kept(partial(_on_event, analysis, shown)),
        empty=empty,
        toolbar=toolbar and bool(concepts),
        rest_absent=rest_absent,
        active=active,
        track_selection=False,
        total=total,
        page=page,
        pages=pages,
        scope=scope,
        within=within,
        everything=everything is not None and few,
        reason="" if few or everything is None else TOO_MANY,
    )
    # a page may show several grids: what was opened in one is looked at with its analysis, direction and neighbours
    grid, opened = st.session_state.get(OPENED, ("", 0))
    if grid == key:
        del st.session_state[OPENED]
        along = direction or _direction(analysis, shown.place)
        inspector.open_dialog(analysis, opened, direction=along, ids=shown.ids, source=shown.source)


def grid_images(
    analysis: Analysis,
    rows: np.ndarray,
    *,
    values: np.ndarray | None = None,
    notes: Sequence[str] | None = None,
    predicted: np.ndarray | None = None,
    telling: Telling = "all",
) -> list[GridImage]:
    """telling: everything; all but whether the prediction is right, which would take the place of the note ("note");
    or only the note and what people said, where more would give away the answer ("people")."""
    chips = (said_of if telling == "people" else tags_of)(state.workspace(), analysis, rows)
    named = analysis.predicted[rows] if predicted is None else predicted
    names = analysis.image_names(rows)
    details = _details(analysis, rows, own=predicted is None)
    images = [
        GridImage(
            id=int(analysis.ids[row]),
            thumbnail=analysis.thumbnail(row),
            title=names[place],
            activation=None if values is None else float(values[place]),
            label=analysis.label_name(row) or "",
            predicted=analysis.classes[named[place]],
            correct=bool(analysis.labels[row] == named[place]) if analysis.labelled else None,
            chips=tuple(chips.get(int(row), ())),
            note=notes[place] if notes else "" if analysis.labelled else analysis.classes[named[place]],
            details=details[place],
        )
        for place, row in enumerate(rows)
    ]
    if telling == "people":
        return [replace(image, label="", predicted="", correct=None, details=()) for image in images]
    if telling == "note":
        return [
            replace(image, predicted="", correct=None, details=(f"predicted {image.predicted}", *image.details))
            for image in images
        ]
    return images


def _on_event(analysis: Analysis, shown: Shown, event: GridEvent) -> None:
    if event.kind == "open":
        st.session_state[OPENED] = (shown.key, event.ids[0])
    elif event.kind == "page":
        if shown.on_page:
            shown.on_page(event.page)
    elif event.kind in ("undo", "redo"):
        inspector.take_back(analysis, event.kind)
    elif event.kind == "tag":
        _tag(analysis, shown, event)
    else:
        notices.say(LATE, ":material/info:")


def _tag(analysis: Analysis, shown: Shown, event: GridEvent) -> None:
    workspace = state.workspace()
    known = {concept.id: concept for concept in list_concepts(workspace, analysis.dataset_id)}
    if event.concept not in known:
        inspector.tell_gone(analysis, event.concept or 0)
        return
    if event.everything:
        rows = np.empty(0, dtype=np.int64) if shown.everything is None else shown.everything()
        if len(rows) > MOST_AT_ONCE:
            notices.say(TOO_MANY, ":material/info:")
            return
        if len(rows) != event.total:
            notices.say(LATE, ":material/info:")
            return
        rows = rows[~np.isin(rows, analysis.rows_of(event.left_out))]
    else:
        rows = analysis.rows_of(event.ids)
    place = shown.place
    tag(
        workspace,
        analysis,
        known[event.concept],
        rows,
        event.present,
        author=who.author(),
        source=shown.source,
        how="band" if event.everything and shown.how == "grid" else shown.how,
        direction=place.direction,
        low=place.low,
        high=place.high,
    )
    if event.everything:
        done = "Took the tag off" if event.present is None else "Tagged"
        notices.say(f"{done}: {plain(known[event.concept].name)}, {count(len(rows), 'image')}.", ":material/check:")


def _direction(analysis: Analysis, place: Place) -> Direction | None:
    """The direction a person was looking along; None where there is none, or none any more."""
    if place.direction is None:
        return None
    try:
        return parse_direction(
            place.direction, analysis, concept=lambda name: concept_direction(state.workspace(), analysis, name)
        )
    except MidbandError:
        return None


def _details(analysis: Analysis, rows: np.ndarray, *, own: bool) -> list[tuple[str, ...]]:
    """Per row, what a hover adds to label, prediction and activation. own: the predictions are the analysis's own."""
    lines: list[tuple[str, ...]] = []
    for row, logits in zip(rows, analysis.logits[rows], strict=True):
        facts = []
        if own and analysis.k > 1:
            best, second = strongest_first(logits)[:2]
            sure, margin = float(probabilities(logits)[best]), float(logits[best]) - float(logits[second])
            facts.append(f"probability {percent(sure)}, margin over the runner-up {margin:.2f}")
        facts.extend(
            f"{attribute.name}: {attribute.values[attribute.codes[row]]}"
            for attribute in analysis.attributes
            if attribute.codes[row] >= 0
        )
        facts.append(f"split {SPLITS[analysis.splits[row]]}")
        lines.append(tuple(facts))
    return lines
