"""Greedy text inside vLLM is the composite's in float32, request by request, whatever vLLM does around it."""

import pytest
from served import counted, engine, greedy, reference

import thinklogit
from thinklogit.mini.world import problems
from thinklogit.models.places import MINI

GUIDANCE = [{"alpha": alpha, "warmup_tokens": warmup} for alpha in (0.0, 0.5, 1.0, 1.5) for warmup in (0, 8)]
NEW_TOKENS = 64
GUIDER = {"method": "draft_model", "model": str(MINI / "guider"), "num_speculative_tokens": 4}
NGRAM = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 1}


@pytest.fixture(scope="module")
def prompts():
    """24 chats of the mini world, all after the same first turn, so that they share a prefix longer than a page."""
    _, tokenizer = thinklogit.load("mini")
    first, *asked = problems("dev", kind="search")[:25]
    begun = [{"role": "user", "content": first.question}, {"role": "assistant", "content": f"Answer: {first.answer}."}]
    chats = [[*begun, {"role": "user", "content": each.question}] for each in asked]
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]


@pytest.fixture(scope="module")
def expected(prompts):
    model, _ = thinklogit.load("mini")
    return reference(model, prompts, GUIDANCE, NEW_TOKENS)


def assert_equal(prompts, expected, counter=None, **how):
    """Twice: again from cached prefixes."""
    with engine(MINI, **how) as llm:
        assert greedy(llm, prompts, GUIDANCE, NEW_TOKENS) == expected
        assert greedy(llm, prompts, GUIDANCE, NEW_TOKENS) == expected
        assert counter is None or counted(llm, counter) > 0


def test_guidance_not_given_is_the_trios_own(prompts):
    model, _ = thinklogit.load("mini")
    with engine(MINI) as llm:
        assert greedy(llm, prompts[:4], [{}], NEW_TOKENS) == reference(model, prompts[:4], [{}], NEW_TOKENS)


def test_as_it_is(prompts, expected):
    assert_equal(prompts, expected)


def test_chunked_prefill_and_cached_prefixes(prompts, expected):
    how = {"max_num_batched_tokens": 24, "block_size": 32}
    assert_equal(prompts, expected, "prefix_cache_hits", **how)


def test_preemption(prompts, expected):
    assert_equal(prompts, expected, "num_preemptions", num_gpu_blocks_override=40, block_size=32)


def test_the_guider_drafts(prompts, expected):
    assert_equal(prompts, expected, "spec_decode_num_accepted_tokens", speculative_config=GUIDER)


def test_ngrams_draft(prompts, expected, monkeypatch):
    """In a process of its own: what vLLM imports for them keeps it from starting a second engine beside."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    assert_equal(prompts, expected, "spec_decode_num_accepted_tokens", speculative_config=NGRAM)


def test_tensor_parallel(prompts, expected, monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    assert_equal(prompts, expected, tensor_parallel_size=2)
