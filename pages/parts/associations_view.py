"""Associations: what explains the model's errors, how a concept goes with classes and bands, columns to adopt."""

from __future__ import annotations

import html
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from core.activations.contact_sheet import sheet_edges
from core.activations.curves import wilson
from core.activations.directions import scores
from core.concepts.adoption import adopt, adoptable
from core.concepts.associations import Association, ConceptTable, associations, attribute_states, state_table
from core.concepts.explaining import ErrorReport, Explanation, explain
from core.concepts.tags import answers, tag_version
from core.datasets.dataset import no_labels
from core.errors import NotFound
from pages.parts import band_data, concept_tools, notices, palette, problem, rooms, state, theme, who
from pages.parts.words import count, interval, listed, percent, plain, short

if TYPE_CHECKING:
    from core.activations.store import Analysis

CHOSEN, ALONG = "associations_of", "associations_along"
# explanations and classes shown before all are asked for
FEW = 5
CLASSES = 12
BANDS = 5
# concepts that cannot be judged named with their reasons
UNJUDGED = 6
# values of a column that are offered as buttons; more of them as a list
VALUES = 6
TERMS = {
    "explains": (
        "Within each class, images that show something are compared with those that do not: how often is the model "
        "wrong? Images of train do not count: the model has seen them. Bars are error rates, the lines on them 95% "
        "intervals."
    ),
    "share": "Present, of the images of which something was said; with a 95% interval (Wilson).",
    "lift": "The share here over the share in all images: 1 means no association.",
    "odds": (
        "How much likelier the concept is here than elsewhere, as a ratio of odds: 1 means no association. Unlike the "
        "share it does not depend on how many images were tagged where."
    ),
    "adopt": (
        "Makes a concept of a column that the dataset has. It follows the column and needs no tags; what you say of "
        "an image wins over it."
    ),
    "bands": "Each band holds as many images as the others. Within a class, a concept that matters changes along it.",
}


def show(analysis: Analysis) -> None:
    if analysis.labelled:
        _errors(analysis)
    else:
        st.caption(plain(no_labels(analysis.dataset_name).detail))
    traits = _traits(analysis)
    if traits:
        _table(analysis, traits)
    _columns(analysis)


# --- what explains the errors ----------------------------------------------------------------------------------------


def _errors(analysis: Analysis) -> None:
    st.header("What explains the errors", anchor=False, help=TERMS["explains"])
    with st.spinner("Comparing …", show_time=True):
        report = _report(analysis, tag_version(state.workspace(), analysis.dataset_id))
    if not report.explanations:
        st.markdown(plain(report.sentence) if report.sentence else "Nothing can be compared yet.")
        with st.container(border=True, key="card-empty"):
            st.markdown(
                "**Too little is known so far.** Tag a concept, present as well as absent, or adopt a column below."
            )
            rooms.link("tag_next", "Tag next")
        _unjudged(report)
        return
    _counted(report)
    if report.sentence.rstrip(".") != report.explanations[0].sentence.rstrip("."):
        st.markdown(plain(report.sentence))
    raised = [one for one in report.explanations if one.raised]
    shown = raised or list(report.explanations[:1])
    every = st.session_state.get("associations_every", False)
    for place, one in enumerate(report.explanations if every else shown[:FEW]):
        _explanation(analysis, one, place)
    rest = len(report.explanations) - len(shown[:FEW])
    if rest > 0:
        st.toggle(f"Show all {count(len(report.explanations), 'comparison')}", key="associations_every")
    for note in report.notes:
        st.caption(plain(note), help=TERMS["odds"] if "odds ratio" in note else None)
    _unjudged(report)


def _counted(report: ErrorReport) -> None:
    """Which images the figures are of."""
    images = f"{count(report.images, 'image')} of {listed(report.splits)}"
    st.caption(f"Counted are the {images}; the model is wrong on {report.errors:,}.")


def _unjudged(report: ErrorReport) -> None:
    """The tagged concepts that are left out above, and why."""
    told = [f"{short(name)} ({reason})" for name, reason in report.unjudged]
    if told:
        more = f" and {len(told) - UNJUDGED:,} more" if len(told) > UNJUDGED else ""
        st.caption(plain(f"Not judged yet: {'; '.join(told[:UNJUDGED])}{more}."))


