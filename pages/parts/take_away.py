"""Export: the repaired model, the report and what the run was made from, made by a job and offered for download."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.access.policy import Permission
from core.export.page import checked_of
from core.files import read_json
from pages.parts import gate, jobs, problem, rooms, state
from pages.parts.words import count, plain

if TYPE_CHECKING:
    from core.retraining.runs import RunResult

# in the session: the run that was exported here, whose files are wanted at once
ASKED = "take_away_asked"
BINARY = "application/octet-stream"
MODEL, READ, BUILD = "The model", "To read and to show", "To build on"
# file: (label, type, what it is for, heading it stands under)
FILES = {
    "model.safetensors": (
        "Model (.safetensors)",
        BINARY,
        "The whole repaired model. Opens without running any code; Midband loads it again.",
        MODEL,
    ),
    "model.pt": ("State dict (.pt)", BINARY, "The same weights, for `torch.load` and your own network code.", MODEL),
    "model-torchscript.pt": ("TorchScript (.pt)", BINARY, "Runs in PyTorch without the model's source code.", MODEL),
    "model.pt2": ("torch.export (.pt2)", BINARY, "The network as a graph, for PyTorch's compilers.", MODEL),
    "model.onnx": ("ONNX (.onnx)", BINARY, "Runs outside PyTorch: ONNX Runtime, browsers, phones, other chips.", MODEL),
    "report.html": (
        "Report (.html)",
        "text/html",
        "One page with all findings, figures and images; opens offline.",
        READ,
    ),
    "report.pdf": ("Report (.pdf)", "application/pdf", "The same to print or to send.", READ),
    "model-card.md": ("Model card (.md)", "text/markdown", "What the model is for, and what it does not do.", READ),
    "curated.csv": ("Images used (.csv)", "text/csv", "Each image it learnt from: group, weight and why.", BUILD),
    "tags.csv": ("Tags (.csv)", "text/csv", "One line per image and concept; can be brought in again.", BUILD),
    "report.json": ("Figures (.json)", "application/json", "Every number of the report, for programs.", BUILD),
    "replay.json": (
        "Replay file (.json)",
        "application/json",
        "Everything the run was made from, to have it again.",
        BUILD,
    ),
}


def show(run: RunResult) -> None:
    """The step after a repair that was worth it."""
    job = jobs.active("export")
    if job is not None and job.request.get("run") == run.run:
        jobs.panel(job, on_done=lambda done: None, noun="step")
        return
    folder = state.workspace().exports / run.run
    report = _report(folder)
    there = _files(folder, report)
    if (ended := _failed(run)) is not None:
        problem.show(ended)
    worth = run.comparison["significant"] and not there
    with st.container(horizontal=True, vertical_alignment="center", gap="medium", key="take-away"):
        gate.button(
            Permission.EXPORT,
            "Export again" if there else "Export",
            type="primary" if worth else "secondary",
            icon=":material/package_2:",
            help="The whole model in every format it can be written in, each read back and checked first; a report "
            "that opens offline, as a page and as PDF; and what it was made from.",
            on_click=problem.kept(partial(_export, run, folder)),
        )
        st.caption("The whole repaired model, checked, and a report to read or to send.", width="stretch")
        rooms.link("runs", "All runs")
    if there:
        files = st.expander(
            f"{count(len(there), 'file')} to take away",
            icon=":material/download:",
            expanded=st.session_state.get(ASKED) == run.run,
            key=f"files-{run.run}",
        )
        with files:
            _downloads(folder, there)
            for one in report.get("refused", ()):
                st.caption(f":material/info: Not offered as {plain(one['format'])}: {plain(one['reason'])}")
            if told := _checked(report):
                st.caption(f":material/verified: {plain(told)}")
            st.caption(f"Also in {plain(str(folder))}.")


def _downloads(folder: Path, names: list[str]) -> None:
    with st.container(key="downloads", gap="small"):
        for heading in (MODEL, READ, BUILD):
            under = [name for name in names if _about(name)[3] == heading]
            if not under:
                continue
            st.subheader(heading, anchor=False)
            cells = st.grid(3, min_column_width=270, gap="small")
            for name in under:
                with cells.cell():
                    _download(folder / name)


def _about(name: str) -> tuple[str, str, str, str]:
    """Label, type, purpose and heading of a file of an export."""
    if name in FILES:
        return FILES[name]
    suffix = Path(name).suffix
    if name.startswith("model-as-it-came"):
        return (
            f"As it came ({plain(suffix)})",
            BINARY,
            "The layout of the file you brought, for the code that loads it.",
            MODEL,
        )
    if name == "model.onnx.data":
        return "Weights of the ONNX file", BINARY, "Belongs beside it, under this very name.", MODEL
    return plain(name), BINARY, "Belongs to the files above.", BUILD


def _download(path: Path) -> None:
    label, kind, purpose, _ = _about(path.name)
    with st.container(gap="xxsmall"):
        gate.download_button(
            f"{label} · {_size(path.stat().st_size)}",
            # read when pressed: a model may have hundreds of megabytes
            data=path.read_bytes,
            file_name=path.name,
            mime=kind,
            icon=":material/download:",
            on_click="ignore",
            key=f"download-{path.parent.name}-{path.name}",
        )
        st.caption(purpose)


def _files(folder: Path, report: dict[str, Any]) -> list[str]:
    """Names of what can be downloaded, in our order; then what else the export wrote."""
    written = [one["file"] for one in report.get("files", ())]
    names = dict.fromkeys((*FILES, *(name for name in written if Path(name).name == name)))
    return [name for name in names if (folder / name).is_file()]


def _report(folder: Path) -> dict[str, Any]:
    """What the export says of itself; {} where there is none, or one that cannot be read."""
    path = folder / "report.json"
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return {}


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> dict[str, Any]:
    """stamp: when it was written, so that a new export is read anew."""
    found: dict[str, Any] = read_json(path)
    return found


def _checked(report: dict[str, Any]) -> str:
    """How the models were tried; "" for exports of earlier versions."""
    return checked_of(report) if "formats" in report and "tried" in report else ""


def _export(run: RunResult, folder: Path) -> None:
    st.session_state[ASKED] = run.run
    jobs.begin("export", "Export the model", {"run": run.run, "out": str(folder)})


def _failed(run: RunResult) -> dict[str, Any] | None:
    """Why the last export of this run did not work out."""
    last = jobs.latest("export")
    return last.error if last is not None and last.request.get("run") == run.run else None


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
