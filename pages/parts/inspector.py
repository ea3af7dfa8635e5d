"""One image in full, in a dialog: the picture, what the model says of it, what is like it, where the model looks.

    inspector.open_dialog(analysis, image_id, direction=direction, ids=ids_on_screen)

What is quick comes first and is on screen while the rest is still computed: the picture and the facts, then neighbours
and standing, then the heat map, which is drawn in a thread of its own because it may have to import torch and load the
model. Each part travels in a message of its own, marked with the image it is about; the browser shows nothing of an
image that was left meanwhile. Moving on interrupts whatever still runs.

Events come through the outbox of the image grid: numbered, repeated until they are acknowledged, delivered once.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from PIL import Image

from core.activations import neighbours as searching
from core.activations.directions import Direction, parse_direction
from core.activations.standing import (
    Standing,
    company,
    probabilities,
    standings,
    strongest_first,
    telling_directions,
)
from core.concepts.concept import list_concepts
from core.concepts.departures import departure
from core.concepts.probes import concept_direction
from core.concepts.tags import redo, tag, tag_version, tags_of, undo
from core.datasets.dataset import SPLITS
from core.datasets.images import UnreadableImage, decode
from core.errors import MidbandError, NotFound
from core.logs import get_logger
from core.settings import DEFAULTS
from pages.parts import concept_tools, live, notices, problem, state, who
from pages.parts.component_source import source
from pages.parts.image_grid import format_activation
from pages.parts.inbox import Inbox, is_int, is_said
from pages.parts.picture_url import picture_url
from pages.parts.words import percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.classifiers.heatmap import HeatMap
    from core.concepts.tags import UndoneAction

log = get_logger("pages")

KEY = "inspector"
LOOKING = "inspector_looking"
TASTE = "inspector_taste"
TITLE = "A closer look"
# pixels of the longer side sent to the browser: enough for a dialog on a projector
LARGE = 1400
NEIGHBOURS = 12
# classes listed until all are asked for
LISTED = 10
# images before and after the one shown whose ids the browser holds
AROUND = 300
# images up to which every concept's probe is fitted for a look at one image
PROBED = 200_000
# seconds between two moments at which long work lets itself be interrupted
PATIENCE = 0.1
METRICS = {searching.COSINE: "Cosine", searching.STANDARDISED: "Standardised"}
PREDICTED, LABEL, RUNNER_UP, DIFFERENCE = "predicted", "label", "runner-up", "difference"

_component = st.components.v2.component(
    "midband_inspector",
    html=source("inspector", "inspector.html"),
    css=source("inspector", "inspector.css"),
    js="\n".join(
        [
            source("image_grid", "dom.js", "keys.js", "states.js", "outbox.js"),
            source("inspector", "words.js", "picture.js", "facts.js", "around.js", "inspector.js"),
        ]
    ),
)
_NAMED = re.compile("“([^“”]*)”")
# one at a time: two networks at once would only slow each other down
_drawing = ThreadPoolExecutor(1, thread_name_prefix="heat-map")


@dataclass
class Looking:
    """image: the id of the one shown. anchor: the last one shown of those that were on screen when this was opened."""

    image: int
    anchor: int


@dataclass
class Taste:
    """How a person likes to look, for the rest of the session."""

    heat: bool = False
    choice: str = PREDICTED
    metric: str = searching.COSINE
    every_class: bool = False


def open_dialog(
    analysis: Analysis,
    image_id: int,
    *,
    direction: Direction | None = None,
    ids: Sequence[int] = (),
    source: str = "person",
) -> None:
    """Open the dialog on an image. ids: the images on screen, for previous and next. direction: what is looked at.

    source: kept with what is tagged here; "review" where a person judges guesses.
    """
    st.session_state[LOOKING] = Looking(image_id, image_id)
    shown = tuple(dict.fromkeys(int(i) for i in ids))
    # closing runs the page again: tags given here show in its grid
    dialog = st.dialog(TITLE, width="large", on_dismiss="rerun")
    dialog(problem.guarded(_look))(analysis, direction, shown if image_id in shown else (image_id, *shown), source)


def _look(analysis: Analysis, direction: Direction | None, ids: tuple[int, ...], source: str) -> None:
    looking: Looking = st.session_state[LOOKING]
    taste: Taste = st.session_state.setdefault(TASTE, Taste())
    inbox: Inbox = st.session_state.setdefault(f"{KEY}-inbox", Inbox())
    row = int(analysis.rows_of([looking.image])[0])
    waiting = _drawing.submit(heat_message, analysis, row, taste.choice) if taste.heat else None
    try:
        with st.container(gap=None):
            _component(
                key=KEY,
                data=facts(analysis, row, looking, taste, ids) | {"ack": inbox.done},
                on_up_change=partial(_deliver, analysis, ids, source),
            )
            _carry("picture", picture(analysis, row))
            pause = st.empty()
            _carry("neighbours", around(analysis, row, taste.metric, pause.empty))
            _carry("standing", places(analysis, row, direction))
            if waiting is not None:
                _carry("heat", _awaited(waiting, pause.empty))
    finally:
        if waiting is not None:
            waiting.cancel()


def _carry(role: str, message: dict[str, Any]) -> None:
    """Hand a message to the component; this mount of it shows nothing."""
    _component(key=f"{KEY}-{role}", data={"role": role, "store": KEY, **message})


def _awaited(waiting: Future[dict[str, Any]], pause: Callable[[], Any]) -> dict[str, Any]:
    """The heat map when it is there. pause: where Streamlit may end this run for another."""
    while True:
        try:
            return waiting.result(timeout=PATIENCE)
        except NotYet:
            pause()


# --- what is told ----------------------------------------------------------------------------------------------------


def facts(analysis: Analysis, row: int, looking: Looking, taste: Taste, ids: tuple[int, ...]) -> dict[str, Any]:
    """Everything that is known of an image without computing anything."""
    label, predicted = int(analysis.labels[row]), int(analysis.predicted[row])
    tags = dict(tags_of(state.workspace(), analysis, [row]).get(row, []))
    place = ids.index(looking.anchor) if looking.anchor in ids else 0
    first = max(0, place - AROUND)
    return {
        "role": "facts",
        "store": KEY,
        "image": looking.image,
        "anchor": looking.anchor,
        "ids": list(ids[first : place + AROUND + 1]),
        "before": first,
        "total": len(ids),
        "name": analysis.image_names([row])[0],
        "label": analysis.label_name(row) or "",
        "predicted": analysis.classes[predicted],
        "correct": label == predicted if analysis.labelled else None,
        "split": SPLITS[analysis.splits[row]] if len(analysis.split_names) > 1 else "",
        "attributes": [[a.name, a.values[a.codes[row]]] for a in analysis.attributes if a.codes[row] >= 0],
        "concepts": [
            {
                "id": concept.id,
                "name": concept.name,
                "color": concept.color,
                "key": concept.shortcut,
                "present": tags.get(concept.name),
            }
            for concept in list_concepts(state.workspace(), analysis.dataset_id)
        ],
        **_classes(analysis, row, every=taste.every_class),
        "heat": {"on": taste.heat, "choice": taste.choice, "choices": heat_choices(analysis, row)},
        "metric": taste.metric,
        "metrics": [[name, title] for name, title in METRICS.items()],
        "neighbours": min(NEIGHBOURS, analysis.n - 1),
        "images": f"{analysis.n:,}",
    }


def _classes(analysis: Analysis, row: int, *, every: bool) -> dict[str, Any]:
    """Logits and probabilities, strongest first; the best few and the label unless all are asked for."""
    logits, shares = np.asarray(analysis.logits[row], dtype=np.float64), probabilities(analysis.logits[row])
    label, predicted = int(analysis.labels[row]), int(analysis.predicted[row])
    order = strongest_first(logits).tolist()
    listed = order if every or analysis.k <= LISTED + 1 else order[:LISTED]
    listed = listed if label in listed else [*listed, label]
    ranks = {c: rank for rank, c in enumerate(order, start=1)}
    finite = logits[np.isfinite(logits)]
    # bars start at zero, wherever the logits lie
    low, high = (min(0.0, float(finite.min())), max(0.0, float(finite.max()))) if len(finite) else (0.0, 0.0)
    return {
        "classes": [
            {
                "name": analysis.classes[c],
                "logit": float(logits[c]) if np.isfinite(logits[c]) else None,
                "told": format_activation(float(logits[c])) or "–",
                "probability": float(shares[c]) if np.isfinite(shares[c]) else None,
                "percent": percent(float(shares[c])),
                "rank": ranks[c],
                "label": c == label and analysis.labelled,
                "predicted": c == predicted,
            }
            for c in listed
        ],
        "limits": [low, high],
        "total_classes": analysis.k,
        "every_class": every,
    }


def picture(analysis: Analysis, row: int) -> dict[str, Any]:
    """The image as the browser gets it; the thumbnail and a sentence where the file cannot be used."""
    url, width, height, note = _encoded(analysis, row, _changed(analysis.image_path(row)))
    return {"image": int(analysis.ids[row]), "url": url, "width": width, "height": height, "note": note}


@lru_cache(maxsize=16)
def _encoded(analysis: Analysis, row: int, changed: int) -> tuple[str, int, int, str]:
    """changed: the file's modification time, so that a rewritten one is read again."""
    try:
        image = decode(analysis.picture(row), DEFAULTS.max_image_pixels)
    except UnreadableImage as error:
        content = analysis.thumbnail(row)
        with Image.open(io.BytesIO(content)) as small:
            width, height = small.size
        return picture_url(content), width, height, f"This is the thumbnail: {error.reason}."
    width, height = image.size
    image.thumbnail((LARGE, LARGE), reducing_gap=2.0)
    target = io.BytesIO()
    # small pictures without loss: enlarged, the blocks of a JPEG would show
    if max(image.size) <= 256:
        image.save(target, format="PNG")
        return picture_url(target.getvalue()), width, height, ""
    image.save(target, format="JPEG", quality=90)
    return picture_url(target.getvalue()), width, height, ""


