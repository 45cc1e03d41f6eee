"""Draws ladder.png from results.csv: test macro-F1 with its interval, a row per family, beside speed and size.

usage: python picture.py
"""

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent


def main() -> None:
    """One panel per corpus."""
    panels = defaultdict(list)
    with (HERE / "results.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            panels[row["data"]].append(row)
    heights = [max(2, len({row["family"] for row in rows})) for rows in panels.values()]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, 0.42 * sum(heights) + len(panels)), height_ratios=heights, layout="constrained"
    )
    for axis, (data, rows) in zip(axes, panels.items(), strict=True):
        families = list(dict.fromkeys(row["family"] for row in rows))
        for row in rows:
            place = families.index(row["family"]) + 0.15 * (int(row["seed"]) - 1)
            score, low, high = (float(row[f"test/macro_f1{end}"]) for end in ("", "_low", "_high"))
            axis.errorbar(score, place, xerr=[[score - low], [high - score]], fmt="o", ms=4, capsize=2, color="C0")
        costs = {row["family"]: row for row in reversed(rows)}
        for place, family in enumerate(families):
            speed, mib = float(costs[family]["perf/statements_per_second"]), float(costs[family]["perf/bundle_mib"])
            axis.text(
                1.02, place, f"{speed:,.0f} a second, {mib:,.1f} MiB", transform=axis.get_yaxis_transform(), va="center"
            )
        axis.set(
            yticks=range(len(families)), yticklabels=families, xlabel="macro-F1 on test, a dot per seed", title=data
        )
        axis.grid(axis="x", alpha=0.3)
    figure.savefig(HERE / "ladder.png", dpi=110)


if __name__ == "__main__":
    main()
