import math
import random
from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from measurements import measurement, numbered
from scipy.stats import t as student

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.intervals import wilson
from thinklogit.evals.metrics import (
    maj_at_k,
    mean_amount,
    mean_of_means,
    mean_share,
    measure,
    pass_at_k,
    t_quantile,
)
from thinklogit.evals.outcomes import Measurement, Outcome


def outcomes(*answers, right="42"):
    return [Outcome("p", index, answer == right, answer, 10, False) for index, answer in enumerate(answers)]


@given(st.lists(st.booleans(), min_size=1, max_size=9).flatmap(lambda c: st.tuples(st.just(c), st.integers(1, len(c)))))
def test_pass_at_k_is_the_share_of_all_draws_that_hold_a_right_one(drawn):
    correct, k = drawn
    found = [Outcome("p", index, right, "a", 1, False) for index, right in enumerate(correct)]
    draws = list(combinations(correct, k))
    assert pass_at_k(found, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_of_many_completions_neither_overflows_nor_rounds_to_one():
    found = [Outcome("p", index, index == 0, "a", 1, False) for index in range(10_000)]
    assert pass_at_k(found, 5_000) == 0.5


def test_more_than_there_are_cannot_be_drawn():
    with pytest.raises(OptionError, match=r"pass@3 needs 3 completions of each problem; there are 2; ask for .* 2"):
        pass_at_k(outcomes("1", "42"), 3)


@pytest.mark.parametrize(
    ("answers", "k", "value"),
    [
        (("42", "42", "7"), 3, 1.0),
        (("7", "7", "42"), 3, 0.0),
        (("42", "7"), 2, 1 / 2),
        (("42", "7", "8"), 3, 1 / 3),
        (("42", None, None), 3, 1.0),  # who does not answer does not vote
        ((None, None), 2, 0.0),
        (("", " "), 2, 0.0),
        (("42", "7", "7"), 1, 1.0),  # of the first k
        (("42", "7", "7"), 3, 0.0),
    ],
)
def test_the_majority_its_ties_and_those_without_an_answer(answers, k, value):
    assert maj_at_k(outcomes(*answers), k) == pytest.approx(value)


def test_answers_that_differ_in_white_space_or_dollars_are_one():
    told = [Outcome("p", i, True, text, 1, False) for i, text in enumerate(("$(1, 2)$", "(1,2)", " ( 1,2 ) "))]
    assert maj_at_k([*told, *outcomes("7", "7")], 5) == 1.0


def test_all_metrics_of_a_small_measurement():
    found = measure(
        measurement({"a": "1111", "b": "1000", "c": "0-xx"}, lengths={"a": 10, "b": 20, "c": 60}), ks=(1, 2, 4, 8)
    )
    assert (found.n, found.problems, found.completions, found.incomplete) == (4, 3, 12, ())
    assert found.accuracy.value == pytest.approx((1 + 1 / 4 + 0) / 3)
    assert found.pass_at[1].value == pytest.approx(found.accuracy.value)
    assert found.pass_at[2].value == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found.pass_at[4].value == pytest.approx(2 / 3)
    assert found.pass_at[8] is found.maj_at[8] is None
    assert found.maj_at[4].value == pytest.approx((1 + 1 / 4 + 0) / 3)  # four different answers to b
    assert found.new_tokens.value == 30
    assert found.truncated.value == pytest.approx(2 / 4 / 3)
    assert found.no_answer.value == pytest.approx(3 / 4 / 3)


def test_an_interrupted_run_is_the_mean_of_its_problems_means_and_says_so():
    found = measure(measurement({"a": "11111111", "b": "00", "c": "10000000"}))
    assert found.incomplete == ("b",)
    assert found.accuracy.value == pytest.approx((1 + 0 + 1 / 8) / 3)
    assert (found.pass_at[8].value, found.pass_at[8].problems) == (1.0, 2)
    assert found.new_tokens is None


def test_the_standard_error_is_clustered_by_problem():
    """Miller, arXiv 2411.00640: naive variance plus the covariances within a problem, but for n / (n - 1)."""
    problems = {"a": "1111", "b": "1000", "c": "0000", "d": "1101"}
    marks = [[int(letter) for letter in letters] for letters in problems.values()]
    centre = fmean(fmean(each) for each in marks)
    naive = sum((mark - centre) ** 2 for each in marks for mark in each)
    within = sum(
        (each[i] - centre) * (each[j] - centre) for each in marks for i in range(4) for j in range(4) if i != j
    )
    clustered = math.sqrt(naive + within) / 16
    assert measure(measurement(problems)).accuracy.se == pytest.approx(clustered * math.sqrt(4 / 3))


def test_an_interval_for_what_was_never_solved():
    low, high = measure(numbered([0] * 30)).accuracy.interval
    assert (low, round(high, 3)) == (0, 0.122)  # as 0 of 30, not of 240: the completions of a problem are not new ones
    assert measure(numbered([8] * 30)).accuracy.interval.low == pytest.approx(1 - high)


def test_one_completion_a_problem_is_nearly_the_plain_wilson_interval():
    found = measure(numbered([1] * 60 + [0] * 140, n=1)).accuracy
    assert found.interval == pytest.approx(wilson(60, 200), abs=1e-3)


@pytest.mark.parametrize(
    ("problems", "n", "ease", "never"),
    [(30, 8, (0.2, 1.2), 0), (30, 8, (0.5, 1), 0.6), (30, 8, (1, 1), 0), (40, 1, (0.5, 1), 0), (262, 8, (3, 0.3), 0)],
)
def test_intervals_of_so_few_problems_cover_the_truth(problems, n, ease, never):
    """mean +- t * se covers 92% in the first two settings."""
    generator = random.Random(0)
    a, b = ease
    truth, covered, runs = a / (a + b) * (1 - never), 0, 400
    for _ in range(runs):
        values = []
        for _ in range(problems):
            ability = 0 if generator.random() < never else generator.betavariate(a, b)
            values.append(sum(generator.random() < ability for _ in range(n)) / n)
        low, high = mean_share(values, problems * n).interval
        covered += low <= truth <= high
    assert 0.93 <= covered / runs <= 0.985


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40))
def test_an_interval_holds_its_share_and_stays_within_0_and_1(rights):
    found = measure(numbered(rights))
    for mean in (found.accuracy, found.pass_at[8], found.maj_at[8]):
        assert 0 <= mean.interval.low <= mean.value <= mean.interval.high <= 1


