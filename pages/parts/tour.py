"""The guided tour of a demo: a checklist beside the work, and a line atop the page with the step at hand.

Whether a step was done is told from what is there: the band on screen, concepts, tags, runs; of these only what this
visitor made since the tour began, for others may be at work on the same demo. It never blocks: whoever does something
else finds the tour where they left it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.activations.store import open_analysis
from core.demo import DEMOS, newest_action, would_reset
from pages.parts import (
    band_state,
    concept_tools,
    demos,
    jobs,
    problem,
    progress,
    reset,
    rooms,
    state,
    theme,
    tour_record,
)
from pages.parts.component_source import source
from pages.parts.tour_record import Record, Taken
from pages.parts.tour_steps import GOAL, STEPS, Scene, Step, look_at
from pages.parts.words import count, percent

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.concept import Concept

# in the session: the step that is shown; where to go on the run that follows
LISTED = "tour_listed"
GO = "tour_go"
END = "end"
# in the session: how many concepts were named in it, and how many when the tour looked last
MADE = "concepts_made"
NAMED = "tour_named"
# steps before anything is made
OPENING = ("top", "mid")
# rooms that have nothing to do with a demo that was gone through
ELSEWHERE = ("home", "", "load", "glossary")
# in the session: name of a demo that somebody waits for
WAITING = "demo_waited_for"


# What follows are callbacks of buttons: they run before the page, where another click or a component's message cannot
# cut them short. `sidebar` then leaves for where they lead.


def start(name: str) -> None:
    """Begin the tour of a demo that was made, or go on with it."""
    fresh = _fresh()

    def begun(record: Record) -> Record:
        taken = replace(record.taken.get(name, fresh), ended=False)
        return replace(record, on=name).with_now(taken)

    tour_record.change(begun)
    _enter(name)


def try_demo(name: str) -> None:
    """Go to a demo; one that is not there yet is made first, and Home leads on when it is."""
    if name in demos.made():
        explore(name)
        return
    jobs.begin("demo", f"Make the demo: {DEMOS[name].title}", {"which": name})
    st.session_state[WAITING] = name
    _go("home")


def explore(name: str) -> None:
    """Go to a demo: who has not been shown around it yet is given the tour, which one press ends."""
    if name not in tour_record.read().taken:
        start(name)
        return
    made = demos.made()[name]
    if made not in st.session_state.get(band_state.VIEWS, {}):
        _enter(name)
        return
    state.choose(made)
    _go("bands")


def restart(name: str = "") -> None:
    """From the first step on, as if nothing had been named, tagged or repaired yet. name: of the demo; the one under
    way."""
    fresh = _fresh()
    record = tour_record.change(lambda record: replace(record, on=name or record.on).with_now(fresh))
    _enter(record.on)


def _fresh() -> Taken:
    """What is done from now on counts."""
    st.session_state.pop(jobs.BEGUN, None)
    st.session_state[NAMED] = st.session_state.get(MADE, 0)
    return Taken(since=newest_action(state.workspace()))


def end() -> None:
    """Put the tour away; it can be taken up again from Home."""
    tour_record.change(
        lambda record: replace(record.with_now(replace(record.now, ended=True)), on="") if record.on else record
    )


def _skip(step: str) -> None:
    tour_record.change(
        lambda record: record.with_now(replace(record.now, skipped=tuple(dict.fromkeys((*record.now.skipped, step)))))
    )


def _show(step: Step, scene: Scene) -> None:
    room, query = step.show(scene)
    _go(room, **query)


def _end_and_go(room: str) -> None:
    end()
    _go(room)


def _end_and_try(name: str) -> None:
    end()
    try_demo(name)


def _enter(name: str) -> None:
    made = demos.made()[name]
    state.choose(made)
    look_at(open_analysis(state.workspace(), made), f"logit:{DEMOS[name].shortcut_class}", band_state.TOP)
    _go("bands")


def _go(room: str, **query: str) -> None:
    st.session_state[GO] = (room, query)


def wanted(analysis: Analysis, concept: Concept) -> int | None:
    """How many more answers the tour asks for now; None where it asks for none."""
    scene = _scene()
    if scene is None or scene.analysis.id != analysis.id:
        return None
    step = _at_hand(scene)
    answered = scene.visit.answers.get(concept.id, 0)
    return GOAL - answered if step is not None and step.name == "tag" and answered < GOAL else None


def order(analysis: Analysis, rows: list[int]) -> list[int]:
    """Places in `rows`, those first that the model finds most like the class whose images share something: images
    alike come together, so that many are selected at once."""
    demo = demos.of(analysis.id)
    assert demo is not None
    logits = analysis.logits[rows]
    own = analysis.classes.index(demo.shortcut_class)
    lead = logits[:, own] - logits[:, [c for c in range(analysis.k) if c != own]].max(axis=1)
    return sorted(range(len(rows)), key=lambda place: (-float(lead[place]), place))


def sidebar(room: str = "") -> None:
    """The checklist, while a tour is under way and its demo is looked at. room: on screen."""
    if (way := st.session_state.pop(GO, None)) is not None:
        rooms.go(way[0], **way[1])
    progress.note_looks()
    st.session_state.pop(LISTED, None)
    scene = _scene(room)
    if scene is None:
        return
    scene = _noted(scene)
    at_hand = _at_hand(scene)
    st.session_state[LISTED] = END if at_hand is None else at_hand.name
    done = sum(_is_done(step, scene) for step in STEPS)
    with st.sidebar, st.container(key="tour-list", gap="xsmall"):
        items = "".join(_item(step, scene, at_hand) for step in STEPS)
        title = f"<p><b>Tour</b> <span>{done} of {len(STEPS)} done</span></p>"
        # on the marks, and of the sidebar
        on_chosen, beside = ("#10202a", "#10151a") if theme.is_dark() else ("#ffffff", "#f6f8f9")
        colors = f":root {{ --tour-on-chosen: {on_chosen}; --tour-beside: {beside}; }}"
        st.html(f"<style>{colors}\n{source('tour', 'tour.css')}</style>{title}<ol>{items}</ol>")
        with st.container(horizontal=True, gap="small"):
            _button("Restart", "restart", restart, icon=":material/replay:", type="tertiary", help=RESTART)
            _button("End tour", "end", end, icon=":material/close:", type="tertiary")


RESTART = "From the first step on. What was named, tagged and repaired stays; to begin afresh, reset the demo on Home."


def bar(room: str = "") -> None:
    """The step at hand in one line atop the page. room: on screen."""
    scene = _scene(room)
    if scene is None:
        return
    step = _at_hand(scene)
    if step is None and room in ELSEWHERE:
        return
    with st.container(
        key="tour-bar", horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", gap="small"
    ):
        if step is None:
            _over(scene)
        else:
            _step(scene, step)


def follow() -> None:
    """At the end of a fragment in which a step may be done: the frame around it, which does not run with it, follows.

    Never returns where it has to.
    """
    progress.note_looks()
    if LISTED not in st.session_state:
        return
    scene = _scene()
    if scene is None:
        return
    step = _at_hand(_noted(scene))
    if st.session_state[LISTED] != (END if step is None else step.name):
        st.rerun()


def _step(scene: Scene, step: Step) -> None:
    place = STEPS.index(step) + 1
    dots = "".join(
        f"<i class='{'on' if n < place else 'at' if n == place else ''}'></i>" for n in range(1, len(STEPS) + 1)
    )
    earlier = _earlier(scene, step)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="tour-says", width="stretch"):
        st.html(
            f"<div class='tour-dots' role='img' aria-label='Step {place} of {len(STEPS)}'>{dots}</div>", width="content"
        )
        with st.container(gap=None):
            st.markdown(step.text(scene), width="stretch")
            if earlier:
                st.caption(f"There is earlier work here: {earlier}. It stays, unless you reset the demo.")
            elif hint := step.hint(scene):
                with st.container(key="tour-hint"):
                    st.caption(f":material/lightbulb: {hint}")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="tour-acts", width="content"):
        if label := step.button(scene):
            _button(label, f"show-{step.name}", _show, step, scene, icon=":material/arrow_forward:", type="primary")
        if earlier:
            _reset(scene)
        _button("Skip", f"skip-{step.name}", _skip, step.name, type="tertiary", help="Leave this step out.")


def _earlier(scene: Scene, step: Step) -> str:
    """What was made of the demo before the tour, told while nothing of the visitor's own is there; "" for nothing."""
    if step.name not in OPENING or scene.visit.answers or scene.run is not None:
        return ""
    return reset.told(would_reset(state.workspace(), scene.demo.name))


