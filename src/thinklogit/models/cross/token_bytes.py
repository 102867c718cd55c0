"""What the ids of a vocabulary stand for: bytes of running text, or a special token that callers treat by its role.

Read from the components that a fast tokenizer writes of itself (decoder, pre-tokenizer, model), never from its name:

    byte-level       "Ġthe" is b" the": each letter stands for a byte
    SentencePiece    "▁the" is b" the", "<0xAB>" is the byte AB where the decoder falls back to bytes
    WordPiece        "##ing" is b"ing", "play" is b" play"

Knows nothing of how a text is cut; that is `reading`.
"""

import base64
import json
import re
from ast import literal_eval
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from thinklogit.core.errors import TrioError

Spell = Callable[[str], bytes]
"""The bytes that a token of the vocabulary stands for."""
Json = dict[str, Any]

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
IN_PLACE = {"Fuse", "Strip"}
"""Decoders that act on a whole text, not on what a token stands for within it."""


def token_bytes(tokenizer: PreTrainedTokenizerBase) -> list[bytes | None]:
    """The bytes of every id within running text, by id; None for holes, special and unknown tokens.

    Where a tokenizer normalises text, they are the bytes of the normalised text.

    Raises:
        TrioError: a tokenizer whose tokens cannot be turned into bytes.
    """
    written = _written(tokenizer)
    spell = _spelling(written)
    spoken = {id: spell(token) for token, id in _entries(written["model"])}
    added = {each["id"]: each["content"] for each in written["added_tokens"]}
    literal = str.encode if _byte_level(written) or _word_pieces(written) else spell
    spoken |= {id: literal(content) for id, content in added.items()}
    for id in _special(written):
        spoken.pop(id, None)
    return [spoken.get(id) or None for id in range(max([*spoken, *_special(written)], default=-1) + 1)]


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The literal text of each id that has a role instead of a meaning: marks of a chat, ends, the unknown token.

    Added tokens that are not special, such as runs of spaces, are text: `token_bytes` has them.

    Raises:
        TrioError: a tokenizer that is not a fast one.
    """
    return _special(_written(tokenizer))


def tiktoken_bytes(file: Path) -> list[bytes | None]:
    """The bytes of every id in a tiktoken file: lines of a token in base64 and its rank. Raises TrioError."""

    def read(line: str) -> tuple[int, bytes]:
        token, rank = line.split()
        return int(rank), base64.b64decode(token, validate=True)

    return _read_lines(file, read, "a token in base64 and its rank")


def trie_bytes(file: Path) -> list[bytes | None]:
    """The bytes of every id in a greedy trie's vocabulary: lines of an id, a Python literal and a length in bytes.

    Raises TrioError.
    """

    def read(line: str) -> tuple[int, bytes]:
        id, rest = line.split(" ", 1)
        literal, length_bytes = rest.rsplit(" ", 1)
        token = literal_eval(literal)
        token = token.encode() if isinstance(token, str) else token
        if not isinstance(token, bytes) or len(token) != int(length_bytes):
            raise ValueError
        return int(id), token

    return _read_lines(file, read, "an id, a Python literal and its length in bytes")


def _read_lines(file: Path, read: Callable[[str], tuple[int, bytes]], expected: str) -> list[bytes | None]:
    spoken = {}
    for number, line in enumerate(file.read_text("utf-8").split("\n"), start=1):
        try:
            spoken |= [read(line)] if line.strip() else []
        except (ValueError, SyntaxError):
            raise TrioError(
                f"{file}: line {number} should be {expected}; found {line[:40]!r}: check that it is a vocabulary"
            ) from None
    return [spoken.get(id) for id in range(max(spoken, default=-1) + 1)]


def backend_of(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    """The fast tokenizer inside. Raises TrioError where there is none."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise TrioError(
            "a tokenizer should be a fast one, whose tokens can be read as bytes; "
            f"{type(tokenizer).__name__} is not: save it as tokenizer.json, or use members that share a tokenizer"
        )
    return backend


def _written(tokenizer: PreTrainedTokenizerBase) -> Json:
    return json.loads(backend_of(tokenizer).to_str())


def _entries(model: Json) -> Iterator[tuple[str, int]]:
    if isinstance(model["vocab"], dict):
        yield from model["vocab"].items()
    else:  # Unigram: pairs of a token and its score, by id
        yield from ((token, id) for id, (token, _) in enumerate(model["vocab"]))


