"""The pages over a planted investigation, run by Streamlit's own test driver through pages/main.py."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis, ModelFacts, refresh, write_analysis
from core.classifiers.head import Head
from core.database import JobRecord
from core.datasets.choices import Choices
from core.datasets.dataset import Attribute, Dataset
from core.jobs.job import Job
from core.jobs.queue import submit
from core.workspace import Workspace
from pages.parts import jobs, state
from scripts import planted_tags

MAIN = Path(__file__).resolve().parents[2] / "pages" / "main.py"

Visit = Callable[..., AppTest]


@pytest.fixture
def visit(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Visit]:
    """visit("bands", low="-1") opens a room on the test's workspace and runs it; also to go on with an app at hand."""
    monkeypatch.setenv("MIDBAND_WORKSPACE", str(workspace.root))
    st.cache_resource.clear()

    def open_room(room: str = "home", app: AppTest | None = None, **query: str) -> AppTest:
        fresh = app is None
        app = app or AppTest.from_file(str(MAIN), default_timeout=30)
        for name, value in query.items():
            app.query_params[name] = value
        if fresh:
            app.run()
        if room != "home" or not fresh:
            app.switch_page(f"{room}.py").run()
        return app

    yield open_room
    st.cache_resource.clear()


@pytest.fixture(autouse=True)
def cookies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the browser sent: nothing, until a test puts something in. Streamlit's test driver sends mock objects."""
    sent: dict[str, str] = {}
    monkeypatch.setattr(type(st.context), "cookies", property(lambda context: sent))
    return sent


@pytest.fixture
def planted(workspace: Workspace) -> Analysis:
    """600 images, two classes; `place` agrees with the class on 95% of train and val, and the head leans on it."""
    return plant(workspace)


@pytest.fixture
def unlabelled(planted: Analysis, workspace: Workspace) -> Analysis:
    """The same images, of which nobody has said what they show."""
    dataset = Dataset(
        id=planted.dataset_id,
        name="holiday",
        root=planted.dataset_root,
        source="images",
        images=planted.images,
        labels=np.zeros(planted.n, dtype=np.int64),
        splits=np.asarray(planted.splits),
        classes=(),
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="0",
        choices=Choices(format="images"),
    )
    model = ModelFacts(
        name="erm", file=Path("/erm"), arch="small", digest="0", preprocessing={}, classes=planted.classes
    )
    return refresh(workspace, planted.id, dataset, model)


def plant(
    workspace: Workspace, n: int = 600, *, name: str = "birds", classes: tuple[str, ...] = (), blind: bool = False
) -> Analysis:
    """classes: more than two are dealt out in turn. blind: a head that gives every image the same logits."""
    classes = classes or ("landbird", "waterbird")
    rng = np.random.default_rng(7)
    splits = np.repeat([0, 1, 2], n // 3).astype(np.int8)
    labels = rng.integers(0, 2, n)
    agrees = rng.random(n) < np.where(splits == 2, 0.5, 0.95)
    place = np.where(agrees, labels, 1 - labels)
    features = rng.normal(size=(n, 8)).astype(np.float32)
    features[:, 0] += 2.0 * (2 * labels - 1)
    features[:, 1] += 3.0 * (2 * place - 1)
    weight = np.zeros((len(classes), 8), dtype=np.float32)
    if not blind:
        weight[1, :2] = (0.6, 0.9)
        weight[0] = -weight[1]
        weight[2:] = rng.normal(size=(len(classes) - 2, 8))
    if len(classes) > 2:
        labels = np.arange(n) % len(classes)
    root = workspace.root.parent / name
    root.mkdir(exist_ok=True)
    names = [f"{split}/{i:04d}.png" for i, split in enumerate(np.array(["train", "val", "test"])[splits])]
    order = np.argsort(names)
    for i in order[:4]:
        path = root / names[i]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (48, 32), (200, 80, 40)).save(path)
    dataset = Dataset(
        id=f"id-of-{name}",
        name=name,
        root=root,
        source="metadata-csv",
        images=np.array(names, dtype=np.dtypes.StringDType())[order],
        labels=labels[order].astype(np.int64),
        splits=splits[order],
        classes=classes,
        attributes=(Attribute("place", ("land", "water"), place[order].astype(np.int16)),),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    model = ModelFacts(name="erm", file=root / "erm.safetensors", arch="small", digest="0", preprocessing={})
    return write_analysis(
        workspace,
        dataset,
        features=features[order],
        head=Head(weight, np.zeros(len(classes), dtype=np.float32)),
        thumbnail_files=[_square(int(value)) for value in place[order]],
        model=model,
    )


def _square(place: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 24), (70, 130, 200) if place else (90, 150, 80)).save(file, "WEBP")
    return file.getvalue()


def texts(app: AppTest) -> str:
    """Everything a person can read on the page, as one string."""
    found = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error, *app.info, *app.success]
    return "\n".join(element.value for element in found)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """What buttons submit: jobs are put into the queue, no process is started."""
    submitted: list[Job] = []

    def submit_only(workspace: Workspace, kind: str, title: str, request: dict, *, key: str | None = None) -> Job:
        job = submit(workspace, kind, title, request, key=key)
        submitted.append(job)
        return job

    monkeypatch.setattr(jobs, "launch", submit_only)
    # a fresh server would start what waits in the queue
    monkeypatch.setattr(state, "recover", lambda workspace: [])
    return submitted


def set_job(workspace: Workspace, job_id: str, **values: object) -> None:
    """Change a job's row as its worker would."""
    with workspace.writing() as session:
        record = session.get_one(JobRecord, job_id)
        for name, value in values.items():
            setattr(record, name, value)


def tag_by_truth(workspace: Workspace, analysis: Analysis, count: int, name: str = "water") -> None:
    planted_tags.tag_by_truth(workspace, analysis, count, name)
