import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import slow_mock
import torch
from conftest import pico
from fake_server import serving, words

from thinklogit.cli.options import TrioOptions
from thinklogit.core.records import Completion, read_records
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.mock import MockEngine
from thinklogit.mini.tokenizer import build
from thinklogit.models import trios
from thinklogit.models.doctor.findings import Finding
from thinklogit.models.trios import compose

pytest_plugins = ["commands"]

SLOW = [sys.executable, slow_mock.__file__]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(f'{{"prompt": "prompt {id}", "id": "{id}"}}\n' for id in "abc"))
    return path


@pytest.fixture(scope="module")
def pico_members(tmp_path_factory):
    """Random members with the mini trio's tokenizer, on disk; their context holds 128 tokens."""
    folder = tmp_path_factory.mktemp("members")
    tokenizer = build()
    for seed, name in enumerate(("target", "guider", "base")):
        pico(seed=seed, vocab=len(tokenizer)).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="module")
def pico_trio_folder(pico_members, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trio") / "pico"
    compose(*(str(pico_members / name) for name in ("target", "guider", "base")), folder, warmup_tokens=2)
    return folder


# Prompts of a command line


def test_one_prompt_prints_its_text_alone(thinklogit, mock_trio):
    seed = derive_seed(derive_seed(0, "1", 0), [{"role": "user", "content": "hello"}], 0)
    assert thinklogit("generate", "hello") == (0, f"answer to hello {seed}\n", "")


def test_several_prompts_are_labelled(thinklogit, mock_trio):
    lines = thinklogit("generate", "one\nand more", "two", "--n", 2).out.splitlines()
    headings = [
        "=== 1, 1 of 2: one and more",
        "=== 1, 2 of 2: one and more",
        "=== 2, 1 of 2: two",
        "=== 2, 2 of 2: two",
    ]
    assert [line for line in lines if line.startswith("===")] == headings
    assert "=== 2: two" in thinklogit("generate", "one", "two").out


def test_streaming_prints_the_same(thinklogit, mock_trio):
    arguments = ("generate", "one", "two", "--n", 2, "--temperature", 0.7, "--seed", 3)
    assert thinklogit(*arguments, "--stream") == thinklogit(*arguments)


def test_standard_input_has_one_prompt_a_line(thinklogit, mock_trio, monkeypatch):
    monkeypatch.setattr("sys.stdin", ["one\n", "\n", "two\n"])
    assert [line for line in thinklogit("generate", "-").out.splitlines() if line.startswith("=")] == [
        "=== 1: one",
        "=== 3: two",
    ]
    monkeypatch.setattr("sys.stdin", [])
    message = "thinklogit: expected prompts on standard input, one a line; found none\n"
    assert thinklogit("generate", "-") == (1, "", message)


def test_what_was_cut_is_said(thinklogit, mock_trio):
    outcome = thinklogit("generate", "one", "two", "--max-new-tokens", 3)
    assert outcome.err == "thinklogit: 2 of 2 were cut at 3 new tokens (--max-new-tokens)\n"
    outcome = thinklogit("generate", "one", "--max-new-tokens", 3)
    assert outcome.err == "thinklogit: the text was cut at 3 new tokens (--max-new-tokens)\n"


def test_chat_where_there_is_a_template_and_raw_where_there_is_none(thinklogit, mock_trio):
    def prompt_of(*options):
        return json.loads(thinklogit("generate", "hi", "--json", *options).out)["prompt"]

    chat = [{"role": "user", "content": "hi"}]
    assert (prompt_of(), prompt_of("--chat"), prompt_of("--raw")) == (chat, chat, "hi")
    mock_trio.has_chat_template = False
    assert prompt_of() == "hi"
    message = "prompt 1: --chat given, but the target's tokenizer has no chat template; use --raw and a prompt"
    assert thinklogit("generate", "hi", "--chat") == (1, "", f"thinklogit: {message}\n")


def test_messages_need_a_chat_template(thinklogit, mock_trio, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    message = f"thinklogit: {path}:1: messages need a chat template; leave out --raw, or give a prompt\n"
    assert thinklogit("generate", "--file", path, "--raw") == (1, "", message)
    mock_trio.has_chat_template = False
    assert (
        "in.jsonl:1: messages given, but the target's tokenizer has no chat" in thinklogit("generate", "-f", path).err
    )


# Settings


def settings_of(thinklogit, *options):
    return json.loads(thinklogit("generate", "hi", "--json", *options).out)["settings"]


def test_what_is_not_given_is_the_trios_own(thinklogit, mock_trio):
    assert settings_of(thinklogit) == {
        "trio": "mini", "dtype": None, "max_new_tokens": 256, "temperature": 0.0, "top_p": 1.0, "top_k": 0, "seed": 0,
        "alpha": 1.0, "warmup_tokens": 4, "mode": "guided", "schedule": "warmup",
    }  # fmt: skip
    mock_trio.generation_config.update(do_sample=True, temperature=0.6, top_p=0.95, top_k=20, max_new_tokens=99)
    found = settings_of(thinklogit)
    assert [found[name] for name in ("temperature", "top_p", "top_k", "max_new_tokens")] == [0.6, 0.95, 20, 99]
    found = settings_of(thinklogit, "--temperature", 0)
    assert [found[name] for name in ("temperature", "top_p", "top_k")] == [0.0, 1.0, 0]
    found = settings_of(thinklogit, "--top-p", 0.5, "--top-k", 5, "--alpha", -0.5, "--warmup-tokens", 7, "--seed", 8)
    assert [found[name] for name in ("top_p", "top_k", "alpha", "warmup_tokens", "seed")] == [0.5, 5, -0.5, 7, 8]


def test_a_generation_config_that_does_not_sample_is_greedy_whatever_its_temperature(thinklogit, mock_trio):
    mock_trio.generation_config.update(temperature=0.6, top_p=0.95)
    assert settings_of(thinklogit)["temperature"] == 0.0


def test_a_member_alone_has_no_guidance(thinklogit, mock_trio):
    found = settings_of(thinklogit, "--only", "guider")
    assert (found["mode"], found["alpha"], found["warmup_tokens"]) == ("guider", None, None)
    assert "schedule" not in found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], 'no prompts given; write one, as in: thinklogit generate "What is 17 * 24?", or use --file or -'),
        (["a", "-"], "expected prompts from one place; got prompts and -; leave one out"),
        (["a", "--alpha", "nan"], "alpha must be a number from -100 to 100, such as 1.0; got nan"),
        (["a", "--warmup-tokens", "-1"], "warmup_tokens must be a whole number of tokens, 0 or more; got -1"),
        (["a", "--temperature", "-1"], "temperature must be a finite number, 0 (greedy) or more; got -1.0"),
        (["a", "--top-p", "1.5", "--temperature", "1"], "top_p must be a number above 0 and at most 1; got 1.5"),
        (["a", "--top-p", "0.5"], "--top-p would change nothing in greedy decoding; add --temperature 0.6"),
        (["a", "--n", "0"], "n must be a whole number of completions, 1 or more; got 0"),
        (["a", "--batch-size", "0"], "--batch-size must be a whole number, 1 or more; got 0"),
        (["a", "--only", "base", "--alpha", "2"], "--only base decodes without guidance; got --alpha too; drop one"),
        (["a", "--stream", "--json"], "--stream prints text as it is decoded; leave out --json, --output and --file"),
        (["--file", "/nope.jsonl"], "/nope.jsonl: no such file; give a .jsonl, .json or .txt file of prompts"),
        (["a", "-o", "/nope/out.jsonl"], "/nope: no such folder to write out.jsonl in; make it, or use another -o"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_decoded(thinklogit, mock_trio, arguments, message):
    mock_trio.engine = None
    assert thinklogit("generate", *arguments) == (1, "", f"thinklogit: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alfa", "2"], "Unknown option: --alfa. Did you mean --alpha?"),
        (
            ["--only", "guidr"],
            'Invalid value "guidr" for --only. Choose from: "target", "guider", "base". Did you mean "guider"?',
        ),
        (["--alpha", "much"], 'Invalid value for --alpha: unable to convert "much" into float.'),
        (
            ["--dtype", "bfloat"],
            'Invalid value "bfloat" for --dtype. Choose from: "bfloat16", "float16", "float32". '
            'Did you mean "bfloat16"?',
        ),
        (["--file"], 'Command "generate" parameter --file requires an argument.'),
    ],
)  # fmt: skip
def test_an_option_that_cannot_be_read_names_the_nearest(thinklogit, mock_trio, arguments, message):
    assert thinklogit("generate", "a", *arguments) == (2, "", f"thinklogit: {message} See thinklogit generate --help\n")


