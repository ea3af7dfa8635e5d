from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from core.datasets import open_dataset
from core.errors import BadRequest, Cancelled, MidbandError
from core.synthetic.birds import make_birds, plan_birds

SMALL = {"n": 240, "size": 32}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_birds(tmp_path_factory.mktemp("birds") / "birds", **SMALL, processes=1)


def test_they_open_as_a_dataset_with_named_classes_and_places(birds: Path) -> None:
    dataset = open_dataset(birds)
    assert dataset.classes == ("landbird", "waterbird")
    assert [(a.name, a.values) for a in dataset.attributes] == [("place", ("land", "water"))]
    assert len(dataset) == 240
    assert (dataset.problems, dataset.notes) == ((), ())
    assert dataset.counts() == {
        "train": {"landbird": 60, "waterbird": 60},
        "val": {"landbird": 30, "waterbird": 30},
        "test": {"landbird": 30, "waterbird": 30},
    }


def test_the_table_and_the_images_are_as_said(birds: Path) -> None:
    dataset = open_dataset(birds)
    first = Image.open(birds / str(dataset.images[0]))
    assert (first.size, first.mode, first.format) == ((32, 32), "RGB", "JPEG")
    header = (birds / "metadata.csv").read_text().splitlines()[0]
    assert header == "img_id,img_filename,y,y_name,split,place,place_name"


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(birds: Path, tmp_path: Path) -> None:
    assert digests(make_birds(tmp_path / "again", **SMALL, processes=2)) == digests(birds)


def test_another_seed_gives_other_birds(birds: Path, tmp_path: Path) -> None:
    other = digests(make_birds(tmp_path / "other", n=16, size=32, seed=1, processes=1))
    assert not set(other.values()) & set(digests(birds).values())


@given(st.integers(16, 8000), st.integers(0, 20))
def test_the_planted_shares_are_kept_to_the_nearest_image(n: int, twentieths: int) -> None:
    agreement = twentieths / 20
    plan = plan_birds(n, agreement, np.random.default_rng(n))
    assert len(plan.kinds) == n
    for split in (0, 1):
        for kind in (0, 1):
            places = plan.places[(plan.splits == split) & (plan.kinds == kind)]
            assert abs((places == kind).sum() - agreement * len(places)) <= 0.5
    groups = np.bincount((plan.kinds * 2 + plan.places)[plan.splits == 2], minlength=4)
    assert len(set(groups.tolist())) == 1


def test_the_default_size_splits_in_halves_and_quarters() -> None:
    plan = plan_birds(6000, 0.95, np.random.default_rng(0))
    assert np.bincount(plan.splits).tolist() == [3000, 1500, 1500]
    minority = (plan.kinds != plan.places)[plan.splits == 0]
    assert minority.sum() == 150


def test_names_give_away_neither_split_nor_kind() -> None:
    plan = plan_birds(6000, 0.95, np.random.default_rng(0))
    number = np.arange(6000)
    for column in (plan.kinds, plan.places, plan.splits):
        assert abs(np.corrcoef(number, column)[0, 1]) < 0.05


def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, total: int, message: str = "") -> None:
        if done:
            raise Cancelled

    for processes in (1, 2):
        with pytest.raises(Cancelled):
            make_birds(tmp_path / "birds", n=400, size=16, progress=stop, processes=processes)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_image(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_birds(tmp_path / "birds", n=250, size=16, progress=lambda d, t, m="": seen.append((d, t)), processes=1)
    assert seen == [(0, 250), (100, 250), (200, 250), (250, 250)]


@pytest.mark.parametrize("wrong", [{"n": 3}, {"size": 4}, {"agreement": 1.5}])
def test_settings_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(BadRequest):
        make_birds(tmp_path / "birds", **wrong)


def test_what_is_there_is_not_overwritten(birds: Path) -> None:
    before = digests(birds)
    with pytest.raises(MidbandError, match="already holds something"):
        make_birds(birds, **SMALL)
    assert digests(birds) == before
