"""The whole loop from the command line, from an empty folder to the export, on a small dataset with planted truth."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.__main__ import main
from core.workspace import open_workspace

ROOT = Path(__file__).parents[2]
SIDE = 16
IMAGES, TESTED = 800, 200


@dataclass(frozen=True)
class Printed:
    code: int
    out: str
    err: str

    @property
    def object(self) -> dict[str, Any]:
        """What `--json` printed; nothing else may stand beside it."""
        lines = self.out.splitlines()
        assert len(lines) == 1, f"{len(lines)} lines on stdout: {self.out[:500]}"
        return json.loads(lines[0])


def run(*arguments: object) -> Printed:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Printed(code, out.getvalue(), err.getvalue())


def place_of(image: str) -> str:
    """The planted confounder, which the file's name gives away."""
    return image.split("_")[1]


def plant(root: Path, n: int = IMAGES) -> Path:
    """Red or yellow discs (the class) on water or land (the confounder, which agrees in 95% of train and val)."""
    rng = np.random.default_rng(7)
    splits = np.repeat([0, 1, 2], [n // 2, n // 4, n // 4])
    y = rng.integers(0, 2, n)
    agrees = np.where(splits == 2, rng.random(n) < 0.5, rng.random(n) < 0.95)
    water = np.where(agrees, y, 1 - y)
    rows = []
    (root / "images").mkdir(parents=True)
    for i in range(n):
        ground = np.array([40, 90, 170]) if water[i] else np.array([60, 130, 50])
        pixels = ground + rng.normal(0, 25, (SIDE, SIDE, 3))
        down, right = rng.integers(3, SIDE - 3, 2)
        rows_, columns = np.ogrid[:SIDE, :SIDE]
        disc = (rows_ - down) ** 2 + (columns - right) ** 2 <= 4
        pixels[disc] = np.array([200, 80 if y[i] else 160, 60]) + rng.normal(0, 20, 3)
        name = f"images/{i:04d}_{'water' if water[i] else 'land'}.png"
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name)
        rows.append([name, y[i], ("yellow", "red")[y[i]], splits[i], water[i], ("land", "water")[water[i]]])
    with open(root / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["img_filename", "y", "y_name", "split", "place", "place_name"])
        writer.writerows(rows)
    (root / "images" / "0003_broken.png").write_bytes(b"not an image")
    with open(root / "metadata.csv", "a") as file:
        file.write("images/0003_broken.png,1,red,0,1,water\nimages/absent.png,1,red,0,1,water\n")
    return root


@dataclass(frozen=True)
class Loop:
    data: Path
    workspace: Path
    model: Path
    trained: dict[str, Any]
    analysed: dict[str, Any]
    suggested: dict[str, Any]
    tagged: dict[str, Any]
    retrained: dict[str, Any]

    def json(self, *arguments: object) -> dict[str, Any]:
        printed = run(*arguments, "--workspace", self.workspace, "--json")
        assert printed.code == 0, printed.err
        return printed.object

    def text(self, *arguments: object) -> str:
        printed = run(*arguments, "--workspace", self.workspace)
        assert printed.code == 0, printed.err
        return printed.out


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    """Train, analyse, suggest, tag by the planted truth, retrain: each by one command."""
    folder = tmp_path_factory.mktemp("loop")
    data, workspace, model = plant(folder / "discs"), folder / "workspace", folder / "model.safetensors"

    def call(*arguments: object) -> dict[str, Any]:
        printed = run(*arguments, "--json", "--workspace", workspace)
        assert printed.code == 0, printed.err
        return printed.object

    trained = call("train", "--data", data, "--arch", "small", "--epochs", 8, "--image-size", SIDE, "--out", model)
    analysed = call("analyse", "--data", data, "--model", model)
    suggested = call("suggest", "--budget", 60)
    table = folder / "tags.csv"
    with open(table, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "concept", "present"])
        for image in suggested["images"]:
            writer.writerow([image["image"], "water", int(place_of(image["image"]) == "water.png")])
        writer.writerow(["images/nowhere.png", "water", 1])
        writer.writerow([suggested["images"][0]["image"], "water", "perhaps"])
    tagged = call("tag", "--csv", table)
    retrained = call("retrain", "--method", "mid", "--concepts", "water", "--seed", 1, "--wait")
    return Loop(data, workspace, model, trained, analysed, suggested, tagged, retrained)


