"""`thinklogit serve` through the real client: many at once, what clients ask for, what they get wrong, and the end."""

import asyncio
import json
import signal

import httpx
import pytest
from openai import AsyncOpenAI, BadRequestError
from served import reference
from serving import Server

import thinklogit
from thinklogit.mini.world import problems

GUIDANCE = [{"alpha": alpha, "warmup_tokens": warmup} for alpha in (0.0, 0.5, 1.0, 1.5) for warmup in (0, 8)]
NEW_TOKENS = 64
QUESTIONS = [each.question for each in problems("dev", kind="search")[:24]]


def chat(server, question=QUESTIONS[0], guidance=None, **asked):
    return server.chat(question, guidance, **{"temperature": 0, "max_tokens": NEW_TOKENS} | asked)


@pytest.fixture(scope="module")
def server():
    served = Server("--max-num-seqs", "32")
    yield served
    served.end()


@pytest.fixture(scope="module")
def texts():
    """What the composite in float32 answers, by question and guidance."""
    model, tokenizer = thinklogit.load("mini")
    chats = [[{"role": "user", "content": question}] for question in QUESTIONS]
    prompts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]
    found = reference(model, prompts, GUIDANCE, NEW_TOKENS)
    return [tokenizer.decode(ids, skip_special_tokens=True) for ids in found]


async def asked_at_once(base_url, in_flight, count, cancelled=lambda number: False):
    """Answers to the cases in turn; None where the client went away after the first piece."""
    room = asyncio.Semaphore(in_flight)

    async def ask(client, number):
        question, guidance = divmod(number % (len(QUESTIONS) * len(GUIDANCE)), len(GUIDANCE))
        async with room:
            stream = await client.chat.completions.create(
                model="mini",
                temperature=0,
                max_tokens=NEW_TOKENS,
                stream=True,
                messages=[{"role": "user", "content": QUESTIONS[question]}],
                extra_body={"vllm_xargs": GUIDANCE[guidance]},
            )
            text = ""
            async for piece in stream:
                text += piece.choices[0].delta.content or ""
                if text and cancelled(number):
                    await stream.close()
                    return None
            return text

    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        return await asyncio.gather(*(ask(client, number) for number in range(count)))


def test_greedy_text_is_the_composites(server, texts):
    assert asyncio.run(asked_at_once(server.base_url, 24, len(texts))) == texts


def test_no_answer_is_lost_or_mixed(server, texts):
    """Five hundred, 32 in flight, of which every tenth client goes away; and again until memory is level."""

    def gone(number):
        return number % 10 == 3

    growths = []
    for _ in range(6):
        before = server.memory_bytes()
        found = asyncio.run(asked_at_once(server.base_url, 32, 500, gone))
        assert found == [None if gone(number) else texts[number % len(texts)] for number in range(500)]
        growths.append(server.memory_bytes() / before - 1)
        if growths[-1] < 0.005:  # what is kept of each request would add as much every time
            return
    raise AssertionError(f"memory grew by {growths} in each 500 requests")


