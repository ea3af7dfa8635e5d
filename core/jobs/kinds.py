"""What a job can do, by name. Imports of heavy rooms wait until a job runs: pages import this module.

| kind | request | result |
| --- | --- | --- |
| `demo` | `which`? | `analysis` |
| `look` | `data`, `choices`?, `seed`? | what `describe_dataset` says, `samples`, `folder` |
| `check` | `data`, `model`, DATA, MODEL, `images`? | what `Sanity.to_dict` and `facts_of` say |
| `analyse` | `data`, `model`, DATA, MODEL, `precision`? | `analysis`, `images`, `skipped` |
| `train` | `data`, `out`, DATA, `arch`?, `epochs`?, `image_size`? | `model`, `arch`, `accuracy`, `groups` |
| `train-analyse` | as `train`; `out` may be absent: a new file under `models/` | both |
| `retrain` | `analysis`, `method`, `run`, `concepts`?, `seed`?, `settings`?, `edits`? | `run` |
| `bakeoff` | `analysis`, `bake_off`, `methods`?, `seeds`?, `concepts`?, `settings`? | `bake_off` |
| `export` | `run`, `out`, `formats`? | `files`, `refused` |
| `embed` | `analysis` | `images` |
| `map` | `analysis`, `neighbours`?, `min_dist`? | `analysis`, `images`, `laid_out` |

DATA: `choices`? (`Choices.to_dict`), `seed`? (of splits that are made), `sample`? (how many images, all when absent).
MODEL: `arch`?, `preprocessing`? (`Preprocessing.to_dict`), `class_order`? (the dataset's classes in the model's order).
`model` is a path, or the name of a model on the hub ("hf-hub:organisation/name", "timm:name").
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.access.policy import Permission
from core.access.roots import allowed_path
from core.classifiers.peek import is_hub_name
from core.errors import BadRequest
from core.files import resolved
from core.progress import Progress
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.classifiers.classifier import Classifier
    from core.datasets import Dataset

Run = Callable[[Workspace, dict[str, Any], Progress], dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """One kind of work.

    required, optional: keys of its request. paths: those that are paths, made absolute when submitted. resumes: a
    second start goes on where the first one ended, or for which requests it does. fresh: keys that do not make two
    requests different work. depends: what else the result depends on, as a text that differs when it does. needs:
    bytes it will write, from what is quickly looked up. permission: what whoever asks for it must be allowed.
    """

    run: Run
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    resumes: bool | Callable[[dict[str, Any]], bool] = False
    depends: Callable[[Workspace, dict[str, Any]], str] | None = None
    needs: Callable[[Workspace, dict[str, Any]], int | None] | None = None
    permission: Permission = Permission.TRAIN

    def goes_on(self, request: dict[str, Any]) -> bool:
        """Whether a second start goes on where the first one ended."""
        return self.resumes(request) if callable(self.resumes) else self.resumes

    def needed(self, workspace: Workspace, request: dict[str, Any]) -> int | None:
        """Bytes of disk it is expected to write; None: known once it has begun, and checked there."""
        return self.needs(workspace, request) if self.needs else None

    def after_interruption(self, request: dict[str, Any]) -> str:
        """What to do about a job of this kind that ended without a result."""
        if self.goes_on(request):
            return "Start it again: it resumes where it stopped."
        return "Start it again: it begins from the start, and nothing half-made was kept."

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request with absolute paths. Raises `BadRequest` naming missing and unknown keys."""
        missing = [name for name in self.required if request.get(name) is None]
        unknown = [name for name in request if name not in (*self.required, *self.optional)]
        if missing or unknown:
            faults = [f"lacks {', '.join(missing)}"] if missing else []
            faults += [f"does not know {', '.join(unknown)}"] if unknown else []
            raise BadRequest(
                f"The request of this job {' and '.join(faults)}.",
                next_step=f"It needs: {', '.join(self.required) or 'nothing'}. It may hold: "
                f"{', '.join(self.optional) or 'nothing else'}.",
            )
        absolute = {
            name: str(allowed_path(resolved(request[name], advice="Check the path.")))
            for name in self.paths
            if request.get(name) and not is_hub_name(request[name])
        }
        return {**request, **absolute}

    def identity(self, workspace: Workspace, request: dict[str, Any]) -> str:
        """Equal for two requests that are the same work."""
        kept = {name: value for name, value in request.items() if name not in self.fresh}
        return json.dumps([kept, self.depends(workspace, request) if self.depends else ""], sort_keys=True)


def kind_of(name: str) -> Kind:
    """Raises `BadRequest` for a name that is none."""
    if name not in KINDS:
        raise BadRequest(f"There is no kind of job called {name!r}.", next_step=f"Known are: {', '.join(KINDS)}.")
    return KINDS[name]


