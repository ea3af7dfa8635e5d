"""An analysis of images that nobody has labelled: what the model says stands in, nothing is called right or wrong."""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.dtypes import StringDType

from core.__main__ import main
from core.activations.contact_sheet import contact_sheet, sheet_edges
from core.activations.directions import parse_direction
from core.activations.facets import facet_specs, parse_facet
from core.activations.findings import sentence, summarise
from core.activations.index import open_index
from core.activations.neighbours import neighbours
from core.activations.scoreboard import scoreboard
from core.activations.selection import describe
from core.activations.store import Analysis, ModelFacts, open_analysis, refresh, with_head, write_analysis
from core.classifiers.head import Head
from core.concepts.associations import concept_table
from core.concepts.associations import summarise as summarise_concepts
from core.concepts.concept import create_concept
from core.concepts.exchange import export_tags, import_tags
from core.concepts.explaining import explain
from core.concepts.labels import judge, label_verdicts
from core.concepts.mislabelled import suspects
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag, undo
from core.datasets.choices import Choices
from core.datasets.dataset import Dataset
from core.errors import BadRequest
from core.export.files import write_export
from core.export.model import Models
from core.export.report import make_report
from core.files import read_json, write_json
from core.retraining.comparing import compare_runs
from core.retraining.live import LiveRepair
from core.retraining.retraining import check_request, preview, retrain
from core.workspace import Workspace

MODEL = ModelFacts(name="m", file=Path("/m.pt"), arch="small", digest="d", preprocessing={}, classes=("cat", "dog"))
N = 240


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    return Dataset(
        id="data",
        name="holiday",
        root=tmp_path / "images",
        source="images",
        images=np.array([f"{i:03d}.jpg" for i in range(N)], dtype=StringDType()),
        labels=np.zeros(N, dtype=np.int64),
        splits=rng.integers(0, 3, N).astype(np.int8),
        classes=(),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="f",
        choices=Choices(format="images"),
    )


@pytest.fixture
def analysis(workspace: Workspace, dataset: Dataset) -> Analysis:
    features = np.random.default_rng(1).normal(size=(N, 6)).astype(np.float32)
    head = Head(np.random.default_rng(2).normal(size=(2, 6)).astype(np.float32), np.zeros(2, np.float32))
    return write_analysis(workspace, dataset, features=features, head=head, model=MODEL)


def test_predictions_stand_in_for_labels_and_the_accuracy_is_unknown(analysis: Analysis, workspace: Workspace) -> None:
    read = open_analysis(workspace)
    assert not read.labelled
    assert math.isnan(read.accuracy)
    assert read.classes == ("cat", "dog")
    assert np.array_equal(read.labels, read.predicted)
    assert read.label_name(0) is None
    assert read.choices == Choices(format="images")
    assert read.to_dict()["accuracy"] is None
    assert read.to_dict()["labelled"] is False
    # and plain JSON on disk
    json.loads((read.folder / "analysis.json").read_text(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.parametrize("names", [(), ("only one",)])
def test_a_model_without_names_has_numbered_classes(
    workspace: Workspace, dataset: Dataset, names: tuple[str, ...]
) -> None:
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32))
    made = write_analysis(workspace, dataset, features=np.ones((N, 3)), head=head, model=replace(MODEL, classes=names))
    assert made.classes == ("class 0", "class 1", "class 2")


def test_labels_that_come_later_are_taken_without_computing_anew(
    analysis: Analysis, workspace: Workspace, dataset: Dataset
) -> None:
    labelled = replace(dataset, classes=("cat", "dog"), labels=np.arange(N, dtype=np.int64) % 2)
    fresh = refresh(workspace, analysis.id, labelled, MODEL)
    assert fresh.labelled
    assert np.array_equal(fresh.labels, labelled.labels)
    assert 0 <= fresh.accuracy <= 1
    assert fresh.label_name(1) == "dog"
    again = refresh(workspace, analysis.id, dataset, MODEL)
    assert not again.labelled
    assert np.array_equal(again.labels, again.predicted)


def test_nothing_is_written_when_nothing_changed(analysis: Analysis, workspace: Workspace, dataset: Dataset) -> None:
    before = (analysis.folder / "analysis.json").stat().st_mtime_ns
    refresh(workspace, analysis.id, dataset, MODEL)
    assert (analysis.folder / "analysis.json").stat().st_mtime_ns == before


