"""The archive that torch.export writes (`.pt2`): a graph as JSON and weights as bytes, read without torch's own reader.

`torch.export.load` of torch 2.13 runs code that a file brings, in five places: it unpickles sample inputs (with
`weights_only=False` when the safe way fails), tensors of classes other than torch's, and constants that are objects;
it hands expressions for sizes to `sympify`, which evaluates them as Python; and a node's target may be any function
that is found from `torch` by attributes (`torch.os.system` is). So the parts that are plain data are read here as data,
and what is pickled is not read at all. Written after the schema of torch 2.13 (`torch/_export/serde/schema.py`), which
is that of 2.5 but for fields that were added.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.classifiers.origins import FORMER_PROGRAM, repeated_name
from core.errors import BadCheckpoint, UnsafeCheckpoint

SCHEMA = 8
# bytes of a graph's JSON: the largest of torchvision's networks take 4 MB
LARGEST_GRAPH = 256 * 2**20
# entries of a tensor beyond those that are stored: views may show some of them more than once
REPEATED = 10_000_000

# numbers that stand for types in the JSON; of half precision are read as float32 (see `Program`)
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}

AGAIN = "Export it again: torch.export.save(torch.export.export(model.eval(), (images,)), 'model.pt2')."
_CONVERSION = (
    "If you trust whoever made it: open it where its code is installed (program = torch.export.load(file)), save only "
    "the weights (torch.save(program.state_dict, 'weights.pt')), then load weights.pt here and name the architecture."
)
# what sizes are made of in expressions of torch.export; anything else would be Python for sympy to run
_EXPRESSION = re.compile(r"[\w\s+\-*/%(),.<>=&|~!]*")
_QUOTED = re.compile(r"'[a-z]{1,3}\d+'")
_SYMBOL = re.compile(
    r"[a-z]{1,3}\d+|Symbol|Add|Mul|Pow|Rational|Infinity|NegativeInfinity|Half|One|Zero|NegativeOne|positive|negative|"
    r"nonnegative|nonpositive|nonzero|zero|integer|real|finite|commutative|even|odd|True|False|Eq|Ne|Gt|Ge|Lt|Le|"
    r"Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|And|Or|Not|Max|Min|Mod|Abs|Piecewise|Integer|Float|oo|"
    r"int_oo|ceiling|floor|sqrt|Identity|FloorDiv|ModularIndexing|Where|PythonMod|CleanDiv|CeilToInt|FloorToInt|"
    r"CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv|IsNonOverlappingAndDenseIndicator|"
    r"TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat"
)


# what of an archive is written into another; sample inputs besides, which are pickled
_KEPT = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|\.format_version|\.storage_alignment|"
    r"models/[^/]+\.json|data/weights/[^/]+|data/constants/[^/]+"
)
_SAMPLES = "data/sample_inputs/"
# torch unpickles what is called so, whatever else is said of it
_OBJECTS = ("custom_obj", "opaque_obj")


@dataclass(frozen=True)
class Stored:
    """Where in the archive a tensor lies: name of the record, bytes before it there, and its number type."""

    record: str
    start: int
    dtype: torch.dtype


@dataclass(frozen=True, eq=False)
class ExportedArchive:
    """graph: `graph_module` of the program's JSON. state: parameters and buffers by name. parameters: which of `state`
    are such. constants: other tensors by name. stored: where those lie whose bytes can be replaced. record: the JSON's
    own name; None in files of torch before 2.8."""

    graph: Mapping[str, Any]
    state: dict[str, torch.Tensor]
    parameters: frozenset[str]
    constants: dict[str, torch.Tensor]
    stored: Mapping[str, Stored]
    record: str | None


def read_archive(file: Path) -> ExportedArchive:
    """Raises `UnsafeCheckpoint` when only unpickling could read it, `BadCheckpoint` when nothing can."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check_plain(archive, file)
            names = archive.namelist()
            return _former(archive, file) if FORMER_PROGRAM in names else _present(archive, file)
    except (
        *(zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, IndexError, TypeError, ValueError),
        *(AttributeError, RuntimeError, RecursionError, NotImplementedError, OverflowError),
    ) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: object) -> BadCheckpoint:
    said = str(error).splitlines() or [""]
    return BadCheckpoint(
        f"{file.name} cannot be read as a program of torch.export; it is damaged or of another version "
        f"({type(error).__name__}: {said[0][:160]}).",
        next_step=AGAIN,
    )


