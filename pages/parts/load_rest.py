"""The rest of a first look: once all images are there, whoever still looks at the sample is led on."""

from __future__ import annotations

from functools import partial

import streamlit as st
from sqlalchemy import select

from core.database import AnalysisRecord
from pages.parts import problem, state
from pages.parts.words import count


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
    """Of the same model on the same dataset, with more images; the newest."""
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
        return session.scalars(query.order_by(AnalysisRecord.created.desc()).limit(1)).first()
