"""Reading a growing text piece by piece gives what the tokenizer makes of all of it, and says where tokens end."""

import codecs
import copy
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_tokenizers import BUILDERS, BYTE_LEVEL, END, LINES, THINK, small_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from thinklogit.core.errors import TrioError
from thinklogit.models.cross.reading import Reader, Reading
from thinklogit.models.cross.token_bytes import token_bytes

KINDS = pytest.mark.parametrize("kind", BUILDERS)
READERS = {kind: Reader(small_tokenizer(kind)) for kind in BUILDERS}

FRAGMENTS = [
    *(word for line in LINES for word in line.split(" ")),
    *(
        " ",
        "  ",
        "        ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        "\u00a0",
        "\u3000",
        ". ",
        ", ",
        "...",
        "=====",
        "-",
        "'s",
        "'",
    ),
    *("1", "234", "56789", "1234567890123", "½", "٣", "x2y", "camelCase", "_", "supercalifragilistic", "ﬁ", "①"),
    *(
        "e\u0301",
        "\u0301",
        "\u0338",
        "=",
        "한",
        "\u1112\u1161\u11ab",
        "你好世界",
        "。",
        "ก็",
        "👩‍👩‍👧",
        "🙂",
        "🇩🇪",
        "\ufffd",
        "\0",
    ),
    *(END, "<|en", "d|>", THINK, "<thi", "nk>", "<mask>", "<ma", "sk>", "<unk>", "<0x41>", "▁", "##ing", "Ġ"),
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join)
MIXED = st.lists(st.sampled_from(FRAGMENTS).map(str.encode) | st.binary(max_size=3), max_size=40).map(b"".join)
LONG = "\n".join(LINES * 3)


def complete(text):
    """Its characters, less one that is incomplete at the end: what the reader must see."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(text)


def whole(kind, text):
    return small_tokenizer(kind)(complete(text), add_special_tokens=False)["input_ids"]


@KINDS
@settings(max_examples=60, deadline=None)
@given(text=TEXTS.map(str.encode) | MIXED, data=st.data())
def test_read_gives_what_the_tokenizer_gives(kind, text, data):
    text = text[: data.draw(st.integers(0, len(text)))]
    reading = READERS[kind].read(text)
    assert reading.text == text
    assert reading.ids == whole(kind, text)
    assert len(reading.ends) == len(reading.ids)
    assert reading.ends == sorted(reading.ends)
    assert not reading.ends or 0 <= reading.ends[0] <= reading.ends[-1] <= len(text)


@KINDS
@settings(max_examples=60, deadline=None)
@given(text=TEXTS.map(str.encode) | MIXED, other=TEXTS.map(str.encode), data=st.data())
def test_read_after_any_text_that_begins_alike_is_read_from_nothing(kind, text, other, data):
    """What came before may be shorter, longer, or go on differently, and may end inside a character."""
    cut = data.draw(st.integers(0, len(text)))
    before = READERS[kind].read(text[:cut] + other[: data.draw(st.sampled_from([0, 5, None]))])
    assert READERS[kind].read(text, before) == READERS[kind].read(text)


@KINDS
@settings(max_examples=20, deadline=None)
@given(text=TEXTS, step=st.sampled_from([1, 3, 17]))
@example(text=LONG, step=1)
def test_a_text_read_piece_by_piece(kind, text, step):
    text, reading = text.encode(), None
    for length in range(0, len(text) + step, step):
        reading = READERS[kind].read(text[:length], reading)
    assert reading == READERS[kind].read(text)


@pytest.fixture
def windows(monkeypatch):
    """Where each cut that a reader makes from now on begins."""
    starts, cut = [], Reader._cut
    monkeypatch.setattr(Reader, "_cut", lambda self, text, start: starts.append(start) or cut(self, text, start))
    return starts


@KINDS
@pytest.mark.parametrize("ending", ["", ". No,", "🙂" * 3])
def test_of_a_long_text_the_end_alone_is_read_again(kind, ending, windows):
    """Also where the last reading was of another ending."""
    reader, text = READERS[kind], (LONG * 4).encode()
    before = reader.read(text[:-8] + ending.encode())
    windows.clear()
    assert reader.read(text, before).ids == whole(kind, text)
    assert len(windows) == 1
    assert len(text) - windows[0] < 300


@KINDS
@pytest.mark.parametrize("word", ["世界🙂", "ab'c", "x  ", "نعم-", "12,", " =\u0338"])
def test_runs_of_one_kind_grow(kind, word, windows):
    text, reading = (LINES[0] + word * 30).encode(), None
    for length in range(len(LINES[0]), len(text), 3):
        reading = READERS[kind].read(text[:length], reading)
        assert reading.ids == whole(kind, text[:length])
    assert all(text[start] & 0xC0 != 0x80 for start in windows), "a window begins inside a character"


def test_a_run_of_spaces_after_a_word():
    """A run read by itself has a space of the tokenizer's before it, and every joint within it looks alike."""
    for spaces in range(4, 120, 3):
        text = (LINES[0] + "x" + " " * spaces + "y z, and more of it: 1, 2, 3, 4, 5.").encode()
        before = READERS["SentencePiece"].read(text[:-1])
        assert READERS["SentencePiece"].read(text, before).ids == whole("SentencePiece", text)


