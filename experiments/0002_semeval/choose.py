"""Cross-validation inside SemEval's training split, for the choices of this experiment: a CSV row per candidate.

Every candidate is a logistic regression on blocks of features, so all follow from one Gram matrix per block: a fold's
model is fitted in the span of its training rows, which loses nothing. Document frequencies are counted once, over all
of train. Neither validation nor test is read.

    python experiments/0002_semeval/choose.py > choices.csv     # STANCELIB_BENCHMARKS and STANCELIB_MPNET set
"""

import os
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from stancelib.data.semeval2016 import semeval2016
from stancelib.training.encoders import MINILM, EncoderSettings, find_encoder
from stancelib.training.ngrams import Ngrams, TextBlocks
from stancelib.training.vectors import ALL_BLOCKS, Vectorizer, pair_features

PRODUCT = ("statement", "target", "difference", "product")
INTERACTION = ("statement", "target", "difference", "interaction")
CANDIDATES = [  # encoders, blocks, weight of the vectors, C, class weight, own copies of all features for each target
    ("", (), 0.0, 2.0, None, False),
    ("", (), 0.0, 2.0, "balanced", False),
    ("minilm", PRODUCT, 0.5, 2.0, None, False),
    ("minilm", PRODUCT, 0.5, 2.0, "balanced", False),
    ("minilm", INTERACTION, 1.0, 1.0, "balanced", False),
    ("mpnet", PRODUCT, 0.5, 2.0, None, False),
    ("mpnet", PRODUCT, 0.5, 2.0, "balanced", False),
    ("mpnet", PRODUCT, 1.0, 1.0, "balanced", False),
    ("mpnet", INTERACTION, 1.0, 1.0, "balanced", False),
    ("mpnet", INTERACTION, 1.0, 0.5, "balanced", False),
    ("mpnet", INTERACTION, 1.0, 2.0, "balanced", False),
    ("mpnet", INTERACTION, 0.7, 1.0, "balanced", False),
    ("mpnet", INTERACTION, 1.4, 0.5, "balanced", False),
    ("minilm+mpnet", INTERACTION, 1.0, 0.5, "balanced", False),
    ("mpnet", PRODUCT, 1.0, 1.0, "balanced", True),
    ("minilm+mpnet", PRODUCT, 1.0, 0.5, "balanced", True),
]
ENSEMBLE = (4, 8)  # equal shares of these two


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


def out_of_fold(gram, gold, strata, C, class_weight):
    """Probabilities of every row by a model that hasn't seen it, shape (n_statements, n_labels)."""
    probabilities = np.zeros((len(gold), gold.max() + 1))
    for seen, unseen in StratifiedKFold(5, shuffle=True, random_state=0).split(strata, strata):
        squares, axes = np.linalg.eigh(gram[np.ix_(seen, seen)])
        kept = squares > 1e-6 * squares[-1]
        scales, axes = np.sqrt(squares[kept]), axes[:, kept]
        model = LogisticRegression(C=C, class_weight=class_weight, max_iter=300, tol=1e-3)
        model.fit(axes * scales, gold[seen])
        probabilities[unseen] = model.predict_proba(gram[np.ix_(unseen, seen)] @ (axes / scales))
    return probabilities


def scores(gold, probabilities):
    """F_avg, accuracy and log loss; labels are AGAINST, FAVOR, NONE."""
    guess = probabilities.argmax(1)
    hits = [2 * np.sum((gold == k) & (guess == k)) / (np.sum(gold == k) + np.sum(guess == k)) for k in (0, 1)]
    loss = -np.log(probabilities[np.arange(len(gold)), gold]).mean()
    return f"{np.mean(hits):.4f},{np.mean(gold == guess):.4f},{loss:.4f}"


def main():
    train = semeval2016(root=os.environ["STANCELIB_BENCHMARKS"]).split("train")
    by_block = grams(train)
    targets = np.unique(train.targets, return_inverse=True)[1]
    same_target = targets[:, None] == targets
    found = []
    print("encoders,blocks,vector_weight,C,class_weight,per_target,f_avg,accuracy,log_loss")
    for encoders, blocks, weight, C, class_weight, per_target in CANDIDATES:
        vectors = sum(by_block[f"{name} {block}"] for name in encoders.split("+") if name for block in blocks)
        gram = by_block["ngrams"] + weight**2 * vectors
        gram = gram * (1 + same_target) if per_target else gram
        found.append(out_of_fold(gram, train.gold, targets * 3 + train.gold, C, class_weight))
        blocks = blocks[-1] if blocks else ""
        row = f"{encoders},{blocks},{weight},{C},{class_weight},{per_target}"
        print(f"{row},{scores(train.gold, found[-1])}", flush=True)
    mean = np.mean([found[row] for row in ENSEMBLE], axis=0)
    print(f"mean of rows {' and '.join(str(row + 1) for row in ENSEMBLE)},,,,,,{scores(train.gold, mean)}")


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(main())
