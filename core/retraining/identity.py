"""What a run was made from, told by hashes: same hash, same data."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import numpy as np

from core.classifiers.head import Head
from core.database import DatasetRecord
from core.files import digest, read_json
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# numbers computed by other versions of these may differ in their last digits
LIBRARIES = ("numpy", "scipy", "torch", "torchvision")
# of this program: another one may compute otherwise. As in pyproject.toml
VERSION = "0.1.0"
# hexadecimal digits of a hash that stands for the content itself
WHOLE = 32


def fingerprint(workspace: Workspace, analysis: Analysis) -> str:
    """Of the dataset's content as it was read last; "" where the workspace does not know it."""
    with workspace.reading() as session:
        record = session.get(DatasetRecord, analysis.dataset_id)
        return "" if record is None else record.fingerprint


def data_digest(workspace: Workspace, analysis: Analysis) -> str:
    """Of everything but tags and settings that figures follow from: the dataset's fingerprint, the analysis, and what
    the dataset says of the images (splits, labels, attributes)."""
    known: list[str | bytes] = []
    for attribute in analysis.attributes:
        known += [attribute.name, *attribute.values, _bytes(attribute.codes, np.int64)]
    return digest(
        fingerprint(workspace, analysis),
        analysis.id,
        *analysis.classes,
        _bytes(analysis.splits, np.int64),
        _bytes(analysis.labels, np.int64),
        *known,
    )


def activations_digest(analysis: Analysis) -> str:
    """Of what the network computed: its logits, which follow from all features, and its last layer."""
    return digest(_bytes(analysis.logits, np.float32), head_digest(analysis.head), length=WHOLE)


def head_digest(head: Head) -> str:
    return digest(_bytes(head.weight, np.float32), _bytes(head.bias, np.float32), length=WHOLE)


def logits_digest(logits: np.ndarray) -> str:
    return digest(_bytes(logits, np.float32), length=WHOLE)


def weights_digest(analysis: Analysis) -> str:
    """Of the classifier's weights, as the analysis noted it; "" for an analysis that no file was analysed for."""
    from core.activations.store import DESCRIPTION

    try:
        return str(read_json(analysis.folder / DESCRIPTION)["model"]["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def versions() -> dict[str, str]:
    """Of this program, of Python, and of the libraries that compute."""
    found = {"midband": VERSION, "python": platform.python_version(), "machine": platform.machine()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """The value as it comes back from a JSON file: tuples as lists, numpy's numbers as Python's."""
    return json.loads(json.dumps(value, default=_number))


def _number(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not plain JSON")


def _bytes(array: np.ndarray, kind: type[np.generic]) -> bytes:
    return np.ascontiguousarray(array, dtype=kind).tobytes()
