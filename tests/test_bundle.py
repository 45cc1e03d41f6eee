import hashlib
import json
import os
import shutil
import stat
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import stancelib
from stancelib.bundle import FORMAT, SUMS, load_bundle, save_bundle, verify
from stancelib.errors import BundleError, ConfigError
from stancelib.models.base import class_name, family_names, family_of, own_families
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf

from .conftest import LABELS, make_corpus, make_statements

FILES = (
    "MLmodel",
    "README.md",
    "config.json",
    "input_example.json",
    "manifest.json",
    "model/blocks.json",
    "model/head.safetensors",
    "model/idf.safetensors",
    "model/labels.json",
    "model/vocabulary.char.json",
    "model/vocabulary.target.json",
    "model/vocabulary.word.json",
    "python_env.yaml",
    "requirements.txt",
    "serving_input_example.json",
)
PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x93NUMPY")


class Constant:
    """A family from outside stancelib, which says the same of everything."""

    uses_target = False

    def __init__(self, *, shares=(0.2, 0.3, 0.5)):
        self.shares = shares

    def fit(self, train, validation=None, *, report=None):
        return self

    def predict_proba(self, statements):
        return np.tile(self.shares, (len(statements), 1))

    def save(self, folder):
        (folder / "shares.json").write_text(json.dumps(list(self.shares)))

    @classmethod
    def load(cls, folder):
        return cls(shares=json.loads((folder / "shares.json").read_text()))


