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

from core.activations.directions import scores
from core.concepts.concept import Concept, list_concepts
from core.concepts.names import LONGEST_NAME
from core.concepts.tags import ABSENT, PRESENT, answers, tagging_split
from core.retraining.curation import FEWEST_PER_VALUE, FEWEST_TAGS
from pages.parts import band_data, band_state, state, who
from pages.parts.band_data import EVERY_IMAGE
from pages.parts.words import count, distinct, duration, listed, percent

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.evaluation import Evaluation, GroupAccuracy
    from core.retraining.runs import RunResult
    from pages.parts.band_data import Subject

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
# letters of a name on a slide
NAME = 32
# pictures from which a share says something
FEW = 5
# of accuracy, between two sets of images: this much is not chance, and worth a word
APART = 0.05
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
    def subject(self) -> Subject:
        spec = f"logit:{self.analysis.classes[self.class_index]}"
        return band_data.subject(self.analysis, spec, band_state.splits(self.analysis)[0], EVERY_IMAGE)


def named(name: str, most: int = NAME) -> str:
    """A name within a sentence."""
    return f"“{who.isolated(name, most)}”"


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
    rest: dict[str, Any] = {"pictures": tiles(analysis, _collage(analysis)), "lines": [_sorts(analysis)]}
    if not analysis.labelled:
        title = f"This model sorts {count(analysis.n, 'picture')}."
        lines = [*rest["lines"], "Nobody has said what they really show, so there is no score."]
        return Slide(
            SCORE, "score", "The score", title, "What is it looking at?", {**rest, "lines": lines, "figure": ""}
        )
    split, accuracy, images = exam(analysis)
    learnt = split in ("train", "")
    told = f"of {count(images, 'picture' if learnt else 'new picture')} named rightly."
    rest["figure"] = percent(accuracy)
    other = _other_exam(analysis, split, accuracy)
    if other is not None:
        rest["lines"].append(f"In another exam it gets only {percent(other)}. Something is not as it seems.")
    return Slide(SCORE, "score", "The score", told, "But what is it looking at?", rest)


def surest(scene: Scene) -> Slide:
    analysis, subject = scene.analysis, scene.subject
    found = _members(subject, "top")
    finding = f"It is surest of {count(len(found), 'picture')}."
    if analysis.labelled and len(found):
        right = float((analysis.labels[found] == scene.class_index).mean())
        finding = f"Of the {count(len(found), 'picture')} it is surest of, {percent(right)} really are."
        finding += " Impressive?" if right >= IMPRESSIVE else ""
    title = f"What it is surest is {scene.class_name}"
    return Slide(
        SUREST, "pictures", "Surest", title, finding, {"pictures": tiles(analysis, found[::-1][:SHOWN]), "words": False}
    )


def between(scene: Scene) -> Slide:
    analysis, subject = scene.analysis, scene.subject
    middle, top = _members(subject, "mid-gap"), _members(subject, "top")
    rows = mixed(subject, scene.class_index)
    finding = f"{count(len(middle), 'picture')} {'lies' if len(middle) == 1 else 'lie'} in between: neither yes nor no."
    if len(middle) < FEW:
        finding = "Hardly any picture lies in between. These come closest."
    elif analysis.labelled:
        finding = _mixed_up(scene, middle, top) or finding
        finding += " Here its mistakes come first."
    title = f"In between: is it {scene.class_name} or not?"
    rest = {"pictures": tiles(analysis, rows, opinions=analysis.labelled), "words": analysis.labelled}
    return Slide(BETWEEN, "pictures", "In between", title, finding, rest)