def test_train_gives_a_model_that_cheats(loop: Loop) -> None:
    assert loop.trained["model"] == str(loop.model)
    assert loop.model.is_file()
    assert loop.trained["arch"] == "small"
    groups = {(group["class"], group["concept"]): group["accuracy"] for group in loop.trained["groups"]}
    assert set(groups) == {(c, p) for c in ("red", "yellow") for p in ("land", "water")}
    assert min(groups.values()) < 0.5
    assert max(groups.values()) > 0.9


def test_analyse_lists_what_it_left_out(loop: Loop) -> None:
    assert loop.analysed["images"] == IMAGES
    assert loop.analysed["classes"] == ["yellow", "red"]
    assert loop.analysed["accuracy"] == pytest.approx(loop.trained["accuracy"], abs=0.01)
    skipped = {problem["image"]: problem["reason"] for problem in loop.analysed["skipped"]}
    assert set(skipped) == {"images/0003_broken.png", "images/absent.png"}
    assert all(skipped.values())


def test_second_analysis_of_the_same_is_the_first_one(loop: Loop) -> None:
    again = loop.json("analyse", "--data", loop.data, "--model", loop.model)
    assert again["analysis"] == loop.analysed["analysis"]


def test_band_counts_sum_to_all_images(loop: Loop) -> None:
    bands = loop.json("bands", "--direction", "logit:red", "--count", 7)
    assert bands["direction"] == "logit:red"
    assert len(bands["edges"]) == 8
    assert sum(band["count"] for band in bands["bands"]) == IMAGES
    for band in bands["bands"]:
        assert sum(band["classes"].values()) == band["count"]
    tagged = sum(band["concepts"]["water"] for band in bands["bands"])
    assert tagged == sum(place_of(image["image"]) == "water.png" for image in loop.suggested["images"])


def test_negative_edges_and_bounds_are_values_not_options(loop: Loop) -> None:
    bands = loop.json("bands", "--direction", "difference:red-yellow", "--edges", "-2,0,2")
    assert bands["edges"] == [-2.0, 0.0, 2.0]
    everything = bands["below"] + bands["above"] + sum(band["count"] for band in bands["bands"])
    assert everything == IMAGES
    drawn = loop.json(
        "sample", "--direction", "difference:red-yellow", "--low", "-2", "--high", "-1e-3", "--count", "5000"
    )
    assert all(-2 <= image["activation"] < -1e-3 for image in drawn["images"])


def test_every_image_of_a_band_can_be_drawn(loop: Loop) -> None:
    bands = loop.json("bands", "--direction", "logit:red", "--count", 5)["bands"]
    ids: list[int] = []
    for band in bands:
        drawn = loop.json(
            "sample", "--direction", "logit:red", "--low", band["low"], "--high", band["high"], "--count", 5000
        )
        assert len(drawn["images"]) == band["count"]
        ids += [image["id"] for image in drawn["images"]]
    assert sorted(ids) == sorted(set(ids))
    assert len(ids) == IMAGES


def test_sample_keeps_to_class_and_split_and_seed(loop: Loop) -> None:
    command = ("sample", "--direction", "logit:red", "--count", 20, "--class", "red", "--split", "val", "--seed", 3)
    first, again = loop.json(*command), loop.json(*command)
    assert first == again
    assert len(first["images"]) == 20
    for image in first["images"]:
        assert {"id", "image", "activation", "label", "predicted"} <= set(image)
        assert image["label"] == "red"
        assert image["split"] == "val"
    activations = [image["activation"] for image in first["images"]]
    assert activations == sorted(activations, reverse=True)


def test_pages_of_a_sample_hold_every_image_once(loop: Loop) -> None:
    command = ("sample", "--direction", "margin:red", "--low", "-1", "--count", 90, "--order")
    for order in ("surprising", "diverse"):
        first = loop.json(*command, order)
        others = [loop.json(*command, order, "--page", page) for page in range(2, first["pages"] + 1)]
        ids = [image["id"] for page in (first, *others) for image in page["images"]]
        assert len(ids) == len(set(ids)) == first["total"] > 180
        assert [page["page"] for page in (first, *others)] == list(range(1, first["pages"] + 1))


def test_filter_and_facet_agree_with_the_images(loop: Loop) -> None:
    chosen = ("--direction", "probability:red", "--filter", "correctness=wrong;split=test")
    drawn = loop.json("sample", *chosen, "--count", 5000)["images"]
    assert all(image["label"] != image["predicted"] and image["split"] == "test" for image in drawn)
    bands = loop.json("bands", *chosen, "--count", 4, "--facet", "attribute:place")
    assert bands["facet"] == "attribute:place"
    assert bands["images"] == len(drawn) > 10
    water = sum(band["parts"]["water"] for band in bands["bands"])
    assert water == sum(place_of(image["image"]) == "water.png" for image in drawn)
    assert all(sum(band["parts"].values()) == band["count"] for band in bands["bands"])
    assert "land" in loop.text("bands", *chosen, "--facet", "attribute:place")


