"""`directions`, `curve` and `contact-sheet` on a planted analysis, as a person and as a program calls them."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.activations.store import Analysis
from core.activations.vectors import save_vector
from core.concepts.concept import create_concept
from core.concepts.tags import tag
from core.storage.checksums import MANIFEST
from core.workspace import Workspace
from tests.core.planted_birds import called, plant_birds


@pytest.fixture
def analysis(workspace: Workspace, tmp_path: Path) -> Analysis:
    """2,000 images; neuron 1 sees the place, which goes with the class in 95% and which the head leans on."""
    return plant_birds(workspace, tmp_path, np.arange(2000) % 2, 0.95)


@pytest.fixture
def run(workspace: Workspace, analysis: Analysis) -> Any:
    return lambda *arguments: called(*arguments, "--workspace", workspace.root, "--quiet")


def test_directions_ranks_the_planted_shortcut_first(run: Any) -> None:
    result = run("directions", "--kind", "neuron", "--json").object
    assert result["directions"][0]["direction"] == "neuron:1"
    assert result["total"] == 6
    assert result["suspicious"] >= 1
    first = result["directions"][0]
    assert first["suspicious"]
    assert "waterbird" in first["why"] or "landbird" in first["why"]
    # judged by val
    assert sum(first["counts"]) == 1000
    assert {"skew", "harm", "clump", "error"} <= first["evidence"].keys()


def test_directions_tells_people_where_to_look(run: Any, analysis: Analysis) -> None:
    printed = run("directions", "--limit", 3)
    assert printed.code == 0
    assert "3 are shown" in printed.out
    following = shlex.split(printed.out.split("Next: python -m core ")[1])
    assert following[0] == "sample"
    # as given here
    assert following[-2] == "--workspace"
    sampled = run(*following, "--split", "val", "--json", "--count", 500).object
    best = run("directions", "--limit", 1, "--json").object["directions"][0]
    # the band in the advice holds the images that the sentence is about
    assert sampled["total"] >= best["evidence"]["mid_images"]
    assert sampled["total"] <= best["evidence"]["mid_images"] + 2


def test_the_next_command_looks_at_the_same_images(run: Any, workspace: Workspace, analysis: Analysis) -> None:
    given = ("--analysis", analysis.id, "--split", "train", "--filter", "attribute:place=land,water")
    printed = run("directions", "--kind", "neuron", *given)
    following = shlex.split(printed.out.split("Next: python -m core ")[1])
    assert following[-8:] == ["--workspace", str(workspace.root), *given]
    best = run("directions", "--kind", "neuron", "--limit", 1, *given, "--json").object["directions"][0]
    sampled = run(*following, "--json", "--count", 500).object
    assert best["evidence"]["mid_images"] <= sampled["total"] <= best["evidence"]["mid_images"] + 2


def test_the_usual_workspace_is_not_repeated(
    run: Any, workspace: Workspace, analysis: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    following = run("directions", "--kind", "logit").out.split("Next: ")[1]
    assert not any(f"--{name}" in following for name in ("workspace", "analysis", "split", "filter"))


def test_a_kind_named_twice_is_ranked_once(run: Any) -> None:
    assert run("directions", "--kind", "logit,logit", "--json").object["total"] == 2


def test_a_filter_that_leaves_nobody_is_said_so(run: Any) -> None:
    printed = run("curve", "--direction", "logit:waterbird", "--split", "test")
    assert printed.code == 0
    assert "No image is left to look at" in printed.out
    assert "nothing is known" not in printed.out.casefold()


def test_directions_takes_kinds_splits_concepts_and_vectors(run: Any, workspace: Workspace, analysis: Analysis) -> None:
    save_vector(analysis, "mine", np.arange(6, dtype=np.float32))
    concept = create_concept(workspace, analysis.dataset_id, "reeds")
    create_concept(workspace, analysis.dataset_id, "untagged")
    val = analysis.split_rows("val")[:60]
    shown = analysis.attributes[0].codes[val] == 1
    tag(workspace, analysis, concept, val[shown], True)
    tag(workspace, analysis, concept, val[~shown], False)
    result = run("directions", "--json", "--limit", 100, "--split", "train").object
    specs = {one["direction"] for one in result["directions"]}
    # a concept nobody tagged with has no direction
    assert specs == {
        "logit:landbird",
        "logit:waterbird",
        *(f"neuron:{i}" for i in range(6)),
        "concept:reeds",
        "vector:mine",
    }
    kinds = run("directions", "--json", "--kind", "difference,pc").object["directions"]
    assert {one["kind"] for one in kinds} == {"difference", "pc"}
    wrong = run("directions", "--json", "--filter", "class=waterbird").object["directions"]
    assert sum(wrong[0]["counts"]) == np.count_nonzero(analysis.labels == 1)


def test_curve_of_everything_known_and_of_one_thing(run: Any, workspace: Workspace, analysis: Analysis) -> None:
    result = run("curve", "--direction", "logit:waterbird", "--json").object
    (one,) = result["curves"]
    assert (one["facet"], one["value"]) == ("attribute:place", "water")
    assert [line["name"] for line in one["curves"]] == ["all images", "landbird", "waterbird"]
    assert sum(one["curves"][0]["counts"]) == analysis.n
    values, water = analysis.logits[:, 1], analysis.attributes[0].codes == 1
    for name in ("mid", "top"):
        band = result[name]
        inside = (values >= band["low"]) & (values <= band["high"])
        assert (one[name]["shown"], one[name]["count"]) == (np.sum(inside & water), np.sum(inside))
    same = run("curve", "--direction", "logit:waterbird", "--attribute", "place", "--json").object
    assert same == result
    concept = create_concept(workspace, analysis.dataset_id, "reeds")
    tag(workspace, analysis, concept, np.arange(0, 100, 2), True)
    tag(workspace, analysis, concept, np.arange(1, 100, 2), False)
    both = run("curve", "--direction", "logit:waterbird", "--json").object["curves"]
    assert [one["facet"] for one in both] == ["attribute:place", "concept:reeds"]
    val = run("curve", "--direction", "neuron:0", "--concept", "reeds", "--split", "val", "--json").object["curves"]
    assert val[0]["known"] == 50
    guessed = run("curve", "--direction", "neuron:0", "--concept", "reeds", "--estimate", "--json").object["curves"]
    assert guessed[0]["curves"][-1]["name"] == "all images, estimated"
    assert sum(guessed[0]["curves"][-1]["counts"]) == analysis.n


def test_curve_is_readable(run: Any) -> None:
    printed = run("curve", "--direction", "logit:waterbird", "--bins", 4)
    assert printed.code == 0
    lines = printed.out.splitlines()
    assert lines[0] == "Along the logit of waterbird"
    assert lines[2].startswith("place water: ")
    assert sum(line.startswith("  [") for line in lines) == 4
    assert "waterbird" in lines[4]


def test_contact_sheet_is_written_and_described(run: Any, analysis: Analysis, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    result = run(
        "contact-sheet", "--direction", "logit:waterbird", "--bands", 4, "--per-band", 3, "--out", file, "--json"
    ).object
    assert result["files"] == [str(file)]
    assert Image.open(file).size[0] > 2000
    assert len(result["bands"]) == 4
    assert sum(band["count"] for band in result["bands"]) == analysis.n
    assert result["bands"][0]["label"] == "top"
    assert max(len(band["rows"]) for band in result["bands"]) == 3
    counted = run("bands", "--direction", "logit:waterbird", "--count", 4, "--json").object["bands"]
    assert [band["count"] for band in reversed(result["bands"])] == [band["count"] for band in counted]


def test_contact_sheet_with_given_edges_as_pdf(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "sheet.pdf"
    printed = run("contact-sheet", "--direction", "neuron:0", "--edges", "-1,0,1", "--split", "val", "--out", file)
    assert printed.code == 0
    assert file.read_bytes().startswith(b"%PDF-")
    assert f"Written: {file}" in printed.out
    assert "lie in no band" in printed.out
    assert "1,000 images" in printed.out


MISTAKES = [
    (("directions", "--kind", "cheese"), "cheese"),
    (("directions", "--filter", "class=duck"), "duck"),
    (("curve", "--direction", "logit:duck"), "duck"),
    (("curve", "--direction", "neuron:0", "--attribute", "plaice"), "plaice"),
    (("curve", "--direction", "neuron:0", "--concept", "fog"), "fog"),
    (("curve", "--direction", "neuron:0", "--attribute", "place", "--concept", "reeds"), "exclude each other"),
    (("curve", "--direction", "neuron:0", "--estimate"), "--concept NAME"),
    (("curve", "--direction", "neuron:0", "--bins", "300000000"), "1 to 1000 bins"),
    (("curve",), "--direction"),
    (("contact-sheet", "--direction", "neuron:0"), "--out"),
    (("contact-sheet", "--direction", "neuron:0", "--out", "x.gif"), ".png or .pdf"),
    (("contact-sheet", "--direction", "neuron:0", "--bands", "99", "--out", "x.png"), "24 bands"),
    (("contact-sheet", "--direction", "neuron:0", "--edges", "1,0", "--out", "x.png"), "larger than the one before"),
    (("contact-sheet", "--direction", "neuron:0", "--edges", "0,1", "--quantiles", "--out", "x.png"), "exclude"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_mistakes_end_with_2_and_a_next_step(run: Any, arguments: tuple[str, ...], said: str) -> None:
    printed = run(*arguments)
    assert printed.code == 2
    assert said in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_untagged_concepts_have_no_curve(run: Any, workspace: Workspace, analysis: Analysis) -> None:
    create_concept(workspace, analysis.dataset_id, "reeds")
    printed = run("curve", "--direction", "neuron:0", "--concept", "reeds")
    assert printed.code == 2
    assert "suggest" in printed.err


def test_an_unlabelled_dataset_is_told_what_to_do(run: Any, workspace: Workspace, analysis: Analysis) -> None:
    for file in (analysis.folder / "attributes").iterdir():
        file.unlink()
    (analysis.folder / MANIFEST).unlink()
    description = analysis.folder / "analysis.json"
    facts = json.loads(description.read_text(encoding="utf-8"))
    description.write_text(json.dumps({**facts, "attributes": []}), encoding="utf-8")
    printed = run("curve", "--direction", "neuron:0")
    assert printed.code == 2
    assert "metadata.csv" in printed.err
    # directions are ranked all the same, by errors and clumps
    assert run("directions", "--kind", "logit", "--json").object["total"] == 2
