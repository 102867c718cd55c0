"""The tokenizer of the mini trio: whole numbers and words are one token each, anything else falls back to bytes.

Saved as a plain tokenizer.json: AutoTokenizer reads it unchanged because the members are of model_type llama. Another
model_type (qwen2) would have its pre-tokenizer replaced in silence, and every id with it.
"""

from itertools import islice
from typing import TYPE_CHECKING

from thinklogit.mini.corpus import FINE_TUNING, PRETRAINING, documents
from thinklogit.mini.world import COEFFICIENTS, LARGEST_TOTAL

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

USER, ASSISTANT, END, PAD = SPECIALS = ("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")

PIECES = r"[xy]=|[0-9]+| ?[A-Za-z]+ ?|[^\sA-Za-z0-9]+ ?|\s+"
"""How text is cut: a number without its neighbours, a word or a sign with the spaces beside it."""

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{%- elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}"
    "{%- else %}{{ raise_exception('the mini trio knows the roles user and assistant, not ' + message['role']) }}"
    "{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|assistant|>' }}{%- endif %}"
)
DOCUMENTS_READ = 3000
"""More than enough to meet every word of the corpus; the seed is fixed, so that all trios share one vocabulary."""


def build(max_length: int = 512) -> "PreTrainedTokenizerFast":
    """The tokenizer, the same at every call, with chat template, padding on the left, end and padding tokens."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=_backend(),
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _backend() -> "Tokenizer":
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # A multiple tried against a remainder may be larger than any total, by less than the largest coefficient.
    numbers = [str(number) for number in range(LARGEST_TOTAL + COEFFICIENTS[-1] + 1)]
    pieces = sorted({piece for text in _texts() for piece, _ in cut.pre_tokenize_str(text)})
    vocabulary = {piece: id for id, piece in enumerate(dict.fromkeys([*SPECIALS, *alphabet, *numbers, *pieces]))}
    # No merges: a piece is one token when it is in the vocabulary (ignore_merges), else its bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return tokenizer


def _texts() -> list[str]:
    read = [
        *islice(documents(PRETRAINING, seed=0), DOCUMENTS_READ),
        *islice(documents(FINE_TUNING, seed=0), DOCUMENTS_READ),
    ]
    return sorted({text for document in read for text in (document.prompt, document.response)})