def _special(written: Json) -> dict[int, str]:
    special = {each["id"]: each["content"] for each in written["added_tokens"] if each["special"]}
    return _unknown(written["model"]) | special


def _unknown(model: Json) -> dict[int, str]:
    """The token that stands for whatever the vocabulary cannot say."""
    name, id = model.get("unk_token"), model.get("unk_id")
    return {at: token for token, at in _entries(model) if token == name or at == id}


def _spelling(written: Json) -> Spell:
    if _byte_level(written):
        return _from_byte_level
    if _word_pieces(written):
        return _from_word_pieces(written)
    steps = list(_parts(written, "decoder"))
    cutting = {part["type"] for part in _parts(written, "pre_tokenizer")}
    if not steps and "Metaspace" in cutting:
        steps = [part for part in _parts(written, "pre_tokenizer") if part["type"] == "Metaspace"]
    odd = next((step for step in steps if not _known(step)), None)
    if odd is not None or not steps:
        raise TrioError(
            "a tokenizer's decoder should be of ByteLevel, Metaspace, Replace, ByteFallback or WordPiece, to read its "
            f"tokens as bytes; found {_shown(odd, written)}: use members that share a tokenizer"
        )
    return _from_pieces(steps)


def _parts(written: Json, kind: str) -> Iterator[Json]:
    """The components of a kind, those inside a Sequence one by one."""
    whole = written[kind]
    parts = [] if whole is None else [whole]
    while parts:
        part = parts.pop(0)
        if part["type"] == "Sequence":
            parts[:0] = part.get("decoders") or part.get("pretokenizers") or part.get("normalizers") or []
        else:
            yield part


def _byte_level(written: Json) -> bool:
    decoder = [part["type"] for part in _parts(written, "decoder")]
    cutting = [part["type"] for part in _parts(written, "pre_tokenizer")]
    return set(decoder) - IN_PLACE == {"ByteLevel"} or (not decoder and "ByteLevel" in cutting)


def _word_pieces(written: Json) -> bool:
    decoder = [part["type"] for part in _parts(written, "decoder")]
    return written["model"]["type"] == "WordPiece" and decoder in ([], ["WordPiece"])


def _known(step: Json) -> bool:
    """Whether a decoder's step says what a single token stands for. A pattern of Replace must be plain text."""
    return step["type"] in {"Metaspace", "ByteFallback", *IN_PLACE} or "String" in step.get("pattern", {})


def _shown(odd: Json | None, written: Json) -> str:
    if odd is None:
        return f"no decoder beside a {written['model']['type']} model"
    return "a Replace of a regular expression" if odd["type"] == "Replace" else f"a decoder {odd['type']}"


@cache
def _bytes_of_letters() -> dict[str, int]:
    """The letter that byte-level vocabularies write for each byte: itself where it can be seen, else one above 255.

    As in GPT-2's encoder.py, bytes_to_unicode.
    """
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {chr(256 + index): byte for index, byte in enumerate(hidden)}


def _from_byte_level(token: str) -> bytes:
    letters = _bytes_of_letters()
    # A token with any other character is taken as it stands, as the decoder does.
    return bytes(letters[each] for each in token) if all(each in letters for each in token) else token.encode()


def _from_word_pieces(written: Json) -> Spell:
    prefix = written["model"]["continuing_subword_prefix"]

    def spell(token: str) -> bytes:
        return (token.removeprefix(prefix) if token.startswith(prefix) else " " + token).encode()

    return spell


def _from_pieces(steps: list[Json]) -> Spell:
    """The decoder's steps on one token. What stands for a single byte is not replaced in."""
    falls_back = any(step["type"] == "ByteFallback" for step in steps)
    replaced = [(step["pattern"]["String"], step["content"]) for step in steps if step["type"] == "Replace"]
    replaced += [(step["replacement"], " ") for step in steps if step["type"] == "Metaspace"]

    def spell(token: str) -> bytes:
        byte = BYTE.fullmatch(token) if falls_back else None
        if byte is not None:
            return bytes([int(byte[1], 16)])
        for old, new in replaced:
            token = token.replace(old, new)
        return token.encode()

    return spell
