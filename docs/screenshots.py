"""Trains a small ladder of models on the shipped corpus and takes the pictures of the README and of these pages.

    make screenshots

Runs lie in ``build/screenshots`` and are trained once: what is finished there is only pictured again. Needs the extras
``train``, ``torch`` and ``offline``, and Chromium (``--browser`` names another one that takes the same options).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp  # comes with datasets
from PIL import Image  # comes with matplotlib

from stancelib.tracking import RunRow, recent_runs
from stancelib.tracking.browse import download_artifact
from stancelib.tracking.view import HEADLINE_METRIC

ROOT = Path(__file__).resolve().parents[1]
STANCELIB = [sys.executable, "-c", "from stancelib.cli import main; main()"]
LADDER = [
    ["-m", "model=prior", "model.per_target=false,true"],
    ["-m", "model=tfidf", "model.C=0.5,8"],
    ["model=tfidf", "model.use_target=false"],
    ["-m", "model=tfidf,embedding,hybrid,cross_encoder"],
]
HEADLINE, SPLIT, COMPARED = HEADLINE_METRIC, "validation", "tfidf"
SAFE = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]
SCALE = 1.5
PATIENCE_SECONDS, SETTLE_SECONDS = 180.0, 3.0


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and what is done to it before its picture is taken.

    Args:
        url: Where it is.
        name: Of the picture.
        size: Of the window, width and height in pixels.
        steps: Pairs of an expression to wait for, and a script to run then.
    """

    url: str
    name: str
    size: tuple[int, int]
    steps: Sequence[tuple[str, str]] = ()


FOLD = "document.querySelector('[aria-label=\"Toggle sidebar\"]').click()"
TIDY = "document.elementFromPoint(innerWidth - 36, innerHeight - 36)?.closest('button')?.remove()"
"""Takes the button of the UI's assistant off the lower right corner."""


def runs_page(link: str) -> Page:
    """The runs table as its link opens it; the notice that this is a shared view is closed."""
    base, key = link.partition("#")[0], "mlflow.assistant.panelOpen_v1"
    shown = "document.querySelector('.ag-center-cols-container .ag-row')"
    buttons = "[...document.querySelectorAll('button')]"
    notice = f"{buttons}.findIndex(e => e.textContent === 'Exit shared view')"
    steps = [("document.body", f"localStorage['{key}'] = false; location = {json.dumps(link)}; location.reload()")]
    steps += [(f"{shown} && {notice} >= 0", f"{buttons}[{notice} + 1].click()"), (shown, FOLD), (shown, TIDY)]
    return Page(base, "runs", (1400, 600), steps)


def compare_page(link: str, run_ids: Sequence[str]) -> Page:
    """Runs side by side: parallel coordinates of the headline, and the parameters that differ."""
    base, _, rest = link.partition("/#/experiments/")
    lists = f"runs={quote(json.dumps(run_ids))}&experiments={quote(json.dumps([rest.partition('/')[0]]))}"
    select = "[...document.querySelectorAll('[class*=-select-multiple]')].at(-1)"
    press = "dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))"
    option = f"document.querySelector('[class*=select-item-option][title=\"{HEADLINE}\"]')"
    steps = [
        (select, f"{select}.querySelectorAll('[class*=selection-item-remove]').forEach(e => e.click())"),
        (select, f"{select}.querySelector('[class*=select-selector]').{press}"),
        (select, f"{select}.querySelector('input').focus(); document.execCommand('insertText', false, '{HEADLINE}')"),
        (option, f"{option}.click(); {select}.querySelector('input').blur(); document.body.{press}"),
        ("true", FOLD),
        ("true", "document.querySelectorAll('button[role=switch]').forEach(e => e.click())"),
        ("true", TIDY),
    ]
    return Page(f"{base}/#/compare-runs?{lists}&workflowType=machine_learning", "compare", (1400, 1200), steps)


