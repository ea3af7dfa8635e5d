"""Which workspace is open, and which investigation (analysis) is looked at."""

from __future__ import annotations

import math
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy import select

from core import logs
from core.access import modes
from core.access.person import acting
from core.activations.store import open_analysis, touch
from core.database import AnalysisRecord, DatasetRecord, RunRecord
from core.errors import MidbandError, NotFound
from core.jobs.launcher import recover
from core.workspace import Workspace, open_workspace
from pages.parts import problem, rooms
from pages.parts.words import ago, count, percent, short

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.runs import RunResult

CHOSEN = "investigation"
CHOOSER = "investigation_chooser"
LINKED = "linked"
REPLACED = "links_replaced"
VIEW = "view"
# seconds in which the browser surely has taken over an address
SETTLING = 1.5
# letters of dataset and model together that the list shows before its accuracy, and at least of the model
WIDTH, SHORTEST = 26, 8
# why this server may not use its workspace: at most one
_refused: list[MidbandError] = []
_ENDING = re.compile(r"\.(?:pt|pth|pt2|tar|ckpt|bin|onnx|safetensors)$", re.IGNORECASE)


def workspace() -> Workspace:
    """For whoever is in front of the page. Raises `NotAllowed` where people sign in and nobody has, and what `refuse`
    was given."""
    for error in _refused:
        raise error
    if modes.signs_in():
        acting()
    return opened()


def opened() -> Workspace:
    """For the server itself, whoever asks."""
    return open_workspace(workspace_folder())


def workspace_folder() -> Path:
    """`MIDBAND_WORKSPACE`, or `workspace` in the folder the server was started in."""
    return Path(os.environ.get("MIDBAND_WORKSPACE") or "workspace").expanduser().resolve()


def start() -> None:
    """Open the workspace; on the first run of a server also look after the jobs of the one before it.

    Raises what `refuse` was given.
    """
    opened = workspace()
    if logs.log_file() != logs.file_in(opened.root):
        # not started by app.py
        logs.keep_in(opened.root, stderr="text")
    _recover(opened.root)


def refuse(error: MidbandError) -> None:
    """From now on every page of this server says why it does not show the workspace."""
    _refused[:] = [error]


@st.cache_resource(show_spinner=False, max_entries=4)
def _recover(root: Path) -> bool:
    recover(open_workspace(root))
    return True


@dataclass(frozen=True)
class Investigation:
    """One analysis as cards and the chooser show it. accuracy: fraction 0..1. used: UTC, naive."""

    id: str
    dataset_name: str
    model_name: str
    images: int
    accuracy: float | None
    created: datetime
    used: datetime


def investigations() -> list[Investigation]:
    """All of the workspace, the one used last first."""
    with workspace().reading() as session:
        rows = session.execute(
            select(AnalysisRecord, DatasetRecord)
            .join(DatasetRecord, DatasetRecord.id == AnalysisRecord.dataset_id)
            .order_by(AnalysisRecord.used.desc())
        ).all()
    return [
        Investigation(
            id=analysis.id,
            dataset_name=dataset.name,
            model_name=analysis.model_name,
            images=analysis.images,
            accuracy=analysis.accuracy,
            created=analysis.created,
            used=analysis.used,
        )
        for analysis, dataset in rows
    ]


@dataclass(frozen=True)
class FinishedRun:
    """A retraining, without what it measured."""

    id: str
    title: str


def runs(analysis_id: str) -> list[FinishedRun]:
    """Finished retrainings of an investigation's last layer, the newest first.

    Where the whole network was trained, the features of the analysis are no longer its own: to look through its bands,
    its exported file is analysed.
    """
    with workspace().reading() as session:
        records = session.scalars(
            select(RunRecord)
            .where(RunRecord.analysis_id == analysis_id, RunRecord.finished.is_not(None))
            .order_by(RunRecord.created.desc())
        ).all()
    # numbered from the first: two of one minute stay apart
    return [
        FinishedRun(record.id, f"repair {number}, {ago(record.created)}")
        for number, record in zip(range(len(records), 0, -1), records, strict=True)
        if (workspace().runs / record.id / "head.safetensors").is_file()
        and not (workspace().runs / record.id / "logits.npy").is_file()
    ]


def runs_exist(analysis_id: str) -> bool:
    """Whether an investigation was ever repaired."""
    with workspace().reading() as session:
        return session.scalar(select(RunRecord.id).where(RunRecord.analysis_id == analysis_id).limit(1)) is not None


def last_run(analysis_id: str) -> RunResult | None:
    """The newest retraining of an investigation; None where there is none."""
    if not runs_exist(analysis_id):
        return None
    # imported where a run exists: what measures runs brings scipy's statistics, half a second of a first page
    from core.retraining.runs import latest_run

    return latest_run(workspace(), analysis_id)


def choose(analysis_id: str) -> None:
    """Look at this investigation from now on; the next visit starts with it too."""
    st.session_state[CHOSEN] = analysis_id
    touch(workspace(), analysis_id)


