"""Several people at once: what another session tagged appears here too, about a second later.

While its tab can be seen, the browser asks the server once a second (`live_route`) whether anything else holds than
what this page was drawn from. Only when it does, the page is run again, and only while no dialog is open and nothing
is dragged. What this session did itself is no news, since what it shows has that already, nor is what was done under
the same name while no other page of that name is open. What a session did is noted as it is committed, so that no
caller can forget to say it.

The question costs one query; a fragment that Streamlit runs every second was measured at forty times that, since each
run ends with a full garbage collection.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st
from sqlalchemy import event, exists, func, inspect, orm, select
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.concepts.tags import tag_version
from core.database import TagAction
from pages.parts import live_route, rooms, state, who
from pages.parts.component_source import source
from pages.parts.words import count

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.workspace import Workspace

KEY = "live"
TOKEN = "live_token"
DID = "live_did"
# versions are sums of stamps of so many bits
VERSIONS = 2**61 - 1
# seconds after its last question at which a session counts as gone; a hidden tab does not ask
GONE = 5.0
# seconds after which it is forgotten; when it comes back its page is run once more
FORGOTTEN = 600.0

_component = st.components.v2.component(
    "midband_live",
    html=source("live", "live.html"),
    css=source("live", "live.css"),
    js=source("live", "live.js"),
)
_sessions: dict[str, Session] = {}
_lock = threading.Lock()


@dataclass
class Session:
    """A page somebody has open, and what it was last drawn from.

    names: whose tags are no news to it. version: of all tags. others: a fingerprint of what people of other names did.
    seen: when it last asked. did: its own actions since, each as id and +1 where it stands from then on, -1 where it
    was undone. noted: the version that `note` was made of, and who was here then.
    """

    workspace: Workspace
    analysis: Analysis
    browser: who.Browser
    names: tuple[str, ...]
    version: int
    others: tuple[Any, ...]
    seen: float = field(default_factory=time.monotonic)
    did: list[tuple[int, int]] = field(default_factory=list)
    noted: object = None
    note: str = ""


def watch(analysis: Analysis | None) -> None:
    """Show what others tag, about a second later. To be called on every run of the page, before it is drawn."""
    if analysis is None:
        with _lock:
            _sessions.pop(st.session_state.get(TOKEN, ""), None)
        return
    drawn(analysis)
    with st.sidebar:
        _watch()


def drawn(analysis: Analysis) -> None:
    """Note that what is drawn from now on shows every tag there is: to be called before tags are read."""
    token = st.session_state.setdefault(TOKEN, secrets.token_urlsafe(18))
    workspace, names = state.workspace(), who.names()
    version = tag_version(workspace, analysis.dataset_id)
    known = _sessions.get(token)
    if known and (known.analysis, known.names, known.version) == (analysis, names, version):
        known.seen = time.monotonic()
        return
    fingerprint = others(workspace, analysis.dataset_id, names)
    fresh = Session(workspace, analysis, who.browser(), names, version, fingerprint)
    with _lock:
        _sessions[token] = fresh
        for old in [key for key, each in _sessions.items() if time.monotonic() - each.seen > FORGOTTEN]:
            del _sessions[old]


def ask(token: str) -> dict[str, Any] | None:
    """What the browser is told: {news, note}; None where the session is not known. Runs without Streamlit."""
    session = _sessions.get(token)
    if session is None:
        return None
    session.seen = session.browser.seen = time.monotonic()
    version = tag_version(session.workspace, session.analysis.dataset_id)
    return {"news": _is_news(token, session, version), "note": _note(session, version)}


def shown(token: str) -> tuple[Workspace, Analysis] | None:
    """What the session known by this token looks at; None where it is not known."""
    session = _sessions.get(token)
    return None if session is None else (session.workspace, session.analysis)


def others(workspace: Workspace, dataset_id: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    """A value that differs whenever somebody of another name tagged, undid, or changed a concept."""
    undone = TagAction.undone.is_not(None)
    with workspace.reading() as session:
        found = session.execute(
            select(
                func.max(TagAction.id),
                func.count(TagAction.undone),
                func.max(TagAction.undone),
                func.sum(TagAction.id).filter(undone),
            ).where(TagAction.dataset_id == dataset_id, TagAction.author.not_in(names))
        ).one()
    return tuple(found)


def has_others(analysis: Analysis) -> bool:
    """Whether something stands that somebody of another name did."""
    theirs = TagAction.author.not_in(who.names())
    with state.workspace().reading() as session:
        standing = exists().where(TagAction.dataset_id == analysis.dataset_id, TagAction.undone.is_(None), theirs)
        return bool(session.scalar(select(standing)))


def people(dataset_id: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Others who have this dataset open now, in the order of the alphabet. names: who is not "others"."""
    here = {each.names[0] for each in _here(dataset_id)}
    return tuple(sorted(here.difference(names)))


