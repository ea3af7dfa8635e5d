"""A run had again: the same to the last digit whatever was said since, and honest where it is not."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from core.concepts.concept import change_concept, create_concept
from core.concepts.labels import judge
from core.concepts.tags import tag
from core.errors import BadRequest, NotFound, PathNotFound
from core.retraining import replay as replaying
from core.retraining.edits import CurationEdits
from core.retraining.identity import VERSION
from core.retraining.replay import replay
from core.retraining.retraining import retrain
from core.retraining.threads import FEW_FEATURES, pinned_threads, threads_worth
from core.workspace import Workspace


@pytest.fixture
def analysis(planted_analysis: Any) -> Any:
    return planted_analysis(0, sizes=(600, 700, 400), dimensions=48)


@pytest.fixture
def file(workspace: Workspace, analysis: Any, answer: Callable[..., None]) -> Path:
    """The replay.json of a run of `mid`."""
    answer(analysis, analysis.attributes[0].codes)
    judge(workspace, analysis, [601], "wrong")
    judge(workspace, analysis, [602], "wrong", relabel_to=analysis.classes[1 - int(analysis.labels[602])])
    retrain(workspace, analysis, concepts=("water",), run_id="run1", seed=5, settings={"pull": 0.01})
    return workspace.runs / "run1" / "replay.json"


def test_tags_that_changed_since_change_nothing(workspace: Workspace, analysis: Any, file: Path) -> None:
    water = create_concept(workspace, analysis.dataset_id, "water")
    tag(workspace, analysis, water, analysis.split_rows("val")[:200], True)
    judge(workspace, analysis, [601, 602, 603], "right")
    change_concept(workspace, water, name="lake")
    create_concept(workspace, analysis.dataset_id, "fog")
    again = replay(workspace, file, analysis=analysis)
    assert again.differences == ()
    assert again.same
    assert again.changed == ()
    assert again.before == again.replayed_before
    assert again.after == again.replayed_after
    assert "the same to the last digit" in again.sentence
    # the tags do matter: told anew, they give another head
    anew = retrain(workspace, analysis, concepts=("lake",), run_id="run2", seed=5, settings={"pull": 0.01})
    recorded = json.loads(file.read_text(encoding="utf-8"))
    assert (
        json.loads((workspace.runs / "run2" / "replay.json").read_text())["result"]["head"]
        != (recorded["result"]["head"])
    )
    assert anew.tags != recorded["tags"]


@pytest.mark.parametrize("method", ["dfr", "class-balanced", "afr", "mid-tags"])
def test_every_method_comes_out_the_same(
    workspace: Workspace, analysis: Any, answer: Callable[..., None], method: str
) -> None:
    answer(analysis, analysis.attributes[0].codes)
    retrain(workspace, analysis, method=method, run_id="run1", seed=2)
    again = replay(workspace, workspace.runs / "run1", analysis=analysis)
    assert again.same, again.differences[:3]


def test_edits_are_part_of_the_recipe(workspace: Workspace, analysis: Any, file: Path) -> None:
    images = analysis.image_names(analysis.split_rows("val"))
    edits = CurationEdits(tuple(images[:30]), {images[40]: {"water": True}})
    retrain(workspace, analysis, concepts=("water",), run_id="edited", edits=edits)
    assert replay(workspace, workspace.runs / "edited", analysis=analysis).same


def test_one_other_image_is_noticed_and_explained(workspace: Workspace, analysis: Any, file: Path) -> None:
    analysis.labels[analysis.split_rows("test")[0]] ^= 1
    again = replay(workspace, file, analysis=analysis)
    assert not again.same
    assert any(one.what == "after.average" for one in again.differences)
    assert again.changed == ("Labels, splits or attributes of the dataset are not as they were.",)
    assert again.to_dict()["recorded"]["after"]["average"] != again.to_dict()["replayed"]["after"]["average"]


def test_a_figure_off_by_its_last_digit_is_a_difference(workspace: Workspace, analysis: Any, file: Path) -> None:
    recipe = json.loads(file.read_text(encoding="utf-8"))
    recipe["result"]["after"]["average"] = float(np.nextafter(recipe["result"]["after"]["average"], 1))
    file.write_text(json.dumps(recipe), encoding="utf-8")
    again = replay(workspace, file, analysis=analysis)
    assert [one.what for one in again.differences] == ["after.average"]
    assert "1 figure differs" in again.sentence


def test_another_seed_or_version_is_told_apart(workspace: Workspace, analysis: Any, file: Path) -> None:
    recipe = json.loads(file.read_text(encoding="utf-8"))
    recipe["seed"] += 1
    recipe["made_from"]["versions"]["numpy"] = "1.0"
    assert recipe["made_from"]["versions"].pop("midband") == VERSION
    file.write_text(json.dumps(recipe), encoding="utf-8")
    again = replay(workspace, file, analysis=analysis)
    assert {"head"} <= {one.what for one in again.differences}
    assert any(sentence.startswith("numpy was 1.0 and is ") for sentence in again.changed)
    assert f"midband was absent and is {VERSION} now." in again.changed


def test_the_version_recorded_is_that_of_the_project() -> None:
    project = Path(__file__).parents[3] / "pyproject.toml"
    assert tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"] == VERSION


def test_a_replay_stores_nothing(workspace: Workspace, analysis: Any, file: Path) -> None:
    before = sorted(workspace.runs.rglob("*"))
    replay(workspace, file, analysis=analysis)
    assert sorted(workspace.runs.rglob("*")) == before


def test_files_that_are_none_are_said(workspace: Workspace, analysis: Any, file: Path, tmp_path: Path) -> None:
    with pytest.raises(PathNotFound):
        replay(workspace, tmp_path / "nowhere.json")
    other = tmp_path / "other.json"
    for text in ("{", "[]", '{"format": 1}', "\x00"):
        other.write_text(text, encoding="utf-8")
        with pytest.raises(BadRequest):
            replay(workspace, other)
    recipe = json.loads(file.read_text(encoding="utf-8"))
    for name, value, says in (
        ("format", 99, "another version"),
        ("statements", {"concepts": 3}, "cannot be read"),
        ("settings", {"warp": 9}, "warp"),
        ("threads", "many", "cannot be read"),
    ):
        other.write_text(json.dumps({**recipe, name: value}), encoding="utf-8")
        with pytest.raises(BadRequest, match=says):
            replay(workspace, other, analysis=analysis)
    other.write_text(json.dumps({**recipe, "analysis": "gone"}), encoding="utf-8")
    with pytest.raises(NotFound, match="not in this workspace"):
        replay(workspace, other)


def test_an_image_that_is_gone_is_named(workspace: Workspace, analysis: Any, file: Path) -> None:
    recipe = json.loads(file.read_text(encoding="utf-8"))
    recipe["statements"]["wrong"].append("images/nowhere.png")
    file.write_text(json.dumps(recipe), encoding="utf-8")
    with pytest.raises(BadRequest, match=r"images/nowhere\.png"):
        replay(workspace, file, analysis=analysis)


def test_as_many_threads_as_then(
    workspace: Workspace, analysis: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = json.loads(file.read_text(encoding="utf-8"))
    # a run on few features takes one, however many cores there are
    assert (recipe["threads"], threads_worth(FEW_FEATURES), threads_worth(FEW_FEATURES + 1)) == (1, 1, None)
    file.write_text(json.dumps({**recipe, "threads": 2}), encoding="utf-8")
    seen: list[set[int]] = []
    compute = replaying.compute

    def watched(*args: Any, **options: Any) -> Any:
        seen.append({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})
        return compute(*args, **options)

    monkeypatch.setattr(replaying, "compute", watched)
    replay(workspace, file, analysis=analysis)
    assert seen == [{2}]


def test_torch_uses_as_many() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with pinned_threads(before + 1, with_torch=True):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_given_back() -> None:
    before = [pool["num_threads"] for pool in threadpool_info()]
    with pinned_threads(3) as count:
        assert count == 3
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    with pinned_threads() as usual:
        assert usual == max(before)


def test_a_moved_file_is_enough(workspace: Workspace, analysis: Any, file: Path, tmp_path: Path) -> None:
    moved = shutil.copy(file, tmp_path / "elsewhere.json")
    shutil.rmtree(workspace.runs)
    assert replay(workspace, moved, analysis=analysis).same


def test_threads_that_pin_at_once_leave_everything_as_it_was() -> None:
    def now() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with pinned_threads(4):
        first, second = pinned_threads(1), pinned_threads(3)
        first.__enter__()
        second.__enter__()
        assert now() == {3}
        # the one that came first goes first, as a page's thread does while another one still computes
        first.__exit__(None, None, None)
        assert now() == {3}
        second.__exit__(None, None, None)
        assert now() == {4}


def hostile(recipe: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Changes of a recipe, and what has to be said of them."""
    statements, result = recipe["statements"], recipe["result"]
    concept = statements["concepts"][0]
    nested: Any = {}
    for _ in range(50):
        nested = {"a": nested}
    return [
        ({"analysis": ["planted"]}, "analysis cannot be what it is"),
        ({"method": {"mid": 1}}, "method cannot be what it is"),
        ({"settings": [1]}, "settings cannot be"),
        ({"made_from": None}, "made_from cannot be"),
        ({"result": [1, 2]}, "result cannot be"),
        ({"seed": "5"}, "seed cannot be"),
        ({"seed": True}, "seed cannot be"),
        ({"seed": -1}, "seed -1"),
        ({"threads": 0}, "0 threads"),
        ({"threads": 10**9}, "1000000000 threads"),
        ({"result": nested}, "cannot be read"),
        ({"result": {**result, "before": {**result["before"], "groups": []}}}, "cannot be read"),
        ({"statements": {**statements, "concepts": [{**concept, "concept": 5}]}}, "no name"),
        ({"statements": {**statements, "concepts": [{**concept, "present": "abc"}]}}, "not part of this analysis"),
        ({"statements": {**statements, "concepts": [{**concept, "present": [[]]}]}}, "cannot be read|not part"),
        ({"statements": {**statements, "concepts": [{**concept, "concept": str(i)} for i in range(40)]}}, "too many"),
        ({"statements": {**statements, "relabelled": [1]}}, "cannot be read"),
        ({"statements": {**statements, "relabelled": {"../../etc/passwd": "class 0"}}}, "not part of this analysis"),
        ({"edits": ["a"]}, "cannot be read"),
        ({"edits": {"left_out": ["a"], "more": 1}}, "cannot be read"),
    ]


