"""Fine-tuning MiniLM: examples per CPU second and score, cross_encoder against Hugging Face's Trainer, one thread each.

CPU seconds instead of wall time, so that the numbers hold on a machine that does other things too.
usage: python experiments/0010_training_speed/measure.py [rows] [epochs] [repetitions]
"""

import logging
import sys
import tempfile
import time
import warnings

from sklearn.metrics import f1_score

from stancelib.data.statements import statements
from stancelib.models.cross_encoder import CrossEncoder
from stancelib.training import classification
from stancelib.training.encoders import MINILM, EncoderSettings, find_encoder, torch_threads
from stancelib.training.loop import computes_in_bf16
from stancelib.training.settings import AugmentSettings, FreezeSettings, LoopSettings, LossSettings, OptimizerSettings

BATCH = 16
RATE = 1e-4


def corpus(n):
    """``n`` statements spread over the training split, and the whole validation split."""
    whole = statements()
    train = whole.split("train")
    step = max(1, len(train) // n)
    return train.take(list(range(0, len(train), step))[:n]), whole.split("validation")


def score(gold, outputs):
    return f1_score(gold, outputs.argmax(1), average="macro")


def with_trainer(train, validation, epochs, *, padding):
    """``max_length`` is what run_classification.py does by default, ``dynamic`` what DataCollatorWithPadding does."""
    import transformers
    from datasets import Dataset

    folder = str(find_encoder(MINILM))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encode(part):
        pad = "max_length" if padding == "max_length" else False
        pairs = tokenizer(list(part.targets), list(part.texts), truncation=True, max_length=128, padding=pad)
        return Dataset.from_dict(dict(pairs) | {"labels": part.gold.tolist()})

    trainer = transformers.Trainer(
        model=transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(train.labels)),
        args=transformers.TrainingArguments(
            tempfile.mkdtemp(),
            per_device_train_batch_size=BATCH,
            num_train_epochs=epochs,
            learning_rate=RATE,
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=encode(train),
        data_collator=transformers.DataCollatorWithPadding(tokenizer),
    )
    with torch_threads(1):
        start = time.process_time()
        trainer.train()
        seconds = time.process_time() - start
        return seconds, score(validation.gold, trainer.predict(encode(validation)).predictions)


def with_stancelib(train, validation, epochs, *, precision="auto", freeze=None):
    """The loop alone, as the Trainer's is measured: without loading, with the frozen layers' activations at hand."""
    plain = {"augment": AugmentSettings(), "loss": LossSettings()}  # the same rows, steps and loss as the Trainer
    optimizer = OptimizerSettings(learning_rate=RATE)
    loop_settings = LoopSettings(epochs=epochs, batch_size=BATCH, precision=precision)
    settings = {"encoder": EncoderSettings(threads=1), "loop": loop_settings, "optimizer": optimizer}
    model = CrossEncoder(**settings, **plain, freeze=freeze)
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
    return seconds[0], score(validation.gold, model.predict_proba(validation))


def main(n=320, epochs=1, repetitions=2):
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    train, validation = corpus(n)
    task = (train, validation, epochs)
    runs = {
        "Trainer, padded to 128": lambda: with_trainer(*task, padding="max_length"),
        "Trainer, dynamic padding": lambda: with_trainer(*task, padding="dynamic"),
        "cross_encoder, fp32": lambda: with_stancelib(*task, precision="fp32"),
        "cross_encoder": lambda: with_stancelib(*task),
        "cross_encoder, embeddings frozen": lambda: with_stancelib(*task, freeze=FreezeSettings(embeddings=True)),
        "cross_encoder, 2 layers frozen": lambda: with_stancelib(*task, freeze=FreezeSettings(layers=2)),
        "cross_encoder, 3 layers frozen": lambda: with_stancelib(*task, freeze=FreezeSettings(layers=3)),
    }
    print(f"# {'bf16' if computes_in_bf16() else 'no bf16'} on this processor", file=sys.stderr)
    print("what,examples_per_cpu_second,validation_macro_f1")
    for _ in range(repetitions):
        for name, run in runs.items():
            seconds, macro_f1 = run()
            print(f"{name},{len(train) * epochs / seconds:.1f},{macro_f1:.3f}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
