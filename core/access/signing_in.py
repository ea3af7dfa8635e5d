"""Signing in and out: a random token in a browser's cookie, of which the database keeps a hash until it expires."""

from __future__ import annotations

import hashlib
import os
import secrets
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from core.access import audit, throttle
from core.access.accounts import account_key
from core.access.passwords import fits
from core.access.person import Person, Role
from core.database import AccountRecord, SignInRecord, now
from core.errors import BadRequest, NotAllowed
from core.logs import get_logger
from core.workspace import Workspace

HOURS = "MIDBAND_SESSION_HOURS"
USUAL_HOURS = 12.0
# how old an answer of an identity provider may be when a browser brings it
FRESH = timedelta(minutes=10)
# a clock may be corrected by as much without ending what people are signed in with
SLACK = timedelta(minutes=5)
_log = get_logger("access")
STRANGER = Person("nobody", Role.VIEWER.word)


def lasts() -> timedelta:
    """How long one stays signed in: `MIDBAND_SESSION_HOURS`. Raises `BadRequest` for what is no such number."""
    named = os.environ.get(HOURS, "").strip()
    try:
        hours = float(named) if named else USUAL_HOURS
    except ValueError:
        hours = 0.0
    if not 0 < hours <= 24 * 366:
        raise BadRequest(f"{HOURS} is {named!r}.", next_step="Set it to a number of hours, such as 12.")
    return timedelta(hours=hours)


def sign_in(workspace: Workspace, name: str, password: str, where: str) -> str:
    """The token of a new sign-in. where: the address of the browser.

    Raises `NotAllowed` with one sentence for a wrong name and a wrong password, another where one has to wait.
    """
    key = account_key(name)[:200]
    with workspace.writing() as session:
        throttle.tidy(session)
    with workspace.writing() as session:
        throttle.require_patience(session, key, where)
        # counted before it is checked: attempts at the same time are counted, too
        attempt = throttle.remember_failure(session, key, where)
    with workspace.reading() as session:
        record = session.get(AccountRecord, key)
        kept = record.password_hash if record is not None and record.disabled is None else None
    right = fits(password, kept)
    with workspace.writing() as session:
        record = session.get(AccountRecord, key)
        # removed, or given another password, meanwhile
        if right and record is not None and record.disabled is None and record.password_hash == kept:
            throttle.forget_failures(session, key, where, attempt)
            return _begin(session, record, where)
        told = "an unknown name" if record is None else record.name
        audit.record(session, "sign-in failed", told, person=Person(STRANGER.name, STRANGER.role, where))
    # not the name: people type their password there
    _log.warning("a sign-in failed", where=where)
    raise NotAllowed(
        "Name and password do not go together.",
        next_step="Try again; an owner can set a new password.",
        title="Not signed in",
    )


def sign_in_as(workspace: Workspace, email: str, proof: str, issued: datetime, where: str) -> str:
    """The token of a new sign-in for somebody an identity provider vouches for.

    email: verified by the provider. proof: tells one answer of the provider from every other; it opens the workspace
    once. issued: when the provider gave it, UTC. Raises `NotAllowed` for a stranger and for an answer that is too old
    or was used.
    """
    used = _digest(proof)
    with workspace.writing() as session:
        stale = abs(now() - issued) > FRESH or session.scalar(select(exists().where(SignInRecord.token_hash == used)))
        record = session.get(AccountRecord, account_key(email))
        if not stale and record is not None and record.disabled is None:
            # kept as long as the answer could be brought again; it opens nothing itself
            expires = now() + FRESH + FRESH
            session.add(SignInRecord(token_hash=used, account=record.key, expires=expires, where=_PROOF))
            return _begin(session, record, where)
        if not stale:
            person = Person(STRANGER.name, STRANGER.role, where)
            audit.record(session, "sign-in failed", email, {"why": "no account"}, person=person)
            _log.warning("a sign-in of somebody without an account", where=where)
    if stale:
        raise NotAllowed("You are signed in no more.", next_step="Sign in again.", title="Signed out")
    raise NotAllowed(
        f"{email} is not among the people of this workspace.",
        next_step="Ask an owner to add this address.",
        title="No account here",
    )


def person_of(workspace: Workspace, token: str) -> Person | None:
    """Who is signed in with a token, with the role they have now; None: nobody any more."""
    if not token:
        return None
    with workspace.reading() as session:
        row = session.execute(
            select(SignInRecord, AccountRecord)
            .join(AccountRecord, AccountRecord.key == SignInRecord.account)
            .where(SignInRecord.token_hash == _digest(token), SignInRecord.where != _PROOF)
        ).one_or_none()
    if row is None:
        return None
    signed_in, account = row
    # one of the future: the clock was set back, and nobody knows for how long it has been open
    if account.disabled is not None or not signed_in.created - SLACK <= now() < signed_in.expires:
        return None
    return Person(account.name, account.role, signed_in.where, signed_in=True)


def sign_out(workspace: Workspace, token: str) -> None:
    """End one sign-in; ending it again changes nothing."""
    person = person_of(workspace, token)
    with workspace.writing() as session:
        session.execute(delete(SignInRecord).where(SignInRecord.token_hash == _digest(token)))
        if person is not None:
            audit.record(session, "signed out", person.name, person=person)
            _log.info("somebody signed out", person=person.name)


_PROOF = "proof"


def _begin(session: Session, record: AccountRecord, where: str) -> str:
    token, moment = secrets.token_urlsafe(32), now()
    session.execute(delete(SignInRecord).where(SignInRecord.expires <= moment))
    session.add(
        SignInRecord(
            token_hash=_digest(token), account=record.key, created=moment, expires=moment + lasts(), where=where
        )
    )
    audit.record(session, "signed in", record.name, person=Person(record.name, record.role, where))
    _log.info("somebody signed in", person=record.name, role=record.role, where=where)
    return token


def _digest(token: str) -> str:
    # random and long: it needs neither salt nor stretching
    return hashlib.sha256(token.encode()).hexdigest()
