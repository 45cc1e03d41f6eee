import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

import stancelib

pytestmark = pytest.mark.slow
ROWS = [
    {"text": "no, never the fence", "target": "the plan for the river"},
    {"text": "let us start", "target": "two buses"},
]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def post(port, content):
    body = json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["predictions"]


def wait_until_up(server, port, log, seconds=180):
    """A crowded machine may take minutes to import MLflow in the server and again in its worker."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5)
            return
        except OSError:
            time.sleep(0.25)
    pytest.fail(f"the scoring server (exit status {server.poll()}) doesn't answer; it printed:\n{log.read_text()}")


@pytest.fixture
def port(tfidf_bundle, tmp_path):
    """A scoring server that MLflow runs for the bundle."""
    number = free_port()
    log = tmp_path / "server.log"
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tfidf_bundle), "--env-manager", "local"]
    # MLflow starts `uvicorn` by name, as in an activated environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": path}
    with log.open("w") as printed:
        options = {"env": environment, "start_new_session": True, "stdout": printed, "stderr": subprocess.STDOUT}
        server = subprocess.Popen([*command, "-p", str(number)], **options)
    try:
        wait_until_up(server, number, log)
        yield number
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_mlflows_scoring_server_answers_as_the_loaded_model_does(port, tfidf_bundle):
    expected = stancelib.load(tfidf_bundle).predict([r["text"] for r in ROWS], [r["target"] for r in ROWS])
    split = {"columns": ["text", "target"], "data": [list(row.values()) for row in ROWS]}
    for content in ({"dataframe_records": ROWS}, {"dataframe_split": split}):
        found = post(port, content)
        assert [row["label"] for row in found] == [one.label for one in expected]
        assert [row["confidence"] for row in found] == pytest.approx([one.confidence for one in expected])
