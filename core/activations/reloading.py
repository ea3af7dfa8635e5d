"""The classifier that an analysis was made with, loaded again: to export it, or to ask it about an image."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from core.activations.store import DESCRIPTION, Analysis
from core.classifiers.classifier import Classifier, load_classifier
from core.classifiers.origins import is_program
from core.classifiers.preprocessing import preprocessing_from_dict
from core.errors import BadCheckpoint, PathNotFound
from core.files import marks_of, read_json

_lock = threading.Lock()
# one classifier: a large network takes a gigabyte, and people look at one investigation at a time
_kept: dict[tuple[str, ...], Classifier] = {}


def analysed_classifier(analysis: Analysis) -> Classifier:
    """Load the classifier again, a fresh one that the caller may change.

    Raises `PathNotFound` when its file is gone, `BadCheckpoint` when it holds other weights by now.
    """
    classifier = load_classifier(
        analysis.model_file,
        arch=None if is_program(analysis.arch) else analysis.arch,
        preprocessing=preprocessing_from_dict(analysis.preprocessing),
    )
    if classifier.digest != read_json(analysis.folder / DESCRIPTION)["model"]["digest"]:
        raise BadCheckpoint(
            f"{analysis.model_file} changed since it was analysed: what is stored was computed by other weights.",
            next_step="Put the earlier file back, or analyse the model again (and retrain).",
            title="The model is not the same any more",
        )
    return classifier


@contextmanager
def borrowed_classifier(analysis: Analysis) -> Iterator[Classifier]:
    """The classifier, kept loaded until another one is asked for; one caller at a time, who leaves it as it was.

    A file that was written since, or removed, is noticed. Raises what `analysed_classifier` raises.
    """
    with _lock:
        key = _identity(analysis)
        if key not in _kept:
            _kept.clear()
            _kept[key] = analysed_classifier(analysis)
        yield _kept[key]


def _identity(analysis: Analysis) -> tuple[str, ...]:
    try:
        marks = marks_of(analysis.model_file)
    except OSError:
        _kept.clear()
        raise PathNotFound(
            f"The model's file {analysis.model_file} is not there any more.",
            next_step="Put it back, or analyse the model where it is now.",
        ) from None
    return str(analysis.folder), str(analysis.model_file), *(str(part) for mark in marks for part in mark)
