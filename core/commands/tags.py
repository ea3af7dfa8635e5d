"""`suggest`, `tag`, `tags`, `concepts`, `explain`: which images to tag, what was said of them, what follows from it."""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from typing import Any

import numpy as np

from core.activations.bands import Edges, equal_width_edges
from core.activations.directions import scores
from core.activations.store import Analysis, open_analysis
from core.commands.bands import direction_of
from core.commands.output import Answer, ProgressLine, interval, number, percent, table
from core.concepts import explaining
from core.concepts.associations import (
    ConceptSummary,
    ConceptTable,
    attribute_states,
    by_band,
    concept_table,
    state_table,
    summarise_all,
)
from core.concepts.concept import get_concept
from core.concepts.exchange import Imported, export_tags, import_csv, import_tags, preview_file
from core.concepts.suggestions import suggest_next, tagging_split
from core.concepts.tags import tag_states
from core.errors import BadRequest
from core.settings import DEFAULTS
from core.workspace import Workspace, open_workspace

NO_SAMPLE = (
    "Shares are of the images of which something was said. Tagged images are no random sample; known attributes, and "
    "concepts that follow one, cover all images."
)
# Rejected lines and suggestions listed for a person; `--json` lists them all.
LISTED = 10
WHY = {
    "own-low": "the lowest logits of their own class",
    "boundary": "between two classes",
    "top": "to confirm what a class usually shows",
    "doubt": "the probe is unsure",
}


