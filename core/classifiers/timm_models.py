"""timm's networks (https://github.com/huggingface/pytorch-image-models), where that library is installed.

An architecture is called `timm:name`, or `timm:name?img_size=96&global_pool=avg` where it was built with arguments.
Nothing here downloads weights or opens a pickle: timm builds the network, the weights are read elsewhere.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any
from urllib.parse import parse_qsl, quote

from torch import nn

from core.classifiers import torchvision_compat
from core.classifiers.peek import TIMM
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.timm_inputs import preprocessing_of
from core.errors import ArchitectureMismatch, BadRequest, HeadNotFound

REQUIREMENTS = "requirements-timm.txt"
# arguments that reach for files or the network, or that are given here; and what says nothing of the network
REFUSED = frozenset(
    {"pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "num_classes"}
)


def load() -> ModuleType:
    """The timm module, imported when first asked for. Raises `BadRequest` where it is not installed."""
    torchvision_compat.load()
    try:
        import timm
    except ImportError as error:
        raise BadRequest(
            "timm is not installed here, and this model was made with it.",
            next_step=f"Install it with `pip install -r {REQUIREMENTS}`, then load the model again.",
            title="A library is missing",
        ) from error
    found: ModuleType = timm
    return found


def parsed(arch: str) -> tuple[str, dict[str, Any]]:
    """`timm:name?key=value` -> (name, arguments). Values are JSON where they can be, else text."""
    name, _, query = arch.removeprefix(TIMM).partition("?")
    return name, {key: _value(text) for key, text in parse_qsl(query, keep_blank_values=True)}


def named(name: str, arguments: Mapping[str, Any]) -> str:
    """The inverse of `parsed`: one spelling for the same network."""
    kept = {key: value for key, value in arguments.items() if key not in REFUSED and value is not None}
    if kept.get("in_chans") == 3:
        # as usual
        del kept["in_chans"]
    pairs = [f"{key}={_text(kept[key])}" for key in sorted(kept)]
    return TIMM + name + (f"?{'&'.join(pairs)}" if pairs else "")


def arch_of(config: Mapping[str, Any]) -> str:
    """The architecture that a folder's `config.json` describes."""
    arguments = config.get("model_args")
    return named(str(config["architecture"]), arguments if isinstance(arguments, Mapping) else {})


def check(arch: str) -> str:
    """The name itself if timm knows it. Raises `BadRequest` with the closest names otherwise."""
    timm = load()
    name, _ = parsed(arch)
    if timm.is_model(name):
        return arch
    close = difflib.get_close_matches(name.lower().replace("-", "_"), timm.list_models(), n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(TIMM + other for other in close)}?" if close else "Look at timm.list_models()."
    raise BadRequest(f"timm {timm.__version__} has no architecture called {name!r}.", next_step=hint)


def build(arch: str, classes: int) -> nn.Module:
    """A network with random weights and `classes` outputs. Raises `BadRequest` for unknown names and arguments."""
    timm = load()
    name, arguments = parsed(check(arch))
    refused = sorted(REFUSED & set(arguments))
    if refused:
        raise BadRequest(
            f"{refused[0]} cannot be given as an argument of {name} here.",
            next_step="Leave it out: weights and classes come from the model's file.",
        )
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, num_classes=classes, **arguments)
    except MemoryError:
        raise
    except Exception as error:
        # arguments are anything: sizes of 0, text for numbers, names that are none
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "no arguments"
        raise ArchitectureMismatch(
            f"timm {timm.__version__} cannot build {name} with {given} ({error}).",
            next_step="Use the version of timm that the model was made with, or correct the arguments.",
        ) from error
    return network


def head_name(network: nn.Module) -> str | None:
    """Where timm says that the classifier is. Raises `HeadNotFound` for networks with two of them."""
    config = getattr(network, "pretrained_cfg", None) or {}
    told = config.get("classifier")
    if isinstance(told, (tuple, list)):
        raise HeadNotFound(
            f"{type(network).__name__} answers with {len(told)} heads together ({', '.join(map(str, told))}), so there "
            "is no one last layer.",
            next_step="Use a network with one head; most have a version without distillation.",
        )
    names = {module: name for name, module in network.named_modules()}
    asked: Any = network
    own = asked.get_classifier() if hasattr(network, "get_classifier") else None
    if isinstance(own, nn.Module) and names.get(own):
        inside = [name for name, module in own.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
        # a classifier that is a sequence ends in its last layer
        return f"{names[own]}.{inside[-1]}".removesuffix(".") if inside else names[own]
    return str(told) if isinstance(told, str) and told in names.values() else None


def default_preprocessing(arch: str) -> Preprocessing:
    """What the weights that timm has for this name were trained with."""
    from timm.models import get_pretrained_cfg

    name, arguments = parsed(check(arch))
    known = get_pretrained_cfg(name)
    found = dict(known.to_dict()) if known is not None else {}
    return preprocessing_of({"pretrained_cfg": found, "model_args": arguments})[0]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(value: Any) -> str:
    """JSON, or the text itself where reading it back gives the same."""
    if isinstance(value, str) and _value(value) == value:
        return quote(value)
    return quote(json.dumps(value))
