"""With a CLIP of small layers and random weights, written into a folder by the test: the real thing but for size."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.activations.store import Analysis
from core.concepts import text_search
from core.concepts.text_search import SETTING, embed, is_embedded, obstacle, search
from core.errors import BadCheckpoint, BadRequest, Cancelled, MidbandError, NotFound
from core.files import read_array
from core.jobs.kinds import kind_of
from core.workspace import Workspace

PIXELS = 32


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model, as `save_pretrained` writes it."""
    pytest.importorskip("transformers")
    transformers = text_search._transformers()
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tokens = {"vocab_size": 514, "max_position_embeddings": 24, "bos_token_id": 512, "eos_token_id": 513}
    config = transformers.CLIPConfig(
        text_config={**layers, **tokens, "projection_dim": 12},
        vision_config={**layers, "image_size": PIXELS, "patch_size": 8, "projection_dim": 12},
        projection_dim=12,
    )
    transformers.CLIPModel(config).eval().save_pretrained(folder)
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(code) for code in printable] + [chr(256 + i) for i in range(256 - len(printable))]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    crop = {"height": PIXELS, "width": PIXELS}
    transformers.CLIPImageProcessor(size={"shortest_edge": PIXELS}, crop_size=crop).save_pretrained(folder)
    return folder


@pytest.fixture
def place(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workspace's text model is expected; nothing is there yet."""
    monkeypatch.delenv(SETTING, raising=False)
    text_search._text_encoder.cache_clear()
    text_search._text_embedding.cache_clear()
    return workspace.root / text_search.FOLDER


@pytest.fixture
def model(clip: Path, place: Path) -> Path:
    shutil.copytree(clip, place)
    return place


@pytest.fixture
def pictures(make_analysis: Any, tmp_path: Path) -> Analysis:
    """Forty pictures of two kinds; the eighth is damaged, the ninth is gone."""
    rng = np.random.default_rng(0)
    analysis = make_analysis(rng.normal(size=(40, 4)), rng.integers(0, 2, 40))
    for row, name in enumerate(analysis.image_names(np.arange(40))):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 60, (40, 60, 3), dtype=np.uint8)
        pixels[..., 2 if row % 2 else 1] += 180
        if row != 8:
            Image.fromarray(pixels).save(path)
        if row == 7:
            path.write_bytes(path.read_bytes()[:100])
    return analysis


def test_without_a_model_it_says_where_to_put_one(workspace: Workspace, place: Path, pictures: Analysis) -> None:
    problem = obstacle(workspace)
    assert isinstance(problem, NotFound)
    assert str(place) in problem.detail
    assert "never downloads" in problem.next_step
    assert SETTING in problem.next_step
    for ask in (
        lambda: embed(workspace, pictures),
        lambda: search(workspace, pictures, "water"),
        lambda: is_embedded(workspace, pictures),
    ):
        with pytest.raises(NotFound, match="no text model"):
            ask()


def test_without_the_package_it_says_how_to_install_it(
    workspace: Workspace, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert obstacle(workspace) is None
    monkeypatch.setattr(text_search.importlib.util, "find_spec", lambda name: None)
    problem = obstacle(workspace)
    assert problem is not None
    assert "requirements-text.txt" in problem.next_step


def test_weights_that_would_be_unpickled_are_refused(workspace: Workspace, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    problem = obstacle(workspace)
    assert isinstance(problem, BadCheckpoint)
    assert "pickles" in problem.next_step


def test_other_kinds_of_models_are_refused(workspace: Workspace, model: Path) -> None:
    for content in ('{"model_type": "bert"}', "{}", "[]", "not json"):
        (model / "config.json").write_text(content)
        assert isinstance(obstacle(workspace), BadCheckpoint)


def test_the_setting_names_another_folder(
    workspace: Workspace, clip: Path, place: Path, pictures: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, str(clip))
    assert obstacle(workspace) is None
    embed(workspace, pictures)
    assert is_embedded(workspace, pictures)


def test_images_are_ranked_as_the_model_itself_ranks_them(
    workspace: Workspace, model: Path, pictures: Analysis
) -> None:
    assert not is_embedded(workspace, pictures)
    with pytest.raises(NotFound, match="not looked at these images"):
        search(workspace, pictures, "water")
    assert embed(workspace, pictures) == 38
    rows, cosines = search(workspace, pictures, "a bird on  water")
    assert sorted(rows.tolist()) == [row for row in range(40) if row not in (7, 8)]
    assert (np.diff(cosines) <= 0).all()

    transformers = text_search._transformers()
    import torch

    whole = transformers.CLIPModel.from_pretrained(model).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(model)
    processor = transformers.CLIPImageProcessor.from_pretrained(model)
    images = [Image.open(pictures.image_path(row)).convert("RGB") for row in rows]
    with torch.inference_mode():
        out = whole(
            **tokenizer(["a bird on water"], return_tensors="pt"),
            pixel_values=processor(images, return_tensors="pt")["pixel_values"],
        )
    expected = (out.image_embeds @ out.text_embeds.T)[:, 0].numpy()
    # half precision on disk, and resampling by Pillow instead of torch
    assert cosines == pytest.approx(expected, abs=2e-2)


def test_a_search_may_be_narrowed(workspace: Workspace, model: Path, pictures: Analysis) -> None:
    embed(workspace, pictures)
    everything, _ = search(workspace, pictures, "water")
    some = np.array([3, 5, 7, 20, 21])
    rows, cosines = search(workspace, pictures, "water", rows=some, limit=3)
    assert rows.tolist() == [row for row in everything if row in some][:3]
    assert len(cosines) == 3
    assert len(search(workspace, pictures, "water", rows=some[:0])[0]) == 0


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 301])
def test_a_description_has_to_be_one(workspace: Workspace, model: Path, pictures: Analysis, text: str) -> None:
    with pytest.raises(BadRequest):
        search(workspace, pictures, text)


