"""One large image after the other, answered by single keys.

    tag_card.show(analysis, concept, deck)

Every answer is an event that travels through the outbox of the image grid: numbered, repeated until it is
acknowledged, delivered once. The browser shows the next image without waiting; its picture is there already, since the
pictures of the next few travel ahead, each in a message of its own that is sent once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core.concepts.concept import Concept, list_concepts
from core.concepts.departures import departure
from core.concepts.log import Said
from core.concepts.standing import said_of, standing_by
from core.concepts.suggestions import suggest_next
from core.concepts.tags import UNTAGGED, answers, tag, tagging_split
from core.settings import DEFAULTS
from pages.parts import concept_tools, inspector, notices, problem, state, who
from pages.parts.carrier import carry
from pages.parts.component_source import source
from pages.parts.inbox import Inbox, is_int, is_said
from pages.parts.picture_url import picture_url
from pages.parts.tag_deck import IN_HAND, Deck, Step
from pages.parts.words import count

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.suggestions import Suggestion

DECKS = "tag_decks"
OPENED = "card_opened"
HOW = "card"
# images put back at once when an undo takes back what was answered elsewhere
MOST_BACK = 24

WHY = {
    "top": "Asked to confirm the usual look: the model is surest about images like this.",
    "own-low": "Asked because the model finds it least like its own class: most exceptions are there.",
    "boundary": "Asked because two classes are nearly level here.",
    "doubt": "Asked because your answers so far leave this one most open.",
}
LATER = "Put off before."
EMPTY = "Every image that can be asked about is answered."

_component = st.components.v2.component(
    "midband_tag_card",
    html=source("tag_card", "tag_card.html"),
    css="\n".join([source("tag_card", "tag_card.css"), source("image_grid", "tooltip.css")]),
    js="\n".join(
        [
            source("carrier", "receive.js"),
            source("image_grid", "dom.js", "keys.js", "outbox.js", "tooltip.js", "would.js"),
            source("tag_card", "deck.js", "pictures.js", "tag_card.js"),
        ]
    ),
)


@dataclass(frozen=True)
class CardEvent:
    """What a person did. kind: tag (`next`: it answers the question), skip, undo, redo, open. image: its id."""

    kind: str
    image: int | None = None
    concept: int | None = None
    present: Said = None
    next: bool = False


def read_event(entry: dict[str, Any]) -> CardEvent | None:
    """An event as the browser sent it; None where it makes no sense."""
    kind, image, concept, present = (entry.get(name) for name in ("kind", "id", "concept", "present"))
    if kind in ("undo", "redo"):
        return CardEvent(kind)
    if not is_int(image):
        return None
    if kind in ("skip", "open"):
        return CardEvent(kind, image)
    if kind == "tag" and is_int(concept) and is_said(present):
        return CardEvent("tag", image, concept, present, entry.get("next") is True)
    return None


def deck_of(analysis: Analysis, concept: Concept) -> Deck:
    """The deck of a concept, for the rest of the session."""
    decks: dict[tuple[str, int], Deck] = st.session_state.setdefault(DECKS, {})
    return decks.setdefault((analysis.id, concept.id), Deck())


def _let_go_of_pictures(deck: Deck) -> None:
    """Only the deck on screen keeps its pictures in full: they are large, and a session may ask about many concepts."""
    for other in st.session_state.get(DECKS, {}).values():
        if other is not deck:
            other.pictures.clear()


def prepare(analysis: Analysis, concept: Concept) -> Deck:
    """The deck as it is to be shown now: what is answered elsewhere taken out, the next images added."""
    deck = deck_of(analysis, concept)
    said = answers(state.workspace(), analysis, concept)
    # Streamlit forgets a component's state when it is not shown: then nobody has the first images in hand
    in_hand = IN_HAND if _key(analysis) in st.session_state else 0
    held = np.array(deck.images, dtype=np.int64)
    deck.drop(held[said[analysis.rows_of(held)] != UNTAGGED].tolist(), keep=in_hand)
    tagged = int((said[analysis.split_rows(tagging_split(analysis))] != UNTAGGED).sum())

    def propose(wanted: int) -> Iterator[tuple[int, Suggestion]]:
        budget = max(DEFAULTS.tag_budget - tagged, 0) + wanted
        for item in suggest_next(state.workspace(), analysis, concept, budget=budget):
            yield int(analysis.ids[item.row]), item

    deck.fill(propose)
    _let_go_of_pictures(deck)
    return deck


def show(analysis: Analysis, concept: Concept, deck: Deck) -> None:
    """Ask about the deck's images. What a person does is delivered before the script runs."""
    key = _key(analysis)
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    concepts = list_concepts(state.workspace(), analysis.dataset_id)
    shown = list(dict.fromkeys([*deck.images, *(step.image for step in deck.trail[-8:])]))
    rows = analysis.rows_of(shown)
    with st.container(gap=None):
        carry(f"{key}-thumbnails", "tag_card", thumbnails(key, analysis, deck.images))
        _component(
            key=key,
            data={
                "role": "cards",
                "store": key,
                "concept": _concept(concept),
                "concepts": [_concept(one) for one in concepts],
                "deck": deck.images,
                "trail": [step.to_dict() for step in deck.trail],
                "cards": facts(analysis, rows, concepts, deck),
                "empty": EMPTY,
                "ack": inbox.done,
            },
            on_up_change=partial(_deliver, analysis, concept),
        )
        for slot in deck.assign():
            carry(f"{key}-picture-{slot}", "tag_card", picture(key, analysis, deck, slot))
    opened = st.session_state.pop(OPENED, None)
    if opened is not None:
        inspector.open_dialog(analysis, opened, ids=deck.images)


