"""``stancelib check``: the data checks alone, and a summary of the corpus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from stancelib.cli.console import ConfigDir, ConfigName, err, out

if TYPE_CHECKING:
    from rich.table import Table

    from stancelib.data.summary import Summary

N_SHORTCUTS = 15


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(check)


def check(
    overrides: Annotated[list[str] | None, typer.Argument(help="Data, split and model as for train.")] = None,
    config_dir: ConfigDir = None,
    config_name: ConfigName = "train",
) -> None:
    """Check a corpus before training and summarise it; exit code 2 if it has errors.

    Example: stancelib check data=files data.path=mine.csv
    """
    from stancelib.app import Sources, read_corpus
    from stancelib.data.cleaning import check_corpus
    from stancelib.data.summary import summarise

    with err.status("reading and checking"):
        corpus, model = read_corpus(overrides or [], Sources(config_dir, config_name))
        findings = check_corpus(corpus, needs_target=model.uses_target)
        summary = summarise(corpus) if any(map(len, corpus.splits.values())) else None
    if summary:
        show_summary(summary)
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in findings:
        style = "bold red" if finding.severity == "error" else "yellow"
        out.print(f"[{style}]{finding.severity}[/{style}] [dim]{finding.check}[/dim]", end=" ")
        out.print(finding.message, markup=False, highlight=False, soft_wrap=True)
    n_warnings = len(findings) - len(errors)
    counts = [(len(errors), "error"), (n_warnings, "warning")]
    out.print(", ".join(f"{n} {what}{'s' * (n != 1)}" for n, what in counts), style="bold")
    if errors:
        raise typer.Exit(2)


def show_summary(summary: Summary) -> None:
    """Print a corpus in numbers."""
    title = f"{summary.name}  {summary.source}  split: {summary.protocol}"
    out.print(title, style="bold", markup=False, highlight=False, soft_wrap=True)
    out.print(f"[dim]SHA-256 {summary.digest}[/dim]\n", highlight=False)
    out.print(_counts(summary))
    if summary.n_further:
        further = ", ".join(f"{name} {n:,}" for name, n in sorted(summary.n_further.items()))
        out.print(f"\nfurther labels in train: {further}", markup=False, highlight=False, soft_wrap=True)
    repeated = summary.duplicates
    out.print(
        f"\nduplicates: {repeated.n_exact} exact, {repeated.n_near} near; "
        f"across splits {repeated.n_exact_across} exact, "
        f"{repeated.n_near_across} near; {repeated.n_conflicting} rows in conflict",
        highlight=False,
    )
    if summary.shortcuts:
        out.print("\nshortcuts: what gives a label away beyond chance", style="bold")
        out.print(_shortcuts(summary))
    else:
        out.print("shortcuts: none beyond chance", highlight=False)
    out.print()


def _counts(summary: Summary) -> Table:
    """Labels by split, then targets and lengths."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for split in summary.label_counts:
        table.add_column(split, justify="right")
    rows = list(summary.label_counts.values())
    for label in dict.fromkeys(name for counts in rows for name in counts):
        table.add_row(Text(label), *(f"{counts.get(label, 0):,}" for counts in rows))
    table.add_row("all", *(f"{sum(counts.values()):,}" for counts in rows), style="bold")
    table.add_section()
    table.add_row("targets", *(f"{n:,}" for n in summary.n_targets.values()))
    words = [" / ".join(f"{lengths[q]:.0f}" for q in (0.0, 0.5, 0.95, 1.0)) for lengths in summary.words.values()]
    table.add_row("words: least / median / 95 % / most", *words)
    return table


def _shortcuts(summary: Summary) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "value", "label"):
        table.add_column(name)
    for name in ("rows", "with label", "expected", "PMI (bits)"):
        table.add_column(name, justify="right")
    for cut in summary.shortcuts[:N_SHORTCUTS]:
        numbers = (str(cut.n_rows), f"{cut.fraction:.0%}", f"{cut.expected_fraction:.0%}", f"{cut.pmi:+.2f}")
        table.add_row(cut.kind, Text(cut.value), Text(cut.label), *numbers)
    if (rest := len(summary.shortcuts) - N_SHORTCUTS) > 0:
        table.add_row("", f"… and {rest} more", "")
    return table
