"""What a run did, appended to disk as it happens.

A run is a folder; its journal is ``events.jsonl`` in it, one JSON object per line, handed to the
operating system event by event: what was written survives a killed process. A line that was torn by a
full disk or a power cut is skipped by the reader. Trackers copy the journal elsewhere; nothing here
knows where. Times are milliseconds since 1970.
"""

from __future__ import annotations

from stancelib.journal.process import is_main_process, n_processes, signals_as_exceptions
from stancelib.journal.reading import (
    EVENTS,
    RunState,
    Status,
    end_gone_run,
    process_phase,
    read_events,
    run_folders,
    run_state,
)
from stancelib.journal.record import Journal, write_atomically
from stancelib.journal.system import SystemMetrics
from stancelib.journal.trackers import JournalOnly, Tracker

__all__ = [
    "EVENTS",
    "Journal",
    "JournalOnly",
    "RunState",
    "Status",
    "SystemMetrics",
    "Tracker",
    "end_gone_run",
    "is_main_process",
    "n_processes",
    "process_phase",
    "read_events",
    "run_folders",
    "run_state",
    "signals_as_exceptions",
    "write_atomically",
]
