"""How soon one may try again after sign-ins that failed. Counted in the database: a restart forgets nothing."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from core.database import SignInFailure, now
from core.errors import NotAllowed

# failures older than this are forgotten
WINDOW = timedelta(minutes=15)
# seconds to wait after the first failure too many; doubled by each further one
FIRST_WAIT = 2.0
# failures within the window before waiting begins. One person from one place; one place, behind which a whole office
# may sit; one name from anywhere, so high that no stranger locks anybody out, so low that guessing is hopeless.
_FREE = {"pair": 5, "address": 40, "name": 100}


def tidy(session: Session) -> None:
    """Forget what is old; to be committed before anything is asked."""
    moment = now()
    # a clock that was set back leaves failures in the future: they count from now on, and no longer than others
    session.execute(update(SignInFailure).where(SignInFailure.at > moment).values(at=moment))
    session.execute(delete(SignInFailure).where(SignInFailure.at < moment - WINDOW))


def require_patience(session: Session, account: str, where: str) -> None:
    """Raises `NotAllowed` while somebody has to wait. account: a key. where: an address."""
    moment = now()
    left = max(_left(session, kind, key, moment) for kind, key in _keys(account, where).items())
    if left > 0:
        raise NotAllowed(
            "There were too many attempts to sign in that failed.",
            next_step=f"Wait {_told(left)}, then try again.",
            title="Wait a moment",
        )


def remember_failure(session: Session, account: str, where: str) -> list[int]:
    """Returns the rows that stand for it."""
    rows = [SignInFailure(key=key, at=now()) for key in _keys(account, where).values()]
    session.add_all(rows)
    session.flush()
    return [row.id for row in rows]


def forget_failures(session: Session, account: str, where: str, rows: list[int]) -> None:
    """After a success: those of this person from this place, and the rows that stood for this attempt."""
    session.execute(delete(SignInFailure).where(SignInFailure.key == _keys(account, where)["pair"]))
    session.execute(delete(SignInFailure).where(SignInFailure.id.in_(rows)))


def _left(session: Session, kind: str, key: str, moment: datetime) -> float:
    """Seconds still to wait for one key."""
    count, last = session.execute(
        select(func.count(), func.max(SignInFailure.at)).where(SignInFailure.key == key)
    ).one()
    beyond = count - _FREE[kind]
    if beyond < 0 or last is None:
        return 0.0
    wait = min(FIRST_WAIT * 2 ** min(beyond, 20), WINDOW.total_seconds())
    return wait - (moment - last).total_seconds()


def _keys(account: str, where: str) -> dict[str, str]:
    place = _place(where)
    return {"pair": f"pair {account} {place}", "address": f"address {place}", "name": f"name {account}"}


def _place(where: str) -> str:
    """Of IPv6 the network: one machine has 2^64 addresses, and may come from another one each time."""
    try:
        address = ipaddress.ip_address(where.partition("%")[0])
    except ValueError:
        return where
    if address.version == 4:
        return where
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), strict=False))


def _told(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 120 else f"{round(whole / 60)} minutes"
