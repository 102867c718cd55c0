"""The engine on a server, against a fake one: what is sent, what comes back, what a user is told."""

import asyncio
import threading

import pytest
from fake_server import serving, words

from thinklogit.core.errors import OptionError, ServerError
from thinklogit.core.params import SamplingParams
from thinklogit.core.seeds import derive_seed
from thinklogit.decode import server
from thinklogit.decode.engine import Engine
from thinklogit.decode.server import ServerEngine

CHAT = [{"role": "user", "content": "hi"}]
OPENED = [*CHAT, {"role": "assistant", "content": "Let me"}]


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch):
    monkeypatch.setattr(server, "MAX_RETRIES", 0)


@pytest.fixture
def fake():
    with serving(reply=words, context=1000) as (fake, url):
        fake.url = url
        yield fake


def asked(fake, prompt, **params):
    """What the server was sent."""
    ServerEngine(fake.url).generate([prompt], SamplingParams(**params))
    return fake.requests[-1]


# What is sent


def test_a_request_holds_all_settings_and_the_seed_of_any_engine(fake):
    found = asked(fake, CHAT, max_new_tokens=9, temperature=0.6, top_p=0.9, top_k=5, seed=3, stop=("Human",))
    assert found == {
        "model": "mini", "messages": CHAT, "max_tokens": 9, "temperature": 0.6, "top_p": 0.9, "top_k": 5,
        "seed": derive_seed(3, CHAT, 0), "stop": ["Human"], "repetition_penalty": 1.0, "min_p": 0.0,
    }  # fmt: skip
    found = asked(fake, "hi", logprobs=True)
    assert found == {
        "model": "mini", "prompt": "hi", "max_tokens": 256, "temperature": 0.0, "top_p": 1.0, "top_k": 0,
        "seed": derive_seed(0, "hi", 0), "repetition_penalty": 1.0, "min_p": 0.0, "logprobs": 0,
    }  # fmt: skip
    assert fake.paths == ["/v1/chat/completions", "/v1/completions"]
    assert asked(fake, CHAT, logprobs=True)["logprobs"] is True


@pytest.mark.parametrize(
    ("params", "guidance"),
    [
        ({}, None),
        ({"alpha": 0.0}, {"alpha": 0.0}),
        ({"warmup_tokens": 7}, {"warmup_tokens": 7}),
        ({"alpha": -0.5, "warmup_tokens": 0}, {"alpha": -0.5, "warmup_tokens": 0}),
        ({"mode": "target"}, {"alpha": 0.0}),
    ],
)
def test_guidance_goes_along_where_it_is_given(fake, params, guidance):
    assert asked(fake, CHAT, **params).get("vllm_xargs") == guidance


def test_an_opened_answer_is_gone_on_from(fake):
    found = asked(fake, OPENED)
    assert (found["continue_final_message"], found["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in asked(fake, CHAT)


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"mode": "base"}, "guided or target; got mode base: serve that member"),
        ({"speculate": "4"}, "leave out --speculate"),
        ({"max_repeats": 10}, "add --max-repeats 0"),
    ],
)
def test_what_no_server_does_is_refused_before_anything_is_asked(fake, params, told):
    engine, params = ServerEngine(fake.url), SamplingParams(**params)
    with pytest.raises(OptionError, match=told):
        engine.generate([CHAT], params)
    with pytest.raises(OptionError, match=told):
        next(engine.stream(CHAT, params))
    assert fake.requests == []


# What comes back


def test_completions_come_in_order_with_the_seeds_they_were_made_with(fake):
    engine = ServerEngine(fake.url)
    assert isinstance(engine, Engine)
    found = engine.generate(["a", CHAT], [SamplingParams(n=2, seed=5), SamplingParams(max_new_tokens=2)])
    seeds = [derive_seed(5, "a", 0), derive_seed(5, "a", 1), derive_seed(0, CHAT, 0)]
    texts = [f"answer to a {seeds[0]}", f"answer to a {seeds[1]}", "answer to"]
    assert [(one.seed, one.text) for one in found] == list(zip(seeds, texts, strict=True))
    assert [(one.index, one.new_tokens, one.finish_reason) for one in found] == [
        (0, 4, "stop"),
        (1, 4, "stop"),
        (0, 2, "length"),
    ]
    assert [one.logprobs for one in found] == [None] * 3
    assert found[2].settings == {
        "server": fake.url, "model": "mini", "max_new_tokens": 2, "temperature": 0.0, "top_p": 1.0, "top_k": 0,
        "seed": 0, "mode": "guided",
    }  # fmt: skip


@pytest.mark.parametrize("prompt", ["hi", CHAT])
def test_log_probabilities_of_every_token(fake, prompt):
    engine, params = ServerEngine(fake.url), SamplingParams(logprobs=True, max_new_tokens=3)
    assert engine.generate([prompt], params)[0].logprobs == [-0.5] * 3
    fake.spoil = lambda choice: choice.update(logprobs=None)
    with pytest.raises(ServerError, match="gives no log-probabilities; leave out --logprobs"):
        engine.generate([prompt], params)


