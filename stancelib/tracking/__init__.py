"""The journal mirrored to MLflow; the only part that imports it, and only when it is used."""

from __future__ import annotations

from stancelib.tracking.live import MlflowTracker

__all__ = ["MlflowTracker"]
