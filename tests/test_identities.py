"""The identities of the method, on the composite as a user calls it. Each holds exactly, up to float32 rounding."""

import pytest
import torch
from conftest import VOCAB, pico, pico_trio
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import greedy

from thinklogit.core.fusion import MemberLogits, fuse
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM

NEW = 16
PROMPT = torch.tensor([[3, 14, 15, 9, 26, 5]])


def continuation(model, prompt=PROMPT, **kwargs):
    out = model.generate(prompt, max_new_tokens=NEW, do_sample=False, **kwargs)
    return out[:, prompt.shape[1] :].tolist()


def logits_of(model, **kwargs):
    with torch.no_grad():
        return model(PROMPT, **kwargs).logits


def pairs_of(trio, alpha=1.0):
    return [(trio.guiders[0].guider, trio.guiders[0].base, alpha)]


@pytest.mark.parametrize("guidance", [{"alpha": 0.0}, {"warmup_tokens": NEW}, {"warmup_tokens": 1000}])
def test_without_guidance_it_is_the_target(trio, guidance):
    assert continuation(trio, **guidance) == continuation(trio.target)
    assert continuation(trio) != continuation(trio.target)


@pytest.mark.parametrize("alpha", [0.5, 1.0, -2.0])
def test_guider_equal_to_base_is_the_target(alpha):
    guider = pico("llama", 2)
    trio = ThinkLogitForCausalLM.from_members(pico("qwen2", 1), [Guider(guider, guider, alpha)], warmup_tokens=0)
    assert continuation(trio) == continuation(trio.target)


def test_target_equal_to_base_is_the_guider():
    guider, base = pico("llama", 2), pico("llama", 3)
    trio = ThinkLogitForCausalLM.from_members(base, [Guider(guider, base, 1.0)], warmup_tokens=0)
    assert continuation(trio) == continuation(guider)
    torch.testing.assert_close(logits_of(trio), guider(PROMPT).logits, atol=1e-4, rtol=0)


@given(first=st.floats(-2, 2), second=st.floats(-2, 2))
@settings(max_examples=10, deadline=None)
def test_two_copies_of_a_pair_add_their_alphas(first, second):
    target, guider, base = pico("qwen2", 1), pico("llama", 2), pico("llama", 3)
    two = ThinkLogitForCausalLM.from_members(target, [(guider, base, first), (guider, base, second)], warmup_tokens=0)
    one = ThinkLogitForCausalLM.from_members(target, [(guider, base, first + second)], warmup_tokens=0)
    torch.testing.assert_close(logits_of(two), logits_of(one), atol=1e-3, rtol=1e-4)


def test_order_of_guiders_does_not_matter():
    target, pairs = (
        pico("qwen2", 1),
        [(pico("llama", 2), pico("llama", 3), 0.7), (pico("qwen2", 4), pico("qwen2", 5), 0.4)],
    )
    there = ThinkLogitForCausalLM.from_members(target, pairs, warmup_tokens=0)
    back = ThinkLogitForCausalLM.from_members(target, pairs[::-1], warmup_tokens=0)
    assert continuation(there) == continuation(back)
    assert continuation(there)[0] == greedy(target, pairs, PROMPT[0].tolist(), NEW)


