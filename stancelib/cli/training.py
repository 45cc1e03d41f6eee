"""``stancelib train`` and ``stancelib evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import ConfigDir, ConfigName, FitBar, OwnFamilies, err, out, scores_table, show_warnings

if TYPE_CHECKING:
    from stancelib.evaluation.metrics import Evaluation
    from stancelib.experiment import Result

RAW = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

HELP = {"--help", "-h"}
USAGE = r"[bold]stancelib train[/bold] \[key=value …] \[-m] \[-cd DIR] \[-cn NAME] \[--cfg job]"
EXAMPLES = {
    "stancelib train": "the shipped corpus, the default model",
    "stancelib train model=prior data=statements_full": "another family, another label set",
    "stancelib train data=files data.path=mine.csv split=random": "your own file",
    "stancelib train split=leave_out split.column=domain": "unseen domains",
    "stancelib train -m model=tfidf model.C=1,4,16": "a grid, one run each",
    "stancelib train seeds=5": "five seeds under one parent",
    "stancelib train resume=true": "go on with a killed run",
    "stancelib train evaluation.splits=[validation,test]": "the test split too: once, at the end",
    "stancelib train -cd experiments/0001_ladder -cn experiment": "a primary config of its own",
    "stancelib train --cfg job": "print the composed configuration and stop",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(context_settings=RAW, help="Fit a model, score it, log the run, save the model.")(train)
    app.command(context_settings={"ignore_unknown_options": True})(evaluate)


def train(context: typer.Context) -> None:
    """Fit a model; everything behind ``train`` goes to Hydra."""
    if HELP & set(context.args):
        _help(_own_folder([one for one in context.args if one not in HELP]))
        return
    from stancelib.app import train as run

    show_warnings()
    bar = FitBar()

    def show(result: Result, evaluation: Evaluation) -> None:
        bar.stop()
        _show(result, evaluation)

    try:
        run(context.args, show=show, report=bar.report)
    finally:
        bar.stop()


def evaluate(
    model: Annotated[str, typer.Argument(help="A bundle or run folder, runs:/<id>, or models:/<name>@<alias>.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Data and the rest, as for train: data=files data.path=x.csv")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Split to score; repeat for several. Default: validation.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder. Default: a new one below runs.")
    ] = None,
    families: OwnFamilies = None,
    config_dir: ConfigDir = None,
    config_name: ConfigName = "train",
) -> None:
    """Score a trained model on a corpus and log the run.

    Example: stancelib evaluate runs/…/model data=statements --split test
    """
    import shlex

    from stancelib.app import Sources
    from stancelib.app import evaluate as run
    from stancelib.models.base import own_families

    show_warnings()
    overrides, sources = [*(overrides or [])], Sources(config_dir, config_name)
    if split:
        overrides.append(f"evaluation.splits=[{','.join(split)}]")
    named = [word for name in families or [] for word in ("--family", name)]
    command = shlex.join(["stancelib", "evaluate", model, *named, *sources.arguments, *overrides])
    with err.status("evaluating"):
        note, own = f"```\n{command}\n```", own_families(families or [])
        result, evaluation = run(model, overrides, folder=output, note=note, sources=sources, families=own)
    _show(result, evaluation)


def _show(result: Result, evaluation: Evaluation) -> None:
    """Print what came out of a run and where it lies."""
    labels = next(iter(result.predictions.values())).labels
    counts = {
        split: {name: int((said.statements.gold == i).sum()) for i, name in enumerate(labels)}
        for split, said in result.predictions.items()
    }
    out.print(scores_table(result.scores, counts, evaluation.headline))
    out.print()
    show_fact("run", str(result.folder))
    show_fact("model", str(result.bundle))
    if result.url:
        show_fact("tracked", result.url)
    if result.message:
        err.print("[yellow]" + result.message.replace("[", r"\[") + "[/yellow]", soft_wrap=True)
    if spent := _spending(result):
        show_fact("test", spent)


def _spending(result: Result) -> str:
    """How often the test split was scored by now; empty if it wasn't, or the tracking store doesn't say."""
    from stancelib.schema import TEST
    from stancelib.tracking.spending import spending_of

    if TEST not in result.predictions:
        return ""
    spent = spending_of(result.folder, result.predictions[TEST].statements.digest[:12])
    return f"this test split has now been scored {spent.n} time{'s' * (spent.n != 1)}" if spent else ""


def show_fact(name: str, value: str) -> None:
    """Print where something is, on a line of its own."""
    out.print(f"[bold]{name:<8}[/bold]", end="")
    out.print(value, markup=False, highlight=False, soft_wrap=True)


def _own_folder(arguments: list[str]) -> Path | None:
    """The folder of options that stands beside ``--help``; without one, Hydra isn't needed."""
    if not arguments:
        return None
    from stancelib.app import Sources

    return Sources.of(arguments).folder


def _help(folder: Path | None) -> None:
    from rich.table import Table

    from stancelib.options import COMPONENTS, config_dir, options

    out.print(f"{USAGE}\n\nFit a model, score it on validation, log the run and save the model.\n", highlight=False)
    for command, meaning in EXAMPLES.items():
        out.print(f"  {meaning}\n    [dim]$[/dim] ", end="", highlight=False)
        out.print(command, markup=False, highlight=False, style="bold", soft_wrap=True)
    out.print()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for group, choices in options(folder).items():
        if group not in COMPONENTS:  # such as the gates of `stancelib promote`
            continue
        table.add_section()
        table.add_row(f"{group}=", "")
        for option, line in choices.items():
            table.add_row(f"  {option}", f"[dim]{line}[/dim]")
    out.print("[bold]Options by group[/bold]")
    out.print(table)
    out.print(
        f"\nEvery option's keys, with defaults and comments, stand in {config_dir()}/<group>/<option>.yaml",
        soft_wrap=True,
    )
