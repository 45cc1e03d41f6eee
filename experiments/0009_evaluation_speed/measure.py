"""How long evaluating 10,000 predictions takes, and the whole report for the shipped corpus.

The model is planted, so that its own predictions cost next to nothing; the second part is the default model's.

usage: python experiments/0009_evaluation_speed/measure.py [--rounds 3] > experiments/0009_evaluation_speed/results.csv
"""

import argparse
import csv
import statistics
import sys
import time

import numpy as np

from stancelib.analysis import Controls, Memory, analyse, explain_errors, report_facts
from stancelib.bundle import Bundle
from stancelib.data.statements import statements
from stancelib.evaluation.behaviour import judge_suite
from stancelib.evaluation.cases import load_suite
from stancelib.evaluation.comparison import compare
from stancelib.evaluation.intervals import clusters_of, intervals, with_bounds
from stancelib.evaluation.metrics import Analyses, Evaluation, scores
from stancelib.evaluation.report import Report
from stancelib.evaluation.slices import slice_scores
from stancelib.evaluation.summary import markdown
from stancelib.inference import StanceModel
from stancelib.labels import LabelSet
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Predictions, Statements

N, N_CLUSTERS = 10_000, 2_500
LABELS = LabelSet.of(("conditional-accept", "reject", "propose"))
EVERYTHING = Evaluation(analyses=Analyses(robustness=True))


def planted(seed):
    """Ten thousand labelled statements in 2,500 clusters, with the columns that slices are made of."""
    random = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(500)])
    phenomena = np.array(["negation", "hedge", "question", "reported", "polite", "idiom", "numbers", "long"])
    return Statements(
        [" ".join(random.choice(words, random.integers(5, 60))) for _ in range(N)],
        [f"the plan for {words[i]} and {words[-i]}" for i in random.integers(500, size=N)],
        LABELS,
        random.integers(3, size=N),
        columns={
            "group": [f"g{i}" for i in random.integers(N_CLUSTERS, size=N)],
            "domain": [f"domain {i}" for i in random.integers(21, size=N)],
            "register": [f"register {i}" for i in random.integers(4, size=N)],
            "tranche": [f"tranche {i}" for i in random.integers(2, size=N)],
            "phenomena": [random.choice(phenomena, random.integers(3), replace=False).tolist() for _ in range(N)],
        },
    )


def said_about(asked, seed):
    """Predictions that are right three times out of four."""
    random = np.random.default_rng(seed)
    label_ids = np.where(random.random(N) < 0.75, asked.gold, random.integers(3, size=N))
    sharp = random.dirichlet(np.ones(3), N) + 2 * np.eye(3)[label_ids]
    return Predictions(asked, LABELS, sharp / sharp.sum(axis=1, keepdims=True))


def ten_thousand():
    asked = planted(0)
    first, second = said_about(asked, 1), said_about(asked, 2)
    clusters = clusters_of(asked)
    yield "scores and all intervals", lambda: (scores(first), intervals(first, clusters))
    yield "all slices with intervals", lambda: slice_scores(first, training_targets=asked.targets[:100])
    yield "paired test and intervals of every difference", lambda: compare(first, second, clusters)


def shipped():
    """The whole report of validation, robustness too, with the default model."""
    corpus = statements()
    train, asked = corpus.split("train"), corpus.split("validation")
    model = Tfidf().fit(train)
    manifest = {"family": "tfidf", "uses_target": True, "name": "tfidf s0"}
    loaded = StanceModel(Bundle("", model, corpus.labels, manifest))
    said = loaded.judge(asked)

    def report():
        memory = Memory(loaded, [said])
        found = scores(said)
        found |= with_bounds(intervals(said, clusters_of(asked)))
        behaviour = judge_suite(memory, load_suite())
        findings = analyse(memory, said, EVERYTHING, train=train, controls=Controls.fit(train), behaviour=behaviour)
        page = Report(
            title="tfidf s0",
            split="validation",
            predictions=said,
            scores=found,
            evaluation=EVERYTHING,
            findings=findings,
            explained=explain_errors(memory, said, EVERYTHING),
            facts=report_facts(loaded, corpus, said, EVERYTHING),
        )
        return page.html(), markdown(page)

    yield "whole report of the shipped corpus, with tfidf", report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    write = csv.writer(sys.stdout)
    write.writerow(["what", "median_wall_seconds", "median_cpu_seconds", "limit_seconds", "rounds"])
    for measured, name, limit in ((ten_thousand, "10,000 predictions, all of it", 20), (shipped, "", 30)):
        total_wall = total_cpu = 0.0
        for what, run in measured():
            wall, cpu = [], []
            for _ in range(options.rounds):
                started, used = time.perf_counter(), time.process_time()
                run()
                wall.append(time.perf_counter() - started)
                cpu.append(time.process_time() - used)
            total_wall, total_cpu = total_wall + statistics.median(wall), total_cpu + statistics.median(cpu)
            shown = "" if name else limit
            write.writerow(
                [what, f"{statistics.median(wall):.2f}", f"{statistics.median(cpu):.2f}", shown, options.rounds]
            )
            sys.stdout.flush()
        if name:
            write.writerow([name, f"{total_wall:.2f}", f"{total_cpu:.2f}", limit, options.rounds])


if __name__ == "__main__":
    main()
