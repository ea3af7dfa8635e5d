"""What a person changes of the images chosen is what the head is fitted on, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.concepts.concept import create_concept
from core.concepts.tags import UNTAGGED, tag_states
from core.errors import BadRequest, NotEnoughTags, NotFound
from core.retraining.curation import Curation
from core.retraining.edits import CurationEdits, edits_from_dict
from core.retraining.runs import check_request, preview, retrain
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any, answer: Callable[..., None]) -> Any:
    analysis = planted_analysis(0, sizes=(600, 700, 400), dimensions=48)
    answer(analysis, analysis.attributes[0].codes)
    return analysis


@pytest.fixture
def plain(workspace: Workspace, analysis: Any) -> Curation:
    return preview(workspace, analysis, concepts=("water",))


def by_row(curation: Curation) -> dict[int, int]:
    return dict(zip(curation.rows.tolist(), curation.groups.tolist(), strict=True))


def test_the_choice_is_changed_there_and_nowhere_else(workspace: Workspace, analysis: Any, plain: Curation) -> None:
    out = plain.rows[:20]
    unclear = np.setdiff1d(analysis.split_rows("val"), plain.rows)[:2]
    moved = int(plain.rows[40])
    kept = [*unclear.tolist(), moved]
    was = by_row(plain)
    states = {int(row): bool(1 - was[row] % 2) if row == moved else True for row in kept}
    edits = CurationEdits(
        tuple(analysis.image_names(out)),
        {analysis.image_names([row])[0]: {"water": state} for row, state in states.items()},
    )
    edited = preview(workspace, analysis, concepts=("water",), edits=edits)
    now = by_row(edited)
    assert now.keys() == (was.keys() - set(out.tolist())) | set(kept)
    for row, group in now.items():
        expected = int(analysis.labels[row]) * 2 + states[row] if row in states else was[row]
        assert group == expected
    assert (edited.reasons[np.isin(edited.rows, kept)] == "tagged").all()
    sums = [edited.weights[edited.groups == group].sum() for group in np.unique(edited.groups)]
    assert sums == pytest.approx([0.25] * 4)
    assert sum(size.count for size in edited.sizes) == len(edited.rows)
    assert edited.left_out == plain.left_out + 20 - 2
    assert edited.to_dict()["images"] == len(plain.rows) - 18


@pytest.mark.parametrize("method", ["mid", "mid-tags"])
def test_the_run_is_fitted_on_what_was_shown(workspace: Workspace, analysis: Any, plain: Curation, method: str) -> None:
    shown = preview(workspace, analysis, method=method, concepts=("water",))
    edits = CurationEdits(tuple(analysis.image_names(shown.rows[::3])))
    run = retrain(workspace, analysis, method=method, concepts=("water",), edits=edits, run_id="edited")
    table = pq.read_table(workspace.runs / "edited" / "curation.parquet")
    assert table.column("row").to_pylist() == np.delete(shown.rows, np.s_[::3]).tolist()
    assert run.edits == edits.to_dict()
    assert run.curation is not None
    assert run.curation["images"] == len(table)
    assert any(f"edited by hand: {len(edits.left_out)} left out." in note for note in run.notes)
    # no tag was made, and the next run knows nothing of it
    states = tag_states(workspace, analysis, create_concept(workspace, analysis.dataset_id, "water"))
    assert (states != UNTAGGED).sum() == 60
    assert retrain(workspace, analysis, method=method, concepts=("water",)).edits is None


def test_images_that_must_not_be_learnt_from_cannot_be_put_in(workspace: Workspace, analysis: Any) -> None:
    for split in ("test", "train"):
        (image,) = analysis.image_names(analysis.split_rows(split)[:1])
        edits = CurationEdits(kept={image: {"water": True}})
        with pytest.raises(BadRequest, match="may not be fitted on"):
            retrain(workspace, analysis, concepts=("water",), edits=edits)


def test_edits_that_make_no_sense_are_refused(workspace: Workspace, analysis: Any, plain: Curation) -> None:
    image, other = analysis.image_names(plain.rows[:2])
    for edits, error, says in (
        (CurationEdits((image,), {image: {"water": True}}), BadRequest, "at once"),
        (CurationEdits(("nowhere.png",)), NotFound, "nowhere.png"),
        (CurationEdits(kept={"nowhere.png": {"water": True}}), NotFound, "nowhere.png"),
        (CurationEdits(kept={other: {"snow": True}}), BadRequest, "each concept: water"),
        (CurationEdits(kept={other: {}}), BadRequest, "each concept: water"),
        (CurationEdits(tuple(analysis.image_names(plain.rows[plain.labels == 0]))), NotEnoughTags, "class 0"),
    ):
        with pytest.raises(error, match=says):
            preview(workspace, analysis, concepts=("water",), edits=edits)
    with pytest.raises(BadRequest, match="nothing to edit"):
        check_request(workspace, analysis, "class-balanced", (), None, CurationEdits((image,)))
    with pytest.raises(BadRequest, match="nothing to edit"):
        retrain(workspace, analysis, method="dfr", edits=CurationEdits((image,)))


def test_edits_come_back_from_plain_json() -> None:
    edits = CurationEdits(("a", "b"), {"c": {"water": False, "<b>": True}})
    assert edits_from_dict(edits.to_dict()) == edits
    assert not edits_from_dict(None)
    assert not CurationEdits()
    # "false" is not false
    almost = [{"kept": {"c": {"water": state}}} for state in ("false", 0, None)]
    for wrong in ({"left_out": "a"}, {"kept": ["a"]}, {"kept": {"a": True}}, {"left": []}, {"left_out": [1]}, *almost):
        with pytest.raises(BadRequest, match="cannot be read"):
            edits_from_dict(wrong)
