"""The steps of the tour of a demo: what is said at each, what tells that it was done, and what "show me" does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import streamlit as st

from core.concepts.concept import Concept
from core.demo import Demo, Visit, visit
from pages.parts import band_state, concept_tools, jobs, state, who
from pages.parts.tour_record import Taken
from pages.parts.words import count, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.result import RunResult

# answers that the tour asks for: on the birds they raise the worst group about as far as three times as many
GOAL = 20
# a room, and what its address asks for
Way = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Scene:
    """Where the tour takes place. room: the one on screen, "" where that is not known. taken: what is known of it."""

    demo: Demo
    analysis: Analysis
    room: str = ""
    taken: Taken = field(default_factory=Taken)

    @property
    def direction(self) -> str:
        return f"logit:{self.demo.shortcut_class}"

    @cached_property
    def visit(self) -> Visit:
        """What this visitor did since the tour began: others may be at work on the same demo."""
        return visit(
            state.workspace(),
            self.analysis.id,
            self.analysis.dataset_id,
            authors=who.names(),
            since=self.taken.since,
            named=self.taken.named,
            jobs=self.taken.jobs,
        )

    @cached_property
    def concept(self) -> Concept | None:
        """The visitor's own with the most answers, the latest of those with as many."""
        said = self.visit.answers
        own = [one for one in concept_tools.concepts(self.analysis) if one.id in said]
        return max(own, key=lambda one: (said[one.id], one.id), default=None)

    @property
    def answered(self) -> int:
        return 0 if self.concept is None else self.visit.answers[self.concept.id]

    @cached_property
    def run(self) -> RunResult | None:
        """The visitor's own latest repair."""
        if not self.visit.runs:
            return None
        # where a run exists: what measures runs brings scipy, half a second of a first page
        from pages.parts import run_list

        finished = run_list.finished_runs(self.analysis.id)
        return next((finished[run] for run in self.visit.runs if run in finished), None)


@dataclass(frozen=True)
class Step:
    """title: a line of the checklist. text: what to do, in Markdown. button: what "show me" is called here, "" where
    the room on screen has it. show: prepares what is to be seen, and tells where. hint: told to who takes long. kept:
    once seen, it counts as done."""

    name: str
    title: str
    text: Callable[[Scene], str]
    button: Callable[[Scene], str]
    done: Callable[[Scene], bool]
    show: Callable[[Scene], Way]
    hint: Callable[[Scene], str] = lambda scene: ""
    kept: bool = False


def _class(scene: Scene) -> str:
    return f"**{plain(scene.demo.shortcut_class)}**"


def _looks_at(preset: str) -> Callable[[Scene], bool]:
    def done(scene: Scene) -> bool:
        view = st.session_state.get(band_state.VIEWS, {}).get(scene.analysis.id)
        if view is None or view.direction != scene.direction or view.look != band_state.IMAGES:
            return False
        return band_state.preset_of(scene.analysis, view) == preset

    return done


def _look_at(preset: str) -> Callable[[Scene], Way]:
    def show(scene: Scene) -> Way:
        look_at(scene.analysis, scene.direction, preset)
        return "bands", {}

    return show


def look_at(analysis: Analysis, direction: str, preset: str) -> None:
    """Have the Bands page show the images of this band, whatever it showed before."""
    view = band_state.start(analysis, direction)
    st.session_state.setdefault(band_state.VIEWS, {})[analysis.id] = band_state.at(analysis, view, preset)


def _name_it(scene: Scene) -> Way:
    known = st.session_state.get(band_state.VIEWS, {}).get(scene.analysis.id)
    if known is None or known.direction != scene.direction:
        look_at(scene.analysis, scene.direction, band_state.MID)
    elif known.look != band_state.IMAGES:
        st.session_state[band_state.VIEWS][scene.analysis.id] = replace(known, look=band_state.IMAGES)
    st.session_state[concept_tools.ASKED] = "bands"
    return "bands", {}


def _tag(scene: Scene) -> Way:
    if scene.concept is not None:
        st.session_state[concept_tools.CHOSEN] = scene.concept.id
        # a batch that was asked before has as many as it has
        st.session_state.get("tag_batches", {}).pop((scene.analysis.id, scene.concept.id), None)
    # kept here rather than asked for by the address, which is no news right after another one was written
    st.session_state.update({"tag_look-kept": "queue", "tag_mode-kept": "grid"})
    return "tag_next", {}


def _repair(scene: Scene) -> Way:
    st.session_state["retrain_look-kept"] = "repair"
    if st.session_state.get(repair_job := "retrain_job") not in scene.taken.jobs:
        # what came of a repair of before, or of somebody else's, would stand in place of the button
        st.session_state.pop(repair_job, None)
    return "retrain", {}


def _compare(scene: Scene) -> Way:
    return "results", {} if scene.run is None else {"run": scene.run.run}


def _name_text(scene: Scene) -> str:
    return (
        "In the **middle** it hesitates. Which of these does it get wrong, and what is different about them? "
        "Give that a name."
    )


def _tag_text(scene: Scene) -> str:
    concept = scene.concept
    if concept is None:
        return f"Say of {GOAL} images whether they show what you saw. It needs a name first."
    left = f" {min(scene.answered, GOAL)} of {GOAL} so far." if scene.answered else ""
    return f"Say of {count(GOAL, 'image')} whether they show **{plain(short(concept.name))}**.{left}"


def _repair_text(scene: Scene) -> str:
    if (job := jobs.active("retrain", analysis=scene.analysis.id)) is not None:
        whose = "your answers" if job.id in scene.taken.jobs else "somebody else’s answers"
        return f"The last layer learns anew from {whose}. A moment …"
    if scene.room == "retrain":
        return "Only the last layer learns anew, on images chosen with your answers. Press **Retrain** below."
    return "Now have the model learn anew from your answers. It takes seconds."


def _compare_text(scene: Scene) -> str:
    return "It is repaired. Is it right now where it used to be wrong?"


STEPS = (
    Step(
        "top",
        "Look at the top band",
        lambda scene: f"Begin at the **top**: the images that the model is surest show {_class(scene)}.",
        lambda scene: "Show me",
        _looks_at(band_state.TOP),
        _look_at(band_state.TOP),
        kept=True,
    ),
    Step(
        "mid",
        "Now the middle",
        lambda scene: (
            f"Of these it is surest that they show {_class(scene)}. What do they share? Then look at the **middle**."
        ),
        lambda scene: "Show the middle",
        _looks_at(band_state.MID),
        _look_at(band_state.MID),
        kept=True,
    ),
    Step(
        "name",
        "What do you see? Name it",
        _name_text,
        lambda scene: "Name it",
        lambda scene: scene.concept is not None,
        _name_it,
        hint=lambda scene: f"Some call it “{plain(scene.demo.concept)}”.",
    ),
    Step(
        "tag",
        f"Tag {GOAL} images",
        _tag_text,
        lambda scene: "" if scene.room == "tag_next" else f"Show me {GOAL}",
        lambda scene: scene.answered >= GOAL,
        _tag,
    ),
    Step(
        "repair",
        "Repair the model",
        _repair_text,
        lambda scene: "" if scene.room == "retrain" else "Repair",
        lambda scene: scene.run is not None,
        _repair,
    ),
    Step(
        "compare",
        "Compare before and after",
        _compare_text,
        lambda scene: "See the results",
        lambda scene: scene.room == "results" and scene.run is not None,
        _compare,
        kept=True,
    ),
)
