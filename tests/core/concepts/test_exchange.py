from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.concepts.concept import create_concept, delete_concept, list_concepts
from core.concepts.exchange import export_csv, import_csv, load_tags, preview_tags
from core.concepts.labels import label_verdicts
from core.concepts.tags import tag, tag_states, undo
from core.errors import BadRequest, PathNotFound
from core.workspace import Workspace


@pytest.fixture
def analysis(make_analysis: Any) -> Any:
    return make_analysis(np.zeros((6, 1)), np.arange(6) % 2)


def test_good_lines_are_added_and_bad_ones_named(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text(
        "image,concept,present\n"
        "images/000000.png,water,1\n"
        "images/000001.png,Water,no\n"
        "images/999999.png,water,1\n"
        "images/000002.png,water,perhaps\n"
        "images/000003.png, ,1\n"
        "images/000000.png,WATER,0\n"
        "images/000004.png\n"
        "\n"
        "images/000005.png,water,true\n"
    )
    imported = import_csv(workspace, analysis, table)
    assert imported.added == 3
    assert [line.row for line in imported.rejected] == [4, 5, 6, 7, 8]
    assert "contradicts line 2" in imported.rejected[3].reason
    (water,) = list_concepts(workspace, analysis.dataset_id)
    assert tag_states(workspace, analysis, water).tolist() == [1, 0, -1, -1, -1, 1]


def test_one_undo_takes_an_import_back(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,concept,present\nimages/000000.png,water,1\nimages/000001.png,snow,0\n")
    import_csv(workspace, analysis, table)
    undo(workspace, analysis.dataset_id)
    for concept in list_concepts(workspace, analysis.dataset_id):
        assert (tag_states(workspace, analysis, concept) == -1).all()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_spreadsheets_are_read(workspace: Workspace, analysis: Any, tmp_path: Path, separator: str) -> None:
    table = tmp_path / "tags.csv"
    text = separator.join(["Present", "note", "Image", "Concept"]) + "\r\n"
    text += separator.join(["1.0", "", "images/000000.png", '"water, deep"']) + "\r\n"
    table.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert import_csv(workspace, analysis, table).added == 1
    assert list_concepts(workspace, analysis.dataset_id)[0].name == "water, deep"


def test_what_was_exported_is_imported_exactly(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    analysis.images[:] = ["=1+1.png", "'=x.png", "'plain.png", "-a,b.png", '"q".png', "@ü 水.png"]
    names = ["=HYPERLINK(1)", "+a", "'b", "plain, with comma", "水"]
    for i, name in enumerate(names):
        concept = create_concept(workspace, analysis.dataset_id, name)
        tag(workspace, analysis, concept, [i, i + 1], i % 2 == 0, direction="logit:a", low=-1.5, high=2.0)
    before = {
        c.name: tag_states(workspace, analysis, c).tolist() for c in list_concepts(workspace, analysis.dataset_id)
    }
    file = tmp_path / "out.csv"
    assert export_csv(workspace, analysis, file) == 10
    for cells in file.read_text(encoding="utf-8").splitlines()[1:]:
        assert cells[0] not in "=+-@", "a spreadsheet would run this"
    while undo(workspace, analysis.dataset_id):
        pass
    imported = import_csv(workspace, analysis, file)
    assert (imported.added, imported.rejected) == (10, ())
    after = {c.name: tag_states(workspace, analysis, c).tolist() for c in list_concepts(workspace, analysis.dataset_id)}
    assert after == before


@pytest.mark.parametrize(
    ("cell", "meant"),
    [("'tis", "'tis"), ("'", "'"), ("'=1", "=1"), ("''tis", "'tis"), ("''", "'"), ("'-", "-"), ("'＝wide", "＝wide")],
)
def test_only_the_apostrophe_that_guards_a_formula_is_taken_off(
    workspace: Workspace, analysis: Any, tmp_path: Path, cell: str, meant: str
) -> None:
    table = tmp_path / "tags.csv"
    table.write_text(f"image,concept,present\nimages/000000.png,{cell},1\n", encoding="utf-8")
    assert import_csv(workspace, analysis, table).concepts == (meant,)


def test_cleared_tags_are_not_exported(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, [0, 1], True)
    tag(workspace, analysis, water, [0], None)
    assert export_csv(workspace, analysis, tmp_path / "out.csv") == 1


def test_the_same_file_again_is_nothing_new(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,concept,present\nimages/000000.png,water,1\nimages/000001.png,snow,unsure\n")
    first = import_csv(workspace, analysis, table)
    again = import_csv(workspace, analysis, table)
    assert (first.added, first.made, first.nothing_new) == (2, ("water", "snow"), False)
    assert (again.added, again.unchanged, again.made, again.action, again.nothing_new) == (0, 2, (), None, True)
    assert undo(workspace, analysis.dataset_id).sentence == "Imported 2 tags and 2 concepts from “tags.csv”"
    assert undo(workspace, analysis.dataset_id) is None


def test_the_file_wins_and_undo_brings_the_answer_back(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water", color="#123456", note="mine")
    tag(workspace, analysis, water, [0, 1], True)
    content = b"image,concept,present\nimages/000000.png,WATER,0\nimages/000001.png,water,1\n"
    seen = preview_tags(workspace, analysis, content, "tags.csv")
    assert (seen.added, seen.changed, seen.unchanged) == (1, 1, 1)
    assert [one.to_dict()["new"] for one in seen.details] == [False]
    assert tag_states(workspace, analysis, water)[0] == 1, "a preview writes nothing"
    done = load_tags(workspace, analysis, content, "tags.csv", author="Ada")
    assert (done.added, done.changed, done.concepts) == (1, 1, ("water",))
    assert tag_states(workspace, analysis, water)[:2].tolist() == [0, 1]
    assert list_concepts(workspace, analysis.dataset_id) == (water,)
    undo(workspace, analysis.dataset_id, "Ada")
    assert tag_states(workspace, analysis, water)[:2].tolist() == [1, 1]


def test_one_undo_takes_concepts_tags_and_verdicts_back(workspace: Workspace, analysis: Any) -> None:
    create_concept(workspace, analysis.dataset_id, "old")
    content = json.dumps(
        {
            "concepts": [{"concept": "reeds", "shortcut": 5}, {"concept": "empty"}],
            "tags": [{"image": "images/000002.png", "concept": "reeds", "present": True}],
            "verdicts": [{"image": "images/000003.png", "verdict": "wrong"}],
        }
    ).encode()
    done = load_tags(workspace, analysis, content, "mine.json")
    assert (done.added, done.made, done.verdicts) == (1, ("reeds", "empty"), 1)
    assert [one.name for one in list_concepts(workspace, analysis.dataset_id)] == ["old", "reeds", "empty"]
    assert label_verdicts(workspace, analysis).excluded.tolist() == [False] * 3 + [True] + [False] * 2
    undone = undo(workspace, analysis.dataset_id)
    assert undone.sentence == "Imported 1 tag, 2 concepts and 1 verdict on labels from “mine.json”"
    assert [one.name for one in list_concepts(workspace, analysis.dataset_id)] == ["old"]
    assert not label_verdicts(workspace, analysis).judged.any()
    again = load_tags(workspace, analysis, content, "mine.json")
    assert (again.added, again.made, again.verdicts) == (1, ("reeds", "empty"), 1)
    assert list_concepts(workspace, analysis.dataset_id)[1].shortcut == 5


def test_a_deleted_concept_comes_back_with_its_tags(workspace: Workspace, analysis: Any) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, [0], True)
    delete_concept(workspace, water)
    content = b"image,concept,present\nimages/000000.png,water,1\nimages/000001.png,water,0\n"
    done = load_tags(workspace, analysis, content, "tags.csv")
    assert (done.added, done.unchanged, done.made) == (1, 1, ("water",))
    assert tag_states(workspace, analysis, water)[:2].tolist() == [1, 0]


@pytest.mark.parametrize("content", [b"", b"picture,concept\na,b\n", b"image,concept,present\n\xff\xfe,\x00,1\n"])
def test_what_is_no_table_of_tags_is_refused(
    workspace: Workspace, analysis: Any, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(BadRequest) as caught:
        import_csv(workspace, analysis, tmp_path / "bad.csv")
    assert "image,concept,present" in caught.value.next_step


def test_absent_table_is_said(workspace: Workspace, analysis: Any, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        import_csv(workspace, analysis, tmp_path / "nowhere.csv")
