"""What ids stand for: bytes of text, or nothing but a role."""

import copy

import pytest
from small_tokenizers import BUILDERS, BYTE_LEVEL, END, LINES, THINK, small_tokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from thinklogit.core.errors import TrioError
from thinklogit.models.cross.token_bytes import special_tokens, tiktoken_bytes, token_bytes, trie_bytes


def spoken(kind, *tokens):
    tokenizer = small_tokenizer(kind)
    bytes_of = token_bytes(tokenizer)
    return [bytes_of[tokenizer.convert_tokens_to_ids(token)] for token in tokens]


def wrapped(model, decoder=None, cutting=None):
    backend = Tokenizer(model)
    if decoder is not None:
        backend.decoder = decoder
    if cutting is not None:
        backend.pre_tokenizer = cutting
    return PreTrainedTokenizerFast(tokenizer_object=backend)


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_bytes_of_a_text_s_tokens_are_the_text(kind, line):
    tokenizer = small_tokenizer(kind)
    ids = tokenizer(line, add_special_tokens=False)["input_ids"]
    assert b"".join(token_bytes(tokenizer)[id] for id in ids) == line.encode()


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_id_has_bytes_or_a_role(kind):
    tokenizer = small_tokenizer(kind)
    bytes_of, special = token_bytes(tokenizer), special_tokens(tokenizer)
    assert len(bytes_of) == max(tokenizer.get_vocab().values()) + 1
    assert {id for id, each in enumerate(bytes_of) if each is None} == set(special)


def test_a_letter_of_a_byte_level_vocabulary_is_a_byte():
    tokenizer = small_tokenizer("groups of digits")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(spoken("groups of digits", *letters)) == [bytes([byte]) for byte in range(256)]
    assert spoken("groups of digits", "Ġanswer", "Ċ") == [b" answer", b"\n"]
    assert special_tokens(tokenizer) == {tokenizer.convert_tokens_to_ids(END): END}


def test_added_tokens_that_are_not_special_are_text():
    assert spoken("groups of digits", THINK, " " * 8, "<mask>") == [THINK.encode(), b" " * 8, b"<mask>"]
    tokenizer = copy.deepcopy(small_tokenizer("groups of digits"))
    tokenizer.add_tokens(["éé"])
    assert token_bytes(tokenizer)[-1] == "éé".encode()  # not the bytes whose letters these are
    assert spoken("SentencePiece", THINK, END) == [THINK.encode(), None]


def test_pieces_with_a_sign_for_a_space():
    assert spoken("SentencePiece", "▁answer", "▁", "<0x0A>", "<0xFF>") == [b" answer", b" ", b"\n", b"\xff"]
    assert spoken("Unigram", "▁let", "▁") == [b" let", b" "]
    assert special_tokens(small_tokenizer("Unigram"))[0] == "<unk>"


def test_without_byte_fallback_the_name_of_a_byte_is_text():
    assert token_bytes(wrapped(models.BPE(vocab={"<0x41>": 0, "▁a": 1}, merges=[]), decoders.Metaspace())) == [
        b"<0x41>",
        b" a",
    ]


def test_word_pieces_begin_a_word_or_go_on_with_it():
    assert spoken("WordPiece", "let", "##e", "[UNK]") == [b" let", b"e", None]


def test_holes_between_ids_stand_for_nothing():
    assert token_bytes(wrapped(models.BPE(vocab={"a": 0, "Ġ": 3}, merges=[]), decoders.ByteLevel())) == [
        b"a",
        None,
        None,
        b" ",
    ]


def test_what_cuts_tells_where_there_is_no_decoder():
    byte_level = wrapped(models.BPE(vocab={"Ġa": 0}, merges=[]), cutting=pre_tokenizers.ByteLevel())
    pieces = wrapped(models.BPE(vocab={"▁a": 0}, merges=[]), cutting=pre_tokenizers.Metaspace())
    assert token_bytes(byte_level) == token_bytes(pieces) == [b" a"]


@pytest.mark.parametrize(
    ("decoder", "found"),
    [
        (decoders.CTC(), "a decoder CTC"),
        (decoders.BPEDecoder(), "a decoder BPEDecoder"),
        (decoders.Sequence([decoders.Replace(Regex("▁+"), " "), decoders.Fuse()]), "a Replace of a regular expression"),
        (None, "no decoder beside a WordLevel model"),
    ],
)
def test_tokens_that_are_no_bytes_are_refused(decoder, found):
    tokenizer = wrapped(models.WordLevel({"a": 0}, unk_token="a"), decoder)
    with pytest.raises(TrioError, match=found) as error:
        token_bytes(tokenizer)
    assert "\n" not in str(error.value)


def test_a_slow_tokenizer_is_refused():
    with pytest.raises(TrioError, match="object is not: save it"):
        token_bytes(object())


def test_vocabularies_written_as_ranks(tmp_path):
    (tmp_path / "ranks").write_text("IQ== 0\nIHRoZQ== 1\n/w== 3\n")
    assert tiktoken_bytes(tmp_path / "ranks") == [b"!", b" the", None, b"\xff"]
    (tmp_path / "trie").write_text("1 '\\x00' 1\n2 ' a' 2\n3 b'\\xff' 1\n4 'é' 2\n5 '\\n' 1\n", "utf-8")
    assert trie_bytes(tmp_path / "trie") == [None, b"\x00", b" a", b"\xff", "é".encode(), b"\n"]


@pytest.mark.parametrize("line", ["not one", "1 'a' 2", "1 'a", "1 4 1"])
def test_a_line_that_is_no_rank_is_named(tmp_path, line):
    (tmp_path / "vocabulary").write_text(f"\n{line}\n")
    for parse in (tiktoken_bytes, trie_bytes):
        with pytest.raises(TrioError, match="line 2 should be"):
            parse(tmp_path / "vocabulary")
