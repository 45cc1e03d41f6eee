"""Looking at what MLflow has: recent runs, its UI, models to load."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stancelib.errors import BundleError, ConfigError, nearest
from stancelib.evaluation.metrics import LOWER_IS_BETTER
from stancelib.journal import signals_as_exceptions
from stancelib.tracking import view
from stancelib.tracking.model import MODEL, find_model
from stancelib.tracking.store import (
    connect,
    database_path,
    patience,
    public,
    reason,
    resolve_uri,
    run_url,
    runs_url,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

REQUEST_SECONDS = 15
START_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the table of runs.

    Args:
        run_id: Id in MLflow.
        name: Name of the run.
        status: RUNNING, FINISHED, FAILED or KILLED.
        start_time: Milliseconds since 1970.
        duration_seconds: None while it is running.
        model: Tag ``model``, and so the next three; empty where the run has no such tag.
        data: The corpus.
        split: The split protocol.
        seed: The seed.
        params: The parameters, flat.
        metrics: The last value of every metric but the machine's load.
        url: The page of the run, where a server has one.
    """

    run_id: str
    name: str
    status: str
    start_time: int
    duration_seconds: float | None
    model: str
    data: str
    split: str
    seed: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    url: str


def recent_runs(
    uri: str | None = None, experiment: str = "stancelib", limit: int = 20, order_by: str | None = None
) -> list[RunRow]:
    """Runs of an experiment, newest first or best first.

    Args:
        uri: The tracking address, resolved as for training.
        experiment: Name of the experiment.
        limit: How many at most.
        order_by: A metric, such as ``validation/macro_f1``: the best first, which of losses and seconds is the lowest.
            None sorts by start, newest first.

    Raises:
        ConfigError: If there is no such experiment, no run has that metric, or the server can't be reached.
    """
    uri = resolve_uri(uri)
    order = f"metrics.`{order_by}` {_direction(order_by)}" if order_by else "attributes.start_time DESC"
    with _answering(uri) as client:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            names = sorted(one.name for one in client.search_experiments())
            raise ConfigError(f"there is no experiment '{experiment}' on {public(uri)}; there are {', '.join(names)}.")
        runs = client.search_runs([found.experiment_id], order_by=[order], max_results=limit)
    measured = {name for run in runs for name in run.data.metrics}
    if order_by and runs and order_by not in measured:
        raise ConfigError(f"no run of '{experiment}' has the metric '{order_by}'{nearest(order_by, measured)}")
    return [_row(run, uri) for run in runs]


def _direction(metric: str) -> str:
    name = metric.rpartition("/")[2].removesuffix("_low").removesuffix("_high")
    is_better_low = name.startswith(LOWER_IS_BETTER) or name.endswith(("loss", "seconds", "drop", "mib"))
    return "ASC" if is_better_low else "DESC"


def download_model(model_uri: str, *, tracking_uri: str | None = None) -> Path:
    """The bundle behind an MLflow address, as a local folder.

    Args:
        model_uri: ``runs:/<run id>``, ``models:/<name>@<alias>``, ``models:/<name>/<version or latest>`` or
            ``models:/<model id>``.
        tracking_uri: The tracking address, resolved as for training.

    Returns:
        The folder: the store's own where that is on this disk, else a copy that goes when Python ends.

    Raises:
        ConfigError: If the address has none of these forms, or the server can't be reached.
        BundleError: If there is no model at that address.
    """
    scheme, _, rest = model_uri.partition(":/")
    if scheme not in ("runs", "models") or not rest.strip("/"):
        forms = "runs:/<run id>, models:/<name>@<alias> or models:/<name>/<version>"
        raise ConfigError(f"'{model_uri}' is no model address; expected {forms}.")
    uri = resolve_uri(tracking_uri)
    with _answering(uri) as client:
        from mlflow.exceptions import MlflowException

        try:
            folder = _fetch(_location(client, model_uri), uri)
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
                raise
            raise BundleError(f"there is no model {model_uri} on {public(uri)}: {reason(error)}") from None
    if not (folder / "MLmodel").is_file():
        raise BundleError(f"there is no model {model_uri} on {public(uri)}: what lies there has no MLmodel file.")
    return folder


def serve_ui(
    uri: str | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    *,
    experiment: str = "stancelib",
    announce: Callable[[str], object] = print,
) -> int:
    """Serve MLflow's UI for a local database until Ctrl-C; for a server only say where it is.

    Args:
        uri: The tracking address, resolved as for training.
        host: Address to listen on; anything but the default opens the records to the network.
        port: Its port.
        experiment: The experiment that the link opens, best run first.
        announce: Called with the link as soon as it works.

    Returns:
        The exit code of the server, 0 after Ctrl-C.

    Raises:
        ConfigError: If there is no database yet, the port is taken, or the server doesn't start.
    """
    uri = resolve_uri(uri)
    with _answering(uri) as client:
        experiment_id = getattr(client.get_experiment_by_name(experiment), "experiment_id", "0")
        has_view = view.add_to(client, experiment_id)
    if urlsplit(uri).scheme in ("http", "https"):
        announce(runs_url(uri, experiment_id, has_view=has_view))
        return 0
    if _listens(host, port):
        raise ConfigError(f"port {port} on {host} is taken; choose another with --port.")
    server = _start_server(uri, host, port)
    try:
        with signals_as_exceptions():  # SIGTERM has to end the server too
            _wait_for_server(server, host, port)
            announce(runs_url(f"http://{host}:{port}", experiment_id, has_view=has_view))
            return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop_server(server)