def test_each_is_handed_over_as_it_ends_and_few_are_under_way(fake):
    others_are_done, seen = threading.Event(), []

    def reply(question, seed):
        assert question != "0" or others_are_done.wait(20)
        return "said"

    def on_finish(index, completion):
        seen.append(index)
        if len(seen) == 5:
            others_are_done.set()

    fake.reply = reply
    ServerEngine(fake.url, batch_size=2).generate([str(number) for number in range(6)], SamplingParams(), on_finish)
    assert seen == [1, 2, 3, 4, 5, 0]
    assert fake.most_under_way == 2


@pytest.mark.parametrize("prompt", ["hi", CHAT])
def test_a_stream_brings_the_same_in_pieces(fake, prompt):
    engine, params = ServerEngine(fake.url), SamplingParams(seed=4, alpha=0.5)
    pieces = list(engine.stream(prompt, params))
    assert len(pieces) == 4
    assert "".join(pieces) == engine.generate([prompt], params)[0].text
    streamed, whole = fake.requests
    assert streamed == whole | {"stream": True}


def test_in_a_notebook_which_has_a_loop_of_its_own(fake):
    async def cell():
        return ServerEngine(fake.url).generate(["a"], SamplingParams(max_new_tokens=1))[0].text

    assert asyncio.run(cell()) == "answer"


def test_what_is_left_open_is_greedy_and_half_the_context(fake):
    given = {"temperature": None, "alpha": None, "seed": 3, "mode": "guided", "speculate": "auto"}
    assert ServerEngine(fake.url).params(given) == SamplingParams(max_new_tokens=500, seed=3, speculate="auto")
    fake.context = None
    assert ServerEngine(fake.url).params({}) == SamplingParams()
    with pytest.raises(OptionError, match="leave out --speculate"):
        ServerEngine(fake.url).params({"speculate": "off"})


def test_settings_do_not_tell_of_speculation_which_is_the_servers():
    with serving() as (_, url):
        engine = ServerEngine(url)
        drafted, plain = (SamplingParams(temperature=1.0, speculate=how) for how in ("auto", "off"))
        assert engine.settings(drafted) == engine.settings(plain)


# What a user is told


def test_no_server_is_there():
    with pytest.raises(ServerError, match=r"^http://127.0.0.1:9/v1: no server answers; start it, or give another"):
        ServerEngine("http://127.0.0.1:9/v1")


def test_models_that_are_not_served_or_not_named(fake):
    fake.models = ("mini", "maxi")
    assert ServerEngine(fake.url, "maxi").model == "maxi"
    with pytest.raises(OptionError, match="unknown model 'mini2'; did you mean 'mini'"):
        ServerEngine(fake.url, "mini2")
    with pytest.raises(OptionError, match="serves mini, maxi; name one with --model"):
        ServerEngine(fake.url)


def test_a_web_page_is_no_server(fake, monkeypatch):
    fake.listed = lambda: "a page"
    with pytest.raises(ServerError, match="expected an OpenAI-compatible server; GET models gave no list"):
        ServerEngine(fake.url)


def test_a_refusal_is_told_in_the_servers_words_with_its_prompt(fake):
    engine, fake.status = ServerEngine(fake.url, batch_size=1), 400
    with pytest.raises(ServerError, match=r"/v1: status 400: out of order$") as refused:
        engine.generate(["a"], SamplingParams())
    assert refused.value.prompt_index == 0
    fake.status = 503
    with pytest.raises(ServerError, match=r"/v1: status 503: out of order$") as refused:
        engine.generate(["a"], SamplingParams())
    assert refused.value.prompt_index is None


def test_what_ended_before_a_server_died_was_handed_over(fake):
    engine, fake.dies_after, seen = ServerEngine(fake.url, batch_size=1), 2, []
    with pytest.raises(ServerError, match="the server answers no more; start it again"):
        engine.generate(["a", "b", "c"], SamplingParams(), lambda index, completion: seen.append(completion.prompt))
    assert seen == ["a", "b"]


def cut(fake):
    fake.cut_after = 2


def without_an_end(fake):
    fake.spoil = lambda choice: choice.update(finish_reason=None)


@pytest.mark.parametrize("broken", [cut, without_an_end])
def test_a_stream_that_breaks_off_is_no_answer(fake, broken):
    broken(fake)
    pieces = []
    with pytest.raises(ServerError, match="the answer broke off before its end; ask again"):
        pieces.extend(ServerEngine(fake.url).stream(CHAT, SamplingParams()))


def test_an_aborted_answer_is_none(fake):
    fake.spoil = lambda choice: choice.update(finish_reason="abort")
    with pytest.raises(ServerError, match=r"broke off before its end; ask again \(abort\)"):
        ServerEngine(fake.url).generate(["a"], SamplingParams())


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_a_server_that_takes_the_reasoning_out_is_refused(fake, field):
    """vLLM's --reasoning-parser leaves in an answer's content only what follows the thinking.

    Taken for the whole completion, that would have lost the very text that guidance is for.
    """
    fake.spoil = lambda choice: choice["message"].update({field: "Let me think."})
    with pytest.raises(ServerError, match="start it without --reasoning-parser, or use --raw"):
        ServerEngine(fake.url).generate([CHAT], SamplingParams())
    with pytest.raises(ServerError, match="start it without --reasoning-parser, or use --raw"):
        list(ServerEngine(fake.url).stream(CHAT, SamplingParams()))
