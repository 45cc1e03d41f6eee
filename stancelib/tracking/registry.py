"""Promotion in MLflow's registry: the run, who holds an alias, and how an alias moves with its record.

An alias is set last. Before it stand the version, the claim on the alias, the audit file on the run and the tags of the
version; so an alias never moves without its record, and a promotion that was cut off is completed by repeating it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stancelib.errors import ConfigError
from stancelib.journal import EVENTS
from stancelib.tracking.browse import _answering as answering
from stancelib.tracking.browse import download_artifact
from stancelib.tracking.link import Link
from stancelib.tracking.model import ensure_version, find_model, governed_tag
from stancelib.tracking.naming import check_alias, check_model_name
from stancelib.tracking.store import resolve_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

AUDIT_FOLDER, AUDIT_LOG = "promotion", "promotions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """A finished run with a model, as MLflow knows it.

    Args:
        uri: The tracking address.
        run_id: Its id there.
        name: What people call it.
        model_id: Its model's id; empty if it has none.
        metrics: The last value of every metric.
        digests: Of its data sets, by split.
        tags: All of them.
    """

    uri: str
    run_id: str
    name: str
    model_id: str
    metrics: Mapping[str, float]
    digests: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Holder:
    """The version that holds an alias.

    Args:
        version: Its number.
        run_id: The run that trained it; empty if nobody knows.
        audit: Id of the promotion that gave it the alias; empty if none did.
    """

    version: str
    run_id: str
    audit: str


def find_run(source: str, *, uri: str | None = None) -> TrackedRun:
    """A run by its MLflow id or its run folder.

    Args:
        source: ``<run id>``, ``runs:/<run id>``, a run folder, or a bundle in one.
        uri: The tracking address; None takes the one a run folder remembers, else the one for training.

    Raises:
        ConfigError: If there is no such run, or it isn't wholly in MLflow.
    """
    run_id = source.removeprefix("runs:/").strip("/")
    if not re.fullmatch(r"[0-9a-f]{32}", run_id):
        folder = next((one for one in (Path(source), Path(source).parent) if (one / EVENTS).is_file()), None)
        if folder is None:
            raise ConfigError(f"'{source}' is no run: expected an MLflow run id or a run folder.")
        link = Link.load(folder)
        if link is None or not link.is_complete(folder):
            more = "" if link else " --uri <tracking address>"
            raise ConfigError(
                f"the run in {folder} is not wholly in MLflow; run `stancelib sync {folder}{more}` first."
            )
        run_id, uri = link.run_id, uri or link.destination.uri
    uri = resolve_uri(uri)
    with answering(uri) as client:
        return _tracked(client, uri, run_id)


def name_and_tags(run_id: str, *, uri: str | None = None) -> tuple[str, dict[str, str]]:
    """What people call a run, and its tags.

    Args:
        run_id: Its id in MLflow.
        uri: The tracking address, resolved as for training.

    Raises:
        ConfigError: If there is no such run, or the server can't be reached.
    """
    with answering(resolve_uri(uri)) as client:
        run = client.get_run(run_id)
    return run.info.run_name or run_id, dict(run.data.tags)


def _tracked(client: MlflowClient, uri: str, run_id: str) -> TrackedRun:
    run = client.get_run(run_id)
    if run.info.status != "FINISHED" or run.info.lifecycle_stage == "deleted":
        state = "deleted" if run.info.lifecycle_stage == "deleted" else run.info.status
        raise ConfigError(f"run '{run.info.run_name}' ({run_id}) is {state}; only a FINISHED run can be promoted.")
    model = find_model(client, run.info.experiment_id, run_id)
    return TrackedRun(
        uri=uri,
        run_id=run_id,
        name=run.info.run_name or run_id,
        model_id=model.model_id if model else "",
        metrics=dict(run.data.metrics),
        digests=digests_of(run),
        tags=dict(run.data.tags),
    )


def digests_of(run: Any) -> dict[str, str]:
    """Digests of a run's data sets, by split."""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return {tag.value: one.dataset.digest for one in inputs for tag in one.tags if tag.key == "mlflow.data.context"}


