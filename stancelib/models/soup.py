"""Several fine-tuned networks as one: their weights, averaged."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from stancelib.errors import ConfigError, DataError
from stancelib.labels import LabelSet
from stancelib.models.base import Member, Report, check_members, family_of, labels_for, silent
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.schema import Progress, Statements
from stancelib.training.classification import validation_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Weights = dict[str, Any]  # of a network, by name


class Soup:
    """Averages the weights of trained ``cross_encoder`` models: better than each of them, at the cost of one.

    The members have read the same corpus from the same encoder, with other seeds or other options of training. The
    mean is less sure of itself than they are, which the temperature of a run mends.

    Args:
        members: At least one trained ``cross_encoder``.
        weights: ``equal`` takes the mean of all; ``greedy`` goes from the best member to the worst, by macro-F1 on
            validation, and leaves out whom the mean is worse with.

    Raises:
        ConfigError: If a member is of another family, or has another encoder, pooling or use of the target.
        ValueError: If there is no member, they differ in labels, or ``weights`` is neither.

    References:
        Wortsman et al. (2022), Model soups: averaging weights of multiple fine-tuned models improves accuracy without
        increasing inference time.
    """

    extra = "torch"

    def __init__(self, *, members: Sequence[Member], weights: Literal["equal", "greedy"] = "equal") -> None:
        check_members(members)
        if weights not in ("equal", "greedy"):
            raise ValueError(f"weights must be 'equal' or 'greedy', got {weights!r}.")
        for member in members:
            _check_alike(member, members[0])
        self.members = list(members)
        self.weights = weights
        self.uses_target = members[0].model.uses_target

    def fit(self, train: Statements, validation: Statements | None = None, *, report: Report = silent) -> Self:
        """Average the members; the training statements only tell the labels.

        Raises:
            DataError: If the labels differ from the members', or members are to be left out without validation.
        """
        labels = labels_for(self.members, train)
        if self.weights == "greedy" and (validation is None or not len(validation)):
            raise DataError("a greedy soup needs a validation split: choose a split that makes one, or equal weights.")
        first = self.members[0].model
        assert isinstance(first, CrossEncoder)
        self.model_, self.labels_, self.encoder_digest_ = copy.deepcopy(first), labels, first.encoder_digest_
        self.model_.labels_ = labels
        chosen = states = [_weights_of(member, labels) for member in self.members]
        if self.weights == "greedy" and validation is not None:
            chosen = self._greedy(states, validation, report)
        self._put(chosen)
        return self

    def predict_proba(self, statements: Statements) -> NDArray[np.float64]:
        """Label probabilities, shape (n_statements, n_labels)."""
        return self.model_.predict_proba(statements)

    def save(self, folder: Path) -> None:
        """Write what ``cross_encoder`` writes; the members are not needed any more."""
        self.model_.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model that ``save`` wrote, a soup of itself alone."""
        network = CrossEncoder.load(folder)
        model = cls(members=[Member(network, network.labels_)])
        model.model_, model.labels_, model.encoder_digest_ = network, network.labels_, network.encoder_digest_
        return model

    def _greedy(self, states: list[Weights], validation: Statements, report: Report) -> list[Weights]:
        """Those whose mean has the highest macro-F1 on validation, taken from the best to the worst."""
        scores = [self._score([state], validation) for state in states]
        chosen: list[Weights] = []
        best = 0.0
        for n_done, i in enumerate(sorted(range(len(states)), key=lambda i: -scores[i]), start=1):
            score = self._score([*chosen, states[i]], validation)
            is_in = score >= best
            if is_in:
                chosen, best = [*chosen, states[i]], score
            report(Progress(n_done, len(states), {f"train/weight_{i}": float(is_in), "validation/macro_f1": best}))
        return chosen

    def _score(self, states: list[Weights], statements: Statements) -> float:
        self._put(states)
        return validation_scores(statements.gold, self.predict_proba(statements))["validation/macro_f1"]

    def _put(self, states: list[Weights]) -> None:
        """Give the network the mean of these weights."""
        import torch

        with torch.no_grad():
            for name, weight in self.model_.network_.state_dict().items():
                weight.copy_(sum(state[name].double() for state in states) / len(states))


def _check_alike(member: Member, first: Member) -> None:
    model, other = member.model, first.model
    name = member.name or "a member"
    if not isinstance(model, CrossEncoder) or not isinstance(other, CrossEncoder):
        raise ConfigError(f"{name} is a '{family_of(model)}'; a soup is made of 'cross_encoder' models alone.")
    if _identity(model) != _identity(other):
        raise ConfigError(
            f"{name} and {first.name or 'the first'} differ in the encoder that they started from, its pooling, "
            "max_tokens or use_target, so their weights have no mean. Average their answers: model=ensemble."
        )


def _identity(model: CrossEncoder) -> tuple[object, ...]:
    return model.encoder_digest_, model.encoder.pooling, model.encoder.max_tokens, model.use_target


def _weights_of(member: Member, labels: LabelSet) -> Weights:
    """All weights by name, the head's rows in the order of the labels."""
    assert isinstance(member.model, CrossEncoder)
    order = [member.labels.id_of(name) for name in labels]
    weights: Weights = member.model.network_.state_dict()
    return {name: weight[order] if name.startswith("head.") else weight for name, weight in weights.items()}
