"""The mini world's exact grader, as a kind among the others."""

from thinklogit.evals.grading.verdicts import Verdict
from thinklogit.mini.world import grade, parse


def grade_mini(completion: str, reference: str) -> Verdict:
    """Whether the last answer solves the equation that `reference` is, such as 15x+14y=87."""
    found = grade(parse(reference), completion)
    return Verdict(found.correct, found.extracted, found.reason)