def alias_holder(name: str, alias: str, *, uri: str) -> Holder | None:
    """Who holds an alias of a registered model; None if there is no such model or nobody does.

    Raises:
        ConfigError: If MLflow allows no such name or alias, or the server can't be reached.
    """
    check_model_name(name)
    check_alias(alias)
    with answering(uri) as client:
        return _holder(client, name, alias)


def _holder(client: MlflowClient, name: str, alias: str) -> Holder | None:
    from mlflow.exceptions import MlflowException

    try:
        version = client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    return Holder(str(version.version), version.run_id or "", version.tags.get(f"promotion.{alias}.audit", ""))


def give_alias(run: TrackedRun, record: Mapping[str, Any], before: Holder | None, folder: Path) -> str:
    """Make the run's model a version and give it the alias, each step recorded before the next.

    Args:
        run: The run; it must have a model.
        record: What the audit says: at least ``id``, ``name``, ``alias``, ``by``, ``at``, ``policy`` and
            ``verdict_sha256``.
        before: Who held the alias when the verdict was reached.
        folder: Where ``promotions.jsonl`` lies.

    Returns:
        The version's number.

    Raises:
        ConfigError: If another version has got the alias since the verdict.
    """
    name, alias = str(record["name"]), str(record["alias"])
    with (folder / AUDIT_LOG).open("ab"):  # a folder that can't be written to shows before anything changes
        pass
    with answering(run.uri) as client:
        version = str(ensure_version(client, name, run.run_id, run.model_id).version)
        record = {**record, "version": version}
        _check_holder(client, record, before)
        client.set_registered_model_tag(name, governed_tag(alias), "stancelib promote")
        _upload(client, run.run_id, record)
        origin = f"version {before.version}" if before else "none"
        tags = {"by": record["by"], "at": record["at"], "from": origin, "verdict": record["verdict_sha256"]}
        for key, value in {**tags, "policy": record["policy"]["name"], "audit": record["id"]}.items():
            client.set_model_version_tag(name, version, f"promotion.{alias}.{key}", str(value))
        _check_holder(client, record, before)
        client.set_registered_model_alias(name, alias, version)
    append_audit(folder, record)
    return version


def _check_holder(client: MlflowClient, record: Mapping[str, Any], before: Holder | None) -> None:
    """Stop if the alias has gone to a third version since the verdict."""
    now = _holder(client, record["name"], record["alias"])
    if (now and now.version) not in (before and before.version, record["version"]):
        held = f"version {now.version}" if now else "nobody"
        raise ConfigError(
            f"'{record['alias']}' of '{record['name']}' is held by {held} now, "
            "not as when the verdict was reached; promote again for a verdict against that."
        )


def complete_audit(run: TrackedRun, audit: str, folder: Path) -> bool:
    """Bring the record of a promotion into ``promotions.jsonl`` of a folder, if it isn't there; whether it wasn't."""
    path = download_artifact(run.run_id, f"{AUDIT_FOLDER}/{audit}.json", tracking_uri=run.uri)
    return path is not None and append_audit(folder, json.loads(path.read_text(encoding="utf-8")))


def append_audit(folder: Path, record: Mapping[str, Any]) -> bool:
    """Add a promotion as a line to ``promotions.jsonl``, once; whether it was added."""
    path = folder / AUDIT_LOG
    before = path.read_bytes() if path.is_file() else b""
    if any(_id_of(line) == record["id"] for line in before.splitlines()):
        return False
    line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line if not before or before.endswith(b"\n") else b"\n" + line)
        file.flush()
        os.fsync(file.fileno())
    return True


def _id_of(line: bytes) -> object:
    try:
        found = json.loads(line)
    except ValueError:  # torn by a power cut
        return None
    return found.get("id") if isinstance(found, dict) else None


def _upload(client: MlflowClient, run_id: str, record: Mapping[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{record['id']}.json"
        path.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        client.log_artifact(run_id, str(path), AUDIT_FOLDER)
