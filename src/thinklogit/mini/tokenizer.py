"""The tokenizers of the mini members; what neither knows falls back to bytes.

    build           the trio's: a whole number or a word is one token
    build_other     of another family, the second target's: pieces merged by frequency, often several words long
                    ("no. Wait, "), and numbers in groups of at most two digits

Saved as a plain tokenizer.json: AutoTokenizer reads it unchanged because the members are of model_type llama or qwen3.
Another (qwen2) would have its pre-tokenizer replaced in silence, and every id with it.
"""

from itertools import islice
from typing import TYPE_CHECKING

from thinklogit.mini.corpus import FINE_TUNING, PRETRAINING, SMALL, documents
from thinklogit.mini.world import ITEMS, LARGEST_TOTAL, SECOND_PRICES

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

USER, ASSISTANT, END, PAD = SPECIALS = ("<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")

PIECES = r"[0-9]+| ?[A-Za-z]+ ?|[^\sA-Za-z0-9]+ ?|\s+"
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


OTHER_VOCABULARY = 640
"""Entries of the other tokenizer: some twenty more than the trio's words would ask for."""


def build(max_length: int = 512) -> "PreTrainedTokenizerFast":
    """The trio's tokenizer, the same at every call."""
    return _wrapped(_whole_pieces(), max_length)


def build_other(max_length: int = 512) -> "PreTrainedTokenizerFast":
    """The second target's tokenizer, the same at every call."""
    return _wrapped(_merged_pieces(), max_length)


def _wrapped(backend: "Tokenizer", max_length: int) -> "PreTrainedTokenizerFast":
    """With chat template, padding on the left, end and padding tokens."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIALS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[USER, ASSISTANT],
        padding_side="left",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def _whole_pieces() -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # A multiple tried against what is left may be larger than any total, by less than the largest price.
    numbers = [str(number) for number in range(max(LARGEST_TOTAL + SECOND_PRICES[-1], ITEMS[-1]) + 1)]
    pieces = sorted({piece for text in _texts() for piece, _ in cut.pre_tokenize_str(text)})
    vocabulary = {piece: id for id, piece in enumerate(dict.fromkeys([*SPECIALS, *alphabet, *numbers, *pieces]))}
    # No merges: a piece is one token when it is in the vocabulary (ignore_merges), else its bytes.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _merged_pieces() -> "Tokenizer":
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex("[0-9]{1,2}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=OTHER_VOCABULARY,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIALS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    return tokenizer


def _texts() -> list[str]:
    read = [
        *islice(documents(PRETRAINING, SMALL, seed=0), DOCUMENTS_READ),
        *islice(documents(FINE_TUNING, SMALL, seed=0), DOCUMENTS_READ),
    ]
    return sorted({text for document in read for text in (document.prompt, document.response)})
