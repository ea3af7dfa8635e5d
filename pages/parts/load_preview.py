"""What was understood of a dataset, drawn: counts, a few images, attributes, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.datasets import Problem
from core.datasets.dataset import gathered
from core.datasets.loose_images import UNLABELLED
from pages.parts.load_look import Looked, Sample
from pages.parts.strips import strip
from pages.parts.words import count, listed, percent, plain

# from here on a table of classes scrolls
ROWS = 10
# classes that get a row of images of their own; of more there is one image of each
OWN_ROW = 3
ATTRIBUTES = 6
PROBLEMS = 100

NO_LABELS = (
    "**No labels, and that is fine.** You can look at every band and name what you see. What needs the truth "
    "(accuracy, groups, repairs) stays away."
)


def show(looked: Looked) -> None:
    st.markdown(_headline(looked))
    if not looked.labelled:
        st.info(NO_LABELS, icon=":material/label_off:")
    facts, pictures = st.columns([2, 3], gap="medium")
    with facts, st.container(gap="small"):
        _counts(looked)
        _attributes(looked)
        for note in looked.about["notes"]:
            if note != UNLABELLED:
                st.caption(f":material/info: {plain(note)}")
    with pictures, st.container(gap="small"):
        _pictures(looked)
    left_out(tuple(Problem(**one) for one in looked.about["problems"]), "left out", looked.problems)


def left_out(problems: Sequence[Problem], verb: str, total: int | None = None) -> None:
    """What is not used, and why, behind one line. total: how many there are, where only the first are at hand."""
    if not problems:
        return
    # those that are alike are told in one line, and one line may stand for a folder of images
    lines = gathered(problems)
    total = max(total or 0, sum(one.count for one in problems))
    with st.expander(f"{count(total, 'file or row', 'files or rows')} {verb}", icon=":material/warning:"):
        if len(lines) > PROBLEMS or sum(one.count for one in problems) < total:
            st.caption(f"The first {count(min(len(lines), PROBLEMS), 'line')}.")
        # not a grid: names and reasons are read in full on a phone, too
        st.table(
            pd.DataFrame([{"image": plain(one.image), "reason": plain(one.reason)} for one in lines[:PROBLEMS]]),
            border="horizontal",
            height="content" if len(lines) < ROWS else 360,
            hide_index=True,
        )


def _headline(looked: Looked) -> str:
    if not looked.labelled:
        return f"**{plain(looked.name)}** holds {count(looked.images, 'image')}."
    kinds = count(len(looked.classes), "class", "classes")
    return f"**{plain(looked.name)}** holds {count(looked.images, 'image')} of {kinds}."


def _counts(looked: Looked) -> None:
    table = pd.DataFrame(looked.counts).rename_axis("class")
    if not looked.labelled:
        st.markdown(", ".join(f"{split} {number:,}" for split, number in table.sum().items()))
        return
    if len(table) < ROWS:
        # a grid's toolbar would cover the line above on a phone
        shown = table.rename(index=lambda name: plain(str(name)))
        right = [{"selector": "th.col_heading", "props": "text-align: right"}]
        styled = shown.style.format("{:,}").set_properties(**{"text-align": "right"}).set_table_styles(right)
        st.table(styled, border="horizontal")
        return
    numbers = {split: st.column_config.NumberColumn(format="localized") for split in table}
    st.dataframe(table, width="stretch", height=360, column_config=numbers)


def _attributes(looked: Looked) -> None:
    """What else is known of each image."""
    found = looked.about["attributes"]
    if not found:
        return
    lines = ["Also known of each image, to judge a repair, not to make it:"]
    for attribute in found[:ATTRIBUTES]:
        told = _shares(str(attribute["name"]), attribute["values"])
        unknown = f"; not known of {attribute['unknown']:,}" if attribute["unknown"] else ""
        lines.append(f"**{plain(attribute['name'])}**: {plain(listed(told, most=4))}{unknown}")
    if len(found) > ATTRIBUTES:
        lines.append(f"and {plain(listed([one['name'] for one in found[ATTRIBUTES:]], most=8))}")
    st.caption("  \n".join(lines))


def _shares(name: str, values: Mapping[str, int]) -> list[str]:
    """Values with their images: "land (40)"; of what shows in an image or not only how often it does."""
    if set(values) == {name, f"not {name}"}:
        return [percent(values[name] / max(sum(values.values()), 1))]
    return [f"{value} ({number:,})" for value, number in values.items()]


def _pictures(looked: Looked) -> None:
    if not looked.samples:
        st.caption("None of the images looked at can be opened.")
        return
    if not looked.labelled:
        half = (len(looked.samples) + 1) // 2
        for part in (looked.samples[:half], looked.samples[half:]):
            _row(part, half)
    elif len(looked.classes) <= OWN_ROW:
        places = max(len(_of(looked, name)) for name in looked.classes)
        for name in looked.classes:
            st.caption(plain(name))
            _row(_of(looked, name), places)
    else:
        _each(looked)
    if looked.unreadable:
        st.caption(
            f":material/broken_image: {count(looked.unreadable, 'image')} of those looked at cannot be opened; the "
            "pass will list them."
        )


def _each(looked: Looked) -> None:
    """One image of each class, as far as there is room."""
    first: dict[str, Sample] = {}
    for sample in looked.samples:
        first.setdefault(str(sample.of), sample)
    cells = st.grid(6, min_column_width=72, gap="small")
    for name, sample in first.items():
        with cells.cell():
            st.image(strip([sample.thumbnail], 1), width="stretch", alt="")
            st.caption(plain(name))
    if len(looked.classes) > len(first):
        st.caption(f"and {count(len(looked.classes) - len(first), 'more class', 'more classes')}")


def _row(samples: Sequence[Sample], places: int) -> None:
    if samples:
        st.image(strip([sample.thumbnail for sample in samples], places), width="stretch", alt="")
    else:
        st.caption("None of its first images can be opened.")


def _of(looked: Looked, name: str) -> list[Sample]:
    return [sample for sample in looked.samples if sample.of == name]
