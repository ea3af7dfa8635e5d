from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from core.errors import StorageProblem
from core.storage import lease
from core.storage.lease import FOLDER, STALE, hold
from core.workspace import Workspace, open_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path / "shared")


def servers(workspace: Workspace) -> int:
    return len(list((workspace.root / FOLDER).glob("*.json")))


def test_a_second_host_is_refused_with_a_sentence_and_leaves_no_trace(workspace: Workspace) -> None:
    first = hold(workspace, host="north", pid=1)
    with pytest.raises(StorageProblem, match="A server on north") as caught:
        hold(workspace, host="south", pid=1)
    assert "north" in caught.value.next_step
    assert servers(workspace) == 1
    first.release()
    hold(workspace, host="south", pid=1).release()
    assert servers(workspace) == 0


def test_several_servers_of_one_host_may(workspace: Workspace) -> None:
    leases = [hold(workspace, host="north", pid=number) for number in (1, 2)]
    assert servers(workspace) == 2
    leases[0].release()
    with pytest.raises(StorageProblem):
        hold(workspace, host="south", pid=1)
    leases[1].release()


def test_a_server_without_a_sign_of_life_is_taken_over(workspace: Workspace) -> None:
    gone = hold(workspace, host="north", pid=1)
    moment = gone.file.stat().st_mtime
    os.utime(gone.file, (moment - STALE - 1,) * 2)
    other = hold(workspace, host="south", pid=1)
    assert servers(workspace) == 1
    other.release()
    gone.release()


def test_a_sign_of_life_keeps_it(workspace: Workspace) -> None:
    first = hold(workspace, host="north", pid=1)
    os.utime(first.file, (first.file.stat().st_mtime - STALE - 1,) * 2)
    first.beat()
    with pytest.raises(StorageProblem):
        hold(workspace, host="south", pid=1)
    first.release()


def test_who_slept_and_lost_it_to_another_host_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[StorageProblem] = []
    heard = threading.Event()
    monkeypatch.setattr(lease, "BEAT", 0.01)
    first = hold(workspace, host="north", pid=1, lost=lambda error: (told.append(error), heard.set()))
    # what another host does that finds no sign of life: it forgets the first, and says that it is there
    (workspace.root / FOLDER / "south.json").write_text('{"host": "south"}')
    first.file.unlink()
    assert heard.wait(20)
    assert "A server on south" in str(told[0])
    assert servers(workspace) == 1
    first.release()
    assert len(told) == 1


def test_who_slept_and_is_missed_by_nobody_takes_it_again(workspace: Workspace) -> None:
    first = hold(workspace, host="north", pid=1)
    first.file.unlink()
    first.beat()
    with pytest.raises(StorageProblem, match="A server on north"):
        hold(workspace, host="south", pid=1)
    first.release()


def test_a_damaged_file_with_a_sign_of_life_still_counts(workspace: Workspace) -> None:
    first = hold(workspace, host="north", pid=1)
    first.file.write_bytes(b"")
    with pytest.raises(StorageProblem, match="another machine"):
        hold(workspace, host="south", pid=1)
    first.release()