def test_one_problem_has_no_standard_error():
    found = measure(measurement({"a": "10"}, lengths={"a": 7}))
    assert found.accuracy.se is found.new_tokens.se is found.new_tokens.interval is None
    assert found.accuracy.interval.high - found.accuracy.interval.low > 0.9


def test_the_average_over_tasks_squares_and_adds():
    first, second = mean_share([0.0] * 30, 30), mean_share([0.0, 1.0] * 15, 30)
    both = mean_of_means([first, second])
    assert both.value == pytest.approx(0.25)
    assert both.se == pytest.approx(second.se / 2)
    above = math.hypot(first.interval.high, second.interval.high - 0.5) / 2
    assert both.interval.high == pytest.approx(0.25 + above)
    assert mean_of_means([first]) == first
    assert mean_of_means([mean_amount([3.0]), mean_amount([1.0, 2.0])]).interval is None


@pytest.mark.parametrize(("degrees", "off"), [(2, 0.01), (4, 4e-4), (9, 1e-5), (29, 1e-7), (261, 1e-7)])
def test_students_quantile(degrees, off):
    assert t_quantile(degrees) == pytest.approx(student.ppf(0.975, degrees), rel=off)


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(RecordError, match="aime24 by guided: expected graded completions, found none"):
        measure(Measurement("aime24", "1", "guided", ()))
    twice = measurement({"a": "1", "b": "0"})
    twice = Measurement("aime24", "1", "guided", twice.outcomes * 2)
    with pytest.raises(RecordError, match="completion 0 of problem a came twice; name each run once"):
        measure(twice)
    with pytest.raises(OptionError, match="k of pass@k is a whole number of completions, 1 or more; got 0"):
        measure(numbered([1]), ks=(0, 1))
