"""Clusters of the band, before anybody has tagged: what they are, how they differ from the top, a name for them.

A name makes a concept; the cluster's images become its suggested members, to be accepted or rejected under Tag next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.activations.bands import Range
from core.concepts.concept import Concept, create_concept, list_concepts
from core.concepts.names import LONGEST_NAME, clean_name, concept_key
from core.concepts.tags import UNTAGGED, answers, suggest_members, suggested_members
from core.files import digest
from core.settings import DEFAULTS
from pages.parts import band_controls, band_data, band_state, gallery, notices, problem, rooms, state, text_results, who
from pages.parts.band_data import Subject
from pages.parts.band_state import TOP, View
from pages.parts.image_grid import format_activation
from pages.parts.words import count, interval, listed, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.concepts.discovery import Cluster, Discovery

SEEN = "discover_seen"
ORDER, NUMBER = "discover_order", "discover_number"
AUTOMATIC = "auto"
# images of a cluster shown in its row: what a laptop shows side by side
IN_A_ROW = 7
# share of a cluster's images that are suggestions of a concept from which the concept is its name
SAME = 0.95
SUSPICIOUS, BY_LIFT, BY_ERRORS, BY_SIZE = "suspicious", "lift", "errors", "size"
ORDERS = {
    SUSPICIOUS: "not at the top, often wrong",
    BY_LIFT: "highest lift first",
    BY_ERRORS: "most often wrong first",
    BY_SIZE: "largest first",
}
HELP = {
    "lift": (
        "How much more common such images are in this band than at the top: their share here over their share there, "
        "with its 95% interval. 1 is equally common. High: the model is unsure just about these."
    ),
    "errors": "Share of these images that the model names wrongly, with its 95% interval.",
    "band errors": "The same over all images of the band.",
    "stands out": "Known attributes that are surely more common here than in the rest of the band.",
    "clusters": (
        "Images are parted by the features that make up the activation, the direction itself taken out. "
        "**Automatic**: the finest parting that is nearly as clear as the clearest."
    ),
    "name": "Makes a concept of it. The images become guesses to review, not tags.",
    "order": (
        "**Not at the top, often wrong**: what is surely rarer at the top first, and of that what the model is most "
        "surely wrong about."
    ),
}


@dataclass
class Seen:
    """What a person did with the clusters of one band. skipped: their numbers. named: number to concept. opened: the
    one that is shown in full."""

    skipped: set[int]
    named: dict[int, int]
    opened: int | None = None
    page: int = 0


def show(analysis: Analysis, view: View) -> None:
    band_controls.choose(analysis, view, drawn=False)
    subject = band_state.subject(analysis, view)
    top = band_state.proposed(analysis, view, TOP)
    chosen = st.session_state.setdefault(NUMBER, AUTOMATIC)
    asked = None if chosen == AUTOMATIC else int(chosen)
    if not band_data.count(subject, view.low, view.high):
        st.info("No image lies in this band. Choose another band, or other images.", icon=":material/info:")
        return
    with st.spinner("Looking for what these images have in common …", show_time=False):
        found = _discovery(subject, view.low, view.high, top, asked)
    key = (subject, view.low, view.high, top, asked)
    known: dict[object, Seen] = st.session_state.setdefault(SEEN, {})
    if key not in known:
        known[key] = Seen(set(), named_before(analysis, found))
    seen = known[key]
    if seen.opened is not None and seen.opened < len(found.clusters):
        _in_full(subject, view, found, seen)
        return
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute", key="cluster-controls"
    ):
        _about(subject, view, found)
        _controls()
    if found.note and found.clusters:
        st.caption(f":material/info: {plain(found.note)}")
    for place, number in enumerate(number for number in _ordered(found) if number not in seen.skipped):
        _cluster(subject, view, found, number, place, seen)
    _skipped(found, seen)
    text_results.show(analysis, subject, view)


def _controls() -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
        st.selectbox(
            "Clusters",
            [AUTOMATIC, *range(2, 13)],
            key=NUMBER,
            format_func=lambda value: "automatic" if value == AUTOMATIC else str(value),
            width=130,
            help=HELP["clusters"],
        )
        st.session_state.setdefault(ORDER, SUSPICIOUS)
        st.selectbox("Order", list(ORDERS), key=ORDER, format_func=ORDERS.get, width=240, help=HELP["order"])


@lru_cache(maxsize=16)
def _discovery(subject: Subject, low: float, high: float, top: Range, clusters: int | None) -> Discovery:
    # half a second of a first page, that most visits do without
    from core.concepts.discovery import discovery

    return discovery(
        subject.analysis,
        band_data.direction(subject),
        band_data.members(subject, low, high),
        band_data.members(subject, top.low, top.high),
        clusters=clusters,
    )


def _ordered(found: Discovery) -> list[int]:
    """Numbers of the clusters, as they are listed."""
    clusters = found.clusters
    order = st.session_state[ORDER]
    keys = {
        BY_LIFT: lambda i: -np.nan_to_num(clusters[i].lift),
        BY_ERRORS: lambda i: -clusters[i].error_rate,
        BY_SIZE: lambda i: -clusters[i].size,
    }
    numbers = range(len(clusters))
    return sorted(numbers, key=keys[order]) if order in keys else list(numbers)


def _about(subject: Subject, view: View, found: Discovery) -> None:
    ends = f"{format_activation(view.low)} to {format_activation(view.high)}"
    if not found.clusters:
        st.info(
            f"{count(found.total, 'image')} in the band from {ends}: too few to look for clusters. Choose a wider band "
            "under Images, or look at more images.",
            icon=":material/info:",
        )
        return
    st.markdown(
        f"**{count(len(found.clusters), 'cluster')}** of {count(found.total, 'image')} in the band from {ends}, held "
        f"against {count(found.top_total, 'image')} at the top. The model is wrong about "
        f"**{percent(found.error_rate)}** of the band.",
        help=HELP["band errors"],
        width="content",
    )


def _cluster(subject: Subject, view: View, found: Discovery, number: int, place: int, seen: Seen) -> None:
    cluster = found.clusters[number]
    suffix = f"{number}-{len(found.clusters)}"
    with st.container(border=True, gap="small", key=f"card-cluster-{suffix}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"cluster-head-{suffix}"):
            _facts(cluster, found)
        _traits(cluster)
        gallery.show(
            subject.analysis,
            cluster.rows[:IN_A_ROW],
            key=f"cluster-grid-{suffix}",
            place=gallery.Place(direction=view.direction, low=view.low, high=view.high),
            direction=band_data.direction(subject),
            toolbar=False,
            how="cluster",
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"cluster-foot-{suffix}"):
            _name(subject.analysis, cluster, number, suffix, seen, ordinal=place + 1)
            st.button(
                f"Show all {cluster.size:,}",
                icon=":material/grid_view:",
                key=f"cluster-open-{suffix}",
                type="tertiary",
                on_click=_open,
                args=(seen, number),
                help="All images of the cluster in a grid, the most typical first, to be tagged.",
            )
            st.button(
                "Skip",
                icon=":material/visibility_off:",
                key=f"cluster-skip-{suffix}",
                type="tertiary",
                on_click=seen.skipped.add,
                args=(number,),
                help="Put this cluster out of the way. It stays one click away below.",
            )


def _facts(cluster: Cluster, found: Discovery) -> None:
    """Everything about a cluster in a line, each figure with what it means."""
    share = f"{percent(cluster.size / found.compared)} of the band"
    st.markdown(f"**{count(cluster.size, 'image')}**, {share}", width="content")
    st.markdown(lift_of(cluster, found.compared), help=HELP["lift"], width="content")
    wrong = f"**{percent(cluster.error_rate)}** wrong ({interval(cluster.low, cluster.high)})"
    st.markdown(wrong, help=HELP["errors"], width="content")
    classes = [f"{number:,} {plain(short(name))}" for name, number in cluster.classes]
    st.markdown(listed(classes, most=3), width="content")


def _traits(cluster: Cluster) -> None:
    if cluster.traits:
        traits = [
            f"{plain(short(trait.name))} {plain(short(trait.value))} {percent(trait.share)} (else "
            f"{percent(trait.elsewhere)})"
            for trait in cluster.traits
        ]
        st.caption(f"Stands out: {listed(traits)}", help=HELP["stands out"])


def times(value: float) -> str:
    """2.34 -> 2.3×. A dash where there is no top to compare with."""
    if math.isnan(value):
        return "–"
    if value > 1000:
        return "over 1,000×"
    return f"{value:.0f}×" if value >= 20 else f"{value:.1f}×"


def lift_of(cluster: Cluster, compared: int) -> str:
    """Markdown: the lift and its interval; where none is at the top, that alone, for the figure would be a guess."""
    if math.isnan(cluster.lift):
        return f"lift **{times(cluster.lift)}**"
    if not cluster.top_count:
        return f"**none at the top**, {percent(cluster.size / compared)} here"
    return f"lift **{times(cluster.lift)}** ({times(cluster.lift_low)} to {times(cluster.lift_high)})"


def named_before(analysis: Analysis, found: Discovery) -> dict[int, int]:
    """Clusters that were named in another session: number to id of the concept whose suggestions they became."""
    workspace, named = state.workspace(), {}
    for concept in _concepts(analysis):
        suggested = suggested_members(workspace, analysis, concept)
        if suggested.source != "cluster" or not len(suggested.rows):
            continue
        answered = answers(workspace, analysis, concept) != UNTAGGED
        for number, cluster in enumerate(found.clusters):
            waiting = np.isin(cluster.rows, suggested.rows)
            # those answered since are suggested no longer
            if waiting.any() and (waiting | answered[cluster.rows]).mean() >= SAME:
                named[number] = concept.id
    return named


def _name(analysis: Analysis, cluster: Cluster, number: int, suffix: str, seen: Seen, *, ordinal: int) -> None:
    concept = next((one for one in _concepts(analysis) if one.id == seen.named.get(number)), None)
    if concept is not None:
        st.markdown(
            f":material/check: Named **{plain(short(concept.name))}**: its images wait as guesses.", width="content"
        )
        rooms.link("tag_next", "Review them", look="review", concept=str(concept.id))
        return
    # another band's clusters have other fields: what was typed for one must not name another
    field = f"cluster-name-{suffix}-{digest(*map(str, cluster.rows[:IN_A_ROW]))}"
    with (
        st.form(f"cluster-form-{field}", border=False, enter_to_submit=True, width=420),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    ):
        st.text_input(
            f"Name of cluster {ordinal}",
            key=field,
            placeholder="What do they have in common?",
            max_chars=LONGEST_NAME,
            label_visibility="collapsed",
        )
        st.form_submit_button(
            "Name this",
            icon=":material/sell:",
            on_click=problem.kept(partial(_named, analysis, cluster, number, field, seen)),
            help=HELP["name"],
        )


def _named(analysis: Analysis, cluster: Cluster, number: int, field: str, seen: Seen) -> None:
    typed = st.session_state[field]
    if not typed.strip():
        notices.say("Type what these images have in common, then press Enter.", ":material/info:")
        return
    # the nearest to the centre are the surest
    sureness = 1 / (1 + cluster.distances / max(float(np.median(cluster.distances)), 1e-12))
    seen.named[number] = name_members(analysis, typed, cluster.rows, sureness, source="cluster").id


def name_members(analysis: Analysis, typed: str, rows: np.ndarray, scores: np.ndarray, *, source: str) -> Concept:
    """Make a concept, or take the one of this name, and suggest images as its members, beside those suggested before.

    rows: (m,), best first. scores: (m,), higher is better. source: "cluster" or "text".
    """
    workspace = state.workspace()
    name = clean_name(typed)
    known = {concept_key(concept.name) for concept in _concepts(analysis)}
    concept = create_concept(workspace, analysis.dataset_id, name, author=who.author())
    before = suggested_members(workspace, analysis, concept)
    further = ~np.isin(before[0], rows)
    suggest_members(
        workspace,
        analysis,
        concept,
        np.concatenate([rows, before[0][further]]),
        source,
        np.concatenate([scores, np.asarray(before[1], dtype=np.float64)[further]]),
    )
    what = "More guesses for" if concept_key(name) in known else "New concept"
    notices.say(f"{what} **{plain(short(concept.name))}**: {count(len(rows), 'image')} to review.", ":material/sell:")
    return concept


def _concepts(analysis: Analysis) -> tuple[Concept, ...]:
    return list_concepts(state.workspace(), analysis.dataset_id)


def _open(seen: Seen, number: int | None) -> None:
    seen.opened, seen.page = number, 0


def _turn(seen: Seen, page: int) -> None:
    seen.page = page


def _skipped(found: Discovery, seen: Seen) -> None:
    if not seen.skipped:
        return
    if len(seen.skipped) == len(found.clusters):
        st.markdown("All clusters are out of the way. Choose another band or direction above, or bring them back.")
    st.button(
        f"Bring back {count(len(seen.skipped), 'skipped cluster')}",
        icon=":material/visibility:",
        type="tertiary",
        key="clusters-back",
        on_click=seen.skipped.clear,
    )


def _in_full(subject: Subject, view: View, found: Discovery, seen: Seen) -> None:
    """One cluster in the grid, where all of it can be tagged."""
    assert seen.opened is not None
    cluster, size = found.clusters[seen.opened], DEFAULTS.grid_size
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="cluster-full-head"):
        st.button("All clusters", icon=":material/arrow_back:", key="cluster-back", on_click=_open, args=(seen, None))
        _facts(cluster, found)
    pages = math.ceil(cluster.size / size)
    page = min(seen.page, pages - 1)
    # the last page is as full as the others: images move up from the one before
    start = max(0, min(page * size, cluster.size - size))
    gallery.show(
        subject.analysis,
        cluster.rows[start : start + size],
        key="cluster-full-grid",
        place=gallery.Place(direction=view.direction, low=view.low, high=view.high),
        direction=band_data.direction(subject),
        total=cluster.size,
        page=page,
        pages=pages,
        scope=repr((subject.analysis.id, view.direction, view.low, view.high, view.split, seen.opened)),
        within="in this cluster",
        on_page=partial(_turn, seen),
        everything=lambda: cluster.rows,
        how="cluster",
    )
    suffix = f"{seen.opened}-{len(found.clusters)}-full"
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"cluster-foot-{suffix}"):
        _name(subject.analysis, cluster, seen.opened, suffix, seen, ordinal=seen.opened + 1)
