"""Members of any shape and family: each is built from its own config, never from what the whole, or the target, has."""

import pytest
import torch
from pico_members import pico_tokenizer
from served import engine, greedy, reference
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    LlamaConfig,
    Qwen2Config,
    Qwen3Config,
)

from thinklogit.models.trios import compose, load

NARROW, WIDE = 262, 264
PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8, 9, 7, 9, 3, 2, 3, 8, 46], list(range(40, 96))]
GUIDANCE = [{"alpha": alpha, "warmup_tokens": warmup} for alpha in (0.0, 0.7, 1.5) for warmup in (0, 5)]
NEW_TOKENS = 24
SHAPE = {"num_hidden_layers": 2, "head_dim": 32, "max_position_embeddings": 128, "pad_token_id": 0}
ENDLESS = {"bos_token_id": None, "eos_token_id": None}


def member(folder, config_class, seed, vocab=NARROW, heads=2, key_value_heads=1, **shape):
    """A random model on disk, whose logits spread far enough that greedy choices have no near ties."""
    width = 32 * heads
    config = config_class(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        **SHAPE | ENDLESS | shape,
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.2)
    model.save_pretrained(folder)
    pico_tokenizer().save_pretrained(folder)
    return str(folder)


def pair(folder, config_class=LlamaConfig, seed=0, **shape):
    return [member(folder / f"{name}{seed}", config_class, seed + i, **shape) for i, name in enumerate("gb")]


TARGETS = {
    "qwen2, wider and padded": (Qwen2Config, {"vocab": WIDE, "heads": 4, "key_value_heads": 2}),
    "qwen3": (Qwen3Config, {"heads": 4, "key_value_heads": 4}),
    "llama, tied": (LlamaConfig, {"tie_word_embeddings": True, "num_hidden_layers": 3}),
    "gemma2, capped and windowed": (Gemma2Config, {"sliding_window": 8, "final_logit_softcapping": 5.0}),
    "gemma3, windowed in part": (Gemma3TextConfig, {"sliding_window": 8}),
}


@pytest.mark.parametrize("family", TARGETS)
def test_target_of_any_family(family, tmp_path):
    config_class, shape = TARGETS[family]
    guider, base = pair(tmp_path)
    target = member(tmp_path / "target", config_class, 7, **shape)
    assert_equal(compose(target, guider, base, tmp_path / "trio").folder)


def test_several_guiders_of_other_families(tmp_path):
    first, second = pair(tmp_path, seed=1), pair(tmp_path, Qwen3Config, seed=5, vocab=263)
    target = member(tmp_path / "target", Qwen2Config, 9, heads=4)
    guiders, bases = zip(first, second, strict=True)
    trio = compose(target, guiders, bases, tmp_path / "trio", alpha=[0.5, 1.5]).folder
    guidance = [*GUIDANCE, {"alpha": [0.3, 1.1], "warmup_tokens": 3}, {"alpha": [0.5, 1.5], "warmup_tokens": 0}]
    assert_equal(trio, guidance=guidance)


def test_a_narrower_guider_drafts(tmp_path):
    """vLLM wants as many rows of a draft model as of its target; families pad differently."""
    guider, base = pair(tmp_path)
    target = member(tmp_path / "target", Qwen2Config, 7, vocab=WIDE)
    trio = compose(target, guider, base, tmp_path / "trio").folder
    drafter = {"method": "draft_model", "model": guider, "num_speculative_tokens": 3}
    assert_equal(trio, speculative_config=drafter)


def assert_equal(trio, guidance=GUIDANCE, **how):
    model, _ = load(trio)
    with engine(trio, **how) as llm:
        found = greedy(llm, PROMPTS, guidance, NEW_TOKENS)
    guiders = len(model.config.guider_refs)
    spread = [each | {"alpha": _spread(each["alpha"], guiders)} for each in guidance]
    assert found == reference(model, PROMPTS, spread, NEW_TOKENS)


def _spread(alpha, guiders):
    return alpha if isinstance(alpha, list) else [alpha] * guiders
