"""vLLM's reasoning parser on guided text: what the guider opens and closes comes apart from the answer."""

from itertools import pairwise

import pytest
import torch
from pico_members import pico_tokenizer
from serving import Server
from transformers import AutoModelForCausalLM, LlamaConfig

from thinklogit.models.trios import compose

THINK, ENOUGH = "<think>", "</think>"
ROWS, WIDTH = 264, 288


def chained(folder, chain, strength):
    """A model that says what follows in the chain, whatever stood before: each token's embedding is its own axis."""
    tokenizer = pico_tokenizer()
    tokenizer.add_tokens([THINK, ENOUGH])  # tokens of their own, but kept in texts
    config = LlamaConfig(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=WIDTH // 32,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    model = AutoModelForCausalLM.from_config(config)
    ids = tokenizer.convert_tokens_to_ids(chain)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name else 0.0)
        model.model.embed_tokens.weight[:, :ROWS] = torch.eye(ROWS)
        for before, after in pairwise(ids):
            model.lm_head.weight[after, before] = strength
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("thinking")
    target = chained(root / "target", ["<|assistant|>", "d", "<|end|>"], 1.0)
    guider = chained(root / "guider", ["<|assistant|>", THINK, "a", "b", ENOUGH, "c", "<|end|>"], 2.0)
    base = chained(root / "base", [], 0.0)
    compose(target, guider, base, root, warmup_tokens=0)
    flags = ("--enforce-eager", "--kv-cache-memory-bytes", str(1 << 27), "--dtype", "float32")
    served = Server("--trio", str(root), "--reasoning-parser", "deepseek_r1", *flags)
    yield served
    served.end()


def test_thinking_comes_apart_from_the_answer(server):
    found = server.chat("?", temperature=0, max_tokens=20).choices[0].message
    assert (found.reasoning, found.content) == ("ab", "c")


def test_streamed_too(server):
    stream = server.chat("?", temperature=0, max_tokens=20, stream=True)
    pieces = [piece.choices[0].delta for piece in stream]
    reasoning = "".join(getattr(piece, "reasoning", None) or "" for piece in pieces)
    assert reasoning.removeprefix(THINK) == "ab"  # vLLM 0.32 leaves it in where the first tokens arrive as one piece
    assert "".join(piece.content or "" for piece in pieces) == "c"


def test_a_text_that_closes_nothing_is_all_thinking(server):
    found = server.chat("?", {"guided": False}, temperature=0, max_tokens=20).choices[0].message
    assert (found.reasoning, found.content) == ("d", None)
