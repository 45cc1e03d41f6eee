import errno
import io
import json
import math
import sys
import tracemalloc
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from stancelib.data.rows import column_types, read_rows
from stancelib.data.writing import write_rows
from stancelib.errors import ConfigError, DataError

ROWS = [{"text": 'a "quoted", line\nand another', "score": 1}, {"text": "café\ttab", "score": 2}]


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl", "o.parquet"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str):
    with write_rows(tmp_path / name) as write:
        write(ROWS[:1])
        write(ROWS[1:])
    read = [(place.row, row["text"], int(row["score"])) for place, row in read_rows(tmp_path / name)]
    assert [(text, score) for _, text, score in read] == [(row["text"], row["score"]) for row in ROWS]
    assert [row for row, _, _ in read] == [1, 2]


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_a_writer_that_fails_leaves_the_old_file_and_no_partial_one(tmp_path: Path, name: str):
    def fail() -> None:
        with write_rows(tmp_path / name) as write:
            write(ROWS)
            raise RuntimeError

    (tmp_path / name).write_text("old")
    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def test_of_two_writers_of_one_file_the_last_to_finish_is_kept_whole(tmp_path: Path):
    with write_rows(tmp_path / "o.jsonl") as slow:
        slow([{"by": "slow", "n": 1}])
        with write_rows(tmp_path / "o.jsonl") as quick:
            quick([{"by": "quick", "n": 1}])
        assert [row for _, row in read_rows(tmp_path / "o.jsonl")] == [{"by": "quick", "n": 1}]
        slow([{"by": "slow", "n": 2}])
    assert [row for _, row in read_rows(tmp_path / "o.jsonl")] == [{"by": "slow", "n": 1}, {"by": "slow", "n": 2}]
    assert [path.name for path in tmp_path.iterdir()] == ["o.jsonl"]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_link_stays_and_what_it_points_at_is_written(tmp_path: Path, before: str | None):
    (tmp_path / "there").mkdir()
    if before:
        (tmp_path / "there" / "real.jsonl").write_text(before)
    (tmp_path / "o.jsonl").symlink_to(Path("there", "real.jsonl"))
    with write_rows(tmp_path / "o.jsonl") as write:
        write([{"a": 1}])
    assert (tmp_path / "o.jsonl").is_symlink()
    assert (tmp_path / "there" / "real.jsonl").read_text() == '{"a": 1}\n'


def test_a_folder_is_not_written_over(tmp_path: Path):
    (tmp_path / "o.csv").mkdir()
    with pytest.raises(DataError, match="is a folder"), write_rows(tmp_path / "o.csv"):
        pass


def test_parquet_columns_that_start_empty_become_text(tmp_path: Path):
    with write_rows(tmp_path / "o.parquet") as write:
        write([{"text": "a", "target": None}])
        write([{"text": "b", "target": "t"}])
    assert [row["target"] for _, row in read_rows(tmp_path / "o.parquet")] == [None, "t"]


@pytest.mark.parametrize("name", ["o.csv", "o.parquet"])
def test_rows_of_differing_columns_need_json_lines(tmp_path: Path, name: str):
    with write_rows(tmp_path / name) as write:
        write([{"a": 1}])
        with pytest.raises(DataError, match="jsonl"):
            write([{"a": 1, "b": 2}])


def test_standard_input_and_output_carry_json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"text": "a"}\n\n{"text": "b"}\n')))
    read = list(read_rows("-"))
    assert [(str(place), row["text"]) for place, row in read] == [
        ("standard input row 1", "a"),
        ("standard input row 3", "b"),
    ]
    with write_rows("-") as write:
        write([row for _, row in read])
    assert capsys.readouterr().out == '{"text": "a"}\n{"text": "b"}\n'


def test_parquet_needs_a_file(tmp_path: Path):
    with pytest.raises(ConfigError, match="standard input"):
        read_rows("-", "parquet")
    with pytest.raises(ConfigError, match="standard output"), write_rows("-", "parquet"):
        pass


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.jsonl", b'{"text": "a"}\n{"text": \n', r"d\.jsonl row 2 is not JSON: .* at character"),
        ("d.jsonl", b'{"text": "a"}\n{"text": "b"} {"text": "c"}\n', r"row 2 is not JSON: Extra data at character 14"),
        ("d.jsonl", b'{"text": "a"}\n  {"text": \n', r"row 2 is not JSON"),
        ("d.jsonl", b'{"text": "a"}\n\n[1]\n', r"row 3 is a list"),
        ("d.jsonl", b'{"text": "a"}\n7\n', r"row 2 is a number"),
        ("d.jsonl", b'{"text": "a"}\n{"text": "caf\xe9"}\n', r"line 2 is not utf-8 \(byte 0xe9\)"),
        ("d.json", b'[{"text": "a"},\n {"text": }]', r"not JSON: .* line 2, column"),
        ("d.json", b'[{"text": "a"}, null]', r"row 2 is null"),
        ("d.csv", b"a,b\n1,2\n1,2,3\n", r"row 2 has 3 fields, but the header has 2 \(a, b\)"),
        ("d.csv", b'a,b\n1,2\n"open,2\n3,4\n', r"row 2 .*double quote left open"),
        ("d.csv", b"a,a\n1,2\n", r"two columns called 'a'"),
        ("d.csv", b"a,b\n1,caf\xe9\n", r"line 2 is not utf-8"),
        ("d.tsv", b"a\tb\n1\n", r"row 1 has 1 fields"),
        ("d.csv", b"a,b\r1,2\r", r"a line ends in a carriage return alone. Save it with LF or CRLF line ends."),
        ("d.jsonl", b'{"text": ' + b"[" * 100_000 + b"}", r"row 1 can't be read: it is nested too deeply"),
        ("d.jsonl", b'{"text": ' + b"7" * 5_000 + b"}", r"row 1 can't be read: a number in it has too many digits"),
    ],
)
def test_a_damaged_file_is_refused_with_its_row(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name))


