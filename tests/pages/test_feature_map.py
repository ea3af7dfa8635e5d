"""The map's browser part, from Python's side: the messages both ways, and what is done with events."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from pages.parts import feature_map, map_colours
from pages.parts.feature_map import MapColours, MapEvent, MapLayout, deliver_all, read_event, read_view
from pages.parts.inbox import Inbox
from pages.parts.theme import DARK, LIGHT

CLIENT = "browser"


def unpacked(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = struct.unpack("<I", content[:4])[0]
    header = json.loads(content[4 : 4 + size])
    at = -(-(4 + size) // 4) * 4
    arrays = {}
    for name, kind, length in header["arrays"]:
        arrays[name] = np.frombuffer(content, kind, length, at)
        at = -(-(at + arrays[name].nbytes) // 4) * 4
    assert at == len(content)
    return header, arrays


class Interrupted(BaseException):
    """As Streamlit ends a callback that a new run overtakes."""


def test_an_event_that_was_interrupted_is_delivered_again_and_others_once() -> None:
    inbox = Inbox()
    done: list[int] = []
    stumbling = [2]

    def handle(event: MapEvent) -> None:
        if event.row in stumbling:
            stumbling.clear()
            raise Interrupted
        done.append(event.row)

    events = [{"kind": "one", "row": row, "seq": row} for row in (1, 2, 3)]
    with pytest.raises(Interrupted):
        deliver_all(inbox, {"client": CLIENT, "events": events}, 600, handle)
    assert (done, inbox.done) == ([1], {CLIENT: 1})
    deliver_all(inbox, {"client": CLIENT, "events": events}, 600, handle)
    assert (done, inbox.done) == ([1, 2, 3], {CLIENT: 3})


def test_an_event_that_fails_is_not_repeated() -> None:
    inbox = Inbox()

    def handle(event: MapEvent) -> None:
        raise ZeroDivisionError

    events = [{"kind": "explode", "seq": 1}, {"kind": "one", "row": 2, "seq": 2}]
    with pytest.raises(ZeroDivisionError):
        deliver_all(inbox, {"client": CLIENT, "events": events}, 600, handle)
    assert inbox.done == {CLIENT: 2}


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"kind": "explode"},
        {"kind": "one", "row": 600},
        {"kind": "one", "row": -1},
        {"kind": "one", "row": True},
        {"kind": "open", "row": "4"},
        {"kind": "one", "row": 4, "mode": "all"},
        {"kind": "area", "corners": [0, 0, 1, 1]},
        {"kind": "area", "corners": [0, 0, 1, 1, 0, float("nan")]},
        {"kind": "area", "corners": [0, 0, 1, 1, 0, "2"]},
        {"kind": "area", "corners": [0.0] * 7},
        {"kind": "area", "corners": [0.0] * 4002},
        {"kind": "area", "corners": [0, 0, 1, 0, 1, 1], "values": [256]},
        {"kind": "area", "corners": [0, 0, 1, 0, 1, 1], "values": "all"},
        {"kind": "area", "corners": [0, 0, 1, 0, 1, 1], "layout": 3},
    ],
)
def test_events_that_make_no_sense_are_dropped(event: dict[str, Any]) -> None:
    assert read_event(event, 600) is None


def test_what_the_browser_asks_for_is_checked() -> None:
    assert read_view([1, 2, 3]) == (1.0, 2.0, 3.0)
    assert [read_view(told) for told in (None, [1, 2], [1, 2, float("inf")], [1, 2, 1], "123")] == [None] * 5


def test_messages_are_read_back_whole() -> None:
    xy = np.array([[1, 2], [np.nan, 4], [5, 6]], dtype=np.float32)
    header, arrays = unpacked(feature_map.points_message("map", MapLayout("pca", "“Ünï”", xy)))
    assert header["title"] == "“Ünï”"
    np.testing.assert_array_equal(np.stack([arrays["x"], arrays["y"]], axis=1), xy)


def test_codes_without_a_colour_are_refused() -> None:
    for codes in (np.array([0, 2], dtype=np.uint8), np.array([0, 1])):
        with pytest.raises(ValueError, match="codes must be uint8"):
            feature_map.colours_message("map", MapColours("", "", codes, ("a", "b"), LIGHT[:2], DARK[:2]))
    with pytest.raises(ValueError, match="every value needs a colour"):
        feature_map.colours_message("map", MapColours("", "", np.zeros(2, np.uint8), ("a", "b"), LIGHT[:1], DARK[:2]))


def luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize(("side", "page"), [("light", "#ffffff"), ("dark", "#13181d")])
def test_every_colour_of_a_point_is_seen_on_the_page(side: str, page: str) -> None:
    ramp = MapColours("", "", np.zeros(1, np.uint8), light=feature_map.RAMP_LIGHT, dark=feature_map.RAMP_DARK)
    header, _ = unpacked(feature_map.colours_message("map", ramp))
    colors = header["colors"][side]
    place = ("light", "dark").index(side)
    others = [map_colours.REST_COLORS[place], *map_colours.CORRECTNESS_COLORS[side]]
    ground = luminance(page)
    for color in [*colors, *others]:
        high, low = sorted((luminance(color), ground), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, color
    # ever further from the page, so that strong and weak are told apart without seeing hues
    apart = np.abs(np.array([luminance(color) for color in colors[:-1]]) - ground)
    assert (np.diff(apart[:: len(apart) // 12]) > 0).all()
