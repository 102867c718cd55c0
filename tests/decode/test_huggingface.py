import pytest
import torch
from conftest import number_tokenizer, pico_trio
from oracle import greedy

from thinklogit.core.errors import ContextError
from thinklogit.core.params import SamplingParams
from thinklogit.decode.huggingface import HuggingFaceEngine

PROMPTS = ["8 5 12 12 15", "1 12 15 14 7 5 18 16 18 15 13", "24", "1 14 15 20 8 5 18", "13 9 4 4 12 9"]


@pytest.fixture
def trio():
    trio = pico_trio()
    trio.generation_config.eos_token_id = [5, 7]
    return trio


def engine(trio, **kwargs):
    return HuggingFaceEngine(trio, number_tokenizer(), **kwargs)


def ids_of(prompt):
    return [int(number) for number in prompt.split()]


@pytest.mark.parametrize("warmup_tokens", [0, 4])
def test_greedy_is_the_hand_written_loop(trio, warmup_tokens):
    trio.generation_config.eos_token_id = None
    pairs = [(trio.guiders[0].guider, trio.guiders[0].base, 1.0)]
    got = engine(trio).generate(PROMPTS, SamplingParams(max_new_tokens=12, warmup_tokens=warmup_tokens))
    for prompt, completion in zip(PROMPTS, got, strict=True):
        expected = greedy(trio.target, pairs, ids_of(prompt), 12, warmup_tokens)
        assert completion.text == " ".join(map(str, expected))


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_completions_do_not_depend_on_what_is_decoded_beside_them(trio, batch_size):
    """Rows end at different tokens here, so batches shrink while others go on."""
    params = SamplingParams(max_new_tokens=20, temperature=0.8, top_p=0.9, n=2, seed=1, warmup_tokens=3)
    together = engine(trio, batch_size=batch_size).generate(PROMPTS[::-1], params)
    alone = [c for prompt in PROMPTS[::-1] for c in engine(trio).generate([prompt], params)]
    assert together == alone
    assert len({c.new_tokens for c in together}) > 3
    assert {c.finish_reason for c in together} == {"stop", "length"}
    assert [c.prompt for c in together[::2]] == PROMPTS[::-1]


def test_each_row_has_its_own_settings(trio):
    trio.generation_config.eos_token_id = None
    settings = [
        SamplingParams(max_new_tokens=6, alpha=0.0),
        SamplingParams(max_new_tokens=9, alpha=1.5),
        SamplingParams(max_new_tokens=7, temperature=1.0, seed=3),
        SamplingParams(max_new_tokens=5, mode="target"),
        SamplingParams(max_new_tokens=5, mode="guider"),
        SamplingParams(max_new_tokens=5, mode="base"),
    ]
    got = engine(trio).generate(["19 1 13 5"] * 6, settings)
    pair = (trio.guiders[0].guider, trio.guiders[0].base)
    prompt = ids_of("19 1 13 5")
    expected = [
        greedy(trio.target, [], prompt, 6),
        greedy(trio.target, [(*pair, 1.5)], prompt, 9),
        None,
        greedy(trio.target, [], prompt, 5),
        greedy(pair[0], [], prompt, 5),
        greedy(pair[1], [], prompt, 5),
    ]
    for completion, ids in zip(got, expected, strict=True):
        assert ids is None or completion.text == " ".join(map(str, ids))
    assert got[2] == engine(trio).generate(["19 1 13 5"], settings[2])[0]
    assert got[1].settings["alpha"] == 1.5


def test_a_member_alone_runs_alone(trio):
    trio.target.register_forward_hook(lambda *_: pytest.fail("the target ran"))
    assert engine(trio).generate(["24"], SamplingParams(max_new_tokens=3, mode="guider"))[0].new_tokens


def test_a_member_alone_ends_at_its_own_end_token(trio):
    free = engine(trio).generate(["24"], SamplingParams(max_new_tokens=20, mode="guider"))[0].text.split()
    trio.guiders[0].guider.generation_config.eos_token_id = int(free[4])
    ended = engine(trio).generate(["24"], SamplingParams(max_new_tokens=20, mode="guider"))[0]
    assert (ended.finish_reason, ended.new_tokens) == ("stop", free.index(free[4]) + 1)


