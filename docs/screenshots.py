"""Takes the pictures of the README from the runs in the current folder.

    stancelib train -m model.C=0.5,2,8      # and whatever else the pictures should show
    python docs/screenshots.py --output docs/images

Needs Chromium (``--browser`` names another one that takes the same options).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp  # comes with datasets
from PIL import Image  # comes with matplotlib

from stancelib.tracking import recent_runs

SAFE = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
WIDTH, HEIGHT = 1200, 800
CLOSE_ASSISTANT = "document.querySelector('[data-component-id*=assistant][data-component-id*=close]')?.click()"
METRIC_SELECT = "[...document.querySelectorAll('[class*=-select-multiple]')].at(-1)"
CHOOSE_METRIC = [
    f"{METRIC_SELECT}.querySelector('[class*=selection-item-remove]').click()",
    f"{METRIC_SELECT}.querySelector('[class*=select-selector]').dispatchEvent("
    "new MouseEvent('mousedown', {bubbles: true}))",
    f"{METRIC_SELECT}.querySelector('input').focus(); document.execCommand('insertText', false, 'validation/macro_f1')",
    "document.querySelector('[class*=select-item-option][title=\"validation/macro_f1\"]').click(); "
    f"{METRIC_SELECT}.querySelector('input').blur()",
    "document.body.dispatchEvent(new MouseEvent('mousedown', {bubbles: true}))",
]
SHOW_DIFFERENCES = [
    "[...document.querySelectorAll('[role=button]')].find(e => e.textContent.trim() == 'Run details')?.click()",
    "document.querySelectorAll('button[role=switch]').forEach(e => e.click())",
]
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the UI, and what is clicked on it before the picture is taken."""

    url: str
    path: Path
    height: int
    scripts: Sequence[str]


def compare_url(link: str, run_ids: list[str]) -> str:
    """The page that sets runs side by side, from the link to the runs table."""
    base, _, rest = link.partition("/#/experiments/")
    experiment = rest.partition("/")[0]
    lists = f"runs={quote(json.dumps(run_ids))}&experiments={quote(json.dumps([experiment]))}"
    return f"{base}/#/compare-runs?{lists}&workflowType=machine_learning"


async def photograph(browser: str, pages: Sequence[Page], *, wait_seconds: float) -> None:
    """One picture of every page, taken over Chromium's DevTools protocol."""
    with tempfile.TemporaryDirectory() as profile:
        options = [f"--user-data-dir={profile}", "--remote-debugging-port=0", f"--window-size={WIDTH},{HEIGHT}"]
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
                            await _photograph_page(socket, page, wait_seconds)
            finally:
                chromium.terminate()


async def _photograph_page(socket: aiohttp.ClientWebSocketResponse, page: Page, wait_seconds: float) -> None:
    size = {"width": WIDTH, "height": page.height, "deviceScaleFactor": 1, "mobile": False}
    await _call(socket, "Emulation.setDeviceMetricsOverride", **size)
    await _call(socket, "Page.navigate", url="about:blank")
    await _call(socket, "Page.navigate", url=page.url)
    await asyncio.sleep(wait_seconds)
    for script in page.scripts:
        await _call(socket, "Runtime.evaluate", expression=script)
        await asyncio.sleep(wait_seconds / 4)
    picture = base64.b64decode((await _call(socket, "Page.captureScreenshot", format="png"))["data"])
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(128).save(page.path, optimize=True)


async def _call(socket: aiohttp.ClientWebSocketResponse, method: str, **params: object) -> dict[str, Any]:
    """What the browser answers to a command; its events are skipped."""
    await socket.send_json({"id": 1, "method": method, "params": params})
    while True:
        message = await socket.receive_json(timeout=60)
        if message.get("id") == 1:
            return dict(message["result"])


def main() -> None:
    """Start the UI, take the pictures, stop the UI."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--port", default="5055")
    parser.add_argument("--wait-seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    runs = [run for run in recent_runs(limit=200, order_by="validation/macro_f1") if run.status == "FINISHED"]
    best = [run for run in runs if run.params.get("data.labels") == runs[0].params.get("data.labels")][:6]
    arguments.output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from stancelib.cli import main; main()", "ui", "--port", arguments.port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as ui:
        try:
            assert ui.stdout is not None
            link = ui.stdout.readline().strip()
            compared = compare_url(link, [run.run_id for run in best])
            pages = [
                Page(link, arguments.output / "runs.png", 560, [CLOSE_ASSISTANT]),
                Page(
                    compared,
                    arguments.output / "compare.png",
                    1080,
                    [CLOSE_ASSISTANT, *CHOOSE_METRIC, *SHOW_DIFFERENCES],
                ),
            ]
            asyncio.run(photograph(arguments.browser, pages, wait_seconds=arguments.wait_seconds))
        finally:
            ui.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
