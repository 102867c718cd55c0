"""Speculative decoding is plain decoding: the same tokens greedily, the same law sampled."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from conftest import number_tokenizer, pico, pico_trio
from scipy.stats import chisquare

from thinklogit.core.errors import OptionError
from thinklogit.core.params import SamplingParams
from thinklogit.core.sampling import probabilities
from thinklogit.decode import speculative
from thinklogit.decode.drafting import LONGEST, Drafting, Pace, expected_tokens
from thinklogit.decode.huggingface import HuggingFaceEngine
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM

PROMPTS = ["8 5 12 12 15", "1 12 15 14 7 5 18 16 18 15 13", "24", "1 14 15 20 8 5 18", "13 9 4 4 12 9"]
LENGTHS = (*range(1, 13), LONGEST)


def near_trio(warmup_tokens=0):
    """A trio whose guider often drafts what is taken: target and base are light changes of it."""
    guider, target, base = (pico("llama", 2) for _ in range(3))
    torch.manual_seed(9)
    with torch.no_grad():
        for member, far in ((target, 0.04), (base, 0.03)):
            for weight in member.parameters():
                weight.add_(torch.randn_like(weight), alpha=far * 0.5)
    trio = ThinkLogitForCausalLM.from_members(target, [Guider(guider, base, 1.0)], warmup_tokens=warmup_tokens)
    trio.generation_config.eos_token_id = [5, 7]
    return trio


def engine(trio, speculate="off", **kwargs):
    return Drafted(trio, speculate, **kwargs)


class Drafted(HuggingFaceEngine):
    """An engine whose every request is drafted in the same way."""

    def __init__(self, trio, speculate, tokenizer=None, **kwargs):
        super().__init__(trio, tokenizer or number_tokenizer(), **kwargs)
        self.speculate = speculate

    def rows(self, prompt, params, index=0):
        return super().rows(prompt, replace(params, speculate=self.speculate), index)

    @property
    def counts(self):
        return self.drafting[self.speculate].counts


def texts(trio, params, speculate="off", prompts=PROMPTS, **kwargs):
    made = engine(trio, speculate, **kwargs).generate(prompts, params)
    return [(each.text, each.new_tokens, each.finish_reason) for each in made]


@pytest.fixture(scope="module")
def greedy():
    """Trios with their settings, the texts that plain decoding gives, and batch sizes to draft them in."""
    cases = ((near_trio(), 0, (1, 32)), (near_trio(), 6, (2,)), (pico_trio(), 1, (3,)))
    settings = [SamplingParams(max_new_tokens=16, warmup_tokens=warmup) for _, warmup, _ in cases]
    return [(trio, each, texts(trio, each), sizes) for (trio, _, sizes), each in zip(cases, settings, strict=True)]


@pytest.mark.parametrize("length", LENGTHS)
def test_greedy_is_plain_greedy_for_every_draft_length(length, greedy):
    for trio, params, plain, batch_sizes in greedy:
        for batch_size in batch_sizes:
            assert texts(trio, params, length, batch_size=batch_size) == plain


def test_the_drafts_of_these_tests_stand_sometimes():
    drafting = engine(near_trio(), 6)
    drafting.generate(PROMPTS, SamplingParams(max_new_tokens=40, warmup_tokens=0))
    assert 0.3 < drafting.counts.rate < 0.97
    assert len(drafting.counts.histogram) > 4


@pytest.mark.parametrize("length", [1, 5, 12])
def test_drafts_that_always_stand(length):
    """Target and base alike: fused is the guider, whatever alpha 1 is added to."""
    guider, base = pico("llama", 2), pico("llama", 3)
    trio = ThinkLogitForCausalLM.from_members(base, [Guider(guider, base, 1.0)], warmup_tokens=0)
    params = SamplingParams(max_new_tokens=30)
    always = engine(trio, length)
    assert [c.text for c in always.generate(PROMPTS, params)] == [
        c.text for c in engine(trio).generate(PROMPTS, params)
    ]
    assert always.counts.rate == 1
    assert always.counts.mean_accepted_length > 0.9 * min(length + 1, 29 / (29 // (length + 1) + 1))


@pytest.mark.parametrize("length", [1, 5, 12])
def test_drafts_that_never_stand(length):
    """The guider takes the least likely token of the target's for the likeliest."""
    target, guider = pico("llama", 2), pico("llama", 2)
    with torch.no_grad():
        guider.lm_head.weight.neg_()
    trio = ThinkLogitForCausalLM.from_members(target, [Guider(guider, guider, 1.0)], warmup_tokens=0)
    params = SamplingParams(max_new_tokens=12)
    never = engine(trio, length)
    assert [c.text for c in never.generate(PROMPTS, params)] == [c.text for c in engine(trio).generate(PROMPTS, params)]
    assert never.counts.rate == 0