def _demo(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.demo import make_demo

    return {"analysis": make_demo(workspace, request.get("which") or "birds", progress=progress).id}


def _look(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.datasets.preview import write_preview

    return write_preview(_dataset(workspace, request, progress), workspace.datasets, progress=progress)


def _check(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.classifiers.sanity import IMAGES, facts_of, sanity_check

    dataset, classifier = _matched(workspace, request, progress)
    found = sanity_check(
        dataset,
        classifier,
        images=request.get("images") or IMAGES,
        seed=request.get("seed") or 0,
        progress=progress,
    )
    return {**found.to_dict(), **facts_of(dataset, classifier)}


def _train(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.classifiers.training import train_erm

    trained = train_erm(
        _dataset(workspace, request, progress),
        arch=request.get("arch") or "small",
        epochs=request.get("epochs"),
        image_size=request.get("image_size"),
        seed=request.get("seed") or 0,
        out=Path(request["out"]),
        progress=progress,
    )
    return trained.to_dict()


def _analyse(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.activations.extraction import analyse

    dataset, classifier = _matched(workspace, request, progress)
    chosen = {"precision": request["precision"]} if request.get("precision") else {}
    analysis = analyse(workspace, dataset, classifier, progress=progress, **chosen)
    return {
        "analysis": analysis.id,
        "images": analysis.n,
        "skipped": [problem.to_dict() for problem in analysis.skipped],
    }


def _dataset(workspace: Workspace, request: dict[str, Any], progress: Progress) -> Dataset:
    """What the keys DATA ask for."""
    from core.datasets import choices_from_dict, open_dataset

    progress(0, 0, "Opening the dataset")
    seed = request.get("seed") or 0
    dataset = open_dataset(
        request["data"],
        seed=seed,
        choices=choices_from_dict(request.get("choices") or {}),
        store=workspace.datasets,
        progress=progress,
    )
    return dataset.sample(request["sample"], seed) if request.get("sample") else dataset


def _matched(workspace: Workspace, request: dict[str, Any], progress: Progress) -> tuple[Dataset, Classifier]:
    """The dataset and the model that the keys DATA and MODEL ask for, their classes in one order.

    Raises `ClassCountMismatch` where no order of the classes would do, `ClassMismatch` where another one may.
    """
    dataset = _dataset(workspace, request, progress)
    progress(0, len(dataset), "Opening the model")
    # torch takes seconds to import: a wrong path to the data is told before
    from core.classifiers.class_order import matched
    from core.classifiers.classifier import load_classifier
    from core.classifiers.preprocessing import preprocessing_from_dict

    chosen = request.get("preprocessing")
    classifier = load_classifier(
        request["model"],
        arch=request.get("arch"),
        preprocessing=preprocessing_from_dict(chosen) if chosen else None,
    )
    return matched(dataset, classifier, request.get("class_order"))


def _train_analyse(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    out = request.get("out") or str(new_model_file(workspace, request))
    trained = _train(workspace, {**request, "out": out}, progress)
    passed = {name: request[name] for name in ("data", *_DATA, "precision") if name in request}
    analysed = _analyse(workspace, passed | {"model": out}, progress)
    return {**trained, **analysed}


def new_model_file(workspace: Workspace, request: dict[str, Any]) -> Path:
    """A file under `models/` that is not there yet, named after what it will hold."""
    stem = f"{Path(request['data']).name}-{request.get('arch') or 'small'}-seed{request.get('seed') or 0}"
    path, count = workspace.models / f"{stem}.safetensors", 1
    while path.exists():
        count += 1
        path = workspace.models / f"{stem}-{count}.safetensors"
    return path


def _retrain(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.activations.store import open_analysis
    from core.retraining.edits import edits_from_dict
    from core.retraining.retraining import retrain

    result = retrain(
        workspace,
        open_analysis(workspace, request["analysis"]),
        method=request["method"],
        concepts=tuple(request.get("concepts") or ()),
        seed=request.get("seed") or 0,
        settings=request.get("settings"),
        edits=edits_from_dict(request.get("edits")),
        run_id=request["run"],
        progress=progress,
    )
    return {"run": result.run}


def _trains_a_network(request: dict[str, Any]) -> bool:
    from core.retraining.methods import METHODS
    from core.retraining.result import NETWORK

    method = METHODS.get(str(request.get("method")))
    return method is not None and method.kind == NETWORK


def _bake_off(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.activations.store import open_analysis
    from core.retraining.bakeoff import USUAL_SEEDS, bake_off

    compared = bake_off(
        workspace,
        open_analysis(workspace, request["analysis"]),
        methods=tuple(request.get("methods") or ()),
        seeds=tuple(request.get("seeds") or USUAL_SEEDS),
        concepts=tuple(request.get("concepts") or ()),
        settings=request.get("settings"),
        bake_off_id=request["bake_off"],
        progress=progress,
    )
    return {"bake_off": compared.id}


def _tags_now(workspace: Workspace, request: dict[str, Any]) -> str:
    from core.activations.store import open_analysis
    from core.concepts.tags import tag_version

    return str(tag_version(workspace, open_analysis(workspace, request["analysis"]).dataset_id))


def _export(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.export import write_export

    chosen = {} if request.get("formats") is None else {"formats": tuple(request["formats"])}
    return write_export(workspace, request["run"], Path(request["out"]), progress=progress, **chosen).to_dict()


def _export_needs(workspace: Workspace, request: dict[str, Any]) -> int | None:
    """Each format holds the whole model once, and so do the weights by themselves."""
    from core.database import AnalysisRecord, RunRecord

    with workspace.reading() as session:
        run = session.get(RunRecord, request["run"])
        record = session.get(AnalysisRecord, run.analysis_id) if run else None
    if record is None or not (model := Path(record.model_file)).is_file():
        return None
    formats = request.get("formats")
    return model.stat().st_size * (1 + (len(formats) if formats is not None else _EVERY_FORMAT))


def _rows_needed(columns: int) -> Callable[[Workspace, dict[str, Any]], int | None]:
    """columns: float32 numbers per image."""

    def needs(workspace: Workspace, request: dict[str, Any]) -> int | None:
        from core.database import AnalysisRecord

        with workspace.reading() as session:
            record = session.get(AnalysisRecord, request["analysis"])
        return None if record is None else 4 * columns * record.images

    return needs


def _map(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.activations.projection import make_umap, map_settings
    from core.activations.store import open_analysis

    analysis = open_analysis(workspace, request["analysis"])
    made = make_umap(analysis, map_settings(request), progress=progress)
    return {"analysis": analysis.id, "images": analysis.n, "laid_out": made.laid_out}


def _embed(workspace: Workspace, request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    from core.activations.store import open_analysis
    from core.concepts.text_search import embed

    return {"images": embed(workspace, open_analysis(workspace, request["analysis"]), progress=progress)}


# of `core.export`, besides the weights
_EVERY_FORMAT = 3
# numbers per image: a place on the map with its neighbours; what a text is compared with
_MAP_COLUMNS, _TEXT_COLUMNS = 32, 1024
_DATA = ("choices", "seed", "sample")
_MODEL = ("arch", "preprocessing", "class_order")
_TRAINING = (*_DATA, "arch", "epochs", "image_size")

KINDS: dict[str, Kind] = {
    "demo": Kind(_demo, optional=("which",), resumes=True, permission=Permission.LOAD),
    "look": Kind(_look, required=("data",), optional=_DATA, paths=("data",), permission=Permission.LOAD),
    "check": Kind(
        _check,
        required=("data", "model"),
        optional=(*_DATA, *_MODEL, "images"),
        paths=("data", "model"),
        permission=Permission.LOAD,
    ),
    "analyse": Kind(
        _analyse,
        required=("data", "model"),
        optional=(*_DATA, *_MODEL, "precision"),
        paths=("data", "model"),
        resumes=True,
        permission=Permission.LOAD,
    ),
    "train": Kind(_train, required=("data", "out"), optional=_TRAINING, paths=("data", "out")),
    "train-analyse": Kind(
        _train_analyse, required=("data",), optional=("out", *_TRAINING, "precision"), paths=("data", "out")
    ),
    "retrain": Kind(
        _retrain,
        required=("analysis", "method", "run"),
        optional=("concepts", "seed", "settings", "edits"),
        fresh=("run",),
        resumes=_trains_a_network,
        depends=_tags_now,
    ),
    "bakeoff": Kind(
        _bake_off,
        required=("analysis", "bake_off"),
        optional=("methods", "seeds", "concepts", "settings"),
        fresh=("bake_off",),
        depends=_tags_now,
    ),
    "export": Kind(
        _export,
        required=("run", "out"),
        optional=("formats",),
        paths=("out",),
        needs=_export_needs,
        permission=Permission.EXPORT,
    ),
    "embed": Kind(_embed, required=("analysis",), resumes=True, needs=_rows_needed(_TEXT_COLUMNS)),
    "map": Kind(_map, required=("analysis",), optional=("neighbours", "min_dist"), needs=_rows_needed(_MAP_COLUMNS)),
}
