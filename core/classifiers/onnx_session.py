"""Sessions of onnxruntime with limits: each takes its memory from an arena of its own, and is stopped when trying it
takes too long.

The arena does not see what onnxruntime computes ahead, once and for all, from weights alone. So it is only asked to do
that where all those sizes are known beforehand.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.classifiers.limits import TooLarge, deadline, too_large, too_slow
from core.classifiers.onnx_file import first_line, foreseen, taken_by
from core.errors import BadCheckpoint

# bytes that weights take for each of theirs: as they came, and as kernels like them laid out
COPIES = 3
# numbers computed ahead from weights alone, or so many times those of the weights: these are turned round, no more
AHEAD, TIMES_THE_WEIGHTS = 2**25, 2
# what onnxruntime says when an arena is full, and when the machine is
_FULL = ("Available memory of", "Failed to allocate memory", "bad allocation", "bad_alloc")

# seconds between looks at how much was computed
TICK = 0.2

_arenas = threading.Lock()


class Session:
    """A graph that can be run on the processor. Threads may share it."""

    def __init__(self, session: Any, file: Path, most: int) -> None:
        self._session, self._file, self._most = session, file, most
        self.inputs = tuple(one.name for one in session.get_inputs())
        self.outputs = tuple(one.name for one in session.get_outputs())

    def run(self, name: str, given: Mapping[str, np.ndarray], *, trying: bool = False) -> np.ndarray:
        """One of the outputs. Raises `TooLarge`, and `TooSlow` while trying."""
        import onnxruntime

        options = onnxruntime.RunOptions()
        # what goes wrong is raised as well
        options.log_severity_level = 4

        def stop() -> None:
            options.terminate = True

        with _limited(self._file, self._most, stop if trying else None):
            (found,) = self._session.run([name], dict(given), options)
        return np.asarray(found)


def open_session(model: Any, beside: Mapping[str, np.ndarray], file: Path, most: int) -> Session:
    """most: bytes that values on the way may take, weights not counted. Raises `BadCheckpoint` where onnxruntime cannot
    run it, `TooLarge`, `TooSlow`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # what goes wrong is raised as well
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    # threads that wait by spinning take the cores that decode images
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    wanted = [tensor.name for tensor in model.graph.initializer if tensor.name in beside]
    if wanted:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(beside[name])) for name in wanted]
        options.add_external_initializers(wanted, values)
    serialized = model.SerializeToString()
    weights = len(serialized) + sum(beside[name].nbytes for name in wanted)
    left_out = [] if _known_ahead(model) else ["ConstantFolding"]
    try:
        with _arenas, _limited(file, most, lambda: options.set_load_cancellation_flag(True)):
            _register_arena(COPIES * weights + most)
            # without a second try, which it would announce on stdout
            session = onnxruntime.InferenceSession(
                serialized,
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,
                disabled_optimizers=left_out,
            )
    except (MemoryError, BadCheckpoint):
        raise
    except Exception as error:
        # a dozen exceptions of its own, all of which say that it cannot
        raise BadCheckpoint(
            f"onnxruntime cannot run {file.name} ({first_line(error)}).",
            next_step="Export it again with operators of ONNX itself (opset 18 or so), or load its weights instead.",
        ) from error
    return Session(session, file, most)


def _register_arena(most: int) -> None:
    """The session that is opened next takes its memory from a new arena of so many bytes."""
    import onnxruntime

    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # 1: grow by what is asked for, not by powers of two
    arena = onnxruntime.OrtArenaCfg({"max_mem": most, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(where, arena)


@contextmanager
def _limited(file: Path, most: int, stop: Callable[[], None] | None) -> Iterator[None]:
    """stop: called once the time for trying is up, makes what runs inside raise. None for any time."""
    stopped, ended = threading.Event(), threading.Event()
    until = deadline()

    def watch(stop: Callable[[], None]) -> None:
        while not ended.wait(TICK):
            if time.process_time() > until:
                stopped.set()
                stop()
                return

    if stop is not None:
        threading.Thread(target=watch, args=(stop,), daemon=True).start()
    try:
        yield
    except MemoryError as error:
        raise too_large(file.name, most) from error
    except Exception as error:
        # onnxruntime's own exceptions have no common parent
        if stopped.is_set():
            raise too_slow(file.name) from error
        if not isinstance(error, TooLarge) and any(words in str(error) for words in _FULL):
            raise too_large(file.name, most) from error
        raise
    finally:
        ended.set()


def _known_ahead(model: Any) -> bool:
    """Whether it is known how large everything is that follows from weights alone, and that it is no larger than
    weights are."""
    graph = model.graph
    held = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    follows = {value.name for value in graph.input} - held.keys()
    alone = []
    for node in graph.node:
        # bodies of functions and branches have values of their own that would be computed ahead
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            return False
        if taken_by(node) & follows:
            follows.update(node.output)
        elif node.op_type != "Constant":
            alone.append(node)
    if model.functions:
        return False
    if not alone:
        return True
    constants = [node for node in graph.node if node.op_type == "Constant" and not taken_by(node) & follows]
    sizes = foreseen(model, [*constants, *alone])
    results = [name for node in alone for name in node.output if name]
    if not all(name in sizes and None not in sizes[name] for name in results):
        return False
    total = sum(math.prod(side or 0 for side in sizes[name]) for name in results)
    return total <= max(AHEAD, TIMES_THE_WEIGHTS * sum(held.values()))
