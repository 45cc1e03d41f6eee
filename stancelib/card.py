"""What a bundle says about itself: the model card for people, the MLmodel files for MLflow."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from stancelib import __version__
from stancelib.evaluation.metrics import headline_first, spelled

EXAMPLE = {"text": "We could sit down once the ceasefire holds.", "target": "a meeting of the two delegations"}


def model_card(manifest: Mapping[str, Any]) -> str:
    """The bundle's README: what the model is for, what it was trained on, how good it is, where it ends.

    References:
        Mitchell et al. (2019), Model Cards for Model Reporting.
    """
    data = manifest.get("data", {})
    sections = [
        f"# {manifest.get('name', manifest['family'])}",
        f"A stance classifier of the family `{manifest['family']}`, trained with stancelib {__version__} "
        f"on {manifest['created'][:10]}.",
        "## Intended use\n\n" + _use(manifest),
        "## Data\n\n" + _data(data),
        "## Scores\n\n" + _scores(manifest.get("scores", {}), list(manifest["labels"]), data),
        "## Limits\n\n" + _limits(manifest),
        "## How to load it\n\n```python\nimport stancelib\n\nmodel = stancelib.load('path/to/this/folder')\n"
        f"model.predict({EXAMPLE['text']!r}, targets={EXAMPLE['target']!r})\n```",
    ]
    return "\n\n".join(sections) + "\n"


def _use(manifest: Mapping[str, Any]) -> str:
    judged = (
        "towards its target (the proposal on the table)" if manifest["uses_target"] else "without looking at its target"
    )
    definitions = manifest.get("definitions", {})
    labels = [f"- `{name}`" + (f": {definitions[name]}" if name in definitions else "") for name in manifest["labels"]]
    return f"Says what one statement does, {judged}, as one of:\n\n" + "\n".join(labels)


def _data(data: Mapping[str, Any]) -> str:
    if not data:
        return "Not recorded."
    lines = [
        f"- corpus: `{data['name']}` ({data['source'] or 'in memory'})",
        f"- split: {data['protocol']}",
        f"- SHA-256 of the content: `{data['digest']}`",
        "",
        *_table(
            ["split", "statements", *next(iter(data["counts"].values()))],
            [
                [split, str(sum(counts.values())), *map(str, counts.values())]
                for split, counts in data["counts"].items()
            ],
        ),
    ]
    if further := data.get("further"):
        told = ", ".join(f"`{name}` ({n})" for name, n in further.items())
        lines += ["", f"It also learned from training statements of labels that it never answers: {told}."]
    return "\n".join(lines)


def _scores(scores: Mapping[str, Mapping[str, float]], labels: Sequence[str], data: Mapping[str, Any]) -> str:
    if not scores:
        return "None recorded."
    names = headline_first(next(iter(scores.values())), "macro_f1")
    lines = _table(
        ["score", *scores], [[name, *(spelled(values, name) for values in scores.values())] for name in names]
    )
    for split, values in scores.items():
        counts = data.get("counts", {}).get(split, {})
        rows = [
            [
                name,
                *(f"{values[f'{kind}.{name}']:.3f}" for kind in ("precision", "recall", "f1")),
                str(counts.get(name, "")),
            ]
            for name in labels
            if f"f1.{name}" in values
        ]
        lines += ["", f"Per label, {split}:", "", *_table(["label", "precision", "recall", "F1", "statements"], rows)]
    return "\n".join(lines)


def _limits(manifest: Mapping[str, Any]) -> str:
    limits = [
        "The scores hold for statements like those of the corpus above; expect less on other domains and styles.",
        "Probabilities are the model's: look at the calibration error above before acting on them.",
        "Not meant to judge people, nor to decide anything without someone who reads the statement.",
    ]
    if not manifest["uses_target"]:
        limits.insert(0, "It does not see the target: the same statement gets the same label towards every proposal.")
    return "\n".join(f"- {limit}" for limit in limits)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = "|" + "---|" * len(header)
    return ["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]


def mlflow_files(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The files that make the folder an MLflow pyfunc model, by name, written without MLflow.

    MLflow imports ``stancelib.inference`` and hands it the folder: nothing is unpickled.
    """
    versions = manifest.get("versions", {})
    extra = f"[{manifest['extra']}]" if manifest.get("extra") else ""
    pins = [f"stancelib{extra}=={__version__}"]
    pins += [
        f"{name}=={versions[name]}" for name in ("numpy", "scikit-learn", "safetensors", "torch") if name in versions
    ]
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    example = {"columns": list(EXAMPLE), "data": [list(EXAMPLE.values())]}
    return {
        "MLmodel": json.dumps(_mlmodel(manifest), indent=2) + "\n",
        "python_env.yaml": json.dumps(environment, indent=2) + "\n",
        "requirements.txt": "\n".join(pins) + "\n",
        "input_example.json": json.dumps(example) + "\n",
        "serving_input_example.json": json.dumps({"dataframe_split": example}) + "\n",
    }


def _mlmodel(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The MLmodel file's content; JSON is YAML."""
    outputs = [("string", "label"), ("double", "confidence"), *(("double", f"p_{name}") for name in manifest["labels"])]
    decision = manifest.get("decision", {})
    if decision.get("thresholds"):
        outputs.append(("string", "prediction_set"))
    if decision.get("thresholds") or decision.get("min_confidence"):
        outputs.append(("boolean", "abstained"))
    return {
        "artifact_path": "model",
        "flavors": {
            "python_function": {
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "stancelib.inference",
                "python_version": platform.python_version(),
            }
        },
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "serving_input_path": "serving_input_example.json",
            "type": "dataframe",
            "pandas_orient": "split",
        },
        "signature": {
            "inputs": json.dumps([_column("string", "text"), _column("string", "target", required=False)]),
            "outputs": json.dumps([_column(kind, name) for kind, name in outputs]),
            "params": None,
        },
        "utc_time_created": manifest["created"].replace("T", " ").removesuffix("+00:00"),
    }


def _column(kind: str, name: str, *, required: bool = True) -> dict[str, Any]:
    return {"type": kind, "name": name, "required": required}