@pytest.fixture
def bundle(tfidf_bundle, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(tfidf_bundle, tmp_path / "bundle")


@pytest.fixture
def prior_bundle(tmp_path):
    save_bundle(tmp_path / "prior", model=Prior().fit(make_statements(6)), labels=LABELS, facts={})
    return tmp_path / "prior"


def rehash(folder):
    """Make the hashes fit again, as someone who tampers would."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in files
    ]
    (folder / SUMS).write_text("".join(lines))


def edit_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text()) | changes
    manifest = {name: value for name, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rehash(folder)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_loaded_bundle_gives_the_probabilities_of_the_fitted_model(tmp_path, statements):
    model = Tfidf().fit(make_corpus().split("train"))
    save_bundle(tmp_path / "b", model=model, labels=LABELS, facts={})
    loaded = load_bundle(tmp_path / "b")
    assert np.array_equal(loaded.model.predict_proba(statements), model.predict_proba(statements))
    assert loaded.labels == LABELS


def test_a_bundle_holds_the_documented_files_and_nothing_else(bundle):
    assert {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} == {*FILES, SUMS}


def test_no_file_of_a_bundle_is_a_pickle_or_an_archive(bundle):
    for path in bundle.rglob("*"):
        if path.is_file():
            assert path.suffix in (".json", ".safetensors", ".md", ".yaml", ".txt", ""), path
            assert not path.read_bytes().startswith(PICKLE_STARTS), path
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))


def test_manifest_holds_format_family_labels_and_three_golden_predictions(bundle):
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["format"], manifest["family"], manifest["labels"]) == (FORMAT, "tfidf", list(LABELS))
    assert len(manifest["golden"]) == 3
    assert all(set(case["probabilities"]) == set(LABELS) for case in manifest["golden"])


def test_coreutils_accept_the_hashes(bundle):
    done = subprocess.run(["sha256sum", "-c", "--strict", SUMS], cwd=bundle, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_whoever_may_read_the_folder_around_may_read_every_file(tmp_path):
    before = os.umask(0o022)
    try:
        save_bundle(tmp_path / "b", model=Tfidf().fit(make_statements(12)), labels=LABELS, facts={})
    finally:
        os.umask(before)
    for path in (tmp_path / "b", *(tmp_path / "b").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


@pytest.mark.parametrize("name", [*FILES, SUMS])
def test_a_changed_byte_in_any_file_is_refused(name, bundle):
    flip(bundle / name, (bundle / name).stat().st_size // 2)
    with pytest.raises(BundleError, match=r"damaged|changed"):
        load_bundle(bundle)


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_at_any_position_is_refused(bundle, data):
    path = bundle / data.draw(st.sampled_from(sorted([*FILES, SUMS])))
    position = data.draw(st.integers(0, path.stat().st_size - 1))
    flip(path, position)
    try:
        with pytest.raises(BundleError):
            verify(bundle)
    finally:
        flip(path, position)
    verify(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_by_name(name, bundle):
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"is incomplete: '{name}' is missing. Copy the whole folder again"):
        load_bundle(bundle)


def test_a_folder_without_hashes_is_no_bundle(bundle):
    (bundle / SUMS).unlink()
    with pytest.raises(BundleError, match="is no stancelib bundle: it has no SHA256SUMS"):
        load_bundle(bundle)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"there is no folder '.*nowhere'; give the path of a bundle"):
        load_bundle(tmp_path / "nowhere")


def test_a_file_that_no_hash_covers_is_refused_inside_the_model(bundle):
    (bundle / "model" / "extra.json").write_text("{}")
    with pytest.raises(BundleError, match=r"holds a file that it does not list: 'extra.json'"):
        load_bundle(bundle)


def test_a_file_beside_the_model_stays_unread_and_passes(bundle, statements):
    said = load_bundle(bundle).model.predict_proba(statements)
    for name in ("registered_model_meta", "conda.yaml", "__init__.py", "blocks.json", "head.safetensors", "model.pkl"):
        (bundle / name).write_text("raise SystemExit")
    np.testing.assert_array_equal(load_bundle(bundle).model.predict_proba(statements), said)


def test_a_manifest_that_no_hash_covers_is_refused(bundle):
    lines = (bundle / SUMS).read_text().splitlines(keepends=True)
    (bundle / SUMS).write_text("".join(line for line in lines if "manifest" not in line))
    with pytest.raises(BundleError, match=r"'manifest.json' has changed"):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "model/../../outside.txt"])
def test_hashes_cannot_point_outside_the_bundle(name, bundle):
    (bundle.parent / "outside.txt").write_text("x")
    with (bundle / SUMS).open("a") as file:
        file.write(f"{hashlib.sha256(b'x').hexdigest()}  {name}\n")
    with pytest.raises(BundleError, match=r"is damaged: .* is not a hash and a file name"):
        load_bundle(bundle)


def test_a_newer_format_says_how_to_upgrade(bundle):
    edit_manifest(bundle, format=FORMAT + 1)
    with pytest.raises(BundleError, match=r"has format 2, and this stancelib reads up to 1.*pip install --upgrade"):
        load_bundle(bundle)


@pytest.mark.parametrize("family", ["os.system", "base", "subprocess", "tfdf", "builtins.eval", "", "models.tfidf"])
def test_a_family_that_is_not_stancelibs_is_refused_and_nothing_is_imported(family, bundle):
    edit_manifest(bundle, family=family)
    with pytest.raises(BundleError, match=r"the bundle's family '.*' is none of stancelib's \(.*tfidf"):
        load_bundle(bundle)


@pytest.mark.parametrize("key", ["family", "labels", "golden"])
def test_a_manifest_without_what_loading_needs_is_refused(key, bundle):
    edit_manifest(bundle, **{key: None})
    with pytest.raises(BundleError, match=f"has no '{key}'"):
        load_bundle(bundle)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"format": "new"}', "null"])
def test_a_manifest_of_another_kind_is_refused(content, bundle):
    (bundle / "manifest.json").write_text(content)
    rehash(bundle)
    with pytest.raises(BundleError, match="is no bundle manifest"):
        load_bundle(bundle)


@pytest.mark.parametrize("kept_fraction", [0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("name", ["model/head.safetensors", "model/idf.safetensors", "model/vocabulary.word.json"])
def test_a_truncated_file_with_a_matching_hash_is_refused(name, kept_fraction, bundle):
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: int(len(content) * kept_fraction)])
    rehash(bundle)
    with pytest.raises(BundleError, match=r"the tfidf model in .* can't be read"):
        load_bundle(bundle)


@pytest.mark.parametrize("golden", [5, [], [{"text": "x"}], [{"text": 3, "target": None, "probabilities": {}}], [None]])
def test_golden_predictions_of_another_shape_are_refused(golden, bundle):
    edit_manifest(bundle, golden=golden)
    with pytest.raises(BundleError):
        load_bundle(bundle)


@pytest.mark.parametrize("labels", [["reject"], [1, 2, 3], ["a", "b", "c"], ["reject", "propose"], 7])
def test_labels_that_do_not_fit_the_model_are_refused(labels, bundle):
    edit_manifest(bundle, labels=labels)
    with pytest.raises(BundleError):
        load_bundle(bundle)


def test_a_model_that_predicts_differently_than_when_saved_is_refused(bundle):
    golden = json.loads((bundle / "manifest.json").read_text())["golden"]
    shares = golden[1]["probabilities"]
    golden[1]["probabilities"] = {name: share + (0.01 if name == "reject" else 0) for name, share in shares.items()}
    edit_manifest(bundle, golden=golden)
    with pytest.raises(BundleError, match=r"predicts differently than when it was saved: 'No\. We will not"):
        load_bundle(bundle)


def test_a_difference_as_between_two_machines_is_accepted(bundle):
    golden = json.loads((bundle / "manifest.json").read_text())["golden"]
    for case in golden:
        case["probabilities"] = {name: share + 5e-4 for name, share in case["probabilities"].items()}
    edit_manifest(bundle, golden=golden)
    load_bundle(bundle)


def test_a_family_of_ones_own_is_loaded_by_the_class_one_passes(tmp_path, statements):
    name = f"{Constant.__module__}.Constant"
    save_bundle(tmp_path / "b", model=Constant(), labels=LABELS, facts={})
    with pytest.raises(BundleError, match=r"in Python: load\(path, families="):
        load_bundle(tmp_path / "b")
    loaded = stancelib.load(tmp_path / "b", families={name: Constant})
    assert loaded.judge(statements).probabilities.tolist() == [[0.2, 0.3, 0.5]] * len(statements)


def test_a_model_that_cannot_be_saved_leaves_nothing_behind(tmp_path):
    class Unsaveable(Constant):
        def save(self, folder):
            super().save(folder)
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_bundle(tmp_path / "b", model=Unsaveable(), labels=LABELS, facts={})
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_never_written_over_files(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("keep")
    with pytest.raises(BundleError, match="is not empty; a bundle is written into a new folder"):
        save_bundle(tmp_path / "b", model=Constant(), labels=LABELS, facts={})
    assert [path.name for path in tmp_path.rglob("*")] == ["b", "mine.txt"]


def test_a_bundle_may_be_written_into_an_empty_folder(tmp_path):
    (tmp_path / "b").mkdir()
    save_bundle(tmp_path / "b", model=Prior().fit(make_statements(6)), labels=LABELS, facts={})
    verify(tmp_path / "b")


def test_configuration_and_facts_are_kept(tmp_path):
    facts = {"name": "a run", "scores": {"validation": {"macro_f1": 0.5}}}
    save_bundle(
        tmp_path / "b", model=Prior().fit(make_statements(6)), labels=LABELS, facts=facts, config={"model": {"C": 8}}
    )
    assert json.loads((tmp_path / "b" / "config.json").read_text()) == {"model": {"C": 8}}
    assert facts.items() <= load_bundle(tmp_path / "b").manifest.items()


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5, unique=True), st.data())
@settings(max_examples=25, deadline=None)
def test_labels_of_any_script_survive(tmp_path_factory, names, data):
    labels = stancelib.LabelSet(tuple(names))
    ids = [*range(len(names)), *data.draw(st.lists(st.integers(0, len(names) - 1)))]
    train = stancelib.Statements(["x"] * len(ids), [None] * len(ids), labels, np.array(ids))
    folder = tmp_path_factory.mktemp("any") / "b"
    save_bundle(folder, model=Prior().fit(train), labels=labels, facts={})
    assert load_bundle(folder).labels.names == tuple(names)


def test_family_names_are_the_modules_of_the_models_folder():
    assert {"prior", "tfidf"} <= set(family_names())
    assert "base" not in family_names()


def test_class_and_family_names_follow_from_each_other():
    assert class_name("cross_encoder") == "CrossEncoder"
    assert family_of(Prior()) == "prior"
    assert family_of(Constant()) == f"{Constant.__module__}.Constant"


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["frame", "mapping", "no target"])
def test_mlflow_gives_the_same_answers(shape, tfidf_bundle):
    pyfunc = pytest.importorskip("mlflow.pyfunc")
    pandas = pytest.importorskip("pandas")
    texts, targets = ["we agree if it rains", "no, never"], ["a walk", "a swim"]
    columns = {"text": texts} | ({} if shape == "no target" else {"target": targets})
    found = pyfunc.load_model(str(tfidf_bundle)).predict(columns if shape == "mapping" else pandas.DataFrame(columns))
    wanted = stancelib.load(tfidf_bundle).predict(texts, targets=columns.get("target"))
    assert found["label"].tolist() == [said.label for said in wanted]
    assert found["confidence"].tolist() == [said.confidence for said in wanted]
    assert list(found.columns) == ["label", "confidence", *(f"p_{name}" for name in LABELS)]


@pytest.mark.slow
def test_mlflow_finds_signature_and_example(tfidf_bundle):
    models = pytest.importorskip("mlflow.models")
    loaded = models.Model.load(str(tfidf_bundle))
    assert [column.name for column in loaded.signature.inputs] == ["text", "target"]
    assert loaded.load_input_example(str(tfidf_bundle)).columns.tolist() == ["text", "target"]


def test_a_family_of_ones_own_is_named_by_its_user():
    assert own_families(["stancelib.models.prior.Prior"]) == {"stancelib.models.prior.Prior": Prior}
    with pytest.raises(ConfigError, match=r"there is no family 'nowhere\.Prior': No module named 'nowhere'"):
        own_families(["nowhere.Prior"])
    with pytest.raises(ConfigError, match=r"'stancelib\.labels\.LabelSet' is no family: it has no 'fit'"):
        own_families(["stancelib.labels.LabelSet"])
