"""Ways of looking at a room: chosen from a row of names, kept for the session, and named by the address, so that they
can be linked to and the back button leads back to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import streamlit as st

from pages.parts import state

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class Looks:
    """key: of the session and of the row. label: what is chosen, as a screen reader says it. titles: by the name in an
    address, the usual one first."""

    key: str
    label: str
    titles: dict[str, str]

    def current(self, asked: str | None) -> str:
        """What is looked at. asked: what a new address names; None, or what is no look, leaves it as it was."""
        if asked in self.titles:
            st.session_state[self._kept] = asked
        return st.session_state.setdefault(self._kept, next(iter(self.titles)))

    def choose(
        self, look: str, *, label_visibility: Literal["visible", "collapsed"] = "collapsed", help: str | None = None
    ) -> None:
        """The row of names to choose from, on `look`."""
        st.session_state[self.key] = look
        st.segmented_control(
            self.label,
            list(self.titles),
            key=self.key,
            format_func=self.titles.get,
            required=True,
            label_visibility=label_visibility,
            on_change=self._keep,
            help=help,
        )

    @property
    def _kept(self) -> str:
        # Streamlit forgets a widget's value while it is not shown
        return f"{self.key}-kept"

    def _keep(self) -> None:
        st.session_state[self._kept] = st.session_state[self.key]


def asked_of(analysis: Analysis) -> dict[str, str]:
    """What the address says of this investigation where that is new (a link, the back button); else nothing."""
    asked = state.view_link()
    return asked if asked.get("analysis", analysis.id) == analysis.id else {}
