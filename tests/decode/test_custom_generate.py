"""`model.generate(..., custom_generate=thinklogit.speculate)` is `model.generate(...)`."""

import pytest
import torch
from test_speculative import near_trio
from transformers import AutoModelForCausalLM, DynamicCache, Gemma2Config, StaticCache, StoppingCriteria
from transformers.generation.streamers import BaseStreamer

import thinklogit
from thinklogit.core.errors import OptionError
from thinklogit.models.composite import ThinkLogitForCausalLM

PROMPTS = torch.tensor([[0, 0, 8, 5, 12], [1, 12, 15, 14, 7], [0, 0, 0, 0, 24]])
GREEDY = {"attention_mask": (PROMPTS != 0).long(), "max_new_tokens": 20, "do_sample": False}


STATIC = {"cache_implementation": "static"}


@pytest.mark.parametrize(
    ("draft_tokens", "cache"), [(1, {}), (6, {}), ("auto", {}), (1, STATIC), (12, STATIC), ("auto", STATIC)], ids=str
)
@pytest.mark.parametrize(
    "guidance", [{}, {"warmup_tokens": 5}, {"alpha": [0.0, 1.0, 1.5], "warmup_tokens": [0, 7, 2]}], ids=str
)
def test_greedy_ids_are_those_of_generate(draft_tokens, cache, guidance):
    trio = near_trio()
    plain = trio.generate(PROMPTS, **GREEDY, **guidance)
    drafted = trio.generate(
        PROMPTS, **GREEDY, **guidance, custom_generate=thinklogit.speculate, draft_tokens=draft_tokens, **cache
    )
    assert torch.equal(drafted, plain)


def test_sampling_follows_the_seed_of_torch():
    trio = near_trio()
    ways = {**GREEDY, "do_sample": True, "temperature": 0.9, "top_k": 20, "custom_generate": thinklogit.speculate}
    made = []
    for seed, length, cache in ((1, 3, {}), (1, 8, {}), (1, 8, STATIC), (2, 3, {})):
        torch.manual_seed(seed)
        made.append(trio.generate(PROMPTS, **ways, draft_tokens=length, **cache).tolist())
    assert made[0] == made[1] == made[2] != made[3]


class UntilThirty(StoppingCriteria):
    def __call__(self, input_ids, scores, **kwargs):
        return torch.tensor([len(set(row.tolist())) > 8 for row in input_ids])


def test_own_stopping_criteria_and_a_result_object():
    trio = near_trio()
    ways = {"max_new_tokens": 24, "do_sample": False, "return_dict_in_generate": True}
    plain = trio.generate(PROMPTS[1:2], **ways, stopping_criteria=[UntilThirty()])
    drafted = trio.generate(
        PROMPTS[1:2], **ways, stopping_criteria=[UntilThirty()], custom_generate=thinklogit.speculate, draft_tokens=9
    )
    assert torch.equal(drafted.sequences, plain.sequences)
    assert plain.sequences.shape[1] < 29


def test_the_fused_logits_of_each_step():
    trio = near_trio()
    ways = {**GREEDY, "warmup_tokens": 3, "output_logits": True, "return_dict_in_generate": True}
    plain = trio.generate(PROMPTS, **ways)
    drafted = trio.generate(PROMPTS, **ways, custom_generate=thinklogit.speculate, draft_tokens=5)
    assert len(drafted.logits) == len(plain.logits)
    for step, (ours, theirs) in enumerate(zip(drafted.logits, plain.logits, strict=True)):
        for row, ids in enumerate(plain.sequences[:, PROMPTS.shape[1] :]):
            if not set(ids[:step].tolist()) & {5, 7}:  # not yet ended
                torch.testing.assert_close(ours[row], theirs[row], atol=1e-4, rtol=1e-4)


class Kept(BaseStreamer):
    def __init__(self):
        self.pieces, self.ended = [], False

    def put(self, value):
        self.pieces.append(value.flatten().tolist())

    def end(self):
        self.ended = True


