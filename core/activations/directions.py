"""Directions: whatever gives one number per image.

    logit:CLASS        the class's logit
    neuron:INDEX       one penultimate feature, counted from 0
    difference:A-B     logit of A minus logit of B
    pc:INDEX           a principal component of the features, counted from 0
    concept:NAME       the direction of a concept's probe

All but the logits are linear in the features, so a direction is a weight (d,) and a bias.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.linalg

from core.errors import NotFound
from core.files import digest, read_array, slug, write_array

if TYPE_CHECKING:
    from core.activations.store import Analysis

KINDS = ("logit", "neuron", "difference", "pc", "concept")
# components kept: more are never looked at, and the solver's time grows with their number
COMPONENTS = 50
# rows of features multiplied at once: 16,384 x 2,048 float32 are 128 MiB
BLOCK = 16_384

ConceptDirection = Callable[[str], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Direction:
    """spec: as the command line takes it. title: as a person reads it. weight: (d,) float32 with activation =
    features @ weight + bias; None for a class logit, which is stored already. class_index: the class of a logit."""

    spec: str
    title: str
    weight: np.ndarray | None
    bias: float
    class_index: int | None = None

    @property
    def key(self) -> str:
        """A file name for what was computed from this direction. A concept's weights change with its tags, so they
        are part of it."""
        if not self.spec.startswith("concept:"):
            return slug(self.spec)
        assert self.weight is not None
        return f"{slug(self.spec)}-{digest(self.weight.tobytes(), repr(self.bias))}"


@dataclass(frozen=True)
class SortedScores:
    """values: (n,) float32 ascending, NaN last. order: (n,) int64, values[i] is the activation of row order[i]."""

    values: np.ndarray
    order: np.ndarray


def parse_direction(spec: str, analysis: Analysis, *, concept: ConceptDirection | None = None) -> Direction:
    """Read a direction as the command line writes it.

    concept: gives weight (d,) and bias of a concept by name; without it, `concept:` directions are not found. Raises
    `NotFound` saying what exists.
    """
    kind, separator, name = spec.partition(":")
    kind, name = kind.strip().lower(), name.strip()
    if not separator or kind not in KINDS:
        raise NotFound(
            f"“{spec}” is not a direction.",
            next_step="Use logit:CLASS, neuron:INDEX, difference:A-B, pc:INDEX or concept:NAME.",
        )
    if kind == "logit":
        index = class_index(name, analysis.classes)
        found = analysis.classes[index]
        return Direction(f"logit:{found}", f"logit of {found}", None, 0.0, index)
    if kind == "difference":
        return _difference(name, analysis)
    if kind == "neuron":
        index = _index(name, analysis.d, "neuron")
        weight = np.zeros(analysis.d, dtype=np.float32)
        weight[index] = 1
        return Direction(f"neuron:{index}", f"neuron {index}", weight, 0.0)
    if kind == "pc":
        mean, components = principal_components(analysis)
        index = _index(name, len(components), "principal component")
        weight = components[index]
        return Direction(f"pc:{index}", f"principal component {index}", weight, -float(mean @ weight))
    if concept is None:
        raise NotFound(f"There is no concept “{name}”.", next_step="Make the concept and tag images with it first.")
    weight, bias = concept(name)
    return Direction(f"concept:{name}", f"concept {name}", np.asarray(weight, dtype=np.float32), float(bias))


def scores(analysis: Analysis, direction: Direction) -> np.ndarray:
    """The activation of every image along a direction: (n,) float32, in row order."""
    if direction.class_index is not None:
        return np.array(analysis.logits[:, direction.class_index], dtype=np.float32)
    assert direction.weight is not None
    if direction.spec.startswith("neuron:"):
        return np.array(analysis.features[:, int(np.argmax(direction.weight))], dtype=np.float32)
    result = np.empty(analysis.n, dtype=np.float32)
    for start in range(0, analysis.n, BLOCK):
        block = analysis.features[start : start + BLOCK]
        result[start : start + BLOCK] = block @ direction.weight + np.float32(direction.bias)
    return result


def sorted_scores(analysis: Analysis, direction: Direction) -> SortedScores:
    """Activations in ascending order, memory-mapped from `sorted/` in the analysis, made there on first use."""
    folder = analysis.folder / "sorted"
    values_file, order_file = folder / f"{direction.key}.values.npy", folder / f"{direction.key}.order.npy"
    try:
        return SortedScores(read_array(values_file), read_array(order_file))
    except FileNotFoundError:
        values = scores(analysis, direction)
    # stable: equal activations keep the order of the images, on every machine
    order = np.argsort(values, kind="stable").astype(np.int64)
    if direction.spec.startswith("concept:"):
        # its earlier versions are of no use any more; a page that still maps one keeps it until it lets go
        for stale in folder.glob(f"{slug(direction.spec)}-*.npy"):
            stale.unlink(missing_ok=True)
    write_array(order_file, order)
    write_array(values_file, values[order])
    return SortedScores(values[order], order)


def class_index(name: str, classes: Sequence[str]) -> int:
    """Position of a class by name; case is ignored where that leaves one candidate. Raises `NotFound`."""
    if name in classes:
        return list(classes).index(name)
    alike = [i for i, candidate in enumerate(classes) if candidate.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    close = difflib.get_close_matches(name, classes, n=1)
    raise NotFound(
        f"There is no class “{name}”." + (f" Did you mean “{close[0]}”?" if close else ""),
        next_step=f"The classes are: {_listed(classes)}.",
    )


def principal_components(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """Mean (d,) and the leading components (m, d) of the features, float32, cached in `sorted/`.

    m = min(50, d). Each component has unit length and its largest weight positive, so that signs do not depend on the
    library. Strongest first.
    """
    file = analysis.folder / "sorted" / "principal-components.npy"
    if not file.is_file():
        mean = np.zeros(analysis.d)
        for start in range(0, analysis.n, BLOCK):
            mean += analysis.features[start : start + BLOCK].sum(axis=0, dtype=np.float64)
        mean /= max(analysis.n, 1)
        covariance = np.zeros((analysis.d, analysis.d))
        for start in range(0, analysis.n, BLOCK):
            centred = (analysis.features[start : start + BLOCK] - mean).astype(np.float32)
            covariance += centred.T @ centred
        keep = min(COMPONENTS, analysis.d)
        _, vectors = scipy.linalg.eigh(covariance, subset_by_index=[analysis.d - keep, analysis.d - 1])
        components = vectors.T[::-1]
        strongest = np.abs(components).argmax(axis=1)
        components = components * np.sign(components[np.arange(keep), strongest])[:, None]
        write_array(file, np.vstack([mean, components]).astype(np.float32))
    stored = read_array(file)
    return stored[0], stored[1:]


def _difference(names: str, analysis: Analysis) -> Direction:
    # class names may hold hyphens themselves: every hyphen is tried, both sides have to be classes
    known = {name.casefold() for name in analysis.classes}
    parts = [(names[:i].strip(), names[i + 1 :].strip()) for i, sign in enumerate(names) if sign == "-"]
    pairs = [pair for pair in parts if pair[0].casefold() in known and pair[1].casefold() in known]
    if len(pairs) != 1:
        problem = "can be read in several ways" if pairs else "does not name two classes"
        raise NotFound(
            f"“difference:{names}” {problem}.",
            next_step=f"Write difference:A-B with two of the classes: {_listed(analysis.classes)}.",
        )
    first, second = (class_index(name, analysis.classes) for name in pairs[0])
    head = analysis.head
    return Direction(
        f"difference:{analysis.classes[first]}-{analysis.classes[second]}",
        f"logit of {analysis.classes[first]} minus logit of {analysis.classes[second]}",
        np.asarray(head.weight[first] - head.weight[second], dtype=np.float32),
        float(head.bias[first]) - float(head.bias[second]),
    )


def _index(text: str, count: int, noun: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < count):
        raise NotFound(
            f"There is no {noun} {text or '(none given)'}.", next_step=f"Use a number from 0 to {count - 1}."
        )
    return int(text)


def _listed(names: Sequence[str], most: int = 20) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
