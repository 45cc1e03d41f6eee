"""The load of the machine as metrics of a run."""

from __future__ import annotations

import threading
from typing import Self

from stancelib.journal.record import Journal


class SystemMetrics:
    """Writes the machine's and the process's load to a journal while its block runs.

    Names are MLflow's own. The last sample is taken on leaving, so short runs have one too. Without
    psutil nothing is written.

    Args:
        journal: Where to write.
        interval_seconds: Time between samples.
    """

    def __init__(self, journal: Journal, *, interval_seconds: float = 10.0) -> None:
        self._journal = journal
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)
        self._n_samples = 0

    def __enter__(self) -> Self:
        try:
            import psutil
        except ImportError:
            return self
        self._process = psutil.Process()
        psutil.cpu_percent()
        self._process.cpu_percent()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._thread.ident is not None:
            self._stop.set()
            self._thread.join()
            self._sample()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            self._sample()

    def _sample(self) -> None:
        import psutil

        memory = psutil.virtual_memory()
        values = {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_usage_megabytes": self._process.memory_info().rss / 1e6,
        }
        self._journal.metrics(values, step=self._n_samples)
        self._n_samples += 1
