"""The whole repaired network, in formats that others read, each read back and asked before it is offered.

The weights come first: a network that does not say what the run stored is not offered at all. Every other format is
offered if it passes the same check; where an exporter cannot take a network, a sentence says so and the others stay.
"""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.activations.reloading import analysed_classifier
from core.activations.store import Analysis
from core.classifiers import exported, onnx_model, origins
from core.classifiers.checkpoint import read_checkpoint, write_checkpoint
from core.classifiers.classifier import (
    Classifier,
    description_of,
    load_classifier,
    replace_head,
    write_like,
    write_with_head,
)
from core.classifiers.exported_program import Program
from core.classifiers.head import Head
from core.classifiers.layout import read_layout, write_layout
from core.errors import DiskFull, MidbandError
from core.export.formats import (
    LARGEST_ONNX,
    export_program,
    size_of,
    write_onnx,
    write_program,
    write_torchscript,
)
from core.export.trial import HALF_TOLERANCE, TOLERANCE, Trial, does_not_fit, outputs_of, trial_of
from core.progress import Progress, silent
from core.retraining.runs import run_folder, run_head
from core.workspace import Workspace

WEIGHTS, STATE_DICT, SCRIPT = "model.safetensors", "model.pt", "model-torchscript.pt"
PROGRAM, ONNX = "model.pt2", "model.onnx"
FORMATS = {
    WEIGHTS: "safetensors",
    STATE_DICT: "PyTorch state dict",
    SCRIPT: "TorchScript",
    PROGRAM: "torch.export",
    ONNX: "ONNX",
}
# what can be left out: the weights cannot
OPTIONAL = {"torchscript": SCRIPT, "torch.export": PROGRAM, "onnx": ONNX}
AS_IT_CAME = "the format it came in"
# bytes below which a disk is as good as full
SPARE = 1_000_000


@dataclass(frozen=True)
class WrittenModel:
    """One file that passed. what: a sentence on what it is. furthest: the largest difference of its logits from the
    stored ones over the images tried; None where it holds the very weights that were tried. notes: what to know."""

    file: str
    format: str
    what: str
    furthest: float | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "format": self.format,
            "what": self.what,
            "furthest": self.furthest,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class RefusedFormat:
    """A format that is not offered, and why."""

    format: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"format": self.format, "reason": self.reason}


@dataclass(frozen=True)
class Models:
    """paths: of all files, larger than `written` where one format takes two. tried: images that each was asked about;
    0 when none could be read any more and noise took their place. single: one output for two classes."""

    paths: tuple[Path, ...]
    written: tuple[WrittenModel, ...]
    refused: tuple[RefusedFormat, ...]
    tried: int
    single: bool


