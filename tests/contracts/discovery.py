"""Every option under configs/, found by recursion, so that a new file is tested without touching a test."""

import inspect
from pathlib import Path

import yaml

from stancelib.options import config_dir, locate

PATHS = sorted(config_dir().rglob("*.yaml"))


def name_of(path):
    """``model/tfidf`` for ``configs/model/tfidf.yaml``."""
    return path.relative_to(config_dir()).with_suffix("").as_posix()


def read(path):
    return yaml.safe_load(Path(path).read_text(encoding="utf-8"))


def read_option(path):
    """An option; ``_given_`` names the arguments that other options fill through its defaults, such as ``x@main``."""
    node = read(path)
    if isinstance(node, dict) and "defaults" in node:
        packages = [entry.partition("@")[2] for entry in node.pop("defaults") if isinstance(entry, str)]
        node["_given_"] = {package.partition(".")[0] for package in packages} - {""}
    return node


OPTIONS = {name_of(path): read_option(path) for path in PATHS if path.parent != config_dir()}
COMPONENTS = {name: node for name, node in OPTIONS.items() if isinstance(node, dict) and "_target_" in node}
MODELS = [name.partition("/")[2] for name in COMPONENTS if name.startswith("model/")]


def parameters_of(node):
    """The constructor's parameters by name, without those that a partial's caller or other options supply."""
    found = dict(inspect.signature(locate(node["_target_"], "x")).parameters)
    for name in node.get("_given_", ()):
        found.pop(name)
    if node.get("_partial_"):
        found.pop("corpus")
    return found


def components_in(node, key=""):
    """The node itself and every component nested in it, each with its key."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield key, node
        for name, value in node.items():
            yield from components_in(value, f"{key}.{name}".strip("."))
