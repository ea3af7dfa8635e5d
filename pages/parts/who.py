"""Who is tagging: the name a browser goes by in what it says about images.

The name is chosen for a new browser, kept in its cookie, and changed in the sidebar. It is no account and protects
nothing: it tells the tags of people who share a workspace apart, and lets each undo what is their own. The command
line tags as "local".
"""

from __future__ import annotations

import re
import secrets
import threading
import time
import unicodedata
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote, unquote

import streamlit as st
from sqlalchemy import select

from core.access import modes
from core.access.person import Person, acting
from core.access.policy import Permission, allowed
from core.concepts.names import clean_name, concept_key
from core.database import TagAction
from core.errors import BadRequest
from core.files import digest
from pages.parts import gate, notices, people_room, problem, state
from pages.parts.component_source import source
from pages.parts.words import plain, short

# what is told of a role, in this order
MAY = tuple(Permission)
COOKIE = "midband-person"
BROWSER = "who_browser"
OPENED = "who_opened"
LONGEST = 60
# what tags that were not made in a browser are signed with
COMMAND_LINE = "local"
# names a browser had before that its cookie still knows; what was tagged under them stays undoable
FORMER = 3
# browsers a server remembers by more than their cookie
MOST = 1000
# seconds after which a name that was given, and that nobody tagged under, may be given to somebody else
UNUSED = 60.0

_GIVEN = re.compile(r"Person (\d+)")
_TURNS = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_component = st.components.v2.component(
    "midband_who", html="<span hidden></span>\n", css=":host { display: none }\n", js=source("who", "who.js")
)
_lock = threading.RLock()


@dataclass
class Browser:
    """A browser and the name its sessions tag under.

    name: "" until one is needed. former: names it tagged under before, the latest first. borrowed: somebody else had
    the name first; once it is given up, what was tagged under it is theirs alone. seen: of `time.monotonic`, when one
    of its pages was last looked at.
    """

    id: str
    name: str
    former: list[str] = field(default_factory=list)
    borrowed: bool = False
    seen: float = field(default_factory=time.monotonic)


def author() -> str:
    """The name this session tags under."""
    return browser().name


def names() -> tuple[str, ...]:
    """The name this session tags under, then those it had before."""
    me = browser()
    return (me.name, *me.former)


def browser() -> Browser:
    """The browser this session runs in; all its tabs share one name. All browsers of an account are one."""
    with _lock:
        known = _browsers()
        if modes.signs_in():
            name = acting().name
            return known.setdefault(f"account {name}", Browser(digest(name)[:16], name))
        identity = st.session_state.get(BROWSER)
        if identity not in known:
            me = _from_cookie(st.context.cookies.get(COOKIE, "")) or Browser(secrets.token_hex(8), "")
            # a browser that kept a name nobody had used may find it given away
            if _GIVEN.fullmatch(me.name) and me.id not in known and me.name in _held(known):
                me.name = ""
            identity = st.session_state[BROWSER] = me.id
            known.setdefault(me.id, me)
            for old in list(known)[:-MOST]:
                del known[old]
        me = known[identity]
        me.seen = time.monotonic()
        if not me.name:
            me.name = _free_name(known)
        return me


def known_as() -> dict[str, str]:
    """Names that browsers tagged under before, each with the one they go by now; a name that somebody goes by now is
    theirs."""
    with _lock:
        known = [each for each in _browsers().values() if each.name and not each.borrowed]
        here = {each.name for each in _browsers().values()}
        return {former: each.name for each in known for former in each.former if former not in here}


def rename(name: str) -> str:
    """Tag under another name from now on; returns it as it is written.

    Somebody known under a name equal but for case is the same. Raises `BadRequest` for a name that cannot be used.
    """
    try:
        cleaned = clean_name(name)
    except BadRequest as error:
        raise BadRequest("That is no name.", next_step=f"Use 1 to {LONGEST} characters.") from error
    if len(cleaned) > LONGEST:
        raise BadRequest(f"The name has {len(cleaned)} characters.", next_step=f"Use 1 to {LONGEST}.")
    if concept_key(cleaned) == COMMAND_LINE:
        raise BadRequest("“local” is what the command line tags as.", next_step="Choose another name.")
    me = browser()
    with _lock:
        tagged = _authors()
        taken = {other.name for other in _browsers().values() if other is not me} | tagged
        known = {concept_key(each): each for each in sorted(taken | set(names()))}
        cleaned = known.get(concept_key(cleaned), cleaned)
        if cleaned != me.name:
            # a name that nobody tagged under may be given to somebody else
            before = [me.name] if me.name in tagged and not me.borrowed else []
            me.borrowed = cleaned in taken and cleaned not in me.former
            me.former = [each for each in dict.fromkeys((*before, *me.former)) if each != cleaned][:FORMER]
            me.name = cleaned
    return cleaned


