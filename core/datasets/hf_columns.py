"""Columns of tables with pictures inside, as Hugging Face keeps image datasets: which holds what.

A column of structs with `bytes` (an encoded image) and `path`, or of plain binary; a column of labels, whose names are
in the schema's metadata under the key "huggingface" (features of type ClassLabel).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from core.datasets.choices import Choices
from core.datasets.table_text import short
from core.errors import BadMetadata, BadRequest

_IMAGES = ("image", "img", "images", "picture", "photo", "image_bytes", "jpg", "jpeg", "png", "webp")
_LABELS = ("label", "labels", "fine_label", "target", "class", "class_id", "class_name", "category", "y")


@dataclass(frozen=True)
class Layout:
    """What the columns of a file are. names: of the classes, from the metadata. kinds: columns of few words or whole
    numbers that may say something of an image."""

    image: str
    label: str | None
    names: tuple[str, ...] | None
    kinds: tuple[str, ...]


def layout_of(schema: Any, choices: Choices) -> Layout:
    """Raises `BadRequest` for chosen columns that are not there, `BadMetadata` where no column holds pictures."""
    import pyarrow as pa

    described = features(schema)
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    if twice:
        raise BadMetadata(
            f"There is more than one column {short(twice[0])}.", next_step="Keep one of them and rename the others."
        )
    image = choices.columns.get("image") or image_column(schema)
    if image is None:
        raise BadMetadata(
            f"None of the columns holds pictures: {', '.join(schema.names[:12])}.",
            next_step="A column of pictures holds bytes, or structs with bytes and path, as Hugging Face writes them.",
        )
    named = {name: tuple(map(str, feature["names"])) for name, feature in described.items() if _is_class(feature)}
    label = choices.columns.get("label")
    if label is None:
        usable = [name for name in schema.names if name != image and _is_kind(schema.field(name).type)]
        label = next((name for name in _LABELS if name in named and name in usable), None)
        label = label or next((name for name in usable if name in named), None)
        label = label or next((name for name in _LABELS if name in usable), None)
    for column in (image, label, choices.columns.get("split")):
        if column and column not in schema.names:
            raise BadRequest(
                f"There is no column {column!r}.", next_step=f"The columns are: {', '.join(schema.names[:30])}."
            )
    kinds = [name for name in schema.names if name not in (image, label) and _is_kind(schema.field(name).type)]
    if not (pa.types.is_struct(schema.field(image).type) or _is_binary(schema.field(image).type)):
        raise BadRequest(
            f"The column {image} holds no pictures but {schema.field(image).type}.",
            next_step="Choose a column that holds bytes, or structs with bytes and path.",
        )
    return Layout(image, label or None, named.get(label or ""), tuple(kinds))


def features(schema: Any) -> dict[str, dict[str, Any]]:
    """What Hugging Face wrote of the columns; nothing where it is not what it should be."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): feature for name, feature in found.items() if isinstance(feature, dict)}


def _is_class(feature: dict[str, Any]) -> bool:
    names = feature.get("names")
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return feature.get("_type") == "ClassLabel" and is_list and len(set(names or [])) == len(names or []) > 0


def _is_binary(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_kind(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return is_text or pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


def image_column(schema: Any) -> str | None:
    """The column of pictures, None where there is none."""
    import pyarrow as pa

    described = features(schema)

    def holds_bytes(kind: Any) -> bool:
        return pa.types.is_struct(kind) and any(f.name == "bytes" and _is_binary(f.type) for f in kind)

    # field by field: asked by name, one that is there twice is none
    structs = [one.name for one in schema if holds_bytes(one.type)]
    plain = [one.name for one in schema if _is_binary(one.type)]
    said = [name for name in (*structs, *plain) if described.get(name, {}).get("_type") == "Image"]
    candidates = said or structs or [name for name in plain if name.lower() in _IMAGES] or plain
    if not said and not structs and len(plain) > 1 and not any(name.lower() in _IMAGES for name in plain):
        return None
    rank = {name: place for place, name in enumerate(_IMAGES)}
    return min(candidates, key=lambda name: rank.get(name.lower(), len(rank)), default=None)
