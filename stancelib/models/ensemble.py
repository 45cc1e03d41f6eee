"""Several trained models as one: their probabilities, averaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.models.base import Member, Report, check_members, family_class, family_of, labels_for, silent
from stancelib.schema import Progress, Statements

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ensemble:
    """Averages the probabilities of trained models.

    Fitting it trains no member: it only finds the weights, on validation statements that the members haven't learned
    from. Members must know the same labels, in any order.

    Args:
        members: At least one trained model.
        weights: ``fitted`` finds the convex weights with the highest validation likelihood; ``equal`` takes the mean.

    Raises:
        ValueError: If there is no member, they differ in labels, or ``weights`` is neither.
    """

    def __init__(self, *, members: Sequence[Member], weights: Literal["fitted", "equal"] = "fitted") -> None:
        check_members(members)
        if weights not in ("fitted", "equal"):
            raise ValueError(f"weights must be 'fitted' or 'equal', got {weights!r}.")
        self.members = list(members)
        self.weights = weights
        self.uses_target = any(member.model.uses_target for member in members)
        self.extra = next((extra for m in members if (extra := getattr(m.model, "extra", ""))), "")

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Find the weights on validation; the training statements only tell the labels.

        Raises:
            DataError: If the labels differ from the members', or weights are to be fitted without validation.
        """
        import numpy as np

        self.labels_ = labels_for(self.members, train)
        self.weights_ = np.full(len(self.members), 1 / len(self.members))
        if self.weights == "fitted" and len(self.members) > 1:
            if validation is None or not len(validation):
                raise DataError(
                    "fitted weights need a validation split: choose a split that makes one, or equal weights."
                )
            self.weights_ = fit_weights(validation.gold, self._each(validation))
        report(Progress(1, 1, {f"train/weight_{i}": float(weight) for i, weight in enumerate(self.weights_)}))
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Weighted mean of the members' probabilities, shape (n_statements, n_labels)."""
        import numpy as np

        mean: NDArray[np.float64] = np.tensordot(self.weights_, self._each(statements), axes=1)
        return mean

    def save(self, folder: Path) -> None:
        """Write every member into ``members/<number>/``, and ``ensemble.json``.

        Raises:
            ConfigError: If a member is of a family from elsewhere, which no bundle may name inside another.
        """
        records = []
        for number, member in enumerate(self.members):
            if "." in (family := family_of(member.model)):
                raise ConfigError(f"member {number} is a {family}; an ensemble saves stancelib's own families only.")
            place = folder / "members" / str(number)
            place.mkdir(parents=True)
            member.model.save(place)
            record = {"family": family, "labels": list(member.labels), "temperature": member.temperature}
            records.append(record | {"name": member.name, "weight": float(self.weights_[number])})
        content = {"labels": list(self.labels_), "weights": self.weights, "members": records}
        (folder / "ensemble.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The ensemble that ``save`` wrote."""
        import numpy as np

        content = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))
        members = [
            Member(
                model=family_class(record["family"]).load(folder / "members" / str(number)),
                labels=LabelSet.of(record["labels"]),
                temperature=record["temperature"],
                name=record["name"],
            )
            for number, record in enumerate(content["members"])
        ]
        model = cls(members=members, weights=content["weights"])
        model.labels_ = LabelSet.of(content["labels"])
        model.weights_ = np.array([record["weight"] for record in content["members"]])
        return model

    def _each(self, statements: Statements) -> NDArray[np.float64]:
        """Every member's probabilities in the order of ``labels_``, shape (n_members, n_statements, n_labels)."""
        import numpy as np

        return np.stack([member.predict_proba(statements, self.labels_) for member in self.members])


def fit_weights(
    gold: NDArray[np.int_], probabilities_MNK: NDArray[np.float64], *, n_rounds: int = 200
) -> NDArray[np.float64]:
    """Convex weights of M members with the highest likelihood of the gold labels, shape (n_members,).

    Expectation maximisation for the proportions of a mixture: the likelihood has one maximum.

    Args:
        gold: Label ids, shape (n_statements,).
        probabilities_MNK: Shape (n_members, n_statements, n_labels).
        n_rounds: Steps of the algorithm.

    References:
        Dempster, Laird, Rubin (1977), Maximum Likelihood from Incomplete Data via the EM Algorithm.
    """
    import numpy as np

    likelihood_MN = probabilities_MNK[:, np.arange(len(gold)), gold].clip(1e-15)
    weights_M = np.full(len(likelihood_MN), 1 / len(likelihood_MN))
    for _ in range(n_rounds):
        shares_MN = weights_M[:, None] * likelihood_MN
        weights_M = (shares_MN / shares_MN.sum(axis=0)).mean(axis=1)
    return weights_M
