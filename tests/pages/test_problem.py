"""What went wrong is told in a sentence with a next step; faults of our own go to a log, not on screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core import logs


def _known() -> None:
    from core.errors import PathNotFound
    from pages.parts import problem

    with problem.shown():
        raise PathNotFound("There is no folder /x_*y*.", next_step="Check the spelling.")


def _fault(folder: str) -> None:
    from pathlib import Path

    from core import logs
    from pages.parts import problem

    logs.keep_in(Path(folder))
    logs.keep_in(Path(folder))
    try:
        raise ZeroDivisionError("secret detail")
    except ZeroDivisionError as error:
        problem.handle(error)


def _bug() -> None:
    from pages.parts import problem

    with problem.shown():
        raise ZeroDivisionError


def _callback() -> None:
    import streamlit as st

    from core.errors import BadRequest
    from pages.parts import problem

    @problem.kept
    def fail() -> None:
        raise BadRequest("That name is empty.", next_step="Type one.")

    problem.remembered()
    st.button("go", on_click=fail)


def test_an_error_shows_title_detail_and_next_step() -> None:
    app = AppTest.from_function(_known).run()
    (shown,) = app.error
    assert "Path not found" in shown.value
    assert "Check the spelling" in shown.value
    assert "*y*" not in shown.value.replace("\\*y\\*", "")


def test_a_bug_is_not_swallowed() -> None:
    assert AppTest.from_function(_bug).run().exception


def test_a_fault_is_logged_with_its_traceback_and_shown_as_a_sentence(tmp_path: Path) -> None:
    app = AppTest.from_function(_fault, args=(str(tmp_path),)).run()
    (shown,) = app.error
    assert "secret detail" not in shown.value
    assert "Reload the page" in shown.value
    log = (tmp_path / "logs" / "midband.log").read_text(encoding="utf-8")
    assert log.count("ZeroDivisionError: secret detail") == 1


def test_a_problem_that_is_shown_is_logged_once_with_its_class(tmp_path: Path) -> None:
    logs.keep_in(tmp_path)
    app = AppTest.from_function(_known).run()
    app.run()
    (line,) = (tmp_path / "logs" / "midband.log").read_text(encoding="utf-8").splitlines()
    told = json.loads(line)
    assert (told["event"], told["kind"]) == ("a problem was shown", "PathNotFound")
    assert told["detail"] == "There is no folder /x_*y*."


def test_a_callbacks_problem_is_shown_once_on_the_run_that_follows() -> None:
    app = AppTest.from_function(_callback).run()
    app.button[0].click().run()
    assert "Type one" in app.error[0].value
    assert not app.run().error


@pytest.fixture(autouse=True)
def _no_log_left() -> Iterator[None]:
    yield
    logs.stop()
