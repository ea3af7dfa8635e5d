"""What changes or gives out while the pass runs: the images, their folder, the disk."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.activations import partial
from core.activations.extraction import analyse
from core.activations.store import Analysis
from core.classifiers.classifier import load_classifier
from core.datasets import open_dataset
from core.errors import DiskFull, MidbandError, PathNotFound
from core.progress import Progress, silent
from core.settings import Settings
from core.workspace import open_workspace
from tests.core.conftest import listed

Place = Any
Bounds = Callable[[], AbstractContextManager[None]]
Refused = Callable[..., MidbandError]
SETTINGS = Settings(batch_size=8)


def run(place: Place, model: Path, progress: Progress = silent, workspace: str = "workspace") -> Analysis:
    return analyse(
        open_workspace(place.root / workspace),
        open_dataset(place.given),
        load_classifier(model),
        progress=progress,
        settings=SETTINGS,
    )


def once_at(count: int, happens: Callable[[], object]) -> Progress:
    """Something happens after so many images, once."""
    waiting = [happens]

    def progress(done: int, total: int, message: str = "") -> None:
        if done >= count and waiting:
            waiting.pop()()

    return progress


def stored(analysis: Analysis) -> dict[str, bytes]:
    return {name: (analysis.folder / name).read_bytes() for name in ("features.npy", "ids.npy", "thumbnails.bin")}


@pytest.mark.parametrize("empty", [False, True], ids=["the folder is gone", "a drive is gone, its folder is empty"])
def test_a_folder_that_vanishes_stops_the_pass_and_does_not_count_as_unreadable(
    empty: bool, place: Place, model: Path, refused: Refused
) -> None:
    place.classes(60)
    aside = place.workspace / "aside"

    def vanish() -> None:
        aside.parent.mkdir(exist_ok=True)
        place.given.rename(aside)
        if empty:
            place.given.mkdir()

    problem = refused(PathNotFound, lambda: run(place, model, once_at(16, vanish)))
    assert "any more" in problem.detail
    assert "kept" in problem.next_step
    assert listed(open_workspace(place.workspace)) == []
    if empty:
        place.given.rmdir()
    aside.rename(place.given)
    with_break = run(place, model)
    assert with_break.skipped == ()
    assert with_break.n == 120
    whole = stored(with_break)
    shutil.rmtree(place.workspace)
    assert stored(run(place, model)) == whole


def test_images_that_vanish_one_by_one_are_listed(place: Place, model: Path, bounds: Bounds) -> None:
    place.classes(60)
    with bounds():
        found = run(place, model, once_at(8, (place.given / "dog/59.png").unlink))
    assert [problem.to_dict() for problem in found.skipped] == [
        {"image": "dog/59.png", "reason": "the file is not there any more"}
    ]


def test_images_that_change_meanwhile_are_computed_anew_the_next_time(
    place: Place, model: Path, bounds: Bounds
) -> None:
    place.classes(60)
    changed = place.given / "dog/59.png"

    def change() -> None:
        Image.new("RGB", (30, 30), "white").save(changed)

    with bounds():
        before = run(place, model, once_at(8, change))
        after = run(place, model)
    assert before.n == after.n == 120
    assert after.id != before.id, "it is another set of images now"
    features, shown = np.array(after.features), stored(after)["thumbnails.bin"]
    shutil.rmtree(place.workspace)
    anew = run(place, model)
    # the others were taken over from a pass that had them in other batches, which round otherwise
    np.testing.assert_allclose(anew.features, features, atol=1e-6)
    assert stored(anew)["thumbnails.bin"] == shown


@pytest.mark.parametrize("damage", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_images_that_are_being_written_meanwhile_are_listed(
    damage: bytes, place: Place, model: Path, bounds: Bounds
) -> None:
    place.classes(60)
    with bounds():
        found = run(place, model, once_at(8, lambda: (place.given / "dog/59.png").write_bytes(damage)))
    assert [problem.image for problem in found.skipped] == ["dog/59.png"]


def test_a_full_disk_in_the_middle_keeps_what_is_done(
    place: Place, model: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.classes(60)
    append, end_batch = partial.PartialAnalysis.append, partial.PartialAnalysis.end_batch
    left = [5]

    def full(self: partial.PartialAnalysis, *rows: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, *rows)

    def noted(self: partial.PartialAnalysis, skipped: Any) -> None:
        end_batch(self, skipped)
        self.note()

    with monkeypatch.context() as patched:
        patched.setattr(partial.PartialAnalysis, "append", full)
        patched.setattr(partial.PartialAnalysis, "end_batch", noted)
        problem = refused(DiskFull, lambda: run(place, model))
    assert str(place.workspace) in problem.detail
    assert listed(open_workspace(place.workspace)) == []
    said: list[str] = []
    after = run(place, model, lambda done, total, message="": said.append(message))
    assert "Continuing after the first 40 images" in said
    whole = stored(after)
    shutil.rmtree(place.workspace)
    assert stored(run(place, model)) == whole


def test_a_workspace_that_vanishes_is_told(place: Place, model: Path, refused: Refused) -> None:
    place.classes(60)
    problem = refused(
        MidbandError, lambda: run(place, model, once_at(16, lambda: shutil.rmtree(place.workspace / "analyses")))
    )
    assert problem.next_step
