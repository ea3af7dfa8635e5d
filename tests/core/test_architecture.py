"""The rooms of core/ and the direction of the arrows between them, read from the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A room imports only from rooms at or before its own place.
ROOMS = [
    "errors",
    "settings",
    "progress",
    "files",
    "limits",
    "locks",
    "logs",
    "database",
    "migrations",
    "migration",
    "workspace",
    "access",
    "storage",
    "datasets",
    "synthetic",
    "classifiers",
    "activations",
    "concepts",
    "retraining",
    "export",
    "reproduction",
    "demo",
    "jobs",
    "health",
    "commands",
    "__main__",
]
FILES = sorted((ROOT / "core").rglob("*.py"))


def imported_modules(file: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def room_of(dotted: str) -> str:
    return dotted.split(".")[1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_import_only_from_earlier_rooms(file: Path) -> None:
    own = file.relative_to(ROOT / "core").with_suffix("").parts[0]
    if own == "__init__":
        return
    assert own in ROOMS, f"a new room: give {own!r} its place in ROOMS"
    for name in imported_modules(file):
        if name.startswith("core."):
            assert ROOMS.index(room_of(name)) <= ROOMS.index(own), f"{own} imports {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_core_never_imports_streamlit_or_pages(file: Path) -> None:
    roots = {name.split(".")[0] for name in imported_modules(file)}
    assert not roots & {"streamlit", "pages"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_unpickles(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert not {name.split(".")[0] for name in imported_modules(file)} & {"pickle", "joblib", "cloudpickle", "dill"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            keywords = {word.arg: word.value for word in node.keywords}
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if (owner, node.func.attr) == ("torch", "load"):
                allowed = keywords.get("weights_only")
                assert isinstance(allowed, ast.Constant), f"{file}: torch.load without weights_only=True"
                assert allowed.value is True, f"{file}: torch.load without weights_only=True"
            if (owner, node.func.attr) == ("np", "load"):
                allowed = keywords.get("allow_pickle")
                assert isinstance(allowed, ast.Constant), f"{file}: np.load without allow_pickle=False"
                assert allowed.value is False, f"{file}: np.load without allow_pickle=False"


def test_browsing_and_retraining_start_without_torch_and_streamlit() -> None:
    modules = (
        "core.activations.store, core.activations.bands, core.concepts.tags, core.retraining.runs, core.jobs.queue"
    )
    script = f"import sys, {modules}; print([m for m in ('torch', 'streamlit') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_is_called_utils() -> None:
    names = {file.stem for folder in ("core", "pages") for file in (ROOT / folder).rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "common", "misc"}