def test_a_schedule_without_warmup_refuses_one(thinklogit, mock_trio):
    mock_trio.config.schedule, mock_trio.config.warmup_tokens = "constant", 0
    message = "schedule 'constant' has no warm-up, got warmup_tokens=9; use schedule 'warmup'"
    assert thinklogit("generate", "a", "--warmup-tokens", 9) == (1, "", f"thinklogit: {message}\n")


def test_the_output_may_not_be_the_input(thinklogit, mock_trio, prompts):
    before = prompts.read_text()
    outcome = thinklogit("generate", "-f", prompts, "-o", prompts)
    assert outcome == (1, "", f"thinklogit: {prompts}: --output would write over --file; use another -o\n")
    assert prompts.read_text() == before


def test_out_of_memory_says_what_to_lower(thinklogit, mock_trio):
    def spent(prompt, seed):
        raise torch.OutOfMemoryError

    mock_trio.engine = MockEngine(spent)
    message = "the device has too little memory; use a --batch-size below 32; completions already in a file are kept"
    assert thinklogit("generate", "a") == (1, "", f"thinklogit: {message}\n")
    assert "too little memory; use fewer --max-new-tokens;" in thinklogit("generate", "a", "--batch-size", 1).err


# Files


def test_a_file_of_prompts_becomes_a_file_of_records(thinklogit, mock_trio, prompts, tmp_path):
    out = tmp_path / "out.jsonl"
    outcome = thinklogit("generate", "--file", prompts, "-o", out, "--n", 2, "--seed", 5)
    assert outcome == (0, "", f"thinklogit: 6 completions in {out}\n")
    found = list(read_records(Completion, out))
    assert [(record.problem_id, record.index, record.seed) for record in found] == [
        (id, index, derive_seed(5, id, index)) for id in "abc" for index in (0, 1)
    ]
    assert thinklogit("generate", "--file", prompts, "--n", 2, "--seed", 5).out == out.read_text()


