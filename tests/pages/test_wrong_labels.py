"""Wrong labels on the page: judged in bulk, taken back, left out of retraining, exported."""

from __future__ import annotations

import csv
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis, ModelFacts, write_analysis
from core.classifiers.head import Head
from core.concepts.labels import judge, label_verdicts, verdict_list
from core.concepts.mislabelled import check_labels
from core.datasets.dataset import Dataset
from core.workspace import Workspace
from pages.parts import wrong_labels
from pages.parts.wrong_labels import SELECTION, as_csv

from .conftest import Visit, _square, plant, texts

CLASSES = ("landbird", "=**water** <b>bird</b>")


@pytest.fixture
def flipped(workspace: Workspace) -> Analysis:
    """600 images, every twentieth labelled wrongly; one class has a name of markup."""
    return plant_flipped(workspace)


def plant_flipped(workspace: Workspace, *, noise: bool = False) -> Analysis:
    rng = np.random.default_rng(0)
    n = 600
    truth = rng.integers(0, 2, n)
    features = rng.normal(size=(n, 8)).astype(np.float32)
    if not noise:
        features[:, 0] += 3.0 * (2 * truth - 1)
    labels = np.where(np.arange(n) % 20 == 0, 1 - truth, truth)
    root = workspace.root.parent / "flipped"
    root.mkdir(exist_ok=True)
    weight = np.zeros((2, 8), dtype=np.float32)
    weight[1, 0], weight[0, 0] = 1, -1
    dataset = Dataset(
        id="id-of-flipped",
        name="flipped",
        root=root,
        source="metadata-csv",
        images=np.array([f"{i:04d}.png" for i in range(n)], dtype=np.dtypes.StringDType()),
        labels=labels.astype(np.int64),
        splits=np.repeat([0, 1, 2], n // 3).astype(np.int8),
        classes=CLASSES,
        attributes=(),
        problems=(),
        notes=(),
        fingerprint="0",
    )
    model = ModelFacts(name="erm", file=root / "erm.safetensors", arch="small", digest="0", preprocessing={})
    head = Head(weight, np.zeros(2, dtype=np.float32))
    square = _square(1)
    return write_analysis(workspace, dataset, features=features, head=head, thumbnail_files=[square] * n, model=model)


def opened(visit: Visit) -> AppTest:
    app = visit("tag_next", look="wrong")
    assert not app.exception
    return app


def grid(app: AppTest) -> dict:
    """What the browser gets of the grid."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    grids = [data for data in found if isinstance(data, dict) and data.get("store") == SELECTION]
    return next((data for data in grids if data["role"] == "grid"), {"images": [], "scope": None})


def shown(app: AppTest) -> list[dict]:
    return grid(app)["images"]


def select(app: AppTest, ids: list[int], *, told: bool = True) -> AppTest:
    """told: the page is drawn with it, which is a moment after the selection."""
    app.session_state[SELECTION] = {"up": {"client": "tab", "selected": ids, "scope": grid(app)["scope"]}}
    return app.run() if told else app


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return app


def test_the_most_suspicious_come_first_and_say_what_they_look_like(visit: Visit, flipped: Analysis) -> None:
    app = opened(visit)
    expected = check_labels(flipped, limit=wrong_labels.LIMIT)
    images = shown(app)
    assert [image["id"] for image in images] == flipped.ids[[s.row for s in expected.suspects[:60]]].tolist()
    assert len(images) >= 20
    for image, suspect in zip(images, expected.suspects, strict=False):
        assert image["label"] == CLASSES[suspect.given]
        assert image["note"] == f"looks like {CLASSES[suspect.likely]}"
        assert image["details"][0] == suspect.why
    assert f"**{expected.found} labels** of 600 images contradict" in texts(app)


def test_nothing_is_judged_without_a_selection(visit: Visit, flipped: Analysis) -> None:
    app = opened(visit)
    for label in ("Wrong: leave out", "Label is right", "Relabel them"):
        assert next(button for button in app.button if button.label == label).disabled
    select(app, [image["id"] for image in shown(app)[:3]])
    assert "**3 images selected**" in texts(app)
    assert not next(button for button in app.button if button.label == "Wrong: leave out").disabled


def test_left_out_images_leave_the_list_and_can_be_taken_back(
    visit: Visit, flipped: Analysis, workspace: Workspace
) -> None:
    app = opened(visit)
    before = [image["id"] for image in shown(app)]
    press(select(app, before[:4]), "Wrong: leave out")
    verdicts = label_verdicts(workspace, flipped)
    assert flipped.ids[np.flatnonzero(verdicts.excluded)].tolist() == sorted(before[:4])
    assert [image["id"] for image in shown(app)] == before[4:]
    assert "Retraining leaves out 4 images" in texts(app)
    author = {verdict.author for verdict in verdict_list(workspace, flipped)}
    assert len(author) == 1
    press(app, "Undo")
    assert not label_verdicts(workspace, flipped).judged.any()
    assert [image["id"] for image in shown(app)] == before


def test_relabelling_gives_each_the_class_it_looks_like(visit: Visit, flipped: Analysis, workspace: Workspace) -> None:
    app = opened(visit)
    images = shown(app)
    ids = [image["id"] for image in images[:8]]
    assert len({image["note"] for image in images[:8]}) == 2
    press(select(app, ids), "Relabel them")
    rows = flipped.rows_of(ids)
    verdicts = label_verdicts(workspace, flipped)
    assert (verdicts.labels[rows] == 1 - flipped.labels[rows]).all()
    assert verdicts.count == 8
    assert not verdicts.excluded.any()
    assert "takes 8 images for another class" in texts(app)


def test_relabelling_with_a_chosen_class(visit: Visit, flipped: Analysis, workspace: Workspace) -> None:
    app = opened(visit)
    row = next(image for image in shown(app) if image["label"] == CLASSES[0])
    select(app, [row["id"]])
    choice = app.selectbox(key="wrong-labels-class-True")
    assert choice.options == [wrong_labels.LOOKS_LIKE_TITLE, *CLASSES]
    choice.set_value(CLASSES[1]).run()
    press(app, "Relabel them")
    [verdict] = verdict_list(workspace, flipped)
    assert (verdict.label, verdict.verdict, verdict.new_label) == (CLASSES[0], "wrong", CLASSES[1])


def test_right_labels_are_off_the_list_and_among_the_judged(
    visit: Visit, flipped: Analysis, workspace: Workspace
) -> None:
    app = opened(visit)
    ids = [image["id"] for image in shown(app)[:2]]
    press(select(app, ids), "Label is right")
    verdicts = label_verdicts(workspace, flipped)
    assert (verdicts.count, int(verdicts.judged.sum())) == (0, 2)
    app.segmented_control(key="wrong_labels_look").set_value(wrong_labels.JUDGED).run()
    assert {image["id"]: image["note"] for image in shown(app)} == dict.fromkeys(ids, "label is right")
    press(select(app, ids[:1]), "Take verdict back")
    assert [image["id"] for image in shown(app)] == ids[1:]
    assert label_verdicts(workspace, flipped).judged.sum() == 1


def test_looking_again_learns_from_the_verdicts(visit: Visit, flipped: Analysis, workspace: Workspace) -> None:
    app = opened(visit)
    assert next(button for button in app.button if button.label == "Look again").disabled
    images = shown(app)
    press(select(app, [image["id"] for image in images[:10]]), "Wrong: leave out")
    press(app, "Look again")
    expected = check_labels(flipped, verdicts=label_verdicts(workspace, flipped), limit=wrong_labels.LIMIT)
    assert [image["id"] for image in shown(app)] == flipped.ids[[s.row for s in expected.suspects]].tolist()
    assert "of 590 images" in texts(app)
    assert next(button for button in app.button if button.label == "Look again").disabled


def test_when_all_is_judged_it_says_so(visit: Visit, flipped: Analysis) -> None:
    app = opened(visit)
    press(select(app, [image["id"] for image in shown(app)]), "Label is right")
    assert "Every suspected label is judged" in texts(app)
    assert not shown(app)


def test_features_that_say_nothing_are_told(visit: Visit, workspace: Workspace) -> None:
    plant_flipped(workspace, noise=True)
    app = opened(visit)
    assert "do not tell the classes apart" in texts(app)
    assert "No label can be doubted here" in texts(app)
    assert not shown(app)


def test_what_the_list_suggests_nothing_for_is_given_a_class_by_name(
    visit: Visit, workspace: Workspace, flipped: Analysis
) -> None:
    app = opened(visit)
    ids = [image["id"] for image in shown(app)[:1]]
    other = next(int(i) for i in flipped.ids if i not in {image["id"] for image in shown(app)})
    judge(workspace, flipped, flipped.rows_of([other]), "right")
    app.segmented_control(key="wrong_labels_look").set_value(wrong_labels.JUDGED).run()
    select(app, [other])
    assert app.selectbox(key="wrong-labels-class-False").options == list(CLASSES)
    row = flipped.rows_of([other])[0]
    app.selectbox(key="wrong-labels-class-False").set_value(CLASSES[1 - flipped.labels[row]]).run()
    press(app, "Relabel them")
    assert label_verdicts(workspace, flipped).labels[row] == 1 - flipped.labels[row]
    # one that looks like something and one that does not: the latter is skipped, and that is said
    judge(workspace, flipped, flipped.rows_of(ids), "right")
    app.run()
    press(select(app, [*ids, other]), "Relabel them")
    verdicts = label_verdicts(workspace, flipped)
    assert verdicts.labels[flipped.rows_of(ids)] == 1 - flipped.labels[flipped.rows_of(ids)]
    assert any("1 image skipped: nothing says" in toast.value for toast in app.toast)


def test_a_verdict_is_about_what_is_selected_when_it_is_given(
    visit: Visit, workspace: Workspace, flipped: Analysis
) -> None:
    """The page hears of a selection a moment after it was made; the button is pressed before."""
    app = opened(visit)
    ids = [image["id"] for image in shown(app)]
    select(app, ids[:2])
    select(app, ids[4:7], told=False)
    press(app, "Wrong: leave out")
    judged = np.flatnonzero(label_verdicts(workspace, flipped).judged)
    assert sorted(flipped.ids[judged].tolist()) == sorted(ids[4:7])
    assert app.toast[0].value == "Left out: 3 images."
    # what was judged is selected no longer, and a second press finds nothing
    assert next(button for button in app.button if button.label == "Wrong: leave out").disabled


def test_what_somebody_else_judged_meanwhile_is_left_as_it_is(
    visit: Visit, workspace: Workspace, flipped: Analysis
) -> None:
    app = opened(visit)
    ids = [image["id"] for image in shown(app)[:3]]
    select(app, ids)
    judge(workspace, flipped, flipped.rows_of(ids[:1]), "right", author="Bob")
    press(app, "Wrong: leave out")
    rows = flipped.rows_of(ids)
    assert label_verdicts(workspace, flipped).excluded[rows].tolist() == [False, True, True]
    assert app.toast[0].value == "Left out: 2 images. 1 image judged meanwhile: left as is."


def test_relabelling_into_several_classes_is_one_step_under_ones_own_name(
    visit: Visit, workspace: Workspace, flipped: Analysis
) -> None:
    app = opened(visit)
    images = shown(app)[:8]
    assert len({image["note"] for image in images}) == 2
    press(select(app, [image["id"] for image in images]), "Relabel them")
    assert {verdict.author for verdict in verdict_list(workspace, flipped)} == {"Person 1"}
    assert app.toast[0].value == "Relabelled as what each looks like: 8 images."
    press(app, "Undo")
    assert not label_verdicts(workspace, flipped).judged.any()


def test_the_prediction_told_is_the_true_one(visit: Visit, flipped: Analysis) -> None:
    images = shown(opened(visit))
    rows = flipped.rows_of([image["id"] for image in images])
    assert (flipped.predicted[rows] != flipped.labels[rows]).any()
    for row, image in zip(rows, images, strict=True):
        assert (image["predicted"], image["correct"]) == ("", None)
        assert image["details"][1] == f"predicted {CLASSES[flipped.predicted[row]]}"


def test_rare_combinations_are_warned_of_before_anything_is_left_out(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    birds = plant(workspace)
    monkeypatch.setattr(wrong_labels.state, "workspace", lambda: workspace)
    place = birds.attributes[0].codes
    rare, usual = np.flatnonzero(place != birds.labels)[:30], np.flatnonzero(place == birds.labels)[:10]
    assert wrong_labels.most_unusual(birds, np.concatenate([rare, usual])) == ("place", 0.75)
    assert wrong_labels.most_unusual(birds, usual) == ("", 0.0)
    for rows, words in ((rare, "**Many of these may be rare combinations"), (usual, "Rare combinations can look")):
        found = SimpleNamespace(suspects=[SimpleNamespace(row=int(row)) for row in rows])
        assert wrong_labels.warning(birds, found).startswith(words)


def test_the_export_holds_every_verdict(
    visit: Visit, flipped: Analysis, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = opened(visit)
    assert not app.get("download_button")
    images = shown(app)
    press(select(app, [images[0]["id"]]), "Wrong: leave out")
    press(select(app, [images[1]["id"]]), "Relabel them")
    press(select(app, [images[2]["id"]]), "Label is right")
    [button] = app.get("download_button")
    assert button.proto.label == "Export 3 verdicts (CSV)"
    monkeypatch.setattr(wrong_labels.state, "workspace", lambda: workspace)
    content = as_csv(flipped)
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert list(rows[0]) == ["image", "label", "verdict", "new_label", "author", "when"]
    by_image = {row["image"]: row for row in rows}
    names = flipped.image_names(flipped.rows_of([image["id"] for image in images[:3]]))
    assert [by_image[name]["verdict"] for name in names] == ["wrong", "wrong", "right"]
    expected = images[1]["note"].removeprefix("looks like ").replace("=", "'=")
    assert [by_image[name]["new_label"] for name in names] == ["", expected, ""]
    # no cell is run as a formula by a spreadsheet
    assert not any(cell.startswith("=") for row in rows for cell in row.values())