def around(analysis: Analysis, row: int, metric: str, pause: Callable[[], Any]) -> dict[str, Any]:
    """The nearest images. pause: called between blocks, where Streamlit may end this run."""
    told = time.monotonic()

    def let_go(done: int, total: int, message: str = "") -> None:
        # each pause is a message to the browser: a few a second are enough to be interrupted in time
        nonlocal told
        if time.monotonic() - told > PATIENCE:
            pause()
            told = time.monotonic()

    found = searching.neighbours(analysis, row, NEIGHBOURS, metric=metric, progress=let_go)
    label = int(analysis.labels[row])
    near = company(analysis, row, found.rows)
    sentence = (
        f"{near.same} of {near.images} are labelled {analysis.classes[label]}; the model is right on {near.right}."
        if near.images and analysis.labelled
        else f"The model takes {near.same} of {near.images} for {analysis.classes[label]} as well."
        if near.images
        else "Its features are not all finite, so nothing is near it."
    )
    names = analysis.image_names(found.rows)
    return {
        "image": int(analysis.ids[row]),
        "metric": metric,
        "sentence": sentence,
        "items": [
            {
                "id": int(analysis.ids[other]),
                "url": picture_url(analysis.thumbnail(other)),
                "name": names[place],
                "label": analysis.label_name(other) or "",
                "predicted": analysis.classes[analysis.predicted[other]],
                "correct": bool(analysis.labels[other] == analysis.predicted[other]) if analysis.labelled else None,
                "same": bool(analysis.labels[other] == label),
                "distance": f"{distance:.3g}",
            }
            for place, (other, distance) in enumerate(zip(found.rows, found.distances, strict=True))
        ],
    }