def _reset(scene: Scene) -> None:
    reset.offer(scene.demo.name, place="tour", then=partial(restart, scene.demo.name))


def _over(scene: Scene) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="tour-says", width="stretch"):
        st.html("<div class='tour-check' aria-hidden='true'><span>✓</span></div>", width="content")
        st.markdown(_told(scene), width="stretch")
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="tour-acts", width="content"):
        _button("My own data", "own", _end_and_go, "load", icon=":material/folder_open:", type="primary")
        for name in DEMOS:
            if name != scene.demo.name:
                _button(f"Other demo: {name}", f"other-{name}", _end_and_try, name)
        _reset(scene)
        _button("Close", "close", end, icon=":material/close:", type="tertiary")


def _button(label: str, key: str, does: Callable[..., None], *about: object, **look: Any) -> None:
    st.button(label, key=f"tour-{key}", on_click=problem.kept(does), args=about, **look)


def _told(scene: Scene) -> str:
    """What came of it, as it is."""
    run = scene.run
    if run is None:
        return "That was the tour. Nothing is repaired yet: go on whenever you like."
    worst = f"worst group on test images **{percent(run.before.worst_group)} → {percent(run.after.worst_group)}**"
    if run.after.worst_group <= run.before.worst_group:
        return f"**You have been through the loop:** {worst}, no gain this time."
    return f"**Found, named, repaired:** {worst} with {count(scene.answered, 'answer')}."


