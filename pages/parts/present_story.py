"""What each step of a presentation says: one message, one finding with its real number, pictures.

Its listeners are no coders: no logit, band or split is named. Names that people typed are isolated, since they may
write from right to left; the browser sets every text as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from core.concepts import exhibits
from core.concepts.concept import Concept, list_concepts
from core.concepts.exams import exam
from core.concepts.exhibits import FEW, exhibit
from core.concepts.names import LONGEST_NAME
from core.concepts.questions import answered
from core.concepts.tags import answers
from core.retraining.curation import FEWEST_PER_VALUE, FEWEST_TAGS
from core.retraining.material import counted
from core.retraining.price import group_changes, of_class_first
from pages.parts import state, who
from pages.parts.present_words import (
    NAME,
    about_so,
    cost,
    effort,
    group_name,
    harder,
    mixed_up,
    named,
    sorts,
    what_happens,
    which_exam,
    worst_told,
)
from pages.parts.words import count, distinct, duration, listed, percent

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.exhibits import Exhibit
    from core.retraining.evaluation import Evaluation
    from core.retraining.runs import RunResult

SCORE, SUREST, BETWEEN, SEE, TAG, REPAIR, AFTER, END = ORDER = (
    *("score", "surest", "between", "see"),
    *("tag", "repair", "after", "end"),
)
# pictures of a step
COLLAGE, SHOWN, ROW, ASKED, FIXED = 16, 10, 6, 20, 9
# of the answers that a repair learns from so many of each kind are shown
LEARNT = 4
# answers shown of each kind
ANSWERED = 24
# of what it is surest of, this share is right and nobody would doubt it
IMPRESSIVE = 0.9
# groups drawn, the weakest first
GROUPS = 4


@dataclass(frozen=True)
class Slide:
    """One step. id: what it is about. kind: how the browser draws it. name: of its dot. title: the message. finding:
    one sentence. rest: what its kind needs besides."""

    id: str
    kind: str
    name: str
    title: str
    finding: str = ""
    rest: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "title": self.title, "finding": self.finding, **self.rest}


@dataclass(frozen=True, eq=False)
class Scene:
    """What is presented. class_index: the class it is about. concept: what was seen, None before it has a name. batch:
    ids of the images that are asked about, () where answers are shown instead. run: the newest repair. running: whether
    one is under way. news: whether answers came since the run. can_undo: whether the last answers can be taken back."""

    analysis: Analysis
    class_index: int
    concept: Concept | None = None
    batch: tuple[int, ...] = ()
    run: RunResult | None = None
    running: bool = False
    news: bool = False
    can_undo: bool = False

    @property
    def class_name(self) -> str:
        return named(self.analysis.classes[self.class_index])

    @property
    def exhibit(self) -> Exhibit:
        return exhibit(self.analysis, self.class_index)


def story(scene: Scene) -> tuple[Slide, ...]:
    """All steps, in order."""
    return (
        score(scene),
        surest(scene),
        between(scene),
        see(scene),
        tag(scene),
        repair(scene),
        after(scene),
        end(scene),
    )


def nothing() -> Slide:
    """In a workspace without investigations."""
    return Slide(
        "nothing",
        "message",
        "Nothing to show yet",
        "Nothing to show yet",
        "Make the demo on the first page, or load pictures and a model of your own. Then come back.",
        {"buttons": [{"label": "Go to the first page", "kind": "home", "primary": True}]},
    )


def score(scene: Scene) -> Slide:
    analysis = scene.analysis
    rest: dict[str, Any] = {"pictures": tiles(analysis, _collage(analysis)), "lines": [sorts(analysis)]}
    if not analysis.labelled:
        title = f"This model sorts {count(analysis.n, 'picture')}."
        lines = [*rest["lines"], "Nobody has said what they really show, so there is no score."]
        return Slide(
            SCORE, "score", "The score", title, "What is it looking at?", {**rest, "lines": lines, "figure": ""}
        )
    taken = exam(analysis)
    told = f"of {count(taken.count, 'picture' if taken.learnt else 'new picture')} named rightly."
    rest["figure"] = percent(taken.accuracy)
    if other := harder(analysis):
        rest["lines"].append(other)
    return Slide(SCORE, "score", "The score", told, "But what is it looking at?", rest)


def surest(scene: Scene) -> Slide:
    found = scene.exhibit
    finding = f"It is surest of {count(len(found.top), 'picture')}."
    if found.right is not None:
        finding = f"Of the {count(len(found.top), 'picture')} it is surest of, {percent(found.right)} really are."
        finding += " Impressive?" if found.right >= IMPRESSIVE else ""
    rest = {"pictures": tiles(scene.analysis, exhibits.surest(found, SHOWN)), "words": False}
    return Slide(SUREST, "pictures", "Surest", f"Here it is surest: {scene.class_name}", finding, rest)


def between(scene: Scene) -> Slide:
    analysis, found = scene.analysis, scene.exhibit
    images = len(found.middle)
    finding = f"{count(images, 'picture')} lie in between: neither yes nor no."
    if images < FEW:
        finding = "Hardly any picture lies in between. These come closest."
    elif wrong := mixed_up(found, scene.class_name):
        finding = f"{wrong} Mistakes come first."
    rest = {
        "pictures": tiles(analysis, exhibits.mixed(found, SHOWN), opinions=analysis.labelled),
        "words": analysis.labelled,
    }
    return Slide(BETWEEN, "pictures", "In between", f"In between: {scene.class_name} or not?", finding, rest)


def see(scene: Scene) -> Slide:
    analysis = scene.analysis
    above, below = exhibits.compared(scene.exhibit, ROW)
    known = [one for one in concepts_of(analysis) if one.role != "wrong-label"]
    rest = {
        "rows": [
            {"name": "Surest", "pictures": tiles(analysis, above)},
            {"name": "In between", "pictures": tiles(analysis, below)},
        ],
        "concepts": [
            {"id": one.id, "name": who.isolated(name, NAME)}
            for one, name in zip(known, distinct([one.name for one in known], most=NAME), strict=True)
        ],
        "chosen": None if scene.concept is None else scene.concept.id,
        "placeholder": "a background, a colour, a thing beside it",
        "longest": LONGEST_NAME,
    }
    title = f"{scene.class_name}, every one. What else do you see?"
    if not analysis.labelled:
        title = f"It finds {scene.class_name} in these, more or less. What else do you see?"
    return Slide(SEE, "see", "What do you see?", title, "", rest)


def tag(scene: Scene) -> Slide:
    name = "Show it"
    if scene.concept is None:
        missing = {"text": "First give a name to what you see.", "label": "What do you see?", "to": ORDER.index(SEE)}
        return Slide(TAG, "tag", name, "Show it what you mean", "", {"missing": missing})
    concept, analysis = scene.concept, scene.analysis
    if scene.batch:
        rest = {"concept": concept.id, "pictures": tiles(analysis, analysis.rows_of(scene.batch))}
        return Slide(TAG, "tag", name, f"Which of these show {named(concept.name)}?", "", rest)
    said = answered(state.workspace(), analysis, concept)
    rest = {
        "concept": concept.id,
        "answered": True,
        "present": tiles(analysis, said.present[:ANSWERED]),
        "absent": tiles(analysis, said.absent[:ANSWERED]),
        "present_title": f"{len(said.present):,} show it",
        "absent_title": f"{len(said.absent):,} do not",
        "more": f"{ASKED} more" if said.more else "",
        "undo": scene.can_undo,
    }
    finding = f"{count(said.count, 'answer')} so far."
    return Slide(TAG, "tag", name, f"You showed it {named(concept.name)}", finding, rest)


def repair(scene: Scene) -> Slide:
    name, title = "Repair", "Now it learns again"
    if not scene.analysis.labelled:
        text = (
            "Nobody has said what these pictures really show. A repair learns from that and is measured by it, so here "
            "the show goes on without one."
        )
        return Slide(REPAIR, "repair", name, title, "", {"missing": {"text": text}})
    if scene.running:
        rest = {
            "text": what_happens(scene.concept.name if scene.concept else ""),
            "running": True,
            "rows": _learnt_from(scene),
        }
        return Slide(REPAIR, "repair", name, title, "", rest)
    if (missing := _too_few(scene)) and scene.run is None:
        return Slide(REPAIR, "repair", name, title, "", {"missing": missing})
    rest = {
        "text": what_happens(scene.concept.name if scene.concept else ""),
        "running": False,
        "rows": _learnt_from(scene),
        "label": "Repair it" if scene.run is None or scene.news else "Repair it again",
        "told": f"Done, in {duration(scene.run.seconds)}." if scene.run is not None and not scene.news else "",
        "result": scene.run is not None and not scene.news,
        "undo": scene.can_undo,
    }
    if missing:
        # a repair of another time stands, and this one cannot begin yet
        rest |= {"label": "", "result": True}
    return Slide(REPAIR, "repair", name, title, "", rest)


def after(scene: Scene) -> Slide:
    name, run = "Before and after", scene.run
    if not scene.analysis.labelled:
        text = "Without knowing what the pictures really show, nobody can say whether a model got better."
        return Slide(AFTER, "after", name, name, "", {"missing": {"text": text}})
    if run is None:
        missing = {"text": "It has not been repaired yet.", "label": "To the repair", "to": ORDER.index(REPAIR)}
        return Slide(AFTER, "after", name, name, "", {"missing": missing})
    was, now = run.before, run.after
    better = bool(run.comparison["significant"])
    figures = [
        {
            "name": "Where it does worst",
            "before": about_so(was) + percent(was.worst_group),
            "after": about_so(now) + percent(now.worst_group),
            "text": worst_told(was, now),
        },
        {
            "name": "All pictures",
            "before": percent(was.average),
            "after": percent(now.average),
            "text": which_exam(scene.analysis, run),
        },
    ]
    fixed, broken = run.comparison["fixed"], run.comparison["broken"]
    rest = {
        "figures": figures,
        "groups": group_bars(was, now),
        "groups_title": "Named rightly, by what the pictures show",
        "pictures": tiles(scene.analysis, of_class_first(scene.analysis, fixed, was.worst.class_name, FIXED)),
        "pictures_title": f"{count(len(fixed), 'picture')} now right",
        "pictures_note": f"{len(broken):,} now wrong" if broken else "",
    }
    title = "It does better where it did worst" if better else "It did not get clearly better"
    guessed = "“About”: which picture shows it was partly guessed from your answers." if now.estimated else ""
    return Slide(AFTER, "after", name, title, " ".join(filter(None, (cost(run), guessed))), rest)


def end(scene: Scene) -> Slide:
    name, run, lines = "To take home", scene.run, []
    title = "What a model is surest of looks right. Look in between."
    if run is not None and scene.analysis.labelled:
        was, now = percent(run.before.worst_group), percent(run.after.worst_group)
        about = about_so(run.after)
        seen = listed([named(concept) for concept in run.concepts], most=2) if run.concepts else ""
        if run.comparison["significant"]:
            lines.append(f"It had leant on {seen}." if seen else "It had leant on something beside the point.")
            lines.append(f"Where it did worst it was right {about}{was} of the time. Now it is {about}{now}.")
            lines.append(effort(_given(scene, run), run))
        else:
            lines.append(f"This repair changed little: {about}{was} where it does worst, {about}{now} now.")
            lines.append("More answers may help. And to know what does not help is worth something too.")
    elif scene.concept is not None:
        lines.append(f"You found {named(scene.concept.name)} by looking where the model is unsure.")
    buttons = [{"label": "Leave", "kind": "leave", "primary": True}]
    if run is not None and scene.analysis.labelled:
        buttons.append({"label": "All results", "kind": "results", "primary": False})
    buttons.append({"label": "From the start", "to": 0, "primary": False})
    return Slide(END, "end", name, title, "", {"lines": lines, "buttons": buttons})


# --- pieces of a step -------------------------------------------------------------------------------------------------


def _learnt_from(scene: Scene) -> list[dict[str, Any]]:
    """Some of the answers: what shows it, and what does not."""
    if scene.concept is None:
        return []
    said = answered(state.workspace(), scene.analysis, scene.concept)
    both = ((f"{len(said.present):,} show it", said.present), (f"{len(said.absent):,} do not", said.absent))
    return [{"name": name, "pictures": tiles(scene.analysis, rows[:LEARNT])} for name, rows in both if len(rows)]


def _given(scene: Scene, run: RunResult) -> int:
    """Answers there are about what a run learnt from."""
    known = {one.name: one for one in concepts_of(scene.analysis)}
    return sum(answered(state.workspace(), scene.analysis, known[name]).count for name in run.concepts if name in known)


def _too_few(scene: Scene) -> dict[str, Any]:
    """What has to be done before a repair; {} where nothing has."""
    if scene.concept is None:
        return {
            "text": "First give a name to what you see, and show it in pictures.",
            "label": "To that step",
            "to": ORDER.index(SEE),
        }
    given = counted(scene.analysis, answers(state.workspace(), scene.analysis, scene.concept))
    if given.enough:
        return {}
    text = (
        f"It needs {FEWEST_TAGS} answers, and {FEWEST_PER_VALUE} of each kind. So far {given.present:,} "
        f"{'shows' if given.present == 1 else 'show'} it and {given.absent:,} "
        f"{'does' if given.absent == 1 else 'do'} not."
    )
    return {"text": text, "label": "Show it more pictures", "kind": "more"}


def group_bars(was: Evaluation, now: Evaluation) -> list[dict[str, Any]]:
    """The groups that were weakest, weakest first, with both accuracies."""
    return [
        {
            "name": group_name(one.before, was.groups_from),
            "before": one.before.accuracy,
            "after": one.after.accuracy,
            "before_text": percent(one.before.accuracy),
            "after_text": percent(one.after.accuracy),
        }
        for one in group_changes(was, now)[:GROUPS]
    ]


def tiles(analysis: Analysis, rows: Sequence[int] | np.ndarray, *, opinions: bool = False) -> list[dict[str, Any]]:
    """Pictures as the browser gets them. opinions: what they are, and what the model says where it is wrong."""
    found = []
    for row in map(int, rows):
        label, said = analysis.label_name(row), analysis.classes[analysis.predicted[row]]
        tile: dict[str, Any] = {"id": int(analysis.ids[row])}
        if label is not None:
            tile["text"] = who.isolated(label, 60)
        if opinions and label is not None and label != said:
            tile |= {"wrong": True, "says": f"taken for {who.isolated(said, 60)}"}
        found.append(tile)
    return found


@lru_cache(maxsize=8)
def _collage(analysis: Analysis) -> tuple[int, ...]:
    """Images evenly over the dataset, always the same ones."""
    return tuple(np.unique(np.linspace(0, analysis.n - 1, min(COLLAGE, analysis.n)).astype(int)).tolist())


def concepts_of(analysis: Analysis) -> tuple[Concept, ...]:
    return list_concepts(state.workspace(), analysis.dataset_id)
