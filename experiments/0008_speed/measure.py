"""Time stancelib against what an engineer would write by hand, pairs interleaved in one run.

usage: python experiments/0008_speed/measure.py [--rounds 5] [--rows 1000000] > experiments/0008_speed/results.csv
"""

import argparse
import csv
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[1] / "data" / "statements"
PYTHON, STANCELIB = sys.executable, str(Path(sys.executable).with_name("stancelib"))

BARE_PREDICT = """
import json, sys
import numpy as np
import sklearn.linear_model
from safetensors.numpy import load_file
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
folder, text, target = sys.argv[1:]
idf, head = load_file(folder + "/idf.safetensors"), load_file(folder + "/head.safetensors")
token = r"(?u)\\w+|[^\\w\\s]"
spans = json.load(open(folder + "/blocks.json"))["ngrams"]
parts = []
for name, source in (("word", text), ("char", text), ("target", target)):
    if name not in idf: continue
    terms = json.load(open(f"{folder}/vocabulary.{name}.json"))
    options = dict(analyzer="char_wb") if name == "char" else dict(token_pattern=token)
    options |= dict(vocabulary={t: i for i, t in enumerate(terms)}, ngram_range=tuple(spans.get(name) or (1, 2)))
    v = TfidfVectorizer(sublinear_tf=True, **options)
    v.idf_ = idf[name]
    parts.append(v.transform([source]))
scores = hstack(parts + [csr_matrix([[0.0, 0.0, 0.0]])]) @ head["coef"] + head["intercept"]
print(scores.argmax())
"""

THROUGHPUT = """
import json, sys, time
import numpy as np
from scipy.sparse import csr_matrix, hstack
import stancelib
from stancelib.scoring import score_rows
from stancelib.schema import Place
folder, corpus, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = [json.loads(line) for line in open(corpus + "/train.jsonl")]
model = stancelib.load(folder)
inner = model.bundle.model
vectorizers, coef, intercept = inner.blocks_.vectorizers_, inner.head_.coef, inner.head_.intercept
texts, targets = [r["text"] for r in rows], [r["target"] for r in rows]

def bare():
    parts = [v.transform(targets if name == "target" else texts) for name, v in vectorizers.items()]
    scores = hstack(parts + [csr_matrix((len(texts), 3))], format="csr") @ coef + intercept
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)

def ours():
    return model.predict_proba(texts, targets)

for _ in range(rounds):
    for name, run in (("ours", ours), ("bare", bare)):
        start = time.perf_counter(); run(); print(name, time.perf_counter() - start)
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp())
    try:
        write = csv.writer(sys.stdout)
        write.writerow(["what", "ours_median", "reference_median", "ratio", "limit", "unit", "rounds"])
        for row in measurements(work, options):
            write.writerow(row)
            sys.stdout.flush()
    finally:
        shutil.rmtree(work)


def measurements(work, options):
    rounds = options.rounds
    env = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true")
    env.pop("MLFLOW_TRACKING_URI", None)

    def seconds(command, folder=work):
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - started

    def pair(what, ours, reference, limit, *, fresh=False):
        times = ([], [])
        for number in range(rounds):
            for side, command in enumerate((ours, reference)):
                folder = work / f"{number}-{side}" if fresh else work
                folder.mkdir(exist_ok=True)
                times[side].append(seconds(command, folder))
        medians = [statistics.median(side) for side in times]
        return [
            what,
            f"{medians[0]:.3f}",
            f"{medians[1]:.3f}",
            f"{medians[0] / medians[1]:.2f}",
            f"<= {limit}",
            "s",
            rounds,
        ]

    added = subprocess.run(
        [
            PYTHON,
            "-c",
            "import sys, stancelib; print(sum(m.split('.')[0] not in {*sys.stdlib_module_names, 'stancelib'}"
            " and not m.startswith('_') for m in sys.modules if m != '__main__'))",
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=work,
    ).stdout.strip()
    yield ["third-party modules after import stancelib", added, "", "", "<= 0", "modules", 1]
    yield pair("stancelib --help", [STANCELIB, "--help"], [PYTHON, "-c", "import typer, rich.console"], 1.5)
    plain = [PYTHON, str(HERE / "plain_train.py"), str(CORPUS)]
    yield pair("stancelib train, fresh folder", [STANCELIB, "train", "model=tfidf"], plain, 1.5, fresh=True)

    seconds([STANCELIB, "train", "model=tfidf", "tracking=none"])
    bundle = max(work.glob("runs/*/*/model"), key=lambda path: path.stat().st_mtime)
    text, target = "We could sit down once the ceasefire holds.", "a meeting"
    ours = [STANCELIB, "predict", str(bundle), text, "--target", target]
    yield pair("stancelib predict, cold", ours, [PYTHON, "-c", BARE_PREDICT, str(bundle / "model"), text, target], 1.3)

    lines = subprocess.run(
        [PYTHON, "-c", THROUGHPUT, str(bundle), str(CORPUS), str(rounds)],
        capture_output=True,
        text=True,
        check=True,
        cwd=work,
    ).stdout.split()
    n_rows = sum(1 for _ in (CORPUS / "train.jsonl").open())
    speed = {
        name: n_rows / statistics.median(float(t) for n, t in zip(lines[::2], lines[1::2], strict=True) if n == name)
        for name in ("ours", "bare")
    }
    yield [
        "batch scoring",
        f"{speed['ours']:.0f}",
        f"{speed['bare']:.0f}",
        f"{speed['ours'] / speed['bare']:.2f}",
        ">= 0.9",
        "statements/s",
        rounds,
    ]

    peaks = [peak_mib(work, bundle, n) for n in (options.rows // 10, options.rows)]
    yield [
        f"memory at {options.rows:,} rows against a tenth",
        f"{peaks[1]:.0f}",
        f"{peaks[0]:.0f}",
        f"{peaks[1] / peaks[0]:.2f}",
        "<= 1.2",
        "MiB",
        1,
    ]


def peak_mib(work, bundle, n_rows):
    """The largest resident memory of a batch prediction over n_rows rows of JSON lines."""
    source, rows = work / "many.jsonl", [json.loads(line) for line in (CORPUS / "train.jsonl").open()]
    lines = [json.dumps({"text": row["text"], "target": row["target"]}) + "\n" for row in rows]
    pick = random.Random(0)
    with source.open("w") as file:
        for _ in range(n_rows):
            file.write(pick.choice(lines))
    command = [STANCELIB, "predict", str(bundle), str(source), "-o", str(work / "scored.jsonl")]
    process = subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