@given(
    batch=st.integers(1, 3),
    vocab=st.integers(2, 40),
    extra=st.integers(0, 5),
    shifts=st.tuples(*[st.floats(-50, 50)] * 3),
    alpha=st.floats(-2, 2),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_a_constant_added_to_any_member_changes_no_probability(batch, vocab, extra, shifts, alpha, seed):
    """Also where the target has more rows than the others: rows no tokenizer backs must not soak up the shift."""
    torch.manual_seed(seed)
    target = torch.randn(batch, vocab + extra)
    guider, base = torch.randn(2, batch, vocab)
    backed = torch.arange(vocab + extra) < vocab
    alphas = torch.full((batch, 1), alpha)
    plain = fuse(target, [MemberLogits(guider, base)], alphas, backed)
    shifted = fuse(target + shifts[0], [MemberLogits(guider + shifts[1], base + shifts[2])], alphas, backed)
    torch.testing.assert_close(plain.softmax(-1), shifted.softmax(-1), atol=1e-4, rtol=0)


@given(seed=st.integers(0, 2**31), shift=st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_a_shift_of_the_guider_moves_no_row_that_it_does_not_share(seed, shift):
    torch.manual_seed(seed)
    target, guider, base = torch.randn(3, 2, 11)
    shared = torch.rand(11) < 0.7
    shared[0] = True
    alphas = torch.ones(2, 1)
    plain = fuse(target, [MemberLogits(guider, base, shared)], alphas)
    shifted = fuse(target, [MemberLogits(guider + shift, base, shared)], alphas)
    torch.testing.assert_close(plain, shifted, atol=1e-4, rtol=0)
    assert torch.equal(plain[:, ~shared], target[:, ~shared])


@given(seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_permuted_vocabulary_gives_permuted_results(seed):
    torch.manual_seed(seed)
    target, guider, base = torch.randn(3, 2, 13)
    order = torch.randperm(13)
    backed = torch.rand(13) < 0.9
    alphas = torch.rand(2, 1)
    plain = fuse(target, [MemberLogits(guider, base)], alphas, backed)
    permuted = fuse(target[:, order], [MemberLogits(guider[:, order], base[:, order])], alphas, backed[order])
    assert torch.equal(plain[:, order], permuted)


def test_sharing_every_row_is_bitwise_sharing_none_left_out():
    target, guider, base = torch.randn(3, 2, 13)
    alphas = torch.rand(2, 1)
    everything = torch.ones(13, dtype=torch.bool)
    alike = fuse(target, [MemberLogits(guider, base, None)], alphas, everything)
    assert torch.equal(alike, fuse(target, [MemberLogits(guider, base, None)], alphas))


def test_batch_and_left_padding_and_row_order_change_nothing(trio):
    prompts = [[3, 14, 15, 9, 26, 5], [8, 9], [31, 41, 5, 9]]
    alone = [greedy(trio.target, pairs_of(trio), prompt, NEW) for prompt in prompts]
    for order in ([0, 1, 2], [2, 0, 1]):
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompts[i])) + prompts[i] for i in order])
        mask = torch.tensor([[0] * (longest - len(prompts[i])) + [1] * len(prompts[i]) for i in order])
        assert continuation(trio, ids, attention_mask=mask) == [alone[i] for i in order]


@pytest.mark.parametrize("warmup_tokens", [0, 5])
@pytest.mark.parametrize(
    "how",
    [
        {"use_cache": False},
        {"prefill_chunk_size": 2},
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 3},
    ],
    ids=str,
)
def test_how_it_is_decoded_changes_nothing(trio, how, warmup_tokens):
    expected = greedy(trio.target, pairs_of(trio), PROMPT[0].tolist(), NEW, warmup_tokens)
    assert continuation(trio, warmup_tokens=warmup_tokens, **how)[0] == expected


def test_the_alpha_given_is_the_alpha_used_row_by_row(trio):
    alphas, warmups = [0.0, 0.5, 1.0, 1.5], [0, 3, 0, 7]
    got = continuation(trio, PROMPT.expand(4, -1), alpha=alphas, warmup_tokens=warmups)
    expected = [
        greedy(trio.target, pairs_of(trio, alpha), PROMPT[0].tolist(), NEW, warmup)
        for alpha, warmup in zip(alphas, warmups, strict=True)
    ]
    assert got == expected
    assert len({tuple(row) for row in got}) == 4


def test_rows_that_no_tokenizer_backs_never_win():
    trio = pico_trio(backed_ranges=[[0, 40], [50, 55]])
    assert logits_of(trio)[..., 40:50].max() == -torch.inf
    assert logits_of(trio)[..., 55:].max() == -torch.inf
    chosen = {token for row in continuation(trio, torch.randint(0, VOCAB, (8, 4))) for token in row}
    assert all(token < 40 or 50 <= token < 55 for token in chosen)
