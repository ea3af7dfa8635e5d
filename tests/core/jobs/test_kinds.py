"""The real kinds of work, on tiny data: what a page starts is what the rooms do."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations.store import open_analysis
from core.database import RunRecord
from core.jobs import Job, get_job, launch, retry, wait_for
from core.jobs.kinds import KINDS, new_model_file
from core.progress import silent
from core.workspace import Workspace, open_workspace


def draw(root: Path, counts: dict[str, int], side: int = 16) -> Path:
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for level, name in ((60, "dark"), (170, "light")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.normal(level, 40, (side, side, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{i:03d}.jpg")
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw(tmp_path / "pictures", {"train": 20, "val": 12, "test": 10})


def test_train_analyse_retrain_and_export_as_jobs_do_them(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    request = KINDS["train-analyse"].prepare({"data": str(pictures), "epochs": 1, "image_size": 16, "seed": 0})
    trained = KINDS["train-analyse"].run(workspace, request, silent)
    analysis = open_analysis(workspace, trained["analysis"])
    assert trained["images"] == analysis.n == 84
    assert trained["skipped"] == []
    assert Path(trained["model"]).parent == workspace.models
    request = {"analysis": analysis.id, "method": "class-balanced", "concepts": [], "seed": 0, "run": "r1"}
    job = wait_for(workspace, launch(workspace, "retrain", "Retrain", request).id, timeout=60)
    assert job.result == {"run": "r1"}, job.error
    with workspace.reading() as session:
        assert session.get_one(RunRecord, "r1").job_id == job.id
    exported = KINDS["export"].run(workspace, {"run": "r1", "out": str(tmp_path / "out")}, silent)
    assert all(Path(file).is_file() for file in exported["files"])


def test_trained_models_do_not_overwrite_each_other(workspace: Workspace, pictures: Path) -> None:
    request = {"data": str(pictures), "seed": 3}
    first = new_model_file(workspace, request)
    assert first.name == "pictures-small-seed3.safetensors"
    first.parent.mkdir(parents=True)
    first.touch()
    assert new_model_file(workspace, request).name == "pictures-small-seed3-2.safetensors"


def killed_within(workspace: Workspace, folder: Path, model: Path) -> tuple[dict[str, str], Job]:
    """An analysis killed after its first images and before its end: of more images where a busy machine came late."""
    for count in (150, 600, 2400):
        many = draw(folder / f"many-{count}", {"train": count, "test": 60}, side=160)
        request = {"data": str(many), "model": str(model)}
        before = set(workspace.analyses.glob("[!.]*"))
        job = launch(workspace, "analyse", "Analyse", request)
        while (now := get_job(workspace, job.id)).active and not now.done:
            time.sleep(0.02)
        assert now.pid is not None
        with suppress(ProcessLookupError):
            os.kill(now.pid, signal.SIGKILL)
        killed = wait_for(workspace, job.id, timeout=30)
        made = set(workspace.analyses.glob("[!.]*"))
        if killed.state == "failed" and made == before:
            assert killed.error is not None
            assert "resumes where it stopped" in killed.error["next_step"]
            return request, killed
    raise AssertionError("it was done before it could be killed")


def test_killed_analysis_started_again_equals_one_that_was_not_killed(
    workspace: Workspace, pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    KINDS["train"].run(workspace, {"data": str(pictures), "epochs": 1, "image_size": 16, "out": str(model)}, silent)
    request, job = killed_within(workspace, tmp_path, model)
    again = wait_for(workspace, retry(workspace, job.id).id, timeout=60)
    assert again.state == "done", again.error
    assert again.result is not None
    resumed = open_analysis(workspace, again.result["analysis"])
    other = open_workspace(tmp_path / "other")
    straight = open_analysis(other, KINDS["analyse"].run(other, request, silent)["analysis"])
    assert resumed.id == straight.id
    np.testing.assert_array_equal(resumed.features, straight.features)
    np.testing.assert_array_equal(resumed.ids, straight.ids)


def test_look_writes_a_preview_and_check_tries_the_model(workspace: Workspace, pictures: Path, tmp_path: Path) -> None:
    looked = wait_for(workspace, launch(workspace, "look", "Look", {"data": str(pictures)}).id, timeout=60)
    assert looked.result is not None, looked.error
    assert looked.result["counts"]["val"] == {"dark": 12, "light": 12}
    assert len(looked.result["samples"]) == 12
    assert Path(looked.result["folder"]).is_relative_to(workspace.datasets)
    model = tmp_path / "model.safetensors"
    request = {"data": str(pictures), "epochs": 20, "image_size": 16, "out": str(model)}
    KINDS["train"].run(workspace, request, silent)
    request = {"data": str(pictures), "model": str(model)}
    assert KINDS["check"].run(workspace, request, silent)["accuracy"] > 0.9
    turned = KINDS["check"].run(workspace, {**request, "class_order": ["light", "dark"]}, silent)
    assert turned["accuracy"] < 0.1
    assert turned["classes"] == ["light", "dark"]
    assert [offer["classes"] for offer in turned["offers"]] == [["dark", "light"]]


def test_check_without_labels_opens_the_model_and_gives_no_verdict(
    workspace: Workspace, pictures: Path, tmp_path: Path
) -> None:
    model, loose = tmp_path / "model.safetensors", tmp_path / "loose"
    KINDS["train"].run(workspace, {"data": str(pictures), "epochs": 1, "image_size": 16, "out": str(model)}, silent)
    loose.mkdir()
    for place, file in enumerate(sorted((pictures / "test").rglob("*.jpg"))):
        file.rename(loose / f"{place}.jpg")
    found = KINDS["check"].run(workspace, {"data": str(loose), "model": str(model)}, silent)
    assert (found["verdict"], found["accuracy"], found["images"], found["offers"]) == (None, None, 0, [])
    assert found["classes"] == ["dark", "light"]
    assert found["preprocessing"]["crop"] == 16
    assert isinstance(found["notes"], list)


def test_choices_sample_and_order_of_classes_reach_the_analysis(
    workspace: Workspace, pictures: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    request = {"data": str(pictures), "choices": {"classes": ["light", "dark"]}, "epochs": 1, "image_size": 16}
    KINDS["train"].run(workspace, {**request, "out": str(model)}, silent)
    found = KINDS["analyse"].run(
        workspace, {"data": str(pictures), "model": str(model), "sample": 40, "precision": "fp32"}, silent
    )
    assert found["images"] == 40
    analysis = open_analysis(workspace, found["analysis"])
    assert analysis.classes == ("light", "dark")
    both = KINDS["train-analyse"].run(workspace, {**request, "sample": 60}, silent)
    assert both["images"] == 60
    assert open_analysis(workspace, both["analysis"]).classes == ("light", "dark")


def test_names_on_a_hub_are_not_made_paths(tmp_path: Path) -> None:
    prepared = KINDS["analyse"].prepare({"data": "here", "model": "timm:resnet18.a1_in1k"})
    assert prepared == {"data": str(Path("here").resolve()), "model": "timm:resnet18.a1_in1k"}
    assert KINDS["check"].prepare({"data": "here", "model": "m.pt"})["model"] == str(Path("m.pt").resolve())
