"""What a retraining will learn from, in one sentence, one table and the warnings; every image one press away."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.concepts.concept import Concept
from core.files import slug
from core.retraining.kept_edits import KeptEdits, forget_edits
from core.retraining.preview import ASSUMED, FEW, KNOWN, PROBE, PUT_IN, TAGGED, Preview
from core.retraining.runs import CURATING
from pages.parts import curation_images, gate, notices, problem, state
from pages.parts.words import count, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.feasibility import Feasibility
    from core.retraining.preview import PreviewGroup
    from pages.parts.method_knobs import Setup

OPEN = "retrain_images_open"
# rows of the table before it gets a scrollbar of its own
MOST_ROWS = 16
# warnings shown before the rest is asked for
WARNINGS = 4


def adopt(asked: Mapping[str, str]) -> None:
    """Take over what a new address says of the images being shown."""
    if "look" in asked:
        st.session_state[OPEN] = asked.get("images") == "all"


def address() -> dict[str, str]:
    return {"images": "all"} if st.session_state.get(OPEN, False) else {}


def show(
    analysis: Analysis,
    concepts: tuple[Concept, ...],
    setup: Setup,
    preview: Preview,
    kept: KeptEdits,
    feasible: Feasibility | None,
) -> None:
    """kept: what people changed, as it is stored. feasible: None where nobody asked the features."""
    if preview.problem is None:
        st.markdown(sentence(preview, setup.method))
        st.html(table_html(preview))
        if feasible is not None:
            _promise(feasible)
        _warn(preview.warnings)
    else:
        problem.show(preview.problem)
    if kept.count:
        _edited(analysis, concepts, kept)
    with st.container(horizontal=True, vertical_alignment="center", key="curation-actions"):
        opened = st.session_state.get(OPEN, False)
        st.button(
            "Hide the images" if opened else "See every image",
            icon=":material/expand_less:" if opened else ":material/grid_view:",
            key="curation-open",
            on_click=lambda: st.session_state.update({OPEN: not opened}),
        )
        gate.download_button(
            "Download as CSV",
            data=partial(curation_images.as_csv, analysis, preview),
            file_name=f"{slug(f'{analysis.dataset_name} curation')}.csv",
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            on_click="ignore",
            key="curation-csv",
            help=f"One line per held-out image: {', '.join(curation_images.COLUMNS)}.",
        )


def images(analysis: Analysis, concepts: tuple[Concept, ...], setup: Setup, preview: Preview, kept: KeptEdits) -> None:
    """Every image, where somebody asked for them."""
    if st.session_state.get(OPEN, False):
        editable = preview.choice.source == "tags" and setup.method in CURATING
        with st.container(border=True, key="card-curation-images"):
            curation_images.show(analysis, concepts, preview, kept, editable=editable)


def sentence(preview: Preview, method: str) -> str:
    """Markdown: how many images, why they are in, and how much each group counts."""
    images = preview.images
    reasons = images.reasons[images.used]
    told = {
        TAGGED: "you tagged",
        PUT_IN: "you put in",
        ASSUMED: "assumed to look usual, from the top of their class",
        PROBE: "recognised from your tags",
        KNOWN: f"whose {plain(preview.choice.grouping.source)} is known",
    }
    parts = [
        f"**{number:,}** {words}" for reason, words in told.items() if (number := int((reasons == reason).sum())) > 0
    ]
    left = preview.curation.left_out
    unclear = f" {count(left, 'other')} left out." if left else ""
    weights = (
        "Every group below counts the same at first; those that the head does worst on gain weight."
        if method == "group-dro"
        else "Every group below counts the same."
    )
    return f"{count(len(reasons), f'{preview.choice.split} image')}: {', '.join(parts)}.{unclear} {weights}"


def table_html(preview: Preview) -> str:
    """Class x concept: found, chosen, and the share in the fit before and after balancing."""
    split = html.escape(preview.choice.split)
    middle = preview.choice.source == "tags"
    heads = [
        ("Group", "A class together with what its images show."),
        (
            f"In {split}",
            f"Held-out images of {split} that are of the group"
            + (": tagged, or guessed from the tags, hence “about”." if middle else "."),
        ),
        ("Used", "Images the new head is fitted on" + (", and how many of them somebody tagged." if middle else ".")),
        *(
            [("From the middle", "Of those used, images below the top half of their class: where it mixes things up.")]
            if middle
            else []
        ),
        ("Share of the fit", "Pale: as the images are. Full: after balancing."),
        ("One image counts", "Against the mean of all images used."),
    ]
    rows = "".join(_row(group, middle=middle) for group in preview.groups)
    scroll = ' class="scroll" tabindex="0" role="region" aria-label="Groups"' if len(preview.groups) > MOST_ROWS else ""
    cells = "".join(f'<th scope="col" title="{html.escape(about)}">{head}</th>' for head, about in heads)
    return (
        f'<div class="curation"><div{scroll}><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"</div>"
    )


def _row(group: PreviewGroup, *, middle: bool) -> str:
    tagged = f' <small class="of">{group.tagged:,} tagged</small>' if middle and group.tagged else ""
    found = f"{'about ' if middle and group.found > group.tagged else ''}{group.found:,}"
    few = ' class="few"' if 0 < group.chosen < FEW else ""
    below = f'<td data-head="from the middle">{group.middle:,}</td>' if middle else ""
    share = (
        f'<span class="shares" role="img" aria-label="{percent(group.share)} of the images, {percent(group.weight)} of '
        f'the fit"><span class="before" style="width:{100 * group.share:.1f}%"></span>'
        f'<span class="after" style="width:{100 * group.weight:.1f}%"></span></span>'
        f'<small class="of">{percent(group.share)} → {percent(group.weight)}</small>'
    )
    nothing = '<small class="of">none used</small>'
    return (
        f'<tr><th scope="row"><bdi dir="auto">{html.escape(group.title)}</bdi></th>'
        f'<td data-head="found"><span class="whole">{found}</span></td>'
        f'<td data-head="used"{few}>{group.chosen:,}{tagged}</td>{below}'
        f'<td class="bars">{share if group.chosen else nothing}</td>'
        f'<td data-head="each counts">{curation_images.times(group.times) if group.chosen else "–"}</td></tr>'
    )


def _promise(feasible: Feasibility) -> None:
    """Before anything is promised."""
    if not feasible.possible:
        st.warning(f"**Do not expect much.** {plain(feasible.sentence)}", icon=":material/warning:")
    elif np.isnan(feasible.mean):
        st.caption(f":material/help: {plain(feasible.sentence)}")
    else:
        st.caption(f":material/check_circle: {plain(feasible.sentence)}")
    for warning in feasible.warnings:
        st.warning(plain(warning), icon=":material/warning:")


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings[:WARNINGS]:
        st.caption(f":material/warning: {plain(warning)}")
    if rest := warnings[WARNINGS:]:
        with st.expander(f"{count(len(rest), 'warning')} more", key="curation-warnings"):
            for warning in rest:
                st.caption(f":material/warning: {plain(warning)}")


def _edited(analysis: Analysis, concepts: tuple[Concept, ...], kept: KeptEdits) -> None:
    out, put = len(kept.edits.left_out), len(kept.edits.kept)
    parts = [f"{count(out, 'image')} left out"] if out else []
    parts += [f"{count(put, 'image')} put in"] if put else []
    with st.container(horizontal=True, vertical_alignment="center", key="curation-edited"):
        st.markdown(f":material/edit: **{' and '.join(parts)} by hand.** Kept until forgotten.", width="content")
        st.button(
            "Forget my edits",
            icon=":material/restart_alt:",
            type="tertiary",
            key="curation-forget",
            help="Uses the images as they were chosen. **Undo** brings the edits back.",
            on_click=problem.kept(partial(_forget, analysis, concepts)),
        )


def _forget(analysis: Analysis, concepts: tuple[Concept, ...]) -> None:
    number = forget_edits(state.workspace(), analysis, concepts)
    notices.say(
        f"Edits of {count(number, 'image')} forgotten. Undo, beside the images, brings them back.", ":material/check:"
    )
