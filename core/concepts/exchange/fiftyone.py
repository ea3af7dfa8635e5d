"""Tags as FiftyOne's own image classification format, several labels per image.

Read by FiftyOne's importer `FiftyOneImageClassificationDatasetImporter` (tried with fiftyone 1.22.1, as its exporter),
from a folder that Midband wrote, which holds `labels.json` and a list of where the images lie, `data.json`:

    fo.Dataset.from_dir(dataset_dir=FOLDER, data_path="data.json",
                        dataset_type=fo.types.FiftyOneImageClassificationDataset)

or from `labels.json` alone, with `data_path=` the dataset's root and `labels_path=` the file.

    {"classes": [label, ...],
     "labels": {image without its extension: [{"label", "attributes": {"concept", "answer", "author", ...}}]},
     "midband": {"concepts": [...], "verdicts": [...]}}

That importer knows images by their path without the extension; where two of the dataset's images differ in nothing
else, their absolute path is given. A label is a concept's name where it was seen; "NAME (absent)" and "NAME (unsure)"
where somebody said so, for FiftyOne has no word for either, and the attributes say it plainly. It ignores `midband`,
which carries the palette and the verdicts. Of files that FiftyOne itself wrote, every label is read as a concept that
is present, whether as a name or as a place in `classes`, one per image or several; "NAME (absent)" and "NAME (unsure)"
as what they say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from core.concepts.exchange import json_file
from core.concepts.exchange.contents import Contents, Raw, Statement, name_of, unreadable
from core.datasets.choices import image_folder

if TYPE_CHECKING:
    from core.activations.store import Analysis

LABELS, DATA = "labels.json", "data.json"
_ANSWERS = {True: "present", False: "absent", "unsure": "unsure"}
_ADVICE = "Give the labels.json of a FiftyOneImageClassificationDataset."


def write(contents: Contents, analysis: Analysis) -> bytes:
    keys = _keys(analysis, {statement.image for statement in contents.statements})
    labels: dict[str, list[dict[str, Any]]] = {}
    for statement in contents.statements:
        labels.setdefault(keys[statement.image], []).append(_label(statement))
    classes = sorted({label["label"] for entries in labels.values() for label in entries})
    beside = {
        "format": json_file.FORMAT,
        "version": json_file.VERSION,
        "concepts": [json_file.palette_entry(entry) for entry in contents.palette],
        "verdicts": [json_file.verdict(one) for one in contents.verdicts],
    }
    value = {"classes": classes, "labels": labels, "midband": beside}
    return (json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode("utf-8")


def write_data(contents: Contents, analysis: Analysis) -> bytes:
    """`data.json`: where the images of `labels.json` lie."""
    images = dict.fromkeys(statement.image for statement in contents.statements)
    folder = _folder(analysis)
    places = {image: os.path.join(folder, image) for image in images}
    return (json.dumps(places, ensure_ascii=False, indent=1) + "\n").encode("utf-8")


def is_ours(value: Any) -> bool:
    """Whether a parsed JSON value is such a file, rather than one of `json_file`."""
    return isinstance(value, dict) and isinstance(value.get("labels"), dict)


def raw_of(value: Any, name: str, analysis: Analysis) -> Raw:
    """Raises `BadRequest`."""
    if not is_ours(value):
        raise unreadable(f"{name_of(name)} has no object of labels.", _ADVICE)
    classes = value.get("classes")
    classes = classes if isinstance(classes, list) else []
    images = _images(analysis, value["labels"])
    tags: list[tuple[int, Mapping[str, Any]]] = []
    for key, entries in value["labels"].items():
        # null: an image without labels
        for entry in entries if isinstance(entries, list) else [] if entries is None else [entries]:
            tags.append((len(tags) + 1, _cells(images.get(key, key), entry, classes)))
    beside = value.get("midband")
    if not isinstance(beside, dict):
        return Raw("tag", tags)
    return Raw("tag", tags, json_file.listed(beside, "concepts", name), json_file.listed(beside, "verdicts", name))


def _label(statement: Statement) -> dict[str, Any]:
    answer = _ANSWERS[statement.said]
    label = statement.concept if answer == "present" else f"{statement.concept} ({answer})"
    origin = json_file.origin_cells(statement.origin)
    attributes = {"concept": statement.concept, "answer": answer, "image": statement.image, **origin}
    return {"label": label, "attributes": {name: value for name, value in attributes.items() if value is not None}}


def _cells(image: str, entry: Any, classes: list[Any]) -> dict[str, Any]:
    attributes: Any = {}
    if isinstance(entry, dict):
        attributes, entry = entry.get("attributes"), entry.get("label")
        attributes = attributes if isinstance(attributes, dict) else {}
    if isinstance(attributes.get("concept"), str) and attributes.get("answer") in _ANSWERS.values():
        return {**attributes, "image": attributes.get("image", image), "present": attributes["answer"]}
    if isinstance(entry, int) and not isinstance(entry, bool) and 0 <= entry < len(classes):
        entry = classes[entry]
    for answer in ("absent", "unsure"):
        if isinstance(entry, str) and entry.endswith(f" ({answer})"):
            return {"image": image, "concept": entry.removesuffix(f" ({answer})"), "present": answer}
    return {"image": image, "concept": entry, "present": True}


def _folder(analysis: Analysis) -> Path:
    """What the names of images are relative to. Where images lie many to a file, that of the file."""
    return image_folder(analysis.dataset_root, analysis.choices)


def _stem(image: str) -> str:
    """As the importer makes it, which uses `os.path.splitext`."""
    return os.path.splitext(image)[0]


def _keys(analysis: Analysis, images: set[str]) -> dict[str, str]:
    counts: dict[str, int] = {}
    for image in (*analysis.images.tolist(), *images.difference(analysis.images.tolist())):
        counts[_stem(image)] = counts.get(_stem(image), 0) + 1
    folder = _folder(analysis)
    return {image: _stem(image) if counts[_stem(image)] == 1 else os.path.join(folder, image) for image in images}


def _images(analysis: Analysis, labels: Mapping[str, Any]) -> dict[str, str]:
    """Which image of the dataset a key means: a path without extension, a whole one, or an absolute one."""
    known = analysis.images.tolist()
    whole = set(known)
    by_stem: dict[str, str | None] = {}
    for image in known:
        # of two that differ in their extension only, neither is meant for sure
        by_stem[_stem(image)] = None if _stem(image) in by_stem else image
    root = PurePosixPath(_folder(analysis))
    found = {}
    for key in labels:
        place = PurePosixPath(key)
        inside = str(place.relative_to(root)) if place.is_absolute() and place.is_relative_to(root) else key
        meant = inside if inside in whole else by_stem.get(inside)
        if meant is not None:
            found[key] = meant
    return found
