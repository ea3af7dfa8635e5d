"""What a repair cost: the groups that it names rightly less often, and what it means where images are as usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.retraining.evaluation import Evaluation, GroupAccuracy

if TYPE_CHECKING:
    from core.activations.store import Analysis

# of accuracy, where images are mixed as in train: less than this is not worth a word
WORTH = 0.01


@dataclass(frozen=True)
class GroupChange:
    """One group as it was and as it is now."""

    before: GroupAccuracy
    after: GroupAccuracy

    @property
    def lost(self) -> bool:
        """Whether it is clearly named rightly less often: even the upper end of what holds now (95%) lies below the
        lower end of what held. Stricter than a test of the difference, as several groups are looked at."""
        return self.after.high < self.before.low


@dataclass(frozen=True)
class Price:
    """lost: groups that are clearly worse, the greatest loss first. usual: accuracy, 0..1, before and after, where the
    groups are as frequent as in train; None where it did not fall, or where there are no groups beside the classes."""

    lost: tuple[GroupChange, ...]
    usual: tuple[float, float] | None


def group_changes(before: Evaluation, after: Evaluation) -> tuple[GroupChange, ...]:
    """Every group that both have, the one that was weakest first."""
    then = {(group.class_name, group.concept): group for group in after.groups}
    both = [group for group in before.groups if (group.class_name, group.concept) in then]
    return tuple(
        GroupChange(group, then[group.class_name, group.concept])
        for group in sorted(both, key=lambda group: group.accuracy)
    )


def price(before: Evaluation, after: Evaluation) -> Price:
    """before, after: of one run, on the same images."""
    lost = [change for change in group_changes(before, after) if change.lost]
    lost.sort(key=lambda change: change.after.accuracy - change.before.accuracy)
    usual = before.weighted_average, after.weighted_average
    mixed = any(group.concept is not None for group in before.groups)
    return Price(tuple(lost), usual if mixed and usual[0] - usual[1] >= WORTH else None)


def of_class_first(analysis: Analysis, images: Sequence[int], class_name: str, count: int) -> np.ndarray:
    """Rows (m,) int64 of up to `count` of these images, those of one class before the others. images: ids."""
    rows = np.asarray(analysis.rows_of(list(images)), dtype=np.int64)
    of_class = np.array([analysis.label_name(int(row)) == class_name for row in rows], dtype=bool)
    return np.concatenate([rows[of_class], rows[~of_class]])[:count]
