from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.activations.extraction import analyse
from core.classifiers.classifier import load_classifier
from core.classifiers.preprocessing import Preprocessing
from core.datasets import open_dataset
from core.errors import BadRequest, Cancelled
from core.reproduction import network as network_module
from core.reproduction import sweep as module
from core.reproduction.page import finding, render_report, write_report
from core.reproduction.reference import LEVELS, REFERENCE
from core.reproduction.sweep import Cell, Preset, Sweep, preset_named, read_pictures, run_sweep
from core.synthetic.sprites import zone_at
from core.workspace import open_workspace

TINY = Preset("tiny", images=256, held_out=180, epochs=4, seeds=1, levels=(0.0, 1.0))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return run_sweep(tmp_path_factory.mktemp("sweep"), TINY)


def test_at_full_bias_a_network_learns_the_place(done: Sweep) -> None:
    """Planted: at 1 the zone says everything, and is easier to see in 256 pictures than the outline is."""
    (free,), (bound,) = done.of(0.0), done.of(1.0)
    assert bound.train > 0.9
    assert bound.test < 0.6
    assert bound.worst < 0.2
    assert bound.by_zone > bound.by_shape + 0.08
    assert bound.by_zone > free.by_zone
    # no picture of train or val lies outside of its own zone
    assert bound.strays_top == 0.0