def test_another_head_says_other_things(analysis: Analysis) -> None:
    head = Head(-analysis.head.weight, analysis.head.bias)
    other = with_head(analysis, head, "other")
    assert np.array_equal(other.labels, other.predicted)
    assert not np.array_equal(other.labels, analysis.labels)
    assert math.isnan(other.accuracy)


def test_what_an_earlier_version_wrote_opens_as_labelled(
    workspace: Workspace, dataset: Dataset, analysis: Analysis
) -> None:
    labelled = replace(dataset, classes=("cat", "dog"), labels=np.arange(N, dtype=np.int64) % 2, source="metadata-csv")
    refresh(workspace, analysis.id, labelled, MODEL)
    file = analysis.folder / "analysis.json"
    facts = read_json(file)
    del facts["labelled"], facts["dataset"]["choices"], facts["dataset"]["source"]
    write_json(file, facts)
    old = open_analysis(workspace, analysis.id)
    assert old.labelled
    assert old.choices == Choices()
    assert old.dataset_source == "class-folders"
    assert old.image_path(3) == labelled.root / "003.jpg"


def test_whatever_needs_labels_says_so_in_one_sentence(analysis: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "grass")
    tag(workspace, analysis, concept, np.arange(60), True)
    refused = [
        lambda: suspects(analysis),
        lambda: explain(workspace, analysis),
        lambda: judge(workspace, analysis, [0], "wrong"),
        lambda: check_request(workspace, analysis, "mid", ["grass"]),
        lambda: preview(workspace, analysis, concepts=["grass"]),
        lambda: retrain(workspace, analysis, concepts=["grass"]),
        lambda: parse_facet("correctness", analysis),
    ]
    for call in refused:
        with pytest.raises(BadRequest, match="The images of holiday have no labels") as raised:
            call()
        assert raised.value.title == "These images have no labels"
        assert raised.value.next_step


def test_no_repair_is_previewed_while_tagging(analysis: Analysis, workspace: Workspace) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "grass")
    tag(workspace, analysis, concept, np.arange(0, 60), True)
    tag(workspace, analysis, concept, np.arange(60, 120), False)
    with closing(LiveRepair(workspace, analysis)) as repair:
        repair.follow()
        found = repair.wait(30)
    assert found is not None
    assert found.estimate is None
    assert "have no labels" in found.problem


