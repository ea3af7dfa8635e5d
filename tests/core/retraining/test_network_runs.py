"""Runs that train the whole network: what is stored, measured and had again is the network's own word.

The training itself is tested beside finetune.py; here it is one that answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.classifiers.head import Head
from core.errors import BadRequest, LeakedImages
from core.jobs.kinds import KINDS
from core.retraining import finetune as finetuning
from core.retraining.replay import replay
from core.retraining.result import NETWORK
from core.retraining.runs import open_run, predictions, retrain, run_logits
from core.workspace import Workspace


@dataclass(frozen=True)
class Trained:
    weights: Path
    logits: np.ndarray
    head: Head
    epochs: int
    best_epoch: int
    history: tuple[dict[str, Any], ...]
    trained: np.ndarray
    stopping: np.ndarray
    notes: tuple[str, ...]


@pytest.fixture
def analysis(planted_analysis: Any, answer: Callable[..., None]) -> Any:
    analysis = planted_analysis(0, sizes=(600, 700, 400), dimensions=48)
    answer(analysis, analysis.attributes[0].codes)
    return analysis


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the training was called with; `leak` True makes it train on an image of test, `stop` ends it half-way."""
    seen: dict[str, Any] = {"leak": False, "stop": False}

    def trained(
        analysis: Any, gathered: Any, curation: Any, *, settings: Any, seed: int, folder: Path, **_: Any
    ) -> Any:
        seen.update(settings=dict(settings), seed=seed, folder=folder, rows=curation.rows)
        seen["resumed"] = (folder / "checkpoint").is_file()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint").write_text("half-way")
        if seen["stop"]:
            raise KeyboardInterrupt
        (folder / "best.safetensors").write_bytes(b"weights")
        # a network that is right about nearly all images
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(analysis.n, 2)).astype(np.float32)
        logits[np.arange(analysis.n), analysis.labels] += 4
        rows = np.append(curation.rows[::2], analysis.split_rows("test")[:1]) if seen["leak"] else curation.rows[::2]
        head = Head(np.zeros((2, 7), np.float32), np.zeros(2, np.float32))
        history = ({"epoch": 1, "loss": 0.5, "worst_group": 0.9},)
        return Trained(
            folder / "best.safetensors", logits, head, 3, 1, history, rows, curation.rows[1::2], ("Three epochs.",)
        )

    monkeypatch.setattr(finetuning, "finetune", trained)
    monkeypatch.setattr(finetuning, "check_trainable", lambda analysis: None)
    return seen


def test_what_the_network_says_is_measured_and_stored(workspace: Workspace, analysis: Any, asked: Any) -> None:
    run = retrain(workspace, analysis, method="finetune", seed=3, run_id="net")
    assert (run.kind, run.method, asked["seed"]) == (NETWORK, "finetune", 3)
    assert run.after.worst_group > 0.95 > run.before.worst_group
    assert run.comparison["significant"]
    test = analysis.split_rows("test")
    said = run_logits(workspace, analysis, "net", test)
    assert said.shape == (400, 2)
    assert run.after.average == pytest.approx((said.argmax(axis=1) == analysis.labels[test]).mean())
    fixed = analysis.rows_of(run.comparison["fixed"])
    assert (predictions(workspace, analysis, "net", fixed) == analysis.labels[fixed]).all()
    folder = workspace.runs / "net"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not (folder / "training").exists(), "checkpoints are not kept"
    assert run.chosen["best_epoch"] == 1
    assert run.chosen["history"][0]["loss"] == 0.5
    assert "Three epochs." in run.notes
    assert run.curation is not None
    assert len(asked["rows"]) == run.curation["images"]
    assert open_run(workspace, "net") == run


def test_an_interrupted_training_finds_its_checkpoint_again(workspace: Workspace, analysis: Any, asked: Any) -> None:
    asked["stop"] = True
    with pytest.raises(KeyboardInterrupt):
        retrain(workspace, analysis, method="finetune", run_id="net")
    assert not asked["resumed"]
    asked["stop"] = False
    retrain(workspace, analysis, method="finetune", run_id="net")
    assert asked["resumed"]
    kind = KINDS["retrain"]
    assert "resumes where it stopped" in kind.after_interruption({"method": "finetune"})
    assert "begins from the start" in kind.after_interruption({"method": "mid"})


def test_a_replay_trains_elsewhere_and_compares_every_logit(workspace: Workspace, analysis: Any, asked: Any) -> None:
    retrain(workspace, analysis, method="finetune", seed=3, run_id="net")
    again = replay(workspace, workspace.runs / "net", analysis=analysis)
    assert again.same, again.differences[:3]
    assert workspace.root not in asked["folder"].parents
    stored = (workspace.runs / "net" / "replay.json").read_text(encoding="utf-8")
    (workspace.runs / "net" / "replay.json").write_text(stored.replace('"seed": 3', '"seed": 4'), encoding="utf-8")
    again = replay(workspace, workspace.runs / "net", analysis=analysis)
    assert "logits" in {one.what for one in again.differences}


def test_figures_of_images_it_was_trained_on_are_refused(workspace: Workspace, analysis: Any, asked: Any) -> None:
    asked["leak"] = True
    with pytest.raises(LeakedImages, match="1 image would be both fitted on and reported on"):
        retrain(workspace, analysis, method="finetune", run_id="net")
    assert not (workspace.runs / "net" / "result.json").exists()


def test_knobs_reach_the_training_and_wrong_ones_do_not(workspace: Workspace, analysis: Any, asked: Any) -> None:
    run = retrain(workspace, analysis, method="finetune", settings={"epochs": "7"})
    assert asked["settings"]["epochs"] == run.settings["epochs"] == 7
    with pytest.raises(BadRequest, match="epochs"):
        retrain(workspace, analysis, method="finetune", settings={"epochs": 0})
