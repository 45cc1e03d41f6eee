"""A hybrid with weights of its own for every target: all features once for everybody, once more for their target."""

import json

import numpy as np

from stancelib.models.hybrid import Hybrid


class PerTarget(Hybrid):
    """``Hybrid`` whose features stand there again in columns of the statement's target; an unseen target has none.

    References:
        Daumé (2007), Frustratingly Easy Domain Adaptation.
    """

    def fit(self, train, validation=None, **options):
        """As ``Hybrid``, after a look at which targets there are."""
        self.targets_ = sorted({target for target in train.targets if target})
        return super().fit(train, validation, **options)

    def save(self, folder):
        """As ``Hybrid``, and ``targets.json``."""
        super().save(folder)
        (folder / "targets.json").write_text(json.dumps(self.targets_), encoding="utf-8")

    @classmethod
    def load(cls, folder):
        """The model that ``save`` wrote."""
        model = super().load(folder)
        model.targets_ = json.loads((folder / "targets.json").read_text(encoding="utf-8"))
        return model

    def _stack(self, sparse, statements):
        from scipy.sparse import diags, hstack

        shared = super()._stack(sparse, statements)
        targets = np.array([target or "" for target in statements.targets])
        copies = [diags((targets == target).astype(float)) @ shared for target in self.targets_]
        return hstack([shared, *copies], format="csr")
