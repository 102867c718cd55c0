"""The mini world: its splits, its grader, and what a user may type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError
from thinklogit.mini import world
from thinklogit.mini.world import Listed, Purchase

PURCHASES = [purchase for split in world.SPLIT_PERCENT for purchase in world.purchases(split)]


def some_problem():
    return st.sampled_from([problem for split in world.SPLIT_PERCENT for problem in world.problems(split)])


def some_purchase():
    return st.sampled_from([problem for problem in world.problems("dev") if problem.metadata["kind"] == "search"])


def test_splits_are_large_enough_and_hold_distinct_problems():
    sizes = {split: len({problem.id for problem in world.problems(split)}) for split in world.SPLIT_PERCENT}
    assert sizes["train"] >= 2500
    assert sizes["dev"] >= 500
    assert sizes["report"] >= 1200
    assert sum(sizes.values()) == len(set(PURCHASES)) + len(world.ITEMS)
    for split, least in (("dev", 25), ("report", 70)):
        assert len(world.problems(split, kind="recall")) >= least


def test_mirrored_prices_share_a_split_whatever_is_bought():
    where = {(each.first_price, each.second_price, each.paid): world.split_of(each) for each in PURCHASES}
    mirrored = [prices for prices in where if (prices[1], prices[0], prices[2]) in where]
    assert len(mirrored) > 1000
    assert all(where[prices] == where[prices[1], prices[0], prices[2]] for prices in mirrored)
    assert world.split_of(PURCHASES[0]) == world.split_of(PURCHASES[0]._replace(first="drum", second="kite"))


def test_the_split_and_the_price_of_a_problem_never_change():
    """Published figures name their split: these would become wrong if a hash, or the shares, moved."""
    known = [Purchase("pen", 7, "cup", 13, 53), Purchase("map", 5, "bag", 14, 43), Purchase("bag", 11, "kite", 12, 47)]
    assert [world.split_of(purchase) for purchase in known] == ["report", "dev", "train"]
    assert [(world.split_of(item), item.price) for item in (Listed(57), Listed(58))] == [("train", 8), ("report", 17)]


def test_problems_come_in_an_order_drawn_from_the_seed():
    first, again, other = (world.problems("dev", 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert world.problems("dev", 10, 1) == first[:10]


def test_both_kinds_are_told_apart():
    both = world.problems("dev")
    assert {problem.metadata["kind"] for problem in both} == set(world.KINDS)
    for kind in world.KINDS:
        only = world.problems("dev", kind=kind)
        assert {problem.id for problem in only} == {p.id for p in both if p.metadata["kind"] == kind}
    levels = [problem.metadata["level"] for problem in world.problems("dev", kind="search")]
    assert set(levels) == set(world.FIRST_COUNTS)


@pytest.mark.parametrize(("split", "kind"), [("test", None), ("", None), ("dev", "both")])
def test_unknown_split_or_kind_is_an_error(split, kind):
    with pytest.raises(OptionError, match="unknown"):
        world.problems(split, kind=kind)


@pytest.mark.parametrize("n", [-1, 10**6])
def test_more_problems_than_there_are_is_an_error(n):
    with pytest.raises(OptionError, match="all that split 'dev' holds"):
        world.problems("dev", n)


def test_every_problem_is_graded_right_by_its_own_answer_and_read_again_from_its_words():
    for problem in world.problems("dev"):
        assert world.grade(problem, f"Answer: {problem.answer}.").correct
        assert problem.split == "dev"
        assert world.parse(problem.question) == world.parse(problem.id) == problem


@given(some_purchase(), st.integers(1, 60), st.integers(1, 60))
def test_counts_are_right_exactly_when_they_cost_what_was_paid(problem, one, other):
    purchase = world.subject_of(problem.id)
    text = purchase.counted(world.Counts(one, other))
    grade = world.grade(problem, f"So... Answer: {text}.")
    total = one * purchase.first_price + other * purchase.second_price
    assert grade.correct == (total == purchase.paid)
    assert grade.extracted == text
    assert f"={total}" in grade.reason


@given(st.sampled_from(world.ITEMS), st.integers(-5, 120))
def test_a_price_is_right_exactly_when_the_list_says_so(number, price):
    grade = world.grade(world.parse(f"item {number}"), f"Answer: {price}.")
    assert grade.correct == (price == Listed(number).price)
    assert grade.extracted == str(price)


@given(some_problem(), st.text())
def test_no_text_makes_the_grader_raise(problem, text):
    grade = world.grade(problem, text, index=3)
    assert (grade.problem_id, grade.index, grade.completion) == (problem.id, 3, text)
    world.grade(problem, f"Answer: {text} pens, {text} cups"), world.checks(text), world.backtracks(text)


PROBLEM = world.parse("a pen costs 7, a cup 13, Ann paid 53")


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 2 pens, 3 cups.",
        "answer : 2 Pens and 3 CUPS",
        "**Answer:** 2 pens, 3 cups",
        "Answer: 3 cups, 2 pens",
        "Answer: 1 pen, 1 cup. No. Answer: 2 pens, 3 cups",
        "Answer: 2 pens, 3 cups. Or, Answer: 2 pens",
    ],
)
def test_right_answers_are_read_from_what_people_write(text):
    assert world.grade(PROBLEM, text).correct


@pytest.mark.parametrize(
    ("text", "extracted", "reason"),
    [
        ("", None, "no "),
        ("2 pens, 3 cups", None, "no "),
        ("Answer: " + "3" * 5000 + " pens, 3 cups", None, "no "),
        ("Answer: 2 pens, 3 cups. No. Answer: 2 pens, 2 cups.", "2 pens, 2 cups", "2*7+2*13=40, not 53"),
        ("Answer: 0 pens, 3 cups", "0 pens, 3 cups", "at least one"),
        ("Answer: 2 pens, 3 maps", "2 pens, 3 maps", "expected pens and cups"),
        ("Answer: 2 pens, 3 pens", "2 pens, 3 pens", "expected pens and cups"),
        ("Answer: ٢ pens, ٣ cups", None, "no "),
    ],
)
def test_wrong_answers_say_why(text, extracted, reason):
    grade = world.grade(PROBLEM, text)
    assert not grade.correct
    assert grade.extracted == extracted
    assert reason in grade.reason


def test_a_price_must_be_a_whole_number():
    item = Listed(57)
    problem = world.parse("item 57")
    assert world.grade(problem, f"Answer: 1. No. Answer: {item.price}.").correct
    for text in ("", f"{item.price}", f"Answer: {item.price}.5"):
        grade = world.grade(problem, text)
        assert (grade.correct, grade.extracted) == (False, None)


@pytest.mark.parametrize(
    "typed",
    [
        "a pen costs 7, a cup 13, Ann paid 53",
        "Pens cost 7 and cups 13. Ann paid 53.",
        "A PEN costs 7, a cup costs 13. Ann pays 53",
        PROBLEM.question,
        PROBLEM.id,
    ],
)
def test_a_typed_problem_is_read(typed):
    assert world.parse(typed) == PROBLEM
    assert PROBLEM.id == "pen 7, cup 13, paid 53"
    assert PROBLEM.answer == "2 pens, 3 cups"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("hello", "got 'hello'"),
        ("item 0", "an item from 1 to 150; got 0"),
        ("item 57.5", "got 'item 57.5'"),
        ("a pen costs 7.5, a cup 13, Ann paid 53", "expected 'What does item 57 cost?' or"),
        ("a pen costs 7, a cup 13, Ann paid 53.5", "expected 'What does item 57 cost?' or"),
        ("a pen costs 7, a tree 13, Ann paid 53", "unknown good 'tree'"),
        ("a pen costs 13, a cup 7, Ann paid 53", "the first price from 3 to 12"),
        ("a pen costs 7, a cup 13, Ann paid 163", "at most 160 paid"),
        ("a pen costs 7, a cup 13, Ann paid 21", "21 is not; 20 is, try it"),
    ],
)
def test_a_problem_the_members_cannot_read_is_refused_in_one_line(typed, message):
    with pytest.raises(OptionError) as refused:
        world.parse(typed)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_are_counted():
    text = "1 pen: no. Wait, 2 pens: no. Back, 3 pens. Hmm, yes. Check: it works. Checked."
    assert (world.backtracks(text), world.checks(text)) == (3, 1)
