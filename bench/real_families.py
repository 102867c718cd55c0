"""Fast tokenizers built from vocabularies as their makers publish them, for `real_vocabularies`."""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from thinklogit.models.cross.token_bytes import tiktoken_bytes

# The patterns of tiktoken's openai_public.py and of Qwen2's tokenizer.json.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GOLDENS = {"Qwen2.5": "qwen2", "o200k": "gpt-4o", "GPT-2": "gpt-2"}
SEPARATOR = "\n__ggml_vocab_test__\n"
MISTRAL = {
    "Mistral v1": "mistral/tokenizer.model.v1",
    "Mistral v3": "mistral/mistral_instruct_tokenizer_240323.model.v3",
}


def _ranks(file: str, pattern: str, specials: Iterable[str], normalizer=None) -> Callable[[Path], Tokenizer | None]:
    """A family whose vocabulary is a tiktoken file: pieces that are in it whole are one token, others are merged."""

    def build(folder: Path) -> Tokenizer | None:
        if not (folder / file).exists():
            return None
        ranks = {token: rank for rank, token in enumerate(tiktoken_bytes(folder / file)) if token is not None}
        backend = Tokenizer(models.BPE(*_merges(ranks), ignore_merges=True))
        backend.normalizer = normalizer
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        backend.decoder = decoders.ByteLevel()
        backend.add_special_tokens([AddedToken(each, normalized=False) for each in specials])
        return backend

    return build