def test_what_can_be_looked_at_leaves_right_and_wrong_out(analysis: Analysis, workspace: Workspace) -> None:
    direction = parse_direction("logit:dog", analysis)
    index = open_index(analysis, direction)
    low, high = float(index.values[0]), float(index.values[-1])
    band = summarise(analysis, index, low, high, closed=True)
    assert (band.count, band.accuracy) == (N, None)
    assert sum(band.classes.values()) == N
    assert "right" not in sentence(band, band)
    sheet = contact_sheet(
        analysis, direction, index, sheet_edges(index, 3), facets=[parse_facet("class", analysis)], per_band=2, seed=0
    )
    assert [one.accuracy for one in sheet.bands] == [None] * 3
    assert facet_specs(analysis)[0] == ("class", "prediction")
    assert "correctness" not in dict(facet_specs(analysis))
    assert "wrong" not in describe(analysis, np.arange(10)).sentence()
    assert "nan" not in describe(analysis, np.arange(10)).sentence()
    assert neighbours(analysis, 0, 3).to_dicts(analysis)[0]["correct"] is None
    assert not any("taken for another class" in one.why for one in scoreboard(analysis, ["logit:cat", "logit:dog"]))
    assert label_verdicts(workspace, analysis).count == 0
    assert len(suggest_next(workspace, analysis, None, budget=5)) == 5


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (["bands", "--direction", "logit:dog"], {"edges"}),
        (["sample", "--direction", "logit:dog", "--low", "-99", "--high", "99", "--count", "4"], {"images"}),
        (["closer", "--image", "000.jpg"], {"neighbours"}),
        (["suggest", "--budget", "4"], {"images"}),
    ],
)
def test_commands_work_and_give_no_label(
    analysis: Analysis, workspace: Workspace, capsys: pytest.CaptureFixture[str], command: list[str], keys: set[str]
) -> None:
    assert main([*command, "--workspace", str(workspace.root), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert keys <= set(answer)
    for image in [one for key in keys & {"images", "neighbours"} for one in answer[key]]:
        assert image["label"] is None
    assert main([*command, "--workspace", str(workspace.root)]) == 0
    shown = capsys.readouterr().out
    assert "nan" not in shown
    assert "wrongly" not in shown


def test_retraining_is_refused_on_the_command_line(
    analysis: Analysis, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retrain", "--method", "mid", "--workspace", str(workspace.root), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["title"] == "These images have no labels"


def test_verdicts_made_before_the_labels_were_taken_away_count_for_nothing(
    workspace: Workspace, dataset: Dataset, analysis: Analysis
) -> None:
    labelled = replace(dataset, classes=("cat", "dog"), labels=np.arange(N, dtype=np.int64) % 2)
    judge(workspace, refresh(workspace, analysis.id, labelled, MODEL), [0, 1, 2], "wrong")
    assert label_verdicts(workspace, open_analysis(workspace)).count == 3
    held = label_verdicts(workspace, refresh(workspace, analysis.id, dataset, MODEL))
    assert (held.count, held.judged.any(), held.excluded.any()) == (0, False, False)


def test_verdicts_of_a_file_are_refused_where_there_are_no_labels(
    workspace: Workspace, dataset: Dataset, analysis: Analysis, tmp_path: Path
) -> None:
    labelled = replace(dataset, classes=("cat", "dog"), labels=np.arange(N, dtype=np.int64) % 2)
    fresh = refresh(workspace, analysis.id, labelled, MODEL)
    judge(workspace, fresh, [0, 1, 2], "wrong")
    file = tmp_path / "tags.json"
    export_tags(workspace, fresh, file)
    undo(workspace, fresh.dataset_id)
    bare = refresh(workspace, analysis.id, dataset, MODEL)
    found = import_tags(workspace, bare, file)
    assert found.verdicts == 0
    assert len(found.rejected) == 3
    assert all("have no labels" in line.reason for line in found.rejected)
    assert import_tags(workspace, refresh(workspace, analysis.id, labelled, MODEL), file).verdicts == 3


def test_a_run_whose_labels_were_taken_away_is_not_compared(
    workspace: Workspace, dataset: Dataset, analysis: Analysis, tmp_path: Path
) -> None:
    labelled = replace(dataset, classes=("cat", "dog"), labels=np.arange(N, dtype=np.int64) % 2)
    fresh = refresh(workspace, analysis.id, labelled, MODEL)
    runs = [retrain(workspace, fresh, method="class-balanced", seed=seed) for seed in (0, 1)]
    root = str(workspace.root)
    assert main(["compare", "--run", runs[0].run, "--workspace", root, "--json"]) == 0
    bare = refresh(workspace, analysis.id, dataset, MODEL)
    assert main(["compare", "--run", runs[0].run, "--workspace", root, "--json"]) != 0
    for call in (
        lambda: compare_runs(workspace, runs[0].run, runs[1].run),
        lambda: write_export(workspace, runs[0].run, tmp_path / "out"),
        lambda: make_report(workspace, bare, runs[0].to_dict(), Models((), (), (), 0, False), ()),
    ):
        with pytest.raises(BadRequest, match="have no labels"):
            call()
    assert not (tmp_path / "out").exists()


def test_predictions_are_not_called_classes(
    workspace: Workspace, analysis: Analysis, capsys: pytest.CaptureFixture[str]
) -> None:
    concept = create_concept(workspace, analysis.dataset_id, "grass")
    tag(workspace, analysis, concept, np.arange(60), True)
    [summary] = summarise_concepts(workspace, analysis)
    assert summary.to_dict()["labelled"] is False
    table = concept_table(workspace, analysis, concept, np.zeros(N), np.array([-1.0, 1.0]))
    assert table.to_dict()["labelled"] is False

    def said(*words: str) -> str:
        assert main([*words, "--workspace", str(workspace.root)]) == 0
        return capsys.readouterr().out

    bands = said("bands", "--direction", "logit:dog")
    assert "predicted cat" in bands
    assert "cannot show what the model gets wrong" in bands
    assert json.loads(said("bands", "--direction", "logit:dog", "--json"))["labelled"] is False
    closer = said("closer", "--image", "000.jpg")
    assert "its prediction" in closer
    assert "its label" not in closer
    assert json.loads(said("closer", "--image", "000.jpg", "--json"))["labelled"] is False
    header = next(line for line in said("concepts").splitlines() if "odds ratio" in line)
    assert header.split()[0] == "predicted"
