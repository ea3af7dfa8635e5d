"""For owners, where people sign in: who may come in, and who did what."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.access import modes
from core.access.accounts import Account, accounts, add_account, remove_account, set_password, set_role
from core.access.audit import Entry, entries
from core.access.passwords import SHORTEST
from core.access.person import ROLES
from pages.parts import gate, notices, problem, state
from pages.parts.words import ago, plain, short

PER_PAGE = 50
FORM, SINCE = "people_form", "people_audit_before"


@st.dialog("People", width="large")
def show() -> None:
    with problem.shown():
        problem.remembered()
        people, done = st.tabs(["Who may come in", "Who did what"])
        with people:
            for account in accounts(state.workspace()):
                _account(account)
            _newcomer()
        with done:
            _log()


def _account(account: Account) -> None:
    own = account.name == gate.me().name
    with st.container(horizontal=True, vertical_alignment="center", key=f"person-{account.name}"):
        st.markdown(f"{plain(short(account.name, 60))}{' (you)' if own else ''}", width="stretch")
        key = f"person-role-{account.name}"
        st.session_state[key] = account.role
        st.selectbox(
            f"Role of {account.name}",
            ROLES,
            key=key,
            label_visibility="collapsed",
            width=140,
            on_change=problem.kept(partial(_set_role, account.name, key)),
        )
        if modes.mode() == modes.PASSWORD:
            with st.popover("Password", type="tertiary"), st.form(f"person-password-{account.name}", border=False):
                typed = f"person-typed-{account.name}"
                st.text_input(
                    f"New password of {account.name}", type="password", key=typed, autocomplete="new-password"
                )
                st.form_submit_button("Set", on_click=problem.kept(partial(_set_password, account.name, typed)))
                st.caption("All browsers that are signed in under this name have to sign in again.")
        st.button(
            "Remove",
            type="tertiary",
            key=f"person-remove-{account.name}",
            disabled=own,
            help="What they did stays under their name.",
            on_click=problem.kept(partial(_remove, account.name)),
        )


def _newcomer() -> None:
    asks = modes.mode() == modes.PASSWORD
    made = st.session_state.setdefault(FORM, 0)
    with st.form(f"person-new-{made}", border=True):
        st.text_input("Name" if asks else "E-mail address", key=f"person-new-name-{made}", max_chars=100)
        st.selectbox("Role", ROLES, index=1, key=f"person-new-role-{made}")
        if asks:
            st.text_input(
                "First password",
                type="password",
                key=f"person-new-password-{made}",
                help=f"{SHORTEST} characters or more.",
                autocomplete="new-password",
            )
        st.form_submit_button("Add", type="primary", on_click=problem.kept(partial(_add, made)))


def _log() -> None:
    before: int | None = st.session_state.get(SINCE)
    found = entries(state.workspace(), before=before, limit=PER_PAGE)
    st.table([_line(entry) for entry in found])
    if before is not None:
        st.button("Newest", key="people-newest", on_click=lambda: st.session_state.pop(SINCE, None))
    if len(found) == PER_PAGE:
        st.button("Older", key="people-older", on_click=lambda: st.session_state.update({SINCE: found[-1].id}))


def _line(entry: Entry) -> dict[str, str]:
    return {
        "When": ago(entry.at),
        "Who": plain(short(entry.actor, 40)),
        "What": plain(entry.action),
        "Of": plain(short(entry.subject, 90)),
        "From": plain(entry.where),
    }


def _set_role(name: str, key: str) -> None:
    account = set_role(state.workspace(), name, st.session_state[key])
    notices.say(f"{plain(account.name)} is {account.role} now.", ":material/person:")


def _set_password(name: str, key: str) -> None:
    set_password(state.workspace(), name, st.session_state[key])
    notices.say(f"{plain(name)} has a new password.", ":material/person:")


def _remove(name: str) -> None:
    remove_account(state.workspace(), name)
    notices.say(f"{plain(name)} may come in no more.", ":material/person:")


def _add(made: int) -> None:
    password = st.session_state.get(f"person-new-password-{made}")
    name, role = st.session_state[f"person-new-name-{made}"], st.session_state[f"person-new-role-{made}"]
    account = add_account(state.workspace(), name, role, password)
    st.session_state[FORM] = made + 1
    notices.say(f"{plain(account.name)} may come in now.", ":material/person:")