def with_records(file: Path, records: Mapping[str, bytes], target: Path) -> None:
    """Write the archive anew with some records replaced: the program and its numbers, and nothing else of the file.

    records: new content by name. Sample inputs are read and written again, for `is_harmless` files only.
    """
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as copy:
        for name in source.namelist():
            inside = name.split("/", 1)[-1]
            if inside.startswith(_SAMPLES):
                copy.writestr(name, _saved_again(source.read(name)))
            elif _KEPT.fullmatch(inside):
                content = records.get(name)
                copy.writestr(name, source.read(name) if content is None else content)


def _saved_again(content: bytes) -> bytes:
    target = io.BytesIO()
    torch.save(_plain(content), target)
    return target.getvalue() if content else content


def record_bytes(file: Path, record: str) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read(record)


def is_harmless(file: Path) -> bool:
    """Whether torch's own reader would run nothing that the file brings, so that a copy can be handed on.

    Of what `read_archive` has read already, that is the sample inputs, and code for checks of inputs.
    """
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            inside = name.split("/", 1)[-1]
            if inside.startswith(("data/aotinductor", "data/mtia", "data/executorch", "extra/", "xl_model_weights/")):
                return False
            if inside.startswith(_SAMPLES):
                try:
                    _plain(archive.read(name))
                except Exception:
                    # torch has many ways to say no; each means that its own reader would go on to unpickle for good
                    return False
            if inside.startswith("models/") and json.loads(archive.read(name)).get("guards_code"):
                return False
    return True


def _check_plain(archive: zipfile.ZipFile, file: Path) -> None:
    """torch stores without compressing, so an archive takes on disk what it takes in memory; and each part once."""
    if (twice := repeated_name(archive.namelist())) is not None:
        raise UnsafeCheckpoint(
            f"{file.name} holds {twice[:120]!r} twice, and which one counts depends on who reads it, so it was not "
            "read.",
            next_step=AGAIN,
        )
    for one in archive.infolist():
        if one.compress_type != zipfile.ZIP_STORED:
            raise BadCheckpoint(f"Parts of {file.name} are compressed, which torch.export never does.", next_step=AGAIN)


def _present(archive: zipfile.ZipFile, file: Path) -> ExportedArchive:
    found = [name for name in archive.namelist() if name.split("/")[1:2] == ["models"] and name.endswith(".json")]
    if len(found) != 1:
        what = f"{len(found)} programs" if found else "no program but what was compiled for one machine"
        raise BadCheckpoint(f"{file.name} holds {what}, instead of one program.", next_step=AGAIN)
    root, name = found[0].split("/")[0], found[0].rsplit("/", 1)[1].removesuffix(".json")
    graph = _graph(archive, found[0], file)
    weights = _payloads(archive, f"{root}/data/weights/", f"{name}_weights_config.json", file)
    constants = _payloads(archive, f"{root}/data/constants/", f"{name}_constants_config.json", file)
    return ExportedArchive(
        graph=graph,
        state={fqn: tensor for fqn, (tensor, _, _) in weights.items()},
        parameters=frozenset(fqn for fqn, (_, is_parameter, _) in weights.items() if is_parameter),
        constants={fqn: tensor for fqn, (tensor, _, _) in constants.items()},
        stored={fqn: place for fqn, (_, _, place) in weights.items()},
        record=found[0],
    )


def _former(archive: zipfile.ZipFile, file: Path) -> ExportedArchive:
    """Files of torch 2.5 to 2.7: weights and constants as checkpoints of their own inside."""
    graph = _graph(archive, FORMER_PROGRAM, file)

    def tensors(name: str) -> dict[str, torch.Tensor]:
        content = archive.read(name) if name in archive.namelist() else b""
        found = _tensors_in(content, file)
        if not isinstance(found, Mapping):
            raise TypeError(f"{name} holds a {type(found).__name__}")
        return {str(fqn): tensor.detach() for fqn, tensor in found.items() if isinstance(tensor, torch.Tensor)}

    state = tensors("serialized_state_dict.pt")
    specs = graph["signature"]["input_specs"]
    parameters = frozenset(spec["parameter"]["parameter_name"] for spec in specs if "parameter" in spec)
    return ExportedArchive(graph, state, parameters, tensors("serialized_constants.pt"), {}, None)


