"""Behavioural tests: whether a model does, case by case, what each capability asks.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stancelib.errors import DataError, nearest, require
from stancelib.labels import DEFINITIONS
from stancelib.schema import Judge, Predictions, Statements

FUNCTIONALITY, INVARIANCE, DIRECTIONAL = "minimum functionality", "invariance", "directional"
MARGIN = 0.05
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


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed case, with the first probe that shows it; ``original`` is the text that it is a variant of."""

    capability: str
    case: str
    kind: str
    text: str
    target: str
    expected: str
    got: str
    original: str
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CapabilityResult:
    """How one capability went; skipped cases hold a label that the model doesn't know, and count nowhere else."""

    capability: Capability
    n_skipped: int
    failures: tuple[Failure, ...]

    @property
    def n_judged(self) -> int:
        """Cases that were not skipped."""
        return len(self.capability.cases) - self.n_skipped

    @property
    def pass_rate(self) -> float | None:
        """Share of the judged cases that passed, in [0, 1]; None where all were skipped."""
        return 1 - len(self.failures) / self.n_judged if self.n_judged else None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a model did on a suite, capability by capability."""

    results: tuple[CapabilityResult, ...]

    def metrics(self) -> dict[str, float]:
        """Pass rates: ``behaviour/<capability>`` where a case was judged, and ``behaviour/all`` over all such cases."""
        rates = {one.capability.metric: one.pass_rate for one in self.results if one.pass_rate is not None}
        n_judged, n_failed = sum(one.n_judged for one in self.results), sum(len(one.failures) for one in self.results)
        return rates | ({"behaviour/all": 1 - n_failed / n_judged} if n_judged else {})

    def failures(self) -> dict[str, list[Any]]:
        """The failed cases as a table: columns by name, one row per case."""
        rows = [failure for one in self.results for failure in one.failures]
        names = ("capability", "case", "kind", "text", "target", "expected", "got", "original")
        labels = dict.fromkeys(label for row in rows for label in row.probabilities)
        probabilities = {f"probability.{label}": [row.probabilities.get(label) for row in rows] for label in labels}
        return {name: [getattr(row, name) for row in rows] for name in names} | probabilities


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


def judge_suite(judge: Judge, suite: Sequence[Capability]) -> Behaviour:
    """Judge all cases in one batch, and see which passed.

    A case is skipped where the model doesn't know the label of the original, or none that a change names.
    """
    probes = list(dict.fromkeys(probe for one in suite for case in one.cases for probe in case.probes))
    said = judge(Statements([probe.text for probe in probes], [probe.target for probe in probes]))
    rows = {probe: row for row, probe in enumerate(probes)}
    results = []
    for one in suite:
        known = [case for case in one.cases if _is_judged(case, said)]
        failed = [_failure(one.name, case, said, [rows[probe] for probe in case.probes]) for case in known]
        results.append(CapabilityResult(one, len(one.cases) - len(known), tuple(filter(None, failed))))
    return Behaviour(tuple(results))


def _is_judged(case: Case, said: Predictions) -> bool:
    changes = (case.probes[-1].label, case.rises, case.falls)
    return case.probes[0].label in said.labels and any(label in said.labels for label in changes)


def _failure(capability: str, case: Case, said: Predictions, rows: Sequence[int]) -> Failure | None:
    wrong = next(_wrong(case, said, rows), None)
    if wrong is None:
        return None
    at, expected, got = wrong
    probe, original = case.probes[at], case.probes[0].text if at else ""
    probabilities = dict(zip(said.labels, said.probabilities[rows[at]].tolist(), strict=True))
    return Failure(capability, case.id, case.kind, probe.text, probe.target, expected, got, original, probabilities)


def _wrong(case: Case, said: Predictions, rows: Sequence[int]) -> Iterator[tuple[int, str, str]]:
    """The wrong probes: which one, what was expected of it, and what came out."""
    names = said.labels.decode(said.label_ids[list(rows)])
    if case.kind == INVARIANCE:
        yield from ((at, f"{names[0]}, as for the original", name) for at, name in enumerate(names) if name != names[0])
    elif case.probes[-1].label in said.labels:
        pairs = enumerate(zip(case.probes, names, strict=True))
        yield from ((at, probe.label, name) for at, (probe, name) in pairs if probe.label != name)
    for label, sign, verb in ((case.rises, 1, "rises"), (case.falls, -1, "falls")):
        if label in said.labels:
            before, after = said.probabilities[[rows[0], rows[-1]], said.labels.id_of(label)].tolist()
            if sign * (after - before) < MARGIN:
                yield 1, f"probability of {label} {verb} by {MARGIN} or more", f"{before:.2f} to {after:.2f}"
