"""The pages for users do what they say: commands run in order, their output is the one shown, links lead somewhere.

In a ``console`` block, lines with ``$ `` are commands and the others their output: ``…`` stands for anything, decimals
may move by 0.02, other numbers by anything. A block with a title is a file. ``pycon`` blocks are doctests, ``python``
blocks scripts. All blocks of a page share one fresh folder and one shell.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "experiments").rglob("*.md")), *(ROOT / "data").glob("*.md")]
BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = ("make ", "pip ", "source ", "export MLFLOW", "stancelib ui", "mlflow ", "git ")  # not run, or run elsewhere
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
TOLERANCE = 0.02


@dataclass(frozen=True)
class Step:
    """A piece of shell, and the output that the page shows for it (None: any)."""

    shell: str
    shown: str | None


def steps_of(page):
    steps = []
    for kind, title, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if title:
            folder = shlex.quote(str(Path(title).parent))
            steps.append(
                Step(f"mkdir -p {folder}; cat > {shlex.quote(title)} <<'END_OF_FILE'\n{body}END_OF_FILE", None)
            )
        elif kind == "console":
            steps += _commands(body)
        elif kind in ("python", "pycon"):
            runner = "python" if kind == "python" else "python -m doctest -o ELLIPSIS -o NORMALIZE_WHITESPACE"
            name = f".block{len(steps)}.{'py' if kind == 'python' else 'txt'}"
            steps.append(Step(f"cat > {name} <<'END_OF_FILE'\n{body}END_OF_FILE\n{runner} {name}", None))
    return steps


def _commands(body):
    for command in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        first, *lines = command.splitlines()
        while first.endswith("\\"):
            first = first[:-1] + lines.pop(0).removeprefix("> ")
        if not first.startswith(SET_UP) or first == "make help":
            yield Step(first, "\n".join(lines))


def run_page(page, folder):
    """Every step with its exit code and its output."""
    steps = steps_of(page)
    script = ""
    for number, step in enumerate(steps):
        place = f"cd {ROOT}; " if step.shell == "make help" else ""
        script += f"exec >.out{number} 2>&1\n{place}{step.shell}\necho $? >{folder}/.rc{number}; cd {folder}\n"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "STANCELIB"))}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "100"}
    environment |= {"HF_HUB_OFFLINE": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run(["bash", "-c", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL, check=False)
    for number, step in enumerate(steps):
        output = (folder / f".out{number}").read_text(encoding="utf-8")
        yield step, int((folder / f".rc{number}").read_text() or "-1"), output


def differences(shown, output):
    """The first line of the page that the output does not have, at or after its place; empty if all are there."""
    found = [line.rstrip() for line in output.splitlines()]
    position, free = 0, False
    for line in shown.splitlines():
        if line.strip() == "…":
            free = True
            continue
        if not line.strip():
            continue
        candidates = [i for i in range(position, len(found)) if found[i].strip()]
        matching = [i for i in (candidates if free else candidates[:1]) if alike(line.rstrip(), found[i])]
        if not matching:
            return f"the page shows {line!r}, the output has {found[candidates[0]] if candidates else 'ended'!r}"
        position, free = matching[0] + 1, False
    return ""


def alike(shown, found):
    parts = [
        re.escape(NUMBER.sub("\0", part)).replace(re.escape("\0"), r"([\d,]+(?:\.\d+)?)") for part in shown.split("…")
    ]
    match = re.fullmatch(re.sub(r"(\\ )+", r"\\s+", ".*".join(parts)).replace("─", "─*"), found)
    if not match:
        return False
    wanted = [number for part in shown.split("…") for number in NUMBER.findall(part)]
    return all(
        abs(float(a) - float(b)) <= TOLERANCE
        for a, b in zip(wanted, match.groups(), strict=True)
        if re.fullmatch(r"0\.\d+", a)
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_run_and_print_what_it_shows(page, tmp_path):
    wrong = []
    for step, code, output in run_page(page, tmp_path):
        fails = re.search(r"Error:|^[1-9]\d* errors", step.shown or "", re.MULTILINE)
        if code not in ((1, 2) if fails else (0,)):
            wrong.append(f"$ {step.shell}\nended with exit code {code}:\n{output}")
        elif step.shown is not None and (difference := differences(step.shown, output)):
            wrong.append(f"$ {step.shell}\n{difference}\nall of it:\n{output}")
    assert not wrong, "\n\n".join(wrong)
    if "$ stancelib ui" in page.read_text(encoding="utf-8"):
        assert status_of_printed_link(tmp_path) == 200


def status_of_printed_link(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "stancelib"), "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as ui:
        try:
            link = ui.stdout.readline().strip()
            assert link.startswith(f"http://127.0.0.1:{port}/#/experiments/")
            with urllib.request.urlopen(link, timeout=60) as answer:
                return answer.status
        finally:
            ui.send_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "page", [page for page in TEXTS if page.exists()], ids=lambda page: str(page.relative_to(ROOT))
)
def test_every_link_to_a_file_leads_to_one(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"src=\"([^\"]+)\"", text):
        if not re.match(r"\w+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_heading_leads_to_one(page):
    for target, heading in re.findall(r"\]\(([\w./]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
        other = (page.parent / target).read_text(encoding="utf-8") if target else page.read_text(encoding="utf-8")
        headings = [
            re.sub(r"[^\w -]", "", line).strip().lower() for line in re.findall(r"^#+ (.*)$", other, re.MULTILINE)
        ]
        assert heading in [title.replace(" ", "-") for title in headings]


def test_pages_build_without_a_warning(tmp_path):
    pytest.importorskip("zensical")
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    missing = [page.stem for page in PAGES[1:] if not (tmp_path / "build" / "docs" / page.stem).is_dir()]
    assert missing == ["index"]  # which is the folder itself


def tree():
    """Paths that the file tree of the README names."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = next(body for _, _, body in BLOCK.findall(text) if "├── cli/" in body)
    parents = [Path()]
    for line in block.splitlines():
        branches, names = re.fullmatch(r"((?:│   |├── |└── )*)(.*)", line).groups()
        depth = len(branches) // 4
        names = names.partition("  ")[0].split()
        parents[depth + 1 :] = [parents[depth] / names[0]]
        yield from (parents[depth] / name for name in names if name != "…")