def _start_server(uri: str, host: str, port: int) -> subprocess.Popen[bytes]:
    """One worker and no job runner: two processes instead of fifteen."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1", "--uvicorn-opts", "--log-level warning"]
    if path := database_path(uri):
        command += ["--default-artifact-root", (path.parent / "mlartifacts").as_uri()]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    settings |= {"PYTHONWARNINGS": "ignore"}  # about deprecations in MLflow, which tell its users nothing
    return subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.DEVNULL, start_new_session=True)


def _stop_server(server: subprocess.Popen[bytes]) -> None:
    """End the server and its worker."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM) if hasattr(os, "killpg") else server.terminate()
    server.wait()


def _wait_for_server(server: subprocess.Popen[bytes], host: str, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _listens(host, port):
        if server.poll() is not None:
            raise ConfigError(f"the MLflow server ended with exit code {server.returncode}; its messages are above.")
        if time.monotonic() > deadline:
            raise ConfigError(f"the MLflow server did not start within {START_SECONDS:.0f} s.")
        time.sleep(0.2)


def _listens(host: str, port: int) -> bool:
    reachable = "127.0.0.1" if host in ("0.0.0.0", "") else host  # noqa: S104
    try:
        with socket.create_connection((reachable, port), timeout=1):
            return True
    except OSError:
        return False


def download_artifact(run_id: str, path: str, *, tracking_uri: str | None = None) -> Path | None:
    """One file of a run, as a local file; None where the run has no such file.

    Args:
        run_id: Id of the run in MLflow.
        path: The file's path among the run's artifacts.
        tracking_uri: The tracking address, resolved as for training.

    Raises:
        ConfigError: If there is no such run, or the server can't be reached.
    """
    uri = resolve_uri(tracking_uri)
    with _answering(uri) as client:
        folder, _, _ = path.rpartition("/")
        run = client.get_run(run_id)
        if path not in {item.path for item in client.list_artifacts(run_id, folder)}:
            return None
        return _fetch(f"{run.info.artifact_uri}/{path}", uri)


@contextmanager
def _answering(uri: str) -> Iterator[MlflowClient]:
    """A client of a store that exists; what it can't do becomes one sentence."""
    with patience(timeout_seconds=REQUEST_SECONDS, n_retries=1):
        client = connect(uri, create=False)
        from mlflow.exceptions import MlflowException

        try:
            yield client
        except MlflowException as error:
            raise ConfigError(f"the tracking server {public(uri)} failed: {reason(error)}.") from None


def _location(client: MlflowClient, model_uri: str) -> str:
    """Where the files of a model lie."""
    scheme, _, rest = model_uri.partition(":/")
    first, _, second = rest.strip("/").partition("/")
    if scheme == "runs":
        run = client.get_run(first)
        model = find_model(client, run.info.experiment_id, first) if second in ("", MODEL) else None
        return model.artifact_location if model else f"{run.info.artifact_uri}/{second or MODEL}"
    if "@" in first:
        name, _, alias = first.partition("@")
        second, first = str(client.get_model_version_by_alias(name, alias).version), name
    if not second:
        return str(client.get_logged_model(first).artifact_location)
    if second == "latest":
        versions = client.search_model_versions(f"name = '{first}'")
        second = str(max((int(version.version) for version in versions), default=0))
    source = client.get_model_version_download_uri(first, second)
    return _location(client, source) if source.startswith(("models:/", "runs:/")) else source


def _fetch(location: str, uri: str) -> Path:
    """A local folder with the files of an artifact location."""
    from mlflow.artifacts import download_artifacts

    if urlsplit(location).scheme in ("file", ""):
        return Path(download_artifacts(location, tracking_uri=uri))
    copy = tempfile.mkdtemp(prefix="stancelib-")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    return Path(download_artifacts(location, dst_path=copy, tracking_uri=uri))


def _row(run: Run, uri: str) -> RunRow:
    tags, info = run.data.tags, run.info
    return RunRow(
        run_id=info.run_id,
        name=info.run_name or "",
        status=info.status,
        start_time=info.start_time,
        duration_seconds=(info.end_time - info.start_time) / 1000 if info.end_time else None,
        model=tags.get("model", ""),
        data=tags.get("data", ""),
        split=tags.get("split", ""),
        seed=tags.get("seed", ""),
        params=run.data.params,
        metrics={key: value for key, value in run.data.metrics.items() if not key.startswith("system/")},
        url=run_url(uri, info.experiment_id, info.run_id),
    )
