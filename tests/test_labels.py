import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stancelib.errors import ConfigError, DataError
from stancelib.labels import DEFINITIONS, LabelSet

NAMES = st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6, unique=True)


@given(NAMES, st.data())
def test_decoding_undoes_encoding(names, data):
    labels = LabelSet(tuple(names))
    said = data.draw(st.lists(st.sampled_from(names)))
    assert labels.decode(labels.encode(said)) == said


def test_ids_follow_the_order_of_the_names():
    labels = LabelSet(("reject", "accept"))
    assert labels.id_of("reject") == 0
    assert np.array_equal(labels.encode(["accept", "reject"]), [1, 0])


def test_unknown_label_is_refused_with_the_nearest_name():
    with pytest.raises(
        ConfigError, match=r"unknown label 'rejct'; the labels are reject, accept; did you mean 'reject'"
    ):
        LabelSet(("reject", "accept")).encode(["rejct"])


def test_a_single_label_is_no_label_set():
    with pytest.raises(ConfigError, match="at least 2 labels, got \\['reject'\\]"):
        LabelSet(("reject",))


@pytest.mark.parametrize("name", [False, "", "  ", 3])
def test_a_label_that_is_no_text_is_refused_and_yaml_booleans_are_explained(name):
    with pytest.raises(ConfigError, match=r"non-empty strings, got .*YAML reads bare yes, no"):
        LabelSet(("reject", name))


def test_a_repeated_label_is_refused():
    with pytest.raises(ConfigError, match="'a' is listed more than once"):
        LabelSet(("a", "b", "a"))


def test_a_definition_of_no_label_is_refused():
    with pytest.raises(ConfigError, match=r"'rejct', which is no label; did you mean 'reject'"):
        LabelSet(("reject", "accept"), {"rejct": "says no"})


def test_known_labels_bring_their_definitions_along():
    assert LabelSet.of(["reject", "sings"]).definitions == {"reject": DEFINITIONS["reject"]}


def test_a_label_set_is_a_collection_of_its_names():
    labels = LabelSet(("a", "b"))
    assert (len(labels), list(labels), "a" in labels, "c" in labels) == (2, ["a", "b"], True, False)


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64", "int64"])
def test_ids_of_any_whole_type_become_those_of_the_library(kind):
    found = LabelSet(tuple(f"l{i}" for i in range(30))).checked(np.array([0, 29, 20], dtype=kind))
    assert (found.dtype, found.tolist()) == (np.int_, [0, 29, 20])  # 29 * 30 is beyond eight bits


@pytest.mark.parametrize("ids", [[0.0, 1.0], [[0, 1]], ["a"], [True, False]])
def test_what_are_no_ids_is_refused(ids):
    with pytest.raises(DataError, match="label_ids must be whole numbers in one dimension"):
        LabelSet(("a", "b")).checked(ids)


def test_names_that_are_no_labels_are_refused_with_where_they_stand():
    labels = LabelSet(("yes", "no"))
    labels.require(["no", "yes"], "class_weight")
    with pytest.raises(
        ConfigError, match=r"^class_weight names 'noo', but the labels are yes, no; did you mean 'no'\?$"
    ):
        labels.require(["yes", "noo"], "class_weight")
    with pytest.raises(ConfigError, match=r"names 'false', but .*YAML reads bare yes, no, on and off as booleans"):
        labels.require(["false"], "class_weight")
