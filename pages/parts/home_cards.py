"""The investigations on Home: a card each, with how far it has come and the next step."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.store import open_analysis
from core.database import Meta
from core.demo import DEMOS
from core.errors import MidbandError
from core.settings import DEFAULTS
from pages.parts import demos, jobs, notices, problem, progress, reset, rooms, state, tour, who
from pages.parts.strips import strip
from pages.parts.words import ago, count, listed, percent, plain

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from core.activations.store import Analysis
    from core.demo import Demo
    from pages.parts.progress import Progress
    from pages.parts.state import Investigation

STRIP = 6
# cards that are drawn unasked, and at most
FEW, MOST = 6, 48
SEARCH, ALL = "home_search", "home_all"
# in the workspace, with the browser's id: ids of what is not to be shown there
_PUT_AWAY = "home-put-away-"


def investigations() -> None:
    found = state.investigations()
    st.header("Investigations", anchor=False)
    if not found:
        _teach()
        return
    away = _put_away()
    shown = [item for item in found if item.id not in away]
    cards = _chosen(shown)
    made = demos.made()
    of_demo = {analysis: DEMOS[name] for name, analysis in made.items()}
    columns = st.grid(3, min_column_width=300)
    for item in cards:
        with columns.cell():
            _card(item, of_demo.get(item.id))
    with st.container(horizontal=True, gap="small"):
        if len(shown) > len(cards) and not st.session_state.get(SEARCH):
            st.button(f"Show all {len(shown)}", icon=":material/expand_more:", on_click=_show_all, key="home-show-all")
        if gone := len(found) - len(shown):
            st.button(
                f"Bring back {gone} put away",
                icon=":material/visibility:",
                type="tertiary",
                on_click=_bring_back,
                key="home-bring-back",
            )


def _teach() -> None:
    """What stands in place of the first card."""
    with st.container(border=True, key="card-none"):
        st.markdown("**None yet.** An investigation is one model applied to one set of images. It goes like this:")
        steps = st.grid(4, min_column_width=140)
        for title, text in (
            (
                ":material/bar_chart: Look",
                "Slide along what the model thinks of a class and see the images.",
            ),
            (":material/sell: Name", "Something sits where it should not? Give it a name and tag it."),
            (":material/build: Repair", "Retrain the last layer on images chosen from the middle."),
            (":material/monitoring: Prove", "See the worst group before and after, and take the model away."),
        ):
            with steps.cell():
                st.markdown(f"**{title}**  \n{text}")


def _chosen(items: list[Investigation]) -> list[Investigation]:
    """The latest few, all when asked, or those that fit what is typed."""
    if len(items) <= FEW:
        return items
    wanted = st.text_input(
        "Search",
        key=SEARCH,
        placeholder="Search by images or model",
        icon=":material/search:",
        label_visibility="collapsed",
        width=360,
    )
    if wanted and wanted.strip():
        parts = wanted.casefold().split()
        fitting = [i for i in items if all(part in f"{i.dataset_name} {i.model_name}".casefold() for part in parts)]
        if not fitting:
            st.markdown("Nothing is called that.")
        elif len(fitting) > MOST:
            st.caption(f"The latest {MOST} of {len(fitting):,} that fit.")
        return fitting[:MOST]
    return items[:MOST] if st.session_state.get(ALL) else items[:FEW]


def _show_all() -> None:
    st.session_state[ALL] = True


def _card(item: Investigation, demo: Demo | None) -> None:
    with st.container(border=True, key=f"card-investigation-{item.id}", height="stretch"):
        title = f"**{plain(item.dataset_name)}** · {plain(item.model_name)}"
        try:
            analysis = open_analysis(state.workspace(), item.id)
            done = progress.of(analysis)
        except MidbandError as error:
            st.markdown(title)
            problem.show(error)
            _more(item, None)
            return
        st.image(_strip(analysis), width="stretch", alt="")
        st.markdown(title)
        right = f"right {percent(item.accuracy)} of the time" if analysis.labelled else "no labels"
        # one thing, not parted at the end of a line
        verb = "opened" if item.used > item.created else "made"
        opened = f"{verb} {ago(item.used)}".replace(" ", "\N{NO-BREAK SPACE}")
        st.caption(f"{count(analysis.n, 'image')}, {count(analysis.k, 'class', 'classes')} · {right} · {opened}")
        st.html(_loop(done))
        outcome, label, room = _next(analysis, done)
        st.markdown(outcome)
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"):
            if st.button(label, key=f"next-{item.id}", icon=":material/arrow_forward:"):
                state.choose(item.id)
                rooms.go(room)
            _more(item, demo)


def _more(item: Investigation, demo: Demo | None) -> None:
    """What else can be done with it."""
    with st.popover("More", type="tertiary", key=f"more-{item.id}"):
        with st.container(gap="xsmall", key=f"more-acts-{item.id}"):
            st.page_link(
                rooms.room("present"),
                label="Present it",
                icon=":material/co_present:",
                query_params={"analysis": item.id},
            )
            if demo is not None:
                st.button(
                    "Take the tour",
                    icon=":material/signpost:",
                    type="tertiary",
                    key=f"tour-{item.id}",
                    on_click=problem.kept(tour.restart),
                    args=(demo.name,),
                )
            st.button(
                "Put it away",
                icon=":material/visibility_off:",
                type="tertiary",
                key=f"away-{item.id}",
                on_click=problem.kept(partial(_put_one_away, item.id)),
                help="Takes the card off your Home. Nothing is deleted; the list of investigations has it still.",
            )
        if demo is not None:
            with st.container(gap="small", key=f"more-afresh-{item.id}"):
                reset.ask(demo.name, place="card")


def _loop(done: Progress) -> str:
    steps = "".join(
        f"<li class='{'done' if was else 'open'}'>{escape(name)}<span>{': done' if was else ': to do'}</span></li>"
        for name, was in zip(progress.STEPS, done.done, strict=True)
    )
    return f"<ol class='home-loop'>{steps}</ol>"


def _next(analysis: Analysis, done: Progress) -> tuple[str, str, str]:
    """What there is to say, and the button to the next step: (sentence, label, room)."""
    if (job := jobs.active("retrain", analysis=analysis.id)) is not None:
        return f"{plain(job.title)}: under way.", "See how it goes", "retrain"
    if (run := done.run) is not None:
        worst = f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
        return f"Repaired: worst group **{worst}**.", "See the results", "results"
    if not done.tags:
        if done.concepts:
            return f"Named {plain(listed(list(done.concepts), most=2))}; nothing tagged yet.", "Tag images", "tag_next"
        return "Nothing tagged yet.", "Look at the bands", "bands"
    said = f"{count(done.tags, 'tag')} for {plain(listed(list(done.concepts), most=2))}."
    return (said, "Go on tagging", "tag_next") if done.tags < DEFAULTS.tag_budget else (said, "Retrain", "retrain")


def _put_away() -> set[str]:
    with state.workspace().reading() as session:
        return _away(session)


def _away(session: Session) -> set[str]:
    record = session.get(Meta, f"{_PUT_AWAY}{who.browser().id}")
    try:
        return set(json.loads(record.value)) if record is not None else set()
    except (ValueError, TypeError):
        return set()


def _put_one_away(analysis_id: str) -> None:
    with state.workspace().writing() as session:
        # two tabs at once: read where it is written
        _keep_away(session, _away(session) | {analysis_id})
    notices.say("Put away. It can be brought back below the cards.", ":material/visibility_off:")


def _bring_back() -> None:
    with state.workspace().writing() as session:
        _keep_away(session, set())


def _keep_away(session: Session, ids: set[str]) -> None:
    session.merge(Meta(key=f"{_PUT_AWAY}{who.browser().id}", value=json.dumps(sorted(ids))))


@lru_cache(maxsize=64)
def _strip(analysis: Analysis) -> bytes:
    """A few of its images side by side as one WebP, evenly spread, always the same ones."""
    rows = np.linspace(0, analysis.n - 1, min(STRIP, analysis.n)).astype(int)
    return strip([analysis.thumbnail(row) for row in rows], STRIP)
