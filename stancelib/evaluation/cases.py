"""The cases of the behavioural suite, read from files.

A capability is one YAML file; ``data/behaviour/`` holds those of the library, and users name files of their own::

    capability: absurd condition
    description: A condition that is offered as impossible is a refusal.
    minimum functionality:            # the label must be right
      - id: flying-pigs
        target: selling the training ground
        text: "We'll sell it on the day that pigs fly."
        label: reject
    invariance:                       # the text and all its variants must get the same label, right or wrong
      - {id: hell, target: a second term, text: "When hell freezes.", label: reject, variants: ["when hell freezes"]}
    directional:                      # from the text to its variant something must change
      - id: uphill
        target: reopening the border crossing
        text: "We open it once rivers run uphill."
        label: reject
        variant: "We open it once the bridge has been repaired."
        becomes: conditional-accept   # label of the text, then this one
        falls: reject                 # and, or instead: whose probability rises or falls by 0.05 or more

A variant is a text, or a mapping with ``text``, ``target`` or both; what it leaves out is as in the original.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stancelib.errors import DataError, nearest, require
from stancelib.labels import DEFINITIONS

FUNCTIONALITY, INVARIANCE, DIRECTIONAL = "minimum functionality", "invariance", "directional"
_CHANGES = ("becomes", "rises", "falls")
_KEYS = {
    FUNCTIONALITY: ("id", "target", "text", "label"),
    INVARIANCE: ("id", "target", "text", "label", "variants"),
    DIRECTIONAL: ("id", "target", "text", "label", "variant", *_CHANGES),
}


@dataclass(frozen=True, slots=True)
class Probe:
    """A text to be judged towards a target; ``label`` is the right answer, empty where the case names none."""

    text: str
    target: str
    label: str


@dataclass(frozen=True, slots=True)
class Case:
    """One test: the original, then its variants; ``rises`` and ``falls`` name a label or are empty."""

    id: str
    kind: str
    probes: tuple[Probe, ...]
    rises: str = ""
    falls: str = ""


@dataclass(frozen=True, slots=True)
class Capability:
    """The cases of one file."""

    name: str
    description: str
    cases: tuple[Case, ...]

    @property
    def metric(self) -> str:
        """Name of its metric: ``behaviour/absurd_condition`` for ``absurd condition``."""
        return "behaviour/" + re.sub(r"\W+", "_", self.name.casefold()).strip("_")


def folder() -> Path:
    """Where the library's own cases lie: inside the installed package, or in the checkout around it."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "corpus" / "behaviour", package.parent / "data" / "behaviour"):
        if candidate.is_dir():
            return candidate
    raise DataError("the behavioural cases are missing here. Run: pip install --force-reinstall stancelib")


def load_suite(
    extra: Iterable[str | Path] = (), *, shipped: bool = True, labels: Iterable[str] = ()
) -> list[Capability]:
    """All capabilities, in the order of their files.

    Args:
        extra: Files of your own, or folders of them.
        shipped: Whether the library's own capabilities come first.
        labels: What your cases may name beside the library's five labels; usually those of the model.

    Raises:
        DataError: If a file is missing, breaks a rule or repeats a capability.
    """
    labels, found = tuple(labels), dict[str, Capability]()
    for path in ([folder()] if shipped else []) + [Path(path) for path in extra]:
        files = sorted(path.glob("*.y*ml")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"the folder {path} holds no behavioural cases (*.yaml).")
        for file in files:
            capability = read_capability(file, labels=labels)
            if found.setdefault(capability.metric, capability) is not capability:
                raise DataError(f"{file}: there is a capability '{capability.name}' already; give this one a new name.")
    return list(found.values())


def read_capability(path: str | Path, *, labels: Iterable[str] = ()) -> Capability:
    """The capability in one file; see ``load_suite``.

    Raises:
        DataError: If the file is missing, is no YAML, or breaks a rule; the message names file, case and rule.
    """
    content = _read_yaml(Path(path))
    _check_keys(content, ("capability", "description", *_KEYS), f"{path}")
    cases: list[Case] = []
    for kind in _KEYS:
        entries = content.get(kind) or []
        if not isinstance(entries, list):
            raise DataError(f"{path}: '{kind}' must be a list of cases, got {entries!r}.")
        cases += [_case(entry, kind, f"{path}, {kind}, case {i}") for i, entry in enumerate(entries, start=1)]
    if not cases:
        raise DataError(f"{path} holds no case; list some under {', '.join(repr(kind) for kind in _KEYS)}.")
    _check_cases(cases, (*DEFINITIONS, *labels), f"{path}")
    name, description = (_string(content, key, f"{path}") for key in ("capability", "description"))
    if name.strip().casefold() == "all":
        raise DataError(f"{path}: a capability can't be called {name!r}; 'behaviour/all' is over all of them.")
    return Capability(name, description, tuple(cases))


