"""Which numbers the network computes with, and that a pass in bfloat16 can be stopped anywhere, too."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.activations import extraction
from core.activations.extraction import analyse, analysis_id
from core.activations.store import Analysis
from core.classifiers import network_precision
from core.classifiers.classifier import Classifier
from core.classifiers.network_precision import Parity
from core.datasets import open_dataset
from core.datasets.dataset import Dataset
from core.errors import BadRequest, Cancelled
from core.files import read_json
from core.settings import Settings
from core.workspace import Workspace, open_workspace

SETTINGS = Settings(batch_size=8)
ROOT = Path(__file__).parents[3]
FILES = ("features.npy", "logits.npy", "ids.npy", "predicted.npy", "thumbnails.bin", "thumbnails.npy", "skipped.json")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    rng = np.random.default_rng(0)
    for index in range(60):
        folder = tmp_path / "pictures" / ("left" if index < 30 else "right")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, size=(30, 40, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    (tmp_path / "pictures/left/03.png").write_bytes(b"no image")
    return open_dataset(tmp_path / "pictures")


@pytest.fixture
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with instructions for bfloat16, and a network and dataset that are large enough."""
    monkeypatch.setattr(network_precision, "has_native_bf16", lambda where: True)
    monkeypatch.setattr(network_precision, "WORTH_AN_IMAGE", 0)
    monkeypatch.setattr(network_precision, "WORTH_A_PASS", 0)


def tolerated(monkeypatch: pytest.MonkeyPatch, yes: bool) -> list[int]:
    """What the comparison says from here on. Returns a list that gets the number of images of each."""
    compared: list[int] = []

    def parity(exact: np.ndarray, rounded: np.ndarray) -> Parity:
        compared.append(len(exact))
        assert not np.array_equal(exact, rounded)
        return Parity(len(exact), 0.9999 if yes else 0.99, 1.0)

    monkeypatch.setattr(extraction, "parity", parity)
    return compared


def bytes_of(analysis: Analysis) -> dict[str, bytes]:
    return {name: (analysis.folder / name).read_bytes() for name in FILES}


def test_float32_and_bfloat16_are_two_analyses(workspace: Workspace, dataset: Dataset, classifier: Classifier) -> None:
    exact = analyse(workspace, dataset, classifier, settings=SETTINGS, precision="fp32")
    rounded = analyse(workspace, dataset, classifier, settings=SETTINGS, precision="bf16")
    assert [exact.precision, rounded.precision] == ["fp32", "bf16"]
    assert exact.id == analysis_id(dataset, classifier)
    assert rounded.id == analysis_id(dataset, classifier, "bf16") != exact.id
    assert exact.features.dtype == rounded.features.dtype == np.float32
    assert not np.array_equal(exact.features, rounded.features)
    np.testing.assert_allclose(exact.features, rounded.features, atol=0.05 * np.abs(exact.features).max())
    assert exact.skipped == rounded.skipped
    assert rounded.to_dict()["precision"] == "bf16"


def test_auto_measures_and_says_what_it_chose(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = tolerated(monkeypatch, True)
    seen: list[str] = []
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS, progress=lambda *step: seen.append(step[2]))
    assert analysis.precision == "bf16"
    # 32 images from all over the dataset, one of which may be the one that cannot be read
    assert compared in ([31], [32])
    assert seen[0] == "Comparing bfloat16 with float32 on 32 images"
    assert "correlate to 0.99990" in analysis.computed.reason
    assert analysis.computed.measured


