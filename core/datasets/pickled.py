"""A reader of pickle files that builds nothing but plain values and looks at no code.

CIFAR is distributed as pickled dictionaries of lists and one array. Unpickling runs whatever a file asks for; this
reads the opcodes as a description instead. Names of functions are compared with those that make up an array, and
nothing is ever imported or called. The bytes of an array are not read: where they lie is all that is kept of them.
"""

from __future__ import annotations

import pickletools
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import BadArchive

# opcodes in a file; CIFAR has about 100,000
MOST_STEPS = 20_000_000
# bytes of text or of an array up to which they are read; of more, the place is kept
INLINE = 2**16
# whole numbers longer than this are no labels
_LONGEST = 16

_RECONSTRUCT = frozenset(
    {("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct")},
)
_FROM_BUFFER = frozenset({("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer")})
_DTYPE = ("numpy", "dtype")
_NDARRAY = ("numpy", "ndarray")
_KNOWN = _RECONSTRUCT | _FROM_BUFFER | {_DTYPE, _NDARRAY}

_OPCODES = {op.code: op for op in pickletools.opcodes}
# name of an opcode -> bytes that say how long what follows is
_LENGTHS = {"BINSTRING": 4, "BINBYTES": 4, "BINUNICODE": 4, "BINBYTES8": 8, "BYTEARRAY8": 8, "BINUNICODE8": 8}
_TEXTS = frozenset({"BINUNICODE", "BINUNICODE8"})
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT")
_PLAIN = frozenset({*_NUMBERS, "STRING", "SHORT_BINSTRING", "SHORT_BINBYTES", "SHORT_BINUNICODE", "UNICODE"})
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass(frozen=True)
class Span:
    """Bytes of the file that were not read."""

    offset: int
    length: int


@dataclass
class StoredArray:
    """An array in the file. dtype: as numpy writes it ("u1"). data: where its numbers are, row by row."""

    shape: tuple[int, ...] = ()
    dtype: str = ""
    data: Span | bytes = b""


@dataclass(frozen=True)
class _Name:
    """What a file calls a function or a class. Nothing is looked up."""

    module: str
    name: str

    @property
    def pair(self) -> tuple[str, str]:
        return self.module, self.name


@dataclass(frozen=True)
class _Type:
    code: str


class _Mark:
    pass


class _Refused(Exception):
    pass


def read_plain(path: Path) -> dict[str, Any]:
    """The dictionary in a file: numbers, text (bytes as text), lists, tuples, dictionaries and `StoredArray`s.

    Raises `BadArchive` for a file that holds anything else, and `OSError`.
    """
    try:
        with open(path, "rb") as source:
            value = _Machine(source).run()
    except OSError:
        raise
    except Exception as error:
        # a damaged or hostile file can break the rules of the format in any way
        raise BadArchive(
            f"{path.name} holds more than numbers, text and an array ({str(error) or type(error).__name__}).",
            next_step="Download it again, in the python or the binary version; nothing in it is ever executed.",
        ) from error
    if not isinstance(value, dict):
        raise BadArchive(f"{path.name} holds no dictionary.", next_step="Download it again.")
    return {key: item for key, item in value.items() if isinstance(key, str)}


