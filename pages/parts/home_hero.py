"""The first thing on Home: what this is for in one sentence, in one picture, and the ways to begin."""

from __future__ import annotations

import base64
from functools import lru_cache

import streamlit as st

from core.access.policy import Permission
from core.demo import DEMOS, Demo
from pages.parts import demos, gate, jobs, problem, reset, rooms, theme, tour
from pages.parts.component_source import source
from pages.parts.words import duration, plain

# of the birds: what the demo's network is surest are waterbirds; and in between, with what it takes them for
TOP = 5
MID = ("waterbird", "landbird", "waterbird", "landbird", "landbird")


def show() -> None:
    st.html(f"<style>{source('home', 'home.css')}</style>")
    with st.container(key="hero"):
        words, picture = st.columns([11, 10], gap="large", vertical_alignment="center")
        with words:
            theme.heading(
                "Find what your classifier confuses. Then fix it.",
                "Midband shows you the images your model is in two minds about: see what it mixes up, name it, tag a "
                "few dozen images, and repair the model in seconds. In the browser, without code.",
            )
            _begin()
        with picture:
            st.html(_picture())
    _making()
    reset.undone()


def _begin() -> None:
    _lead_on()
    running = jobs.active("demo")
    made = demos.made()
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="hero-begin"):
        for place, demo in enumerate(DEMOS.values()):
            gate.button(
                Permission.LOAD,
                "Try the demo" if not place else f"Second demo: {plain(demo.name)}",
                type="secondary" if place else "primary",
                icon=":material/play_arrow:" if not place else None,
                help=_about(demo, demo.name in made),
                key=f"demo-{demo.name}",
                # one at a time; what is made already is there meanwhile
                disabled=running is not None and demo.name not in made,
                on_click=problem.kept(tour.try_demo),
                args=(demo.name,),
            )
        if st.button("Open my data", icon=":material/folder_open:", help=OWN, key="open-own"):
            rooms.go("load")


def _making() -> None:
    """The demo under way, below what is read meanwhile: nothing there moves."""
    running = jobs.active("demo")
    if running is not None:
        jobs.panel(running, on_done=lambda job: None)
        return
    ended = jobs.latest("demo")
    if ended is not None and ended.error:
        problem.show(ended.error)


OWN = (
    "A folder of images and a model file are enough. No model yet? Midband trains one on your images, so that you can "
    "see what it picks up."
)


def _about(demo: Demo, made: bool) -> str:
    wait = "The whole loop takes five minutes." if made else f"It is made first: about {duration(demo.about_seconds)}."
    return f"{plain(demo.story)} {wait}"


def _lead_on() -> None:
    """Whoever has waited for a demo is led there once it is made."""
    waiting = st.session_state.get(tour.WAITING)
    if waiting is None or jobs.active("demo") is not None:
        return
    del st.session_state[tour.WAITING]
    if waiting in demos.made():
        tour.explore(waiting)
        st.rerun()


@lru_cache(maxsize=1)
def _picture() -> str:
    surest = "".join(_tile("top", n, "") for n in range(1, TOP + 1))
    between = "".join(_tile("mid", n, f"“{named}”") for n, named in enumerate(MID, 1))
    return (
        "<figure class='hero-figure'>"
        "<p><b>Surest</b> these are waterbirds</p>"
        f"<div class='hero-row'>{surest}</div>"
        "<p><b>In between</b> what it takes them for, wrongly</p>"
        f"<div class='hero-row'>{between}</div>"
        "<figcaption>It goes by the water more than by the bird.</figcaption>"
        "</figure>"
    )


def _tile(row: str, number: int, said: str) -> str:
    picture = (theme.ASSETS / "home" / f"{row}-{number}.webp").read_bytes()
    data = base64.b64encode(picture).decode("ascii")
    under = f"<span>{said}</span>" if said else ""
    return f"<div><img src='data:image/webp;base64,{data}' width='96' height='96' alt=''>{under}</div>"