def test_auto_stays_with_float32_where_bfloat16_changes_too_much(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tolerated(monkeypatch, False)
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert analysis.precision == "fp32"
    assert analysis.computed.reason.startswith("bfloat16 would change too much: on 3")
    assert bytes_of(analysis) == bytes_of(
        analyse(open_workspace(workspace.root / "other"), dataset, classifier, settings=SETTINGS, precision="fp32")
    )


def test_auto_finds_what_is_there_in_either_precision(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = tolerated(monkeypatch, True)
    rounded = analyse(workspace, dataset, classifier, settings=SETTINGS, precision="bf16")
    assert analyse(workspace, dataset, classifier, settings=SETTINGS).id == rounded.id
    exact = analyse(workspace, dataset, classifier, settings=SETTINGS, precision="fp32")
    assert analyse(workspace, dataset, classifier, settings=SETTINGS).id == exact.id
    assert compared == []


def test_auto_measures_once_for_a_sample_and_the_whole(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for yes, precision in ((True, "bf16"), (False, "fp32")):
        place = open_workspace(workspace.root / precision)
        compared = tolerated(monkeypatch, yes)
        sample = analyse(place, dataset.sample(20), classifier, settings=SETTINGS)
        whole = analyse(place, dataset, classifier, settings=SETTINGS)
        assert [sample.precision, whole.precision] == [precision, precision]
        assert len(compared) == 1
        assert whole.computed.reason == sample.computed.reason
        assert whole.computed.copied == sample.n


def test_auto_goes_on_in_float32_where_most_is_known_in_it(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = tolerated(monkeypatch, True)
    analyse(workspace, dataset.sample(50), classifier, settings=SETTINGS, precision="fp32")
    whole = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert (whole.precision, compared) == ("fp32", [])
    assert whole.computed.reason == f"{whole.computed.copied} of the images are known in float32."
    # few known ones are computed again, because that is faster
    other = open_workspace(workspace.root / "other")
    analyse(other, dataset.sample(10), classifier, settings=SETTINGS, precision="fp32")
    assert analyse(other, dataset, classifier, settings=SETTINGS).precision == "bf16"


def test_auto_is_float32_where_bfloat16_is_not_worth_it(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "parity", pytest.fail)
    analysis = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert analysis.precision == "fp32"
    assert analysis.computed.reason


def test_precision_that_is_none_is_refused_before_any_image_is_opened(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "decode", pytest.fail)
    with pytest.raises(BadRequest, match="'half'"):
        analyse(workspace, dataset, classifier, precision="half")


class StopAt:
    def __init__(self, images: int) -> None:
        self.images = images

    def __call__(self, done: int, total: int, message: str = "") -> None:
        if done >= self.images:
            raise Cancelled


@pytest.mark.parametrize("stops", [[8], [24, 40], [60]])
def test_cancelled_pass_in_bfloat16_ends_in_the_same_bytes(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, stops: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    other = open_workspace(workspace.root / "other")
    whole = analyse(other, dataset, classifier, settings=SETTINGS, precision="bf16")
    for stop in stops:
        with pytest.raises(Cancelled):
            analyse(workspace, dataset, classifier, settings=SETTINGS, precision="bf16", progress=StopAt(stop))
    started: list[int] = []
    resumed = analyse(
        workspace,
        dataset,
        classifier,
        settings=SETTINGS,
        precision="bf16",
        progress=lambda done, *_: started.append(done),
    )
    assert started[0] == stops[-1]
    assert bytes_of(resumed) == bytes_of(whole)


def test_auto_goes_on_with_what_was_begun(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "NOTE_EVERY", 0)
    compared = tolerated(monkeypatch, True)
    with pytest.raises(Cancelled):
        analyse(workspace, dataset, classifier, settings=SETTINGS, progress=StopAt(24))
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert (resumed.precision, len(compared)) == ("bf16", 1)
    assert "correlate" in resumed.computed.reason


def test_a_source_that_is_gone_is_not_named(
    workspace: Workspace, dataset: Dataset, classifier: Classifier, worth_it: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tolerated(monkeypatch, True)
    with pytest.raises(Cancelled):
        analyse(workspace, dataset, classifier, settings=SETTINGS, progress=StopAt(24))
    [noted] = workspace.analyses.glob(".*.partial/computed.json")
    noted.write_text(json.dumps({**read_json(noted), "source": "removed", "copied": 7}), encoding="utf-8")
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS)
    assert (resumed.computed.source, resumed.computed.copied) == (None, 0)


def test_work_of_another_device_is_not_continued() -> None:
    on_processor, on_card = (extraction._key(SETTINGS, device) for device in ("cpu", "cuda"))
    assert on_processor != on_card
    # else what an earlier version began would be done again
    assert set(on_processor) == {"batch_size", "thumbnail_size", "thumbnail_quality", "max_image_pixels"}


# killed by itself after so many calls of what may be interrupted: a decoded image, a batch, a note on the disk
KILLED = """
import os, signal, sys
from core.activations import extraction, partial
from core.classifiers.classifier import load_classifier
from core.datasets import open_dataset
from core.settings import Settings
from core.workspace import open_workspace

workspace, data, model, precision, place, calls = sys.argv[1:]
extraction.NOTE_EVERY = 0
left = int(calls)

def counted(function):
    def call(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return call

owner, name = {
    "decode": (extraction, "decode"),
    "append": (partial.PartialAnalysis, "append"),
    "fsync": (os, "fsync"),
    "replace": (os, "replace"),
}[place]
setattr(owner, name, counted(getattr(owner, name)))
extraction.analyse(
    open_workspace(workspace), open_dataset(data), load_classifier(model),
    precision=precision, settings=Settings(batch_size=8),
)
"""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_at_random_places_it_ends_in_the_same_bytes(
    tmp_path: Path, workspace: Workspace, dataset: Dataset, classifier: Classifier, precision: str
) -> None:
    other = open_workspace(tmp_path / "other")
    whole = bytes_of(analyse(other, dataset, classifier, settings=SETTINGS, precision=precision))
    rng = random.Random(precision)
    # one pass, killed three times, each time in another place
    for place, most in (("append", 5), ("fsync", 20), ("decode", 20)):
        given = [workspace.root, dataset.root, classifier.file, precision, place, rng.randrange(most)]
        command = [sys.executable, "-c", KILLED, *map(str, given)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = analyse(workspace, dataset, classifier, settings=SETTINGS, precision=precision)
    assert bytes_of(resumed) == whole