def write_model(
    workspace: Workspace,
    analysis: Analysis,
    run_id: str,
    folder: Path,
    *,
    formats: Collection[str] = tuple(OPTIONAL),
    progress: Progress = silent,
) -> Models:
    """Write the repaired network of a run into an existing folder, in every format that it passes in.

    `model.safetensors` (names its architecture, classes and preprocessing: Midband loads it again), `model.pt` (a state
    dict of tensors, for `torch.load(..., weights_only=True)`), the layout of the file that came where that is another,
    `model-torchscript.pt`, `model.pt2`, `model.onnx`. A program of torch.export comes back in its own archive too, an
    ONNX graph only as such. formats: which of `OPTIONAL`.

    Raises `BadCheckpoint` when the weights do not give what the run stored, what `analysed_classifier` raises, and what
    `progress` raises to cancel.
    """
    steps = 6
    progress(0, steps, "Writing the weights and reading them back")
    original = analysed_classifier(analysis)
    if original.origin == origins.ONNX:
        models = _graph_alone(workspace, analysis, original, run_id, folder, formats)
        progress(steps, steps, "The model is written")
        return models
    network, before = _repaired(workspace, original, run_id)
    trial = trial_of(workspace, analysis, run_id, before, is_head=before is original)
    with torch.inference_mode():
        trial.furthest("The network", network(trial.batch))
    state = {name: value.detach().clone().contiguous() for name, value in network.state_dict().items()}
    description = replace(description_of(before), classes=analysis.classes)
    try:
        written = _write_weights(network, state, description, trial, folder)
        if before.origin == origins.EXPORTED:
            head = run_head(workspace, run_id)
            written.insert(0, _write_in_place(before, head, trial, folder / PROGRAM, FORMATS[PROGRAM], analysis))
    except Exception as error:
        _check_disk(error, folder)
        raise
    paths = [path for model in written for path in _files_of(folder / model.file)]
    refused: list[RefusedFormat] = []

    def attempt(name: str, write: Callable[[Path], WrittenModel]) -> None:
        path = folder / name
        try:
            written.append(write(path))
        except (MemoryError, DiskFull):
            raise
        except Exception as error:
            _check_disk(error, folder)
            # exporters fail in their own ways; none of them may take the other formats along
            refused.append(RefusedFormat(FORMATS.get(name, AS_IT_CAME), _reason(error)))
            for left in _files_of(path):
                left.unlink()
        else:
            paths.extend(_files_of(path))

    sample = trial.sample
    program: torch.export.ExportedProgram | None = None

    def check_batch() -> None:
        if isinstance(network, Program) and network.takes.batch is not None:
            raise _CannotBe(
                f"The program it came as takes {network.takes.batch} images at a time only; it comes back as such a "
                "program."
            )

    def write_script(path: Path) -> WrittenModel:
        check_batch()
        return _write_script(network, trial, path)

    def write_graph(path: Path) -> WrittenModel:
        nonlocal program
        if isinstance(network, torch.jit.ScriptModule):
            raise _CannotBe("torch.export takes networks written in Python, and this one came as TorchScript.")
        program = export_program(network, sample)
        furthest = trial.ask(path.name, write_program(program, path))
        return WrittenModel(
            path.name, FORMATS[PROGRAM], "the network as a graph of torch.export, for batches of any size", furthest
        )

    def write_open_graph(path: Path) -> WrittenModel:
        check_batch()
        facts = {"classes": list(analysis.classes), "preprocessing": analysis.preprocessing}
        is_script = isinstance(network, torch.jit.ScriptModule)
        try:
            if size_of(state) > LARGEST_ONNX and not is_script:
                raise _CannotBe("the former exporter knows one file only")
            furthest = trial.ask(path.name, write_onnx(network, sample, path, facts))
        except ImportError:
            raise
        except Exception:
            if is_script:
                raise
            source = program or export_program(network, sample)
            furthest = trial.ask(path.name, write_onnx(source, sample, path, facts))
        what = "the network as ONNX: input “images”, output “logits”, batches of any size; classes and preprocessing "
        return WrittenModel(path.name, FORMATS[ONNX], what + "are in its metadata", furthest)

    progress(1, steps, "Writing the format it came in")
    if not origins.is_program(before.origin):
        _write_as_it_came(original, network, state, trial, written, attempt)
    progress(2, steps, "Writing TorchScript")
    if "torchscript" in formats and not isinstance(network, torch.jit.ScriptModule):
        attempt(SCRIPT, write_script)
    progress(3, steps, "Writing torch.export")
    if "torch.export" in formats and before.origin != origins.EXPORTED:
        attempt(PROGRAM, write_graph)
    progress(4, steps, "Writing ONNX")
    if "onnx" in formats:
        attempt(ONNX, write_open_graph)
    progress(steps, steps, "The models are written")
    return Models(tuple(paths), tuple(written), tuple(refused), trial.images, original.single)


class _CannotBe(Exception):
    """A format that a network cannot be written in, for a reason known beforehand."""


