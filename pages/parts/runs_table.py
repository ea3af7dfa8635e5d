"""The Runs page, one fragment: a table of all runs; one that is picked in full, two that are picked side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.files import digest
from pages.parts import live, problem, rerun, rooms, run_card, run_compare, run_list, runs_deleted, state, verdict
from pages.parts.looks import asked_of
from pages.parts.words import TERMS, count, distinct, percent, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

EVERY_MODEL = "runs_every_model"
# rows the table shows before it scrolls
TALL = 12


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
    ids = list(runs)
    picked = [run_id for run_id in st.session_state.get(run_list.PICKED, ()) if run_id in runs]
    # rows move when a run comes or goes: then it is another table, with the same runs picked
    key = f"runs-table-{digest(*ids)}-{st.session_state.get(run_list.TURN, 0)}"
    chosen = st.dataframe(
        rows(runs, every_model=any(run.analysis != analysis.id for run in runs.values())),
        hide_index=True,
        width="stretch",
        height="content" if len(ids) <= TALL else 35 * (TALL + 1) + 3,
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(run_id) for run_id in picked]}},
        column_config=_columns(),
        alt="All runs, the newest first. Select one to see it in full, two to compare them.",
    )
    if older := sum(bool(run_list.reordered(run, analysis)) for run in runs.values()):
        were = "was" if older == 1 else "were"
        st.caption(
            f":material/swap_vert: {count(older, 'run')} {were} measured when the classes stood in another order: the "
            "figures are those of that time."
        )
    found = [ids[row] for row in chosen["selection"]["rows"] if row < len(ids)]
    st.session_state[run_list.PICKED] = found
    return [runs[run_id] for run_id in found]


def rows(runs: dict[str, RunResult], *, every_model: bool = False) -> pd.DataFrame:
    """One row per run, numbers as numbers so that columns sort."""
    from core.retraining.result import NETWORK

    # numbered from the oldest: a new run renames no other
    names = distinct([short(run_list.title(run), 80) for run in reversed(runs.values())])[::-1]
    models = run_list.model_names() if every_model else {}
    lines = []
    for run, name in zip(runs.values(), names, strict=True):
        low, high = run.after.worst_interval
        lines.append(
            {
                "Name": name,
                **({"Model": models.get(run.analysis, run.analysis)} if every_model else {}),
                "Worst group was": 100 * run.before.worst_group,
                "Worst group is": 100 * run.after.worst_group,
                "Between": f"{percent(low)} and {percent(high)}",
                "Outcome": "better" if run.comparison["significant"] else "no clear gain",
                "Average": 100 * run.after.average,
                "When": pd.Timestamp(run.created, tz="UTC"),
                "Method": run_list.method_title(run.method) + (" (network)" if run.kind == NETWORK else ""),
                "Concepts": ", ".join(short(name, 40) for name in run.concepts) or "–",
                "Groups": run.after.groups_from.removesuffix(", estimated by a probe")
                + (" (estimated)" if run.after.estimated else ""),
                "Seed": run.seed,
                "Tags": run.tags[:8] or "–",
                "Data": run.data[:8] or "–",
                "Seconds": run.seconds,
                "Note": short(" ".join(run.note.split()), 200),
            }
        )
    return pd.DataFrame(lines)


def _columns() -> dict[str, object]:
    column = st.column_config
    return {
        "Name": column.TextColumn(pinned=True, width=205, help="As you named it, else its method and concepts."),
        "Model": column.TextColumn(width=150, help="The model that was repaired."),
        "Worst group was": column.NumberColumn(
            format="%.1f%%", width=120, help=f"Before the repair. {TERMS['worst group']}"
        ),
        "Worst group is": column.ProgressColumn(
            format="%.1f%%", min_value=0, max_value=100, width=130, help=f"After the repair. {TERMS['worst group']}"
        ),
        "Between": column.TextColumn(width=115, help=f"Of the worst group, after the repair. {TERMS['interval']}"),
        "Outcome": column.TextColumn(
            width=105, help="Better: the worst group rose beyond chance (p below 0.05), and by more than guessing."
        ),
        "Average": column.NumberColumn(format="%.1f%%", width=80, help=f"After the repair. {TERMS['average']}"),
        "When": column.DatetimeColumn(format="distance", width=115),
        "Method": column.TextColumn(width=200),
        "Concepts": column.TextColumn(width=160),
        "Groups": column.TextColumn(width=160, help=TERMS["group"]),
        "Seed": column.NumberColumn(width=65, help="The same seed, tags and settings give the same model."),
        "Tags": column.TextColumn(width=85, help=TERMS["tags hash"]),
        "Data": column.TextColumn(width=85, help=TERMS["data hash"]),
        "Seconds": column.NumberColumn(format="%.1f", width=85),
        "Note": column.TextColumn(width=240),
    }
