"""Where a format leaves a choice: which format it is, what the columns mean, what is the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from core.datasets import FORMATS, TableColumns, choices_from_dict, columns_of
from core.errors import MidbandError
from pages.parts.load_look import Looked
from pages.parts.words import distinct, plain

CHOSEN = "load_choices"
NONE = "—"
# role: (label, what it is for)
ROLES = {
    "image": ("Image", "The column that says where each image is."),
    "label": ("Class", "The column that says what each image shows. Without one you can look at images all the same."),
    "split": (
        "Split",
        "The column that says what is for training, for looking (val) and for judging (test). Without one, the splits "
        "are drawn evenly from each class.",
    ),
}
# choice: (label, what it is for)
TARGETS = {
    "target": ("Class to tell apart", "What the classifier names."),
    "group": ("Attribute to group by", "What a repair is judged by: accuracy in each class with and without it."),
}
# columns that are asked about in one press
MOST_LABELS = 10
# the format that a table is read in
TABLE = "table"


def at_hand(path: str) -> dict[str, Any]:
    """What was decided about this path so far, as `Choices.to_dict` gives it."""
    kept = st.session_state.get(CHOSEN)
    return dict(kept[1]) if kept and kept[0] == path else {}


def decide(path: str, **changes: Any) -> None:
    """Change what was decided; None takes a decision back. For callbacks too."""
    chosen = {**at_hand(path), **changes}
    st.session_state[CHOSEN] = (path, {name: value for name, value in chosen.items() if value is not None})


def undo_after(path: str) -> None:
    """The way back from a decision with which nothing could be read."""
    if at_hand(path):
        st.button("Take back what was chosen", icon=":material/undo:", on_click=_take_back)


def _take_back() -> None:
    st.session_state.pop(CHOSEN, None)


def format_chip(path: str, looked: Looked) -> None:
    """What it was taken for, and the others that it may be."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(plain(looked.about["title"]), icon=":material/check:", color="blue")
        others = [name for name, _ in looked.fits]
        if len(others) > 1 or at_hand(path).get("format"):
            with st.popover("Not that?", type="tertiary"):
                _other_format(path, looked)


def ask(path: str, looked: Looked | None) -> None:
    """What a person may decide about this dataset: closed unless it could not be read well as it is."""
    if looked is None:
        if (table := _table(path, None)) is not None:
            _columns(path, None, table)
        return
    form = next((one for one in FORMATS if one.name == looked.about["format"]), None)
    choosing = form.choosing if form is not None else ()
    if "columns" in choosing and (table := _table(path, looked)) is not None:
        _columns(path, looked, table)
    else:
        _target(path, looked, [name for name in TARGETS if name in choosing])


def _table(path: str, looked: Looked | None) -> TableColumns | None:
    """The columns at hand; None where there is no table, which was said already where it matters."""
    place = str(looked.about["root"]) if looked is not None else path
    chosen = looked.about["choices"] if looked is not None else at_hand(path)
    for choices in (chosen, {}):
        try:
            return columns_of(place, choices_from_dict(choices))
        except MidbandError:
            # with a choice that does not fit, there is still a table to choose from
            continue
    return None


def _other_format(path: str, looked: Looked) -> None:
    titles = dict(looked.fits)
    current = str(looked.about["format"])
    titles.setdefault(current, str(looked.about["title"]))
    layouts = {one.name: one.layout for one in FORMATS}
    key = "load_format"
    st.session_state[key] = current
    st.radio(
        "Read it as",
        list(titles),
        format_func=lambda name: plain(titles[name]),
        captions=[plain(layouts.get(name, "").splitlines()[0] if layouts.get(name) else "") for name in titles],
        key=key,
        on_change=_take_format,
        args=(path,),
    )


def _take_format(path: str) -> None:
    # what was said of columns or targets was said of another reading
    st.session_state[CHOSEN] = (path, {"format": st.session_state["load_format"]})


