"""Clusters of a band on the page: what is said of each, and what naming, opening and skipping one does."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.activations.store import Analysis
from core.concepts import text_search
from core.concepts.concept import create_concept, list_concepts
from core.concepts.discovery import Discovery
from core.concepts.history import history
from core.concepts.tags import UNTAGGED, answers, suggest_members, suggested_members, tag
from core.errors import NotFound
from core.jobs.job import Job
from core.workspace import Workspace
from pages.parts import band_discover, text_results
from pages.parts.band_discover import lift_of, times

from .conftest import Visit, plant, texts

HOSTILE = "<b>a</b> **b** :tada: \u202eابت $x$ `c`"


def opened(visit: Visit, **query: str) -> AppTest:
    app = visit("bands", look="discover", split="all", direction="logit:waterbird", **query)
    assert not app.exception
    return app


def grids(app: AppTest) -> dict[str, list[int]]:
    """Image ids by the key of the grid."""
    found = [json.loads(element.proto.json) for element in app.get("bidi_component") if element.proto.json]
    return {
        data["store"]: [image["id"] for image in data["images"]]
        for data in found
        if isinstance(data, dict) and data.get("role") == "grid"
    }


def field(app: AppTest, place: int = 0) -> tuple[str, str]:
    """Keys of the name field and of the button of a cluster."""
    inputs = [element for element in app.text_input if (element.key or "").startswith("cluster-name-")]
    return inputs[place].key, f"cluster-form-{inputs[place].key}"


def named(app: AppTest, name: str, place: int = 0) -> AppTest:
    key, form = field(app, place)
    app.text_input(key=key).set_value(name)
    next(button for button in app.button if button.form_id == form).click().run()
    assert not app.exception
    return app


def found(app: AppTest) -> Discovery:
    subject, low, high, top, asked = next(iter(app.session_state[band_discover.SEEN]))
    return band_discover._discovery(subject, low, high, top, asked)


def test_every_cluster_is_told_with_its_figures_and_images(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    clusters = found(app).clusters
    told = texts(app)
    assert f"**{len(clusters)} clusters** of" in told
    shown = grids(app)
    assert len(shown) == len(clusters)
    for number, cluster in enumerate(clusters):
        ids = planted.ids[cluster.rows[: band_discover.IN_A_ROW]].tolist()
        assert shown[f"cluster-grid-{number}-{len(clusters)}"] == ids
        assert f"**{cluster.size} images**" in told
        assert lift_of(cluster, found(app).compared) in told
    # every figure says what it is
    helps = [
        element.help
        for element in app.markdown
        if "lift **" in element.value or "at the top**" in element.value or "** wrong" in element.value
    ]
    assert len(helps) == 2 * len(clusters)
    assert all("95% interval" in text for text in helps)
    assert any("Stands out: place" in element.value for element in app.caption)


def test_a_name_makes_a_concept_with_the_images_as_guesses_and_no_tags(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    app = named(opened(visit), "land behind them")
    concept = list_concepts(workspace, planted.dataset_id)[0]
    assert concept.name == "land behind them"
    suggested = suggested_members(workspace, planted, concept)
    first = found(app).clusters[0]
    assert suggested[0].tolist() == first.rows.tolist()
    assert suggested[2] == "cluster" or set(suggested[2]) == {"cluster"}
    scores = np.asarray(suggested[1])
    assert (np.diff(scores) <= 0).all()
    assert (answers(workspace, planted, concept) == UNTAGGED).all()
    assert "Named **land behind them**" in texts(app)
    link = next(element for element in app.get("page_link") if element.proto.label == "Review them")
    assert "tag_next" in link.proto.page
    assert "look=review" in link.proto.query_string
    assert f"concept={concept.id}" in link.proto.query_string
    # the others can still be named
    assert len([e for e in app.text_input if (e.key or "").startswith("cluster-name-")]) == len(found(app).clusters) - 1


def test_a_known_name_takes_the_images_beside_those_it_has(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    concept = create_concept(workspace, planted.dataset_id, "Land")
    before = np.array([3, 1, 2])
    suggest_members(workspace, planted, concept, before, "text", [0.9, 0.8, 0.7])
    app = named(opened(visit), "  land ")
    assert len(list_concepts(workspace, planted.dataset_id)) == 1
    rows = suggested_members(workspace, planted, concept)[0].tolist()
    cluster = found(app).clusters[0].rows.tolist()
    assert set(rows) == {*cluster, *before.tolist()}
    assert len(rows) == len(set(rows))


def test_hostile_names_are_shown_as_text(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = named(opened(visit), HOSTILE)
    assert len(list_concepts(workspace, planted.dataset_id)) == 1
    line = next(element.value for element in app.markdown if "Named **" in element.value)
    for markup in ("<b>", "**b**", ":tada:", "$x$", "`c`"):
        assert markup not in line
    long = "x" * 200
    named(app, long)
    assert long in {concept.name for concept in list_concepts(workspace, planted.dataset_id)}
    assert long not in texts(app)


def test_an_empty_name_makes_nothing(visit: Visit, planted: Analysis, workspace: Workspace) -> None:
    app = named(opened(visit), "   ")
    assert list_concepts(workspace, planted.dataset_id) == ()
    assert any("Type what" in toast.value for toast in app.toast)


def test_what_was_typed_for_one_band_is_not_in_the_fields_of_another(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    key, _ = field(app)
    app.text_input(key=key).set_value("half a thought").run()
    app.segmented_control(key="band_preset").set_value("Top").run()
    assert not app.exception
    assert "half a thought" not in [element.value for element in app.text_input]


def test_skipped_clusters_come_back(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    number = len(found(app).clusters)
    app.button(key=f"cluster-skip-0-{number}").click().run()
    assert len(grids(app)) == number - 1
    for place in range(1, number):
        app.button(key=f"cluster-skip-{place}-{number}").click().run()
    assert not grids(app)
    assert "All clusters are out of the way" in texts(app)
    app.button(key="clusters-back").click().run()
    assert len(grids(app)) == number


def test_a_cluster_opens_in_a_grid_with_pages(visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(visit)
    number = len(found(app).clusters)
    sizes = [cluster.size for cluster in found(app).clusters]
    largest = int(np.argmax(sizes))
    app.button(key=f"cluster-open-{largest}-{number}").click().run()
    assert not app.exception
    shown = grids(app)["cluster-full-grid"]
    cluster = found(app).clusters[largest]
    assert shown == planted.ids[cluster.rows[:60]].tolist()
    assert len(grids(app)) == 1
    named(app, "opened")
    app.button(key="cluster-back").click().run()
    assert len(grids(app)) == number
    assert "Named **opened**" in texts(app)


def test_the_number_and_the_order_of_clusters_can_be_chosen(visit: Visit, planted: Analysis) -> None:
    app = opened(visit)
    app.selectbox(key=band_discover.NUMBER).set_value(5).run()
    assert not app.exception
    assert "**5 clusters** of" in texts(app)
    app.selectbox(key=band_discover.ORDER).set_value(band_discover.BY_SIZE).run()
    heads = [element.value for element in app.markdown if element.value.endswith(" of the band")]
    sizes = [int(head.removeprefix("**").split()[0]) for head in heads]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 5


def test_a_band_without_or_with_few_images_says_so(visit: Visit, planted: Analysis) -> None:
    app = opened(visit, low="900", high="901")
    assert "No image lies in this band" in texts(app)
    assert not grids(app)
    values = np.sort(planted.logits[:, 1])
    app = opened(visit, low=str(values[-5]), high=str(values[-1] + 1))
    assert "too few to look for clusters" in texts(app)


def test_what_is_computed_once_is_not_computed_again(
    visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.concepts import discovery

    calls: list[int] = []
    real = discovery.discovery
    monkeypatch.setattr(discovery, "discovery", lambda *a, **k: (calls.append(1), real(*a, **k))[1])
    band_discover._discovery.cache_clear()
    app = opened(visit)
    app.run()
    named(app, "water")
    assert len(calls) == 1


def test_classes_with_markup_in_their_names_are_text(visit: Visit, workspace: Workspace) -> None:
    plant(workspace, name="odd", classes=("<i>land</i>", "**water**"))
    app = visit("bands", look="discover", split="all")
    assert not app.exception
    assert grids(app)
    facts = " ".join(element.value for element in app.markdown if "land" in element.value or "water" in element.value)
    assert "<i>" not in facts
    assert " **water**" not in facts


def test_lifts_in_words() -> None:
    assert [times(value) for value in (0.1, 1, 2.34, 19.96, 45.6, 5000, float("nan"))] == [
        "0.1×",
        "1.0×",
        "2.3×",
        "20.0×",
        "46×",
        "over 1,000×",
        "–",
    ]


def test_without_a_text_model_one_quiet_line_says_how_to_get_one(
    visit: Visit, planted: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(text_search.SETTING, raising=False)
    app = opened(visit)
    lines = [element for element in app.caption if "describing them in words" in element.value]
    assert len(lines) == 1
    assert "text\\-model" in lines[0].help or "text-model" in lines[0].help
    assert "describe-text" not in {element.key for element in app.text_input}


@pytest.fixture
def text_model(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A text model that is there and finds the images by their numbers; whether it has looked at them."""
    state = {"embedded": True}
    monkeypatch.setattr(text_search, "obstacle", lambda workspace: None)
    monkeypatch.setattr(text_search, "is_embedded", lambda workspace, analysis: state["embedded"])

    def search(
        workspace: Workspace, analysis: Analysis, text: str, *, rows: np.ndarray, limit: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if text == "trouble":
            raise NotFound("It is gone.", next_step="Bring it back.")
        return np.sort(rows)[:limit], np.linspace(0.3, 0.1, limit)

    monkeypatch.setattr(text_search, "search", search)
    return state


def describe(app: AppTest, text: str) -> AppTest:
    app.text_input(key="describe-text").set_value(text)
    next(button for button in app.button if button.form_id == "describe-form").click().run()
    assert not app.exception
    return app


def test_a_description_finds_images_of_the_band_and_names_them(
    visit: Visit, planted: Analysis, workspace: Workspace, text_model: dict[str, bool]
) -> None:
    app = describe(opened(visit), HOSTILE)
    shown = planted.rows_of(grids(app)["describe-grid"])
    assert len(shown) == text_results.SHOWN
    _, low, high, *_ = next(iter(app.session_state[band_discover.SEEN]))
    values = planted.logits[shown, 1]
    assert ((values >= low) & (values <= high)).all()
    label = app.button(key="describe-name").label
    assert "<b>" not in label
    app.button(key="describe-name").click().run()
    assert not app.exception
    concept = list_concepts(workspace, planted.dataset_id)[0]
    suggested = suggested_members(workspace, planted, concept)
    assert suggested[0].tolist() == shown.tolist()
    assert suggested[2] == "text" or set(suggested[2]) == {"text"}
    assert any(element.proto.label == "Review them" for element in app.get("page_link"))


def test_a_problem_of_the_text_model_is_told(visit: Visit, planted: Analysis, text_model: dict[str, bool]) -> None:
    app = describe(opened(visit), "trouble")
    assert "It is gone" in texts(app)


def test_a_new_model_looks_at_the_images_in_a_job(
    visit: Visit, planted: Analysis, text_model: dict[str, bool], queued: list[Job]
) -> None:
    text_model["embedded"] = False
    app = opened(visit)
    assert "describe-text" not in {element.key for element in app.text_input}
    app.button(key="describe-prepare").click().run()
    assert not app.exception
    assert [(job.kind, job.request) for job in queued] == [("embed", {"analysis": planted.id})]
    # the button gives way to the job's progress
    assert "describe-prepare" not in {button.key for button in app.button}


def test_a_lift_over_nothing_is_not_given_as_a_figure() -> None:
    some = SimpleNamespace(lift=46.0, lift_low=2.6, lift_high=799.0, top_count=0, size=6)
    assert lift_of(some, 100) == "**none at the top**, 6% here"
    some.top_count = 1
    assert lift_of(some, 100) == "lift **46×** (2.6× to 799×)"
    some.lift = float("nan")
    assert lift_of(some, 100) == "lift **–**"


def test_the_name_of_a_cluster_is_still_known_in_another_session(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    app = named(opened(visit), "reeds")
    [concept] = list_concepts(workspace, planted.dataset_id)
    rows = suggested_members(workspace, planted, concept).rows
    tag(workspace, planted, concept, rows[:2], True)
    later = opened(visit)
    assert "Named **reeds**" in texts(later)
    assert texts(later).count("Named **") == texts(app).count("Named **") == 1


def test_a_concept_named_after_a_cluster_is_made_under_ones_own_name(
    visit: Visit, planted: Analysis, workspace: Workspace
) -> None:
    named(opened(visit), "reeds")
    [made] = history(workspace, planted.dataset_id)
    assert made.author == "Person 1"
