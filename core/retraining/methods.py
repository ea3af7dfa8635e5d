"""The ways to fit a new last layer, behind one interface (interface.py).

    mid             our default: tags of the middle of the range, a probe, groups balanced (curation.py)
    mid-tags        the same without the probe: tagged mid-range images and the assumed majority only
    class-balanced  every class weighs the same
    dfr             deep feature reweighting with known groups: an oracle where a dataset has attributes
    afr             automatic feature reweighting: images the old head is unsure about weigh more
    self            class-balanced fit on the images the old head gets wrong, or nearly
    group-dro       the loss of the worst group as small as it can be
    jtt             images the old head gets wrong weigh more
    erm             the old head, unchanged
    finetune        the whole network on the curated images (finetune.py)

All fits are softmax regression on features standardised over the held-out images and folded back, nearly all pulled
towards the old head; but for `finetune`, nothing here needs the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import BadRequest, NotFound
from core.progress import Progress, silent
from core.retraining import curated, dfr, finetune_knobs, group_dro, reweighting
from core.retraining.curated import FeatureCheck, fit_without_tags, measure_features
from core.retraining.fitting import fit_balanced, fit_towards
from core.retraining.interface import Fitted, Knob, Material, Method, Settings, check_settings

__all__ = [
    "METHODS",
    "FeatureCheck",
    "Fitted",
    "Knob",
    "Material",
    "Method",
    "checked_settings",
    "fit",
    "fit_balanced",
    "fit_towards",
    "fit_without_tags",
    "get_method",
    "measure_features",
    "needs",
]


def get_method(name: str) -> Method:
    """Raises `NotFound` listing the methods."""
    if name not in METHODS:
        raise NotFound(f"There is no method “{name}”.", next_step=f"Use one of: {', '.join(METHODS)}.")
    return METHODS[name]


def checked_settings(method: str, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Every knob of a method, given or by default, in its own type; text such as "0.1" is read.

    Raises `NotFound` for the method, `BadRequest` naming a knob and its range.
    """
    return check_settings(get_method(method), settings or {})


def needs(method: str, settings: Mapping[str, Any] | None = None) -> str:
    """What a method needs with these settings: "tags", "attributes" or ""."""
    source = checked_settings(method, settings).get("groups")
    return {"concepts": "tags", "attribute": "attributes"}.get(str(source), get_method(method).needs)


def fit(
    method: str,
    material: Material,
    *,
    rng: np.random.Generator,
    settings: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Fitted:
    """Fit a head by a method's name. settings: knobs by name, those left out have their defaults.

    Raises `NotFound`, `NotEnoughTags`, `BadRequest` or `EmptyGroup`.
    """
    return get_method(method).fit(material, checked_settings(method, settings), rng, progress)


def _finetune(material: Material, settings: Settings, rng: np.random.Generator, progress: Progress) -> Fitted:
    raise BadRequest(
        "Finetuning trains the whole network, and features alone do not suffice for that.",
        next_step="Start it as a run: `python -m core retrain --method finetune`.",
    )


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "mid",
            "Mid-range curation",
            "Your tags teach a probe to see the concept in every held-out image; the new last layer is fitted with "
            "every class and concept combination weighing the same.",
            "tags",
            "Our recipe after O'Mahony et al. 2025 (arXiv:2411.10019)",
            curated.fit_mid,
            "Some dozen tags of held-out images: 20 make a start, 60 a good repair.",
            curated.KNOBS,
        ),
        Method(
            "mid-tags",
            "Mid-range curation, tags only",
            "As mid without the probe: only the images you tagged and the surest half of each class are used.",
            "tags",
            "After O'Mahony et al. 2025 (arXiv:2411.10019)",
            curated.fit_mid_tags,
            "Some dozen tags of held-out images, more than mid for the same gain.",
            curated.KNOBS,
        ),
        Method(
            "class-balanced",
            "Class-balanced retraining",
            "Fits the last layer again on held-out images, every class weighing the same.",
            "",
            "LaBonte et al. 2023 (arXiv:2309.08534)",
            reweighting.fit_class_balanced,
            "The classes of the held-out images, nothing else.",
            reweighting.CLASS_BALANCED_KNOBS,
        ),
        Method(
            "dfr",
            "DFR with known groups",
            "Balances the groups by an attribute the dataset knows of every image: what tags can be compared with.",
            "attributes",
            "Kirichenko et al. 2022 (arXiv:2204.02937)",
            dfr.fit_dfr,
            "The group of every held-out image; images whose attribute is unknown are left out.",
            dfr.KNOBS,
        ),
        Method(
            "afr",
            "AFR, no tags",
            "Images that the classifier finds unlikely for their class weigh more.",
            "",
            "Qiu et al. 2023 (arXiv:2306.11074)",
            reweighting.fit_afr,
            "The classes of the held-out images, nothing else.",
            reweighting.AFR_KNOBS,
        ),
        Method(
            "self",
            "SELF, no tags",
            "Fits on the images that the classifier gets wrong or nearly wrong, classes balanced.",
            "",
            "LaBonte et al. 2023 (arXiv:2309.08534)",
            reweighting.fit_self,
            "The classes of the held-out images, nothing else.",
            reweighting.SELF_KNOBS,
        ),
        Method(
            "group-dro",
            "Group DRO on the last layer",
            "Groups that the head does worst on gain weight until no group can do better at the cost of another.",
            "tags",
            "Sagawa et al. 2020 (arXiv:1911.08731)",
            group_dro.fit_group_dro,
            "Some dozen tags of held-out images, as mid; or the group of every held-out image (groups = attribute).",
            group_dro.KNOBS,
        ),
        Method(
            "jtt",
            "JTT-style upweighting, no tags",
            "Held-out images that the classifier gets wrong weigh many times as much.",
            "",
            "After Liu et al. 2021 (arXiv:2107.09044)",
            reweighting.fit_jtt,
            "The classes of the held-out images, nothing else.",
            reweighting.JTT_KNOBS,
        ),
        Method(
            "erm",
            "The classifier as it is",
            "Changes nothing: the line to beat.",
            "",
            "Empirical risk minimisation",
            reweighting.fit_erm,
            "None.",
        ),
        Method(
            "finetune",
            "Finetuning the whole network",
            "Trains all layers on the curated images, every class and concept combination equally often: slow, and the "
            "only way where the features do not hold the classes.",
            "tags",
            "Class x concept sampling after Sagawa et al. 2020 (arXiv:1911.08731), from our curation",
            _finetune,
            "Some dozen tags of held-out images, as mid, and the images themselves.",
            finetune_knobs.KNOBS,
            kind="network",
        ),
    )
}
