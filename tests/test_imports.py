"""What is loaded when: start-up time and the promise that reuse needs no training code."""

import subprocess
import sys

import pytest

HEAVY = ("hydra", "omegaconf", "mlflow", "torch", "transformers", "datasets")
SETUP = """
import numpy as np
from stancelib import Corpus, LabelSet, Statements
labels = LabelSet.of(["conditional-accept", "reject", "propose"])
def part(a, b):
    texts = [["we agree if", "no, never", "let us start"][i % 3] + f" number{i}" for i in range(a, b)]
    return Statements(texts, ["a plan"] * (b - a), labels, np.arange(a, b) % 3, ids=[str(i) for i in range(a, b)])
corpus = Corpus("mine", labels, {"train": part(0, 60), "validation": part(60, 90)})
"""


def loaded_by(code, folder, *arguments):
    """Top-level modules that a fresh interpreter has loaded after some code."""
    program = code + "\nimport sys\nprint('\\x00' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("\x00")[2].split())


def third_party(code, folder):
    """Third-party modules that some code loads beyond those of a bare interpreter."""
    extra = loaded_by(code, folder) - loaded_by("", folder)
    return {name for name in extra if name not in sys.stdlib_module_names and not name.startswith("_")}


def test_import_loads_no_third_party_module(tmp_path):
    assert third_party("import stancelib", tmp_path) == {"stancelib"}


def test_public_names_are_listed_and_load_on_use():
    import stancelib

    assert set(stancelib.__all__) <= set(dir(stancelib))
    assert all(getattr(stancelib, name) is not None for name in stancelib.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = stancelib.lod


def test_an_experiment_in_plain_python_needs_neither_hydra_nor_mlflow_nor_torch(tmp_path):
    code = SETUP + (
        "from stancelib import run_experiment\n"
        "from stancelib.models.tfidf import Tfidf\n"
        "result = run_experiment(corpus=corpus, model=Tfidf(), folder='run')\n"
        "assert result.scores['validation']['macro_f1'] > 0.9, result.scores\n"
    )
    assert not loaded_by(code, tmp_path) & set(HEAVY)


def test_predicting_with_a_saved_model_loads_none_of_them_either(tfidf_bundle, tmp_path):
    code = (
        "import sys, stancelib\n"
        "said = stancelib.load(sys.argv[1]).predict('no, never', targets='a plan')\n"
        "assert said[0].label == 'reject', said\n"
    )
    loaded = loaded_by(code, tmp_path, str(tfidf_bundle))
    assert not loaded & {*HEAVY, "matplotlib", "datasketch", "pydantic"}


def test_help_loads_nothing_that_computes(tmp_path):
    code = (
        "import sys\n"
        "sys.argv = ['stancelib', '--help']\n"
        "from stancelib.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
    )
    assert not loaded_by(code, tmp_path) & {*HEAVY, "numpy", "scipy", "sklearn", "pandas", "safetensors"}
