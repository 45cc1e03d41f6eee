"""A report in short, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from stancelib.evaluation.intervals import Interval
from stancelib.evaluation.report import Report
from stancelib.evaluation.verdicts import with_interval


def markdown(report: Report) -> str:
    """Verdicts, scores, capabilities and worst errors of a report."""
    content = report.content()
    lines = [f"# {cell(report.title)}: {report.split}", ""]
    lines += [f"{content['n_statements']} statements in {content['n_clusters']} independent clusters.", ""]
    lines += [f"- **{one.question}** {cell(one.answer)}" for one in content["verdicts"]]
    scores = [content["headline"], *content["scores"]]
    lines += ["", *table(["score", "value"], [[one["name"], _value(one["value"], one["interval"])] for one in scores])]
    rows = [
        [
            one["name"],
            str(one["count"]),
            f"{one['precision']:.3f}",
            f"{one['recall']:.3f}",
            _value(one["f1"], one["interval"]),
        ]
        for one in content["labels"]
    ]
    lines += ["", *table(["label", "statements", "precision", "recall", "F1"], rows)]
    if content["behaviour"]:
        passed = [
            [one["name"], f"{one['n_passed']} of {one['n']}", f"{one['rate']:.0%}"] for one in content["behaviour"]
        ]
        lines += ["", *table(["capability", "passed", ""], passed)]
    if content["errors"]:
        errors = [
            [
                "".join(text for text, _ in one["pieces"]),
                one["target"] or "",
                one["gold"],
                one["predicted"],
                f"{one['confidence']:.2f}",
            ]
            for one in content["errors"]
        ]
        lines += ["", *table(["worst errors", "target", "gold", "predicted", "confidence"], errors)]
    lines += ["", *(f"- {name}: {cell(value)}" for name, value in report.facts.items())]
    return "\n".join(lines) + "\n"


def _value(value: float, around: Interval | None) -> str:
    return with_interval(around) if around else f"{value:.3f}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are plain text."""
    lines = ["| " + " | ".join(map(cell, row)) + " |" for row in [header, *rows]]
    return [lines[0], "|" + "---|" * len(header), *lines[1:]]


def cell(text: str) -> str:
    """Text that stays text in Markdown: one line, without HTML, table bars or emphasis."""
    one_line = " ".join(str(text).split())
    for character in "\\`*_[]|":
        one_line = one_line.replace(character, f"\\{character}")
    return one_line.replace("&", "&amp;").replace("<", "&lt;")
