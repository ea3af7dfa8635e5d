"""Export: the repaired model, the tags and the report, made by a job and offered for download."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from pages.parts import jobs, problem, state
from pages.parts.words import plain

if TYPE_CHECKING:
    from core.retraining.runs import RunResult

# file: (label, type, what it is)
FILES = {
    "model.safetensors": (
        "Model (.safetensors)",
        "application/octet-stream",
        "The whole model with the new last layer. Opens without running any code.",
    ),
    "model.pt": ("State dict (.pt)", "application/octet-stream", "The same weights for `torch.load`."),
    "model-torchscript.pt": ("TorchScript (.pt)", "application/octet-stream", "Runs without the model's source code."),
    "tags.csv": ("Tags (.csv)", "text/csv", "One line per image and concept."),
    "report.html": ("Report (.html)", "text/html", "One page with all of this; opens offline."),
}


def show(run: RunResult) -> None:
    st.header("Take it away", anchor=False)
    job = jobs.active("export")
    if job is not None and job.request.get("run") == run.run:
        jobs.panel(job, on_done=lambda done: None, noun="step")
        return
    folder = state.workspace().exports / run.run
    there = [name for name in FILES if (folder / name).is_file()]
    if (ended := _failed(run)) is not None and not there:
        problem.show(ended)
    if not there:
        st.caption("The whole model with its new last layer, the tags, and a report that opens offline.")
    else:
        with st.container(horizontal=True, gap="small", key="downloads"):
            for name in there:
                _download(folder / name)
        st.caption(f"Also in {plain(str(folder))}.")
    st.button(
        "Export again" if there else "Export",
        type="tertiary" if there else "primary",
        icon=":material/package_2:",
        on_click=problem.kept(partial(_export, run, folder)),
    )


def _download(path: Path) -> None:
    label, kind, purpose = FILES[path.name]
    st.download_button(
        f"{label} · {_size(path.stat().st_size)}",
        # read when pressed: a model may have hundreds of megabytes
        data=path.read_bytes,
        file_name=path.name,
        mime=kind,
        icon=":material/download:",
        help=purpose,
        on_click="ignore",
        key=f"download-{path.parent.name}-{path.name}",
    )


def _export(run: RunResult, folder: Path) -> None:
    jobs.begin("export", "Export the model", {"run": run.run, "out": str(folder)})


def _failed(run: RunResult) -> dict | None:
    last = jobs.latest("export")
    return last.error if last is not None and last.request.get("run") == run.run else None


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
