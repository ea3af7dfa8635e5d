"""Resetting a demo: exactly what people made of it goes, all of it comes back, and nothing else is touched."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from core.activations.store import Analysis
from core.activations.vectors import list_vectors, save_vector
from core.commands.verbs import run_verb
from core.concepts.concept import Concept, change_concept, create_concept, delete_concept, list_concepts
from core.concepts.labels import judge
from core.concepts.log import settle_tags
from core.concepts.tags import suggest_members, tag, tag_states, tag_version, undo
from core.database import Base, DatasetRecord, JobRecord, RunRecord
from core.demo import find_demo, last_reset, reset_demo, resets, undo_reset, would_reset
from core.demo.making import _key
from core.errors import BadRequest, NotFound
from core.files import write_json
from core.jobs.queue import submit
from core.retraining.kept_edits import kept_edits, leave_out
from core.workspace import Workspace

N = 600
# rows of the demo that stand aside, and what says so, are no part of what anybody sees
_HIDDEN = "demo-reset-birds-"


@pytest.fixture
def demo(workspace: Workspace, make_analysis: Any) -> Analysis:
    """600 planted images that the workspace takes for the demo's."""
    rng = np.random.default_rng(0)
    analysis = make_analysis(rng.normal(size=(N, 4)), np.arange(N) % 2, classes=("landbird", "waterbird"))
    write_json(analysis.folder / "analysis.json", {})
    _remember(workspace, "birds", analysis.id)
    return analysis


@pytest.fixture
def other(workspace: Workspace, demo: Analysis) -> Analysis:
    """Another dataset with an analysis of its own, with everything in it that the demo will have."""
    from dataclasses import replace

    from core.database import AnalysisRecord

    with workspace.writing() as session:
        session.add(DatasetRecord(id="own-data", name="own", root="/own", source="class-folders", fingerprint="1"))
        session.flush()
        session.add(
            AnalysisRecord(
                id="own", dataset_id="own-data", model_name="own", model_file="own.pt", arch="small", images=N
            )
        )
    own = replace(demo, id="own", dataset_id="own-data", dataset_name="own", folder=workspace.analyses / "own")
    own.__dict__["images"] = demo.images
    _plant(workspace, own)
    return own


def _remember(workspace: Workspace, name: str, analysis: str) -> None:
    from core.database import Meta

    with workspace.writing() as session:
        session.merge(Meta(key=_key(name), value=json.dumps({"version": [], "analysis": analysis})))


def _plant(workspace: Workspace, analysis: Analysis, *, runs: int = 5) -> Concept:
    """Two concepts and a deleted one, 500 tags, one action undone, verdicts, runs of both kinds, a job, files."""
    water = create_concept(workspace, analysis.dataset_id, "Water")
    tag(workspace, analysis, water, np.arange(400), True, author="ann")
    tag(workspace, analysis, water, np.arange(400, 500), False, author="bob", how="grid")
    tag(workspace, analysis, water, [500], "unsure")
    undo(workspace, analysis.dataset_id)
    change_concept(workspace, water, note="seen at the top")
    suggest_members(workspace, analysis, water, [501, 502], source="text")
    twigs = create_concept(workspace, analysis.dataset_id, "Twigs")
    gone = create_concept(workspace, analysis.dataset_id, "Gone")
    delete_concept(workspace, gone)
    judge(workspace, analysis, [510, 511], "wrong", relabel_to="landbird")
    leave_out(workspace, analysis, [twigs], ["images/000005.png"])
    save_vector(analysis, "brought", np.ones(4))
    (analysis.folder / "map").mkdir(parents=True)
    (analysis.folder / "map" / "umap.npy").write_bytes(b"map of " + analysis.id.encode())
    for number in range(runs):
        _run(workspace, analysis, number, deleted=number == runs - 1)
    return water


def _run(workspace: Workspace, analysis: Analysis, number: int, *, deleted: bool) -> None:
    run = f"{analysis.id}-{number}"
    job = JobRecord(
        id=f"job-{run}",
        kind="retrain",
        title="Retrain",
        request={"analysis": analysis.id, "run": run},
        key=run,
        turn=number,
        state="done",
        samples=[[1.0, 2]],
        finished=datetime(2026, 1, 2, 3, 4, 5, 678),
        result={"run": run},
    )
    with workspace.writing() as session:
        session.add(job)
        session.flush()
        session.add(
            RunRecord(
                id=run,
                analysis_id=analysis.id,
                job_id=job.id,
                method="mid",
                settings={"tags": 60},
                finished=datetime(2026, 1, 2, 3, 4, 6),
            )
        )
    folder = (workspace.runs / ".deleted" if deleted else workspace.runs) / run
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps({"run": run}))
    (folder / "head.safetensors").write_bytes(bytes(range(200)))