@pytest.mark.parametrize("spec", ["pc:0", "logit:red"])
def test_bands_of_quantiles_hold_what_is_drawn_from_them(loop: Loop, spec: str) -> None:
    """Along dense directions too: their sums are done once, for both commands."""
    bands = loop.json("bands", "--direction", spec, "--quantiles", "--count", 12, "--split", "train")["bands"]
    assert len(bands) == 12
    for band in bands:
        ends = ("--low", band["low"], "--high", band["high"], *(["--closed"] if band["closed"] else []))
        drawn = loop.json("sample", "--direction", spec, *ends, "--count", 1, "--split", "train")
        assert (drawn["total"], drawn["closed"]) == (band["count"], band["closed"])


def test_the_same_ends_are_the_same_band_whatever_is_filtered(loop: Loop) -> None:
    chosen = ("--direction", "logit:red", "--filter", "class=yellow")
    filtered = loop.json("bands", *chosen)
    yellow, highest = filtered["images"], filtered["edges"][-1]
    everything = loop.json("bands", "--direction", "logit:red")["edges"]
    assert everything[0] < highest < everything[-1]
    band = loop.json("bands", *chosen, "--edges", f"{everything[0]!r},{highest!r},1000")["bands"][0]
    ends = ("--low", everything[0], "--high", highest)
    drawn = loop.json("sample", *chosen, *ends)
    assert (drawn["total"], drawn["closed"]) == (band["count"], band["closed"]) == (yellow - 1, False)
    assert "1 image lies exactly at" in drawn["note"]
    closed = loop.json("sample", *chosen, *ends, "--closed")
    assert (closed["total"], closed["note"]) == (band["count"] + 1, "")
    # the maximum of all has its place in a band that ends there
    assert loop.json("sample", "--direction", "logit:red", "--low", 0, "--high", everything[-1])["closed"]


def test_saying_a_value_of_a_filter_twice_is_saying_it(loop: Loop) -> None:
    once, twice, terms = (
        loop.json("bands", "--direction", "logit:red", "--filter", text)
        for text in ("class=red", "class=red,red", "class=red;class=red")
    )
    assert once == twice == terms
    assert once["images"] < IMAGES


def test_a_filter_that_leaves_nothing_is_told_as_it_is(loop: Loop, tmp_path: Path) -> None:
    nothing = ("--direction", "logit:red", "--filter", "class=red;class=yellow")
    assert loop.json("bands", *nothing)["note"].startswith("No image is left")
    for edges in ((), ("--edges", "0,1")):
        sheet = loop.json("contact-sheet", *nothing, "--out", tmp_path / "sheet.png", *edges)
        assert sheet["total"] == 0
        assert sheet["note"].startswith("No image is left")


@pytest.mark.parametrize("rule", ["mid-gap", "own-low", "boundary", "quantiles"])
def test_a_mid_rule_gives_the_band_that_is_sampled(loop: Loop, rule: str) -> None:
    proposed = loop.json("bands", "--direction", "logit:red", "--mid-rule", rule)["presets"]["mid"]
    drawn = loop.json("sample", "--direction", "logit:red", "--preset", "mid", "--mid-rule", rule)
    assert (drawn["low"], drawn["high"]) == (proposed["low"], proposed["high"])
    assert drawn["total"] > 0


def test_suggestions_are_held_out_images_with_a_reason(loop: Loop) -> None:
    images = loop.suggested["images"]
    assert len({image["id"] for image in images}) == 60
    assert {image["why"] for image in images} >= {"own-low", "top"}
    assert loop.suggested["split"] == "val"


def test_suggestions_hold_most_of_the_planted_minority(loop: Loop) -> None:
    held_out = loop.json("sample", "--direction", "logit:red", "--split", "val", "--count", 5000)["images"]
    minority = {
        image["id"] for image in held_out if (image["label"] == "red") != (place_of(image["image"]) == "water.png")
    }
    suggested = {image["id"] for image in loop.suggested["images"]}
    assert len(minority & suggested) >= 0.7 * len(minority) > 0


