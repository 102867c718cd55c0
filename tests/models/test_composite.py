"""The trio as a transformers model: what a user of `generate`, `from_pretrained` and `save_pretrained` expects."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import VOCAB, pico, pico_trio
from oracle import greedy
from transformers import AutoModelForCausalLM, DynamicCache, GenerationConfig, StaticCache
from transformers.generation import CompileConfig

from thinklogit.core.errors import ContextError, OptionError, TrioError
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM

PROMPT = torch.tensor([[3, 14, 15, 9, 26, 5], [2, 7, 1, 8, 2, 8]])


def pairs_of(trio, alpha=1.0):
    return [(pair.guider, pair.base, alpha) for pair in trio.guiders]


def calls_to(module):
    """Count the forward calls of a member, and the tokens each took in."""
    seen = []
    module.register_forward_pre_hook(lambda _m, _a, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True)
    return seen


def test_guider_and_base_do_not_run_while_alpha_is_zero(trio):
    guider, base = calls_to(trio.guiders[0].guider), calls_to(trio.guiders[0].base)
    trio.generate(PROMPT, max_new_tokens=8, alpha=0.0)
    assert guider == base == []


def test_one_catch_up_prefill_when_guidance_begins(trio):
    guider, target = calls_to(trio.guiders[0].guider), calls_to(trio.target)
    trio.generate(PROMPT, max_new_tokens=8, warmup_tokens=4)
    assert target == [6, 1, 1, 1, 1, 1, 1, 1]
    # The fifth token is predicted from 6 + 4 tokens: 9 that were missed, in one go, then one at a time.
    assert guider == [9, 1, 1, 1, 1]


def test_one_row_that_is_guided_runs_the_guiders_for_the_batch(trio):
    out = trio.generate(PROMPT, max_new_tokens=8, alpha=[0.0, 1.0])[:, 6:].tolist()
    assert out[0] == greedy(trio.target, [], PROMPT[0].tolist(), 8)
    assert out[1] == greedy(trio.target, pairs_of(trio), PROMPT[1].tolist(), 8)


@pytest.mark.parametrize("warmup_tokens", [0, 3])
def test_beams_equal_beams_without_a_cache(trio, warmup_tokens):
    how = {"num_beams": 3, "max_new_tokens": 8, "warmup_tokens": warmup_tokens, "alpha": [0.5, 1.0], "do_sample": False}
    assert torch.equal(trio.generate(PROMPT, **how), trio.generate(PROMPT, use_cache=False, **how))


def test_sampling_with_n_draws_from_the_fused_distribution(trio):
    """The first token of many samples follows the softmax of the hand-made fused logits."""
    torch.manual_seed(0)
    prompt = PROMPT[:1]
    out = trio.generate(prompt, max_new_tokens=1, do_sample=True, temperature=3.0, top_k=0, num_return_sequences=4000)
    drawn = torch.bincount(out[:, -1], minlength=VOCAB) / 4000
    guider, base = trio.guiders[0].guider, trio.guiders[0].base
    with torch.no_grad():
        fused = (trio.target(prompt).logits + guider(prompt).logits - base(prompt).logits)[0, -1]
    assert (drawn - (fused / 3.0).softmax(-1)).abs().sum() / 2 < 0.05


def test_per_row_alpha_follows_its_row_into_n_samples(trio):
    out = trio.generate(PROMPT, max_new_tokens=6, do_sample=True, top_k=1, num_return_sequences=2, alpha=[0.0, 1.5])
    rows = out[:, 6:].tolist()
    assert rows[0] == rows[1] == greedy(trio.target, [], PROMPT[0].tolist(), 6)
    assert rows[2] == rows[3] == greedy(trio.target, pairs_of(trio, 1.5), PROMPT[1].tolist(), 6)


@pytest.mark.parametrize("warmup_tokens", [0, 4])
@pytest.mark.parametrize("assistant", ["guider", "stranger"])
def test_assisted_decoding_changes_no_token(trio, assistant, warmup_tokens):
    helper = trio.guiders[0].guider if assistant == "guider" else pico("llama", 9)
    out = trio.generate(
        PROMPT[:1], max_new_tokens=12, do_sample=False, assistant_model=helper, warmup_tokens=warmup_tokens
    )
    expected = greedy(trio.target, pairs_of(trio), PROMPT[0].tolist(), 12, warmup_tokens)
    assert out[0, 6:].tolist() == expected


@pytest.mark.parametrize("cache_of", [lambda m: DynamicCache(), lambda m: StaticCache(m.config, 40)])
@pytest.mark.parametrize("first_alpha", [0.0, 1.0])
def test_a_cache_can_be_continued(trio, cache_of, first_alpha):
    """Even one filled while guiders slept: what they missed is brought level when they wake."""
    cache = cache_of(trio)
    begun = trio.generate(PROMPT, max_new_tokens=5, alpha=first_alpha, past_key_values=cache)
    longer = torch.cat([begun, torch.tensor([[11, 12], [13, 14]])], dim=1)
    # A mask, for transformers would take a generated pad token for padding.
    how = {"max_new_tokens": 6, "alpha": 1.0, "attention_mask": torch.ones_like(longer)}
    assert torch.equal(trio.generate(longer, past_key_values=cache, **how), trio.generate(longer, **how))


def test_forward_alone_counts_warmup_when_told_the_prompt_length(trio):
    with torch.no_grad():
        everywhere = trio(PROMPT).logits
        target = trio.target(PROMPT).logits
        late = trio(PROMPT, warmup_tokens=2, prompt_length=3).logits
    # Positions 2 and 3 predict the first two generated tokens; from position 4 on guidance holds.
    torch.testing.assert_close(late[:, 2:4], target[:, 2:4])
    torch.testing.assert_close(late[:, 4:], everywhere[:, 4:])


def test_loss_is_that_of_the_fused_logits(trio):
    out = trio(PROMPT, labels=PROMPT)
    expected = torch.nn.functional.cross_entropy(out.logits[:, :-1].reshape(-1, VOCAB), PROMPT[:, 1:].reshape(-1))
    torch.testing.assert_close(out.loss, expected)


def test_tuples_on_request(trio):
    logits, *_ = trio(PROMPT, return_dict=False)
    assert logits.shape == (2, 6, VOCAB)


def test_soft_capped_members_fuse_without_their_caps():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    def gemma(seed):
        torch.manual_seed(seed)
        config = Gemma2Config(
            vocab_size=VOCAB, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=8, sliding_window=4, final_logit_softcapping=5.0, pad_token_id=0,
            max_position_embeddings=64, eos_token_id=None, bos_token_id=None,
        )  # fmt: skip
        model = Gemma2ForCausalLM(config).eval()
        with torch.no_grad():
            model.model.embed_tokens.weight.normal_(0, 0.5)
        return model

    target, guider, base = gemma(1), gemma(2), gemma(3)
    trio = ThinkLogitForCausalLM.from_members(target, [(guider, base, 0.5)], warmup_tokens=0)
    raw = [5.0 * torch.atanh(member(PROMPT).logits / 5.0) for member in (target, guider, base)]
    expected = 5.0 * torch.tanh((raw[0] + 0.5 * (raw[1] - raw[2])) / 5.0)
    torch.testing.assert_close(trio(PROMPT).logits, expected, atol=1e-3, rtol=1e-3)
    assert torch.equal(trio(PROMPT, alpha=0.0).logits, target(PROMPT).logits)
    for kwargs in ({}, {"cache_implementation": "static"}, {"prompt_lookup_num_tokens": 2}):
        long = trio.generate(PROMPT[:1], max_new_tokens=10, do_sample=False, **kwargs)
        assert torch.equal(long, trio.generate(PROMPT[:1], max_new_tokens=10, do_sample=False, use_cache=False))


def test_mixed_dtypes_fuse_in_float32(trio):
    trio.guiders[0].guider.to(torch.bfloat16)
    assert trio(PROMPT).logits.dtype == torch.float32


def test_generation_config_is_the_targets():
    target = pico("qwen2", 1)
    target.generation_config.eos_token_id = [7, 9]
    trio = ThinkLogitForCausalLM.from_members(target, [Guider(pico("llama", 2), pico("llama", 3))])
    assert trio.generation_config.eos_token_id == [7, 9]
    trio.generation_config.eos_token_id = 8
    assert target.generation_config.eos_token_id == [7, 9]


# Saving and loading


def saved(tmp_path, trio):
    trio.save_pretrained(tmp_path / "trio")
    return tmp_path / "trio"


def test_a_trio_folder_loads_through_the_auto_class(tmp_path, trio):
    folder = saved(tmp_path, trio)
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert isinstance(again, ThinkLogitForCausalLM)
    assert torch.equal(again.generate(PROMPT, max_new_tokens=8), trio.generate(PROMPT, max_new_tokens=8))


def test_saving_refers_to_members_and_copies_no_weight(tmp_path, trio):
    first = AutoModelForCausalLM.from_pretrained(saved(tmp_path, trio))
    first.save_pretrained(tmp_path / "second")
    assert sorted(path.name for path in (tmp_path / "second").iterdir()) == ["config.json", "generation_config.json"]
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["target"]["model"] == str(tmp_path / "trio" / "target")
    second = AutoModelForCausalLM.from_pretrained(tmp_path / "second")
    assert torch.equal(second.generate(PROMPT, max_new_tokens=8), trio.generate(PROMPT, max_new_tokens=8))


def test_a_member_put_in_place_of_another_is_saved(tmp_path, trio):
    """Its weights are nowhere else: a reference to the old one would lose them without a word."""
    model = AutoModelForCausalLM.from_pretrained(saved(tmp_path, trio))
    model.guiders[0].guider = pico("llama", 8)
    model.save_pretrained(tmp_path / "second")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "second")
    assert torch.equal(again.guiders[0].guider.lm_head.weight, model.guiders[0].guider.lm_head.weight)
    assert (tmp_path / "second" / "guider").is_dir()
    assert not (tmp_path / "second" / "target").exists()


def test_copy_members_makes_a_folder_that_stands_alone(tmp_path, trio):
    model = AutoModelForCausalLM.from_pretrained(saved(tmp_path, trio))
    model.save_pretrained(tmp_path / "whole", copy_members=True)
    (tmp_path / "whole").rename(tmp_path / "moved")
    (tmp_path / "trio").rename(tmp_path / "gone")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "moved")
    assert torch.equal(again.generate(PROMPT, max_new_tokens=8), trio.generate(PROMPT, max_new_tokens=8))


def test_options_hold_for_all_members_or_for_one(tmp_path, trio):
    folder = saved(tmp_path, trio)
    everyone = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in everyone.parameters()} == {torch.bfloat16}
    mixed = AutoModelForCausalLM.from_pretrained(folder, dtype={"target": torch.bfloat16}, device_map={"target": "cpu"})
    assert mixed.target.dtype == torch.bfloat16
    assert mixed.guiders[0].base.dtype == torch.float32
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation={"base": "eager"})
    assert eager.guiders[0].base.config._attn_implementation == "eager"
    assert eager.guiders[0].guider.config._attn_implementation == "sdpa"
    assert torch.equal(eager.generate(PROMPT, max_new_tokens=8), trio.generate(PROMPT, max_new_tokens=8))
    static = eager.generate(PROMPT, max_new_tokens=8, cache_implementation="static")
    assert torch.equal(static, trio.generate(PROMPT, max_new_tokens=8))


def test_quantization_settings_reach_the_member_they_are_for(tmp_path, trio, monkeypatch):
    folder = saved(tmp_path, trio)
    config = json.loads((folder / "config.json").read_text())
    config["target"]["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    given = {}

    def load(place, **kwargs):
        given[place.rsplit("/", 1)[-1]] = kwargs.get("quantization_config")
        return real(place, **{k: v for k, v in kwargs.items() if k != "quantization_config"})

    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    ThinkLogitForCausalLM.from_pretrained(folder)
    assert given["target"].load_in_8bit
    assert given["guider"] is given["base"] is None


def test_an_adapter_on_the_guider(tmp_path, trio):
    from peft import LoraConfig, PeftModel, get_peft_model

    model = AutoModelForCausalLM.from_pretrained(saved(tmp_path, trio))
    plain = model.generate(PROMPT, max_new_tokens=8)
    adapted = get_peft_model(
        model.guiders[0].guider, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    )
    model.guiders[0].guider = adapted.eval()
    with_adapter = model.generate(PROMPT, max_new_tokens=8)
    assert not torch.equal(plain, with_adapter)
    model.save_pretrained(tmp_path / "second")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "second")
    assert isinstance(again.guiders[0].guider, PeftModel)
    assert torch.equal(again.generate(PROMPT, max_new_tokens=8), with_adapter)


def test_an_adapter_without_peft_says_what_to_install(tmp_path, trio, monkeypatch):
    folder = saved(tmp_path, trio)
    config = json.loads((folder / "config.json").read_text())
    config["guiders"][0]["guider"]["adapter"] = "./adapter"
    (folder / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(TrioError, match=r"guider has an adapter, which needs peft: pip install 'thinklogit\[peft\]'"):
        ThinkLogitForCausalLM.from_pretrained(folder)


def test_from_config_builds_random_members(trio):
    fresh = AutoModelForCausalLM.from_config(trio.config)
    assert fresh(PROMPT).logits.shape == (2, 6, VOCAB)


# Refusals


def test_a_folder_that_is_no_trio(tmp_path):
    with pytest.raises(TrioError, match=r"no trio could be read there .* write one with `thinklogit compose`"):
        ThinkLogitForCausalLM.from_pretrained(tmp_path)
    pico().save_pretrained(tmp_path / "llama")
    with pytest.raises(TrioError, match="expected a trio folder, found a 'llama' model"):
        ThinkLogitForCausalLM.from_pretrained(tmp_path / "llama")


def test_a_member_that_is_gone(tmp_path, trio):
    folder = saved(tmp_path, trio)
    (folder / "base").rename(tmp_path / "elsewhere")
    with pytest.raises(TrioError, match=r"the guiders\.0\.base at '.*base' could not be loaded"):
        ThinkLogitForCausalLM.from_pretrained(folder)


@pytest.mark.parametrize(
    ("guidance", "message"),
    [
        ({"alpha": float("nan")}, "alpha must be a number from -100 to 100"),
        ({"alpha": float("inf")}, "alpha must be a number from -100 to 100"),
        ({"alpha": [1.0, 2.0, 3.0]}, "alpha must be one number or one for each of the 2 rows; got 3"),
        ({"alpha": torch.ones(2, 3)}, "got shape"),
        ({"warmup_tokens": -1}, "warmup_tokens must be a whole number of tokens, 0 or more; got -1"),
        ({"warmup_tokens": torch.tensor([1.5, 2.0])}, "warmup_tokens must be whole numbers"),
    ],
    ids=str,
)
def test_guidance_that_cannot_be(trio, guidance, message):
    with pytest.raises(OptionError, match=message):
        trio.generate(PROMPT, max_new_tokens=2, **guidance)


def test_a_warmup_that_the_schedule_would_ignore():
    with pytest.raises(OptionError, match="schedule 'constant' has no warm-up"):
        pico_trio(schedule="constant", warmup_tokens=5)
    with pytest.raises(OptionError, match="unknown schedule 'warmpu'; did you mean 'warmup'"):
        pico_trio(schedule="warmpu")


def test_a_prompt_longer_than_the_context(trio):
    with pytest.raises(ContextError, match="the prompt has 200 tokens; the context of target holds 128"):
        trio.generate(torch.ones(1, 200, dtype=torch.long), max_new_tokens=1)


def test_embeddings_in_place_of_ids(trio):
    with pytest.raises(OptionError, match="a trio needs token ids"):
        trio.generate(inputs_embeds=torch.ones(1, 3, 24), max_new_tokens=1)


def test_a_misspelt_argument_is_not_dropped(trio):
    with pytest.raises(ValueError, match="alhpa"):
        trio.generate(PROMPT, max_new_tokens=1, alhpa=0.5)


def test_a_member_whose_quantization_does_not_compile_keeps_the_trio_from_it():
    trio = pico_trio()
    config = CompileConfig()
    config._compile_all_devices = True
    asked = (
        {"past_key_values": StaticCache(config=trio.config, max_cache_len=8)},
        GenerationConfig(compile_config=config),
    )
    assert trio._valid_auto_compile_criteria(*asked)
    trio.guiders[0].base.hf_quantizer = SimpleNamespace(is_compileable=False)
    assert not trio._valid_auto_compile_criteria(*asked)
