"""Step 2 of Load: a model somebody has, or one trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.classifiers.peek import Peeked, is_hub_name, peek
from core.errors import BadCheckpoint, ClassMismatch, PathNotFound, UnsafeCheckpoint
from core.files import unwrapped
from pages.parts import load_check, load_input, load_upload, problem, state
from pages.parts.load_look import Looked
from pages.parts.words import TERMS, count, listed, plain

PATH = "load_model"
DROPPED = "load_upload"
ARCH = "load_arch"
PEEKED = "load_peeked"
PRECISION = "load_precision"
BRING, TRAIN = "I have a model", "Train one here"
DROPS = ("pt", "pth", "safetensors", "pt2", "onnx", "bin", "ckpt", "tar")

# Offered first; any other classification architecture of torchvision or timm can be typed. Their full list would need
# torch, which this process never imports.
COMMON = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "densenet121",
    "vgg16",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "convnext_tiny",
    "convnext_base",
    "regnet_y_400mf",
    "vit_b_16",
    "swin_t",
)
TIMM = tuple(
    f"timm:{name}" for name in ("resnet50", "resnet50d", "convnext_tiny", "efficientnet_b0", "vit_base_patch16_224")
)

WHAT = """
- **Weights** (`.pt`, `.pth`, `.safetensors`) of a torchvision or timm network: you name the network.
- **TorchScript**, **torch.export** (`.pt2`) and **ONNX**: these bring their own network.
- A **folder** as timm or Hugging Face transformers save it (`config.json` beside the weights).
- A name on the hub, where there is a network: `hf-hub:microsoft/resnet-50`.

