"""Which tokens led a model to its label.

The sum that ``tfidf`` forms is taken apart exactly. The gradients of ``cross_encoder`` are integrated from padding to
the statement. Every other family is asked again without each token in turn, all in one batch: this holds for any
model, needs no gradient, and costs as many predictions as there are tokens.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from stancelib.errors import require
from stancelib.evaluation.faithfulness import Explanation, log_odds, token_spans, without
from stancelib.inference import StanceModel
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.models.distil import Distil
from stancelib.models.soup import Soup
from stancelib.models.tfidf import Tfidf
from stancelib.schema import Judge, Predictions, Statements
from stancelib.training.batching import tokenize
from stancelib.training.encoders import torch_threads
from stancelib.training.network import inputs_for
from stancelib.training.ngrams import TOKEN, Ngrams

Span = tuple[int, int]
N_STEPS = 20  # of the integral


def explain(model: StanceModel, statement: str, target: str | None = None) -> Explanation:
    """What led a model to its label for one statement.

    Args:
        model: A loaded model.
        statement: What was said.
        target: What it is judged towards.
    """
    return explain_all(model, model.judge, Statements([statement], [target]))[0]


def explain_all(model: StanceModel, judge: Judge, statements: Statements) -> list[Explanation]:
    """The same for several statements, in one batch.

    Args:
        model: The model.
        judge: How it is asked; ``model.judge``, or a memory of its answers.
        statements: What is explained.

    References:
        Robnik-Šikonja, Kononenko (2008), Explaining Classifications for Individual Instances; Sundararajan et al.
        (2017), Axiomatic Attribution for Deep Networks.
    """
    family = model.bundle.model
    while isinstance(family, Distil):
        family = family.student
    if isinstance(family, Soup):
        family = family.model_
    said = judge(statements)
    if isinstance(family, Tfidf):
        return [_exact(family, model.temperature, said, row) for row in range(len(statements))]
    if isinstance(family, CrossEncoder):
        with torch_threads(family.encoder.threads):
            return [_integrated(family, model.temperature, said, row) for row in range(len(statements))]
    return _occluded(judge, said, uses_target=bool(model.manifest["uses_target"]))


def _occluded(judge: Judge, said: Predictions, *, uses_target: bool) -> list[Explanation]:
    """Log-odds of the label, minus those without each token, and without the target."""
    statements, labels = said.statements, said.labels
    spans = [token_spans(text) for text in statements.texts]
    texts: list[str] = []
    targets: list[str | None] = []
    for text, target, own in zip(statements.texts, statements.targets, spans, strict=True):
        texts += [*(without(text, own, [token]) for token in range(len(own))), text]
        targets += [*[target] * len(own), None if uses_target else target]
    asked = judge(Statements(texts, targets)).probabilities
    found, at = [], 0
    for row, own in enumerate(spans):
        label_id = int(said.label_ids[row])
        rest = log_odds(asked[at : at + len(own) + 1, label_id])
        *weights, target_weight = (log_odds(said.probabilities[row, label_id]) - rest).tolist()
        at += len(own) + 1
        text, target, label = statements.texts[row], statements.targets[row], labels.names[label_id]
        found.append(Explanation(text, target, label, own, tuple(weights), target_weight, "occlusion"))
    return found


def _integrated(model: CrossEncoder, temperature: float, said: Predictions, row: int) -> Explanation:
    """Integrated gradients of the label's log-odds, from padding in the place of every token that isn't special.

    They add up to the log-odds of the statement minus those of the padding, but for the error of the integral.
    """
    import torch

    text, target, label_id = said.statements.texts[row], said.statements.targets[row], int(said.label_ids[row])
    pair = (target or "", text) if model.use_target else (text,)
    encoding = model.tokenizer_.encode(*pair)
    network = model.network_
    tokens = tokenize(model.tokenizer_, [text], [target] if model.use_target else None)
    inputs = inputs_for(network, tokens.batch([0]))
    ids_1T = inputs.pop("input_ids")
    is_special_1T = torch.tensor([encoding.special_tokens_mask], dtype=torch.bool, device=ids_1T.device)
    padding_1T = ids_1T.masked_fill(~is_special_1T, network.encoder.config.pad_token_id or 0)

    def score(ids_BT: Any, *others: Any) -> Any:
        scores_BK = network({"input_ids": ids_BT, **dict(zip(inputs, others, strict=True))}) / temperature
        is_other = torch.arange(scores_BK.shape[1], device=scores_BK.device) != label_id
        return scores_BK[:, label_id] - scores_BK[:, is_other].logsumexp(1)

    method = require("captum.attr", "torch").LayerIntegratedGradients(score, network.encoder.get_input_embeddings())
    options: dict[str, Any] = {"n_steps": N_STEPS, "method": "riemann_trapezoid", "internal_batch_size": N_STEPS}
    found = method.attribute(ids_1T, baselines=padding_1T, additional_forward_args=tuple(inputs.values()), **options)
    spans, own = token_spans(text), 1 if model.use_target else 0
    weights, target_weight = [0.0] * len(spans), 0.0
    parts = zip(encoding.offsets, encoding.sequence_ids, found.sum(-1)[0].tolist(), strict=True)
    for (start, end), sequence, weight in parts:
        if sequence == own:
            covered = [i for i, (first, last) in enumerate(spans) if first < end and start < last]
            for token in covered:
                weights[token] += weight / len(covered)
        elif sequence is not None:
            target_weight += weight
    return Explanation(text, target, said.labels.names[label_id], spans, tuple(weights), target_weight, "gradients")


def _exact(model: Tfidf, temperature: float, said: Predictions, row: int) -> Explanation:
    """The label's score taken apart; of a softmax, its distance to the mean score of all labels.

    An n-gram's part is shared among its occurrences, and there among the tokens that it covers: evenly for words, by
    letters for characters. The target's part is that of its own block and of its overlap with the statement.
    """
    text, target, label_id = said.statements.texts[row], said.statements.targets[row], int(said.label_ids[row])
    lowered, origin = _lowered(text)
    tokens = [match.span() for match in re.finditer(TOKEN, lowered)]
    weights, target_weight = [0.0] * len(tokens), 0.0
    scale = temperature if model.head_.link == "softmax" else 1.0
    for block, parts in _parts_by_block(model, text, target, label_id).items():
        if block in ("target", "overlap"):
            target_weight += sum(parts.values()) / scale
            continue
        ngrams = _word_ngrams if block == "word" else _character_ngrams
        found = [(term, cover) for term, cover in ngrams(model.ngrams, lowered, tokens) if term in parts]
        n_occurrences = Counter(term for term, _ in found)
        for term, cover in found:
            for token in cover:
                weights[token] += parts[term] / n_occurrences[term] / len(cover) / scale
    spans = token_spans(text)
    shown = [0.0] * len(spans)
    for (start, _), weight in zip(tokens, weights, strict=True):  # the model's tokens are parts of the shown ones
        shown[bisect(spans, (origin[start], len(text))) - 1] += weight
    return Explanation(text, target, said.labels.names[label_id], spans, tuple(shown), target_weight, "exact")


def _parts_by_block(model: Tfidf, text: str, target: str | None, label_id: int) -> dict[str, dict[str, float]]:
    """What each feature of a statement adds to the label's score: by block and n-gram, without the block's name."""
    head = model.head_
    direction = head.coef[:, label_id] - (head.coef.mean(axis=1) if head.link == "softmax" else 0.0)
    features = model.blocks_.transform([text], [target]).tocsr()
    names = model.blocks_.feature_names
    found: dict[str, dict[str, float]] = {}
    for column, value in zip(features.indices.tolist(), features.data.tolist(), strict=True):
        block, _, term = names[column].partition(":")
        found.setdefault(block, {})[term] = value * float(direction[column])
    return found


def _word_ngrams(ngrams: Ngrams, text: str, tokens: Sequence[Span]) -> Iterator[tuple[str, list[int]]]:
    """Every occurrence of a word n-gram, with the tokens that it covers."""
    shortest, longest = ngrams.word or (1, 0)
    words = [text[start:end] for start, end in tokens]
    for n in range(shortest, longest + 1):
        for first in range(len(words) - n + 1):
            yield " ".join(words[first : first + n]), list(range(first, first + n))


def _character_ngrams(ngrams: Ngrams, text: str, tokens: Sequence[Span]) -> Iterator[tuple[str, list[int]]]:
    """Every occurrence of a character n-gram, with the token of each letter in it, as ``char_wb`` cuts them."""
    shortest, longest = ngrams.char or (1, 0)
    token_at = {at: token for token, (start, end) in enumerate(tokens) for at in range(start, end)}
    for run in re.finditer(r"\S+", text):
        padded = f" {run.group()} "
        for n in range(shortest, longest + 1):
            for first in range(max(len(padded) - n, 0) + 1):
                covered = range(run.start() - 1 + first, run.start() - 1 + first + n)
                if cover := [token_at[at] for at in covered if run.start() <= at < run.end()]:
                    yield padded[first : first + n], cover
            if n >= len(padded):
                break  # a short word is counted once, whole


def _lowered(text: str) -> tuple[str, list[int]]:
    """The text in lower case, and where each of its letters stood before: a few become longer."""
    letters = [(letter, at) for at, original in enumerate(text) for letter in original.lower()]
    lowered = text.lower()
    same_length = len(lowered) == len(letters)
    return (lowered if same_length else "".join(letter for letter, _ in letters)), [at for _, at in letters]
