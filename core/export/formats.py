"""One function per format: write a network, read the file back, and say what it answers.

Each takes the network (b, 3, h, w) -> (b, outputs) in evaluation mode on the CPU, and gives a function that runs what
was written. Anything may go wrong in other people's exporters: whoever calls them catches it (`core.export.model`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.classifiers import torchscript

# what was written, as a function of a batch (b, 3, h, w) float32
Reloaded = Callable[[torch.Tensor], torch.Tensor]

INPUT, OUTPUT = "images", "logits"
# A protobuf holds 2 GiB; weights of larger networks lie in a file beside the graph.
LARGEST_ONNX = 1_900_000_000
# for graphs that come out of TorchScript; the newest that torch's exporter for them knows
SCRIPT_OPSET = 18


def write_torchscript(network: nn.Module, sample: torch.Tensor, path: Path) -> Reloaded:
    """Code and weights in one file, which needs nothing but torch. sample: (b, 3, h, w), for what has to be traced."""
    with _calm():
        module = network if isinstance(network, torch.jit.ScriptModule) else _scripted(network, sample)
        module.save(str(path))
        # read as Midband reads other people's: what this refuses, nobody could load here again
        return torchscript.load(path)


def _scripted(network: nn.Module, sample: torch.Tensor) -> torch.jit.ScriptModule:
    with contextlib.suppress(Exception):
        module = torch.jit.script(network)
        # compiled, Inception and GoogLeNet give a tuple; they are followed as well
        if isinstance(module(sample), torch.Tensor):
            return module
    # what the compiler cannot read can still be followed; `core.export.model` tries other batches
    return torch.jit.trace(network, sample, check_trace=False)


def export_program(network: nn.Module, sample: torch.Tensor) -> torch.export.ExportedProgram:
    """The network as a graph that takes batches of any size. sample: (2, 3, h, w)."""
    with _calm():
        program = torch.export.export(network, (sample,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    for node in program.graph.nodes:
        # where on this machine the code of each layer lies is nobody's business
        node.meta.pop("stack_trace", None)
    return program


def write_program(program: torch.export.ExportedProgram, path: Path) -> Reloaded:
    """`torch.export.save`: runs without the code that built the network, and is what compilers take."""
    with _calm():
        torch.export.save(program, path)
        return torch.export.load(path).module()


def write_onnx(
    source: nn.Module | torch.export.ExportedProgram, sample: torch.Tensor, path: Path, facts: Mapping[str, Any]
) -> Reloaded:
    """ONNX, run again by onnxruntime. Input `images`, output `logits`, batches of any size.

    source: a module goes through torch's former exporter, which takes a quarter of the time and TorchScript as well; a
    graph of torch.export through the new one, which knows more of networks. facts: stored as metadata properties, each
    as JSON. Weights of more than 1.9 GB lie beside it in `<name>.data`.
    """
    import onnx
    import onnxruntime

    with _calm():
        if isinstance(source, nn.Module):
            _onnx_of_module(source, sample, path)
        else:
            _onnx_of_program(source, sample, path)
        # weights that lie beside stay where they are
        model = onnx.load(str(path), load_external_data=False)
        for node in model.graph.node:
            # lines of code and where on this machine it lies: nobody's business
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
        onnx.helper.set_model_props(
            model, {name: json.dumps(value, ensure_ascii=False) for name, value in facts.items()}
        )
        path.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(path))
    options = onnxruntime.SessionOptions()
    # errors only: its warnings are about speed on other machines
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(batch: torch.Tensor) -> torch.Tensor:
        (found,) = session.run([OUTPUT], {INPUT: batch.contiguous().numpy()})
        return torch.from_numpy(found)

    return run


def _onnx_of_module(module: nn.Module, sample: torch.Tensor, path: Path) -> None:
    batch = {0: "batch"}
    # on a failure it would print the whole graph to stdout
    torch._C._jit_set_onnx_log_enabled(False)
    # fused attention has no counterpart in ONNX, its parts have
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        torch.onnx.export(
            module,
            (sample,),
            str(path),
            dynamo=False,
            opset_version=SCRIPT_OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: batch, OUTPUT: batch},
        )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _onnx_of_program(source: torch.export.ExportedProgram, sample: torch.Tensor, path: Path) -> None:
    program = torch.onnx.export(
        source, (sample,), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
    )
    assert program is not None
    program.save(str(path), external_data=size_of(source.state_dict) > LARGEST_ONNX)


def size_of(state: Mapping[str, torch.Tensor]) -> int:
    """Bytes of all weights."""
    return sum(tensor.nbytes for tensor in state.values())


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """Exporters talk of their own future at length, on every channel there is."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), open("/dev/null", "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