def _seen(workspace: Workspace) -> dict[str, Any]:
    """Every row of every table and every file, but for what stands aside."""
    with workspace.writing() as session:
        # otherwise whoever tags next does, whatever the dataset
        settle_tags(session)
    with workspace.reading() as session:
        aside = [record.id for record in session.scalars(select(DatasetRecord)) if "-aside-" in record.id]
        rows = {
            name: sorted(tuple(map(repr, row)) for row in session.execute(select(table)))
            for name, table in Base.metadata.tables.items()
            # what was done stays written down
            if name != "audit"
        }
        concepts = _ids(rows["concepts"], aside)
        actions = _ids(rows["tag_actions"], aside)
    tables = Base.metadata.tables

    def kept(name: str, row: tuple[str, ...]) -> bool:
        said = dict(zip(tables[name].columns.keys(), row, strict=True))
        return not (
            said.get("dataset_id", "").strip("'") in aside
            or (name == "datasets" and said["id"].strip("'") in aside)
            or (name == "meta" and said["key"].strip("'").startswith(_HIDDEN))
            or said.get("concept_id") in concepts
            or said.get("action_id") in actions
        )

    root = workspace.root
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.name.startswith("midband.db") and "before-reset" not in path.parts
    }
    return {"files": files, **{name: [row for row in rows[name] if kept(name, row)] for name in rows}}


def _ids(rows: list[tuple[str, ...]], datasets: list[str]) -> set[str]:
    return {row[0] for row in rows if row[1].strip("'") in datasets}


def test_exactly_the_demo_s_go_and_all_come_back(workspace: Workspace, demo: Analysis, other: Analysis) -> None:
    clean = _seen(workspace)
    empty = tag_version(workspace, demo.dataset_id)
    water = _plant(workspace, demo)
    full, version = _seen(workspace), tag_version(workspace, demo.dataset_id)
    assert full != clean
    states = tag_states(workspace, demo, water).tolist()

    reset = reset_demo(workspace)
    # verdicts on labels are no tags; a concept that was deleted is not counted, but put aside as well
    assert (reset.tags, reset.concepts, reset.runs, reset.deleted) == (500, 2, 4, 1)
    assert (reset.labels, reset.maps, reset.bake_offs) == (2, 1, 0)
    assert reset.sentence == "Removed 500 tags, 2 concepts, 5 runs, 2 verdicts on a label and 1 direction."
    assert _seen(workspace) == clean
    assert list_concepts(workspace, demo.dataset_id) == ()
    assert list_vectors(demo) == ()
    assert kept_edits(workspace, demo, [water]).count == 0
    assert tag_version(workspace, demo.dataset_id) == empty
    assert [concept.name for concept in list_concepts(workspace, other.dataset_id)] == ["Water", "Twigs"]
    with pytest.raises(NotFound):
        # a page that was open meanwhile
        tag(workspace, demo, water, [0], True)

    assert last_reset(workspace) == reset
    assert undo_reset(workspace, reset) is None
    assert _seen(workspace) == full
    assert tag_version(workspace, demo.dataset_id) == version
    assert tag_states(workspace, demo, water).tolist() == states
    assert last_reset(workspace) is None
    with pytest.raises(NotFound):
        undo_reset(workspace, reset)


def test_undo_puts_later_work_aside_and_gives_it_back(workspace: Workspace, demo: Analysis, other: Analysis) -> None:
    _plant(workspace, demo)
    first = _seen(workspace)
    reset = reset_demo(workspace)
    again = create_concept(workspace, demo.dataset_id, "water")
    tag(workspace, demo, again, [7], True)
    _run(workspace, demo, 9, deleted=False)
    second = _seen(workspace)

    since = undo_reset(workspace, reset)
    assert since is not None
    assert (since.tags, since.concepts, since.runs) == (1, 1, 1)
    assert _seen(workspace) == first
    back = undo_reset(workspace, since)
    assert back is not None
    assert back.tags == 500
    assert _seen(workspace) == second


def test_a_second_reset_destroys_nothing_of_the_first(workspace: Workspace, demo: Analysis, other: Analysis) -> None:
    clean = _seen(workspace)
    _plant(workspace, demo)
    full = _seen(workspace)
    first = reset_demo(workspace)
    assert reset_demo(workspace).tags == 0, "pressed twice"
    (demo.folder / "map").mkdir()
    (demo.folder / "map" / "umap.npy").write_bytes(b"drawn for whoever looks")
    again = reset_demo(workspace)
    assert (again.sentence, again.anything) == ("There was nothing to remove: the demo is as it was made.", False)
    assert resets(workspace) == (first,), "a map alone is what nobody made"

    # nor is it kept when a reset is undone, as what was made since
    assert undo_reset(workspace, first) is None
    assert resets(workspace) == ()
    first = reset_demo(workspace)

    concept = create_concept(workspace, demo.dataset_id, "Water")
    tag(workspace, demo, concept, [1, 2, 3], True)
    second = reset_demo(workspace)
    assert (second.tags, second.runs) == (3, 0)
    assert _seen(workspace) == clean
    assert resets(workspace) == (second, first)

    assert undo_reset(workspace, first) is None
    assert _seen(workspace) == full
    assert resets(workspace) == (second,)
    since = undo_reset(workspace, second)
    assert since is not None
    assert since.tags == 500
    assert [concept.name for concept in list_concepts(workspace, demo.dataset_id)] == ["Water"]
    assert undo_reset(workspace, since) is not None
    assert _seen(workspace) == full


