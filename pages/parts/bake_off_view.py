"""All ways at once: every method on the same images, tags and seeds, as one plot and one table with intervals."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import streamlit as st

from core.access.policy import Permission
from core.errors import MidbandError
from core.files import slug
from core.jobs.job import DONE
from core.retraining.bakeoff import FOLDER, MOST_SEEDS, RESULT, BakeOff, Line, list_bake_offs, usual_methods
from core.retraining.methods import METHODS
from core.retraining.result import NETWORK
from pages.parts import bake_off_chart, chart_frame, gate, jobs, method_knobs, palette, repair, state
from pages.parts.bake_off_chart import ALWAYS, CHANCE, ERM
from pages.parts.words import TERMS, ago, count, distinct, duration, interval, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.workspace import Workspace

JOB, CHOSEN, NEWEST = "bake_off_job", "bake_off_chosen", "bake_off_newest"
METHODS_KEPT, SEEDS_KEPT = "bake_off_methods_kept", "bake_off_seeds_kept"
SEEDS = 5
HELP = {
    "methods": "Each is fitted with its usual settings. Beside them always: the classifier as it is, what assumptions "
    "alone give, and DFR with known groups where the dataset knows them.",
    "seeds": "How often each method is fitted with other random draws. 5 are usual; 3 do for a first look.",
    "share": "Of the way from the classifier as it is (0%) to DFR with known groups (100%), which knows what tags only "
    "tell in part. Above 100%: better than it on these images, which within the intervals may be chance.",
    "against": "Whether the worst group is better or worse than with the classifier as it is. p: how likely so large a "
    "difference would be if there were none (paired, on the same test images).",
    "spread": "Standard deviation over the seeds; 0 where nothing is drawn at random.",
    "plot": "Points: the mean over the seeds. Lines: 95% intervals over the draw of test images. Small dots: each "
    "seed. Dashed: the classifier as it is, and DFR with known groups.",
}
SELECTED = (
    "Who takes the best of these has chosen by the test images: its figure, here and under Results, is a little too "
    "good. Only images that had no part in the choice tell how good it is."
)


def show(analysis: Analysis, asked: Mapping[str, str]) -> dict[str, str]:
    """asked: what a new address says. Returns what the address is to say."""
    job = jobs.at_hand("bakeoff", JOB, analysis=analysis.id)
    if job is not None and job.state != DONE:
        jobs.panel(job, on_done=lambda _: None, noun="fit")
        if not job.active:
            st.button(
                "Put away",
                type="tertiary",
                icon=":material/close:",
                on_click=jobs.put_away,
                args=(job, JOB),
                key="away",
            )
    if job is None or not job.active:
        _set_up(analysis)
    found = _found(analysis)
    linked = asked.get("bake_off")
    if linked and linked not in found:
        st.info(
            "The comparison that the address names is not here: it was deleted, or made in another workspace."
            + (" This is the newest." if found else ""),
            icon=":material/link_off:",
        )
        st.session_state.pop(CHOSEN, None)
    if not found:
        if job is None:
            with st.container(border=True, key="card-empty"):
                st.markdown(
                    "**Nothing compared yet.** Which method helps most depends on the images, the network and the "
                    "tags: this shows what each comes to on the same test images, and which differences may be chance."
                )
                st.caption(SELECTED)
        return {}
    chosen = _choose(found, linked)
    _result(analysis, chosen)
    return {"bake_off": chosen.id}


def _found(analysis: Analysis) -> dict[str, BakeOff]:
    """By id, the newest first; read again only when one was added or removed."""
    files = sorted((state.workspace().root / FOLDER).glob(f"*/{RESULT}"))
    stamps = tuple((file.parent.name, file.stat().st_mtime_ns) for file in files if file.is_file())
    return {one.id: one for one in _stored(state.workspace(), stamps) if one.analysis == analysis.id}


@lru_cache(maxsize=1)
def _stored(workspace: Workspace, stamps: tuple[tuple[str, int], ...]) -> tuple[BakeOff, ...]:
    return list_bake_offs(workspace)


# --- setting up ------------------------------------------------------------------------------------------------------


def _set_up(analysis: Analysis) -> None:
    concepts = repair.choose_concepts(analysis)
    offered = [name for name in METHODS if name not in ALWAYS]
    kept = st.session_state.setdefault(METHODS_KEPT, [name for name in usual_methods() if name in offered])
    # only where it is new on the page: set on each run, it would take back what somebody is typing
    if "bake-off-methods" not in st.session_state:
        st.session_state["bake-off-methods"] = kept
    chosen = st.pills(
        "Methods",
        offered,
        selection_mode="multi",
        format_func=lambda name: plain(METHODS[name].title),
        key="bake-off-methods",
        help=HELP["methods"],
        on_change=lambda: st.session_state.update({METHODS_KEPT: list(st.session_state["bake-off-methods"])}),
    )
    lacking = "" if chosen else "Choose at least one method."
    if not concepts and repair.any_tagged(analysis):
        # none would mean the usual ones, which is what nobody asked for
        lacking = "Choose at least one concept."
        st.caption(f":material/info: No concept is chosen, so there is nothing to part the classes by. {lacking}")
    if "bake-off-seeds" not in st.session_state:
        st.session_state["bake-off-seeds"] = st.session_state.get(SEEDS_KEPT, SEEDS)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        seeds = st.number_input(
            "Seeds",
            min_value=1,
            max_value=MOST_SEEDS,
            key="bake-off-seeds",
            help=HELP["seeds"],
            width=140,
            on_change=lambda: st.session_state.update({SEEDS_KEPT: int(st.session_state["bake-off-seeds"])}),
        )
        pressed = gate.button(
            Permission.TRAIN,
            "Compare all ways",
            type="primary",
            icon=":material/play_arrow:",
            disabled=bool(lacking),
            help=lacking or None,
        )
    for name in chosen:
        if METHODS[name].kind == NETWORK:
            _slow(analysis, int(seeds))
    if pressed:
        request = {
            "analysis": analysis.id,
            "bake_off": secrets.token_hex(6),
            "methods": list(chosen),
            "seeds": list(range(int(seeds))),
            "concepts": list(concepts),
        }
        st.session_state[JOB] = jobs.begin("bakeoff", f"Compare all ways on {analysis.dataset_name}", request).id
        st.rerun()


def _slow(analysis: Analysis, seeds: int) -> None:
    """What finetuning adds."""
    try:
        images = len(analysis.split_rows("val")) or len(analysis.split_rows("train"))
        about = f"Finetuning, for each of {count(seeds, 'seed')}: "
        method_knobs.show_time(analysis, method_knobs.Setup("finetune"), images, about=about)
    except MidbandError as error:
        st.caption(f":material/info: {plain(error.detail)} {plain(error.next_step)}")


# --- what came out ---------------------------------------------------------------------------------------------------


def _choose(found: dict[str, BakeOff], linked: str | None) -> BakeOff:
    names = list(found)
    if st.session_state.get(NEWEST) != names[0]:
        # one that was not there before is what somebody wants to see
        st.session_state[NEWEST] = st.session_state[CHOSEN] = names[0]
    if linked in found:
        st.session_state[CHOSEN] = linked
    chosen = st.session_state.get(CHOSEN)
    st.session_state["bake-off-pick"] = chosen if chosen in found else names[0]
    if len(found) > 1:
        titles = dict(zip(names, distinct([_name(one) for one in found.values()], names), strict=True))
        st.selectbox(
            "Comparison",
            names,
            key="bake-off-pick",
            format_func=lambda key: titles.get(key, key),
            on_change=lambda: st.session_state.update({CHOSEN: st.session_state["bake-off-pick"]}),
            width=460,
        )
    return found[st.session_state["bake-off-pick"]]


def _name(one: BakeOff) -> str:
    about = f" · {', '.join(one.concepts)}" if one.concepts else ""
    return f"{_when(one)} · {count(len(one.lines), 'way')} · {count(len(one.seeds), 'seed')}{about}"


def _when(one: BakeOff) -> str:
    return ago(datetime.fromisoformat(one.created))


def _result(analysis: Analysis, one: BakeOff) -> None:
    with st.container(border=True, key="card-bake-off"):
        st.header("Worst group, way by way", anchor=False, help=HELP["plot"])
        st.markdown(sentence(one))
        chart_frame.draw(bake_off_chart.chart(one), "bake-off-chart", bake_off_chart.told(one))
    st.dataframe(
        bake_off_chart.table(one),
        alt="Every way with its accuracy in the worst group, the interval, and how it compares to the classifier as "
        "it is.",
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "way": st.column_config.TextColumn(width="medium"),
            "share of the gap": st.column_config.Column(help=HELP["share"]),
            "spread": st.column_config.Column(help=HELP["spread"]),
            "against as it is": st.column_config.Column(help=HELP["against"], width="medium"),
            "average": st.column_config.Column(help=TERMS["average"]),
        },
    )
    estimated = ", estimated" if one.estimated and "estimated" not in one.groups_from else ""
    st.caption(
        f"{_when(one).capitalize()}, {count(len(one.seeds), 'seed')}, {count(one.images, 'test image')}, "
        f"{duration(one.seconds)}. Groups: {plain(one.groups_from)}{estimated}."
    )
    for method, why in one.absent.items():
        st.caption(f":material/block: {plain(_title(method))} is not in it: {plain(why)}")
    for told in one.notes:
        st.caption(f":material/info: {plain(told)}")
    with st.container(horizontal=True, vertical_alignment="center"):
        gate.download_button(
            "Download as CSV",
            data=partial(bake_off_chart.as_csv, one),
            file_name=f"{slug(f'{analysis.dataset_name} all ways')}.csv",
            mime="text/csv",
            icon=":material/download:",
            on_click="ignore",
            key="bake-off-csv",
        )
        best = best_way(one)
        if best is not None and st.button(
            f"Repair with {plain(best.title)}", icon=":material/build:", type="tertiary", key="bake-off-repair"
        ):
            st.session_state[method_knobs.METHOD] = best.method
            palette.leave("retrain", analysis=analysis.id, look="repair", method=best.method)
    if best is not None:
        st.caption(f":material/info: {SELECTED}")


def best_way(one: BakeOff) -> Line | None:
    """The best method that can be had without known groups; None where none is better than the classifier as it is."""
    floor = one.line(ERM)
    return next(
        (
            line
            for line in one.lines
            if line.method not in ALWAYS and line.needs != "attributes" and floor is not None and line.mean > floor.mean
        ),
        None,
    )


def sentence(one: BakeOff) -> str:
    """Markdown: which way is best, and whether it is better at all."""
    floor, best = one.line(ERM), best_way(one)
    assert floor is not None
    if best is None:
        return f"**No way is better** than the classifier as it is ({percent(floor.mean)} in its worst group)."
    told = (
        f"**{plain(best.title)}** comes out best on these test images: {percent(floor.mean)} → "
        f"**{percent(best.mean)}** in the worst group ({interval(*best.interval)})."
    )
    if best.p >= CHANCE:
        return f"{told} That may be chance: it is no clear improvement over the classifier as it is."
    rivals = [
        line
        for line in one.lines
        if line.method not in (*ALWAYS, best.method) and line.needs != "attributes" and line.mean >= best.interval[0]
    ]
    if rivals:
        others = "1 other lies" if len(rivals) == 1 else f"{len(rivals)} others lie"
        told += f" {others} within its interval, so the order among them may be chance."
    return told


def _title(method: str) -> str:
    return METHODS[method].title if method in METHODS else method
