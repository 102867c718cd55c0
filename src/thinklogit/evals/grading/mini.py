"""The mini world's exact grader, as a kind among the others."""

from thinklogit.evals.grading.verdicts import Verdict
from thinklogit.mini.world import grade, parse


def grade_mini(completion: str, reference: str) -> Verdict:
    """Whether the last answer is right for what `reference` asks: a question of the shop, or the id of a problem."""
    found = grade(parse(reference), completion)
    return Verdict(found.correct, found.extracted, found.reason)
