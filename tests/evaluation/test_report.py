import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jinja2")

from stancelib.evaluation.behaviour import Behaviour, CapabilityResult, Failure
from stancelib.evaluation.cases import Capability, Case, Probe
from stancelib.evaluation.faithfulness import Explanation, Faithfulness, token_spans
from stancelib.evaluation.findings import Findings
from stancelib.evaluation.intervals import Interval, clusters_of, intervals, with_bounds
from stancelib.evaluation.metrics import Evaluation, scores
from stancelib.evaluation.perturbations import robustness
from stancelib.evaluation.probes import probe_target
from stancelib.evaluation.report import Explained, Report, pieces
from stancelib.evaluation.slices import slice_scores
from stancelib.evaluation.summary import markdown
from stancelib.labels import LabelSet
from stancelib.schema import Predictions, Statements

LABELS = LabelSet(("conditional-accept", "reject", "propose"), {"reject": "A <refusal>."})
HOSTILE = '<script>alert(1)</script> <img src="http://evil.example/x.png"> & "quotes" | **bold** `code`'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "br"}


def judge(statements):
    """Right for even rows, and otherwise as sure as before."""
    rows = [int(text.rpartition(" ")[2]) for text in statements.texts]
    label_ids = np.array([row % 3 if row % 5 else (row + 1) % 3 for row in rows])
    sure = 0.4 + np.array([row % 50 for row in rows]) / 90
    probabilities = np.where(np.eye(3, dtype=bool)[label_ids], sure[:, None], (1 - sure[:, None]) / 2)
    return Predictions(statements, LABELS, probabilities)


def make_statements(n, text="we say {}", domain="east"):
    return Statements(
        [text.replace("{}", str(row)) for row in range(n)],
        [f"plan {row % 40}" for row in range(n)],
        LABELS,
        np.arange(n) % 3,
        columns={"domain": [domain if row % 2 else "west" for row in range(n)]},
    )


def explanation(said, row, weights=None):
    text, spans = said.statements.texts[row], token_spans(said.statements.texts[row])
    weights = weights or [(-1.0) ** i * (i + 1) for i in range(len(spans))]
    label = said.labels.names[said.label_ids[row]]
    return Explanation(text, said.statements.targets[row], label, spans, tuple(weights), 0.25, "occlusion")


def behaviour(text="a kettle", n_failures=6):
    case = Case("one", "invariance", (Probe(text, "tea", "reject"), Probe("b", "tea", "reject")))
    failure = Failure("boiling", "one", "invariance", text, "tea", "reject", "propose", "original", {"reject": 0.1})
    return Behaviour(
        (CapabilityResult(Capability("boiling", "Water boils.", (case,) * 10), 2, (failure,) * n_failures),)
    )


