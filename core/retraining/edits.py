"""What a person changed about the images that a retraining chose, before it ran."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts.probes import cell_weights
from core.concepts.tags import ABSENT, PRESENT
from core.errors import BadRequest, NotFound
from core.retraining.curation import CuratedGroup, Curation, check_groups
from core.retraining.groups import by_concepts
from core.retraining.interface import Material
from core.retraining.pool import Pool

if TYPE_CHECKING:
    from core.activations.store import Analysis


@dataclass(frozen=True)
class CurationEdits:
    """left_out: images by name that the head is not fitted on; their tags still teach the probe. kept: images by name
    that it is fitted on, each with what it shows, concept -> present: put in, or moved to another group. They hold for
    one run and are no tags."""

    left_out: tuple[str, ...] = ()
    kept: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.left_out or self.kept)

    def to_dict(self) -> dict[str, Any]:
        return {
            "left_out": list(self.left_out),
            "kept": {image: dict(pattern) for image, pattern in self.kept.items()},
        }

    def sentence(self) -> str:
        """What was changed, for the notes of a run."""
        parts = [f"{len(self.left_out)} left out"] if self.left_out else []
        parts += [f"{len(self.kept)} put in"] if self.kept else []
        return f"The choice of images was edited by hand: {' and '.join(parts)}."


def edits_from_dict(value: Mapping[str, Any] | None) -> CurationEdits:
    """Of a job's request or a stored run. Raises `BadRequest` when it is not what `CurationEdits.to_dict` gives."""
    if not value:
        return CurationEdits()
    left_out, kept = value.get("left_out", []), value.get("kept", {})
    whole = (
        not set(value) - {"left_out", "kept"}
        and isinstance(left_out, list | tuple)
        and all(isinstance(image, str) for image in left_out)
        and isinstance(kept, Mapping)
        and all(isinstance(pattern, Mapping) for pattern in kept.values())
        # "false" would be true
        and all(isinstance(state, bool) for pattern in kept.values() for state in pattern.values())
    )
    if not whole:
        raise BadRequest(
            "The edits of the images chosen cannot be read.",
            next_step='Give {"left_out": [image, ...], "kept": {image: {concept: true or false}}}.',
        )
    return CurationEdits(
        tuple(left_out),
        {image: dict(pattern) for image, pattern in kept.items()},
    )


def edit_curation(curation: Curation, edits: CurationEdits, material: Material, analysis: Analysis) -> Curation:
    """The images chosen, as a person changed them: some left out, some put in or moved to another group.

    material: what `curation` was made from. Raises `NotFound` for an image that the analysis lacks, `BadRequest` for
    one that is left out and put in at once or that may not be fitted on, for a pattern that does not name each concept,
    and `NotEnoughTags` when what is left cannot teach a head anything.
    """
    if not edits:
        return curation
    pool, names = material.pool, [concept.name for concept in material.concepts]
    if both := sorted(set(edits.left_out) & set(edits.kept)):
        raise BadRequest(f"“{both[0]}” is left out and put in at once.", next_step="Decide on one of the two.")
    # one that may not be fitted on anyway is left out already
    out = np.flatnonzero(np.isin(pool.rows, _rows(analysis, edits.left_out)))
    put_in = _positions(pool, analysis, tuple(edits.kept))
    values = np.array([_values(image, pattern, names) for image, pattern in edits.kept.items()], dtype=np.int8)
    added = by_concepts(
        pool.labels[put_in], pool.classes, names, values.reshape(len(put_in), len(names)), estimated=False
    )
    stays = ~np.isin(curation.positions, np.concatenate([out, put_in]))
    positions = np.concatenate([curation.positions[stays], put_in])
    order = np.argsort(positions, kind="stable")
    positions = positions[order]
    groups = np.concatenate([curation.groups[stays], added.codes])[order]
    # what a person puts in, a person has said
    reasons = np.concatenate([curation.reasons[stays], np.full(len(put_in), "tagged")])[order]
    confidence = np.concatenate([curation.confidence[stays], np.ones(len(put_in))])[order]
    check_groups(pool, positions, groups)
    return replace(
        curation,
        positions=positions,
        rows=pool.rows[positions],
        labels=pool.labels[positions],
        groups=groups,
        weights=cell_weights(groups),
        reasons=reasons,
        confidence=confidence,
        sizes=tuple(
            CuratedGroup(
                *added.name(int(group)),
                count=int((groups == group).sum()),
                tagged=int((reasons[groups == group] == "tagged").sum()),
            )
            for group in np.unique(groups)
        ),
        left_out=int(pool.eligible.sum()) - len(positions),
    )


def _rows(analysis: Analysis, images: tuple[str, ...]) -> np.ndarray:
    rows = analysis.rows_named(list(images))
    if (rows < 0).any():
        raise NotFound(
            f"“{images[int(np.flatnonzero(rows < 0)[0])]}” is not part of this analysis.",
            next_step="Use the names that the dataset gives its images.",
        )
    return rows


def _positions(pool: Pool, analysis: Analysis, images: tuple[str, ...]) -> np.ndarray:
    """Positions (m,) int64 in the pool of images that may be fitted on."""
    rows = _rows(analysis, images)
    places = np.minimum(np.searchsorted(pool.rows, rows), len(pool) - 1)
    usable = (pool.rows[places] == rows) & pool.eligible[places]
    if not usable.all():
        raise BadRequest(
            f"“{images[int(np.flatnonzero(~usable)[0])]}” may not be fitted on: it is not in {pool.split}, or judged "
            f"wrongly labelled.",
            next_step=f"Edit the choice among images of {pool.split} only; what is measured must not be learnt from.",
        )
    return places.astype(np.int64)


def _values(image: str, pattern: Mapping[str, bool], names: list[str]) -> list[int]:
    if set(pattern) != set(names):
        raise BadRequest(
            f"What “{image}” shows has to be said for each concept: {', '.join(names)}.",
            next_step="Say true or false for each of them, and for nothing else.",
        )
    return [PRESENT if pattern[name] else ABSENT for name in names]
