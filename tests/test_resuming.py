import json
import os
import shutil
from dataclasses import replace

import pytest

from stancelib.errors import ConfigError, DataError
from stancelib.evaluation.metrics import Analyses, Evaluation
from stancelib.experiment import run_experiment
from stancelib.journal import read_events
from stancelib.models.prior import Prior
from stancelib.recording import Identity
from stancelib.resuming import earlier_run

from .conftest import make_corpus


def events(folder, kind):
    return [event for event, _ in read_events(folder) if event["event"] == kind]


def kept(folder, status, config):
    from stancelib.journal import Journal

    journal = Journal(folder, name="x")
    (folder / "config.json").write_text(json.dumps(config))
    if status:
        journal.end(status)


def test_the_newest_unfinished_run_of_a_configuration_is_found_and_a_finished_one_wins(tmp_path):
    config = {"seed": 0, "model": {"C": 1}}
    assert earlier_run([tmp_path], config, "d1") is None
    kept(tmp_path / "other", "KILLED", {"seed": 1, "model": {"C": 1}})
    assert earlier_run([tmp_path], config, "d1") is None
    kept(tmp_path / "b", "KILLED", config)
    kept(tmp_path / "a", "FAILED", {"model": {"C": 1}, "seed": 0})
    assert earlier_run([tmp_path], config, "d1") == (tmp_path / "a", False)
    kept(tmp_path / "c", "FINISHED", config)
    kept(tmp_path / "d", "KILLED", config)
    assert earlier_run([tmp_path], config, "d1") == (tmp_path / "c", True)


def test_seeds_on_the_command_line_make_runs_under_one_parent_and_resume_skips_them(cli, in_tmp):
    command = ("train", "model=prior", "tracking=none", "seeds=2")
    assert cli(*command).code == 0
    folders = sorted(path.parent.name for path in in_tmp.rglob("events.jsonl"))
    assert folders[-2:] == ["seed-0", "seed-1"]
    assert len(folders) == 3
    done = cli(*command[:-1], "seed=1", "resume=true")
    assert done.code == 0
    assert len(list(in_tmp.rglob("events.jsonl"))) == 3


@pytest.mark.parametrize("inside", [".", "model"])
def test_a_run_whose_member_was_trained_anew_is_not_gone_on_with(inside, tmp_path, caplog):
    member = tmp_path / "member" / inside
    member.mkdir(parents=True)
    (member / "manifest.json").write_text("{}")
    config = {"model": {"members": [str(tmp_path / "member")]}, "note": "no \0 path"}
    kept(tmp_path / "a", "FINISHED", config)
    assert earlier_run([tmp_path], config, "d1") == (tmp_path / "a", True)
    later = (tmp_path / "a" / "config.json").stat().st_mtime + 10
    os.utime(member / "manifest.json", (later, later))
    assert earlier_run([tmp_path], config, "d1") is None
    assert "has changed since: starting anew" in caplog.text


def test_a_run_one_of_whose_files_changed_is_not_gone_on_with(tmp_path, caplog):
    more = tmp_path / "more.jsonl"
    more.write_text("{}")
    config = {"model": {"unlabelled": str(more)}, "data": {"path": str(more)}, "tracking": {"uri": str(more)}}
    kept(tmp_path / "a", "FINISHED", config)
    assert earlier_run([tmp_path], config, "d1") == (tmp_path / "a", True)
    later = (tmp_path / "a" / "config.json").stat().st_mtime + 10
    os.utime(more, (later, later))
    assert earlier_run([tmp_path], config, "d1") is None
    assert f"'{more}' has changed since" in caplog.text
    for group in ("data", "tracking"):  # the digest tells of the one, and the other takes no part
        kept(tmp_path / group, "FINISHED", {group: config[group]})
        assert earlier_run([tmp_path / group], {group: config[group]}, "d1")


def test_several_seeds_are_resumed_under_their_parent_and_skipped_once_finished(cli, in_tmp):
    command = ("train", "model=prior", "tracking=none", "seeds=2", "resume=true", "hydra.run.dir=s")
    assert cli(*command).code == 0
    before = (in_tmp / "s" / "events.jsonl").read_text()
    done = cli(*command)
    assert (done.code, (in_tmp / "s" / "events.jsonl").read_text()) == (0, before)
    assert "finished before, and skipped" in done.err

    lines = before.splitlines(keepends=True)  # as if it had been killed within the second seed
    (in_tmp / "s" / "events.jsonl").write_text("".join(line for line in lines if '"event": "end"' not in line))
    shutil.rmtree(in_tmp / "s" / "seed-1")
    assert cli(*command).code == 0
    folders = sorted(str(path.parent.relative_to(in_tmp)) for path in in_tmp.rglob("events.jsonl"))
    assert folders == ["s", "s/seed-0", "s/seed-1"]
    starts = [events(in_tmp / name, "start")[0] for name in folders]
    assert {start["parent"] for start in starts[1:]} == {starts[0]["uid"]}
    assert events(in_tmp / "s", "end")[-1]["status"] == "FINISHED"


