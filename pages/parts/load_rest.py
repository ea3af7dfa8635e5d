"""The rest of a first look: once all images are there, whoever still looks at the sample is led on."""

from __future__ import annotations

from functools import partial
from typing import Any

import streamlit as st
from sqlalchemy import select

from core.activations.store import DESCRIPTION
from core.database import AnalysisRecord
from core.files import read_json
from pages.parts import problem, state
from pages.parts.words import count

# how the note begins that `Dataset.sample` leaves
SAMPLED = "A sample of "


def offer() -> None:
    """A button, where the investigation at hand is a sample of one that came after it. Nothing is swapped by itself:
    somebody may be in the middle of tagging."""
    with problem.shown():
        found = _whole(current) if (current := state.chosen_id()) else None
        if found is not None:
            st.button(
                f"All {count(found.images, 'image')} are ready",
                key="load-rest",
                icon=":material/done_all:",
                width="stretch",
                help="You are at the first look, a sample of them. The model and your tags stay the same.",
                on_click=problem.kept(partial(state.choose, found.id)),
            )


def _whole(current: str) -> AnalysisRecord | None:
    """What the investigation is a sample of: the newest of all images of that dataset, by the same weights, classes and
    preprocessing. A file of weights may have been written anew meanwhile, so its path alone says nothing."""
    with state.workspace().reading() as session:
        sample = session.get(AnalysisRecord, current)
        if sample is None:
            return None
        query = select(AnalysisRecord).where(
            AnalysisRecord.dataset_id == sample.dataset_id,
            AnalysisRecord.model_file == sample.model_file,
            AnalysisRecord.arch == sample.arch,
            AnalysisRecord.images > sample.images,
            AnalysisRecord.created > sample.created,
        )
        later = session.scalars(query.order_by(AnalysisRecord.created.desc())).all()
    if not later or (own := _description(current)) is None or not _sampled(own):
        return None
    for record in later:
        facts = _description(record.id)
        if facts is not None and not _sampled(facts) and _network(facts) == _network(own):
            return record
    return None


def _description(analysis_id: str) -> dict[str, Any] | None:
    """What is known of an investigation; None where it is gone or damaged."""
    try:
        found: dict[str, Any] = read_json(state.workspace().analyses / analysis_id / DESCRIPTION)
    except (OSError, ValueError):
        return None
    return found


def _sampled(facts: dict[str, Any]) -> bool:
    return any(note.startswith(SAMPLED) for note in facts["notes"])


def _network(facts: dict[str, Any]) -> tuple[Any, ...]:
    """What two passes have in common whose numbers can be laid side by side."""
    return facts["model"]["digest"], facts["model"]["preprocessing"], facts["classes"]
