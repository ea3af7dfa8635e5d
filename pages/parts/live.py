"""Several people at once: what another session tagged appears here too, about a second later.

The browser beats once a second while its tab can be seen. Each beat runs a fragment that asks the database one
question: does anything else hold than what this page was drawn from? Only then is the page run again, and only while
no dialog is open and nothing is dragged. What a person of this session tagged is no news: its grid shows that already.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st
from sqlalchemy import func, select

from core.concepts.tags import tag_version
from core.database import TagAction
from pages.parts import state, who
from pages.parts.component_source import source

if TYPE_CHECKING:
    from core.activations.store import Analysis

KEY = "live"
# seconds after its last beat at which a session counts as gone; a hidden tab does not beat
GONE = 15.0

_component = st.components.v2.component(
    "midband_live", html="<span hidden></span>\n", css=":host { display: none }\n", js=source("live", "live.js")
)


@dataclass
class Drawn:
    """What the page was last drawn from: the version of all tags, and a fingerprint of what others did."""

    version: int
    others: tuple[Any, ...]


@dataclass
class Session:
    """A page somebody has open. seen: of `time.monotonic`, when it last beat."""

    author: str = ""
    dataset: str = ""
    seen: float = field(default_factory=time.monotonic)


def watch(analysis: Analysis | None) -> None:
    """Look about once a second whether somebody else tagged, and show it. To be called on every run of the page."""
    if analysis is None:
        return
    drawn(analysis)
    with st.sidebar:
        _watch(analysis)


def drawn(analysis: Analysis) -> None:
    """What is drawn from now on in this run shows every tag there is: to be called before tags are read."""
    version = tag_version(state.workspace(), analysis.dataset_id)
    kept: dict[str, Drawn] = st.session_state.setdefault("live_drawn", {})
    if analysis.dataset_id not in kept or kept[analysis.dataset_id].version != version:
        kept[analysis.dataset_id] = Drawn(version, others(analysis))


def is_news(analysis: Analysis) -> bool:
    """Whether somebody else did something since the page was drawn."""
    before: Drawn = st.session_state["live_drawn"][analysis.dataset_id]
    version = tag_version(state.workspace(), analysis.dataset_id)
    if version == before.version:
        return False
    if others(analysis) != before.others or _has_twin(analysis):
        return True
    before.version = version
    return False


def others(analysis: Analysis) -> tuple[Any, ...]:
    """A value that differs whenever somebody of another name tagged, undid or changed a concept."""
    with state.workspace().reading() as session:
        return tuple(
            session.execute(
                select(
                    func.max(TagAction.id),
                    func.count(TagAction.undone),
                    func.max(TagAction.undone),
                    func.sum(TagAction.id).filter(TagAction.undone.is_not(None)),
                ).where(TagAction.dataset_id == analysis.dataset_id, TagAction.author.not_in(who.names()))
            ).one()
        )


def people(analysis: Analysis) -> tuple[str, ...]:
    """Names of others who have this dataset open, in the order of the alphabet."""
    now = time.monotonic()
    here = {
        each.author
        for each in list(_sessions().values())
        if each.dataset == analysis.dataset_id and now - each.seen < GONE
    }
    return tuple(sorted(here - {who.author()}))


@st.fragment
def _watch(analysis: Analysis) -> None:
    _beat(analysis)
    told = st.session_state.get(KEY)
    beat = told.get("beat") if isinstance(told, dict) else None
    if isinstance(beat, dict) and beat.get("free") is True and is_news(analysis):
        st.rerun()
    _component(key=KEY, data={"on": True}, on_beat_change=lambda: None)


def _beat(analysis: Analysis) -> None:
    identity = st.session_state.setdefault("live_session", secrets.token_hex(8))
    sessions = _sessions()
    sessions[identity] = Session(who.author(), analysis.dataset_id)
    for old in [key for key, each in list(sessions.items()) if time.monotonic() - each.seen > 10 * GONE]:
        sessions.pop(old, None)


def _has_twin(analysis: Analysis) -> bool:
    """Whether another page of the same name is open: what it tags has this session's name and is still news."""
    now, me, mine = time.monotonic(), who.author(), st.session_state.get("live_session")
    return any(
        key != mine and each.author == me and each.dataset == analysis.dataset_id and now - each.seen < GONE
        for key, each in list(_sessions().items())
    )


@st.cache_resource(show_spinner=False)
def _sessions() -> dict[str, Session]:
    """Pages open now, on all sessions of this server."""
    return {}