def test_the_oldest_of_many_resets_is_given_up_whole(
    workspace: Workspace, demo: Analysis, other: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.demo.reset.KEPT", 2)
    clean = _seen(workspace)
    _plant(workspace, demo)
    done = [reset_demo(workspace)]
    for number in range(2):
        concept = create_concept(workspace, demo.dataset_id, "Water")
        tag(workspace, demo, concept, [1, 2, 3 + number], True)
        done.append(reset_demo(workspace))
    assert resets(workspace) == (done[2], done[1])
    with pytest.raises(NotFound):
        undo_reset(workspace, done[0])
    # nothing of it is left behind, neither rows nor files
    with workspace.reading() as session:
        counts = {name: len(session.execute(select(table)).all()) for name, table in Base.metadata.tables.items()}
    assert counts["tags"] == len(clean["tags"]) + 6
    assert counts["concepts"] == len(clean["concepts"]) + 2
    assert counts["standing_tags"] == len(clean["standing_tags"]) + 6
    assert counts["datasets"] == len(clean["datasets"]) + 2
    assert counts["label_verdicts"] == len(clean["label_verdicts"])
    assert counts["statement_origins"] == len(clean["statement_origins"])
    assert counts["meta"] == len(clean["meta"]) + 2
    assert not list((workspace.root / "before-reset").rglob("result.json"))


def test_what_was_undone_or_deleted_is_put_aside_and_said(workspace: Workspace, demo: Analysis) -> None:
    delete_concept(workspace, create_concept(workspace, demo.dataset_id, "Gone"))
    reset = reset_demo(workspace)
    assert reset.sentence == "Removed what had been undone or deleted before."
    save_vector(demo, "brought", np.ones(4))
    assert (would_reset(workspace).directions, would_reset(workspace).anything) == (1, True)
    assert reset_demo(workspace).sentence == "Removed 1 direction."
    assert not would_reset(workspace).anything
    assert len(resets(workspace)) == 2


def test_refused_while_a_job_of_it_runs(workspace: Workspace, demo: Analysis, other: Analysis) -> None:
    _plant(workspace, demo)
    full = _seen(workspace)
    submit(workspace, "map", "Lay out the others", {"analysis": other.id})
    reset = reset_demo(workspace)
    at_work = submit(workspace, "map", "Lay out the birds", {"analysis": demo.id})
    with pytest.raises(BadRequest, match="Lay out the birds"):
        reset_demo(workspace)
    with pytest.raises(BadRequest, match="Lay out the birds"):
        undo_reset(workspace, reset)
    with workspace.writing() as session:
        session.delete(session.get_one(JobRecord, at_work.id))
    undo_reset(workspace, reset)
    now = _seen(workspace)
    assert {name: now[name] for name in now if name != "jobs"} == {name: full[name] for name in full if name != "jobs"}


def test_interrupted_before_the_files_were_moved(
    workspace: Workspace, demo: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant(workspace, demo)
    full = _seen(workspace)
    with monkeypatch.context() as patched:
        patched.setattr("core.demo.reset._move_files", lambda *_: None)
        reset = reset_demo(workspace)
    assert list(workspace.runs.glob("*-0"))
    with monkeypatch.context() as patched:
        patched.setattr("core.demo.reset._move_files", lambda *_: None)
        undo_reset(workspace, reset)
    assert not list(workspace.runs.glob("*-0"))
    # whoever comes next moves what was left where it was
    assert reset_demo(workspace).runs == 4
    undo_reset(workspace, resets(workspace)[0])
    assert _seen(workspace) == full


def test_a_demo_that_was_not_made(workspace: Workspace) -> None:
    assert find_demo(workspace) is None
    assert last_reset(workspace) is None
    with pytest.raises(NotFound, match="not in this workspace"):
        reset_demo(workspace)
    with pytest.raises(NotFound, match="no demo called"):
        reset_demo(workspace, "cats")


def test_from_the_command_line(workspace: Workspace, demo: Analysis, tmp_path: Path) -> None:
    from core.commands.output import ProgressLine
    from core.commands.parser import make_parser

    _plant(workspace, demo)
    full = _seen(workspace)

    def said(*arguments: str) -> tuple[dict[str, Any], str]:
        options = make_parser().parse_args(["demo", "--workspace", str(workspace.root), *arguments])
        answer = run_verb(options, ProgressLine(quiet=True))
        return answer.result, answer.text

    data, text = said("--reset")
    assert data["reset"]["tags"] == 500
    assert "Removed 500 tags" in text
    assert "--undo-reset" in text
    data, text = said("--undo-reset")
    assert data["since"] is None
    assert _seen(workspace) == full
    with pytest.raises(NotFound):
        said("--undo-reset")
    said("--reset")
    create_concept(workspace, demo.dataset_id, "Water")
    said("--reset")
    with pytest.raises(NotFound, match="can be undone: 2"):
        said("--undo-reset", "3")
    assert said("--undo-reset", "2")[0]["since"] is None
    assert _seen(workspace) == full
