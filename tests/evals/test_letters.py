"""Which letter a completion answers, in the ways that models answer."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thinklogit.evals.grading.letters import grade_letter, read_letter

ANSWERS = {
    "B": r"""
        \boxed{B}
        $\boxed{\text{(B)}}$
        \boxed{B. the second}
        \boxed{(B)}
        \boxed{\textbf{B}}
        \boxed{b}
        \boxed{\mathrm{B}}.
        \boxed{B: 12 m}
        \boxed{A}. No, wait. \boxed{B}
        \boxed{B}, that is \boxed{5.2}
        \boxed B
        <think>\boxed{A}</think>\boxed{B}
        <think>The answer is A</think>B
        The answer is B
        Answer: B
        **Answer:** (B)
        ANSWER: B
        Answer:~B
        the correct option is **B**.
        The answer to question A is B.
        The answer is therefore B, not A.
        The best choice would be (B).
        The answer is A. No: the answer is B.
        It can't be A, so it's B.
        So it must be B
        I choose B.
        I'll go with B
        The final answer is $\text{B}$.
        The answer is (B) Alina
        B
        B~~
        (B)
        **B**
        B.
        Reasoning.~~B~
        Some thoughts on A and C.~(B)
        B. Because of gravity.
        B) it grows
        B: it grows
        **B.** it grows
        B, as A fails
        La réponse est B
        La respuesta es B.
        Die Antwort ist B
        Die Antwort lautet: B
        La risposta è B
        答案是B
        答案:B
        正确答案为 B。
        选B
        答えはB
        정답은 B
        B不是 A""",
    "A": r"""
        The answer is A
        The answer is A because of B.
        Answer: A
        A.
        A) yes
        \boxed{A}
        The answer is A~and that is that""",
    None: r"""
        ~
        A good way to see this is symmetry.
        A dog and A cat
        The answer is A good question.
        Answer: A better way is this
        The answer is not B.
        The answer is either A or B
        The answer is A or B
        Answer: B, C
        \boxed{B, C}
        \boxed{A \text{ or } B}
        <think>The answer is B
        A. red~B. green~C. blue~D. black
        \boxed{12}
        Both A and B are plausible.
        It isn't B
        Vitamin B is found in it
        Alina
        BB
        The answer is ABBA
        The answer is B2B""",
}
"""By the letter that is answered, one completion a line; ~ stands for a new line."""
CASES = [
    (letter, line.strip().replace("~", "\n"))
    for letter, lines in ANSWERS.items()
    for line in lines.strip("\n").split("\n")
]


@pytest.mark.parametrize(("letter", "text"), CASES)
def test_the_letter_read(letter, text):
    for right in "ABCD":
        verdict = grade_letter(text, right)
        assert verdict.correct == (right == letter), verdict
    if letter is None:
        assert verdict.extracted in (None, "B, C", r"A \text{ or } B", r"A  or  B")


@pytest.mark.parametrize(
    ("reference", "letter"),
    [("C", "C"), ("(C)", "C"), ("(C) Cecile", "C"), ("C Cecile", "C"), ("C. Cecile", "C"), ("A Peter\nand others", "A"),
     ("Alina, and the answer is\nC Cecile", "C"), ("Alina, and the answer is\n(C) Cecile", "C"), (r"\boxed{C}", "C")],
)  # fmt: skip
def test_the_letter_of_a_reference(reference, letter):
    assert grade_letter(letter, reference).correct
    assert not grade_letter("D", reference).correct


def test_other_choices():
    assert grade_letter(r"\boxed{J}", "J", choices="ABCDEFGHIJ").correct
    assert not grade_letter("The answer is I think hard to tell", "I", choices="ABCDEFGHIJ").correct
    assert grade_letter("The answer is I.", "I", choices="ABCDEFGHIJ").correct
    assert grade_letter(r"\boxed{E}", "B") == (False, "E", "another letter, read in the last box")


def test_what_the_verdict_says():
    assert grade_letter(r"\boxed{B}", "B") == (True, "B", "the right letter, read in the last box")
    assert grade_letter("It is a hard one.", "B") == (False, None, "no letter found")
    assert grade_letter("B", "the second") == (False, None, "the reference names none of A, B, C, D")
    assert grade_letter("<think> B", "B") == (False, None, "no answer found: the thinking never ends")


WORDS = [
    "A",
    "good",
    "way",
    "to",
    "see",
    "this",
    "is",
    "that",
    "the",
    "a",
    "cat",
    "B12",
    "I",
    "think",
    "not",
    "or",
    ".",
    ",",
    "\n",
]
prose = st.lists(st.sampled_from(WORDS), max_size=12)


@given(prose.map(" ".join).filter(lambda text: "B12" not in text and "is" not in text.split()))
def test_an_article_is_no_answer(text):
    prose = f"A dog {text}"
    assume(all(line.strip(" .,") != "A" for line in prose.splitlines()))  # which would be an answer
    assert read_letter(prose, "ABCD") is None


@given(
    st.sampled_from("ABCD"),
    prose.map(" ".join),
    st.sampled_from([r"\boxed{%s}", r"$\boxed{\text{(%s)}}$", r"\boxed{%s. this}"]),
)
def test_the_last_box_counts_whatever_is_said_before(letter, before, box):
    assert grade_letter(f"The answer is A. \\boxed{{C}} {before} {box % letter}", letter).correct


@settings(max_examples=200)
@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_has_a_verdict_with_a_reason(completion, reference):
    verdict = grade_letter(completion, reference)
    assert verdict.reason
    assert not (verdict.correct and verdict.extracted is None)