def test_the_completions_of_a_prompt_differ_and_the_same_seed_repeats_them(trio):
    params = SamplingParams(max_new_tokens=10, temperature=1.0, n=6)
    first = [c.text for c in engine(trio).generate(["24"], params)]
    assert len(set(first)) > 3
    assert first == [c.text for c in engine(trio).generate(["24"], params)]
    assert first != [c.text for c in engine(trio).generate(["24"], SamplingParams(**{**params.__dict__, "seed": 1}))]


def test_finished_completions_are_handed_over_as_they_end(trio):
    seen = []
    params = SamplingParams(max_new_tokens=20, temperature=0.8, n=2)
    got = engine(trio, batch_size=4).generate(PROMPTS, params, on_finish=lambda i, c: seen.append((i, c.index, c)))
    assert len(seen) == 10
    assert [c for _, _, c in sorted(seen, key=lambda each: each[:2])] == got


def test_streaming_gives_the_same_text_in_pieces(trio):
    trio.generation_config.eos_token_id = None
    params = SamplingParams(max_new_tokens=15, temperature=0.8, seed=4)
    pieces = list(engine(trio).stream("8 5 12 12 15", params))
    assert len(pieces) > 5
    assert "".join(pieces) == engine(trio).generate(["8 5 12 12 15"], params)[0].text


def test_a_request_beyond_the_context_is_refused_unless_asked_for(trio):
    long = SamplingParams(max_new_tokens=200)
    with pytest.raises(
        ContextError, match=r"5 tokens and 200 new ones .* context of the target holds 128: .* at most 123"
    ):
        engine(trio).generate(["8 5 12 12 15"], long)
    short = SamplingParams(max_new_tokens=3)
    assert engine(trio, allow_past_context=True).generate(["8 5 12 12 15"], short)[0].new_tokens == 3
    with pytest.raises(ContextError):
        engine(trio, allow_past_context=True).generate(["24 " * 128], short)


def test_gradients_are_not_kept(trio):
    trio.generate = None
    assert engine(trio).generate(["24"], SamplingParams(max_new_tokens=2))
    assert all(p.grad is None for p in trio.parameters())
    assert torch.is_grad_enabled()


def test_rows_join_those_that_are_on_the_way_in_warm_up_or_past_it(trio):
    """Long and short prompts, guided and not, with different warm-ups, two at a time: each joins others midway."""
    params = [
        SamplingParams(max_new_tokens=length, temperature=0.8, warmup_tokens=warmup, alpha=alpha, seed=seed)
        for seed, (length, warmup, alpha) in enumerate(
            [(3, 0, 1.0), (14, 8, 1.0), (6, 40, 1.0), (11, 2, 0.5), (5, 0, 0.0), (9, 40, 1.0), (12, 3, 1.5)]
        )
    ]
    prompts = [PROMPTS[i % len(PROMPTS)] for i in range(len(params))]
    together = engine(trio, batch_size=2).generate(prompts, params)
    alone = [engine(trio).generate([prompt], each)[0] for prompt, each in zip(prompts, params, strict=True)]
    assert together == alone


def test_rows_do_not_join_a_cache_that_forgets(trio, monkeypatch):
    monkeypatch.setattr("thinklogit.decode.batch.can_join", lambda cache: False)
    monkeypatch.setattr("thinklogit.decode.batch.join_rows", lambda *_: pytest.fail("rows joined"))
    params = SamplingParams(max_new_tokens=8, temperature=0.8)
    got = engine(trio, batch_size=2).generate(PROMPTS, params)
    assert got == [engine(trio).generate([prompt], params)[0] for prompt in PROMPTS]


def test_a_completion_ends_before_a_stop_text(trio):
    trio.generation_config.eos_token_id = None
    free = engine(trio).generate(["24"], SamplingParams(max_new_tokens=20))[0].text.split()
    stop = f"{free[7]} {free[8]}"
    params = SamplingParams(max_new_tokens=20, stop=("not there", stop))
    (ended,) = engine(trio).generate(["24"], params)
    assert ended.text == " ".join(free).split(stop)[0]
    assert (ended.finish_reason, ended.settings["stop"]) == ("stop", ["not there", stop])
    assert "".join(engine(trio).stream("24", params)) == ended.text


def test_a_completion_ends_at_equal_tokens_in_a_row(trio):
    trio.generation_config.eos_token_id = None
    with torch.no_grad():
        trio.target.lm_head.weight.zero_()  # every logit is 0: token 0 for ever
    (ended,) = engine(trio).generate(["24"], SamplingParams(max_new_tokens=20, alpha=0.0, max_repeats=4))
    assert (ended.new_tokens, ended.finish_reason) == (4, "stop")
