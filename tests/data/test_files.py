import json
from pathlib import Path

import pytest

from stancelib.data.cleaning import raise_errors
from stancelib.data.files import files
from stancelib.data.records import Columns
from stancelib.errors import ConfigError, DataError
from stancelib.schema import Corpus, Finding

ROWS = [
    {"id": "a", "text": "We agree, if the noise stops.", "target": "a truce", "label": "yes-if", "year": 2020},
    {"id": "b", "text": "Never.", "target": "a truce", "label": "no", "year": 2021},
    {"id": "c", "text": 'He said "no", twice.', "target": "a loan", "label": "no", "year": 2022},
]


def write(folder: Path, name: str, rows=ROWS) -> str:
    path = folder / name
    if path.suffix in {".csv", ".tsv"}:
        import csv

        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def finding(corpus: Corpus, check: str) -> Finding:
    return next(finding for finding in corpus.findings if finding.check == check)


@pytest.mark.parametrize("name", ["d.csv", "d.tsv", "d.jsonl", "d.json", "d.parquet"])
def test_every_format_gives_the_same_statements(tmp_path: Path, name: str):
    corpus = files(path=write(tmp_path, name))
    train = corpus.split("train")
    assert list(train.texts) == [row["text"] for row in ROWS]
    assert list(train.targets) == ["a truce", "a truce", "a loan"]
    assert train.column("label") == ["yes-if", "no", "no"]
    assert corpus.labels.names == ("no", "yes-if")
    assert list(train.ids) == ["a", "b", "c"]
    assert [str(year) for year in train.columns["year"]] == ["2020", "2021", "2022"]
    assert train.place(2).row == 3
    assert train.place(2).file.endswith(name)
    assert corpus.name == "d"


def test_a_saved_dataset_keeps_its_splits_and_names_its_class_ids(tmp_path: Path):
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["reject", "accept"])}
    )
    table = datasets.Dataset.from_dict({"text": ["no", "yes", "sure"], "label": [0, 1, 1]}, features=features)
    datasets.DatasetDict({"train": table, "dev": table}).save_to_disk(str(tmp_path / "saved"))
    corpus = files(path=str(tmp_path / "saved"), columns=Columns(target=None))
    assert list(corpus.splits) == ["train", "validation"]
    assert corpus.split("train").column("label") == ["reject", "accept", "accept"]
    assert list(corpus.split("train").targets) == [None, None, None]


def test_a_folder_that_datasets_did_not_save_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="save_to_disk"):
        files(path=str(tmp_path))


def test_a_column_called_like_one_of_ours_without_being_it_is_kept_under_a_name_of_its_own(tmp_path: Path):
    rows = [{**row, "remark": f"{row['text']} Really.", "data.label": "x", "stance": row["label"]} for row in ROWS]
    corpus = files(path=write(tmp_path, "d.csv", rows), columns=Columns(text="remark", label="stance", id=None))
    train = corpus.split("train")
    assert list(train.column("text")) == [row["remark"] for row in rows]
    assert train.column_names == ("id", "text", "target", "label", *train.columns)
    assert {name: train.column(name)[0] for name in train.columns} == {
        "data.id": "a",
        "data.text": ROWS[0]["text"],
        "data.data.label": "yes-if",
        "year": "2020",
        "data.label": "x",
    }


def test_one_file_per_split(tmp_path: Path):
    paths = {
        "train": write(tmp_path, "a.csv"),
        "val": write(tmp_path, "b.jsonl", [ROWS[0] | {"id": "z"}]),
        "test": None,
    }
    corpus = files(path=paths)
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 3, "validation": 1}


def test_a_column_can_tell_the_splits_apart(tmp_path: Path):
    rows = [row | {"part": part} for row, part in zip(ROWS, ["train", "dev", "nonsense"], strict=True)]
    corpus = files(path=write(tmp_path, "d.csv", rows), columns=Columns(split="part"))
    assert {name: len(part) for name, part in corpus.splits.items()} == {"train": 1, "validation": 1}
    assert finding(corpus, "unknown-split").places[0].row == 3


def test_csv_text_is_never_read_as_missing_or_as_a_number(tmp_path: Path):
    rows = [{"text": "NA", "target": "None", "label": "1"}, {"text": "007", "target": "nan", "label": "0"}]
    train = files(path=write(tmp_path, "d.csv", rows)).split("train")
    assert list(train.texts) == ["NA", "007"]
    assert list(train.targets) == ["None", "nan"]


