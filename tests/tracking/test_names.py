"""docs/tracking.md lists every metric, parameter and tag: nothing is logged beside it, and nothing on it is made up."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stancelib.comparing import compare_models, read_contender
from stancelib.comparison_run import record_comparison
from stancelib.evaluation.cases import load_suite
from stancelib.evaluation.decisions import Decision
from stancelib.evaluation.metrics import HEADLINES, Analyses, Evaluation
from stancelib.evaluation.perturbations import PERTURBATIONS
from stancelib.experiment import evaluate_model, run_experiment
from stancelib.inference import load
from stancelib.journal import read_events
from stancelib.models.base import Member
from stancelib.models.ensemble import Ensemble
from stancelib.models.prior import Prior
from stancelib.models.tfidf import Tfidf
from stancelib.options import COMPONENTS
from stancelib.recording import Identity
from stancelib.repeating import repeat_experiment
from stancelib.schema import Statements
from stancelib.sizing import run_learning_curve
from stancelib.tracking import MlflowTracker
from stancelib.tracking.store import connect

from ..conftest import LABELS, make_corpus, make_rows, run_cli, write_jsonl
from .conftest import tracked_run

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"
KINDS = {"Metrics": "metrics", "Parameters": "params", "Tags": "tags"}
SCORES = [
    *HEADLINES,
    *("log_loss", "brier", "ece", "brier_uncalibrated", "ece_uncalibrated"),
    *("cost", "abstained", "kept_accuracy", "coverage", "set_size"),
]
MEANINGS = {
    "split": ["train", "validation", "test"],
    "score": SCORES,
    "kind": ["precision", "recall", "f1", "coverage"],
    "label": list(LABELS),
    "i": [r"\d+"],
    "probe": ["target_reliance", "swap_reliance", "pair_accuracy", "gap_to_control"],
    "capability": [capability.metric.partition("/")[2] for capability in load_suite()],
    "perturbation": list(PERTURBATIONS),
    "load": [r"(cpu|system|process|gpu)_\w+"],
    "group": list(COMPONENTS),
    "key": [r"[\w.]+"],
    "package": [r"[\w-]+"],
    "role": ["baseline", "challenger"],
    "mirror": ["uid", "folder", "process", "left_out"],
    "own": [r"[\w.]+"],
}
EVERYTHING = Evaluation(
    splits=("validation", "test"),
    skip_labels=("propose",),
    n_resamples=20,
    analyses=Analyses(robustness=True, n_explained=1),
)
SCORES_ALONE = Analyses(probes=False, behaviour=False, slices=(), report=False)
COSTS = {"reject": {"propose": 2.0}}


def listed():
    """Patterns of the page's three tables."""
    text = PAGE.read_text(encoding="utf-8")
    found = {}
    for title, kind in KINDS.items():
        section = re.split(r"^#+ ", text.partition(f"\n### {title}\n")[2], flags=re.MULTILINE)[0]
        found[kind] = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    return found


LISTED = listed()


def fits(pattern, name):
    parts = re.split(r"<(\w+)>", pattern)
    spelled = [
        re.escape(part) if at % 2 == 0 else "(?:" + "|".join(MEANINGS[part]) + ")" for at, part in enumerate(parts)
    ]
    return re.fullmatch("".join(spelled), name) is not None


def unlisted(kind, names):
    return sorted(name for name in names if not any(fits(pattern, name) for pattern in LISTED[kind]))


def logged(folder):
    """Names in the journals of all runs in a folder, by kind."""
    found = {kind: set() for kind in KINDS.values()}
    for path in folder.rglob("events.jsonl"):
        for event, _ in read_events(path.parent):
            if event["event"] in found:
                found[event["event"]] |= set(event["values"])
    return found


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_page_lists_each_name_once(kind):
    assert LISTED[kind]
    assert len(set(LISTED[kind])) == len(LISTED[kind])


def test_all_that_a_default_run_has_in_mlflow_is_on_the_page(uri, in_tmp, monkeypatch):
    pytest.importorskip("hydra")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for name, start in (("train", 0), ("validation", 60), ("test", 90)):
        write_jsonl(in_tmp / f"{name}.jsonl", make_rows(60 if name == "train" else 30, start=start))
    data = ("data=files", "data.path={train: train.jsonl, validation: validation.jsonl, test: test.jsonl}")
    trained = run_cli("train", *data, "model=tfidf", "evaluation.n_resamples=50", "hydra.run.dir=run")
    assert trained.code == 0, trained.err
    client = connect(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("stancelib").experiment_id])
    for kind in KINDS.values():
        assert unlisted(kind, getattr(run.data, kind)) == []