@pytest.fixture(scope="module")
def sampled():
    """A trio, settings, and the texts that drafts of one token give, one row at a time."""
    params = SamplingParams(max_new_tokens=24, temperature=0.9, top_p=0.9, n=2, seed=3, warmup_tokens=4)
    trio = near_trio()
    return trio, params, texts(trio, params, 1, batch_size=1)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_sampled_text_depends_on_its_seed_alone(batch_size, sampled):
    """Not on how many tokens are drafted, nor on what is beside it: each place has its own draft and its own test."""
    trio, params, one = sampled
    assert len(set(one)) == len(one)
    for length in (2, 7, "auto"):
        assert texts(trio, params, length, batch_size=batch_size) == one


def sequence_law(trio, prompt, new, params):
    """The exact law of every continuation, by enumeration: 5 tokens, `new` of them."""
    law = {(): 1.0}
    with torch.no_grad():
        for length in range(new):
            alpha = 0.0 if length < params.warmup_tokens else params.alpha
            grown = {}
            for sequence, chance in law.items():
                logits = trio(torch.tensor([[*prompt, *sequence]]), alpha=alpha).logits[0, -1]
                probs = probabilities(logits, params.temperature, params.top_k, params.top_p)
                grown |= {(*sequence, token): chance * float(each) for token, each in enumerate(probs)}
            law = grown
    return law


@pytest.mark.parametrize(
    ("length", "sampling"),
    [
        (1, {"temperature": 1.0}),
        pytest.param(3, {"temperature": 0.7, "top_p": 0.8}, marks=pytest.mark.slow),
        pytest.param(1, {"temperature": 1.3, "top_k": 3}, marks=pytest.mark.slow),
        (3, {"temperature": 1.0, "warmup_tokens": 2}),
    ],
    ids=str,
)
def test_the_law_of_sequences_is_exact(sampling, length):
    """8,000 continuations of four tokens over a vocabulary of five, against their 625 exact probabilities."""
    members = [pico("llama", seed, vocab=5) for seed in (1, 2, 3)]
    with torch.no_grad():
        for member in members:
            member.lm_head.weight.mul_(0.5)
    trio = ThinkLogitForCausalLM.from_members(members[0], [Guider(members[1], members[2], 0.7)], warmup_tokens=0)
    params = SamplingParams(**{"max_new_tokens": 4, "n": 8_000, "alpha": 0.7, "warmup_tokens": 0, **sampling})
    law = sequence_law(trio, [3, 1], 4, params)
    decoding = engine(trio, length, tokenizer=number_tokenizer(5), batch_size=8_000)
    seen = Counter(tuple(map(int, c.text.split())) for c in decoding.generate(["3 1"], params))
    assert all(law[sequence] > 0 for sequence in seen)
    common = [sequence for sequence, chance in law.items() if chance * params.n >= 5]
    expected = [law[sequence] * params.n for sequence in common]
    observed = [seen[sequence] for sequence in common]
    rest = params.n - sum(expected)
    if rest > 5:
        expected.append(rest)
        observed.append(params.n - sum(observed))
    else:
        expected = [each * sum(observed) / sum(expected) for each in expected]
    assert chisquare(observed, expected).pvalue > 1e-3
    assert 0.1 < decoding.counts.rate < 0.95


def test_each_row_has_its_own_strength_warm_up_and_settings():
    trio = near_trio()
    params = [
        SamplingParams(max_new_tokens=length, temperature=heat, warmup_tokens=warmup, alpha=alpha, seed=seed)
        for seed, (length, heat, warmup, alpha) in enumerate(
            [(3, 0, 0, 1.0), (19, 0, 8, 1.5), (16, 0.8, 40, 1.0), (11, 0, 2, 0.5), (25, 0, 0, 0.0), (22, 0.9, 3, 1.5)]
        )
    ]
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(params))]
    for batch_size in (2, 32):
        together = engine(trio, 4, batch_size=batch_size).generate(prompts, params)
        assert together == [engine(trio, 7).generate([p], each)[0] for p, each in zip(prompts, params, strict=True)]
        for place in (0, 1, 3, 4):
            assert together[place] == engine(trio).generate([prompts[place]], params[place])[0]