def test_labels_can_be_renamed_merged_and_left_out(tmp_path: Path):
    rows = [*ROWS, ROWS[0] | {"id": "d", "label": "maybe"}]
    label_map = {"yes-if": "conditional-accept", "no": "reject", "maybe": None}
    corpus = files(path=write(tmp_path, "d.csv", rows), label_map=label_map, labels=["reject", "conditional-accept"])
    assert corpus.labels.names == ("reject", "conditional-accept")
    assert corpus.split("train").column("label") == ["conditional-accept", "reject", "reject"]
    assert corpus.findings == ()


def test_number_labels_become_names_and_can_be_mapped(tmp_path: Path):
    rows = [{"text": "no", "label": 0}, {"text": "yes", "label": 1}]
    corpus = files(
        path=write(tmp_path, "d.jsonl", rows), columns=Columns(target=None), label_map={0: "reject", "1": "accept"}
    )
    assert corpus.split("train").column("label") == ["reject", "accept"]


def test_a_label_map_entry_that_no_row_has_is_a_warning(tmp_path: Path):
    corpus = files(path=write(tmp_path, "d.csv"), label_map={"yes_if": "x"})
    assert finding(corpus, "unused-label-map").severity == "warning"
    assert "did you mean 'yes-if'" in finding(corpus, "unused-label-map").message


@pytest.mark.parametrize(
    ("label_map", "message"),
    [({"no": True}, "in quotes"), ({"no": ["x"]}, "a label is text"), ({"no": "rejct"}, "did you mean 'reject'")],
)
def test_a_malformed_label_map_is_refused(tmp_path: Path, label_map: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        files(path=write(tmp_path, "d.csv"), label_map=label_map, labels=["reject", "yes-if"])


def test_an_unknown_label_is_counted_placed_and_the_nearest_suggested(tmp_path: Path):
    rows = [*ROWS, ROWS[1] | {"id": "d", "label": "yes_if"}, ROWS[1] | {"id": "e", "label": "yes_if"}]
    corpus = files(path=write(tmp_path, "d.csv", rows), labels=["no", "yes-if"])
    found = finding(corpus, "unknown-label")
    assert (found.severity, found.n_rows, [place.row for place in found.places]) == ("error", 2, [4, 5])
    assert "'yes_if' (2; did you mean 'yes-if'?)" in found.message
    assert len(corpus.split("train")) == 3


def test_rows_without_text_or_label_are_errors_with_places(tmp_path: Path):
    rows = [*ROWS, ROWS[0] | {"id": "d", "text": "  "}, ROWS[0] | {"id": "e", "label": None}]
    corpus = files(path=write(tmp_path, "d.jsonl", rows))
    assert finding(corpus, "missing-text").places[0].row == 4
    assert finding(corpus, "missing-label").places[0].row == 5
    with pytest.raises(DataError, match=r"(?s)1 row with no text.*1 row with no label"):
        raise_errors(corpus.findings)


def test_mixed_label_types_are_an_error(tmp_path: Path):
    corpus = files(path=write(tmp_path, "d.jsonl", [*ROWS, ROWS[0] | {"id": "d", "label": 1}]))
    assert finding(corpus, "mixed-label-types").places[0].row == 4
    assert "number" in finding(corpus, "mixed-label-types").message


def test_duplicate_ids_are_an_error(tmp_path: Path):
    corpus = files(path=write(tmp_path, "d.csv", [*ROWS, ROWS[0]]))
    assert finding(corpus, "duplicate-id").places[0].row == 4


def test_only_the_first_twenty_places_are_kept(tmp_path: Path):
    corpus = files(path=write(tmp_path, "d.jsonl", [*ROWS, *[ROWS[0] | {"text": ""}] * 30]))
    assert finding(corpus, "missing-text").n_rows == 30
    assert len(finding(corpus, "missing-text").places) == 20


def test_rows_without_ids_are_numbered_by_split_and_row(tmp_path: Path):
    rows = [{k: v for k, v in row.items() if k != "id"} for row in ROWS]
    one, two = write(tmp_path, "a.csv", rows), write(tmp_path, "b.csv", rows)
    assert list(files(path=one).split("train").ids) == ["1", "2", "3"]
    assert list(files(path={"train": one, "test": two}).split("test").ids) == ["test-1", "test-2", "test-3"]


def test_a_made_up_id_is_never_that_of_another_row(tmp_path: Path):
    rows = [row | {"id": name} for row, name in zip(ROWS, ("", "1", "1'"), strict=True)]
    found = files(path=write(tmp_path, "d.jsonl", rows))
    assert list(found.split("train").ids) == ["1''", "1", "1'"]
    assert not [one for one in found.findings if one.check == "duplicate-id"]


def test_wrong_encoding_read_as_another_is_a_warning(tmp_path: Path):
    path = tmp_path / "d.csv"
    path.write_bytes("text,target,label\nCafé,a,x\nno,a,y\n".encode())
    assert finding(files(path=str(path), encoding="latin-1"), "broken-text").places[0].row == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns(label="lable"), "no column 'lable'.*did you mean 'label'"),
        (
            Columns(target="proposal"),
            "name of the target column. Set data.columns.target=null where",
        ),
        (Columns(id="key"), "no column 'key'"),
    ],
)
def test_a_missing_column_lists_the_columns_there_are(tmp_path: Path, columns: Columns, message: str):
    with pytest.raises(ConfigError, match=message):
        files(path=write(tmp_path, "d.csv"), columns=columns)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_may_have_semicolons_or_tabs_for_commas(tmp_path: Path, separator: str):
    lines = ["text;target;label", "'a, b';c;yes", "d;e;no"]
    text = "\n".join(lines).replace(";", separator).replace("'", '"')
    (tmp_path / "d.csv").write_bytes(text.encode("cp1252"))
    train = files(path=str(tmp_path / "d.csv"), encoding="cp1252").split("train")
    assert (train.texts, train.targets) == (["a, b", "d"], ["c", "e"])