def sidebar() -> None:
    """The name, and a small form to change it. To be called once on every run of the page.

    Who signed in sees their account, and the way out.
    """
    if modes.signs_in():
        _account(acting())
        return
    me = browser()
    with st.sidebar, st.container(gap=None, key="who"):
        _component(key="who-cookie", data={"name": COOKIE, "value": cookie(me)})
        form = st.popover(
            f"Tagging as {shown(me.name)}",
            icon=":material/person:",
            type="tertiary",
            # a new key after each change closes the form
            key=f"who-form-{me.name}",
            help="Your tags carry this name. Others in the same workspace see it.",
        )
        with form, st.form("who-fields", border=False, enter_to_submit=True):
            st.text_input("Your name", value=me.name, max_chars=LONGEST, key=f"who-name-{me.name}")
            st.form_submit_button("Save", type="primary", on_click=problem.kept(partial(_rename, me.name)))
            st.caption("What you tagged so far stays under the name you had then.")


def _account(person: Person) -> None:
    with (
        st.sidebar,
        st.container(gap=None, key="who"),
        st.popover(
            f"{shown(person.name)} · {person.role}",
            icon=":material/person:",
            type="tertiary",
            # a new key closes it over what it opens
            key=f"who-account-{st.session_state.get(OPENED, 0)}",
        ),
    ):
        for permission in MAY:
            mark = ":material/check:" if allowed(person.role, permission) else ":material/close:"
            st.caption(f"{mark} {permission.value[:1].upper()}{permission.value[1:]}")
        opens = allowed(person.role, Permission.MANAGE) and st.button(
            "People",
            icon=":material/group:",
            key="who-people",
            on_click=_opened,
            help="Who may come in, and who did what.",
        )
        gate.sign_out_button()
    if opens:
        people_room.show()


def _opened() -> None:
    st.session_state[OPENED] = st.session_state.get(OPENED, 0) + 1


def shown(name: str, most: int = 24) -> str:
    """A person's name in Markdown; a name that writes from right to left leaves the words around it where they are."""
    return plain(isolated(name, most))


def isolated(name: str, most: int = 24) -> str:
    """The same as text without markup."""
    text = short(name, most)
    # first-strong isolate ... pop: only where needed, so that other names stay what they are when copied
    return f"\u2068{text}\u2069" if any(unicodedata.bidirectional(sign) in _TURNS for sign in text) else text


def cookie(me: Browser) -> str:
    """What the browser keeps: its id, whether the name is borrowed, and the names, each percent-encoded."""
    return ".".join(
        (
            me.id + "-" * me.borrowed,
            *(quote(name, safe="").replace(".", "%2E") for name in (me.name, *me.former[:FORMER])),
        )
    )


def _from_cookie(text: str) -> Browser | None:
    """None for anything but what `cookie` writes: people can put what they like into their browser."""
    identity, *written = text.split(".")
    if not re.fullmatch(r"[0-9a-f]{16}-?", identity) or not 1 <= len(written) <= 1 + FORMER:
        return None
    try:
        read = [clean_name(unquote(each, errors="strict")) for each in written]
    except (BadRequest, UnicodeDecodeError):
        return None
    if any(len(name) > LONGEST or concept_key(name) == COMMAND_LINE for name in read):
        return None
    return Browser(identity.rstrip("-"), read[0], read[1:], borrowed=identity.endswith("-"))


def _rename(before: str) -> None:
    name = rename(st.session_state[f"who-name-{before}"])
    if name == before:
        return
    if browser().borrowed:
        notices.say(
            f"You tag as {shown(name)} now, a name that was there already: its tags are yours to undo.",
            ":material/person:",
        )
    else:
        notices.say(f"You tag as {shown(name)} now.", ":material/person:")


def _free_name(known: dict[str, Browser]) -> str:
    """The first "Person N" that nobody tagged under and nobody goes by now."""
    taken = _held(known) | _authors()
    name = next(name for number in range(1, len(taken) + 2) if (name := f"Person {number}") not in taken)
    for other in known.values():
        if other.name == name:
            other.name = ""
    return name


def _held(known: dict[str, Browser]) -> set[str]:
    """Names of the browsers that are here; one that somebody chose stays theirs."""
    now = time.monotonic()
    return {each.name for each in known.values() if now - each.seen < UNUSED or not _GIVEN.fullmatch(each.name)}


def _authors() -> set[str]:
    """Everybody who tagged in this workspace."""
    with state.workspace().reading() as session:
        return set(session.scalars(select(TagAction.author).distinct()))


@st.cache_resource(show_spinner=False)
def _browsers() -> dict[str, Browser]:
    """Browsers this server has seen, by their id."""
    return {}
