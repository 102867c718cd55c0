"""Measurements written by hand: a problem is a string, a letter a completion."""

from thinklogit.evals.outcomes import Measurement, Outcome


def measurement(problems, *, task="aime24", system="guided", version="1", lengths=None, **settings):
    """`problems` maps an id to its completions: "1" is right, "0" wrong, "-" without an answer, "x" cut off.

    `lengths` maps an id to the new tokens of each of its completions; without it they were not counted.
    """
    return Measurement(
        task,
        version,
        system,
        tuple(
            Outcome(
                problem,
                index,
                correct=letter == "1",
                extracted=None if letter in "-x" else {"1": "42"}.get(letter, f"wrong {index}"),
                new_tokens=lengths[problem] if lengths else None,
                truncated=letter == "x",
            )
            for problem, letters in problems.items()
            for index, letter in enumerate(letters)
        ),
        settings,
    )


def numbered(rights, n=8, **rest):
    """Problems p0, p1, ... of which so many of `n` completions are right."""
    return measurement({f"p{place}": "1" * right + "0" * (n - right) for place, right in enumerate(rights)}, **rest)
