"""Finding images by a description, with a CLIP model that lies on this machine: an optional extra.

    requirements-text.txt              what it needs besides requirements.txt
    MIDBAND_TEXT_MODEL                 the model's folder, else <workspace>/text-model
    <analysis>/text/<key>/             embeddings.npy (n, e) float16: unit length, zeros for images that cannot be read
                                       part-*.npy while they are computed: a pass that was stopped goes on after them

The folder is one that `save_pretrained` of transformers writes: config.json, model.safetensors, tokenizer and
preprocessor. Nothing is ever downloaded, no code of the folder runs, and weights are read as safetensors only.

A description and an image are compared by the cosine of their embeddings (Radford et al. 2021, arXiv:2103.00020). Its
size means little, its order much: results are guesses to be looked at.
"""

from __future__ import annotations

import importlib.util
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.datasets.images import UnreadableImage, decode
from core.errors import BadCheckpoint, BadRequest, MidbandError, NotFound
from core.files import digest, read_array, release, replacing, write_array
from core.progress import Progress, silent
from core.settings import DEFAULTS

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.classifiers.preprocessing import Preprocessing
    from core.workspace import Workspace

SETTING = "MIDBAND_TEXT_MODEL"
FOLDER = "text-model"
REQUIREMENTS = "requirements-text.txt"
WEIGHTS = "model.safetensors"
LONGEST_TEXT = 300
# images per part on disk: what a stop costs at most; images per forward pass
PART, BATCH = 1_024, 16
# bytes at the end of the weights that tell one model from another of the same shape
_TAIL = 1 << 20
# rows compared at once
_BLOCK = 65_536
# of CLIP's training images, channels in 0..1 (Radford et al. 2021)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# nothing from the network, no code of the folder, no pickles
_SAFELY = {"local_files_only": True, "trust_remote_code": False, "use_safetensors": True}
# with the weights, what embeddings depend on
_CONFIGS = ("config.json", "preprocessor_config.json", "processor_config.json")
# as Pillow numbers them
_RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def obstacle(workspace: Workspace) -> MidbandError | None:
    """Why descriptions cannot be used here, None where they can. Looks at files only, imports nothing."""
    folder = _folder(workspace)
    if not (folder / "config.json").is_file():
        return NotFound(
            f"There is no text model at {folder}.",
            next_step=f"Put the folder of a CLIP model there (config.json, {WEIGHTS}, tokenizer and preprocessor), or "
            f"name its folder in {SETTING}. Midband never downloads one.",
            title="Descriptions need a text model",
        )
    if not (folder / WEIGHTS).is_file():
        return BadCheckpoint(
            f"The text model in {folder} has no {WEIGHTS}.",
            next_step="Save it with save_pretrained(folder): other formats are pickles, which could run any code.",
        )
    try:
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        kind = None
    if kind != "clip":
        return BadCheckpoint(
            f"The text model in {folder} is {kind or 'of no kind that it names'}, not clip.",
            next_step="Bring a CLIP model, as save_pretrained of transformers writes it.",
        )
    if importlib.util.find_spec("transformers") is None:
        return NotFound(
            "The text model is there, but the package that reads it is not.",
            next_step=f"Install it with `pip install -r {REQUIREMENTS}`, then start Midband again.",
            title="Descriptions need one more package",
        )
    return None


def is_embedded(workspace: Workspace, analysis: Analysis) -> bool:
    """Whether the images were compared with the text model that is there now. Raises what `obstacle` returns."""
    return _opened(_place(workspace, analysis) / "embeddings.npy", analysis.n) is not None


def embed(workspace: Workspace, analysis: Analysis, *, progress: Progress = silent) -> int:
    """Compute the embedding of every image, once per model; returns how many could be read.

    Images are decoded by threads ahead of the network; memory does not grow with their number. Stopped, the next call
    goes on after the last part that was written. Progress counts images. Raises what `obstacle` returns,
    `BadCheckpoint` for a model that cannot be loaded, `NotFound` when no image can be read, and what `progress` raises.
    """
    place = _place(workspace, analysis)
    target, n = place / "embeddings.npy", analysis.n
    if (known := _opened(target, n)) is not None:
        return int(known.any(axis=1).sum())
    progress(0, n, "Opening the text model")
    encoder = _image_encoder(_folder(workspace))
    for start in range(0, n, PART):
        part, rows = place / f"part-{start:09d}.npy", range(start, min(start + PART, n))
        if _opened(part, len(rows)) is None:
            write_array(part, _embedded(analysis, rows, encoder, progress))
        progress(rows.stop, n, "Looking at the images")
    return _joined(place, n)


