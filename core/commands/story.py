"""`story`: what the stage would tell of a class, as numbers and images."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from core.activations.directions import class_index
from core.activations.store import Analysis, open_analysis
from core.commands.output import Answer, ProgressLine, percent, table
from core.concepts import exhibits
from core.concepts.exams import Exam, exam, second_exam
from core.concepts.telling import telling
from core.workspace import open_workspace


def story(options: argparse.Namespace, progress: ProgressLine) -> Answer:
    analysis = open_analysis(open_workspace(options.workspace, create=False), options.analysis)
    order = telling(analysis)
    chosen = order[0] if options.of is None else class_index(options.of, analysis.classes)
    found = exhibits.exhibit(analysis, chosen)
    above, below = exhibits.compared(found, options.count)
    errors = exhibits.errors(found)
    shown = {
        "surest": exhibits.surest(found, options.count),
        "between": exhibits.mixed(found, options.count),
        "above": above,
        "below": below,
    }
    exams = [one for one in (exam(analysis), second_exam(analysis)) if one] if analysis.labelled else []
    result = {
        "class": analysis.classes[chosen],
        "classes": [analysis.classes[index] for index in order],
        "exams": [one.to_dict() for one in exams],
        "surest": {"images": len(found.top), "right": found.right},
        "between": {"images": len(found.middle), "errors": None if errors is None else errors.to_dict()},
        "shown": {name: _images(analysis, rows) for name, rows in shown.items()},
    }
    lines = [f"{analysis.classes[chosen]}, the class to show first" if chosen == order[0] else analysis.classes[chosen]]
    lines += [_exam_line(one) for one in exams]
    right = "" if found.right is None else f", {percent(found.right)} of them rightly"
    lines.append(f"surest of {len(found.top):,} images{right}")
    wrong = ""
    if errors is not None:
        of = f"its own {errors.count:,}" if errors.own else "them"
        wrong = f", {percent(errors.between)} of {of} named wrongly"
    lines.append(f"{len(found.middle):,} images in between{wrong}")
    titles = {
        "surest": "what it is surest of",
        "between": "in between, mistakes first",
        "above": "to compare: surest of the class",
        "below": "to compare: in between of the class",
    }
    for name, rows in shown.items():
        cells = [[str(one["id"]), one["image"], one["label"] or "–", one["said"]] for one in _images(analysis, rows)]
        lines += ["", titles[name], table(cells, ["id", "image", "label", "said"], left=4, indent="  ")]
    return Answer(result, "\n".join(lines))


def _images(analysis: Analysis, rows: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "id": int(analysis.ids[row]),
            "image": name,
            "label": analysis.label_name(row),
            "said": analysis.classes[analysis.predicted[row]],
        }
        for row, name in zip(rows.tolist(), analysis.image_names(rows), strict=True)
    ]


def _exam_line(one: Exam) -> str:
    unusual = "" if one.unusual is None else f", {percent(one.unusual)} of them unusual for their class"
    return f"{percent(one.accuracy)} of {one.count:,} images of {one.split or 'all'} named rightly{unusual}"
