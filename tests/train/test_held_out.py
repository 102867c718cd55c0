"""Near copies of held-out problems, however they are wrapped; and that others are none."""

import pytest

from thinklogit.train.held_out import near_copies

HELD_OUT = [
    r"If $\frac{\sqrt{2x}}{\sqrt{3x-1}}=\frac32$, solve for $x$. Express your answer in simplest fractional form.",
    "For how many real values of $x$ is $\\sqrt{120-\\sqrt{x}}$ an integer?",
    "Find x.",
]


@pytest.mark.parametrize(
    "question",
    [
        HELD_OUT[1],
        HELD_OUT[1].upper().replace(" ", "  \n"),
        HELD_OUT[1].replace("120", "63"),
        HELD_OUT[2],
        f"{HELD_OUT[1][:-1]}, and which?",
    ],
)
def test_near_copies_are_found(question):
    [near] = near_copies({"a": question}, HELD_OUT)
    assert near.problem_id == "a"
    assert HELD_OUT[near.held_out] in (HELD_OUT[1], HELD_OUT[2])


def test_an_instruction_around_the_held_out_problem_hides_nothing():
    wrapped = [f"Solve the following math problem. Put your final answer within a box.\n\nQuestion: {HELD_OUT[1]}"]
    assert near_copies({"a": HELD_OUT[1]}, wrapped)


@pytest.mark.parametrize(
    "question",
    [
        "For how many positive integers n is n squared less than 120?",
        "Ann has 3 apples and eats one. How many are left?",
        "",
    ],
)
def test_other_problems_are_none(question):
    assert near_copies({"a": question}, HELD_OUT) == []


def test_without_held_out_problems_nothing_is_refused():
    assert near_copies({"a": HELD_OUT[0]}, []) == []
