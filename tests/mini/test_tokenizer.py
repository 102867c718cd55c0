"""The tokenizers: the same ids however they are loaded, and every text comes back."""

from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from thinklogit.mini import corpus, tokenizer, training, world

TOKENIZER, OTHER = tokenizer.build(), tokenizer.build_other()
QUESTION = "A pen costs 8, a cup 13. Ann paid 55. How many of each?"
MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module", params=["llama", "qwen3"])
def saved(request, tmp_path_factory):
    """A tokenizer, and a folder like a member's: AutoTokenizer chooses its class by the config beside it."""
    from transformers import AutoConfig

    folder = tmp_path_factory.mktemp("member")
    AutoConfig.for_model(request.param).save_pretrained(folder)
    built = {"llama": TOKENIZER, "qwen3": OTHER}[request.param]
    built.save_pretrained(folder)
    return built, folder


def real_texts():
    documents = [
        *islice(corpus.documents(corpus.PRETRAINING, corpus.TRUTH, 11), 1200),
        *islice(corpus.documents(corpus.FINE_TUNING, corpus.GUIDER, 12), 400),
    ]
    typed = [QUESTION, "héllo 日本 <b>", "200 pens + 1000 cups = 99999", "a  b\n\n\tc ", " 1 pen", ""]
    return [document.prompt + tokenizer.ASSISTANT + document.response for document in documents] + typed


def test_every_loader_gives_the_same_ids_and_the_text_comes_back(saved):
    built, folder = saved
    texts = real_texts()
    loaded = [AutoTokenizer.from_pretrained(folder), PreTrainedTokenizerFast.from_pretrained(folder)]
    expected = built(texts)["input_ids"]
    for other in loaded:
        assert other(texts)["input_ids"] == expected
        assert other.batch_decode(expected) == texts
        assert (other.eos_token, other.pad_token, other.padding_side) == (tokenizer.END, tokenizer.PAD, "left")


@given(st.text())
def test_any_text_comes_back(text):
    for built in (TOKENIZER, OTHER):
        assert built.decode(built(text)["input_ids"]) == text


def test_numbers_and_words_of_the_world_are_one_token_each():
    pieces = [TOKENIZER.decode([id]) for id in TOKENIZER("2 pens: 53-7=46, no. ")["input_ids"]]
    assert pieces == ["2", " pens", ": ", "53", "-", "7", "=", "46", ", ", "no", ". "]
    assert all(len(TOKENIZER(str(number))["input_ids"]) == 1 for number in range(world.ITEMS[-1] + 1))


def test_the_other_tokenizer_merges_words_and_splits_long_numbers():
    ids = OTHER("2 pens: 153-7=146, 13*11=143, no. Wait, 3 pens: ")["input_ids"]
    pieces = [OTHER.decode([id]) for id in ids]
    assert pieces[-5:] == ["14", "3", ", no. Wait, ", "3", " pens: "]
    assert len(OTHER(QUESTION)["input_ids"]) < len(TOKENIZER(QUESTION)["input_ids"])


def test_numbers_the_members_never_read_fall_back_to_digits():
    assert TOKENIZER.tokenize("1805") == ["1", "8", "0", "5"]


def test_every_build_has_the_same_vocabulary():
    assert tokenizer.build().get_vocab() == TOKENIZER.get_vocab()
    assert tokenizer.build_other().backend_tokenizer.to_str() == OTHER.backend_tokenizer.to_str()


def test_chat_template_is_the_training_format(saved):
    _, folder = saved
    loaded = AutoTokenizer.from_pretrained(folder)
    ids = loaded.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert loaded.decode(ids) == f"<|user|>{QUESTION}<|assistant|>"
    whole = loaded.apply_chat_template(
        [*MESSAGES, {"role": "assistant", "content": "Answer: 2 pens, 3 cups."}], tokenize=False
    )
    assert whole == f"<|user|>{QUESTION}<|assistant|>Answer: 2 pens, 3 cups.<|end|>"


def test_a_role_unknown_to_the_members_is_refused():
    with pytest.raises(Exception, match="not system"):
        TOKENIZER.apply_chat_template([{"role": "system", "content": "Be brief."}, *MESSAGES], tokenize=False)


@pytest.mark.parametrize("folder", ["", *training.STEPS])
def test_the_shipped_members_have_these_tokenizers(folder):
    """Weights trained with one vocabulary are noise under another: a change of the corpus must bring new members."""
    shipped = AutoTokenizer.from_pretrained(Path(tokenizer.__file__).parent / "trio" / folder)
    built = OTHER if folder == "target_other" else TOKENIZER
    assert shipped.get_vocab() == built.get_vocab()
    texts = real_texts()[:200]
    assert shipped(texts)["input_ids"] == built(texts)["input_ids"]
    assert (shipped.padding_side, shipped.chat_template) == ("left", tokenizer.CHAT_TEMPLATE)
