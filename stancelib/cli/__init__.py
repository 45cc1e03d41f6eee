"""The command line: train, evaluate, predict, compare, curve, promote, check, review, runs, ui, sync ….

Exit codes: 0 fine, 1 the job failed, 2 the user's mistake. Commands import what they need when they run.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from stancelib import __version__
from stancelib.cli import checking, comparing, predicting, promoting, reviewing, sizing, tracking, training
from stancelib.cli.console import explain_failure, out

HELP = """Train, compare and reuse stance classifiers.

A statement is judged towards a target, the proposal on the table: does it accept on conditions, reject, or propose?
"""

OPTIONS = {
    "--version": "Print the version and stop.",
    "--install-completion": "Install completion for the current shell; --show-completion prints it.",
    "--debug": "Behind any command: show the traceback of an error.",
    "--help": "This page; behind a command, its options and examples.",
}
INTERRUPTED = 130

app = typer.Typer(
    help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False, add_completion=True
)
training.register(app)
predicting.register(app)
checking.register(app)
comparing.register(app)
sizing.register(app)
promoting.register(app)
reviewing.register(app)
tracking.register(app)


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"stancelib {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the console script."""
    debug = "--debug" in sys.argv or bool(os.environ.get("STANCELIB_DEBUG"))
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    if "--version" in sys.argv[1:2]:
        typer.echo(f"stancelib {__version__}")
        return
    if sys.argv[1:] in ([], ["--help"]):
        _overview()
        return
    try:
        app(prog_name="stancelib")
    except Exception as error:
        if debug:
            raise
        sys.exit(explain_failure(error))
    except SystemExit as stop:
        if stop.code == INTERRUPTED:  # what Typer makes of Ctrl-C
            explain_failure(KeyboardInterrupt())
        raise


def _overview() -> None:
    """The help of the whole program, printed without what Typer's own help would load."""
    commands = {
        command.name or function.__name__: (command.help or function.__doc__ or "").strip().partition("\n")[0]
        for command in app.registered_commands
        if (function := command.callback)
    }
    usage = r"[bold]Usage:[/bold] stancelib COMMAND \[ARGUMENTS] \[OPTIONS]"
    out.print(f"{usage}\n\n{HELP}", highlight=False)
    width = max(map(len, [*commands, *OPTIONS]))
    for title, lines in (("Commands", commands), ("Options", OPTIONS)):
        out.print(f"[bold]{title}[/bold]")
        for name, line in lines.items():
            out.print(f"  [cyan]{name:<{width}}[/cyan]  {line}", highlight=False, soft_wrap=True)
        out.print()