def test_a_hostile_recipe_is_refused_with_a_sentence(
    workspace: Workspace, analysis: Any, file: Path, tmp_path: Path
) -> None:
    recipe = json.loads(file.read_text(encoding="utf-8"))
    other = tmp_path / "other.json"
    for changes, says in hostile(recipe):
        other.write_text(json.dumps({**recipe, **changes}), encoding="utf-8")
        with pytest.raises(BadRequest, match=says):
            replay(workspace, other, analysis=analysis)
    for name in ("../../..", "a\x00b", "", "x" * 100_000):
        other.write_text(json.dumps({**recipe, "analysis": name}), encoding="utf-8")
        with pytest.raises(NotFound, match="not in this workspace"):
            replay(workspace, other)


def test_a_recipe_that_would_fill_the_memory_is_not_read(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "replay.json"
    file.write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    with pytest.raises(BadRequest, match="cannot be read"):
        replay(workspace, file)
    with open(file, "wb") as sparse:
        sparse.truncate(replaying.MOST_BYTES + 1)
    with pytest.raises(BadRequest, match="larger than"):
        replay(workspace, file)
    monkeypatch.setattr(replaying, "MOST_VALUES", 99)
    file.write_text(json.dumps([[]] * 100), encoding="utf-8")
    with pytest.raises(BadRequest, match="holds more"):
        replay(workspace, file)
    with pytest.raises(BadRequest, match="not a file"):
        replay(workspace, "/dev/zero")