def test_tag_says_which_lines_it_rejected(loop: Loop) -> None:
    assert loop.tagged["added"] == 60
    assert [line["row"] for line in loop.tagged["rejected"]] == [62, 63]
    assert all(line["reason"] for line in loop.tagged["rejected"])


def test_suggest_passes_over_what_is_tagged(loop: Loop) -> None:
    later = loop.json("suggest", "--budget", 30, "--concept", "WATER")
    assert not {image["id"] for image in later["images"]} & {image["id"] for image in loop.suggested["images"]}


def test_concepts_count_their_tags(loop: Loop) -> None:
    (concept,) = loop.json("concepts")["concepts"]
    assert concept["concept"] == "water"
    assert concept["present"] + concept["absent"] == 60


def test_concept_is_a_direction_that_sees_the_planted_water(loop: Loop) -> None:
    drawn = loop.json("sample", "--direction", "concept:water", "--count", 5000, "--split", "test")["images"]
    top, bottom = drawn[: len(drawn) // 4], drawn[-len(drawn) // 4 :]
    share_top = np.mean([place_of(image["image"]) == "water.png" for image in top])
    share_bottom = np.mean([place_of(image["image"]) == "water.png" for image in bottom])
    assert share_top > 0.9
    assert share_bottom < 0.1


def test_retraining_raises_the_worst_group(loop: Loop) -> None:
    before, after = loop.retrained["before"], loop.retrained["after"]
    for evaluation in (before, after):
        assert {"average", "weighted_average", "worst_group", "groups"} <= set(evaluation)
        assert all({"class", "concept", "count", "accuracy"} <= set(group) for group in evaluation["groups"])
        assert evaluation["worst_group"] == min(group["accuracy"] for group in evaluation["groups"])
    assert loop.retrained["seconds"] > 0
    assert after["worst_group"] > before["worst_group"] + 0.1


def test_compare_names_the_images_that_flipped(loop: Loop) -> None:
    compared = loop.json("compare", "--run", loop.retrained["run"])
    assert compared["before"] == loop.retrained["before"]
    gained = len(compared["fixed"]) - len(compared["broken"])
    assert gained == round((compared["after"]["average"] - compared["before"]["average"]) * TESTED)
    assert all(image["before"] != image["label"] == image["after"] for image in compared["fixed"])
    assert all(image["before"] == image["label"] != image["after"] for image in compared["broken"])


def test_export_gives_a_model_that_scores_as_the_run_said(loop: Loop, tmp_path: Path) -> None:
    out = tmp_path / "repaired"
    files = loop.json("export", "--run", loop.retrained["run"], "--out", out)["files"]
    assert {Path(file).name for file in files} >= {
        "model.safetensors",
        "model.pt",
        "model-torchscript.pt",
        "model-card.md",
        "tags.csv",
        "curated.csv",
        "replay.json",
        "report.json",
        "report.html",
    }
    assert all(Path(file).is_file() for file in files)
    other = tmp_path / "other"
    printed = run("analyse", "--data", loop.data, "--model", out / "model.safetensors", "--workspace", other, "--json")
    assert printed.object["accuracy"] == pytest.approx(loop.retrained["after"]["average"], abs=1e-9)
    # the exported tags are a table that `tag` reads
    again = run("tag", "--csv", out / "tags.csv", "--workspace", other, "--json").object
    assert (again["added"], again["rejected"]) == (60, [])
    only = loop.json("export", "--run", loop.retrained["run"], "--out", tmp_path / "few", "--formats", "torchscript")
    assert only["refused"] == []
    names = {Path(file).name for file in only["files"]}
    assert "model-torchscript.pt" in names
    assert not names & {"model.onnx", "model.pt2"}
    # and the exported recipe gives the run again
    assert loop.json("replay", out)["same"]


def test_retrain_without_wait_answers_at_once(loop: Loop) -> None:
    from core.jobs import wait_for

    answer = loop.json("retrain", "--method", "class-balanced")
    assert answer["run"]
    assert answer["before"] is None
    assert answer["after"] is None
    early = run("compare", "--run", answer["run"], "--workspace", loop.workspace, "--json")
    if early.code:
        # unless the job was quicker
        assert early.object["title"] == "The run has no result yet"
    assert wait_for(open_workspace(loop.workspace), answer["job"], timeout=60).state == "done"
    assert loop.json("compare", "--run", answer["run"])["method"] == "class-balanced"


def test_every_command_speaks_to_people_too(loop: Loop) -> None:
    assert f"logit of red, {IMAGES} images" in loop.text("bands", "--direction", "logit:red")
    said = loop.text("sample", "--direction", "logit:red", "--preset", "mid", "--count", "5")
    assert "5 of the " in said
    assert "predicted rightly" in said
    assert "to tag next" in loop.text("suggest", "--budget", "4")
    assert "water" in loop.text("concepts")
    assert "worst group" in loop.text("compare")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("bands", "--direction", "logit:blue"), "NotFound", "yellow, red"),
        (("bands", "--direction", "sideways"), "NotFound", "logit:CLASS"),
        (("bands", "--direction", "neuron:4000"), "NotFound", "neuron"),
        (("bands", "--direction", "concept:grass"), "NotFound", "grass"),
        (("bands", "--direction", "logit:red", "--edges", "3,1"), "BadRequest", "larger"),
        (("bands", "--direction", "logit:red", "--count", "0"), "BadRequest", "less than 1"),
        (("bands", "--direction", "logit:red", "--edges", "--json"), "BadRequest", "expected one argument"),
        (("bands",), "BadRequest", "--direction"),
        (("sample", "--direction", "logit:red", "--low", "2", "--high", "1"), "BadRequest", "low end"),
        (("sample", "--direction", "logit:red", "--low", "nan"), "BadRequest", "nan is none"),
        (("sample", "--direction", "logit:red", "--class", "blue"), "NotFound", "blue"),
        (("sample", "--direction", "logit:red", "--split", "holdout"), "BadRequest", "holdout"),
        (("sample", "--direction", "logit:red", "--preset", "mid", "--low", "1"), "BadRequest", "exclude"),
        (("sample", "--direction", "logit:red", "--preset", "mid", "--mid-rule", "best"), "BadRequest", "own-low"),
        (("sample", "--direction", "logit:red", "--order", "nicest"), "BadRequest", "typical"),
        (("sample", "--direction", "logit:red", "--filter", "class=blue"), "BadRequest", "class=blue"),
        (("sample", "--direction", "logit:red", "--filter", "class=red;place=land"), "BadRequest", "class=red”"),
        (("bands", "--direction", "logit:red", "--facet", "attribute:sky"), "NotFound", "place"),
        (("bands", "--direction", "vector:mine"), "NotFound", "Upload a vector"),
        (("suggest", "--concept", "grass"), "NotFound", "grass"),
        (("tag", "--csv", "/nowhere/tags.csv"), "PathNotFound", "tags.csv"),
        (("retrain", "--concepts", "grass"), "NotFound", "grass"),
        (("retrain", "--method", "magic"), "NotFound", "magic"),
        (("compare", "--run", "nothing"), "NotFound", "nothing"),
        (("compare", "--run", "../../etc"), "NotFound", "id of a run"),
        (("export", "--run", "nothing", "--out", "/tmp/x"), "NotFound", "nothing"),
        (("bands", "--direction", "logit:red", "--analysis", "gone"), "NotFound", "gone"),
        (("analyse", "--data", "/nowhere", "--model", "x.pt"), "PathNotFound", "/nowhere"),
        (("train", "--data", "/nowhere", "--out", "x.safetensors"), "PathNotFound", "/nowhere"),
        (("cook",), "BadRequest", "cook"),
        ((), "BadRequest", "COMMAND"),
    ],
)
def test_problem_exits_2_with_a_next_step(loop: Loop, arguments: tuple[str, ...], error: str, words: str) -> None:
    printed = run(*arguments, "--workspace", loop.workspace, "--json")
    assert printed.code == 2
    problem = printed.object
    assert problem["error"] == error
    assert words in problem["detail"] + problem["next_step"]
    assert problem["title"]
    assert problem["next_step"]
    # a person reads the same on stderr, and no traceback
    assert problem["detail"] in printed.err
    assert problem["next_step"] in printed.err
    assert "Traceback" not in printed.err


