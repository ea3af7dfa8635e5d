"""Is that process still the one we started, and how to end it with all its children.

A pid alone says little: it is reused after a while, and a finished child stays visible as a zombie until its parent
collects it. So a process is known by its pid together with its start time, and zombies count as gone. Each worker
leads a process group of its own, whose number is the worker's pid.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from functools import cache
from pathlib import Path

import psutil

# Of the same process, by the same clock; no pid comes round as quickly.
SAME_START_SECONDS = 2.0
# Linux tells starts since its own start in such ticks (/proc, the 22nd field of stat)
_TICKS = os.sysconf("SC_CLK_TCK")

_children: dict[int, subprocess.Popen[bytes]] = {}


def this_host() -> str:
    return socket.gethostname()


@cache
def this_boot() -> str:
    """Differs after a restart of the machine, or of the container: no process of before is there any more.

    Linux numbers its starts; that of the first process tells one start of a container from the next.
    """
    try:
        kernel = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        first = Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        # no Linux: the time of the start, coarse enough to stand corrections of the clock
        return str(round(psutil.boot_time() / 60))
    return f"{kernel}:{first}"


def remember(child: subprocess.Popen[bytes]) -> None:
    """Keep a child so that `collect` can reap it when it has ended."""
    _children[child.pid] = child


def collect(pid: int) -> int | None:
    """Reap a child of this process if it has ended. Its exit code (negative: a signal), None when not known."""
    child = _children.get(pid)
    if child is None:
        return None
    code = child.poll()
    if code is not None:
        del _children[pid]
    return code


def started_at(pid: int) -> float | None:
    """When it started, in seconds since the machine did, which no correction of the clock moves; where the system does
    not say that, since the epoch. None when there is no such process."""
    if (since_boot := _since_boot(pid)) is not None:
        return since_boot
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: float) -> bool:
    """True while the process that was started then runs: not ended, not a zombie, not another one with its pid."""
    collect(pid)
    try:
        process = psutil.Process(pid)
        return _same(process, started) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stands_still(pid: int, started: float) -> bool:
    """True for a living process that was stopped (SIGSTOP) and not continued."""
    try:
        process = psutil.Process(pid)
        return _same(process, started) and process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def group_members(pid: int, started: float) -> list[psutil.Process]:
    """The processes still running in the group that this worker leads or led (children outlive a killed worker)."""
    collect(pid)
    try:
        if not _same(psutil.Process(pid), started):
            # Linux never gives out a pid that is still the number of a group: a stranger here means ours is empty
            return []
    except psutil.NoSuchProcess:
        pass
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (ProcessLookupError, PermissionError, psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return members


def signal_group(pid: int, started: float, number: signal.Signals) -> None:
    """Send a signal to the whole group, if it is still ours; nothing happens when it is gone."""
    if not group_members(pid, started):
        return
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _since_boot(pid: int) -> float | None:
    try:
        # the name of a program, in parentheses, may hold anything
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[19]) / _TICKS
    except (OSError, IndexError, ValueError):
        # no Linux, or no such process
        return None


def _same(process: psutil.Process, started: float) -> bool:
    # rows of an earlier version have seconds since the epoch: no machine runs for so long
    ways = (_since_boot(process.pid), process.create_time())
    return any(way is not None and abs(way - started) <= SAME_START_SECONDS for way in ways)