def test_what_clients_ask_for(server, texts):
    whole = chat(server, guidance=GUIDANCE[4]).choices[0]
    assert whole.message.content == texts[4]
    assert chat(server, guidance={"guided": False}).choices[0].message.content == texts[0]
    assert chat(server, guidance={"schedule": "constant", "alpha": 1.0}).choices[0].message.content == texts[4]
    stopped = chat(server, guidance=GUIDANCE[4], stop=["think"]).choices[0]
    assert (stopped.finish_reason, stopped.message.content) == ("stop", texts[4].partition("think")[0])
    several = [chat(server, n=3, temperature=1.5, seed=7) for _ in range(2)]
    contents = [[choice.message.content for choice in each.choices] for each in several]
    assert contents[0] == contents[1]
    assert len(set(contents[0])) == 3
    told = chat(server, guidance=GUIDANCE[4], logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(token.token for token in told).startswith(texts[4])
    assert all(token.logprob == token.top_logprobs[0].logprob for token in told)


def test_raw_completions(server):
    model, tokenizer = thinklogit.load("mini")
    ids = tokenizer(QUESTIONS[0])["input_ids"]
    (expected,) = reference(model, [ids], [{"alpha": 0.5, "warmup_tokens": 2}], 12)
    found = server.client.completions.create(
        model="mini",
        prompt=QUESTIONS[0],
        max_tokens=12,
        temperature=0,
        logprobs=0,
        extra_body={"vllm_xargs": {"alpha": 0.5, "warmup_tokens": 2}},
    )
    assert found.choices[0].text == tokenizer.decode(expected, skip_special_tokens=True)
    assert len(found.choices[0].logprobs.token_logprobs) == len(expected)


def test_an_answer_held_to_a_schema(server):
    count = {"enum": list(range(10))}
    schema = {"type": "object", "properties": {"pens": count, "cups": count}, "required": ["pens", "cups"]}
    wanted = {
        "type": "json_schema",
        "json_schema": {"name": "counts", "schema": schema | {"additionalProperties": False}},
    }
    found = chat(server, response_format=wanted, max_tokens=200)
    counts = json.loads(found.choices[0].message.content)
    assert set(counts) == {"pens", "cups"}
    assert all(value in range(10) for value in counts.values())


@pytest.mark.parametrize(
    ("guidance", "told"),
    [
        ({"alpha": "x"}, "alpha must be a number from -100 to 100, such as 1.0; got 'x'"),
        ({"alpha": 1e9}, "alpha must be a number from -100 to 100, such as 1.0; got 1000000000.0"),
        ({"alpha": [1.0, 2.0]}, "alpha must be one number or one for each of 1 guiders; got 2"),
        ({"warmup_tokens": -1}, "warmup_tokens must be a whole number of tokens, 0 or more; got -1"),
        ({"warmup_tokens": 1.5}, "warmup_tokens must be a whole number of tokens, 0 or more; got 1.5"),
        ({"schedule": "cosine"}, "unknown schedule 'cosine'; known: constant, warmup"),
        ({"schedule": "constant", "warmup_tokens": 3}, "schedule 'constant' has no warm-up, got warmup_tokens=3"),
        ({"guided": "perhaps"}, "guided must be true or false; got perhaps"),
        ({"guided": False, "alpha": 1.0}, "guided is off, where alpha, warmup_tokens and schedule mean nothing"),
        ({"aplha": 1.0}, "unknown extra argument 'aplha'; did you mean 'alpha'?"),
    ],
)
def test_bad_extras_are_refused_by_name(server, texts, guidance, told):
    with pytest.raises(BadRequestError) as refused:
        chat(server, guidance=guidance)
    assert told in refused.value.message
    assert chat(server, guidance=GUIDANCE[4]).choices[0].message.content == texts[4]


def test_not_a_number(server):
    """The client's own JSON has no NaN; other clients' has."""
    body = '{"model": "mini", "prompt": "a", "vllm_xargs": {"alpha": NaN}}'
    found = httpx.post(f"{server.base_url}/completions", content=body, headers={"Content-Type": "application/json"})
    assert found.status_code == 400
    assert "alpha must be a number from -100 to 100" in found.text


def test_prompt_logprobs_are_of_the_servers_guidance(server):
    with pytest.raises(BadRequestError, match="prompt_logprobs are of the server's own guidance"):
        server.client.completions.create(
            model="mini", prompt="a", extra_body={"prompt_logprobs": 1, "vllm_xargs": {"alpha": 0.5}}
        )


def test_a_server_of_its_own_defaults_that_drains(texts):
    """SIGTERM while eight answers are under way: all of them arrive whole, then the server is gone."""
    server = Server("--alpha", "0.5", "--warmup-tokens", "8", "--speculate", "4", "--max-num-seqs", "8")

    async def ask_and_stop():
        asking = asyncio.create_task(asked_long(server.base_url, 8))
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        return await asking

    assert chat(server).choices[0].message.content == texts[3]
    with pytest.raises(BadRequestError, match="under speculation this release of vLLM draws wrongly on a CPU"):
        chat(server, temperature=0.6)
    lengths = asyncio.run(ask_and_stop())
    assert lengths == [400] * 8
    assert server.process.wait(60) == 0


async def asked_long(base_url, count):
    asked = {"model": "mini", "max_tokens": 400, "temperature": 0, "extra_body": {"ignore_eos": True}}
    async with AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        asking = [client.completions.create(prompt=text, **asked) for text in QUESTIONS[:count]]
        found = await asyncio.gather(*asking)
    return [each.usage.completion_tokens for each in found]
