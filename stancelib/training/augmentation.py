"""Further statements to learn from, made of the training statements.

Only the target tells the labels of some apart, and only the evidence those of others.
"""

from __future__ import annotations

from dataclasses import replace

from stancelib.schema import Statements
from stancelib.training.evidence import evidence_in
from stancelib.training.settings import AugmentSettings


def augmented(
    statements: Statements, settings: AugmentSettings, seed: int, *, evidence: str | None = None
) -> Statements:
    """The statements, then what is made of them.

    Args:
        statements: Labelled.
        settings: What to make, and how much of it.
        seed: Of which ones are joined, and which lose their evidence.
        evidence: Column of their evidence; None for none.
    """
    parts = [statements, *[contrasts(statements)] * settings.contrasts]
    learned = Statements.concatenate([part for part in parts if len(part)] or [statements])
    made = [joined_in_twos(learned, settings.joined, seed)] if settings.joined else []
    is_known = evidence in statements.columns and settings.dropped_label in (statements.labels or ())
    if settings.dropped and evidence and is_known:
        made.append(without_evidence(statements, evidence, settings, seed))
    return Statements.concatenate([learned, *made]) if made else learned


def without_evidence(statements: Statements, column: str, settings: AugmentSettings, seed: int) -> Statements:
    """Some of the statements without the words that their label rests on, under the label that is left then.

    Args:
        statements: Labelled.
        column: Of the evidence.
        settings: How many of those that have some, and the label.
        seed: Of which ones.
    """
    import numpy as np

    assert statements.labels is not None
    parts = evidence_in(statements, column)
    rows = [row for row, part in enumerate(parts) if part and part != statements.texts[row].strip()]
    chosen = np.random.default_rng([seed, len(statements)]).permutation(rows)[: round(settings.dropped * len(rows))]
    made = statements.take(chosen)
    label_id = statements.labels.id_of(str(settings.dropped_label))
    return replace(
        made,
        texts=[" ".join(statements.texts[row].replace(str(parts[row]), " ", 1).split()) for row in chosen],
        label_ids=np.full(len(made), label_id),
        columns={**made.columns, column: [""] * len(made)},
    )


def contrasts(statements: Statements) -> Statements:
    """Those whose very text has another label towards another target; not those that were only labelled twice."""
    readings = list(zip(statements.targets, statements.gold.tolist(), strict=True))
    of_text: dict[str, set[tuple[str | None, int]]] = {}
    for text, reading in zip(statements.texts, readings, strict=True):
        of_text.setdefault(text, set()).add(reading)
    return statements.take(
        [
            row
            for row, (text, (target, label_id)) in enumerate(zip(statements.texts, readings, strict=True))
            if any(target != other and label_id != its_label for other, its_label in of_text[text])
        ]
    )


def joined_in_twos(statements: Statements, share: float, seed: int) -> Statements:
    """Two statements one behind the other, once with the target and label of the first, once with those of the second.

    Whoever tells the two apart has looked for the part that concerns the target; a reader that ignores the target can
    only guess. A statement is joined at most once, with one on another target, and statements without a target never.

    Args:
        statements: Labelled.
        share: How many to make, as a share of the statements, in [0, 1].
        seed: Of which ones are joined.

    Returns:
        At most ``share * len(statements)`` statements, each text twice, with the columns of the one it is judged by.
    """
    import numpy as np

    order = np.random.default_rng([seed, len(statements)]).permutation(len(statements))
    order = np.array([row for row in order if statements.targets[row]], int)
    twos = list(zip(order[0::2], order[1::2], strict=False))[: int(share * len(statements) / 2)]
    twos = [(a, b) for a, b in twos if statements.targets[a] != statements.targets[b]]
    rows = np.array(twos, int).reshape(-1)
    return Statements(
        texts=[f"{statements.texts[a]} {statements.texts[b]}" for a, b in twos for _ in range(2)],
        targets=[statements.targets[row] for row in rows],
        labels=statements.labels,
        label_ids=statements.gold[rows],
        columns=statements.take(rows).columns,
    )
