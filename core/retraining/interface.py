"""What every method of fitting a new last layer has in common: what it gets, what it gives, and its knobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.classifiers.head import Head
from core.errors import BadRequest
from core.progress import Progress
from core.retraining.curation import Curation
from core.retraining.groups import Grouping
from core.retraining.pool import ConceptTags, Pool


@dataclass(frozen=True, eq=False)
class Material:
    """What a method may use.

    pool: held-out images. concepts: tags on them. known: groups of the pool's images by a known attribute, -1 where it
    is not known; None where the dataset has none; for `dfr` and `group-dro` only. curation: images that somebody has
    looked through already, taken as they are in place of what tags would give.
    """

    pool: Pool
    concepts: tuple[ConceptTags, ...] = ()
    known: Grouping | None = None
    curation: Curation | None = None


@dataclass(frozen=True, eq=False)
class Fitted:
    """head: the new last layer, for features as the network gives them. notes: sentences for a person.

    chosen: what was tuned or decided on the way, by name, plain numbers and words. tried: the tuning table, one line
    per setting; empty where nothing is tuned.
    """

    head: Head
    curation: Curation | None = None
    notes: tuple[str, ...] = ()
    chosen: dict[str, Any] = field(default_factory=dict)
    tried: tuple[dict[str, Any], ...] = ()


Value = int | float | bool | str
Settings = Mapping[str, Any]
Fit = Callable[[Material, Settings, np.random.Generator, Progress], Fitted]


@dataclass(frozen=True)
class Knob:
    """One setting of a method. default decides its kind: whole number, number, yes or no, words.

    low, high: least and largest number, both allowed; None for the other kinds. choices: the words allowed. help: one
    sentence saying what turning it does.
    """

    name: str
    title: str
    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    help: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "knob": self.name,
            "title": self.title,
            "default": self.default,
            "low": self.low,
            "high": self.high,
            "choices": list(self.choices),
            "unit": self.unit,
            "help": self.help,
        }

    @property
    def range(self) -> str:
        """What the knob takes, for a sentence: "a number from 0.001 to 100"."""
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, str):
            return f"one of {', '.join(self.choices)}"
        noun = "a whole number" if isinstance(self.default, int) else "a number"
        return f"{noun} from {self.low:g} to {self.high:g}"

    def check(self, value: Any) -> Value:
        """The value in the knob's own type; text such as "0.1" or "true" is read. Raises `BadRequest`."""
        found = self._read(value)
        if found is None:
            raise BadRequest(
                f"{self.name} is {self.range}, not “{str(value)[:80]}”.",
                next_step=f"Leave {self.name} out to get {_shown(self.default)}, which is the usual choice.",
            )
        return found

    def _read(self, value: Any) -> Value | None:
        if isinstance(self.default, bool):
            return {"true": True, "yes": True, "false": False, "no": False}.get(str(value).strip().lower())
        if isinstance(self.default, str):
            return str(value) if str(value) in self.choices else None
        if isinstance(value, bool):
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        if not math.isfinite(number) or not (self.low or 0) <= number <= (math.inf if self.high is None else self.high):
            return None
        if isinstance(self.default, int):
            return int(number) if number == int(number) else None
        return number


@dataclass(frozen=True)
class Method:
    """needs: "tags", "attributes" or "". labels: a sentence on which labels it needs, of which images. source: where it
    is from. kind: "head", or "network" for methods that train more than the last layer and so cannot be fitted from
    features alone."""

    name: str
    title: str
    description: str
    needs: str
    source: str
    fit: Fit
    labels: str = ""
    knobs: tuple[Knob, ...] = ()
    kind: str = "head"

    def to_dict(self) -> dict[str, Any]:
        return {
            "method": self.name,
            "title": self.title,
            "description": self.description,
            "needs": self.needs,
            "labels": self.labels,
            "source": self.source,
            "kind": self.kind,
            "knobs": [knob.to_dict() for knob in self.knobs],
        }


def check_settings(method: Method, settings: Settings) -> dict[str, Any]:
    """All knobs of a method, as given or by default. Raises `BadRequest` naming the knob and its range."""
    knobs = {knob.name: knob for knob in method.knobs}
    for name in settings:
        if name not in knobs:
            usable = ", ".join(knobs)
            raise BadRequest(
                f"The method {method.name} has no knob “{str(name)[:80]}”.",
                next_step=f"Use one of: {usable}." if usable else "It has none: leave the settings out.",
            )
    return {name: knob.check(settings.get(name, knob.default)) for name, knob in knobs.items()}


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else f"{value:g}"
