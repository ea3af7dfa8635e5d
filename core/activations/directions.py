"""Directions: whatever gives one number per image.

    logit:CLASS        the class's logit
    margin:CLASS       the class's logit minus the largest of the others: above 0 where the class is predicted
    probability:CLASS  the class's softmax probability
    difference:A-B     logit of A minus logit of B
    neuron:INDEX       one penultimate feature, counted from 0
    pc:INDEX           a principal component of the features, counted from 0
    concept:NAME       the direction of a concept's probe
    vector:NAME        a direction that somebody brought (vectors.py)

The first four come from the stored logits. The others are linear in the features: a weight (d,) and a bias.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from core.activations.vectors import load_vector
from core.errors import NotFound
from core.files import digest, read_array, release, slug, write_array

if TYPE_CHECKING:
    from core.activations.store import Analysis

KINDS = ("logit", "margin", "probability", "difference", "neuron", "pc", "concept", "vector")
# kinds that are computed from the logits: another last layer changes them
OF_LOGITS = ("logit", "margin", "probability", "difference")
# components kept: more are never looked at, and the solver's time grows with their number
COMPONENTS = 50
# rows of features multiplied at once: 16,384 x 2,048 float32 are 128 MiB
BLOCK = 16_384
# bytes of a map that stay in memory while it is read from end to end
RESIDENT = 64_000_000

ConceptDirection = Callable[[str], tuple[np.ndarray, float]]


@dataclass(frozen=True, eq=False)
class Direction:
    """spec: as the command line takes it. title: as a person reads it. weight: (d,) float32 with activation =
    features @ weight + bias; None where the activation comes from the logits. class_index: the class of a logit.
    own_class: the class that high activations stand for (of a difference A-B: A), None where no class is named.
    against: B of a difference A-B."""

    spec: str
    title: str
    weight: np.ndarray | None
    bias: float
    class_index: int | None = None
    own_class: int | None = None
    against: int | None = None

    @property
    def kind(self) -> str:
        return self.spec.partition(":")[0]

    @property
    def key(self) -> str:
        """A file name for what was computed from this direction. A concept's weights change with its tags, a
        vector's with the next upload and a class's output with the order of the classes, so they are part of it."""
        if self.kind in ("concept", "vector"):
            assert self.weight is not None
            return f"{slug(self.spec)}-{digest(self.weight.tobytes(), repr(self.bias), 'exact')}"
        # these were computed in another way once, which differs in the last digits
        name = f"{slug(self.spec)}-exact" if self.kind in ("difference", "pc") else slug(self.spec)
        # the names alone say nothing of the outputs: people put classes into another order
        return "-".join([name, *(str(place) for place in (self.own_class, self.against) if place is not None)])


def parse_direction(spec: str, analysis: Analysis, *, concept: ConceptDirection | None = None) -> Direction:
    """Read a direction as the command line writes it.

    concept: gives weight (d,) and bias of a concept by name; without it, `concept:` directions are not found. Raises
    `NotFound` saying what exists.
    """
    kind, separator, name = spec.partition(":")
    # names of classes may begin or end with a space: as it stands first
    kind, exact = kind.strip().lower(), name
    name = name.strip()
    if not separator or kind not in KINDS:
        raise NotFound(
            f"“{spec}” is not a direction.",
            next_step="Use logit:CLASS, margin:CLASS, probability:CLASS, difference:A-B, neuron:INDEX, pc:INDEX, "
            "concept:NAME or vector:NAME.",
        )
    if kind in ("logit", "margin", "probability"):
        index = class_index(exact if exact in analysis.classes else name, analysis.classes)
        found = analysis.classes[index]
        title = {"margin": f"logit of {found} minus the best other", "probability": f"probability of {found}"}
        return Direction(
            f"{kind}:{found}",
            title.get(kind, f"logit of {found}"),
            None,
            0.0,
            class_index=index if kind == "logit" else None,
            own_class=index,
        )
    if kind == "difference":
        return _difference(exact, analysis)
    if kind == "neuron":
        index = _index(name, analysis.d, "neuron")
        weight = np.zeros(analysis.d, dtype=np.float32)
        weight[index] = 1
        return Direction(f"neuron:{index}", f"neuron {index}", weight, 0.0)
    if kind == "pc":
        mean, components = principal_components(analysis)
        index = _index(name, len(components), "principal component")
        weight = components[index]
        # in float64: products of large features would overflow
        bias = -float(mean.astype(np.float64) @ weight)
        return Direction(f"pc:{index}", f"principal component {index}", weight, bias)
    if kind == "vector":
        return Direction(f"vector:{name}", f"vector {name}", load_vector(analysis, name), 0.0)
    if concept is None:
        raise NotFound(f"There is no concept “{name}”.", next_step="Make the concept and tag images with it first.")
    weight, bias = concept(name)
    return Direction(f"concept:{name}", f"concept {name}", np.asarray(weight, dtype=np.float32), float(bias))


def scores(analysis: Analysis, direction: Direction, rows: np.ndarray | None = None) -> np.ndarray:
    """The activation of every image along a direction: (n,) float32, in row order.

    rows: (m,) int, only these, in this order: (m,) float32.
    """
    source = analysis.logits if direction.kind in OF_LOGITS else analysis.features
    count = analysis.n if rows is None else len(rows)
    result = np.empty(count, dtype=np.float32)
    column = _column(direction)
    # a part of a map at a time: reading all of it would make the whole file resident
    step = max(BLOCK, RESIDENT // (source.shape[1] * source.itemsize))
    for start in range(0, count, step):
        for begin in range(start, min(start + step, count), BLOCK):
            place = slice(begin, min(begin + BLOCK, start + step))
            chosen = place if rows is None else rows[place]
            result[place] = (
                source[chosen, column] if column is not None else of_block(source[chosen], [direction])[:, 0]
            )
        release(source)
    return result


def leaning_class(scores: np.ndarray, labels: np.ndarray, k: int) -> int:
    """The class whose own images lie highest above all others along a direction.

    Highest standardised mean difference: mean of the class minus mean of the rest, over the standard deviation within
    the two (Cohen's d). scores: (n,) float, those not finite left out. labels: (n,) int, 0..k-1. Where that decides
    nothing (one class only, or all activations equal), the first class that has images.
    """
    finite = np.isfinite(scores)
    values, labels = np.asarray(scores, dtype=np.float64)[finite], np.asarray(labels)[finite]
    if not len(values):
        return 0
    # centred first: the squares of large activations would swallow their differences
    values = values - values.mean()
    counts = np.bincount(labels, minlength=k).astype(np.float64)
    sums = np.bincount(labels, weights=values, minlength=k)
    squares = np.bincount(labels, weights=values**2, minlength=k)
    rest = len(values) - counts
    with np.errstate(divide="ignore", invalid="ignore"):
        ours, others = sums / counts, (sums.sum() - sums) / rest
        inner = squares - counts * ours**2 + (squares.sum() - squares) - rest * others**2
        spread = np.sqrt(np.maximum(inner, 0) / len(values))
        lead = np.where(ours == others, 0.0, (ours - others) / spread)
    there = counts > 0
    return int(np.argmax(np.where(there, np.where(np.isnan(lead), 0.0, lead), -np.inf)))


def class_of(analysis: Analysis, direction: Direction) -> int:
    """The class a direction stands for: its own, else the one it leans to over all images (computed once)."""
    if direction.own_class is not None:
        return direction.own_class
    known = _LEANING.setdefault(analysis, {})
    if direction.key not in known:
        known[direction.key] = leaning_class(scores(analysis, direction), analysis.labels, analysis.k)
    return known[direction.key]


# per open analysis, for as long as it is open
_LEANING: WeakKeyDictionary[Any, dict[str, int]] = WeakKeyDictionary()


def _column(direction: Direction) -> int | None:
    """The column that a direction simply is, if it is one."""
    if direction.kind == "neuron":
        assert direction.weight is not None
        return int(np.argmax(direction.weight))
    return direction.class_index


def of_block(block: np.ndarray, directions: Sequence[Direction]) -> np.ndarray:
    """Activations of some images along directions that are all computed from the logits, or all from the features.

    block: (b, k) logits or (b, d) features. Returns (b, directions) float32, the same to the last digit whichever
    images stand beside an image: a band found among some holds them among all. What the directions share is computed
    once.
    """
    found = np.empty((len(block), len(directions)), dtype=np.float32)
    kinds = {direction.kind for direction in directions}
    # infinite logits leave NaN here and there, large features infinity: both have their places in an index
    with np.errstate(invalid="ignore", over="ignore"):
        if "margin" in kinds:
            images = np.arange(len(block))
            leader = block.argmax(axis=1)
            best, rest = block[images, leader], block.copy()
            rest[images, leader] = -np.inf
            second = rest.max(axis=1)
        if "probability" in kinds:
            highest = block.max(axis=1)
            total = np.exp(block.astype(np.float64) - highest[:, None]).sum(axis=1)
        for column, direction in enumerate(directions):
            if direction.weight is not None:
                # one product per image: a matrix product rounds differently with the images beside
                found[:, column] = np.vecdot(block, direction.weight) + np.float32(direction.bias)
                continue
            assert direction.own_class is not None
            own = block[:, direction.own_class]
            if direction.kind == "logit":
                found[:, column] = own
            elif direction.kind == "margin":
                found[:, column] = own - np.where(leader == direction.own_class, second, best)
            elif direction.kind == "difference":
                assert direction.against is not None
                found[:, column] = own - block[:, direction.against]
            else:
                found[:, column] = np.exp(own.astype(np.float64) - highest) / total
    return found


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
    shape = (1 + min(COMPONENTS, analysis.d), analysis.d)
    try:
        stored = read_array(file)
    except (OSError, ValueError):
        stored = None
    if stored is None or stored.shape != shape:
        # not there yet, or damaged
        write_array(file, _components(analysis))
        stored = read_array(file)
    return stored[0], stored[1:]


def _components(analysis: Analysis) -> np.ndarray:
    """(1 + m, d) float32: the mean, then the components. Images with features that are not finite are left out."""
    # imported where it is needed: nothing else in browsing bands does
    import scipy.linalg

    total, largest, count = np.zeros(analysis.d), 0.0, 0
    for block in _finite_blocks(analysis):
        total += block.sum(axis=0, dtype=np.float64)
        largest = max(largest, float(np.abs(block).max(initial=0)))
        count += len(block)
    mean = total / max(count, 1)
    # a power of two near the largest feature: squares of features from 1e19 on are infinite in float32
    scale = np.float32(2.0 ** np.floor(np.log2(largest)) if largest > 0 else 1)
    covariance = np.zeros((analysis.d, analysis.d))
    for block in _finite_blocks(analysis):
        centred = block / scale - (mean / scale).astype(np.float32)
        covariance += centred.T @ centred
    keep = min(COMPONENTS, analysis.d)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=[analysis.d - keep, analysis.d - 1])
    components = vectors.T[::-1]
    strongest = np.abs(components).argmax(axis=1)
    components = components * np.sign(components[np.arange(keep), strongest])[:, None]
    return np.vstack([mean, components]).astype(np.float32)


def _finite_blocks(analysis: Analysis) -> Iterator[np.ndarray]:
    for start in range(0, analysis.n, BLOCK):
        block = analysis.features[start : start + BLOCK]
        finite = np.isfinite(block).all(axis=1)
        yield block if finite.all() else block[finite]
        release(analysis.features)


def _difference(names: str, analysis: Analysis) -> Direction:
    # class names may hold hyphens themselves: every hyphen is tried, both sides have to be classes
    parts = [(names[:i], names[i + 1 :]) for i, sign in enumerate(names) if sign == "-"]
    known = set(analysis.classes)
    pairs = [pair for pair in parts if known.issuperset(pair)]
    if not pairs:
        known = {name.casefold() for name in analysis.classes}
        stripped = [(first.strip(), second.strip()) for first, second in parts]
        pairs = [pair for pair in stripped if known.issuperset(name.casefold() for name in pair)]
    if len(pairs) != 1:
        problem = "can be read in several ways" if pairs else "does not name two classes"
        raise NotFound(
            f"“difference:{names}” {problem}.",
            next_step="Compare the two by their logits: two pairs of classes are written alike."
            if pairs
            else f"Write difference:A-B with two of the classes: {_listed(analysis.classes)}.",
        )
    first, second = (class_index(name, analysis.classes) for name in pairs[0])
    return Direction(
        f"difference:{analysis.classes[first]}-{analysis.classes[second]}",
        f"logit of {analysis.classes[first]} minus logit of {analysis.classes[second]}",
        None,
        0.0,
        own_class=first,
        against=second,
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
