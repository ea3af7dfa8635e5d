"""What happens when the server starts, before anybody looks: the workspace is taken, and its jobs looked after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.errors import MidbandError
from core.jobs.launcher import recover
from core.logs import get_logger, keep_in
from core.storage.lease import Lease, hold
from core.workspace import open_workspace
from pages.parts import state

log = get_logger("server")


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """For `st.App(lifespan=...)`."""
    lease = await asyncio.to_thread(wake)
    try:
        yield
    finally:
        if lease is not None:
            await asyncio.to_thread(lease.release)


def wake() -> Lease | None:
    """Take the workspace; resume what a restart of the machine interrupted, start what waits, mark what is gone.

    A workspace that cannot be opened, or that another host serves, does not keep the server from starting: every page
    says what is wrong.
    """
    try:
        keep_in(state.workspace_folder(), stderr="text")
        workspace = open_workspace(state.workspace_folder())
        lease = hold(workspace, lost=state.refuse)
    except MidbandError as error:
        log.error("the workspace was not taken", problem=str(error))
        state.refuse(error)
        return None
    try:
        for job in recover(workspace):
            log.info("a job is under way or waits", job=job.id, kind=job.kind, state=job.state)
    except MidbandError as error:
        log.error("jobs were not looked after", problem=str(error))
    log.info("the workspace is served", workspace=workspace.root)
    return lease
