"""The Runs page, one fragment: a table of all runs; one that is picked in full, two that are picked side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.files import digest
from core.retraining.run_store import LONGEST_NAME, LONGEST_NOTE
from core.retraining.runs import RunResult, delete_run, deleted_runs, note_run, restore_run
from pages.parts import live, notices, problem, rerun, rooms, run_compare, run_list, state, verdict
from pages.parts.looks import asked_of
from pages.parts.words import TERMS, count, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

# ids of the runs that are picked, and of the one deleted last
PICKED, DELETED = "runs_picked", "runs_deleted"
# another table when somebody else than the table's own rows changed what is picked
TURN = "runs_turn"
EVERY_MODEL = "runs_every_model"
SAME, OTHER_SEED = "The same seed", "Another seed"
# rows the table shows before it scrolls
TALL = 12
LISTED = 20


@st.fragment
@problem.guarded
def show(analysis: Analysis) -> None:
    asked = asked_of(analysis)
    verdict.styles()
    live.drawn(analysis)
    runs = _runs(analysis)
    _undo()
    rerun.panel()
    if not runs:
        with st.container(border=True, key="card-empty"):
            st.markdown(
                "**No repair yet.** Each one will stand here with its settings, what it measured, and your notes."
            )
            with st.container(horizontal=True):
                rooms.link("retrain", "Retrain")
                rooms.link("tag_next", "Tag next")
        _deleted(analysis)
        return
    wanted = [asked[name] for name in ("run", "with") if name in asked]
    if wanted:
        _pick([run_id for run_id in wanted if run_id in runs])
        for run_id in wanted:
            if run_id not in runs:
                verdict.gone(run_id)
    picked = _table(runs, analysis)
    if len(picked) == 1:
        _one(picked[0], analysis)
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
    _deleted(analysis)
    names = dict(zip(("run", "with"), (run.run for run in picked), strict=False)) if len(picked) <= 2 else {}
    state.write_link({"analysis": analysis.id, **names})


def _runs(analysis: Analysis) -> dict[str, RunResult]:
    """Of this investigation; of all models on its dataset where that is asked for."""
    own = run_list.finished_runs(analysis.id)
    every = run_list.runs_of_dataset(analysis.dataset_id)
    if len(every) > len(own):
        st.toggle(
            f"Runs of other models too ({len(every) - len(own):,})",
            key=EVERY_MODEL,
            help="On the same dataset: they are compared on the test images that both have.",
        )
        if st.session_state[EVERY_MODEL]:
            return every
    return own


def _pick(run_ids: list[str]) -> None:
    """Have these picked in the table."""
    st.session_state[PICKED] = run_ids
    st.session_state[TURN] = st.session_state.get(TURN, 0) + 1


def _table(runs: dict[str, RunResult], analysis: Analysis) -> list[RunResult]:
    """The table; the runs that are picked in it."""
    ids = list(runs)
    picked = [run_id for run_id in st.session_state.get(PICKED, ()) if run_id in runs]
    # rows move when a run comes or goes: then it is another table, with the same runs picked
    key = f"runs-table-{digest(*ids)}-{st.session_state.get(TURN, 0)}"
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
    found = [ids[row] for row in chosen["selection"]["rows"] if row < len(ids)]
    st.session_state[PICKED] = found
    return [runs[run_id] for run_id in found]


def rows(runs: dict[str, RunResult], *, every_model: bool = False) -> pd.DataFrame:
    """One row per run, numbers as numbers so that columns sort."""
    from core.retraining.result import NETWORK

    lines = []
    for run in runs.values():
        low, high = run.after.worst_interval
        lines.append(
            {
                "Name": short(run.name or run.method, 80),
                "When": pd.Timestamp(run.created, tz="UTC"),
                **({"Investigation": run.analysis} if every_model else {}),
                "Before": 100 * run.before.worst_group,
                "Worst group": 100 * run.after.worst_group,
                "95%": f"{percent(low)} to {percent(high)}",
                "Gain": "yes" if run.comparison["significant"] else "no",
                "Average": 100 * run.after.average,
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
        "Name": column.TextColumn(pinned=True, width=170, help="As you named it, else its method."),
        "When": column.DatetimeColumn(format="distance", width=130),
        "Before": column.NumberColumn(format="%.1f%%", width=80, help="Worst group of the model as it was."),
        "Worst group": column.ProgressColumn(
            format="%.1f%%", min_value=0, max_value=100, width=140, help=TERMS["worst group"]
        ),
        "95%": column.TextColumn(width=115, help=TERMS["interval"]),
        "Gain": column.TextColumn(width=60, help="Whether the worst group rose beyond chance (p below 0.05)."),
        "Average": column.NumberColumn(format="%.1f%%", width=85, help=TERMS["average"]),
        "Method": column.TextColumn(width=200),
        "Concepts": column.TextColumn(width=160),
        "Groups": column.TextColumn(width=160, help=TERMS["group"]),
        "Seed": column.NumberColumn(width=65, help="The same seed, tags and settings give the same model."),
        "Tags": column.TextColumn(width=85, help=TERMS["tags hash"]),
        "Data": column.TextColumn(width=85, help=TERMS["data hash"]),
        "Seconds": column.NumberColumn(format="%.1f", width=85),
        "Note": column.TextColumn(width=240),
    }


# --- one run ---------------------------------------------------------------------------------------------------------


def _one(run: RunResult, analysis: Analysis) -> None:
    with st.container(border=True, key="card-run"):
        st.header(plain(short(run_list.title(run), 120)), anchor=False)
        st.markdown(plain(run.comparison["sentence"]))
        with st.container(horizontal=True, vertical_alignment="center", key="run-links"):
            opened = st.button(
                "See the results", type="primary", icon=":material/monitoring:", key=f"run-open-{run.run}"
            )
            again = st.menu_button(
                "Run again",
                [SAME, OTHER_SEED],
                icon=":material/replay:",
                key=f"run-again-{run.run}",
                help="The same method and settings, with the tags as they are now.",
            )
            st.button(
                "Delete",
                icon=":material/delete:",
                type="tertiary",
                key=f"run-delete-{run.run}",
                help="It can be brought back.",
                on_click=problem.kept(partial(_delete, run)),
            )
        _remarks(run)
        with st.expander("Settings and notes", icon=":material/receipt_long:"):
            for name, value in rerun.facts(run).items():
                st.caption(f"**{name}** {plain(value)}")
            for note in run.notes:
                st.caption(f":material/info: {plain(note)}")
            rerun.show_replay(run)
    if again is not None:
        with problem.shown():
            rerun.begin(run, None if again == SAME else run.seed + 1)
            st.rerun()
    if opened:
        if run.analysis != analysis.id:
            state.choose(run.analysis)
        st.session_state[verdict.RUN] = run.run
        # the address was written a moment ago: the next page is to read its own
        st.session_state.pop(state.WRITTEN, None)
        rooms.go("results", analysis=run.analysis, run=run.run)


def _remarks(run: RunResult) -> None:
    """Name and note, kept as they are typed."""
    keys = {"name": f"run-name-{run.run}", "note": f"run-note-{run.run}"}
    for what, key in keys.items():
        # what somebody else wrote meanwhile shows, unless it is being changed here
        st.session_state[key] = getattr(run, what)
    st.text_input(
        "Name",
        key=keys["name"],
        max_chars=LONGEST_NAME,
        placeholder=run_list.title(run),
        on_change=problem.kept(partial(_note, run, "name", keys["name"])),
    )
    st.text_area(
        "Note",
        key=keys["note"],
        max_chars=LONGEST_NOTE,
        height=100,
        placeholder="What you tried, what you think of it",
        on_change=problem.kept(partial(_note, run, "note", keys["note"])),
    )


def _note(run: RunResult, what: str, key: str) -> None:
    note_run(state.workspace(), run.run, **{what: st.session_state[key]})
    notices.say("Saved.", ":material/check:")


# --- deleting and bringing back --------------------------------------------------------------------------------------


def _delete(run: RunResult) -> None:
    delete_run(state.workspace(), run.run)
    st.session_state[DELETED] = (run.run, run_list.title(run))
    _pick([])


def _restore(run_id: str) -> None:
    restored = restore_run(state.workspace(), run_id)
    st.session_state.pop(DELETED, None)
    _pick([run_id])
    notices.say(f"Brought back: {plain(short(run_list.title(restored), 60))}.", ":material/restore_from_trash:")


def _undo() -> None:
    """What was deleted last, with the way back."""
    if DELETED not in st.session_state:
        return
    run_id, name = st.session_state[DELETED]
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="card-deleted"):
        st.markdown(f":material/delete: Deleted: {plain(short(name, 80))}.", width="stretch")
        st.button("Undo", icon=":material/undo:", key="runs-undo", on_click=problem.kept(partial(_restore, run_id)))


def _deleted(analysis: Analysis) -> None:
    """All that can be brought back."""
    gone = deleted_runs(state.workspace(), analysis.id)
    if not gone:
        return
    with st.expander(f"Deleted · {len(gone):,}", icon=":material/delete:", key="runs-deleted"):
        for run in gone[:LISTED]:
            with st.container(horizontal=True, vertical_alignment="center", key=f"deleted-{run.run}"):
                worst = f"worst group {percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
                st.markdown(f"{plain(short(run_list.titled(run), 100))} · {worst}", width="stretch")
                st.button(
                    "Bring back",
                    icon=":material/restore_from_trash:",
                    type="tertiary",
                    key=f"restore-{run.run}",
                    on_click=problem.kept(partial(_restore, run.run)),
                )
        if len(gone) > LISTED:
            st.caption(f"And {count(len(gone) - LISTED, 'older one')}.")
