"""The model card: what a repaired model is, for whoever meets the file without having seen the run.

Headings follow Mitchell et al. 2019, "Model Cards for Model Reporting" (arXiv:1810.03993).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# what Markdown, or HTML inside of it, reads as more than a character
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$&:@])")
# what makes a list or a rule at the start of a line, and what some make a link of
_START = re.compile(r"^([-=]|\d+(?=[.)]))|(?<=www)(?=\.)", re.IGNORECASE)


def model_card(report: Mapping[str, Any]) -> str:
    """Markdown. report: see `core.export.report`."""
    model, dataset, method = report["model"], report["dataset"], report["method"]
    before, after = report["before"], report["after"]
    changed = "all of its weights" if report["kind"] == "network" else "its last layer"
    kind = "one output for two classes" if model["single"] else f"{len(dataset['classes'])} classes"
    concepts = ", ".join(plain(concept["concept"]) for concept in report["concepts"]) or "none"
    parts = [
        f"# {plain(model['name'])}, repaired",
        plain(report["comparison"]["sentence"]),
        "## Model details",
        _bullets(
            [
                f"Architecture: {plain(model['arch'])}, {kind}: {', '.join(map(plain, dataset['classes']))}",
                f"What changed: {changed}, by {plain(method['title'])} in Midband {report['midband']}",
                f"Run {plain(report['run'])}, {plain(report['created'])}, seed {report['seed']}",
                *([f"Called: {plain(report['name'])}"] if report["name"] else []),
            ]
        ),
        plain(report["note"]),
        "## Intended use",
        f"Images like those of {plain(dataset['name'])}, told apart as {', '.join(map(plain, dataset['classes']))}. It "
        "was repaired against the shortcuts named below and measured against no others. It is not meant for images of "
        "another origin without measuring it there, nor for decisions about people without a person who decides.",
        "## Factors",
        f"Concepts that were treated as shortcuts: {concepts}. Groups from: {plain(after['groups_from'])}"
        f"{' (estimated)' if after['estimated'] else ''}.",
        "## Metrics",
        f"Share of images named rightly on {plain(after['split'])}, {after['count']:,} images, with 95% intervals. "
        + EACH_AVERAGE,
        _table(
            ["", "before", "after"],
            [[name, _percent(before.get(key)), _percent(after.get(key))] for name, key in averages(after)],
        ),
        _groups(before, after),
        "## Training data",
        _curation(report),
        "## Method",
        f"{plain(method.get('description', ''))} Source: {plain(method.get('source', ''))}",
        f"Settings: {plain(settings_of(report['settings'], method))}." if report["settings"] else "",
        "## Caveats",
        _bullets([plain(sentence) for sentence in (*report["limits"], *report["notes"])]),
        "## How to load",
        f"```python\n{report['how_to_load'].replace('```', '')}\n```",
        _bullets([f"`{file['file']}`: {plain(file['what'])}" for file in report["files"]]),
        _bullets([f"`{one['file']}`: {plain(note)}" for one in report["formats"] for note in one["notes"]]),
        _bullets([f"Not offered as {plain(one['format'])}: {plain(one['reason'])}" for one in report["refused"]]),
    ]
    if report["replay"]:
        parts += ["## Reproduce", f"```\n{report['replay']}\n```"]
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def plain(value: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    text = "".join(character for character in str(value) if character.isprintable() or character.isspace())
    escaped = _SPECIAL.sub(r"\\\1", " ".join(text.split()))
    return _START.sub(lambda found: _escaped_start(found.group()), escaped)


def _escaped_start(found: str) -> str:
    """A number keeps its digits: the point behind it is what is escaped, as that behind www."""
    return f"{found}\\" if not found or found.isdigit() else f"\\{found}"


def shown(value: object) -> str:
    """A setting as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def settings_of(settings: Mapping[str, Any], method: Mapping[str, Any]) -> str:
    """Settings in words: with the titles that the method gives them."""
    titles = {knob["knob"]: knob["title"] for knob in method.get("knobs", ())}
    return "; ".join(
        f"{titles.get(name, name.replace('_', ' '))}: {shown(value)}"
        for name, value in settings.items()
        if isinstance(value, (bool, int, float, str)) and value != ""
    )


# of the three kinds of average, in one sentence
EACH_AVERAGE = (
    "Average: each image counts once; mean over groups: each group once; weighted average: the groups by their shares "
    "in train."
)


def averages(after: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and key of the figures that an evaluation has."""
    figures = [
        ("Worst group", "worst_group"),
        ("Average", "average"),
        ("Mean over groups", "macro_average"),
        ("Weighted average", "weighted_average"),
    ]
    return [(title, key) for title, key in figures if after.get(key) is not None]


def _groups(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    earlier = {(group["class"], group["concept"]): group for group in before["groups"]}
    rows = []
    for group in after["groups"]:
        was = earlier.get((group["class"], group["concept"]), {})
        rows.append(
            [
                plain(group["class"]),
                plain(group["concept"] or ""),
                f"{group['count']:,}",
                _percent(was.get("accuracy")),
                _percent(group["accuracy"]),
                f"{_percent(group['low'])} to {_percent(group['high'])}",
            ]
        )
    return _table(["class", "group", "images", "before", "after", "interval"], rows)


def _curation(report: Mapping[str, Any]) -> str:
    curation, dataset = report["curation"], report["dataset"]
    splits = ", ".join(f"{count:,} {name}" for name, count in dataset.get("splits", {}).items())
    first = f"{plain(dataset['name'])}: {dataset['images']:,} images ({splits})."
    if not curation:
        return f"{first} Fitted on its held-out images without choosing among them; measured on others."
    counts = ", ".join(f"{count:,} {reason}" for reason, count in curation.get("counts", {}).items())
    return (
        f"{first} Fitted on {curation.get('images', 0):,} of its held-out images ({counts}); every class x group "
        "weighs the same. `curated.csv` lists them."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}%"