def test_bars_between_fields_are_recognised(tmp_path: Path):
    (tmp_path / "d.csv").write_text("text|target|label\na|b|c\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="separated by bars: separate them by commas"):
        files(path=str(tmp_path / "d.csv"))


def test_a_file_in_utf_16_says_so(tmp_path: Path):
    (tmp_path / "d.csv").write_bytes("text,target,label\na,b,c\n".encode("utf-16"))
    with pytest.raises(DataError, match=r"is not utf-8 \(byte 0xff\): set encoding to utf-16\."):
        files(path=str(tmp_path / "d.csv"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", b"", "is empty"),
        ("d.csv", b"text,target,label\n", "has no rows"),
        ("d.jsonl", b"", "is empty"),
        ("d.parquet", b"", "is empty"),
        ("d.parquet", b"not parquet", "not a readable Parquet file"),
        ("d.jsonl", b'{"text": "a", "target": "b", "label": "c"}\n', "single label 'c'"),
        ("d.jsonl", b'{"text": "a", "target": "b", "label": ""}\n', "no labelled rows"),
    ],
)
def test_a_file_that_teaches_nothing_is_refused(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        files(path=str(tmp_path / name))


def test_a_file_without_one_usable_row_says_what_is_wrong_with_its_rows(tmp_path: Path):
    rows = [row | {"part": "elsewhere"} for row in ROWS]
    with pytest.raises(DataError, match="3 rows with no known split in column 'part'"):
        files(path=write(tmp_path, "d.csv", rows), columns=Columns(split="part"))


def test_a_missing_file_suggests_the_nearest_and_a_foreign_format_lists_the_known(tmp_path: Path):
    write(tmp_path, "train.csv")
    with pytest.raises(DataError, match=r"did you mean 'train\.csv'"):
        files(path=str(tmp_path / "trian.csv"))
    (tmp_path / "d.xlsx").write_bytes(b"x")
    with pytest.raises(ConfigError, match="the formats are csv"):
        files(path=str(tmp_path / "d.xlsx"))


def test_split_column_and_files_by_split_exclude_each_other(tmp_path: Path):
    one = write(tmp_path, "a.csv")
    with pytest.raises(ConfigError, match=r"columns\.split"):
        files(path={"train": one, "test": one}, columns=Columns(split="part"))


def test_made_up_ids_differ_where_two_files_make_one_split(tmp_path: Path):
    rows = [{k: v for k, v in row.items() if k != "id"} for row in ROWS]
    one, two = write(tmp_path, "a.csv", rows), write(tmp_path, "b.csv", rows)
    found = files(path={"train": write(tmp_path, "c.csv"), "dev": one, "validation": two})
    assert len(set(found.split("validation").ids)) == 6
    raise_errors(found.findings)


@pytest.mark.parametrize("column", ["text", "target", "label", "id"])
def test_half_of_a_character_is_an_error_with_its_place(tmp_path: Path, column: str):
    rows = [ROWS[0], ROWS[1] | {column: "so \ud83d"}, ROWS[2]]
    found = finding(files(path=write(tmp_path, "d.jsonl", rows)), "cut-text")
    assert (found.severity, found.n_rows, [place.row for place in found.places]) == ("error", 1, [2])


@pytest.mark.parametrize("label_map", [{True: "accept", False: "reject"}, {"true": "accept", "false": "reject"}])
def test_labels_that_are_booleans_can_be_mapped(tmp_path: Path, label_map: dict):
    rows = [{"text": f"t{i}", "label": i % 2 == 0} for i in range(6)]
    corpus = files(path=write(tmp_path, "d.jsonl", rows), columns=Columns(target=None), label_map=label_map)
    assert corpus.split("train").column("label")[:2] == ["accept", "reject"]