def _here(dataset_id: str) -> list[Session]:
    now = time.monotonic()
    with _lock:
        return [
            each for each in _sessions.values() if each.analysis.dataset_id == dataset_id and now - each.seen < GONE
        ]


def _is_news(token: str, session: Session, version: int) -> bool:
    if version == session.version:
        return False
    dataset = session.analysis.dataset_id
    did = list(session.did)
    if version == _version_after(session, did):
        session.version = version
        del session.did[: len(did)]
        return False
    # another page of the same name: what it tags is still news to this one
    twin = any(each is not session and each.names[0] == session.names[0] for each in _here(dataset))
    if twin or others(session.workspace, dataset, session.names) != session.others:
        return True
    session.version = version
    return False


def _version_after(session: Session, did: list[tuple[int, int]]) -> int | None:
    """The version of the tags when nothing but these actions came since the page was drawn; None where one is gone."""
    with session.workspace.reading() as reading:
        found = reading.execute(
            select(TagAction.id, TagAction.stamp).where(TagAction.id.in_({action for action, _ in did}))
        ).all()
    stamps = {each.id: each.stamp for each in found}
    if any(action not in stamps for action, _ in did):
        return None
    return (session.version + sum(sign * stamps[action] for action, sign in did)) & VERSIONS


@event.listens_for(orm.Session, "after_flush")
def _gather(writing: orm.Session, _: object) -> None:
    """Keep, until they are committed, the actions that are appended, undone or done again."""
    for each in (*writing.new, *writing.dirty):
        if isinstance(each, TagAction) and (each in writing.new or inspect(each).attrs.undone.history.has_changes()):
            writing.info.setdefault(DID, []).append((each.id, 1 if each.undone is None else -1))


@event.listens_for(orm.Session, "after_commit")
def _committed(writing: orm.Session) -> None:
    did, session = writing.info.pop(DID, []), _sessions.get(_token())
    if session is not None:
        session.did.extend(did)


def _token() -> str:
    """What the session is known by whose run this thread is in; "" outside of any."""
    return st.session_state.get(TOKEN, "") if get_script_run_ctx(suppress_warning=True) else ""


def _note(session: Session, version: int) -> str:
    """Who else is here and how far one agrees with them, a line each; made anew only when either changes."""
    here = people(session.analysis.dataset_id, session.names)
    if session.noted != (version, here):
        session.note = "\n".join(_sentence(session, name) for name in here[:3])
        if len(here) > 3:
            session.note += f"\nand {len(here) - 3} more"
        session.noted = (version, here)
    return session.note


def _sentence(session: Session, name: str) -> str:
    """Ada tagged 12 images; you agree on 9 of 10."""
    # few sessions ever need it: others start without
    from core.concepts.agreement import agreements
    from core.concepts.history import authors

    shown, dataset = who.isolated(name), session.analysis.dataset_id
    tags = next((each.tags for each in authors(session.workspace, dataset) if each.name == name), 0)
    if not tags:
        return f"{shown} is here too."
    me = session.names[0]
    pairs = agreements(session.workspace, session.analysis)
    both = next((pair for pair in pairs if {pair.first, pair.second} == {me, name}), None)
    agreed = f"; you agree on {both.same:,} of {both.both:,}" if both else ""
    return f"{shown} is here, tagged {count(tags, 'image')}{agreed}."


@st.fragment
def _watch() -> None:
    told = st.session_state.get(KEY)
    if isinstance(told, dict) and told.get("refresh"):
        st.rerun()
    if isinstance(told, dict) and told.get("open"):
        rooms.go("concepts", look="people")
    _component(
        key=KEY,
        data={
            "url": live_route.path(st.session_state[TOKEN]),
            "drawn": str(_sessions[st.session_state[TOKEN]].version),
        },
        on_refresh_change=lambda: None,
        on_open_change=lambda: None,
    )
