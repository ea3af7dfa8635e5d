"""When to stop tagging: what more tags would still change.

The agreement with held-out tags cannot tell: it rests on a few dozen images, and on those that were asked about because
they are hard. What decides is how much the guesses for the whole pool still move. Probes with half of the tags are set
against probes with all of them: as long as twice the tags change a share of the guesses, twice as many again may change
as much; when they change next to nothing, accuracy cannot rise by more than that. And no region may be left that the
probe is unsure of, for nobody may have been asked about it yet. On planted data (tests/core/concepts/test_enough.py)
both together never ended a session from which 2 points of accuracy were still to be had, either alone did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.activations.curves import percent
from core.concepts.concept import Concept
from core.concepts.evidence import ground
from core.concepts.probes import PROBE_WARNING, cell_weights, confidence
from core.concepts.spread import Fitted, HeldOut, held_out_agreement, probabilities, tried_probes
from core.concepts.tags import ABSENT, PRESENT, UNTAGGED, answers
from core.concepts.trials import GUESSED, Trials
from core.errors import NotEnoughTags
from core.settings import DEFAULTS
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.activations.store import Analysis

# tags before which stability may be chance
FEWEST = 40
# and of each value
FEWEST_PER_VALUE = 5
# share of the pool's guesses, every class x guess weighing the same, that twice the tags may still change
CHANGE = 0.02
# share, weighed likewise, of untagged images that the probe may be unsure of; and how sure is sure, as in curation
UNSURE, SURE = 0.05, 0.8
# tags from which a probe that is guessing shows that the features do not hold the concept
FEWEST_TO_GIVE_UP = 60


@dataclass(frozen=True)
class Readiness:
    """tags: answers so far among the images that may be tagged. budget: about how many make a good repair. share, low,
    high: agreement of the probe with held-out tags and its 95% interval, None and 0..1 while it cannot be measured.
    change: share of the guesses that twice the tags changed last, unsure: share of the images left that the probe is
    unsure of, both with every class x guess weighing the same, None likewise. helps: whether more tags would still
    teach something. sentence: all that in words. next_step: what to do now."""

    tags: int
    budget: int
    share: float | None
    low: float
    high: float
    change: float | None
    unsure: float | None
    helps: bool
    sentence: str
    next_step: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "tags": self.tags,
            "budget": self.budget,
            "share": self.share,
            "low": self.low,
            "high": self.high,
            "change": self.change,
            "unsure": self.unsure,
            "helps": self.helps,
            "sentence": self.sentence,
            "next_step": self.next_step,
        }


def readiness(
    workspace: Workspace, analysis: Analysis, concept: Concept, *, budget: int = DEFAULTS.tag_budget
) -> Readiness:
    """How far the tagging of a concept has come, and whether more tags would help. Fits are kept until tags change.

    Never raises for want of tags: it says what to tag.
    """
    said = answers(workspace, analysis, concept)[ground(analysis).pool]
    present, absent, left = (int((said == value).sum()) for value in (PRESENT, ABSENT, UNTAGGED))
    tags = present + absent
    start = f"{tags} of about {budget} tags" if tags <= budget else f"{tags} tags, where about {budget} usually do"
    try:
        fitted, tried = tried_probes(workspace, analysis, concept)
    except NotEnoughTags as problem:
        step = _first_steps(present, absent, len(said) - left, left, problem)
        return Readiness(tags, budget, None, 0.0, 1.0, None, None, left > 0, start, step)
    held_out, unsure = held_out_agreement(tried), _unsure(analysis, fitted, said)
    helps, ending, step = _verdict(fitted, tried, held_out, unsure, said)
    agrees = "" if held_out.share is None else f"; the probe now agrees with held-out tags {percent(held_out.share)}"
    return Readiness(
        tags=tags,
        budget=budget,
        share=held_out.share,
        low=held_out.low,
        high=held_out.high,
        change=None if np.isnan(tried.change) else tried.change,
        unsure=unsure,
        helps=helps,
        sentence=start + agrees + ending,
        next_step=step,
    )


def _first_steps(present: int, absent: int, looked_at: int, left: int, problem: NotEnoughTags) -> str:
    if not looked_at + left:
        return "All images are in test, which is kept to measure on: none may be tagged. Load images in val or train."
    if not left and not present + absent:
        return "Nobody could tell of any image: there is nothing to learn from."
    if not left:
        return "Every image that may be tagged is answered, and all answers are the same: there is nothing to learn."
    if not present + absent:
        return "Begin with the images that are proposed: they tell what each class usually shows."
    if not (present and absent):
        return f"Go on: at least one image as {'absent' if present else 'present'} is needed before any can be guessed."
    return problem.next_step


def _verdict(
    fitted: Fitted, tried: Trials, held_out: HeldOut, unsure: float, said: np.ndarray
) -> tuple[bool, str, str]:
    """Whether more tags help, how the sentence ends, and what to do."""
    present, absent, left = (int((said == value).sum()) for value in (PRESENT, ABSENT, UNTAGGED))
    tags = present + absent
    if not left:
        return False, ", and every image is answered", "Retrain: there is nothing left to ask."
    if held_out.tags >= FEWEST_TO_GIVE_UP and held_out.low <= 0.5 and held_out.high < PROBE_WARNING:
        return (
            False,
            ", and 50% is guessing: the features do not seem to hold this concept",
            "More tags will hardly help. Check a few answers; if they are right, the classifier does not see it.",
        )
    if tags >= FEWEST and min(present, absent) < FEWEST_PER_VALUE:
        rare = "present" if present < absent else "absent"
        return True, "", f"Only {min(present, absent)} say {rare}: look for more of those, in the bands or on the map."
    if tags < FEWEST or held_out.share is None:
        return (
            True,
            "",
            fitted.known.usual.warnings[0] if fitted.known.usual.warnings else "Go on with the images proposed.",
        )
    if held_out.share >= PROBE_WARNING and tried.change <= CHANGE and unsure <= UNSURE:
        return False, ", and more tags no longer help", "Retrain: with half of your tags the guesses were the same."
    if held_out.share < PROBE_WARNING:
        return True, "", "The probe hardly sees the concept yet. Look over the answers it contradicts, then go on."
    if tried.change > CHANGE:
        changed = percent(tried.change)
        return (
            True,
            "",
            f"With half of your tags the guesses were {changed} different, so more still change the result.",
        )
    return True, "", f"More tags still help: the probe is unsure of {percent(unsure)} of the images left."


def _unsure(analysis: Analysis, fitted: Fitted, said: np.ndarray) -> float:
    """Share of the pool that nobody answered and the probe is unsure of, every class x guess weighing the same."""
    pool = ground(analysis).pool
    some = np.linspace(0, len(pool) - 1, min(GUESSED, len(pool))).astype(np.int64)
    chance = probabilities(analysis, fitted.probe, pool[some])
    shares = cell_weights(analysis.labels[pool[some]] * 2 + (chance > 0.5))
    return float(shares[(confidence(chance) < SURE) & (said[some] == UNTAGGED)].sum())