def search(
    workspace: Workspace, analysis: Analysis, text: str, *, rows: np.ndarray | None = None, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images by how well they fit a description: rows (m,) int64, best first, and their cosines (m,) float32.

    rows: (r,) int, only these. Images that could not be read are left out. Raises what `obstacle` returns, `NotFound`
    before `embed` is through, `BadRequest` for an empty or endless text.
    """
    words = " ".join(text.split())
    if not 1 <= len(words) <= LONGEST_TEXT:
        raise BadRequest(
            "There is no description." if not words else f"The description has {len(words):,} characters.",
            next_step=f"Describe in 1 to {LONGEST_TEXT} characters what can be seen in the image.",
        )
    embeddings = _opened(_place(workspace, analysis) / "embeddings.npy", analysis.n)
    if embeddings is None:
        raise NotFound(
            "The text model has not looked at these images yet.",
            next_step="Let it look at them first; it takes one pass over all images.",
        )
    query = _text_embedding(_folder(workspace), _key(_folder(workspace)), words)
    chosen = np.arange(analysis.n) if rows is None else np.asarray(rows, dtype=np.int64)
    cosines = np.empty(len(chosen), dtype=np.float32)
    readable = np.empty(len(chosen), dtype=bool)
    for start in range(0, len(chosen), _BLOCK):
        part = slice(start, start + _BLOCK)
        block = embeddings[chosen[part]].astype(np.float32)
        cosines[part], readable[part] = block @ query, block.any(axis=1)
        release(embeddings)
    chosen, cosines = chosen[readable], cosines[readable]
    order = np.lexsort((chosen, -cosines))[:limit]
    return chosen[order], cosines[order]


def _folder(workspace: Workspace) -> Path:
    named = os.environ.get(SETTING)
    return Path(named).expanduser() if named else workspace.root / FOLDER


def _place(workspace: Workspace, analysis: Analysis) -> Path:
    """Where the embeddings of the present model lie. Raises what `obstacle` returns."""
    if (problem := obstacle(workspace)) is not None:
        raise problem
    return analysis.folder / "text" / _key(_folder(workspace))


def _key(folder: Path) -> str:
    """Differs for different weights and for different preprocessing."""
    parts = [path.read_bytes() for path in map(folder.joinpath, _CONFIGS) if path.is_file()]
    weights = folder / WEIGHTS
    with open(weights, "rb") as source:
        source.seek(max(0, weights.stat().st_size - _TAIL))
        return digest(*parts, str(weights.stat().st_size), source.read())


def _opened(path: Path, n: int) -> np.ndarray | None:
    """(n, e) float16; None where it is not there, or damaged."""
    try:
        found = np.asarray(read_array(path))
    except (OSError, ValueError):
        return None
    return found if found.ndim == 2 and len(found) == n and found.dtype == np.float16 else None


def _joined(place: Path, n: int) -> int:
    """Make one file of the parts. Returns how many images could be read."""
    parts = [place / f"part-{start:09d}.npy" for start in range(0, n, PART)]
    readable = 0
    with replacing(place / "embeddings.npy") as beside:
        whole: np.ndarray | None = None
        for number, part in enumerate(parts):
            block = read_array(part, mapped=False)
            if whole is None:
                whole = np.lib.format.open_memmap(beside, mode="w+", dtype=np.float16, shape=(n, block.shape[1]))
            whole[number * PART : number * PART + len(block)] = block
            readable += int(block.any(axis=1).sum())
        if not readable:
            raise NotFound(
                "None of the images could be read, so there is nothing to compare a description with.",
                next_step="Check that the dataset is where it was when it was analysed.",
            )
        assert isinstance(whole, np.memmap)
        whole.flush()
    for part in parts:
        part.unlink(missing_ok=True)
    return readable


def _embedded(analysis: Analysis, rows: range, encoder: _ImageEncoder, progress: Progress) -> np.ndarray:
    """(m, e) float16 of some images."""
    from core.classifiers.lookahead import in_threads

    names = analysis.image_names(np.arange(rows.start, rows.stop))

    def read(name: str) -> np.ndarray | None:
        try:
            picture = decode(analysis.pictures.read(name), DEFAULTS.max_image_pixels)
        except UnreadableImage:
            return None
        return encoder.preprocessing.pixels(picture)

    found = np.zeros((len(rows), encoder.size), dtype=np.float16)
    images = in_threads(read, names, ahead=4 * BATCH)
    try:
        for start in range(0, len(rows), BATCH):
            taken = [next(images) for _ in range(start, min(start + BATCH, len(rows)))]
            there = {start + place: pixels for place, pixels in enumerate(taken) if pixels is not None}
            if there:
                found[list(there)] = encoder(np.stack(list(there.values())))
            progress(rows.start + start + len(taken), analysis.n, "Looking at the images")
    finally:
        images.close()
    return found


class _ImageEncoder:
    """The half of a CLIP model that sees. size: numbers per embedding."""

    def __init__(self, model: Any, preprocessing: Preprocessing) -> None:
        self.model, self.preprocessing = model, preprocessing
        self.size = int(model.config.projection_dim)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """(b, s, s, 3) uint8 -> (b, e) float32 of unit length."""
        import torch

        batch = torch.from_numpy(self.preprocessing.normalise(pixels)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            return _unit(self.model(pixel_values=batch).image_embeds.float().numpy())


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _image_encoder(folder: Path) -> _ImageEncoder:
    transformers = _transformers()
    try:
        model = transformers.CLIPVisionModelWithProjection.from_pretrained(folder, **_SAFELY).eval()
        return _ImageEncoder(model, _preprocessing(folder))
    except Exception as error:
        # damaged and foreign files raise nearly anything, deep in three libraries
        raise _unusable(folder, error) from error


@lru_cache(maxsize=64)
def _text_embedding(folder: Path, key: str, text: str) -> np.ndarray:
    """(e,) float32 of unit length. key: only there so that another model in the same place is read anew."""
    import torch

    model, tokenizer = _text_encoder(folder, key)
    most = int(model.config.max_position_embeddings)
    tokens = tokenizer([text], padding=True, truncation=True, max_length=most, return_tensors="pt")
    with torch.inference_mode():
        return _unit(model(**tokens).text_embeds.float().numpy())[0]


@lru_cache(maxsize=1)
def _text_encoder(folder: Path, key: str) -> tuple[Any, Any]:
    transformers = _transformers()
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return transformers.CLIPTextModelWithProjection.from_pretrained(folder, **_SAFELY).eval(), tokenizer
    except Exception as error:
        # damaged and foreign files raise nearly anything, deep in three libraries
        raise _unusable(folder, error) from error


def _transformers() -> Any:
    # before its first import: it must not even ask whether a newer file exists
    os.environ["HF_HUB_OFFLINE"] = "1"
    from core.classifiers import torchvision_compat

    # transformers imports torchvision, which fails beside a CPU build of torch unless this is done first
    torchvision_compat.load()
    import transformers

    transformers.utils.logging.disable_progress_bar()
    # half of the weights are left aside on purpose, which it would list
    transformers.utils.logging.set_verbosity_error()
    return transformers


def _preprocessing(folder: Path) -> Preprocessing:
    """What the model was trained with, from preprocessor_config.json or the processor_config.json of newer versions."""
    from core.classifiers.preprocessing import Preprocessing

    facts: dict[str, Any] = {}
    if (folder / "preprocessor_config.json").is_file():
        facts = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    elif (folder / "processor_config.json").is_file():
        facts = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))["image_processor"]
    vision = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("vision_config") or {}
    crop = _pixels(facts.get("crop_size", vision.get("image_size", 224)))
    size = facts.get("size", crop)
    squeezed = isinstance(size, dict) and "shortest_edge" not in size
    return Preprocessing(
        resize=None if squeezed else _pixels(size),
        crop=_pixels(size) if squeezed and not facts.get("do_center_crop", True) else crop,
        mean=_channels(facts.get("image_mean", CLIP_MEAN)),
        std=_channels(facts.get("image_std", CLIP_STD)),
        interpolation=_RESAMPLING[facts.get("resample", 3)],
    )


def _channels(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _pixels(size: Any) -> int:
    return int(size.get("shortest_edge") or size["height"]) if isinstance(size, dict) else int(size)


def _unusable(folder: Path, error: Exception) -> MidbandError:
    if isinstance(error, MidbandError):
        return error
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return BadCheckpoint(
        f"The text model in {folder} cannot be loaded ({type(error).__name__}: {reason}).",
        next_step="Copy it again, all of its files; it has to be a CLIP model that transformers wrote.",
    )
