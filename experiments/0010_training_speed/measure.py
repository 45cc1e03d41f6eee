"""Examples per CPU second of fine-tuning MiniLM: cross_encoder against Hugging Face's Trainer, one thread each.

CPU seconds instead of wall time, so that the numbers hold on a machine that does other things too.
usage: python experiments/0010_training_speed/measure.py [rows] [repetitions]
"""

import json
import logging
import sys
import tempfile
import time
import warnings
from pathlib import Path

from stancelib.labels import LabelSet
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.schema import Statements
from stancelib.training import classification
from stancelib.training.encoders import MINILM, EncoderSettings, find_encoder, torch_threads
from stancelib.training.settings import AugmentSettings, FreezeSettings, LoopSettings, OptimizerSettings

CORPUS = Path(__file__).parents[2] / "data" / "statements" / "train.jsonl"
LABELS = LabelSet.of(("conditional-accept", "reject", "propose"))
BATCH = 16


def load(n):
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["label"] in LABELS]
    rows = rows[:: max(1, len(rows) // n)][:n]
    texts, targets, labels = zip(*((row["text"], row["target"], row["label"]) for row in rows), strict=True)
    return Statements(texts, targets, LABELS, LABELS.encode(labels))


def trainer_seconds(train, *, padding):
    """``max_length`` is what run_classification.py does by default, ``dynamic`` what DataCollatorWithPadding does."""
    import transformers
    from datasets import Dataset

    folder = str(find_encoder(MINILM))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(
        list(train.targets),
        list(train.texts),
        truncation=True,
        max_length=128,
        padding=padding == "max_length" and padding,
    )
    trainer = transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(LABELS)),
        args=transformers.TrainingArguments(
            tempfile.mkdtemp(),
            per_device_train_batch_size=BATCH,
            num_train_epochs=1,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=Dataset.from_dict(dict(encoded) | {"labels": train.gold.tolist()}),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    with torch_threads(1):
        start = time.process_time()
        trainer.train()
        return time.process_time() - start


def own_seconds(train, **options):
    """The loop alone, as the Trainer's is measured: without loading, with the frozen layers' activations at hand."""
    plain = {"augment": AugmentSettings(), "optimizer": OptimizerSettings()}  # the same rows and steps as the Trainer
    loop_settings = LoopSettings(epochs=1, batch_size=BATCH)
    model = CrossEncoder(encoder=EncoderSettings(threads=1), loop=loop_settings, **plain, **options)
    loop, seconds = classification.train, []

    def timed(*arguments):
        start = time.process_time()
        yield from loop(*arguments)
        seconds.append(time.process_time() - start)

    classification.train = timed
    try:
        model.fit(train)
    finally:
        classification.train = loop
    return seconds[0]


def main(n=320, repetitions=2):
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    train = load(n)
    runs = {
        "Trainer, padded to 128": lambda: trainer_seconds(train, padding="max_length"),
        "Trainer, dynamic padding": lambda: trainer_seconds(train, padding="dynamic"),
        "cross_encoder": lambda: own_seconds(train),
        "cross_encoder, embeddings frozen": lambda: own_seconds(train, freeze=FreezeSettings(embeddings=True)),
        "cross_encoder, 2 layers frozen": lambda: own_seconds(train, freeze=FreezeSettings(layers=2)),
        "cross_encoder, 3 layers frozen": lambda: own_seconds(train, freeze=FreezeSettings(layers=3)),
    }
    print("what,examples_per_cpu_second")
    for _ in range(repetitions):
        for name, seconds in runs.items():
            print(f"{name},{len(train) / seconds():.1f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
