import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

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


@pytest.fixture
def port(tfidf_bundle):
    """A scoring server that MLflow runs for the bundle."""
    number = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(tfidf_bundle), "--env-manager", "local"]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([*command, "-p", str(number)], env=environment, start_new_session=True, **quiet)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{number}/ping", timeout=5)
                break
            except urllib.error.URLError:
                time.sleep(0.25)
        yield number
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_mlflows_scoring_server_answers_as_the_loaded_model_does(port, tfidf_bundle):
    expected = stancelib.load(tfidf_bundle).predict([r["text"] for r in ROWS], [r["target"] for r in ROWS])
    split = {"columns": ["text", "target"], "data": [list(row.values()) for row in ROWS]}
    for content in ({"dataframe_records": ROWS}, {"dataframe_split": split}):
        found = post(port, content)
        assert [row["label"] for row in found] == [one.label for one in expected]
        assert [row["confidence"] for row in found] == pytest.approx([one.confidence for one in expected])