def see(scene: Scene) -> Slide:
    analysis, subject = scene.analysis, scene.subject
    above, below = compared(subject, scene.class_index)
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
        "placeholder": "for example: water in the background",
        "longest": LONGEST_NAME,
    }
    title = f"These are all {scene.class_name}. What else do you see?"
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
    present, absent = answered(analysis, concept)
    rest = {
        "concept": concept.id,
        "answered": True,
        "present": tiles(analysis, present[:ANSWERED]),
        "absent": tiles(analysis, absent[:ANSWERED]),
        "present_title": f"{len(present):,} show it",
        "absent_title": f"{len(absent):,} do not",
        "more": f"{ASKED} more" if left(analysis, concept) else "",
        "undo": scene.can_undo,
    }
    finding = f"{count(len(present) + len(absent), 'answer')} so far."
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
        rest = {"text": _what_happens(scene), "running": True, "rows": _learnt_from(scene)}
        return Slide(REPAIR, "repair", name, title, "", rest)
    if (missing := _too_few(scene)) and scene.run is None:
        return Slide(REPAIR, "repair", name, title, "", {"missing": missing})
    rest = {
        "text": _what_happens(scene),
        "running": False,
        "rows": _learnt_from(scene),
        "label": "Repair it" if scene.run is None or scene.news else "Repair it again",
        "told": _told(scene),
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
            "before": _about(was) + percent(was.worst_group),
            "after": _about(now) + percent(now.worst_group),
            "text": _worst_told(was, now),
        },
        {
            "name": "All pictures",
            "before": percent(was.average),
            "after": percent(now.average),
            "text": _of_which(scene.analysis, now.count),
        },
    ]
    fixed, broken = run.comparison["fixed"], run.comparison["broken"]
    rest = {
        "figures": figures,
        "groups": group_bars(was, now),
        "groups_title": "Named rightly, by what the pictures show",
        "pictures": tiles(scene.analysis, _of_worst(scene.analysis, fixed, was.worst)),
        "pictures_title": f"{count(len(fixed), 'picture')} now right",
        "pictures_note": f"and {len(broken):,} now wrong" if broken else "",
    }
    title = "It does better where it did worst" if better else "It did not get clearly better"
    note = "" if not now.estimated else "“About”: which picture shows it was partly guessed from your answers."
    return Slide(AFTER, "after", name, title, note, rest)


def end(scene: Scene) -> Slide:
    name, run, lines = "To take home", scene.run, []
    title = "What a model is surest of looks right. Look in between."
    if run is not None and scene.analysis.labelled:
        was, now = percent(run.before.worst_group), percent(run.after.worst_group)
        about = _about(run.after)
        seen = listed([named(concept) for concept in run.concepts], most=2) if run.concepts else ""
        if run.comparison["significant"]:
            lines.append(f"It had leant on {seen}." if seen else "It had leant on something beside the point.")
            lines.append(f"Where it did worst it was right {about}{was} of the time. Now it is {about}{now}.")
            lines.append(_effort(scene, run))
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


# --- numbers and sentences ------------------------------------------------------------------------------------------


def exam(analysis: Analysis) -> tuple[str, float, int]:
    """The split whose score is told, its accuracy and its images: the first of val and test, else all images ("")."""
    for split in ("val", "test", "train"):
        rows = analysis.split_rows(split)
        if len(rows):
            return split, accuracy_on(analysis, split), len(rows)
    return "", float("nan"), 0


@lru_cache(maxsize=32)
def accuracy_on(analysis: Analysis, split: str) -> float:
    rows = analysis.split_rows(split)
    return float((analysis.predicted[rows] == analysis.labels[rows]).mean())


def _of_which(analysis: Analysis, images: int) -> str:
    """Of which pictures the figures before and after are, where the first step told of two kinds."""
    split, accuracy, _ = exam(analysis)
    pictures = count(images, "picture")
    if _other_exam(analysis, split, accuracy) is not None:
        return f"of {pictures} of the other exam, which it had never seen"
    return f"of {pictures} it had never seen"


def _other_exam(analysis: Analysis, split: str, accuracy: float) -> float | None:
    """The accuracy on test where it is clearly below the one that is told."""
    if split != "val" or not len(analysis.split_rows("test")):
        return None
    other = accuracy_on(analysis, "test")
    return other if accuracy - other >= APART else None


def _sorts(analysis: Analysis) -> str:
    names = [named(name, 24) for name in analysis.classes]
    if analysis.k <= 4:
        return f"It tells {listed(names, most=4)} apart." if analysis.k > 1 else f"It knows {names[0]} only."
    return f"It tells {count(analysis.k, 'kind')} of things apart: {listed(names, most=3)}."