def _tensors_in(content: bytes, file: Path) -> Any:
    try:
        return _plain(content)
    except MemoryError:
        raise
    except Exception as error:
        if "Weights only load failed" in str(error):
            raise UnsafeCheckpoint(
                f"{file.name} holds Python objects, not only weights. Reading them would run code from the file, so it "
                "was not read.",
                next_step=_CONVERSION,
            ) from error
        raise ValueError(str(error)) from error


def _plain(content: bytes) -> Any:
    """Tensors and containers out of a checkpoint; nothing to read is nothing."""
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True) if content else {}


def _graph(archive: zipfile.ZipFile, name: str, file: Path) -> Mapping[str, Any]:
    if archive.getinfo(name).file_size > LARGEST_GRAPH:
        raise BadCheckpoint(
            f"The graph inside {file.name} is larger than that of any classifier known.", next_step=AGAIN
        )
    program = json.loads(archive.read(name))
    version = program["schema_version"]["major"]
    if version != SCHEMA:
        raise BadCheckpoint(
            f"{file.name} is of version {version} of torch.export's format; version {SCHEMA} is read here.",
            next_step=AGAIN,
        )
    for expression in _expressions(program):
        unquoted = _QUOTED.sub("s0", str(expression))
        symbols = re.findall(r"[A-Za-z_]\w*", unquoted)
        if not _EXPRESSION.fullmatch(unquoted) or not all(_SYMBOL.fullmatch(symbol) for symbol in symbols):
            raise UnsafeCheckpoint(
                f"A size in {file.name} is given by an expression that is none of torch.export's "
                f"({str(expression)[:60]!r}): torch would run it as code, so the file was not read.",
                next_step=_CONVERSION,
            )
    found: Mapping[str, Any] = program["graph_module"]
    return found


def _expressions(value: Any) -> Iterator[Any]:
    """Everything under `expr_str`, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "expr_str" in one:
                yield one["expr_str"]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _payloads(
    archive: zipfile.ZipFile, folder: str, config: str, file: Path
) -> dict[str, tuple[torch.Tensor, bool, Stored]]:
    names = archive.namelist()
    if folder + config not in names:
        if any(name.startswith(folder) and name.endswith(".pt") for name in names):
            raise BadCheckpoint(f"The weights of {file.name} are of a former version of the format.", next_step=AGAIN)
        raise KeyError(config)
    listed = json.loads(archive.read(folder + config))["config"]
    kept: dict[str, bytearray] = {}
    found = {}
    for fqn, payload in listed.items():
        record = folder + payload["path_name"]
        is_object = str(payload["path_name"]).startswith(_OBJECTS)
        if payload["use_pickle"] or payload["tensor_meta"] is None or is_object:
            raise UnsafeCheckpoint(
                f"{fqn} in {file.name} is a Python object, not plain numbers. Reading it would run code from the file, "
                "so it was not read.",
                next_step=_CONVERSION,
            )
        if record not in kept:
            kept[record] = bytearray(archive.read(record))
        tensor, place = _tensor(payload["tensor_meta"], kept[record], record)
        found[fqn] = (tensor, bool(payload["is_param"]), place)
    return found


def _tensor(meta: Mapping[str, Any], content: bytearray, record: str) -> tuple[torch.Tensor, Stored]:
    dtype = DTYPES.get(meta["dtype"])
    if dtype is None:
        raise ValueError(f"numbers of type {meta['dtype']} are not known")
    sizes: list[int] = [_whole(size) for size in meta["sizes"]]
    strides = [_whole(stride) for stride in meta["strides"]]
    offset = _whole(meta["storage_offset"])
    entries = len(content) // dtype.itemsize
    wanted = 1
    for size in sizes:
        wanted *= size
    if wanted > max(entries, REPEATED) or (wanted and not content):
        raise ValueError(f"{record} holds {entries:,} numbers, not {wanted:,}")
    stored = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    # says so itself where the tensor would reach beyond what is stored
    return stored.as_strided(sizes, strides, offset), Stored(record, offset * dtype.itemsize, dtype)


def _whole(size: Mapping[str, Any]) -> int:
    number = size["as_int"]
    if not isinstance(number, int) or number < 0:
        raise ValueError(f"{number!r} is no size")
    return number