def places(analysis: Analysis, row: int, direction: Direction | None) -> dict[str, Any]:
    """Where the image stands in each direction."""
    concepts = () if analysis.n > PROBED else _concept_directions(analysis, _version(analysis))
    told = standings(analysis, telling_directions(analysis, row, current=direction, concepts=concepts), row)
    label = analysis.classes[analysis.labels[row]]
    return {
        "image": int(analysis.ids[row]),
        "label": label,
        "items": [_place(one, label, current=direction is not None and one.spec == direction.spec) for one in told],
    }


def _place(one: Standing, label: str, *, current: bool) -> dict[str, Any]:
    low, high = one.edges[0], one.edges[-1]
    at = None if one.value is None or one.percentile is None else (one.value - low) / (high - low)
    if one.percentile is None or one.own_percentile is None:
        words = "Not a finite number here."
    else:
        words = f"above {percent(one.percentile)} of all images, {percent(one.own_percentile)} of {label}"
    return {
        "title": one.title,
        "current": current,
        "told": "–" if one.value is None else format_activation(one.value) or str(one.value),
        "words": words,
        "at": at,
        "counts": list(one.counts),
        "own": list(one.own_counts),
        "low": format_activation(low),
        "high": format_activation(high),
    }


def _version(analysis: Analysis) -> int:
    return tag_version(state.workspace(), analysis.dataset_id)


@lru_cache(maxsize=8)
def _concept_directions(analysis: Analysis, version: int) -> tuple[Direction, ...]:
    """Of the concepts with tags enough for one. version: of the tags, which the directions follow."""
    found = []
    for concept in list_concepts(state.workspace(), analysis.dataset_id):
        try:
            found.append(
                parse_direction(
                    f"concept:{concept.name}",
                    analysis,
                    concept=lambda name: concept_direction(state.workspace(), analysis, name),
                )
            )
        except MidbandError:
            continue
    return tuple(found)