def test_what_is_done_is_not_done_again(done: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(network_module, "trained", never)
    assert run_sweep(done.folder, TINY) == done
    # a cell that is damaged is
    cell = done.folder / "cells" / "1.00-0.json"
    kept = cell.read_text()
    for broken in ("{", "[]", kept.replace('"key"', '"kee"')):
        cell.write_text(broken)
        with pytest.raises(AssertionError, match="trained again"):
            run_sweep(done.folder, TINY)
    cell.write_text(kept)
    assert run_sweep(done.folder, TINY) == done


def test_a_part_of_a_sweep_keeps_all_that_is_there(done: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(network_module, "trained", never)
    part = run_sweep(done.folder, replace(TINY, levels=(1.0,)))
    assert part == done
    assert len(json.loads((done.folder / "sweep.json").read_text())["cells"]) == 2
    assert "Bias 0%" in write_report(part).read_text(encoding="utf-8")


def test_networks_of_another_size_are_not_overwritten(done: Sweep) -> None:
    before = (done.folder / "data" / "1.00.npz").read_bytes()
    larger = replace(TINY, name="larger", images=300)
    for call in (run_sweep, module.write_data):
        with pytest.raises(BadRequest, match="256 pictures, 4 epochs") as problem:
            call(done.folder, larger)
        assert "--preset tiny" in problem.value.next_step
    assert (done.folder / "data" / "1.00.npz").read_bytes() == before
    # the networks say it themselves where the list of them is gone
    listed = done.folder / "sweep.json"
    kept = listed.read_bytes()
    listed.unlink()
    with pytest.raises(BadRequest, match="of another size"):
        run_sweep(done.folder, larger)
    listed.write_bytes(kept)
    assert run_sweep(done.folder, TINY) == done


def test_what_another_version_trained_stays_as_it_was(done: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its report would lose every network that is not trained anew."""
    before = (done.folder / "sweep.json").read_bytes()
    monkeypatch.setattr(module, "_FORMAT", -1)
    with pytest.raises(BadRequest, match="another version trained"):
        run_sweep(done.folder, replace(TINY, levels=(1.0,)))
    assert (done.folder / "sweep.json").read_bytes() == before


@pytest.mark.parametrize("lost", ["models/1.00-0.pt", "data/1.00.npz", "cells/1.00-0.npz"])
def test_a_network_whose_files_are_gone_is_not_done(done: Sweep, lost: str) -> None:
    file = done.folder / lost
    kept = file.read_bytes()
    file.unlink()
    assert module._known(done.folder, TINY, 1.0, 0) is None
    file.write_bytes(kept)
    assert module._known(done.folder, TINY, 1.0, 0) == done.of(1.0)[0]
    # a level that would have the same file is another
    assert module._known(done.folder, TINY, 1.001, 0) is None


def test_from_where_the_place_counts_for_more_is_said_only_where_it_stays_so() -> None:
    from core.reproduction import page

    def said(*by_zone: float) -> str:
        cells = tuple(Cell(i / 10, 0, 1, 0.5, 0.1, 0.5, zone, 0.0, 0.4) for i, zone in enumerate(by_zone))
        levels = tuple(cell.level for cell in cells)
        return page._overtaken(Sweep(Path(), Preset("quick", 300, 100, 2, 1, levels), cells), levels)

    assert "from a bias of 20% on" in said(0.1, 0.2, 0.6, 0.7)
    assert "from a bias of 30% on" in said(0.1, 0.6, 0.2, 0.7)
    assert "at some biases only (10%)" in said(0.1, 0.6, 0.2)
    one = Cell(0.9, 0, 1, 0.5, 0.1, 0.5, 0.1, 0.0, 0.4)
    assert "At a bias of 90%, 40%" in finding(Sweep(Path(), Preset("quick", 300, 100, 2, 1, (0.9,)), (one,)))


def test_stopped_in_the_middle_it_goes_on_to_the_same_end(done: Sweep, tmp_path: Path) -> None:
    def stop(images: int, total: int, message: str = "") -> None:
        assert total == 2 * TINY.images * TINY.epochs
        if images > TINY.images * TINY.epochs * 1.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_sweep(tmp_path, TINY, progress=stop)
    assert len(json.loads((tmp_path / "sweep.json").read_text())["cells"]) == 1
    again = run_sweep(tmp_path, TINY)
    assert again.cells == done.cells


def test_network_and_data_open_as_a_classifier_and_a_dataset(done: Sweep, tmp_path: Path) -> None:
    dataset = open_dataset(done.folder / "data" / "1.00.npz", store=tmp_path / "store")
    classifier = load_classifier(
        done.folder / "models" / "1.00-0.pt",
        preprocessing=Preprocessing(resize=None, crop=64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
    )
    analysis = analyse(open_workspace(tmp_path / "w"), dataset, classifier, precision="fp32")
    test = analysis.split_rows("test")
    assert (analysis.predicted[test] == analysis.labels[test]).mean() == pytest.approx(done.of(1.0)[0].test, abs=1e-9)


def test_sheets_hold_pictures_of_the_val_split(done: Sweep) -> None:
    pictures = read_pictures(done.folder, done.of(0.0)[0])
    assert pictures["matrix"].shape == (108, 108)
    val = module.render(module.drawn(TINY, 0.0, 0)["val"])
    known = {picture.tobytes() for picture in val}
    for shape in ("square", "ellipse", "heart"):
        assert 1 <= len(pictures[f"{shape}-top"]) <= 10
        assert all(picture.tobytes() in known for picture in pictures[f"{shape}-top"])


def test_the_report_says_what_came_out_and_reaches_nowhere(done: Sweep) -> None:
    page = write_report(done).read_text(encoding="utf-8")
    (bound,) = done.of(1.0)
    assert f"{bound.test:.1%}" in page
    assert f"{REFERENCE[1.0]:.1%}" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert finding(done).startswith("Without bias in the test pictures")


def test_one_seed_has_the_interval_of_its_test_pictures(done: Sweep) -> None:
    from core.reproduction import page

    (free,) = done.of(0.0)
    low, high = page._interval(done, 0.0)
    assert low < free.test < high
    # about two standard deviations of 180 answers to either side
    assert high - low == pytest.approx(3.92 * np.sqrt(free.test * (1 - free.test) / 180), rel=0.1)
    assert "One seed" in page._band_said(done, [0.0, 1.0])


def test_a_sweep_under_way_says_how_far_it_is(done: Sweep) -> None:
    part = Sweep(done.folder, done.preset, done.cells[:1])
    assert "1 of 2 networks are trained so far" in render_report(part)
    assert "trained so far" not in render_report(done)


def test_matrices_are_sorted_by_shape_and_by_position(done: Sweep) -> None:
    stored = read_pictures(done.folder, done.of(1.0)[0])
    test = module.drawn(TINY, 1.0, 0)["test"]
    assert stored["shapes"].tolist() == [0] * 36 + [1] * 36 + [2] * 36
    # planted: at full bias the picture falls into blocks by place, and only when it is sorted by place
    zones = np.array([zone_at(0.25 + 0.5 * x / 31) for x in stored["xs"]])
    assert np.bincount(zones).tolist() == [36, 36, 36]
    assert set(stored["xs"].tolist()) <= set(test.xs.tolist())
    order = np.lexsort((stored["shapes"], stored["xs"]))

    def blocks(matrix: np.ndarray) -> float:
        inside = np.kron(np.eye(3), np.ones((36, 36))).astype(bool)
        return float(matrix[inside].mean() - matrix[~inside].mean())

    matrix = stored["matrix"]
    assert blocks(matrix[np.ix_(order, order)]) > blocks(matrix) + 0.05
    page = render_report(done)
    assert page.count(", sorted by shape") == page.count(", sorted by position") == 2


def test_strays_are_framed() -> None:
    from core.reproduction import page
    from core.synthetic.sprites import draw_latents, render

    sprites = draw_latents(300, 0.0, np.random.default_rng(0))
    pictures = render(sprites)
    assert [page.zone_seen(picture) for picture in pictures] == sprites.zones.tolist()
    own = sprites.shapes == 0
    shown, strays = pictures[own][:10], int((sprites.zones[own][:10] != 0).sum())
    assert 0 < strays < 10
    assert f"{strays} of 10 elsewhere" in page._sheet(shown, 0, "square")
    framed = page._framed(shown[0], page._STRAY)
    assert framed.shape == (68, 68, 3)
    assert tuple(framed[0, 0]) == page._STRAY
    assert (framed[2:-2, 2:-2, 1] == shown[0]).all()


def test_bands_of_the_mean_need_more_than_one_seed() -> None:
    cells = tuple(
        Cell(level, seed, 0.99, test, test - 0.2, 0.5, 0.1, 0.0, 0.4)
        for level, tests in ((0.5, (0.9, 0.8, 0.85)), (1.0, (0.35, 0.3, 0.4)))
        for seed, test in enumerate(tests)
    )
    preset = Preset("quick", 3000, 1000, 20, 3, (0.5, 1.0))
    from core.reproduction import page

    sweep = Sweep(Path(), preset, cells)
    low, high = page._interval(sweep, 0.5)
    # Student's t of 2 degrees of freedom: 4.303 x 0.05 / sqrt(3)
    assert (low, high) == pytest.approx((0.85 - 0.1242, 0.85 + 0.1242), abs=1e-3)
    assert "40% of a shape's pictures in the middle" in finding(sweep)
    assert "Student" in page._band_said(sweep, [0.5, 1.0])
    with pytest.raises(FileNotFoundError):
        render_report(Sweep(Path("/nonexistent"), preset, cells))


def test_presets_are_checked() -> None:
    assert preset_named("full").levels == LEVELS
    assert len(preset_named("quick", levels=[1, 0, 1], seeds=2).cells) == 4
    # a seed of every level before any second one
    assert [level for level, _ in preset_named("quick", seeds=2).cells[:11]] == list(LEVELS)
    for wrong in (
        {"name": "slow"},
        {"name": "quick", "levels": [2.0]},
        {"name": "quick", "seeds": 0},
        {"name": "quick", "levels": [0.125]},
    ):
        with pytest.raises(BadRequest):
            preset_named(**wrong)  # type: ignore[arg-type]


def test_features_and_logits_belong_together() -> None:
    network = network_module.SpriteNetwork().eval()
    pictures = np.random.default_rng(0).integers(0, 256, size=(7, 64, 64), dtype=np.uint8)
    features, logits = network_module.asked(network, pictures)
    weight, bias = network.head.weight.detach().numpy(), network.head.bias.detach().numpy()
    np.testing.assert_allclose(features @ weight.T + bias, logits, atol=1e-5)
