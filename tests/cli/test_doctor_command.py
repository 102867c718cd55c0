"""`thinklogit doctor` as typed: what a person reads, what a program reads, and the exit code."""

import json

import pytest
from pico_members import pico_tokenizer, save_members

from thinklogit.models.trios import compose

pytest_plugins = ["commands"]


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    folder = save_members(tmp_path_factory.mktemp("members"))
    return compose(folder / "target", folder / "guider", folder / "base", folder).folder


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")


def test_a_person_reads_who_takes_part_and_what_was_found(thinklogit, trio):
    code, printed, errors = thinklogit("doctor", "--trio", trio)
    assert (code, errors) == (0, "")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[0] == f"Trio {trio}"
    assert "member type dtype parameters weights layers rows context" in lines
    assert "guider llama float32 13.1K 51.3 KiB 2 264 128" in lines
    assert f"members ok target: {trio / 'target'}" in lines
    assert "tokenizers ok guider: the target's, id for id (261 entries)" in lines
    assert lines[-1] == "These go together."


def test_a_program_reads_one_object(thinklogit, trio):
    code, printed, errors = thinklogit("doctor", "--trio", trio, "--json", "--batch", "4")
    found = json.loads(printed)
    assert (code, errors, found["trio"], found["verdict"]) == (0, "", str(trio), "note")
    assert {frozenset(finding) for finding in found["findings"]} == {frozenset(("level", "subject", "message", "data"))}
    assert [each["data"]["batch"] for each in found["findings"] if "batch" in each["data"]] == [4]


def test_three_models_are_examined_before_a_trio_is_written(thinklogit, trio):
    words = ("--target", trio / "target", "--guider", trio / "base", "--base", trio / "base")
    code, printed, _ = thinklogit("doctor", *words)
    assert (code, printed.splitlines()[0]) == (0, "Trio three models")
    assert "guider and base have identical weights: guidance would change nothing" in printed
    assert printed.splitlines()[-1] == "1 warning: it works, perhaps not as meant."


def test_an_error_ends_with_another_exit_code(thinklogit, tmp_path):
    save_members(tmp_path, base={"tokenizer": pico_tokenizer(backwards=True)})
    words = ("--target", tmp_path / "target", "--guider", tmp_path / "guider", "--base", tmp_path / "base")
    code, printed, _ = thinklogit("doctor", *words)
    assert code == 1
    assert "base: another tokenizer" in printed
    assert printed.splitlines()[-1] == "1 error: this trio cannot be used as it is."
    code, printed, _ = thinklogit("doctor", *words, "--json")
    assert (code, json.loads(printed)["verdict"]) == (1, "error")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--target", "a"), "--target, --guider and --base go together; --guider and --base not given"),
        (
            ("--trio", "mini", "--target", "a", "--guider", "b", "--base", "c"),
            "expected --trio, or --target with --guider and --base; got both",
        ),
        (("--batch", "0"), "batch must be at least 1 row; got 0"),
        (
            ("--trio", "/no/such"),
            "/no/such: expected a trio folder, a hub id (owner/name) or 'mini', found nothing there",
        ),
    ],
)
def test_one_line_for_what_cannot_be(thinklogit, words, message):
    code, printed, errors = thinklogit("doctor", *words)
    assert (code, printed) == (1, "")
    assert errors.startswith(f"thinklogit: {message}")
    assert errors.count("\n") == 1
