"""Whether a machine and a workspace are fit for work: what `doctor` says, and whether a server is ready.

Looks, and changes nothing: a workspace of an older version is not brought up to date, a stuck job is not ended.
"""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import psutil
from sqlalchemy import select

from core import logs
from core.access import modes
from core.access.accounts import anybody
from core.database import JobRecord
from core.errors import MidbandError
from core.files import read_json
from core.jobs import processes
from core.jobs.job import ACTIVE, PAUSED, QUEUED
from core.jobs.queue import alive, here
from core.limits import default_memory_limit, free_bytes, machine_memory, size_text
from core.migrations import HEAD
from core.settings import DEFAULTS
from core.storage import lease
from core.storage.integrity import open_readonly
from core.workspace import DATABASE, Workspace

Level = Literal["ok", "warn", "fail"]
REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)")
# bytes of memory below which a pass over images is likely to be killed by the system
LITTLE_MEMORY = 2 * 10**9
# file systems of other machines, over which SQLite's log of writes does not hold
_NETWORK = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre")
# seconds a server waits for a locked database before it says that it is not ready
_PATIENCE = 2.0


@dataclass(frozen=True)
class Check:
    """One finding. next_step: empty where all is well. facts: plain JSON."""

    subject: str
    level: Level
    sentence: str
    next_step: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "level": self.level,
            "sentence": self.sentence,
            "next_step": self.next_step,
            "facts": self.facts,
        }


@dataclass(frozen=True)
class Examination:
    checks: tuple[Check, ...]

    @property
    def level(self) -> Level:
        """The worst of all."""
        levels = {check.level for check in self.checks}
        return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"

    def to_dict(self) -> dict[str, Any]:
        return {"level": self.level, "checks": [check.to_dict() for check in self.checks]}


@dataclass(frozen=True)
class Readiness:
    """database: it answers, with the tables this version needs. disk: more than the reserve is free."""

    database: bool
    disk: bool

    @property
    def ready(self) -> bool:
        return self.database and self.disk


def readiness(root: Path) -> Readiness:
    """Whether a server over this workspace can do its work at this moment. Never raises, never writes."""
    try:
        with closing(open_readonly(root / DATABASE)) as connection:
            connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")
            answers = connection.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
    except sqlite3.Error:
        answers = False
    try:
        room = free_bytes(root) >= DEFAULTS.disk_reserve
    except MidbandError:
        room = False
    return Readiness(answers, room)


def examine(root: Path) -> Examination:
    """Look at the machine and, where there is one, at the workspace in `root`."""
    checks = [_python(), *_libraries(), _devices(), _memory(), *_settings()]
    if not (root / DATABASE).is_file():
        step = "Name its folder with --workspace, or make one: `python -m core demo`."
        return Examination((*checks, Check("workspace", "warn", f"There is no workspace at {root}.", step)))
    checks += [_folder(root), _file_system(root)]
    database = _database(root)
    checks.append(database)
    # what follows reads tables, which have to be there and of this version
    records = _jobs_of(root) if database.level == "ok" else []
    checks += [_disk(root, records), *_servers(root), _log(root)]
    if database.level == "ok":
        checks += [_jobs(records), _leftovers(records), _access(root)]
    return Examination(tuple(checks))


def _python() -> Check:
    facts = {"python": platform.python_version(), "system": platform.platform()}
    return Check("python", "ok", f"Python {facts['python']} on {facts['system']}.", facts=facts)