def facts(analysis: Analysis, rows: np.ndarray, concepts: Sequence[Concept], deck: Deck) -> dict[str, dict[str, Any]]:
    """What the browser knows of each image: why it is asked, what is said of it, what is only shown on request."""
    # what a column of the dataset says would give away the answer
    tags = said_of(state.workspace(), analysis, rows)
    by_name = {concept.name: concept.id for concept in concepts}
    names = analysis.image_names(rows)
    told = {}
    for place, row in enumerate(map(int, rows)):
        image = int(analysis.ids[row])
        label, predicted = analysis.label_name(row), analysis.classes[analysis.predicted[row]]
        verdict = "right" if label == predicted else "wrong"
        opinion = f"Label {label} · predicted {predicted} ({verdict})" if label else f"Predicted {predicted}"
        why = WHY.get(deck.why.get(image, ""), "")
        told[str(image)] = {
            "why": f"{LATER} {why}" if image in deck.later else why,
            "opinion": f"{opinion} · {names[place]}",
            "said": {str(by_name[name]): said for name, said in tags.get(row, ()) if name in by_name},
        }
    return told


def thumbnails(key: str, analysis: Analysis, images: Sequence[int]) -> dict[str, Any]:
    """In rising order of ids: an answer changes the order asked and nothing here, until new images come."""
    rows = analysis.rows_of(sorted(images))
    encoded = {str(int(analysis.ids[row])): picture_url(analysis.thumbnail(row)) for row in rows}
    return {"role": "thumbnails", "store": key, "thumbnails": encoded}


def picture(key: str, analysis: Analysis, deck: Deck, slot: int) -> dict[str, Any]:
    """The message of one slot: the image in full, made once."""
    image = deck.slots[slot]
    if image is None:
        return {"role": "picture", "store": key, "image": None}
    if image not in deck.pictures:
        told = inspector.picture(analysis, int(analysis.rows_of([image])[0]))
        deck.pictures[image] = {"role": "picture", "store": key, **told}
    return deck.pictures[image]


def _deliver(analysis: Analysis, concept: Concept) -> None:
    key = _key(analysis)
    told = st.session_state.get(key)
    inbox: Inbox = st.session_state.setdefault(f"{key}-inbox", Inbox())
    # a problem with one event must not take the others with it
    act = problem.kept(partial(_act, analysis, concept))
    inbox.deliver(told.get("up") if isinstance(told, dict) else None, act, read=read_event)
    _tell_lost(analysis, concept)


