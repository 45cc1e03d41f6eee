"""The bundle of a run as an MLflow model: logged, scored, registered, and each only once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stancelib.journal import read_events
from stancelib.tracking.link import Link
from stancelib.tracking.naming import keys_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MODEL = "model"  # ``runs:/<run id>/model`` is the model of a run
CHAMPION = "champion"  # the alias that ``stancelib promote`` alone may give


def log_model(client: MlflowClient, link: Link, bundle: Path) -> None:
    """Upload a bundle as the model of its run, and link the two."""
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(link.run_id)
    model = find_model(client, link.experiment_id, link.run_id)
    if model is None:
        params = dict(run.data.params)
        model = client.create_logged_model(
            link.experiment_id, MODEL, link.run_id, params=params, model_type="stancelib"
        )
    link.model_id = model.model_id
    client.log_model_artifacts(model.model_id, str(bundle))
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in [output.model_id for output in outputs]:
        client.log_outputs(link.run_id, [LoggedModelOutput(model.model_id, step=0)])
    if str(model.status) != "READY":
        client.finalize_logged_model(model.model_id, "READY")


def find_model(client: MlflowClient, experiment_id: str, run_id: str) -> LoggedModel | None:
    """The model of a run; None if it has none."""
    token = None
    while True:
        page = client.search_logged_models(
            [experiment_id], f"name = '{MODEL}' AND source_run_id = '{run_id}'", page_token=token
        )
        for model in page:
            if model.source_run_id == run_id:
                return model
        if not (token := page.token):
            return None


def score_model(client: MlflowClient, link: Link, folder: Path) -> None:
    """Attach the last score of every split to the model, with the dataset it was measured on."""
    from mlflow.entities import Metric

    datasets: dict[str, tuple[str, str]] = {}
    scores: dict[str, tuple[float, int, int]] = {}
    for event, _ in read_events(folder):
        if event["event"] == "dataset":
            datasets[event["split"]] = (event["name"], event["digest"][:36])
        elif event["event"] == "metrics":
            keys = keys_of(event["values"])
            scores |= {keys[name]: (float(v), event["time"], event["step"]) for name, v in event["values"].items()}
    metrics = []
    for key, (value, time, step) in scores.items():
        if (split := key.partition("/")[0]) in datasets and value - value == 0:
            name, digest = datasets[split]
            metrics.append(Metric(key, value, time, step, link.model_id, name, digest, link.run_id))
    for start in range(0, len(metrics), 500):
        client.log_batch(link.run_id, metrics=metrics[start : start + 500], synchronous=True)


def register_model(client: MlflowClient, link: Link, name: str) -> None:
    """Make the model a version of a registered model, and give it the alias unless promotion or a newer run has it."""
    version = ensure_version(client, name, link.run_id, link.model_id)
    alias = link.destination.alias
    if alias and not is_governed(client, name, alias) and not _newer_run_has(client, link, name, alias):
        client.set_registered_model_alias(name, alias, str(version.version))


def ensure_version(client: MlflowClient, name: str, run_id: str, model_id: str) -> ModelVersion:
    """The version of a registered model that holds a run's model, both made if they aren't there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'")
    if versions:
        return versions[0]
    source = client.get_logged_model(model_id).artifact_location
    return client.create_model_version(name, source, run_id, model_id=model_id)


def is_governed(client: MlflowClient, name: str, alias: str) -> bool:
    """Whether only ``stancelib promote`` may move this alias: it is ``champion``, or promotion has set it before."""
    return alias == CHAMPION or governed_tag(alias) in client.get_registered_model(name).tags


def governed_tag(alias: str) -> str:
    """The tag of a registered model by which promotion claims an alias."""
    return f"promotion.{alias}"


def _newer_run_has(client: MlflowClient, link: Link, name: str, alias: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        holder = client.get_run(client.get_model_version_by_alias(name, alias).run_id or "")
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return False
    return bool(holder.info.start_time > client.get_run(link.run_id).info.start_time)
