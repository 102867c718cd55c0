r"""Maths answers, right and wrong, as models write them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinklogit.evals.grading.answers import boxes
from thinklogit.evals.grading.maths import grade_maths
from thinklogit.evals.grading.notation import as_integer

RIGHT = [
    # fractions, decimals, roots
    (r"\frac{1}{2}", r"\boxed{\frac{2}{4}}"),
    (r"\frac{3}{4}", r"\boxed{0.75}"),
    (r"\frac34", r"\boxed{3/4}"),
    (r"-\frac{1}{2}", r"\boxed{\dfrac{-1}{2}}"),
    (r"\frac{1}{3}", r"\boxed{0.333333333}"),
    (r"1\frac{1}{2}", r"\boxed{\frac{3}{2}}"),
    (r"\frac{3}{2}", r"\boxed{1 \tfrac{1}{2}}"),
    (r"3\sqrt{13}", r"\boxed{\sqrt{117}}"),
    (r"27.0", r"\boxed{27}"),
    # thousands
    ("1234567", r"\boxed{1,234,567}"),
    ("1234567", r"\boxed{1{,}234{,}567}"),
    ("1234567", r"\boxed{1\,234\,567}"),
    ("1234567", r"\boxed{1 234 567}"),
    ("1,234", r"\boxed{1234.00}"),
    # scientific notation
    ("4.5e33", r"\boxed{4.5 \times 10^{33}}"),
    (r"1 \times 10^{-30}", r"\boxed{1e-30}"),
    ("35000", r"\boxed{3.5 \times 10^4}"),
    # units, money, percent, degrees
    ("5", r"\boxed{5 \text{ cm}}"),
    (r"15\mbox{ cm}^2", r"\boxed{15}"),
    (r"15\text{ cm}^2", r"\boxed{15\ \text{cm}^2}"),
    (r"10\text{ meters}", r"\boxed{10\text{ m}}"),
    (r"32\text{ feet}", r"\boxed{32 \text{ ft}}"),
    ("5", r"\boxed{5 dollars}"),
    ("5", r"\boxed{5 m}"),
    ("5", r"\boxed{5cm}"),
    (r"\frac94", r"\boxed{\frac{9}{4} kg}"),
    ("3t", r"\boxed{3 t}"),
    (r"\frac{1}{m}t", r"The answer is $\frac{1}{m}t$."),
    (r"2\pi r h", r"\boxed{2 h r \pi}"),
    ("5", r"\boxed{\$5}"),
    ("5000000", r"\boxed{5 \text{ million}}"),
    (r"2.5 \text{ million dollars}", r"\boxed{2,500,000}"),
    (r"\$32,348", r"\boxed{32348}"),
    ("28\\%", r"\boxed{28}"),
    ("28\\%", r"The share is 28 percent."),
    (r"336^\circ", r"\boxed{336}"),
    ("336", r"\boxed{336°}"),
    # intervals, tuples, sets, lists
    ("[0,1)", r"\boxed{[0, 1)}"),
    (r"(-\infty, 2) \cup (2, \infty)", r"\boxed{\left(-\infty,2\right)\cup\left(2,\infty\right)}"),
    ("(3, \\frac{\\pi}{2})", r"\boxed{\left( 3, \frac{\pi}{2} \right)}"),
    ("1,-2", r"\boxed{-2, 1}"),
    (r"6 \text{ and } 8", r"\boxed{8,6}"),
    (r"\{1,2,3\}", r"\boxed{3, 1, 2}"),
    (r"1 \pm \sqrt{19}", r"\boxed{1 - \sqrt{19}, 1 + \sqrt{19}}"),
    (r"\pm 7", r"\boxed{7 \text{ or } -7}"),
    # several boxes that are one answer
    ("-2,1", r"$\boxed{1}$ and $\boxed{-2}$"),
    ("-2,1", r"\[\boxed{1} \quad \text{or} \quad \boxed{-2}.\]"),
    ("1,2,3", r"\boxed{1}, \boxed{2}, and \boxed{3}"),
    ("3,5", r"$x = \boxed{3}$ and $y = \boxed{5}$"),
    ("2,1", r"She needs \boxed{1} jar and \boxed{2} lids."),
    (r"\boxed{1} and \boxed{-2}", r"\boxed{-2,1}"),
    # matrices, equations, inequalities
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\boxed{\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}}"),
    ("5", r"\boxed{x = 5}"),
    ("x=5", r"\boxed{5}"),
    ("x \\geq 5", r"\boxed{5 \le x}"),
    (r"y = 2x + 1", r"\boxed{2x+1}"),
    (r"p=5,q=2;p=7,q=2", r"\boxed{p = 5, q = 2 \text{ and } p = 7, q = 2}"),
    # words, letters, bases
    (r"\text{Evelyn}", r"\boxed{\textbf{Evelyn}}"),
    (r"\text{Evelyn}", r"\boxed{Evelyn}"),
    (r"\text{no solution}", r"\boxed{\text{No solution.}}"),
    (r"\text{(B)}", r"\boxed{B}"),
    (r"\text{C,E}", r"\boxed{E, C}"),
    (r"\text{4:30 p.m.}", r"\boxed{4:30 \text{ PM}}"),
    (r"\text{June 20}", r"\boxed{\text{June } 20}"),
    ("1112112_3", r"\boxed{1112112_{3}}"),
    ("204_5", r"\boxed{204}"),
    # where the answer stands
    ("204", r"First \boxed{17}. But that misses a case. So \boxed{204}"),
    ("204", r"<think>It is \boxed{17}.</think>The answer is 204."),
    ("204", r"It is \boxed{17}</think> $\boxed{204}$"),
    ("5", r"\boxed{\boxed{5}}"),
    ("5", r"\boxed{x = \boxed{5}}"),
    ("5", r"so $\boxed 5$."),
    ("42", r"so $\boxed42$."),
    ("5", r"\fbox{5}"),
    ("7", r"\\boxed{7}, with every backslash doubled"),
    ("5", r"\boxed{5}, in \boxed notation"),
    ("5", r"\boxed{5}, as was asked for in \boxed{}."),
    (r"\{1\}", r"\boxed{\{1\}}"),
    ("42", "The answer is 42."),
    ("42", "The answer is $42$."),
    ("-7", "x \u2212 3 = \u221210, so the answer is \\boxed{\u22127}."),
    ("17", r"\boxed{17.}"),
    ("10455", r"= \boxed{255}$ in all. Final Answer: The final answer is $10,455$. I hope it is correct."),
    ("(3,5)", "The answer is (3,5)."),
    ("2, 3", "x is 2 or 3."),
    # notation that math-verify misreads
    ("2-3i", r"\boxed{-3i+2}"),
    (r"\log_2 3", r"\boxed{\frac{\ln 3}{\ln 2}}"),
    (r"66 \frac23\%", r"\boxed{66\frac{2}{3}\%}"),
    (r"0.\overline{3}", r"\boxed{\frac13}"),
    (r"\frac{1}{6}", r"\boxed{0.1\overline{6}}"),
    ("7", r"\boxed{\,7\,}"),
    ("7", r"\boxed{\color{red}{7}}"),
    ("90", r"\boxed{90\degree}"),
    ("12", r"\boxed{12~\mathrm{cm}}"),
    ("x=1,y=2", r"\boxed{(1,2)}"),
    (r"\frac{1}{12}", r"\boxed{0.083333}"),
    # how a reference may be given
    ("the value is $\\frac{3}{4}$", r"\boxed{0.75}"),
    ("We find $x = 2$, so it is $\\boxed{7}$.", r"\boxed{7}"),
    ("$125$ miles", r"\boxed{125}"),
    ("1,22", "1.22"),
]

WRONG = [
    (r"\frac{1}{3}", r"\boxed{0.333}"),
    (r"\frac{1}{3}", r"\boxed{0.33}"),
    (r"\sqrt{2}", r"\boxed{1.41}"),
    ("7", r"\boxed{-7}"),
    ("7", r"\boxed{\pm 7}"),
    (r"1 \pm \sqrt{2}", r"\boxed{1 + \sqrt{2}}"),
    ("123456789", r"\boxed{123456788}"),
    (r"1\frac{1}{2}", r"\boxed{\frac{1}{2}}"),
    ("235", r"\boxed{1 234}"),
    ("3", r"\boxed{1 2}"),
    ("1234", r"\boxed{1, 234}"),
    (r"1 \times 10^{-30}", r"\boxed{2 \times 10^{-30}}"),
    ("1.2e-7", r"\boxed{1.4e-7}"),
    ("4.5e33", r"\boxed{4.5}"),
    (r"5\text{ cm}", r"\boxed{5\text{ km}}"),
    (r"20 \text{ cm}^3", r"\boxed{20\text{ cm}^2}"),
    (r"20 \text{ cm}", r"\boxed{20\text{ square cm}}"),
    (r"\$5", r"\boxed{5\text{ cents}}"),
    ("0.001", r"\boxed{0.0010004}"),
    ("(0.0000001, 2)", r"\boxed{(0.0000003, 2)}"),
    ("x=1,y=2", r"\boxed{(2,1)}"),
    ("(1,2)", r"\boxed{y=1,x=2}"),
    ("5", "The answer is not 5, it is 6."),
    ("6", "x = 5 or x = 6"),
    (r"12:30 \text{ p.m.}", r"\boxed{12:30 \text{ a.m.}}"),
    (r"\text{June 20}", r"\boxed{\text{June } 21}"),
    (r"\text{C,E}", r"\boxed{C,F}"),
    ("5", r"\boxed{5 \text{ million}}"),
    ("(0,1)", r"\boxed{[0,1)}"),
    ("(1,2)", r"\boxed{(2,1)}"),
    ("1,2", r"\boxed{1,2,3}"),
    ("1,2,3", r"\boxed{1,2}"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\boxed{\begin{pmatrix} 2 \\ 1 \end{pmatrix}}"),
    ("x=5", r"\boxed{y=5}"),
    ("x > 5", r"\boxed{x < 5}"),
    ("x > 5", r"\boxed{x \ge 5}"),
    (r"x^2 = 5", r"\boxed{5}"),
    ("3t", r"\boxed{3}"),
    ("3", "The answer is $3t$."),
    ("3t", r"\boxed{3h}"),
    ("2ab", r"\boxed{2}"),
    (r"2\pi r h", r"\boxed{2\pi r}"),
    ("2p - 3m", r"\boxed{2p-3}"),
    (r"\text{Evelyn}", r"\boxed{\text{Debra}}"),
    (r"\text{tea}", r"\boxed{\text{eat}}"),
    (r"\text{god}", r"\boxed{dog}"),
    (r"\text{(B)}", r"\boxed{\text{(C)}}"),
    ("204_5", r"\boxed{204_6}"),
    ("1112112_3", r"\boxed{1112122_3}"),
    ("204", r"<think>It is \boxed{204}.</think>The answer is 17."),
    ("204", r"<think>It is \boxed{204}."),
    ("204", r"</think> no, wait <think> \boxed{204}"),
    ("204", r"It is \boxed{204}, or is it? No: \boxed{17}"),
    ("17204", r"First \boxed{17}. But that misses a case. So \boxed{204}"),
    ("1234", r"\boxed{1}, \boxed{234}"),
    ("17,204", r"First \boxed{17}. But that misses a case. So \boxed{204}"),
    ("1,2", r"\boxed{1} is wrong, so \boxed{2}"),
    ("1,2", r"\boxed{1} no no no no no \boxed{2}"),
    ("5", r"I will put it in \boxed{}."),
    ("5", r"$x = 5$? I must use \boxed notation: $\boxed{6}$"),
    ("5", ""),
    ("5", "   \n"),
    ("5", r"\boxed{5"),
    ("2", "AZYUK2A"),
    ("9", "Answer $ \n 9 \n $"),
]


@pytest.mark.parametrize(("reference", "completion"), RIGHT)
def test_a_right_answer_in_another_notation(reference, completion):
    verdict = grade_maths(completion, reference)
    assert verdict.correct, verdict


@pytest.mark.parametrize(("reference", "completion"), WRONG)
def test_a_wrong_answer(reference, completion):
    verdict = grade_maths(completion, reference)
    assert not verdict.correct, verdict


INTEGERS = {
    27: r"27|027|27.0|27.|+27|\text{27}|27 \text{ degrees}|27^\circ|27^{\circ}|27 degrees|m+n = 27|m + n = 20 + 7 = 27"
    r"|\mathbf{27}|$27$|{27}|27\text{ cm}^2",
    1234: r"1,234|1{,}234|1\,234|1234|\$1,234",
    -4: "-4|-4.0|\u22124|x=-4",
    0: "0|000|0.0",
    None: r"27.5|27 or 28|p = 27, q = 3|x \ge 27|x >= 27|\frac{27}{1}|27x|2^7||abc|1,23|2 7|27, 28|27 and 28|27\%|12 7"
    r"|27ab|27 \text{ thousand}|27\text{ or }28|27\text{ or 28}",
}


@pytest.mark.parametrize(
    ("number", "text"), [(number, text) for number, texts in INTEGERS.items() for text in texts.split("|")]
)
def test_integers_read(number, text):
    assert as_integer(text) == number


@pytest.mark.parametrize("reference", ["27", "027", "27.0", r"27^\circ", "the sum is $27$", r"so \boxed{27}"])
@pytest.mark.parametrize("given", ["27", "027", "27.0", r"27^\circ", r"\text{27}", "m+n=27", r"\frac{54}{2}"])
def test_integer_answers(reference, given):
    assert grade_maths(rf"\boxed{{{given}}}", reference, integer=True).correct
    assert not grade_maths(rf"\boxed{{{given}}}", reference.replace("27", "72"), integer=True).correct


def test_the_verdict_says_what_was_read_as_it_was_written_and_why():
    assert grade_maths(r"\boxed{027}", "27", integer=True) == (True, "027", "equal as integers")
    assert grade_maths(r"\boxed{\frac{2}{4}}", r"\frac12") == (True, r"\frac{2}{4}", "math-verify: equal")
    assert grade_maths(r"\boxed{\frac{2}{5}}", r"\frac12") == (False, r"\frac{2}{5}", "math-verify: not equal")
    assert grade_maths("", "1") == (False, None, "no answer found")
    assert grade_maths("<think>1", "1") == (False, None, "no answer found: the thinking never ends")
    assert grade_maths(r"\boxed{1} and \boxed{2}", "1,2").extracted == "1, 2"


def test_a_box_with_an_escaped_brace_ends_where_it_should():
    r"""Counting \} as a closing brace, or \{ as an opening one, ends a box too early or never.

    In \boxed{\left\{1, 2\right.} the two are not balanced, and need not be.
    """
    assert grade_maths(r"\boxed{\left\{1, 2\right.} for {all}", "1").extracted == r"\left\{1, 2\right."
    assert [box.content for box in boxes(r"\boxed{a\}}, \boxed{b}")] == [r"a\}", "b"]


def test_boxes_are_the_outermost_that_are_closed():
    assert [box.content for box in boxes(r"\boxed{} \boxed{a \boxed{b} c} \fbox{{d}} \boxed{e")] == [
        r"a \boxed{b} c",
        "{d}",
    ]
    assert [box.content for box in boxes(r"\boxed{e \boxed{f}")] == ["f"]


PIECES = [r"\boxed{", "}", "{", "$", "$$", r"\frac", "12", "-3", ",", "=", "x", r"\text{", "and", r"\left(", ")", r"\%"]
PIECES += [
    "</think>",
    "<think>",
    "^",
    "_",
    r"\sqrt",
    r"\pm",
    r"\\",
    "\\",
    "½",
    "[",
    r"\begin{pmatrix}",
    "&",
    "0.5",
    "e5",
]
PIECES += ["!", ":", "\u2212", " ", "\n"]
pieces = st.sampled_from(PIECES)


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=12).map("".join), st.lists(pieces, max_size=6).map("".join), st.booleans())
def test_any_text_has_a_verdict_with_a_reason(completion, reference, integer):
    verdict = grade_maths(completion, reference, integer=integer)
    assert verdict.reason
    assert not (verdict.correct and verdict.extracted is None)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=40), st.text(max_size=20))
def test_any_characters_have_a_verdict_with_a_reason(completion, reference):
    assert grade_maths(completion, reference).reason


@settings(max_examples=60, deadline=None)
@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.booleans())
def test_integers_are_equal_only_to_themselves(one, other, integer):
    assert grade_maths(rf"\boxed{{{one:,}}}", str(one), integer=integer).correct
    assert grade_maths(rf"\boxed{{{one}}}", str(other), integer=integer).correct == (one == other)


@settings(max_examples=60, deadline=None)
@given(st.fractions(max_denominator=999), st.fractions(max_denominator=999), st.integers(1, 9))
def test_fractions_are_equal_whatever_they_are_expanded_by(one, other, factor):
    expanded = rf"\boxed{{\frac{{{one.numerator * factor}}}{{{one.denominator * factor}}}}}"
    assert grade_maths(expanded, rf"\frac{{{one.numerator}}}{{{one.denominator}}}").correct
    assert grade_maths(expanded, f"{other.numerator}/{other.denominator}").correct == (one == other)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30).filter(lambda text: not re.search(r"[{}\\]|think", text) and text.strip()))
def test_the_last_box_counts(answer):
    verdict = grade_maths(rf"\boxed{{1}} was my first idea. It is not right. \boxed{{{answer}}}", "1")
    assert verdict.extracted is None or verdict.extracted == answer.strip()