def _columns(path: str, looked: Looked | None, table: TableColumns) -> None:
    chosen = at_hand(path)
    if looked is not None and not looked.labelled and table.labels and not chosen:
        _which_label(path, table)
    told = ", ".join(f"{ROLES[role][0].lower()} is {name}" for role, name in table.roles.items() if name)
    title = f"Columns: {told}" if looked is not None else "Which column is what?"
    with (
        st.expander(plain(title), icon=":material/view_column:", expanded=looked is None, key="load-columns"),
        st.form("load-columns-form", border=False),
    ):
        _first_rows(table)
        roles = _roles(table)
        known = [one["name"] for one in looked.about["attributes"]] if looked is not None else []
        standing = [name for name in chosen.get("attributes", known) if name in table.names]
        attributes = st.multiselect(
            "Also known of each image",
            table.names,
            default=standing,
            help="Attributes such as place or gender: to colour by, to filter by, and to judge a repair in groups. "
            "Evaluation groups by the first.",
        )
        images = st.text_input(
            "Folder that the paths start from",
            value=chosen.get("images", ""),
            placeholder="found by itself, as a rule",
            help="Needed where the images are far from the table.",
        )
        if st.form_submit_button("Read it this way", icon=":material/refresh:"):
            left_alone = attributes == standing and "attributes" not in chosen
            decide(
                path,
                format=chosen.get("format") or (None if looked is not None else TABLE),
                columns={role: name for role, name in roles.items() if name or role != "image"},
                attributes=None if left_alone else [name for name in attributes if name not in roles.values()],
                images=images.strip() or None,
            )
            st.rerun()


def _which_label(path: str, table: TableColumns) -> None:
    """Nothing was sure enough to be taken for the class: asked in one press, as the likeliest of all questions."""
    columns = distinct(table.labels[:MOST_LABELS], most=40)
    picked = st.pills(
        "Does one of these say what each image shows?",
        range(len(columns)),
        format_func=lambda place: plain(columns[place]),
        key="load_label",
        help=ROLES["label"][1],
    )
    if picked is not None:
        decide(path, columns={"label": table.labels[picked]})
        st.rerun()


def _first_rows(table: TableColumns) -> None:
    rows = min((len(values) for values in table.first), default=0)
    if rows:
        frame = pd.DataFrame({name: list(values[:rows]) for name, values in zip(table.names, table.first, strict=True)})
        st.dataframe(frame.head(3), width="stretch", hide_index=True, height="content")


def _roles(table: TableColumns) -> dict[str, str]:
    cells = st.columns(3)
    found = {}
    for cell, (role, (label, purpose)) in zip(cells, ROLES.items(), strict=True):
        options = [*([] if role == "image" else [NONE]), *table.names]
        at = table.roles.get(role)
        picked = cell.selectbox(
            label,
            options,
            index=options.index(at) if at in options else (None if role == "image" else 0),
            help=purpose,
            placeholder="choose a column",
        )
        found[role] = "" if picked in (None, NONE) else picked
    return found


def _target(path: str, looked: Looked, wanted: list[str]) -> None:
    """Formats with many attributes, of which one is the class and another may be the shortcut."""
    others = [str(one["name"]) for one in looked.about["attributes"]]
    target = looked.about["choices"].get("target")
    standing = {"target": target, "group": others[0] if others else None}
    options = {"target": [target, *others] if target else others, "group": others}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for name in wanted:
            if len(options[name]) < 2:
                continue
            key = f"load_{name}"
            st.session_state[key] = standing[name]
            label, purpose = TARGETS[name]
            st.selectbox(
                label,
                options[name],
                key=key,
                help=purpose,
                placeholder="as the dataset has it",
                on_change=_keep(path, name),
                width=260,
            )


def _keep(path: str, name: str) -> Callable[[], None]:
    def keep() -> None:
        decide(path, **{name: st.session_state[f"load_{name}"]})

    return keep