def test_models_that_cannot_be_used_are_refused(loop: Loop, tmp_path: Path) -> None:
    import torch

    from core.classifiers.architectures import build

    def refused(model: Path, *more: str) -> dict[str, Any]:
        printed = run("analyse", "--data", loop.data, "--model", model, *more, "--workspace", tmp_path / "w", "--json")
        assert printed.code == 2, printed.out
        return printed.object

    torch.save(build("resnet18", 2), tmp_path / "whole.pt")
    whole = refused(tmp_path / "whole.pt", "--arch", "resnet18")
    assert whole["error"] == "UnsafeCheckpoint"
    assert "state_dict" in whole["next_step"]
    torch.save(build("resnet18", 5).state_dict(), tmp_path / "five.pt")
    assert refused(tmp_path / "five.pt", "--arch", "resnet18")["error"] == "ClassCountMismatch"
    assert refused(tmp_path / "five.pt", "--arch", "resnet50")["error"] == "ArchitectureMismatch"
    assert "resnet18" in refused(tmp_path / "five.pt")["next_step"]
    assert refused(tmp_path / "none.pt")["error"] == "PathNotFound"


def test_retraining_with_too_few_tags_says_how_many(loop: Loop, tmp_path: Path) -> None:
    workspace = tmp_path / "fresh"
    assert run("analyse", "--data", loop.data, "--model", loop.model, "--workspace", workspace).code == 0
    table = tmp_path / "few.csv"
    table.write_text(f"image,concept,present\n{loop.suggested['images'][0]['image']},water,1\n")
    assert run("tag", "--csv", table, "--workspace", workspace).code == 0
    printed = run("retrain", "--concepts", "water", "--workspace", workspace, "--json")
    assert printed.code == 2
    assert printed.object["error"] == "NotEnoughTags"