def _explanation(analysis: Analysis, one: Explanation, place: int) -> None:
    with st.container(border=True, key=f"card-explains-{place}", gap="xxsmall"):
        values = next((each.values for each in analysis.attributes if each.name == one.name), ())
        other = values[0] if one.value is not None and len(values) == 2 else None
        st.html(explanation_html(one, other))
        with st.container(horizontal=True, key=f"concept-links-explains-{place}"):
            if one.value is not None:
                _adopt_button(analysis, one.name, one.value, f"explains-{place}")
            else:
                refused = _refusal(analysis, one.name)
                go = st.button(
                    "Along its direction",
                    icon=":material/bar_chart:",
                    type="tertiary",
                    help=plain(refused) if refused else "All images from least to most like it.",
                    key=f"explains-go-{place}",
                    disabled=bool(refused),
                )
                if go:
                    palette.leave("bands", analysis=analysis.id, direction=one.spec)
            st.button(
                "By class and band",
                icon=":material/table:",
                type="tertiary",
                key=f"explains-by-{place}",
                on_click=lambda: st.session_state.update({CHOSEN: trait(one.name, one.value)}),
            )


def _refusal(analysis: Analysis, name: str) -> str:
    """Why a concept has no direction yet; "" where it has one."""
    concept = next((each for each in concept_tools.concepts(analysis) if each.name == name), None)
    version = tag_version(state.workspace(), analysis.dataset_id)
    return "It is not there any more." if concept is None else palette.direction_refusal(analysis, concept, version)


def explanation_html(one: Explanation, other: str | None = None) -> str:
    """A sentence, and two bars: the error rate with it and without it. other: the only other value of a column."""
    low, high = wilson(np.array([one.errors_with, one.errors_without]), np.array([one.count_with, one.count_without]))
    rows = []
    if one.value is None:
        names = f"with {one.name}", f"without {one.name}"
    else:
        names = f"{one.name}: {one.value}", f"{one.name}: {other or f'not {one.value}'}"
    rates = (
        (names[0], one.errors_with, one.count_with),
        (names[1], one.errors_without, one.count_without),
    )
    worse = int(one.difference < 0)
    for place, (label, errors, images) in enumerate(rates):
        rows.append(
            f'<span dir="auto">{html.escape(short(label, 48))}</span>'
            + bar_html(errors / images, float(low[place]), float(high[place]), worse=place == worse)
            + f'<span class="of">{percent(errors / images)} wrong, {errors:,} of {images:,}</span>'
        )
    return (
        f'<div class="cx"><p dir="auto">{html.escape(one.sentence)}</p><div class="rates">{"".join(rows)}</div></div>'
    )


def bar_html(rate: float, low: float, high: float, *, worse: bool) -> str:
    ends = f"left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"
    told = f"{percent(rate)}, 95% interval {interval(low, high)}"
    return (
        f'<span class="rate{" worse" if worse else ""}" role="img" aria-label="{told}" title="{told}">'
        f'<span class="fill" style="width:{100 * rate:.1f}%"></span><span class="whisker" style="{ends}"></span></span>'
    )


@lru_cache(maxsize=4)
def _report(analysis: Analysis, version: int) -> ErrorReport:
    """version: of the tags."""
    return explain(state.workspace(), analysis)


# --- by class and band -----------------------------------------------------------------------------------------------


def trait(name: str, value: str | None) -> str:
    """A key for a concept (value None), or a column's value, that no other one has, whatever signs are in the names."""
    return repr((name, value))


def _traits(analysis: Analysis) -> dict[str, str]:
    """Key -> title of everything that can be looked at by class."""
    found = {trait(concept.name, None): concept.name for concept in concept_tools.concepts(analysis)}
    followed = {concept.attribute for concept in concept_tools.concepts(analysis)}
    for column, value, _ in adoptable(analysis):
        if (column, value) not in followed:
            found[trait(column, value)] = f"{column}: {value}"
    return found


