"""One run folder brought to MLflow: what the journal has beyond the saved offset, in batches.

Everything here can be repeated: the same point, parameter, file or model sent twice leaves one. So a
batch that was cut off is simply sent again, by the live tracker or by ``sync``.
"""

from __future__ import annotations

import json
import math
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stancelib.errors import ConfigError
from stancelib.journal import read_events
from stancelib.tracking.link import Link
from stancelib.tracking.model import log_model, register_model, score_model
from stancelib.tracking.naming import KEY_CHARACTERS, key_of, keys_of, text_of
from stancelib.tracking.store import connect, experiment_id, public, reason

UID, FOLDER, PROCESS = "stancelib.uid", "stancelib.folder", "stancelib.process"
N_POINTS_PER_BATCH = 1000
N_PAIRS_PER_BATCH = 100
PARAM_CHARACTERS = 6000
ERROR = "error"  # the tag with what ended a run
TAG_CHARACTERS = 8000
DATASET_CHARACTERS = 500
DIGEST_CHARACTERS = 36


class Waiting(Exception):  # noqa: N818
    """Something else has to be mirrored first."""


class Stopped(Exception):  # noqa: N818
    """Time is up; the rest of the journal waits for the next time."""


@dataclass(slots=True)
class Batch:
    """Consecutive events, sorted by the request that carries them."""

    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: list[tuple[str, float, int, int]] = field(default_factory=list)  # key, value, time, step
    datasets: list[dict[str, Any]] = field(default_factory=list)
    files: dict[tuple[str, str], None] = field(default_factory=dict)  # path in the run folder, folder in MLflow
    tables: list[str] = field(default_factory=list)
    model: str = ""
    status: str = ""
    is_resumed: bool = False
    end_time: int = 0
    left_out: list[str] = field(default_factory=list)
    offset: int = 0

    def add(self, event: Mapping[str, Any]) -> None:
        """Sort in one event."""
        match event["event"]:
            case "params":
                keys = keys_of(event["values"])
                self.params |= {keys[k]: text_of(v)[:PARAM_CHARACTERS] for k, v in event["values"].items()}
            case "tags":
                self._add_tags(event["values"])
            case "metrics":
                self._add_points(event["values"], event["time"], event["step"])
            case "dataset":
                self.datasets.append(dict(event))
            case "artifact":
                self.files[event["path"], event["folder"]] = None
            case "table":
                self.files[event["path"], posixpath.dirname(event["path"])] = None
                self.tables.append(event["path"])
            case "note":
                self.tags["mlflow.note.content"] = text_of(event["text"])[:TAG_CHARACTERS]
            case "model":
                self.model = event["path"]
            case "resume":
                self.status, self.is_resumed = "RUNNING", True
                self.tags.pop(ERROR, None)
                self.tags[PROCESS] = _process(event)
            case "end":
                self.status, self.end_time = event["status"], event["time"]
                if event["error"]:
                    self._add_tags({ERROR: event["error"]})

    def _add_tags(self, values: Mapping[str, object]) -> None:
        self.tags |= {key_of(k): text_of(v)[:TAG_CHARACTERS] for k, v in values.items()}
        if "git.commit" in values:  # the column 'Version' of the runs table
            self.tags["mlflow.source.git.commit"] = text_of(values["git.commit"])

    def _add_points(self, values: Mapping[str, Any], time: int, step: int) -> None:
        keys = keys_of(values)
        for name, value in values.items():
            if math.isinf(float(value)):  # MLflow would make 1.8e308 of it
                self.left_out.append(f"{name} at step {step} is infinite")
            else:
                self.points.append((keys[name], float(value), time, step))


