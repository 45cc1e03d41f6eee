import sys

import pytest

from stancelib.errors import BundleError, ConfigError, DataError, MissingExtraError, nearest, require


@pytest.mark.parametrize(
    ("kind", "parent"),
    [(ConfigError, ValueError), (DataError, ValueError), (BundleError, ValueError), (MissingExtraError, ImportError)],
)
def test_every_exception_can_be_caught_as_a_built_in(kind, parent):
    with pytest.raises(parent):
        raise kind("x")


def test_nearest_suggests_the_closest_name_whatever_the_case():
    assert nearest("Rejct", ["accept", "reject"]) == "; did you mean 'reject'?"


def test_nearest_ends_the_sentence_when_nothing_is_close():
    assert nearest("xyz", ["accept", "reject"]) == "."


def test_require_returns_an_installed_module():
    assert require("json.decoder", "train") is sys.modules["json.decoder"]


def test_require_names_the_extra_that_brings_a_missing_module():
    with pytest.raises(MissingExtraError, match=r"'nowhere_to_be_found'.*pip install 'stancelib\[train\]'"):
        require("nowhere_to_be_found", "train")


def test_require_does_not_hide_what_an_installed_module_fails_to_import(tmp_path, monkeypatch):
    (tmp_path / "broken_inside.py").write_text("import lacks_this_one\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="lacks_this_one") as caught:
        require("broken_inside", "train")
    assert not isinstance(caught.value, MissingExtraError)
