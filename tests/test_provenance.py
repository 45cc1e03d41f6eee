import json
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from stancelib.provenance import config_hash, flatten, git_state, package_versions


def git(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_git_state_gives_the_commit_and_whether_tracked_files_changed(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("1")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-qm", "a")
    (tmp_path / "untracked.txt").write_text("1")
    assert git_state(tmp_path) == {"git.commit": git(tmp_path, "rev-parse", "HEAD"), "git.dirty": "false"}
    (tmp_path / "a.txt").write_text("2")
    assert git_state(tmp_path)["git.dirty"] == "true"


def test_git_state_is_empty_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) == {}


def test_git_state_is_empty_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {}


def test_versions_name_python_and_the_installed_packages():
    found = package_versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"stancelib", "numpy", "scikit-learn"} <= set(found)


@given(st.dictionaries(st.text(), st.integers(), min_size=1))
def test_config_hash_ignores_the_order_of_keys_and_nothing_else(config):
    backwards = dict(reversed(config.items()))
    assert config_hash(config) == config_hash(backwards)
    key = next(iter(config))
    assert config_hash(config) != config_hash(config | {key: config[key] + 1})


def test_flatten_names_nested_keys_by_dots_and_classes_by_their_last_name():
    config = {"model": {"_target_": "a.b.Tfidf", "C": 8.0, "ngrams": {"word": [1, 2]}}, "seed": 0}
    assert flatten(config) == {"model": "Tfidf", "model.C": 8.0, "model.ngrams.word": json.dumps([1, 2]), "seed": 0}


def test_flatten_leaves_out_what_only_the_builder_reads():
    assert flatten({"split": {"_target_": "x.random", "_partial_": True, "seed": 1}}) == {
        "split": "random",
        "split.seed": 1,
    }
