"""Every server command of docs/serving.md is one that vLLM's own parser reads and that makes an engine's settings."""

import ast
import json
import re
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest
from pico_members import END, PAD, pico_tokenizer, save_members
from vllm import AsyncEngineArgs
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.reasoning import ReasoningParserManager
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser

from thinklogit.core.errors import OptionError
from thinklogit.decode.vllm.requests import NAMES, Guidance, read
from thinklogit.models.trios import compose

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text()
OWN_OPTIONS = ("--trio", "--alpha", "--warmup-tokens", "--schedule", "--speculate")
"""Of `thinklogit serve`; each takes one value."""
THINKING = (END, PAD, "<think>", "</think>")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands():
    """Words after `serve` of each command that starts a server, without our own options."""
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [words for words in split if words[:2] in (["thinklogit", "serve"], ["vllm", "serve"])]


def flags(words):
    """What goes to vLLM, and the trio."""
    program, _, *rest = words
    if program == "vllm":
        return rest[1:], rest[0]
    kept, trio = [], None
    while rest:
        word = rest.pop(0)
        if word in OWN_OPTIONS:
            value = rest.pop(0)
            trio = value if word == "--trio" else trio
        else:
            kept.append(word)
    return kept, trio


def save_trio(folder, **kwargs):
    """A trio whose heads can be split over four GPUs; its configs and tokenizers alone are read here."""
    save_members(folder, target=kwargs, guider=kwargs, base=kwargs)
    for role in ("target", "guider", "base"):
        file = folder / role / "config.json"
        values = json.loads(file.read_text())
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
        file.write_text(json.dumps({**values, **heads}))
    return compose(folder / "target", folder / "guider", folder / "base", folder).folder


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    return save_trio(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def thinking_trio(tmp_path_factory):
    """One whose tokenizer has the tags."""
    return save_trio(tmp_path_factory.mktemp("thinking"), tokenizer=pico_tokenizer(THINKING))


def settings(trio, *given):
    """What vLLM would start with, on this machine."""
    parsed = make_arg_parser(FlexibleArgumentParser(prog="vllm serve")).parse_args([str(trio), *given])
    parsed.model = parsed.model_tag
    validate_parsed_serve_args(parsed)
    if parsed.data_parallel_backend == "ray" and not find_spec("ray"):
        return None
    if (parsed.speculative_config or {}).get("method") == "draft_model":
        parsed.speculative_config["model"] = str(trio / "guider")
    arguments = AsyncEngineArgs.from_cli_args(parsed)
    return arguments.create_engine_config(UsageContext.OPENAI_API_SERVER, headless=parsed.headless)


def test_the_page_shows_commands():
    assert len(commands()) == len(re.findall(r"^(?:thinklogit|vllm) serve ", PAGE, re.MULTILINE)) > 10
    assert all(flags(words)[1] for words in commands())


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_vllm_takes_the_flags(words, trio, thinking_trio, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "think.jinja").write_text("{{ messages }}")
    given, named = flags(words)
    made = settings(thinking_trio if named == "trio-think" else trio, *given)
    assert made is None or made.load_config.load_format == "thinklogit"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--reasoning-parser deepseek_r1", "could not locate think start/end tokens in the tokenizer"),
        ("--tensor-parallel-size 8", "must divide the attention heads of every member; the target has 4"),
        ("--pipeline-parallel-size 2", "Pipeline parallelism is not supported"),
        ("--max-model-len 129", "greater than the derived max_model_len"),
        ("--data-parallel-size 2 --data-parallel-rank 1", "Non-MoE models do not support external data parallel mode"),
        ("--data-parallel-size 2 --data-parallel-rank 1 --data-parallel-external-lb", "launch independent vLLM"),
        ("--quantization bitsandbytes", "Unknown quantization method"),
    ],
)
def test_what_the_page_says_is_refused(trio, given, told):
    with pytest.raises((ValueError, RuntimeError, NotImplementedError), match=told):
        settings(trio, *given.split())


def test_what_the_page_sends_is_understood():
    sent = [ast.literal_eval(each) for each in re.findall(r'"vllm_xargs": (\{.*?\})', "".join(blocks("python")))]
    assert len(sent) == 2
    own = Guidance("warmup", (1.0,), 100)
    asked = [ChatCompletionRequest(messages=[], vllm_xargs=each).vllm_xargs for each in sent]
    assert [read(each, own) for each in asked] == [Guidance("warmup", (0.5,), 0), Guidance("warmup", (0.0,), 100)]
    for code in blocks("python"):
        compile(code, "serving.md", "exec")


def test_the_page_names_what_a_request_can_say():
    [table] = re.findall(r"^\| in `vllm_xargs` .*?\n\n", PAGE, re.DOTALL | re.MULTILINE)
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == NAMES


def test_refusals_that_the_page_tells():
    own = Guidance("warmup", (1.0,), 0)
    for given in ({"alpha": "strong"}, {"schedule": "constant", "warmup_tokens": 5}, {"guided": "false", "alpha": 1.0}):
        with pytest.raises(OptionError):
            read(given, own)


def test_a_completion_that_does_not_close_its_thinking_is_all_reasoning():
    made = ReasoningParserManager.get_reasoning_parser("deepseek_r1")(pico_tokenizer(THINKING))
    assert made.extract_reasoning("so 4</think>It is 4.", None) == ("so 4", "It is 4.")
    assert made.extract_reasoning("It is 4.", None) == ("It is 4.", None)
