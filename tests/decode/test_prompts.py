import pytest

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.decode.prompts import PromptLine, as_chat, prompts_given, prompts_in_text, read_prompts


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return path


def test_json_lines_of_every_kind(tmp_path):
    path = write(
        tmp_path,
        "in.jsonl",
        '{"prompt": "a", "id": "p"}\n\n{"question": "b", "answer": "4"}\r\n{"problem": "c", "id": 7}\n'
        '{"messages": [{"role": "user", "content": "d\\u2028e"}]}',
    )
    assert [(line.id, line.prompt) for line in read_prompts(path)] == [
        ("p", "a"),
        ("3", "b"),
        ("7", "c"),
        ("5", [{"role": "user", "content": "d\u2028e"}]),
    ]


def test_text_has_one_prompt_a_line_and_keeps_the_spaces_inside(tmp_path):
    path = write(tmp_path, "in.txt", "\ufeff first \n\nsecond")
    assert read_prompts(path) == [
        PromptLine("1", " first ", f"{path}:1"),
        PromptLine("3", "second", f"{path}:3"),
    ]
    assert prompts_in_text([" first \n", "\n", "second"], "x")[1] == PromptLine("3", "second", "x:3")


def test_as_chat_leaves_messages_alone():
    line = PromptLine("1", "hello", "x:1")
    assert as_chat(line).prompt == [{"role": "user", "content": "hello"}]
    assert as_chat(as_chat(line)) == as_chat(line)


GOOD = '{"prompt": "a"}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + '{"prompt": "b"\n', r"in.jsonl:2: expected one JSON object, found '{\"prompt\": \"b\"': Exp.*; mend"),
        ("[\n" + GOOD, r"in.jsonl:1: expected one JSON object, found '\['"),
        (GOOD + '{"text": "b"}\n', "in.jsonl:2: expected one of prompt, question, problem, messages; this line has "),
        (GOOD + "{}\n", "in.jsonl:2: expected one of .*; this line has nothing"),
        ('{"prompt": "b", "messages": []}\n', "in.jsonl:1: expected one of .*; this line has prompt and messages"),
        ('{"prompt": 3}\n', "in.jsonl:1: expected prompt to be text, found 3"),
        ('{"question": " "}\n', "in.jsonl:1: expected question to be text, found ' '"),
        ('{"messages": "hi"}\n', r"in.jsonl:1: expected messages such as \[{\"role\": \"user\", .*, found 'hi'"),
        ('{"messages": []}\n', r"in.jsonl:1: expected messages such as .*, found \[\]"),
        ('{"messages": [{"role": "user"}]}\n', r"in.jsonl:1: expected messages such as .*, found \[{'role'"),
        ('{"prompt": "a", "id": [1]}\n', r"in.jsonl:1: expected an id that is text or a whole number, found \[1\]"),
        ('{"prompt": "a\\ud800"}\n', "in.jsonl:1: character 2 is not valid Unicode; mend or remove it"),
        (GOOD + '{"prompt": "b", "id": "1"}\n', r"in.jsonl:2: id '1' is that of .*in.jsonl:1 too; give every line"),
        ("\n \n", "in.jsonl: expected prompts, found none; write one a line"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path, text, message):
    with pytest.raises(RecordError, match=message):
        read_prompts(write(tmp_path, "in.jsonl", text))


def test_a_file_that_is_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(OptionError, match=r"nope.jsonl: no such file; give a .jsonl, .json or .txt file of prompts"):
        read_prompts(tmp_path / "nope.jsonl")
    with pytest.raises(
        OptionError, match=r"in.csv: expected a name ending in .jsonl, .json \(one object a line\) or .txt"
    ):
        read_prompts(write(tmp_path, "in.csv", "a,b"))


def test_prompts_of_a_command_line():
    assert prompts_given(["a\nb"]) == [PromptLine("1", "a\nb", "prompt 1")]
    with pytest.raises(OptionError, match="prompt 2 is empty; write something to answer"):
        prompts_given(["a", " "])
    with pytest.raises(RecordError, match="prompt 1: character 1 is not valid Unicode"):
        prompts_given(["\udcff"])