def _table(analysis: Analysis, traits: dict[str, str]) -> None:
    st.header("By class and band", anchor=False)
    chosen = st.session_state.get(CHOSEN)
    st.session_state["associations_pick"] = chosen if chosen in traits else next(iter(traits))
    directions = ["", *(f"logit:{name}" for name in analysis.classes)]
    left, right = st.columns(2)
    key = left.selectbox(
        "Of",
        list(traits),
        key="associations_pick",
        format_func=traits.get,
        on_change=lambda: st.session_state.update({CHOSEN: st.session_state["associations_pick"]}),
    )
    along = right.selectbox(
        "Bands along",
        directions,
        key=ALONG,
        format_func=lambda each: f"logit of {each.partition(':')[2]}" if each else "none, classes only",
        help=TERMS["bands"],
    )
    version = tag_version(state.workspace(), analysis.dataset_id)
    if along:
        table = _by_band(analysis, key, along, version)
        if not table.present + table.absent:
            st.caption("Nothing was said of it yet.")
            return
        st.html(table_html(analysis, table))
        st.caption("Share of the images with a present or absent answer; below it how many those are.")
    else:
        st.dataframe(
            by_class(associations(_states(analysis, key, version), np.asarray(analysis.labels), analysis.classes)),
            hide_index=True,
            column_config={
                **{name: st.column_config.NumberColumn(format="localized") for name in ("Images", "Present", "Absent")},
                # as many decimals for each: the bars begin where the figures end
                "Share": st.column_config.ProgressColumn(
                    format="%.1f%%", min_value=0.0, max_value=100.0, help=TERMS["share"], width=100
                ),
                "Share, 95%": st.column_config.TextColumn(help=TERMS["share"]),
                "Lift": st.column_config.NumberColumn(format="%.2f", help=TERMS["lift"]),
                "Lift, 95%": st.column_config.TextColumn(help=TERMS["lift"]),
                "Odds ratio": st.column_config.NumberColumn(format="%.2f", help=TERMS["odds"]),
                "Odds ratio, 95%": st.column_config.TextColumn(help=TERMS["odds"]),
            },
        )
    st.caption("Over the images of which something was said; tags are no random sample of all images.")


def by_class(found: tuple[Association, ...]) -> pd.DataFrame:
    """One row per class, those of which most was said first."""
    ordered = sorted(found, key=lambda one: -(one.present + one.absent))
    return pd.DataFrame(
        [
            {
                "Class": one.name,
                "Images": one.images,
                "Present": one.present,
                "Absent": one.absent,
                "Share": None if one.share is None else 100 * one.share,
                "Share, 95%": "" if one.low is None or one.high is None else interval(one.low, one.high),
                "Lift": one.lift,
                "Lift, 95%": _ends(one.lift_low, one.lift_high),
                "Odds ratio": one.odds_ratio,
                "Odds ratio, 95%": _ends(one.odds_low, one.odds_high),
            }
            for one in ordered
        ]
    )


def table_html(analysis: Analysis, table: ConceptTable) -> str:
    """Classes down, bands across; the darker, the larger the share."""
    accent = theme.accent_color()
    names = (band.name.replace("-", "\N{MINUS SIGN}") for band in table.bands)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    said = [sum(cell.present + cell.absent for cell in row) for row in table.cells]
    order = sorted(range(len(said)), key=lambda label: -said[label])
    rows = [_row_html(analysis.classes[label], table.cells[label], accent) for label in order[:CLASSES]]
    rows.append(_row_html("all classes", table.bands, accent))
    left = len(order) - CLASSES
    more = f"<p class='muted'>{left:,} classes of which less was said are left out.</p>" if left > 0 else ""
    return (
        f'<div class="cx"><div class="scroll"><table><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{more}</div>"
    )