def test_several_guiders_and_the_first_drafts():
    guider = near_trio().guiders[0].guider
    pairs = [Guider(guider, pico("llama", 3), 0.2), Guider(pico("qwen2", 4), pico("qwen2", 5), 0.1)]
    trio = ThinkLogitForCausalLM.from_members(near_trio().target, pairs, warmup_tokens=3)
    params = SamplingParams(max_new_tokens=20)
    assert texts(trio, params, 5) == texts(trio, params)


def test_a_guider_with_more_rows_drafts_what_the_target_can_say():
    """Rows that no tokenizer entry backs."""
    target, guider, base = pico("llama", 1, vocab=61), pico("llama", 2, vocab=64), pico("llama", 3, vocab=63)
    trio = ThinkLogitForCausalLM.from_members(target, [Guider(guider, base, 1.0)], warmup_tokens=0)
    for temperature in (0.0, 1.0):
        params = SamplingParams(max_new_tokens=20, temperature=temperature)
        made = texts(trio, params, 4)
        assert made == texts(trio, params, 1)
    assert texts(trio, SamplingParams(max_new_tokens=20), 4) == texts(trio, SamplingParams(max_new_tokens=20))


def test_a_stop_text_within_a_burst_ends_it_where_it_ends_plain_decoding():
    trio = near_trio()
    trio.generation_config.eos_token_id = None
    free = engine(trio).generate(["24"], SamplingParams(max_new_tokens=24))[0].text.split()
    for place in (3, 9, 16):
        params = SamplingParams(max_new_tokens=24, stop=(f"{free[place]} {free[place + 1]}",))
        assert texts(trio, params, 8) == texts(trio, params)
        assert "".join(engine(trio, 8).stream("24", params)) == engine(trio).generate(["24"], params)[0].text


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_more_tokens_than_asked_for(most):
    trio = near_trio()
    trio.generation_config.eos_token_id = None
    params = SamplingParams(max_new_tokens=most)
    assert texts(trio, params, 12) == texts(trio, params)


def test_equal_tokens_in_a_row_end_a_burst():
    trio = near_trio()
    trio.generation_config.eos_token_id = None
    with torch.no_grad():
        for member in (trio.target, trio.guiders[0].guider):
            member.lm_head.weight.zero_()
    params = SamplingParams(max_new_tokens=20, alpha=0.0, max_repeats=4)
    assert texts(trio, params, 8) == texts(trio, params)


def test_streaming_comes_in_bursts():
    trio = near_trio()
    params = SamplingParams(max_new_tokens=30)
    pieces = list(engine(trio, 6).stream(PROMPTS[0], params))
    assert "".join(pieces) == engine(trio).generate(PROMPTS[:1], params)[0].text
    assert 1 < len(pieces) < 20


def test_holes_in_the_cache_do_not_pile_up(monkeypatch):
    """Rows whose drafts fall leave holes beside rows whose drafts stand; what is compacted goes on as before."""
    compacted = []
    monkeypatch.setattr(
        speculative, "compact", lambda cache, mask, plain=speculative.compact: compacted.append(1) or plain(cache, mask)
    )
    widest = []
    forget = speculative.SpeculativeBatch._forget_fallen

    def watched(batch, *args):
        forget(batch, *args)
        widest.append(batch.mask.shape[1] / int(batch.mask.sum(1).max()))

    monkeypatch.setattr(speculative.SpeculativeBatch, "_forget_fallen", watched)
    trio = near_trio()
    trio.generation_config.eos_token_id = None
    params = SamplingParams(max_new_tokens=80, warmup_tokens=9)
    assert texts(trio, params, 9) == texts(trio, params)
    assert compacted
    assert max(widest) <= 1 + speculative.MOST_HOLES


def test_the_guider_runs_no_second_time_and_the_others_once_a_round():
    trio = near_trio()
    taken = Counter()
    for name in ("target", "guiders.0.guider", "guiders.0.base"):
        trio.member(name).register_forward_hook(
            lambda _, args, kwargs, out, name=name: taken.update(
                {name: kwargs["input_ids"].numel(), f"{name} runs": 1}
            ),
            with_kwargs=True,
        )
    decoding = engine(trio, 4)
    decoding.generate(PROMPTS[:1], SamplingParams(max_new_tokens=30))
    rounds = decoding.counts.rounds.total()
    assert taken["target"] == taken["guiders.0.guider"] == taken["guiders.0.base"]
    assert taken["target runs"] == taken["guiders.0.base runs"] == 1 + rounds


