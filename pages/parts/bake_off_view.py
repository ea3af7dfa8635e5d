"""All ways at once: every method on the same images, tags and seeds, as one plot and one table with intervals."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.concepts.exchange import guarded
from core.errors import MidbandError, NotFound
from core.files import slug
from core.jobs.job import Job
from core.jobs.queue import get_job
from core.retraining.bakeoff import MOST_SEEDS, ORACLE, BakeOff, Line, list_bake_offs, usual_methods
from core.retraining.methods import METHODS
from core.retraining.result import NETWORK
from core.retraining.runs import NO_PERSON
from pages.parts import jobs, method_knobs, palette, repair, state, theme
from pages.parts.words import TERMS, ago, count, duration, interval, percent, plain

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.activations.store import Analysis

JOB, CHOSEN, NEWEST = "bake_off_job", "bake_off_chosen", "bake_off_newest"
METHODS_KEPT, SEEDS_KEPT = "bake_off_methods_kept", "bake_off_seeds_kept"
SEEDS = 5
ERM = "erm"
# what every comparison holds whether asked for or not
ALWAYS = (ERM, NO_PERSON, ORACLE)
# pixels per way in the plot
ROW_HEIGHT = 44
# below this a difference would hardly come about by chance
CHANCE = 0.05
HELP = {
    "methods": "Each is fitted with its usual settings. Beside them always: the classifier as it is, what assumptions "
    "alone give, and DFR with known groups where the dataset knows them.",
    "seeds": "How often each method is fitted with other random draws. 5 are usual; 3 do for a first look.",
    "share": "Of the way from the classifier as it is (0%) to DFR with known groups (100%), which knows what tags only "
    "tell in part.",
    "chance": "How likely so large a difference to the classifier as it is would be if there were none (paired, on the "
    "same test images).",
    "spread": "Standard deviation over the seeds; 0 where nothing is drawn at random.",
    "plot": "Points: the mean over the seeds. Lines: 95% intervals over the draw of test images. Small dots: each "
    "seed. Dashed: the classifier as it is, and DFR with known groups.",
}


def show(analysis: Analysis, asked: Mapping[str, str]) -> dict[str, str]:
    """asked: what a new address says. Returns what the address is to say."""
    job = _current(analysis)
    if job is not None:
        st.session_state[JOB] = job.id
        if job.active or job.state != "done":
            jobs.panel(job, on_done=lambda _: None, noun="fit")
        if not job.active:
            st.session_state.pop(JOB, None)
    if job is None or not job.active:
        _set_up(analysis)
    found = {one.id: one for one in list_bake_offs(state.workspace(), analysis.id)}
    if not found:
        if job is None:
            with st.container(border=True, key="card-empty"):
                st.markdown(
                    "**Nothing compared yet.** Which method helps most depends on the images, the network and the "
                    "tags: compare them once, and repair with the best."
                )
        return {}
    chosen = _choose(found, asked.get("bake_off"))
    _result(analysis, chosen)
    return {"bake_off": chosen.id}


# --- setting up ------------------------------------------------------------------------------------------------------


def _set_up(analysis: Analysis) -> None:
    concepts = repair.choose_concepts(analysis)
    offered = [name for name in METHODS if name not in ALWAYS]
    kept = st.session_state.setdefault(METHODS_KEPT, [name for name in usual_methods() if name in offered])
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
        pressed = st.button(
            "Compare all ways",
            type="primary",
            icon=":material/play_arrow:",
            disabled=not chosen,
            help=None if chosen else "Choose at least one method.",
        )
    for name in chosen:
        if METHODS[name].kind == NETWORK:
            _slow(analysis, int(seeds), concepts)
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


def _slow(analysis: Analysis, seeds: int, concepts: tuple[str, ...]) -> None:
    """What finetuning adds."""
    try:
        images = len(analysis.split_rows("val")) or len(analysis.split_rows("train"))
        told = method_knobs.training_time(analysis, method_knobs.Setup("finetune"), images)
    except MidbandError as error:
        st.caption(f":material/info: {plain(error.detail)} {plain(error.next_step)}")
        return
    st.caption(f":material/schedule: Finetuning, for each of {count(seeds, 'seed')}: {plain(told)}")


def _current(analysis: Analysis) -> Job | None:
    running = jobs.active("bakeoff")
    if running is not None:
        return running
    if job_id := st.session_state.get(JOB):
        try:
            job = get_job(state.workspace(), job_id)
        except NotFound:
            return None
        if job.request.get("analysis") == analysis.id:
            return job
    return None


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
        st.selectbox(
            "Comparison",
            names,
            key="bake-off-pick",
            format_func=lambda key: _name(found[key]),
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
        figure = chart(one)
        # the chart's code arrives after the page: its place is kept, so that nothing jumps
        st.html(f"<style>.st-key-bake-off-chart {{ min-height: {figure.layout.height}px; }}</style>")
        with st.container(key="bake-off-chart"):
            st.plotly_chart(figure, width="stretch", config={"displayModeBar": False}, key=f"bake-off-{one.id}")
    st.dataframe(
        table(one),
        hide_index=True,
        width="stretch",
        height="content",
        column_config={
            "way": st.column_config.TextColumn(width="medium", pinned=True),
            "share of the gap": st.column_config.Column(help=HELP["share"]),
            "spread": st.column_config.Column(help=HELP["spread"]),
            "by chance": st.column_config.Column(help=HELP["chance"]),
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
        st.download_button(
            "Download as CSV",
            data=partial(as_csv, one),
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
            palette.leave("retrain", analysis=analysis.id, look="repair")


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
        f"**{plain(best.title)}** does best: {percent(floor.mean)} → **{percent(best.mean)}** in the worst group "
        f"({interval(*best.interval)})."
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


def chart(one: BakeOff) -> go.Figure:
    """One row per way, best first; the classifier as it is and the oracle as dashed lines through all."""
    import plotly.graph_objects as go

    lines = one.lines
    names = [_text(line.title) for line in lines]
    figure = go.Figure()
    for method, words in ((ERM, "as it is"), (ORACLE, "known groups")):
        reference = one.line(method)
        if reference is not None:
            figure.add_vline(
                x=reference.mean,
                line={"color": theme.muted_color(), "width": 1.5, "dash": "dash"},
                layer="below",
                annotation={"text": words, "font": {"color": theme.muted_color(), "size": 12}, "yanchor": "bottom"},
                annotation_position="top",
            )
    figure.add_scatter(
        x=[value for line in lines for value in sorted(set(line.worst_group))],
        y=[name for line, name in zip(lines, names, strict=True) for _ in sorted(set(line.worst_group))],
        mode="markers",
        marker={"color": theme.muted_color(), "size": 5, "opacity": 0.7},
        hoverinfo="skip",
        showlegend=False,
    )
    own = [line.method not in ALWAYS for line in lines]
    colors = [theme.accent_color() if mine else theme.muted_color() for mine in own]
    for line, name, color in zip(lines, names, colors, strict=True):
        figure.add_scatter(
            x=[line.mean],
            y=[name],
            mode="markers",
            marker={
                "color": color,
                "size": 12,
                "symbol": "circle" if line.method not in ALWAYS else "diamond-open",
                "line": {"width": 2, "color": color},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(line.interval[1] - line.mean, 0.0)],
                "arrayminus": [max(line.mean - line.interval[0], 0.0)],
                "color": color,
                "thickness": 1.6,
                "width": 4,
            },
            text=[f"{percent(line.mean)} ({interval(*line.interval)})<br>average {percent(line.average_mean)}"],
            hovertemplate="%{y}<br>worst group %{text}<extra></extra>",
            showlegend=False,
        )
    figure.update_layout(
        height=ROW_HEIGHT * len(names) + 80,
        margin={"l": 8, "r": 16, "t": 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": theme.text_color(), "size": 14},
        xaxis={
            "range": [-0.02, 1.02],
            "tickformat": ".0%",
            "gridcolor": theme.line_color(),
            "zeroline": False,
            "fixedrange": True,
            "tickfont": {"color": theme.text_color(), "size": 13},
        },
        yaxis={
            "tickfont": {"color": theme.text_color(), "size": 13},
            "autorange": "reversed",
            "automargin": True,
            "fixedrange": True,
            "ticksuffix": "  ",
            "categoryorder": "array",
            "categoryarray": names,
        },
        hoverlabel={"align": "left"},
    )
    return figure


def _text(name: str) -> str:
    """Plotly reads a little HTML in labels; long ones are broken in two."""
    safe = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(name) <= 24 or " " not in safe:
        return safe
    words = safe.split(" ")
    half = min(range(1, len(words)), key=lambda cut: abs(len(" ".join(words[:cut])) - len(safe) / 2))
    return f"{' '.join(words[:half])}<br>{' '.join(words[half:])}"


def table(one: BakeOff) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "way": line.title,
            "worst group": percent(line.mean),
            "interval": interval(*line.interval),
            "spread": f"{100 * line.spread:.1f}",
            "average": percent(line.average_mean),
            "share of the gap": "–" if line.share is None else f"{100 * line.share:.0f}%",
            "by chance": "" if line.method == ERM else chance(line.p),
            "needs": {"tags": "tags", "attributes": "known groups"}.get(line.needs, "nothing"),
            "seconds": f"{line.seconds:.2f}",
        }
        for line in one.lines
    ]
    return pd.DataFrame(rows)


def chance(p: float) -> str:
    return "below 0.1%" if p < 0.001 else f"{100 * p:.1f}%" if p < 0.1 else f"{100 * p:.0f}%"


def as_csv(one: BakeOff) -> bytes:
    """One line per way and seed, then what they come to; with a byte order mark, for spreadsheets."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(
        (
            *("method", "title", "seed", "worst_group", "average", "weighted_average"),
            *("mean", "spread", "low", "high", "share_of_gap", "p", "seconds"),
        )
    )
    for line in one.lines:
        summary = (line.mean, line.spread, *line.interval, "" if line.share is None else line.share, line.p)
        for place, seed in enumerate(one.seeds):
            figures = (line.worst_group[place], line.average[place], line.weighted_average[place])
            writer.writerow((line.method, guarded(line.title), seed, *figures, *summary, line.seconds))
    return target.getvalue().encode("utf-8-sig")
