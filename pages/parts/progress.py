"""How far an investigation has come in the loop: looked, named, tagged, repaired, exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy import select

from core.concepts.concept import list_concepts
from core.concepts.tags import UNTAGGED, tag_states
from core.database import Meta, RunRecord
from core.settings import DEFAULTS
from pages.parts import state

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

STEPS = ("Looked", "Named", "Tagged", "Repaired", "Exported")
# in the session: the views of the Bands page by investigation, and which of them are noted
VIEWS = "band_views"
NOTED = "progress_noted"
_LOOKED = "looked-at-"


@dataclass(frozen=True)
class Progress:
    """concepts: what was named. tags: answers about all of them. enough: as many as a repair asks for. run: the newest
    repair."""

    looked: bool
    concepts: tuple[str, ...]
    tags: int
    enough: bool
    run: RunResult | None
    exported: bool

    @property
    def done(self) -> tuple[bool, ...]:
        """Per step of `STEPS`."""
        return self.looked, bool(self.concepts), self.enough, self.run is not None, self.exported


def of(analysis: Analysis) -> Progress:
    concepts = list_concepts(state.workspace(), analysis.dataset_id)
    answered = [answers(analysis, concept) for concept in concepts]
    run = state.last_run(analysis.id)
    return Progress(
        looked=bool(concepts) or run is not None or _was_looked_at(analysis.id),
        concepts=tuple(concept.name for concept in concepts),
        tags=sum(answered),
        # whoever has repaired had enough
        enough=sum(answered) >= DEFAULTS.tag_budget or (run is not None and any(answered)),
        run=run,
        exported=run is not None and _was_exported(analysis.id),
    )


def answers(analysis: Analysis, concept: object) -> int:
    """Images somebody said something about."""
    return int((tag_states(state.workspace(), analysis, concept) != UNTAGGED).sum())


def note_looks() -> None:
    """Remember which investigations this session has looked at; to be called on every run."""
    noted: set[str] = st.session_state.setdefault(NOTED, set())
    fresh = set(st.session_state.get(VIEWS, ())) - noted
    if not fresh:
        return
    with state.workspace().writing() as session:
        for analysis_id in fresh:
            session.merge(Meta(key=f"{_LOOKED}{analysis_id}", value="1"))
    noted |= fresh


def forget_look(analysis_id: str) -> None:
    """It was reset: nobody has looked at it yet."""
    with state.workspace().writing() as session:
        if (record := session.get(Meta, f"{_LOOKED}{analysis_id}")) is not None:
            session.delete(record)


def _was_looked_at(analysis_id: str) -> bool:
    if analysis_id in st.session_state.get(VIEWS, ()):
        return True
    with state.workspace().reading() as session:
        return session.get(Meta, f"{_LOOKED}{analysis_id}") is not None


def _was_exported(analysis_id: str) -> bool:
    with state.workspace().reading() as session:
        ids = session.scalars(select(RunRecord.id).where(RunRecord.analysis_id == analysis_id)).all()
    return any((state.workspace().exports / run_id).is_dir() for run_id in ids)
