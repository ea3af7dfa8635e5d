"""What a component's browser part sent and was not delivered yet: the Python side of the outbox in `assets/image_grid`.

Events are numbered per browser tab and repeated until they are acknowledged; each is delivered once, in order. What
was delivered travels back as `done`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Inbox:
    """Events delivered in this session: of each browser tab the last number."""

    done: dict[str, int] = field(default_factory=dict)
    interrupted: tuple[str, int] = ("", 0)

    def deliver(self, message: object, act: Callable[[dict[str, Any]], None]) -> None:
        """Call `act` for each event not delivered before, in order; one that fails does not take the rest with it.

        A tag that Streamlit interrupted (another widget moved in that very moment) is delivered once more, which
        changes nothing the second time; nothing else is: an undo would take back one step too many.
        """
        for client, number, event in self._pending(message):
            if event.get("kind") != "tag":
                self.done[client] = number
            try:
                act(event)
            except BaseException as fault:
                # Streamlit's interruptions are no Exceptions. A handler that asks for a rerun itself looks the same,
                # so an event is repeated once at most.
                if isinstance(fault, Exception) or self.interrupted == (client, number):
                    self.done[client] = number
                self.interrupted = (client, number)
                raise
            self.done[client] = number

    def fresh(self, message: object) -> Iterator[dict[str, Any]]:
        """Events not delivered before, in order, each counting as delivered once it is handed over."""
        for client, number, event in self._pending(message):
            self.done[client] = number
            yield event

    def _pending(self, message: object) -> list[tuple[str, int, dict[str, Any]]]:
        if not isinstance(message, dict) or not isinstance(client := message.get("client"), str):
            return []
        raw = message.get("events")
        known = [e for e in raw if isinstance(e, dict) and _is_int(e.get("seq"))] if isinstance(raw, list) else []
        return [
            (client, event["seq"], event)
            for event in sorted(known, key=lambda event: event["seq"])
            if event["seq"] > self.done.get(client, 0)
        ]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
