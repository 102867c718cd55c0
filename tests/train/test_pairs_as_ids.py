"""Pairs as ids: an end where an answer ends and none where it was cut, nothing cut silently."""

import pytest
from conftest import number_tokenizer

from thinklogit.core.errors import ContextError
from thinklogit.train.examples import answered, tokenized

END = 60


def row(chosen="3 4 5", rejected="6 7", chosen_cut=False, rejected_cut=False):
    return {
        "prompt": "1 2",
        "chosen": chosen,
        "rejected": rejected,
        "chosen_cut": chosen_cut,
        "rejected_cut": rejected_cut,
    }


def ids(*rows, max_length=100):
    return tokenized(rows, number_tokenizer(), END, max_length)


def test_an_answer_that_ended_ends_and_one_that_was_cut_does_not():
    """TRL appends an end token to every response; after a cut that teaches to stop in mid-sentence."""
    [pair] = ids(row(rejected_cut=True))
    assert pair == ([1, 2], [3, 4, 5, END], [6, 7])


def test_a_pair_that_is_too_long_is_refused_with_the_length_it_needs():
    with pytest.raises(ContextError, match=r"1 of 2 pairs are longer than max_length 6.*--max-length 8"):
        ids(row(), row(chosen="3 4 5 6 7"), max_length=6)
    assert len(ids(row(), row(chosen="3 4 5 6 7"), max_length=8)) == 2


def test_for_sft_every_chosen_answer_comes_once_and_its_prompt_is_not_learned():
    rows = answered(ids(row(), row(rejected="8"), row(chosen="9")))
    assert [each["input_ids"] for each in rows] == [[1, 2, 3, 4, 5, END], [1, 2, 9, END]]
    assert rows[0]["completion_mask"] == [0, 0, 1, 1, 1, 1]
