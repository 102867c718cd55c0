"""The corpus: what it says is true, and nothing held out is in it."""

import re
from itertools import islice

import pytest

from thinklogit.mini import corpus, world
from thinklogit.mini.world import Equation

MIXES = {"pretraining": corpus.PRETRAINING, "fine-tuning": corpus.FINE_TUNING}
SHIPPED_SEED = 0
READ_IN_TRAINING = {"pretraining": 170_000, "fine-tuning": 10_000}
"""Documents: more than the target, which reads most, and the guider read."""

EQUATION = re.compile(r"(\d+)x\+(\d+)y=(\d+)")
STEP = re.compile(r"(\d+)([-+*/])(\d+)=(\d+)")
COMPARISON = re.compile(r"=(\d+), \d+\*\d+=(\d+), (yes|no)")
COMPUTE = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


def read(mix, seed, count):
    return list(islice(corpus.documents(mix, seed), count))


def twins(equation):
    return {equation, Equation(equation.b, equation.a, equation.c)}


def held_out_in(texts):
    """Equations of dev and report, and their mirrored twins, that stand anywhere in the texts."""
    held_out = {twin for split in ("dev", "report") for equation in world.equations(split) for twin in twins(equation)}
    found = {Equation(*map(int, numbers)) for text in texts for numbers in EQUATION.findall(text)}
    assert found, "no equation was found in the texts: the test would see no leak"
    return found & held_out


@pytest.mark.parametrize("mix", MIXES)
def test_no_held_out_problem_nor_its_twin_is_read_in_training(mix):
    texts = {
        part
        for document in read(MIXES[mix], SHIPPED_SEED, READ_IN_TRAINING[mix])
        for part in (document.prompt, document.response)
    }
    assert not held_out_in(texts)


def test_a_leak_would_be_seen(monkeypatch):
    """The test above is only worth something if it fails when a held-out problem, or only its twin, slips in."""
    leaked = world.equations("report")[7]
    assert held_out_in([f"Solve {leaked}."])
    assert held_out_in([f"Solve {leaked.b}x+{leaked.a}y={leaked.c}."])
    monkeypatch.setattr(corpus, "equations", lambda split: (*world.equations(split)[:20], leaked))
    assert held_out_in(document.response for document in read(corpus.FINE_TUNING, 0, 500)) == {leaked}


@pytest.mark.parametrize("mix", MIXES)
def test_the_same_seed_writes_the_same_documents(mix):
    assert read(MIXES[mix], 5, 200) == read(MIXES[mix], 5, 200) != read(MIXES[mix], 6, 200)


def test_kinds_come_in_the_shares_of_the_mix():
    documents = read(corpus.PRETRAINING, 1, 5000)
    facts = sum(document.prompt == corpus.FACTS_PROMPT for document in documents) / len(documents)
    long = sum("it works" in document.response for document in documents) / len(documents)
    assert facts == pytest.approx(corpus.PRETRAINING["facts"], abs=0.02)
    assert long == pytest.approx(corpus.PRETRAINING["long"], abs=0.02)


def is_true(step):
    left, sign, right, result = step.groups()
    left, right, result = int(left), int(right), int(result)
    return left == right * result if sign == "/" else COMPUTE[sign](left, right) == result


def slipped(document, step):
    """Whether the result of a step is a slip: not to be learned."""
    return any(span.start == step.start(4) for span in document.unlearned)


@pytest.mark.parametrize("kind", corpus.PRETRAINING)
def test_every_step_is_true_but_the_slips(kind):
    for document in read({kind: 1.0}, 2, 2000):
        steps = list(STEP.finditer(document.response))
        assert steps or kind == "short"
        assert all(is_true(step) != slipped(document, step) for step in steps), document


@pytest.mark.parametrize("kind", ["facts", "medium", "long"])
def test_a_multiple_is_accepted_exactly_when_it_is_what_is_left(kind):
    compared = [found for document in read({kind: 1.0}, 2, 2000) for found in COMPARISON.findall(document.response)]
    assert {verdict for _, _, verdict in compared} >= {"no"}
    assert all((left == multiple) == (verdict == "yes") for left, multiple, verdict in compared)


def test_slips_are_caught_by_the_check():
    documents = [document for document in read(corpus.FINE_TUNING, 3, 8000) if document.unlearned]
    assert len(documents) > 200
    for document in documents:
        (slip,) = document.unlearned
        check, _, rest = document.response[slip.end :].partition(", not ")
        assert check.startswith(", yes. Check: ")
        assert rest.startswith(f"{world.parse(document.prompt).metadata['c']}. ")


@pytest.mark.parametrize("kind", ["short", "medium", "long"])
def test_every_answer_is_right_and_opens_with_its_equation(kind):
    for document in read({kind: 1.0}, 4, 1000):
        problem = world.parse(document.prompt)
        assert document.prompt == problem.question
        assert document.response.startswith(f"We need {problem.id}. ")
        assert world.grade(problem, document.response).correct


def test_only_long_documents_search_to_the_end():
    for kind, least, most in (("short", 0, 0), ("medium", 0, 2), ("long", 0, 7)):
        counts = [world.backtracks(document.response) for document in read({kind: 1.0}, 5, 500)]
        assert (min(counts), max(counts)) == (least, most), kind
