"""Label names as sources spell them, and the mapping to the names wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stancelib.data.parts import N_PLACES, Part, Tally
from stancelib.errors import ConfigError, DataError, nearest
from stancelib.labels import BOOLEANS, LabelSet
from stancelib.schema import Finding


def label_name(value: Any) -> tuple[str | None, str]:
    """The name of a raw label and the kind of value it is.

    Returns:
        Name and kind (``text``, ``number`` or ``boolean``); the name is None where the value is ``missing`` or ``odd``.
    """
    if isinstance(value, str):
        name = value.strip()
        return (name, "text") if name else (None, "missing")
    if value is None or value != value:
        return None, "missing"
    if isinstance(value, bool):
        return str(value).lower(), "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value)), "number"
    return None, "odd"


@dataclass(slots=True)
class LabelMap:
    """New label names by the source's; a name that is not mapped stays as it is.

    Args:
        names: New name by old name; None leaves the rows out.
        used: Old names met so far.
    """

    names: Mapping[str, str | None]
    used: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, label_map: Mapping[Any, Any] | None, labels: Sequence[str] | None) -> LabelMap:
        """Check a mapping as a config gives it.

        Raises:
            ConfigError: If a name is no text, or a new name is a boolean or none of ``labels``.
        """
        names: dict[str, str | None] = {}
        for old, new in (label_map or {}).items():
            if isinstance(new, bool):
                raise ConfigError(f"label_map maps {old!r} to {new!r}. {BOOLEANS}")
            if new is not None and not isinstance(new, (str, int)):
                raise ConfigError(f"label_map maps {old!r} to {new!r}; a label is text, or null to leave its rows out.")
            if labels is not None and new is not None and str(new) not in labels:
                raise ConfigError(
                    f"label_map maps {str(old)!r} to {str(new)!r}, which is none of the labels "
                    f"({', '.join(labels)}){nearest(str(new), labels)}"
                )
            names[label_name(old)[0] or str(old)] = None if new is None else str(new)
        return cls(names)

    def __call__(self, name: str) -> str | None:
        """The new name of a label; None where its rows are left out."""
        self.used.add(name)
        return self.names.get(name, name)

    def unused_findings(self) -> list[Finding]:
        """A warning for every mapped name that no row had; an error where it may be YAML's reading of another."""
        found = []
        for name in (name for name in self.names if name not in self.used):
            is_boolean = name in ("true", "false")
            message = f"label_map names {name!r}, which is the label of no row{nearest(name, self.used)}"
            message += f" {BOOLEANS}" * is_boolean
            found.append(Finding("error" if is_boolean else "warning", "unused-label-map", message, 0))
        return found


def resolve_labels(
    splits: Mapping[str, Part], mapping: LabelMap, labels: Sequence[str] | None, source: str, column: str
) -> tuple[LabelSet, list[Finding]]:
    """Name the labels, drop the rows that have none or are left out, and fix the label set."""
    missing, odd = Tally(), Tally()
    kinds: dict[str, Tally] = {}
    counts: dict[str, Tally] = {}
    for part in splits.values():
        names: list[str | None] = []
        for value, place in zip(part.labels, part.places, strict=True):
            raw, kind = label_name(value)
            if raw is None:
                (missing if kind == "missing" else odd).add(place)
                names.append(None)
                continue
            kinds.setdefault(kind, Tally()).add(place)
            name = mapping(raw)
            if name is not None:
                counts.setdefault(name, Tally()).add(place)
            names.append(name)
        part.labels = names
    if not counts:
        raise DataError(
            f"'{source}' has no labelled rows: column '{column}' is empty, or label_map leaves all rows out."
        )
    if labels is None and len(counts) < 2:
        raise DataError(
            f"'{source}' has the single label '{next(iter(counts))}' in column '{column}'; at least 2 are needed."
        )
    label_set = LabelSet.of(sorted(counts) if labels is None else labels)
    for part in splits.values():
        part.keep([name in label_set for name in part.labels])
    return label_set, [
        *missing.error("missing-label", f"with no label in column '{column}' {{first}}: label them or remove them."),
        *odd.error("label-type", f"whose label in column '{column}' is neither text nor a whole number {{first}}."),
        *_mixed_types(kinds, column),
        *_unknown_labels({name: tally for name, tally in counts.items() if name not in label_set}, label_set),
        *mapping.unused_findings(),
    ]


def _mixed_types(kinds: Mapping[str, Tally], column: str) -> list[Finding]:
    if len(kinds) < 2:
        return []
    rare, tally = min(kinds.items(), key=lambda item: item[1].n_rows)
    others = " and ".join(sorted(set(kinds) - {rare}))
    return tally.error(
        "mixed-label-types",
        f"have a {rare} as label in column '{column}' where others have a {others} {{first}}: use one type of label.",
    )


def _unknown_labels(unknown: Mapping[str, Tally], labels: LabelSet) -> list[Finding]:
    if not unknown:
        return []
    total = Tally(sum(tally.n_rows for tally in unknown.values()))
    total.places = sorted(place for tally in unknown.values() for place in tally.places)[:N_PLACES]
    most = sorted(unknown.items(), key=lambda item: (-item[1].n_rows, item[0]))[:5]
    named = ", ".join(f"{name!r} ({tally.n_rows:,}{nearest(name, labels).removesuffix('.')})" for name, tally in most)
    more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
    rule = f"the labels are {', '.join(labels)}. Correct them, or map them with label_map (to null to leave rows out)."
    return total.error("unknown-label", f"with an unknown label {{first}}: {named}{more}; {rule}")
