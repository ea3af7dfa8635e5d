"""The last block of a network: what is trained where training all of it is too much."""

from __future__ import annotations

from torch import nn

# a unit that holds more of the backbone's parameters than this is looked into
LARGE = 0.5


def last_block(network: nn.Module, head: str) -> frozenset[str]:
    """Names of the parameters of the last block with a weight matrix or filter, of what follows it, and of the head.

    The network is taken apart into units in the order of definition, as deep as one unit holds more than half of the
    backbone's parameters: the last residual block of a ResNet, the last encoder layer of a ViT, the last convolution
    of `small`. head: name of the last linear layer.
    """
    units = [name for name, _ in network.named_children()]
    backbone = sum(_size(network.get_submodule(name), name, head) for name in units)
    while True:
        sizes = {name: _size(network.get_submodule(name), name, head) for name in units}
        largest = max(sizes, key=lambda name: sizes[name])
        inside = [f"{largest}.{name}" for name, _ in network.get_submodule(largest).named_children()]
        if sizes[largest] <= LARGE * backbone or not inside:
            break
        place = units.index(largest)
        units[place : place + 1] = inside
    chosen: list[str] = []
    for name in reversed(units):
        chosen.append(name)
        own = [
            parameter
            for inner, parameter in network.get_submodule(name).named_parameters()
            if not _is_head(f"{name}.{inner}", head)
        ]
        if any(parameter.ndim > 1 for parameter in own):
            break
    return frozenset(
        name
        for name, _ in network.named_parameters()
        if _is_head(name, head) or any(name.startswith(f"{unit}.") for unit in chosen)
    )


def _size(module: nn.Module, name: str, head: str) -> int:
    return sum(p.numel() for inner, p in module.named_parameters() if not _is_head(f"{name}.{inner}", head))


def _is_head(parameter: str, head: str) -> bool:
    return parameter.startswith(f"{head}.")
