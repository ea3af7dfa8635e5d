"""A demo: pictures with a planted shortcut, a classifier that goes by it, and its analysis, ready to explore.

Birds are drawn; digits are the handwritten ones of scikit-learn, coloured. Their classifiers are shipped in assets/.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.access.policy import Permission, require
from core.activations.store import Analysis, has_analysis, open_analysis, touch
from core.database import Meta
from core.datasets import Dataset, open_dataset
from core.errors import NotFound, PathNotFound
from core.files import file_digest, replacing
from core.progress import Progress, silent
from core.workspace import Workspace

_ASSETS = Path(__file__).resolve().parents[2] / "assets"
MODEL = _ASSETS / "demo.safetensors"
SEED = 0


@dataclass(frozen=True)
class Demo:
    """story: one sentence on what was planted. concept: what a visitor is likely to call what sits where it should not.
    shortcut_class: the class whose middle shows it best. about_seconds: to make it, on two cores."""

    name: str
    title: str
    story: str
    concept: str
    shortcut_class: str
    about_seconds: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


DEMOS = {
    demo.name: demo
    for demo in (
        Demo(
            "birds",
            "Birds and where they stand",
            "6,000 illustrated birds, and a small network that learnt to look at the water instead of the bird.",
            "water background",
            "waterbird",
            17,
        ),
        Demo(
            "digits",
            "Digits and their ink",
            "6,000 pictures of real handwritten digits, and a small network that should tell even from odd but learnt "
            "to look at whether the ink is white or black.",
            "black ink",
            "odd",
            15,
        ),
    )
}
"""What can be made, by name; the first one is the usual."""
CONCEPT = DEMOS["birds"].concept


def demo_named(name: str) -> Demo:
    """Raises `NotFound`."""
    if name not in DEMOS:
        raise NotFound(f"There is no demo called “{name}”.", next_step=f"Choose one of {', '.join(DEMOS)}.")
    return DEMOS[name]


def make_demo(workspace: Workspace, name: str = "birds", *, progress: Progress = silent) -> Analysis:
    """Make the pictures, analyse them with the shipped classifier, and make that the latest analysis.

    What is there already is kept: a second call takes a moment and needs no torch. The classifier is copied into the
    workspace, so that the workspace can be moved. No tags are made: naming the confounder is the visitor's part.
    Raises `NotFound` for a name that is none, `PathNotFound` when the shipped classifier is missing.
    """
    require(Permission.LOAD, f"demo {name}")
    shipped = shipped_model(demo_named(name).name)
    if not shipped.is_file():
        raise PathNotFound(
            f"The demo's classifier is not at {shipped}.",
            next_step="Train it with `make demo-model`, or restore the file from the repository.",
        )
    dataset = _pictures(workspace, name, progress)
    version = [file_digest(shipped), dataset.fingerprint]
    content = [version[0], file_digest(dataset.root / "metadata.csv"), len(dataset)]
    known = _recorded(workspace, name)
    if (
        known is not None
        # a workspace that was copied has other times
        and (known["version"] == version or known.get("content") == content)
        and has_analysis(workspace, known["analysis"])
    ):
        touch(workspace, known["analysis"])
        if "content" not in known:
            _remember(workspace, name, known | {"content": content})
        return open_analysis(workspace, known["analysis"])

    from core.activations.extraction import analyse
    from core.classifiers.classifier import load_classifier

    # exactly what the README shows, on any machine
    classifier = load_classifier(_copied(workspace, shipped))
    analysis = analyse(workspace, dataset, classifier, precision="fp32", progress=progress)
    _remember(workspace, name, {"version": version, "content": content, "analysis": analysis.id})
    return analysis


def find_demo(workspace: Workspace, name: str = "birds") -> str | None:
    """Id of the demo's analysis if it has been made in this workspace."""
    known = _recorded(workspace, demo_named(name).name)
    return known["analysis"] if known is not None and has_analysis(workspace, known["analysis"]) else None


def draw(name: str, folder: Path, *, progress: Progress = silent) -> Path:
    """Make the pictures of a demo in a new folder, which appears whole or not at all."""
    if name == "digits":
        from core.synthetic.digits import PARITY, PLAIN_INKS, make_digits

        return make_digits(folder, size=64, seed=SEED, kinds=PARITY, noise=12, inks=PLAIN_INKS, progress=progress)
    from core.synthetic.birds import make_birds

    return make_birds(folder, seed=SEED, progress=progress)


def shipped_model(name: str) -> Path:
    """Where the classifier of a demo lies in the repository."""
    return MODEL if name == "birds" else _ASSETS / f"demo-{name}.safetensors"


def _pictures(workspace: Workspace, name: str, progress: Progress) -> Dataset:
    folder = workspace.datasets / name
    if not folder.exists():
        draw(name, folder, progress=progress)
    return open_dataset(folder)


def _copied(workspace: Workspace, shipped: Path) -> Path:
    target = workspace.models / ("demo.safetensors" if shipped == MODEL else shipped.name)
    if not target.is_file() or file_digest(target) != file_digest(shipped):
        with replacing(target) as beside:
            shutil.copyfile(shipped, beside)
    return target


def _key(name: str) -> str:
    return "demo" if name == "birds" else f"demo-{name}"


def _recorded(workspace: Workspace, name: str) -> dict[str, Any] | None:
    with workspace.reading() as session:
        record = session.get(Meta, _key(name))
    return json.loads(record.value) if record is not None else None


def _remember(workspace: Workspace, name: str, facts: dict[str, Any]) -> None:
    with workspace.writing() as session:
        session.merge(Meta(key=_key(name), value=json.dumps(facts)))