def test_a_seed_that_was_killed_before_its_data_were_read_is_gone_on_with(cli, in_tmp):
    command = ("train", "model=prior", "tracking=none", "seeds=2", "hydra.run.dir=s")
    assert cli(*command).code == 0
    for name in ("s", "s/seed-1"):
        lines = (in_tmp / name / "events.jsonl").read_text().splitlines(keepends=True)
        kept = lines[:-1] if name == "s" else lines[:1]
        (in_tmp / name / "events.jsonl").write_text("".join(kept))
    shutil.rmtree(in_tmp / "s" / "seed-1" / "model")
    assert cli(*command, "resume=true").code == 0
    assert events(in_tmp / "s" / "seed-1", "end")[-1]["status"] == "FINISHED"


def test_a_run_has_its_configuration_before_anything_can_fail(tmp_path):
    class Unlucky(Prior):
        def fit(self, train, validation=None, **options):
            raise MemoryError

    identity = Identity(config={"seed": 0})
    corpus = make_corpus()
    with pytest.raises(MemoryError):
        run_experiment(corpus=corpus, model=Unlucky(), folder=tmp_path / "a", identity=identity)
    assert earlier_run([tmp_path], {"seed": 0}, corpus.digest) == (tmp_path / "a", False)


def test_a_mistake_that_is_found_before_the_fit_leaves_no_run(tmp_path):
    """The corrected command can go on in the same folder."""
    corpus = make_corpus()
    corpus = replace(corpus, splits={name: corpus.split(name) for name in ("train", "validation")})
    for wrong in (Evaluation(splits=("test",)), Evaluation(analyses=Analyses(slices=("nowhere",)))):
        with pytest.raises((DataError, ConfigError)):
            run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "a", evaluation=wrong)
        assert not (tmp_path / "a").exists()
    assert run_experiment(corpus=corpus, model=Prior(), folder=tmp_path / "a").bundle.is_dir()


def test_a_run_on_other_data_is_not_gone_on_with(tmp_path):
    from stancelib.journal import Journal

    config = {"seed": 0}
    with Journal(tmp_path / "a", name="x") as journal:
        (tmp_path / "a" / "config.json").write_text(json.dumps(config))
        journal.tags({"split.digest": "0123456789ab"})
    assert earlier_run([tmp_path], config, "0123456789ab" + "c" * 52) == (tmp_path / "a", True)
    assert earlier_run([tmp_path], config, "f" * 64) is None


def test_a_folder_with_a_run_of_another_configuration_is_not_gone_on_with(cli, in_tmp):
    command = ("train", "model=prior", "tracking=none", "hydra.run.dir=mine", "resume=true")
    assert cli(*command).code == 0
    done = cli(*command, "model.smoothing=3", "seed=4")
    assert done.code == 2
    assert "mine' is of another configuration (" in done.error
    assert "model.smoothing is 1.0 there and 3.0 here" in done.error
    assert done.error.endswith("so it can't be gone on with; choose another folder.")
    done = cli(*command, "seeds=2")
    assert (done.code, "of another configuration (" in done.error) == (2, True)


def test_a_broken_config_somewhere_is_passed_over(tmp_path):
    kept(tmp_path / "a", "KILLED", {"seed": 0})
    kept(tmp_path / "b", "KILLED", {"seed": 0})
    (tmp_path / "b" / "config.json").write_text("{")
    assert earlier_run([tmp_path], {"seed": 0}, "d1") == (tmp_path / "a", False)


def test_a_whole_number_for_a_float_is_the_same_configuration(cli, in_tmp):
    command = ("train", "model=prior", "tracking=none", "model.smoothing=2", "hydra.run.dir=mine")
    assert cli(*command).code == 0
    done = cli(*command, "resume=true")
    assert done.code == 0
    assert len(list(in_tmp.rglob("events.jsonl"))) == 1
