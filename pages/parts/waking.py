"""What happens when the server starts, before anybody looks: jobs of before are looked after."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from core.errors import MidbandError
from core.jobs.launcher import recover
from core.workspace import DATABASE, open_workspace
from pages.parts import state

logger = logging.getLogger("midband.pages")


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[None]:
    """For `st.App(lifespan=...)`."""
    await asyncio.to_thread(wake)
    yield


def wake() -> None:
    """Resume what a restart of the machine interrupted, start what waits, mark what is gone.

    A workspace that cannot be opened does not keep the server from starting: its pages say what is wrong with it.
    """
    if not (state.workspace_folder() / DATABASE).is_file():
        return
    try:
        for job in recover(open_workspace(state.workspace_folder())):
            logger.info("Job %s (%s) is %s", job.id, job.kind, job.state)
    except MidbandError as error:
        logger.error("Jobs were not looked after at the start: %s", error)
