"""A guider of another tokenizer inside vLLM: greedy text is the composite's, request by request."""

import pytest
from served import counted, engine, greedy, reference
from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError

import thinklogit
from thinklogit.mini.world import problems
from thinklogit.models.places import SHIPPED

GUIDANCE = [{"alpha": alpha, "warmup_tokens": warmup} for alpha in (0.0, 1.0, 3.0) for warmup in (0, 6)]
NEW_TOKENS = 40
CROSS = SHIPPED["mini-cross"]


@pytest.fixture(scope="module")
def trio():
    return thinklogit.load("mini-cross")


@pytest.fixture(scope="module")
def prompts(trio):
    chats = [[{"role": "user", "content": each.question}] for each in problems("dev", kind="search")[:4]]
    return [trio[1].apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]


@pytest.fixture(scope="module")
def expected(trio, prompts):
    return reference(trio[0], prompts, GUIDANCE, NEW_TOKENS)


def test_as_it_is(prompts, expected):
    with engine(CROSS) as llm:
        assert greedy(llm, prompts, GUIDANCE, NEW_TOKENS) == expected
        with pytest.raises(
            VLLMValidationError, match="another tokenizer than the target, and says nothing about prompt_logp"
        ):
            llm.generate([{"prompt_token_ids": prompts[0]}], SamplingParams(prompt_logprobs=1), use_tqdm=False)
        assert greedy(llm, prompts[:1], GUIDANCE, NEW_TOKENS) == expected[: len(GUIDANCE)]


def test_chunked_prefill_and_preemption(prompts, expected):
    how = {"max_num_batched_tokens": 24, "num_gpu_blocks_override": 20, "block_size": 32}
    with engine(CROSS, **how) as llm:
        assert greedy(llm, prompts, GUIDANCE, NEW_TOKENS) == expected
        assert counted(llm, "num_preemptions") > 0


def test_tensor_parallel(prompts, expected, monkeypatch):
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")
    with engine(CROSS, tensor_parallel_size=2) as llm:
        assert greedy(llm, prompts[:2], GUIDANCE, NEW_TOKENS) == expected[: 2 * len(GUIDANCE)]


def test_speculation_is_refused():
    drafter = {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
    with pytest.raises(ValueError, match="serve it without speculation"), engine(CROSS, speculative_config=drafter):
        pass
