"""Names on the hub: what is here is used, and without a network a sentence comes at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.classifiers.hub import fetched, short_name
from core.errors import BadRequest, PathNotFound

constants = pytest.importorskip("huggingface_hub.constants")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a hub at an address where nobody answers."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "cache"


def kept(cache: Path, repository: str, files: dict[str, str]) -> Path:
    """A version as the hub's client keeps it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    for name, text in files.items():
        (snapshot / name).write_text(text)
    return snapshot


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_a_sentence_comes_at_once(
    offline: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    started = time.monotonic()
    with pytest.raises(PathNotFound, match="somebody/something is not on this machine") as caught:
        fetched("hf-hub:somebody/something")
    assert time.monotonic() - started < 10
    assert "folder" in caught.value.next_step


@pytest.mark.parametrize("offline", [True, False])
def test_what_was_fetched_before_is_used_without_a_network(
    offline: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    files = {"config.json": json.dumps({"architecture": "resnet18"}), "model.safetensors": "weights"}
    snapshot = kept(cache, "somebody/something", files)
    assert fetched("hf-hub:somebody/something") == snapshot
    assert fetched(" hf-hub:somebody/something ", weights=False) == snapshot


@pytest.mark.parametrize("name", ["hf-hub:", "hf-hub:nobody", "hf-hub:../../etc", "hf-hub:a/b/c", "hf-hub:a b/c"])
def test_what_is_no_name_is_refused(name: str, cache: Path) -> None:
    with pytest.raises(BadRequest, match="no name on the hub"):
        fetched(name)


def test_a_model_is_called_by_the_last_part_of_its_name() -> None:
    assert short_name("hf-hub:google/vit-base@v1") == "vit-base"
    assert short_name("timm:resnet18.a1_in1k") == "resnet18.a1_in1k"


def test_paths_never_reach_for_the_network() -> None:
    code = (
        "import sys\n"
        "from core.classifiers.classifier import load_classifier\n"
        "from core.errors import PathNotFound\n"
        "try:\n    load_classifier('google/vit-base')\n"
        "except PathNotFound:\n    print('huggingface_hub' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_name_is_loaded_like_the_folder_it_stands_for(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.classifiers import torchvision_compat
    from core.classifiers.classifier import load_classifier

    torchvision_compat.load()
    timm = pytest.importorskip("timm")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    snapshot = kept(cache, "timm/test_resnet.mine", {})
    timm.models.save_for_hf(timm.create_model("test_resnet", num_classes=2), snapshot, safe_serialization=True)
    for name in ("timm:test_resnet.mine", "hf-hub:timm/test_resnet.mine"):
        classifier = load_classifier(name)
        assert (classifier.name, classifier.file, classifier.origin) == ("test_resnet.mine", snapshot, "timm")
    # what an analysis stores needs no hub any more
    assert load_classifier(classifier.file, arch=classifier.arch).digest == classifier.digest
