"""All methods on the same images: the table, its honesty, and what is always beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.errors import BadRequest, NotFound, StorageProblem
from core.progress import silent
from core.retraining.bakeoff import (
    BakeOff,
    Line,
    bake_off,
    check_bake_off,
    holm,
    list_bake_offs,
    open_bake_off,
    usual_methods,
)
from core.retraining.runs import retrain
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any, answer: Callable[..., None]) -> Any:
    analysis = planted_analysis(0, sizes=(1500, 900, 1600), dimensions=64)
    answer(analysis, analysis.attributes[0].codes)
    return analysis


@pytest.fixture
def compared(workspace: Workspace, analysis: Any) -> BakeOff:
    return bake_off(
        workspace, analysis, methods=("mid", "class-balanced"), seeds=(0, 1, 2), concepts=("water",), bake_off_id="b1"
    )


def line(compared: BakeOff, method: str) -> Line:
    found = compared.line(method)
    assert found is not None
    return found


def test_what_it_means_is_always_beside_it(workspace: Workspace, compared: BakeOff) -> None:
    assert {line.method for line in compared.lines} == {"erm", "no-person", "mid", "class-balanced", "dfr"}
    erm, mid, oracle = (line(compared, name) for name in ("erm", "mid", "dfr"))
    assert (erm.share, oracle.share) == (0.0, 1.0)
    assert mid.share == pytest.approx((mid.mean - erm.mean) / (oracle.mean - erm.mean))
    assert mid.share > 0.5
    assert [line.mean for line in compared.lines] == sorted((line.mean for line in compared.lines), reverse=True)
    assert compared.groups_from == "attribute place"
    assert compared.absent == {}


def test_figures_are_those_of_runs_with_these_seeds(workspace: Workspace, analysis: Any, compared: BakeOff) -> None:
    mid = line(compared, "mid")
    for seed in compared.seeds:
        run = retrain(workspace, analysis, concepts=("water",), seed=seed)
        assert mid.worst_group[seed] == run.after.worst_group
        assert mid.average[seed] == run.after.average
        assert mid.weighted_average[seed] == run.after.weighted_average
    assert mid.mean == pytest.approx(np.mean(mid.worst_group))
    assert mid.spread == pytest.approx(np.std(mid.worst_group, ddof=1))
    assert mid.interval[0] < mid.mean < mid.interval[1]
    assert mid.p < 0.001
    erm = line(compared, "erm")
    assert (erm.p, erm.spread, len(set(erm.worst_group)), len(erm.worst_group)) == (1.0, 0.0, 1, 3)


def test_it_is_stored_and_listed(workspace: Workspace, analysis: Any, compared: BakeOff) -> None:
    assert open_bake_off(workspace, "b1") == compared == open_bake_off(workspace)
    later = bake_off(workspace, analysis, methods=("erm",), seeds=(0,))
    assert list_bake_offs(workspace) == (later, compared)
    assert list_bake_offs(workspace, "another") == ()
    for name in ("nothing", "../runs", ""):
        with pytest.raises(NotFound):
            open_bake_off(workspace, name)


def test_methods_that_lack_something_have_a_reason_and_no_line(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, with_place=False, sizes=(400, 400, 300), dimensions=24)
    compared = bake_off(workspace, analysis, methods=("mid", "dfr", "afr"), seeds=(0,))
    assert {line.method for line in compared.lines} == {"erm", "no-person", "afr"}
    assert "no image is tagged" in compared.absent["mid"]
    assert "no known attribute" in compared.absent["dfr"]
    assert all(line.share is None for line in compared.lines), "without an oracle there is no way to be part of"
    assert any("the groups measured are the classes" in note for note in compared.notes)


def test_estimated_groups_are_said_to_be(workspace: Workspace, analysis: Any) -> None:
    blind = replace(analysis, attributes=())
    blind.__dict__["images"] = analysis.images
    compared = bake_off(workspace, blind, methods=("mid",), seeds=(0, 1))
    assert compared.estimated
    mid, erm = line(compared, "mid"), line(compared, "erm")
    assert mid.mean > erm.mean
    assert any("groups are estimated" in note for note in compared.notes)


def test_knobs_reach_their_method_only(workspace: Workspace, analysis: Any) -> None:
    stiff = bake_off(
        workspace, analysis, methods=("mid", "afr"), seeds=(0,), concepts=("water",), settings={"afr": {"pull": 1000.0}}
    )
    plain = bake_off(workspace, analysis, methods=("mid", "afr"), seeds=(0,), concepts=("water",))
    assert line(stiff, "afr").average != line(plain, "afr").average
    assert line(stiff, "mid").worst_group == line(plain, "mid").worst_group
    with pytest.raises(BadRequest, match="warp"):
        bake_off(workspace, analysis, methods=("mid",), settings={"mid": {"warp": 1}})


def test_requests_are_checked_before_any_work() -> None:
    assert check_bake_off((), (0,)) == ("erm", "no-person", *(name for name in usual_methods() if name != "erm"))
    assert "finetune" not in usual_methods()
    assert check_bake_off(("mid", "mid", "erm"), (0,)) == ("erm", "no-person", "mid", "dfr")
    with pytest.raises(NotFound, match="no method"):
        check_bake_off(("magic",), (0,))
    for seeds in ((), (1, 1), tuple(range(21))):
        with pytest.raises(BadRequest, match="1 to 20"):
            check_bake_off((), seeds)


def test_it_can_be_stopped_and_leaves_nothing(workspace: Workspace, analysis: Any) -> None:
    class StopError(Exception):
        pass

    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int, message: str = "") -> None:
        seen.append((done, total))
        if done >= 3:
            raise StopError

    with pytest.raises(StopError):
        bake_off(workspace, analysis, methods=("class-balanced",), seeds=(0, 1), progress=stop)
    assert list_bake_offs(workspace) == ()
    assert seen == sorted(seen)
    bake_off(workspace, analysis, methods=("class-balanced",), seeds=(0,), progress=silent)


def test_a_damaged_comparison_is_said_and_hides_no_other(workspace: Workspace, compared: BakeOff) -> None:
    folder = workspace.root / "bakeoffs"
    text = (folder / "b1" / "result.json").read_text(encoding="utf-8")
    value = json.loads(text)
    (folder / "b2").mkdir()
    for damaged in (text[:300], "[]", json.dumps({**value, "lines": [{}]}), json.dumps({**value, "seeds": 3})):
        (folder / "b2" / "result.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(StorageProblem, match="comparison b2 cannot be read"):
            open_bake_off(workspace, "b2")
        assert list_bake_offs(workspace) == (compared,)
        assert open_bake_off(workspace) == compared
    later = {**value, "later": 1, "lines": [{**line, "later": 1} for line in value["lines"]]}
    (folder / "b2" / "result.json").write_text(json.dumps(later), encoding="utf-8")
    assert open_bake_off(workspace, "b2") == compared


def test_p_values_are_corrected_for_being_several() -> None:
    # worked by hand: 3 x 0.01, then 2 x 0.02, then what came before since it is larger
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_one_comparison_is_corrected_for_those_beside_it(workspace: Workspace, analysis: Any) -> None:
    run = retrain(workspace, analysis, concepts=("water",), method="class-balanced", seed=0)
    compared = bake_off(workspace, analysis, methods=("class-balanced",), seeds=(0,), concepts=("water",))
    raw = run.comparison["p_minimum"]
    assert line(compared, "class-balanced").p in [pytest.approx(min(1.0, times * raw)) for times in (1, 2, 3)]
    found = [line(compared, name).p for name in ("no-person", "class-balanced", "dfr")]
    again = bake_off(workspace, analysis, methods=("class-balanced", "mid-tags", "afr"), seeds=(0,))
    assert all(line(again, name).p >= p for name, p in zip(("no-person", "class-balanced", "dfr"), found, strict=True))
    assert line(again, "dfr").p > line(compared, "dfr").p
    # the classifier as it is is compared with nothing
    oracle = retrain(workspace, analysis, concepts=("water",), method="dfr", seed=0).comparison["p_minimum"]
    assert oracle == min(oracle, raw)
    assert line(compared, "dfr").p in (pytest.approx(3 * oracle), pytest.approx(2 * oracle))
    assert min(found) <= 3 * oracle
    for several, count in ((compared, 3), (again, 5)):
        assert any(f"corrected for {count} comparisons" in note for note in several.notes)
        assert any("Which is best was seen on the test images themselves" in note for note in several.notes)


def test_a_head_that_guesses_is_no_gain_here_either(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0, sizes=(1500, 900, 1000), dimensions=64, core=0.0)
    answer(analysis, analysis.attributes[0].codes)
    compared = bake_off(workspace, analysis, methods=("mid", "group-dro"), seeds=(0, 1), concepts=("water",))
    erm = line(compared, "erm")
    for name in ("mid", "group-dro", "dfr"):
        assert line(compared, name).mean > erm.mean + 0.1, "else it says nothing"
        assert line(compared, name).p == 1.0
    (guessing,) = (note for note in compared.notes if note.startswith("Little more than guessing"))
    assert all(line(compared, name).title in guessing for name in ("mid", "group-dro", "dfr"))
    assert any("No last layer can repair that" in note for note in compared.notes)


def test_what_goes_with_no_class_is_warned_of_here_too(
    workspace: Workspace, planted_analysis: Any, answer: Callable[..., None]
) -> None:
    analysis = planted_analysis(0, sizes=(1200, 600, 800), dimensions=32, agreement=0.5)
    answer(analysis, analysis.attributes[0].codes)
    compared = bake_off(workspace, analysis, methods=("mid",), seeds=(0,), concepts=("water",))
    assert any(note.startswith("The tags do not show that water goes with a class") for note in compared.notes)
    assert not any("guessing" in note for note in compared.notes)


def test_groups_that_are_not_measured_are_said(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0, sizes=(1200, 600, 800), dimensions=24)
    test = analysis.split_rows("test")
    lost = test[(analysis.labels[test] == 1) & (analysis.attributes[0].codes[test] == 0)]
    analysis.splits[lost] = 1
    assert len(lost)
    compared = bake_off(workspace, analysis, methods=("class-balanced",), seeds=(0,))
    assert any(note.startswith("Not measured, since test holds no image of it: ") for note in compared.notes)
