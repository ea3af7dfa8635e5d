"""One repair: concepts, method, what will be learnt from, and the job."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.access.policy import Permission
from core.concepts.concept import Concept, list_concepts
from core.concepts.tags import UNTAGGED, tag_states, tag_version
from core.errors import BadRequest, MidbandError, NotEnoughTags, NotFound, StorageProblem
from core.jobs.job import DONE, Job
from core.retraining.kept_edits import KeptEdits, kept_edits
from core.retraining.material import chosen_concepts
from core.retraining.methods import METHODS
from core.retraining.preview import Choice, Preview, choose, look_through, promised
from core.retraining.runs import CURATING, RunResult, new_run_id, open_run
from pages.parts import curation_view, gate, jobs, method_knobs, rooms, state
from pages.parts.method_knobs import Setup
from pages.parts.words import count, distinct, helped, percent, plain

if TYPE_CHECKING:
    from core.activations.store import Analysis
    from core.retraining.feasibility import Feasibility

JOB = "retrain_job"
DOUBTED = "retrain_doubted"
CONCEPTS = "retrain_concepts_kept"


def show(analysis: Analysis, asked: Mapping[str, str]) -> dict[str, str]:
    """asked: what a new address says. Returns what the address is to say."""
    job = jobs.at_hand("retrain", JOB, analysis=analysis.id)
    made = _made(job)
    if job is not None and (job.state != DONE or made is not None):
        jobs.panel(job, on_done=lambda _: _done(made), noun="step")
        if not job.active:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    "Set up another repair", icon=":material/add:", on_click=jobs.put_away, args=(job, JOB), key="again"
                )
                if (job.error or {}).get("error") == NotEnoughTags.__name__:
                    rooms.link("tag_next", rooms.ROOMS["tag_next"][0])
        return {}
    curation_view.adopt(asked)
    concepts = choose_concepts(analysis)
    setup = method_knobs.choose()
    # above what it learns from, which is long: in sight on every screen, and it stays where it is
    start = st.container(key="retrain-start")
    preview, missing = _looked_through(analysis, setup, concepts)
    feasible, kept = None, KeptEdits()
    with st.container(border=True, key="card-curation"):
        st.header("What it will learn from", anchor=False, help=helped("curation"))
        if missing is not None:
            st.markdown(f":material/info: {plain(missing.detail)} {plain(missing.next_step)}")
            if setup.needs == "tags":
                rooms.link("tag_next", "Tag next")
        elif preview is None:
            _described(analysis, setup)
        else:
            feasible = _feasible(analysis, setup, concepts, preview)
            kept = _kept(analysis, setup, concepts)
            curation_view.show(analysis, _asked_concepts(analysis, concepts), setup, preview, kept, feasible)
            if setup.network:
                st.caption(
                    ":material/help: The whole network is trained and can learn new features, so those of today do not "
                    "tell whether it will help."
                )
        if not _heeds_edits(setup) and (unheeded := _stored(analysis, concepts).count):
            st.caption(
                f":material/edit_off: {count(unheeded, 'edit')} by hand {'does' if unheeded == 1 else 'do'} not apply: "
                "this method does not choose its images from tags. They are kept for those that do."
            )
    if missing is None and preview is not None and preview.problem is not None:
        missing = preview.problem
    with start:
        _start(analysis, setup, concepts, preview, feasible, missing)
    if preview is not None:
        curation_view.images(analysis, _asked_concepts(analysis, concepts), setup, preview, kept)
    return {"method": setup.method, "seed": str(setup.seed), **curation_view.address()}


def choose_concepts(analysis: Analysis) -> tuple[str, ...]:
    """Which concepts' groups are balanced: the confounders with enough tags, unless somebody chooses otherwise."""
    tagged = [concept for concept in list_concepts(state.workspace(), analysis.dataset_id) if _tags(analysis, concept)]
    usable = {concept.name: concept for concept in tagged if concept.role != "wrong-label"}
    if len(usable) < 2:
        return tuple(usable)
    key = f"retrain-concepts-{analysis.id}"
    kept: dict[str, list[str]] = st.session_state.setdefault(CONCEPTS, {})
    usual = [concept.name for concept in chosen_concepts(state.workspace(), analysis, ())]
    st.session_state[key] = [name for name in kept.get(analysis.id, usual) if name in usable]
    titles = dict(zip(usable, distinct(list(usable), most=40), strict=True))
    chosen = st.pills(
        "Concepts",
        list(usable),
        selection_mode="multi",
        format_func=lambda name: f"{plain(titles[name])} · {_tags(analysis, usable[name])}",
        key=key,
        on_change=lambda: kept.update({analysis.id: list(st.session_state[key])}),
        help="What the new last layer should stop relying on, and how many tags each has. With several, every "
        "combination of them is a group of its own.",
    )
    return tuple(chosen)