# --- where the model looks -------------------------------------------------------------------------------------------


def heat_choices(analysis: Analysis, row: int) -> list[list[str]]:
    """Code and title of what a heat map can be drawn of."""
    label, predicted = int(analysis.labels[row]), int(analysis.predicted[row])
    names = analysis.classes
    other = _rival(analysis, row)
    if label != predicted:
        return [
            [PREDICTED, f"{names[predicted]} (predicted)"],
            [LABEL, f"{names[label]} (label)"],
            [DIFFERENCE, f"{names[predicted]} minus {names[label]}"],
        ]
    if other is None:
        return [[PREDICTED, f"{names[predicted]} (predicted)"]]
    return [
        [PREDICTED, f"{names[predicted]} (predicted)"],
        [RUNNER_UP, f"{names[other]} (runner-up)"],
        [DIFFERENCE, f"{names[predicted]} minus {names[other]}"],
    ]


def _rival(analysis: Analysis, row: int) -> int | None:
    """The class the prediction is set against: the label where it is wrong, else the runner-up."""
    label, predicted = int(analysis.labels[row]), int(analysis.predicted[row])
    if label != predicted:
        return label
    others = [c for c in strongest_first(analysis.logits[row]).tolist() if c != predicted]
    return others[0] if others else None


def _chosen(analysis: Analysis, row: int, choice: str) -> tuple[int, int | None]:
    """The class and the one to subtract. What does not exist for this image is what is nearest to it."""
    predicted, rival = int(analysis.predicted[row]), _rival(analysis, row)
    if rival is None or choice == PREDICTED:
        return predicted, None
    # the label of a right prediction is the prediction itself
    if choice == LABEL:
        return int(analysis.labels[row]), None
    return (rival, None) if choice == RUNNER_UP else (predicted, rival)


def heat_message(analysis: Analysis, row: int, choice: str) -> dict[str, Any]:
    """The heat map as the browser gets it, or a sentence on why there is none. Runs without Streamlit."""
    index, minus = _chosen(analysis, row, choice)
    about = {"image": int(analysis.ids[row]), "choice": choice}
    try:
        files = (_changed(analysis.image_path(row)), _changed(analysis.model_file))
        return {**about, **_heat(analysis, row, index, minus, files)}
    except MidbandError as error:
        return {**about, "problem": f"{error.detail} {error.next_step}"}


@lru_cache(maxsize=64)
def _heat(analysis: Analysis, row: int, index: int, minus: int | None, files: tuple[int, int]) -> dict[str, Any]:
    """files: when the image and the model were written, so that newer ones are not taken for older."""
    # torch takes seconds and 200 MB: only for who asks
    from core.activations.reloading import borrowed_classifier
    from core.classifiers.heatmap import drawn, heat_map, png, ramp_of

    try:
        image = decode(analysis.picture(row), DEFAULTS.max_image_pixels)
    except UnreadableImage as error:
        raise NotFound(
            f"Without the image there is no heat map: {error.reason}.",
            next_step="Put the file back where it was.",
        ) from error
    with borrowed_classifier(analysis) as classifier:
        heat = heat_map(classifier, image, index, minus=minus, head=analysis.head)
    low, high = heat.limits
    return {
        "url": picture_url(png(drawn(heat))),
        "box": [heat.box.left, heat.box.top, heat.box.right, heat.box.bottom],
        "colors": [f"#{color}" for color in ramp_of(heat)],
        "low": format_activation(low),
        "high": format_activation(high),
        "sentence": _heat_sentence(analysis, row, heat, index, minus),
    }


def _heat_sentence(analysis: Analysis, row: int, heat: HeatMap, index: int, minus: int | None) -> str:
    name = analysis.classes[index]
    against = "" if minus is None else analysis.classes[minus]
    what = f"logit of {name}" if minus is None else f"logit of {name} minus that of {against}"
    if not heat.exact:
        sides = f"for {name}" if minus is None else f"for {name} rather than {against}"
        nothing = "" if heat.values.max() > 0 else " Here no place does."
        sentence = f"Grad-CAM: bright places speak {sides}; how much cannot be read from it.{nothing}"
    else:
        mean = format_activation(float(heat.values.mean(dtype=np.float64)))
        other = "against it" if minus is None else f"for {against}"
        sentence = (
            f"Orange places speak for {name}, purple ones {other}: their mean, {mean}, and the bias, "
            f"{format_activation(heat.bias)}, make the {what}, {format_activation(heat.score)}."
        )
    stored = np.asarray(analysis.features[row], dtype=np.float64)
    scale = float(np.abs(stored).max(initial=0.0))
    if not np.allclose(stored, heat.features, atol=0.05 * scale):
        sentence += " The image changed since it was analysed: this map is of the file as it is now."
    if not heat.box.whole:
        sentence += " The network does not see what lies outside of the dashed frame."
    return sentence


