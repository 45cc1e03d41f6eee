"""The rules about the code itself that a reader relies on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "stancelib").rglob("*.py"))
MAX_LINES = 420  # aim for 300
NO_NAMES = {"utils", "util", "helpers", "helper", "manager", "misc", "common"}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def imports_of(path):
    """Top-level names of the modules that a file imports or requires anywhere."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("require", "import_module", "__import__"):
            yield from (str(name.value).partition(".")[0] for name in node.args[:1] if isinstance(name, ast.Constant))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_grows_beyond_its_limit(path):
    n_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert n_lines <= MAX_LINES, f"{n_lines} lines; split it by what it does"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_unpickles_or_evaluates(path):
    text = path.read_text(encoding="utf-8")
    imported = set(imports_of(path))
    assert not imported & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    assert not re.search(r"torch\.(load|save)\(|allow_pickle|trust_remote_code\s*=\s*True|read_pickle", text)
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)}
    assert not called & {"eval", "exec", "yaml.load", "os.system", "pickle.loads"}


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("hydra", "stancelib/app/"),
        ("omegaconf", "stancelib/app/"),
        ("mlflow", "stancelib/tracking/"),
        ("datasets", "stancelib/data/"),
        ("typer", "stancelib/cli/"),
        ("rich", "stancelib/cli/"),
    ],
)
def test_a_framework_is_imported_in_one_place_alone(package, home):
    users = [name_of(path) for path in SOURCES if package in set(imports_of(path))]
    assert users
    assert [user for user in users if not user.startswith(home)] == []


def test_nothing_is_called_utils():
    assert [name_of(path) for path in SOURCES if path.stem in NO_NAMES or path.parent.name in NO_NAMES] == []


def test_the_library_never_imports_from_experiments_or_tests():
    assert [name_of(path) for path in SOURCES if {"experiments", "tests"} & set(imports_of(path))] == []


def test_layers_hold():
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    if not Path(command[0]).exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_test_folder_mirrors_a_folder_of_the_library():
    folders = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")} - {"tests", "contracts"}
    assert folders <= {path.parent.name for path in SOURCES}