def _row_html(name: str, cells: tuple[Association, ...], accent: str) -> str:
    row = [f'<th scope="row" dir="auto">{html.escape(short(name, 40))}</th>']
    for cell in cells:
        if cell.share is None:
            row.append(f"<td>–<small>0 of {cell.images:,}</small></td>")
            continue
        told = [f"{percent(cell.share)}, 95% interval {interval(cell.low or 0.0, cell.high or 1.0)}"]
        if cell.odds_ratio is not None:
            told.append(f"odds ratio {cell.odds_ratio:.2f} ({_ends(cell.odds_low, cell.odds_high)})")
        shade = f"background:color-mix(in srgb, {accent} {round(46 * cell.share)}%, transparent)"
        row.append(
            f'<td style="{shade}" title="{"; ".join(told)}">{percent(cell.share)}'
            f"<small>{cell.present:,} of {cell.present + cell.absent:,}</small></td>"
        )
    return f"<tr>{''.join(row)}</tr>"


@lru_cache(maxsize=16)
def _by_band(analysis: Analysis, key: str, along: str, version: int) -> ConceptTable:
    subject = band_data.subject(analysis, along, band_data.ALL, band_data.EVERY_IMAGE)
    edges = sheet_edges(band_data.index(subject), BANDS, quantiles=True)
    values = scores(analysis, band_data.direction(subject))
    return state_table(_states(analysis, key, version), analysis, values, np.asarray(edges.values))


@lru_cache(maxsize=16)
def _states(analysis: Analysis, key: str, version: int) -> np.ndarray:
    """(n,) int8 of a trait. version: of the tags. Raises `NotFound` for one that went since it was chosen."""
    for concept in concept_tools.concepts(analysis):
        if key == trait(concept.name, None):
            return answers(state.workspace(), analysis, concept)
    for attribute in analysis.attributes:
        for value in attribute.values:
            if key == trait(attribute.name, value):
                return attribute_states(attribute, value)
    raise NotFound("What was chosen is not there any more.", next_step="Choose another one.")


def _ends(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:,.2f} to {high:,.2f}"


# --- columns of the dataset ------------------------------------------------------------------------------------------


def _columns(analysis: Analysis) -> None:
    columns: dict[str, list[tuple[str, int]]] = {}
    for column, value, images in adoptable(analysis):
        columns.setdefault(column, []).append((value, images))
    if not columns:
        return
    st.header("Known columns", anchor=False, help=TERMS["adopt"])
    st.caption("What the dataset knows of its images already. Adopted, a value is a concept like any other.")
    for column, values in columns.items():
        with st.container(horizontal=True, vertical_alignment="center", key=f"adopt-{column}"):
            st.markdown(f"**{plain(short(column))}**", width="content")
            if len(values) <= VALUES:
                for value, images in values:
                    _adopt_button(analysis, column, value, "column", images)
                continue
            counted = dict(values)
            value = st.selectbox(
                "Value",
                list(counted),
                format_func=lambda each, counted=counted: f"{each} ({counted[each]:,})",
                key=f"adopt-value-{column}",
                label_visibility="collapsed",
                width=320,
            )
            _adopt_button(analysis, column, value, "list")


def _adopt_button(analysis: Analysis, column: str, value: str, place: str, images: int | None = None) -> None:
    followed = {concept.attribute: concept for concept in concept_tools.concepts(analysis)}
    concept = followed.get((column, value))
    label = f"Adopt {plain(short(value, 24))}" if place in ("column", "list") else "Adopt as concept"
    label = f"{label} ({images:,})" if images is not None else label
    if concept is not None:
        label = f"{plain(short(value, 24))} is “{plain(short(concept.name, 24))}”"
    st.button(
        label,
        icon=":material/check:" if concept else ":material/add:",
        type="tertiary" if concept or place.startswith("explains") else "secondary",
        disabled=concept is not None,
        help=TERMS["adopt"],
        key=f"adopt-{(place, column, value)!r}",
        on_click=problem.kept(partial(_adopt, analysis, column, value)),
    )


def _adopt(analysis: Analysis, column: str, value: str) -> None:
    concept = adopt(state.workspace(), analysis, column, value, author=who.author())
    st.session_state[concept_tools.CHOSEN] = concept.id
    st.session_state[CHOSEN] = trait(concept.name, None)
    notices.say(f"Adopted as {plain(short(concept.name))}. **Undo** (key Z) takes it back.", ":material/check:")