# --- what a person does ----------------------------------------------------------------------------------------------


def _deliver(analysis: Analysis, ids: tuple[int, ...], source: str) -> None:
    told = st.session_state.get(KEY)
    inbox: Inbox = st.session_state.setdefault(f"{KEY}-inbox", Inbox())
    inbox.deliver(
        told.get("up") if isinstance(told, dict) else None, problem.kept(partial(_act, analysis, ids, source))
    )


def _act(analysis: Analysis, ids: tuple[int, ...], source: str, event: dict[str, Any]) -> None:
    looking: Looking = st.session_state[LOOKING]
    taste: Taste = st.session_state.setdefault(TASTE, Taste())
    kind, value = event.get("kind"), event.get("value")
    if kind == "go" and is_int(value):
        analysis.rows_of([value])
        looking.image = value
        looking.anchor = value if value in ids else looking.anchor
    elif kind == "tag":
        _tag(analysis, event, source)
    elif kind in ("undo", "redo"):
        take_back(analysis, kind)
    elif kind == "heat" and isinstance(value, bool):
        taste.heat = value
    elif kind == "choice" and value in (PREDICTED, LABEL, RUNNER_UP, DIFFERENCE):
        taste.choice = value
    elif kind == "metric" and value in METRICS:
        taste.metric = value
    elif kind == "every" and isinstance(value, bool):
        taste.every_class = value
    else:
        log.warning("an event of the inspector makes no sense and was dropped", kind=kind)


def _tag(analysis: Analysis, event: dict[str, Any], source: str) -> None:
    concepts = {concept.id: concept for concept in list_concepts(state.workspace(), analysis.dataset_id)}
    images, present, named = event.get("ids"), event.get("present"), event.get("concept")
    if not isinstance(images, list) or not all(map(is_int, images)) or not is_int(named) or not is_said(present):
        return
    if named not in concepts:
        tell_gone(analysis, named)
        return
    rows, author = analysis.rows_of(images), who.author()
    tag(state.workspace(), analysis, concepts[named], rows, present, author=author, source=source, how="inspector")


def tell_gone(analysis: Analysis, concept: int) -> None:
    """Say that a tag was not kept, since somebody put away the concept of this id meanwhile."""
    left = departure(state.workspace(), analysis.dataset_id, concept)
    if left is None:
        notices.say("That concept is not there, so nothing was tagged.", ":material/info:")
        return
    told = f"{concept_tools.departed(left)}, so nothing was tagged. Undo of that step brings it back."
    notices.say(told, ":material/info:")


def take_back(analysis: Analysis, kind: str) -> None:
    """Undo or redo what this person did last to the tags of the dataset, as `kind` says, and tell what it was."""
    tell_step(analysis, kind, step(analysis, kind))


def step(analysis: Analysis, kind: str) -> UndoneAction | None:
    """Undo or redo what this person did last to the tags of the dataset; None where there is nothing."""
    turn = undo if kind == "undo" else redo
    # somebody who has just given another name still means what was done under the one before
    turned = (turn(state.workspace(), analysis.dataset_id, name) for name in who.names())
    return next((action for action in turned if action is not None), None)


def tell_step(analysis: Analysis, kind: str, action: UndoneAction | None) -> None:
    """Say what was undone or done again; None: there was nothing."""
    if action is None:
        others = ", though others did something" if kind == "undo" and live.has_others(analysis) else ""
        notices.say(f"Nothing of yours to {kind}{others}.", ":material/info:")
        return
    verb = "Took back" if kind == "undo" else "Brought back"
    notes = "".join(f" {plain(brief(note))}" for note in action.notes)
    notices.say(f"{verb}: {plain(brief(lowered(action.sentence)))}.{notes}", f":material/{kind}:")


def brief(sentence: str, most: int = 40) -> str:
    """A sentence in which long names are cut short; they stand between “ and ”."""
    return short(_NAMED.sub(lambda found: f"“{short(found[1], most)}”", sentence), 5 * most)


def lowered(sentence: str) -> str:
    """A sentence as it goes on within another one."""
    return sentence[:1].lower() + sentence[1:]


def _changed(file: Path) -> int:
    """When a file was written; 0 where there is none."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