def _graph_alone(
    workspace: Workspace,
    analysis: Analysis,
    original: Classifier,
    run_id: str,
    folder: Path,
    formats: Collection[str],
) -> Models:
    """An ONNX graph with its new last node: of what runs outside of PyTorch, no network of PyTorch is made."""
    trial = trial_of(workspace, analysis, run_id, original, is_head=True)
    path = folder / ONNX
    try:
        written = _write_in_place(original, run_head(workspace, run_id), trial, path, FORMATS[ONNX], analysis)
    except Exception as error:
        _check_disk(error, folder)
        raise
    reason = "It came as an ONNX graph and comes back as one; PyTorch has no reader of such graphs."
    others = [file for name, file in OPTIONAL.items() if name in formats and file != ONNX]
    refused = [RefusedFormat(FORMATS[file], reason) for file in others]
    return Models(_files_of(path), (written,), tuple(refused), trial.images, original.single)


def _files_of(path: Path) -> tuple[Path, ...]:
    """The file itself, if it is there, and those that belong to it."""
    return tuple(one for one in (path, *sorted(path.parent.glob(f"{path.name}.*"))) if one.exists())


def _write_in_place(
    original: Classifier, head: Head, trial: Trial, path: Path, kind: str, analysis: Analysis
) -> WrittenModel:
    """The file that came, all of it, with another last layer; read back and asked."""
    notes = write_with_head(replace(original, classes=original.classes or analysis.classes), head, path)
    again = load_classifier(path, preprocessing=original.preprocessing)
    halves = getattr(original.backbone, "half_precision", False)
    furthest = trial.ask(path.name, outputs_of(again), HALF_TOLERANCE if halves else TOLERANCE)
    declared = onnx_model.declared if original.origin == origins.ONNX else exported.declared
    takes = declared(original).words()
    return WrittenModel(path.name, kind, f"the whole model, {AS_IT_CAME}; takes {takes}", furthest, notes)


def _repaired(workspace: Workspace, original: Classifier, run_id: str) -> tuple[nn.Module, Classifier]:
    """The whole network of the run, and the classifier that it was built from."""
    weights = run_folder(workspace, run_id) / WEIGHTS
    if weights.is_file():
        # the whole network was trained; it goes back to one output where one came in
        trained = load_classifier(weights, preprocessing=original.preprocessing)
        before = replace(trained, single=original.single)
        network = replace_head(before, before.head)
    else:
        before = original
        network = replace_head(original, run_head(workspace, run_id))
    if not isinstance(network, torch.jit.ScriptModule):
        # channels last is for speed on this machine; others write plain files
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stubs lack it
    return network, before


def _write_weights(
    network: nn.Module, state: dict[str, torch.Tensor], description: Any, trial: Trial, folder: Path
) -> list[WrittenModel]:
    """The weights themselves, without which there is no export; and TorchScript where it came in."""
    write_checkpoint(folder / WEIGHTS, state, description)
    torch.save(state, folder / STATE_DICT)
    for name in (WEIGHTS, STATE_DICT):
        read = read_checkpoint(folder / name).state
        if read.keys() != state.keys() or not all(torch.equal(read[key], value) for key, value in state.items()):
            raise does_not_fit(name, "its weights differ from those that were written")
    own = "all weights with what was repaired; names architecture, classes and preprocessing"
    if isinstance(network, Program):
        own = "all weights with what was repaired, by their names in the network; names classes and preprocessing"
        return [
            WrittenModel(WEIGHTS, FORMATS[WEIGHTS], own, None),
            WrittenModel(STATE_DICT, FORMATS[STATE_DICT], "the same weights by name", None),
        ]
    if isinstance(network, torch.jit.ScriptModule):
        # weights alone are no TorchScript: there the module itself is tried
        furthest = trial.ask(SCRIPT, write_torchscript(network, trial.sample, folder / SCRIPT))
        script = [WrittenModel(SCRIPT, FORMATS[SCRIPT], f"the whole network, {AS_IT_CAME}", furthest)]
        return [
            *script,
            WrittenModel(WEIGHTS, FORMATS[WEIGHTS], own, None),
            WrittenModel(STATE_DICT, FORMATS[STATE_DICT], "the same weights by name", None),
        ]
    again = load_classifier(folder / WEIGHTS, preprocessing=description.preprocessing)
    furthest = trial.ask(WEIGHTS, outputs_of(again))
    return [
        WrittenModel(WEIGHTS, FORMATS[WEIGHTS], own, furthest),
        WrittenModel(STATE_DICT, FORMATS[STATE_DICT], "the same weights as a PyTorch state dict", None),
    ]


