import json

import pytest

from stancelib import __version__
from stancelib.card import mlflow_files, model_card

MANIFEST = {
    "name": "tfidf statements s0",
    "family": "tfidf",
    "labels": ["reject", "propose"],
    "definitions": {"reject": "says no"},
    "uses_target": True,
    "created": "2025-01-02T03:04:05+00:00",
    "scores": {
        "validation": {
            "macro_f1": 0.75,
            **{f"{kind}.{name}": 0.5 for kind in ("precision", "recall", "f1") for name in ("reject", "propose")},
        }
    },
    "data": {
        "name": "statements",
        "source": "stancelib/data/statements",
        "protocol": "given",
        "digest": "abc123",
        "counts": {"train": {"reject": 10, "propose": 20}, "validation": {"reject": 3, "propose": 4}},
    },
    "versions": {"numpy": "2.0.0", "scikit-learn": "1.5.0", "mlflow": "3.13"},
}


@pytest.mark.parametrize(
    "text",
    [
        "# tfidf statements s0",
        "## Intended use",
        "- `reject`: says no",
        "- `propose`\n",
        "towards its target",
        "- corpus: `statements` (stancelib/data/statements)",
        "- split: given",
        "`abc123`",
        "| train | 30 | 10 | 20 |",
        "| macro_f1 | 0.7500 |",
        "| reject | 0.500 | 0.500 | 0.500 | 3 |",
        "## Limits",
        "import stancelib",
    ],
)
def test_the_card_tells_use_data_scores_with_counts_and_limits(text):
    assert text in model_card(MANIFEST)


def test_the_card_tells_of_labels_that_were_learned_and_are_never_answered():
    told = "labels that it never answers: `accept` (7), `none` (9)."
    assert told in model_card(MANIFEST | {"data": MANIFEST["data"] | {"further": {"accept": 7, "none": 9}}})
    assert "never answers" not in model_card(MANIFEST)


def test_the_card_warns_of_a_model_that_does_not_see_the_target():
    card = model_card(MANIFEST | {"uses_target": False})
    assert "It does not see the target" in card
    assert "It does not see the target" not in model_card(MANIFEST)


def test_a_model_without_scores_and_data_has_a_card_too():
    card = model_card({name: MANIFEST[name] for name in ("family", "labels", "uses_target", "created")})
    assert "## Scores\n\nNone recorded." in card
    assert "## Data\n\nNot recorded." in card


def test_mlflow_files_are_json_and_name_no_pickled_model():
    files = mlflow_files(MANIFEST)
    flavor = json.loads(files["MLmodel"])["flavors"]["python_function"]
    assert flavor["loader_module"] == "stancelib.inference"
    assert not {"python_model", "cloudpickle_version"} & set(flavor)
    assert json.loads(files["python_env.yaml"])["dependencies"] == ["-r requirements.txt"]


def test_requirements_pin_what_predicting_needs_and_nothing_else():
    lines = mlflow_files(MANIFEST | {"extra": "torch"})["requirements.txt"].splitlines()
    assert lines == [f"stancelib[torch]=={__version__}", "numpy==2.0.0", "scikit-learn==1.5.0"]


def test_signature_takes_an_optional_target_and_gives_a_probability_per_label():
    signature = json.loads(mlflow_files(MANIFEST)["MLmodel"])["signature"]
    inputs, outputs = json.loads(signature["inputs"]), json.loads(signature["outputs"])
    assert [(column["name"], column["required"]) for column in inputs] == [("text", True), ("target", False)]
    assert [column["name"] for column in outputs] == ["label", "confidence", "p_reject", "p_propose"]
