"""The pictures of the report as SVG: they inherit the page's colours, so that they are readable light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 40
SQUARE = 300


def curve_chart(curve: Mapping[str, Any], mid: Mapping[str, Any], own: str) -> str:
    """The share of a value along the range, of all images and of the class's own. curve: `ConfounderCurve.to_dict()`.
    mid: the middle, a `Range`. own: the class."""
    lines = [line for line in curve["curves"] if line["name"] == "all images" or line["name"] == own]
    low, high = curve["curves"][0]["low"][0], curve["curves"][0]["high"][-1]
    if not low < high:
        return ""
    frame = _Frame(WIDTH, HEIGHT, low, high, 0.0, 1.0)
    parts = [frame.range(mid["low"], mid["high"], "middle"), frame.shares(), frame.ticks(low, high)]
    for line in lines:
        kind = "all" if line["name"] == "all images" else "own"
        points = [(x, y) for x, y in zip(line["places"], line["shares"], strict=True) if y is not None]
        there = [i for i, y in enumerate(line["shares"]) if y is not None]
        above = [(line["places"][i], line["interval_high"][i]) for i in there]
        below = [(line["places"][i], line["interval_low"][i]) for i in reversed(there)]
        parts.append(f'<polygon class="between {kind}" points="{frame.points([*above, *below])}"/>')
        parts.append(f'<polyline class="line {kind}" points="{frame.points(points)}"/>')
        parts += [
            f'<circle class="dot {kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="2.6"/>' for x, y in points
        ]
    label = f"Share of {curve['name']} along the logit of {own}. {curve['sentence']}"
    return _svg(frame, parts, label)


def shift_chart(shift: Mapping[str, Any]) -> str:
    """Images along a class before and after. shift: `ActivationShift.to_dict()`."""
    edges, before, after = shift["edges"], shift["before"], shift["after"]
    most = max([*before, *after, 1])
    frame = _Frame(WIDTH, HEIGHT, edges[0], edges[-1], 0.0, most * 1.05)
    parts = [frame.range(shift["middle"][0], shift["middle"][1], "middle")]
    for i, count in enumerate(before):
        left, right = frame.x(edges[i]), frame.x(edges[i + 1])
        top = frame.y(count)
        parts.append(
            f'<rect class="was" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" '
            f'height="{frame.bottom - top:.1f}"/>'
        )
    steps: list[tuple[float, float]] = [(edges[0], 0)]
    for i, count in enumerate(after):
        steps += [(edges[i], count), (edges[i + 1], count)]
    steps.append((edges[-1], 0))
    parts.append(f'<polyline class="line now" points="{frame.points(steps)}"/>')
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{frame.bottom}" x2="{WIDTH - RIGHT}" y2="{frame.bottom}"/>')
    parts += [
        frame.text(-1, "mean of the others") if shift.get("comparable", True) else "",
        frame.text(1, f"mean of {shift['class']}") if shift.get("comparable", True) else "",
        f'<text x="{LEFT - 6}" y="{TOP + 8}" text-anchor="end">{most:,}</text>',
        f'<text x="{LEFT - 6}" y="{frame.bottom}" text-anchor="end">0</text>',
    ]
    return _svg(frame, parts, f"Images along {shift['class']}. {shift['sentence']}")


def reliability_chart(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Accuracy over confidence. before, after: `Calibration.to_dict()`."""
    frame = _Frame(SQUARE, SQUARE, 0.0, 1.0, 0.0, 1.0)
    parts = [
        frame.shares(),
        f'<line class="even" x1="{frame.x(0):.1f}" y1="{frame.y(0):.1f}" x2="{frame.x(1):.1f}" y2="{frame.y(1):.1f}"/>',
        *(
            f'<text x="{frame.x(share):.1f}" y="{frame.bottom + 16}" text-anchor="{anchor}">{share:.0%}</text>'
            for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
        ),
        f'<text x="{(LEFT + SQUARE - RIGHT) / 2:.0f}" y="{SQUARE - 6}" text-anchor="middle">confidence</text>',
    ]
    for kind, calibration in (("was", before), ("now", after)):
        bins = calibration.get("bins") or []
        points = [(one["confidence"], one["accuracy"]) for one in bins]
        for one in bins:
            x = frame.x(one["confidence"])
            parts.append(
                f'<line class="whisker {kind}" x1="{x:.1f}" y1="{frame.y(one["accuracy_low"]):.1f}" x2="{x:.1f}" '
                f'y2="{frame.y(one["accuracy_high"]):.1f}"/>'
            )
        parts.append(f'<polyline class="line {kind}" points="{frame.points(points)}"/>')
        parts += [f'<circle class="dot {kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3"/>' for x, y in points]
    label = "Accuracy over confidence before and after; on the diagonal, confidence is what it says."
    return _svg(frame, parts, label, small=True)


