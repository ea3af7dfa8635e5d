"""Models by name from the Hugging Face hub: `hf-hub:organisation/name` and `timm:name`.

The only place that uses the network, and only for such names. What was fetched before is used without one, and
HF_HUB_OFFLINE is respected. Files end up in the hub's own cache, in a folder whose name is the version's.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from core.classifiers.peek import CONFIG, HUB, PROCESSOR, TIMM, WEIGHTS
from core.errors import BadCheckpoint, BadRequest, PathNotFound
from core.files import storage_problems

# seconds until the hub has to answer: somebody is waiting
PATIENCE = 8.0
_NAME = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")
_PARTS = ("model-*.safetensors", "pytorch_model-*.bin")


def short_name(name: str) -> str:
    """`hf-hub:organisation/name@revision` -> `name`."""
    return name.strip().partition(":")[2].partition("@")[0].rpartition("/")[2]


def fetched(name: str, *, weights: bool = True) -> Path:
    """The folder that holds this model, fetched if it is not there yet. weights: or only what describes it.

    Raises `PathNotFound` without a network, or where the hub has no such model; `BadRequest` for what is no name;
    `BadCheckpoint` for a repository without a `config.json`.
    """
    repository, _, revision = _repository(name.strip()).partition("@")
    try:
        from huggingface_hub import constants, errors, snapshot_download
    except ImportError as error:
        raise BadRequest(
            "Models can be fetched from the hub with huggingface_hub, which is not installed here.",
            next_step="Install it with `pip install -r requirements-text.txt` (transformers) or "
            "`pip install -r requirements-timm.txt` (timm).",
            title="A library is missing",
        ) from error
    nobody_answers: tuple[type[Exception], ...] = (
        errors.LocalEntryNotFoundError,
        errors.OfflineModeIsEnabled,
        *_network_errors(),
    )
    wanted = [CONFIG, PROCESSOR]
    try:
        with storage_problems(Path(constants.HF_HUB_CACHE) / repository):
            if weights:
                wanted += _choose(repository, revision)
            found = Path(
                snapshot_download(
                    repository, revision=revision or None, allow_patterns=wanted, etag_timeout=PATIENCE, max_workers=2
                )
            )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise PathNotFound(
            f"The hub has no model {repository}{f' of version {revision}' if revision else ''} that you may read.",
            next_step="Check the name on huggingface.co; for private models, log in with `hf auth login`.",
        ) from error
    except nobody_answers as error:
        raise PathNotFound(
            f"{repository} is not on this machine, and the hub cannot be reached from here.",
            next_step="Give the path of a folder that holds the model, or try again with a network "
            "(and without HF_HUB_OFFLINE).",
            title="The hub cannot be reached",
        ) from error
    if not (found / CONFIG).is_file():
        raise BadCheckpoint(
            f"{repository} has no {CONFIG}, so it does not say which network it is.",
            next_step="Choose a model of timm or transformers, or download its file of weights and name its "
            "architecture.",
        )
    return found


def _repository(name: str) -> str:
    """What the hub calls it: `timm:resnet50.a1_in1k` is in the organisation of timm."""
    if name.startswith(TIMM):
        return f"timm/{_default_weights(name.removeprefix(TIMM).partition('?')[0])}"
    repository = name.removeprefix(HUB)
    if not _NAME.match(repository):
        raise BadRequest(
            f"{repository!r} is no name on the hub.",
            next_step="Names there look like hf-hub:google/vit-base-patch16-224.",
        )
    return repository


def _default_weights(name: str) -> str:
    """The name with the tag of timm's own choice of weights, where it has none."""
    from core.classifiers import timm_models

    if "." in name:
        return name
    timm_models.check(TIMM + name)
    from timm.models import get_pretrained_cfg

    known = get_pretrained_cfg(name)
    hub_id = str(getattr(known, "hf_hub_id", None) or "") if known is not None else ""
    tag = str(getattr(known, "tag", None) or "") if known is not None else ""
    if not hub_id:
        raise PathNotFound(
            f"timm has no weights for {name}.", next_step="Give a file of weights and name this architecture."
        )
    # an id that ends in a slash stands for the name and its tag
    return hub_id.rpartition("/")[2] or f"{name}.{tag}"


def _choose(repository: str, revision: str) -> list[str]:
    """Which of the files to fetch: safetensors alone where there are any. Without a network, all that may be there."""
    from huggingface_hub import HfApi, constants

    if constants.HF_HUB_OFFLINE:
        return [*WEIGHTS, *_PARTS]
    try:
        files = {
            sibling.rfilename
            for sibling in HfApi().model_info(repository, revision=revision or None, timeout=PATIENCE).siblings or ()
        }
    except _network_errors():
        return [*WEIGHTS, *_PARTS]
    for first, parts in ((WEIGHTS[0], []), (WEIGHTS[1], [_PARTS[0]]), (WEIGHTS[2], []), (WEIGHTS[3], [_PARTS[1]])):
        if first in files:
            return [first, *parts]
    return [WEIGHTS[0]]


def _network_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises when nobody answers: it depends on the library beneath."""
    from huggingface_hub.errors import HfHubHTTPError

    found: list[type[Exception]] = [ConnectionError, TimeoutError, HfHubHTTPError]
    for library, name in (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException")):
        with suppress(ImportError, AttributeError):
            found.append(getattr(import_module(library), name))
    return tuple(found)
