"""The tokenizer: the same ids however it is loaded, and every text comes back."""

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from thinklogit.mini import corpus, tokenizer, world

TOKENIZER = tokenizer.build()
MESSAGES = [{"role": "user", "content": "Solve 15x+14y=87."}]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder like a member's: AutoTokenizer chooses its class by the config beside the tokenizer."""
    from transformers import LlamaConfig

    folder = tmp_path_factory.mktemp("member")
    LlamaConfig().save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return folder


def real_texts():
    documents = [
        *islice(corpus.documents(corpus.PRETRAINING, 11), 1200),
        *islice(corpus.documents(corpus.FINE_TUNING, 12), 400),
    ]
    typed = ["Solve 15x+14y=87.", "héllo 日本 <b>", "200x + 1000y = 99999", "a  b\n\n\tc ", " Try x=1", ""]
    return [document.prompt + tokenizer.ASSISTANT + document.response for document in documents] + typed


def test_every_loader_gives_the_same_ids_and_the_text_comes_back(saved):
    texts = real_texts()
    loaded = [AutoTokenizer.from_pretrained(saved), PreTrainedTokenizerFast.from_pretrained(saved)]
    expected = TOKENIZER(texts)["input_ids"]
    for other in loaded:
        assert other(texts)["input_ids"] == expected
        assert other.batch_decode(expected) == texts
        assert (other.eos_token, other.pad_token, other.padding_side) == (tokenizer.END, tokenizer.PAD, "left")


@given(st.text())
def test_any_text_comes_back(text):
    assert TOKENIZER.decode(TOKENIZER(text)["input_ids"]) == text


def test_numbers_and_words_of_the_world_are_one_token_each():
    assert TOKENIZER.tokenize("15x+14y=87") == ["15", "x", "+", "14", "y=", "87"]
    assert all(len(TOKENIZER(str(number))["input_ids"]) == 1 for number in range(world.LARGEST_TOTAL + 1))


def test_numbers_the_members_never_read_fall_back_to_digits():
    assert TOKENIZER.tokenize("1805") == ["1", "8", "0", "5"]


def test_every_build_has_the_same_vocabulary():
    assert tokenizer.build().get_vocab() == TOKENIZER.get_vocab()


def test_chat_template_is_the_training_format(saved):
    loaded = AutoTokenizer.from_pretrained(saved)
    ids = loaded.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert loaded.decode(ids) == "<|user|>Solve 15x+14y=87.<|assistant|>"
    whole = loaded.apply_chat_template(
        [*MESSAGES, {"role": "assistant", "content": "Answer: x=3, y=3."}], tokenize=False
    )
    assert whole == "<|user|>Solve 15x+14y=87.<|assistant|>Answer: x=3, y=3.<|end|>"


def test_a_role_unknown_to_the_members_is_refused():
    with pytest.raises(Exception, match="not system"):
        TOKENIZER.apply_chat_template([{"role": "system", "content": "Be brief."}, *MESSAGES], tokenize=False)


@pytest.mark.parametrize("folder", ["", "target", "guider", "base"])
def test_the_shipped_trio_has_this_tokenizer(folder):
    """Weights trained with one vocabulary are noise under another: a change of the corpus must bring a new trio."""
    shipped = AutoTokenizer.from_pretrained(Path(tokenizer.__file__).parent / "trio" / folder)
    assert shipped.get_vocab() == TOKENIZER.get_vocab()
    texts = real_texts()[:200]
    assert shipped(texts)["input_ids"] == TOKENIZER(texts)["input_ids"]
    assert (shipped.padding_side, shipped.chat_template) == ("left", tokenizer.CHAT_TEMPLATE)
