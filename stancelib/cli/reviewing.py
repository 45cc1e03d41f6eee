"""``stancelib review`` and ``take-back``: doubtful statements out to people, their labels back in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from stancelib.cli.console import ConfigDir, ConfigName, FitBar, OwnFamilies, err, out, refuse_existing, show_warnings

Overrides = Annotated[list[str] | None, typer.Argument(help="The data, as for train: data=files data.path=x.csv")]
N_FOLDS = 5
CHANGES = "changes.csv"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(review)
    app.command("take-back")(take_back)


def review(
    model: Annotated[str, typer.Argument(help="A bundle or run folder, runs:/<id>, or models:/<name>@<alias>.")],
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="File for the queue, CSV or TSV.")] = Path(
        "review.csv"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the queue if it exists.")] = False,
    split: Annotated[str, typer.Option(help="Split to look through.")] = "train",
    n_each: Annotated[int, typer.Option("-n", min=1, help="Statements per reason.")] = 50,
    noise: Annotated[
        bool, typer.Option(help="Rank likely mislabelled rows too, by cross-validating model=tfidf or another family.")
    ] = True,
    families: OwnFamilies = None,
    config_dir: ConfigDir = None,
    config_name: ConfigName = "train",
) -> None:
    """Queue the statements most worth a second look: uncertain, likely mislabelled, unlike the others.

    Likely mislabelled is what a family fitted on the other statements disagrees with: model=tfidf takes seconds, and
    model=cross_encoder finds more in many minutes. Example: stancelib review runs/…/model data=statements -o review.csv
    """
    from stancelib.app import Sources, compose
    from stancelib.data.cleaning import raise_errors
    from stancelib.evaluation.label_noise import label_noise
    from stancelib.experiment import with_labels_of
    from stancelib.inference import load
    from stancelib.models.base import fresh_fits, own_families
    from stancelib.reviewing import review_queue, write_queue

    refuse_existing(output, overwrite=overwrite)
    show_warnings()
    overrides = overrides or []
    family = [] if any(override.startswith("model=") for override in overrides) else ["model=tfidf"]
    parts, _ = compose([*family, *overrides], ("model", "data"), Sources(config_dir, config_name))
    bar = FitBar()
    try:
        loaded = load(model, families=own_families(families or []))
        raise_errors(parts["data"].findings)
        statements = with_labels_of(parts["data"], loaded).split(split)
        fit = fresh_fits(parts["model"], N_FOLDS, bar.report)
        found = label_noise(statements, fit, n_folds=N_FOLDS) if noise else None
    finally:
        bar.stop()
    with err.status("looking for doubtful statements"):
        queue = review_queue(loaded.judge(statements), noise=found, n_each=n_each, split=split)
    write_queue(output, queue)
    out.print(f"{len(queue)} statements to review in {output}: fill in the column corrected_label", highlight=False)


def take_back(
    reviewed: Annotated[Path, typer.Argument(help="The queue with the column corrected_label filled in.")],
    reviewer: Annotated[str, typer.Option(help="Who decided; kept in the record of changes.")],
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the corrected corpus.")] = Path("reviewed"),
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier take-back left there.")
    ] = False,
    encoding: Annotated[str, typer.Option(help="Of the queue; Excel often writes cp1252.")] = "utf-8",
    config_dir: ConfigDir = None,
    config_name: ConfigName = "train",
) -> None:
    """Take reviewed labels back: a corrected corpus and a record of every change.

    Example: stancelib take-back review.csv --reviewer ada data=statements
    """
    from stancelib.app import Sources, compose
    from stancelib.data.cleaning import raise_errors
    from stancelib.reviewing import take_back as read_back
    from stancelib.schema import SPLITS

    written = [*(f"{split}.jsonl" for split in SPLITS), CHANGES]
    for name in written:
        refuse_existing(output / name, overwrite=overwrite, other="folder")
    parts, _ = compose(overrides or [], ("data",), Sources(config_dir, config_name))
    raise_errors(parts["data"].findings)
    done = read_back(parts["data"], reviewed, reviewer=reviewer, encoding=encoding)
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".take-back-", dir=output) as draft:
        for split, statements in done.corpus.splits.items():
            columns = {name: statements.column(name) for name in statements.column_names}
            _write(Path(draft, f"{split}.jsonl"), columns)
        if done.changes:
            _write(Path(draft, CHANGES), done.columns())
        if (output / CHANGES).exists():  # what an earlier take-back left; without it, they are somebody else's
            for name in written:
                (output / name).unlink(missing_ok=True)
        for path in Path(draft).iterdir():
            path.replace(output / path.name)
    out.print(
        f"{len(done.changes)} labels reviewed, {done.n_corrected} corrected; written to {output}", highlight=False
    )


def _write(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    from stancelib.data.writing import write_rows

    with write_rows(path) as write:
        write([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
