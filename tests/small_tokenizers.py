"""Small tokenizers of every kind that language models come with, trained on a few lines written for the tests."""

import json
from functools import cache

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from thinklogit.mini import tokenizer as mini

END, THINK = "<|end|>", "<think>"
"""A special token, and an added one that is text."""

LINES = [
    "The answer is 42, and 1234567 is not; it's 3.14159 that we'll check again.",
    "def area(width, height):\n    return width * height\n\n\n    # done\n",
    "Wait, let me try that again. Try x = 12: 12 * 204 = 2448, too much. Try x = 11.",
    "Der Bäcker grüßt, naïve café. Привет, как дела? مرحبا بالعالم नमस्ते दुनिया 안녕하세요 你好、世界。",
]

GROUPS = (
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
"""As of GPT-4: digits in groups of three from the left."""
FROM_THE_RIGHT = r"""\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
SINGLE_DIGITS = GROUPS.replace(r"\p{N}{1,3}", r"\p{N}")


def _byte_level(pattern, normalizer=None, added=()):
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)  # as of GPT-2: offsets without spaces
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    return _wrapped(_trained(backend, LINES, initial_alphabet=alphabet), added)


def _sentencepiece():
    """As of the first Llama: the whole text is one piece, a space put before each part; unknown letters are bytes."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    letters = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")  # so that merges stay within words
    trained = _trained(backend, LINES[:3], special_tokens=letters, vocab_size=600)
    written = json.loads(trained.to_str())
    written["pre_tokenizer"] = None
    written["added_tokens"] = written["added_tokens"][:1]  # bytes are entries like others, not special
    return _wrapped(Tokenizer.from_str(json.dumps(written)))


def _sentencepiece_first():
    """As of a later Llama: the space is put before the text only, not after special tokens."""
    backend = Tokenizer.from_str(_sentencepiece().backend_tokenizer.to_str())
    backend.normalizer = None
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


def _unigram():
    """Its trainer gives other scores each time: words and what they are made of, with scores of no meaning."""
    scores = {piece: -len(piece) - index % 101 / 50 for index, piece in enumerate(_pieces("▁"))}
    backend = Tokenizer(models.Unigram([("<unk>", -50.0), *scores.items()], unk_id=0, byte_fallback=False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return _wrapped(backend)


def _word_pieces():
    entries = ["[UNK]", *_pieces(""), *(f"##{piece}" for piece in _pieces(""))]
    backend = Tokenizer(models.WordPiece({entry: id for id, entry in enumerate(entries)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return _wrapped(backend)


def _pieces(space):
    """The words of the lines, and their parts of up to three letters."""
    words = {space + word for line in LINES for word in line.split()}
    parts = {word[at : at + length] for word in words for at in range(len(word)) for length in (1, 2, 3)}
    return sorted(words | parts)


def _trained(backend, lines, vocab_size=500, **options):
    backend.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, **options))
    return backend


def _wrapped(backend, added=()):
    backend.add_special_tokens([AddedToken(END, normalized=False)])
    backend.add_tokens([THINK, *added])
    return PreTrainedTokenizerFast(tokenizer_object=backend, clean_up_tokenization_spaces=False)


BYTE_LEVEL = ("groups of digits", "groups from the right", "over spaces", "mini", "mini, other")
"""Those whose tokens, joined, are the text."""
BUILDERS = {
    "groups of digits": lambda: _byte_level(GROUPS, added=(" " * 8, AddedToken("<mask>", lstrip=True, rstrip=True))),
    "groups from the right": lambda: _byte_level(FROM_THE_RIGHT),
    "over spaces": lambda: _byte_level(r"\p{N}{1,2}"),
    "composed": lambda: _byte_level(SINGLE_DIGITS, normalizers.NFC()),
    "mini": mini.build,
    "mini, other": mini.build_other,
    "SentencePiece": _sentencepiece,
    "SentencePiece, first": _sentencepiece_first,
    "Unigram": _unigram,
    "WordPiece": _word_pieces,
}


@cache
def small_tokenizer(kind):
    """The tokenizer of a kind, the same at every call."""
    return BUILDERS[kind]()
