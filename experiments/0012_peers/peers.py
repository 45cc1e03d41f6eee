"""Fine-tunes the same encoder on the same statements by recipes from elsewhere, and keeps their predictions.

Writes <peer>-s<seed>-<split>.jsonl into a folder, for `stancelib compare`. The peer setfit needs the package of that
name (1.1), which is no dependency of stancelib: install it beside stancelib in an environment of its own.
usage: python peers.py FOLDER recipe|defaults|setfit SEED …
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from stancelib.data.statements import statements
from stancelib.data.writing import write_rows
from stancelib.prediction_tables import prediction_columns
from stancelib.schema import Predictions
from stancelib.training.encoders import MINILM, find_encoder

SPLITS = ("validation", "test")
RECIPES = {  # of run_classification.py in the examples of transformers: its README's example, and its defaults
    "recipe": {"learning_rate": 2e-5, "per_device_train_batch_size": 32, "num_train_epochs": 3},
    "defaults": {"learning_rate": 5e-5, "per_device_train_batch_size": 8, "num_train_epochs": 3},
}


def joined(part):
    """One text of both columns, as run_classification.py makes of --text_column_names target,text."""
    return [f"{target} {text}" for text, target in zip(part.texts, part.targets, strict=True)]


def with_trainer(train, parts, seed, *, options):
    """run_classification.py without its command line; dynamic padding, which changes the time and not the result."""
    import torch
    import transformers
    from datasets import Dataset

    folder = str(find_encoder(MINILM))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encode(part):
        return Dataset.from_dict(dict(tokenizer(joined(part), truncation=True, max_length=128)))

    transformers.set_seed(seed)
    trainer = transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(train.labels)),
        args=transformers.TrainingArguments(
            tempfile.mkdtemp(),
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            seed=seed,
            **options,
        ),
        train_dataset=encode(train).add_column("labels", train.gold.tolist()),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    trainer.train()
    scores = [trainer.predict(encode(part)).predictions for part in parts]
    powers = [np.exp(found - found.max(axis=1, keepdims=True)) for found in scores]
    return [power / power.sum(axis=1, keepdims=True) for power in powers]


def with_setfit(train, parts, seed, *, max_steps=500):
    """SetFit's own defaults but for the number of steps: its pairs of all statements would take days."""
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    model = SetFitModel.from_pretrained(str(find_encoder(MINILM)))
    rows = Dataset.from_dict({"text": joined(train), "label": train.gold.tolist()})
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), max_steps=max_steps, save_strategy="no", report_to="none", seed=seed
    )
    Trainer(model=model, args=arguments, train_dataset=rows).train()
    return [np.asarray(model.predict_proba(joined(part), as_numpy=True)) for part in parts]


def main(folder: Path, peer: str, seeds: list[int]) -> None:
    """Fit and keep what is missing in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    corpus = statements()
    train, parts = corpus.split("train"), [corpus.split(name) for name in SPLITS]
    for seed in seeds:
        paths = [folder / f"{peer}-s{seed}-{name}.jsonl" for name in SPLITS]
        if all(path.exists() for path in paths):
            continue
        began = time.perf_counter()
        options = {"options": RECIPES[peer]} if peer in RECIPES else {}
        found = (with_trainer if peer in RECIPES else with_setfit)(train, parts, seed, **options)
        print(f"{peer} s{seed}: {time.perf_counter() - began:.0f} s", flush=True)
        for path, part, probabilities in zip(paths, parts, found, strict=True):
            columns = prediction_columns(Predictions(part, corpus.labels, probabilities))
            with write_rows(path) as write:
                write([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(seed) for seed in sys.argv[3:]])