def test_records_already_there_are_never_asked_for_again(thinklogit, mock_trio, prompts, tmp_path):
    out = tmp_path / "out.jsonl"
    command = ("generate", "-f", prompts, "-o", out, "--temperature", 0.5)
    thinklogit(*command)
    whole = out.read_text()
    lines = whole.splitlines(keepends=True)
    out.write_text(lines[2] + lines[0] + lines[1][:40])
    asked = []
    mock_trio.engine = MockEngine(
        lambda prompt, seed: asked.append(prompt[-1]["content"]) or f"answer to prompt b {seed}"
    )
    assert thinklogit(*command).err == f"thinklogit: 3 completions in {out} (2 kept from before)\n"
    assert asked == ["prompt b"]
    assert out.read_text() == whole
    assert thinklogit(*command).err == f"thinklogit: 3 completions in {out} (3 kept from before)\n"
    assert asked == ["prompt b"]


def test_more_prompts_and_more_completions_continue_a_run(thinklogit, mock_trio, prompts, tmp_path):
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    thinklogit("generate", "-f", prompts, "-o", out)
    with prompts.open("a") as file:
        file.write('{"prompt": "prompt d", "id": "d"}\n')
    assert "8 completions in" in thinklogit("generate", "-f", prompts, "-o", out, "--n", 2).err
    thinklogit("generate", "-f", prompts, "-o", whole, "--n", 2)
    assert out.read_text() == whole.read_text()