def _merges(ranks: dict[bytes, int]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    letters = _letters()
    spelled = {token: "".join(letters[byte] for byte in token) for token in ranks}
    pairs = [
        (rank, ranks[token[:cut]], ranks[token[cut:]], token[:cut], token[cut:])
        for token, rank in ranks.items()
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
    return vocabulary, [(spelled[left], spelled[right]) for *_, left, right in sorted(pairs)]


def _letters() -> list[str]:
    """The letter of each byte, from the tokenizer itself."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    letters = {}
    for character in map(chr, [*range(0x300), *range(0x1000, 0xD000, 0x1000), *range(0x10000, 0x110000, 0x1000)]):
        written = level.pre_tokenize_str(character)[0][0]
        letters |= dict(zip(character.encode(), written, strict=True))
    # Bytes that are in no UTF-8 are what is left of the alphabet, in the order of their code points.
    left = iter(sorted(set(pre_tokenizers.ByteLevel.alphabet()) - set(letters.values())))
    return [letters[byte] if byte in letters else next(left) for byte in range(256)]


def _gpt2(folder: Path) -> Tokenizer | None:
    vocabulary, merges = folder / "gpt2/encoder.json", folder / "gpt2/vocab.bpe"
    if not vocabulary.exists():
        return None
    lines = (line.split(" ") for line in merges.read_text("utf-8").splitlines()[1:])
    backend = Tokenizer(models.BPE(json.loads(vocabulary.read_text("utf-8")), [(left, right) for left, right in lines]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("<|endoftext|>", normalized=False)])
    return backend


def _neox(folder: Path) -> Tokenizer | None:
    file = folder / "gpt-neox/tokenizer.json"
    return Tokenizer.from_file(str(file)) if file.exists() else None


class Piece(NamedTuple):
    """An entry of a SentencePiece model."""

    text: str
    score: float
    kind: int


NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


def _mistral(file: str) -> Callable[[Path], Tokenizer | None]:
    def build(folder: Path) -> Tokenizer | None:
        if not (folder / file).exists():
            return None
        pieces = sentencepiece_pieces(folder / file)
        ids = {piece.text: id for id, piece in enumerate(pieces)}
        pairs = [
            (-piece.score, ids[piece.text[:cut]], ids[piece.text[cut:]], piece.text[:cut], piece.text[cut:])
            for piece in pieces
            if piece.kind == NORMAL
            for cut in range(1, len(piece.text))
            if piece.text[:cut] in ids and piece.text[cut:] in ids
        ]
        merges = [(left, right) for *_, left, right in sorted(pairs)]
        backend = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        backend.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        roles = [piece.text for piece in pieces if piece.kind in (UNKNOWN, CONTROL)]
        backend.add_special_tokens([AddedToken(each, normalized=False) for each in roles])
        return backend

    return build


@cache
def sentencepiece_pieces(file: Path) -> list[Piece]:
    """The entries of a model, which is a protobuf message: field 1 repeats them."""
    return [_piece(dict(_fields(value))) for field, value in _fields(file.read_bytes()) if field == 1]


def _piece(fields: dict[int, bytes]) -> Piece:
    kind, _ = _number(fields.get(3, bytes([NORMAL])), 0)
    return Piece(fields[1].decode(), struct.unpack("<f", fields[2])[0], kind)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message by number, each as its bytes."""
    at = 0
    while at < len(message):
        tag, at = _number(message, at)
        if tag & 7 == 0:  # a number
            end = _number(message, at)[1]
        elif tag & 7 == 2:  # bytes, after their length
            length_bytes, at = _number(message, at)
            end = at + length_bytes
        else:
            end = at + (4 if tag & 7 == 5 else 8)
        yield tag >> 3, message[at:end]
        at = end


def _number(message: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def merged_by_score(family: str, folder: Path, text: str) -> list[int] | None:
    """A text in a SentencePiece vocabulary, the slow way: the best pair of neighbours is joined, again and again."""
    if family not in MISTRAL or not (folder / MISTRAL[family]).exists():
        return None
    pieces = sentencepiece_pieces(folder / MISTRAL[family])
    ids = {piece.text: id for id, piece in enumerate(pieces) if piece.kind == NORMAL}
    parts = list(("▁" + text).replace(" ", "▁")) if text else []
    while True:
        joined = [
            (-pieces[ids[left + right]].score, at)
            for at, (left, right) in enumerate(pairwise(parts))
            if left + right in ids
        ]
        if not joined:
            break
        _, at = min(joined)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    first_byte = next(id for id, piece in enumerate(pieces) if piece.kind == BYTE)
    return [id for part in parts for id in ([ids[part]] if part in ids else [first_byte + b for b in part.encode()])]


def golden_texts(family: str, folder: Path) -> list[tuple[str, list[int] | None]]:
    """Hard texts, with the ids that a family should give them where these are known."""
    name = GOLDENS.get(family, "phi-3")
    read = folder / f"goldens/ggml-vocab-{name}.gguf.inp"
    if not read.exists():
        return []
    texts = read.read_text("utf-8").split(SEPARATOR)[:-1]
    if family not in GOLDENS:
        return [(text, None) for text in texts]
    lines = read.with_suffix(".out").read_text("utf-8").splitlines()
    return [(text, [int(id) for id in line.split()]) for text, line in zip(texts, lines, strict=True)]


def _wrapped(build: Callable[[Path], Tokenizer | None]) -> Callable[[Path], PreTrainedTokenizerFast | None]:
    def wrapped(folder: Path) -> PreTrainedTokenizerFast | None:
        backend = build(folder)
        return None if backend is None else PreTrainedTokenizerFast(tokenizer_object=backend)

    return wrapped


CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FAMILIES = {
    "Qwen2.5": _wrapped(_ranks("qwen/qwen.tiktoken", QWEN, CHAT, normalizers.NFC())),
    "cl100k": _wrapped(_ranks("openai/cl100k_base.tiktoken", CL100K, CHAT[:1])),
    "o200k": _wrapped(_ranks("openai/o200k_base.tiktoken", O200K, CHAT[:1])),
    "GPT-2": _wrapped(_gpt2),
    "GPT-NeoX": _wrapped(_neox),
    **{family: _wrapped(_mistral(file)) for family, file in MISTRAL.items()},
}