def _write_as_it_came(
    original: Classifier,
    network: nn.Module,
    state: dict[str, torch.Tensor],
    trial: Trial,
    written: list[WrittenModel],
    attempt: Callable[[str, Callable[[Path], WrittenModel]], None],
) -> None:
    if original.file.is_dir():
        attempt("model-as-it-came.zip", lambda path: _write_folder(original, network, trial, path))
        return
    what = f"{AS_IT_CAME}: the names and wrappers of {original.file.name}, for the code that loads that one"
    suffix = original.file.suffix if re.fullmatch(r"\.\w{1,16}", original.file.suffix) else ".safetensors"
    if original.origin == "transformers":

        def write_named(path: Path) -> WrittenModel:
            return asked(path, write_like(original, network, path), TOLERANCE)
    else:
        layout = read_layout(original.file, original.arch)
        same = WEIGHTS if layout.kind == "safetensors" else STATE_DICT
        if layout.plain:
            # one of the files has that layout anyway
            written[:] = [
                replace(model, what=f"{model.what} ({AS_IT_CAME})") if model.file == same else model
                for model in written
            ]
            return
        halves = any(t.is_floating_point() and t.dtype.itemsize < 4 for t in layout.weights.values() if _is_tensor(t))
        if not original.file.suffix and layout.kind != "safetensors":
            suffix = ".pt"

        def write_named(path: Path) -> WrittenModel:
            return asked(path, write_layout(layout, state, path), HALF_TOLERANCE if halves else TOLERANCE)

    def asked(path: Path, notes: tuple[str, ...], tolerance: float) -> WrittenModel:
        again = load_classifier(path, arch=original.arch, preprocessing=original.preprocessing)
        furthest = trial.furthest(path.name, outputs_of(again)(trial.batch), tolerance)
        return WrittenModel(path.name, AS_IT_CAME, what, furthest, notes)

    attempt(f"model-as-it-came{suffix}", write_named)


def _write_folder(original: Classifier, network: nn.Module, trial: Trial, path: Path) -> WrittenModel:
    """The folder of a library, packed: what its own loader takes once it is unpacked."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".folder-") as beside:
        folder = Path(beside) / original.file.name
        notes = write_like(original, network, folder)
        again = load_classifier(folder, preprocessing=original.preprocessing)
        furthest = trial.furthest(path.name, outputs_of(again)(trial.batch))
        shutil.make_archive(str(path.with_suffix("")), "zip", root_dir=beside, base_dir=folder.name)
    what = f"{AS_IT_CAME}: a folder for {original.origin}, packed; unpack it to load it"
    return WrittenModel(path.name, AS_IT_CAME, what, furthest, notes)


def _write_script(network: nn.Module, trial: Trial, path: Path) -> WrittenModel:
    furthest = trial.ask(path.name, write_torchscript(network, trial.sample, path))
    return WrittenModel(path.name, FORMATS[SCRIPT], "the whole network as TorchScript, code and weights", furthest)


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _check_disk(error: BaseException, folder: Path) -> None:
    """Raise `DiskFull` where that is why writing failed: torch and others say it in words of their own, or not."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            break
        cause = cause.__cause__ or cause.__context__
    if cause is None and shutil.disk_usage(folder).free > SPARE:
        return
    raise DiskFull(
        f"The disk that holds {folder.parent} is full.",
        next_step="Free some space, or export into a folder on another disk.",
    ) from error


def _reason(error: Exception) -> str:
    """Why a format is not offered, in one sentence that somebody can act on or pass on."""
    if isinstance(error, _CannotBe):
        return str(error)
    if isinstance(error, MidbandError):
        return error.detail
    if isinstance(error, ImportError):
        return f"{error.name or 'A library'} is not installed here: `pip install -r requirements.txt` brings it."
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else ""
    shown = said if len(said) <= 160 else f"{said[:159]}…"
    return f"Its exporter cannot take this network ({type(error).__name__}{': ' if shown else ''}{shown})."