@pytest.mark.parametrize(
    ("options", "change"),
    [
        (["--alpha", "0.5"], "alpha 1.0, now 0.5"),
        (
            ["--temperature", "0.6", "--top-p", "0.9"],
            "temperature 0.0, now 0.6; top_p 1.0, now 0.9; speculate unset, now True",
        ),
        (["--seed", "1"], "seed 0, now 1"),
        (["--dtype", "bfloat16"], "dtype unset, now bfloat16"),
        (["--trio", "owner/other"], "trio mini, now owner/other"),
        (
            ["--only", "target"],
            "alpha 1.0, now unset; warmup_tokens 4, now unset; mode guided, now target; schedule warmup, now unset",
        ),
    ],
)  # fmt: skip
def test_a_run_is_not_continued_with_other_settings(thinklogit, mock_trio, prompts, tmp_path, options, change):
    out = tmp_path / "out.jsonl"
    thinklogit("generate", "-f", prompts, "-o", out)
    before = out.read_text()
    message = f"thinklogit: {out} was made with {change}; use another -o, or the same settings\n"
    assert thinklogit("generate", "-f", prompts, "-o", out, *options) == (1, "", message)
    assert out.read_text() == before


def test_a_run_is_not_continued_with_another_input(thinklogit, mock_trio, prompts, tmp_path):
    out = tmp_path / "out.jsonl"
    thinklogit("generate", "-f", prompts, "-o", out)
    prompts.write_text(prompts.read_text().replace("prompt b", "another"))
    change = f"the chat 'prompt b' for id 'b', now the chat 'another' ({prompts}:2)"
    message = f"{out} was made with {change}; use another -o, or the same prompts"
    assert thinklogit("generate", "-f", prompts, "-o", out) == (1, "", f"thinklogit: {message}\n")


def test_a_corrupt_line_stops_before_anything_is_loaded(thinklogit, monkeypatch, prompts, tmp_path):
    monkeypatch.setattr("thinklogit.cli.options.TrioOptions.load", None)
    good = prompts.read_text()
    prompts.write_text(good + "{broken\n")
    assert (
        f"thinklogit: {prompts}:4: expected one JSON object, found '{{broken'"
        in thinklogit("generate", "-f", prompts).err
    )
    prompts.write_text(good)
    out = tmp_path / "out.jsonl"
    out.write_text('{"schema": "thinklogit.completion/1"}\n')
    assert (
        f"thinklogit: {out}:1: a thinklogit.completion/1 record holds"
        in thinklogit("generate", "-f", prompts, "-o", out).err
    )


def test_a_full_device(thinklogit, mock_trio, prompts):
    outcome = thinklogit("generate", "-f", prompts, "-o", "/dev/full")
    message = (
        "/dev/full: No space left on device; completions kept there: 0; make room, then repeat the command to continue"
    )
    assert outcome == (1, "", f"thinklogit: {message}\n")


# Processes that are cut short


@pytest.fixture
def same_trio(monkeypatch):
    """The slow one, in this process and without its pauses."""
    monkeypatch.setattr("slow_mock.time.sleep", lambda seconds: None)
    monkeypatch.setattr(TrioOptions, "load", slow_mock.load)


