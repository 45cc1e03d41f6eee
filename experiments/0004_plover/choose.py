"""Cross-validation inside PLOVER's training split, for the linear candidates of this experiment: a CSV row each.

Features are blocks, so every candidate follows from one Gram matrix per block: a fold's model is fitted in the span of
its training rows, which loses nothing. Document frequencies are counted once, over all of train. Neither validation
nor test is read.

    python experiments/0004_plover/choose.py > choices.csv     # STANCELIB_BENCHMARKS and STANCELIB_MPNET set
"""

import os
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from stancelib.data.plover import plover
from stancelib.training.encoders import MINILM, EncoderSettings, find_encoder
from stancelib.training.ngrams import Ngrams, TextBlocks
from stancelib.training.vectors import ALL_BLOCKS, Vectorizer, pair_features

PRODUCT = ("statement", "target", "difference", "product")
INTERACTION = ("statement", "target", "difference", "interaction")
CANDIDATES = [  # n-grams' weight, encoder, blocks, weight of the vectors, C, class weight
    (1.0, "", (), 0.0, 2.0, None),
    (1.0, "", (), 0.0, 2.0, "balanced"),
    (0.0, "minilm", PRODUCT, 1.0, 16.0, None),
    (0.0, "mpnet", PRODUCT, 1.0, 16.0, None),
    (0.0, "mpnet", PRODUCT, 1.0, 16.0, "balanced"),
    (0.0, "mpnet", ("statement",), 1.0, 16.0, "balanced"),
    (1.0, "minilm", PRODUCT, 0.5, 2.0, None),
    (1.0, "mpnet", PRODUCT, 0.5, 2.0, None),
    (1.0, "mpnet", PRODUCT, 0.5, 2.0, "balanced"),
    (1.0, "mpnet", PRODUCT, 1.0, 2.0, "balanced"),
    (1.0, "mpnet", INTERACTION, 1.0, 2.0, "balanced"),
    (1.0, "mpnet", ("statement",), 1.0, 2.0, "balanced"),
    (1.0, "mpnet", ("statement",), 2.0, 2.0, "balanced"),
    (1.0, "mpnet", ("statement",), 2.0, 8.0, "balanced"),
    (1.0, "mpnet", PRODUCT, 1.0, 8.0, "balanced"),
    (1.0, "mpnet", ("statement",), 4.0, 1.0, "balanced"),
    (1.0, "mpnet", ("statement",), 4.0, 2.0, "balanced"),
    (0.0, "minilm", ("statement",), 1.0, 16.0, "balanced"),
    (0.0, "mpnet", ("statement",), 1.0, 4.0, "balanced"),
    (0.0, "mpnet", ("statement",), 1.0, 64.0, "balanced"),
    (0.0, "mpnet", ("statement",), 1.0, 16.0, None),
    (1.0, "", (), 0.0, 16.0, None),
    (1.0, "", (), 0.0, 16.0, "balanced"),
    (1.0, "", (), 0.0, 64.0, "balanced"),
]


def grams(train):
    """Inner products of the training rows, shape (n_statements, n_statements), by block."""
    found = {"ngrams": TextBlocks(ngrams=Ngrams(), use_target=True).fit_transform(train.texts, train.targets)}
    found["ngrams"] = (found["ngrams"] @ found["ngrams"].T).toarray()
    for name, encoder in (("minilm", MINILM), ("mpnet", os.environ["STANCELIB_MPNET"])):
        vectorizer = Vectorizer(find_encoder(encoder), EncoderSettings(name=encoder, threads=1), cached=True)
        for block in ALL_BLOCKS:
            features = pair_features(vectorizer, train.texts, train.targets, [block]).astype(float)
            found[f"{name} {block}"] = features @ features.T
    return found


def out_of_fold(gram, gold, C, class_weight):
    """Probabilities of every row by a model that hasn't seen it, shape (n_statements, n_labels)."""
    probabilities = np.zeros((len(gold), gold.max() + 1))
    for seen, unseen in StratifiedKFold(5, shuffle=True, random_state=0).split(gold, gold):
        squares, axes = np.linalg.eigh(gram[np.ix_(seen, seen)])
        kept = squares > 1e-6 * squares[-1]
        scales, axes = np.sqrt(squares[kept]), axes[:, kept]
        model = LogisticRegression(C=C, class_weight=class_weight, max_iter=300, tol=1e-3)
        model.fit(axes * scales, gold[seen])
        probabilities[unseen] = model.predict_proba(gram[np.ix_(unseen, seen)] @ (axes / scales))
    return probabilities


def scores(gold, probabilities):
    """Macro-F1, accuracy and log loss."""
    guess = probabilities.argmax(1)
    labels = range(probabilities.shape[1])
    hits = [2 * np.sum((gold == k) & (guess == k)) / (np.sum(gold == k) + np.sum(guess == k)) for k in labels]
    loss = -np.log(probabilities[np.arange(len(gold)), gold]).mean()
    return f"{np.mean(hits):.4f},{np.mean(gold == guess):.4f},{loss:.4f}"


def main():
    train = plover(root=os.environ["STANCELIB_BENCHMARKS"]).split("train")
    by_block = grams(train)
    print("ngrams,encoder,blocks,vector_weight,C,class_weight,macro_f1,accuracy,log_loss")
    for ngrams, encoder, blocks, weight, C, class_weight in CANDIDATES:
        vectors = sum(by_block[f"{encoder} {block}"] for block in blocks)
        found = out_of_fold(ngrams * by_block["ngrams"] + weight**2 * vectors, train.gold, C, class_weight)
        last = blocks[-1] if blocks else ""
        print(f"{ngrams},{encoder},{last},{weight},{C},{class_weight},{scores(train.gold, found)}", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(main())
