"""The demo on real pixels: its shipped classifier goes by the ink, and a few right answers mend that."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import core.synthetic.digits as digits
from core.activations.store import Analysis
from core.concepts.concept import create_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag
from core.demo import DEMOS, find_demo, make_demo, shipped_model
from core.errors import NotFound
from core.jobs.kinds import kind_of
from core.retraining.retraining import retrain
from core.workspace import Workspace, open_workspace

N = 2400


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Analysis]:
    """The demo as it is shipped, of fewer pictures, made by its job."""
    workspace = open_workspace(tmp_path_factory.mktemp("digits"))
    real = digits.make_digits
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digits, "make_digits", lambda out, **more: real(out, **{**more, "n": N}))
        said: list[str] = []
        kind = kind_of("demo")
        answer = kind.run(workspace, kind.prepare({"which": "digits"}), lambda done, total, text="": said.append(text))
    assert "Drawing digits" in said
    analysis = make_demo(workspace, "digits")
    assert analysis.id == answer["analysis"]
    return workspace, analysis


def test_it_is_made_of_real_digits(made: tuple[Workspace, Analysis]) -> None:
    _, analysis = made
    assert (analysis.n, analysis.classes) == (N, ("even", "odd"))
    ink = next(one for one in analysis.attributes if one.name == "ink")
    assert ink.values == ("white", "black")
    # planted: one in twenty of train and val has the other ink; of test, half
    usual = ink.codes == analysis.labels
    for split, share in (("train", 0.95), ("val", 0.95), ("test", 0.5)):
        assert usual[analysis.split_rows(split)].mean() == pytest.approx(share, abs=0.005)
    # a number for every picture is nothing to group by
    assert [one.name for one in analysis.attributes] == ["ink"]
    with open(analysis.dataset_root / "metadata.csv", newline="", encoding="utf-8") as table:
        shown = {(row["original"], row["split"]) for row in csv.DictReader(table)}
    assert len(shown) == len({original for original, _ in shown}) <= len(load_digits().target)


def test_no_ink_has_a_colour_that_stands_for_a_class_or_a_concept(made: tuple[Workspace, Analysis]) -> None:
    _, analysis = made
    ink = next(one for one in analysis.attributes if one.name == "ink")
    for row in range(0, N, 60):
        with Image.open(analysis.image_path(row)) as opened:
            pixels = np.asarray(opened.convert("RGB"), dtype=np.float64)
        # noise apart; teal and orange are dozens apart
        assert np.ptp(pixels.mean(axis=(0, 1))) < 2
        # which ink it is shows in how bright it is, to whoever sees colours differently too
        paper, grey = np.median(pixels), pixels.mean(axis=2)
        written = np.abs(grey - paper) > 50
        assert (grey[written].mean() > paper) == (ink.codes[row] == 0)


def test_it_stands_beside_the_birds(made: tuple[Workspace, Analysis]) -> None:
    workspace, analysis = made
    assert find_demo(workspace, "digits") == analysis.id
    assert find_demo(workspace) is None
    assert analysis.model_file.is_relative_to(workspace.root)
    for demo in DEMOS.values():
        assert shipped_model(demo.name).is_file()
    assert DEMOS["digits"].shortcut_class in analysis.classes
    assert shipped_model("digits").stat().st_size < 1_000_000
    with pytest.raises(NotFound, match="no demo called"):
        make_demo(workspace, "cats")


@pytest.mark.parametrize("budget", [20, 60])
def test_a_few_answers_mend_it(made: tuple[Workspace, Analysis], budget: int) -> None:
    workspace, analysis = made
    ink: Any = next(one for one in analysis.attributes if one.name == "ink")
    concept = create_concept(workspace, analysis.dataset_id, f"{DEMOS['digits'].concept} {budget}")
    rows = np.array([item.row for item in suggest_next(workspace, analysis, concept, budget=budget)])
    for present in (True, False):
        tag(workspace, analysis, concept, rows[(ink.codes[rows] == 1) == present], present)
    run = retrain(workspace, analysis, method="mid", concepts=(concept.name,), run_id=f"digits{budget}")
    assert run.before.worst_group < 0.6
    assert run.after.worst_group > 0.7
    assert run.after.average > run.before.average + 0.08
