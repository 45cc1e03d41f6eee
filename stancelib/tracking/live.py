"""A run followed by MLflow while it happens, at no risk to the run."""

from __future__ import annotations

import importlib.util
import logging
import threading
import time

from stancelib.errors import ConfigError, require
from stancelib.journal import Journal
from stancelib.tracking.link import Destination, Link, exclusive
from stancelib.tracking.mirror import Mirror, Stopped, Waiting
from stancelib.tracking.model import CHAMPION
from stancelib.tracking.naming import check_alias, check_model_name
from stancelib.tracking.spending import PATIENCE_SECONDS, counted_within
from stancelib.tracking.store import database_path, is_local, patience, public, reason, resolve_uri, run_url

POLL_SECONDS = 1.0
REQUEST_SECONDS = 10
COOL_DOWN_SECONDS = 5.0
LONGEST_COOL_DOWN_SECONDS = 60.0
LOCAL_FLUSH_SECONDS = 180.0  # importing MLflow and making a first database on a busy machine
N_LAST_ATTEMPTS = 3

log = logging.getLogger(__name__)


class MlflowTracker:
    """Mirrors a journal to MLflow from a thread of its own.

    A server that is slow, down or dying costs no point, and at most ``flush_seconds`` in all: what it
    lacks at the end is brought by ``stancelib sync``. A database on the local disk is waited for.

    Args:
        uri: The tracking address; None takes ``MLFLOW_TRACKING_URI``, or else ``mlflow.db`` in the current folder.
        experiment: Name of the experiment; made if it isn't there.
        registered_model: Name under which the model of a finished run is registered; None registers nothing.
        alias: Alias given to that version, such as ``newest``; ``champion`` is given by ``stancelib promote`` alone.
        flush_seconds: The longest that ``close`` waits for a server.

    Raises:
        ConfigError: If ``alias`` is ``champion`` or lacks a ``registered_model``, if MLflow allows no such name or
            alias, or if ``flush_seconds`` is negative.
    """

    def __init__(
        self,
        *,
        uri: str | None = None,
        experiment: str = "stancelib",
        registered_model: str | None = None,
        alias: str | None = None,
        flush_seconds: float = 15.0,
    ) -> None:
        if registered_model is not None:
            check_model_name(registered_model)
        if alias and not registered_model:
            raise ConfigError(
                f"alias '{alias}' needs registered_model: an alias names a version of a registered model."
            )
        if alias:
            check_alias(alias)
        if alias == CHAMPION:
            raise ConfigError(
                f"alias '{CHAMPION}' is not given by training: it is earned. Take another, such as newest, and run "
                f"`stancelib promote <run> --name {registered_model}` afterwards."
            )
        if flush_seconds < 0:
            raise ConfigError(f"flush_seconds must be at least 0, got {flush_seconds}.")
        self.uri = uri
        self.experiment = experiment
        self.registered_model = registered_model
        self.alias = alias
        self.flush_seconds = flush_seconds
        self.url = ""
        self.run_id = ""
        self.experiment_id = ""
        self.message = ""
        self.complete = False
        self._thread: threading.Thread | None = None

    def attach(self, journal: Journal) -> None:
        """Start following a journal. Doesn't wait for the server, nor care whether there is one.

        Raises:
            MissingExtraError: If MLflow is not installed.
        """
        if importlib.util.find_spec("mlflow") is None:
            require("mlflow", "train")  # says what to install; importing it otherwise is left to the thread
        uri = resolve_uri(self.uri)
        link = Link.load(journal.folder) or Link(Destination(uri))
        link = link.at(uri)
        link.destination = Destination(uri, self.experiment, self.registered_model, self.alias)
        link.save(journal.folder)
        self._folder, self._destination = journal.folder, link.destination
        self._closing, self._over = threading.Event(), threading.Event()
        self._failure, self._seconds_left = "", self.flush_seconds
        self.complete = False
        self._thread = threading.Thread(target=self._follow, name="mlflow-mirror", daemon=True)
        self._thread.start()

    def scorings_before(self, digest: str) -> int | None:
        """How many other runs scored this test split. A server is asked for seconds, out of those for ``close``."""
        uri = self._destination.uri
        if (path := database_path(uri)) and not path.exists():
            return 0
        if self._failure:
            return None
        started = time.monotonic()
        seconds = LOCAL_FLUSH_SECONDS if is_local(uri) else min(PATIENCE_SECONDS, self._seconds_left)
        spent = counted_within(seconds, uri, digest)
        self._seconds_left = max(self._seconds_left - (time.monotonic() - started), 0.0)
        link = Link.load(self._folder)
        own = link.run_id if link else ""
        return None if spent is None else sum(run_id != own for run_id, _ in spent.runs)

    def close(self) -> None:
        """Send what is left and say how it went; call it after the journal's end. Never raises."""
        if self._thread is None:
            return
        self._closing.set()
        self._thread.join(
            max(self.flush_seconds, LOCAL_FLUSH_SECONDS) if is_local(self._destination.uri) else self._seconds_left
        )
        self._over.set()
        unanswered = self._thread.is_alive()
        self._thread = None
        link = Link.load(self._folder)
        if link is not None:
            self.run_id, self.experiment_id = link.run_id, link.experiment_id
            self.complete = link.is_complete(self._folder)
            self.url = run_url(link.destination.uri, link.experiment_id, link.run_id) if link.run_id else ""
        if not self.complete:
            why = self._failure or ("no answer in time" if unanswered else "interrupted")
            self.message = (
                f"not mirrored to {public(self._destination.uri)}: {why}; run `stancelib sync {self._folder}`"
            )

    def _follow(self) -> None:
        """Mirror again and again until everything is there after the end, or there is no time left."""
        n_last_attempts = 0
        cool_down = COOL_DOWN_SECONDS
        with patience(timeout_seconds=REQUEST_SECONDS, n_retries=0):
            while not self._over.is_set():
                closing = self._closing.is_set()
                done = self._mirror()
                if closing and (done or (n_last_attempts := n_last_attempts + 1) >= N_LAST_ATTEMPTS):
                    return
                if done:
                    cool_down = COOL_DOWN_SECONDS
                    self._wait(POLL_SECONDS)
                else:
                    self._wait(cool_down)
                    cool_down = min(2 * cool_down, LONGEST_COOL_DOWN_SECONDS)

    def _wait(self, seconds: float) -> None:
        """Sleep, but not while somebody waits for the end."""
        if self._closing.is_set():
            self._over.wait(POLL_SECONDS)
        else:
            self._closing.wait(seconds)

    def _mirror(self) -> bool:
        """Send what is new. False if that failed; the reason is kept, and told at the first failure."""
        try:
            with exclusive(self._folder, timeout_seconds=1):
                link = Link.load(self._folder) or Link(self._destination)
                if not link.is_complete(self._folder):
                    Mirror(self._folder, link, keep_going=lambda: not self._over.is_set()).run()
        except Stopped:
            return False
        except Waiting as what:
            self._failure = str(what)
            return False
        except Exception as error:  # nothing that MLflow does may reach the training
            if not self._failure:
                log.warning(
                    "MLflow at %s: %s. The run goes on, and keeps its record.",
                    public(self._destination.uri),
                    reason(error),
                )
            self._failure = reason(error)
            return False
        self._failure = ""
        return True