def _mixed_up(scene: Scene, middle: np.ndarray, top: np.ndarray) -> str:
    """How often it errs in between, and where it is surest; of the class's own pictures where there are enough."""
    analysis = scene.analysis
    own_mid, own_top = (rows[analysis.labels[rows] == scene.class_index] for rows in (middle, top))

    def wrong(rows: np.ndarray) -> str:
        return percent(float((analysis.predicted[rows] != analysis.labels[rows]).mean()))

    if len(own_mid) >= FEW and len(own_top) >= FEW:
        return (
            f"Of the {len(own_mid):,} {scene.class_name} pictures in between it gets {wrong(own_mid)} wrong. "
            f"Of those it is surest of: {wrong(own_top)}."
        )
    if len(middle) >= FEW:
        return f"Of the {count(len(middle), 'picture')} in between it gets {wrong(middle)} wrong."
    return ""


def _what_happens(scene: Scene) -> str:
    seen = named(scene.concept.name) if scene.concept is not None else "what you saw"
    return (
        f"Its eyes stay as they are. Only how it judges is learnt anew, from pictures in which {seen} "
        "gives nothing away."
    )


def _learnt_from(scene: Scene) -> list[dict[str, Any]]:
    """Some of the answers: what shows it, and what does not."""
    if scene.concept is None:
        return []
    both = answered(scene.analysis, scene.concept)
    names = (f"{len(both[0]):,} show it", f"{len(both[1]):,} do not")
    return [
        {"name": name, "pictures": tiles(scene.analysis, rows[:LEARNT])}
        for name, rows in zip(names, both, strict=True)
        if len(rows)
    ]


def _told(scene: Scene) -> str:
    return f"Done, in {duration(scene.run.seconds)}." if scene.run is not None and not scene.news else ""


def _too_few(scene: Scene) -> dict[str, Any]:
    """What has to be done before a repair; {} where nothing has."""
    if scene.concept is None:
        return {
            "text": "First give a name to what you see, and show it in pictures.",
            "label": "To that step",
            "to": ORDER.index(SEE),
        }
    counting = usable(scene.analysis)
    present, absent = (np.isin(rows, counting).sum() for rows in answered(scene.analysis, scene.concept))
    if present + absent < FEWEST_TAGS or min(present, absent) < FEWEST_PER_VALUE:
        text = (
            f"It needs {FEWEST_TAGS} answers, and {FEWEST_PER_VALUE} of each kind. So far {present:,} "
            f"{'shows' if present == 1 else 'show'} it and {absent:,} {'does' if absent == 1 else 'do'} not."
        )
        return {"text": text, "label": "Show it more pictures", "kind": "more"}
    return {}


def _effort(scene: Scene, run: RunResult) -> str:
    known = {one.name: one for one in concepts_of(scene.analysis)}
    given = sum(sum(map(len, answered(scene.analysis, known[name]))) for name in run.concepts if name in known)
    answers_told = f"{count(given, 'answer')}, " if given else ""
    return f"{answers_told}{duration(run.seconds)} of learning, no code.".capitalize()


def _about(evaluation: Evaluation) -> str:
    return "about " if evaluation.estimated else ""


def _worst_told(was: Evaluation, now: Evaluation) -> str:
    first, then = group_name(was.worst, was.groups_from), group_name(now.worst, now.groups_from)
    return first if first == then else f"{first}; now {then}"


def group_name(group: GroupAccuracy, groups_from: str) -> str:
    """waterbird (land), or waterbird without “water”."""
    class_name = who.isolated(group.class_name, 24)
    if group.concept is None:
        return class_name
    if groups_from.startswith("attribute "):
        return f"{class_name} ({who.isolated(group.concept, 24)})"
    parts = (
        f"without {named(part[3:], 24)}" if part.startswith("no ") else f"with {named(part, 24)}"
        for part in group.concept.split(", ")
    )
    return f"{class_name} {', '.join(parts)}"


def group_bars(was: Evaluation, now: Evaluation) -> list[dict[str, Any]]:
    """The groups that were weakest, weakest first, with both accuracies."""
    then = {(group.class_name, group.concept): group for group in now.groups}
    both = [group for group in was.groups if (group.class_name, group.concept) in then]
    bars = []
    for group in sorted(both, key=lambda group: group.accuracy)[:GROUPS]:
        other = then[group.class_name, group.concept]
        bars.append(
            {
                "name": group_name(group, was.groups_from),
                "before": group.accuracy,
                "after": other.accuracy,
                "before_text": percent(group.accuracy),
                "after_text": percent(other.accuracy),
            }
        )
    return bars


