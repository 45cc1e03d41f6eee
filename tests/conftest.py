"""What all tests share: no network, no state from outside, small corpora, and the command line in-process."""

import contextlib
import io
import json
import os
import socket
import sys
from dataclasses import dataclass

import pytest

from stancelib.labels import LabelSet
from stancelib.schema import TEST, TRAIN, VALIDATION, Corpus, Statements

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "200"  # read by the consoles when they are made
for _name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "STANCELIB_DEBUG", "FORCE_COLOR"):
    os.environ.pop(_name, None)

LABELS = LabelSet.of(("conditional-accept", "reject", "propose"))
OPENINGS = {
    "conditional-accept": ("we agree if", "fine, provided", "yes, as soon as"),
    "reject": ("no, never", "we refuse", "out of the question:"),
    "propose": ("let us start", "why not try", "we suggest"),
    "accept": ("agreed:", "gladly,", "we sign"),
    "none": ("the paper mentions", "yesterday's topic:", "some read about"),
}
THINGS = ("the fence", "a wage deal", "two buses", "the ferry", "a joint board", "more time", "the river", "new dates")
WORDS = ("today", "abroad", "quietly", "on paper", "in winter", "at dawn", "once more", "by letter", "in town", "twice")


class NetworkBlockedError(RuntimeError):
    """A test tried to reach another machine."""


def _is_local(address):
    return not isinstance(address, tuple) or address[0] in ("localhost", "::1") or str(address[0]).startswith("127.")


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """No test reaches another machine: connections to anything but loopback and Unix sockets raise."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def guarded(self, address, original=original):
            if not _is_local(address):
                raise NetworkBlockedError(f"tests don't reach {address}")
            return original(self, address)

        patch.setattr(socket.socket, name, guarded)
    resolve = socket.getaddrinfo

    def guarded_resolve(host, *args, **kwargs):
        if host is not None and not _is_local((host if isinstance(host, str) else host.decode(), 0)):
            raise NetworkBlockedError(f"tests don't look up {host}")
        return resolve(host, *args, **kwargs)

    patch.setattr(socket, "getaddrinfo", guarded_resolve)
    yield
    patch.undo()


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    """The current folder is an empty one of the test's own."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def make_rows(n, labels=tuple(LABELS), *, start=0):
    """``n`` different rows whose opening gives the label away, labels in turn."""
    rows = []
    for i in range(start, start + n):
        label = labels[i % len(labels)]
        opening = OPENINGS[label][i // len(labels) % 3]
        thing, other = THINGS[i // 2 % len(THINGS)], THINGS[(i // 7 + 3) % len(THINGS)]
        text = f"{opening} {thing} {WORDS[i % 10]} {WORDS[(i // 3 + 4) % 10]} number{i}"
        rows.append({"id": f"r{i}", "text": text, "target": f"the plan for {other}", "label": label})
    return rows


def make_statements(n, labels=LABELS, *, start=0):
    """Labelled statements as ``make_rows`` words them."""
    rows = make_rows(n, tuple(labels), start=start)
    return Statements(
        [row["text"] for row in rows],
        [row["target"] for row in rows],
        labels,
        labels.encode([row["label"] for row in rows]),
        ids=[row["id"] for row in rows],
    )


def make_corpus(labels=LABELS, *, n_train=60, n_validation=12, n_test=12):
    """A corpus in three splits that any family can learn."""
    sizes = {TRAIN: n_train, VALIDATION: n_validation, TEST: n_test}
    splits, start = {}, 0
    for name, size in sizes.items():
        splits[name] = make_statements(size, labels, start=start)
        start += size
    return Corpus("small", labels, splits)


def write_jsonl(path, rows):
    """Rows as JSON lines; the path, for commands."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def corpus():
    """Sixty training rows, twelve for each other split, three labels."""
    return make_corpus()


@pytest.fixture
def statements():
    """Twelve labelled statements that are in no corpus."""
    return make_statements(12, start=1000)


@dataclass(frozen=True)
class Answer:
    """What a command left on the terminal, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def error(self):
        """The line after ``Error:``; fails if there was a traceback or no error line."""
        assert "Traceback" not in self.err, self.err
        found = [line.removeprefix("Error: ") for line in self.err.splitlines() if line.startswith("Error: ")]
        assert len(found) == 1, self.err
        return found[0]


def run_cli(*arguments, stdin=b""):
    """``stancelib <arguments>`` in this process."""
    from stancelib.cli import main

    patch = pytest.MonkeyPatch()
    out, err = io.StringIO(), io.StringIO()
    with patch.context() as patched, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patched.setattr(sys, "argv", ["stancelib", *map(str, arguments)])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Answer(code, out.getvalue(), err.getvalue())


@pytest.fixture
def cli(in_tmp):
    """Runs a command of the command line in an empty folder."""
    return run_cli


@pytest.fixture(scope="session")
def tfidf_bundle(tmp_path_factory):
    """A saved tfidf model; tests that change it copy it first."""
    from stancelib.bundle import save_bundle
    from stancelib.models.tfidf import Tfidf

    folder = tmp_path_factory.mktemp("bundles") / "tfidf"
    corpus = make_corpus()
    save_bundle(folder, model=Tfidf().fit(corpus.split(TRAIN)), labels=corpus.labels, facts={"name": "tfidf small s0"})
    return folder