def _read_yaml(path: Path) -> Any:
    yaml = require("yaml", "train")
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
        if (root := loader.get_single_node()) is None:
            return None
        _refuse_repeated_keys(root, path)
        return loader.construct_document(root)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"can't read behavioural cases from {path}: {' '.join(str(error).split())}") from None


def _refuse_repeated_keys(node: Any, path: Path) -> None:
    """YAML's own loader silently keeps the last of two equal keys."""
    lines: dict[str, int] = {}
    for child in node.value if isinstance(node.value, list) else ():
        key, value = child if isinstance(child, tuple) else (None, child)
        if key is not None and isinstance(key.value, str):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise DataError(f"{path} line {line}: the key '{key.value}' is in line {lines[key.value]} already.")
            lines[key.value] = line
        _refuse_repeated_keys(value, path)


def _check_cases(cases: Sequence[Case], labels: Sequence[str], where: str) -> None:
    ids = [case.id for case in cases]
    if repeated := [name for name in dict.fromkeys(ids) if ids.count(name) > 1]:
        raise DataError(f"{where}: the id {repeated[0]!r} is used {ids.count(repeated[0])} times; ids must differ.")
    for case in cases:
        for label in (*(probe.label for probe in case.probes), case.rises, case.falls):
            if label not in ("", *labels):
                valid = ", ".join(dict.fromkeys(labels))
                raise DataError(f"{where}, case '{case.id}': {label!r} is none of {valid}{nearest(label, labels)}")


def _check_keys(entry: Any, valid: Sequence[str], where: str) -> None:
    if not isinstance(entry, dict):
        raise DataError(f"{where} must be a mapping with {', '.join(valid)}; got {entry!r}.")
    for key in entry:
        if key not in valid:
            raise DataError(f"{where}: unknown key {key!r}; valid are {', '.join(valid)}{nearest(str(key), valid)}")


def _string(entry: Mapping[str, Any], key: str, where: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        hint = " YAML reads bare yes, no, on and off as booleans: put it in quotes." if isinstance(value, bool) else ""
        raise DataError(f"{where}: '{key}' must be a non-empty string, got {value!r}.{hint}")
    return value


def _case(entry: Any, kind: str, where: str) -> Case:
    where += f" ('{entry['id']}')" if isinstance(entry, dict) and "id" in entry else ""
    _check_keys(entry, _KEYS[kind], where)
    name, text, target, label = (_string(entry, key, where) for key in ("id", "text", "target", "label"))
    original = Probe(text, target, label)
    changes = {key: _string(entry, key, where) for key in _CHANGES if key in entry}
    variants: list[Any] = []
    if kind == INVARIANCE:
        variants = entry.get("variants")
        if not isinstance(variants, list) or not variants:
            raise DataError(f"{where}: 'variants' must be a list of at least one text, got {variants!r}.")
    elif kind == DIRECTIONAL:
        if not changes:
            raise DataError(f"{where}: say what must happen: at least one of {', '.join(_CHANGES)}.")
        if changes.get("becomes") == label:
            raise DataError(f"{where}: 'becomes' is {label!r}, as the label is; list the variant under '{INVARIANCE}'.")
        variants, label = [entry.get("variant")], changes.get("becomes", "")
    probes = [_variant(one, original, label, where) for one in variants]
    return Case(name, kind, (original, *probes), changes.get("rises", ""), changes.get("falls", ""))


def _variant(entry: Any, original: Probe, label: str, where: str) -> Probe:
    entry = entry if isinstance(entry, dict) else {"text": entry}
    _check_keys(entry, ("text", "target"), f"{where}, variant")
    given = {key: _string(entry, key, f"{where}, variant") for key in entry}
    probe = Probe(given.get("text", original.text), given.get("target", original.target), label)
    if (probe.text, probe.target) == (original.text, original.target):
        raise DataError(f"{where}: a variant equals the original, {probe.text!r}.")
    return probe
