"""Who the person in front of a page is, where people sign in; and the way out.

`guard` lets nobody without a sign-in come as far as a page. Here it is looked up again whenever something is done, so
that a role that was changed, or a sign-in that ended, holds from the next press on.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.access import modes
from core.access.person import LOCAL, Person, acting, acting_as, find_with
from core.access.policy import Permission, advice, allowed, refusal
from core.access.signing_in import person_of, sign_out
from core.errors import NotAllowed
from pages.parts import problem, state
from pages.parts.component_source import source
from pages.parts.words import plain

COOKIE = "midband-session"
SHOWN = "gate_person"
LEFT = "gate_left"
# what whoever comes to a room most likely wants to do there, beside looking
OFFERED = dict.fromkeys(("bands", "map", "concepts"), Permission.TAG)
# seconds for which a sign-in is taken as it was: a page asks often
KEPT = 1.0

_leave = st.components.v2.component(
    "midband_gate", html="<span hidden></span>\n", css=":host { display: none }\n", js=source("gate", "gate.js")
)
_known: dict[str, tuple[float, Person | None]] = {}
_lock = threading.Lock()


def install() -> None:
    """Ask for the person of a page's run from now on. To be called once, when the server starts."""
    if modes.signs_in():
        find_with(_of_this_run)


def person_in(cookies: Mapping[str, str], *, anew: bool = False) -> Person | None:
    """Who is signed in with these cookies; None: nobody. anew: as it is at this moment."""
    token = cookies.get(COOKIE, "")
    if not token:
        return None
    key, moment = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
    with _lock:
        since, known = _known.get(key, (-KEPT, None))
        if moment - since < KEPT and not anew:
            return known
    found = person_of(state.opened(), token)
    with _lock:
        for old in [each for each, (at, _) in _known.items() if moment - at >= KEPT]:
            del _known[old]
        _known[key] = (moment, found)
    return found


def enter() -> None:
    """To be called first on every run of the frame: it ends here for who is not signed in any more."""
    if not modes.signs_in():
        return
    person_in(st.context.cookies, anew=True)
    try:
        person = acting()
    except NotAllowed as error:
        st.session_state.clear()
        problem.show(error)
        _leave(key="gate-leave", data={"to": _goodbye() if modes.mode() == modes.OIDC else ""})
        st.stop()
    before = st.session_state.get(SHOWN)
    if before not in (None, person.name):
        # another person in the same tab: nothing of the one before stays
        st.session_state.clear()
    st.session_state[SHOWN] = person.name


def me() -> Person:
    """Who is in front of the page. Raises `NotAllowed`."""
    return acting() if modes.signs_in() else LOCAL


def may(permission: Permission) -> bool:
    """Whether who is in front of the page may do that."""
    return allowed(me().role, permission)


def why_not(permission: Permission) -> str:
    """Why a control stays away, in a sentence; empty where it does not."""
    person = me()
    return "" if allowed(person.role, permission) else f"{refusal(person, permission)}. {advice(permission)}"


def closed(permission: Permission) -> bool:
    """Whether something stays away from this person; says so in its place."""
    if sentence := why_not(permission):
        st.info(plain(sentence), icon=":material/lock:")
    return bool(sentence)


def remind(room: str) -> None:
    """At the head of a room: what it offers and this person may not do."""
    if room in OFFERED and (sentence := why_not(OFFERED[room])):
        st.caption(f":material/lock: {plain(sentence)}")


def button(permission: Permission, label: str, **options: Any) -> bool:
    """`st.button`, which says why it cannot be pressed by somebody who may not do that."""
    return st.button(label, **_within(permission, options))


def form_submit_button(permission: Permission, label: str, **options: Any) -> bool:
    return st.form_submit_button(label, **_within(permission, options))


def menu_button(permission: Permission, label: str, choices: Sequence[str], **options: Any) -> str | None:
    return st.menu_button(label, choices, **_within(permission, options))


def download_button(label: str, *, data: Callable[[], bytes], **options: Any) -> bool:
    """`st.download_button` of a file that is made when it is asked for, by a thread that knows of no page."""
    return st.download_button(label, data=_for_me(data), **_within(Permission.EXPORT, options))


def _within(permission: Permission, options: dict[str, Any]) -> dict[str, Any]:
    if sentence := why_not(permission):
        return options | {"disabled": True, "help": plain(sentence)}
    return options


def _for_me(make: Callable[[], bytes]) -> Callable[[], bytes]:
    if not modes.signs_in():
        return make
    cookies = dict(st.context.cookies)

    def made() -> bytes:
        # looked up again: a sign-in may have ended since the button was drawn
        person = person_in(cookies)
        if person is None:
            raise _gone()
        with acting_as(person):
            return make()

    return made


def sign_out_button() -> None:
    """Ends the sign-in of this browser, in all its tabs."""
    st.button("Sign out", icon=":material/logout:", key="gate-sign-out", on_click=problem.kept(partial(_sign_out)))


def _sign_out() -> None:
    sign_out(state.opened(), st.context.cookies.get(COOKIE, ""))
    with _lock:
        _known.clear()


def _of_this_run() -> Person:
    if get_script_run_ctx(suppress_warning=True) is not None and (found := person_in(st.context.cookies)):
        return found
    raise _gone()


def _gone() -> NotAllowed:
    return NotAllowed("You are signed in no more.", next_step="Reload the page to sign in.", title="Signed out")


def _goodbye() -> str:
    """Where Streamlit forgets what the identity provider said, and tells the provider."""
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{'/' + base if base else ''}/auth/logout"