class Mirror:
    """Sends the rest of one journal; use it under ``link.exclusive``.

    Args:
        folder: The run folder.
        link: Where to and how far; saved in the folder after every batch.
        keep_going: Asked between requests; once false, ``Stopped`` is raised.
    """

    def __init__(self, folder: Path, link: Link, *, keep_going: Callable[[], bool] = lambda: True) -> None:
        self._folder = folder
        self._link = link
        self._keep_going = keep_going

    def run(self) -> None:
        """Send until the end of the journal as it is now.

        Raises:
            Stopped: If ``keep_going`` said no.
            Exception: Whatever MLflow raises when it can't be reached or refuses.
        """
        self._client = connect(self._link.destination.uri)
        self._find_run()
        while (batch := self._read()).offset > self._link.offset:
            self._send(batch)
            self._link.left_out = list(dict.fromkeys(self._link.left_out + batch.left_out))
            self._link.offset = batch.offset
            self._link.save(self._folder)

    def _pause(self) -> None:
        if not self._keep_going():
            raise Stopped

    def _read(self) -> Batch:
        batch = Batch(offset=self._link.offset)
        for event, offset in read_events(self._folder, self._link.offset):
            batch.add(event)
            batch.offset = offset
            if len(batch.points) >= N_POINTS_PER_BATCH:
                break
        return batch

    def _find_run(self) -> None:
        """The run that the link names, else the one that carries the uid, else a new one."""
        from mlflow.exceptions import MlflowException

        link, client = self._link, self._client
        self._pause()
        if link.run_id:
            try:
                run = client.get_run(link.run_id)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                link.restart()
            else:
                if run.info.lifecycle_stage == "deleted":
                    raise ConfigError(f"its run was deleted on {public(link.destination.uri)}; restore it there first.")
                return
        link.experiment_id = experiment_id(client, link.destination.uri, link.destination.experiment)
        self._pause()
        start = next(event for event, _ in read_events(self._folder) if event["event"] == "start")
        found = client.search_runs([link.experiment_id], f"tags.`{UID}` = '{start['uid']}'", max_results=1)
        link.run_id = found[0].info.run_id if found else self._create_run(start)
        link.save(self._folder)

    def _create_run(self, start: Mapping[str, Any]) -> str:
        self._pause()
        tags = self._parent_tag(start.get("parent", "")) | {
            UID: start["uid"],
            PROCESS: _process(start),
            FOLDER: str(self._folder),
            "mlflow.user": start["user"],
            "mlflow.source.name": start["program"],
            "mlflow.source.type": "LOCAL",
        }
        run = self._client.create_run(
            self._link.experiment_id, start["time"], tags, run_name=text_of(start["name"])[:KEY_CHARACTERS]
        )
        return str(run.info.run_id)

    def _parent_tag(self, uid: str) -> dict[str, str]:
        """What ties a run to its parent, which is mirrored first."""
        if not uid:
            return {}
        found = self._client.search_runs([self._link.experiment_id], f"tags.`{UID}` = '{uid}'", max_results=1)
        if not found:
            raise Waiting("its parent run is not there yet")
        return {"mlflow.parentRunId": found[0].info.run_id}

    def _send(self, batch: Batch) -> None:
        from mlflow.entities import Metric, Param, RunTag

        if batch.is_resumed:
            self._forget_error()
        tags = batch.tags | self._table_tag(batch)
        params = [Param(key, value) for key, value in batch.params.items()]
        self._log("params", params, batch.left_out)
        self._log("tags", [RunTag(key, value) for key, value in tags.items()], batch.left_out)
        if batch.datasets:
            self._pause()
            self._client.log_inputs(self._link.run_id, [_dataset_input(values) for values in batch.datasets])
        self._log("metrics", [Metric(*point) for point in batch.points], batch.left_out)
        for path, folder in batch.files:
            self._send_file(path, folder, batch.left_out)
        if batch.model:
            self._pause()
            log_model(self._client, self._link, self._folder / batch.model)
            self._link.save(self._folder)
        if batch.status:
            self._send_status(batch)

    def _forget_error(self) -> None:
        """What ended the run is over now."""
        self._pause()
        if ERROR in self._client.get_run(self._link.run_id).data.tags:
            self._pause()
            self._client.delete_tag(self._link.run_id, ERROR)

    def _log(self, kind: str, items: Sequence[Any], left_out: list[str]) -> None:
        """Log parameters, tags or points; what MLflow refuses is narrowed down and left out."""
        from mlflow.exceptions import MlflowException

        size = N_POINTS_PER_BATCH if kind == "metrics" else N_PAIRS_PER_BATCH
        for start in range(0, len(items), size):
            part = items[start : start + size]
            self._pause()
            try:
                self._client.log_batch(self._link.run_id, synchronous=True, **{kind: part})
            except MlflowException as error:
                if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                    raise
                if len(part) == 1:
                    left_out.append(f"{part[0].key}: {reason(error)}")
                    continue
                half = len(part) // 2
                self._log(kind, part[:half], left_out)
                self._log(kind, part[half:], left_out)

    def _send_file(self, path: str, folder: str, left_out: list[str]) -> None:
        self._pause()
        if (self._folder / path).is_file():
            self._client.log_artifact(self._link.run_id, str(self._folder / path), folder or None)
        else:
            left_out.append(f"{path} is gone from the run folder")

    def _table_tag(self, batch: Batch) -> dict[str, str]:
        """The tag by which the UI shows a JSON file as a table."""
        if not batch.tables:
            return {}
        self._pause()
        tables = json.loads(self._client.get_run(self._link.run_id).data.tags.get("mlflow.loggedArtifacts", "[]"))
        new = [{"path": path, "type": "table"} for path in dict.fromkeys(batch.tables)]
        return {"mlflow.loggedArtifacts": json.dumps(tables + [table for table in new if table not in tables])}

    def _send_status(self, batch: Batch) -> None:
        client, link = self._client, self._link
        self._pause()
        if batch.status == "RUNNING":
            client.update_run(link.run_id, "RUNNING")
            return
        if left_out := list(dict.fromkeys(link.left_out + batch.left_out)):
            client.set_tag(link.run_id, "stancelib.left_out", "\n".join(left_out)[:TAG_CHARACTERS], synchronous=True)
        if link.model_id:
            score_model(client, link, self._folder)
        self._pause()
        client.set_terminated(link.run_id, batch.status, batch.end_time)
        if link.model_id and link.destination.registered_model and batch.status == "FINISHED":
            self._pause()
            register_model(client, link, link.destination.registered_model)


def _dataset_input(values: Mapping[str, Any]) -> Any:
    """A dataset as MLflow shows it, built by hand: MLflow's own digest reads only the first rows."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = {"num_rows": values["n_rows"], "labels": values["label_counts"], "protocol": values["protocol"]}
    dataset = Dataset(
        name=text_of(values["name"])[:DATASET_CHARACTERS] or "unnamed",
        digest=text_of(values["digest"])[:DIGEST_CHARACTERS] or "unknown",
        source_type="local",
        source=json.dumps({"uri": text_of(values["source"])[:TAG_CHARACTERS]}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", text_of(values["split"])[:DATASET_CHARACTERS])])


def _process(event: Mapping[str, Any]) -> str:
    """What ``process_phase`` needs to tell whether the process lives."""
    return json.dumps({name: event[name] for name in ("host", "pid", "namespace", "process_start")})
