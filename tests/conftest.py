"""Pico models: random weights of real architectures, small enough to build anew in every test."""

import os
import signal
from importlib.util import find_spec

# Before torch is there: two workers of two threads each on two cores wait for each other, and take four times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from thinklogit.models.composite import Guider, ThinkLogitForCausalLM

# A shell's background job ignores it, and so would every process that a test starts in order to interrupt it.
signal.signal(signal.SIGINT, signal.default_int_handler)

VOCAB = 61
collect_ignore_glob = [] if find_spec("vllm") else ["decode/vllm/*"]  # those run in their own environment: test-vllm


def pico(kind: str = "llama", seed: int = 0, vocab: int = VOCAB, width: int = 16, layers: int = 2):
    """A random model whose logits spread far enough that greedy choices have no near ties."""
    config_class, model_class = {
        "llama": (LlamaConfig, LlamaForCausalLM),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    }[kind]
    config = config_class(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = model_class(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(0, 0.5)
    model.generation_config.pad_token_id = 0
    return model


def pico_trio(alpha: float = 1.0, warmup_tokens: int = 0, **kwargs):
    """A wider target of one family, guider and base of another."""
    guider, base = pico("llama", 2), pico("llama", 3)
    return ThinkLogitForCausalLM.from_members(
        pico("qwen2", 1, width=24, layers=3), [Guider(guider, base, alpha)], warmup_tokens=warmup_tokens, **kwargs
    )


def number_tokenizer(vocab: int = VOCAB):
    """A token a number: "3 14 15" is [3, 14, 15], and back."""
    tokenizer = Tokenizer(WordLevel({str(number): number for number in range(vocab)}))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side="left")


@pytest.fixture
def trio():
    return pico_trio()