def suggest(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    concept = get_concept(workspace, analysis.dataset_id, options.concept) if options.concept else None
    split = tagging_split(analysis)
    note = "" if split == "val" else f"There is no val split: the images come from {split}, which suits less."
    images: list[dict[str, Any]] = [
        {
            "id": int(analysis.ids[suggestion.row]),
            "image": analysis.image_names([suggestion.row])[0],
            "label": analysis.label_name(suggestion.row),
            "why": suggestion.why,
        }
        for suggestion in suggest_next(workspace, analysis, concept, budget=options.budget)
    ]
    reasons = Counter(image["why"] for image in images)
    shown = [[str(image["id"]), image["image"], image["label"] or "–", image["why"]] for image in images]
    lines = [
        f"{len(images)} images of {split} to tag next" + (f" for {concept.name}" if concept else ""),
        *([note] if note else []),
        *(f"  {why}: {number_of} ({WHY.get(why, why)})" for why, number_of in reasons.items()),
        "",
        table(shown, ["id", "image", "label", "why"], left=4, indent="  "),
        "",
        "Look at them, write a table with the columns image,concept,present (1 or 0), then:",
        f"python -m core tag --workspace {workspace.root} --csv FILE",
    ]
    return Answer({"images": images, "split": split, "note": note}, "\n".join(lines))


def tag(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    if options.csv is not None and options.format not in (None, "csv"):
        raise BadRequest(
            f"--csv reads a CSV file, not {options.format}.",
            next_step=f"Use --file {options.csv} --format {options.format}.",
        )
    path, form = (options.file, options.format) if options.csv is None else (options.csv, "csv")
    if options.preview:
        return _imported(preview_file(workspace, analysis, path, form), preview=True)
    if options.csv is not None:
        return _imported(import_csv(workspace, analysis, path, author=options.author))
    return _imported(import_tags(workspace, analysis, path, form, author=options.author))


def tags(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    written = export_tags(workspace, analysis, options.out, options.format)
    parts = [f"{written.tags:,} tags"]
    if written.format != "csv":
        parts += [f"{written.concepts:,} concepts", f"{written.verdicts:,} verdicts on labels"]
    lines = [f"Wrote {', '.join(parts)}:", *(f"  {file}" for file in written.files)]
    if written.format == "csv":
        lines.append("CSV carries the tags only; .json and .parquet carry roles, colours, notes and verdicts as well.")
    return Answer(written.to_dict(), "\n".join(lines))


def concepts(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    summaries, attributes = summarise_all(workspace, analysis)
    found = [{**summary.to_dict(), "bands": _by_band(workspace, analysis, summary)} for summary in summaries]
    known = [summary.to_dict() for summary in attributes]
    result: dict[str, Any] = {"concepts": found, "attributes": known, "note": NO_SAMPLE}
    if options.direction:
        direction = direction_of(workspace, analysis, options.direction)
        values = np.asarray(scores(analysis, direction))
        edges = equal_width_edges(values, options.count)
        result |= {"direction": direction.spec, "edges": edges.values.tolist()}
        for one, summary in zip(found, summaries, strict=True):
            one["table"] = concept_table(workspace, analysis, summary.concept, values, edges.values)
        columns = {column.name: column for column in analysis.attributes}
        for one in known:
            states = attribute_states(columns[one["attribute"]], one["value"])
            one["table"] = state_table(states, analysis, values, edges.values)
        text = _concepts_text(found, known, edges)
        for one in (*found, *known):
            one["table"] = one["table"].to_dict()
        return Answer(result, text)
    return Answer(result, _concepts_text(found, known))


def explain(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    workspace = open_workspace(options.workspace, create=False)
    analysis = open_analysis(workspace, options.analysis)
    report = explaining.explain(workspace, analysis)
    listed = report.explanations[: options.limit]
    errors = f"{report.errors:,} errors in {report.images:,} images of {' and '.join(report.splits)}"
    lines = [f"What explains the errors of {analysis.model_name}: {errors}, {report.compared:,} comparisons", ""]
    lines += [report.sentence, ""]
    rows = [
        [
            "!" if one.raised else "",
            one.name if one.value is None else f"{one.name}: {one.value}",
            one.class_name,
            f"{percent(one.errors_with / one.count_with)} of {one.count_with:,}",
            f"{percent(one.errors_without / one.count_without)} of {one.count_without:,}",
            f"{100 * one.difference:+.1f}",
            interval(one.low, one.high),
            number(one.odds_ratio),
            "<0.0001" if one.adjusted < 0.0001 else f"{one.adjusted:.4f}",
        ]
        for one in listed
    ]
    header = ["", "shows", "class", "wrong with", "wrong without", "points", "95%", "odds ratio", "adjusted p"]
    if rows:
        lines += [table(rows, header, left=3, indent="  "), ""]
        if len(listed) < report.compared:
            lines.append(f"  {report.compared - len(listed):,} more: --limit {report.compared}")
        if any(one.raised for one in listed):
            lines.append("  ! stands out from chance, among all comparisons made")
    lines += [*report.notes, "What goes with errors need not be their cause."]
    return Answer(report.to_dict(), "\n".join(lines))


def _imported(imported: Imported, *, preview: bool = False) -> Answer:
    named = f" on {', '.join(imported.concepts)}" if imported.concepts else ""
    if imported.nothing_new:
        known = f": the workspace holds {imported.unchanged:,} of its tags already" if imported.unchanged else ""
        lines = [f"Nothing new{known}."]
    else:
        lines = [f"{'Would add' if preview else 'Added'} {imported.added:,} tags{named}."]
        if imported.changed:
            lines.append(f"  {imported.changed:,} of them {'would replace' if preview else 'replace'} another answer.")
        if imported.unchanged:
            lines.append(f"  {imported.unchanged:,} more are held already.")
        if imported.made:
            lines.append(f"  New concepts: {', '.join(imported.made)}")
        if imported.verdicts:
            lines.append(f"  Verdicts on labels: {imported.verdicts:,}")
    lines += imported.notes
    if imported.rejected:
        lines += [f"Rejected {len(imported.rejected):,}:"]
        lines += [f"  {imported.unit} {line.row}: {line.reason}" for line in imported.rejected[:LISTED]]
        if len(imported.rejected) > LISTED:
            lines.append(f"  … and {len(imported.rejected) - LISTED:,} more (--json lists them all)")
    return Answer({**imported.to_dict(), "preview": preview}, "\n".join(lines))


def _by_band(workspace: Workspace, analysis: Analysis, summary: ConceptSummary) -> list[dict[str, Any]]:
    """How the concept goes with ten bands of the logit of each class that has tagged images."""
    states = tag_states(workspace, analysis, summary.concept)
    lines = []
    for index, association in enumerate(summary.classes):
        if not association.present + association.absent:
            continue
        logit = np.asarray(analysis.logits[:, index])
        edges = equal_width_edges(logit, DEFAULTS.band_count).values
        for band, (low, high) in zip(by_band(states, logit, edges), itertools.pairwise(edges.tolist()), strict=True):
            measures = {name: value for name, value in band.to_dict().items() if name != "name"}
            lines.append({"direction": f"logit:{association.name}", "low": low, "high": high, **measures})
    return lines


def _concepts_text(found: list[dict[str, Any]], known: list[dict[str, Any]], edges: Edges | None = None) -> str:
    parts = []
    if not found:
        parts += ["No concept yet. Tag images in the app, or import tags: python -m core tag --csv FILE", ""]
    for one in found:
        unsure = f", {one['unsure']:,} unsure" if one["unsure"] else ""
        parts += [f"{one['concept']} ({one['role']}): {one['present']:,} present, {one['absent']:,} absent{unsure}"]
        if one["attribute"]:
            parts[-1] += f"; follows {one['attribute'][0]} = {one['attribute'][1]}"
        parts += _classes_text(one)
        for direction, lines in itertools.groupby(one["bands"], key=lambda line: line["direction"]):
            cells = [
                f"{percent(line['share'])} of {line['present'] + line['absent']}" if line["share"] is not None else "–"
                for line in lines
            ]
            parts.append(f"  along {direction}, low to high: {', '.join(cells)}")
        if edges is not None:
            parts += _table_text(one["table"])
        parts.append("")
    for one in known:
        adopted = f"; adopted as {one['adopted']}" if one["adopted"] else ""
        counts = f"{one['present']:,} of {one['present'] + one['absent']:,} images"
        parts += [f"{one['attribute']}: {one['value']} (known): {counts}{adopted}", *_classes_text(one)]
        if edges is not None:
            parts += _table_text(one["table"])
        parts.append("")
    return "\n".join([*parts, NO_SAMPLE])


def _classes_text(one: dict[str, Any]) -> list[str]:
    """one: of `ConceptSummary.to_dict` or `AttributeSummary.to_dict`."""
    rows = [
        [
            line["name"],
            f"{line['present']:,}",
            f"{line['absent']:,}",
            percent(line["share"]),
            interval(line["share_low"], line["share_high"]),
            _times(line["lift"]),
            _between(line["lift_low"], line["lift_high"]),
            "–" if line["odds_ratio"] is None else f"{line['odds_ratio']:.2f}",
            _between(line["odds_low"], line["odds_high"]),
        ]
        for line in one["classes"]
        if line["present"] + line["absent"]
    ]
    header = [
        "class" if one["labelled"] else "predicted",
        "present",
        "absent",
        "share",
        "95%",
        "lift",
        "95%",
        "odds ratio",
        "95%",
    ]
    return [table(rows, header, indent="  ")] if rows else []


def _table_text(counted: ConceptTable) -> list[str]:
    """Classes down, bands across: how many of those of which something was said show it."""
    rows = [
        [
            name,
            *(
                f"{percent(cell.share)} of {cell.present + cell.absent:,}" if cell.share is not None else "–"
                for cell in row
            ),
        ]
        for name, row in (
            *((one.name, row) for one, row in zip(counted.classes, counted.cells, strict=True)),
            ("all", counted.bands),
        )
    ]
    return [table(rows, ["", *(band.name for band in counted.bands)], indent="  ")]


def _times(value: float | None) -> str:
    return "–" if value is None else f"×{value:.2f}"


def _between(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"[{low:.2f}, {high:.2f}]"
