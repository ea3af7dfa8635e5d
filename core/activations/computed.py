"""How the numbers of an analysis came about (`computed.json` beside them): never changed once written."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.files import read_json, write_json

COMPUTED = "computed.json"
NAMES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Computed:
    """precision: what the network computed with, "fp32" or "bf16". reason: why that one, a sentence for a person.
    measured: whether the two were compared for this analysis or the one it continues. device: "cpu", "cuda" or "mps".
    thumbnail: pixels and quality of its thumbnails. source, copied: an earlier analysis whose rows were taken over, and
    how many.
    """

    precision: str = "fp32"
    reason: str = ""
    measured: bool = False
    device: str = "cpu"
    thumbnail: tuple[int, int] = (0, 0)
    source: str | None = None
    copied: int = 0

    def __str__(self) -> str:
        """A sentence for a person."""
        return " ".join(filter(None, (f"Computed in {NAMES[self.precision]}.", self.reason)))

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "thumbnail": list(self.thumbnail)}


def write_computed(folder: Path, computed: Computed) -> None:
    write_json(folder / COMPUTED, computed.to_dict())


def read_computed(folder: Path) -> Computed:
    """What earlier versions computed is in float32; they did not say so. Raises `ValueError` for what is damaged."""
    if not (folder / COMPUTED).exists():
        return Computed()
    try:
        values = read_json(folder / COMPUTED)
        return Computed(**{**values, "thumbnail": tuple(values["thumbnail"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{COMPUTED} is not one of ours ({error})") from error
