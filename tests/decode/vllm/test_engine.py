"""The engine on vLLM gives what the engine on transformers gives, and refuses by name what it cannot."""

import json
import os
import subprocess
import sys
from collections import deque
from itertools import islice
from pathlib import Path

import psutil
import pytest
from served import closed

import thinklogit
from thinklogit.core.errors import ContextError, OptionError, TrioError
from thinklogit.core.params import SamplingParams
from thinklogit.decode.huggingface import HuggingFaceEngine
from thinklogit.decode.loading import load_engine
from thinklogit.decode.vllm.engine import VllmEngine
from thinklogit.mini.world import problems

QUESTIONS = [each.question for each in problems("dev", kind="search")[:6]]
PROMPTS = [*([{"role": "user", "content": question}] for question in QUESTIONS[:4]), *QUESTIONS[4:]]
OPENED = [{"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": "So"}]


@pytest.fixture(scope="module")
def engine():
    with closed(VllmEngine("mini", batch_size=16)) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def hf():
    return HuggingFaceEngine(*thinklogit.load("mini"))


@pytest.mark.parametrize(
    "asked",
    [
        {"alpha": 1.0, "warmup_tokens": 0},
        {"alpha": 0.5, "warmup_tokens": 6},
        {},
        {"mode": "target"},
        {"stop": ("think", "must")},
        {"stop": (" ",), "max_new_tokens": 3},
    ],
)
def test_greedy_completions_are_those_of_transformers(engine, hf, asked):
    params = SamplingParams(**{"max_new_tokens": 80} | asked)
    prompts = [*PROMPTS, OPENED]
    finished = {}
    found = engine.generate(prompts, params, lambda index, completion: finished.update({index: completion}))
    assert found == hf.generate(prompts, params)
    assert [finished[index] for index in range(len(prompts))] == found


def test_log_probabilities(engine, hf):
    params = SamplingParams(max_new_tokens=40, alpha=1.0, warmup_tokens=4, logprobs=True)
    for ours, theirs in zip(engine.generate(PROMPTS, params), hf.generate(PROMPTS, params), strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)


def test_sampled_completions_depend_on_their_seed_alone(engine):
    params = SamplingParams(max_new_tokens=40, temperature=1.5, n=3, seed=5)
    together = engine.generate(PROMPTS, params)
    assert engine.generate(PROMPTS[1:2], params) == together[3:6]
    assert len({completion.text for completion in together[3:6]}) == 3


def test_the_same_token_again_and_again_ends_a_text(engine, hf):
    params = SamplingParams(max_new_tokens=60, alpha=-1.0, warmup_tokens=0, max_repeats=4)
    (found,) = engine.generate(["7 7 7 7 7"], params)
    assert (found.new_tokens, found.finish_reason) == (4, "stop")
    assert [found] == hf.generate(["7 7 7 7 7"], params)


def test_streamed_text_is_the_text(engine):
    params = SamplingParams(max_new_tokens=80, stop=("works",))
    pieces = list(engine.stream(PROMPTS[0], params))
    assert len(pieces) > 5
    assert "".join(pieces) == engine.generate(PROMPTS[:1], params)[0].text


def test_an_abandoned_stream_leaves_nothing_behind(engine):
    list(islice(engine.stream(PROMPTS[0], SamplingParams(max_new_tokens=300)), 2))
    assert not engine.engine.has_unfinished_requests()
    assert not list(engine.decode(deque()))


@pytest.mark.parametrize(
    ("error", "told", "asked"),
    [
        (ContextError, "the context of the trio inside vLLM holds 512", {"max_new_tokens": 512}),
        (OptionError, "inside vLLM a trio answers as guided or target; got mode guider", {"mode": "guider"}),
    ],
)
def test_what_cannot_be_asked(engine, error, told, asked):
    with pytest.raises(error, match=told):
        engine.generate(PROMPTS, SamplingParams(**asked))


@pytest.mark.parametrize(
    ("error", "told", "how"),
    [
        (OptionError, "unknown engine argument tensor_paralel", {"engine_args": '{"tensor_paralel": 2}'}),
        (OptionError, "--engine-args must be a JSON object such as", {"engine_args": "[1"}),
        (OptionError, "--device-map is of --engine hf", {"device_map": "auto"}),
        (
            TrioError,
            "tensor parallel 3 must divide the attention heads",
            {"engine_args": '{"tensor_parallel_size": 3}'},
        ),
        (TrioError, "mini: vLLM cannot load it", {"engine_args": '{"max_model_len": 4096}'}),
    ],
)
def test_what_cannot_be_loaded(error, told, how):
    with pytest.raises(error, match=told):
        load_engine("mini", engine="vllm", **how)


def thinklogit_says(*arguments):
    command = [str(Path(sys.executable).with_name("thinklogit")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


def test_generate_prints_records_and_nothing_else(hf):
    asked = ("generate", QUESTIONS[0], "--engine", "vllm", "--json", "--max-new-tokens", "80", "--speculate", "4")
    said = thinklogit_says(*asked)
    assert said.returncode == 0, said.stderr
    (record,) = map(json.loads, said.stdout.splitlines())
    (expected,) = hf.generate([PROMPTS[0]], SamplingParams(max_new_tokens=80))
    assert record["text"] == expected.text
    assert record["settings"]["engine"] == "vllm"


def test_in_the_background_it_ends_with_whoever_asks():
    """A harness killed by -9 left vLLM's own processes behind, spinning on both cores."""
    script = (
        "from thinklogit.decode.background import BackgroundEngine\n"
        "engine = BackgroundEngine('mini', engine='vllm')\n"
        "answer = engine.submit('1 pen', {'max_new_tokens': 8}).result()[0]\n"
        "print(answer.new_tokens, engine.process.pid, flush=True)\n"
        "input()\n"
    )
    command = [sys.executable, "-c", script]
    as_usual = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_")}
    asking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=as_usual)
    new_tokens, process = map(int, asking.stdout.readline().split())
    assert new_tokens > 0
    started = [psutil.Process(process), *psutil.Process(process).children(recursive=True)]
    assert len(started) > 1
    asking.kill()
    asking.wait()
    assert not psutil.wait_procs(started, timeout=30)[1]
