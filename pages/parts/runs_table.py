"""The Runs page, one fragment: a table of all runs; one that is picked in full, two that are picked side by side."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import streamlit as st

from pages.parts import (
    live,
    problem,
    rerun,
    rooms,
    run_card,
    run_compare,
    run_list,
    run_rows,
    runs_deleted,
    state,
    verdict,
)
from pages.parts.looks import asked_of
from pages.parts.run_rows import Cell, Column, Row
from pages.parts.words import TERMS, count, distinct, percent, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

EVERY_MODEL = "runs_every_model"
COLUMNS = (
    Column("Name", help="As you named it, else its method and concepts."),
    Column("Model", help="The model that was repaired."),
    Column("Worst group was", "number", f"Before the repair. {TERMS['worst group']}"),
    Column("Worst group is", "share", f"After the repair. {TERMS['worst group']}"),
    Column("Between", help=f"Of the worst group, after the repair. {TERMS['interval']}"),
    Column("Outcome", help="Better: the worst group rose beyond chance (p below 0.05), and by more than guessing."),
    Column("Average", "number", f"After the repair. {TERMS['average']}"),
    Column("When", "moment"),
    Column("Method"),
    Column("Concepts"),
    Column("Groups", help=TERMS["group"]),
    Column("Seed", "number", "The same seed, tags and settings give the same model."),
    Column("Tags", help=TERMS["tags hash"]),
    Column("Data", help=TERMS["data hash"]),
    Column("Seconds", "number"),
    Column("Note"),
)


@st.fragment
@problem.guarded
def show(analysis: Analysis) -> None:
    asked = asked_of(analysis)
    verdict.styles()
    live.drawn(analysis)
    wanted = [asked[name] for name in ("run", "with") if name in asked]
    runs = _runs(analysis, wanted)
    runs_deleted.undo(analysis, runs)
    rerun.panel()
    damaged = runs_deleted.damaged(analysis)
    if not runs:
        if not damaged:
            _invite(analysis)
        runs_deleted.show(analysis)
        return
    if wanted:
        run_list.pick([run_id for run_id in wanted if run_id in runs])
        for run_id in wanted:
            if run_id not in runs:
                verdict.gone(run_id)
    picked = _table(runs, analysis)
    if len(picked) == 1:
        run_card.show(picked[0], analysis)
    elif len(picked) == 2:
        # the older, which stands lower, first: from it to the newer one
        places = list(runs)
        second, first = sorted(picked, key=lambda run: places.index(run.run))
        run_compare.show(analysis, first, second)
    elif picked:
        st.caption(f"{len(picked)} runs are picked: two at a time can be compared.")
    else:
        st.caption(
            "Tick a run to name it, note what you think, or have it again; tick two to compare them."
            if len(runs) > 1
            else "Tick the run to name it, note what you think, or have it again."
        )
    runs_deleted.show(analysis)
    names = dict(zip(("run", "with"), (run.run for run in picked), strict=False)) if len(picked) <= 2 else {}
    state.write_link({"analysis": analysis.id, **names})


def _invite(analysis: Analysis) -> None:
    if not analysis.labelled:
        rooms.unlabelled("Repairs are measured against labels, and these images have none.")
        return
    with st.container(border=True, key="card-empty"):
        st.markdown("**No repair yet.** Each one will stand here with its settings, what it measured, and your notes.")
        with st.container(horizontal=True):
            rooms.link("retrain", "Retrain")
            rooms.link("tag_next", "Tag next")


def _runs(analysis: Analysis, wanted: list[str]) -> dict[str, RunResult]:
    """Of this investigation; of all models on its dataset where that is asked for, or a link names one of those."""
    own = run_list.finished_runs(analysis.id)
    every = run_list.runs_of_dataset(analysis.dataset_id)
    if len(every) <= len(own):
        return own
    if any(run_id in every and run_id not in own for run_id in wanted):
        st.session_state[EVERY_MODEL] = True
    st.toggle(
        f"Runs of other models too ({len(every) - len(own):,})",
        key=EVERY_MODEL,
        help="On the same dataset: they are compared on the test images that both have.",
    )
    return every if st.session_state[EVERY_MODEL] else own


def _table(runs: dict[str, RunResult], analysis: Analysis) -> list[RunResult]:
    """The table; the runs that are picked in it."""
    picked = [run_id for run_id in st.session_state.get(run_list.PICKED, ()) if run_id in runs]
    every_model = any(run.analysis != analysis.id for run in runs.values())
    run_rows.run_rows(
        "runs-table",
        [column for column in COLUMNS if every_model or column.key != "Model"],
        rows(runs),
        picked=picked,
        label="All runs, the newest first. Pick one to see it in full, two to compare them.",
        on_pick=run_list.pick,
    )
    if older := sum(bool(run_list.reordered(run, analysis)) for run in runs.values()):
        were = "was" if older == 1 else "were"
        st.caption(
            f":material/swap_vert: {count(older, 'run')} {were} measured when the classes stood in another order: the "
            "figures are those of that time."
        )
    return [runs[run_id] for run_id in picked]


def rows(runs: dict[str, RunResult]) -> list[Row]:
    """One per run, with a cell for every one of `COLUMNS`."""
    from core.retraining.result import NETWORK

    # numbered from the oldest: a new run renames no other
    names = distinct([short(run_list.title(run), 80) for run in reversed(runs.values())])[::-1]
    models = run_list.model_names()
    lines = []
    for run, name in zip(runs.values(), names, strict=True):
        low, high = run.after.worst_interval
        note = " ".join(run.note.split())
        cells = {
            "Name": Cell(name, full=" ".join(run_list.title(run).split())),
            "Model": Cell(models.get(run.analysis, run.analysis)),
            "Worst group was": _share(run.before.worst_group),
            "Worst group is": _share(run.after.worst_group),
            "Between": Cell(f"{percent(low)} and {percent(high)}"),
            "Outcome": Cell(outcome(run.comparison)),
            "Average": _share(run.after.average),
            "When": _moment(run),
            "Method": Cell(run_list.method_title(run.method) + (" (network)" if run.kind == NETWORK else "")),
            "Concepts": Cell(", ".join(short(one, 40) for one in run.concepts) or "–", full=", ".join(run.concepts)),
            "Groups": Cell(
                run.after.groups_from.removesuffix(", estimated by a probe")
                + (" (estimated)" if run.after.estimated else "")
            ),
            "Seed": Cell(str(run.seed), run.seed),
            "Tags": Cell(run.tags[:8] or "–", full=run.tags),
            "Data": Cell(run.data[:8] or "–", full=run.data),
            "Seconds": Cell(f"{run.seconds:,.1f}", run.seconds),
            "Note": Cell(short(note, 60), full=note),
        }
        lines.append(Row(run.run, name, f"?{urlencode({'analysis': run.analysis, 'run': run.run})}", cells))
    return lines


def outcome(comparison: Mapping[str, Any]) -> str:
    """What became of the worst-group accuracy, in a word or three. comparison: of a run, as it is kept."""
    if comparison["significant"]:
        return "better"
    # its whole 95% interval lies below no change
    return "worse" if comparison["worst_change_interval"][1] < 0 else "no clear gain"


def _share(fraction: float) -> Cell:
    return Cell(f"{100 * fraction:.1f}%", 100 * fraction)


def _moment(run: RunResult) -> Cell:
    try:
        moment = datetime.fromisoformat(run.created)
    except ValueError:
        return Cell(run.created)
    return Cell(run_list.when(run), moment.replace(tzinfo=UTC).timestamp(), f"{moment:%Y-%m-%d %H:%M:%S} UTC")