def chosen_id() -> str | None:
    """The investigation at hand: from the link, from this session, or the one used last. None in a new workspace."""
    known = [record.id for record in investigations()]
    linked = st.query_params.get("analysis")
    if linked and is_news("analysis", linked):
        st.session_state[CHOSEN] = linked
    chosen = st.session_state.get(CHOSEN)
    if chosen in known:
        return chosen
    if chosen is not None and chosen == linked:
        del st.session_state[CHOSEN]
        raise NotFound(
            f"This workspace holds no investigation “{chosen}”.",
            next_step="The link was made in another workspace: choose one of this workspace's investigations.",
        )
    if not known:
        return None
    # kept from now on: a job that ends must not swap what somebody is looking at
    st.session_state[CHOSEN] = known[0]
    return known[0]


def is_news(name: str, value: str) -> bool:
    """Whether the address bar holds something this session has neither written there nor read yet.

    So a link, or the browser's back button, decides once; afterwards what is chosen on the page does. Right after a
    write the browser may still send the address of before: that is no news. Any other address is, however soon.
    """
    seen: dict[str, str] = st.session_state.setdefault(LINKED, {})
    replaced = st.session_state.get(REPLACED, {}).get((name, value), -math.inf)
    if seen.get(name) == value or time.monotonic() - replaced <= SETTLING:
        return False
    seen[name] = value
    return True


def write_link(query: dict[str, str]) -> None:
    """Put what is shown into the address bar, so that it can be copied, reloaded and gone back to."""
    before = st.query_params.to_dict()
    if before != query:
        st.query_params.from_dict(query)
        now = time.monotonic()
        recent = {key: at for key, at in st.session_state.get(REPLACED, {}).items() if now - at <= SETTLING}
        gone = dict.fromkeys({**before, VIEW: repr(before)}.items(), now)
        st.session_state[REPLACED] = {**recent, **gone}
    st.session_state.setdefault(LINKED, {}).update({**query, VIEW: repr(query)})


def view_link() -> dict[str, str]:
    """The address as a whole when it asks for another view than the one shown last, else nothing."""
    query = st.query_params.to_dict()
    return query if query and is_news(VIEW, repr(query)) else {}


def analysis() -> Analysis | None:
    """The investigation at hand, open; None where there is none yet."""
    found = chosen_id()
    return open_analysis(workspace(), found) if found else None


def analysis_or_invite(heading: Callable[[], None] | None = None) -> Analysis:
    """The investigation at hand; on an empty workspace a page ends here, with the way to begin.

    heading: drawn first in that case, by pages whose heading otherwise depends on the investigation.
    """
    found = analysis()
    if found is None:
        if heading is not None:
            heading()
        with st.container(border=True, key="card-empty"):
            st.markdown("**Nothing to look at yet.** Start with the demo, or load images and a model of your own.")
            with st.container(horizontal=True):
                rooms.link("home", "Try the demo")
                rooms.link("load", "Load your data")
        st.stop()
    return found


def chooser() -> None:
    """The list of investigations in the sidebar."""
    records = investigations()
    if not records:
        return
    names = _titles(records)
    with problem.shown():
        current = chosen_id()
        # the widget follows what was chosen elsewhere (a link, a card, a finished job)
        st.session_state[CHOOSER] = current
        st.sidebar.selectbox(
            "Investigation",
            list(names),
            format_func=lambda key: names.get(key, key),
            key=CHOOSER,
            on_change=_choose_from_sidebar,
            help="One model applied to one dataset. Everything you see belongs to it.",
        )


def _choose_from_sidebar() -> None:
    chosen = st.session_state[CHOOSER]
    # a title that changed under the same id arrives as text
    if any(record.id == chosen for record in investigations()):
        choose(chosen)


def _titles(records: list[Investigation]) -> dict[str, str]:
    """By id. Equal ones are told apart."""
    titles = {record.id: _title(record) for record in records}
    # the list finds its entries by what is written. A first look and the whole differ in their images, others in the id
    for more in ({r.id: count(r.images, "image") for r in records}, {r.id: r.id[:4] for r in records}):
        often = Counter(titles.values())
        titles = {key: f"{title} · {more[key]}" if often[title] > 1 else title for key, title in titles.items()}
    return titles


def _without_ending(model_name: str) -> str:
    """resnet50-sgd.pth.tar -> resnet50-sgd"""
    while (name := _ENDING.sub("", model_name)) != model_name and name:
        model_name = name
    return model_name


def _title(record: Investigation) -> str:
    # models trained here are called after their dataset: once is enough
    model = _without_ending(record.model_name)
    model = model.removeprefix(f"{record.dataset_name}-").removesuffix(f"-{record.dataset_name}")
    # there is room for some thirty letters, and the end tells most
    model = short(model, max(SHORTEST, WIDTH - len(record.dataset_name)))
    accuracy = f" · {percent(record.accuracy)}" if record.accuracy is not None else ""
    return f"{record.dataset_name} · {model}{accuracy}"