Pickled whole models are refused: opening one runs whatever code it holds.
"""


@dataclass(frozen=True)
class Choice:
    """What to do: a kind of job with its request.

    missing: something is still asked for, or cannot be used. doubt: it can start, but something should be mended first.
    checking: a check that may say so is under way.
    """

    kind: str
    request: dict[str, Any]
    missing: bool = False
    doubt: bool = False
    checking: bool = False


def ask(looked: Looked) -> Choice:
    with st.container(border=True, key="card-model"):
        st.header("2 · Model", anchor=False)
        if not looked.labelled:
            # training needs to be told what is what
            return _bring(looked)
        way = st.segmented_control(
            "Which model?",
            (BRING, TRAIN),
            default=BRING,
            required=True,
            key="load_way",
            persist_state="session",
            label_visibility="collapsed",
        )
        return _train(looked) if way == TRAIN else _bring(looked)


def clear() -> None:
    """Begin with none, as a callback."""
    st.session_state[PATH] = ""
    _other_model()


def fill(request: Mapping[str, Any]) -> None:
    """Ask with what a job was given, as a callback; what this session gave stands."""
    model = request.get("model")
    if not model:
        st.session_state["load_way"] = TRAIN
    elif not st.session_state.get(PATH):
        st.session_state[PATH] = model
        if request.get("arch"):
            st.session_state[ARCH] = request["arch"]
        if request.get("preprocessing"):
            load_input.use(request["preprocessing"])
        if request.get("class_order"):
            load_check.set_order(request["data"], model, request["class_order"])


def _bring(looked: Looked) -> Choice:
    path = _place()
    request: dict[str, Any] = {**looked.request, "model": path}
    if not path:
        return Choice("analyse", request, missing=True)
    found = _peeked(path)
    if found.problem or found.kind == "absent":
        _refused(path, found)
        return Choice("analyse", request, missing=True)
    _chip(found, looked)
    if found.classes and len(found.classes) < len(there := _with_images(looked)):
        _other_classes(path, found.classes, there)
        return Choice("analyse", request, missing=True)
    if found.needs_architecture:
        arch = _architecture(found.arch)
        if not arch:
            return Choice("analyse", request, missing=True)
        request["arch"] = arch
    if chosen := load_input.ask(looked, load_check.known_input(request) or found.preprocessing):
        request["preprocessing"] = chosen
    if order := load_check.class_order(looked, path):
        request["class_order"] = order
    said = load_check.show(looked, request, found.classes)
    return Choice(
        "analyse",
        request,
        missing=said == load_check.NEVER,
        doubt=said == load_check.DOUBT,
        checking=said == load_check.CHECKING,
    )


def _place() -> str:
    """The path that was typed or dropped; else both ways to give one."""
    given = str(st.session_state.get(PATH) or "").strip()
    field, beside = st.columns([3, 2], gap="medium") if not given else (st.container(), None)
    path = field.text_input(
        "File or folder of the model",
        key=PATH,
        persist_state="session",
        placeholder="/models/waterbirds-resnet50.pt",
        help=WHAT,
        on_change=_other_model,
    )
    if beside is not None:
        beside.file_uploader("Or drop its file", type=list(DROPS), key=DROPPED, on_change=problem.kept(_take_dropped))
    return unwrapped(path)


def _take_dropped() -> None:
    if (dropped := st.session_state[DROPPED]) is not None:
        st.session_state[PATH] = str(load_upload.keep(state.workspace().models, [dropped]))
        _other_model()


def _other_model() -> None:
    """What was set for the model before is not meant for this one."""
    st.session_state.pop(ARCH, None)
    # it was chosen for the other one's pass
    st.session_state.pop(PRECISION, None)
    load_input.reset()


def _peeked(path: str) -> Peeked:
    """What is there: looked at again when it has changed, not on every run of the page."""
    if is_hub_name(path):
        return peek(path)
    known = (path, load_check.stamp({"model": path}))
    kept = st.session_state.get(PEEKED)
    if kept is None or kept[0] != known:
        kept = st.session_state[PEEKED] = (known, peek(path))
    return kept[1]


def _refused(path: str, found: Peeked) -> None:
    if found.kind == "absent":
        problem.show(
            PathNotFound(
                f"There is no file or folder {path}.", next_step="Check the spelling, or drop the file instead."
            )
        )
    elif found.kind == "pickled":
        problem.show(
            UnsafeCheckpoint(
                found.problem,
                next_step="Where you trust it, load it once yourself and save its weights, as below. Then give that "
                "file and name the network.",
            )
        )
        given = Path(path).expanduser()
        st.code(
            "import torch\n\n"
            f"model = torch.load({str(given)!r}, map_location='cpu', weights_only=False)\n"
            f"torch.save(model.state_dict(), {str(given.with_name(f'{given.stem}-weights.pt'))!r})",
            language="python",
            wrap_lines=True,
        )
    else:
        problem.show(
            BadCheckpoint(
                found.problem or "Nothing is known of it.",
                next_step="Give weights, TorchScript, a .pt2, an ONNX file, or a folder of timm or transformers.",
            )
        )


def _chip(found: Peeked, looked: Looked) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(plain(found.title), icon=":material/check:", color="blue")
        if found.classes:
            st.caption(f"{count(len(found.classes), 'class', 'classes')}: {plain(listed(found.classes, most=4))}")


def _with_images(looked: Looked) -> tuple[str, ...]:
    """The classes that a model has to have; none where nobody says what the images show."""
    counts = looked.counts.values() if looked.labelled else ()
    return tuple(name for name in looked.classes if any(split.get(name) for split in counts))


def _other_classes(path: str, own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """A model of fewer classes than the images have: no order of them mends that."""
    problem.show(
        ClassMismatch(
            f"{Path(path).name} tells {count(len(own), 'class', 'classes')} apart ({listed(own)}), the images have "
            f"{len(wanted):,} ({listed(wanted)}).",
            next_step="Give the model that was trained on these images, or the images it was trained on; or train one "
            "here.",
        )
    )


def _architecture(likely: str | None) -> str | None:
    """likely: what the file says of its network, or shows."""
    if likely and ARCH not in st.session_state:
        st.session_state[ARCH] = likely
    arch = st.selectbox(
        "Architecture",
        (*COMMON, *TIMM),
        index=None,
        key=ARCH,
        persist_state="session",
        accept_new_options=True,
        placeholder="Choose, or type any name of torchvision, or timm:NAME",
        help="This file holds weights only, so the network they belong to has to be named: as torchvision calls it, or "
        "after “timm:” as timm does.",
    )
    if not arch or not arch.strip():
        st.caption("Name the network to go on.")
        return None
    return arch.strip()


def _train(looked: Looked) -> Choice:
    st.caption(
        "A plain classifier, trained the usual way on the train split. If the data invites a shortcut, it takes it: "
        "that is what Midband is for."
    )
    left, middle, right = st.columns(3, gap="medium")
    arch = left.selectbox(
        "Network",
        ("small", *COMMON),
        key="load_train_arch",
        persist_state="session",
        accept_new_options=True,
        help="“small” trains in a minute or two on a laptop. The others are torchvision architectures, from scratch: "
        "they are slow without a graphics card.",
    )
    epochs = middle.number_input(
        "Epochs",
        min_value=1,
        max_value=1000,
        value=None,
        key="load_epochs",
        persist_state="session",
        placeholder="chosen for you",
        help="How often every training image is seen. Left empty, it follows from the number of images.",
    )
    seed = right.number_input("Seed", min_value=0, value=0, key="load_seed", help=TERMS["seed"])
    request: dict[str, Any] = {**looked.request, "arch": arch or "small", "seed": int(seed)}
    if epochs:
        request["epochs"] = int(epochs)
    return Choice("train-analyse", request)
