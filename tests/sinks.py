"""Where text could become something else: HTML, SQL, a process, code, a file name, a spreadsheet's formula.

Read from the code itself. What is made of constants alone is no sink.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sorted([ROOT / "app.py", *(ROOT / "core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])
SCRIPTS = sorted((ROOT / "assets").rglob("*.js"))
_SQL = {"execute", "executemany"}
_RAW = {"exec_driver_sql", "executescript", "literal_column"}
_PATHS = {"Path", "PurePath", "with_name", "joinpath", "with_suffix", "with_stem", "open"}
_RUNS = {"system", "popen", "execv", "execve", "execvp", "spawnv", "posix_spawn"}
_STARTS = {"Popen", "run", "call", "check_call", "check_output", "getoutput"}
_CODE = {"eval", "exec", "compile", "__import__"}
# a script's ways to make markup or code of text
_IN_SCRIPTS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
    r"|\beval\s*\(|new\s+Function\b|setAttribute\(\s*[\"']on|javascript:"
)


@dataclass(frozen=True, order=True)
class Sink:
    """kind: html, sql, process, code, path or table. place: file and function (or line, in a script)."""

    kind: str
    place: str


def in_python(files: list[Path] = PYTHON) -> set[Sink]:
    found: set[Sink] = set()
    for file in files:
        name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else file.name
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found.update(_of_tree(tree, name, "module", _put_together(tree)))
    return found


def in_scripts(files: list[Path] = SCRIPTS) -> list[str]:
    return [
        f"{file.name}: {line.strip()}"
        for file in files
        for line in file.read_text(encoding="utf-8").splitlines()
        if _IN_SCRIPTS.search(line)
    ]


def _of_tree(tree: ast.AST, file: str, function: str, written: set[str]) -> Iterator[Sink]:
    for node in ast.iter_child_nodes(tree):
        inside = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        for kind in _kinds(node, written):
            yield Sink(kind, f"{file}:{inside}")
        yield from _of_tree(node, file, inside, written)


def _kinds(node: ast.AST, written: set[str]) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and _is_written(node.right, written):
        yield "path"
    if not isinstance(node, ast.Call):
        return
    name, owner = _name(node.func), _owner(node.func)
    first = node.args[0] if node.args else None
    given = {word.arg: word.value for word in node.keywords}
    if _makes_html(name, owner, first, given):
        yield "html"
    if _makes_sql(name, owner, first, written):
        yield "sql"
    if (owner == "subprocess" and name in _STARTS) or (owner == "os" and name in _RUNS) or "shell" in given:
        yield "process"
    if owner == "" and name in _CODE:
        yield "code"
    if (owner == "csv" and name in ("writer", "DictWriter")) or name in ("to_csv", "to_excel", "write_csv"):
        yield "table"
    if name in _PATHS and first is not None and _is_written(first, written):
        yield "path"


def _makes_html(name: str, owner: str, first: ast.expr | None, given: dict[str | None, ast.expr]) -> bool:
    if "unsafe_allow_html" in given or name in ("HTMLResponse", "iframe"):
        return True
    shown = first if name == "html" and owner else given.get("html")
    return shown is not None and not _fixed(shown)


def _makes_sql(name: str, owner: str, first: ast.expr | None, written: set[str]) -> bool:
    if name in _RAW:
        return not isinstance(first, ast.Constant)
    asks = name in _SQL or (name == "text" and not owner)
    return asks and first is not None and _is_written(first, written)


def _put_together(tree: ast.AST) -> set[str]:
    """Names of a file that hold a text which was put together."""
    return {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_written(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _is_written(node: ast.expr, written: set[str]) -> bool:
    """Whether a text is put together here."""
    if isinstance(node, ast.Name):
        return node.id in written
    if isinstance(node, ast.Call):
        return (
            isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join") and _is_text(node.func.value)
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return _is_text(node.left) or _is_text(node.right)
    return isinstance(node, ast.JoinedStr) and any(not isinstance(part, ast.Constant) for part in node.values)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _fixed(node: ast.expr) -> bool:
    """A constant, or a file of `assets/` (`source`)."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Call) and _name(node.func) == "source")


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _owner(node: ast.expr) -> str:
    if not isinstance(node, ast.Attribute):
        return ""
    return _name(node.value) or "(expression)"