def test_every_path_in_the_file_tree_exists():
    assert [str(path) for path in tree() if not (ROOT / path).exists()] == []


def test_file_tree_names_every_module_and_folder_at_the_top_of_the_package():
    named = {path.name for path in tree() if path.parent.name == "stancelib"}
    there = {path.name for path in (ROOT / "stancelib").iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert there - named == set()


def test_readme_and_index_lead_to_every_page_for_users():
    for page, folder in ((ROOT / "README.md", "docs/"), (ROOT / "docs" / "index.md", "")):
        text = page.read_text(encoding="utf-8")
        assert [one.name for one in PAGES[1:] if f"]({folder}{one.name})" not in text and one != page] == []


def test_readme_names_every_command_and_so_does_its_file_tree():
    from stancelib.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"├── cli/ +command line: (.*)", text)[1].split(", ")
    assert set(listed) == commands
    assert [name for name in commands if f"stancelib {name}" not in text] == []


def test_families_and_splits_in_the_readme_have_configs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for group in ("model", "split"):
        named = re.findall(rf"^\| `{group}=(\w+)`", text, re.MULTILINE)
        assert named
        assert {name for name in named if not (ROOT / "configs" / group / f"{name}.yaml").exists()} == set()


def test_tracked_files_name_no_folder_of_a_machine_and_no_private_registry():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.])/(?:home|root|Users|work)/\w|(?:index-url|extra-index-url|index_url)\b")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in (".png", ".jsonl") or path == Path(__file__).resolve() or not path.is_file():
            continue
        found = private.search(path.read_text(encoding="utf-8"))
        assert not found, f"{name} names {found[0]}"


def test_output_check_sees_other_words_and_moved_scores():
    assert not alike("macro_f1  0.75", "macro_f1  0.81")
    assert not alike("3 rows scored into a.csv", "3 rows scored into b.csv")
    assert alike("macro_f1    0.7512", "macro_f1       0.7478")
    assert alike("run  …/23-05-28", "run  /tmp/x/24-06-01")
    assert differences("one\n…\nthree", "one\ntwo\nthree") == ""
    assert differences("one\nthree", "one\ntwo\nthree")
