import csv
import io
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.evals.rows import read_rows, row_at

ROWS = [{"id": "a", "question": "1+1?", "answer": "2"}, {"id": "b", "question": "Größe,\n„2“?", "answer": "zwei"}]


def as_lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def as_csv(rows: list[dict]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def write_parquet(path: Path, rows: list[dict]) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def files_of(folder: Path, rows: list[dict]) -> list[Path]:
    """The same rows in every form that is read."""
    bom = b"\xef\xbb\xbf"
    return [
        write(folder / "lines.jsonl", as_lines(rows)),
        write(folder / "lines.json", as_lines(rows)),
        write(folder / "array.json", json.dumps(rows, indent=2)),
        write(folder / "array.jsonl", "\n\n " + json.dumps(rows)),
        write(folder / "table.csv", as_csv(rows)),
        write(folder / "marked.jsonl", bom + as_lines(rows).encode()),
        write(folder / "marked.json", bom + json.dumps(rows).encode()),
        write(folder / "marked.csv", bom + as_csv(rows).encode()),
        write(folder / "windows.jsonl", as_lines(rows).replace("\n", "\r\n\r\n")),
        write(folder / "gaps.jsonl", "\n" + as_lines(rows).replace("\n", "\n\n") + "  \n"),
        write(folder / "gaps.csv", "\n" + as_csv(rows) + "\n\n"),
        write_parquet(folder / "table.parquet", rows),
    ]


def error_of(path: Path) -> str:
    with pytest.raises((OptionError, RecordError)) as told:
        list(read_rows(path))
    message = str(told.value).replace(str(path), path.name)
    assert "\n" not in message
    return message


def test_every_form_of_a_file_gives_the_same_rows(tmp_path: Path) -> None:
    for path in files_of(tmp_path, ROWS):
        assert [row.fields for row in read_rows(path)] == ROWS, path.name


def test_every_row_is_found_again_at_its_place(tmp_path: Path) -> None:
    for path in files_of(tmp_path, ROWS):
        assert [row_at(path, row.place) for row in read_rows(path)] == ROWS, path.name


def test_a_row_tells_its_line_and_its_number(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '\n{"a": 1}\n\n{"a": 2}\n')
    assert [(row.where, row.number) for row in read_rows(path)] == [(f"{path}:2", 2), (f"{path}:4", 4)]


def test_windows_line_ends_in_a_table(tmp_path: Path) -> None:
    path = write(tmp_path / "p.csv", 'id,question\r\na,"1\r\n2"\r\n\r\nb,3\r\n')
    found = list(read_rows(path))
    assert [row.fields for row in found] == [{"id": "a", "question": "1\r\n2"}, {"id": "b", "question": "3"}]
    assert [row.where for row in found] == [f"{path}:2", f"{path}:5"]


@given(st.lists(st.fixed_dictionaries({"q": st.text(), "n": st.integers()}), min_size=1, max_size=5))
def test_any_text_comes_back_from_its_place(tmp_path_factory: pytest.TempPathFactory, rows: list[dict]) -> None:
    path = write(tmp_path_factory.mktemp("rows") / "p.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [row_at(path, row.place) for row in read_rows(path)] == rows


def test_no_such_file(tmp_path: Path) -> None:
    assert error_of(tmp_path / "gone.jsonl") == (
        "gone.jsonl: no such file; give a .jsonl, .json, .csv or .parquet file of problems"
    )


def test_a_name_that_tells_no_format(tmp_path: Path) -> None:
    assert error_of(write(tmp_path / "p.xlsx", "")) == (
        "p.xlsx: expected problems in a .jsonl, .json, .csv or .parquet file; convert or rename it"
    )


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "p.jsonl",
            '{"a": 1}\n{"a": \n',
            "p.jsonl:2: expected one JSON object, found '{\"a\":': Expecting value; mend or remove this line",
        ),
        ("p.jsonl", '{"a": 1}\n7\n', "p.jsonl:2: expected one JSON object, found '7'; mend or remove this line"),
        (
            "p.jsonl",
            b'{"a": "\xff"}\n',
            "p.jsonl:1: expected text in UTF-8, found invalid start byte; convert the file",
        ),
        (
            "p.json",
            '[\n{"a": 1},\n{"a": }\n]',
            "p.json:3: expected an array of JSON objects: Expecting value; mend or download it again",
        ),
        ("p.json", '[{"a": 1}, 7]', "p.json, item 2: expected a JSON object, found 7; mend or remove this item"),
        ("p.csv", "a,b\n1,2\n3\n", "p.csv:3: expected 2 cells, as in the first line; found 1"),
        (
            "p.csv",
            'a,b\n1,"2\n',
            "p.csv:2: expected comma-separated values: unexpected end of data; mend this line",
        ),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    assert error_of(write(tmp_path / name, content)) == told


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    message = error_of(write(tmp_path / "p.parquet", b"not parquet at all"))
    assert message.startswith("p.parquet: expected a parquet file: ")
    assert message.endswith("; download it again")


def test_a_place_that_the_file_no_longer_has(tmp_path: Path) -> None:
    """A log names row 7 of a file that has since been cut. The answer is a line, not an index error."""
    path = write(tmp_path / "p.csv", as_csv(ROWS))
    with pytest.raises(RecordError, match="expected more than 7 rows, found 2; the file has changed"):
        row_at(path, 7)
    lines = write(tmp_path / "p.jsonl", as_lines(ROWS))
    with pytest.raises(RecordError, match="byte 100000: expected one JSON object, found ''"):
        row_at(lines, 100000)


def test_a_table_that_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "p.json", '[{"a": 1}]')
    assert row_at(path, 0) == {"a": 1}
    write(path, '[{"a": 2}]')
    import os

    os.utime(path, ns=(1, 1))
    assert row_at(path, 0) == {"a": 2}
