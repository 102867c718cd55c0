"""Which answers become pairs, how many, and that each that does not is counted by its reason."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.train.choice import Choice, Kind
from thinklogit.train.pairs import Answer, build


def ends(text):
    """A token a word."""
    places, at = [], 0
    for word in text.split(" "):
        at += len(word)
        places.append(at)
        at += 1
    return places


def answer(source, text, correct, problem="p", index=0, finished=True):
    return Answer(problem, f"Question {problem}", source, index, text, len(text.split()), finished, correct)


def built(answers, **choice):
    return build(answers, Choice(**choice), ends)


def texts(built):
    return {(pair.kind, pair.chosen.text, pair.rejected.text) for pair in built.pairs}


ANSWERS = [
    answer("target", "so it is 4", True),
    answer("target", "so it is 5", False, index=1),
    answer("guider", "so let me think it is 4", True),
    answer("guider", "so let me think it is 6", False, index=1),
]


def test_a_right_answer_of_one_over_a_wrong_one_of_the_other():
    assert texts(built(ANSWERS)) == {
        ("target_over_guider", "so it is 4", "so let me think it is 6"),
        ("guider_over_target", "so let me think it is 4", "so it is 5"),
    }


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("guider_over_guider", ("so let me think it is 4", "so let me think it is 6")),
        ("target_over_target", ("so it is 4", "so it is 5")),
    ],
)
def test_the_kinds_of_the_ablations(kind, pair):
    assert texts(built(ANSWERS, kinds=(kind,))) == {(kind, *pair)}


def test_what_guidance_spoilt_can_be_rejected_too():
    guided = answer("guided", "so let me think it is 7", False)
    found = built([*ANSWERS, guided], kinds=("target_over_guided",))
    assert texts(found) == {("target_over_guided", "so it is 4", "so let me think it is 7")}
    assert Choice(kinds=("target_over_guided",)).sources == ("target", "guided")


def test_a_pair_keeps_what_it_was_made_of():
    [pair] = built(ANSWERS, kinds=("guider_over_target",)).pairs
    assert (pair.problem_id, pair.prompt) == ("p", "Question p")
    assert (pair.chosen.index, pair.chosen.tokens, pair.chosen.cut) == (0, 7, False)
    assert (pair.rejected.index, pair.rejected.tokens, pair.rejected.cut) == (1, 4, False)


def test_what_is_left_out_is_counted_by_its_reason():
    out = [
        answer("target", "cut off", True, index=2, finished=False),
        answer("target", " ", True, index=3),
        answer("target", "so it is 4", True, index=4),
        answer("guider", "6", False, index=2),
        answer("guider", "so " * 30 + "6", False, index=3),
    ]
    counts = built([*ANSWERS, *out], min_tokens=2, max_tokens=20).counts.answers
    assert counts["target", "unfinished"] == counts["target", "empty"] == counts["target", "a duplicate"] == 1
    assert counts["guider", "too short"] == counts["guider", "too long"] == 1
    assert counts["target", "right"] == counts["guider", "wrong"] == 1
    assert sum(counts.values()) == len(ANSWERS) + len(out)


def test_a_cut_comes_so_many_tokens_after_the_answers_part():
    """Both begin with "so", which says nothing about how to answer; a cut counted from the start would depend on it."""
    pairs = {pair.kind: pair for pair in built(ANSWERS, cut_tokens=(2,)).pairs}
    pair = pairs["guider_over_target"]
    assert (pair.chosen.text, pair.rejected.text) == ("so let me", "so it is")
    assert (pair.chosen.cut, pair.rejected.cut) == (True, True)
    assert (pair.chosen.tokens, pair.rejected.tokens) == (3, 3)


def test_an_answer_shorter_than_the_cut_ends_where_it_ends():
    pair = built(ANSWERS, cut_tokens=(3,), kinds=("target_over_guider",)).pairs[0]
    assert (pair.chosen.text, pair.chosen.cut) == ("so it is 4", False)
    assert (pair.rejected.text, pair.rejected.cut) == ("so let me think", True)


def test_each_kind_can_have_a_cut_of_its_own():
    pairs = {pair.kind: pair for pair in built(ANSWERS, cut_tokens=(1, 0)).pairs}
    assert pairs["target_over_guider"].rejected.text == "so let"
    assert pairs["guider_over_target"].chosen.text == "so let me think it is 4"


def test_pairs_that_say_the_same_once_cut_are_left_out():
    more = [answer("guider", "so let me think it is 9", False, index=2)]
    found = built([*ANSWERS, *more], cut_tokens=(2,), kinds=("target_over_guider",))
    assert len(found.pairs) == 1
    assert found.counts.pairs["target_over_guider", "a duplicate once cut"] == 1


def test_luck_is_left_out_by_the_gap():
    """A target that guesses right once in four, where the guider was wrong once, teaches not to think."""
    lucky = [answer("target", f"so it is {n}", n == 4, index=n) for n in range(4, 8)]
    wrong = [answer("guider", "so let me think it is 6", False)]
    assert len(built([*lucky, *wrong], kinds=("target_over_guider",)).pairs) == 1
    knows = [answer("target", "so it is 4", True, "q"), answer("guider", "so let me think it is 6", False, "q")]
    found = built([*lucky, *wrong, *knows], kinds=("target_over_guider",), min_gap=0.5)
    assert [pair.problem_id for pair in found.pairs] == ["q"]
    assert found.counts.pairs["target_over_guider", "problems left out for the gap"] == 1


def test_the_gap_counts_answers_that_are_the_same_or_unfinished():
    """Once duplicates and unfinished answers were left out first, a problem answered right 7 times of 8 was even."""
    same = [answer("target", "so it is 4", True, index=n) for n in range(7)]
    off = [
        answer("target", "so it is 5", False, index=7),
        answer("guider", "so let me", False, index=1, finished=False),
    ]
    found = built([*same, *off, ANSWERS[3]], kinds=("target_over_guider",), min_gap=0.75)
    assert len(found.pairs) == 1


def many(right_of_target, right_of_guider):
    """Problems that one of the two gets right, and the other wrong."""
    answers = []
    for number in range(right_of_target + right_of_guider):
        of_target = number < right_of_target
        answers.append(answer("target", f"so {number}", of_target, f"p{number}"))
        answers.append(answer("guider", f"so let me think {number}", not of_target, f"p{number}"))
    return answers


def kinds_of(built):
    return [sum(pair.kind == kind for pair in built.pairs) for kind in ("target_over_guider", "guider_over_target")]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, [4, 12]),
        ({"pairs": 8}, [2, 6]),
        ({"mix": (1.0, 1.0)}, [4, 4]),
        ({"mix": (1.0, 2.0)}, [4, 8]),
        ({"mix": (1.0, 1.0), "pairs": 6}, [3, 3]),
        ({"mix": (1.0, 1.0), "pairs": 5}, [3, 2]),
        ({"mix": (1.0, 1.0), "oversample": True}, [12, 12]),
        ({"mix": (1.0, 1.0), "oversample": True, "pairs": 16}, [8, 8]),
    ],
)
def test_the_mix(choice, expected):
    found = built(many(4, 12), **choice)
    assert kinds_of(found) == expected
    kept = [found.counts.pairs[kind, "kept"] for kind in ("target_over_guider", "guider_over_target")]
    assert kept == expected


@given(
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(1, 5),
    st.integers(1, 5),
    st.booleans(),
    st.one_of(st.none(), st.integers(1, 60)),
)
@settings(max_examples=60, deadline=None)
def test_a_mix_holds_its_shares_and_its_limit(ours, theirs, part, other, oversample, pairs):
    found = kinds_of(
        built(many(ours, theirs), mix=(float(part), float(other)), oversample=oversample, pairs=pairs, per_problem=1)
    )
    assert pairs is None or sum(found) <= pairs
    assert abs(found[0] * other - found[1] * part) <= part + other  # as near as whole pairs allow
    if not oversample:
        assert found[0] <= ours
        assert found[1] <= theirs


def test_the_same_answers_give_the_same_pairs_and_another_seed_others():
    answers = [
        answer(source, f"{source} says {number}", number % 2 == 0, f"p{problem}", number)
        for problem in range(6)
        for source in ("target", "guider")
        for number in range(6)
    ]
    first, again, other = (built(answers, per_problem=2, seed=seed).pairs for seed in (0, 0, 1))
    assert first == again
    assert sorted(first) != sorted(other)


def test_of_one_problem_every_answer_is_used_before_one_is_used_again():
    answers = [answer("target", f"so {n}", True, index=n) for n in range(2)]
    answers += [answer("guider", f"so let me {n}", False, index=n) for n in range(4)]
    pairs = built(answers, kinds=("target_over_guider",), per_problem=8).pairs
    assert len(set(texts(built(answers, kinds=("target_over_guider",), per_problem=8)))) == len(pairs) == 8
    few = built(answers, kinds=("target_over_guider",), per_problem=4).pairs
    assert {pair.rejected.index for pair in few} == {0, 1, 2, 3}
    assert {pair.chosen.index for pair in few} == {0, 1}


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([ANSWERS[1], ANSWERS[3]], "the target has no right answer among 2 usable; try more of the target's answers"),
        ([ANSWERS[0], ANSWERS[2]], "the guider has no wrong answer among 2 usable; try a higher --guider-temperature"),
        (
            [ANSWERS[0], answer("guider", "so let me think it is 6", False, "q")],
            "no problem has both a right answer of the target and a wrong one of the guider among 2 usable",
        ),
        ([], "the target has no right answer among 0 usable"),
    ],
)
def test_where_no_pair_can_be_made_it_is_said_what_is_missing(answers, told):
    with pytest.raises(RecordError, match="no pair of the kind target_over_guider can be made") as raised:
        built(answers)
    assert told in str(raised.value)


def test_one_kind_without_pairs_is_an_error_only_where_a_mix_needs_it():
    answers = [ANSWERS[0], ANSWERS[3]]
    assert kinds_of(built(answers)) == [1, 0]
    with pytest.raises(RecordError, match="kind guider_over_target can be made: the guider has no right answer"):
        built(answers, mix=(1.0, 1.0))


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"kinds": ("guider_over_traget",)}, "did you mean 'target'"),
        ({"kinds": ("both",)}, "unknown kind of pair 'both'"),
        ({"kinds": ()}, "expected kinds of pair, each once; got none"),
        ({"kinds": ("target_over_guider", "target_over_guider")}, "each once"),
        ({"mix": (1.0,)}, "mix takes a finite number above 0 for each of"),
        ({"mix": (1.0, float("inf"))}, "mix takes a finite number above 0"),
        ({"mix": (1.0, 0.0)}, "mix takes a finite number above 0"),
        ({"pairs": 0}, "pairs must be a whole number, 1 or more; got 0"),
        ({"per_problem": 0}, "per_problem must be a whole number, 1 or more; got 0"),
        ({"cut_tokens": (1, 2, 3)}, "cut_tokens takes numbers of tokens"),
        ({"cut_tokens": (-1,)}, "cut_tokens takes numbers of tokens"),
        ({"min_gap": 2.0}, "min_gap must be a number from -1 to 1"),
    ],
)
def test_a_choice_that_cannot_be_is_refused(choice, told):
    with pytest.raises(OptionError, match=told):
        Choice(**choice)


def test_a_kind_is_read_from_its_name():
    assert Kind.parse("guider_over_target") == Kind("guider", "target")
    assert Kind("guider", "target").name == "guider_over_target"
