"""What is said on the stage, for people who know no method: names and sentences of the steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.concepts.exams import exam, second_exam
from core.concepts.exhibits import errors
from core.retraining.price import price
from pages.parts import who
from pages.parts.words import count, duration, listed, percent

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.exhibits import Exhibit
    from core.jobs.job import Job
    from core.retraining.evaluation import Evaluation, GroupAccuracy
    from core.retraining.runs import RunResult

# letters of a name on a slide, and where several stand together
NAME, SHORT = 32, 24
# how one says that something has a value of an attribute of that name
SAID = {"place": "on {}", "background": "on {}", "ink": "in {} ink", "color": "in {}", "colour": "in {}"}


def named(name: str, most: int = NAME) -> str:
    """A name within a sentence."""
    return f"“{who.isolated(name, most)}”"


def sorts(analysis: Analysis) -> str:
    names = [named(name, SHORT) for name in analysis.classes]
    if analysis.k <= 4:
        return f"It tells {listed(names, most=4)} apart." if analysis.k > 1 else f"It knows {names[0]} only."
    return f"It tells {count(analysis.k, 'kind')} of things apart: {listed(names, most=3)}."


def harder(analysis: Analysis) -> str:
    """Of a second exam that it does worse in; "" where there is none."""
    other = second_exam(analysis)
    if other is None:
        return ""
    of = "more unusual" if other.is_stranger_than(exam(analysis)) else "other"
    return (
        f"In a second exam, with {of} pictures, it gets only {percent(other.accuracy)}. Something is not as it seems."
    )


def which_exam(analysis: Analysis, run: RunResult) -> str:
    """Which pictures the figures before and after are of, where the first step told of two exams."""
    other = second_exam(analysis)
    pictures = count(run.after.count, "new picture")
    if other is None or other.split != run.after.split:
        return f"of {pictures}"
    if other.unusual is None or not other.is_stranger_than(exam(analysis)):
        return f"the second exam: {pictures}"
    return f"the second exam: {pictures}, {percent(other.unusual)} of them unusual"


def mixed_up(found: Exhibit, class_name: str) -> str:
    """How often it errs in between, and where it is surest; "" where nobody can tell."""
    told = errors(found)
    if told is None:
        return ""
    if not told.own or told.surest is None:
        return f"In between it gets {percent(told.between)} of the {count(told.count, 'picture')} wrong."
    sure = "none" if not told.surest else percent(told.surest)
    return (
        f"In between it gets {percent(told.between)} of the {told.count:,} {class_name} pictures wrong, and {sure} "
        "where it is surest."
    )


def cost(run: RunResult) -> str:
    """What the repair made worse; "" where nothing clearly is."""
    paid, about = price(run.before, run.after), about_so(run.after)
    parts = []
    if paid.lost:
        worst = paid.lost[0]
        name = group_name(worst.before, run.before.groups_from)
        more = f" (and {len(paid.lost) - 1:,} more)" if len(paid.lost) > 1 else ""
        parts.append(f"{name} {_fell(worst.before.accuracy, worst.after.accuracy, about)}{more}")
    if paid.usual is not None:
        parts.append(f"pictures like those it learnt from {_fell(*paid.usual, about)}")
    return f"The price: {'; '.join(parts)}." if parts else ""


def _fell(before: float, after: float, about: str) -> str:
    # on one line
    return f"{about}{percent(before)}\u00a0→\u00a0{percent(after)}"


def what_happens(seen: str) -> str:
    """seen: the name of what was seen; "" where nothing has one."""
    what = named(seen) if seen else "what you saw"
    return (
        f"Its eyes stay as they are. Only how it judges is learnt anew, from pictures in which {what} "
        "gives nothing away."
    )


def effort(given: int, run: RunResult) -> str:
    """given: answers that the repair learnt from."""
    answers_told = f"{count(given, 'answer')}, " if given else ""
    return f"{answers_told}{duration(run.seconds)} of learning, no code.".capitalize()


def about_so(evaluation: Evaluation) -> str:
    return "about " if evaluation.estimated else ""


def worst_told(was: Evaluation, now: Evaluation) -> str:
    first, then = group_name(was.worst, was.groups_from), group_name(now.worst, now.groups_from)
    return first if first == then else f"{first} before, {then} now"


def group_name(group: GroupAccuracy, groups_from: str) -> str:
    """waterbird on land, cat (coat: red), or waterbird without “water”."""
    class_name = who.isolated(group.class_name, SHORT)
    if group.concept is None:
        return class_name
    if groups_from.startswith("attribute "):
        attribute, value = groups_from.removeprefix("attribute "), who.isolated(group.concept, SHORT)
        if (how := SAID.get(attribute.casefold())) is not None:
            return f"{class_name} {how.format(value)}"
        return f"{class_name} ({who.isolated(attribute, SHORT)}: {value})"
    parts = (
        f"without {named(part[3:], SHORT)}" if part.startswith("no ") else f"with {named(part, SHORT)}"
        for part in group.concept.split(", ")
    )
    return f"{class_name} {', '.join(parts)}"


def working(job: Job) -> str:
    """How far a repair is."""
    if job.stopping:
        return "Stopping …"
    if job.state == "queued":
        return "Waiting for its turn …"
    share = job.fraction
    if share is None or share < 0.2:
        return "Reading your answers …"
    if share < 0.4:
        return "Learning anew …"
    return "Taking the exam again …"
