"""`tag`, `tags`, `concepts` and `explain` on a planted analysis, as a person and as a program calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.activations.store import Analysis, write_analysis
from core.classifiers.head import Head
from core.commands.parser import TAG_FORMATS
from core.concepts.adoption import adopt
from core.concepts.concept import create_concept, list_concepts
from core.concepts.exchange import FORMATS
from core.concepts.history import history
from core.concepts.labels import judge
from core.concepts.tags import tag, undo
from core.datasets.dataset import Attribute, Dataset
from core.workspace import Workspace
from tests.core.planted_birds import called, plant_birds

N = 900


@pytest.fixture
def analysis(workspace: Workspace, tmp_path: Path) -> Analysis:
    """The head leans on neuron 1, which sees the place, which goes with the class in 90%. The weather says nothing."""
    rng = np.random.default_rng(3)
    weather = Attribute("weather", ("sun", "rain", "fog"), rng.integers(0, 3, N).astype(np.int16))
    return plant_birds(workspace, tmp_path, np.arange(N) % 3, 0.9, dimensions=4, unknown=0.02, more=(weather,), rng=rng)


@pytest.fixture
def run(workspace: Workspace, analysis: Analysis) -> Any:
    return lambda *arguments: called(*arguments, "--workspace", workspace.root, "--quiet")


@pytest.fixture
def filled(workspace: Workspace, analysis: Analysis) -> Workspace:
    water = create_concept(workspace, analysis.dataset_id, "water", role="core", note="ponds, too")
    tag(workspace, analysis, water, range(40), True, author="Ada", direction="logit:waterbird", low=-1.0, high=2.5)
    tag(workspace, analysis, water, range(40, 90), False, author="Bo")
    tag(workspace, analysis, water, [90, 91], "unsure")
    judge(workspace, analysis, [5], "wrong", relabel_to="landbird" if analysis.labels[5] else "waterbird")
    return workspace


def test_the_formats_of_the_options_are_those_there_are() -> None:
    assert TAG_FORMATS == FORMATS


def test_a_table_is_imported_once(run: Any, tmp_path: Path, workspace: Workspace, analysis: Analysis) -> None:
    table = tmp_path / "tags.csv"
    table.write_text("image,concept,present\n00000.png,water,1\n00001.png,water,0\n00002.png,fog,unsure\ngone,fog,1\n")
    first = run("tag", "--csv", table, "--json").object
    assert (first["added"], first["rejected"]) == (3, [{"row": 5, "reason": "The analysis has no image “gone”."}])
    text = run("tag", "--csv", table).out
    assert "Nothing new: the workspace holds 3 of its tags already." in text
    assert "line 5: The analysis has no image “gone”." in text
    assert len(history(workspace, analysis.dataset_id)) == 1


@pytest.mark.parametrize(
    ("name", "format"), [("t.csv", "csv"), ("t.json", "json"), ("t.parquet", "parquet"), ("folder", "fiftyone")]
)
def test_what_tags_wrote_tag_reads(
    run: Any, tmp_path: Path, filled: Workspace, analysis: Analysis, name: str, format: str
) -> None:
    place = tmp_path / "out" / name
    written = run("tags", "--out", place, "--json").object
    assert (written["format"], written["tags"]) == (format, 92)
    assert all(Path(file).is_file() for file in written["files"])
    while undo(filled, analysis.dataset_id):
        pass
    assert list_concepts(filled, analysis.dataset_id) == ()
    seen = run("tag", "--file", place, "--preview", "--json").object
    assert (seen["preview"], seen["added"], seen["action"]) == (True, 92, None)
    assert list_concepts(filled, analysis.dataset_id) == ()
    done = run("tag", "--file", place, "--author", "Cy", "--json").object
    assert (done["added"], done["changed"], done["made"], done["rejected"]) == (92, 0, ["water"], [])
    again = tmp_path / "again" / name
    assert run("tags", "--out", again).code == 0
    for file in written["files"]:
        same = Path(str(file).replace(str(place), str(again)))
        assert same.read_bytes() == Path(file).read_bytes()
    newest = history(filled, analysis.dataset_id)[0]
    assert (newest.author, newest.source) == ("Cy", "import")
    assert newest.sentence.startswith("Imported 92 tags")


def test_a_format_may_be_named(run: Any, tmp_path: Path, filled: Workspace) -> None:
    assert run("tags", "--out", tmp_path / "tags.txt", "--format", "json", "--json").object["concepts"] == 1
    assert run("tag", "--file", tmp_path / "tags.txt", "--format", "json", "--json").object["unchanged"] == 92
    assert "CSV carries the tags only" in run("tags", "--out", tmp_path / "tags.csv").out
    preview = run("tag", "--csv", tmp_path / "tags.csv", "--format", "csv", "--preview").out
    assert preview == "Nothing new: the workspace holds 92 of its tags already.\n"


def test_concepts_carry_intervals_attributes_and_what_is_unsure(
    run: Any, filled: Workspace, analysis: Analysis
) -> None:
    adopted = adopt(filled, analysis, "weather", "fog")
    found = run("concepts", "--json").object
    water, fog = found["concepts"]
    assert (water["concept"], water["present"], water["absent"], water["unsure"]) == ("water", 40, 50, 2)
    assert (fog["concept"], fog["attribute"]) == (adopted.name, ["weather", "fog"])
    assert fog["present"] + fog["absent"] == N, "what follows a column covers all images"
    for line in (*water["classes"], *fog["classes"]):
        for name in ("share", "lift", "odds"):
            value = line["odds_ratio" if name == "odds" else name]
            assert line[f"{name}_low"] < value < line[f"{name}_high"]
    assert {band["direction"] for band in water["bands"]} == {"logit:landbird", "logit:waterbird"}
    known = {(one["attribute"], one["value"]): one for one in found["attributes"]}
    assert set(known) == {("place", "water"), ("weather", "sun"), ("weather", "rain"), ("weather", "fog")}
    assert known["weather", "fog"]["adopted"] == adopted.name
    by_class = {line["name"]: line for line in known["place", "water"]["classes"]}
    assert by_class["waterbird"]["odds_low"] > 20
    assert "no random sample" in found["note"]
    text = run("concepts").out
    for words in ("2 unsure", "follows weather = fog", f"adopted as {adopted.name}", "no random sample"):
        assert words in text


def test_concepts_by_class_and_band(run: Any, filled: Workspace, analysis: Analysis) -> None:
    found = run("concepts", "--direction", "logit:waterbird", "--count", 4, "--json").object
    (place,) = [one for one in found["attributes"] if one["attribute"] == "place"]
    assert found["edges"] == place["table"]["edges"]
    assert [len(row) for row in place["table"]["cells"]] == [4, 4]
    column = np.asarray(analysis.attributes[0].codes)
    for code, row in enumerate(place["table"]["cells"]):
        assert sum(cell["images"] for cell in row) == (analysis.labels == code).sum()
        assert sum(cell["present"] for cell in row) == ((analysis.labels == code) & (column == 1)).sum()
    # within waterbirds, water lies at the top
    shares = [cell["share"] for cell in place["table"]["cells"][1] if cell["share"] is not None]
    assert shares == sorted(shares)
    assert " to " in run("concepts", "--direction", "logit:waterbird").out
    problem = run("concepts", "--direction", "sideways")
    assert (problem.code, "logit:CLASS" in problem.err) == (2, True)


def test_explain_finds_the_place(run: Any, analysis: Analysis) -> None:
    found = run("explain", "--json").object
    assert found["splits"] == ["val", "test"]
    assert found["images"] == 2 * N // 3
    first, second, *rest = found["explanations"]
    assert {(one["name"], one["value"]) for one in (first, second)} == {("place", "water")}
    assert first["raised"]
    assert second["raised"]
    assert not any(one["raised"] for one in rest), "the weather explains nothing"
    assert found["sentence"] == f"{first['sentence']}."
    text = run("explain", "--limit", 2).out
    assert found["sentence"] in text
    assert f"{found['compared'] - 2} more: --limit {found['compared']}" in text


def test_explain_without_anything_known(run: Any, workspace: Workspace, tmp_path: Path) -> None:
    dataset = Dataset(
        id="bare",
        name="bare",
        root=tmp_path,
        source="class-folders",
        images=np.array([f"{i}.png" for i in range(10)], dtype=np.dtypes.StringDType()),
        labels=np.arange(10) % 2,
        splits=np.ones(10, dtype=np.int8),
        classes=("a", "b"),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    head = Head(np.ones((2, 1), dtype=np.float32), np.zeros(2, dtype=np.float32))
    bare = write_analysis(workspace, dataset, features=np.ones((10, 1)), head=head)
    assert "Nothing can be compared yet" in run("explain", "--analysis", bare.id).out
    assert run("concepts", "--analysis", bare.id, "--json").object["attributes"] == []
    assert "No concept yet" in run("concepts", "--analysis", bare.id).out


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("tag",), "BadRequest", "--csv --file"),
        (("tag", "--csv", "a", "--file", "b"), "BadRequest", "not allowed with"),
        (("tag", "--file", "/nowhere/tags.json"), "PathNotFound", "/nowhere/tags.json"),
        (("tag", "--file", "/nowhere/tags.json", "--format", "coco"), "BadRequest", "coco"),
        (("tag", "--csv", "a", "--format", "parquet"), "BadRequest", "--file a --format parquet"),
        (("tag", "--file", "{bad}.json"), "BadRequest", "not JSON"),
        (("tag", "--file", "{bad}.parquet", "--preview"), "BadRequest", "not a whole Parquet"),
        (("tag", "--file", "{bad}.xlsx"), "BadRequest", "No format of tags"),
        (("tags",), "BadRequest", "--out"),
        (("tags", "--out", "tags.docx"), "BadRequest", "No format of tags"),
        (("tags", "--out", "/proc/nothing/tags.json"), "StorageProblem", "tags.json"),
        (("explain", "--limit", "0"), "BadRequest", "less than 1"),
        (("explain", "--analysis", "gone"), "NotFound", "gone"),
    ],
)
def test_problems_are_said_with_a_next_step(
    run: Any, tmp_path: Path, arguments: tuple[str, ...], error: str, words: str
) -> None:
    for suffix in (".json", ".parquet", ".xlsx"):
        (tmp_path / f"bad{suffix}").write_bytes(b"{\xff" * 1000)
    printed = run(*(one.replace("{bad}", str(tmp_path / "bad")) for one in arguments), "--json")
    assert printed.code == 2
    said = json.loads(printed.out)
    assert said["error"] == error
    assert words in said["detail"] + said["next_step"]
    assert said["next_step"]
    assert "Traceback" not in printed.err
