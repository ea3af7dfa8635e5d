"""Programs of torch.export (`.pt2`): graphs of torch's own operators, run here one operator after another.

The archive is read as data (exported_archive.py), and only operators of exported_operators.py are run: arithmetic on
tensors, none of which reaches files, code or randomness. So a program can do no more than compute, whoever made it. The
features are what goes into the last linear operator; what follows it is left out.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from core.classifiers.checkpoint import check_finite
from core.classifiers.classifier import Classifier, of_program, one_output
from core.classifiers.exported_archive import damaged, is_harmless, record_bytes, with_records
from core.classifiers.exported_head import Parted, part
from core.classifiers.exported_opened import Opened, open_program
from core.classifiers.exported_program import Program, backbone_of, opened_for_any_rows, program_of
from core.classifiers.head import Head
from core.classifiers.limits import one_trial
from core.classifiers.origins import EXPORTED
from core.classifiers.preprocessing import Preprocessing
from core.classifiers.programs import Takes, probe, stripped, stripped_still
from core.errors import MidbandError
from core.files import replacing


@one_trial()
def load(file: Path, preprocessing: Preprocessing | None) -> Classifier:
    """Load a program of torch.export. preprocessing: None for what images of its size usually go through.

    Raises `UnsafeCheckpoint`, `BadCheckpoint`, `BadWeights`, `HeadNotFound`, `BadRequest`.
    """
    opened = open_program(file)
    check_finite({fqn: tensor for fqn, tensor, _ in opened.weights.values()}, file)
    try:
        parted = part(opened, file)
    except MidbandError:
        raise
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # weights that are computed, from numbers that do not fit
        raise damaged(file, error) from error
    chosen = preprocessing or opened.takes.preprocessing()
    opened.takes.check(file.name, chosen)
    backbone = backbone_of(opened, parted, chosen, file)
    return of_program(
        file,
        EXPORTED,
        Head(parted.weight.numpy().copy(), parted.bias.numpy().copy()),
        backbone,
        chosen,
        head_name=parted.names[0] or "",
        notes=stripped(parted.left_out, file),
    )


def with_head(classifier: Classifier, head: Head) -> Program:
    """The whole network up to its logits, with this last layer. head: of the classifier's size."""
    opened = open_program(classifier.file)
    parted = part(opened, classifier.file)
    assert isinstance(classifier.backbone, Program)
    if classifier.backbone.open_rows:
        opened = opened_for_any_rows(opened, parted, classifier.preprocessing)
    program = program_of(opened, parted, (parted.features,), classifier.preprocessing, classifier.backbone.takes)
    weight = parted.names[0] or "head.weight"
    bias = parted.names[1] or re.sub(r"weight$", "bias", weight)
    program.set_head(one_output(head) if classifier.single else head, (weight, bias if bias != weight else "head.bias"))
    return program.eval()


def declared(classifier: Classifier) -> Takes:
    """What the file says that its program takes."""
    return open_program(classifier.file).takes


def write_with_head(classifier: Classifier, head: Head, path: Path) -> tuple[str, ...]:
    """The program as it came, in its own archive, with other numbers in its last layer: inputs and outputs stay.

    Written anew from the network instead where that layer's numbers lie in no place of their own, or where torch's
    reader would run code that the file brings. Returns sentences on what else is in it.
    """
    file = classifier.file
    opened = open_program(file)
    parted = part(opened, file)
    records = _new_records(opened, parted, one_output(head) if classifier.single else head, file)
    with replacing(path) as beside:
        if records is not None and is_harmless(file):
            with_records(file, records, beside)
            return stripped_still(parted.left_out)
        _write_anew(with_head(classifier, head), beside)
    return (
        "It was written anew, up to the logits, since its last layer could not be changed in place: it takes images of "
        "(b, channels, height, width) that are normalised already.",
    )


def _write_anew(program: Program, path: Path) -> None:
    images = probe(program.chosen, program.takes.channels)
    size = program.takes.batch
    sample = images[:2] if size is None else images[:1].expand(size, -1, -1, -1).contiguous()
    shapes = ({0: torch.export.Dim("batch", min=1)},) if size is None else None
    written = torch.export.export(program, (sample,), dynamic_shapes=shapes)
    for node in written.graph.nodes:
        # where on this machine the code lies is nobody's business
        node.meta.pop("stack_trace", None)
    # given a path, torch minds how it ends
    with open(path, "wb") as target:
        torch.export.save(written, target)


def _new_records(opened: Opened, parted: Parted, head: Head, file: Path) -> dict[str, bytes] | None:
    """Content of the records that hold the last layer, with its new numbers; None where they are used elsewhere too."""
    weight, bias = parted.names
    if weight is None or (bias is None and head.bias.any()):
        return None
    stored = opened.archive.stored
    records: dict[str, bytes] = {}
    changed = [(weight, head.weight), *([(bias, head.bias)] if bias else [])]
    for fqn, numbers in changed:
        place = stored.get(fqn)
        tensor = opened.archive.state[fqn]
        users = sum(name in step.taken() for step in opened.graph.steps for name, one in opened.weights.items()
                    if one[0] == fqn)  # fmt: skip
        shared = sum(one.record == place.record for one in stored.values()) if place else 0
        if place is None or users != 1 or shared != 1 or not tensor.is_contiguous() or tensor.numel() != numbers.size:
            return None
        old = records.get(place.record) or record_bytes(file, place.record)
        data = torch.from_numpy(numbers.copy()).to(place.dtype).contiguous().view(torch.uint8).numpy().tobytes()
        records[place.record] = old[: place.start] + data + old[place.start + len(data) :]
    return records
