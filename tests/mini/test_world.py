"""The mini world: its splits, its grader, and what a user may type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError
from thinklogit.mini import world
from thinklogit.mini.world import Equation, Solution

EQUATIONS = [*world.equations("train"), *world.equations("dev"), *world.equations("report")]


def some_problem():
    return st.sampled_from(EQUATIONS).map(lambda equation: world.parse(str(equation)))


def test_splits_are_large_enough_and_hold_distinct_problems():
    sizes = {split: len({problem.id for problem in world.problems(split)}) for split in world.SPLIT_PERCENT}
    assert sizes["train"] >= 8000
    assert sizes["dev"] >= 500
    assert sizes["report"] >= 1000
    assert sum(sizes.values()) == len(set(EQUATIONS)) == len(EQUATIONS)


def test_mirrored_problems_share_a_split():
    where = {equation: world.split_of(equation) for equation in EQUATIONS}
    mirrored = [(e, Equation(e.b, e.a, e.c)) for e in EQUATIONS if Equation(e.b, e.a, e.c) in where]
    assert len(mirrored) > 1000
    assert all(where[equation] == where[twin] for equation, twin in mirrored)


def test_the_split_of_a_problem_never_changes():
    """Published figures name their split: these would become wrong if the hash, or the shares, moved."""
    known = [Equation(15, 14, 87), Equation(9, 14, 116), Equation(14, 9, 116), Equation(10, 14, 52)]
    assert [world.split_of(equation) for equation in known] == ["train", "dev", "dev", "report"]


def test_problems_come_in_an_order_drawn_from_the_seed():
    first, again, other = (world.problems("dev", 50, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert world.problems("dev", 10, 1) == first[:10]


@pytest.mark.parametrize("split", ["test", "reports", ""])
def test_unknown_split_is_an_error(split):
    with pytest.raises(OptionError, match="unknown split"):
        world.problems(split)


@pytest.mark.parametrize("n", [-1, 10**6])
def test_more_problems_than_there_are_is_an_error(n):
    with pytest.raises(OptionError, match="all that split 'dev' holds"):
        world.problems("dev", n)


def test_every_problem_is_graded_right_by_its_own_answer():
    for problem in world.problems("dev"):
        assert world.grade(problem, f"Answer: {problem.answer}.").correct
        assert problem.split == "dev"


@given(some_problem(), st.integers(1, 60), st.integers(1, 60))
def test_an_answer_is_right_exactly_when_it_solves_the_equation(problem, x, y):
    a, b, c = (problem.metadata[name] for name in "abc")
    grade = world.grade(problem, f"So... Answer: x={x}, y={y}.")
    assert grade.correct == (a * x + b * y == c)
    assert grade.extracted == str(Solution(x, y))
    assert f"{a}*{x}+{b}*{y}={a * x + b * y}" in grade.reason


@given(some_problem(), st.text())
def test_no_text_makes_the_grader_raise(problem, text):
    grade = world.grade(problem, text, index=3)
    assert (grade.problem_id, grade.index, grade.completion) == (problem.id, 3, text)
    world.grade(problem, f"Answer: x={text}, y={text}"), world.checks(text), world.backtracks(text)


PROBLEM = world.parse("15x+14y=87")


@pytest.mark.parametrize(
    "text",
    [
        "Answer: x=3, y=3.",
        "answer : X = 3 ; Y=3",
        "**Answer:** x = 3 and y = 3",
        "Answer: x=1, y=1. No. Answer: x=3, y=3",
        "Answer: x=3, y=3. Or, Answer: x=",
    ],
)
def test_right_answers_are_read_from_what_people_write(text):
    grade = world.grade(PROBLEM, text)
    assert grade.correct
    assert grade.extracted == "x=3, y=3"


@pytest.mark.parametrize(
    ("text", "extracted", "reason"),
    [
        ("", None, "no "),
        ("x=3, y=3", None, "no "),
        ("Answer: x=3.5, y=3", None, "no "),
        ("Answer: x=3, y=3.5", None, "no "),
        ("Answer: x=" + "3" * 5000 + ", y=3", None, "no "),
        ("Answer: x=3, y=3. No. Answer: x=3, y=2.", "x=3, y=2", "15*3+14*2=73, not 87"),
        ("Answer: x=-11, y=18", "x=-11, y=18", "positive"),
        ("Answer: x=٣, y=٣", None, "no "),
    ],
)
def test_wrong_answers_say_why(text, extracted, reason):
    grade = world.grade(PROBLEM, text)
    assert not grade.correct
    assert grade.extracted == extracted
    assert reason in grade.reason


@pytest.mark.parametrize(
    "typed", ["15x+14y=87", "Solve 15x + 14y = 87.", " 15*x+14*y=87 please", "15X+14Y=87", PROBLEM.question]
)
def test_a_typed_problem_is_read(typed):
    assert world.parse(typed) == PROBLEM
    assert PROBLEM.id == "15x+14y=87"
    assert PROBLEM.answer == "x=3, y=3"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("hello", "found none in 'hello'"),
        ("1.5x+14y=87", "found none"),
        ("15x+14y=87.5", "found none"),
        ("20x+14y=87", "a and b from 3 to 19 and c at most 180; got 20x+14y=87"),
        ("15x+14y=187", "c at most 180"),
        ("15x+14y=20", "15x+14y=20 is not; 15x+14y=29 is, try it"),
    ],
)
def test_a_problem_the_members_cannot_read_is_refused_in_one_line(typed, message):
    with pytest.raises(OptionError) as refused:
        world.parse(typed)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_words_are_counted():
    text = "Try x=1: no. Wait, try x=2: no. Go back, try x=3. Hmm, yes. Check: it works. Checked."
    assert (world.backtracks(text), world.checks(text)) == (3, 1)
