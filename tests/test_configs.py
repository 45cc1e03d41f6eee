"""What a user's mistake looks like: one sentence, exit code 2, no traceback, nothing left behind."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from .conftest import make_rows, write_jsonl

QUICK = ("tracking=none", "model=prior", "split=random")
FILES = ("data=files", *QUICK)
MINE = (*FILES, "data.path=mine.jsonl")
LABELS = "data.labels=[conditional-accept,reject,propose]"
MODELS = "(?:[a-z_]+, )*tfidf(?:, [a-z_]+)*"
DATA = "circa, files, hub, (?:[a-z_0-9]+, )*statements, statements_full(?:, [a-z_0-9]+)*"


def change(row, **values):
    """Thirty sound rows, one of them changed; None takes a column away."""
    rows = make_rows(30)
    rows[row] |= values
    return [{name: value for name, value in row.items() if value != "taken away"} for row in rows]


def repeated(row, **values):
    """Thirty sound rows and a repetition of one, changed."""
    rows = make_rows(30)
    return [*rows, rows[row] | {"id": "again"} | values]


# arguments after "train", and the whole message as a regular expression
BAD_CONFIGS = {
    "misspelt group": (
        ["modle=prior"],
        r"there is no key 'modle'; did you mean 'model'\? `stancelib train --cfg job` .*",
    ),
    "misspelt option": (["model=tfdf"], rf"model has no option 'tfdf'; it has {MODELS}; did you mean 'tfidf'\?"),
    "misspelt corpus": (
        ["data=statments"],
        rf"data has no option 'statments'; it has {DATA}; did you mean 'statements'\?",
    ),
    "misspelt key": (
        ["sed=3"],
        r"there is no key 'sed'; did you mean 'seed'\? `stancelib train --cfg job` prints them all\.",
    ),
    "key in another case": (["model=tfidf", "model.c=3"], r"there is no key 'model\.c'; did you mean 'model\.C'\? .*"),
    "misspelt nested key": (
        ["model=tfidf", "model.ngrams.wrod=[1,2]"],
        r"there is no key 'model\.ngrams\.wrod'; did you mean 'model\.ngrams\.word'\? .*",
    ),
    "misspelt key of a chosen option": (
        ["model=prior", "model.smothing=1"],
        r"there is no key 'model\.smothing'; did you mean 'model\.smoothing'\? .*",
    ),
    "added unknown key": (["+foo=1"], r"unknown key 'foo'; the keys are data, split, .*seed, name.*"),
    "added unknown option": (
        ["+data.labls=[a]"],
        r"data\.labls: 'statements' has no option 'labls' \(configs/data/statements\.yaml\); it takes labels, tranche, "
        r"further_labels; did you mean 'labels'\?",
    ),
    "misspelt flag": (["--multirum", "seed=1,2"], r"train has no option '--multirum'; did you mean '--multirun'\?"),
    "a grid shown as one configuration": (
        ["-m", "--cfg", "job", "seed=1,2"],
        r"--cfg shows a single configuration; leave -m out, and give every key one value\.",
    ),
    "a seed below 0": (["seed=-1"], r"seed must be at least 0 and below 4294967296, got -1\."),
    "a seed that is too large": (
        ["seed=4294967296", "seeds=2"],
        r"seed must be at least 0 and below 4294967296, got .*",
    ),
    "unknown flag": (["--frobnicate"], r"train has no option '--frobnicate'\."),
    "a key written as a flag": (["--seed=3"], r"train has no option '--seed=3'; did you mean 'seed=3'\?"),
    "a group written as a flag": (["--model", "prior"], r"train has no option '--model'; did you mean 'model=…'\?"),
    "an option written as a flag": (
        ["--model.C", "4"],
        r"train has no option '--model\.C'; did you mean 'model\.C=…'\?",
    ),
    "flag without its value": (
        ["tracking=none", "-cd"],
        r"argument --config-dir/-cd: expected one argument\. `stancelib train --help` shows how it is used\.",
    ),
    "seed that is no number": (["seed=abc"], r"seed must be a whole number, got 'abc'\."),
    "seed that is no whole number": (["seed=1.5"], r"seed must be a whole number, got '1\.5'\."),
    "fraction out of range, before the data are read": (
        ["data=files", "data.path=nowhere.csv", "split=random", "split.validation_fraction=1.5"],
        r"split 'random': validation_fraction must be at least 0 and below 1, got 1\.5\.",
    ),
    "fractions that leave nothing, before the data are read": (
        ["data=files", "data.path=nowhere.csv", "split=by_time", "split.test_fraction=0.9"],
        r"split 'by_time': the fractions leave nothing for train; they must sum to less than 1\.",
    ),
    "fold out of range, before the data are read": (
        ["data=files", "data.path=nowhere.csv", "split=leave_out", "split.fold=6"],
        r"split 'leave_out': fold must be from 1 to n_folds, and n_folds at least 2; got 6 of 5\.",
    ),
    "no value to leave out, before the data are read": (
        ["data=files", "data.path=nowhere.csv", "split=leave_out", "split.values=[]"],
        r"split 'leave_out': values is empty; name at least one, or set it to null to use folds\.",
    ),
    "wrong type": (
        ["model=tfidf", "model.C=abc"],
        r"model\.C must be a number, got 'abc' \(configs/model/tfidf\.yaml\)\.",
    ),
    "boolean for a number": (
        ["model=tfidf", "model.C=true"],
        r"model\.C must be a number, got True \(configs/model/tfidf\.yaml\)\.",
    ),
    "no value": (["model=tfidf", "model.C="], r"model\.C must be a number, got '' \(configs/model/tfidf\.yaml\)\."),
    "text for a boolean": (
        ["model=prior", "model.per_target=maybe"],
        r"model\.per_target must be true or false, got 'maybe' \(configs/model/prior\.yaml\)\.",
    ),
    "number for a text": (
        ["tracking.uri=5"],
        r"tracking\.uri must be a text or null, got 5 \(configs/tracking/mlflow\.yaml\)\.",
    ),
    "list too long": (
        ["model=tfidf", "model.ngrams.word=[1,2,3]"],
        r"model\.ngrams\.word must be a list of 2 or null, got \[1, 2, 3\] \(configs/model/tfidf\.yaml\)\.",
    ),
    "none of the choices": (
        ["model=tfidf", "model.classifier=svn"],
        r"model\.classifier must be 'logistic' or 'svm', got 'svn' \(configs/model/tfidf\.yaml\)\.",
    ),
    "none of several types": (
        ["model=tfidf", "model.class_weight=balance"],
        r"model\.class_weight must be 'balanced' or a mapping of names to values or null, got 'balance' \(.*\)\.",
    ),
    "number out of range": (["model=tfidf", "model.C=-1"], r"model=tfidf: C must be above 0 and finite, got -1\.?0?\."),
    "range upside down": (
        ["model=tfidf", "model.ngrams.word=[2,1]"],
        r"model=tfidf: word must be \[shortest, longest\] with 1 <= shortest <= longest, got \[2, 1\]\.",
    ),
    "negative smoothing": (
        ["model=prior", "model.smoothing=-1"],
        r"model=prior: smoothing must be at least 0, got -1\.?0?\.",
    ),
    "unknown split to score": (
        ["evaluation.splits=[tset]"],
        r"evaluation=default: splits must be of train, validation, test, got 'tset'; did you mean 'test'\?",
    ),
    "no split to score": (
        ["evaluation.splits=[]"],
        r"evaluation=default: splits is empty; name at least one of train, validation, test\.",
    ),
    "unknown headline": (
        ["evaluation.headline=macrof1"],
        r"evaluation=default: headline must be one of .*, got 'macrof1'; did you mean 'macro_f1'\?",
    ),
    "headline that lacks its option": (
        ["evaluation.headline=f_avg"],
        r"evaluation=default: headline 'f_avg' needs skip_labels: the labels that its mean leaves out, .*",
    ),
    "mandatory value missing": (["data=files"], r"data\.path has no value yet\. Add data\.path=<value>\."),
    "component taken away": (["~model"], r"model has no value yet\. Add model=<value>\."),
    "component set to null": (["model=null"], r"a group takes the name of one option: data=<name>, .*"),
    "target that does not exist": (
        ["model=tfidf", "model._target_=stancelib.models.tfidf.Tfdf"],
        r"model\._target_: there is no 'stancelib\.models\.tfidf\.Tfdf': module .* has no attribute 'Tfdf'.*",
    ),
    "override without a value": (["model.C"], r"'model\.C' is not of the form key=value; .*"),
    "override with an open bracket": (["model.C=[1,"], r"'model\.C=\[1,' is not of the form key=value; .*"),
    "override with two equal signs": (["name=a=b"], r"'name=a=b' is not of the form key=value; quote a value .*"),
    "a new name below a mapping": (
        ["decision=cautious", "decision.costs.conditional-accept.agree=5"],
        r"decision\.costs\.conditional-accept has no 'agree' yet\. "
        r"Add it with \+\+decision\.costs\.conditional-accept\.agree=<value>\.",
    ),
    "a name below a mapping that is not there": (
        ["model=tfidf", "model.class_weight.reject=2"],
        r"model\.class_weight has no 'reject' yet\. Add it with \+\+model\.class_weight\.reject=<value>\.",
    ),
    "a name below a value that is missing": (
        ["data=files", "data.path.train=a.csv"],
        r"data\.path has no 'train' yet\. Add it with \+\+data\.path\.train=<value>\.",
    ),
    "a name below a number": (
        ["decision.min_confidence.reject=2"],
        r"there is no key 'decision\.min_confidence\.reject'; did you mean 'decision\.min_confidence'\? .*",
    ),
    "a mapping for a misspelt key": (
        ["decision.cost={reject: {propose: 2}}"],
        r"decision\.cost: 'Decision' has no option 'cost' \(configs/decision/argmax\.yaml\); .* mean 'costs'\?",
    ),
    "a mapping of keys that a component lacks": (
        ["model=prior", "model={C: 4}"],
        r"model\.C: 'Prior' has no option 'C' \(configs/model/prior\.yaml\); it takes per_target, smoothing\.",
    ),
    "a component inside another set to null": (
        ["evaluation.analyses=null"],
        r"evaluation\.analyses must be Analyses, got None \(configs/evaluation/default\.yaml\)\.",
    ),
    "several mappings without -m": (
        ["model=tfidf", "model.class_weight={reject: 2},{propose: 2}"],
        r"model\.class_weight has several values; add -m to run each, or write .*",
    ),
    "several values without -m": (
        ["model=tfidf", "model.C=1,2"],
        r"model\.C has several values; add -m to run each, or write model\.C=\[1,2\] for a list\.",
    ),
    "config folder that is not there": (
        ["-cd", "nowhere", "-cn", "x"],
        r"there is no folder 'nowhere' to take options from \(-cd\)\.",
    ),
    "label of no statement": (
        ["data.labels=[reject,propse]"],
        r"the statements corpus has no label 'propse'; its labels are .*; did you mean 'propose'\?",
    ),
    "a single label": (["data.labels=[reject]"], r"a label set needs at least 2 labels, got \['reject'\]\."),
    "unknown tranche": (
        ["data.tranche=triky"],
        r"tranche must be one of tricky, natural or null, got 'triky'; did you mean 'tricky'\?",
    ),
    "public corpus without its folder": (
        ["data=semeval2016"],
        r"data=semeval2016 needs a folder of public corpora: set the environment variable STANCELIB_BENCHMARKS, .*",
    ),
    "hub without a network": (
        ["data=hub", "data.name=a/b"],
        r"the hub's data set 'a/b' can't be loaded: .*HF_HUB_OFFLINE=1.*",
    ),
}


# file name, its content (rows or bytes), further arguments, and the message; {f} stands for the file's name
BAD_FILES = {
    "missing file": (
        "other.jsonl",
        change(0),
        ["data.path=othr.jsonl"],
        r"there is no file 'othr\.jsonl'; did you mean 'other\.jsonl'\?",
    ),
    "empty file": ("f.jsonl", b"", [], r"'f\.jsonl' is empty\."),
    "header alone": ("f.csv", b"text,target,label\n", [], r"'f\.csv' has no rows\."),
    "malformed JSON line": ("f.jsonl", b'{"text": "a"}\n{"text": \n', [], r"f\.jsonl row 2 is not JSON: .*"),
    "JSON that is no object": (
        "f.jsonl",
        b'["a"]\n',
        [],
        r"f\.jsonl row 1 is a list, and every row must be an object such as .*",
    ),
    "wrong encoding": (
        "f.csv",
        "text,target,label\ncafé,b,reject\n".encode("cp1252"),
        [],
        r"f\.csv line 2 is not utf-8 \(byte 0xe9\): save it as UTF-8, or set encoding .*",
    ),
    "unknown encoding": (
        "f.jsonl",
        change(0),
        ["data.encoding=utf9"],
        r"there is no encoding 'utf9'; common ones are .*",
    ),
    "ragged row": ("f.csv", b"text,target,label\na,b\n", [], r"f\.csv row 1 has 2 fields, but the header has 3 .*"),
    "open quote": ("f.csv", b'text,target,label\n"a,b,c\n', [], r"f\.csv row 1 \(line 2\) can't be read: .*"),
    "other separator": (
        "f.csv",
        b"text|target|label\na|b|c\n",
        [],
        r"'f\.csv' has no column 'text'; its columns are text\|target\|label; the fields seem to be separated.*",
    ),
    "unknown format": (
        "f.xyz",
        b"a",
        [],
        r"'f\.xyz' has no known format; the formats are csv, tsv, jsonl, json, parquet\.",
    ),
    "no Parquet file": ("f.parquet", b"a", [], r"'f\.parquet' is not a readable Parquet file: .*"),
    "folder": (
        "folder/f.txt",
        b"a",
        ["data.path=folder"],
        r"'folder' is a folder, but not one that datasets' save_to_disk wrote: .*",
    ),
    "unknown column": (
        "f.jsonl",
        change(0),
        ["data.columns.text=txt"],
        r"'f\.jsonl' has no column 'txt'; its columns are id, text, target, label; did you mean 'text'\?",
    ),
    "no label column": (
        "f.jsonl",
        [{"text": row["text"], "target": "a"} for row in make_rows(6)],
        [],
        r"'f\.jsonl' has no column 'label'; its columns are text, target; set columns\.label to the name .*",
    ),
    "unknown label": (
        "f.jsonl",
        change(2, label="rejct"),
        [LABELS],
        r"1 row with an unknown label \(first: f\.jsonl row 3\): 'rejct' \(1; did you mean 'reject'\?\); the .*",
    ),
    "all labels unknown": (
        "f.jsonl",
        change(0),
        ["data.labels=['yes','no']"],
        r"30 rows with an unknown label \(first: f\.jsonl row 1\): .*; the labels are yes, no\. .*",
    ),
    "missing text": (
        "f.jsonl",
        change(2, text=" "),
        [],
        r"1 row with no text in column 'text' \(first: f\.jsonl row 3\): .*",
    ),
    "missing label": (
        "f.jsonl",
        change(2, label=None),
        [],
        r"1 row with no label in column 'label' \(first: f\.jsonl row 3\): .*",
    ),
    "missing target": (
        "f.jsonl",
        change(2, target=None),
        ["model=tfidf"],
        r"1 row with no target \(first: f\.jsonl row 3\), and the model judges statements towards one: add it, .*",
    ),
    "duplicate ids": (
        "f.jsonl",
        change(2, id="r0"),
        [],
        r"1 row repeats? an id of column 'id' \(first: f\.jsonl row 3\): .*",
    ),
    "one label": (
        "f.jsonl",
        [row for row in make_rows(30) if row["label"] == "reject"],
        [],
        r"'f\.jsonl' has the single label 'reject' in column 'label'; at least 2 are needed\.",
    ),
    "label with one row": (
        "f.jsonl",
        repeated(0, text="quite another text", label="accept"),
        [],
        r"label 'accept' has [01] rows? in 'train', and at least 2 are needed: .*",
    ),
    "class weight of no label": (
        "f.jsonl",
        change(0),
        ["model=tfidf", "model.class_weight={rejct: 2}"],
        r"class_weight names 'rejct', but the labels are conditional-accept, propose, reject; did you mean 'reject'\?",
    ),
    "skipped label that there is not": (
        "f.jsonl",
        change(0),
        ["evaluation.skip_labels=[none]"],
        r".*evaluation.skip_labels names 'none', but the labels are conditional-accept, propose, reject.*",
    ),
    "left out by a missing column": (
        "f.jsonl",
        change(0),
        ["split=leave_out", "split.column=domain"],
        r"split 'leave_out': column 'domain' is no column; the columns are id, text, target, label.*",
    ),
    "left out by a value that no row has": (
        "f.jsonl",
        change(0),
        ["split=leave_out", "split.values=[mars]"],
        r"split 'leave_out': no statement has target 'mars'; there are .*",
    ),
    "fraction out of range": (
        "f.jsonl",
        change(0),
        ["split.validation_fraction=1.5"],
        r"split 'random': validation_fraction must be at least 0 and below 1, got 1\.5\.",
    ),
    "fractions that leave nothing": (
        "f.jsonl",
        change(0),
        ["split.test_fraction=0.6", "split.validation_fraction=0.5"],
        r"split 'random': the fractions leave nothing for train; they must sum to less than 1\.",
    ),
    "by time without a time": (
        "f.jsonl",
        change(0),
        ["split=by_time"],
        r"split 'by_time': column 'time' is no column; .*",
    ),
    "split to score that there is not": (
        "f.jsonl",
        change(0),
        ["split=given", "evaluation.splits=[test]"],
        r"corpus 'f' has no split 'test' to score; it has train, validation\. A split protocol makes.*",
    ),
}


@pytest.fixture
def prior(cli, in_tmp):
    """A trained prior in the folder ``run``."""
    write_jsonl(in_tmp / "mine.jsonl", make_rows(30))
    assert cli("train", *MINE, "hydra.run.dir=run").code == 0
    return "run/model"


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def assert_mistake(answer, message):
    """One sentence, no traceback, exit code 2, nothing on standard output."""
    assert re.fullmatch(message, answer.error), answer.error
    assert answer.code == 2
    assert answer.out == ""


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_bad_config_is_refused_in_one_sentence_and_leaves_nothing(case, cli, in_tmp, monkeypatch):
    monkeypatch.delenv("STANCELIB_BENCHMARKS", raising=False)
    arguments, message = BAD_CONFIGS[case]
    tracking = [] if any("tracking" in argument for argument in arguments) else ["tracking=none"]
    assert_mistake(cli("train", *arguments, *tracking), message)
    assert listing(in_tmp) == []


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_data_is_refused_in_one_sentence_and_leaves_no_model(case, cli, in_tmp):
    name, content, arguments, message = BAD_FILES[case]
    (in_tmp / name).parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        (in_tmp / name).write_bytes(content)
    else:
        write_jsonl(in_tmp / name, content)
    path = [] if any(argument.startswith("data.path") for argument in arguments) else [f"data.path={name}"]
    assert_mistake(cli("train", *FILES, *path, *arguments), message)
    assert not [found for found in listing(in_tmp) if found.endswith(("manifest.json", "SHA256SUMS", "model"))]


def test_conflicting_duplicates_are_named_with_both_places(cli, in_tmp):
    write_jsonl(in_tmp / "f.jsonl", repeated(0, label="propose"))
    answer = cli("check", *FILES, "data.path=f.jsonl")
    assert "conflicting-duplicates 2 rows have the same text and target under different labels" in answer.out
    assert "'conditional-accept' in f.jsonl row 1 and 'propose' in f.jsonl row 31" in answer.out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "labels: [no, reject]",
            r"data\.labels must be .*, got \[False, 'reject'\] \(.*\)\. YAML reads bare yes, no, on and off as "
            r"booleans: put names in quotes\.",
        ),
        ("label_map: {no: reject}", r"label_map names 'false', which is the label of no row\. YAML reads bare .*"),
        (
            "columns: {target: null}\ndecision:\n  costs: {no: {reject: 5}}",
            r"decision\.costs names 'false', but the labels are .*\. YAML reads bare yes, no, on and off as bool.*",
        ),
    ],
)
def test_a_bare_no_as_a_label_in_a_file_is_explained(line, message, cli, in_tmp):
    write_jsonl(in_tmp / "mine.jsonl", make_rows(30))
    (in_tmp / "conf").mkdir()
    (in_tmp / "conf" / "experiment.yaml").write_text(
        f"defaults:\n  - train\n  - override data: files\n  - _self_\ndata:\n  path: mine.jsonl\n  {line}\n"
    )
    assert_mistake(cli("train", "-cd", "conf", "-cn", "experiment", *QUICK), message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("C: 1\nC: 2\n", r".*conf/model/mine\.yaml line 3 can't be read: found duplicate key C\."),
        ("C: [1\n", r".*conf/model/mine\.yaml line 3 can't be read: expected ',' or '\]', but got .*"),
    ],
    ids=["a key twice", "an open bracket"],
)
def test_an_option_file_that_is_no_sound_yaml_is_refused_with_its_line(content, message, cli, in_tmp):
    (in_tmp / "conf" / "model").mkdir(parents=True)
    (in_tmp / "conf" / "model" / "mine.yaml").write_text(f"defaults: [tfidf]\n{content}")
    assert_mistake(cli("train", "-cd", "conf", "model=mine", "tracking=none"), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "x"], r"there is no folder 'nowhere'; give the path of a bundle \(a folder with SHA256SUMS\)\."),
        ([".", "x"], r"'\.' is no stancelib bundle: it has no SHA256SUMS\."),
        (["run/model", " "], r"the statement is empty\. Give a text, a file, or - for standard input\."),
        (
            ["run/model", "./run"],
            r"'\./run' is a folder\. Give a file of statements, a text, or - for standard input\.",
        ),
        (
            ["run/model", "No.", "-o", "o.csv"],
            r"'No\.' is no file, and a single statement is printed, not written to 'o\.csv'\. .*",
        ),
        (["run/model", "mne.jsonl"], r"there is no file 'mne\.jsonl'; did you mean 'mine\.jsonl'\?"),
        (["run/model", "mine.jsonl", "-o", "no/o.csv"], r"there is no folder 'no' to write 'o\.csv' into\."),
        (["run/model", "mine.jsonl", "-o", "o.xls"], r"'o\.xls' has no known format; the formats are csv, tsv, .*"),
        (
            ["run/model", "mine.jsonl", "-o", "o.json"],
            r"rows are written as csv, tsv, jsonl or parquet: name the output \.jsonl\.",
        ),
        (["run/model", "mine.jsonl", "--format", "xml", "-o", "o.csv"], r"'mine\.jsonl' has no known format; .*"),
        (
            ["run/model", "mine.jsonl", "--text-column", "txt", "-o", "o.csv"],
            r"mine\.jsonl row 1 has no column 'txt'; it has id, text, target, label\. Name .* --text-column\.",
        ),
        (
            ["run/model", "holes.jsonl", "-o", "o.csv"],
            r"holes\.jsonl row 3 has no text: 'text' is ''\. Mend it, or pass --keep-going to .*",
        ),
        (["run/model", "broken.jsonl", "-o", "o.parquet"], r"broken\.jsonl row 31 is not JSON: .*"),
        (
            ["models:/nope@champion", "x"],
            r"there are no tracked runs at .*mlflow\.db\. Train first, or set MLFLOW_TRACKING_URI\.",
        ),
    ],
)
def test_predicting_refuses_what_it_cannot_score_and_leaves_no_output(arguments, message, prior, cli, in_tmp):
    write_jsonl(in_tmp / "holes.jsonl", change(2, text=""))
    (in_tmp / "broken.jsonl").write_bytes((in_tmp / "mine.jsonl").read_bytes() + b"{")
    before = listing(in_tmp)
    assert_mistake(cli("predict", *arguments), message)
    assert listing(in_tmp) == before


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "model" / "prior.json").unlink(),
            r".* is incomplete: 'model/prior\.json' is missing\. .*",
        ),
        (
            lambda folder: (folder / "README.md").write_text("x"),
            r".* is damaged: 'README\.md' has changed since it was saved\.",
        ),
        (
            lambda folder: rewrite(folder, format=99),
            r".* has format 99, and this stancelib reads up to 1\. Run: pip install .*",
        ),
        (
            lambda folder: rewrite(folder, family="piror"),
            r"the bundle's family 'piror' is none of .*; did you mean 'prior'\? .*",
        ),
        (
            lambda folder: rewrite(folder, labels=["a", "b"]),
            r"the prior model in 'copy' can't be read: .*",
        ),
    ],
)
def test_a_damaged_model_is_refused_in_one_sentence(damage, message, prior, cli, in_tmp):
    shutil.copytree(in_tmp / prior, in_tmp / "copy")
    damage(in_tmp / "copy")
    assert_mistake(cli("predict", "copy", "some text"), message)


def rewrite(folder, **changes):
    """Change the manifest and the hash that covers it."""
    import hashlib

    content = json.dumps(json.loads((folder / "manifest.json").read_text()) | changes)
    (folder / "manifest.json").write_text(content)
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    kept = [line for line in lines if not line.endswith("  manifest.json")]
    kept.append(f"{hashlib.sha256(content.encode()).hexdigest()}  manifest.json")
    (folder / "SHA256SUMS").write_text("\n".join(kept) + "\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data.path=mine.jsonl", "--split", "validation"], r"corpus 'mine' has no split 'validation'; it has train\."),
        (["data.path=mine.jsonl", "modle=x"], r"there is no key 'modle'; did you mean 'model'\? .*"),
        (["data.path=mine.jsonl", "--split", "tset"], r".*splits must be of .*, got 'tset'; did you mean 'test'\?"),
        (
            ["data.path=others.jsonl", "--split", "train"],
            r"corpus 'others' has the label 'accept', which the model does not know; .* data\.label_map, .*",
        ),
    ],
)
def test_evaluating_refuses_what_it_cannot_score(arguments, message, prior, cli, in_tmp):
    write_jsonl(in_tmp / "others.jsonl", make_rows(6, ("accept", "reject")))
    assert_mistake(cli("evaluate", prior, "data=files", "tracking=none", *arguments), message)


def test_a_run_is_never_written_over_another(prior, cli, in_tmp):
    before = (in_tmp / "run" / "events.jsonl").read_bytes()
    assert_mistake(cli("train", *MINE, "hydra.run.dir=run"), r".*run already holds a run; choose another folder.*")
    assert (in_tmp / "run" / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["predict"],
        ["predict", "model"],
        ["predict", "model", "x", "--foo"],
        ["runs", "-n", "0"],
    ],
)
def test_a_malformed_command_exits_with_2_and_says_how_it_is_used(arguments, cli):
    answer = cli(*arguments)
    assert answer.code == 2
    assert "sage: stancelib" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "model=tfdf"], "Error: model has no option 'tfdf'"),
        (["train", "data=files", "data.path=nowhere.csv"], "Error: there is no file 'nowhere.csv'."),
        (["predict", "nowhere", "x"], "Error: there is no folder 'nowhere'"),
        (["evaluate", "nowhere"], "Error: there is no folder 'nowhere'"),
        (["check", "data=files", "data.path=nowhere.csv"], "Error: there is no file 'nowhere.csv'."),
    ],
)
def test_a_real_process_shows_the_same_sentence_and_no_traceback(arguments, message, in_tmp):
    command = [sys.executable, "-c", "from stancelib.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(message), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert listing(in_tmp) == []