def train_ladder(folder: Path) -> list[RunRow]:
    """The finished runs of the ladder, best first; those that are missing are trained."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    for options in LADDER:
        command = [*STANCELIB, "train", *options, "resume=true"]
        print("stancelib train", *options, flush=True)  # noqa: T201
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return [run for run in recent_runs(limit=100, order_by=HEADLINE) if run.status == "FINISHED"]


@contextmanager
def served_ui(port: str) -> Iterator[str]:
    """The link to the runs while the UI is up."""
    command = [*STANCELIB, "ui", "--port", port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as ui:
        try:
            assert ui.stdout is not None
            yield ui.stdout.readline().strip()
        finally:
            ui.send_signal(signal.SIGINT)


async def photograph(browser: str, pages: Sequence[Page], output: Path) -> None:
    """One picture of every page, in light mode, over Chromium's DevTools protocol."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = [f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        with subprocess.Popen(
            [browser, *SAFE, *QUIET, *options, "about:blank"], stderr=subprocess.PIPE, text=True
        ) as chromium:
            try:
                assert chromium.stderr is not None
                line = next(line for line in chromium.stderr if "DevTools listening on" in line)
                port = line.split("://")[1].split("/")[0]
                async with aiohttp.ClientSession() as session:
                    async with session.get(f"http://{port}/json/list") as answer:
                        tab = next(tab for tab in await answer.json() if tab["type"] == "page")
                    async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                        for page in pages:
                            await _photograph_page(socket, page, output / f"{page.name}.png")
            finally:
                chromium.terminate()


async def _photograph_page(socket: aiohttp.ClientWebSocketResponse, page: Page, path: Path) -> None:
    width, height = page.size
    options = {"width": width, "height": height, "deviceScaleFactor": SCALE, "mobile": False}
    await _call(socket, "Emulation.setDeviceMetricsOverride", **options)
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    await _call(socket, "Emulation.setEmulatedMedia", features=light)
    await _call(socket, "Page.navigate", url="about:blank")
    await _call(socket, "Page.navigate", url=page.url)
    for wanted, script in page.steps:
        await _wait_for(socket, wanted)
        await asyncio.sleep(SETTLE_SECONDS)
        await _call(socket, "Runtime.evaluate", expression=script)
    await asyncio.sleep(SETTLE_SECONDS)
    picture = base64.b64decode((await _call(socket, "Page.captureScreenshot", format="png"))["data"])
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").save(path, optimize=True)


async def _wait_for(socket: aiohttp.ClientWebSocketResponse, expression: str) -> None:
    """Until the expression is true in the page; a page that reloads has nothing yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = await _call(socket, "Runtime.evaluate", expression=f"Boolean({expression})", returnByValue=True)
        if found.get("result", {}).get("value"):
            return
        await asyncio.sleep(0.5)
    raise TimeoutError(f"the page never had {expression}")


async def _call(socket: aiohttp.ClientWebSocketResponse, method: str, **params: object) -> dict[str, Any]:
    """What the browser answers to a command; its events are skipped."""
    await socket.send_json({"id": 1, "method": method, "params": params})
    while True:
        message = await socket.receive_json(timeout=PATIENCE_SECONDS)
        if message.get("id") == 1:
            return dict(message["result"])


def main() -> None:
    """Train what is missing, start the UI, take the pictures, stop the UI."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--port", default="5055")
    arguments = parser.parse_args()
    output = arguments.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    runs = train_ladder(arguments.runs)
    report = download_artifact(runs[0].run_id, f"report_{SPLIT}.html")
    assert report is not None
    with served_ui(arguments.port) as link:
        compared = [run.run_id for run in runs if run.model == COMPARED]
        pages = [runs_page(link), compare_page(link, compared), Page(report.as_uri(), "report", (1140, 1010))]
        asyncio.run(photograph(arguments.browser, pages, output))


if __name__ == "__main__":
    main()
