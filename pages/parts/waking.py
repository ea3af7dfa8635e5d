"""What happens when the server starts, before anybody looks: the workspace is taken, and its jobs looked after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.errors import MidbandError
from core.jobs.launcher import recover
from core.storage.lease import Lease, hold
from core.workspace import open_workspace
from pages.parts import state

logger = logging.getLogger("midband.pages")


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
        workspace = open_workspace(state.workspace_folder())
        lease = hold(workspace)
    except MidbandError as error:
        logger.error("The workspace was not taken: %s", error)
        state.refuse(error)
        return None
    try:
        for job in recover(workspace):
            logger.info("Job %s (%s) is %s", job.id, job.kind, job.state)
    except MidbandError as error:
        logger.error("Jobs were not looked after at the start: %s", error)
    return lease
