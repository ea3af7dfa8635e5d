"""The report on paper says what the page says, and no box stands for a letter without a word."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from PIL import Image

from core.export import fonts, paper
from core.export.printed import pdf


def report(name: str = "", concept: str = "water") -> dict[str, Any]:
    group = {"class": "landbird", "concept": concept, "count": 40, "accuracy": 0.9, "low": 0.8, "high": 0.97}
    evaluation = {
        "split": "test",
        "count": 40,
        "average": 0.9,
        "interval": [0.8, 0.97],
        "weighted_average": 0.9,
        "worst_group": 0.9,
        "groups": [group],
        "groups_from": "attribute place",
        "estimated": False,
    }
    image = {"id": 7, "image": "a.png", "label": "landbird", "before": "waterbird", "after": "landbird"}
    shift = {
        "class": "landbird",
        "edges": [-3.0, -1.0, 1.0, 3.0],
        "before": [10, 20, 10],
        "after": [18, 4, 18],
        "middle": [-0.5, 0.5],
        "sentence": "The middle has emptied.",
    }
    return {
        "midband": "0",
        "written": "2026-03-09 10:00 UTC",
        "run": "abc",
        "name": name,
        "note": "",
        "model": {"name": "net", "arch": "small", "single": False},
        "dataset": {"name": "birds", "images": 40, "classes": ["landbird", "waterbird"]},
        "method": {"title": "Mid-range curation", "description": "", "source": ""},
        "concepts": [],
        "seed": 0,
        "before": evaluation,
        "after": evaluation,
        "comparison": {"sentence": "It rose.", "fixed": [7], "broken": []},
        "baselines": [],
        "curation": None,
        "confusion": {"before": [[1, 2], [3, 4]], "after": [[3, 0], [0, 7]]},
        "shifts": [shift],
        "findings": {"images": 0, "split": "val", "writtens": []},
        "examples": {"fixed": [image], "broken": []},
        "notes": [],
        "limits": ["It holds here."],
        "files": [],
        "how_to_load": "import torch",
    }


def thumbnail() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (60, 40), (30, 200, 60)).save(target, "WEBP")
    return target.getvalue()


def characters_of(made: bytes) -> set[str]:
    """What is drawn in a PDF, by the tables of its fonts that let people copy text from it."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.S)
    drawn: set[str] = set()
    for stream in streams:
        for _, character in re.findall(rb"<([0-9A-F]{4})> <([0-9A-F]{4,8})>", stream):
            drawn.add(bytes.fromhex(character.decode()).decode("utf-16-be"))
    return drawn


@pytest.mark.skipif(not fonts.installed(), reason="no font file is installed")
def test_letters_beyond_the_west_are_drawn_and_missing_ones_are_told() -> None:
    made = pdf(report("Ωμέγα Жук 🦆 العربية"), {7: thumbnail()})
    assert made.startswith(b"%PDF-")
    drawn = characters_of(made)
    assert set("ΩμγαЖук") <= drawn
    assert not set("العربية🦆") & drawn
    written = paper.Paper("")
    assert written.drawable("Жук 🦆 عر\u202e") == "Жук ? ??"
    assert {name: len(found) for name, found in written._missing.items()} == {"SYMBOLS AND EMOJI": 1, "ARABIC": 2}
    assert written.drawable("tab\tand\x00null") == "tab andnull"


def test_without_any_font_file_the_standard_ones_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "installed", lambda: {})
    made = pdf(report("Müller Жук"), {7: thumbnail()})
    assert b"/BaseFont /Helvetica" in made
    written = paper.Paper("")
    assert written.drawable("Müller Жук – 5 → 6…") == "Müller ??? ? 5 ? 6?"


def test_flipped_images_are_on_it_and_pages_are_a4() -> None:
    made = pdf(report(), {7: thumbnail()})
    assert made.count(b"/Subtype /Image") == 1
    assert b"/DCTDecode" in made
    assert re.search(rb"/MediaBox \[0 0 595\.\d+ 841\.\d+\]", made)
    # without the thumbnail there is no picture, and no failure
    assert pdf(report(), {}).count(b"/Subtype /Image") == 0


def test_names_of_any_length_stay_on_the_page() -> None:
    long = pdf(report("x" * 4000, "y" * 400), {7: thumbnail()})
    assert len(re.findall(rb"/Type /Page\b", long)) < 8


@pytest.mark.parametrize("classes", [[f"class number {i} of many" for i in range(1000)], ["x" * 20000], ["a\n" * 400]])
def test_any_number_of_classes_can_be_printed(classes: list[str]) -> None:
    value = report()
    value["dataset"]["classes"] = classes
    value["confusion"] = None
    made = pdf(value, {7: thumbnail()})
    assert len(re.findall(rb"/Type /Page\b", made)) < 8


def test_cells_of_narrow_columns_are_cut() -> None:
    value = report()
    names = [f"{i} {'W' * 198}" for i in range(12)]
    value["dataset"]["classes"] = names
    value["confusion"] = {title: [[1] * 12] * 12 for title in ("before", "after")}
    assert pdf(value, {}).startswith(b"%PDF")