@pytest.mark.parametrize("text", ["x" * 300, "وق \u202e طائر", "🦆" * 50, "<b>water</b> $x$", "\x00"])
def test_any_text_is_a_description(workspace: Workspace, model: Path, pictures: Analysis, text: str) -> None:
    embed(workspace, pictures)
    assert np.isfinite(search(workspace, pictures, text)[1]).all()


def test_a_stopped_pass_goes_on_after_the_parts_it_wrote(
    workspace: Workspace, model: Path, pictures: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_search, "PART", 16)
    told: list[int] = []

    def stop(done: int, total: int, message: str = "") -> None:
        told.append(done)
        if done > 16:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed(workspace, pictures, progress=stop)
    folder = next((pictures.folder / "text").iterdir())
    assert [path.name for path in folder.iterdir()] == ["part-000000000.npy"]
    assert not is_embedded(workspace, pictures)
    decoded: list[str] = []
    decode = text_search.decode
    monkeypatch.setattr(text_search, "decode", lambda path, most: (decoded.append(path.name), decode(path, most))[1])
    assert embed(workspace, pictures) == 38
    assert len(decoded) == 24
    assert [path.name for path in folder.iterdir()] == ["embeddings.npy"]
    whole = read_array(folder / "embeddings.npy")
    assert (whole.shape, whole.dtype) == ((40, 12), np.float16)
    assert np.linalg.norm(whole.astype(np.float32), axis=1) == pytest.approx(
        [0.0 if row in (7, 8) else 1.0 for row in range(40)], abs=1e-2
    )
    # once there, nothing is computed
    decoded.clear()
    assert embed(workspace, pictures) == 38
    assert not decoded


def test_other_weights_make_other_embeddings(workspace: Workspace, model: Path, pictures: Analysis) -> None:
    embed(workspace, pictures)
    before = search(workspace, pictures, "water")[1]
    transformers = text_search._transformers()
    import torch

    torch.manual_seed(1)
    config = transformers.CLIPConfig.from_pretrained(model)
    transformers.CLIPModel(config).save_pretrained(model)
    assert not is_embedded(workspace, pictures)
    embed(workspace, pictures)
    assert not np.allclose(search(workspace, pictures, "water")[1], before)


def test_when_no_image_is_there_it_says_so(workspace: Workspace, model: Path, make_analysis: Any) -> None:
    analysis = make_analysis(np.zeros((20, 4)), np.arange(20) % 2)
    with pytest.raises(NotFound, match="None of the images could be read"):
        embed(workspace, analysis)
    assert not is_embedded(workspace, analysis)


@pytest.mark.parametrize("damaged", ["model.safetensors", "preprocessor_config.json"])
def test_a_damaged_model_is_an_error_with_a_next_step(
    workspace: Workspace, model: Path, pictures: Analysis, damaged: str
) -> None:
    (model / damaged).write_bytes(b"no")
    with pytest.raises(BadCheckpoint, match="cannot be loaded"):
        embed(workspace, pictures)


def test_a_damaged_tokenizer_is_an_error_too(workspace: Workspace, model: Path, pictures: Analysis) -> None:
    embed(workspace, pictures)
    for name in ("tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"):
        (model / name).write_text("no")
    with pytest.raises(BadCheckpoint, match="cannot be loaded"):
        search(workspace, pictures, "water")


def test_the_job_embeds_and_resumes(
    workspace: Workspace, model: Path, pictures: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = kind_of("embed")
    assert kind.resumes
    monkeypatch.setattr("core.activations.store.open_analysis", lambda workspace, name: pictures)
    told: list[tuple[int, int]] = []
    result = kind.run(workspace, {"analysis": "planted"}, lambda done, total, message="": told.append((done, total)))
    assert result == {"images": 38}
    assert told[-1] == (40, 40)
    with pytest.raises(MidbandError):
        kind.prepare({})


def test_newer_and_older_preprocessor_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vision_config": {"image_size": 24}}')
    assert text_search._preprocessing(tmp_path).crop == 24
    (tmp_path / "preprocessor_config.json").write_text('{"size": 30, "crop_size": 20, "resample": 2}')
    found = text_search._preprocessing(tmp_path)
    assert (found.resize, found.crop, found.interpolation) == (30, 20, "bilinear")
    (tmp_path / "preprocessor_config.json").unlink()
    nested = {"image_processor": {"size": {"height": 16, "width": 16}, "do_center_crop": False}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    found = text_search._preprocessing(tmp_path)
    assert (found.resize, found.crop) == (None, 16)
