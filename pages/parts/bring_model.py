"""Step 2 of Load: a model file, or one trained here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core.classifiers.peek import names_its_network
from core.datasets import Dataset
from core.errors import PathNotFound
from core.files import replacing
from pages.parts import problem, state
from pages.parts.words import TERMS, plain

PATH = "load_model"
BRING, TRAIN = "I have a model file", "Train one here"

# Offered first; any other classification architecture of torchvision can be typed. Their full list would need torch,
# which this process never imports.
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


@dataclass(frozen=True)
class Choice:
    """What to do: a kind of job with its request. missing: why it cannot start yet, or ""."""

    kind: str
    request: dict[str, Any]
    missing: str = ""


def ask(dataset: Dataset) -> Choice:
    with st.container(border=True, key="card-model"):
        st.header("2 · Model", anchor=False)
        way = st.segmented_control(
            "Which model?", (BRING, TRAIN), default=BRING, required=True, key="load_way", persist_state="session"
        )
        return _train(dataset) if way == TRAIN else _bring(dataset)


def _bring(dataset: Dataset) -> Choice:
    left, right = st.columns(2, gap="medium")
    with left:
        typed = st.text_input(
            "Path of the model file",
            key=PATH,
            persist_state="session",
            placeholder="/models/waterbirds-resnet50.pt",
            help="A state dict (`.pt`, `.pth`, `.safetensors`) or TorchScript. Pickled whole models are refused: "
            "opening one runs whatever code it holds.",
        )
    with right:
        uploaded = st.file_uploader("Or drop it here", type=["pt", "pth", "safetensors"], key="load_upload")
    path = typed.strip()
    if uploaded is not None and not path:
        path = str(_keep(uploaded.name, uploaded.file_id, uploaded.getbuffer()))
        st.caption(f"Kept in the workspace as {plain(Path(path).name)}.")
    request: dict[str, Any] = {"data": str(dataset.root), "model": path}
    if not path:
        return Choice("analyse", request, "Give the path of a model file, or drop one.")
    if not Path(path).expanduser().is_file():
        problem.show(
            PathNotFound(f"There is no file {path}.", next_step="Check the spelling, or drop the file instead.")
        )
        return Choice("analyse", request, "The model file is not there.")
    if not names_its_network(Path(path).expanduser()):
        arch = st.selectbox(
            "Architecture",
            COMMON,
            index=None,
            key="load_arch",
            persist_state="session",
            accept_new_options=True,
            placeholder="Choose, or type any torchvision name",
            help="This file holds weights only, so the network they belong to has to be named. "
            "TorchScript files do not need it.",
        )
        if not arch:
            return Choice("analyse", request, "Name the architecture of these weights.")
        request["arch"] = arch
    else:
        st.caption(":material/check: This file says itself which network it is.")
    if preprocessing := _preprocessing():
        request["preprocessing"] = preprocessing
    return Choice("analyse", request)


def _train(dataset: Dataset) -> Choice:
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
    request: dict[str, Any] = {"data": str(dataset.root), "arch": arch or "small", "seed": int(seed)}
    if epochs:
        request["epochs"] = int(epochs)
    return Choice("train-analyse", request)


def _preprocessing() -> dict[str, Any] | None:
    """What a person overrides of how images are prepared; None leaves it to the model."""
    with st.expander("How images are prepared", icon=":material/tune:"):
        if not st.toggle(
            "Set it myself",
            key="load_own_preprocessing",
            help="Otherwise: what the file says, or what torchvision's own weights of this architecture expect.",
        ):
            return None
        first, second, third = st.columns(3)
        squeeze = first.toggle("Squeeze into a square", help="Otherwise the middle is cut out after resizing.")
        resize = second.number_input("Resize shorter side to", 8, 2048, 256, disabled=squeeze, help="In pixels.")
        crop = third.number_input("Network input", 8, 2048, 224, help="In pixels, both sides.")
        mean = [
            column.number_input(f"Mean, {name}", 0.0, 1.0, value, format="%.3f")
            for column, name, value in zip(st.columns(3), ("red", "green", "blue"), (0.485, 0.456, 0.406), strict=True)
        ]
        std = [
            column.number_input(f"Deviation, {name}", 0.001, 1.0, value, format="%.3f")
            for column, name, value in zip(st.columns(3), ("red", "green", "blue"), (0.229, 0.224, 0.225), strict=True)
        ]
        return {"resize": None if squeeze else int(resize), "crop": int(crop), "mean": mean, "std": std}


def _keep(name: str, file_id: str, content: memoryview) -> Path:
    """An upload becomes a file under `models/`, once. Its name cannot leave that folder."""
    kept: dict[str, str] = st.session_state.setdefault("load_kept", {})
    if file_id not in kept:
        stem, suffix = Path(name).stem[:80] or "model", Path(name).suffix.lower()
        folder, number = state.workspace().models, 1
        target = folder / f"{stem}{suffix}"
        while target.exists():
            number += 1
            target = folder / f"{stem}-{number}{suffix}"
        with replacing(target) as beside:
            beside.write_bytes(content)
        kept[file_id] = str(target)
    return Path(kept[file_id])
