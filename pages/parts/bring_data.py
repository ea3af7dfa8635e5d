"""Step 1 of Load: a folder of images, and what was understood of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.activations.thumbnails import make_thumbnail
from core.datasets import Dataset, Problem, open_dataset
from core.datasets.images import UnreadableImage, decode
from core.errors import MidbandError
from core.settings import DEFAULTS
from pages.parts import problem
from pages.parts.strips import strip
from pages.parts.words import count, listed, plain

PATH = "load_path"
READ = "load_read"
SAMPLES_PER_CLASS = 6
CLASSES_SHOWN = 8
ROWS = 3

FORMATS = """
Two layouts are understood:

- **a folder per class**: `photos/cat/1.jpg`, `photos/dog/2.jpg`, with or without `train`, `val` and `test` above them;
- **a table**: `metadata.csv` with the columns `img_filename`, `y` and `split` (0 train, 1 val, 2 test), as
  Waterbirds has it. Further columns such as `place` become known attributes.
"""


def ask() -> Dataset | None:
    """The dataset, once its folder was given and could be read."""
    with st.container(border=True, key="card-data"):
        st.header("1 · Images", anchor=False)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            path = st.text_input(
                "Folder with the images",
                key=PATH,
                placeholder="/data/waterbirds",
                help=FORMATS,
                # typed once: it is still there after a look elsewhere, or a job that failed
                persist_state="session",
            )
            again = st.button("Read again", icon=":material/refresh:", disabled=not path.strip())
        if not path.strip():
            st.caption("Type or paste a path on this machine and press Enter.")
            return None
        try:
            with st.spinner("Reading the folder …"):
                dataset = _read(path.strip(), again=again)
        except MidbandError as error:
            problem.show(error)
            return None
        _overview(dataset)
        return dataset


def _read(path: str, *, again: bool) -> Dataset:
    """Kept for the session: a folder of a million images takes seconds to list."""
    if not again and (kept := st.session_state.get(READ)) and kept[0] == path:
        return kept[1]
    st.session_state.pop(READ, None)
    dataset = open_dataset(path)
    st.session_state[READ] = (path, dataset, _samples(dataset))
    return dataset


def _overview(dataset: Dataset) -> None:
    st.markdown(
        f"**{plain(dataset.name)}** holds {count(len(dataset), 'image')} of "
        f"{count(len(dataset.classes), 'class', 'classes')}."
    )
    facts, pictures = st.columns([2, 3], gap="large")
    with facts:
        table = pd.DataFrame(dataset.counts()).rename_axis("class")
        st.dataframe(table, width="stretch", height="content" if len(table) < 12 else 420)
        for attribute in dataset.attributes[:4]:
            st.caption(
                f"Known for each image: **{plain(attribute.name)}** ({plain(listed(attribute.values))}). "
                "Used to judge a repair, not to make it."
            )
        for note in dataset.notes:
            st.caption(f":material/info: {plain(note)}")
    with pictures:
        samples = st.session_state[READ][2]
        # many classes stand in two columns: the model, which is asked for next, must not be a long way down
        cells = st.grid(1 if len(samples) <= ROWS else 2, min_column_width=220, gap="small")
        for name, thumbnails in samples.items():
            with cells.cell():
                st.caption(plain(name))
                if thumbnails:
                    st.image(strip(thumbnails, SAMPLES_PER_CLASS), width="stretch", alt="")
                else:
                    st.caption("None of its first images can be opened.")
        if len(dataset.classes) > CLASSES_SHOWN:
            st.caption(f"and {count(len(dataset.classes) - CLASSES_SHOWN, 'more class', 'more classes')}")
    left_out(dataset.problems, "left out")


def left_out(problems: tuple[Problem, ...], verb: str) -> None:
    """What is not used, and why, behind one line."""
    if not problems:
        return
    with st.expander(f"{count(len(problems), 'file or row', 'files or rows')} {verb}", icon=":material/warning:"):
        st.dataframe(
            pd.DataFrame([item.to_dict() for item in problems]),
            width="stretch",
            hide_index=True,
            height="content" if len(problems) < 10 else 360,
        )


def _samples(dataset: Dataset) -> dict[str, list[bytes]]:
    """A few images per class, evenly spread, as small WebP files."""
    found: dict[str, list[bytes]] = {}
    for code, name in enumerate(dataset.classes[:CLASSES_SHOWN]):
        rows = (dataset.labels == code).nonzero()[0]
        picked = rows[:: max(1, len(rows) // SAMPLES_PER_CLASS)][:SAMPLES_PER_CLASS]
        found[name] = []
        for row in picked:
            try:
                image = decode(dataset.root / str(dataset.images[row]), DEFAULTS.max_image_pixels)
            except UnreadableImage:
                # listed with its reason once the images are analysed; here another one stands for the class
                continue
            found[name].append(make_thumbnail(image, DEFAULTS.thumbnail_size, DEFAULTS.thumbnail_quality))
    return found