def _tags(analysis: Analysis, concept: Concept) -> int:
    return int((tag_states(state.workspace(), analysis, concept) != UNTAGGED).sum())


def _asked_concepts(analysis: Analysis, names: tuple[str, ...]) -> tuple[Concept, ...]:
    return chosen_concepts(state.workspace(), analysis, names)


def _looked_through(
    analysis: Analysis, setup: Setup, concepts: tuple[str, ...]
) -> tuple[Preview | None, MidbandError | None]:
    """What it will learn from, None for methods that use all images; or why it cannot start yet."""
    try:
        if setup.method == "erm":
            raise BadRequest(
                "This is the line that repairs are measured against: there is nothing to learn from.",
                next_step="Choose another method; every run is compared with the classifier as it is anyway.",
                title="Nothing to retrain",
            )
        if setup.network:
            # torch is needed for nothing else here
            from core.retraining.finetune import check_trainable

            check_trainable(analysis)
        if not setup.needs:
            return None, None
        if setup.needs == "tags" and not concepts and any_tagged(analysis):
            raise BadRequest(
                "No concept is chosen, so there is nothing to part the classes by.",
                next_step="Choose at least one above.",
                title="No concept chosen",
            )
        with st.spinner("Choosing images …"):
            choice = _choice(analysis, *_key(analysis, setup, concepts))
        kept = _kept(analysis, setup, concepts)
        return look_through(choice, analysis, kept.edits), None
    except MidbandError as error:
        return None, error


def any_tagged(analysis: Analysis) -> bool:
    """Whether there is a concept to choose."""
    known = list_concepts(state.workspace(), analysis.dataset_id)
    return any(concept.role != "wrong-label" and _tags(analysis, concept) for concept in known)


def _kept(analysis: Analysis, setup: Setup, concepts: tuple[str, ...]) -> KeptEdits:
    """What people changed, where the method heeds it."""
    return _stored(analysis, concepts) if _heeds_edits(setup) else KeptEdits()


def _heeds_edits(setup: Setup) -> bool:
    return setup.method in CURATING and setup.needs == "tags"


def _stored(analysis: Analysis, concepts: tuple[str, ...]) -> KeptEdits:
    return kept_edits(state.workspace(), analysis, _asked_concepts(analysis, concepts))


def _key(analysis: Analysis, setup: Setup, concepts: tuple[str, ...]) -> tuple[str, tuple[str, ...], int, str, int]:
    """What the choice of images depends on. Methods that choose alike are one; tags count by their version."""
    method = setup.method if setup.method == "mid-tags" or setup.needs == "attributes" else "mid"
    return method, concepts, setup.seed, setup.needs, tag_version(state.workspace(), analysis.dataset_id)


# two: each holds the features of the held-out images
@lru_cache(maxsize=2)
def _choice(analysis: Analysis, method: str, concepts: tuple[str, ...], seed: int, source: str, version: int) -> Choice:
    """version: of the tags."""
    return choose(state.workspace(), analysis, method=method, concepts=concepts, seed=seed, source=source)


def _feasible(analysis: Analysis, setup: Setup, concepts: tuple[str, ...], preview: Preview) -> Feasibility | None:
    """Asked once for the images as they are; None where the whole network is trained, which can learn new features."""
    if setup.network or preview.problem is not None:
        return None
    key = (analysis.id, *_key(analysis, setup, concepts), repr(preview.edits))
    kept: tuple[Any, Feasibility] | None = st.session_state.get("retrain_feasible")
    if kept is None or kept[0] != key:
        with st.spinner("Asking the features whether they can carry a repair …"):
            kept = (key, promised(preview, seed=setup.seed))
        st.session_state["retrain_feasible"] = kept
    return kept[1]


