"""Takes the pictures of the README from the runs in the current folder.

    stancelib train -m model.C=0.5,2,8      # and whatever else the pictures should show
    python docs/screenshots.py --output docs/images

Needs Chromium (``--browser`` names another one that takes the same options).
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from PIL import Image  # comes with matplotlib

from stancelib.tracking import recent_runs

SAFE = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
ASSISTANT_FRACTION = 0.257  # of the window, which a fresh browser gives to MLflow's assistant
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"]


def compare_url(link: str, run_ids: list[str]) -> str:
    """The page that sets runs side by side, from the link to the runs table."""
    base, _, rest = link.partition("/#/experiments/")
    experiment = rest.partition("/")[0]
    lists = f"runs={quote(json.dumps(run_ids))}&experiments={quote(json.dumps([experiment]))}"
    return f"{base}/#/compare-runs?{lists}&workflowType=machine_learning"


def photograph(browser: str, url: str, path: Path, *, width: int, height: int, wait_seconds: float) -> None:
    """One picture of a page, once its scripts have had their time, without the assistant at its right."""
    with tempfile.TemporaryDirectory() as profile:
        size = f"{width / (1 - ASSISTANT_FRACTION):.0f},{height}"
        options = [f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={path.absolute()}"]
        patience = [f"--virtual-time-budget={wait_seconds * 1000:.0f}"]
        subprocess.run([browser, *SAFE, *QUIET, *patience, *options, url], check=True, capture_output=True)
    with Image.open(path) as picture:
        page = picture.convert("RGB").crop((0, 0, width, picture.height))
    page.quantize(64).save(path, optimize=True)


def main() -> None:
    """Start the UI, take the pictures, stop the UI."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("--port", default="5055")
    parser.add_argument("--wait-seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    runs = [run for run in recent_runs(limit=200, order_by="validation/macro_f1") if run.status == "FINISHED"]
    best = [run for run in runs if run.params.get("data.labels") == runs[0].params.get("data.labels")][:6]
    arguments.output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from stancelib.cli import main; main()", "ui", "--port", arguments.port]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as ui:
        try:
            assert ui.stdout is not None
            link = ui.stdout.readline().strip()
            pages = {
                "runs": (link, 1100, 620),
                "charts": (f"{link}&compareRunsMode=CHART", 1100, 620),
                "compare": (compare_url(link, [run.run_id for run in best]), 1100, 1500),
            }
            for name, (url, width, height) in pages.items():
                path = arguments.output / f"{name}.png"
                photograph(
                    arguments.browser, url, path, width=width, height=height, wait_seconds=arguments.wait_seconds
                )
                print(f"{path}  {path.stat().st_size / 1024:.0f} kB")  # noqa: T201
        finally:
            ui.send_signal(signal.SIGINT)


if __name__ == "__main__":
    main()