# --- pictures -------------------------------------------------------------------------------------------------------


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


def _members(subject: Subject, which: str) -> np.ndarray:
    """Rows of a proposed band, weakest first."""
    band = band_data.proposed(subject, which)
    return band_data.members(subject, band.low, band.high)


@lru_cache(maxsize=32)
def mixed(subject: Subject, class_index: int) -> np.ndarray:
    """Rows from the middle, drawn at random: half of them of the class, half of others, as far as there are any. Of
    each half up to three mistakes come first, which an even draw of ten may lack."""
    analysis, middle = subject.analysis, _members(subject, "mid-gap")
    if len(middle) < FEW:
        return _nearest(subject)
    middle = np.random.default_rng(0).permutation(middle)
    if not analysis.labelled:
        return middle[:SHOWN]
    own = analysis.labels[middle] == class_index
    ours, others = middle[own], middle[~own]
    some = min(len(ours), max(SHOWN // 2, SHOWN - len(others)))
    return np.concatenate([_mistakes_first(analysis, ours, some), _mistakes_first(analysis, others, SHOWN - some)])


def _mistakes_first(analysis: Analysis, rows: np.ndarray, some: int) -> np.ndarray:
    wrong = analysis.predicted[rows] != analysis.labels[rows]
    mistakes = rows[wrong][: (some + 1) // 2]
    return np.concatenate([mistakes, rows[~np.isin(rows, mistakes)]])[:some]


def _nearest(subject: Subject) -> np.ndarray:
    """Rows that lie nearest to the middle, where next to nothing lies in it."""
    band, rows = band_data.proposed(subject, "mid-gap"), _members_of_all(subject)
    away = np.abs(scores(subject.analysis, band_data.direction(subject), rows) - (band.low + band.high) / 2)
    return rows[np.argsort(away, kind="stable")[:SHOWN]]


@lru_cache(maxsize=32)
def compared(subject: Subject, class_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of what it is surest of and of what lies in between, of the class itself where there are labels; what lies
    lowest in between comes first, for there the usual look is missing."""
    analysis = subject.analysis
    top, middle = _members(subject, "top")[::-1], _members(subject, "mid-gap")
    if analysis.labelled:
        every = _members_of_all(subject)
        own, own_top, own_middle = (rows[analysis.labels[rows] == class_index] for rows in (every, top, middle))
        top = own_top if len(own_top) else top
        # a class that is hardly ever in between has its weakest end
        middle = own_middle if len(own_middle) >= ROW or not len(own) else own
    return top[:ROW].copy(), middle[:ROW].copy()


def _members_of_all(subject: Subject) -> np.ndarray:
    """All rows with a finite activation, weakest first."""
    index = band_data.index(subject)
    return band_data.members(subject, index.low, index.high)


def _of_worst(analysis: Analysis, ids: Sequence[int], worst: GroupAccuracy) -> np.ndarray:
    """Some of these images, those of the class that did worst first."""
    rows = analysis.rows_of(list(ids))
    if not len(rows):
        return rows
    of_class = np.array([analysis.label_name(int(row)) == worst.class_name for row in rows])
    return np.concatenate([rows[of_class], rows[~of_class]])[:FIXED]


# --- what was said --------------------------------------------------------------------------------------------------


def concepts_of(analysis: Analysis) -> tuple[Concept, ...]:
    return list_concepts(state.workspace(), analysis.dataset_id)


def usable(analysis: Analysis) -> np.ndarray:
    """Rows whose answers a repair can use."""
    return np.union1d(analysis.split_rows(tagging_split(analysis)), analysis.split_rows("train"))


def answered(analysis: Analysis, concept: Concept) -> tuple[np.ndarray, np.ndarray]:
    """Rows that show it and rows that do not."""
    said = answers(state.workspace(), analysis, concept)
    return np.flatnonzero(said == PRESENT), np.flatnonzero(said == ABSENT)


def left(analysis: Analysis, concept: Concept) -> bool:
    """Whether images are left that can be asked about."""
    said = answers(state.workspace(), analysis, concept)
    return bool((said[analysis.split_rows(tagging_split(analysis))] == -1).any())
