from thinklogit.core.params import SamplingParams
from thinklogit.decode.mock import MockEngine


def test_answers_as_told_and_counts_words():
    engine = MockEngine(lambda prompt, seed: f"the answer to {prompt} is 4")
    seen = []
    got = engine.generate(["a", "b"], SamplingParams(max_new_tokens=4, n=2), lambda i, c: seen.append((i, c)))
    assert [c.text for c in got] == ["the answer to a"] * 2 + ["the answer to b"] * 2
    assert {(c.new_tokens, c.finish_reason) for c in got} == {(4, "length")}
    assert [c.index for c in got] == [0, 1, 0, 1]
    assert len({c.seed for c in got}) == 4
    assert [i for i, _ in seen] == [0, 0, 1, 1]


def test_echoes_by_default_and_streams_the_same():
    chat = [{"role": "user", "content": "say\nhello there"}]
    assert MockEngine().generate([chat], SamplingParams())[0].text == "hello there"
    assert "".join(MockEngine().stream(chat, SamplingParams())) == "hello there"