def _act(analysis: Analysis, concept: Concept, event: CardEvent) -> None:
    deck = deck_of(analysis, concept)
    if event.kind == "undo":
        take_back(analysis, concept, deck)
    elif event.kind == "redo":
        bring_back(analysis, concept, deck)
    elif event.image is not None:
        row = int(analysis.rows_of([event.image])[0])
        if event.kind == "skip":
            deck.note(Step("skip", event.image))
        elif event.kind == "open":
            st.session_state[OPENED] = event.image
        else:
            _tag(analysis, deck, event, row)


def _tag(analysis: Analysis, deck: Deck, event: CardEvent, row: int) -> None:
    """The event names its concept: the person may be asked about another one by now."""
    workspace = state.workspace()
    concept = next((one for one in list_concepts(workspace, analysis.dataset_id) if one.id == event.concept), None)
    if event.concept is None or event.image is None:
        return
    if concept is None:
        lost: dict[int, int] = st.session_state.setdefault(concept_tools.LOST, {})
        lost[event.concept] = lost.get(event.concept, 0) + 1
        return
    before = dict(said_of(workspace, analysis, [row]).get(row, ())).get(concept.name)
    asked = deck_of(analysis, concept) if event.next else deck
    mine = standing_by(workspace, analysis, concept, row, who.names()) if before == event.present else None
    if mine is None:
        mine = tag(workspace, analysis, concept, [row], event.present, author=who.author(), how=HOW)
    else:
        # sent once more after the server had started anew; or given twice, which is still one answer to take back
        asked.trail = [step for step in asked.trail if step.action != mine]
    asked.note(Step("tag", event.image, concept.id, before, event.present, event.next, mine))


def _tell_lost(analysis: Analysis, concept: Concept) -> None:
    """Answers about concepts that were gone; of the one that is asked about the page speaks itself."""
    lost: dict[int, int] = st.session_state.get(concept_tools.LOST, {})
    for other in [each for each in lost if each != concept.id]:
        number, left = lost.pop(other), departure(state.workspace(), analysis.dataset_id, other)
        if left is not None:
            notices.say(
                f"{concept_tools.departed(left)}, so {count(number, 'answer')} {'was' if number == 1 else 'were'} not "
                "saved. Undo of the deletion, or a new concept of the same name, brings it back.",
                ":material/warning:",
            )


def take_back(analysis: Analysis, concept: Concept, deck: Deck) -> None:
    """Undo the last step: an image that was put off, else this person's newest action of any page."""
    last = deck.trail[-1] if deck.trail else None
    if last is not None and last.kind == "skip":
        deck.took_back()
        return
    workspace = state.workspace()
    before = answers(workspace, analysis, concept)
    action = inspector.step(analysis, "undo")
    if action is None:
        inspector.tell_step(analysis, "undo", None)
        return
    if last is not None and action.id == last.action:
        deck.took_back()
        return
    # it was done elsewhere, so the trail is no longer what happened last; what is open again is asked about next
    deck.trail.clear()
    inspector.tell_step(analysis, "undo", action)
    now = answers(workspace, analysis, concept)
    open_again = np.flatnonzero((before != UNTAGGED) & (now == UNTAGGED))
    if len(open_again) <= MOST_BACK:
        deck.to_front([int(image) for image in analysis.ids[open_again]])


def bring_back(analysis: Analysis, concept: Concept, deck: Deck) -> None:
    """Redo this person's last undone action."""
    workspace = state.workspace()
    before = answers(workspace, analysis, concept)
    action = inspector.step(analysis, "redo")
    if action is None:
        inspector.tell_step(analysis, "redo", None)
        return
    now = answers(workspace, analysis, concept)
    answered = [int(image) for image in analysis.ids[np.flatnonzero((before == UNTAGGED) & (now != UNTAGGED))]]
    deck.drop(answered)
    if len(answered) == 1:
        said: Said = _said(int(now[analysis.rows_of(answered)[0]]))
        deck.note(Step("tag", answered[0], concept.id, None, said, True, action.id))
    else:
        inspector.tell_step(analysis, "redo", action)


def _said(state_: int) -> Said:
    return {1: True, 0: False, UNTAGGED: None}.get(state_, "unsure")


def _concept(concept: Concept) -> dict[str, Any]:
    return {"id": concept.id, "name": concept.name, "color": concept.color, "shortcut": concept.shortcut}


def _key(analysis: Analysis) -> str:
    return f"tag-card-{analysis.id}"