def _item(step: Step, scene: Scene, at_hand: Step | None) -> str:
    if _is_done(step, scene):
        kind, mark, said = "done", "✓", "done"
    elif step is at_hand:
        kind, mark, said = "now", "", "now"
    elif step.name in scene.taken.skipped:
        kind, mark, said = "skipped", "–", "skipped"
    else:
        kind, mark, said = "open", "", "to do"
    return f"<li class='{kind}'><i aria-hidden='true'>{mark}</i>{escape(step.title)}<span>{said}</span></li>"


def _scene(room: str = "") -> Scene | None:
    """The tour under way, where its demo is what is looked at."""
    record = tour_record.read()
    if record.on not in DEMOS:
        return None
    made = demos.made().get(record.on)
    if made is None or state.chosen_id() != made:
        return None
    analysis = state.analysis()
    return None if analysis is None else Scene(DEMOS[record.on], analysis, room, record.now)


def _noted(scene: Scene) -> Scene:
    """The same with what is seen, named and begun at this moment, which is kept."""
    named = st.session_state.get(MADE, 0)
    if named > st.session_state.setdefault(NAMED, named):
        # also where a concept of this name was there already
        scene = _kept(scene, named=(st.session_state[concept_tools.CHOSEN],))
    st.session_state[NAMED] = named
    scene = _kept(scene, jobs=jobs.begun("retrain", analysis=scene.analysis.id))
    seen = [step.name for step in STEPS if step.kept and step.name not in scene.taken.seen and step.done(scene)]
    return _kept(scene, seen=tuple(seen))


def _kept(scene: Scene, **fresh: tuple[Any, ...]) -> Scene:
    """With more of what a tour keeps, in the record too."""

    def more(taken: Taken) -> Taken:
        return replace(taken, **{name: tuple(dict.fromkeys((*getattr(taken, name), *fresh[name]))) for name in fresh})

    if more(scene.taken) == scene.taken:
        return scene
    # of the demo that is looked at, whatever another tab has begun meanwhile
    name = scene.demo.name
    record = tour_record.change(
        lambda record: replace(record, taken={**record.taken, name: more(record.taken.get(name, scene.taken))})
    )
    return replace(scene, taken=record.taken[name])


def _is_done(step: Step, scene: Scene) -> bool:
    return step.name in scene.taken.seen if step.kept else step.done(scene)


def _at_hand(scene: Scene) -> Step | None:
    """The first step that is neither done nor skipped; None at the end."""
    return next((step for step in STEPS if step.name not in scene.taken.skipped and not _is_done(step, scene)), None)
