"""Tags into files and back: every format to download, and an import that is shown before it is carried out."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.access.policy import Permission
from core.concepts.exchange import Imported, dump_tags, load_tags, preview_tags
from core.concepts.exchange.contents import LARGEST
from pages.parts import concept_tools, gate, notices, problem, state, who
from pages.parts.words import count, listed, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

# format: (label, end of the file's name, type, what it is)
FORMATS = {
    "csv": ("CSV", "tags.csv", "text/csv", "One line per image and concept, for a spreadsheet."),
    "json": (
        "JSON",
        "tags.json",
        "application/json",
        "Everything: tags with who, when and how, the palette, verdicts on labels.",
    ),
    "parquet": ("Parquet", "tags.parquet", "application/vnd.apache.parquet", "The same as JSON, small and fast."),
    "fiftyone": (
        "FiftyOne",
        "labels.json",
        "application/json",
        "For `fiftyone.Dataset.from_dir(…, dataset_type=fiftyone.types.FiftyOneImageLabelsDataset)`; the command "
        "line's `tags export` also writes what lies beside it.",
    ),
}
TYPES = ["csv", "tsv", "txt", "json", "parquet", "pq"]
SHOWN = 200


def show(analysis: Analysis) -> None:
    st.header("Export", anchor=False)
    if concept_tools.concepts(analysis):
        with st.container(horizontal=True, gap="small", key="tag-downloads"):
            for name, (label, file, kind, purpose) in FORMATS.items():
                gate.download_button(
                    label,
                    # made when pressed
                    data=partial(dump_tags, state.workspace(), analysis, name),
                    # FiftyOne looks for this very name
                    file_name=file if name == "fiftyone" else f"{file_stem(analysis.dataset_name)}-{file}",
                    mime=kind,
                    icon=":material/download:",
                    help=purpose,
                    on_click="ignore",
                    key=f"tags-{name}",
                )
        st.caption("Exporting, importing into an empty workspace and exporting again gives the same file.")
    else:
        st.caption("There is nothing to export yet: make a concept and tag some images first.")
    st.header("Import", anchor=False)
    _import(analysis)


def file_stem(name: str) -> str:
    """A dataset's name as the beginning of a file's: letters and digits of any script, and what joins them."""
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "dataset"


def _import(analysis: Analysis) -> None:
    made = st.session_state.setdefault("tags_imported", 0)
    file = st.file_uploader(
        "A file of tags",
        type=TYPES,
        max_upload_size=LARGEST // 1_000_000,
        key=f"tags-file-{made}",
        help="What is exported above, or a table with the columns image, concept and present (1, 0 or ?).",
    )
    if file is None:
        st.caption("Images are found by their name. Nothing is taken before you have seen what it would change.")
        return
    content = file.getvalue()
    with problem.shown():
        planned = preview_tags(state.workspace(), analysis, content, file.name)
        _preview(planned)
        gate.button(
            Permission.TAG,
            _promise(planned),
            type="primary",
            icon=":material/download_done:",
            disabled=planned.nothing_new,
            # what was shown is what is taken: another file is another button
            key=f"tags-take-{hashlib.sha256(content).hexdigest()[:16]}",
            on_click=problem.kept(partial(_take, analysis, content, file.name)),
        )


def _preview(planned: Imported) -> None:
    figures = (
        ("New answers", planned.added - planned.changed, "Of images and concepts nothing was said about."),
        (
            "Changed",
            planned.changed,
            "The file says otherwise than this workspace. The file wins; undo brings it back.",
        ),
        ("Known already", planned.unchanged, "Said here too; not taken again."),
        ("Rejected", len(planned.rejected), "Lines that cannot be used, each with its reason below."),
    )
    with st.container(border=True, key="card-import"):
        cells = st.grid(4, min_column_width=130, gap="small")
        for title, number, purpose in figures:
            with cells.cell():
                st.metric(title, f"{number:,}", help=purpose)
        if planned.made:
            st.markdown(f"New concepts: {plain(listed([short(name) for name in planned.made]))}.")
        if planned.verdicts:
            st.markdown(f"{count(planned.verdicts, 'verdict')} on labels.")
        for note in planned.notes:
            st.caption(plain(note))
    if len(planned.details) > 1:
        with st.expander("By concept", icon=":material/sell:"):
            st.dataframe(
                pd.DataFrame(
                    [
                        {
                            "Concept": each.name,
                            "New": each.added - each.changed,
                            "Changed": each.changed,
                            "Known": each.unchanged,
                        }
                        for each in planned.details
                    ]
                ),
                hide_index=True,
            )
    if planned.rejected:
        with st.expander(f"Rejected: {count(len(planned.rejected), planned.unit or 'line')}", icon=":material/block:"):
            if len(planned.rejected) > SHOWN:
                st.caption(f"The first {SHOWN} of them.")
            told = [line.to_dict() for line in planned.rejected[:SHOWN]]
            st.dataframe(pd.DataFrame(told).rename(columns=str.capitalize), hide_index=True)


def _promise(planned: Imported) -> str:
    if planned.nothing_new:
        return "Nothing new to import"
    parts = [count(planned.added, "answer")] if planned.added else []
    parts += [count(planned.verdicts, "verdict")] if planned.verdicts else []
    parts += [count(len(planned.made), "concept")] if planned.made and not parts else []
    return f"Import {' and '.join(parts)}"


def _take(analysis: Analysis, content: bytes, name: str) -> None:
    done = load_tags(state.workspace(), analysis, content, name, author=who.author())
    st.session_state["tags_imported"] += 1
    taken = f"Imported {count(done.added, 'answer')}"
    notices.say(f"{taken}. One step: **Undo** (key Z) takes it back.", ":material/download_done:")
