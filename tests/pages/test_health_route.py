"""`/healthz`: yes or no for everybody, what is missing for those who may look."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from core.access import modes, passwords
from core.access.accounts import add_account
from core.access.person import forget_finder
from core.access.signing_in import sign_in
from core.workspace import DATABASE, Workspace
from pages.parts import gate, guard, health_route

GOOD = "correct horse battery"
READY = {"live": True, "ready": True}
DETAILS = {"database": True, "disk": True}


@pytest.fixture
def client(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(health_route, "KEPT", 0.0)
    monkeypatch.setattr(health_route, "_last", None)
    app = Starlette(routes=health_route.routes(), middleware=guard.middleware())
    with TestClient(app, base_url="http://localhost:8501") as client:
        yield client


@pytest.fixture
def team(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setattr(passwords, "_COST", 2**5)
    monkeypatch.setattr(gate, "KEPT", 0.0)
    monkeypatch.setenv(modes.VARIABLE, modes.PASSWORD)
    add_account(workspace, "Ann", "owner", GOOD)
    gate.install()
    yield workspace
    gate._known.clear()
    forget_finder()


def test_a_server_that_can_work_is_ready(client: TestClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, READY | DETAILS)
    assert answer.headers["cache-control"] == "no-store"


def test_a_server_without_its_database_lives_and_is_not_ready(client: TestClient, workspace: Workspace) -> None:
    for file in workspace.root.glob(f"{DATABASE}*"):
        file.unlink()
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()["live"], answer.json()["database"]) == (503, True, False)


def test_it_can_be_read_and_nothing_else(client: TestClient) -> None:
    assert client.post("/healthz").status_code == 405


def test_strangers_hear_yes_or_no_and_people_what_is_missing(client: TestClient, team: Workspace) -> None:
    assert client.get("/healthz").json() == READY
    client.cookies.set(gate.COOKIE, sign_in(team, "Ann", GOOD, "192.0.2.1"))
    assert client.get("/healthz").json() == READY | DETAILS


def test_strangers_who_ask_often_are_answered_from_memory(
    client: TestClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_route, "KEPT", 3600.0)
    assert client.get("/healthz").status_code == 200
    (workspace.root / DATABASE).unlink()
    assert client.get("/healthz").status_code == 200