def pins(requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """Versions that this program was tested with, by name; empty where the file is not there."""
    try:
        lines = requirements.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {found[1]: found[2] for line in lines if (found := _PIN.match(line.strip()))}


def _libraries() -> Iterator[Check]:
    wanted = pins()
    found = {name: _installed(name) for name in wanted}
    missing = [name for name, there in found.items() if there is None]
    other = [f"{name} {found[name]} (tested: {pin})" for name, pin in wanted.items() if _differs(found[name], pin)]
    facts: dict[str, Any] = {name: there for name, there in found.items() if there is not None}
    step = "Install what is listed: `pip install -r requirements.txt`."
    if missing:
        yield Check("libraries", "fail", f"Not installed: {', '.join(missing)}.", step, facts)
    elif other:
        yield Check("libraries", "warn", f"Other versions than those tested: {', '.join(other)}.", step, facts)
    else:
        named = ", ".join(f"{name} {found[name]}" for name in ("torch", "torchvision", "streamlit") if name in found)
        yield Check("libraries", "ok", f"{len(found)} libraries as tested, among them {named}.", facts=facts)
    if "torch" in missing or "torchvision" in missing:
        return
    try:
        from core.classifiers.architectures import names

        yield Check("models", "ok", f"torch and torchvision work together; {len(names())} architectures by name.")
    except (ImportError, RuntimeError, OSError) as error:
        sentence = f"torch and torchvision do not work together ({error})."
        yield Check("models", "fail", sentence, "Install the versions in requirements.txt, both of the same build.")


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _differs(there: str | None, pin: str) -> bool:
    # torch 2.13.0+cpu is torch 2.13.0, built for another device
    return there is not None and there.partition("+")[0] != pin.partition("+")[0]


def _devices() -> Check:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check("devices", "fail", f"torch cannot be imported ({error}).", "Install it again.")
    cores = os.cpu_count() or 1
    graphics = [torch.cuda.get_device_name(place) for place in range(torch.cuda.device_count())]
    facts = {"cores": cores, "threads": torch.get_num_threads(), "cuda": graphics, "build": torch.version.cuda}
    if torch.version.cuda and not graphics and torch.backends.cuda.is_built() and Path("/dev/nvidia0").exists():
        sentence = "There is a graphics card, and torch cannot use it."
        return Check("devices", "warn", sentence, "Check its driver with `nvidia-smi`.", facts)
    told = ", ".join(graphics) if graphics else "no graphics card that torch can use"
    return Check("devices", "ok", f"{cores} cores, {told}.", facts=facts)


def _memory() -> Check:
    total, free = machine_memory(), min(psutil.virtual_memory().available, machine_memory())
    try:
        limit = default_memory_limit()
    except MidbandError as error:
        return Check("memory", "fail", error.detail, error.next_step)
    facts = {"total": total, "available": free, "job_limit": limit}
    sentence = f"{size_text(free)} of {size_text(total)} are available; a job may hold {size_text(limit)}."
    if free < LITTLE_MEMORY:
        return Check("memory", "warn", sentence, "Close other programs before a large analysis.", facts)
    if limit > total:
        return Check("memory", "warn", sentence, "Give a job less than the machine has (MIDBAND_JOB_MEMORY).", facts)
    return Check("memory", "ok", sentence, facts=facts)


def _settings() -> Iterator[Check]:
    """What the environment says and cannot mean."""
    try:
        logs.check_environment()
        way = modes.mode()
    except MidbandError as error:
        yield Check("settings", "fail", error.detail, error.next_step)
        return
    yield Check("settings", "ok", f"Access: {way}.", facts={"access": way})


def _folder(root: Path) -> Check:
    facts = {"folder": str(root), "mode": stat.filemode(root.stat().st_mode)}
    for place in (root, root / DATABASE):
        if not os.access(place, os.R_OK | os.W_OK):
            step = "Let the user who runs Midband own the folder and all in it."
            return Check("folder", "fail", f"{place} may not be read and written here.", step, facts)
    try:
        # what an access list or a full quota forbids is known by trying
        with tempfile.TemporaryFile(dir=root, prefix=".doctor."):
            pass
    except OSError as error:
        step = "Let the user who runs Midband write there."
        return Check("folder", "fail", f"Nothing can be written in {root} ({error.strerror}).", step, facts)
    if modes.signs_in() and (root / DATABASE).stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        sentence = f"Other users of this machine may read or change {DATABASE}, which holds accounts."
        return Check("folder", "warn", sentence, f"Close it to them: `chmod -R o-rwx,g-w {root}`.", facts)
    return Check("folder", "ok", f"{root} can be read and written.", facts=facts)


def _file_system(root: Path) -> Check:
    kinds = [
        (len(part.mountpoint), part.fstype)
        for part in psutil.disk_partitions(all=True)
        if root.resolve().is_relative_to(part.mountpoint)
    ]
    kind = max(kinds, default=(0, "unknown"))[1]
    if any(kind.startswith(network) for network in _NETWORK):
        step = "Let one machine serve it, or keep the workspace on a disk of its own."
        return Check("file system", "warn", f"The workspace lies on another machine ({kind}).", step, {"kind": kind})
    return Check("file system", "ok", f"The workspace lies on a disk of this machine ({kind}).", facts={"kind": kind})


def _database(root: Path) -> Check:
    file = root / DATABASE
    try:
        with closing(open_readonly(file)) as connection:
            problems = [row[0] for row in connection.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
            revision = _revision(connection)
            journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
    except sqlite3.DatabaseError as error:
        problems, revision, journal = [str(error)], None, ""
    facts = {"revision": revision, "needs": HEAD, "bytes": file.stat().st_size, "journal": journal}
    if problems:
        step = "Stop the server, then `python -m core repair`, or `python -m core restore` with a backup."
        return Check("database", "fail", f"It is damaged: {'; '.join(problems)[:500]}.", step, facts)
    if revision != HEAD:
        step = "Open the workspace once: an older one is brought up to date, after a copy; a newer one says so."
        return Check("database", "warn", f"Its tables are of revision {revision}, not {HEAD}.", step, facts)
    return Check("database", "ok", f"It answers and is whole at a quick look (revision {HEAD}).", facts=facts)


def _revision(connection: sqlite3.Connection) -> str | None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone() is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _jobs_of(root: Path) -> list[JobRecord]:
    with Workspace(root).reading() as session:
        return list(session.scalars(select(JobRecord).order_by(JobRecord.created.desc()).limit(1000)))


def _disk(root: Path, records: list[JobRecord]) -> Check:
    free = free_bytes(root)
    needed = sum(record.needs_bytes or 0 for record in records if record.state == QUEUED)
    facts = {"free": free, "reserve": DEFAULTS.disk_reserve, "needed": needed}
    sentence = f"{size_text(free)} free; {size_text(DEFAULTS.disk_reserve)} are kept for the database"
    if free < DEFAULTS.disk_reserve:
        return Check("disk", "fail", f"{sentence}, so that no job can run.", "Free some space.", facts)
    if needed and free < needed + DEFAULTS.disk_reserve:
        sentence = f"{sentence}, and jobs that wait need about {size_text(needed)}."
        return Check("disk", "warn", sentence, "Free some space before their turn.", facts)
    waits = f", and jobs that wait need about {size_text(needed)}" if needed else ""
    return Check("disk", "ok", f"{sentence}{waits}.", facts=facts)


def _servers(root: Path) -> Iterator[Check]:
    """Signs of life of servers: old ones are forgotten by the next server, one of another host keeps ours out."""
    ages: dict[str, float] = {}
    for file in sorted((root / lease.FOLDER).glob("*.json")):
        try:
            told = read_json(file)
            name = f"{told['host']} ({told['pid']})"
            ages[name] = time.time() - file.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError):
            yield Check("servers", "warn", f"{file.name} cannot be read.", f"Remove {file}.")
    stale = [name for name, age in ages.items() if age > lease.STALE]
    living = [name for name in ages if name not in stale]
    others = [name for name in living if not name.startswith(f"{processes.this_host()} (")]
    facts = {"living": living, "stale": stale}
    if others:
        sentence = f"A server on another machine has the workspace open: {', '.join(others)}."
        yield Check("servers", "warn", sentence, "Use that one, or stop it before starting one here.", facts)
    elif stale:
        sentence = f"Signs of life of servers that are gone: {', '.join(stale)}."
        yield Check("servers", "warn", sentence, "Nothing: the next server that starts clears them away.", facts)
    else:
        yield Check("servers", "ok", f"{len(living)} servers of this machine have it open.", facts=facts)


def _jobs(records: list[JobRecord]) -> Check:
    under_way = [record for record in records if record.state in ACTIVE]
    # paused ones need no process
    stuck = [record for record in under_way if record.state not in (QUEUED, PAUSED) and not alive(record)]
    waiting = [record for record in under_way if record.state == QUEUED and not alive(record)]
    idle = waiting if len(waiting) == len([each for each in under_way if each.state != PAUSED]) else []
    facts = {"active": len(under_way), "stuck": [each.id for each in stuck], "unattended": [each.id for each in idle]}
    if stuck or idle:
        named = ", ".join(f"{each.title[:60]} ({each.id})" for each in (*stuck, *idle)[:5])
        sentence = f"{len(stuck) + len(idle)} jobs have no process any more: {named}."
        step = "Look at them (`python -m core jobs`, or start the server): they are marked, or go on."
        return Check("jobs", "warn", sentence, step, facts)
    return Check("jobs", "ok", f"{len(under_way)} run, wait or are paused, and none is stuck.", facts=facts)


def _leftovers(records: list[JobRecord]) -> Check:
    """Processes of jobs that have ended."""
    groups = _groups()
    ended = [each for each in records if each.state not in ACTIVE and here(each) and each.pid in groups]
    left = [
        member.pid
        for each in ended
        if each.pid is not None and each.process_started is not None
        for member in processes.group_members(each.pid, each.process_started)
    ]
    if left:
        sentence = f"{len(left)} processes of jobs that have ended are still there: {left[:10]}."
        return Check("processes", "warn", sentence, "End them by their numbers.", {"pids": left})
    return Check("processes", "ok", "No process of a job that has ended is left.", facts={"pids": []})


def _groups() -> set[int]:
    """Numbers of all process groups of this machine that may be seen."""
    found = set()
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            found.add(os.getpgid(process.pid))
    return found


def _access(root: Path) -> Check:
    if not modes.signs_in():
        return Check("accounts", "ok", "Nobody signs in.")
    if not anybody(Workspace(root)):
        step = "Add an owner: `python -m core users --add NAME --role owner`."
        return Check("accounts", "warn", "People sign in, and there is no account.", step)
    return Check("accounts", "ok", "People sign in.")


def _log(root: Path) -> Check:
    file = logs.file_in(root)
    if file.exists() and not os.access(file, os.W_OK):
        return Check("log", "warn", f"{file} may not be written.", "Let the user who runs Midband write there.")
    size = sum(each.stat().st_size for each in file.parent.glob(f"{logs.FILE}*"))
    return Check("log", "ok", f"{file} ({size_text(size)}).", facts={"file": str(file), "bytes": size})
