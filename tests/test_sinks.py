"""Every place where text could become HTML, SQL, a process, code, a path or a spreadsheet's formula is known, with a
reason why what people type does no harm there.

A new one has to be looked at, and given its reason here. `tests/sinks.py` finds them.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.sinks import PYTHON, ROOT, Sink, in_python, in_scripts

ESCAPED = "names go through html.escape, numbers through a format of their own"
OWN_STYLES = "our own style sheet and colours of the theme; no name"
NUMBERS = "numbers only"
ID = "an id that is a digest, looked up in the database before"
SLUG = "files.slug or a digest: letters, digits and a hash"
FIXED = "names that stand in the code"
GUARDED = "cells go through csv_table.guarded"
KNOWN = {
    "html": {
        "pages/parts/associations_view.py:_explanation": ESCAPED,
        "pages/parts/associations_view.py:_table": ESCAPED,
        "pages/parts/beside.py:show": ESCAPED,
        "pages/parts/chart_frame.py:draw": "the key of a chart, which stands in the code, and its height",
        "pages/parts/confusion_view.py:show": ESCAPED,
        "pages/parts/curation_view.py:show": ESCAPED,
        "pages/parts/group_chart.py:show": ESCAPED,
        "pages/parts/history_view.py:_line": ESCAPED,
        "pages/parts/home_cards.py:_card": ESCAPED,
        "pages/parts/home_hero.py:show": "our own style sheet and pictures",
        "pages/parts/map_view.py:explore": OWN_STYLES,
        "pages/parts/palette.py:_palette": ESCAPED,
        "pages/parts/palette.py:show": OWN_STYLES,
        "pages/parts/people_view.py:_people": ESCAPED,
        "pages/parts/plot.py:draw": ESCAPED,
        "pages/parts/retrain_room.py:enter": OWN_STYLES,
        "pages/parts/run_compare.py:show": ESCAPED,
        "pages/parts/sign_in.py:_drawn": "what was typed goes through html.escape; the page's policy forbids scripts",
        "pages/parts/tag_room.py:enter": OWN_STYLES,
        "pages/parts/theme.py:apply": OWN_STYLES,
        "pages/parts/theme.py:follow": OWN_STYLES,
        "pages/parts/tour.py:_step": NUMBERS,
        "pages/parts/tour.py:sidebar": "titles of steps, which stand in the code, escaped all the same",
        "pages/parts/verdict.py:styles": OWN_STYLES,
    },
    "sql": {
        "core/access/audit.py:_add": "a constant statement, values as parameters",
        "core/health.py:readiness": NUMBERS,
        "core/migration.py:_widen": FIXED,
        "core/migrations/baseline.py:create_baseline": "constant statements",
        "core/migrations/versions/0003_access.py:upgrade": FIXED,
        "core/storage/derived.py:rebuild": "two constants",
        "core/storage/salvage.py:_copy": "names of our own tables and of columns that we made, quoted",
        "core/storage/salvage.py:_until_damage": "what _copy asks",
        "core/workspace.py:_begin": "one of two constants",
        "core/workspace.py:_configure": FIXED,
    },
    "process": {
        "core/jobs/launcher.py:_spawn": "a list of arguments; the shell's text is constant and takes them as $0 and $@",
    },
    "code": {},
    "table": {
        "core/concepts/exchange/csv_table.py:write": GUARDED,
        "core/export/curated.py:curated_csv": GUARDED,
        "core/synthetic/planting.py:write_table": "what a demo plants; no name of anybody",
        "pages/parts/bake_off_chart.py:as_csv": GUARDED,
        "pages/parts/curation_images.py:as_csv": GUARDED,
        "pages/parts/wrong_labels.py:as_csv": GUARDED,
    },
    "path": {
        "core/activations/extraction.py:_partial_folder": ID,
        "core/activations/index.py:_whole": SLUG,
        "core/activations/projection.py:_read": SLUG,
        "core/activations/projection.py:_write": SLUG,
        "core/activations/projection.py:umap_stamp": SLUG,
        "core/activations/reuse.py:merge": FIXED,
        "core/activations/scoreboard.py:scoreboard": SLUG,
        "core/activations/store/files.py:attribute_file": SLUG,
        "core/activations/store/writing.py:write_analysis": ID,
        "core/activations/vectors.py:_file": SLUG,
        "core/classifiers/onnx_model.py:_write_in_two": "beside the file that was asked for, from its own name",
        "core/classifiers/torchvision_compat.py:_library_loads": FIXED,
        "core/concepts/text_search.py:_joined": NUMBERS,
        "core/concepts/text_search.py:embed": NUMBERS,
        "core/datasets/array_members.py:values_of": "a member within a zip file, which is read and not unpacked",
        "core/datasets/array_members.py:write": "members_of leaves out every name that is no plain file name",
        "core/datasets/arrays.py:file": "names of arrays, which members_of let through",
        "core/datasets/idx.py:_mapping": "the beginning of the name of a file that lies there",
        "core/datasets/known_archives.py:_note": SLUG,
        "core/datasets/preview.py:write_preview": ID,
        "core/datasets/tables.py:_in_splits": FIXED,
        "core/datasets/unpacking.py:_readers": "a copy that is called as unpacking.COPY says",
        "core/datasets/unpacking.py:_remove": "a copy that is called as unpacking.COPY says",
        "core/datasets/unpacking.py:unpacked": "kind and digest of an archive",
        "core/demo/making.py:shipped_model": FIXED,
        "core/demo/reset.py:_home": ID,
        "core/demo/reset.py:reset_demo": NUMBERS,
        "core/jobs/processes.py:_since_boot": "the number of a process",
        "core/jobs/kinds.py:new_model_file": "the last part of a path, which cannot hold a slash, with an ending",
        "core/limits.py:_held": NUMBERS,
        "core/logs.py:_turn_over": NUMBERS,
        "core/migrations/backup.py:back_up": "a revision that this program knows, and the time",
        "core/reproduction/sweep.py:_cell": NUMBERS,
        "core/reproduction/sweep.py:_known": NUMBERS,
        "core/reproduction/sweep.py:data_file": NUMBERS,
        "core/reproduction/sweep.py:model_file": NUMBERS,
        "core/reproduction/sweep.py:read_pictures": NUMBERS,
        "core/retraining/finetune_state.py:_best": NUMBERS,
        "core/retraining/kept_edits.py:_file": ID,
        "core/storage/copies.py:back_up_now": "the time",
        "core/storage/copies.py:replace_database": "the time",
        "core/storage/copies.py:restore": FIXED,
        "core/storage/lease.py:hold": SLUG,
        "core/storage/repair.py:repair": "the time",
        "pages/parts/associations_view.py:explanation_html": "two numbers",
        "pages/parts/bring_model.py:_refused": "shown as text to copy, beside the file that was named; not opened",
        "pages/parts/home_hero.py:_tile": NUMBERS,
        "pages/parts/load_upload.py:_file": "load_upload._safe: no separators, no control characters, a bounded length",
        "pages/parts/load_upload.py:_free": "load_upload._safe: no separators, no control characters, a bounded length",
        "pages/parts/rooms.py:room": FIXED,
    },
}


@pytest.mark.parametrize("kind", KNOWN)
def test_every_sink_is_known_and_every_known_one_is_there(kind: str) -> None:
    there = {sink.place for sink in in_python() if sink.kind == kind}
    assert there - set(KNOWN[kind]) == set(), "a new sink: see that names do no harm there, and say why in KNOWN"
    assert set(KNOWN[kind]) - there == set(), "gone: remove it from KNOWN"


def test_scripts_make_no_markup_and_no_code_of_text() -> None:
    assert in_scripts() == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("html", "st.html(name)"),
        ("html", "st.markdown(name, unsafe_allow_html=True)"),
        ("html", "st.sidebar.html(f'<b>{name}</b>')"),
        ("html", "component('x', html=name)"),
        ("html", "HTMLResponse(name)"),
        ("sql", "connection.execute(f'SELECT {name}')"),
        ("sql", "connection.execute(text('SELECT ' + name))"),
        ("sql", "query = 'SELECT %s' % name\nconnection.execute(query)"),
        ("sql", "connection.exec_driver_sql(query)"),
        ("process", "subprocess.run(name)"),
        ("process", "os.system(name)"),
        ("process", "start(name, shell=True)"),
        ("code", "eval(name)"),
        ("table", "csv.writer(target)"),
        ("table", "frame.to_csv(target)"),
        ("path", "folder / f'{name}.json'"),
        ("path", "Path(f'{name}')"),
        ("path", "file = f'{name}.npy'\nopen(folder / file)"),
        ("path", "folder.joinpath('/'.join(parts))"),
    ],
)
def test_the_search_finds_what_is_planted(tmp_path: Path, kind: str, code: str) -> None:
    (tmp_path / "planted.py").write_text(f"def planted(name):\n    {code.replace(chr(10), chr(10) + '    ')}\n")
    assert Sink(kind, "planted.py:planted") in in_python([tmp_path / "planted.py"])


@pytest.mark.parametrize(
    "code", ["box.innerHTML = name", "box.insertAdjacentHTML('x', name)", "eval (name)", "new Function(name)"]
)
def test_the_search_finds_what_is_planted_in_scripts(tmp_path: Path, code: str) -> None:
    (tmp_path / "planted.js").write_text(f"{code}\n")
    assert in_scripts([tmp_path / "planted.js"]) == [f"planted.js: {code}"]


def test_html_is_escaped_where_it_is_written() -> None:
    """A file that writes tags around something writes them around what was escaped, or is one of these."""
    plain = {
        # numbers, colours of the theme, our own words
        "pages/parts/chart_frame.py",
        "pages/parts/home_hero.py",
        "pages/parts/retrain_room.py",
        "pages/parts/shell.py",
        "pages/parts/tag_room.py",
        "pages/parts/theme.py",
        "pages/parts/verdict.py",
    }
    tag = re.compile(r"<(?:[a-z]+[ >]|/[a-z]+>)")
    for file in PYTHON:
        text = file.read_text(encoding="utf-8")
        written = [
            node.lineno
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.JoinedStr)
            and any(isinstance(part, ast.Constant) and tag.search(str(part.value)) for part in node.values)
        ]
        name = file.relative_to(ROOT).as_posix()
        escapes = "escape(" in text or "chart_frame.text(" in text
        assert not written or escapes or name in plain, f"{name}: {written}"


def test_events_of_the_log_are_constant() -> None:
    """What people typed is a fact of an event, never a part of its sentence."""
    for file in PYTHON:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value
            if (
                isinstance(owner, ast.Name)
                and owner.id in ("log", "_log")
                and node.func.attr in ("debug", "info", "warning", "error")
            ):
                assert isinstance(node.args[0], ast.Constant), f"{file}:{node.lineno}"
                assert len(node.args) == 1, f"{file}:{node.lineno}"


def test_nothing_logs_beside_the_log() -> None:
    for file in PYTHON:
        text = file.read_text(encoding="utf-8")
        own = file.relative_to(ROOT).as_posix()
        # loggers of libraries are quietened there
        if own not in ("core/logs.py", "core/export/paper.py", "core/export/formats.py"):
            assert "getLogger(" not in text, own
