"""Which process a run belongs to, and the signals that end it.

A launcher such as ``torchrun`` starts several processes for one training. The main one keeps the record; the others
take part in the fit and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

stop_requested = threading.Event()
"""Set once a signal has asked the process to stop: whatever fails from then on is part of the stop."""


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Turn SIGTERM, SIGHUP and SIGINT into exceptions inside the block, so that runs end KILLED.

    A signal the process was told to ignore (``nohup``, a background job) stays ignored. Outside the main
    thread Python can't handle signals, and the block changes nothing.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        stop_requested.set()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    stop_requested.clear()
    names = [name for name in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names] if threading.current_thread() is threading.main_thread() else []
    before = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        stop_requested.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def n_processes() -> int:
    """How many processes a launcher has started for this training; 1 without one."""
    launched = {"RANK", "LOCAL_RANK", "WORLD_SIZE"} <= os.environ.keys()
    return int(os.environ["WORLD_SIZE"]) if launched else 1


def is_main_process() -> bool:
    """Whether this process keeps the record of the training."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


def user_name() -> str:
    """Who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in many containers
        return "unknown"


def host_name() -> str:
    """The name of this machine or container."""
    return socket.gethostname()


def this_process() -> dict[str, object]:
    """What tells this process from any other, as far as that can be told."""
    pid = os.getpid()
    return {"pid": pid, "host": host_name(), "namespace": namespace(), "process_start": process_start(pid)}


def namespace() -> str:
    """Process ids mean something only inside one of these: containers on a host have their own."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """When a living process began, in a form only good for comparing; empty if there is none or no way to know."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return "" if fields[0] in ("Z", "X") else f"{boot} {fields[19]}"
    except OSError:
        pass
    try:
        import psutil

        return str(psutil.Process(pid).create_time())
    except Exception:  # psutil missing, or no such process
        return ""
