"""Pictures inside the columns of files, whatever kind of file it is: read in parts of consecutive rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from core.datasets.bundles import bundle_folder, place_in
from core.datasets.choices import Choices
from core.datasets.hf_columns import layout_of
from core.datasets.images import UnreadableImage
from core.datasets.pictures import Picture
from core.datasets.table_text import short

# parts kept for whoever asks next, in bytes of pictures
KEPT_BYTES = 16 * 2**20
# parts kept at least: threads ask a little out of order
KEPT_PARTS = 3
# files kept open
OPEN_FILES = 8


class Shard(Protocol):
    """One open file. schema: of pyarrow. rows: how many. Raises whatever pyarrow does where the file is damaged."""

    schema: Any
    rows: int

    def is_blank(self, column: str) -> bool:
        """Whether no row has a value there, or a field of one."""
        ...

    def batches(self, columns: list[str]) -> Iterator[Any]:
        """Record batches of some columns, from the first row to the last."""
        ...

    def parts_until(self, column: str, row: int) -> Iterator[Part]:
        """The parts that are read on the way to a row; the last one holds it. Raises `UnreadableImage`."""
        ...

    def close(self) -> None: ...


Opened = Callable[[Path], Shard]


class ShardPictures:
    """Reads parts, the last few of which are kept; see `core.datasets.pictures.Pictures`."""

    def __init__(self, root: Path, choices: Choices, opened: Opened) -> None:
        self._folder = bundle_folder(root)
        self._choices = choices
        self._opened = opened
        self._lock = threading.Lock()
        self._files: OrderedDict[str, tuple[Shard, str]] = OrderedDict()
        self._parts: OrderedDict[tuple[str, int], Part] = OrderedDict()

    def read(self, name: str) -> Picture:
        shard, row = place_in(name)
        with self._lock:
            try:
                content, path = self._part(shard, row).row(row)
            except UnreadableImage:
                raise
            except FileNotFoundError:
                raise UnreadableImage("the file is not there any more") from None
            except Exception as error:
                # pyarrow raises OSError, ValueError, TypeError and its own on damaged files
                raise UnreadableImage(f"{shard} is damaged: {reason_of(error)}") from error
        if content is not None:
            return content
        if not path:
            raise UnreadableImage("the table holds no picture for it")
        return self._beside(shard, path)

    def file(self, name: str) -> Path:
        return self._folder / place_in(name)[0]

    def missing(self, names: list[str]) -> str | None:
        there: dict[str, bool] = {}
        for name in names:
            shard = place_in(name)[0]
            if shard not in there:
                there[shard] = (self._folder / shard).is_file()
            if not there[shard]:
                return name
        return None

    def _beside(self, shard: str, path: str) -> Path:
        """A picture that the table only names. Nothing outside of the dataset's folder is opened."""
        folders = ((self._folder / shard).parent, self._folder)
        for folder in folders:
            try:
                place = (folder / path).resolve()
                if place.is_relative_to(self._folder) and place.is_file():
                    return place
            except (OSError, ValueError):
                # no system has files that are called so
                continue
        raise UnreadableImage(f"the table holds only its name, {short(path)!r}, and no such file lies beside it")

    def _part(self, shard: str, row: int) -> Part:
        known = next((p for (s, _), p in reversed(self._parts.items()) if s == shard and p.start <= row < p.stop), None)
        if known is not None:
            self._parts.move_to_end((shard, known.start))
            return known
        file, column = self._shard(shard)
        for part in file.parts_until(column, row):
            self._parts[shard, part.start] = part
            while len(self._parts) > KEPT_PARTS and sum(p.bytes for p in self._parts.values()) > KEPT_BYTES:
                self._parts.popitem(last=False)
        return self._parts[next(reversed(self._parts))]

    def _shard(self, name: str) -> tuple[Shard, str]:
        if name not in self._files:
            shard = self._opened(self._folder / name)
            self._files[name] = shard, layout_of(shard.schema, self._choices).image
            while len(self._files) > OPEN_FILES:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(name)
        return self._files[name]


class Part:
    """Pictures of consecutive rows, start to stop. column: a pyarrow array of structs or binary."""

    def __init__(self, start: int, column: Any) -> None:
        import pyarrow as pa

        self.start, self.stop, self.bytes = start, start + len(column), column.nbytes
        self._nulls = column
        if pa.types.is_struct(column.type):
            fields = {column.type.field(i).name: column.field(i) for i in range(column.type.num_fields)}
            self._contents, self._paths = fields.get("bytes"), fields.get("path")
        else:
            self._contents, self._paths = column, None

    def row(self, row: int) -> tuple[bytes | None, str | None]:
        """Its encoded image, or else its path."""
        place = row - self.start
        if not self._nulls[place].is_valid:
            return None, None
        content = self._contents[place].as_py() if self._contents is not None else None
        path = self._paths[place].as_py() if self._paths is not None and content is None else None
        return content, path


def reason_of(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