def test_encodings_and_byte_order_marks_are_understood(tmp_path: Path):
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        (tmp_path / "d.csv").write_bytes("text,label\ncafé,x\n".encode(encoding))
        given = "utf-8" if encoding == "utf-8-sig" else encoding
        assert [row for _, row in read_rows(tmp_path / "d.csv", encoding=given)] == [{"text": "café", "label": "x"}]
    with pytest.raises(ConfigError, match="no encoding"):
        read_rows(tmp_path / "d.csv", encoding="utf-99")


def test_blanks_around_json_and_a_missing_last_line_end_are_allowed(tmp_path: Path):
    (tmp_path / "d.jsonl").write_bytes(b'  {"text": "a"}  \r\n{"text": "b"}')
    assert [row["text"] for _, row in read_rows(tmp_path / "d.jsonl")] == ["a", "b"]


def test_line_separators_inside_json_text_do_not_end_a_row(tmp_path: Path):
    (tmp_path / "d.jsonl").write_text(json.dumps({"text": "a\u2028b"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert [row for _, row in read_rows(tmp_path / "d.jsonl")] == [{"text": "a\u2028b"}]


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str):
    with write_rows(tmp_path / name) as write:
        for _ in range(40):
            write([{"text": "some words that are said", "n": i} for i in range(1000)])
    peaks = []
    for n_rows in (10_000, 40_000):
        tracemalloc.start()
        for _, (_, _row) in zip(range(n_rows), read_rows(tmp_path / name), strict=False):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 50_000  # bytes; what tracing leaves varies, 30,000 rows are a megabyte


def test_json_lines_in_a_json_file_may_hold_a_unicode_line_break(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"text": "one\u2028two"}\n{"text": "three"}\n', encoding="utf-8")
    assert [row["text"] for _, row in read_rows(path)] == ["one\u2028two", "three"]


@pytest.mark.parametrize("n_empty", [1, 5000])
def test_parquet_keeps_the_types_of_the_file_that_was_read(tmp_path: Path, n_empty: int):
    table = pyarrow.table({"n": pyarrow.array([None] * n_empty + [3], pyarrow.int32()), "text": ["a"] * (n_empty + 1)})
    parquet.write_table(table, tmp_path / "in.parquet")
    with write_rows(tmp_path / "out.parquet", types=column_types(tmp_path / "in.parquet")) as write:
        for _, row in read_rows(tmp_path / "in.parquet"):
            write([row | {"label": "yes"}])
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.column("n").to_pylist() == table.column("n").to_pylist()
    assert [str(field.type) for field in written.schema] == ["int32", "string", "string"]


def test_other_formats_have_no_column_types(tmp_path: Path):
    (tmp_path / "x.csv").write_text("text\na\n")
    assert column_types(tmp_path / "x.csv") == column_types("-") == {}


def test_the_row_with_other_columns_is_counted_through_all_batches(tmp_path: Path):
    with write_rows(tmp_path / "o.parquet") as write:
        write(ROWS)
        with pytest.raises(DataError, match="row 4 of the output"):
            write([ROWS[0], {"text": "x", "score": 1, "late": 2}])


def test_what_json_has_no_number_for_is_null(tmp_path: Path):
    with write_rows(tmp_path / "o.jsonl") as write:
        write([{"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}}])
    assert (tmp_path / "o.jsonl").read_text() == '{"a": null, "b": [null, 1.5], "c": {"d": null}}\n'


def test_standard_output_is_utf_8_whatever_the_terminal_is(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    with write_rows("-") as write:
        write([{"text": "условие \ud83d"}])
    assert raw.getvalue().decode() == '{"text": "условие \\ud83d"}\n'
    sys.stdout.write("and it goes on")
    sys.stdout.flush()
    assert raw.getvalue().endswith(b"and it goes on")


@pytest.mark.parametrize(
    ("encoding", "error", "message"),
    [
        ("utf-16", DataError, "line 1 is not utf-16.*: set encoding to the one that it was saved in, usually utf-8"),
        ("hex", ConfigError, "there is no encoding 'hex'"),
    ],
)
def test_a_wrong_encoding_is_named(tmp_path: Path, encoding: str, error: type[Exception], message: str):
    (tmp_path / "d.csv").write_text("a,b\n1,2\n3", encoding="utf-8")
    with pytest.raises(error, match=message):
        list(read_rows(tmp_path / "d.csv", encoding=encoding))


def test_half_a_character_does_not_stop_a_parquet_file(tmp_path: Path):
    with write_rows(tmp_path / "o.parquet") as write:
        write([{"text": "cut \ud83d", "tags": ["\ud83d", "b"], "more": {"a": "\udc00"}, "n": 1}])
    (row,) = [row for _, row in read_rows(tmp_path / "o.parquet")]
    assert row == {"text": "cut \ufffd", "tags": ["\ufffd", "b"], "more": {"a": "\ufffd"}, "n": 1}


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.parquet"])
def test_a_file_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path, name: str, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(DataError, match=rf"{name}' can't be written: No space left on device\.$"):  # noqa: SIM117
        with write_rows(tmp_path / name):
            raise full
    assert not [*tmp_path.iterdir()]


def test_what_else_goes_wrong_while_writing_is_told_as_it_is(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="elsewhere"), write_rows(tmp_path / "o.csv"):
        (tmp_path / "elsewhere").read_text()
