"""What counts as the same, living process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from core.jobs import processes


def test_zombie_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], start_new_session=True)
    started = processes.started_at(child.pid)
    assert started is not None
    while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    # the trap: the operating system still answers for it
    os.kill(child.pid, 0)
    assert not processes.is_alive(child.pid, started)
    assert processes.group_members(child.pid, started) == []
    child.wait()


def test_another_process_with_the_same_pid_is_not_ours() -> None:
    mine = processes.started_at(os.getpid())
    assert mine is not None
    assert processes.is_alive(os.getpid(), mine)
    assert not processes.is_alive(os.getpid(), mine - 60)


def test_a_clock_that_is_set_does_not_make_a_living_process_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = processes.started_at(os.getpid())
    assert mine is not None
    known = psutil.Process.create_time
    # psutil adds the time of the machine's start, which Linux works out anew from the clock
    for hours in (-1, 1):
        monkeypatch.setattr(psutil.Process, "create_time", lambda self, by=hours: known(self) + 3600 * by)
        assert processes.started_at(os.getpid()) == mine
        assert processes.is_alive(os.getpid(), mine)
        group = os.getpgrp()
        assert processes.group_members(group, processes.started_at(group) or 0.0)


def test_a_row_of_an_earlier_version_tells_its_process_by_the_clock() -> None:
    assert processes.is_alive(os.getpid(), psutil.Process(os.getpid()).create_time())


def test_child_of_an_ended_leader_is_found_and_ended() -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    started = processes.started_at(leader.pid)
    assert started is not None
    assert leader.stdout is not None
    orphan = int(leader.stdout.readline())
    leader.wait()
    assert [member.pid for member in processes.group_members(leader.pid, started)] == [orphan]
    processes.signal_group(leader.pid, started, signal.SIGKILL)
    end = time.monotonic() + 5
    while processes.group_members(leader.pid, started):
        assert time.monotonic() < end
        time.sleep(0.02)
