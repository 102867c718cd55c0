r"""Multiple choice: which letter a completion answers.

Read in this order, each from the text after the thinking: the last boxed letter, "the answer is B", "it's B", a line
that is a letter, a text that begins with one ("B. ..."). inspect's own choice parser knows no \boxed. The phrases are
those that lighteval's ExtractiveMatch looks for, in the languages of `PHRASES`
(https://github.com/huggingface/lighteval/blob/main/src/lighteval/metrics/utils/extractive_match_utils.py).
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from thinklogit.evals.grading.answers import after_thinking, boxes, innermost
from thinklogit.evals.grading.notation import unwrapped
from thinklogit.evals.grading.verdicts import Verdict


class Found(NamedTuple):
    """A letter, or what stood in its place, and where it was read."""

    letter: str
    place: str


LATIN = r"A-Za-z0-9\u00c0-\u024f'\u2019_"
"""What a letter that is an answer does not touch. Chinese and the like may follow it directly."""

PHRASES = (
    r"\b(?:answer|option|choice|letter)\b[^.\n:]{0,40}?(?:\bis\b|\bbe\b|:|=)",
    r"\br[ée]ponse\b[^.\n:]{0,40}?(?:\best\b|:)",
    r"\brespuesta\b[^.\n:]{0,40}?(?:\bes\b|:)",
    r"\b(?:resposta|risposta)\b[^.\n:]{0,40}?(?:[éèe]\b|:)",
    r"\bantwort\b[^.\n:]{0,40}?(?:\bist\b|\blautet\b|:)",
    r"(?:答案|答え|正解|정답)(?:是|为|為|は|은|[:\uff1a])",
    r"(?:故选|应选|选择|选)",
)
IT_IS = r"\b(?:it['\u2019]s|it is|it must be|it has to be|must be|i choose|i select|i pick|i(?:['\u2019]ll)? go with)"
FILLERS = r"(?:(?!(?:not|never|neither|either|non|pas|nicht|no)\b)[^\W\d_]{2,}\W+){0,3}?"
GOES_ON = "and|as|because|but|by|due|for|from|given|if|in|is|not|of|since|so|that|the|when|where|which|with"


def grade_letter(completion: str, reference: str, choices: str = "ABCD") -> Verdict:
    """Grade the letter that the completion answers; the reference may be a letter or begin with one, as "(D) Alina"."""
    right = _letter_of_reference(reference, choices)
    if right is None:
        return Verdict(False, None, f"the reference names none of {', '.join(choices)}")
    text = after_thinking(completion)
    if text is None:
        return Verdict(False, None, "no answer found: the thinking never ends")
    found = read_letter(text, choices)
    if found is None:
        return Verdict(False, None, "no letter found")
    same = found.letter == right
    return Verdict(same, found.letter, f"{'the right' if same else 'another'} letter, read {found.place}")


def read_letter(text: str, choices: str) -> Found | None:
    """The letter that the text answers, by the first reading that finds one."""
    return next(filter(None, (reading(text, choices) for reading in READINGS)), None)


def _in_last_box(text: str, choices: str) -> Found | None:
    for box in reversed(boxes(text)):
        content = unwrapped(innermost(box)).strip(" $*.")
        begins = re.match(r"\W*([A-Za-z])(?=\W*$|\s*[).:,\]}])", content)
        if begins and re.search(rf"[,;/&]\s*\(?[{choices}]\b|\b(?:and|or)\b", content[begins.end() :]):
            return Found(content, "in the last box")  # several letters are no answer
        if begins:
            return Found(begins[1].upper(), "in the last box")
    return None


def _after_phrase(phrases: tuple[str, ...], place: str) -> Callable[[str, str], Found | None]:
    def reading(text: str, choices: str) -> Found | None:
        pattern = rf"(?i:(?:{'|'.join(phrases)})\W{{0,12}}{FILLERS})[\W]{{0,3}}{_letter(choices)}"
        letters = [match[1] for match in re.finditer(pattern, text)]
        return Found(letters[-1], place) if letters else None

    return reading


def _alone_on_a_line(text: str, choices: str) -> Found | None:
    letters = re.findall(rf"^[^\S\n]*[*(\[$\"']*([{choices}])[*)\].:$\"']*[^\S\n]*$", text, re.MULTILINE)
    return Found(letters[-1], "from a line of its own") if letters else None


def _at_the_beginning(text: str, choices: str) -> Found | None:
    begins = rf"[^\S\n]*[*(\[]*([{choices}])(?=[*)\].:,]|[^\x00-\u024f])"
    first = re.match(begins, text.lstrip())
    listed = {match[1] for match in re.finditer(f"^{begins}", text, re.MULTILINE)}
    return Found(first[1], "at the beginning") if first and len(listed) == 1 else None


READINGS = (
    _in_last_box,
    _after_phrase(PHRASES, 'after "answer is"'),
    _after_phrase((IT_IS,), 'after "it is"'),
    _alone_on_a_line,
    _at_the_beginning,
)


def _letter(choices: str) -> str:
    """One letter by itself, neither the article A or the pronoun I nor one of several: "A or B" is no answer."""
    article = rf"(?![AI]\s+(?!(?:{GOES_ON})\b)[a-z])"
    several = rf"(?!\W*(?:or|and|/|,)\W*[{choices}](?![{LATIN}]))"
    return rf"(?<![{LATIN}]){article}([{choices}])(?![{LATIN}]){several}"


def _letter_of_reference(reference: str, choices: str) -> str | None:
    found = read_letter(reference, choices)
    if found:
        return found.letter
    begins = re.search(rf"^\W*([{choices}])(?![{LATIN}])", reference, re.MULTILINE)
    return begins[1] if begins else None