class _Machine:
    """The stack machine that pickle describes, for plain values alone."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_STEPS):
            code = self._source.read(1)
            op = _OPCODES.get(code.decode("latin-1"))
            if op is None:
                raise _Refused("cut off" if not code else "an unknown opcode")
            if op.name == "STOP":
                return self._stack.pop()
            self._step(op)
        raise _Refused("more steps than any such file has")

    def _step(self, op: Any) -> None:
        name = op.name
        if name in _LENGTHS:
            self._stack.append(self._long(name))
            return
        argument: Any = op.arg.reader(self._source) if op.arg is not None else None
        if name in _PLAIN:
            self._stack.append(_text(argument))
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[int(argument)] = self._stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[int(argument)])
        elif name == "GLOBAL":
            module, _, attribute = argument.partition(" ")
            self._stack.append(_known(module, attribute))
        elif name not in ("PROTO", "FRAME"):
            self._build(name)

    def _build(self, name: str) -> None:
        stack = self._stack
        if name == "MARK":
            stack.append(_Mark())
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "LIST"):
            items = self._since_mark()
            stack.append(tuple(items) if name == "TUPLE" else items)
        elif name == "DICT":
            stack.append(_pairs(self._since_mark()))
        elif name == "APPEND":
            item = stack.pop()
            _expect(stack[-1], list).append(item)
        elif name == "APPENDS":
            items = self._since_mark()
            _expect(stack[-1], list).extend(items)
        elif name == "SETITEM":
            items = [stack.pop(-2), stack.pop()]
            _expect(stack[-1], dict).update(_pairs(items))
        elif name == "SETITEMS":
            items = self._since_mark()
            _expect(stack[-1], dict).update(_pairs(items))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_known(str(module), str(attribute)))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_described(_expect(called, _Name), _expect(arguments, tuple)))
        elif name == "BUILD":
            state = stack.pop()
            _complete(stack[-1], state)
        else:
            raise _Refused(f"the opcode {name}")

    def _since_mark(self) -> list[Any]:
        at = next(i for i in range(len(self._stack) - 1, -1, -1) if isinstance(self._stack[i], _Mark))
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _long(self, name: str) -> Any:
        """Text or bytes that may be long; a `Span` where they are."""
        width = _LENGTHS[name]
        header = self._source.read(width)
        length = int.from_bytes(header, "little", signed=name == "BINSTRING")
        if len(header) < width or length < 0:
            raise _Refused("cut off")
        offset = self._source.tell()
        if length > INLINE:
            end = self._source.seek(0, 2)
            if offset + length > end:
                raise _Refused("cut off")
            self._source.seek(offset + length)
            return Span(offset, length)
        content = self._source.read(length)
        if len(content) < length:
            raise _Refused("cut off")
        return content.decode("utf-8", "surrogatepass") if name in _TEXTS else content.decode("latin-1")


def _text(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 8 * _LONGEST:
        raise _Refused("a number longer than any label")
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else value


def _expect(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Refused(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _pairs(items: list[Any]) -> dict[Any, Any]:
    keys = items[::2]
    if not all(isinstance(key, (str, int)) and isinstance(key, Hashable) for key in keys):
        raise _Refused("a key that is neither text nor number")
    return dict(zip(keys, items[1::2], strict=True))


def _known(module: str, name: str) -> _Name:
    if (module, name) not in _KNOWN:
        raise _Refused(f"it asks for {module[:80]}.{name[:80]}")
    return _Name(module, name)


def _described(called: _Name, arguments: tuple[Any, ...]) -> Any:
    """What a call would make, as a description of it."""
    if called.pair == _DTYPE:
        return _Type(_expect(arguments[0], str))
    if called.pair in _RECONSTRUCT:
        return StoredArray()
    if called.pair in _FROM_BUFFER:
        data, kind, shape, order = arguments
        return _array(shape, kind, order == "F", data)
    raise _Refused(f"it calls {called.name}")


def _complete(target: Any, state: Any) -> None:
    """What follows a call: the shape and the numbers of an array; the byte order of a type."""
    if isinstance(target, StoredArray):
        _, shape, kind, is_fortran, data = _expect(state, tuple)
        made = _array(shape, kind, is_fortran, data)
        target.shape, target.dtype, target.data = made.shape, made.dtype, made.data
    elif not isinstance(target, _Type):
        raise _Refused(f"it changes a {type(target).__name__}")


def _array(shape: Any, kind: Any, is_fortran: Any, data: Any) -> StoredArray:
    sides = _expect(shape, tuple)
    if not all(isinstance(side, int) and side >= 0 for side in sides) or (is_fortran and len(sides) > 1):
        raise _Refused("an array in an order that is not known")
    if isinstance(data, str):
        data = data.encode("latin-1")
    if not isinstance(data, (bytes, Span)):
        raise _Refused("an array without numbers")
    return StoredArray(sides, _expect(kind, _Type).code, data)
