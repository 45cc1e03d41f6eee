"""How faithful occlusion and integrated gradients are, for saved models of the families that have an encoder.

Of 80 validation statements, the tokens that a method finds strongest are deleted, and as many random ones.
usage: python methods.py MODEL … > results.csv
"""

import csv
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients

import stancelib
from stancelib import explaining
from stancelib.data.statements import statements
from stancelib.evaluation.faithfulness import Explanation, faithfulness, token_spans
from stancelib.models.contrastive import Contrastive
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.hybrid import Hybrid
from stancelib.models.tfidf import Tfidf
from stancelib.schema import VALIDATION, Predictions, Statements
from stancelib.training.encoders import load_network
from stancelib.training.vectors import pool

N_STATEMENTS = 80


class PairHead(torch.nn.Module):
    """The encoder of ``contrastive`` with its linear classifier as one network."""

    def __init__(self, family: Contrastive) -> None:
        super().__init__()
        self.network, self.encoder = family.network_, family.network_.encoder
        self.coef = torch.tensor(family.head_.coef, dtype=torch.float32)
        self.intercept = torch.tensor(family.head_.intercept, dtype=torch.float32)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Scores, shape (n_rows, n_labels)."""
        return torch.nn.functional.normalize(self.network(inputs), dim=1) @ self.coef + self.intercept


def of_vectors(family: object, temperature: float, said: Predictions, row: int) -> Explanation:
    """Integrated gradients of ``embedding`` and ``hybrid`` through the frozen encoder; exact n-grams are added."""
    text, target, label_id = said.statements.texts[row], said.statements.targets[row], int(said.label_ids[row])
    encoder, tokenizer, settings = family.vectorizer_.network, family.vectorizer_.tokenizer, family.encoder
    head, n_columns = family.head_, len(family.blocks) * encoder.config.hidden_size
    coef = torch.tensor(head.coef[-n_columns:] * getattr(family, "vector_weight", 1.0), dtype=torch.float32)
    fixed = head.intercept
    if isinstance(family, Hybrid):
        fixed = fixed + (family.ngrams_.transform([text], [target]) @ head.coef[:-n_columns]).ravel()
    fixed = torch.tensor(fixed, dtype=torch.float32)

    def vectors(ids: torch.Tensor) -> torch.Tensor:
        mask = torch.ones_like(ids)
        hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return torch.nn.functional.normalize(pool(hidden, mask, settings.pooling), dim=1)

    with torch.no_grad():
        target_vector = vectors(torch.tensor([tokenizer.encode(target).ids]))

    def score(ids: torch.Tensor) -> torch.Tensor:
        t, q = vectors(ids), target_vector.expand(len(ids), -1)
        blocks = {"statement": t, "target": q, "difference": (t - q).abs(), "product": t * q}
        scores = (torch.cat([blocks[name] for name in family.blocks], 1) @ coef + fixed) / temperature
        others = torch.arange(scores.shape[1]) != label_id
        return scores[:, label_id] - scores[:, others].logsumexp(1)

    encoding = tokenizer.encode(text)
    ids, special = torch.tensor([encoding.ids]), torch.tensor([encoding.special_tokens_mask], dtype=torch.bool)
    method = LayerIntegratedGradients(score, encoder.get_input_embeddings())
    options = {"n_steps": 20, "method": "riemann_trapezoid", "internal_batch_size": 20}
    found = method.attribute(ids, baselines=ids.masked_fill(~special, 0), **options).sum(-1)[0].tolist()
    spans = token_spans(text)
    weights = [0.0] * len(spans)
    for (start, end), is_special, weight in zip(encoding.offsets, encoding.special_tokens_mask, found, strict=True):
        covered = [] if is_special else [i for i, (first, last) in enumerate(spans) if first < end and start < last]
        for token in covered:
            weights[token] += weight / len(covered)
    if isinstance(family, Hybrid):
        ngrams = Tfidf(ngrams=family.ngrams)
        ngrams.blocks_, ngrams.head_ = family.ngrams_, replace(head, coef=head.coef[:-n_columns])
        exact = explaining._exact(ngrams, temperature, said, row).weights
        weights = [a + b for a, b in zip(weights, exact, strict=True)]
    return Explanation(text, target, said.labels.names[label_id], spans, tuple(weights), 0.0, "gradients")


def methods_of(model: stancelib.StanceModel, said: Predictions) -> dict[str, Callable[[], list[Explanation]]]:
    """What explains all statements, by method."""
    family, rows = model.bundle.model, range(len(said.statements))
    found = {"occlusion": lambda: explaining._occluded(model.judge, said, uses_target=True)}
    if isinstance(family, CrossEncoder):
        found["gradients"] = lambda: [explaining._integrated(family, model.temperature, said, row) for row in rows]
    elif isinstance(family, Contrastive):

        def gradients() -> list[Explanation]:
            own, family.network_ = family.network_, PairHead(family)
            try:
                return [explaining._integrated(family, model.temperature, said, row) for row in rows]
            finally:
                family.network_ = own

        found["gradients"] = gradients
    else:
        family.vectorizer_.network = load_network(family.vectorizer_.folder)  # the loaded one is for inference alone
        found["gradients"] = lambda: [of_vectors(family, model.temperature, said, row) for row in rows]
    return found


def main(addresses: list[str]) -> None:
    """Print one row per model and method."""
    part = statements().split(VALIDATION)
    part = part.take(np.linspace(0, len(part) - 1, N_STATEMENTS).astype(int))
    asked = Statements(part.texts, part.targets)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["family", "method", "strongest", "random", "difference", "low", "high", "seconds"])
    for address in addresses:
        model = stancelib.load(address)
        for name, method in methods_of(model, model.judge(asked)).items():
            began = time.perf_counter()
            found = method()
            seconds = time.perf_counter() - began
            said = faithfulness(model.judge, found)
            gap = said.difference
            scores = [said.strongest, said.random, gap.value, gap.low, gap.high]
            table.writerow([model.manifest["family"], name, *(f"{x:.3f}" for x in scores), f"{seconds:.1f}"])
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