def test_a_streamer_gets_the_tokens_in_bursts():
    streamer = Kept()
    ids = near_trio().generate(
        PROMPTS[1:2],
        max_new_tokens=20,
        do_sample=False,
        streamer=streamer,
        custom_generate=thinklogit.speculate,
        draft_tokens=6,
    )
    assert [token for piece in streamer.pieces for token in piece] == ids[0].tolist()
    assert streamer.ended
    assert any(len(piece) > 1 for piece in streamer.pieces[1:])


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"num_beams": 2}, "num_beams"),
        ({"repetition_penalty": 1.2}, "RepetitionPenaltyLogitsProcessor"),
        ({"output_scores": True, "return_dict_in_generate": True}, "output_scores"),
        ({"past_key_values": DynamicCache()}, "past_key_values"),
        ({"use_cache": False}, "use_cache=False"),
        ({"prefill_chunk_size": 2}, "prefill_chunk_size"),
        ({"cache_implementation": "offloaded"}, "cache_implementation=offloaded"),
    ],
)
def test_what_it_does_not_do_is_refused_by_name(asked, named):
    with pytest.raises(OptionError, match=rf"speculate does not do {named}"):
        near_trio().generate(PROMPTS[1:2], max_new_tokens=4, custom_generate=thinklogit.speculate, **asked)


def test_one_cache_size_holds_for_many_texts(monkeypatch):
    sizes = []
    begun = StaticCache.__init__

    def kept(self, *args, max_cache_len, **kwargs):
        sizes.append(max_cache_len)
        begun(self, *args, max_cache_len=max_cache_len, **kwargs)

    monkeypatch.setattr(StaticCache, "__init__", kept)
    for asked in (STATIC, STATIC | {"max_cache_len": 256}):
        near_trio().generate(PROMPTS, **GREEDY, **asked, custom_generate=thinklogit.speculate)
        assert sizes.pop() == (64 if asked == STATIC else 256)


def test_done_rows_keep_no_member_running(monkeypatch):
    """The first row, guided from its start, has an end of its own after five tokens; the others are in warm-up."""
    trio = near_trio()
    guided = []
    forward = trio.forward

    def told(*args, **kwargs):
        guided.append(kwargs["guided"])
        return forward(*args, **kwargs)

    monkeypatch.setattr(trio, "forward", told)
    ways = {"warmup_tokens": [0, 1000, 1000], "stopping_criteria": [After(5)], "draft_tokens": 1, "eos_token_id": 99}
    trio.generate(PROMPTS, **GREEDY, **ways, **STATIC, custom_generate=thinklogit.speculate)
    assert len(guided) > 8
    assert not any(guided[5:])


class After(StoppingCriteria):
    """Ends a text whose prompt began with 8, after so many tokens."""

    def __init__(self, count):
        self.count = count

    def __call__(self, input_ids, scores, **kwargs):
        return torch.tensor([row[0] == 8 and len(row) >= 3 + self.count for row in input_ids])


def test_flash_attention_which_needs_a_mask_of_the_length_is_refused_with_a_static_cache():
    trio = near_trio()
    pair = trio.guiders[0]
    pair.guider.config._attn_implementation = "flash_attention_2"
    trio = ThinkLogitForCausalLM.from_members(trio.target, [(pair.guider, pair.base, 1.0)])
    assert trio.config._attn_implementation == "flash_attention_2"
    with pytest.raises(OptionError, match="flash attention with a static cache"):
        trio.generate(PROMPTS, **GREEDY, **STATIC, custom_generate=thinklogit.speculate)


def test_a_member_that_forgets_is_refused():
    trio = near_trio()
    window = Gemma2Config(
        vocab_size=trio.config.vocab_size, hidden_size=8, intermediate_size=16, num_hidden_layers=2, head_dim=4,
        num_attention_heads=2, num_key_value_heads=1, sliding_window=4, pad_token_id=0,
    )  # fmt: skip
    pair = trio.guiders[0]
    trio = ThinkLogitForCausalLM.from_members(AutoModelForCausalLM.from_config(window), [(pair.guider, pair.base, 1.0)])
    with pytest.raises(OptionError, match="keeps only a window"):
        trio.generate(PROMPTS[1:2], max_new_tokens=4, custom_generate=thinklogit.speculate)


@pytest.mark.parametrize("given", [0, -1, "off", "many"])
def test_what_is_no_draft_length_is_refused_in_one_line(given):
    with pytest.raises(OptionError, match=f"expected auto or a number of tokens to draft, 1 or more; got {given}"):
        near_trio().generate(PROMPTS, **GREEDY, custom_generate=thinklogit.speculate, draft_tokens=given)