def rich_corpus():
    """A corpus with slices that are large enough to judge, and with pairs of one text and two targets."""
    corpus = make_corpus(n_validation=240, n_test=45)
    plain, pairs = corpus.split("validation"), range(12)
    both = np.tile([LABELS.id_of("reject"), LABELS.id_of("propose")], len(pairs))
    validation = Statements(
        [*plain.texts, *(f"as said before, {pair}" for pair in pairs for _ in both[:2])],
        [*plain.targets, *(f"plan {side} of {pair}" for pair in pairs for side in "ab")],
        LABELS,
        np.concatenate([plain.gold, both]),
        columns={"group": list(range(264)), "domain": ["east", "west"] * 132},
    )
    return replace(corpus, splits={**corpus.splits, "validation": validation})


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory):
    """A folder with runs of every kind, which between them log all there is."""
    folder, corpus = tmp_path_factory.mktemp("all"), rich_corpus()
    config = {"data": {"_target_": "a.files", "path": "x"}, "seed": 0, "seeds": 2, "resume": False}
    first = run_experiment(
        corpus=corpus,
        model=Tfidf(),
        folder=folder / "first",
        evaluation=EVERYTHING,
        decision=Decision(costs=COSTS, min_confidence=0.4, coverage=0.8),
        identity=Identity(config=config),
    )
    bare = replace(EVERYTHING, skip_labels=(), analyses=SCORES_ALONE)
    evaluate_model(model=load(first.bundle), corpus=corpus, folder=folder / "evaluation", evaluation=bare)
    member = Member(Tfidf().fit(corpus.split("train")), corpus.labels)
    run_experiment(corpus=corpus, model=Ensemble(members=[member]), folder=folder / "ensemble", evaluation=bare)

    def run_one(seed, place, parent):
        return run_experiment(corpus=corpus, model=Prior(), folder=place, evaluation=bare).scores

    parent = {"folder": folder / "seeds", "identity": Identity(config=config), "tags": {"data.digest": "d1"}}
    repeat_experiment(run_one=run_one, seeds=[0, 1], **parent)
    curve = {"curve": {"fractions": [1.0], "draws": 1}}
    run_learning_curve(
        corpus=corpus, model=Prior(), folder=folder / "curve", fractions=[0.5, 1.0], identity=Identity(config=curve)
    )
    pair = [read_contender(str(folder / name), "validation") for name in ("evaluation", "ensemble")]
    record_comparison(compare_models(pair, skip_labels=["propose"]), folder=folder / "comparison")
    return folder


def of_a_torch_family(folder):
    pytest.importorskip("torch")
    from stancelib.models.cross_encoder import CrossEncoder
    from stancelib.models.embedding import Embedding
    from stancelib.training.encoders import EncoderSettings
    from stancelib.training.settings import LoopSettings

    from ..training.tiny_bert import make_tiny_encoder

    settings = EncoderSettings(name=str(make_tiny_encoder(folder / "enc")), max_tokens=16, threads=1)
    bare = Evaluation(n_resamples=20, analyses=SCORES_ALONE)
    for name, model in {
        "embedding": Embedding(encoder=settings, cached=False),
        "encoder": CrossEncoder(encoder=settings, loop=LoopSettings(epochs=2)),
    }.items():
        tracker = MlflowTracker(uri=f"sqlite:///{folder / 'mlflow.db'}") if name == "encoder" else None
        result = run_experiment(
            corpus=make_corpus(), model=model, folder=folder / name, evaluation=bare, tracker=tracker
        )
    return result, tracker


@pytest.mark.slow
def test_runs_of_every_kind_log_what_is_on_the_page_and_all_of_it(all_runs, tmp_path):
    result, tracker = of_a_torch_family(tmp_path)
    found = {kind: names | logged(tmp_path)[kind] for kind, names in logged(all_runs).items()}
    for kind in KINDS.values():
        assert unlisted(kind, found[kind]) == []
    by_the_mirror = {"error", "stancelib.<mirror>", "mlflow.<own>", "git.commit", "git.dirty"}
    for kind, patterns in LISTED.items():
        unused = [one for one in patterns if not any(fits(one, name) for name in found[kind])]
        assert set(unused) <= by_the_mirror
    (run,) = connect(tracker.uri).search_runs([tracker.experiment_id])
    for name, value in result.scores["validation"].items():  # not what was measured half-way
        assert run.data.metrics[f"validation/{name}"] == pytest.approx(value)


@pytest.mark.parametrize("family", ["embedding", "hybrid", "cross_encoder", "contrastive"])
def test_a_run_with_an_encoder_is_tagged_with_the_digest_that_its_bundle_has(family, tmp_path):
    pytest.importorskip("torch")
    from stancelib.models.base import family_class
    from stancelib.training.encoders import EncoderSettings, encoder_digest

    from ..training.tiny_bert import make_tiny_encoder

    folder = make_tiny_encoder(tmp_path / "enc")
    model = family_class(family)(encoder=EncoderSettings(name=str(folder), max_tokens=16, threads=1))
    if hasattr(model, "cached"):
        model.cached = False
    bare, corpus = Evaluation(n_resamples=0, analyses=SCORES_ALONE), make_corpus(n_train=12)
    trained = run_experiment(corpus=corpus, model=model, folder=tmp_path / "run", evaluation=bare)
    evaluate_model(model=load(trained.bundle), corpus=corpus, folder=tmp_path / "again", evaluation=bare)
    digest = encoder_digest(folder)
    assert json.loads((trained.bundle / "model" / "config.json").read_text())["encoder_digest"] == digest
    assert tag_of(tmp_path / "run") == tag_of(tmp_path / "again") == digest[:12]


def tag_of(folder, name="encoder.digest"):
    [value] = [e["values"][name] for e, _ in read_events(folder) if e["event"] == "tags" and name in e["values"]]
    return value


def test_a_failed_run_is_tagged_with_its_error(uri, tmp_path):
    tracker = MlflowTracker(uri=uri)
    tracked_run(tmp_path / "run", tracker, error=RuntimeError("no room"))
    tags = connect(uri).get_run(tracker.run_id).data.tags
    assert tags["error"] == "RuntimeError: no room"
    assert unlisted("tags", tags) == []
