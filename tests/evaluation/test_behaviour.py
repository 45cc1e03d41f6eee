import json
import re
from collections import Counter

import numpy as np
import pytest

from stancelib.data.duplicates import key_of
from stancelib.data.statements import FULL, folder
from stancelib.errors import DataError
from stancelib.evaluation import cases
from stancelib.evaluation.behaviour import judge_suite
from stancelib.evaluation.cases import DIRECTIONAL, FUNCTIONALITY, INVARIANCE, load_suite, read_capability
from stancelib.labels import LabelSet
from stancelib.promoting import Gates
from stancelib.schema import Predictions

CORE = ("conditional-accept", "reject", "propose")
SUITE = load_suite()
PROBES = [probe for one in SUITE for case in one.cases for probe in case.probes]
GOLD = {(probe.text, probe.target): probe.label for probe in PROBES}
FIRST = {probe.text: probe.label for probe in reversed(PROBES)}
FIGURES = (  # what is taken literally, and so for no answer at all
    r"\b(?:foot|table|door|pole|green light|ball|dead|strings?|cold day|olive|bullet|fly|halfway|flagpole|pot|sand|"
    r"throats?|bridge|swallow|hat|board|life|grass|beggars|boat|fire|water|ice|bag|bed|cards?|hook|line|knife|heart|hand|arm|leg)\b"
)
EARLIER = (  # what somebody held before the answer, taken for the answer
    r"\b(?:so far|in march|in spring|for years|twice|was against|were against|we were|could have|would have|'d have|"
    r"at first|used to|by now|but)\b[^.;:]*[,.;:]"
)
SPEAKERS = (  # who says something, and what names occur
    r"\b(?:firm|charity|Saltmen|Ellmar|City|United|Berger|Altmann|Ella|bank|branch|borrower|Quill|Zorbex|bot|referees|"
    r"furriers|Arland|Norrland|Kharesh|rebels|steward|director|archbishop|apprentice|Mrs?|Fatima|[Ss]he|They|"
    r"Conservatives|Greens|pensioners|bloc|Dunmore|Karst|Vell)\b"
)
HEAD = "capability: own\ndescription: Mine.\n"
CASE = "  - {id: a, target: a plan, text: We refuse., label: reject}\n"


def judge_of(rule, names=FULL):
    """A judge that is sure of what ``rule`` says about text, target and the right label."""
    labels = LabelSet(names)

    def judge(statements):
        pairs = zip(statements.texts, statements.targets, strict=True)
        ids = labels.encode([rule(text, target, GOLD.get((text, target))) for text, target in pairs])
        return Predictions(statements, labels, np.eye(len(labels))[ids])

    return judge


def oracle_but(pattern, answer, flags=re.IGNORECASE):
    """Right about everything, except that texts with a cue get one answer."""
    return judge_of(lambda text, target, gold: answer if re.search(pattern, text, flags) else gold)


def core_oracle(text, target, gold):
    return gold if gold in CORE else "propose"


def rates(judge, suite=SUITE):
    return {name.removeprefix("behaviour/"): rate for name, rate in judge_suite(judge, suite).metrics().items()}