def started(*arguments, until):
    """A process that has written some lines of the file."""
    process = subprocess.Popen([*SLOW, *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (until.exists() and until.read_text().count("\n") >= 2):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


@pytest.fixture
def twelve(tmp_path):
    path = tmp_path / "twelve.txt"
    path.write_text("".join(f"prompt {number}\n" for number in range(12)))
    return path


def test_a_kill_in_the_middle_changes_nothing_in_the_end(thinklogit, same_trio, twelve, tmp_path):
    out, whole = tmp_path / "out.jsonl", tmp_path / "whole.jsonl"
    process = started("generate", "-f", twelve, "-o", out, "--temperature", 1, until=out)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = out.read_text().count("\n")
    assert 2 <= left < 12
    with out.open("a") as file:
        file.write('{"schema": "thinklogit.comp')
    continued = thinklogit("generate", "-f", twelve, "-o", out, "--temperature", 1)
    assert continued.err == f"thinklogit: 12 completions in {out} ({left} kept from before)\n"
    thinklogit("generate", "-f", twelve, "-o", whole, "--temperature", 1)
    assert out.read_bytes() == whole.read_bytes()


def test_control_c_says_what_is_kept_and_how_to_go_on(twelve, tmp_path):
    out = tmp_path / "out.jsonl"
    process = started("generate", "-f", twelve, "-o", out, until=out)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    left = out.read_text().count("\n")
    message = f"interrupted: {left} of 12 completions are kept in {out}; repeat the command to continue"
    assert (process.returncode, err) == (130, f"thinklogit: {message}\n")


def test_a_file_that_may_not_grow_keeps_what_fits(thinklogit, same_trio, twelve, tmp_path):
    out = tmp_path / "out.jsonl"
    # ulimit counts in blocks of 1024 bytes: room for some of the records.
    command = f"ulimit -f 2; exec '{SLOW[0]}' '{SLOW[1]}' generate -f '{twelve}' -o '{out}'"
    limited = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    left = len(list(read_records(Completion, out)))
    assert 0 < left < 12
    message = f"{out}: File too large; completions kept there: {left}; make room, then repeat the command to continue"
    assert (limited.returncode, limited.stderr) == (1, f"thinklogit: {message}\n")
    assert f"({left} kept from before)" in thinklogit("generate", "-f", twelve, "-o", out).err


def test_a_reader_that_leaves_is_no_traceback(twelve):
    command = f"'{SLOW[0]}' '{SLOW[1]}' generate -f '{twelve}' | head -n 1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert found.stdout.count("\n") == 1
    assert found.stderr == ""


def test_standard_output_on_a_full_device(twelve):
    with Path("/dev/full").open("w") as full:
        found = subprocess.run(
            [*SLOW, "generate", "-f", str(twelve)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (found.returncode, found.stderr) == (1, "thinklogit: No space left on device\n")


# A real trio


def test_a_trio_folder_and_its_members_answer_alike(thinklogit, pico_members, pico_trio_folder):
    raw = ("generate", "What does item 57 cost?", "--max-new-tokens", 6, "--warmup-tokens", 2)
    members = [part for name in ("target", "guider", "base") for part in (f"--{name}", pico_members / name)]
    assert thinklogit(*raw, "--trio", pico_trio_folder).out == thinklogit(*raw, *members).out != "\n"


def test_members_that_may_not_go_together_are_warned_of(thinklogit, pico_members, monkeypatch):
    def warned(*members):
        return trios.Composed(
            members[-1], [Finding("warning", "x", "two dialects"), Finding("note", "x", "by the way")]
        )

    monkeypatch.setattr(trios, "compose", warned)
    members = [part for name in ("target", "guider", "base") for part in (f"--{name}", pico_members / name)]
    assert thinklogit("generate", "a", *members).err.startswith("thinklogit: warning: two dialects\nthinklogit: ")


def test_only_the_target_answers_as_alpha_0_does(thinklogit, pico_trio_folder):
    command = ("generate", "What does item 57 cost?", "--max-new-tokens", 6, "--trio", pico_trio_folder)
    target, guided = thinklogit(*command, "--only", "target").out, thinklogit(*command).out
    assert thinklogit(*command, "--alpha", 0).out == target != guided


def test_batches_change_no_completion(thinklogit, pico_trio_folder, prompts):
    command = (
        "generate",
        "-f",
        prompts,
        "--trio",
        pico_trio_folder,
        "--n",
        3,
        "--temperature",
        1,
        "--max-new-tokens",
        8,
    )
    alone, together = (thinklogit(*command, "--batch-size", size).out.splitlines() for size in (1, 9))
    assert sorted(alone) == sorted(together)


def test_a_prompt_too_long_is_named_before_any_is_decoded(thinklogit, pico_trio_folder, tmp_path):
    path, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
    path.write_text("short\n" + "x " * 300 + "\nshort too\n")
    outcome = thinklogit("generate", "-f", path, "-o", out, "--trio", pico_trio_folder)
    assert outcome.code == 1
    assert outcome.err.startswith(f"thinklogit: {path}:2: the prompt has ")
    assert outcome.err.count("\n") == 1
    assert "of the target holds 128: shorten the prompt, or ask for at most 0" in outcome.err
    assert not out.exists()


def test_members_that_are_missing(thinklogit, tmp_path, pico_members):
    nowhere = tmp_path / "nowhere"
    outcome = thinklogit("generate", "a", "--trio", nowhere)
    assert outcome.code == 1
    assert outcome.err.startswith(f"thinklogit: {nowhere}: expected a trio folder")
    assert outcome.err.count("\n") == 1
    outcome = thinklogit("generate", "a", "--target", "t", "--base", "b")
    assert outcome == (1, "", "thinklogit: --target, --guider and --base go together; --guider not given\n")
    outcome = thinklogit("generate", "a", "--target", "t", "--guider", "g", "--base", "b", "--trio", "mini")
    assert outcome == (1, "", "thinklogit: expected --trio, or --target with --guider and --base; got both\n")


def test_a_device_that_is_not_there(thinklogit, pico_trio_folder, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = "--device-map cuda:0: torch finds no CUDA device here; use cpu, or leave it out"
    outcome = thinklogit("generate", "a", "--trio", pico_trio_folder, "--device-map", "cuda:0")
    assert outcome == (1, "", f"thinklogit: {message}\n")


def test_members_too_large_for_the_device(thinklogit, pico_trio_folder, monkeypatch):
    def spent(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("thinklogit.models.trios.load", spent)
    outcome = thinklogit("generate", "a", "--trio", pico_trio_folder)
    assert outcome.err == (
        f"thinklogit: {pico_trio_folder}: the device has too little memory for the members; "
        "use --dtype bfloat16, or --device-map auto to spread them over devices\n"
    )


def test_an_unknown_schedule_in_a_trio_names_the_nearest(thinklogit, pico_trio_folder, tmp_path):
    folder = shutil.copytree(pico_trio_folder, tmp_path / "trio")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"schedule": "warmpu"}))
    outcome = thinklogit("generate", "a", "--trio", folder)
    assert outcome.code == 1
    assert "unknown schedule 'warmpu'; did you mean 'warmup'?" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_trio_folder_is_known_by_its_full_path(thinklogit, mock_trio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trio").mkdir()
    assert settings_of(thinklogit, "--trio", "trio")["trio"] == str(tmp_path / "trio")


# A running server


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr("thinklogit.decode.server.MAX_RETRIES", 0)
    with serving(reply=words) as (fake, url):
        fake.url = url
        yield fake


def test_a_server_answers_as_a_trio_does(thinklogit, fake, mock_trio):
    def both(*arguments):
        here = thinklogit("generate", *arguments)
        assert thinklogit("generate", *arguments, "--base-url", fake.url) == here
        return here.out

    text = both("hello")
    assert text.startswith("answer to hello ")
    assert both("hello", "--stream") == text
    assert both("one", "two", "--n", 2, "--seed", 4, "--temperature", 0.5).count("===") == 4
    assert both("hello", "--raw", "--max-new-tokens", 3) == "answer to hello\n"
    assert fake.paths[-1] == "/v1/completions"


def test_records_of_a_server_hold_what_was_asked(thinklogit, fake, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    options = ("--alpha", 0.5, "--logprobs", "--model", "mini", "--speculate", "auto")
    record = json.loads(thinklogit("generate", "hi", "--json", "--base-url", fake.url, *options).out)
    assert record["settings"] == {
        "server": fake.url, "model": "mini", "max_new_tokens": 256, "temperature": 0.0, "top_p": 1.0, "top_k": 0,
        "seed": 0, "alpha": 0.5, "mode": "guided", "logprobs": True,
    }  # fmt: skip
    assert record["logprobs"] == [-0.5] * 4
    assert fake.requests[-1]["vllm_xargs"] == {"alpha": 0.5}
    assert set(fake.keys) == {"Bearer secret"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trio", "a", "--base", "b"], "--base-url asks a running server; got --trio and --base too; leave one out"),
        (["--dtype", "float16"], "--base-url asks a running server; got --dtype too; leave one out"),
        (["--target", "t"], "--base-url asks a running server; got --target too; leave one out"),
        (["--device-map", "cpu"], "--base-url asks a running server; got --device-map too; leave one out"),
        (["--allow-past-context"], "--base-url asks a running server; got --allow-past-context too; leave one out"),
        (["--only", "base"], "a server answers as guided or target; got mode base: serve that member, and ask it"),
        (["--speculate", "off"], "a server speculates as it was started to; leave out --speculate"),
        (["--model", "mimi"], "unknown model 'mimi'; did you mean 'mini'?"),
    ],
)  # fmt: skip
def test_what_a_server_is_not_asked_for(thinklogit, fake, arguments, message):
    assert thinklogit("generate", "a", "--base-url", fake.url, *arguments) == (1, "", f"thinklogit: {message}\n")
    assert fake.requests == []


def test_a_model_is_a_servers(thinklogit):
    message = "--model is a server's name for a model; add --base-url, or name a --trio"
    assert thinklogit("generate", "a", "--model", "mini") == (1, "", f"thinklogit: {message}\n")


def test_without_openai_the_extra_is_named(thinklogit, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    outcome = thinklogit("generate", "a", "--base-url", "http://127.0.0.1:9/v1")
    message = "openai is not installed; install the extra eval: pip install -c constraints.txt '.[eval]'"
    assert outcome == (1, "", f"thinklogit: {message}\n")


def test_no_server_is_one_line(thinklogit):
    message = "http://127.0.0.1:9/v1: no server answers; start it, or give another --base-url"
    assert thinklogit("generate", "a", "--base-url", "http://127.0.0.1:9/v1") == (1, "", f"thinklogit: {message}\n")


def test_a_prompt_that_a_server_refuses_is_named(thinklogit, fake, prompts):
    fake.status = 400
    outcome = thinklogit("generate", "-f", prompts, "--base-url", fake.url, "--batch-size", 1)
    assert outcome == (1, "", f"thinklogit: {prompts}:1: {fake.url}: status 400: out of order\n")


def test_a_server_that_dies_loses_nothing_and_is_gone_on_with(thinklogit, fake, prompts, tmp_path):
    out = tmp_path / "out.jsonl"
    command = ("generate", "-f", prompts, "-o", out, "--base-url", fake.url, "--batch-size", 1)
    fake.dies_after = 2
    message = f"2 of 3 completions are kept in {out}; repeat the command to continue"
    gone = f"{fake.url}: the server answers no more; start it again; {message}"
    assert thinklogit(*command) == (1, "", f"thinklogit: {gone}\n")
    fake.dies_after = None
    assert thinklogit(*command).err == f"thinklogit: 3 completions in {out} (2 kept from before)\n"
    assert [question for question, _ in fake.answered] == ["prompt a", "prompt b", "prompt c"]
    assert "temperature 0.0, now 0.5; use another -o" in thinklogit(*command, "--temperature", 0.5).err


def test_control_c_gives_up_what_a_server_is_at(thinklogit, fake, prompts, tmp_path):
    out, left = tmp_path / "out.jsonl", threading.Event()

    def reply(question, seed):
        if question == "prompt c":
            os.kill(os.getpid(), signal.SIGINT)
            left.wait(20)
        return "said"

    fake.reply, begun = reply, time.monotonic()
    outcome = thinklogit("generate", "-f", prompts, "-o", out, "--base-url", fake.url, "--batch-size", 1)
    left.set()
    message = f"interrupted: 2 of 3 completions are kept in {out}; repeat the command to continue"
    assert outcome == (130, "", f"thinklogit: {message}\n")
    assert time.monotonic() - begun < 10


def test_a_streamed_answer_that_breaks_off(thinklogit, fake):
    fake.cut_after = 2
    outcome = thinklogit("generate", "hi", "--stream", "--base-url", fake.url)
    message = f"thinklogit: {fake.url}: the answer broke off before its end; ask again\n"
    assert (outcome.code, outcome.err) == (1, message)
