"""The people who may sign in to a workspace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from core.access import audit
from core.access.passwords import hashed
from core.access.person import LOCAL, ROLES, Role
from core.access.policy import Permission, require
from core.database import AccountRecord, SignInRecord, now
from core.errors import BadRequest, NotFound
from core.workspace import Workspace

LONGEST = 100


@dataclass(frozen=True)
class Account:
    """name: a name, or an e-mail address where an identity provider asks. role: one of `ROLES`. created: UTC.
    password: whether one is set. disabled: when it was removed, UTC; None: it was not."""

    name: str
    role: str
    created: datetime
    password: bool
    disabled: datetime | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "role": self.role,
            "created": f"{self.created.isoformat(timespec='seconds')}Z",
            "password": self.password,
            "removed": None if self.disabled is None else f"{self.disabled.isoformat(timespec='seconds')}Z",
        }


def accounts(workspace: Workspace, *, removed: bool = False) -> list[Account]:
    """By name. removed: those that were removed, too. Raises `NotAllowed`."""
    require(Permission.MANAGE, "accounts")
    query = select(AccountRecord).order_by(AccountRecord.key)
    if not removed:
        query = query.where(AccountRecord.disabled.is_(None))
    with workspace.reading() as session:
        return [_account(record) for record in session.scalars(query)]


def anybody(workspace: Workspace) -> bool:
    """Whether there is an account at all."""
    with workspace.reading() as session:
        return session.scalar(select(AccountRecord.key).where(AccountRecord.disabled.is_(None)).limit(1)) is not None


def find_account(workspace: Workspace, name: str) -> Account:
    """Raises `NotFound`."""
    with workspace.reading() as session:
        return _account(_present(session, name))


def add_account(workspace: Workspace, name: str, role: str, password: str | None = None) -> Account:
    """Let somebody sign in; one that was removed comes back. password: None where an identity provider asks for it.

    Raises `NotAllowed`, `BadRequest` for a name or role that does not work, or a name that is there.
    """
    require(Permission.MANAGE, "accounts")
    cleaned, key = _named(name)
    _check_role(role)
    kept = None if password is None else hashed(password)
    with workspace.writing() as session:
        record = session.get(AccountRecord, key)
        if record is not None and record.disabled is None:
            raise BadRequest(f"There is an account {record.name} already.", next_step="Choose another name.")
        if record is None:
            record = AccountRecord(key=key, name=cleaned, role=role, created=now())
            session.add(record)
        record.role, record.password_hash, record.disabled = role, kept, None
        _keep_an_owner(session)
        audit.record(session, "account added", record.name, {"role": role})
        return _account(record)


def remove_account(workspace: Workspace, name: str) -> Account:
    """End what somebody is signed in with, and let them in no more. What they did stays under their name.

    Raises `NotAllowed`, `NotFound`, `BadRequest` for the last owner.
    """
    require(Permission.MANAGE, "accounts")
    with workspace.writing() as session:
        record = _present(session, name)
        record.disabled, record.password_hash = now(), None
        _keep_an_owner(session)
        _sign_out_everywhere(session, record.key)
        audit.record(session, "account removed", record.name)
        return _account(record)


def set_role(workspace: Workspace, name: str, role: str) -> Account:
    """Raises `NotAllowed`, `NotFound`, `BadRequest` for no role, or for the last owner."""
    require(Permission.MANAGE, "accounts")
    _check_role(role)
    with workspace.writing() as session:
        record = _present(session, name)
        before, record.role = record.role, role
        _keep_an_owner(session)
        audit.record(session, "role changed", record.name, {"from": before, "to": role})
        return _account(record)


def set_password(workspace: Workspace, name: str, password: str) -> Account:
    """Replace a password; browsers that are signed in under that name have to sign in again.

    Raises `NotAllowed`, `NotFound`, `BadRequest` for a password that does not work.
    """
    require(Permission.MANAGE, "accounts")
    kept = hashed(password)
    with workspace.writing() as session:
        record = _present(session, name)
        record.password_hash = kept
        _sign_out_everywhere(session, record.key)
        audit.record(session, "password changed", record.name)
        return _account(record)


def account_key(name: str) -> str:
    """Equal for two ways to write one name."""
    return " ".join(name.split()).casefold()


def _named(name: str) -> tuple[str, str]:
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > LONGEST or not cleaned.isprintable():
        raise BadRequest("That is no name for an account.", next_step=f"Use 1 to {LONGEST} characters.")
    if account_key(cleaned) == LOCAL.name:
        raise BadRequest("“local” is whoever sits at the machine itself.", next_step="Choose another name.")
    return cleaned, account_key(cleaned)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise BadRequest(f"There is no role {role!r}.", next_step=f"Choose one of {', '.join(ROLES)}.")


def _present(session: Session, name: str) -> AccountRecord:
    record = session.get(AccountRecord, account_key(name))
    if record is None or record.disabled is not None:
        raise NotFound(f"There is no account {name!r}.", next_step="Look at the list of people.")
    return record


def _keep_an_owner(session: Session) -> None:
    session.flush()
    owners = select(func.count()).where(AccountRecord.role == Role.OWNER.word, AccountRecord.disabled.is_(None))
    if not session.scalar(owners):
        raise BadRequest(
            "Somebody has to be an owner of the workspace.",
            next_step="Give the role of owner to somebody else first.",
            title="The last owner stays",
        )


def _sign_out_everywhere(session: Session, key: str) -> None:
    session.execute(delete(SignInRecord).where(SignInRecord.account == key))


def _account(record: AccountRecord) -> Account:
    return Account(record.name, record.role, record.created, record.password_hash is not None, record.disabled)
