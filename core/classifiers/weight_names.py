"""What the opcodes of a checkpoint's pickle say, read as a description: nothing in it is carried out.

torch writes names of weights, their shapes and whatever was put beside them into one small pickle. A network is
recognised by what somebody wrote beside its weights (`{"arch": "resnet18", ...}`, as in the training script of
PyTorch's examples), else by the names and shapes of ResNets and of vision transformers.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

# every classification architecture of torchvision, and our own
TORCHVISION = re.compile(
    r"small|alexnet|convnext_(tiny|small|base|large)|densenet(121|161|169|201)|efficientnet_(b[0-7]|v2_[sml])|"
    r"googlenet|inception_v3|maxvit_t|mnasnet(0_5|0_75|1_0|1_3)|mobilenet_(v2|v3_large|v3_small)|"
    r"regnet_[xy]_(128|16|1_6|32|3_2|8)gf|regnet_[xy]_(400|800)mf|resnet(18|34|50|101|152)|"
    r"resnext(50_32x4d|101_32x8d|101_64x4d)|shufflenet_v2_x(0_5|1_0|1_5|2_0)|squeezenet1_[01]|swin_(v2_)?[tsb]|"
    r"vgg(11|13|16|19)(_bn)?|vit_(b_16|b_32|l_16|l_32|h_14)|wide_resnet(50|101)_2"
)
# keys that training scripts write it under
_KEYS = frozenset({"arch", "architecture", "model_name"})
# numbers of blocks in the four stages of a ResNet -> its name; with three convolutions in a block or with two
_BOTTLENECKS: dict[tuple[int, ...], str] = {(3, 4, 6, 3): "50", (3, 4, 23, 3): "101", (3, 8, 36, 3): "152"}
_BASIC: dict[tuple[int, ...], str] = {(2, 2, 2, 2): "18", (3, 4, 6, 3): "34"}
# (depth, channels in a group of the first block's second convolution) -> one of ResNet's wider kin
_KIN: dict[tuple[str, int, int], str] = {
    ("50", 128, 4): "resnext50_32x4d",
    ("101", 256, 8): "resnext101_32x8d",
    ("101", 256, 4): "resnext101_64x4d",
    ("50", 128, 128): "wide_resnet50_2",
    ("101", 128, 128): "wide_resnet101_2",
}
_TRANSFORMERS = {12: "b", 24: "l", 32: "h"}
_SAVED = ("PUT", "BINPUT", "LONG_BINPUT")
_FETCHED = ("GET", "BINGET", "LONG_BINGET")


@dataclass
class Contents:
    """globals: (module, name) of everything that the pickle would import. shapes: of each weight that has one, by name.
    written: what stands under the keys that name a network."""

    globals: list[tuple[str, str]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)


def contents_of(data: bytes) -> Contents:
    """Of a pickle's opcodes. Raises `ValueError` for a damaged one."""
    found = Contents()
    # None for what is no text
    memo: dict[int, str | None] = {}
    texts: list[str] = []
    # the text that the opcode before gave
    last: str | None = None
    key: str | None = None
    weight: str | None = None
    numbers: list[int] | None = None
    for opcode, argument, _ in pickletools.genops(data):
        name = opcode.name
        if name in _SAVED or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = last
            continue
        text = memo.get(int(argument or 0)) if name in _FETCHED else argument if isinstance(argument, str) else None
        if name == "GLOBAL":
            module, _, attribute = str(argument).partition(" ")
            found.globals.append((module, attribute))
            text = None
        elif name == "STACK_GLOBAL" and len(texts) >= 2:
            found.globals.append((texts[-2], texts[-1]))
        elif text is not None:
            texts.append(text)
            if key is not None:
                found.written.append(text)
            elif "." in text and text.endswith(".weight"):
                weight = text
        # a key is followed by its value at once
        key = text if text in _KEYS and key is None else None
        if name == "BINPERSID" and weight is not None:
            numbers = []
        elif numbers is not None and isinstance(argument, int) and name.startswith("BININT"):
            numbers.append(argument)
        elif numbers is not None and name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            # the first is where the numbers begin in their storage
            assert weight is not None
            found.shapes[weight] = tuple(numbers[1:])
            weight = numbers = None
        last = text
    return found


def architecture_in(shapes: Mapping[str, tuple[int, ...]], written: list[str]) -> str | None:
    """The architecture that is written beside weights, or else that their names and shapes are of; None where neither
    says one of torchvision's."""
    for text in written:
        if TORCHVISION.fullmatch(text.strip().casefold()):
            return text.strip().casefold()
    return _resnet(shapes) or _transformer(shapes)


def _resnet(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    blocks: list[set[int]] = [set(), set(), set(), set()]
    inner: tuple[int, ...] | None = None
    bottleneck = False
    for name, shape in shapes.items():
        found = re.search(r"(?:^|\.)layer([1-4])\.(\d+)\.conv([123])\.weight$", name)
        if found:
            stage, block, convolution = map(int, found.groups())
            blocks[stage - 1].add(block)
            bottleneck = bottleneck or convolution == 3
            if (stage, block, convolution) == (1, 0, 2):
                inner = shape
    depth = (_BOTTLENECKS if bottleneck else _BASIC).get(tuple(map(len, blocks)))
    if depth is None or inner is None or len(inner) != 4:
        return None
    if inner[:2] == (64, 64):
        return f"resnet{depth}"
    return _KIN.get((depth, inner[0], inner[1])) if bottleneck else None


def _transformer(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    layers: set[str] = set()
    patch = 0
    for name, shape in shapes.items():
        if found := re.search(r"(?:^|\.)encoder\.layers\.encoder_layer_(\d+)\.", name):
            layers.add(found.group(1))
        if re.search(r"(?:^|\.)conv_proj\.weight$", name) and len(shape) == 4:
            patch = shape[-1]
    guess = f"vit_{_TRANSFORMERS.get(len(layers))}_{patch}"
    return guess if TORCHVISION.fullmatch(guess) else None