def share_chart(lines: Sequence[Mapping[str, Any]], low: float, high: float, across: str, label: str) -> str:
    """Shares over numbers from `low` to `high`. lines: kind ("was", "now", "all" or "own"), title, x, y, and lower and
    upper, the limits of each y, where there are any. across: what x is."""
    frame = _Frame(WIDTH, HEIGHT + 60, low, high, 0.0, 1.0)
    parts = [frame.shares(), frame.ticks(low, high)]
    for line in lines:
        points = list(zip(line["x"], line["y"], strict=True))
        if line.get("lower"):
            above, below = (list(zip(line["x"], line[end], strict=True)) for end in ("upper", "lower"))
            parts.append(f'<polygon class="between {line["kind"]}" points="{frame.points([*above, *below[::-1]])}"/>')
        parts.append(f'<polyline class="line {line["kind"]}" points="{frame.points(points)}"/>')
        parts += [
            f'<circle class="dot {line["kind"]}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3">'
            f"<title>{escape(line['title'])}, {x:g}: {y:.1%}</title></circle>"
            for x, y in points
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{frame.height - 5}" text-anchor="middle">{escape(across)}</text>')
    return _svg(frame, parts, label)


class _Frame:
    """Where values lie on a picture."""

    def __init__(self, width: int, height: int, low: float, high: float, bottom: float, top: float) -> None:
        self.width, self.height = width, height
        self._low, self._span = low, high - low
        self._bottom, self._rise = bottom, top - bottom
        self.bottom = height - BOTTOM

    def x(self, value: float) -> float:
        share = min(max((value - self._low) / self._span, 0.0), 1.0)
        return LEFT + share * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return self.bottom - (value - self._bottom) / self._rise * (self.bottom - TOP)

    def points(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)

    def range(self, low: float, high: float, title: str) -> str:
        left, right = self.x(low), self.x(high)
        return (
            f'<rect class="mid" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}" '
            f'height="{self.bottom - TOP}"/><text class="midtext" x="{(left + right) / 2:.1f}" y="{TOP - 3}" '
            f'text-anchor="middle">{escape(title)}</text>'
        )

    def shares(self) -> str:
        return "".join(
            f'<line class="grid" x1="{LEFT}" y1="{self.y(share):.1f}" x2="{self.width - RIGHT}" '
            f'y2="{self.y(share):.1f}"/><text x="{LEFT - 6}" y="{self.y(share) + 4:.1f}" text-anchor="end">'
            f"{share:.0%}</text>"
            for share in (0, 0.25, 0.5, 0.75, 1)
        )

    def ticks(self, low: float, high: float) -> str:
        places = [low + (high - low) * i / 4 for i in range(5)]
        anchors = ("start", "middle", "middle", "middle", "end")
        return "".join(
            f'<text x="{self.x(place):.1f}" y="{self.bottom + 17}" text-anchor="{anchor}">'
            f"{f'{place:.3g}'.replace('-', '−')}</text>"
            for place, anchor in zip(places, anchors, strict=True)
        )

    def text(self, value: float, words: str) -> str:
        shown = words if len(words) <= 24 else f"{words[:23]}…"
        return (
            f'<line class="axis" x1="{self.x(value):.1f}" y1="{self.bottom}" x2="{self.x(value):.1f}" '
            f'y2="{self.bottom + 5}"/><text x="{self.x(value):.1f}" y="{self.bottom + 18}" text-anchor="middle">'
            f"{escape(shown)}</text>"
        )


def _svg(frame: _Frame, parts: Sequence[str], label: str, *, small: bool = False) -> str:
    return (
        f'<svg class="chart{" small" if small else ""}" viewBox="0 0 {frame.width} {frame.height}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