def _described(analysis: Analysis, setup: Setup) -> None:
    """Of methods that look at no groups."""
    method = METHODS[setup.method]
    st.markdown(plain(method.description))
    held_out = "val" if len(analysis.split_rows("val")) else "train"
    images = len(analysis.split_rows(held_out))
    st.caption(f"It uses all {images:,} {held_out} images and knows their classes only: nobody looks through them.")


def _start(
    analysis: Analysis,
    setup: Setup,
    concepts: tuple[str, ...],
    preview: Preview | None,
    feasible: Feasibility | None,
    missing: MidbandError | None,
) -> None:
    if setup.network and missing is None and preview is not None:
        try:
            method_knobs.show_time(analysis, setup, len(preview.curation.rows))
        except MidbandError as error:
            missing = error
            st.markdown(f":material/info: {plain(error.detail)} {plain(error.next_step)}")
    doubtful = feasible is not None and not feasible.possible
    asked = (setup.method, concepts, tag_version(state.workspace(), analysis.dataset_id))
    begin = partial(_begin, analysis, setup, concepts, preview)
    if missing is None and doubtful and st.session_state.get(DOUBTED) == asked:
        _ask_again(begin)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        pressed = gate.button(
            Permission.TRAIN,
            "Retrain",
            type="primary",
            icon=":material/play_arrow:",
            disabled=missing is not None,
            help=None if missing is None else plain(missing.next_step),
            on_click=lambda: st.session_state.update({DOUBTED: asked} if doubtful else {}),
        )
        if missing is not None:
            # what to do about it stands below
            st.caption(f"{plain(missing.title)}.", width="stretch")
    if pressed:
        begin()


def _ask_again(begin: partial[None]) -> None:
    """Said once more before hopes are raised."""
    with st.container(border=True, key="card-doubt"):
        st.markdown(
            ":material/warning: **The features hold little to repair with**, as said below: expect no gain. The run "
            "will say so too, and nothing else is changed by it."
        )
        with st.container(horizontal=True):
            again = gate.button(Permission.TRAIN, "Retrain all the same", icon=":material/play_arrow:")
            st.button("Leave it", type="tertiary", on_click=partial(st.session_state.pop, DOUBTED, None))
    if again:
        st.session_state.pop(DOUBTED, None)
        begin()


def _begin(analysis: Analysis, setup: Setup, concepts: tuple[str, ...], preview: Preview | None) -> None:
    request: dict[str, Any] = {
        "analysis": analysis.id,
        "method": setup.method,
        "concepts": list(concepts),
        "seed": setup.seed,
        "run": new_run_id(),
    }
    if setup.settings:
        request["settings"] = dict(setup.settings)
    if preview is not None and preview.edits:
        request["edits"] = preview.edits.to_dict()
    st.session_state[JOB] = jobs.begin("retrain", f"Retrain on {analysis.dataset_name}", request).id
    st.rerun()


def _made(job: Job | None) -> RunResult | None:
    """The run of a job that is done; None where there is none, or where somebody has deleted it since."""
    if job is None or job.state != DONE:
        return None
    try:
        return open_run(state.workspace(), (job.result or {})["run"])
    except (NotFound, StorageProblem):
        st.session_state.pop(JOB, None)
        return None


def _done(run: RunResult | None) -> None:
    assert run is not None
    layer = "network" if run.kind == "network" else "last layer"
    with st.container(border=True, key="card-done"):
        worst = f"{percent(run.before.worst_group)} → {percent(run.after.worst_group)}"
        st.markdown(f"**The new {layer} is ready.** Worst group on test images: **{worst}**.")
        st.caption("Both are measured. The live preview estimates both from few images, so its figures may differ.")
        if st.button("See the results", type="primary", icon=":material/arrow_forward:"):
            st.session_state["run"] = run.run
            rooms.go("results", run=run.run)
