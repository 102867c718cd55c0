"""A quantized target beside a guider and base that are not: each is loaded as its own checkpoint says."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from served import engine
from vllm import SamplingParams

import thinklogit
from thinklogit.core.errors import OptionError
from thinklogit.mini.world import problems
from thinklogit.models.config import MemberRef
from thinklogit.models.places import MINI
from thinklogit.models.trios import compose

INT8 = {"num_bits": 8, "type": "int", "symmetric": True}
QUANTIZATION = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": INT8 | {"strategy": "channel", "dynamic": False},
            "input_activations": INT8 | {"strategy": "token", "dynamic": True},
        }
    },
}


@pytest.fixture(scope="module")
def quantized(tmp_path_factory):
    """The mini target with its linear layers in 8 bits, a scale for each row."""
    folder = tmp_path_factory.mktemp("quantized") / "target"
    model, tokenizer = thinklogit.load("mini")
    model.target.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        scale = weights[name].float().abs().amax(1, keepdim=True) / 127
        weights[name] = (weights[name].float() / scale).round().to(torch.int8)
        weights[f"{name}_scale"] = scale
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": QUANTIZATION}))
    return folder


@pytest.fixture(scope="module")
def prompts():
    _, tokenizer = thinklogit.load("mini")
    chats = [[{"role": "user", "content": each.question}] for each in problems("dev", kind="search")[:8]]
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]


def answers(folder, prompts, **guidance):
    params = SamplingParams(temperature=0, max_tokens=64, logprobs=0, extra_args=guidance or None)
    with engine(folder, max_num_batched_tokens=2048) as llm:
        found = llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        kinds = {name: str(weight.dtype) for name, weight in llm.apply_model(dtypes)[0].items()}
    outputs = [each.outputs[0] for each in found]
    logprobs = [
        place[token].logprob for each in outputs for token, place in zip(each.token_ids, each.logprobs, strict=True)
    ]
    return [each.text for each in outputs], logprobs, kinds


def dtypes(model):
    return {
        name: weight for name, weight in model.named_parameters() if "down_proj.weight" in name and "scale" not in name
    }


def test_only_the_target_is_quantized(quantized, prompts):
    trio = compose(
        quantized, str(MINI / "guider"), str(MINI / "base"), quantized.parent / "trio", warmup_tokens=0
    ).folder
    alone_texts, alone_logprobs, _ = answers(quantized, prompts)
    texts, logprobs, kinds = answers(trio, prompts, alpha=0.0)
    assert texts == alone_texts
    assert logprobs == pytest.approx(alone_logprobs, abs=1e-4)
    int8 = {name for name, kind in kinds.items() if kind == "torch.int8"}
    assert int8 == {name for name in kinds if name.startswith("members.target.")}
    guided, _, _ = answers(trio, prompts, alpha=1.0)
    plain, _, _ = answers(MINI, prompts, alpha=1.0, warmup_tokens=0)
    assert (
        sum(ours == theirs for ours, theirs in zip(guided, plain, strict=True)) >= 4
    )  # of 8: rounding flips a few, processors differ


def test_what_transformers_would_quantize_is_refused(tmp_path):
    target = MemberRef(str(MINI / "target"), quantization_config={"quant_method": "fp8"})
    trio = compose(target, str(MINI / "guider"), str(MINI / "base"), tmp_path / "trio").folder
    with pytest.raises(Exception, match="is to be quantized by transformers while it is loaded"), engine(trio):
        pass


def test_another_worker_is_refused():
    with (
        pytest.raises((OptionError, ValueError), match="a trio has a worker of its own"),
        engine(MINI, worker_cls="a.B"),
    ):
        pass
