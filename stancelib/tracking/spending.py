"""How often a test split has been looked at: every scoring wears it out a little.

Nothing is stored for it: runs carry the digests of their data sets, and those that scored one its scores.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stancelib.schema import TRAIN
from stancelib.tracking.browse import _answering as answering
from stancelib.tracking.link import Link
from stancelib.tracking.mirror import DIGEST_CHARACTERS
from stancelib.tracking.registry import digests_of
from stancelib.tracking.store import patience, resolve_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PATIENCE_SECONDS = 5.0
PAGE = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spending:
    """What a test split was used for.

    Args:
        n: Runs that scored it, also those deleted since.
        runs: Their ids and names, oldest first.
    """

    n: int
    runs: tuple[tuple[str, str], ...]


def count_test_scorings(uri: str | None, digest: str) -> Spending:
    """The runs of all experiments that scored a test split.

    Args:
        uri: The tracking address, resolved as for training.
        digest: Of the split's content, as the run's data set shows it in MLflow.

    Raises:
        ConfigError: If there are no tracked runs there, or the server can't be reached.
    """
    digest = digest[:DIGEST_CHARACTERS]
    with answering(resolve_uri(uri)) as client:
        found = [run for run in _runs(client, digest) if _scored(run, digest)]
    return Spending(len(found), tuple((run.info.run_id, run.info.run_name or "") for run in found))


def spending_of(folder: Path, digest: str) -> Spending | None:
    """The same for the store that a run folder is mirrored to, or None: it may not be wanted, there, or quick enough.

    Never raises, and never takes longer than five seconds.
    """
    link = Link.load(folder)
    if link is None or not link.is_complete(folder):
        return None
    return counted_within(PATIENCE_SECONDS, link.destination.uri, digest)


def counted_within(seconds: float, uri: str, digest: str) -> Spending | None:
    """The runs that scored a test split, or None if the store fails or takes longer. Never raises."""
    found: list[Spending] = []

    def ask() -> None:
        try:
            with patience(timeout_seconds=max(int(seconds) - 1, 1), n_retries=0):
                found.append(count_test_scorings(uri, digest))
        except Exception as error:  # a remark beside the scores is worth no failure
            log.debug("test scorings can't be counted: %s", error)

    thread = threading.Thread(target=ask, name="test-spending", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _runs(client: MlflowClient, digest: str) -> Iterator[Run]:
    """All runs with such a data set, deleted ones too: what was seen can't be unseen."""
    from mlflow.entities import ViewType

    experiments = [one.experiment_id for one in client.search_experiments(view_type=ViewType.ALL)]
    token = None
    while True:
        page = client.search_runs(
            experiments,
            f"dataset.digest = '{digest}'",
            run_view_type=ViewType.ALL,
            max_results=PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        if not (token := page.token):
            return


def _scored(run: Run, digest: str) -> bool:
    """Under whatever name of the split, but for statements that it was trained on."""
    splits = [split for split, found in digests_of(run).items() if found == digest and split != TRAIN]
    return any(name.startswith(f"{split}/") for split in splits for name in run.data.metrics)