def test_while_alpha_is_0_the_base_sleeps():
    trio = near_trio()
    trio.guiders[0].base.register_forward_hook(lambda *_: pytest.fail("the base ran"))
    params = SamplingParams(max_new_tokens=20, warmup_tokens=100)
    assert texts(trio, params, 5, batch_size=2) == texts(trio, params)


@pytest.mark.parametrize("given", ["0", "-1", "fast", "1.5", ""])
def test_what_is_no_draft_length_is_refused(given):
    with pytest.raises(OptionError, match="speculate must be auto, off or a number of drafted tokens, 1 or more; got"):
        SamplingParams(speculate=given)


def test_completions_say_that_they_were_drafted_where_that_changes_the_draws():
    def told(**settings):
        return "speculate" in SamplingParams(**settings).settings()

    assert told(speculate="auto", temperature=0.6)
    assert not told(speculate="auto")
    assert not told(speculate="off", temperature=0.6)
    assert not told(speculate=4, temperature=0.6, mode="target")


class TestAuto:
    """Against rounds whose cost and acceptance are known."""

    def settles_at(self, rate, first, each, rounds=400):
        torch.manual_seed(0)
        drafting, chosen = Drafting.parse("auto"), []
        for _ in range(rounds):
            length = drafting.length(1)
            stood = int(torch.rand(length).lt(rate).long().cumprod(0).sum())
            drafting.learn(1, length, [stood], (first + each * length) * (0.9 + 0.2 * float(torch.rand(()))))
            chosen.append(length)
        return Counter(chosen[rounds // 2 :]).most_common(1)[0][0]

    @pytest.mark.parametrize(("rate", "first", "each"), [(0.96, 30, 1), (0.7, 30, 1), (0.7, 4, 1), (0.9, 10, 1)])
    def test_it_settles_near_the_fastest_length(self, rate, first, each):
        speeds = [expected_tokens(rate, length) / (first + each * length) for length in range(LONGEST + 1)]
        assert speeds[self.settles_at(rate, first, each)] > 0.95 * max(speeds)

    def test_it_stops_drafting_where_that_does_not_pay(self):
        assert self.settles_at(0.05, 1, 1) == 0

    def test_a_pause_of_somebody_elses_is_not_taken_for_a_cost(self):
        pace = Pace()
        for length in (4, 0, 4, 8, 4, 8):
            pace.add(length, 1.0 + 0.1 * length)
        pace.add(4, 60.0)
        assert pace.of(4) < 1.8


@pytest.mark.parametrize("speculate", ["off", 1, 5])
def test_logprobs_are_of_the_fused_distribution(speculate):
    trio = near_trio(warmup_tokens=4)
    params = SamplingParams(max_new_tokens=20, temperature=0.7, top_p=0.9, logprobs=True)
    for made in engine(trio, speculate, batch_size=3).generate(PROMPTS, params):
        prompt, new = ([int(each) for each in text.split()] for text in (made.prompt, made.text))
        ids = torch.tensor([prompt + new])
        with torch.inference_mode():
            logits = trio(ids, prompt_length=len(prompt)).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(new)[:, None])[:, 0]
        assert made.settings["logprobs"] is True
        torch.testing.assert_close(torch.tensor(made.logprobs[: len(new)]), expected, atol=1e-4, rtol=1e-4)


def test_nobody_pays_for_logprobs_unasked():
    made = engine(near_trio(), 4).generate(PROMPTS[:1], SamplingParams(max_new_tokens=8))
    assert made[0].logprobs is None
    assert "logprobs" not in made[0].settings


def test_no_draft_lies_beyond_what_was_asked_for():
    """What fits the context plainly fits it drafted, beside a row that has more room, too."""
    trio = near_trio()
    trio.generation_config.eos_token_id = None
    seen = []
    for member in (trio.target, trio.guiders[0].guider):
        member.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append(int(kwargs["position_ids"].max())), with_kwargs=True
        )
    asked = [SamplingParams(max_new_tokens=new, warmup_tokens=0) for new in (60, 127)]
    prompts = [" ".join(["24"] * 68), "24"]
    made = engine(trio, 12).generate(prompts, asked)
    assert [each.new_tokens for each in made] == [60, 127]
    assert max(seen) <= 127
    assert texts(trio, asked, prompts=prompts) == [(each.text, each.new_tokens, "length") for each in made]
