"""What all commands print with: the two consoles, tables of scores, and errors in one sentence."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from stancelib.errors import BundleError, ConfigError, DataError, MissingExtraError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.table import Table

    from stancelib.schema import Progress

ConfigDir = Annotated[
    Path | None, typer.Option("-cd", "--config-dir", help="Folder with options of your own, <group>/<name>.yaml.")
]
ConfigName = Annotated[str, typer.Option("-cn", "--config-name", help="Primary config, of that folder or shipped.")]
OwnFamilies = Annotated[
    list[str] | None,
    typer.Option("--family", help="Family of your own that the model may be of, as <module>.<class>; repeatable."),
]
out = Console()
err = Console(stderr=True)
USERS_MISTAKES = (ConfigError, DataError, BundleError, MissingExtraError)


def explain_failure(error: BaseException) -> int:
    """Print an error in one sentence; the exit code: 2 for the user's mistake, 1 for a failed job, 130 for Ctrl-C."""
    if isinstance(error, KeyboardInterrupt):
        err.print("[yellow]Interrupted.[/yellow]")
        return 130
    mistake = isinstance(error, USERS_MISTAKES)
    message = str(error) if mistake else f"{type(error).__name__}: {error}"
    err.print("[bold red]Error:[/bold red]", end=" ")
    err.print(message, markup=False, highlight=False, soft_wrap=True)
    if not mistake:
        err.print("[dim]The job failed. Add --debug to see where.[/dim]")
    return 2 if mistake else 1


def refuse_existing(path: str | Path, *, overwrite: bool, other: str = "file") -> None:
    """Stop before a file of the user's is written over unasked; ``other`` is what can be named instead.

    Raises:
        ConfigError: If it exists and ``overwrite`` is false.
    """
    if Path(path).exists() and not overwrite:
        raise ConfigError(f"'{path}' exists already. Name another {other}, or add --overwrite to replace it.")


def show_warnings() -> None:
    """Let the library's warnings through to the terminal, without third parties' chatter."""
    from rich.logging import RichHandler

    logger = logging.getLogger("stancelib")
    if not logger.handlers:
        logger.addHandler(RichHandler(console=err, show_time=False, show_path=False, markup=False))
        logger.setLevel(logging.INFO)
        logger.propagate = False


class FitBar:
    """A progress bar on the error stream that appears with the first Progress and can be stopped at any time."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def report(self, progress: Progress) -> None:
        """Show how far the fit is, and what was measured last."""
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        if not err.is_terminal:  # rich would leave an empty line in a log
            return
        if self._bar is None:
            layout = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
            )
            self._bar = Bar(*layout, console=err, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("reading")
        measured = "  ".join(
            f"{name.partition('/')[2] or name} {value:.4g}" for name, value in progress.metrics.items()
        )
        total = progress.n_steps or None
        self._bar.update(self._task, completed=progress.step, total=total, description=measured or "training")

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def scores_table(
    scores: Mapping[str, Mapping[str, float]], labels: Mapping[str, Mapping[str, int]], headline: str
) -> Table:
    """Scores by split: the headline first, then precision, recall and F1 of every label with its count."""
    from rich.table import Table
    from rich.text import Text

    from stancelib.evaluation.metrics import headline_first, spelled

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for split in scores:
        table.add_column(split, justify="right")
    for name in headline_first(next(iter(scores.values())), headline):
        style = "bold green" if name == headline else ""
        table.add_row(name, *(spelled(values, name) for values in scores.values()), style=style)
    table.add_section()
    table.add_row("[dim]label (n)[/dim]", *["[dim]P / R / F1[/dim]"] * len(scores))
    for label in next(iter(labels.values())):
        counts = "/".join(str(labels[split][label]) for split in scores)
        cells = [
            " / ".join(f"{values[f'{kind}.{label}']:.2f}" for kind in ("precision", "recall", "f1"))
            for values in scores.values()
        ]
        table.add_row(Text(f"{label} ({counts})"), *cells)
    return table
