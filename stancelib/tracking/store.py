"""Where MLflow keeps its records: addresses, first use, experiments, patience with servers."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from stancelib.errors import ConfigError, require
from stancelib.tracking import view

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
_settings_lock = threading.Lock()
_settings: dict[str, str] = {}
_n_open = [0]


def resolve_uri(uri: str | None = None) -> str:
    """The tracking address: the given one, else ``MLFLOW_TRACKING_URI``, else ``mlflow.db`` in the current folder.

    A relative sqlite path is made absolute, so that the address means the same from anywhere.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = database_path(uri)
    return uri if path is None else f"sqlite:///{path}"


def database_path(uri: str) -> Path | None:
    """The file behind a sqlite address, None for any other."""
    scheme, separator, path = uri.partition(":///")
    return Path(path).absolute() if separator and path and scheme == "sqlite" else None


def is_local(uri: str) -> bool:
    """Whether the records lie on this machine's disk, where waiting is safe."""
    return urlsplit(uri).scheme in ("sqlite", "file", "")


def public(uri: str) -> str:
    """The address without user name and password."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """The page of a run, empty where no server is behind the address."""
    served = urlsplit(uri).scheme in ("http", "https")
    return f"{public(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}" if served else ""


def runs_url(base: str, experiment_id: str, *, has_view: bool = True) -> str:
    """The runs table of an experiment: in our view where it has that, else as the browser had it last."""
    query = "workflowType=machine_learning" + (f"&viewStateShareKey={view.KEY}" if has_view else "")
    return f"{public(base).rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


@contextlib.contextmanager
def patience(*, timeout_seconds: int, n_retries: int) -> Iterator[None]:
    """How long MLflow waits for a server inside the block, and that it prints nothing.

    MLflow reads these settings from the environment at each request, so they hold for the whole
    process while a block is open; what the user has set stays as it is. Of overlapping blocks the
    first decides.
    """
    wanted = QUIET | {
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_seconds),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(n_retries),
    }
    with _settings_lock:
        _n_open[0] += 1
        if _n_open[0] == 1:
            _settings.update({name: value for name, value in wanted.items() if name not in os.environ})
            os.environ.update(_settings)
    try:
        yield
    finally:
        with _settings_lock:
            _n_open[0] -= 1
            if _n_open[0] == 0:
                for name in _settings:
                    os.environ.pop(name, None)
                _settings.clear()


def connect(uri: str, *, create: bool = True) -> MlflowClient:
    """A client for an address; a fresh sqlite database is made on the way, one process at a time.

    Raises:
        ConfigError: If the database doesn't exist and ``create`` is false.
    """
    require("mlflow", "train")
    from mlflow import MlflowClient

    path = database_path(uri)
    if path is None:
        return MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI"))
    if not create and not path.is_file():
        raise ConfigError(f"there are no tracked runs at {path}. Train first, or set MLFLOW_TRACKING_URI.")
    for name in ("alembic", "mlflow.store.db.utils"):  # the story of every migration
        logging.getLogger(name).setLevel(logging.WARNING)
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        client = MlflowClient(tracking_uri=uri, registry_uri=os.environ.get("MLFLOW_REGISTRY_URI"))
        client.get_experiment_by_name("Default")  # opens the store, which migrates it
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("pragma journal_mode=wal")
    return client


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, made if it isn't there, also when others make it at the same moment.

    Raises:
        ConfigError: If it was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        path = database_path(uri)
        location = None if path is None else (path.parent / "mlartifacts").as_uri()
        try:
            return client.create_experiment(name, artifact_location=location, tags=view.tags())
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise ConfigError(f"experiment '{name}' was deleted on {public(uri)}; restore it, or choose another name.")
    return found.experiment_id


def reason(error: BaseException) -> str:
    """One line on why a request failed."""
    text = " ".join(str(error).split())
    if "Connection refused" in text:
        return "connection refused"
    if "timed out" in text.lower():
        return "no answer in time"
    return (text or type(error).__name__)[:200]