def written(tmp_path, content, name="own.yaml"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_the_suite_is_large_and_has_every_kind_of_test_in_every_capability():
    assert len(SUITE) >= 13
    assert sum(len(one.cases) for one in SUITE) >= 400
    for one in SUITE:
        kinds = Counter(case.kind for case in one.cases)
        assert set(kinds) == {FUNCTIONALITY, INVARIANCE, DIRECTIONAL}, one.name
        assert len(one.cases) >= 20, one.name
        assert one.description.endswith("."), one.name


def test_ids_differ_across_the_whole_suite():
    ids = Counter(case.id for one in SUITE for case in one.cases)
    assert [name for name, n in ids.items() if n > 1] == []


def test_most_cases_are_within_the_core_labels():
    core = sum(case.probes[0].label in CORE for one in SUITE for case in one.cases)
    assert core / sum(len(one.cases) for one in SUITE) > 0.9


def test_no_text_has_two_labels_for_the_same_target():
    labels = {}
    for probe in PROBES:
        labels.setdefault(key_of(probe.text, probe.target), set()).add(probe.label)
    assert [key for key, found in labels.items() if len(found) > 1] == []


def test_every_variant_has_a_gold_label_and_invariant_ones_that_of_their_original():
    for one in SUITE:
        for case in one.cases:
            labels = {probe.label for probe in case.probes}
            assert "" not in labels, case.id
            assert len(labels) == (2 if case.kind == DIRECTIONAL else 1), case.id


def test_directions_agree_with_the_labels():
    for one in SUITE:
        for case in one.cases:
            assert case.rises in ("", case.probes[-1].label), case.id
            assert case.falls in ("", case.probes[0].label), case.id


def test_no_text_and_no_target_is_in_the_corpus():
    from sklearn.feature_extraction.text import TfidfVectorizer

    lines = [line for path in folder().glob("*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    corpus = [json.loads(line) for line in lines]
    assert len(corpus) > 7_000
    assert not {row["target"].casefold() for row in corpus} & {probe.target.casefold() for probe in PROBES}
    words = TfidfVectorizer(ngram_range=(1, 2)).fit(row["text"] for row in corpus)
    similar = words.transform(probe.text for probe in PROBES) @ words.transform(row["text"] for row in corpus).T
    assert similar.max() < 0.6


def test_an_oracle_passes_everything_and_nothing_is_skipped():
    behaviour = judge_suite(judge_of(lambda text, target, gold: gold), SUITE)
    assert set(behaviour.metrics().values()) == {1.0}
    assert sum(one.n_skipped for one in behaviour.results) == 0
    assert behaviour.failures()["case"] == []


def test_an_oracle_that_knows_three_labels_passes_what_needs_no_other():
    behaviour = judge_suite(judge_of(core_oracle, CORE), SUITE)
    assert set(behaviour.metrics().values()) == {1.0}
    n_cases, n_skipped = sum(len(one.cases) for one in SUITE), sum(one.n_skipped for one in behaviour.results)
    assert 0 < n_skipped < 0.1 * n_cases


def test_random_labels_score_low_everywhere():
    found = []
    for seed in range(5):
        random = np.random.default_rng(seed)
        found.append(rates(judge_of(lambda text, target, gold, random=random: FULL[random.integers(5)])))
    assert np.mean([one["all"] for one in found]) < 0.2
    assert max(np.mean([one[name] for one in found]) for name in found[0]) < 0.3


@pytest.mark.parametrize("label", CORE)
def test_one_label_for_everything_scores_low(label):
    found = rates(judge_of(lambda text, target, gold: label, CORE))
    assert found["all"] < 0.5
    assert max(found.values()) < 0.65


def bag(text):
    return tuple(sorted(re.findall(r"\w+", text.lower())))


BAGS = {(probe.target, bag(probe.text)): probe.label for probe in reversed(PROBES)}
SHORTCUTS = {  # what a model answers by, and the capabilities that show it, the one that is named for it first
    "if": (oracle_but(r"\bif\b", "conditional-accept"), ("if_and_unless", "absurd_condition")),
    "negation": (oracle_but(r"\b(?:not|no|never|nobody|nothing)\b|n't\b", "reject"), ("negation_scope",)),
    "capitals": (oracle_but(r"^[^a-z]+$", "reject", flags=0), ("typos_and_casing",)),
    "politeness": (
        oracle_but(r"\b(?:thank|honour|delight|grateful|pleas|sorry|regret|respect)", "accept"),
        ("politeness_preambles",),
    ),
    "kind words": (
        oracle_but(r"\b(?:brilliant|wonderful|love|splendid|marvell?ous|great|generous|sure)\b", "accept"),
        ("sarcasm",),
    ),
    "question mark": (oracle_but(r"\?", "propose"), ("questions",)),
    "said": (
        oracle_but(r"\b(?:said|told|announced|according|stated)\b", "none"),
        ("reported_and_hypothetical_speech",),
    ),
    "figures": (oracle_but(FIGURES, "none"), ("idiom",)),
    "earlier view": (oracle_but(EARLIER, "reject"), ("order_of_clauses",)),
    "target-blind": (judge_of(lambda text, target, gold: FIRST[text]), ("strings_attached", "counter_offer")),
    "no condition": (
        judge_of(lambda text, target, gold: "conditional-accept" if gold == "accept" else gold),
        ("dropped_condition",),
    ),
    "speaker": (oracle_but(SPEAKERS, "none", flags=0), ("speaker_and_entity_swaps",)),
    "bag of words": (judge_of(lambda text, target, gold: BAGS[target, bag(text)]), ("swapped_clauses",)),
}


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_a_planted_shortcut_fails_the_capability_named_for_it(shortcut):
    judge, (named, *also) = SHORTCUTS[shortcut]
    found, gates = rates(judge), Gates()
    assert found[named] < (gates.behaviour_floors.get(named) or gates.min_behaviour)
    others = [rate for name, rate in found.items() if name not in {named, *also, "all"}]
    assert max(found[name] for name in (named, *also)) < min(others)
    assert np.mean(others) > 0.85


def test_everything_is_judged_in_one_batch(tmp_path):
    batches = []

    def judge(statements):
        batches.append(len(statements))
        return judge_of(lambda text, target, gold: gold)(statements)

    judge_suite(judge, SUITE)
    assert batches == [len(set(PROBES))]


def test_a_failure_shows_text_target_expectation_answer_and_probabilities(tmp_path):
    own = written(tmp_path, HEAD + "minimum functionality:\n" + CASE)
    behaviour = judge_suite(judge_of(lambda text, target, gold: "accept"), [read_capability(own)])
    table = behaviour.failures()
    assert {name: values[0] for name, values in table.items() if not name.startswith("probability.")} == {
        "capability": "own",
        "case": "a",
        "kind": FUNCTIONALITY,
        "text": "We refuse.",
        "target": "a plan",
        "expected": "reject",
        "got": "accept",
        "original": "",
    }
    assert [table[f"probability.{label}"] for label in FULL] == [[0.0], [0.0], [0.0], [1.0], [0.0]]


def test_an_invariance_asks_for_the_same_label_be_it_right_or_wrong(tmp_path):
    own = written(
        tmp_path,
        HEAD + "invariance:\n  - {id: a, target: t, text: No., label: reject, variants: [NO., {target: other}]}\n",
    )
    suite = [read_capability(own)]
    assert rates(judge_of(lambda text, target, gold: "propose"), suite)["own"] == 1.0
    behaviour = judge_suite(judge_of(lambda text, target, gold: "propose" if target == "t" else "accept"), suite)
    failure = behaviour.results[0].failures[0]
    assert (failure.target, failure.original) == ("other", "No.")
    assert (failure.expected, failure.got) == ("propose, as for the original", "accept")


def test_a_direction_is_judged_by_the_probability_alone(tmp_path):
    own = written(
        tmp_path,
        HEAD + "directional:\n  - {id: a, target: t, text: Maybe., label: accept, variant: Hardly., falls: accept}\n",
    )
    labels = LabelSet(("accept", "reject"))

    def judge(statements, drop):
        said = [0.3 - drop if text == "Hardly." else 0.3 for text in statements.texts]
        return Predictions(statements, labels, np.array([[p, 1 - p] for p in said]))

    suite = [read_capability(own)]
    assert rates(lambda statements: judge(statements, 0.1), suite)["own"] == 1.0
    failed = judge_suite(lambda statements: judge(statements, 0.02), suite).results[0].failures[0]
    assert (failed.expected, failed.got) == ("probability of accept falls by 0.05 or more", "0.30 to 0.28")


def test_what_needs_an_unknown_label_is_skipped_and_a_capability_of_such_cases_has_no_rate(tmp_path):
    own = written(tmp_path, HEAD + "minimum functionality:\n  - {id: a, target: t, text: Fine., label: accept}\n")
    behaviour = judge_suite(judge_of(lambda text, target, gold: "reject", CORE), [read_capability(own)])
    assert behaviour.results[0].n_skipped == 1
    assert behaviour.results[0].pass_rate is None
    assert behaviour.metrics() == {}


def test_files_and_folders_of_users_join_the_suite(tmp_path):
    (tmp_path / "mine").mkdir()
    one = written(tmp_path, HEAD + "minimum functionality:\n" + CASE)
    written(tmp_path / "mine", HEAD.replace("own", "Café talk!") + "minimum functionality:\n" + CASE, "b.yml")
    suite = load_suite([one, tmp_path / "mine"])
    assert [capability.metric for capability in suite[len(SUITE) :]] == ["behaviour/own", "behaviour/café_talk"]
    assert [capability.name for capability in load_suite([one], shipped=False)] == ["own"]


def test_cases_may_name_the_labels_of_the_users_model(tmp_path):
    own = written(tmp_path, HEAD + "minimum functionality:\n  - {id: a, target: t, text: Hm., label: FAVOR}\n")
    assert load_suite([own], shipped=False, labels=["FAVOR", "AGAINST"])[0].cases[0].probes[0].label == "FAVOR"
    with pytest.raises(DataError, match=r"own\.yaml, case 'a': 'FAVOR' is none of conditional-accept, reject"):
        load_suite([own])


def test_an_installed_package_has_its_cases_inside_and_a_broken_one_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "__file__", str(tmp_path / "stancelib" / "evaluation" / "cases.py"))
    with pytest.raises(DataError, match="the behavioural cases are missing here"):
        load_suite()
    inside = tmp_path / "stancelib" / "corpus" / "behaviour"
    inside.mkdir(parents=True)
    written(inside, HEAD + "minimum functionality:\n" + CASE)
    assert [one.name for one in load_suite()] == ["own"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEAD, r"own\.yaml holds no case; list some under 'minimum functionality', 'invariance', 'directional'"),
        ("- a\n", r"own\.yaml must be a mapping with capability, description, .*; got \['a'\]"),
        ("capability: [\n", r"can't read behavioural cases from .*own\.yaml: while parsing"),
        (HEAD + "invariances:\n" + CASE, r"unknown key 'invariances'; valid are .*did you mean 'invariance'\?"),
        (HEAD + "minimum functionality: 3\n", "'minimum functionality' must be a list of cases, got 3"),
        ("capability: own\nminimum functionality:\n" + CASE, "'description' must be a non-empty string, got None"),
        (HEAD + "invariance:\n" + CASE + HEAD, r"own\.yaml line 5: the key 'capability' is in line 1 already\."),
        (HEAD + "invariance:\n" + CASE.replace("}", ", label: x}"), r"line 4: the key 'label' is in line 4 already"),
        ("", r"own\.yaml must be a mapping with .*; got None"),
        (HEAD.replace("own", "All") + "minimum functionality:\n" + CASE, "a capability can't be called 'All'"),
        (HEAD + "minimum functionality:\n" + CASE * 2, "the id 'a' is used 2 times; ids must differ"),
        (
            HEAD + "minimum functionality:\n" + CASE.replace("reject", "rejekt"),
            r"own\.yaml, case 'a': 'rejekt' is none of .*; did you mean 'reject'\?",
        ),
        (
            HEAD + "minimum functionality:\n" + CASE.replace("We refuse.", "no"),
            r"minimum functionality, case 1 \('a'\): 'text' must be a non-empty string, got False\. YAML reads",
        ),
        (
            HEAD + "minimum functionality:\n" + CASE.replace("label", "lable"),
            r"case 1 \('a'\): unknown key 'lable'; valid are id, target, text, label; did you mean 'label'\?",
        ),
        (HEAD + "invariance:\n" + CASE, r"invariance, case 1 \('a'\): 'variants' must be a list of at least one text"),
        (HEAD + "invariance:\n" + CASE.replace("}", ", variants: [We refuse.]}"), "a variant equals the original"),
        (
            HEAD + "invariance:\n" + CASE.replace("}", ", variants: [{txt: x}]}"),
            r"\('a'\), variant: unknown key 'txt'; .*did you mean 'text'\?",
        ),
        (
            HEAD + "directional:\n" + CASE.replace("}", ", variant: We agree.}"),
            "say what must happen: at least one of becomes, rises, falls",
        ),
        (
            HEAD + "directional:\n" + CASE.replace("}", ", variant: Nope., becomes: reject}"),
            "'becomes' is 'reject', as the label is; list the variant under 'invariance'",
        ),
        (
            HEAD + "directional:\n" + CASE.replace("}", ", becomes: accept}"),
            "'text' must be a non-empty string, got None",
        ),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_file_case_and_rule(content, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load_suite([written(tmp_path, content)], shipped=False)


def test_missing_files_empty_folders_and_repeated_capabilities_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"can't read behavioural cases from .*gone\.yaml"):
        load_suite([tmp_path / "gone.yaml"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no behavioural cases"):
        load_suite([tmp_path / "empty"])
    again = written(tmp_path, HEAD.replace("own", "Idiom") + "minimum functionality:\n" + CASE)
    with pytest.raises(DataError, match=r"own\.yaml: there is a capability 'Idiom' already"):
        load_suite([again])