@pytest.mark.parametrize("make", ["empty", "one-class", "missing-columns"])
def test_unusable_data_is_explained(tmp_path: Path, make: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    expected = {"empty": "EmptyDataset", "one-class": "OneClass", "missing-columns": "BadMetadata"}[make]
    if make == "one-class":
        (data / "only").mkdir()
        Image.new("RGB", (8, 8)).save(data / "only" / "a.png")
    if make == "missing-columns":
        (data / "metadata.csv").write_text("width,height\n20,30\n")
    printed = run("train", "--data", data, "--out", tmp_path / "m.safetensors", "--json")
    assert printed.code == 2
    assert printed.object["error"] == expected


def test_commands_that_read_do_not_make_a_workspace(tmp_path: Path) -> None:
    printed = run("bands", "--direction", "logit:a", "--workspace", tmp_path / "none")
    assert printed.code == 2
    assert not (tmp_path / "none").exists()


def test_workspace_comes_from_the_environment(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(loop.workspace))
    assert run("concepts", "--json").code == 0


def test_program_prints_json_alone_and_exits_with_2(loop: Loop, tmp_path: Path) -> None:
    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "core", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env={**os.environ, "MIDBAND_WORKSPACE": str(loop.workspace)},
        )

    good = program("--json", "bands", "--direction", "logit:red")
    assert good.returncode == 0
    assert json.loads(good.stdout)["direction"] == "logit:red"
    bad = program("bands", "--direction", "logit:blue", "--json")
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["error"] == "NotFound"
    assert "usage" in program("bands", "--json").stderr


def test_reader_that_stops_early_is_no_error(loop: Loop) -> None:
    command = (
        f"{sys.executable} -m core sample --direction logit:red --count 900 --workspace {loop.workspace} | head -1"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert "Error" not in done.stderr


def test_json_of_numbers_that_are_not_finite_is_still_json() -> None:
    from core.commands.output import dumps

    assert json.loads(dumps({"a": [float("nan"), float("inf"), 1.5]})) == {"a": [None, None, 1.5]}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.42, "0.4 s"), (12, "12 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_durations_read_as_people_say_them(seconds: float, words: str) -> None:
    from core.commands.output import duration

    assert duration(seconds) == words


def test_interrupted_work_stops_at_its_next_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import signal

    import core.__main__ as program
    from core.commands.output import Answer

    def work(options: object, progress: Callable[[int, int, str], None]) -> Answer:
        for step in range(1000):
            if step == 3:
                signal.raise_signal(signal.SIGINT)
            progress(step, 1000, "Working")
        raise AssertionError("it went on")

    monkeypatch.setattr(program, "run_verb", work)
    printed = run("demo", "--workspace", tmp_path)
    assert printed.code == 130
    assert "Run the same command again" in printed.err


def test_progress_says_how_far_how_fast_and_how_long_still() -> None:
    from core.commands.output import line_of
    from core.jobs.job import Pace

    assert line_of(50, 200, "Analysing", Pace(25.0, 6.0)) == "Analysing  50 of 200 (25%)  25/s  6 s left"
    assert line_of(0, 0, "Opening the dataset", Pace()) == "Opening the dataset"


def test_progress_in_a_terminal_stays_on_one_line() -> None:
    from core.commands.output import ProgressLine

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    line = ProgressLine(terminal)
    line(1, 2, "Working")
    line.close()
    assert "\n" not in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[2K")
