"""The one place that shows a person what went wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec

import streamlit as st

from core.errors import MidbandError
from core.logs import get_logger, log_file
from pages.parts import notices
from pages.parts.words import plain

REMEMBERED = "problem_remembered"
LOGGED = "problem_logged"

P = ParamSpec("P")
log = get_logger("pages")


def show(error: MidbandError | dict[str, Any]) -> None:
    """A title, what is wrong, and what to do about it. Takes an error, or what `to_dict` made of one (a failed job)."""
    told = error.to_dict() if isinstance(error, MidbandError) else error
    _note(told)
    title = plain(told.get("title") or "Something went wrong")
    lines = [f"**{title}.** {plain(told.get('detail', ''))}"]
    if told.get("next_step"):
        lines.append(f":material/arrow_forward: {plain(told['next_step'])}")
    st.error("\n\n".join(lines), icon=":material/error:")


@contextmanager
def shown(then: Callable[[], None] | None = None) -> Iterator[None]:
    """Show a `MidbandError` where it happens and end the block. Anything else is a bug and passes.

    then: draws what stands below the error.
    """
    try:
        yield
    except MidbandError as error:
        show(error)
        if then is not None:
            then()


def guarded(function: Callable[P, None]) -> Callable[P, None]:
    """`shown` for a fragment, which reruns without the frame around it; also shows what its callbacks left."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        with shown():
            remembered()
            notices.show()
            function(*args, **kwargs)

    return inner


def kept(function: Callable[P, None]) -> Callable[P, None]:
    """For callbacks, which run before the page: the problem is shown by `remembered` on the run that follows."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except MidbandError as error:
            st.session_state[REMEMBERED] = error.to_dict()

    return inner


def remembered() -> None:
    """Show what a callback stumbled over, once."""
    if told := st.session_state.pop(REMEMBERED, None):
        show(told)


def handle(error: Exception) -> bool:
    """What `st.App` calls for every exception no page dealt with: a sentence on screen, the traceback in the log."""
    if isinstance(error, MidbandError):
        show(error)
        return True
    log.error("a page failed", error=error)
    where = f" Its details are in `{str(file).replace('`', '')}`." if (file := log_file()) else ""
    st.error(
        f"**This page ran into a fault of its own.** Nothing you saved is lost.{where}\n\n"
        ":material/arrow_forward: Reload the page; if it happens again, please report it with that file.",
        icon=":material/error:",
    )
    return True


def _note(told: dict[str, Any]) -> None:
    """Write a shown problem into the log, once a session: a page that is drawn again shows it again."""
    noted: set[tuple[str, str]] = st.session_state.setdefault(LOGGED, set())
    key = (told.get("error", ""), told.get("detail", ""))
    if key not in noted:
        noted.add(key)
        log.info("a problem was shown", kind=key[0], detail=key[1])