def make_report(n=240, *, text="we say {}", domain="east", title="tfidf s0", with_behaviour=True):
    statements = make_statements(n, text, domain)
    said = judge(statements)
    found = scores(said)
    found |= with_bounds(
        {
            k: v
            for k, v in intervals(said, clusters_of(statements)).items()
            if k in ("macro_f1", "accuracy") or k[:3] == "f1."
        }
    )
    wrong = np.flatnonzero(said.label_ids != statements.gold)[:3].tolist()
    findings = Findings(
        probe=probe_target(judge, statements, controls={"text": said}, n_resamples=100),
        slices=slice_scores(said, n_resamples=100),
        behaviour=behaviour(HOSTILE if "script" in text else "a kettle") if with_behaviour else None,
        robustness=robustness(
            lambda part: judge(replace(part, texts=list(statements.texts) * (len(part) // n))),
            statements,
            n_resamples=100,
        ),
    )
    explained = Explained(
        {row: explanation(said, row) for row in wrong}, Faithfulness(24, 0.3, 0.1, Interval(0.2, 0.15, 0.25))
    )
    return Report(
        title=title,
        split="validation",
        predictions=said,
        scores=found,
        evaluation=Evaluation(),
        findings=findings,
        explained=explained,
        facts={"data": f"made up, {domain}"},
    )


class Page(HTMLParser):
    """What a browser would see: tags with their attributes, the visible text, and tags that don't match."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.open, self.broken = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.broken.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)

    @property
    def words(self):
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def report():
    return make_report()


@pytest.fixture(scope="module")
def page(report):
    return Page(report.html())


def test_every_tag_is_closed(page):
    assert page.broken == []
    assert page.open == []


def test_every_part_has_its_section(page):
    assert [a["id"] for tag, a in page.tags if tag == "section" and "id" in a] == [
        "labels", "trust", "target", "slices", "behaviour", "robustness", "errors", "origin",
    ]  # fmt: skip


def test_links_lead_to_sections_of_the_page(page):
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert len(links) > 5
    assert {link.removeprefix("#") for link in links} <= ids


def test_the_page_needs_no_script_and_fetches_nothing(report, page):
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "img", "object", "embed", "base", "form"}
    assert not re.search(r"""url\(|@import|https?://|src=|\son\w+=""", report.html())
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_headline_stands_first_with_its_interval(report, page):
    low, value, high = (report.scores[name] for name in ("macro_f1_low", "macro_f1", "macro_f1_high"))
    assert f"macro-F1{value:.3f}{low:.3f} – {high:.3f}" in page.words


def test_the_confusion_matrix_holds_every_count(report):
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (report.predictions.statements.gold, report.predictions.label_ids), 1)
    cells = re.findall(r'<div class="cell[^>]*>(\d+)<small>', report.html())
    assert list(map(int, cells)) == counts.ravel().tolist()


def test_charts_say_in_words_what_they_show(report, page):
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert f"expected calibration error {report.scores['ece']:.3f}" in labels[3]
    assert any(label.startswith("Risk-coverage curve: ") for label in labels)


def test_charts_stay_inside_their_frame(report):
    for width, height, body in re.findall(r'<svg[^>]*viewBox="0 0 (\d+) (\d+)"[^>]*>(.*?)</svg>', report.html()):
        for x, y in re.findall(r'c?x="(-?[\d.]+)" c?y="(-?[\d.]+)"', body):
            assert 0 <= float(x) <= float(width)
            assert 0 <= float(y) <= float(height)


def test_slices_show_support_and_the_small_ones_their_reason(page, report):
    assert "domain" in page.words
    judged = [one for one in report.findings.slices.slices if one.interval]
    assert f"{len(judged)} slices are large enough to judge" in page.words
    tiny = make_report(40)
    assert "too small: 20 of the 30 statements needed" in Page(tiny.html()).words


def test_probes_show_reliance_with_its_interval(report, page):
    reliance = report.findings.probe.target_reliance
    assert f"{reliance.low:.3f} – {reliance.high:.3f}".replace("-", "−") in page.words
    assert "Not proven: " in page.words  # the planted model never looks at the target


def test_behaviour_shows_passes_and_the_first_failures(page):
    assert "2 of 8" in page.words
    assert page.words.count("“a kettle”") == 4
    assert "and 2 more in tables/behaviour_failures.json" in page.words


def test_worst_errors_show_gold_prediction_and_coloured_tokens(report, page):
    row = next(iter(report.explained.errors))
    assert f"gold {report.predictions.statements.column('label')[row]}" in page.words
    marks = [attributes["class"] for tag, attributes in page.tags if tag == "mark"]
    assert {"for", "against"} <= set(marks[2:])
    assert "a faithfulness of +0.200" in page.words


def test_text_of_users_is_shown_and_never_run():
    report = make_report(text=HOSTILE + " {}", domain="<b onclick=x>", title="<i>run</i>", n=120)
    html = report.html()
    found = Page(html)
    assert not {tag for tag, _ in found.tags} & {"script", "img", "b", "i"}
    assert "<script>alert(1)</script>" in found.words
    assert "<b onclick=x>" in found.words
    assert "<i>run</i>" in found.words
    assert found.broken == []


def test_labels_of_users_are_escaped_in_tables_and_charts():
    labels = LabelSet.of(("<u>yes</u>", 'no"', "so&so"))
    report = make_report(60, with_behaviour=False)
    said = report.predictions
    renamed = Predictions(replace(said.statements, labels=labels), labels, said.probabilities)
    found = Page(
        Report(title="x", split="test", predictions=renamed, scores=scores(renamed), evaluation=Evaluation()).html()
    )
    assert "u" not in {tag for tag, _ in found.tags}
    assert "<u>yes</u>" in found.words


def test_a_report_without_intervals_findings_or_errors_is_a_whole_page():
    said = judge(make_statements(12))
    said = replace(said, probabilities=np.eye(3)[said.statements.gold])
    bare = Report(title="x", split="test", predictions=said, scores=scores(said), evaluation=Evaluation(n_resamples=0))
    found = Page(bare.html())
    assert found.broken == []
    assert "it has no interval" in found.words
    assert not [a for tag, a in found.tags if a.get("id") in ("target", "slices", "behaviour", "errors")]
    assert "macro-F1" in markdown(bare)


@pytest.mark.parametrize(
    ("n_before", "answer"),
    [
        (0, "Yes: no run in this store has scored it before."),
        (1, "No: this test split has been scored 1 time before by runs in this store; where that guided a choice"),
        (1234, "scored 1,234 times before"),
        (None, "Not counted: this run isn't tracked, or its store gave no answer."),
    ],
)
def test_a_test_split_says_how_often_it_was_scored_before(report, n_before, answer):
    of_test = replace(report, split="test", n_scored_before=n_before)
    assert answer in Page(of_test.html()).words
    assert answer in markdown(of_test)


@pytest.mark.parametrize(("n_learned", "status"), [(1, "warning"), (100, "bad")])
def test_a_report_says_first_that_the_model_has_learned_from_its_statements(report, n_learned, status):
    told = replace(report, n_learned=n_learned)
    first = told.content()["verdicts"][0]
    assert (first.question, first.status) == ("Are the statements new to the model?", status)
    assert f"it has learned from {n_learned} of " in Page(told.html()).words
    assert "Are the statements new" not in report.html()


def test_other_splits_do_not_say_how_often_they_were_scored(report):
    assert "Is the test split fresh?" not in replace(report, n_scored_before=7).html()


def test_a_missing_part_says_why():
    said = judge(make_statements(12))
    findings = Findings(remarks={"probe": "no statement has a target."})
    options = {"title": "x", "split": "test", "predictions": said, "scores": scores(said), "evaluation": Evaluation()}
    found = Page(Report(findings=findings, **options).html())
    assert "Not probed: no statement has a target." in found.words


def test_tokens_of_an_explanation_make_up_the_whole_text():
    said = judge(make_statements(3, text="  we,  never: say\n {}"))
    one = explanation(said, 0)
    assert "".join(text for text, _ in pieces(one)) == one.text
    assert max(abs(strength) for _, strength in pieces(one)) == 1
    assert {strength for text, strength in pieces(one) if not text.strip()} == {0}


def test_markdown_holds_scores_and_verdicts_and_keeps_user_text_apart():
    text = markdown(make_report(text=HOSTILE + " {}", n=120))
    assert "| macro-F1 | 0." in text
    assert "- **Does it use the target?** Not proven" in text
    assert "<script>" not in text
    assert "<img" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "\\*\\*bold\\*\\*" in text
    n_bars = [len(re.findall(r"(?<!\\)\|", line)) for line in rows]
    assert set(n_bars) <= {3, 4, 6}


def test_the_template_is_a_part_of_the_package():
    folder = Path(__import__("stancelib.evaluation.report", fromlist=["x"]).__file__).parent
    assert {"report.html.jinja", "report.css"} <= {path.name for path in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_a_browser_paints_the_page_light_and_dark(report, tmp_path):
    matplotlib_image = pytest.importorskip("matplotlib.image")
    (tmp_path / "report.html").write_text(report.html(), encoding="utf-8")
    brightness = {}
    for theme, setting in (("light", 1), ("dark", 0)):
        shot = tmp_path / f"{theme}.png"
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
        flags += " disable-component-update disable-sync hide-scrollbars window-size=1200,1600"
        command = [CHROMIUM, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={tmp_path / theme}"]
        command += [f"--blink-settings=preferredColorScheme={setting}", f"--screenshot={shot}"]
        subprocess.run([*command, (tmp_path / "report.html").as_uri()], check=True, capture_output=True, timeout=120)
        pixels = matplotlib_image.imread(shot)[..., :3]
        assert pixels.shape[:2] == (1600, 1200)
        assert pixels.std() > 0.03  # something is painted
        brightness[theme] = float(np.median(pixels))
    assert brightness["light"] > 0.9
    assert brightness["dark"] < 0.2
