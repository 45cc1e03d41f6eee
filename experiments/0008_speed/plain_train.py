"""What an engineer would write without stancelib: the default pipeline in scikit-learn, logged to MLflow by hand.

usage: plain_train.py FOLDER_OF_THE_CORPUS
"""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import pandas as pd
from scipy.sparse import csr_matrix, hstack
from sklearn.calibration import CalibrationDisplay
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, classification_report, log_loss, matthews_corrcoef

LABELS = ["conditional-accept", "reject", "propose"]
TOKEN = r"(?u)\w+|[^\w\s]"


def overlap(frame):
    rows = []
    for text, target in zip(frame.text, frame.target, strict=True):
        said, wanted = set(text.lower().split()), set(target.lower().split())
        shared = said & wanted
        rows.append(
            [len(shared) / len(wanted), len(shared) / len(said | wanted), max(map(len, shared), default=0) / 10]
        )
    return csr_matrix(rows)


def main():
    started, folder = time.time(), Path(sys.argv[1])
    config = {"C": 2.0, "word": "1-2", "char": "3-5", "min_df": 2, "seed": 0}
    parts = {}
    for split in ("train", "validation", "test"):
        frame = pd.read_json(folder / f"{split}.jsonl", lines=True)
        parts[split] = frame[frame.label.isin(LABELS)]
    vectorizers = [
        (TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True), "text"),
        (TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True), "text"),
        (TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), min_df=2, sublinear_tf=True), "target"),
    ]
    train, validation = parts["train"], parts["validation"]
    features = hstack([v.fit_transform(train[c]) for v, c in vectorizers] + [overlap(train)]).tocsr()
    model = LogisticRegression(C=config["C"], max_iter=2000).fit(features, train.label)
    seen = hstack([v.transform(validation[c]) for v, c in vectorizers] + [overlap(validation)]).tocsr()
    probabilities, predicted = model.predict_proba(seen), model.predict(seen)
    report = classification_report(validation.label, predicted, output_dict=True)

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    if mlflow.get_experiment_by_name("plain") is None:
        mlflow.create_experiment("plain", artifact_location=(Path.cwd() / "artifacts").as_uri())
    mlflow.set_experiment("plain")
    with mlflow.start_run(run_name="tfidf by hand"):
        mlflow.log_params(config)
        commit = subprocess.run(
            ["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True
        ).stdout.strip()
        mlflow.set_tags({"model": "tfidf", "data": "statements", "seed": "0", "git.commit": commit})
        for split, frame in parts.items():
            digest = hashlib.sha256(frame.to_json().encode()).hexdigest()[:12]
            data = mlflow.data.from_pandas(frame[["text", "target", "label"]], name="statements", digest=digest)
            mlflow.log_input(data, context=split)
        mlflow.log_metrics(
            {"validation/macro_f1": report["macro avg"]["f1-score"], "validation/accuracy": report["accuracy"]}
        )
        mlflow.log_metric("validation/mcc", matthews_corrcoef(validation.label, predicted))
        mlflow.log_metric("validation/log_loss", log_loss(validation.label, probabilities, labels=model.classes_))
        for label in LABELS:
            for kind, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
                mlflow.log_metric(f"validation/{kind}.{label}", report[label][key])
        figure, axes = plt.subplots()
        ConfusionMatrixDisplay.from_predictions(validation.label, predicted, ax=axes)
        mlflow.log_figure(figure, "figures/confusion.png")
        figure, axes = plt.subplots()
        right = (predicted == validation.label).astype(int)
        CalibrationDisplay.from_predictions(right, probabilities.max(axis=1), n_bins=15, ax=axes)
        mlflow.log_figure(figure, "figures/calibration.png")
        table = validation[["id", "text", "target", "label"]].assign(predicted=predicted)
        mlflow.log_table(table, "tables/predictions.json")
        mlflow.log_dict(config, "config.json")
        example = train[["text", "target"]].head(1)
        signature = mlflow.models.infer_signature(example, pd.DataFrame({"label": ["reject"], "confidence": [0.5]}))
        mlflow.sklearn.log_model(
            model, name="model", signature=signature, pip_requirements=["scikit-learn"], serialization_format="skops"
        )
        mlflow.log_metric("perf/wall_seconds", time.time() - started)
    print(json.dumps({"macro_f1": report["macro avg"]["f1-score"]}))


if __name__ == "__main__":
    main()
