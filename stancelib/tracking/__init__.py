"""The journal mirrored to MLflow; the only part that imports it, and only when it is used."""

from __future__ import annotations

from stancelib.tracking.browse import RunRow, download_model, recent_runs, serve_ui
from stancelib.tracking.live import MlflowTracker
from stancelib.tracking.maintenance import ReapResult, SyncResult, reap, reap_orphans, sync
from stancelib.tracking.registry import Holder, TrackedRun, alias_holder, find_run, give_alias
from stancelib.tracking.spending import Spending, count_test_scorings, spending_of
from stancelib.tracking.store import public, resolve_uri, run_url, runs_url

__all__ = [
    "Holder",
    "MlflowTracker",
    "ReapResult",
    "RunRow",
    "Spending",
    "SyncResult",
    "TrackedRun",
    "alias_holder",
    "count_test_scorings",
    "download_model",
    "find_run",
    "give_alias",
    "public",
    "reap",
    "reap_orphans",
    "recent_runs",
    "resolve_uri",
    "run_url",
    "runs_url",
    "serve_ui",
    "spending_of",
    "sync",
]
