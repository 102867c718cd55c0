from dataclasses import replace

import pytest

from thinklogit.core.errors import RecordError
from thinklogit.core.records import Completion, Problem, append_record, drop_torn_line, read_records, to_line


def completion(text="4, sicher — 答え", index=0):
    return Completion("p1", index, [{"role": "user", "content": "2+2?"}], text, 3, "stop", 7, {"alpha": 1.0})


def test_round_trip(tmp_path):
    path = tmp_path / "run.jsonl"
    for index in range(3):
        append_record(completion(index=index), path)
    assert list(read_records(Completion, path)) == [completion(index=index) for index in range(3)]


def test_log_probabilities_are_there_where_they_were_asked_for(tmp_path):
    path = tmp_path / "run.jsonl"
    kept = replace(completion(), logprobs=[-0.5, -0.25, 0.0])
    append_record(kept, path)
    assert list(read_records(Completion, path)) == [kept]
    assert "logprobs" not in to_line(completion())


def test_a_line_names_its_schema_and_version():
    assert to_line(completion()).startswith('{"schema": "thinklogit.completion/1", ')


def test_a_torn_last_line_is_dropped_and_whole_lines_are_kept(tmp_path):
    path = tmp_path / "run.jsonl"
    for torn in (to_line(completion())[:20], to_line(completion()).rstrip("\n")):
        path.write_text(to_line(completion()) + torn)
        drop_torn_line(Completion, path)
        assert path.read_text() == to_line(completion())


@pytest.mark.parametrize("whole", ["", "a line\n"])
def test_nothing_is_cut_from_a_file_that_is_not_ours(tmp_path, whole):
    """Somebody names their notes as the output; the last line, without an end of line, looks torn.

    It is not the beginning of a record, so the file is left as it is.
    """
    path = tmp_path / "notes.txt"
    path.write_text(f"{whole}no end of line")
    with pytest.raises(
        RecordError, match=r"notes.txt: expected thinklogit.completion/1 records; .*; name another file"
    ):
        drop_torn_line(Completion, path)
    assert path.read_text() == f"{whole}no end of line"


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordError, match=r"run.jsonl: expected text in UTF-8, found .*; convert or name another file"):
        list(read_records(Completion, path))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"schema": "thinklogit.comp\n', r"run.jsonl:2: expected one JSON object, found .*; mend or remove this line"),
        ("[1]\n", r"run.jsonl:2: expected one JSON object, found '\[1\]'"),
        ('{"text": "x"}\n', r"run.jsonl:2: expected a thinklogit.completion/1 record"),
        ('{"schema": "thinklogit.completion/1", "text": "x"}\n', r".*:2: .* holds problem_id.*; this line holds text"),
    ],
)  # fmt: skip
def test_a_corrupt_line_is_named(tmp_path, line, message):
    path = tmp_path / "run.jsonl"
    path.write_text(to_line(completion()) + line)
    with pytest.raises(RecordError, match=message):
        list(read_records(Completion, path))


def test_one_kind_is_not_read_as_another(tmp_path):
    path = tmp_path / "run.jsonl"
    append_record(Problem("p1", "2+2?", "4"), path)
    with pytest.raises(RecordError, match=r"expected a thinklogit.completion/1 record"):
        list(read_records(Completion, path))
