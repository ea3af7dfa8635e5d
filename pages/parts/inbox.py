"""What a component's browser part sent and was not delivered yet: the Python side of the outbox in `assets/image_grid`.

Events are numbered per browser tab and repeated until they are acknowledged; each is delivered once, in order. What
was delivered travels back as `done`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from core.logs import get_logger

if TYPE_CHECKING:
    from core.concepts.log import Said

log = get_logger("pages")

Event = TypeVar("Event")
# of one event; the browser repeats it each time
MOST_INTERRUPTIONS = 8


@dataclass
class Inbox:
    """Events delivered in this session: of each browser tab the last number.

    interrupted: tab and number of the event whose handling was interrupted last, and how often.
    """

    done: dict[str, int] = field(default_factory=dict)
    interrupted: tuple[str, int, int] = ("", 0, 0)

    def deliver(
        self,
        message: object,
        act: Callable[[Event], None],
        *,
        read: Callable[[dict[str, Any]], Event | None] = dict,
        harmless: Collection[str] = ("tag",),
    ) -> None:
        """Call `act` for each event not delivered before, in order; one that fails does not take the rest with it.

        read: makes an event of what the browser sent, None of what makes no sense, which is dropped. harmless: kinds
        that change nothing the second time. Only these are delivered once more when Streamlit interrupts them (another
        widget moved in that very moment): an undo would take back one step too many.
        """
        for client, number, entry in self._pending(message):
            event = read(entry)
            if event is None:
                log.warning("an event makes no sense and was dropped", kind=entry.get("kind"))
                self.done[client] = number
                continue
            if entry.get("kind") not in harmless:
                self.done[client] = number
            try:
                act(event)
            except BaseException as fault:
                # Streamlit's interruptions are no Exceptions. A page that is busy may meet with several in a row, and
                # the tag must not be lost for it; only a handler that asks for a rerun itself, every time, is given up.
                times = self.interrupted[2] + 1 if self.interrupted[:2] == (client, number) else 1
                self.interrupted = (client, number, times)
                if isinstance(fault, Exception):
                    self.done[client] = number
                elif times == MOST_INTERRUPTIONS:
                    log.error("an event was given up", kind=entry.get("kind"), interruptions=times)
                    self.done[client] = number
                raise
            self.done[client] = number

    def _pending(self, message: object) -> list[tuple[str, int, dict[str, Any]]]:
        if not isinstance(message, dict) or not isinstance(client := message.get("client"), str):
            return []
        raw = message.get("events")
        known = [e for e in raw if isinstance(e, dict) and is_int(e.get("seq"))] if isinstance(raw, list) else []
        return [
            (client, event["seq"], event)
            for event in sorted(known, key=lambda event: event["seq"])
            if event["seq"] > self.done.get(client, 0)
        ]


def is_said(value: object) -> TypeGuard[Said]:
    """Whether a browser's value says something of an image and a concept."""
    return value is None or isinstance(value, bool) or value == "unsure"


def is_int(value: object) -> TypeGuard[int]:
    """Whether a browser's value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
