from dataclasses import replace

import pytest

from thinklogit.core.errors import ContextError, OutputError, RecordError, RunChangedError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion, append_record, read_records, to_line
from thinklogit.core.seeds import derive_seed
from thinklogit.decode import runs
from thinklogit.decode.mock import MockEngine
from thinklogit.decode.prompts import PromptLine

LINES = [PromptLine(id, f"prompt {id}", f"in.jsonl:{number}") for number, id in enumerate("abc", start=1)]
SETTINGS = {"trio": "mini", "alpha": 1.0, "temperature": 0.6}


def engine():
    return MockEngine(lambda prompt, seed: f"{prompt} {seed}")


def decoded(lines=LINES, n=2, kept=(), decoder=None):
    found = []
    requests = runs.requests_for(lines, n, 5, kept)
    runs.decode(decoder or engine(), requests, SamplingParams(seed=5), SETTINGS, found.append)
    return found


def test_every_completion_is_labelled_and_seeded_by_what_it_is():
    found = decoded()
    assert [(completion.problem_id, completion.index) for completion in found] == [
        (id, i) for id in "abc" for i in (0, 1)
    ]
    assert [completion.seed for completion in found] == [derive_seed(5, id, i) for id in "abc" for i in (0, 1)]
    assert all(completion.settings == SETTINGS for completion in found)


def test_a_completion_does_not_depend_on_order_company_or_resuming():
    found = decoded()
    assert sorted(decoded(LINES[::-1]), key=repr) == sorted(found, key=repr)
    assert decoded(LINES[1:2], n=1) == [found[2]]
    assert decoded(kept=[found[0], found[3]]) == [found[1], found[2], found[4], found[5]]


def test_a_record_is_made_again_from_its_seed():
    completion = decoded()[3]
    (again,) = engine().generate([completion.prompt], SamplingParams(seed=completion.seed))
    assert again.text == completion.text


def test_a_prompt_too_long_is_named_by_its_line():
    class Narrow(MockEngine):
        def generate(self, prompts, params, on_finish=None):
            raise ContextError("the prompt has 700 tokens", prompts.index("prompt b"))

    with pytest.raises(ContextError, match=r"^in.jsonl:2: the prompt has 700 tokens"):
        decoded(decoder=Narrow())


def test_kept_completions_are_whole_lines(tmp_path):
    out = tmp_path / "out.jsonl"
    assert runs.kept_completions(out) == []
    found = decoded()
    out.write_text(to_line(found[0]) + to_line(found[1])[:50])
    assert runs.kept_completions(out) == found[:1]
    assert out.read_text() == to_line(found[0])


def test_a_file_that_holds_something_else_is_left_alone(tmp_path):
    out = tmp_path / "notes.jsonl"
    out.write_text('{"my": "notes"}\n')
    with pytest.raises(RecordError, match=r"notes.jsonl:1: expected a thinklogit.completion/1 record"):
        runs.kept_completions(out)
    assert out.read_text() == '{"my": "notes"}\n'


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0.5}, "out was made with alpha 1.0, now 0.5; use another -o, or the same settings"),
        ({"alpha": None, "temperature": 0.0}, "out was made with alpha 1.0, now unset; temperature 0.6, now 0.0; use"),
        ({"top_k": 5}, "out was made with top_k unset, now 5"),
    ],
)  # fmt: skip
def test_other_settings_are_refused(tmp_path, settings, message):
    with pytest.raises(RunChangedError, match=message):
        runs.check_unchanged(tmp_path / "out", decoded(), LINES, SETTINGS | settings)


def test_a_setting_that_is_gone_is_refused(tmp_path):
    with pytest.raises(RunChangedError, match=r"out was made with alpha 1.0, now unset"):
        runs.check_unchanged(tmp_path / "out", decoded(), LINES, {"trio": "mini", "temperature": 0.6})


def test_other_prompts_are_refused(tmp_path):
    out, kept = tmp_path / "out", decoded()
    runs.check_unchanged(out, kept, [*LINES, PromptLine("d", "a new one", "in.jsonl:4")], SETTINGS)
    with pytest.raises(
        RunChangedError, match="out was made with a prompt of id 'c', now there is none; use another -o, or the"
    ):
        runs.check_unchanged(out, kept, LINES[:2], SETTINGS)
    changed = [LINES[0]._replace(prompt=[{"role": "user", "content": "x" * 80}]), *LINES[1:]]
    with pytest.raises(
        RunChangedError, match=r"the text 'prompt a' for id 'a', now the chat 'x+\.\.\.' \(in.jsonl:1\); use"
    ):
        runs.check_unchanged(out, kept, changed, SETTINGS)


def test_where_a_file_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match=r"nowhere: no such folder to write out.jsonl in; make it, or use another -o"):
        runs.check_output(tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(
        OutputError, match=r"expected a file to write, found a folder; name a file in it, such as .*out.jsonl"
    ):
        runs.check_output(tmp_path)


def test_a_folder_that_is_not_writable(tmp_path, monkeypatch):
    monkeypatch.setattr(runs.os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match=r"out.jsonl: not writable by you; change its permissions, or use another -o"):
        runs.check_output(tmp_path / "out.jsonl")


def test_a_full_disk_keeps_whole_lines_and_says_how_to_go_on(tmp_path, monkeypatch):
    out, (first, second, *_) = tmp_path / "out.jsonl", decoded()
    runs.append_to(out, first)

    def torn(record, path):
        path.write_text(path.read_text() + to_line(record)[:30])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "append_record", torn)
    with pytest.raises(
        OutputError, match=r"out.jsonl: No space left on device; completions kept there: 1; make room, then"
    ):
        runs.append_to(out, second)
    assert out.read_text() == to_line(first)


def test_the_finished_file_is_in_the_order_of_its_prompts(tmp_path):
    out, found = tmp_path / "out.jsonl", decoded()
    out.touch(mode=0o640)
    for completion in reversed(found):
        append_record(completion, out)
    runs.put_in_order(out, LINES)
    assert list(read_records(Completion, out)) == found
    assert out.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [out]


def test_a_disk_too_full_to_put_a_file_in_order_leaves_it_as_it_is(tmp_path, monkeypatch):
    out, found = tmp_path / "out.jsonl", decoded()
    for completion in reversed(found):
        append_record(completion, out)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs.os, "fsync", full)
    runs.put_in_order(out, LINES)
    assert list(read_records(Completion, out)) == found[::-1]
    assert list(tmp_path.iterdir()) == [out]


def test_params_of_a_request_are_the_runs_own_but_for_seed_and_n():
    (request, *_) = runs.requests_for(LINES, 3, 5)
    params = SamplingParams(temperature=0.6, n=3, seed=5)
    assert runs.params_of(request, params) == replace(params, n=1, seed=request.seed)
