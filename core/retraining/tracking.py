"""Logging runs to MLflow, where MLFLOW_TRACKING_URI says so and mlflow is installed (requirements-mlflow.txt).

Never in the way: what goes wrong there becomes a note of the run.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.retraining.result import RunResult

if TYPE_CHECKING:
    from core.retraining.evaluation import Evaluation

URI, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
DEFAULT_EXPERIMENT = "midband"
# mlflow's own defaults try for minutes to reach a server that is not there
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
# longest value of a parameter that every version of its store takes
LONGEST = 500


def wanted() -> str | None:
    """Where runs are to be logged, None for nowhere."""
    return os.environ.get(URI, "").strip() or None


def track(result: RunResult, folder: Path, *, dataset: str = "", model: str = "") -> str | None:
    """Log a run: parameters, metrics before and after, hashes, result.json and replay.json. Returns a sentence about
    what went wrong, None when nothing did or nobody asked for it. Raises nothing.

    folder: of the run.
    """
    uri = wanted()
    if uri is None:
        return None
    try:
        mlflow = importlib.import_module("mlflow")
    except ImportError:
        return f"The run was not logged: {URI} is set, but mlflow is not installed (requirements-mlflow.txt)."
    try:
        with _patient():
            _log(mlflow, uri, result, folder, dataset, model)
    except Exception as error:
        # whatever a server, a version or a plug-in of mlflow comes up with must not cost a run
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        return f"The run could not be logged to MLflow: {reason}"
    return None


def _log(mlflow: Any, uri: str, result: RunResult, folder: Path, dataset: str, model: str) -> None:
    mlflow.set_tracking_uri(uri)
    mlflow.set_experiment(os.environ.get(EXPERIMENT) or DEFAULT_EXPERIMENT)
    with mlflow.start_run(run_name=f"{result.method} {result.run}"):
        mlflow.log_params(params(result))
        mlflow.log_metrics(metrics(result))
        mlflow.set_tags(
            {
                "midband.run": result.run,
                "midband.analysis": result.analysis,
                "midband.tags": result.tags,
                "midband.data": result.data,
                "midband.dataset": dataset,
                "midband.model": model,
                "midband.sentence": result.comparison["sentence"],
            }
        )
        for name in ("result.json", "replay.json"):
            if (folder / name).is_file():
                mlflow.log_artifact(str(folder / name))


def params(result: RunResult) -> dict[str, str]:
    """What the run was told, as MLflow's flat text."""
    told: dict[str, Any] = {
        "method": result.method,
        "concepts": ", ".join(result.concepts),
        "seed": result.seed,
        "tags": result.tags,
        "data": result.data,
        **{f"knob.{name}": value for name, value in result.settings.items()},
    }
    return {name: str(value)[:LONGEST] for name, value in told.items()}


def metrics(result: RunResult) -> dict[str, float]:
    """What came out: averages, worst group and every group, before and after, and the baselines."""
    found: dict[str, float] = {"seconds": result.seconds}
    for when, evaluation in (("before", result.before), ("after", result.after)):
        found |= {f"{when}.{name}": value for name, value in _of(evaluation).items()}
    for baseline in result.baselines:
        found[f"baseline.{_key(baseline.method)}.worst_group"] = baseline.worst_group
        found[f"baseline.{_key(baseline.method)}.average"] = baseline.average
    found["p_worst"] = result.comparison["p_worst"]
    found["p_average"] = result.comparison["p_average"]
    return found


def _of(evaluation: Evaluation) -> Mapping[str, float]:
    groups = {
        f"group.{i}.{_key(group.class_name)}.{_key(group.concept or 'all')}": group.accuracy
        for i, group in enumerate(evaluation.groups)
    }
    return {
        "average": evaluation.average,
        "weighted_average": evaluation.weighted_average,
        "worst_group": evaluation.worst_group,
        **groups,
    }


def _key(name: str) -> str:
    """Names of metrics may hold letters, digits, dashes, dots, spaces and slashes; names of concepts hold anything."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60].strip("_") or "_"


@contextmanager
def _patient() -> Iterator[None]:
    added = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
