"""Accounts, passwords, throttling, and what a browser is signed in with."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from core.access import passwords, signing_in, throttle
from core.access.accounts import accounts, add_account, remove_account, set_password, set_role
from core.access.audit import entries
from core.access.person import Person, acting_as
from core.access.signing_in import person_of, sign_in, sign_in_as, sign_out
from core.database import AccountRecord, SignInFailure, SignInRecord
from core.errors import BadRequest, MidbandError, NotAllowed, NotFound
from core.workspace import Workspace

GOOD = "correct horse battery"
HERE = "192.0.2.1"


class Clock:
    """A clock that stands until it is moved, backwards too."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 12)

    def __call__(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (signing_in, throttle):
        monkeypatch.setattr(module, "now", clock)
    return clock


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same function, a thousand times cheaper."""
    monkeypatch.setattr(passwords, "_COST", 2**5)


@pytest.fixture
def team(workspace: Workspace) -> Workspace:
    add_account(workspace, "Ann", "owner", GOOD)
    add_account(workspace, "Lea", "labeller", "another good password")
    return workspace


def test_a_password_is_kept_as_a_salted_hash_only(team: Workspace) -> None:
    with team.reading() as session:
        kept = session.scalars(select(AccountRecord.password_hash)).all()
    assert len(set(kept)) == 2
    assert all(one is not None and one.startswith("scrypt$") and GOOD not in one for one in kept)
    assert passwords.fits(GOOD, kept[0])
    assert not passwords.fits(GOOD + " ", kept[0])
    assert not passwords.fits("", None)


@pytest.mark.parametrize("password", ["", "too short", "x" * 1025])
def test_a_password_too_short_or_too_long_is_refused(team: Workspace, password: str) -> None:
    with pytest.raises(BadRequest):
        set_password(team, "Ann", password)


def test_signing_in_and_out(team: Workspace) -> None:
    token = sign_in(team, " ANN ", GOOD, HERE)
    assert person_of(team, token) == Person("Ann", "owner", HERE, signed_in=True)
    with team.reading() as session:
        assert token not in session.scalars(select(SignInRecord.token_hash)).all()
    sign_out(team, token)
    assert person_of(team, token) is None
    sign_out(team, token)
    assert [entry.action for entry in entries(team, actions=("signed in", "signed out"))] == ["signed out", "signed in"]


def test_a_wrong_name_and_a_wrong_password_get_one_answer(team: Workspace) -> None:
    said = set()
    for name, password in (("Ann", "wrong"), ("Nobody", GOOD), ("", "")):
        with pytest.raises(NotAllowed) as refused:
            sign_in(team, name, password, HERE)
        said.add(str(refused.value))
    assert len(said) == 1
    written = entries(team, actions=("sign-in failed",))
    assert {entry.actor for entry in written} == {"nobody"}
    # a password may have been typed in place of the name
    assert {entry.subject for entry in written} == {"Ann", "an unknown name"}


def test_who_guesses_has_to_wait_longer_and_longer(team: Workspace, clock: Clock) -> None:
    waits = []
    for _ in range(9):
        while True:
            with pytest.raises(NotAllowed) as refused:
                sign_in(team, "Ann", "wrong", HERE)
            if refused.value.title != "Wait a moment":
                break
            waits.append(refused.value.next_step)
            clock.move(seconds=1)
    # five are free, then 2, 4, 8, 16 seconds
    assert len(waits) == 2 + 4 + 8 + 16
    with pytest.raises(NotAllowed, match="too many"):
        sign_in(team, "Ann", GOOD, HERE)
    # somebody else there, and the same person elsewhere, need not wait
    assert sign_in(team, "Lea", "another good password", HERE)
    assert sign_in(team, "Ann", GOOD, "198.51.100.9")
    clock.move(minutes=16)
    assert sign_in(team, "Ann", GOOD, HERE)


def test_many_names_from_one_place_and_one_name_from_many_places_have_to_wait(team: Workspace, clock: Clock) -> None:
    def tries(many: int, name: str, where: str) -> int:
        for number in range(many):
            try:
                sign_in(team, name.format(number), "wrong", where.format(number))
            except NotAllowed as error:
                if error.title == "Wait a moment":
                    return number
        return many

    assert tries(200, "person {}", HERE) == 40
    assert tries(200, "Ann", "10.0.0.{}") == 100
    # a success is no failure of the place
    clock.move(minutes=16)
    for _ in range(60):
        sign_in(team, "Lea", "another good password", HERE)
    with team.reading() as session:
        assert session.scalars(select(SignInFailure)).all() == []


@pytest.mark.parametrize(
    ("addresses", "waits"),
    [
        (["2001:db8:1:2::7", "2001:db8:1:2:ffff::1"], True),
        (["::ffff:192.0.2.9", "192.0.2.9"], True),
        (["2001:db8:1:2::7", "2001:db8:1:3::7"], False),
        (["192.0.2.9", "192.0.2.10"], False),
    ],
)
def test_a_machine_of_many_addresses_is_one_place(
    team: Workspace, clock: Clock, addresses: list[str], waits: bool
) -> None:
    for _ in range(6):
        with pytest.raises(NotAllowed):
            sign_in(team, "Ann", "wrong", addresses[0])
    if waits:
        with pytest.raises(NotAllowed, match="too many"):
            sign_in(team, "Ann", GOOD, addresses[1])
    else:
        assert sign_in(team, "Ann", GOOD, addresses[1])


def test_what_was_typed_is_no_part_of_an_error_of_the_database(team: Workspace) -> None:
    def twice() -> None:
        with team.writing() as session:
            for _ in range(2):
                session.execute(insert(AccountRecord).values(key="typed-in", name="x", role="x", password_hash="kept"))

    with pytest.raises(IntegrityError) as caught:
        twice()
    assert "typed-in" not in str(caught.value)
    assert "kept" not in str(caught.value)


def test_a_clock_that_was_set_back_neither_locks_out_for_long_nor_forgets(team: Workspace, clock: Clock) -> None:
    for _ in range(7):
        with pytest.raises(NotAllowed):
            sign_in(team, "Ann", "wrong", HERE)
        clock.move(minutes=1)
    clock.move(days=-400)
    with pytest.raises(NotAllowed, match="too many"):
        sign_in(team, "Ann", GOOD, HERE)
    clock.move(minutes=16)
    token = sign_in(team, "Ann", GOOD, HERE)
    # a sign-in of the future is none: nobody knows how long it has been open
    clock.move(hours=-3)
    assert person_of(team, token) is None
    clock.move(hours=3)
    assert person_of(team, token) is not None


def test_a_sign_in_ends_by_itself(team: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing_in.HOURS, "2")
    token = sign_in(team, "Ann", GOOD, HERE)
    clock.move(hours=1, minutes=59)
    assert person_of(team, token) is not None
    clock.move(minutes=1)
    assert person_of(team, token) is None
    sign_in(team, "Ann", GOOD, HERE)
    with team.reading() as session:
        assert len(session.scalars(select(SignInRecord)).all()) == 1
    monkeypatch.setenv(signing_in.HOURS, "soon")
    with pytest.raises(BadRequest, match="MIDBAND_SESSION_HOURS"):
        signing_in.lasts()


def test_a_new_password_or_role_and_a_removal_hold_at_once(team: Workspace) -> None:
    token = sign_in(team, "Lea", "another good password", HERE)
    set_role(team, "lea", "viewer")
    found = person_of(team, token)
    assert found is not None
    assert found.role == "viewer"
    set_password(team, "Lea", "yet another password")
    assert person_of(team, token) is None
    token = sign_in(team, "Lea", "yet another password", HERE)
    remove_account(team, "Lea")
    assert person_of(team, token) is None
    with pytest.raises(NotAllowed):
        sign_in(team, "Lea", "yet another password", HERE)
    assert [account.name for account in accounts(team)] == ["Ann"]
    # who comes back has the name again, and no password of before
    add_account(team, "lea", "viewer")
    with pytest.raises(NotAllowed):
        sign_in(team, "Lea", "yet another password", HERE)


def test_somebody_stays_owner(team: Workspace) -> None:
    for step in (lambda: remove_account(team, "Ann"), lambda: set_role(team, "Ann", "viewer")):
        with pytest.raises(BadRequest, match="has to be an owner"):
            step()
    assert [(account.name, account.role) for account in accounts(team)] == [("Ann", "owner"), ("Lea", "labeller")]


def test_the_first_account_is_an_owner(workspace: Workspace) -> None:
    with pytest.raises(BadRequest, match="has to be an owner"):
        add_account(workspace, "Vic", "viewer", GOOD)
    assert accounts(workspace) == []


@pytest.mark.parametrize("name", ["", "  ", "local", "x" * 101, "two\nlines", "bell\a"])
def test_names_that_cannot_be_accounts(team: Workspace, name: str) -> None:
    if name == "two\nlines":
        assert add_account(team, name, "viewer").name == "two lines"
        return
    with pytest.raises(BadRequest):
        add_account(team, name, "viewer")


def test_only_owners_change_accounts(team: Workspace) -> None:
    steps = (
        lambda: add_account(team, "Eve", "owner", GOOD),
        lambda: remove_account(team, "Ann"),
        lambda: set_role(team, "Lea", "owner"),
        lambda: set_password(team, "Ann", GOOD),
    )
    for role in ("viewer", "labeller"):
        with acting_as(Person("Lea", role)):
            for step in steps:
                with pytest.raises(NotAllowed):
                    step()
    with pytest.raises(NotFound):
        remove_account(team, "Eve")


def test_who_an_identity_provider_vouches_for_comes_in_once_per_answer(team: Workspace, clock: Clock) -> None:
    add_account(team, "lea@example.org", "labeller")
    token = sign_in_as(team, "Lea@Example.org", "answer 1", clock(), HERE)
    assert person_of(team, token) == Person("lea@example.org", "labeller", HERE, signed_in=True)
    sign_out(team, token)
    with pytest.raises(NotAllowed, match="signed in no more"):
        sign_in_as(team, "lea@example.org", "answer 1", clock(), HERE)
    # what marks an answer as used is no sign-in
    assert person_of(team, "answer 1") is None
    issued = clock()
    clock.move(minutes=11)
    with pytest.raises(NotAllowed, match="signed in no more"):
        sign_in_as(team, "lea@example.org", "answer 2", issued, HERE)
    with pytest.raises(NotAllowed, match="is not among the people"):
        sign_in_as(team, "eve@example.org", "answer 3", clock(), HERE)


def test_an_account_of_a_provider_has_no_password(team: Workspace) -> None:
    add_account(team, "lea@example.org", "labeller")
    with pytest.raises(MidbandError):
        sign_in(team, "lea@example.org", "", HERE)