def test_words_that_can_be_cut_in_two_ways_as_good():
    """Which of two equal sums is larger in floating point depends on what stands before: on the whole word."""
    scores = {"<unk>": -9, "▁": -1, "x": -0.7, "1": -0.3, "a": -1.1, "bc": -1.7, "ab": -1.7, "c": -1.1}
    backend = Tokenizer(models.Unigram(list(scores.items()), unk_id=0, byte_fallback=False))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    text = "".join("x1" * length + "abc" for length in range(30))
    reader, reading = Reader(tokenizer), None
    for length in range(len(text)):
        reading = reader.read(text[:length].encode(), reading)
        assert reading.ids == tokenizer(text[:length], add_special_tokens=False)["input_ids"]


def test_an_added_token_that_is_completed_late():
    """Its beginning was cut as text, in which a window might begin."""
    tokenizer = copy.deepcopy(small_tokenizer("groups of digits"))
    long = "<|" + "a mark of several words, " * 4 + "|>"
    tokenizer.add_special_tokens({"additional_special_tokens": [long]})
    reader = Reader(tokenizer)
    before = reader.read((LONG + long[:-1]).encode())
    assert reader.read((LONG + long).encode(), before).ids[-1] == tokenizer.convert_tokens_to_ids(long)


@pytest.mark.parametrize("kind", BYTE_LEVEL)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_tokens_of_byte_level_vocabularies_end_where_their_bytes_do(kind, text):
    """And their bytes, joined, are the text; but "<mask>" takes the spaces beside it with it."""
    spoken, reading = token_bytes(small_tokenizer(kind)), READERS[kind].read(text.encode())
    for id, (start, end) in zip(reading.ids, pairwise([0, *reading.ends]), strict=True):
        assert spoken[id] in (None, reading.text[start:end]) or spoken[id] == reading.text[start:end].strip()
    assert [0, *reading.ends][-1] == len(text.encode())


def ends(kind, text):
    reading = READERS[kind].read(text if isinstance(text, bytes) else text.encode())
    tokens = small_tokenizer(kind).convert_ids_to_tokens(reading.ids)
    return list(zip(tokens, reading.ends, strict=True))


def test_a_character_cut_between_tokens_ends_inside():
    assert [end for _, end in ends("groups of digits", "🙂!")] == [1, 2, 3, 4, 5]
    assert [end for _, end in ends("SentencePiece", "🙂")][-4:] == [1, 2, 3, 4]


def test_an_incomplete_character_waits():
    reading = READERS["groups of digits"].read("né🙂".encode()[:-1])
    assert reading.ends[-1] == 3 < len(reading.text) == 6


def test_bytes_that_are_no_text_are_covered_by_the_sign_that_stands_for_them():
    assert ends("groups of digits", b"a\xffb")[-1][1] == 3
    assert ends("groups of digits", b"\xf0\x9f\x99 !")[-1][1] == 5


def test_what_is_composed_before_it_is_cut_is_covered_whole():
    assert ends("composed", "cafe\u0301 x")[-1] == ("Ġx", 8)
    assert next(end for token, end in ends("composed", "qe\u0301 x") if token.endswith("©")) == 4
    assert next(end for token, end in ends("WordPiece", "e\u0301 x") if token == "e") == 3


def test_a_space_put_before_a_text_covers_nothing_of_it():
    assert ends("SentencePiece", "The answer")[0] == ("▁The", 3)
    assert ends("Unigram", "The answer")[-1][1] == 10


def test_spaces_that_a_special_token_takes_with_it_are_its_own():
    assert ends("groups of digits", "a <mask>  b") == [("a", 1), ("<mask>", 10), ("b", 11)]


def test_truncation_that_a_user_turned_on_does_not_cut_the_text_short():
    """Truncation stays with a fast tokenizer after the call that asked for it."""
    tokenizer = copy.deepcopy(small_tokenizer("groups of digits"))
    tokenizer("one two three", truncation=True, max_length=2)
    assert len(Reader(tokenizer).read(b"one two three").ids) > 2


def test_literal_special_tokens_are_text_where_the_tokenizer_says_so():
    tokenizer = copy.deepcopy(small_tokenizer("groups of digits"))
    assert len(Reader(tokenizer).read(END.encode()).ids) == 1
    tokenizer.split_special_tokens = True
    assert Reader(tokenizer).read(END.encode()).ids == tokenizer(END, add_special_tokens=False)["input_ids"]
    assert len(Reader(tokenizer).read(END.encode()).ids) > 1


def test_a_tokenizer_that_cannot_be_read_as_bytes_is_refused():
    with pytest.raises(TrioError, match="should be a fast one"):
        Reader(object())


def test_nothing_is_read_twice():
    reading = Reading(b"x", [1], [1])
    assert READERS["mini"].read(b"x", reading) is reading
